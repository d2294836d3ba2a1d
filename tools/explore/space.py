"""The state space: every database met while exploring, and where each action leads from it.

Each action is taken once from each database. What must hold of every action is checked right then,
so it holds on every path through it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from attrs import define, field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Trigger
from tools.explore.sandbox import (
    Execution,
    HistoryRecord,
    Sandbox,
    SessionRecord,
    Snapshot,
    SnapshotKey,
)
from tools.explore.streams import Action, Delivery, Sweep

__all__ = ["MAX_DATABASES", "DatabaseState", "StateSpace", "Violation"]

MAX_DATABASES: Final = 50_000
"""More than this means that databases differ that the engine should not tell apart."""


_BEFORE: Final = timedelta(milliseconds=1)


class Violation(Exception):
    """An action did what it must not do. The message says what."""


@frozen
class DatabaseState:
    """One database for all that the engine cannot tell apart.

    Attributes:
        number: Its index in :attr:`StateSpace.states`.
        chats: Its sessions.
        recorded: The messages in its history, by queue and id.
        row_hashes: A hash of each row of its history; the rows themselves would fill the memory.
        image: The database itself, to be restored.
    """

    number: int
    chats: tuple[SessionRecord, ...]
    recorded: frozenset[tuple[str, str | None]]
    row_hashes: tuple[int, ...] = field(repr=False)
    image: bytes = field(repr=False)

    @property
    def end(self) -> str:
        """The state of the user's current chat, with its kept state if the clock closed it."""
        if not self.chats:
            return "nobody"
        state, kept = self.chats[-1].state, self.chats[-1].kept_state
        return state if kept is None else f"{state} keeping {kept}"

    @property
    def deadline(self) -> datetime | None:
        """The deadline of the user's live chat; None if there is no live chat or no deadline."""
        live = self.chats and self.chats[-1].state != State.CLOSED
        return self.chats[-1].expires_at if live else None


@define
class StateSpace:
    """The databases met so far, and the actions taken from them.

    Every method that takes an action raises :class:`Violation` if the action breaks a rule.

    Attributes:
        sandbox: Runs the actions.
        on_execution: Called before each run of the engine, with the number of runs.
        states: The databases, by number.
        executions: The number of times the engine was run.
        power_cuts: The number of power cuts tried.
    """

    sandbox: Sandbox
    on_execution: Callable[[int], object]
    states: list[DatabaseState] = field(factory=list)
    executions: int = 0
    power_cuts: int = 0
    _numbers: dict[SnapshotKey, int] = field(factory=dict)
    _reads: dict[tuple[int, Delivery, bool], int] = field(factory=dict)
    _swept: dict[int, int] = field(factory=dict)
    _power_cut_kinds: set[tuple[object, ...]] = field(factory=set)

    @classmethod
    def of(cls, sandbox: Sandbox, on_execution: Callable[[int], object] = lambda _: None) -> Self:
        """The state space that begins with what *sandbox* holds now, as number 0."""
        space = cls(sandbox, on_execution)
        space.number_of(space.sandbox.snapshot())
        return space

    @property
    def swept(self) -> int:
        """The number of databases in which a sweep found a chat to close."""
        return len(self._swept)

    def number_of(self, snapshot: Snapshot) -> int:
        """The number of the database with this content, which may be new."""
        number = self._numbers.setdefault(snapshot.key, len(self.states))
        if number == len(self.states):
            if number == MAX_DATABASES:
                raise Violation(f"there are more than {MAX_DATABASES} different databases")
            recorded = frozenset((row.direction, row.message_id) for row in snapshot.rows)
            row_hashes = tuple(map(hash, snapshot.rows))
            self.states.append(
                DatabaseState(number, snapshot.chats, recorded, row_hashes, snapshot.image)
            )
        return number

    def read(self, number: int, delivery: Delivery, *, redelivered: bool = False) -> int:
        """Read *delivery* from the queue: the number of the database that this leads to."""
        key = number, delivery, redelivered
        if key not in self._reads:
            before = self.states[number]
            execution = self._hand_in(before, [delivery])
            _check(before, execution.snapshot, delivery, redelivered=redelivered)
            self._check_stored(execution)
            self._cut_the_power(before, execution, delivery)
            self._reads[key] = self.number_of(execution.snapshot)
        return self._reads[key]

    def sweep(self, number: int, sweep: Sweep) -> int:
        """Sweep: the number of the database that this leads to. It changes only past a deadline.

        All that matters about a sweep is whether it reaches the deadline. So three sweeps stand for
        all: just before the deadline, at it, and as late as possible. A fourth finds nothing left
        to close.
        """
        deadline = self.states[number].deadline
        if deadline is None or deadline > sweep.up_to:
            return number
        if number not in self._swept:
            self._swept[number] = self._sweep_at_deadline(number, sweep, deadline)
        return self._swept[number]

    def redeliver(self, number: int, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, int]]:
        """Redeliver messages: those that lead to another database, and its number.

        All of them are tried in one transaction first. If that changes nothing, none of them alone
        does.
        """
        if not deliveries or all((number, one, True) in self._reads for one in deliveries):
            return self._changing(number, deliveries)
        before = self.states[number]
        execution = self._hand_in(before, deliveries)
        unchanged = all(it.before is it.after or it.before == it.after for it in execution.receipts)
        if unchanged and self.number_of(execution.snapshot) == number:
            _check_rows(before, execution.snapshot, ())
            self._reads.update({(number, one, True): number for one in deliveries})
        return self._changing(number, deliveries)

    def _changing(self, number: int, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, int]]:
        found = [(one, self.read(number, one, redelivered=True)) for one in deliveries]
        return [(one, to) for one, to in found if to != number]

    def verify(self, number: int) -> None:
        """Let the engine verify the database with this number."""
        self.sandbox.restore(self.states[number].image)
        problems = self.sandbox.chats.verify().problems
        if problems:
            raise Violation(f"verify finds: {problems[0].what}")

    def _sweep_at_deadline(self, number: int, sweep: Sweep, deadline: datetime) -> int:
        if self._run_sweep(number, Sweep(deadline - _BEFORE)) != number:
            raise Violation("it changes something before the deadline")
        closed = self._run_sweep(number, Sweep(deadline))
        if self.states[closed].chats[-1].state != State.CLOSED:
            raise Violation("at the deadline it leaves the chat live")
        if self._run_sweep(number, sweep) != closed:
            raise Violation("it closes the chat otherwise than at its deadline")
        if self._run_sweep(closed, sweep) != closed:
            raise Violation("it changes what it has closed already")
        return closed

    def _run_sweep(self, number: int, sweep: Sweep) -> int:
        before = self.states[number]
        execution = self._run(partial(self.sandbox.sweep, before.image, sweep.up_to))
        _check_rows(before, execution.snapshot, ())
        self._cut_the_power(before, execution, sweep)
        return self.number_of(execution.snapshot)

    def _hand_in(self, before: DatabaseState, deliveries: Sequence[Delivery]) -> Execution:
        execution = self._run(partial(self.sandbox.hand_in, before.image, deliveries))
        for receipt in execution.receipts:
            if receipt.error is not None:
                raise Violation(f"it is not taken: {receipt.error}")
        return execution

    def _check_stored(self, execution: Execution) -> None:
        """Raise if the session is not stored as the receipt says."""
        after = execution.receipts[0].after
        if after is not None and self.sandbox.chats.session(after.session_id) != after:
            raise Violation("what is stored of the chat is not what became of it")

    def _run(self, execute: Callable[[], Execution]) -> Execution:
        self.executions += 1
        self.on_execution(self.executions)
        try:
            execution = execute()
        except Exception as error:
            raise Violation(f"it fails with {type(error).__name__}: {error}") from error
        if execution.commits != 1:
            raise Violation(f"it commits {execution.commits} times")
        return execution

    def _cut_the_power(self, before: DatabaseState, execution: Execution, action: Action) -> None:
        """Raise if a power cut leaves half of *action*. Tried once for each kind of action."""
        kind = (
            *(
                action.direction,
                action.trigger,
                *(receipt.outcome for receipt in execution.receipts),
            ),
            *(len(execution.snapshot.rows) - len(before.row_hashes), before.end),
        )
        if kind in self._power_cut_kinds:
            return
        self._power_cut_kinds.add(kind)
        *early, late = self.sandbox.power_cuts(before.image, action)
        self.power_cuts += len(early) + 1
        nothing = all(
            it.chats == before.chats and tuple(map(hash, it.rows)) == before.row_hashes
            for it in early
        )
        if not nothing or late.key != execution.snapshot.key:
            raise Violation("a power cut before its commit leaves half of it, or after it not all")


def _check(
    before: DatabaseState, after: Snapshot, delivery: Delivery, *, redelivered: bool
) -> None:
    """Raise if reading *delivery* lost something, or did something twice."""
    key = delivery.direction.value, delivery.message_id
    mine = [row for row in after.rows if (row.direction, row.message_id) == key]
    if key in before.recorded and (
        after.chats != before.chats or len(after.rows) > len(before.row_hashes)
    ):
        raise Violation("it was there before, and has an effect once more")
    if redelivered and mine and key not in before.recorded:
        raise Violation("it was read before, and has its effect only now")
    if not mine and not delivery.quiet:
        raise Violation("it is lost: it is not in the history")
    _check_rows(before, after, mine)
    final = {chat.values[0]: chat for chat in before.chats if chat.state == State.CLOSED}
    for chat in after.chats:
        if chat.values[0] in final and chat.state != State.CLOSED:
            raise Violation("a closed chat is open again")


def _check_rows(before: DatabaseState, after: Snapshot, mine: Sequence[HistoryRecord]) -> None:
    """Raise if a row is gone or changed, or a new one does not continue its session."""
    count = len(before.row_hashes)
    if tuple(map(hash, after.rows[:count])) != before.row_hashes:
        raise Violation("a row that was in the history is gone, or another one")
    chats = {(*chat.user, chat.ordinal): chat for chat in before.chats}
    ends = {key: (chat.row_count, chat.state, chat.effective_at) for key, chat in chats.items()}
    for row in after.rows[count:]:
        if row not in mine and row.trigger != Trigger.EXPIRE:
            raise Violation("a row came into the history that is of nothing that was read")
        if row.chat is not None:
            seq, state, latest = ends.get(row.chat, (0, None, ""))
            if (row.seq, row.from_state) != (seq + 1, state) or row.effective_at < latest:
                raise Violation("its row does not go on from the one before")
            ends[row.chat] = (seq + 1, str(row.to_state), row.effective_at)
    for chat in after.chats:
        end = ends.get((*chat.user, chat.ordinal))
        if end != (chat.row_count, chat.state, chat.effective_at):
            raise Violation("a chat is not what its rows say")
