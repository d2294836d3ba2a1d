"""Where chats go: against the same, counted one by one, on every database."""

import statistics
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import asdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sermo_fsm import ChatEngine, InvalidArgument, State, StoreError, Traffic, Trigger
from tests.another_table import Sent, hand_in, random_traffic, script
from tests.databases import look_away
from tests.doors import each_signature, fewer
from tests.support import ANDERS, PLATFORM, at

APP = "app"
CUSTOMER = {"type": "text", "text": "Hej!"}
AGENT = {"type": "text", "text": "Hej!", "agent": ANDERS}
QUEUE = {"type": "queue_number", "queueNumber": 3}
LEFT = {"type": "client_left"}

CHATS: list[Sent] = [
    *script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE), (40, "outbound", AGENT)),
    *script("anna", (50, "inbound", CUSTOMER), (100, "inbound", LEFT), (101, "outbound", QUEUE)),
    *script("bo", (5, "inbound", CUSTOMER), (35, "outbound", QUEUE)),
]


def one_by_one(
    chats: ChatEngine,
    since: datetime | None = None,
    until: datetime | None = None,
    platform: str | None = None,
) -> dict[str, Any]:
    ways: Counter[Any] = Counter()
    stays: dict[State, list[timedelta]] = {}
    sessions = 0
    still_there: Counter[State | None] = Counter()
    moments = []
    for chat in chats.sessions(platform=platform):
        rows = list(chats.history(chat.session_id))
        counted = [
            row
            for row in rows
            if (since is None or row.effective_at >= since)
            and (until is None or row.effective_at < until)
        ]
        sessions += bool(counted)
        moments += [row.effective_at for row in counted]
        if counted and counted[-1].to_state is not State.CLOSED:
            still_there[counted[-1].to_state] += 1
        ways.update((row.from_state, row.to_state, row.trigger) for row in counted)
        moves = [row for row in rows if row.from_state is not row.to_state]
        for entered, left in pairwise(moves):
            if left in counted and entered.to_state is not None:
                length = left.effective_at - entered.effective_at
                stays.setdefault(entered.to_state, []).append(length)
    return {
        "rows": ways.total(),
        "sessions": sessions,
        "ways": dict(ways),
        "stays": {state: len(lengths) for state, lengths in stays.items()},
        "medians": {state: statistics.median_low(lengths) for state, lengths in stays.items()},
        "p90s": {
            state: sorted(lengths)[-(len(lengths) // 10) - 1] for state, lengths in stays.items()
        },
        "still_there": dict(still_there),
        "first_at": min(moments, default=None),
        "last_at": max(moments, default=None),
    }


def told(found: Traffic) -> dict[str, Any]:
    values = asdict(found)
    return {name: values[name] for name in values if name not in ("since", "until", "platform")}


def test_it_says_what_went_where_and_for_how_long(chats: ChatEngine) -> None:
    hand_in(chats, CHATS)
    hand_in(chats, script("cia", (0, "inbound", LEFT)))  # a stray

    found = chats.traffic()

    assert found == Traffic(
        rows=8,
        sessions=2,
        ways={
            (None, State.BOT, Trigger.CUSTOMER_TEXT): 2,
            (State.BOT, State.QUEUED, Trigger.QUEUE_NUMBER): 2,
            (State.QUEUED, State.WITH_AGENT, Trigger.AGENT_TEXT): 1,
            (State.WITH_AGENT, State.WITH_AGENT, Trigger.CUSTOMER_TEXT): 1,
            (State.WITH_AGENT, State.CLOSED, Trigger.CLIENT_LEFT): 1,
            (State.CLOSED, State.CLOSED, Trigger.QUEUE_NUMBER): 1,
        },
        stays={State.BOT: 2, State.QUEUED: 1, State.WITH_AGENT: 1},
        medians={
            State.BOT: timedelta(seconds=10),
            State.QUEUED: timedelta(seconds=30),
            State.WITH_AGENT: timedelta(seconds=60),
        },
        p90s={
            State.BOT: timedelta(seconds=30),
            State.QUEUED: timedelta(seconds=30),
            State.WITH_AGENT: timedelta(seconds=60),
        },
        still_there={State.QUEUED: 1},
        first_at=at(0),
        last_at=at(101),
    )
    assert found.closings == 1
    assert list(found.ways)[:2] == [
        (None, State.BOT, Trigger.CUSTOMER_TEXT),
        (State.BOT, State.QUEUED, Trigger.QUEUE_NUMBER),
    ]


def test_a_stay_counts_where_it_ended(chats: ChatEngine) -> None:
    hand_in(chats, CHATS)

    found = chats.traffic(since=at(35), until=at(100))

    assert (found.since, found.until, found.platform) == (at(35), at(100), None)
    assert (found.rows, found.sessions) == (3, 2)
    assert found.medians == {
        State.BOT: timedelta(seconds=30),  # bo's ended at the very beginning
        State.QUEUED: timedelta(seconds=30),  # anna's began before
    }  # and hers with the agent ended at the very end, which is not in it


def test_who_had_no_row_in_the_time_is_not_counted(chats: ChatEngine) -> None:
    hand_in(chats, CHATS)

    found = chats.traffic(since=at(36), until=at(39))  # anna's rows are before and behind it

    assert (found.rows, found.sessions, found.still_there) == (0, 0, {})
    assert found.first_at is found.last_at is None


def test_of_one_platform(chats: ChatEngine) -> None:
    hand_in(chats, CHATS)
    hand_in(chats, CHATS[-2:], platform=APP)

    assert told(chats.traffic(platform=APP)) == one_by_one(chats, platform=APP)
    assert chats.traffic(platform=APP).rows == 2
    assert chats.traffic(platform=PLATFORM).rows == 8
    assert chats.traffic(platform="none").rows == 0


def test_nothing_is_no_traffic(chats: ChatEngine) -> None:
    told_of: list[Any] = []
    found = chats.traffic(progress=lambda *so_far: told_of.append(so_far))

    assert told(found) == one_by_one(chats)
    assert found.rows == found.sessions == found.closings == 0
    assert chats.compare().ok
    assert told_of == []


@each_signature
@pytest.mark.parametrize(
    ("argument", "value"),
    [("since", datetime(2026, 3, 1)), ("until", "now"), ("platform", "")],  # noqa: DTZ001 - refused
)
def test_what_cannot_be_asked_is_said(chats: ChatEngine, argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        chats.traffic(**{argument: value})


@pytest.mark.parametrize("damage", ["trigger_name = 'magic'", "to_state = 'parked'"])
def test_a_word_of_another_release_is_a_typed_error(
    chats: ChatEngine, database: sa.Engine, damage: str
) -> None:
    hand_in(chats, CHATS)
    with database.begin() as connection:
        look_away(connection)
        connection.execute(sa.text(f"UPDATE sermo_history SET {damage}"))  # noqa: S608 - see above

    with pytest.raises(StoreError, match="unknown"):
        chats.traffic()


def test_it_is_what_one_by_one_is(door: str, chats: ChatEngine) -> None:
    for seed in range(2):
        hand_in(chats, random_traffic(seed, 150), platform=(PLATFORM, APP)[seed])
    chats.sweep(at(1800))
    times = sorted(
        {
            row.effective_at
            for chat in chats.sessions()
            for row in chats.history(chat.session_id, limit=4)
        }
    )
    moments = st.none() | st.tuples(
        st.sampled_from(times), st.sampled_from([-1, 0, 1]).map(lambda ms: timedelta(0, 0, ms))
    ).map(sum_of)

    @settings(fewer(door, 0.3), suppress_health_check=list(HealthCheck))
    @given(moments, moments, st.sampled_from([None, PLATFORM, APP]))
    def holds(since: datetime | None, until: datetime | None, platform: str | None) -> None:
        found = chats.traffic(since=since, until=until, platform=platform)
        assert told(found) == one_by_one(chats, since, until, platform)

    holds()
    assert told(chats.traffic()) == one_by_one(chats)


def sum_of(pair: tuple[datetime, timedelta]) -> datetime:
    return pair[0] + pair[1]
