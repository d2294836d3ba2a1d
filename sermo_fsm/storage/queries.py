"""Questions about sessions and their history, each written once and called by both engines.

A function here checks its arguments and returns the question; nothing is read yet.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from functools import cache, partial
from typing import Any, Final, Self, TypedDict, Unpack

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State, StateName
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.arguments import (
    as_count,
    as_optional_moment,
    as_states,
    check_given_id,
    check_id,
    check_session_id,
    is_session_id,
)
from sermo_fsm.storage.backends import Statements, by_index, null_column
from sermo_fsm.storage.pages import Pages, Read
from sermo_fsm.storage.rows import history_columns, row_of, session_of
from sermo_fsm.storage.schema import Tables

__all__ = [
    "LIVE",
    "Filter",
    "SessionFilter",
    "counts",
    "history",
    "session_by_id",
    "sessions",
    "status",
    "strays",
    "with_bodies",
]

LIVE: Final[sa.ColumnElement[int]] = sa.literal_column("1", sa.SmallInteger)
"""What stands in ``live``. Not bound: PostgreSQL matches only a constant to a partial index."""

_NOBODY: Final = uuid.UUID(int=0)
"""The id of no session."""


def status(statements: Statements, platform_id: str, user_id: str) -> Read[ChatSession | None]:
    """The live session of a user, or else the last one."""
    check_given_id("platform_id", platform_id)
    check_given_id("user_id", user_id)

    def read(connection: sa.Connection) -> ChatSession | None:
        row = statements.last(connection, platform_id, user_id)
        return None if row is None else session_of(row)[1]

    return read


def session_by_id(tables: Tables, session_id: str) -> Read[ChatSession | None]:
    """The session with this id; None for any other text, too."""
    check_session_id(session_id)
    if not is_session_id(session_id):
        return lambda _: None

    def read(connection: sa.Connection) -> ChatSession | None:
        row = connection.execute(_by_id(tables), {"session_id": session_id}).first()
        return None if row is None else session_of(row)[1]

    return read


@cache  # building a query takes longer than running it
def _by_id(tables: Tables) -> sa.Select[Any]:
    return sa.select(tables.session).where(
        tables.session.c.session_id == sa.bindparam("session_id")
    )


def counts(tables: Tables) -> Read[dict[str, dict[State, int]]]:
    """How many live sessions are in each state, by platform."""
    return partial(_count, tables=tables)


def _count(connection: sa.Connection, tables: Tables) -> dict[str, dict[State, int]]:
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


class SessionFilter(TypedDict, total=False):
    """Which sessions are asked for; what is left out or None does not matter.

    Attributes:
        state: One state, or several.
        platform: Only sessions of this platform.
        user: Only sessions of this user.
        agent: Only sessions whose ``agent`` has this id.
        opened_from: Only sessions that opened then or later (aware).
        opened_before: Only sessions that opened earlier (aware).
        after: The id of a session: only what comes behind it in the list.
        limit: At most this many.
    """

    state: StateName | Iterable[StateName] | None
    platform: str | None
    user: str | None
    agent: str | None
    opened_from: datetime | None
    opened_before: datetime | None
    after: str | None
    limit: int | None


@frozen(kw_only=True)
class Filter:
    """Which sessions are asked for; what is None or empty does not matter."""

    states: tuple[State, ...] = ()
    platform_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    opened_from: datetime | None = None
    opened_before: datetime | None = None

    @classmethod
    def of(cls, **which: Unpack[SessionFilter]) -> Self:
        """The filter that a caller asks for, checked.

        Raises:
            InvalidArgument: It has another name, as in a typo, or an unusable value.
        """
        for name in which.keys() - SessionFilter.__annotations__.keys():
            wanted = f"one of {', '.join(SessionFilter.__annotations__)}"
            raise InvalidArgument(name, wanted=wanted, got="an unknown argument")
        platform, user, agent = which.get("platform"), which.get("user"), which.get("agent")
        for argument, value in (("platform", platform), ("user", user), ("agent", agent)):
            check_id(argument, value)
        return cls(
            states=as_states(which.get("state")),
            platform_id=platform,
            user_id=user,
            agent_id=agent,
            opened_from=as_optional_moment("opened_from", which.get("opened_from")),
            opened_before=as_optional_moment("opened_before", which.get("opened_before")),
        )

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
            leading = ("live", "state")
            if self.platform_id is not None:
                leading = ("live", "state", "platform_id")
        elif self.agent_id is not None:
            leading = ("agent_id",)
        elif self.platform_id is not None:
            leading = ("platform_id",)
        return "_".join(("ix", session.name, *leading, "opened_at", "id"))


def sessions(tables: Tables, **which: Unpack[SessionFilter]) -> Pages[ChatSession]:
    """Sessions, those that opened last first."""
    session, after = tables.session.c, which.get("after")
    if after is not None and not is_session_id(after):
        raise InvalidArgument("after", wanted="the id of a session", got=after)
    wanted = Filter.of(**which)

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

    query = sa.select(tables.session).where(*wanted.conditions(session))
    query = by_index(query, tables.session, wanted.index(tables.session))
    return Pages(
        query.order_by(session.opened_at.desc(), session.id.desc()),
        read=lambda row: session_of(row)[1],
        behind=behind,
        limit=as_count("limit", which.get("limit")),
        start=None if after is None else start,
    )


def history(
    tables: Tables, session_id: str, *, after: int | None = None, limit: int | None = None
) -> Pages[HistoryRow]:
    """The rows of a session, in order; *after* is the ``seq`` of one to go on behind."""
    session, history = tables.session.c, tables.history.c
    first = as_count("after", after) or 0
    check_session_id(session_id)
    if not is_session_id(session_id):
        session_id = str(_NOBODY)
    # By the key, not by the join: PostgreSQL would read all of a long session for every page.
    key = sa.select(session.id).where(session.session_id == session_id).scalar_subquery()
    return Pages(
        with_bodies(tables)
        .where(history.session_key == key)
        .order_by(history.session_key, history.seq),
        read=lambda row: row_of(row._mapping),  # noqa: SLF001 - public in spite of its name
        behind=lambda row: history.seq > row.seq,
        limit=as_count("limit", limit),
        # As wide as what may be asked for: the column is not.
        start=lambda _: history.seq > sa.literal(first, sa.BigInteger),
    )


def strays(
    tables: Tables, *, after: int | None = None, limit: int | None = None
) -> Pages[HistoryRow]:
    """The rows without a session, the oldest first; *after* is the ``id`` of one."""
    history, first = tables.history.c, as_count("after", after) or 0
    return Pages(
        with_bodies(tables)
        .where(history.session_key.is_(None))
        .order_by(null_column(history.session_key), history.id),
        read=lambda row: row_of(row._mapping),  # noqa: SLF001 - public in spite of its name
        behind=lambda row: history.id > row.id,
        limit=as_count("limit", limit),
        start=lambda _: history.id > first,
    )


@cache
def with_bodies(tables: Tables) -> sa.Select[Any]:
    """Rows of the history as :func:`~sermo_fsm.storage.rows.row_of` takes them, none left out."""
    joined = tables.history.outerjoin(tables.session).outerjoin(tables.body)
    return sa.select(*history_columns(tables), tables.body.c.event, tables.body.c.raw).select_from(
        joined
    )
