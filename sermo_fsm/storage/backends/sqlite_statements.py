"""The SQL of SQLite."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from sermo_fsm.errors import LostRace
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.message import MessageKey
from sermo_fsm.storage.backends.json_rows import session_values
from sermo_fsm.storage.backends.statements import Change, Row, Statements
from sermo_fsm.storage.column_types import PrivateText, UtcDateTime
from sermo_fsm.storage.schema import Tables

__all__ = ["SqliteStatements"]


class SqliteStatements(Statements):
    """The SQL of SQLite. Users need no locks: there is one writer at a time."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session, history = tables.session.name, tables.history.name
        # With all that Python does 10 µs a session of a batch; value by value it takes 12.
        values = f"json_array({', '.join(map(_selected, tables.session.c))})"
        self._known = (
            "SELECT h.message_id FROM json_each(?) AS i"  # noqa: S608 - ours
            f" CROSS JOIN {history} AS h"
            " WHERE h.direction = ? AND h.message_id = i.value"
        )
        # With row values in an IN, SQLite would scan the whole table.
        self._last_two = sa.text(f"""
            WITH u (platform_id, user_id) AS (
                SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                FROM json_each(:users))
            SELECT {values} AS session FROM u JOIN {session} AS s
                ON s.platform_id = u.platform_id AND s.user_id = u.user_id
            WHERE s.ordinal > (
                SELECT max(o.ordinal) - 2 FROM {session} AS o
                WHERE o.platform_id = u.platform_id AND o.user_id = u.user_id)
            ORDER BY s.ordinal
        """).columns(sa.column("session", PrivateText))  # noqa: S608 - the name of our own table
        self._one = sa.text(f"""
            SELECT s.session, m.is_written FROM (SELECT EXISTS (
                SELECT 1 FROM {history} AS h
                WHERE h.direction = :direction AND h.message_id = :message) AS is_written) AS m
            LEFT JOIN (
                SELECT {values} AS session, s.ordinal FROM {session} AS s
                WHERE s.platform_id = :platform AND s.user_id = :user
                ORDER BY s.ordinal DESC LIMIT 2) AS s ON true
            ORDER BY s.ordinal
        """).columns(  # noqa: S608 - the names of our own tables
            sa.column("session", PrivateText), sa.column("is_written", sa.Boolean)
        )

    def version(self, connection: sa.Connection) -> Hashable:
        """By what SQLite counts: commits of others, and rows that this connection has written."""
        driver: Any = connection.connection.driver_connection
        others: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        return others, driver.total_changes

    def load(
        self,
        connection: sa.Connection,
        users: Sequence[tuple[str, str]],
        messages: Collection[MessageKey],
    ) -> tuple[Iterable[Sequence[Any]], Collection[MessageKey]]:
        """For one event by one statement: each costs 30 µs and more in SQLAlchemy alone."""
        if len(users) != 1 or len(messages) > 1:
            return super().load(connection, users, messages)
        ((platform, user),) = users
        direction, message = next(iter(messages), (None, None))
        values = {"platform": platform, "user": user, "direction": direction, "message": message}
        found = connection.execute(self._one, values).all()
        sessions = [session_values(text) for text, _ in found if text is not None]
        return sessions, messages if found[0].is_written else ()

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[Sequence[Any]]:
        """By one lookup in the index per user."""
        found = connection.execute(self._last_two, {"users": dump(users)}).scalars()
        return [*map(session_values, found)]

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], changes: Sequence[Change]
    ) -> None:
        """And notice if one is gone: somebody may have restored a backup into this connection.

        Raises:
            LostRace: One is.
        """
        driver: Any = connection.connection.driver_connection
        before = driver.total_changes
        super().update_sessions(connection, columns, changes)
        if driver.total_changes < before + len(changes):
            raise LostRace("a session of this batch is not in the database any more")

    def known_messages(
        self, connection: sa.Connection, direction: str, ids: Sequence[str]
    ) -> Sequence[str]:
        """By one lookup in the index per id.

        As text: to put SQLAlchemy's select together took a third of an event's time, one by one.
        """
        found = connection.exec_driver_sql(self._known, (dump(ids), direction))
        return found.scalars().all()

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """With the ids after the latest: nobody else can write before the transaction ends."""
        latest = connection.exec_driver_sql(_LATEST_ID, (table.name,)).scalar()
        first = 1 + (latest or 0)
        ids = range(first, first + len(rows))
        insert = self.compiled("insert", table, table.insert)
        insert.run(connection, [(number, *row) for number, row in zip(ids, rows, strict=True)])
        return ids

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By ON CONFLICT DO NOTHING, on the primary key."""
        insert = self.compiled(
            "insert missing", table, lambda: sqlite.insert(table).on_conflict_do_nothing()
        )
        insert.run(connection, rows)


def _selected(column: sa.Column[Any]) -> str:
    """A column of a session; of a time JSON says the zone."""
    return f"s.{column.name}" + (" || 'Z'" if isinstance(column.type, UtcDateTime) else "")


_LATEST_ID: Final = "SELECT seq FROM sqlite_sequence WHERE name = ?"
