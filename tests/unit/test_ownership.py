"""Whose event it is where no chat is live: every cell of the design's table, at every moment."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from attrs import evolve

from sermo_fsm.core.advance import NO_VISITS, Visits, advance, close, expire
from sermo_fsm.core.ownership import Owner, owner_of
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.events import Direction, Trigger
from sermo_fsm.protocol.wire import decode
from tests.support import ANDERS, at, event, text

# Copied from section 4 of the design, by hand; "anything else" is spelled out.
GRID = """
| trigger | no session yet | client_left, end_session, close | agent_done | expire |
|---|---|---|---|---|
| customer_text | opens | opens | opens | resumes |
| heartbeat, typing, start | opens | echo | echo | resumes |
| agent_text, claim_session, queue_number | opens | linger | opens | linger |
| handover_to_bot, handover_to_agent, handover_to_queue | opens | linger | opens | linger |
| bot_text | opens | linger | linger | linger |
| messages_read, client_unload, client_left, unknown | stray | P's | P's | P's |
| unattributed_text, system_text, typing_on, typing_off | stray | P's | P's | P's |
| agent_done, platform_closed, end_session, agent_released | stray | P's | P's | P's |
"""
DURATIONS = Durations(
    unload_grace=timedelta(seconds=60),
    idle_timeout=timedelta(seconds=1000),
    linger=timedelta(seconds=300),
)
MOMENTS = (-1, 0, 59, 60, 299, 300, 999, 1000, 100_000)
"""Seconds after the close: around each of the durations."""


def read_grid() -> Iterator[tuple[Trigger, str, str]]:
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in GRID.split("\n")]
    (_, *endings), _, *rows = lines[1:-1]
    for triggers, *cells in rows:
        for trigger in triggers.split(", "):
            yield from (
                (Trigger(trigger), ending, words)
                for column, words in zip(endings, cells, strict=True)
                for ending in column.split(", ")
            )


CELLS = list(read_grid())


def closed_by(ending: str, durations: Durations = DURATIONS) -> ChatSession | None:
    """A chat that ended like this; all of them had an agent, and the customer's last sign at 0."""
    visits = NO_VISITS
    if ending == "no session yet":
        return None
    for direction, value in (
        (Direction.INBOUND, text()),
        (Direction.OUTBOUND, text(agent=ANDERS)),
    ):
        message = decode(direction, value, received_at=at(0))
        visits = advance(visits, message, durations).visits
    assert visits.live is not None
    if ending == "expire":
        return expire(visits.live)[0]
    if ending == "close":
        return close(visits.live, at(1), None)[0]
    direction = Direction.INBOUND if ending == "client_left" else Direction.OUTBOUND
    message = decode(direction, event(ending), received_at=at(1))
    return advance(visits, message, durations).visits.closed


def wanted(words: str, closed: ChatSession | None, seconds: int) -> Owner:
    """What the words mean, so many seconds after the close."""
    if closed is None:
        return Owner.NEW if words == "opens" else Owner.NOBODY
    if seconds < 0 or words == "P's":
        return Owner.CLOSED
    assert closed.closed_at is not None
    assert closed.expires_at is not None
    until = {
        "opens": 0.0,
        "echo": (closed.expires_at - closed.closed_at).total_seconds(),
        "linger": 300.0,
        "resumes": 300.0,
    }[words]
    if words == "resumes":
        return Owner.RESUMED if seconds < until else Owner.NEW
    return Owner.CLOSED if seconds < until else Owner.NEW


def test_the_grid_has_every_cell() -> None:
    assert {trigger for trigger, *_ in CELLS} == set(Trigger) - {Trigger.EXPIRE, Trigger.CLOSE}
    assert len(CELLS) == (len(Trigger) - 2) * 6


@pytest.mark.parametrize(("trigger", "ending", "words"), CELLS)
def test_an_event_belongs_to_whom_the_design_says(
    trigger: Trigger, ending: str, words: str
) -> None:
    closed = closed_by(ending)
    closed_at = closed.closed_at if closed else None
    for seconds in MOMENTS if closed else (0,):
        moment = (closed_at or at(0)) + timedelta(seconds=seconds)
        found = owner_of(trigger, moment, None, closed, DURATIONS)
        assert found is wanted(words, closed, seconds), f"{seconds} s after the close"


@pytest.mark.parametrize("trigger", [Trigger.HEARTBEAT, Trigger.TYPING])
def test_where_nobody_is_ever_idle_an_ended_chat_echoes_for_good(trigger: Trigger) -> None:
    durations = evolve(DURATIONS, idle_timeout=None)
    done, left = (closed_by(ending, durations) for ending in ("agent_done", "client_left"))
    assert owner_of(trigger, at(1_000_000), None, done, durations) is Owner.CLOSED
    assert owner_of(trigger, at(1_000_000), None, left, durations) is Owner.NEW, "60 s later"


def test_after_agent_done_a_goodbye_of_the_customer_counts() -> None:
    done = closed_by("agent_done")
    left = decode(Direction.INBOUND, event("client_left"), received_at=at(2))
    closed = advance(Visits(None, done), left, DURATIONS).visits.closed
    assert owner_of(Trigger.AGENT_TEXT, at(3), None, done, DURATIONS) is Owner.NEW
    assert owner_of(Trigger.AGENT_TEXT, at(3), None, closed, DURATIONS) is Owner.CLOSED
