"""Who must be neither erased nor aged out."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from sermo_fsm.core.erasure import Hold
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.storage.column_types import plain
from sermo_fsm.storage.erasing import hidden, names, unseen
from sermo_fsm.storage.schema import Tables

__all__ = ["add_hold", "end_hold", "held_among", "held_in", "hold_of", "holds"]


def holds(connection: sa.Connection, tables: Tables) -> list[Hold]:
    """Everybody who is held back, the longest first."""
    hold = tables.hold
    columns = (hold.c.platform_id, hidden(hold.c.user_id), hold.c.since)
    query = sa.select(*columns, hold.c.reason, hold.c.held_by)
    query = query.order_by(hold.c.since, hold.c.platform_id, hold.c.user_id)
    return [
        Hold(platform_id=platform, user_id=str(plain(user)), since=since, reason=reason, by=by)
        for platform, user, since, reason, by in connection.execute(query)
    ]


def hold_of(connection: sa.Connection, tables: Tables, user: UserKey) -> Hold | None:
    """The hold on this user; locked, so that nobody changes it meanwhile."""
    hold = tables.hold.c
    query = sa.select(hold.since, hold.reason, hold.held_by).where(_of(tables, user))
    found = connection.execute(query.with_for_update()).first()
    if found is None:
        return None
    since, reason, by = found
    return Hold(platform_id=user[0], user_id=user[1], since=since, reason=reason, by=by)


def add_hold(connection: sa.Connection, tables: Tables, hold: Hold) -> None:
    """Write a hold on somebody who is not held yet."""
    connection.execute(
        sa.insert(tables.hold).values(
            platform_id=hold.platform_id,
            user_id=unseen(hold.user_id),
            since=hold.since,
            reason=hold.reason,
            held_by=hold.by,
        )
    )


def end_hold(connection: sa.Connection, tables: Tables, user: UserKey) -> None:
    """Delete the hold on this user."""
    connection.execute(sa.delete(tables.hold).where(_of(tables, user)))


def _of(tables: Tables, user: UserKey) -> sa.ColumnElement[bool]:
    hold = tables.hold.c
    return sa.and_(hold.platform_id == user[0], hold.user_id == unseen(user[1]))


def held_in(row: Any, text: str, holds: Iterable[Hold]) -> set[UserKey]:
    """Those of *holds* whom a stray is about, by its columns or else by its text."""
    keys = [(hold.platform_id, hold.user_id) for hold in holds]
    if row.user is None:
        return {key for key in keys if names(text, key)}
    return {key for key in keys if key[1] == row.user and row.platform in (None, key[0])}


def held_among(
    connection: sa.Connection, tables: Tables, users: Collection[UserKey]
) -> set[UserKey]:
    """Those of *users* who are held back."""
    hold = tables.hold.c
    every = connection.execute(sa.select(hold.platform_id, hidden(hold.user_id)))
    return {(platform, str(plain(user))) for platform, user in every} & {*users}
