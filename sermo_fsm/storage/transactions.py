"""Engines, transactions and errors, the same for every database.

What databases do differently is in :mod:`sermo_fsm.storage.backends`. Everything here runs in plain
code, or in plain code that SQLAlchemy runs for asyncio.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event, exc

from sermo_fsm.errors import (
    CommitUnknown,
    ForkedEngine,
    InvalidArgument,
    LostRace,
    SermoError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from sermo_fsm.storage.backends import (
    ASYNC_DRIVERS,
    EXAMPLE_URL,
    Backend,
    ErrorKind,
    backend_named,
)

__all__ = [
    "HostEngine",
    "adopt_engine",
    "committing",
    "join",
    "open_by",
    "open_engine",
    "open_to_read",
    "reading",
    "snapshot",
    "streamed",
    "transaction",
    "translated",
    "worth_another_try",
]

# --- engines -------------------------------------------------------------------------------------


def open_engine(url: str | sa.URL) -> sa.Engine:
    """Create our own engine.

    Raises:
        InvalidArgument: *url* is not the URL of a supported database, or its driver is missing or
            for asyncio.
    """
    engine: sa.Engine = open_by(sa.create_engine, url, lambda engine: engine)
    if engine.dialect.is_async:
        wanted = "a driver that is not for asyncio; for that there is AsyncChatEngine"
        raise InvalidArgument("url", wanted=wanted, got=engine.dialect.driver)
    return engine


def open_to_read(url: str | sa.URL) -> sa.Engine:
    """Create our own engine that changes nothing. The database has to exist.

    Raises:
        InvalidArgument: As for :func:`open_engine`.
    """
    engine = open_engine(url)
    backend_named(engine.dialect.name).configure_read_only(engine)
    return engine


def open_by(
    create: Callable[..., Any], url: str | sa.URL, plain: Callable[[Any], sa.Engine]
) -> Any:
    """Create our own engine of any class.

    Args:
        create: ``create_engine`` or ``create_async_engine``.
        url: Where the database is.
        plain: Returns the ``Engine`` inside the created one.

    Raises:
        InvalidArgument: *url* is not the URL of a supported database, or its driver is missing or
            not for asyncio.
    """
    backend: Backend | None = None
    try:
        parsed = sa.make_url(url)
        backend = backend_named(parsed.get_dialect()().name)
        backend.check_url(parsed)
        parsed, options = backend.engine_options(parsed)
        # Parameters hold what customers wrote, so they stay out of logs and errors.
        engine = create(parsed, hide_parameters=True, **options)
    except SermoError:
        raise
    except exc.InvalidRequestError:
        wanted = f"a driver for asyncio: {ASYNC_DRIVERS}"
        raise InvalidArgument("url", wanted=wanted, got="one that is none") from None
    except (exc.ArgumentError, TypeError, ValueError):  # such as a port that is not a number
        wanted = f"a database URL such as {EXAMPLE_URL}"
        raise InvalidArgument("url", wanted=wanted, got="something else") from None
    except ModuleNotFoundError as error:
        wanted = "a database URL whose driver is installed"
        remedy = None if backend is None else backend.drivers.get(error.name or "")
        got = f"no module {error.name}" + (f"; {remedy}" if remedy else "")
        raise InvalidArgument("url", wanted=wanted, got=got) from None
    backend.prepare_engine(plain(engine))
    backend.configure_engine(plain(engine))
    _OUR_ENGINES.add(plain(engine))
    return engine


def adopt_engine(engine: sa.Engine) -> "HostEngine":
    """Make the transactions of the host's *engine* begin as SQLAlchemy says.

    Raises:
        InvalidArgument: Its database is not supported.
    """
    backend_named(engine.dialect.name).prepare_engine(engine)
    return HostEngine(engine)


class HostEngine:
    """Knows in which process the connections of a host's engine were made."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._pool = engine.pool
        self._process = os.getpid()

    def check_process(self) -> None:
        """Refuse connections of a parent process; ``dispose(close=False)`` makes a new pool.

        Raises:
            ForkedEngine: This process was forked after the engine was handed in.
        """
        if os.getpid() == self._process:
            return
        if self._engine.pool is self._pool:
            raise ForkedEngine(
                "the engine was handed in before this process was forked: call "
                "engine.dispose(close=False) in the new process, or make the engine there"
            )
        self._pool, self._process = self._engine.pool, os.getpid()


_OUR_ENGINES: Final[WeakSet[sa.Engine]] = WeakSet()


def _forget_connections() -> None:
    """Leave the connections of our own engines to the parent process; they stay open there."""
    for engine in list(_OUR_ENGINES):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):  # pragma: no branch - there is no fork on Windows
    os.register_at_fork(after_in_child=_forget_connections)


# --- transactions --------------------------------------------------------------------------------


def transaction(connection: sa.Connection) -> AbstractContextManager[sa.Transaction]:
    """A transaction around the caller's code that is going to write, on our own connection.

    Raises:
        CommitUnknown: The connection was lost during the commit.
        StoreError: The database refused to begin or to commit.
    """
    backend = backend_named(connection.dialect.name)
    return committing(connection, partial(backend.begin_write, connection))


@contextmanager
def streamed(
    connection: sa.Connection, query: sa.Select[Any]
) -> Iterator[sa.CursorResult[*tuple[Any, ...]]]:
    """The result of *query*, which reads a few rows at a time, by a cursor that gets closed.

    SQLAlchemy leaves the cursor open if the connection is lost, or the task is cancelled, while
    the cursor is declared, read or closed.
    """
    cursors: list[Any] = []

    def note(_: sa.Connection, cursor: Any, *__: object) -> None:
        cursors.append(cursor)

    event.listen(connection, "before_cursor_execute", note)
    try:
        try:
            found = connection.execute(query)
        finally:
            event.remove(connection, "before_cursor_execute", note)
        with found:
            yield found
    finally:
        for cursor in cursors:
            _backend_of(connection).drop_open_cursor(connection, cursor)


@contextmanager
def committing(
    connection: sa.Connection, begin: Callable[[], sa.Transaction]
) -> Iterator[sa.Transaction]:
    """A transaction or savepoint around the caller's code, whose own errors pass through.

    Raises:
        CommitUnknown: The connection was lost during the commit.
        StoreError: The database refused to begin or to commit.
    """
    try:
        ours = begin()
    except exc.SQLAlchemyError as error:
        raise _translate(error, connection.dialect) from error
    try:
        yield ours
    except BaseException:
        _backend_of(connection).roll_back(connection, ours)
        raise
    try:
        ours.commit()
    except exc.SQLAlchemyError as error:
        if isinstance(ours, sa.NestedTransaction):
            # Without this, SQLAlchemy would still take the savepoint for the current one.
            _backend_of(connection).roll_back(connection, ours)
            raise _translate(error, connection.dialect) from error
        raise _unless_unknown(_translate(error, connection.dialect)) from error


def _unless_unknown(error: StoreError) -> StoreError:
    """*error* of a commit, or CommitUnknown if the connection was lost during it."""
    if not isinstance(error, StoreUnavailable):
        return error
    advice = "all of it is written or nothing; hand it in again with the same message ids"
    return CommitUnknown(f"{error.reason}, during the commit: {advice}")


def join(connection: sa.Connection) -> None:
    """Make sure that the host's *connection* is in a transaction that can be rolled back.

    Raises:
        InvalidArgument: It can't be: the connection is in AUTOCOMMIT, or in a savepoint that would
            survive the rollback.
    """
    if not connection.in_transaction():
        connection.begin()  # as the host's first statement would; it is still the host's to end
    if not _backend_of(connection).ensure_transaction(connection):
        wanted = "a connection in a transaction"
        raise InvalidArgument("connection", wanted=wanted, got="one in AUTOCOMMIT")


def reading(connection: sa.Connection) -> None:
    """Prepare our own connection for one query."""
    _backend_of(connection).prepare_query(connection)


def snapshot(connection: sa.Connection) -> None:
    """Prepare our own connection for several queries that see the database at one moment."""
    _backend_of(connection).prepare_snapshot(connection)


def _backend_of(connection: sa.Connection) -> Backend:
    return backend_named(connection.dialect.name)


# --- errors --------------------------------------------------------------------------------------

_CREATE_TABLES: Final = "; create our tables by ChatEngine.migrate() or 'sermo-fsm db upgrade'"
_LOST_RACE: Final = (LostRace, "another writer was faster")
_REFUSED: Final = (StoreError, "the database refused")
_TRANSLATIONS: Final[dict[ErrorKind, tuple[type[StoreError], str]]] = {
    ErrorKind.UNIQUE_VIOLATION: _LOST_RACE,
    ErrorKind.SERIALIZATION_FAILURE: _LOST_RACE,
    ErrorKind.BUSY: (StoreBusy, "the database is busy"),
    ErrorKind.CONNECTION_LOST: (StoreUnavailable, "the database went away"),
    ErrorKind.MISSING_TABLE: _REFUSED,
    ErrorKind.OTHER: _REFUSED,
}
_TRANSIENT: Final = (ErrorKind.SERIALIZATION_FAILURE, ErrorKind.BUSY, ErrorKind.CONNECTION_LOST)


@contextmanager
def translated(dialect: sa.Dialect, *, connecting: bool = False) -> Iterator[None]:
    """Raise our own errors instead of those of SQLAlchemy and the driver, which become their cause.

    Args:
        dialect: Of the connection that is used.
        connecting: Whether a connection is being opened.

    Raises:
        StoreBusy: A lock was held for too long, or a deadlock was broken at our cost.
        LostRace: Another writer was faster.
        StoreUnavailable: The connection was lost or can't be opened.
        StoreError: The database refused for another reason.
    """
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise _translate(error, dialect, connecting=connecting) from error


def _translate(
    error: exc.SQLAlchemyError, dialect: sa.Dialect, *, connecting: bool = False
) -> StoreError:
    if isinstance(error, exc.TimeoutError):
        return StoreBusy("no connection of the pool came free in time")
    if not isinstance(error, exc.DBAPIError):
        return StoreError(f"the database can't be used: {type(error).__name__}")
    backend = backend_named(dialect.name)
    backend.redact(error)
    kind = _classify(error, backend)
    if connecting and kind is ErrorKind.OTHER:
        kind = ErrorKind.CONNECTION_LOST
    translation, text = _TRANSLATIONS[kind]
    if connecting and kind is ErrorKind.CONNECTION_LOST:
        text = "the database can't be reached"
    detail = type(error).__name__ if error.orig is None else backend.describe(error.orig)
    remedy = _CREATE_TABLES if kind is ErrorKind.MISSING_TABLE else ""
    return translation(f"{text}: {detail}{remedy}")


def _classify(error: exc.DBAPIError, backend: Backend) -> ErrorKind:
    if error.connection_invalidated or error.orig is None:
        return ErrorKind.CONNECTION_LOST
    return backend.classify(error.orig)


def worth_another_try(error: Exception, dialect: sa.Dialect) -> bool:
    """Whether the same transaction may succeed if all of it is done again.

    It has been rolled back, by us or by the database. An error of the host's own statement, in a
    hook, counts as one of ours. If the database can't be reached at all, or the outcome of the
    commit is unknown, that is for the caller to decide.
    """
    if isinstance(error, LostRace | StoreBusy):
        return True
    if isinstance(error, StoreUnavailable):
        return getattr(error.__cause__, "connection_invalidated", False)
    if not isinstance(error, exc.DBAPIError):
        return False
    return _classify(error, backend_named(dialect.name)) in _TRANSIENT
