"""The SQL of SQLite, and how its statements get to the driver.

SQLite answers most of ours in two or three microseconds, and SQLAlchemy takes ten and more around
each: a fifth of the time of an event that came alone. So those of our own engines go to the
driver's cursor directly. Connections, transactions and errors are SQLAlchemy's as everywhere. Where
somebody follows statements there, as tracing does by listeners, or ``echo`` by its log, all of them
go through SQLAlchemy, and nobody misses one.
"""

import logging
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.default import DefaultDialect

from sermo_fsm.errors import LostRace
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.message import MessageKey
from sermo_fsm.storage.backends.json_rows import session_values
from sermo_fsm.storage.backends.statements import Change, Row, Statements
from sermo_fsm.storage.column_types import HiddenText, PrivateText, UtcDateTime
from sermo_fsm.storage.schema import Tables

__all__ = ["SqliteStatements", "allow_direct", "direct", "execute", "indirect"]

_OUR_OWN: Final = "sermo_our_own"
"""Execution option of our own engines, and so of their connections."""

_DIRECT: Final = "sermo_direct"
"""Execution option of a connection: whether its statements go to the driver directly."""


def allow_direct(engine: sa.Engine) -> None:
    """Let statements of our own *engine* go to the driver, unless its dialect has its own way."""
    dialect = type(engine.dialect)
    if all(getattr(dialect, name) is getattr(DefaultDialect, name) for name in _EXECUTE):
        engine.update_execution_options(**{_OUR_OWN: True})


_EXECUTE: Final = ("do_execute", "do_executemany")


def direct(connection: sa.Connection) -> Mapping[str, bool]:
    """The execution option for *connection*, as it has just been opened."""
    if _OUR_OWN not in connection.get_execution_options():
        return {}
    if connection.engine.logger.isEnabledFor(logging.INFO):
        return {}
    here, below = connection.engine.dispatch, connection.dialect.dispatch
    is_followed = (
        here.engine_connect  # it may listen to the connection
        or here.before_execute
        or here.after_execute
        or here.before_cursor_execute
        or here.after_cursor_execute
        or below.do_execute
        or below.do_executemany
        or below.handle_error
    )
    return {} if is_followed else {_DIRECT: True}


def indirect(connection: sa.Connection) -> None:
    """Let all go through SQLAlchemy from now on: somebody has got hold of *connection*."""
    connection.execution_options(**{_DIRECT: False})


def execute(connection: sa.Connection, sql: str, values: Any = ()) -> Sequence[Sequence[Any]]:
    """Run *sql*, for each of *values* if they are a list, and return the rows of a query.

    Errors are as SQLAlchemy raises them.
    """
    if not connection.get_execution_options().get(_DIRECT):
        result = connection.exec_driver_sql(sql, values)
        return result.all() if result.returns_rows else ()
    try:
        with closing(connection.connection.cursor()) as cursor:
            run = cursor.executemany if isinstance(values, list) else cursor.execute
            run(sql, values)
            return cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, sql, connection) from error


def _wrapped(error: Any, sql: str, connection: sa.Connection) -> exc.SQLAlchemyError:
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection, None)
    if is_lost:
        connection.invalidate(error)
    wrapped: exc.SQLAlchemyError = exc.DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    return wrapped


@frozen
class _Question:
    """A query with parameters by their names; its first column is a session as JSON, or NULL."""

    sql: str
    followed: sa.TextualSelect = field(init=False)
    """The same for SQLAlchemy, whose logs hide the session."""

    @followed.default
    def _typed(self) -> sa.TextualSelect:
        return sa.text(self.sql).columns(sa.column("session", PrivateText))

    def ask(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows that the database answers."""
        if not connection.get_execution_options().get(_DIRECT):
            return connection.execute(self.followed, values).all()
        found = execute(connection, self.sql, values)
        return [(text and HiddenText(text), *others) for text, *others in found]


class SqliteStatements(Statements):
    """The SQL of SQLite. Users need no locks: there is one writer at a time."""

    execute = staticmethod(execute)

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
        self._last_two = _Question(f"""
            WITH u (platform_id, user_id) AS (
                SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                FROM json_each(:users))
            SELECT {values} FROM u JOIN {session} AS sermo_s
                ON sermo_s.platform_id = u.platform_id AND sermo_s.user_id = u.user_id
            WHERE sermo_s.ordinal > (
                SELECT max(o.ordinal) - 2 FROM {session} AS o
                WHERE o.platform_id = u.platform_id AND o.user_id = u.user_id)
            ORDER BY sermo_s.ordinal
            """)  # noqa: S608 - the name of our own table
        self._last = _Question(f"""
            SELECT {values} FROM {session} AS sermo_s
            WHERE sermo_s.platform_id = :platform AND sermo_s.user_id = :user
            ORDER BY sermo_s.ordinal DESC LIMIT 1
            """)  # noqa: S608 - the name of our own table
        self._one = _Question(f"""
            SELECT sermo_s.session, m.is_written FROM (SELECT EXISTS (
                SELECT 1 FROM {history} AS h
                WHERE h.direction = :direction AND h.message_id = :message) AS is_written) AS m
            LEFT JOIN (
                SELECT {values} AS session, sermo_s.ordinal FROM {session} AS sermo_s
                WHERE sermo_s.platform_id = :platform AND sermo_s.user_id = :user
                ORDER BY sermo_s.ordinal DESC LIMIT 2) AS sermo_s ON true
            ORDER BY sermo_s.ordinal
            """)  # noqa: S608 - the names of our own tables

    def version(self, connection: sa.Connection) -> Hashable:
        """By what SQLite counts: commits of others, and rows that this connection has written."""
        driver: Any = connection.connection.driver_connection
        ((others,),) = execute(connection, "PRAGMA data_version")
        return others, driver.total_changes

    def load(
        self,
        connection: sa.Connection,
        users: Sequence[tuple[str, str]],
        messages: Collection[MessageKey],
    ) -> tuple[Iterable[Sequence[Any]], Collection[MessageKey]]:
        """For one event by one statement."""
        if len(users) != 1 or len(messages) > 1:
            return super().load(connection, users, messages)
        ((platform, user),) = users
        direction, message = next(iter(messages), (None, None))
        values = {"platform": platform, "user": user, "direction": direction, "message": message}
        found = self._one.ask(connection, values)
        texts = filter(None, map(_SESSION, found))
        return map(session_values, texts), messages if found[0][1] else ()

    def last(self, connection: sa.Connection, platform: str, user: str) -> Sequence[Any] | None:
        """By one lookup in the index."""
        found = self._last.ask(connection, {"platform": platform, "user": user})
        return session_values(found[0][0]) if found else None

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[Sequence[Any]]:
        """By one lookup in the index per user."""
        found = self._last_two.ask(connection, {"users": dump(users)})
        return map(session_values, map(_SESSION, found))

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
        found = execute(connection, self._known, (dump(ids), direction))
        return [message_id for (message_id,) in found]

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """With the ids after the latest: nobody else can write before the transaction ends."""
        ((latest,),) = execute(connection, _LATEST_ID, (table.name,))
        first = 1 + latest
        ids = range(first, first + len(rows))
        insert = self.compiled("insert", table, table.insert)
        numbered = [(number, *row) for number, row in zip(ids, rows, strict=True)]
        self.run(connection, insert, numbered)
        return ids

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By ON CONFLICT DO NOTHING, on the primary key."""
        insert = self.compiled(
            "insert missing", table, lambda: sqlite.insert(table).on_conflict_do_nothing()
        )
        self.run(connection, insert, rows)


def _selected(column: sa.Column[Any]) -> str:
    """A column of a session; of a time JSON says the zone.

    The name of the table begins as ours do, so that an error about a column tells whose it is.
    """
    return f"sermo_s.{column.name}" + (" || 'Z'" if isinstance(column.type, UtcDateTime) else "")


_SESSION: Final = itemgetter(0)
_LATEST_ID: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?"
