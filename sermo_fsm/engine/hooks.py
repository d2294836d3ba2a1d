"""Code of the host that runs for each row: inside the transaction, or once the row is durable.

``after_commit`` waits for the *outermost* commit, also in a transaction of the host's that ends
after our call has returned. Rows that were written in a savepoint are forgotten if the savepoint is
rolled back. While such a hook runs, the host's connection is still ending its transaction, so the
hook has to use another one.
"""

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy import event

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.backends import backend_named

__all__ = ["AfterCommit", "Call", "Hooks", "WithinTransaction", "check_hook", "guarded", "run"]

WithinTransaction = Callable[[HistoryRow, sa.Connection], object]
AfterCommit = Callable[[HistoryRow], object]
Call = Callable[[], object]
_Hook = TypeVar("_Hook")

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
            _pending_of(connection).calls += calls


def check_hook(hook: _Hook) -> _Hook:
    """The *hook*, if it can be called.

    Raises:
        InvalidArgument: It can't.
    """
    if not callable(hook):
        raise InvalidArgument("hook", wanted="a function", got=hook)
    return hook


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
class _PendingCalls:
    """The calls that wait for the outermost commit of one connection, and its listeners.

    Attributes:
        calls: In the order of their rows.
        savepoints: Those that are set, whoever has set them, each with the number of calls that
            were there before.
    """

    calls: list[Call] = field(factory=list)
    savepoints: list[tuple[str, int]] = field(factory=list)

    def after_statement(self, _: sa.Connection, __: object, statement: str, *___: object) -> None:
        """Forget what a savepoint takes back; SQLAlchemy's and those of SQL text are the same."""
        found = _OF_SAVEPOINTS.match(statement)
        if found is None:
            return
        word, back_to, name = found[1].upper(), found[2], found[3].strip("\"`'[]").casefold()
        if word == "SAVEPOINT":
            self.savepoints.append((name, len(self.calls)))
            return
        at = max((at for at, (one, _) in enumerate(self.savepoints) if one == name), default=None)
        if word == "RELEASE":
            if at is not None:
                del self.savepoints[at:]
        elif back_to is None or at is None:  # one that was set before all these rows
            self.forget()
        else:
            del self.calls[self.savepoints[at][1] :]
            del self.savepoints[at + 1 :]

    def forget(self, *_: object) -> None:
        """Forget all calls: the transaction was rolled back."""
        self.calls.clear()
        self.savepoints.clear()

    def run(self, connection: sa.Connection) -> None:
        """Make all calls: the transaction was committed."""
        calls = list(self.calls)
        self.forget()
        for call in calls:
            with guarded():
                _wait_for(call(), connection)


_OF_SAVEPOINTS: Final = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
    r"(SAVEPOINT|RELEASE|ROLLBACK)\b(?:\s+(?:WORK|TRANSACTION)\b)?(\s+TO\b)?"
    r"(?:\s+SAVEPOINT\b)?\s*(\"[^\"]*\"|`[^`]*`|[^\s;/]*)",
    re.IGNORECASE | re.DOTALL,
)


def _pending_of(connection: sa.Connection) -> _PendingCalls:
    pending: _PendingCalls | None = connection.__dict__.get(_PENDING)
    if pending is None:
        pending = _PendingCalls()
        event.listen(connection, "after_cursor_execute", pending.after_statement)
        event.listen(connection, "rollback", pending.forget)
        event.listen(connection, "rollback_twophase", pending.forget)
        if not event.contains(connection.engine, "handle_error", _forget_rolled_back):
            event.listen(connection.engine, "handle_error", _forget_rolled_back)
        for name in ("_commit_impl", "_commit_twophase_impl"):
            _wrap_commit(connection, name, pending)
        connection.__dict__[_PENDING] = pending
    return pending


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
