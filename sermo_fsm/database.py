"""The database as a machine: engines that keep their word, and errors in our own words.

What SQLite's driver does by itself is not enough: it begins a transaction only at the first write,
so a savepoint opened first would outlive the outer rollback, and two readers that go on to write
would lose an update. The listeners here make every transaction begin where SQLAlchemy says so.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc

from sermo_fsm.errors import InvalidArgument, LostRace, StoreBusy, StoreError

__all__ = [
    "adopt_engine",
    "begin_for_real",
    "committing",
    "open_engine",
    "translated",
    "writing",
]

IMMEDIATE: Final = "sermo_immediate"
"""An execution option: this transaction is going to write, so take SQLite's lock at once."""

_BUSY_TIMEOUT_MS: Final = 30_000


def open_engine(url: str | sa.URL) -> sa.Engine:
    """An engine of our own.

    Raises:
        InvalidArgument: Not a database URL, or one whose driver is not installed.
    """
    try:
        # Parameters are what customers wrote: they stay out of logs and errors.
        engine = sa.create_engine(url, hide_parameters=True)
    except (exc.ArgumentError, TypeError, ValueError):  # such as a port that is no number
        wanted = "a database URL such as sqlite:///sermo.db"
        raise InvalidArgument("url", wanted=wanted, got="something else") from None
    except ModuleNotFoundError as error:
        wanted = "a database URL whose driver is installed"
        raise InvalidArgument("url", wanted=wanted, got=f"no module {error.name}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    adopt_engine(engine)
    return engine


def adopt_engine(engine: sa.Engine) -> None:
    """Make the transactions of *engine*, ours or the host's, begin where SQLAlchemy says so."""
    if engine.dialect.name == "sqlite" and not event.contains(engine, "begin", begin_for_real):
        event.listen(engine, "begin", begin_for_real)


def _set_pragmas(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
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


def begin_for_real(connection: sa.Connection) -> None:
    """Begin SQLite's own transaction, where SQLAlchemy's began but the driver's did not yet."""
    options = connection.get_execution_options()
    driver: Any = connection.connection.dbapi_connection
    if driver.in_transaction or options.get("isolation_level") == "AUTOCOMMIT":
        return
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(IMMEDIATE) else "BEGIN")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that is going to write."""
    with translated():
        connection = engine.connect()
    with connection:
        connection.execution_options(**{IMMEDIATE: True})
        with committing(connection.begin):
            yield connection


@contextmanager
def committing(begin: Callable[[], sa.Transaction]) -> Iterator[None]:
    """A transaction or savepoint around the caller's code; only its own errors are translated."""
    with translated():
        transaction = begin()
    try:
        yield
    except BaseException:
        with translated():
            transaction.rollback()
        raise
    with translated():
        transaction.commit()


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
