"""Engines, transactions, ours and the host's, and errors in our own words.

What databases do differently stands in :mod:`sermo_fsm.storage.backends`. Everything here is called
from plain code, or from plain code that SQLAlchemy runs for asyncio: it is the same either way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc

from sermo_fsm.errors import (
    CommitUnknown,
    InvalidArgument,
    LostRace,
    SermoError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from sermo_fsm.storage.backends import Driver, Verdict, driver_of

__all__ = [
    "adopt_engine",
    "committing",
    "join",
    "open_by",
    "open_engine",
    "open_to_read",
    "reading",
    "snapshot",
    "transaction",
    "translated",
    "worth_another_try",
]


def open_engine(url: str | sa.URL) -> sa.Engine:
    """An engine of our own.

    Raises:
        InvalidArgument: Not the URL of a database that this release works with.
    """
    engine: sa.Engine = open_by(sa.create_engine, url, lambda engine: engine)
    if engine.dialect.is_async:
        wanted = "a driver that is not for asyncio; for that there is AsyncChatEngine"
        raise InvalidArgument("url", wanted=wanted, got=engine.dialect.driver)
    return engine


def open_to_read(url: str | sa.URL) -> sa.Engine:
    """An engine of our own that changes nothing; on SQLite the file has to be there.

    Raises:
        InvalidArgument: Not the URL of a database that this release works with.
    """
    engine = open_engine(url)
    driver_of(engine.dialect).only_read(engine)
    return engine


_NEEDS: Final = {
    "psycopg": "pip install 'sermo-fsm[postgresql]'",
    "pymysql": "pip install 'sermo-fsm[mysql]'",
    "aiosqlite": "pip install 'sermo-fsm[async]'",
    "asyncmy": "pip install 'sermo-fsm[async]'",
    "psycopg2": "say postgresql+psycopg://",
    "MySQLdb": "say mysql+pymysql://",
}
"""What to do where a driver is not installed; the last two are no extras of ours."""


def open_by(
    create: Callable[..., Any], url: str | sa.URL, plain: Callable[[Any], sa.Engine]
) -> Any:
    """An engine of our own, of another class: *create* makes it, *plain* gives the one inside.

    Raises:
        InvalidArgument: Not the URL of a database that this release works with.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
            # Part of a password would stand where errors show it.
            wanted = "a URL in which an @ of the password is written %40"
            raise InvalidArgument("url", wanted=wanted, got="something else")
        driver = driver_of(parsed.get_dialect()())
        parsed, options = driver.engine_options(parsed)
        # Parameters are what customers wrote: they stay out of logs and errors.
        engine = create(parsed, hide_parameters=True, **options)
    except SermoError:
        raise
    except exc.InvalidRequestError:
        wanted = "a driver for asyncio: sqlite+aiosqlite, postgresql+psycopg or mysql+asyncmy"
        raise InvalidArgument("url", wanted=wanted, got="one that is none") from None
    except (exc.ArgumentError, TypeError, ValueError):  # such as a port that is no number
        wanted = "a database URL such as sqlite:///sermo.db"
        raise InvalidArgument("url", wanted=wanted, got="something else") from None
    except ModuleNotFoundError as error:
        wanted = "a database URL whose driver is installed"
        needs = _NEEDS.get(error.name or "")
        got = f"no module {error.name}" + (f"; {needs}" if needs else "")
        raise InvalidArgument("url", wanted=wanted, got=got) from None
    driver.adopt(plain(engine))
    driver.prepare(plain(engine))
    return engine


def adopt_engine(engine: sa.Engine) -> None:
    """Make the transactions of the host's *engine* begin where SQLAlchemy says so.

    Raises:
        InvalidArgument: It is of a database that this release does not work with.
    """
    driver_of(engine.dialect).adopt(engine)


def join(connection: sa.Connection) -> None:
    """Make sure that the host's *connection* is in a transaction that can be rolled back.

    Raises:
        InvalidArgument: It is not, or it is in a savepoint that would outlive the rollback.
    """
    driver = driver_of(connection.dialect)
    if not connection.in_transaction():
        connection.begin()  # as its first statement would; the host ends it all the same
    if not driver.join(connection):
        wanted = "a connection in a transaction"
        raise InvalidArgument("connection", wanted=wanted, got="one in AUTOCOMMIT")


@contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """A transaction of ours that is going to write, on a connection of ours."""
    driver = driver_of(connection.dialect)
    connection.execution_options(**driver.writing)
    if driver.in_autocommit(connection.connection.driver_connection):
        # The host's engine may be; a transaction of ours would be none then.
        with translated(connection.dialect):
            connection.execution_options(isolation_level="READ COMMITTED")
    with committing(connection, connection.begin):
        with translated(connection.dialect):
            driver.begin_to_write(connection)
        yield


def reading(connection: sa.Connection) -> None:
    """Make ready a connection of ours that asks one question."""
    connection.execution_options(**driver_of(connection.dialect).reading)


def snapshot(connection: sa.Connection) -> None:
    """Make ready a connection of ours that asks several questions about one moment."""
    driver_of(connection.dialect).take_snapshot(connection)


@contextmanager
def committing(
    connection: sa.Connection, begin: Callable[[], sa.Transaction]
) -> Iterator[sa.Transaction]:
    """A transaction or savepoint around the caller's code; only its own errors are translated.

    Raises:
        CommitUnknown: The connection was lost while the transaction was being committed.
    """
    with translated(connection.dialect):
        ours = begin()
    try:
        yield ours
    except BaseException:
        _roll_back(connection, ours)
        raise
    try:
        with translated(connection.dialect):
            ours.commit()
    except StoreError as error:
        if isinstance(ours, sa.NestedTransaction):
            _roll_back(connection, ours)  # else SQLAlchemy takes it for the one that is open
        elif isinstance(error, StoreUnavailable):
            again = "all of it is written or nothing; hand it in again with the same message ids"
            raise CommitUnknown(f"{error.reason}, during the commit: {again}") from error.__cause__
        raise


def _roll_back(connection: sa.Connection, ours: sa.Transaction) -> None:
    try:
        ours.rollback()
    except exc.SQLAlchemyError:
        # The database has taken back everything by itself: after a deadlock MySQL does, after a
        # full disk SQLite. What went wrong first counts; and the host must not go on and commit
        # what comes after without what came before.
        driver_of(connection.dialect).give_up(connection)


_RETRIED: Final = (LostRace, StoreBusy)
_TRANSIENT: Final = (Verdict.STALE, Verdict.BUSY, Verdict.GONE)


def worth_another_try(error: Exception, dialect: sa.Dialect) -> bool:
    """Whether the same transaction may well succeed when all of it is done again.

    It was rolled back: by us, or by the database. Where nobody can be reached at all, or where the
    commit itself went unanswered, it is for the caller to say.
    """
    if isinstance(error, _RETRIED):
        return True
    if isinstance(error, StoreUnavailable):
        return getattr(error.__cause__, "connection_invalidated", False)
    # A statement of the host's, in a hook.
    return isinstance(error, exc.DBAPIError) and _verdict(error, driver_of(dialect)) in _TRANSIENT


_REMEDY: Final = "; create our tables by ChatEngine.migrate() or 'sermo-fsm db upgrade'"
_KINDS: Final[dict[Verdict, tuple[type[StoreError], str]]] = {
    Verdict.LOST: (LostRace, "another writer was faster"),
    Verdict.STALE: (LostRace, "another writer was faster"),
    Verdict.BUSY: (StoreBusy, "the database is busy"),
    Verdict.GONE: (StoreUnavailable, "the database went away"),
    Verdict.NO_TABLES: (StoreError, "the database refused"),
    Verdict.REFUSED: (StoreError, "the database refused"),
}


@contextmanager
def translated(dialect: sa.Dialect, *, connecting: bool = False) -> Iterator[None]:
    """Driver errors become ours, here and nowhere else.

    Raises:
        StoreBusy: A lock was held for too long, or a deadlock was ended at our cost.
        LostRace: Another writer was faster.
        StoreUnavailable: The connection is lost, or never came about.
        StoreError: The database refused for another reason.
    """
    try:
        yield
    except exc.DBAPIError as error:
        driver = driver_of(dialect)
        driver.hush(error)
        verdict = _verdict(error, driver)
        if connecting and verdict is Verdict.REFUSED:
            verdict = Verdict.GONE
        kind, said = _KINDS[verdict]
        remedy = _REMEDY if verdict is Verdict.NO_TABLES else ""
        if connecting and verdict is Verdict.GONE:
            said = "the database can't be reached"
        raise kind(f"{said}: {_words(error, driver)}{remedy}") from error
    except exc.TimeoutError as error:
        raise StoreBusy("no connection of the pool came free in time") from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the database can't be used: {type(error).__name__}") from error


def _verdict(error: exc.DBAPIError, driver: Driver) -> Verdict:
    if error.connection_invalidated or error.orig is None:
        return Verdict.GONE
    return driver.verdict(error.orig)


def _words(error: exc.DBAPIError, driver: Driver) -> str:
    return driver.wording(error.orig) if error.orig is not None else type(error).__name__
