"""What is older than it is to be kept: found portion by portion, each by an index.

Bodies are found in the order of their keys. What was erased is not there any more, so a walk over
them takes as long as what is kept, however much there once was. Nothing here writes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen

from sermo_fsm.protocol.message import UserKey
from sermo_fsm.storage.backends import by_index, null_column
from sermo_fsm.storage.column_types import PrivateText, plain
from sermo_fsm.storage.erasing import ANONYMOUS, said
from sermo_fsm.storage.schema import Tables

__all__ = [
    "Cutoffs",
    "Opening",
    "first_body",
    "old_bodies",
    "old_people",
    "old_pictures",
    "old_strays",
    "texts_of",
]

Opening = tuple[datetime, int]
"""A place in the list of all sessions in the order of their opening: when, and the key."""


@frozen
class Cutoffs:
    """Up to which time what has ended is too old, on each platform.

    Attributes:
        everywhere: On all platforms but those below; None for never.
        on: On these platforms.
        nowhere: For what has no platform, if that is later than everywhere.
    """

    everywhere: datetime | None = None
    on: Mapping[str, datetime | None] = field(factory=dict)
    nowhere: datetime | None = None

    @property
    def latest(self) -> datetime | None:
        """What is younger than this is kept on every platform; None if everything is."""
        return max(filter(None, (self.everywhere, self.nowhere, *self.on.values())), default=None)

    def reached(self, platform: str | None, ended: datetime | None) -> bool:
        """Whether what has *ended* then on this platform is too old."""
        cutoff = self.on.get(platform, self.everywhere) if platform else self.everywhere
        return cutoff is not None and ended is not None and ended < cutoff

    def condition(
        self, platform: sa.ColumnElement[Any], ended: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[bool]:
        """The same as SQL."""
        wanted = [
            sa.and_(platform == name, ended < cutoff)
            for name, cutoff in self.on.items()
            if cutoff is not None
        ]
        if self.everywhere is not None:
            others = sa.or_(platform.is_(None), platform.not_in([*self.on]))
            wanted.append(sa.and_(others, ended < self.everywhere))
        if self.nowhere is not None:
            wanted.append(sa.and_(platform.is_(None), ended < self.nowhere))
        return sa.or_(sa.false(), *wanted)


def first_body(connection: sa.Connection, tables: Tables, after: int) -> int | None:
    """The key of the first body behind *after*; None if there is none."""
    key = tables.body.c.history_id
    return connection.execute(sa.select(sa.func.min(key)).where(key > after)).scalar()


def _user(row: Any) -> UserKey:
    return row.platform, str(plain(row.user))


def _as_user(user: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(user, PrivateText).label("user")  # shown by no log


def old_bodies(
    connection: sa.Connection, tables: Tables, cutoffs: Cutoffs, first: int, last: int
) -> list[tuple[int, UserKey]]:
    """The closed sessions that have old bodies from *first* to *last*, with their users."""
    session, body = tables.session, tables.body
    query = (
        sa.select(session.c.id, session.c.platform_id.label("platform"))
        .add_columns(_as_user(session.c.user_id))
        .distinct()
        .select_from(body.join(tables.history).join(session))
        .where(
            body.c.history_id.between(first, last),
            cutoffs.condition(session.c.platform_id, session.c.closed_at),
        )
    )
    return [(row.id, _user(row)) for row in connection.execute(query)]


def old_pictures(
    connection: sa.Connection, tables: Tables, cutoffs: Cutoffs, first: int, last: int
) -> list[tuple[int, UserKey | None]]:
    """The bodies from *first* to *last* that have an old picture, with their users.

    The picture of a stray counts from when it was received.
    """
    session, history, body = tables.session, tables.history, tables.body
    platform = sa.func.coalesce(session.c.platform_id, history.c.platform_id)
    ended = sa.case(
        (history.c.session_key.is_(None), history.c.effective_at), else_=session.c.closed_at
    )
    query = (
        sa.select(body.c.history_id, platform.label("platform"))
        .add_columns(_as_user(sa.func.coalesce(session.c.user_id, history.c.user_id)))
        .select_from(body.join(tables.history).outerjoin(session))
        .where(
            body.c.history_id.between(first, last),
            body.c.image_sha256.is_not(None),
            cutoffs.condition(platform, ended),
        )
    )
    return [
        (row.history_id, None if row.user is None or row.platform is None else _user(row))
        for row in connection.execute(query)
    ]


_PEOPLE: Final = 25


def old_people(
    connection: sa.Connection, tables: Tables, cutoffs: Cutoffs, after: Opening | None
) -> tuple[list[UserKey], Opening | None]:
    """Some users whose last session is old, and where to go on behind them; None at the end."""
    session = tables.session
    later = session.alias("later")
    is_last = ~sa.exists().where(
        later.c.platform_id == session.c.platform_id,
        later.c.user_id == session.c.user_id,
        later.c.ordinal > session.c.ordinal,
    )
    query: sa.Select[Any] = sa.select(session.c.id, session.c.opened_at)
    query = query.add_columns(session.c.platform_id.label("platform"))
    query = by_index(query, session, f"ix_{session.name}_opened_at_id").where(
        session.c.opened_at < cutoffs.latest,
        cutoffs.condition(session.c.platform_id, session.c.closed_at),
        session.c.user_id.not_like(ANONYMOUS),
        is_last,
    )
    if after is not None:
        opened_at, key = after  # not (a, b) > (x, y): MySQL would not use its index for that
        query = query.where(
            session.c.opened_at >= opened_at,
            sa.or_(session.c.opened_at > opened_at, session.c.id > key),
        )
    query = query.add_columns(_as_user(session.c.user_id))
    ordered = query.order_by(session.c.opened_at, session.c.id).limit(_PEOPLE)
    rows = connection.execute(ordered).all()
    end = (rows[-1].opened_at, rows[-1].id) if len(rows) == _PEOPLE else None
    return [_user(row) for row in rows], end


_STRAYS: Final = 500


def old_strays(
    connection: sa.Connection, tables: Tables, cutoffs: Cutoffs, after: int
) -> tuple[list[Any], int | None]:
    """Some old rows without a session, and the key to go on behind; None at the end.

    Each has ``id``, ``platform``, ``user``, and ``history_id`` and ``image_sha256`` of its body.
    """
    history, body = tables.history.c, tables.body.c
    query = (
        sa.select(history.id, history.platform_id.label("platform"), _as_user(history.user_id))
        .add_columns(body.history_id, body.image_sha256)
        .select_from(tables.history.outerjoin(tables.body))
        .where(
            history.session_key.is_(None),
            history.id > after,
            history.reason.is_not(None),  # else it was erased before
            cutoffs.condition(history.platform_id, history.effective_at),
        )
        .order_by(null_column(history.session_key), history.id)
        .limit(_STRAYS)
    )
    rows = connection.execute(query).all()
    return list(rows), rows[-1].id if len(rows) == _STRAYS else None


def texts_of(connection: sa.Connection, tables: Tables, keys: list[int]) -> dict[int, str]:
    """What these bodies say, by their keys."""
    body = tables.body.c
    query = sa.select(body.history_id, body.event, body.raw).where(body.history_id.in_(keys))
    return {row.history_id: said(row) for row in connection.execute(query)}
