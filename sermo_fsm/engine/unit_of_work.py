"""How a call is run on a connection: the same for plain code and, by SQLAlchemy's bridge, asyncio.

Both doors need a connection each in their own way; what happens on it is here.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError, UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from sermo_fsm.core.session import HistoryRow
from sermo_fsm.engine.hooks import Hooks
from sermo_fsm.engine.operations import Read, Write
from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.storage.transactions import (
    committing,
    join,
    reading,
    snapshot,
    transaction,
    translated,
    worth_another_try,
)

__all__ = [
    "HostConnection",
    "again",
    "ask",
    "ask_for_long",
    "begin_to_read",
    "check_dialect",
    "end_of",
    "next_of",
    "of_a_session",
    "plain_connection",
    "retries",
    "write_joined",
    "write_own",
]

_T = TypeVar("_T")


HostConnection = sa.Connection | Session | scoped_session[Any]
"""What a host hands in: its connection, or the ORM session that has one."""


def plain_connection(host: HostConnection, dialect: sa.Dialect) -> sa.Connection:
    """The connection behind what the host handed in.

    Raises:
        InvalidArgument: It has none, or one to another kind of database.
    """
    connection = host
    if isinstance(host, Session | scoped_session):
        with of_a_session(dialect):
            connection = host.connection()
    if not isinstance(connection, sa.Connection):
        wanted = "a SQLAlchemy Connection or Session"
        raise InvalidArgument("connection", wanted=wanted, got=type(host).__name__)
    check_dialect(connection.dialect, dialect)
    return connection


@contextmanager
def of_a_session(dialect: sa.Dialect) -> Iterator[None]:
    """Where the host's ORM session is asked for its connection.

    Raises:
        InvalidArgument: It has none of its own, or does not know which.
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


def check_dialect(theirs: sa.Dialect, ours: sa.Dialect) -> None:
    """Raise where the host's connection leads to another kind of database.

    Raises:
        InvalidArgument: It does.
    """
    if theirs.name != ours.name:
        wanted = f"a connection to {ours.name}, as the engine has"
        raise InvalidArgument("connection", wanted=wanted, got=theirs.name)


def retries(attempts: int) -> dict[str, Any]:
    """How a transaction of ours is tried again.

    Raises:
        InvalidArgument: Not a number of attempts.
    """
    if type(attempts) is not int or attempts < 1:
        raise InvalidArgument("attempts", wanted="an integer, 1 or more", got=attempts)
    # Others who lost the same race wait for a while of their own: that is what the jitter is for.
    waits = {"wait_initial": 0.005, "wait_max": 1.0, "wait_jitter": 0.02}
    return {"attempts": attempts, "timeout": 30.0, **waits}


def again(dialect: sa.Dialect) -> Callable[[Exception], bool]:
    """Whether it is worth another try."""
    return partial(worth_another_try, dialect=dialect)


def write_own(
    connection: sa.Connection,
    write: Write[_T],
    hooks: Hooks,
    shown: object,
    decided: Callable[[], object],
) -> tuple[_T, Sequence[HistoryRow]]:
    """In a transaction of ours, on a connection of ours; hooks are *shown* a connection.

    Calls *decided* when nothing is left to do but to commit. Once it has come back the rows are
    durable.
    """
    with transaction(connection):
        answer = _work(connection, write, hooks, shown)
        decided()
    return answer


def write_joined(connection: sa.Connection, write: Write[_T], hooks: Hooks, shown: object) -> _T:
    """In the host's transaction, in a savepoint of ours; the hooks wait for the host's commit."""
    with translated(connection.dialect):
        join(connection)
    with committing(connection, connection.begin_nested):
        result, rows = _work(connection, write, hooks, shown)
        hooks.wait(rows, connection)
    return result


def _work(
    connection: sa.Connection, write: Write[_T], hooks: Hooks, shown: object
) -> tuple[_T, Sequence[HistoryRow]]:
    with translated(connection.dialect):
        result, rows = write(connection)
    if hooks.within_transaction and rows:
        with _witness(connection):
            hooks.within(rows, connection, shown)
    return result, rows


@contextmanager
def _witness(connection: sa.Connection) -> Iterator[None]:
    """A savepoint around code of the host's: it can be released only if all is still there.

    That code may have caught an error after which the database has taken back everything, or is
    going to; and a commit would say nothing.
    """
    with translated(connection.dialect):
        savepoint = connection.begin_nested()
    try:
        yield
        with translated(connection.dialect):
            savepoint.commit()
    except BaseException:
        with suppress(SQLAlchemyError):  # what went wrong first counts, and more is undone next
            savepoint.rollback()
        raise


def ask(connection: sa.Connection, read: Read[_T]) -> _T:
    """One question, on a connection of ours."""
    with translated(connection.dialect):
        reading(connection)
        return read(connection)


def ask_for_long(connection: sa.Connection, read: Read[_T]) -> _T:
    """A question of several statements about one moment, on a connection of ours."""
    answer = begin_to_read(connection, read)
    _let_go(connection)
    return answer


def begin_to_read(connection: sa.Connection, read: Read[_T]) -> _T:
    """The same where the answer goes on reading from that connection."""
    with translated(connection.dialect), _left_to_nobody(connection):
        snapshot(connection)
        return read(connection)


def next_of(connection: sa.Connection, items: Iterator[_T]) -> list[_T]:
    """The next *items* of such an answer; none where there are no more."""
    with translated(connection.dialect), _left_to_nobody(connection):
        return list(islice(items, _AT_ONCE))


def end_of(connection: sa.Connection, items: Generator[_T, None, None]) -> None:
    """Read no more of them."""
    with _left_to_nobody(connection):
        items.close()
        _let_go(connection)


def _let_go(connection: sa.Connection) -> None:
    """End what only read: whoever has the answer does not mind that the connection is lost."""
    try:
        connection.rollback()
    except SQLAlchemyError:
        connection.invalidate()


@contextmanager
def _left_to_nobody(connection: sa.Connection) -> Iterator[None]:
    """Drop the connection where we are cancelled: a driver may have closed it in a cursor's end."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        connection.invalidate()
        raise


_AT_ONCE: Final = 2000
