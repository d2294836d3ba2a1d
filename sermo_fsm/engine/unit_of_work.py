"""How an operation or a question is run on a connection, and what is tried again.

Both engines get a connection in their own way; what happens on it is here, the same for plain code
and, by SQLAlchemy's bridge, for asyncio.
"""

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.exc import SQLAlchemyError, UnboundExecutionError

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.engine.hooks import Hooks
from sermo_fsm.engine.operations import Write
from sermo_fsm.errors import CommitUnknown, InvalidArgument, StoreError
from sermo_fsm.storage.driver_errors import ENDED_BY_HOOK, translated, worth_another_try
from sermo_fsm.storage.kept_sessions import keep
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.transactions import (
    check_process,
    check_schema_is_kept,
    committing,
    join,
    reading,
    snapshot,
    transaction,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, scoped_session

    HostConnection = sa.Connection | Session | scoped_session[Any]
    """What a host hands in: its connection, or the ORM session that has one."""

__all__ = [
    "Retries",
    "ask",
    "ask_at_one_moment",
    "begin_to_read",
    "check_connection",
    "end_reading",
    "next_items",
    "of_a_session",
    "plain_connection",
    "write_joined",
    "write_own",
]

_T = TypeVar("_T")


def plain_connection(host: object, tables: Tables, dialect: sa.Dialect) -> sa.Connection:
    """The connection behind what the host handed in.

    Raises:
        InvalidArgument: It has none, or one that leads elsewhere.
    """
    connection = host if isinstance(host, sa.Connection) else _connection_of(host, dialect)
    check_connection(connection, tables, dialect)
    return connection


def _connection_of(host: object, dialect: sa.Dialect) -> sa.Connection:
    from sqlalchemy.orm import Session, scoped_session  # a host without an ORM never comes here

    connection: object = None
    if isinstance(host, Session | scoped_session):
        with of_a_session(dialect):
            connection = host.connection()
    if not isinstance(connection, sa.Connection):
        wanted = "a SQLAlchemy Connection or Session"
        raise InvalidArgument("connection", wanted=wanted, got=type(host).__name__)
    return connection


@contextmanager
def of_a_session(dialect: sa.Dialect) -> Iterator[None]:
    """Around asking the host's ORM session for its connection.

    Raises:
        InvalidArgument: The session is bound to no engine, or to several.
    """
    try:
        with translated(dialect):
            yield
    except StoreError as error:
        if not isinstance(error.__cause__, UnboundExecutionError):
            raise
        wanted = "a Session that is bound to one engine, or the connection of the one that is meant"
        got = "a Session that is bound to none, or to several"
        raise InvalidArgument("connection", wanted=wanted, got=got) from error.__cause__


def check_connection(connection: sa.Connection, tables: Tables, dialect: sa.Dialect) -> None:
    """Refuse a host's *connection* to another kind of database, or to tables in another schema.

    Raises:
        InvalidArgument: It is one.
        ForkedEngine: It was made in the parent of this process.
    """
    if connection.dialect.name != dialect.name:
        wanted = f"a connection to {dialect.name}, as the engine has"
        raise InvalidArgument("connection", wanted=wanted, got=connection.dialect.name)
    with translated(dialect):
        check_process(connection)
    check_schema_is_kept("connection", connection, tables.schema)


def _check_attempts(_: object, __: object, attempts: Any) -> None:
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidArgument("attempts", wanted="an integer, 1 or more", got=attempts)


@frozen
class Retries:
    """How our own transactions are tried again; in the host's nothing is.

    The first try is not ours to make: an engine makes it without any of this, and comes here only
    with the error that it ended in.

    Attributes:
        dialect: The kind of database.
        attempts: How many tries there are, the first included.
    """

    dialect: sa.Dialect
    attempts: int = field(validator=_check_attempts)

    def after(self, failure: Exception, work: Callable[[], _T]) -> _T:
        """The answer of *work*, which has failed once; raises when trying again is no use."""
        import stamina

        first = [self._worth_it(failure)]

        def once() -> _T:
            if first:  # stamina counts, logs and waits as after its own try
                raise first.pop()
            return work()

        return stamina.RetryingCaller(**self._options).on(self._is_transient)(once)

    async def after_async(self, failure: Exception, work: Callable[[], Awaitable[_T]]) -> _T:
        """The same for asyncio."""
        import stamina

        first = [self._worth_it(failure)]

        async def once() -> _T:
            if first:
                raise first.pop()
            return await work()

        return await stamina.AsyncRetryingCaller(**self._options).on(self._is_transient)(once)

    def _worth_it(self, failure: Exception) -> Exception:
        if self._is_transient(failure):
            return failure
        raise failure

    def _is_transient(self, error: Exception) -> bool:
        return worth_another_try(error, self.dialect)

    @property
    def _options(self) -> dict[str, Any]:
        # Others who lost the same race wait for a time of their own: that is what jitter is for.
        waits = {"wait_initial": 0.005, "wait_max": 1.0, "wait_jitter": 0.02}
        return {"attempts": self.attempts, "timeout": 30.0, **waits}


def write_own(
    connection: sa.Connection,
    write: Write[_T],
    hooks: Hooks,
    shown: object = None,
    decided: Callable[[], object] | None = None,
) -> tuple[_T, Sequence[HistoryRow]]:
    """Run *write* in a transaction of our own; the rows are durable when it returns.

    Hooks are *shown* this connection, or the asynchronous one around it. *decided* is called when
    nothing is left to do but to commit.
    """
    with transaction(connection) as ours:
        with translated(connection.dialect):
            result, rows = write(connection)
        if hooks.within_transaction and rows:
            _call_within(connection, rows, hooks, shown or connection)
        if decided is not None:
            decided()
    keep(connection, ours)
    return result, rows


def write_joined(connection: sa.Connection, write: Write[_T], hooks: Hooks, shown: object) -> _T:
    """Run *write* in the host's transaction, in our own savepoint.

    ``after_commit`` hooks wait for the host's commit.
    """
    with translated(connection.dialect):
        join(connection)
    with committing(connection, connection.begin_nested):
        with translated(connection.dialect):
            result, rows = write(connection)
        if hooks.within_transaction and rows:
            _call_within(connection, rows, hooks, shown)
        hooks.wait(rows, connection)
    return result


def _call_within(
    connection: sa.Connection, rows: Sequence[HistoryRow], hooks: Hooks, shown: object
) -> None:
    """Call the ``within_transaction`` hooks, and make sure that the transaction survived them.

    The host's code may have caught an error after which the database has taken back everything, or
    is going to, and a commit would not say so. A savepoint around it can be released only if all is
    still there.

    Raises:
        CommitUnknown: It is not: a hook has ended the transaction.
    """
    with translated(connection.dialect):
        savepoint = connection.begin_nested()
    try:
        hooks.within(rows, connection, shown)
        with translated(connection.dialect):
            _release(savepoint)
    except BaseException:
        if (
            connection.get_nested_transaction() is not None
        ):  # else a hook has ended the transaction around it
            with suppress(SQLAlchemyError):  # the first error counts, and more is undone next
                savepoint.rollback()
        raise


def _release(savepoint: sa.NestedTransaction) -> None:
    if not savepoint.is_active:
        raise CommitUnknown(ENDED_BY_HOOK)
    savepoint.commit()


def ask(connection: sa.Connection, read: Read[_T]) -> _T:
    """Answer a question of one statement, on our own connection."""
    with translated(connection.dialect):
        reading(connection)
        return read(connection)


def ask_at_one_moment(connection: sa.Connection, read: Read[_T]) -> _T:
    """Answer a question of several statements about one moment, on our own connection."""
    answer = begin_to_read(connection, read)
    _end_read(connection)
    return answer


def begin_to_read(connection: sa.Connection, read: Read[_T]) -> _T:
    """Begin to answer a question about one moment; the answer goes on reading."""
    with translated(connection.dialect), _invalidate_on_cancel(connection):
        snapshot(connection)
        return read(connection)


def next_items(connection: sa.Connection, items: Iterator[_T]) -> list[_T]:
    """The next portion of *items*, which are read from *connection*; empty at their end."""
    with translated(connection.dialect), _invalidate_on_cancel(connection):
        check_process(connection)
        return list(islice(items, _PORTION))


def end_reading(connection: sa.Connection, items: Generator[_T, None, None]) -> None:
    """Read no more of *items*."""
    with _invalidate_on_cancel(connection):
        items.close()
        _end_read(connection)


def _end_read(connection: sa.Connection) -> None:
    """Roll back a read-only transaction. A lost connection is discarded; the answer is here."""
    try:
        connection.rollback()
    except SQLAlchemyError:
        connection.invalidate()


@contextmanager
def _invalidate_on_cancel(connection: sa.Connection) -> Iterator[None]:
    """Invalidate the connection if the block is cancelled: the driver may have stopped half-way."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        connection.invalidate()
        raise


_PORTION: Final = 2000
