"""Code of the host that runs for each row: inside the transaction, or once the row is durable.

``after_commit`` waits for the *outermost* commit, also in a transaction of the host's that ends
after our call has returned. Rows that were written in a savepoint are forgotten if the savepoint is
rolled back. While such a hook runs, the host's connection is still ending its transaction, so the
hook has to use another one.
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
from sermo_fsm.storage.backends import backend_named

__all__ = ["AfterCommit", "Call", "Hooks", "WithinTransaction", "guarded", "run"]

WithinTransaction = Callable[[HistoryRow, sa.Connection], object]
AfterCommit = Callable[[HistoryRow], object]
Call = Callable[[], object]

_LOG: Final = logging.getLogger("sermo_fsm")
_PENDING: Final = "sermo_fsm.after_commit"
"""Key in ``Connection.__dict__``: the calls that wait for its commit."""


@define
class Hooks:
    """The hooks of one engine. Those of an asynchronous engine may return an awaitable."""

    within_transaction: list[Callable[[HistoryRow, Any], object]] = field(factory=list)
    after_commit: list[AfterCommit] = field(factory=list)

    def within(self, rows: Iterable[HistoryRow], connection: sa.Connection, shown: object) -> None:
        """Call the ``within_transaction`` hooks.

        Args:
            rows: The rows that were written.
            connection: The connection they were written by.
            shown: The same connection as the hooks are to see it.
        """
        for row in rows:
            for hook in tuple(self.within_transaction):
                _wait_for(hook(row, shown), connection)

    def calls(self, rows: Iterable[HistoryRow]) -> list[Call]:
        """The calls of the ``after_commit`` hooks that are due once *rows* are durable."""
        if not self.after_commit:
            return []
        return [partial(hook, row) for row in rows for hook in self.after_commit]

    def wait(self, rows: Iterable[HistoryRow], connection: sa.Connection) -> None:
        """Make those calls once the host has committed the outermost transaction."""
        if calls := self.calls(rows):
            _pending_of(connection).calls += map(_PendingCall, calls)


def run(calls: Iterable[Call]) -> None:
    """Make *calls*; their rows are durable."""
    for call in calls:
        with guarded():
            result = call()
            if inspect.isawaitable(result):
                _refuse(result)


@contextmanager
def guarded() -> Iterator[None]:
    """Log what an ``after_commit`` hook raises: the caller must not take it for a failed commit."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever the host's code may raise
        _LOG.exception("an after_commit hook failed")


def _wait_for(result: object, connection: sa.Connection) -> None:
    """Await the *result* of a hook if it is awaitable, by SQLAlchemy's bridge to asyncio."""
    if inspect.isawaitable(result):
        driver: Any = connection.connection.dbapi_connection
        if not hasattr(driver, "run_async"):
            _refuse(result)
        driver.run_async(lambda _: result)


def _refuse(result: Awaitable[object]) -> NoReturn:
    """Raise for a hook that turned out to be asynchronous where nobody can await it."""
    getattr(result, "close", lambda: None)()  # a coroutine warns if it was never awaited
    wanted = "a plain function; AsyncChatEngine takes coroutine functions"
    raise InvalidArgument("hook", wanted=wanted, got=type(result).__name__)


# --- calls that wait for the host's commit -------------------------------------------------------


@define
class _PendingCall:
    """A call, and the number of the savepoint around its row once that is released."""

    run: Call
    savepoint: int | None = None


@define
class _PendingCalls:
    """The calls that wait for the outermost commit of one connection, and its listeners."""

    calls: list[_PendingCall] = field(factory=list)

    def on_release_savepoint(self, _: sa.Connection, name: str, __: object) -> None:
        """Note the savepoint of each new row: the first one that is released after the row."""
        for call in self.calls:
            if call.savepoint is None:
                call.savepoint = _number_of(name)

    def on_rollback_savepoint(self, _: sa.Connection, name: str, __: object) -> None:
        """Forget the rows of this savepoint and of all later ones; numbers grow as they are set."""
        undone = _number_of(name)
        self.calls = [
            call for call in self.calls if call.savepoint is not None and call.savepoint < undone
        ]

    def forget(self, *_: object) -> None:
        """Forget all calls: the transaction was rolled back."""
        self.calls.clear()

    def run(self, connection: sa.Connection) -> None:
        """Make all calls: the transaction was committed."""
        calls, self.calls = self.calls, []
        for call in calls:
            with guarded():
                _wait_for(call.run(), connection)


def _pending_of(connection: sa.Connection) -> _PendingCalls:
    pending: _PendingCalls | None = connection.__dict__.get(_PENDING)
    if pending is None:
        pending = _PendingCalls()
        event.listen(connection, "release_savepoint", pending.on_release_savepoint)
        event.listen(connection, "rollback_savepoint", pending.on_rollback_savepoint)
        event.listen(connection, "rollback", pending.forget)
        event.listen(connection, "rollback_twophase", pending.forget)
        if not event.contains(connection.engine, "handle_error", _forget_rolled_back):
            event.listen(connection.engine, "handle_error", _forget_rolled_back)
        for name in ("_commit_impl", "_commit_twophase_impl"):
            _wrap_commit(connection, name, pending)
        connection.__dict__[_PENDING] = pending
    return pending


def _number_of(savepoint: str) -> int:
    """The number in SQLAlchemy's names: ``sa_savepoint_1``, ``sa_savepoint_2`` and so on."""
    return int(savepoint.rpartition("_")[2])


def _forget_rolled_back(context: sa.ExceptionContext) -> None:
    """Forget the calls if an error has made the database roll back the whole transaction.

    A host that catches the error may go on and commit what comes after it.
    """
    connection = context.connection
    pending: _PendingCalls | None = None
    if connection is not None and not connection.invalidated:
        pending = connection.__dict__.get(_PENDING)
    if connection is None or pending is None:
        return
    backend = backend_named(connection.dialect.name)
    if backend.has_rolled_back(connection, context.original_exception):
        pending.forget()


def _wrap_commit(connection: sa.Connection, name: str, pending: _PendingCalls) -> None:
    """Make the calls after the commit. SQLAlchemy has an event before it only."""
    commit: Callable[..., None] = getattr(connection, name)
    backend = backend_named(connection.dialect.name)

    def committed(*arguments: Any) -> None:
        try:
            if backend.commit_will_fail(connection):
                pending.forget()
            commit(*arguments)
        except BaseException:
            pending.forget()  # no ``rollback`` event follows a failed commit
            raise
        pending.run(connection)

    connection.__dict__[name] = committed
