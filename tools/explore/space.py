"""Every database that was met while exploring, and where each message leads from there.

A step is taken once from each of them. What must hold of every step is looked at right then, so it
holds of every way that leads through it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from attrs import define, field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Trigger
from tools.explore.sandbox import Chat, Content, Key, Row, Scratch, Taken
from tools.explore.streams import Delivery, Step, Sweep

__all__ = ["MOST_DATABASES", "Fault", "Node", "Space"]

MOST_DATABASES: Final = 50_000
"""Where there are more, something that should come together does not."""


_BEFORE: Final = timedelta(milliseconds=1)


class Fault(Exception):
    """A step that must not be; says why."""


@frozen
class Node:
    """A database: one for all that the engine can't tell apart."""

    number: int
    chats: tuple[Chat, ...]
    placed: frozenset[tuple[str, str | None]]
    """Which messages are in its history, by queue and id."""
    marks: tuple[int, ...] = field(repr=False)
    """One for each row of its history: the rows themselves would fill the memory."""
    image: bytes = field(repr=False)

    @property
    def end(self) -> str:
        """The state of the user's current chat, and which one the clock took it from."""
        if not self.chats:
            return "nobody"
        state, kept = self.chats[-1].state, self.chats[-1].kept_state
        return state if kept is None else f"{state} keeping {kept}"

    @property
    def deadline(self) -> datetime | None:
        """When the user's live chat is over; None without one, or where it never is."""
        live = self.chats and self.chats[-1].state != State.CLOSED
        return self.chats[-1].expires_at if live else None


@define
class Space:
    """The databases met so far. Raises :class:`Fault` wherever a step is none that may be."""

    scratch: Scratch
    tell: Callable[[int], object]
    nodes: list[Node] = field(factory=list)
    executions: int = 0
    cuts: int = 0
    """How often the power was cut."""
    _numbers: dict[Key, int] = field(factory=dict)
    _taken: dict[tuple[int, Delivery, bool], int] = field(factory=dict)
    _swept: dict[int, int] = field(factory=dict)
    _kinds: set[tuple[object, ...]] = field(factory=set)

    @classmethod
    def of(cls, scratch: Scratch, tell: Callable[[int], object] = lambda _: None) -> Self:
        """With what *scratch* holds now, which is number 0; *tell* hears of every execution."""
        space = cls(scratch, tell)
        space.number_of(space.scratch.look())
        return space

    @property
    def swept(self) -> int:
        """In how many databases a sweep found a chat to close."""
        return len(self._swept)

    def number_of(self, content: Content) -> int:
        """The number of the database with this content."""
        number = self._numbers.setdefault(content.key, len(self.nodes))
        if number == len(self.nodes):
            if number == MOST_DATABASES:
                raise Fault(f"there are more than {MOST_DATABASES} different databases")
            placed = frozenset((row.direction, row.message_id) for row in content.rows)
            marks = tuple(map(hash, content.rows))
            self.nodes.append(Node(number, content.chats, placed, marks, content.image))
        return number

    def read(self, number: int, delivery: Delivery, *, again: bool = False) -> int:
        """Where *delivery* leads, from the database with this number; *again* if it was read."""
        key = number, delivery, again
        if key not in self._taken:
            before = self.nodes[number]
            taken = self._hand_in(before, [delivery])
            _check(before, taken.content, delivery, again=again)
            self._look_up(taken)
            self._cut_the_power(before, taken, delivery)
            self._taken[key] = self.number_of(taken.content)
        return self._taken[key]

    def sweep(self, number: int, sweep: Sweep) -> int:
        """Where *sweep* leads, from the database with this number: elsewhere only past a deadline.

        All that matters of a sweep is whether the deadline is reached. So three stand for all: just
        before it, at it, and as late as may be; and one more, when nothing is left to close.
        """
        deadline = self.nodes[number].deadline
        if deadline is None or deadline > sweep.up_to:
            return number
        if number not in self._swept:
            self._swept[number] = self._closed(number, sweep, deadline)
        return self._swept[number]

    def again(self, number: int, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, int]]:
        """Those of the *deliveries*, all read before, that once more lead elsewhere, and where to.

        Together first: where all of them change nothing, each of them alone does not.
        """
        if not deliveries or all((number, one, True) in self._taken for one in deliveries):
            return self._elsewhere(number, deliveries)
        before = self.nodes[number]
        taken = self._hand_in(before, deliveries)
        still = all(it.before is it.after or it.before == it.after for it in taken.receipts)
        if still and self.number_of(taken.content) == number:
            _check_rows(before, taken.content, ())
            self._taken.update({(number, one, True): number for one in deliveries})
        return self._elsewhere(number, deliveries)

    def _elsewhere(self, number: int, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, int]]:
        found = [(one, self.read(number, one, again=True)) for one in deliveries]
        return [(one, to) for one, to in found if to != number]

    def verify(self, number: int) -> None:
        """Let the engine itself verify the database with this number."""
        self.scratch.put(self.nodes[number].image)
        problems = self.scratch.chats.verify().problems
        if problems:
            raise Fault(f"verify finds: {problems[0].what}")

    def _closed(self, number: int, sweep: Sweep, deadline: datetime) -> int:
        if self._sweep(number, Sweep(deadline - _BEFORE)) != number:
            raise Fault("it changes something before the deadline")
        closed = self._sweep(number, Sweep(deadline))
        if self.nodes[closed].chats[-1].state != State.CLOSED:
            raise Fault("at the deadline it leaves the chat live")
        if self._sweep(number, sweep) != closed:
            raise Fault("it closes the chat otherwise than at its deadline")
        if self._sweep(closed, sweep) != closed:
            raise Fault("it changes what it has closed already")
        return closed

    def _sweep(self, number: int, sweep: Sweep) -> int:
        before = self.nodes[number]
        taken = self._run(partial(self.scratch.sweep, before.image, sweep.up_to))
        _check_rows(before, taken.content, ())
        self._cut_the_power(before, taken, sweep)
        return self.number_of(taken.content)

    def _hand_in(self, before: Node, deliveries: Sequence[Delivery]) -> Taken:
        taken = self._run(partial(self.scratch.hand_in, before.image, deliveries))
        for receipt in taken.receipts:
            if receipt.error is not None:
                raise Fault(f"it is not taken: {receipt.error}")
        return taken

    def _look_up(self, taken: Taken) -> None:
        """Raise where the chat is not stored as the engine says that it left it."""
        after = taken.receipts[0].after
        if after is not None and self.scratch.chats.session(after.session_id) != after:
            raise Fault("what is stored of the chat is not what became of it")

    def _run(self, step: Callable[[], Taken]) -> Taken:
        self.executions += 1
        self.tell(self.executions)
        try:
            taken = step()
        except Exception as error:
            raise Fault(f"it fails with {type(error).__name__}: {error}") from error
        if taken.commits != 1:
            raise Fault(f"it commits {taken.commits} times")
        return taken

    def _cut_the_power(self, before: Node, taken: Taken, step: Step) -> None:
        """Once for each kind of step: all of it is there, or nothing."""
        kind = (
            *(step.direction, step.trigger, *(receipt.outcome for receipt in taken.receipts)),
            *(len(taken.content.rows) - len(before.marks), before.end),
        )
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        *early, late = self.scratch.power_cuts(before.image, step)
        self.cuts += len(early) + 1
        nothing = all(
            it.chats == before.chats and tuple(map(hash, it.rows)) == before.marks for it in early
        )
        if not nothing or late.key != taken.content.key:
            raise Fault("a power cut before its commit leaves half of it, or after it not all")


def _check(before: Node, after: Content, delivery: Delivery, *, again: bool) -> None:
    """Raise where reading *delivery* lost something, or did something twice."""
    key = delivery.direction.value, delivery.message_id
    mine = [row for row in after.rows if (row.direction, row.message_id) == key]
    if key in before.placed and (
        after.chats != before.chats or len(after.rows) > len(before.marks)
    ):
        raise Fault("it was there before, and has an effect once more")
    if again and mine and key not in before.placed:
        raise Fault("it was read before, and has its effect only now")
    if not mine and not delivery.quiet:
        raise Fault("it is lost: it is not in the history")
    _check_rows(before, after, mine)
    final = {chat.values[0]: chat for chat in before.chats if chat.state == State.CLOSED}
    for chat in after.chats:
        if chat.values[0] in final and chat.state != State.CLOSED:
            raise Fault("a closed chat is open again")


def _check_rows(before: Node, after: Content, mine: Sequence[Row]) -> None:
    """Raise where a row of before is gone, or one that came does not go on from there."""
    count = len(before.marks)
    if tuple(map(hash, after.rows[:count])) != before.marks:
        raise Fault("a row that was in the history is gone, or another one")
    chats = {(*chat.user, chat.ordinal): chat for chat in before.chats}
    ends = {key: (chat.row_count, chat.state, chat.effective_at) for key, chat in chats.items()}
    for row in after.rows[count:]:
        if row not in mine and row.trigger != Trigger.EXPIRE:
            raise Fault("a row came into the history that is of nothing that was read")
        if row.chat is not None:
            seq, state, latest = ends.get(row.chat, (0, None, ""))
            if (row.seq, row.from_state) != (seq + 1, state) or row.effective_at < latest:
                raise Fault("its row does not go on from the one before")
            ends[row.chat] = (seq + 1, str(row.to_state), row.effective_at)
    for chat in after.chats:
        end = ends.get((*chat.user, chat.ordinal))
        if end != (chat.row_count, chat.state, chat.effective_at):
            raise Fault("a chat is not what its rows say")
