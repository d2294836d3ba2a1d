"""Load, lock and write, on a connection whose transaction somebody else began and will end.

What databases do differently is in :mod:`sermo_fsm.storage.backends`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.core.advance import NO_VISITS, Visits
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.message import MessageKey, UserKey
from sermo_fsm.protocol.stored_form import Image
from sermo_fsm.storage.backends import Statements, backend_named
from sermo_fsm.storage.rows import (
    PRESENCE,
    SessionKey,
    body_values,
    history_columns,
    history_values,
    identity_values,
    image_values,
    presence_values,
    row_of,
    session_key_of,
    session_of,
    session_values,
)
from sermo_fsm.storage.schema import Tables, tables

__all__ = ["Keys", "Pending", "PendingRow", "Store"]

Keys = dict[SessionKey, int]
"""The sessions that have a row in the database, with the ``id`` of that row."""


@frozen
class PendingRow:
    """A row of the history that is to be written, with what is stored beside it."""

    row: HistoryRow
    image: Image | None
    fingerprint: bytes | None


@define
class Pending:
    """What a transaction has decided and not yet written."""

    sessions: dict[SessionKey, ChatSession] = field(factory=dict)
    seen: dict[SessionKey, ChatSession] = field(factory=dict)
    """Sessions of which only the presence changed: most of the traffic, and a quarter of a row."""
    rows: list[PendingRow] = field(factory=list)

    def keep(self, session: ChatSession, *, only_seen: bool = False) -> None:
        """Write *session* as it is now; *only_seen* says that a quiet event changed it."""
        key = session.platform_id, session.user_id, session.ordinal
        if only_seen and key not in self.sessions:
            self.seen[key] = session
        else:
            self.sessions[key] = session
            self.seen.pop(key, None)

    def add(
        self, row: HistoryRow, image: Image | None = None, fingerprint: bytes | None = None
    ) -> None:
        """Write *row*, after those that were added before."""
        self.rows.append(PendingRow(row, image, fingerprint))


_IDENTITY: Final = ("id", "session_id", "platform_id", "user_id", "ordinal")
_CHANGING: Final = tuple(
    column.name for column in tables().session.c if column.name not in _IDENTITY
)


@frozen
class Store:
    """Our tables on one kind of database."""

    tables: Tables
    sql: Statements

    @classmethod
    def on(cls, dialect: sa.Dialect, schema: str | None = None) -> Self:
        """The store of this database.

        Raises:
            InvalidArgument: The database is not supported, or can't have this schema.
        """
        backend = backend_named(dialect.name)
        backend.check_schema_name(schema)
        ours = tables(schema)
        return cls(ours, backend.statements(ours, dialect))

    # --- reading ---------------------------------------------------------------------------------

    def find_messages(
        self, connection: sa.Connection, keys: Iterable[MessageKey]
    ) -> dict[MessageKey, tuple[HistoryRow, bytes]]:
        """The rows that were written for these message ids, without their bodies."""
        found: dict[MessageKey, tuple[HistoryRow, bytes]] = {}
        by_direction: dict[Direction, list[str]] = {}
        for direction, message_id in keys:
            by_direction.setdefault(direction, []).append(message_id)
        for direction, ids in by_direction.items():
            query = self.sql.cached("find", direction, partial(self._on_queue, direction))
            for row in self.sql.messages(connection, query, ids):
                found[direction, row["message_id"]] = row_of(row), row["fingerprint"]
        return found

    def _on_queue(self, direction: Direction) -> sa.Select[Any]:
        history = self.tables.history
        return (
            sa.select(*history_columns(self.tables), history.c.fingerprint)
            .select_from(history.outerjoin(self.tables.session))
            .where(history.c.direction == direction.value)
        )

    def lock_visits(
        self, connection: sa.Connection, users: Iterable[UserKey], keys: Keys
    ) -> dict[UserKey, Visits]:
        """Lock these users, and load the last two sessions of each, all an event can belong to.

        No other writer changes them until the transaction ends. The keys of their rows are added
        to *keys*.
        """
        wanted = sorted(users)
        loaded = dict.fromkeys(wanted, NO_VISITS)
        if wanted:
            self.sql.lock(connection, wanted)
            # A statement of its own, so that it sees what the last holder of the lock committed.
            for row in self.sql.last_two(connection, wanted):
                key, session = session_of(row)
                user = session.platform_id, session.user_id
                keys[*user, session.ordinal] = key
                visits, closed = loaded[user], session.state is State.CLOSED
                loaded[user] = (
                    Visits(visits.live, session) if closed else Visits(session, visits.closed)
                )
        return loaded

    def overdue_users(
        self, connection: sa.Connection, up_to: datetime, limit: int
    ) -> list[UserKey]:
        """Users whose live session seems to be past its deadline at *up_to*, not locked yet."""
        session = self.tables.session.c
        query = (
            sa.select(session.platform_id, session.user_id)
            .where(session.live == sa.literal_column("1"), session.expires_at <= up_to)
            .order_by(session.expires_at)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in connection.execute(query)]

    # --- writing ---------------------------------------------------------------------------------

    def write(self, connection: sa.Connection, pending: Pending, keys: Keys) -> Sequence[int]:
        """Write everything that is pending, and return the ids of the history rows, in order.

        Sessions that close are written before those that open, because at every moment a user may
        have only one live session.
        """
        sql = self.sql
        changed = [(keys[key], one) for key, one in pending.sessions.items() if key in keys]
        if changed:
            rows = [{**session_values(one), "key": key} for key, one in changed]
            sql.update_sessions(connection, _CHANGING, rows)
        if pending.seen:
            rows = [{**presence_values(one), "key": keys[key]} for key, one in pending.seen.items()]
            sql.update_sessions(connection, PRESENCE, rows)
        # Every writer inserts in one order, so that two who open the same chats can't deadlock.
        new = sorted(key for key in pending.sessions if key not in keys)
        if new:
            opened = [pending.sessions[key] for key in new]
            rows = [{**session_values(one), **identity_values(one)} for one in opened]
            keys.update(
                zip(new, sql.insert_new(connection, self.tables.session, rows), strict=True)
            )
        if not pending.rows:
            return ()
        images = {one.image.sha256: one.image for one in pending.rows if one.image is not None}
        if images:
            pictures = [image_values(images[sha256]) for sha256 in sorted(images)]
            sql.insert_missing(connection, self.tables.image, pictures)
        rows = [
            history_values(one.row, one.fingerprint, None if key is None else keys[key])
            for one in pending.rows
            for key in (session_key_of(one.row),)
        ]
        bodies = [
            (place, body_values(one.row, one.image))
            for place, one in enumerate(pending.rows)
            if one.row.event is not None or one.row.raw is not None
        ]
        return sql.insert_history(connection, rows, bodies)
