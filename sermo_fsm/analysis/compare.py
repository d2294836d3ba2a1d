"""Compare the stored history with today's table. Reads everything, changes nothing.

Each row is judged by itself. From its stored state, its trigger has to lead to the stored target
with the stored outcome, by ``TABLE``. A row that opened a chat has to open one by ``RULES``, and
a late or stray one must not. The guard is known, because every text of a customer has a row, in
this chat or in the one that it resumed. In addition, each chat is replayed from its beginning, to
find the state that it would be in today.

What a comparison cannot see:

- Only the tables are judged, never a time: the durations that were in force then are not stored. A
  rule that depends on a time is taken to decide as it did then, and an event that was read out of
  order across an opening is taken to belong to the chat that it belonged to then.
- Quiet events left no row.
- The rows of a chat that the clock closed say only that it stays closed. They also move its kept
  state, which is stored in the session alone, so the kept state is replayed and compared.
- If a chat would end or begin at another event than it did, its next events may belong to another
  chat. A live chat is then reported as undecided, and so are the user's later ones.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field

from sermo_fsm.analysis.chat_replay import (
    SESSION_COLUMNS,
    Carryover,
    ChatReplay,
    DifferenceCache,
)
from sermo_fsm.analysis.comparison import (
    CellDifference,
    Comparison,
    CountedDifference,
    DivergingChat,
    KeptStateDifference,
    UndecidedChat,
)
from sermo_fsm.analysis.full_scan import Scan, ScanProgress, scan_all, with_neighbours
from sermo_fsm.analysis.table_replay import TransitionResult, replay_opening
from sermo_fsm.core.machine import State
from sermo_fsm.core.ownership import Ending
from sermo_fsm.storage.arguments import as_count
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.transactions import streamed

__all__ = ["compare"]


def compare(
    tables: Tables, *, limit: int, progress: ScanProgress | None = None
) -> Read[Comparison]:
    """Compare everything stored with the table; list at most *limit* live chats of each kind."""
    most = as_count("limit", limit) or 0
    return partial(_compare, tables=tables, limit=most, progress=progress)


def _compare(
    connection: sa.Connection, tables: Tables, limit: int, progress: ScanProgress | None
) -> Comparison:
    tally = _ComparisonTally(limit)
    with streamed(connection, _strays(tables)) as strays:
        for stray in strays:
            tally.add_stray(*stray)
    with _scan(tables).read(connection, progress) as sessions:
        for session, rows in sessions:
            tally.add_session(session, rows)
    return tally.result()


def _scan(tables: Tables) -> Scan:
    """Scan sessions by key: a user's earlier sessions come first, as they were written first."""
    session, history = tables.session, tables.history.c
    joined, before, opening = with_neighbours(tables)
    query = sa.select(
        *(session.c[name] for name in SESSION_COLUMNS),
        before.c.id.label("key_before"),
        before.c.kept_state.label("kept_before"),
        before.c.customer_text_at.label("wrote_before"),
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
    return scan_all(tables, query.select_from(joined), columns)


def _strays(tables: Tables) -> sa.Select[Any]:
    """Select the strays with a trigger; invalid ones have none."""
    history = tables.history.c
    return (
        sa.select(history.trigger_name, history.outcome, history.platform_id, history.user_id)
        .where(history.session_key.is_(None), history.trigger_name.is_not(None))
        .execution_options(yield_per=_STRAYS_PER_FETCH)
    )


_STRAYS_PER_FETCH: Final = 2000


@define
class _ComparisonTally:
    """The counts and differences so far.

    Attributes:
        limit: How many live chats of each kind to list.
        differences: The numbers of rows, sessions and live sessions, by difference.
        kept: The number of sessions by stored kept state and today's, where the two differ.
        carryovers: What the user's next session has to know, by the key of the one before.
        opened_by_stray: The users for whom a stray would have opened a chat, by platform and user.
    """

    limit: int
    sessions: int = 0
    rows: int = 0
    strays: int = 0
    live: int = 0
    affected: int = 0
    differences: dict[CellDifference, list[int]] = field(factory=dict)
    kept: Counter[tuple[str | None, str | None]] = field(factory=Counter)
    diverging: list[DivergingChat] = field(factory=list)
    diverging_count: int = 0
    undecided: list[UndecidedChat] = field(factory=list)
    undecided_count: int = 0
    cache: DifferenceCache = field(factory=DifferenceCache)
    carryovers: dict[int, Carryover] = field(factory=dict)
    opened_by_stray: set[tuple[str, str]] = field(factory=set)

    def add_stray(self, trigger: str, outcome: str, platform_id: str, user_id: str) -> None:
        """Compare a row without a session."""
        self.strays += 1
        stored = TransitionResult(None, outcome)
        today = replay_opening(trigger, Ending.NONE, State.OPEN)
        if today != stored:
            key = CellDifference(trigger, State.OPEN, opens=True, stored=stored, today=today)
            self.differences.setdefault(key, [0, 0, 0])[0] += 1
            self.opened_by_stray.add((platform_id, user_id))

    def add_session(self, session: sa.Row[Any], rows: Iterable[sa.Row[Any]]) -> None:
        """Replay and compare a session."""
        carried = self.carryovers.pop(session.key_before, None)
        user = session.platform_id, session.user_id
        if session.ordinal == 1 and user in self.opened_by_stray:
            carried = Carryover(None, out_of_step=True)
        replay = ChatReplay.of(session, self.cache, carried)
        for row in rows:
            replay.add_row(row)
        replay.finish()
        self.sessions += 1
        self.rows += replay.rows
        carryover = replay.carryover
        if carryover is not None:
            self.carryovers[session.id] = carryover
        self._count(replay, live=session.state != State.CLOSED)

    def _count(self, replay: ChatReplay, *, live: bool) -> None:
        self.live += live
        for difference, count in replay.differences.items():
            counts = self.differences.setdefault(difference, [0, 0, 0])
            counts[0] += count
            counts[1] += 1
            counts[2] += live
        stored, today = replay.kept
        self.kept[stored, today] += stored != today
        undecided = live and replay.undecided is not None
        diverges = replay.diverges or replay.divergence is not None
        self.affected += bool(replay.differences or stored != today or diverges or undecided)
        if undecided or replay.diverges:
            self._list(replay)

    def _list(self, replay: ChatReplay) -> None:
        identity, first, why = replay.identity, replay.divergence, replay.undecided
        if why is None:
            self.diverging_count += 1
            if len(self.diverging) < self.limit:
                chat = DivergingChat(*identity, today=replay.today.state, first=first)
                self.diverging.append(chat)
        else:
            self.undecided_count += 1
            if len(self.undecided) < self.limit:
                self.undecided.append(UndecidedChat(*identity, why=why, first=first))

    def result(self) -> Comparison:
        """The comparison, with the most frequent differences first."""
        cells = [CountedDifference(key, *counts) for key, counts in self.differences.items()]
        kept = [KeptStateDifference(*states, count) for states, count in self.kept.items() if count]
        return Comparison(
            sessions=self.sessions,
            rows=self.rows,
            strays=self.strays,
            live_sessions=self.live,
            affected=self.affected,
            cells=tuple(sorted(cells, key=lambda cell: (-cell.rows, str(cell.difference)))),
            kept=tuple(sorted(kept, key=lambda one: (-one.sessions, str(one)))),
            live=tuple(self.diverging),
            live_affected=self.diverging_count,
            unsure=tuple(self.undecided),
            live_unsure=self.undecided_count,
        )
