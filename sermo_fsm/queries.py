"""Read-only questions about sessions and their history."""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from sermo_fsm.machine import State
from sermo_fsm.rows import HISTORY_COLUMNS, row_of, session_of
from sermo_fsm.schema import BODY, HISTORY, SESSION
from sermo_fsm.session import ChatSession, HistoryRow

__all__ = ["history", "session_by_id", "sessions", "status", "strays"]

_WITH_BODY: Final = (*HISTORY_COLUMNS, BODY.c.event, BODY.c.raw)
_STREAM: Final[Any] = {"yield_per": 500}
_JOINED: Final = HISTORY.outerjoin(SESSION).outerjoin(BODY)


def status(connection: sa.Connection, platform_id: str, user_id: str) -> ChatSession | None:
    """The live session of a user; the last one where none is live."""
    row = connection.execute(_LAST, {"platform_id": platform_id, "user_id": user_id}).first()
    return None if row is None else session_of(row)[1]


_LAST: Final = (
    sa.select(SESSION)
    .where(
        SESSION.c.platform_id == sa.bindparam("platform_id"),
        SESSION.c.user_id == sa.bindparam("user_id"),
    )
    .order_by(SESSION.c.ordinal.desc())
    .limit(1)
)


def session_by_id(connection: sa.Connection, session_id: str) -> ChatSession | None:
    """The session with this id."""
    row = connection.execute(_BY_ID, {"session_id": session_id}).first()
    return None if row is None else session_of(row)[1]


_BY_ID: Final = sa.select(SESSION).where(SESSION.c.session_id == sa.bindparam("session_id"))


def sessions(
    connection: sa.Connection,
    *,
    states: tuple[State, ...] = (),
    platform_id: str | None = None,
    user_id: str | None = None,
    limit: int | None = None,
) -> Iterator[ChatSession]:
    """Sessions, the newest first."""
    query = sa.select(SESSION).order_by(SESSION.c.id.desc()).limit(limit)
    if states:
        query = query.where(SESSION.c.state.in_(states))
        if State.CLOSED not in states:
            query = query.where(SESSION.c.live == 1)  # lets the partial index serve
    if platform_id is not None:
        query = query.where(SESSION.c.platform_id == platform_id)
    if user_id is not None:
        query = query.where(SESSION.c.user_id == user_id)
    return (session_of(row)[1] for row in connection.execute(query.execution_options(**_STREAM)))


def history(connection: sa.Connection, session_id: str) -> Iterator[HistoryRow]:
    """The rows of a session, in order."""
    query = (
        sa.select(*_WITH_BODY)
        .select_from(_JOINED)
        .where(SESSION.c.session_id == session_id)
        .order_by(HISTORY.c.seq)
    )
    rows = connection.execute(query.execution_options(**_STREAM))
    return map(row_of, rows.mappings())


def strays(connection: sa.Connection, *, limit: int | None = None) -> Iterator[HistoryRow]:
    """The rows without a session, the oldest first."""
    query = (
        sa.select(*_WITH_BODY)
        .select_from(_JOINED)
        .where(HISTORY.c.session_key.is_(None))
        .order_by(HISTORY.c.id)
        .limit(limit)
    )
    rows = connection.execute(query.execution_options(**_STREAM))
    return map(row_of, rows.mappings())
