"""Code of the host that runs with the rows: inside the transaction, or once it is durable.

``after_commit`` waits for the *outermost* commit, also inside a transaction that the host began
and will end after we returned. Rows that were written inside a savepoint are forgotten when that
savepoint is rolled back. While such a call runs, the host's connection is still ending its
transaction: a hook uses another one.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy import event

from sermo_fsm.core.session import HistoryRow
from sermo_fsm.errors import InvalidArgument

__all__ = ["AfterCommit", "Call", "Hooks", "WithinTransaction", "guarded", "run"]

WithinTransaction = Callable[[HistoryRow, sa.Connection], object]
AfterCommit = Callable[[HistoryRow], object]
Call = Callable[[], object]

_LOG: Final = logging.getLogger("sermo_fsm")
_WAITING: Final = "sermo_fsm.after_commit"


@define
class Hooks:
    """What the host asked to be called with. The host of an asynchronous engine may await."""

    within_transaction: list[Callable[[HistoryRow, Any], object]] = field(factory=list)
    after_commit: list[AfterCommit] = field(factory=list)

    def within(self, rows: Iterable[HistoryRow], connection: sa.Connection, shown: object) -> None:
        """Call those that want to be part of the transaction; they are *shown* the connection."""
        for row in rows:
            for hook in tuple(self.within_transaction):
                _wait_for(hook(row, shown), connection)

    def calls(self, rows: Iterable[HistoryRow]) -> list[Call]:
        """What is to be called once these rows are durable."""
        return [partial(hook, row) for row in rows for hook in self.after_commit]

    def wait(self, rows: Iterable[HistoryRow], connection: sa.Connection) -> None:
        """Call them once the host has committed the outermost transaction of *connection*."""
        if calls := self.calls(rows):
            _waiting_on(connection).calls += map(_Call, calls)


def run(calls: Iterable[Call]) -> None:
    """Call them: what they are about is durable."""
    for call in calls:
        with guarded():
            given = call()
            if inspect.isawaitable(given):
                _refuse(given)


@contextmanager
def guarded() -> Iterator[None]:
    """A hook may fail: the caller must not take that for a failed commit."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever the host's code may raise
        _LOG.exception("an after_commit hook failed")


def _wait_for(given: object, connection: sa.Connection) -> None:
    """Await what a hook gave, if it is to be awaited, from within SQLAlchemy's own bridge."""
    if inspect.isawaitable(given):
        driver: Any = connection.connection.dbapi_connection
        if not hasattr(driver, "run_async"):
            _refuse(given)
        driver.run_async(lambda _: given)


def _refuse(given: Awaitable[object]) -> NoReturn:
    """Nobody here can await it: not every callable says beforehand what it gives."""
    getattr(given, "close", lambda: None)()  # a coroutine complains of not being awaited
    wanted = "a plain function; AsyncChatEngine takes coroutine functions"
    raise InvalidArgument("hook", wanted=wanted, got=type(given).__name__)


@define
class _Call:
    """One call that waits, and the savepoint that was ours while its row was written."""

    run: Call
    savepoint: int | None = None


@define
class _Waiting:
    """The calls that wait for the outermost commit of one connection."""

    calls: list[_Call] = field(factory=list)

    def release_savepoint(self, _: sa.Connection, name: str, __: object) -> None:
        """The first to be released after a row was written is the one around it."""
        for call in self.calls:
            if call.savepoint is None:
                call.savepoint = _number(name)

    def undo_savepoint(self, _: sa.Connection, name: str, __: object) -> None:
        """Savepoints are numbered as they are set: undoing one undoes all that came after."""
        undone = _number(name)
        self.calls = [
            call for call in self.calls if call.savepoint is not None and call.savepoint < undone
        ]

    def forget(self, *_: object) -> None:
        self.calls.clear()

    def run(self, connection: sa.Connection) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            with guarded():
                _wait_for(call.run(), connection)


def _waiting_on(connection: sa.Connection) -> _Waiting:
    waiting: Any = connection.__dict__.get(_WAITING)
    if waiting is None:
        waiting = _Waiting()
        event.listen(connection, "release_savepoint", waiting.release_savepoint)
        event.listen(connection, "rollback_savepoint", waiting.undo_savepoint)
        event.listen(connection, "rollback", waiting.forget)
        event.listen(connection, "rollback_twophase", waiting.forget)
        if not event.contains(connection.engine, "handle_error", _forget_what_is_undone):
            event.listen(connection.engine, "handle_error", _forget_what_is_undone)
        for name in ("_commit_impl", "_commit_twophase_impl"):
            _wrap_commit(connection, name, waiting)
        connection.__dict__[_WAITING] = waiting
    return waiting  # type: ignore[no-any-return]  # what this function put there


def _number(savepoint: str) -> int:
    """SQLAlchemy calls them ``sa_savepoint_1``, ``sa_savepoint_2`` and so on."""
    return int(savepoint.rpartition("_")[2])


_DEADLOCK: Final = 1213  # of MySQL and MariaDB


def _forget_what_is_undone(context: sa.ExceptionContext) -> None:
    """Some errors take back the whole transaction: a deadlock on MySQL, a full disk on SQLite.

    A host that has caught one may go on, and commit what comes after.
    """
    connection, error = context.connection, context.original_exception
    waiting = None if connection is None else connection.__dict__.get(_WAITING)
    if connection is None or waiting is None or connection.invalidated:
        return
    if connection.dialect.name == "sqlite":
        undone = not getattr(connection.connection.driver_connection, "in_transaction", True)
    else:
        undone = connection.dialect.name in ("mysql", "mariadb") and _DEADLOCK in error.args[:1]
    if undone:
        waiting.forget()


_IN_ERROR: Final = 3  # psycopg.pq.TransactionStatus.INERROR, known without a question to the server


def _has_failed(connection: sa.Connection) -> bool:
    """PostgreSQL answers the commit of a transaction that has failed by rolling it back.

    It calls that no error, so a host that has caught the first one would never hear of it.
    """
    info = getattr(connection.connection.driver_connection, "info", None)
    return getattr(info, "transaction_status", None) == _IN_ERROR


def _wrap_commit(connection: sa.Connection, name: str, waiting: _Waiting) -> None:
    """SQLAlchemy's own ``commit`` event comes before the commit, and nothing comes after it."""
    commit: Callable[..., None] = getattr(connection, name)

    def committed(*arguments: Any) -> None:
        try:
            if _has_failed(connection):
                waiting.forget()
            commit(*arguments)
        except BaseException:
            waiting.forget()  # no ``rollback`` event follows on a failed commit
            raise
        waiting.run(connection)

    connection.__dict__[name] = committed
