"""Load, lock and write, on a connection whose transaction somebody else began and will end.

What databases do differently is in :mod:`sermo_fsm.storage.backends`.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Final, Self

import sqlalchemy as sa
from attrs import define, field, frozen
from msgspec import Struct

from sermo_fsm.core.advance import NO_VISITS, Visits
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import SealingFailed, StoreError
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.message import MessageKey, UserKey
from sermo_fsm.protocol.stored_form import Image
from sermo_fsm.storage.backends import Row, Statements, backend_named
from sermo_fsm.storage.kept_sessions import Entry, Users, learn, recall
from sermo_fsm.storage.rows import (
    CHANGING,
    body_values,
    changing_values,
    due_at,
    history_columns,
    history_values,
    image_values,
    row_of,
    session_of,
    session_values,
)
from sermo_fsm.storage.schema import Tables, tables
from sermo_fsm.storage.sealing import Sealing
from sermo_fsm.storage.transactions import is_our_own

__all__ = ["Pending", "PendingRow", "Store", "Stored"]

Stored = dict[str, Entry]
"""The sessions that have a row in the database, by session id, as they stand there."""


class PendingRow(Struct, frozen=True, gc=False):
    """A row of the history that is to be written, with what is stored beside it."""

    row: HistoryRow
    image: Image | None


@define
class Pending:
    """What a transaction has decided and not yet written."""

    sessions: dict[str, ChatSession] = field(factory=dict)
    """By session id."""
    later: set[str] = field(factory=set)
    """The ids of those at which the sweeper looks next when their deadline is reached."""
    rows: list[PendingRow] = field(factory=list)

    def keep(self, session: ChatSession) -> None:
        """Write *session* as it is now."""
        self.sessions[session.session_id] = session

    def put_forward(self, session: ChatSession) -> None:
        """Have the sweeper look at *session* when its deadline is reached, and not before."""
        self.keep(session)
        self.later.add(session.session_id)

    def add(self, row: HistoryRow, image: Image | None = None) -> None:
        """Write *row*, after those that were added before."""
        self.rows.append(PendingRow(row, image))


_IN_ONE_ORDER: Final = attrgetter("platform_id", "user_id", "ordinal")
_DUE_AT: Final = tables().session.c.keys().index("due_at")


@frozen
class Store:
    """Our tables on one kind of database."""

    tables: Tables
    sql: Statements

    @classmethod
    def on(
        cls, dialect: sa.Dialect, schema: str | None = None, sealing: Sealing | None = None
    ) -> Self:
        """The store of this database.

        Raises:
            InvalidArgument: The database is not supported, or can't have this schema.
        """
        backend = backend_named(dialect.name)
        backend.check_schema_name(schema)
        ours = tables(schema, sealing)
        return cls(ours, backend.statements(ours, dialect))

    # --- reading ---------------------------------------------------------------------------------

    def find_messages(
        self, connection: sa.Connection, keys: Iterable[MessageKey]
    ) -> dict[MessageKey, HistoryRow]:
        """The rows that were written for these message ids, with their bodies."""
        found: dict[MessageKey, HistoryRow] = {}
        by_direction: dict[Direction, list[str]] = {}
        for direction, message_id in keys:
            by_direction.setdefault(direction, []).append(message_id)
        for direction, ids in by_direction.items():
            # Hardly ever is one of them known: whole rows are asked for only then.
            known = self.sql.known_messages(connection, direction.value, ids)
            if not known:
                continue
            query = self.sql.cached("find", direction, partial(self._on_queue, direction))
            for row in self.sql.messages(connection, query, known):
                try:
                    found[direction, row["message_id"]] = row_of(row)
                except SealingFailed:  # the next time it may be read
                    raise
                except StoreError:  # a body that can't be read tells as much as an erased one
                    found[direction, row["message_id"]] = row_of({**row, "event": None})
        return found

    def _on_queue(self, direction: Direction) -> sa.Select[Any]:
        history, body = self.tables.history, self.tables.body
        return (
            sa.select(*history_columns(self.tables), body.c.event)
            .select_from(history.outerjoin(self.tables.session).outerjoin(body))
            .where(history.c.direction == direction.value)
        )

    def load(
        self,
        connection: sa.Connection,
        users: Iterable[UserKey],
        messages: Collection[MessageKey],
        stored: Stored,
        recalled: Users | None,
    ) -> tuple[dict[UserKey, Visits], dict[MessageKey, HistoryRow]]:
        """Lock these users, load what events of theirs can belong to, and find these messages.

        No other writer changes the users until the transaction ends. Their last two sessions are
        added to *stored*. What is *recalled* is not read again.
        """
        wanted = sorted(users)
        loaded = dict.fromkeys(wanted, NO_VISITS)
        entries: list[Entry] = []
        unknown = wanted
        if recalled is not None:
            entries = [entry for user in wanted for entry in recalled.of(user)]
            unknown = [user for user in wanted if user not in recalled]
        rows, perhaps = self.sql.load(connection, unknown, messages)
        entries += [(*session_of(row), row[_DUE_AT]) for row in rows]
        for entry in entries:
            session = entry[1]
            user = session.platform_id, session.user_id
            stored[session.session_id] = entry
            visits, closed = loaded[user], session.state is State.CLOSED
            loaded[user] = (
                Visits(visits.live, session) if closed else Visits(session, visits.closed)
            )
        # After the lock: another writer of the same message has committed by now.
        return loaded, self.find_messages(connection, perhaps) if perhaps else {}

    def recall(self, connection: sa.Connection) -> Users | None:
        """The sessions that *connection* knows without reading them; None if it keeps none."""
        if connection.in_nested_transaction() or not is_our_own(connection):
            return None
        version = self.sql.version(connection)
        return None if version is None else recall(connection, version)

    def learn(self, connection: sa.Connection, recalled: Users, stored: Stored) -> None:
        """Let *connection* know what is *stored* now, once the transaction is committed."""
        recalled.update(stored.values())
        learn(connection, self.sql.version(connection), recalled)

    def lock_visits(
        self, connection: sa.Connection, users: Iterable[UserKey], stored: Stored
    ) -> dict[UserKey, Visits]:
        """The same without messages."""
        return self.load(connection, users, (), stored, None)[0]

    def overdue_users(
        self, connection: sa.Connection, up_to: datetime, limit: int
    ) -> list[UserKey]:
        """Users whose live session may be past its deadline at *up_to*, not locked yet."""
        session = self.tables.session.c
        query = (
            sa.select(session.platform_id, session.user_id)
            .where(session.live == sa.literal_column("1"), session.due_at <= up_to)
            .order_by(session.due_at)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in connection.execute(query)]

    # --- writing ---------------------------------------------------------------------------------

    def write(self, connection: sa.Connection, pending: Pending, stored: Stored) -> Sequence[int]:
        """Write everything that is pending, and return the ids of the history rows, in order.

        Sessions that close are written before those that open, because at every moment a user may
        have only one live session. Afterwards *stored* says what is written.

        Raises:
            SealingFailed: The host's ``seal`` has failed.
        """
        self._write_sessions(connection, pending, stored)
        if not pending.rows:
            return ()
        rows: list[Row] = []
        bodies: list[tuple[int, Row]] = []
        images: dict[str, Image] = {}
        for place, one in enumerate(pending.rows):
            row, image = one.row, one.image
            of = None if row.session_id is None else stored[row.session_id][0]
            rows.append(history_values(row, of))
            if row.event is not None or row.raw is not None:
                bodies.append((place, body_values(row, image)))
            if image is not None:
                images[image.sha256] = image
        pictures = [image_values(images[sha256]) for sha256 in sorted(images)] if images else []
        if self.tables.sealing is not None:
            pictures, bodies = self.tables.sealing.sealed(pictures, bodies)
        if pictures:
            self.sql.insert_missing(connection, self.tables.image, pictures)
        return self.sql.insert_history(connection, rows, bodies)

    def _write_sessions(self, connection: sa.Connection, pending: Pending, stored: Stored) -> None:
        sql = self.sql
        changes, new = [], []
        for session_id, session in pending.sessions.items():
            if session_id in stored:
                key, before, due = stored[session_id]
                soonest = None if session_id in pending.later else due
                next_due = due_at(session, soonest)
                changing = changing_values(before, due), changing_values(session, next_due)
                changes.append((key, *changing))
                stored[session_id] = key, session, next_due
            else:
                new.append(session)
        if changes:
            sql.update_sessions(connection, CHANGING, changes)
        if new:
            # Every writer inserts in one order: two who open the same chats can't deadlock.
            new.sort(key=_IN_ONE_ORDER)
            opened = [session_values(session) for session in new]
            ids = sql.insert_new(connection, self.tables.session, opened)
            for key, session in zip(ids, new, strict=True):
                stored[session.session_id] = key, session, due_at(session, None)
