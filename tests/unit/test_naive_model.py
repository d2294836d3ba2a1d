"""Many more random chats than a database has time for: ``advance`` against the naive model."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from sermo_fsm import ChatSession, Durations
from sermo_fsm.core.advance import NO_VISITS, Visits, advance, close, expire
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.json_form import time_view
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.wire import decode
from tests.naive_model import NaiveChats
from tests.storage.test_model import INBOUND, OUTBOUND

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLATFORM: Final = "web"
USER: Final = "anna"
LINGER: Final = timedelta(seconds=300)
IDLE_TIMEOUTS: Final = (timedelta(seconds=120), timedelta(seconds=120), None)

# How far the clock goes on before a move, in seconds, and how long before it an event was
# received. One in three was received at an edge of the rules instead: in this place of the list
# of what is known, or a second beside it.
STEPS: Final = st.sampled_from((0, 0, 1, 5, 30, 59, 60, 61, 119, 120, 299, 300, 301, 700))
BACK: Final = st.sampled_from((0, 0, 0, 1, 20, 100, 400))
BESIDE: Final = st.sampled_from((0, 0, -1, 1))
NOW: Final = st.tuples(st.none(), BACK)
MOMENTS: Final = st.one_of(NOW, NOW, st.tuples(st.integers(0, 9), BESIDE))

# The engine lets through to ``advance`` only what is about a chat.
REPLIES: Final = [wire for wire in OUTBOUND if wire["type"] != "application_heartbeat"]
MESSAGES: Final = st.one_of(
    st.tuples(st.just(Direction.INBOUND), st.sampled_from(INBOUND)),
    st.tuples(st.sampled_from((Direction.OUTBOUND, Direction.INTERNAL)), st.sampled_from(REPLIES)),
)
DOINGS: Final = st.one_of(st.sampled_from(("sweep", "sleep", "close")), *([MESSAGES] * 8))

Move = tuple[int, Any, tuple[int | None, int]]


@st.composite
def walks(draw: st.DrawFn) -> list[Move]:
    """Some moves, all out of a few: so that rare ones come together, and come again."""
    few = draw(st.lists(DOINGS, min_size=3, max_size=10))
    moves = st.tuples(STEPS, st.sampled_from(few), MOMENTS)
    return draw(st.lists(moves, min_size=10, max_size=40))


class Walk:
    """One user's chats, in the implementation and in the model, which agree after each move."""

    def __init__(self, idle_timeout: timedelta | None) -> None:
        durations: dict[str, Any] = {
            "unload_grace": timedelta(seconds=60),
            "idle_timeout": idle_timeout,
            "linger": LINGER,
        }
        self.policy = Durations(**durations)
        self.model = NaiveChats(**durations, platform_id=PLATFORM)
        self.visits = NO_VISITS
        self.ids: dict[int, str] = {}

    def hand_in(self, direction: Direction, wire: dict[str, Any], at: datetime) -> None:
        event = {**wire, "userId": USER}
        message = decode(direction, event, received_at=at, platform_id=PLATFORM)
        step = advance(self.visits, message, self.policy)
        self.visits = step.visits
        owner = step.after.ordinal if step.after else None
        assert {
            "outcome": step.outcome,
            "owner": owner,
            "rows": len(step.rows),
        } == self.model.handle(direction, event, at)
        self._compare(*step.rows)

    def sweep(self, up_to: datetime) -> None:
        live = self.visits.live
        reached = live is not None and live.expires_at is not None and live.expires_at <= up_to
        assert self.model.sweep(up_to) == reached
        if live is not None and reached:
            closed, row = expire(live)
            self.visits = Visits(None, closed)
            self._compare(row)

    def close(self, at: datetime) -> None:
        live = self.visits.live
        if live is None:
            assert self.model.close(PLATFORM, USER, at) is None
            return
        rows = self.model.history(PLATFORM, USER, live.ordinal)
        at = max(at, rows[-1]["effectiveAt"])
        assert self.model.close(PLATFORM, USER, at) == live.ordinal
        closed, row = close(live, at, "stuck")
        self.visits = Visits(None, closed)
        self._compare(row)

    def edges(self) -> list[datetime]:
        """The moments at which a rule begins or ends to hold."""
        return [moment for session in self._sessions() for moment in _edges(session)]

    def _sessions(self) -> Iterator[ChatSession]:
        return (one for one in (self.visits.live, self.visits.closed) if one is not None)

    def _compare(self, *rows: HistoryRow) -> None:
        for session in self._sessions():
            self.ids[session.ordinal] = session.session_id
            assert _plain(session.as_dict()) == self._told(session.ordinal)
        for row in rows:
            if row.ordinal is not None and row.seq is not None:
                told = self.model.history(PLATFORM, USER, row.ordinal)[row.seq - 1]
                ours = row.as_dict(bodies=True)
                del ours["event"]
                assert ours == _plain(told)

    def _told(self, ordinal: int) -> dict[str, Any]:
        """The status by the model, with the ids that it does not know."""
        told = _plain(self.model.session(PLATFORM, USER, ordinal))
        previous = told.pop("previousOrdinal")
        told["sessionId"] = self.ids[ordinal]
        told["previousSessionId"] = None if previous is None else self.ids[previous]
        return told


def _edges(session: ChatSession) -> Iterator[datetime]:
    for moment in (session.opened_at, session.expires_at, session.last_customer_text_at):
        if moment is not None:
            yield moment
    if session.closed_at is not None:
        yield session.closed_at
        yield session.closed_at + LINGER


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    return {
        key: time_view(value) if isinstance(value, datetime) else value
        for key, value in view.items()
    }


def _go(idle_timeout: timedelta | None, moves: list[Move]) -> Walk:
    walk, now = Walk(idle_timeout), START
    for step, doing, (edge, seconds) in moves:
        now += timedelta(seconds=step)
        edges = walk.edges()
        if edge is None or not edges:
            at = now - timedelta(seconds=abs(seconds))
        else:
            at = edges[edge % len(edges)] + timedelta(seconds=seconds)
        if doing == "sweep":
            walk.sweep(now)
        elif doing == "sleep":
            walk.sweep(now := now + timedelta(seconds=180))
        elif doing == "close":
            walk.close(at)
        else:
            direction, wire = doing
            walk.hand_in(direction, wire, at)
    return walk


@given(idle_timeout=st.sampled_from(IDLE_TIMEOUTS), moves=walks())
def test_it_is_as_the_model_says(idle_timeout: timedelta | None, moves: list[Move]) -> None:
    _go(idle_timeout, moves)


@pytest.mark.prove
@settings(max_examples=1000)
@given(idle_timeout=st.sampled_from(IDLE_TIMEOUTS), moves=walks())
def test_it_is_over_many_walks(idle_timeout: timedelta | None, moves: list[Move]) -> None:
    _go(idle_timeout, moves)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("done", ["agent_done", "end_session"])
def test_an_agent_done_before_the_last_words_after_sleeping(done: str, times: int) -> None:
    """No random walk is likely to come here: the text counts in the chat that goes on, too."""
    now: tuple[None, int] = (None, 0)
    claim = (Direction.INTERNAL, {"type": "claim_session", "agentId": "dada04"})
    text = (Direction.INBOUND, {"type": "text", "text": "Hej"})
    beat = (Direction.INBOUND, {"type": "heartbeat"})
    slept = [(121, beat, now)] * times
    late = (0, (Direction.OUTBOUND, {"type": done}), (None, 121 * times + 1))

    walk = _go(IDLE_TIMEOUTS[0], [(0, claim, now), (2, text, now), *slept, late])

    live = walk.visits.live
    assert live is not None
    assert (live.ordinal, live.resumed, live.state) == (1 + times, True, "bot")
