"""SQLite: one writer at a time, and a driver that begins transactions late.

Python's driver begins a transaction at the first write. A savepoint that was set before would
survive the outer rollback, and of two transactions that read first and then write, one would lose
its update. The listener here begins when SQLAlchemy says so; ``begin_write`` takes the write lock
before the first read.
"""

import re
import sqlite3
import uuid
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy import event

from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.storage.backends import sqlite_statements
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.sqlite_statements import (
    SqliteStatements,
    allow_direct,
    direct,
    execute,
    indirect,
)
from sermo_fsm.storage.backends.statements import Statements
from sermo_fsm.storage.schema import Tables

__all__ = ["BACKEND", "SqliteBackend"]

_WRITING: Final = "sermo_writing"
"""Execution option of a connection whose transaction ``begin_write`` begins."""

_READING: Final = "sermo_reading"
"""Execution option of a connection that runs one query."""

_OWNER: Final = "sermo_owner"
"""Key in ``Connection.info``, which belongs to the driver's connection: a weak reference to the
SQLAlchemy connection that has begun its transaction. A pool may lend one driver's connection to
two SQLAlchemy connections."""

_SPOILED: Final = "sermo_spoiled"
"""Beside it: the one whose transaction a StaticPool rolls back, when another one is given back."""

_BUSY_TIMEOUT_MS: Final = 30_000


class SqliteBackend(Backend):
    """SQLite, by the driver of the standard library or by aiosqlite."""

    drivers: ClassVar[Mapping[str, str]] = {"aiosqlite": "pip install 'sermo-fsm[async]'"}

    call_driver: ClassVar[tuple[str, ...]] = (*Backend.call_driver, sqlite_statements.__name__)

    quotations: ClassVar[Sequence[tuple[re.Pattern[str], str]]] = (
        # The driver ends the message after some two hundred bytes, within the quotes or before.
        (re.compile(r"(?s)(Could not decode to UTF-8 column(?: '\w+')?) .*"), r"\1"),
    )

    # --- engines ---------------------------------------------------------------------------------

    def check_url(self, url: sa.URL) -> None:
        """There is no password, and a file may have any name."""

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """Share a database in memory; by default each connection would have its own."""
        if _is_in_memory(url):
            name = f"file:/sermo-{uuid.uuid4()}"
            url = url.set(database=name).update_query_dict({"vfs": "memdb", "uri": "true"})
        return url, {}

    def prepare_engine(self, engine: sa.Engine) -> None:
        """Begin SQLite's transaction when SQLAlchemy's begins.

        Our own engine has no listener for it: its transactions all begin here, and every event
        would pay 10 µs for SQLAlchemy to look for listeners everywhere.
        """
        if not _is_prepared(engine):
            event.listen(engine, "begin", _begin)
            event.listen(engine, "invalidate", _release_lock)

    def configure_engine(self, engine: sa.Engine) -> None:
        """Enforce foreign keys, use WAL so that reads do not wait for a write, and wait for locks.

        A ``timeout`` in the URL takes precedence over ours.
        """
        allow_direct(engine)
        event.listen(engine, "invalidate", _release_lock)
        event.listen(engine, "connect", _set_pragmas)
        if "timeout" not in engine.url.query:
            event.listen(engine, "connect", _set_busy_timeout)

    def configure_read_only(self, engine: sa.Engine) -> None:
        """Leave even the journal mode alone. With mode=ro SQLite would leave files behind."""
        event.remove(engine, "connect", _set_pragmas)
        event.listen(engine, "connect", _set_query_only)

    def database_file(self, url: sa.URL) -> Path | None:
        """The path in *url*, which may be a URI of SQLite's own."""
        if _is_in_memory(url):
            return None
        name = url.database or ""
        return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)

    def database_name(self, url: sa.URL) -> str:
        """The path as it stands in *url*."""
        return url.database or ":memory:"

    def check_unused(self, pool: sa.Pool) -> None:
        """By the driver's word, before the connection is lent: to give it back would roll back."""
        driver = getattr(vars(pool).get("connection"), "driver_connection", None)
        if getattr(driver, "in_transaction", False):
            raise StoreError(_IN_ANOTHER)

    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of SQLite."""
        return SqliteStatements(tables, dialect)

    # --- transactions ----------------------------------------------------------------------------

    def begin_write(self, connection: sa.Connection) -> sa.Transaction:
        """Take the write lock before the first read, so that nobody writes in between."""
        driver: Any = connection.connection.driver_connection
        if getattr(driver, "autocommit", None) is True:
            wanted = "an engine whose driver has no autocommit=True: it would never commit"
            raise InvalidArgument("database", wanted=wanted, got=True)
        if driver.in_transaction:
            _refuse_shared(connection)
        connection.execution_options(**{_WRITING: True, **direct(connection)})
        transaction = connection.begin()
        try:
            if driver.in_transaction:
                # A listener of the host's has just begun it. Nothing has been read in it.
                connection.exec_driver_sql("ROLLBACK")
            execute(connection, "BEGIN IMMEDIATE")
        except BaseException:
            self.roll_back(connection, transaction)
            raise
        _note_owner(connection)
        return transaction

    def prepare_query(self, connection: sa.Connection) -> None:
        """Begin nothing: SQLite answers one statement as of one moment."""
        connection.execution_options(**{_READING: True, **direct(connection)})

    def prepare_snapshot(self, connection: sa.Connection) -> None:
        """Begin: every transaction of SQLite is a snapshot from its first read on."""
        connection.begin()
        _begin(connection)

    def ensure_transaction(self, connection: sa.Connection) -> bool:
        """Begin SQLite's transaction if the driver has not.

        Raises:
            InvalidArgument: A savepoint of the host's would survive the rollback.
        """
        if connection.get_execution_options().get(_WRITING):  # it is ours, shown to a hook
            indirect(connection)
        else:
            if connection.in_nested_transaction() and not _is_prepared(connection.engine):
                wanted = "a connection of an engine that ChatEngine was given before its savepoint"
                raise InvalidArgument("connection", wanted=wanted, got="another engine's")
            self.prepare_engine(connection.engine)
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            _begin(connection)
        return bool(driver.in_transaction)

    def abandon(self, connection: sa.Connection) -> None:
        """Keep a database in memory, which would be lost with its connection."""
        if not _is_in_memory(connection.engine.url):
            super().abandon(connection)

    def has_rolled_back(self, connection: sa.Connection, error: BaseException) -> bool:
        """SQLite ends the transaction after some errors, such as a full disk."""
        del error
        return not getattr(connection.connection.driver_connection, "in_transaction", True)

    def commit_will_fail(self, connection: sa.Connection) -> bool:
        """A pool that lends one connection twice rolls back when the second one is given back."""
        spoiled = connection.info.get(_SPOILED)
        return spoiled is not None and spoiled() is connection

    # --- erasing ---------------------------------------------------------------------------------

    def overwrite_deleted(self, connection: sa.Connection) -> None:
        """By zeros, in the pages of the file: not every SQLite is built to do so by itself."""
        connection.exec_driver_sql("PRAGMA secure_delete = ON").all()

    def give_back(self, connection: sa.Connection) -> bool | None:
        """Give free pages back, if the file is made for it, and empty the write-ahead log.

        A reader keeps the log from being emptied: it is waited for, but not for long, because
        nobody can write meanwhile.
        """
        run = connection.exec_driver_sql
        timeout: int = run("PRAGMA busy_timeout").scalar_one()
        run(f"PRAGMA busy_timeout = {min(timeout, _PATIENCE_MS)}").all()
        try:
            if run("PRAGMA auto_vacuum").scalar_one() == _INCREMENTAL:
                # Python's driver lets it do one step at a time, of one page.
                while run("PRAGMA freelist_count").scalar_one():
                    run("PRAGMA incremental_vacuum")
            is_busy, *_ = run("PRAGMA wal_checkpoint(TRUNCATE)").one()
        finally:
            run(f"PRAGMA busy_timeout = {timeout}").all()
        return not is_busy

    # --- errors and the schema -------------------------------------------------------------------

    def classify(self, error: BaseException) -> ErrorKind:
        """By the name of SQLite's extended error code."""
        name = getattr(error, "sqlite_errorname", "")
        if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
            return ErrorKind.UNIQUE_VIOLATION
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return ErrorKind.BUSY
        if name in _UNUSABLE:
            return ErrorKind.UNUSABLE
        if str(error).startswith("no such savepoint: "):
            return ErrorKind.MISSING_SAVEPOINT
        if str(error).startswith("no such table: sermo_"):
            return ErrorKind.MISSING_TABLE
        if str(error).startswith("no such column: sermo_"):
            return ErrorKind.MISSING_COLUMN
        return ErrorKind.OTHER

    def describe(self, error: BaseException) -> str:
        """With a remedy if a file in WAL mode is in a folder that may not be written."""
        text = super().describe(error)
        if getattr(error, "sqlite_errorname", "") == "SQLITE_READONLY_DIRECTORY":
            text += f"; {_READ_ONLY_FOLDER}"
        elif getattr(error, "sqlite_errorname", "") == _NO_FILE:
            text += "; does its folder exist, and may this user write to it?"
        return text

    def is_new_file(self, connection: sa.Connection) -> bool:
        """Whether the file, or the database in memory, has no table yet."""
        return not sa.inspect(connection).get_table_names()


BACKEND: Final = SqliteBackend()

_PATIENCE_MS: Final = 1_000
_INCREMENTAL: Final = 2

_NO_FILE: Final = "SQLITE_CANTOPEN"
_UNUSABLE: Final = (_NO_FILE, "SQLITE_NOTADB")
_READ_ONLY_FOLDER: Final = (
    "even to read it SQLite has to make files in its folder;"
    " where nobody writes to it, ask sqlite:///file:PATH?immutable=1&uri=true"
)


def _is_in_memory(url: sa.URL) -> bool:
    return url.database in (None, "", ":memory:")


# --- listeners -----------------------------------------------------------------------------------


def _is_prepared(engine: sa.Engine) -> bool:
    return event.contains(engine, "begin", _begin)


def _begin(connection: sa.Connection) -> None:
    """Begin SQLite's transaction, unless ``begin_write``, a query or the host does it."""
    options = connection.get_execution_options()
    if options.get(_WRITING):
        return
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        _refuse_shared(connection)
    elif options.get(_READING):
        return
    elif driver.isolation_level is not None:  # else the host wants autocommit, or begins itself
        connection.exec_driver_sql("BEGIN")
        _note_owner(connection)


def _note_owner(connection: sa.Connection) -> None:
    connection.info[_OWNER] = weakref.ref(connection)
    connection.info.pop(_SPOILED, None)


def _refuse_shared(connection: sa.Connection) -> None:
    owner: sa.Connection | None = connection.info.get(_OWNER, lambda: None)()
    if owner is not None and owner is not connection and owner.in_transaction():
        if isinstance(connection.engine.pool, sa.StaticPool):
            connection.info[_SPOILED] = weakref.ref(owner)
        raise StoreError(_IN_ANOTHER)


_IN_ANOTHER: Final = (
    "the driver's connection is in another transaction already: hand in that connection "
    "(connection=…), or use a pool that lends it once"
)


def _release_lock(dbapi_connection: Any, _: object, __: object) -> None:
    """Roll back before closing, which does not release the lock if a statement was cancelled."""
    with suppress(Exception):
        dbapi_connection.rollback()


def _set_busy_timeout(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.close()


def _set_pragmas(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(_IS_OURS)
    # The journal mode stays with the file: a file with the host's tables keeps its own.
    if cursor.fetchone()[0]:
        # This does not wait for locks. If another connection is in the way, perhaps with the same
        # pragma, the next connection tries again.
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
