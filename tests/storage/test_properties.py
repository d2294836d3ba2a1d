"""What must hold of any traffic: delivered twice, interleaved, swept or not."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import assume, given, settings

from sermo_fsm import ChatEngine, Durations, State
from sermo_fsm.core.advance import NO_VISITS, Visits, advance
from sermo_fsm.protocol.events import Direction, Trigger
from sermo_fsm.protocol.wire import decode
from tests.databases import empty
from tests.doors import fewer, stored
from tests.storage.test_model import INBOUND, OUTBOUND
from tests.support import PLATFORM, USER, at, envelope, event

Item = tuple[tuple[str, dict[str, Any]], int, str]
"""What came on which queue, how long after the one before, and from whom."""

POLICY = Durations()

inbound = st.tuples(st.just("inbound"), st.sampled_from(INBOUND))
outbound = st.tuples(st.just("outbound"), st.sampled_from(OUTBOUND))
gaps = st.sampled_from((0, 1, 5, 30, 59, 60, 61, 700, 1799, 1800, 1801, 4000))
users = st.sampled_from(("anna", "bo"))

PRESENCE = {
    *("lastSeenAt", "lastReadAt", "customerTypedAt", "lastCustomerTextAt", "lastReplyAt"),
    *("lastReplyBy", "agentTypingSince", "expiresAt"),
}


def without_presence(everything: list[Any]) -> list[Any]:
    """The same, but for what quiet events leave behind."""
    return [
        ({key: value for key, value in one[0].items() if key not in PRESENCE}, one[1])
        if isinstance(one, tuple)
        else one
        for one in everything
    ]


def traffic(items: Sequence[Item], *, back: Sequence[int] = (0,)) -> list[dict[str, Any]]:
    """Envelopes of these events, each with an id, each so long after the one before."""
    lines, now = [], 0
    for number, ((direction, wire), gap, user) in enumerate(items):
        now += gap
        seconds = now - back[number % len(back)]
        line = {**wire, "platformId": PLATFORM, "userId": user}
        lines.append(envelope(direction, line, seconds, f"m-{number}"))
    return lines


@pytest.fixture
def clear(database: sa.Engine) -> Callable[[], None]:
    """Begins an example with nothing: a database of its own would take too long for each."""

    def delete_everything() -> None:
        with database.begin() as connection:
            empty(connection)

    return delete_everything


def test_a_redelivered_batch_changes_nothing(
    door: str, chats: ChatEngine, clear: Callable[[], None]
) -> None:
    @given(st.lists(st.tuples(st.one_of(inbound, outbound), gaps.filter(bool), users), max_size=25))
    @settings(fewer(door, 0.4))
    def redeliver(items: list[Item]) -> None:
        clear()
        lines = traffic(items)
        first = chats.handle_many(lines)
        once = without_presence(stored(chats))

        again = chats.handle_many(lines)

        # Presence may change: a quiet event that had no chat then is of one that opened since.
        assert without_presence(stored(chats)) == once
        assert not any(receipt.rows for receipt in again)
        for one, other in zip(first, again, strict=True):
            if any(row.message_id for row in one.rows):
                assert other.outcome == "duplicate"

    redeliver()


def test_nor_does_it_write_or_move_anything_where_the_queues_were_read_out_of_order(
    door: str, chats: ChatEngine, clear: Callable[[], None]
) -> None:
    # Presence may: an event that was a stray has an owner once an earlier one opened a session.
    @given(
        st.lists(st.tuples(st.one_of(inbound, outbound), gaps, users), max_size=25),
        st.lists(st.sampled_from((0, 0, 1, 20, 100)), min_size=1, max_size=5),
    )
    @settings(fewer(door, 0.4))
    def redeliver(items: list[Item], back: list[int]) -> None:
        clear()
        lines = traffic(items, back=back)
        chats.handle_many(lines)
        once = without_presence(stored(chats))

        assert not any(receipt.rows for receipt in chats.handle_many(lines))
        assert without_presence(stored(chats)) == once

    redeliver()


def test_swept_or_not_the_customers_events_give_the_same_rows(
    door: str, chats: ChatEngine, clear: Callable[[], None]
) -> None:
    @given(st.lists(st.tuples(inbound, gaps, st.just(USER)), max_size=25), st.randoms())
    @settings(fewer(door, 0.4))
    def sweep(items: list[Item], dice: Any) -> None:
        lines = traffic(items)
        ends = []
        for sweeps in ("never", "always", "sometimes"):
            clear()
            for line in lines:
                chats.handle_many([line])
                if sweeps == "always" or (sweeps == "sometimes" and dice.random() < 0.3):
                    chats.sweep(datetime.fromisoformat(line["receivedAt"]))
            chats.sweep(at(10**6))
            ends.append(stored(chats))

        assert ends[0] == ends[1] == ends[2]

    sweep()


STAYS: Sequence[dict[str, Any]] = [
    wire for wire in INBOUND if wire["type"] not in ("client_left", "client_closed")
]
STARTS: dict[State, list[tuple[str, dict[str, Any]]]] = {
    State.OPEN: [],
    State.BOT: [("inbound", event("text", text="Hej"))],
    State.QUEUED: [("outbound", event("queue_number", queueNumber=1))],
    State.WITH_AGENT: [("outbound", event("text", text="Hej", agent={"id": "a", "type": "human"}))],
}


def feed(visits: Visits, direction: str, wire: dict[str, Any], seconds: int) -> Visits:
    queue = Direction(direction)
    value = {**wire, "platformId": PLATFORM, "userId": USER}
    return advance(visits, decode(queue, value, received_at=at(seconds)), POLICY).visits


@given(
    st.sampled_from(sorted(STARTS)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=14),
    st.lists(st.booleans(), min_size=14, max_size=14),
)
@settings(max_examples=settings().max_examples * 3)
def test_every_interleaving_ends_in_the_same_state(
    start: State, received: list[tuple[bool, int]], read_inbound_first: list[bool]
) -> None:
    """As long as no deadline and no close falls in between."""
    opened = feed(NO_VISITS, "inbound", {"type": "heartbeat"}, 0)
    for direction, wire in STARTS[start]:
        opened = feed(opened, direction, wire, 1)
    queues: dict[str, list[tuple[str, dict[str, Any], int]]] = {"inbound": [], "outbound": []}
    as_received = opened
    for seconds, (is_inbound, which) in enumerate(received, 2):
        direction = "inbound" if is_inbound else "outbound"
        kinds = STAYS if is_inbound else OUTBOUND
        item = (direction, kinds[which % len(kinds)], seconds)
        queues[direction].append(item)
        as_received = feed(as_received, *item)
        assume(as_received.live is not None)

    as_read = opened
    for inbound_first in read_inbound_first:
        first, second = queues["inbound"], queues["outbound"]
        queue = (first or second) if inbound_first else (second or first)
        if queue:
            as_read = feed(as_read, *queue.pop(0))

    assert as_received.live is not None
    assert as_read.live is not None
    assert as_read.live.ordinal == 1
    assert as_read.live.state is as_received.live.state


def trigger_of(direction: str, value: dict[str, Any]) -> Trigger:
    return decode(Direction(direction), value, received_at=at(0)).trigger


def test_the_streams_of_this_file_say_everything_there_is_to_say() -> None:
    said = {
        trigger_of(direction, {**wire, "platformId": PLATFORM, "userId": USER})
        for direction, kinds in (("inbound", INBOUND), ("outbound", OUTBOUND))
        for wire in kinds
    }
    assert said == set(Trigger) - {Trigger.EXPIRE, Trigger.CLOSE, Trigger.AGENT_RELEASED}
