"""Every row of many sessions, session by session, without what people wrote.

Read in pages, each a statement of its own that goes on behind the last item of the one before:
however much there is, one page is kept. For who wants all of it of one moment, and for who reads
on while others write.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from attrs import evolve, field, frozen

from sermo_fsm.queries import Filter, by_index
from sermo_fsm.rows import history_columns, row_of, session_of
from sermo_fsm.schema import Tables
from sermo_fsm.session import ChatSession, HistoryRow

__all__ = ["Stories", "Told"]

Told = tuple[ChatSession, HistoryRow]
"""A row, and whose it is."""

_SESSIONS: Final = 500
_ROWS: Final = 2000


@frozen
class Stories:
    """The rows of the sessions asked for, in the order in which sessions opened.

    Attributes:
        which: Of which sessions.
        behind: The session that all so far lie before; None at the beginning.
        ended: No session comes behind it.
        sessions: Those whose rows are being read, by their keys.
        seq: The last row that was read of the first of them.
    """

    tables: Tables
    which: Filter
    behind: ChatSession | None = None
    behind_key: int = 0
    ended: bool = False
    sessions: Mapping[int, ChatSession] = field(factory=dict)
    seq: int = 0

    def next(self, connection: sa.Connection) -> "tuple[list[Told], Stories | None]":
        """The next rows, and what comes after them; None where nothing does."""
        here = self if self.sessions else self._more_sessions(connection)
        if not here.sessions:
            return [], None
        first = min(here.sessions)
        given = {"keys": list(here.sessions), "first": first, "seq": here.seq, "most": _ROWS}
        rows = connection.execute(_rows(self.tables), given).all()
        told = [(here.sessions[row.session_key], row_of(row._mapping)) for row in rows]  # noqa: SLF001 - public in spite of its name
        if len(rows) == _ROWS:
            last = rows[-1]
            left = {key: one for key, one in here.sessions.items() if key >= last.session_key}
            return told, evolve(here, sessions=left, seq=last.seq)
        return told, None if here.ended else evolve(here, sessions={}, seq=0)

    def _more_sessions(self, connection: sa.Connection) -> "Stories":
        session = self.tables.session.c
        query = sa.select(self.tables.session).where(*self.which.conditions(session))
        query = by_index(query, self.tables.session, self.which.index(self.tables.session))
        if self.behind is not None:
            at = self.behind.opened_at
            later = sa.or_(session.opened_at > at, session.id > self.behind_key)
            query = query.where(session.opened_at >= at, later)
        query = query.order_by(session.opened_at, session.id).limit(_SESSIONS)
        found = dict(session_of(row) for row in connection.execute(query))
        key, last = next(reversed(found.items()), (0, None))
        ended = len(found) < _SESSIONS
        return evolve(self, sessions=found, seq=0, behind=last, behind_key=key, ended=ended)


@cache  # building a query takes longer than running it
def _rows(tables: Tables) -> sa.Select[Any]:
    history = tables.history.c
    first = sa.bindparam("first", type_=sa.BigInteger)
    return (
        sa.select(*history_columns(tables), history.session_key)
        .select_from(tables.history.join(tables.session))
        .where(
            history.session_key.in_(sa.bindparam("keys", expanding=True)),
            sa.or_(history.session_key > first, history.seq > sa.bindparam("seq")),
        )
        .order_by(history.session_key, history.seq)
        .limit(sa.bindparam("most"))
    )
