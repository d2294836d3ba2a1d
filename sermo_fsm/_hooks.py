"""Code of the host that runs with the rows: inside the transaction, or once it is durable.

``after_commit`` waits for the *outermost* commit, also inside a transaction that the host began
and will end after we returned. Rows that were written inside a savepoint are forgotten when that
savepoint is rolled back. While such a call runs, the host's connection is still ending its
transaction: a hook uses another one.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy import event

from sermo_fsm.session import HistoryRow

__all__ = ["AfterCommit", "Hooks", "WithinTransaction"]

WithinTransaction = Callable[[HistoryRow, sa.Connection], object]
AfterCommit = Callable[[HistoryRow], object]

_LOG: Final = logging.getLogger("sermo_fsm")
_WAITING: Final = "sermo_fsm.after_commit"


@define
class Hooks:
    """What the host asked to be called with."""

    within_transaction: list[WithinTransaction] = field(factory=list)
    after_commit: list[AfterCommit] = field(factory=list)

    def within(self, rows: Iterable[HistoryRow], connection: sa.Connection) -> None:
        """Call those that want to be part of the transaction."""
        for row in rows:
            for hook in tuple(self.within_transaction):
                hook(row, connection)

    def committed(self, rows: Iterable[HistoryRow]) -> None:
        """Call the others: these rows are durable."""
        _run(self._calls(rows))

    def wait(self, rows: Iterable[HistoryRow], connection: sa.Connection) -> None:
        """Call them once the host has committed the outermost transaction of *connection*."""
        if calls := self._calls(rows):
            _waiting_on(connection).calls += map(_Call, calls)

    def _calls(self, rows: Iterable[HistoryRow]) -> list[Callable[[], object]]:
        return [partial(hook, row) for row in rows for hook in self.after_commit]


def _run(calls: Iterable[Callable[[], object]]) -> None:
    for call in calls:
        try:
            call()
        except Exception:  # noqa: BLE001 - whatever the host's code may raise
            # What was written is durable: the caller must not take this for a failed commit.
            _LOG.exception("an after_commit hook failed")


@define
class _Call:
    """One call that waits, and the savepoint that was ours while its row was written."""

    run: Callable[[], object]
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

    def forget(self, _: sa.Connection) -> None:
        self.calls.clear()

    def run(self) -> None:
        calls, self.calls = self.calls, []
        _run(call.run for call in calls)


def _waiting_on(connection: sa.Connection) -> _Waiting:
    waiting: Any = connection.__dict__.get(_WAITING)
    if waiting is None:
        waiting = _Waiting()
        event.listen(connection, "release_savepoint", waiting.release_savepoint)
        event.listen(connection, "rollback_savepoint", waiting.undo_savepoint)
        event.listen(connection, "rollback", waiting.forget)
        _wrap_commit(connection, waiting)
        connection.__dict__[_WAITING] = waiting
    return waiting  # type: ignore[no-any-return]  # what this function put there


def _number(savepoint: str) -> int:
    """SQLAlchemy calls them ``sa_savepoint_1``, ``sa_savepoint_2`` and so on."""
    return int(savepoint.rpartition("_")[2])


def _wrap_commit(connection: sa.Connection, waiting: _Waiting) -> None:
    """SQLAlchemy's own ``commit`` event comes before the commit, and nothing comes after it."""
    commit: Callable[[], None] = connection._commit_impl  # noqa: SLF001 - see above

    def committed() -> None:
        try:
            commit()
        except BaseException:
            waiting.forget(connection)  # no ``rollback`` event follows on a failed commit
            raise
        waiting.run()

    connection.__dict__["_commit_impl"] = committed
