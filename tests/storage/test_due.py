"""Where the sweeper looks: ``due_at``, which no heartbeat moves, and which is never too late."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import example, given

from sermo_fsm import ChatEngine, Policy
from sermo_fsm.storage.schema import tables
from tests.databases import empty
from tests.doors import fewer
from tests.storage.test_model import INBOUND, OUTBOUND
from tests.storage.test_queries import listening
from tests.support import PLATFORM, at, event, text

MINUTE: Final = timedelta(minutes=1)
POLICIES: Final = (
    Policy(),
    Policy(idle_timeout=MINUTE, unload_grace=MINUTE / 2),
    Policy(idle_timeout=None),
)
"""Deadlines in half an hour, in a minute, and never: somebody may change the policy at any time."""

Deadlines = dict[str, tuple[datetime | None, datetime | None]]
"""``expires_at`` and ``due_at`` of the live sessions, by user."""


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(kind_url)
    yield engine
    engine.dispose()


@pytest.fixture
def chats(kind_url: sa.URL) -> Iterator[ChatEngine]:
    with ChatEngine(kind_url) as engine:
        yield engine


def deadlines(host: sa.Engine) -> Deadlines:
    session = tables().session.c
    query = sa.select(session.live, session.user_id, session.expires_at, session.due_at)
    found: Deadlines = {}
    with host.connect() as connection:
        for live, user, expires_at, due_at in connection.execute(query):
            if live:
                found[user] = expires_at, due_at
            else:
                assert due_at is None
    return found


def is_found_in_time(expires_at: datetime | None, due_at: datetime | None) -> bool:
    if expires_at is None:
        return due_at is None
    return due_at is not None and due_at <= expires_at


# --- whatever happens ----------------------------------------------------------------------------

Step = tuple[str, dict[str, Any]] | str
SWEEP: Final = "sweep"

steps = st.one_of(
    st.tuples(st.just("inbound"), st.sampled_from(INBOUND)),
    st.tuples(st.just("outbound"), st.sampled_from(OUTBOUND)),
    st.tuples(st.just("inbound"), st.just({"type": "heartbeat"})),
    st.just(SWEEP),
)
gaps = st.sampled_from((0, 1, 29, 30, 31, 59, 60, 61, 300, 1799, 1800, 1801))
backwards = st.sampled_from((0, 0, 0, 1, 60, 2000))
HEARTBEAT: Final = ("inbound", {"type": "heartbeat"})
START: Final = ("inbound", {"type": "text", "text": "Hej"})


@pytest.mark.parametrize("at_once", [1, 1000])
def test_a_sweep_closes_what_whoever_reads_every_deadline_would_close(
    kind: str, host: sa.Engine, kind_url: sa.URL, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("sermo_fsm.engine.batch._SWEPT_AT_ONCE", at_once)
    engines = [ChatEngine(kind_url, policy=policy) for policy in POLICIES]

    @given(
        st.lists(
            st.tuples(
                steps,
                gaps,
                backwards,
                st.sampled_from(("anna", "bo", "cleo")),
                st.sampled_from(range(len(POLICIES))),
            ),
            max_size=30,
        )
    )
    # The deadline comes nearer by a quiet event, goes away by one, and comes back by one.
    @example([(START, 0, 0, "bo", 0), (HEARTBEAT, 1, 0, "bo", 1), (SWEEP, 60, 0, "bo", 0)])
    @example([(START, 0, 0, "bo", 0), (HEARTBEAT, 1, 0, "bo", 2), (SWEEP, 1801, 0, "bo", 0)])
    @example([(START, 0, 0, "bo", 2), (HEARTBEAT, 1, 0, "bo", 1), (SWEEP, 60, 0, "bo", 0)])
    @example([(START, 0, 0, "bo", 0), (HEARTBEAT, 9, 0, "bo", 0), (SWEEP, 1800, 0, "bo", 0)])
    @fewer(kind, 1)
    def play(story: list[tuple[Step, int, int, str, int]]) -> None:
        with host.begin() as connection:
            empty(connection)
        now = at(0)
        for step, gap, back, user, policy in story:
            now += timedelta(seconds=gap)
            moment = now - timedelta(seconds=back)
            if isinstance(step, str):
                overdue = {
                    user
                    for user, (expires_at, _) in deadlines(host).items()
                    if expires_at is not None and expires_at <= moment
                }
                assert {row.user_id for row in engines[policy].sweep(moment)} == overdue
            else:
                direction, wire = step
                said = {**wire, "platformId": PLATFORM, "userId": user}
                line = {"direction": direction, "event": said, "receivedAt": moment.isoformat()}
                engines[policy].handle_many([line])
            for expires_at, due_at in deadlines(host).values():
                assert is_found_in_time(expires_at, due_at)

    play()
    for engine in engines:
        engine.close()


# --- what it is for ------------------------------------------------------------------------------


def test_a_heartbeat_leaves_it_as_it_is(chats: ChatEngine, host: sa.Engine) -> None:
    chats.handle("inbound", text(user="anna"), received_at=at(0))

    with listening(chats._engine) as sent:
        chats.handle("inbound", event("heartbeat", "anna"), received_at=at(20))

    assert deadlines(host) == {"anna": (at(1820), at(1800))}
    assert not [said for said, _ in sent if said.startswith("UPDATE") and "due_at" in said]


def test_an_event_that_is_recorded_leaves_it_as_it_is(chats: ChatEngine, host: sa.Engine) -> None:
    chats.handle("inbound", text(user="anna"), received_at=at(0))
    chats.handle("inbound", text(user="anna"), received_at=at(20))

    assert deadlines(host) == {"anna": (at(1820), at(1800))}


def test_a_deadline_that_comes_nearer_takes_it_along(chats: ChatEngine, host: sa.Engine) -> None:
    chats.handle("inbound", text(user="anna"), received_at=at(0))
    chats.handle("inbound", event("client_unload", "anna"), received_at=at(20))

    ((expires_at, due_at),) = deadlines(host).values()
    assert expires_at == due_at
    assert due_at is not None
    assert due_at < at(1800)


def test_the_sweeper_goes_on_in_portions_while_it_only_puts_forward(
    chats: ChatEngine, host: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sermo_fsm.engine.batch._SWEPT_AT_ONCE", 2)
    came_back, left = [f"back-{n}" for n in range(5)], [f"left-{n}" for n in range(2)]
    for user in came_back:
        chats.handle("inbound", text(user=user), received_at=at(0))
        chats.handle("inbound", event("heartbeat", user), received_at=at(1000))
    for user in left:
        chats.handle("inbound", text(user=user), received_at=at(100))

    assert {row.user_id for row in chats.sweep(at(1900))} == {*left}

    assert deadlines(host) == dict.fromkeys(came_back, (at(2800), at(2800)))
    assert chats.sweep(at(2799)) == []
    assert {row.user_id for row in chats.sweep(at(2800))} == {*came_back}
