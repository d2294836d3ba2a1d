"""Engines and transactions, the same for every database.

What databases do differently is in :mod:`sermo_fsm.storage.backends`. Everything here runs in plain
code, or in plain code that SQLAlchemy runs for asyncio.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from sermo_fsm.errors import (
    CommitUnknown,
    ForkedEngine,
    InvalidArgument,
    SermoError,
    StoreError,
    StoreUnavailable,
)
from sermo_fsm.storage.backends import (
    Backend,
    backend_named,
    right_scheme,
)
from sermo_fsm.storage.database_url import checked_url, refused_url
from sermo_fsm.storage.driver_errors import translate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "HostEngine",
    "adopt_engine",
    "check_process",
    "check_schema_is_kept",
    "committing",
    "held",
    "is_our_own",
    "join",
    "open_by",
    "open_engine",
    "open_to_read",
    "open_to_read_async",
    "reading",
    "snapshot",
    "streamed",
    "transaction",
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
        raise refused_url(engine.url, asynchronous=False)
    return engine


def open_to_read(url: str | sa.URL) -> sa.Engine:
    """Create our own engine that changes nothing. The database has to exist.

    Raises:
        InvalidArgument: As for :func:`open_engine`.
    """
    engine = open_engine(url)
    backend_named(engine.dialect.name).configure_read_only(engine)
    return engine


def open_to_read_async(url: str | sa.URL) -> "AsyncEngine":
    """The same for asyncio.

    Raises:
        InvalidArgument: *url* is not the URL of a supported database, or its driver is missing or
            not for asyncio.
    """
    from sqlalchemy.ext.asyncio import create_async_engine

    engine: AsyncEngine = open_by(create_async_engine, url, lambda engine: engine.sync_engine)
    backend_named(engine.dialect.name).configure_read_only(engine.sync_engine)
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
    asynchronous = create is not sa.create_engine
    parsed = checked_url(url, asynchronous=asynchronous)
    backend: Backend | None = None
    try:
        backend = backend_named(parsed.get_dialect()().name)
        backend.check_url(parsed)
        parsed, options = backend.engine_options(parsed)
        # Parameters hold what customers wrote, so they stay out of logs and errors.
        engine = create(parsed, hide_parameters=True, **options)
    except SermoError:
        raise
    except (exc.InvalidRequestError, exc.ArgumentError, TypeError, ValueError):
        raise refused_url(parsed, asynchronous=asynchronous) from None
    except ModuleNotFoundError as error:
        remedy = None if backend is None else backend.drivers.get(error.name or "")
        scheme = right_scheme(parsed.get_backend_name(), asynchronous=asynchronous)
        if remedy is None and scheme is not None:
            remedy = f"write {scheme}://"
        wanted = "a database URL whose driver is installed"
        got = f"no module {error.name}" + (f"; {remedy}" if remedy else "")
        raise InvalidArgument("url", wanted=wanted, got=got) from None
    backend.configure_engine(plain(engine))
    event.listen(plain(engine), "connect", _note_process)
    _OUR_ENGINES.add(plain(engine))
    return engine


def is_our_own(connection: sa.Connection) -> bool:
    """Whether *connection* is of an engine that we made, and that nobody else has."""
    return connection.engine in _OUR_ENGINES


def adopt_engine(engine: sa.Engine, schema: str | None) -> "HostEngine":
    """Make the transactions of the host's *engine* begin as SQLAlchemy says.

    Raises:
        InvalidArgument: Its database is not supported, or it renames the *schema* of our tables.
    """
    backend_named(engine.dialect.name).prepare_engine(engine)
    if not event.contains(engine, "connect", _note_process):
        event.listen(engine, "connect", _note_process)
    host = HostEngine(engine, schema)
    host.check()
    return host


def check_schema_is_kept(
    argument: str, host: sa.Engine | sa.Connection, schema: str | None
) -> None:
    """Refuse a ``schema_translate_map`` for our tables: it renames some of our statements only.

    Raises:
        InvalidArgument: The host has one.
    """
    names = host.get_execution_options().get("schema_translate_map") or {}
    if schema in names:
        wanted = "no schema_translate_map for our tables; name their schema by ChatEngine(schema=…)"
        raise InvalidArgument(argument, wanted=wanted, got={schema: names[schema]})


class HostEngine:
    """Knows in which process the connections of a host's engine were made."""

    def __init__(self, engine: sa.Engine, schema: str | None) -> None:
        self._engine = engine
        self._schema = schema
        self._pool = engine.pool
        self._process = os.getpid()

    def check(self) -> None:
        """Refuse connections of a parent process; ``dispose(close=False)`` makes a new pool.

        Raises:
            ForkedEngine: This process was forked after the engine was handed in.
            InvalidArgument: The engine renames the schema of our tables.
        """
        check_schema_is_kept("database", self._engine, self._schema)
        if os.getpid() == self._process:
            return
        if self._engine.pool is self._pool:
            raise ForkedEngine(
                "the engine was handed in before this process was forked: call "
                "engine.dispose(close=False) in the new process, or make the engine there"
            )
        self._pool, self._process = self._engine.pool, os.getpid()


_OUR_ENGINES: Final[WeakSet[sa.Engine]] = WeakSet()
_HELD: Final[set[sa.Connection]] = set()
_CUT_OFF: Final[WeakSet[sa.Connection]] = WeakSet()
_PROCESS: Final = "sermo_process"
"""Key in ``Connection.info``: the process that connected to the database."""


def _note_process(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_PROCESS] = os.getpid()


def check_process(connection: sa.Connection) -> None:
    """Refuse a connection that came along from the parent process.

    One that somebody else's engine has made is known from when it was handed in first.

    Raises:
        ForkedEngine: It is one.
    """
    if connection in _CUT_OFF or _process_of(connection) != os.getpid():
        raise ForkedEngine(
            "the connection was made before this process was forked, and belongs to its parent: "
            "connect in the new process"
        )


def _process_of(connection: sa.Connection) -> int:
    """Which process connected; one that has lost its connection will do so when it is used."""
    here = os.getpid()
    return here if connection.invalidated else connection.info.setdefault(_PROCESS, here)


@contextmanager
def held(connection: sa.Connection) -> Iterator[None]:
    """Around other people's code that runs while we go on with *connection* afterwards.

    If it forks, the child can't use the connection, not even to close it.
    """
    _HELD.add(connection)
    try:
        yield
    finally:
        _HELD.discard(connection)


def _forget_connections() -> None:
    """Leave the connections of our own engines to the parent process; they stay open there.

    One that is in use is cut off from the server: to end that here would end it in the parent.
    """
    for connection in list(_HELD):
        _CUT_OFF.add(connection)
        _backend_of(connection).cut_off(connection)
    _HELD.clear()
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
    backend = backend_named(connection.dialect.name)
    try:
        ours = begin()
    except exc.SQLAlchemyError as error:
        raise translate(error, connection.dialect) from error
    try:
        yield ours
    except BaseException:
        backend.roll_back(connection, ours)
        raise
    if backend.commit_will_fail(connection):
        backend.roll_back(connection, ours)
        raise StoreError("the transaction was rolled back by somebody else; nothing is written")
    try:
        ours.commit()
    except exc.SQLAlchemyError as error:
        if isinstance(ours, sa.NestedTransaction):
            # Without this, SQLAlchemy would still take the savepoint for the current one.
            backend.roll_back(connection, ours)
            raise translate(error, connection.dialect) from error
        raise _unless_unknown(translate(error, connection.dialect)) from error


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
