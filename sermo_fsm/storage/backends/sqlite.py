"""SQLite: one writer at a time, and a driver that begins when it sees fit.

The driver begins a transaction only at the first write, so a savepoint opened first would outlive
the outer rollback, and two readers that go on to write would lose an update. What is here makes
every transaction begin where SQLAlchemy says so, and takes the lock before the first read.
"""

import json
import sqlite3
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import sqlite

from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.storage.backends.base import Driver, Row, Sql, Verdict
from sermo_fsm.storage.schema import Tables

__all__ = ["SqliteDriver", "SqliteSql", "is_in_memory"]

_WRITING: Final = "sermo_writing"
"""An execution option: this transaction is ours, and takes the lock at once."""

_READING: Final = "sermo_reading"
"""An execution option: this transaction is ours, and only reads."""

_HOLDER: Final = "sermo_holder"
"""Whose transaction a driver's connection is in: a pool may lend the same one twice."""

_BUSY_TIMEOUT_MS: Final = 30_000


def is_in_memory(url: sa.URL) -> bool:
    """Whether the database of *url* goes with its engine."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


class SqliteDriver(Driver):
    """What SQLite's driver has to be told."""

    writing: ClassVar[Mapping[str, Any]] = {_WRITING: True}
    reading: ClassVar[Mapping[str, Any]] = {_READING: True}
    snapshot: ClassVar[Mapping[str, Any]] = {}

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """In memory, one database for all connections: each would have its own otherwise."""
        if is_in_memory(url):
            name = f"file:/sermo-{uuid.uuid4()}"
            url = url.set(database=name).update_query_dict({"vfs": "memdb", "uri": "true"})
        return url, {}

    def prepare(self, engine: sa.Engine) -> None:
        """Foreign keys, a journal beside which others can read, and patience."""
        event.listen(engine, "connect", _set_pragmas)
        if "timeout" not in engine.url.query:
            event.listen(engine, "connect", _set_busy_timeout)

    def only_read(self, engine: sa.Engine) -> None:
        """Not even the journal's mode. In mode=ro SQLite would leave files behind."""
        event.remove(engine, "connect", _set_pragmas)
        event.listen(engine, "connect", _set_query_only)

    def adopt(self, engine: sa.Engine) -> None:
        """Make its transactions begin where SQLAlchemy says so."""
        if not _is_adopted(engine):
            event.listen(engine, "begin", _begin)
            event.listen(engine, "commit", _let_go)
            event.listen(engine, "rollback", _let_go)
            event.listen(engine, "invalidate", _give_back)

    def begin_to_write(self, connection: sa.Connection) -> None:
        """Take the lock before the first read: then nobody writes between reading and writing."""
        driver = _driver(connection)
        if getattr(driver, "autocommit", None) is True:
            wanted = "an engine whose driver has no autocommit=True: it would never commit"
            raise InvalidArgument("database", wanted=wanted, got=True)
        if driver.in_transaction:
            _refuse_foreign(connection)
            connection.exec_driver_sql("ROLLBACK")  # it has only just begun, and read nothing
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.info[_HOLDER] = weakref.ref(connection)

    def join(self, connection: sa.Connection) -> bool:
        """Begin for real where the driver has not.

        Raises:
            InvalidArgument: It is in a savepoint that would outlive the rollback.
        """
        if connection.in_nested_transaction() and not _is_adopted(connection.engine):
            wanted = "a connection of an engine that was given to ChatEngine before its savepoint"
            raise InvalidArgument("connection", wanted=wanted, got="another engine's")
        self.adopt(connection.engine)
        if not _driver(connection).in_transaction:
            _begin(connection)
        return bool(_driver(connection).in_transaction)

    def in_autocommit(self, driver: Any) -> bool:
        """Transactions of ours begin by a statement of ours: it does not matter."""
        del driver
        return False

    def give_up(self, connection: sa.Connection) -> None:
        """A database in memory would go with its connection."""
        if not is_in_memory(connection.engine.url):
            super().give_up(connection)

    def verdict(self, error: BaseException) -> Verdict:
        """By SQLite's own extended code."""
        name = getattr(error, "sqlite_errorname", "")
        if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
            return Verdict.LOST
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Verdict.BUSY
        if str(error).startswith("no such table: sermo_"):
            return Verdict.NO_TABLES
        return Verdict.REFUSED

    def wording(self, error: BaseException) -> str:
        """With what helps where a file in WAL mode lies in a folder that may not be written."""
        said = super().wording(error)
        if getattr(error, "sqlite_errorname", "") == "SQLITE_READONLY_DIRECTORY":
            said += f"; {_NO_FILES_BESIDE}"
        return said


_NO_FILES_BESIDE: Final = (
    "even to read it SQLite has to make files in its folder;"
    " where nobody writes to it, ask sqlite:///file:PATH?immutable=1&uri=true"
)


def _driver(connection: sa.Connection) -> Any:
    """The driver's own connection, also where SQLAlchemy has wrapped it for asyncio."""
    return connection.connection.driver_connection


def _is_adopted(engine: sa.Engine) -> bool:
    return event.contains(engine, "begin", _begin)


def _set_busy_timeout(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.close()


def _set_pragmas(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(_IS_OURS)
    # The mode stays with the file: one that is somebody else's keeps its own.
    if cursor.fetchone()[0]:
        # The time-out does not hold for this. Where another connection is in the way, perhaps doing
        # the same, the next one will try again.
        with suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _set_query_only(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


_IS_OURS: Final = (
    "SELECT count(*) = 0 OR sum(name = 'sermo_session') FROM sqlite_master WHERE type = 'table'"
)


def _begin(connection: sa.Connection) -> None:
    """Begin SQLite's own transaction, where SQLAlchemy's begins and the driver's does not."""
    options = connection.get_execution_options()
    if options.get(_WRITING):
        return  # begin_to_write() does
    driver = _driver(connection)
    if driver.in_transaction:
        _refuse_foreign(connection)
    elif options.get(_READING):
        return  # each question is one statement, and SQLite answers it as of one moment
    elif driver.isolation_level is not None:  # else the host wants autocommit, or begins itself
        connection.exec_driver_sql("BEGIN")
        connection.info[_HOLDER] = weakref.ref(connection)


def _let_go(connection: sa.Connection) -> None:
    if not connection.invalidated:
        connection.info.pop(_HOLDER, None)


def _give_back(dbapi_connection: Any, _: object, __: object) -> None:
    """Where a statement was cancelled half-read, closing alone would leave the lock taken."""
    with suppress(Exception):
        dbapi_connection.rollback()


def _refuse_foreign(connection: sa.Connection) -> None:
    holder = connection.info.get(_HOLDER, lambda: None)()
    if holder is not None and holder is not connection:
        raise StoreError(
            "the driver's connection is in another transaction already: hand in that connection "
            "(connection=…), or use a pool that lends it once"
        )


class SqliteSql(Sql):
    """SQLite's own statements. Nobody needs a lock: whoever writes is alone."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = tables.session
        # Row values in an IN would make SQLite scan the whole table.
        self._last_two = sa.text(f"""
            WITH u (platform_id, user_id) AS (
                SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                FROM json_each(:users))
            SELECT s.* FROM u JOIN {session.name} AS s
                ON s.platform_id = u.platform_id AND s.user_id = u.user_id
            WHERE s.ordinal > (
                SELECT max(o.ordinal) - 2 FROM {session.name} AS o
                WHERE o.platform_id = u.platform_id AND o.user_id = u.user_id)
            ORDER BY s.ordinal
        """).columns(*session.c)  # noqa: S608 - the name of our own table

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """By one look into the index for each user."""
        return connection.execute(self._last_two, {"users": json.dumps(users)})

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """With ids that follow on the latest: nobody else can write before we end."""
        latest: int | None = connection.execute(_LATEST_ID, {"name": table.name}).scalar()
        numbered = [{**row, "id": key} for row, key in zip(rows, count(1 + (latest or 0)))]
        self.insert(connection, table, numbered)
        return [row["id"] for row in numbered]

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By SQLite's own clause."""
        statement = self.made(
            "insert missing", table, lambda: sqlite.insert(table).on_conflict_do_nothing()
        )
        self.run(connection, statement, rows)


_LATEST_ID: Final = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
