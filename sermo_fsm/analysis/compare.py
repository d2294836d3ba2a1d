"""Is every stored row possible under today's table? Reads everything, changes nothing.

Each row is judged by itself: from the state that it says, its trigger has to lead where it says,
with the outcome that it says, by ``TABLE``. What opened a chat had to open one by ``RULES``, and
what was late or stray must not. The guard is known, because every text of a customer has a row.
Beside that each chat is replayed from its beginning, to see where it would be today.

Only the tables are judged, never a time: how long the deadlines were then, nobody knows. Rows of a
closed chat say that it stays closed. Of a chat that the clock closed they go on moving the state
that it was taken from; that is stored with the chat alone, so it is replayed and held against it.

Quiet events left no row, a rule that goes by time is taken to say of an event what it said then,
and what was read out of order, across an opening, to belong where it did. Where a chat would end or
begin at another event than it did, which chat the next ones belong to is a question of times: where
such a chat is live it is said that it can't be told, and so of all that come after it of this user.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field

from sermo_fsm.analysis.chat_replay import SAID, Carried, Known, Retrace
from sermo_fsm.analysis.comparison import Cell, Chat, Comparison, Doubt, Kept, Parting
from sermo_fsm.analysis.full_scan import Progress, Scan, by_key
from sermo_fsm.analysis.table_replay import Done, opened
from sermo_fsm.core.machine import State
from sermo_fsm.core.ownership import Ending
from sermo_fsm.storage.arguments import as_count
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables

__all__ = ["compare"]


def compare(tables: Tables, *, limit: int, progress: Progress | None = None) -> Read[Comparison]:
    """Hold all that is stored against the table; list at most *limit* live chats."""
    most = as_count("limit", limit) or 0
    return partial(_compare, tables=tables, limit=most, progress=progress)


def _compare(
    connection: sa.Connection, tables: Tables, limit: int, progress: Progress | None
) -> Comparison:
    tally = _Tally(limit)
    with connection.execute(_strays(tables)) as strays:
        for stray in strays:
            tally.take_stray(*stray)
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
        *(session.c[name] for name in SAID),
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


def _strays(tables: Tables) -> sa.Select[Any]:
    """Those that were an event: what is invalid is none."""
    history = tables.history.c
    return (
        sa.select(history.trigger_name, history.outcome, history.platform_id, history.user_id)
        .where(history.session_key.is_(None), history.trigger_name.is_not(None))
        .execution_options(yield_per=_STRAYS)
    )


_STRAYS: Final = 2000  # from the database at once


@define
class _Tally:
    """What was found so far."""

    limit: int
    sessions: int = 0
    rows: int = 0
    strays: int = 0
    live: int = 0
    affected: int = 0
    partings: dict[Parting, list[int]] = field(factory=dict)
    kept: Counter[tuple[str | None, str | None]] = field(factory=Counter)
    chats: list[Chat] = field(factory=list)
    chats_affected: int = 0
    doubts: list[Doubt] = field(factory=list)
    chats_unsure: int = 0
    known: Known = field(factory=Known)
    carried: dict[int, Carried] = field(factory=dict)
    """By the keys of chats whose next one is still to come: only where there is such to say."""
    opened: set[tuple[str, str]] = field(factory=set)
    """The users of whom a stray would have opened a chat, by platform."""

    def take_stray(self, trigger: str, outcome: str, platform_id: str, user_id: str) -> None:
        """A row without a session."""
        self.strays += 1
        stored, today = Done(None, outcome), opened(trigger, Ending.NONE, State.OPEN)
        if today != stored:
            parting = Parting(trigger, State.OPEN, opens=True, stored=stored, today=today)
            self.partings.setdefault(parting, [0, 0, 0])[0] += 1
            self.opened.add((platform_id, user_id))

    def take(self, session: sa.Row[Any], rows: Iterable[sa.Row[Any]]) -> None:
        """A session."""
        carried = self.carried.pop(session.key_before, None)
        if session.ordinal == 1 and (session.platform_id, session.user_id) in self.opened:
            carried = Carried(None, apart=True)
        retrace = Retrace.of(session, self.known, carried)
        for row in rows:
            retrace.take(row)
        retrace.end()
        self.sessions += 1
        self.rows += retrace.rows
        if retrace.carried is not None:
            self.carried[session.id] = retrace.carried
        self._count(retrace, live=session.state != State.CLOSED)

    def _count(self, retrace: Retrace, *, live: bool) -> None:
        self.live += live
        for parting, count in retrace.partings.items():
            cell = self.partings.setdefault(parting, [0, 0, 0])
            cell[0] += count
            cell[1] += 1
            cell[2] += live
        stored, today = retrace.kept
        self.kept[stored, today] += stored != today
        unsure = live and retrace.unsure is not None
        departs = retrace.departs or retrace.departure is not None
        self.affected += bool(retrace.partings or stored != today or departs or unsure)
        if unsure or retrace.departs:
            self._name(retrace)

    def _name(self, retrace: Retrace) -> None:
        whose, first, why = retrace.whose, retrace.departure, retrace.unsure
        if why is None:
            self.chats_affected += 1
            if len(self.chats) < self.limit:
                self.chats.append(Chat(*whose, today=retrace.today.state, first=first))
        else:
            self.chats_unsure += 1
            if len(self.doubts) < self.limit:
                self.doubts.append(Doubt(*whose, why=why, first=first))

    def result(self) -> Comparison:
        """The cells with most rows first."""
        cells = [Cell(parting, *counts) for parting, counts in self.partings.items()]
        kept = [Kept(*states, count) for states, count in self.kept.items() if count]
        return Comparison(
            sessions=self.sessions,
            rows=self.rows,
            strays=self.strays,
            live_sessions=self.live,
            affected=self.affected,
            cells=tuple(sorted(cells, key=lambda cell: (-cell.rows, str(cell.parting)))),
            kept=tuple(sorted(kept, key=lambda one: (-one.sessions, str(one)))),
            live=tuple(self.chats),
            live_affected=self.chats_affected,
            unsure=tuple(self.doubts),
            live_unsure=self.chats_unsure,
        )
