"""Read-only questions about sessions and their history.

A list is read in pages, each a statement of its own that goes on behind the last item of the one
before (keyset): the millionth page is as fast as the first, and no connection is held in between.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa
from attrs import evolve, frozen
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.rows import history_columns, row_of, session_of
from sermo_fsm.storage.schema import Tables

__all__ = [
    "LIVE",
    "Filter",
    "Pages",
    "by_index",
    "counts",
    "history",
    "session_by_id",
    "sessions",
    "status",
    "strays",
]

LIVE: Final[sa.ColumnElement[int]] = sa.literal_column("1", sa.SmallInteger)
"""What stands in ``live``. Not bound: PostgreSQL matches only a constant to a partial index."""

_PAGE: Final = 500
_T = TypeVar("_T")


def status(
    connection: sa.Connection, tables: Tables, platform_id: str, user_id: str
) -> ChatSession | None:
    """The live session of a user; the last one where none is live."""
    user = {"platform_id": platform_id, "user_id": user_id}
    row = connection.execute(_last(tables), user).first()
    return None if row is None else session_of(row)[1]


@cache  # building a query takes longer than running it
def _last(tables: Tables) -> sa.Select[Any]:
    session = tables.session
    query = sa.select(session).where(
        session.c.platform_id == sa.bindparam("platform_id"),
        session.c.user_id == sa.bindparam("user_id"),
    )
    query = by_index(query, session, f"uq_{session.name}_platform_id_user_id_ordinal")
    return query.order_by(session.c.ordinal.desc()).limit(1)


def by_index(query: sa.Select[Any], table: sa.Table, index: str) -> sa.Select[Any]:
    """*query* by *index*: MariaDB would take one that does not bring the order along."""
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(table, f"FORCE INDEX ({index})", dialect)
    return query


def session_by_id(connection: sa.Connection, tables: Tables, session_id: str) -> ChatSession | None:
    """The session with this id."""
    row = connection.execute(_by_id(tables), {"session_id": session_id}).first()
    return None if row is None else session_of(row)[1]


@cache
def _by_id(tables: Tables) -> sa.Select[Any]:
    return sa.select(tables.session).where(
        tables.session.c.session_id == sa.bindparam("session_id")
    )


def counts(connection: sa.Connection, tables: Tables) -> dict[str, dict[State, int]]:
    """How many live sessions are in each state, by platform."""
    found = {
        (platform_id, State(state)): count
        for platform_id, state, count in connection.execute(_counts(tables))
    }
    # Sorted here: every database has its own order of words.
    platforms = sorted({platform_id for platform_id, _ in found})
    return {
        platform_id: {
            state: found[platform_id, state] for state in State if (platform_id, state) in found
        }
        for platform_id in platforms
    }


@cache
def _counts(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    return (
        sa.select(session.platform_id, session.state, sa.func.count())
        .where(session.live == LIVE)
        .group_by(session.state, session.platform_id)
    )


@frozen
class Pages(Generic[_T]):
    """A list, read page by page.

    Attributes:
        query: All of it, in order, without a limit.
        read: A row as an item.
        behind: What of the query lies behind a row.
        limit: How many items are wanted; None for all.
        start: Where to begin, where that is not at the top.
    """

    query: sa.Select[Any]
    read: Callable[[sa.Row[Any]], _T]
    behind: Callable[[Any], sa.ColumnElement[bool]]
    limit: int | None = None
    start: Callable[[sa.Connection], sa.ColumnElement[bool]] | None = None

    def next(self, connection: sa.Connection) -> "tuple[list[_T], Pages[_T] | None]":
        """The next items, and what comes after them; None where nothing does."""
        size = _PAGE if self.limit is None else min(_PAGE, self.limit)
        query = self.query if self.start is None else self.query.where(self.start(connection))
        rows = connection.execute(query.limit(size)).all()
        items = [self.read(row) for row in rows]
        left = None if self.limit is None else self.limit - len(rows)
        if len(rows) < size or left == 0:
            return items, None
        last = self.behind(rows[-1])
        return items, evolve(self, start=lambda _: last, limit=left)


@frozen(kw_only=True)
class Filter:
    """Which sessions are asked for; what is None or empty does not matter."""

    states: tuple[State, ...] = ()
    platform_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    opened_from: datetime | None = None
    opened_before: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether only live sessions are asked for."""
        return bool(self.states) and State.CLOSED not in self.states

    def conditions(self, session: sa.ColumnCollection[str, Any]) -> list[sa.ColumnElement[bool]]:
        """The same as SQL."""
        wanted = [
            session[name] == value
            for name in ("platform_id", "user_id", "agent_id")
            if (value := getattr(self, name)) is not None
        ]
        if self.states:
            wanted.append(session.state.in_(self.states))
        if self.live:
            wanted.append(session.live == LIVE)  # lets the index of the live ones serve
        if self.opened_from is not None:
            wanted.append(session.opened_at >= self.opened_from)
        if self.opened_before is not None:
            wanted.append(session.opened_at < self.opened_before)
        return wanted

    def index(self, session: sa.Table) -> str:
        """The index that finds them: few, or in order."""
        leading: tuple[str, ...] = ()
        if self.user_id is not None:
            leading = ("user_id",)
        elif self.live:
            leading = ("live", "state", "platform_id")
        elif self.agent_id is not None:
            leading = ("agent_id",)
        elif self.platform_id is not None:
            leading = ("platform_id",)
        return "_".join(("ix", session.name, *leading, "opened_at", "id"))


def sessions(
    tables: Tables, which: Filter, *, after: str | None = None, limit: int | None = None
) -> Pages[ChatSession]:
    """Sessions, those that opened last first; *after* is the id of one to go on behind."""
    session = tables.session.c

    def behind(row: Any) -> sa.ColumnElement[bool]:
        # Not (a, b) < (x, y): for that MySQL would not use its index.
        return sa.and_(
            session.opened_at <= row.opened_at,
            sa.or_(session.opened_at < row.opened_at, session.id < row.id),
        )

    def start(connection: sa.Connection) -> sa.ColumnElement[bool]:
        row = connection.execute(_by_id(tables), {"session_id": after}).first()
        if row is None:
            raise InvalidArgument("after", wanted="the id of a session", got=after)
        return behind(row)

    query = sa.select(tables.session).where(*which.conditions(session))
    query = by_index(query, tables.session, which.index(tables.session))
    return Pages(
        query.order_by(session.opened_at.desc(), session.id.desc()),
        read=lambda row: session_of(row)[1],
        behind=behind,
        limit=limit,
        start=None if after is None else start,
    )


def history(
    tables: Tables, session_id: str, *, after: int | None = None, limit: int | None = None
) -> Pages[HistoryRow]:
    """The rows of a session, in order; *after* is the ``seq`` of one to go on behind."""
    session, history = tables.session.c, tables.history.c
    # By the key, not by the join: PostgreSQL would read all of a long session for every page.
    key = sa.select(session.id).where(session.session_id == session_id).scalar_subquery()
    return Pages(
        _rows(tables).where(history.session_key == key).order_by(history.session_key, history.seq),
        read=lambda row: row_of(row._mapping),  # noqa: SLF001 - public in spite of its name
        behind=lambda row: history.seq > row.seq,
        limit=limit,
        # As wide as what may be asked for: the column is not.
        start=lambda _: history.seq > sa.literal(after or 0, sa.BigInteger),
    )


def strays(
    tables: Tables, *, after: int | None = None, limit: int | None = None
) -> Pages[HistoryRow]:
    """The rows without a session, the oldest first; *after* is the ``id`` of one."""
    history = tables.history.c
    return Pages(
        _rows(tables)
        .where(history.session_key.is_(None))
        .order_by(_Nothing(history.session_key), history.id),
        read=lambda row: row_of(row._mapping),  # noqa: SLF001 - public in spite of its name
        behind=lambda row: history.id > row.id,
        limit=limit,
        start=lambda _: history.id > (after or 0),
    )


class _Nothing(FunctionElement[Any]):
    """A column that is NULL in all that is asked for, to name an index by in the order.

    PostgreSQL takes the index of strays only where the order has all of its columns; MariaDB only
    where it has no more than the last.
    """

    inherit_cache = True


@compiles(_Nothing)
def _column(element: _Nothing, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Nothing, "mysql", "mariadb")
def _null(_element: _Nothing, _compiler: SQLCompiler, **_options: Any) -> str:
    return "NULL"


@cache
def _rows(tables: Tables) -> sa.Select[Any]:
    joined = tables.history.outerjoin(tables.session).outerjoin(tables.body)
    return sa.select(*history_columns(tables), tables.body.c.event, tables.body.c.raw).select_from(
        joined
    )
