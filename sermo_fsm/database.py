"""The database as a machine: engines that keep their word, and errors in our own words.

What SQLite's driver does by itself is not enough: it begins a transaction only at the first write,
so a savepoint opened first would outlive the outer rollback, and two readers that go on to write
would lose an update. What is here makes every transaction begin where SQLAlchemy says so.
"""

import sqlite3
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc

from sermo_fsm.errors import InvalidArgument, LostRace, StoreBusy, StoreError

__all__ = [
    "adopt_engine",
    "committing",
    "is_in_memory",
    "join",
    "open_engine",
    "reading",
    "translated",
    "writing",
]

_WRITING: Final = "sermo_writing"
"""An execution option: this transaction is ours, and takes SQLite's lock at once."""

_READING: Final = "sermo_reading"
"""An execution option: ours, and only reads."""

_HOLDER: Final = "sermo_holder"
"""Whose transaction a driver's connection is in: a pool may lend the same one twice."""

_BUSY_TIMEOUT_MS: Final = 30_000


def open_engine(url: str | sa.URL) -> sa.Engine:
    """An engine of our own.

    Raises:
        InvalidArgument: Not the URL of a database that this release works with.
    """
    try:
        url = sa.make_url(url)
        options: dict[str, Any] = {}
        if is_in_memory(url):
            # One database for all connections: each would have its own in memory otherwise.
            name = f"file:/sermo-{uuid.uuid4()}?vfs=memdb"
            connect = partial(sqlite3.connect, name, uri=True, check_same_thread=False)
            options = {"creator": connect, "poolclass": sa.QueuePool}
        # Parameters are what customers wrote: they stay out of logs and errors.
        engine = sa.create_engine(url, hide_parameters=True, **options)
    except (exc.ArgumentError, TypeError, ValueError):  # such as a port that is no number
        wanted = "a database URL such as sqlite:///sermo.db"
        raise InvalidArgument("url", wanted=wanted, got="something else") from None
    except ModuleNotFoundError as error:
        wanted = "a database URL whose driver is installed"
        raise InvalidArgument("url", wanted=wanted, got=f"no module {error.name}") from None
    adopt_engine(engine)
    event.listen(engine, "connect", _set_pragmas)
    if "timeout" not in engine.url.query:
        event.listen(engine, "connect", _set_busy_timeout)
    return engine


def is_in_memory(url: sa.URL) -> bool:
    """Whether the database of *url* goes with its engine."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def adopt_engine(engine: sa.Engine) -> None:
    """Make the transactions of *engine*, ours or the host's, begin where SQLAlchemy says so.

    Raises:
        InvalidArgument: It is no SQLite engine.
    """
    if engine.dialect.name != "sqlite":
        wanted = "SQLite, which is all that this release works with"
        raise InvalidArgument("database", wanted=wanted, got=engine.dialect.name)
    if not is_adopted(engine):
        event.listen(engine, "begin", _begin)
        event.listen(engine, "commit", _let_go)
        event.listen(engine, "rollback", _let_go)


def is_adopted(engine: sa.Engine) -> bool:
    """Whether :func:`adopt_engine` was called for it."""
    return event.contains(engine, "begin", _begin)


def _set_busy_timeout(dbapi_connection: Any, _: object) -> None:
    dbapi_connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")


def _set_pragmas(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # The mode stays with the file: one that is somebody else's keeps its own.
    if cursor.execute(_IS_OURS).fetchone()[0]:
        # The time-out does not hold for this. Where another connection is in the way, perhaps doing
        # the same, the next one will try again.
        with suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


_IS_OURS: Final = (
    "SELECT count(*) = 0 OR sum(name = 'sermo_session') FROM sqlite_master WHERE type = 'table'"
)


def _begin(connection: sa.Connection) -> None:
    """Begin SQLite's own transaction, where SQLAlchemy's begins and the driver's does not."""
    options = connection.get_execution_options()
    if options.get(_WRITING):
        return  # writing() does
    driver: Any = connection.connection.dbapi_connection
    if driver.in_transaction:
        _refuse_foreign(connection)
    elif options.get(_READING):
        return  # each question is one statement, and SQLite answers it as of one moment
    elif driver.isolation_level is not None:  # else the host wants autocommit, or begins itself
        connection.exec_driver_sql("BEGIN")
        connection.info[_HOLDER] = weakref.ref(connection)


def _begin_to_write(connection: sa.Connection) -> None:
    """Take SQLite's lock before the first read: then nobody writes between reading and writing."""
    driver: Any = connection.connection.dbapi_connection
    if getattr(driver, "autocommit", None) is True:
        wanted = "an engine whose driver has no autocommit=True: it would never commit"
        raise InvalidArgument("database", wanted=wanted, got=True)
    if driver.in_transaction:
        _refuse_foreign(connection)
        connection.exec_driver_sql("ROLLBACK")  # it has only just begun: the host's engine did
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    connection.info[_HOLDER] = weakref.ref(connection)


def _let_go(connection: sa.Connection) -> None:
    connection.info.pop(_HOLDER, None)


def _refuse_foreign(connection: sa.Connection) -> None:
    holder = connection.info.get(_HOLDER, lambda: None)()
    if holder is not None and holder is not connection:
        raise StoreError(
            "the driver's connection is in another transaction already: hand in that connection "
            "(connection=…), or use a pool that lends it once"
        )


def join(connection: sa.Connection) -> None:
    """Make sure that the host's *connection* is in a transaction that can be rolled back.

    Raises:
        InvalidArgument: It is not, or it is in a savepoint that would outlive the rollback.
    """
    if connection.in_nested_transaction() and not is_adopted(connection.engine):
        wanted = "a connection of an engine that was given to ChatEngine before its savepoint"
        raise InvalidArgument("connection", wanted=wanted, got="another engine's")
    adopt_engine(connection.engine)
    if not connection.in_transaction():
        connection.begin()  # as its first statement would; the host ends it all the same
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:
        _begin(connection)
    if not driver.in_transaction:
        wanted = "a connection in a transaction"
        raise InvalidArgument("connection", wanted=wanted, got="one in AUTOCOMMIT")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction of ours that is going to write."""
    with translated():
        connection = engine.connect()
    with connection:
        connection.execution_options(**{_WRITING: True})
        with committing(connection.begin):
            with translated():
                _begin_to_write(connection)
            yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection of ours that only reads."""
    with translated(), engine.connect() as connection:
        connection.execution_options(**{_READING: True})
        yield connection


@contextmanager
def committing(begin: Callable[[], sa.Transaction]) -> Iterator[None]:
    """A transaction or savepoint around the caller's code; only its own errors are translated."""
    with translated():
        transaction = begin()
    try:
        yield
    except BaseException:
        # SQLite may have rolled back by itself (a full disk): what went wrong first counts.
        with suppress(exc.SQLAlchemyError):
            transaction.rollback()
        raise
    with translated():
        transaction.commit()


_NO_TABLES: Final = "no such table: sermo_"
_LOST: Final = ("UNIQUE constraint failed",)
_BUSY: Final = ("database is locked", "database table is locked")


@contextmanager
def translated() -> Iterator[None]:
    """Driver errors become ours, here and nowhere else.

    Raises:
        StoreBusy: The lock was held for too long.
        LostRace: A unique constraint says that another writer was faster.
        StoreError: The database refused for another reason.
    """
    try:
        yield
    except exc.DBAPIError as error:
        reason = _word_of(error)
        if _NO_TABLES in reason:
            reason += "; create our tables by ChatEngine.migrate() or 'sermo-fsm db upgrade'"
        if any(lost in reason for lost in _LOST):
            raise LostRace(f"another writer was faster: {reason}") from error
        if any(busy in reason for busy in _BUSY):
            raise StoreBusy(f"the database is busy: {reason}") from error
        raise StoreError(f"the database refused: {reason}") from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the database can't be used: {type(error).__name__}") from error


def _word_of(error: exc.DBAPIError) -> str:
    """What the driver said: its first line, which has neither statement nor values."""
    lines = str(error.orig).splitlines()
    return lines[0] if lines else type(error.orig).__name__
