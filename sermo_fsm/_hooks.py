"""Code of the host that runs with the rows: inside the transaction, or once it is durable.

``after_commit`` waits for the *outermost* commit, also inside a transaction that the host began
and will end after we returned. Rows that were written inside a savepoint are forgotten when that
savepoint is rolled back.
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

    def written(self, connection: sa.Connection, rows: Iterable[HistoryRow]) -> None:
        """Call those within the transaction now, and the others once it is durable."""
        rows = tuple(rows)
        for row in rows:
            for within in self.within_transaction:
                within(row, connection)
        if self.after_commit and rows:
            _waiting_on(connection).calls += [
                partial(after, row) for row in rows for after in self.after_commit
            ]


@define
class _Waiting:
    """The calls that wait for the outermost commit of one connection."""

    calls: list[Callable[[], object]] = field(factory=list)
    marks: dict[str, int] = field(factory=dict)
    """How many calls waited when a savepoint was set."""

    def set_savepoint(self, _: sa.Connection, name: str | None) -> None:
        if name is not None:
            self.marks[name] = len(self.calls)

    def undo_savepoint(self, _: sa.Connection, name: str, __: object) -> None:
        # A savepoint that was set before the first row undoes all of them.
        del self.calls[self.marks.get(name, 0) :]

    def forget(self, _: sa.Connection) -> None:
        self.calls.clear()
        self.marks.clear()

    def run(self) -> None:
        calls, self.calls = self.calls, []
        self.marks.clear()
        for call in calls:
            try:
                call()
            except Exception:
                # What was written is durable: the caller must not take this for a failed commit.
                _LOG.exception("an after_commit hook failed")


def _waiting_on(connection: sa.Connection) -> _Waiting:
    waiting: Any = connection.__dict__.get(_WAITING)
    if waiting is None:
        waiting = _Waiting()
        event.listen(connection, "savepoint", waiting.set_savepoint)
        event.listen(connection, "rollback_savepoint", waiting.undo_savepoint)
        event.listen(connection, "rollback", waiting.forget)
        _call_after_commit(connection, waiting.run)
        connection.__dict__[_WAITING] = waiting
    return waiting  # type: ignore[no-any-return]  # what this function put there


def _call_after_commit(connection: sa.Connection, run: Callable[[], None]) -> None:
    """SQLAlchemy's own ``commit`` event comes before the commit, and nothing comes after it."""
    for name in ("_commit_impl", "_commit_twophase_impl"):
        commit = getattr(connection, name)

        def committed(*args: Any, _commit: Callable[..., Any] = commit, **options: Any) -> None:
            _commit(*args, **options)
            run()

        setattr(connection, name, committed)
