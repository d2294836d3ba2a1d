"""Is every stored row possible under today's table? Reads everything, changes nothing.

Each row is judged by itself: from the state that it says, its trigger has to lead where it says,
with the outcome that it says, by ``TABLE``; what opened a chat had to open one by ``RULES``. The
guard is known, because every text of a customer has a row. Beside that each chat is replayed from
its beginning, to see where it would be today.

Only the table is judged, never a time: how long the deadlines were then, nobody knows. Rows of a
closed chat say that it stays closed. Of a chat that the clock closed they go on moving the state
that it was taken from; that is stored with the chat alone, so it is replayed and held against it.

What would have left no row, or moved into another chat, can't be told: quiet events, and whatever
came after a chat would have closed. In a replay such a chat stays closed.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field

from sermo_fsm.comparison import Cell, Chat, Comparison, Departure, Kept, Parting
from sermo_fsm.events import Trigger
from sermo_fsm.machine import LIVE, NO_GUARD, Guard, State
from sermo_fsm.ownership import Ending
from sermo_fsm.replay import Course, Done, judged, opened, start_of
from sermo_fsm.scan import Progress, Scan, by_key
from sermo_fsm.schema import Tables
from sermo_fsm.session import CloseReason

__all__ = ["compare"]


def compare(
    connection: sa.Connection, tables: Tables, *, limit: int, progress: Progress | None = None
) -> Comparison:
    """Hold all that is stored against the table; list at most *limit* live chats."""
    tally = _Tally(limit)
    with _scan(tables).read(connection, progress) as sessions:
        for session, rows in sessions:
            tally.take(session, rows)
    return tally.result()


def _scan(tables: Tables) -> Scan:
    """By their keys: the chat before comes before, as it was written before."""
    session, history = tables.session, tables.history.c
    before, behind = session.alias("before"), session.alias("behind")
    opening = tables.history.alias("opening")

    def of_the_same_user(other: sa.FromClause, ordinal: Any) -> sa.ColumnElement[bool]:
        return sa.and_(
            other.c.platform_id == session.c.platform_id,
            other.c.user_id == session.c.user_id,
            other.c.ordinal == ordinal,
        )

    joined = (
        session.outerjoin(before, of_the_same_user(before, session.c.ordinal - 1))
        .outerjoin(behind, of_the_same_user(behind, session.c.ordinal + 1))
        .outerjoin(opening, sa.and_(opening.c.session_key == behind.c.id, opening.c.seq == 1))
    )
    query = sa.select(
        *(session.c[name] for name in _SAID),
        before.c.id.label("key_before"),
        before.c.kept_state.label("kept_before"),
        opening.c.id.label("superseded_by"),
    )
    columns = (
        history.id,
        history.seq,
        history.trigger_name,
        history.from_state,
        history.to_state,
        history.outcome,
        history.received_at,
    )
    return by_key(tables, query.select_from(joined), columns)


_SAID: Final = (
    *("id", "session_id", "platform_id", "user_id", "ordinal", "state", "kept_state", "resumed"),
    *("close_reason", "previous_close_reason"),
)

_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})
_EXPIRE: Final = Trigger.EXPIRE
_BY_THE_CLOCK: Final = (CloseReason.IDLE, CloseReason.CLIENT_UNLOAD)

_Carried = tuple[str | None, bool]
"""What is not stored of a chat, for the next one of this user: the state that today's table would
have kept, and whether the customer had left when the next one opened."""


@define
class _Replay:
    """One session, as its rows say and as it would be today."""

    session: sa.Row[Any]
    known: "_Known"
    stored: Course
    """Set to what each row says, so that one row counts once."""
    today: Course
    rows: int = 0
    left: bool = False
    wrote_at: datetime | None = None
    departure: Departure | None = None
    partings: Counter[Parting] = field(factory=Counter)

    @classmethod
    def of(cls, session: sa.Row[Any], known: "_Known", carried: _Carried | None) -> "_Replay":
        """Before the first row."""
        kept = session.kept_before
        kept_today, left = (kept, False) if carried is None else carried
        ending = _ending_before(session, left=left)
        return cls(
            session,
            known,
            Course(ending, _start(session, kept)),
            Course(ending, _start(session, kept_today)),
        )

    def take(self, row: Any) -> None:
        """The next row."""
        _, number, seq, trigger, source, to, outcome, received_at = row
        self.rows += 1
        wrote_at = self.wrote_at
        later = wrote_at is not None and received_at is not None and wrote_at > received_at
        parting = self._parting(trigger, source, to, outcome, later=later)
        if parting is None and source in LIVE and source == self.today.state and trigger != _EXPIRE:
            self.today.state = to  # of nearly all rows there is no more to say
        else:
            if parting is not None:
                self.partings[parting] += 1
            self._go_on(trigger, source, later=later, superseded=self._superseded(number))
            if self.departure is None and self.today.state != to:
                self.departure = Departure(seq, trigger, source, to, self.today.state)
        if trigger == Trigger.CUSTOMER_TEXT and received_at is not None:
            self.wrote_at = received_at if wrote_at is None else max(wrote_at, received_at)
        elif trigger == Trigger.CLIENT_LEFT and not self._superseded(number):
            self.left = True

    def _superseded(self, number: int) -> bool:
        """Whether the next session had opened when this row was written."""
        by = self.session.superseded_by
        return by is not None and number > by

    def _go_on(self, trigger: str, source: str | None, *, later: bool, superseded: bool) -> None:
        holding = _WROTE_LATER if later else NO_GUARD
        self.stored.state = source
        for course in (self.stored, self.today):
            course.take(trigger, holding, superseded=superseded)

    def _parting(
        self, trigger: str, source: str | None, to: str, outcome: str, *, later: bool
    ) -> Parting | None:
        if source is not None:
            return self.known[trigger, source, to, outcome, later]
        if self.session.resumed and self.session.key_before is None:
            self.stored.start = self.today.start = start_of(trigger, to)
        stored, today = Done(to, outcome), opened(trigger, self.stored.ending, self.stored.start)
        if today == stored:
            return None
        return Parting(trigger, self.stored.start, opens=True, stored=stored, today=today)

    @property
    def kept(self) -> tuple[str | None, str | None]:
        """What the clock took it from: as it is stored, and as today's table has it."""
        return self.session.kept_state, self.stored.kept

    @property
    def carried(self) -> _Carried | None:
        """What the next session has to know of this one; None for what is stored."""
        left = self.left and self.session.close_reason != CloseReason.CLIENT_LEFT
        if self.session.superseded_by is None:
            return None
        if self.today.kept == self.session.kept_state and not left:
            return None
        return self.today.kept, left


def _start(session: sa.Row[Any], kept: str | None) -> str:
    if not session.resumed or kept is None or kept == State.CLOSED:
        return State.OPEN
    return kept


def _ending_before(session: sa.Row[Any], *, left: bool) -> Ending:
    """How the session before had ended when this one opened."""
    reason = session.previous_close_reason
    if session.ordinal == 1:
        return Ending.NONE
    if session.kept_before is not None or reason in _BY_THE_CLOCK:
        return Ending.EXPIRED
    return Ending.LEFT if left or reason == CloseReason.CLIENT_LEFT else Ending.DONE


class _Known(dict[tuple[str, str, str, str, bool], Parting | None]):
    """What was judged before: there are few kinds of rows, however many rows."""

    def __missing__(self, key: tuple[str, str, str, str, bool]) -> Parting | None:
        trigger, source, to, outcome, later = key
        stored = Done(to, outcome)
        today = judged(trigger, source, _WROTE_LATER if later else NO_GUARD)
        parting = Parting(trigger, source, opens=False, stored=stored, today=today)
        self[key] = None if today == stored else parting
        return self[key]


@define
class _Tally:
    """What was found so far."""

    limit: int
    sessions: int = 0
    rows: int = 0
    live: int = 0
    affected: int = 0
    partings: dict[Parting, list[int]] = field(factory=dict)
    kept: Counter[tuple[str | None, str | None]] = field(factory=Counter)
    chats: list[Chat] = field(factory=list)
    chats_affected: int = 0
    known: _Known = field(factory=_Known)
    carried: dict[int, _Carried] = field(factory=dict)
    """By the keys of chats whose next one is still to come: only where there is such to say."""

    def take(self, session: sa.Row[Any], rows: Iterable[sa.Row[Any]]) -> None:
        """A session."""
        replay = _Replay.of(session, self.known, self.carried.pop(session.key_before, None))
        for row in rows:
            replay.take(row)
        self.sessions += 1
        self.rows += replay.rows
        carried = replay.carried
        if carried is not None:
            self.carried[session.id] = carried
        live = session.state != State.CLOSED
        self.live += live
        for parting, count in replay.partings.items():
            cell = self.partings.setdefault(parting, [0, 0, 0])
            cell[0] += count
            cell[1] += 1
            cell[2] += live
        stored, today = replay.kept
        self.kept[stored, today] += stored != today
        departs = live and replay.today.state != session.state
        self.affected += bool(replay.partings) or stored != today or departs
        if departs:
            self._list(replay)

    def _list(self, replay: _Replay) -> None:
        self.chats_affected += 1
        if len(self.chats) < self.limit:
            said = replay.session
            self.chats.append(
                Chat(
                    session_id=said.session_id,
                    platform_id=said.platform_id,
                    user_id=said.user_id,
                    stored=said.state,
                    today=replay.today.state,
                    first=replay.departure,
                )
            )

    def result(self) -> Comparison:
        """The cells with most rows first."""
        cells = [Cell(parting, *counts) for parting, counts in self.partings.items()]
        kept = [Kept(*states, count) for states, count in self.kept.items() if count]
        return Comparison(
            sessions=self.sessions,
            rows=self.rows,
            live_sessions=self.live,
            affected=self.affected,
            cells=tuple(sorted(cells, key=lambda cell: (-cell.rows, str(cell.parting)))),
            kept=tuple(sorted(kept, key=lambda one: (-one.sessions, str(one)))),
            live=tuple(self.chats),
            live_affected=self.chats_affected,
        )
