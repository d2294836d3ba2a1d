"""Which arrows of a diagram a history row follows.

A session opens in ``open``, and its first trigger is applied at once. If the table leads from
``open`` to another state, such a row follows two arrows: from the start marker to ``open``, and on
to that state. A resumed chat goes from the start marker straight to the state it resumes in.
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from sermo_fsm.core.machine import TABLE, Effect, State
from sermo_fsm.picture.drawing import Arrow, TriggerLine, direction_of
from sermo_fsm.protocol.events import Trigger

__all__ = ["Traversal", "add_missing_arrows", "annotate_lines", "traversals"]


@frozen
class Traversal:
    """An arrow that a history row follows.

    Attributes:
        source: None for the start marker.
        trigger: None on the first of two arrows; the second has the trigger.
        extra: The current table has no such arrow for this trigger.
    """

    source: State | None
    target: State
    trigger: Trigger | None
    extra: bool = False

    def follows(self, arrow: Arrow) -> bool:
        """Whether *arrow* is the one that is followed."""
        ends = (arrow.source, arrow.target, arrow.extra)
        return ends == (self.source, self.target, self.extra)


def traversals(
    source: State | None, target: State, trigger: Trigger, *, resumed: bool = False
) -> tuple[Traversal, ...]:
    """Return the arrows that a history row follows, in order.

    Args:
        source: The state before the row; None if the row opened the chat.
        target: The state after it.
        trigger: Its trigger.
        resumed: The row opened a chat that resumed the one before.
    """
    if source is not None:
        return (Traversal(source, target, trigger, extra=not _in_table(source, target, trigger)),)
    if resumed or not _in_table(State.OPEN, target, trigger):
        return (Traversal(None, target, trigger, extra=True),)
    if target is State.OPEN:
        return (Traversal(None, target, trigger),)
    return Traversal(None, State.OPEN, None), Traversal(State.OPEN, target, trigger)


def _in_table(source: State, target: State, trigger: Trigger) -> bool:
    cell = TABLE.get((source, trigger))
    if cell is None:  # the chat is closed: a late event keeps the state
        return source is target
    return target in (cell.to, cell.otherwise)


def _added_line(traversal: Traversal, trigger: Trigger) -> TriggerLine:
    """Return the line for a trigger that the arrow doesn't have in the machine's drawing."""
    text: str = trigger
    if traversal.source is traversal.target:
        cell = TABLE.get((traversal.target, trigger))
        ignored = cell is not None and cell.effect is Effect.IGNORE
        text = f"{Effect.IGNORE if ignored else Effect.STAY} {trigger}"
    return TriggerLine(direction_of(trigger), text, triggers=(trigger,))


def annotate_lines(
    arrow: Arrow, traversal: Traversal, notes: Mapping[Trigger, str]
) -> tuple[TriggerLine, ...]:
    """Return the lines of *arrow*, each with the note of its trigger.

    A line without a note is faded. A note whose trigger has no line gets a new one.
    """
    known = {trigger for line in arrow.lines for trigger in line.triggers}
    added = [
        _added_line(traversal, trigger) for trigger in Trigger if trigger in notes.keys() - known
    ]
    return tuple(
        evolve(line, note=notes.get(line.triggers[0], ""), faded=line.triggers[0] not in notes)
        for line in (*arrow.lines, *added)
    )


def add_missing_arrows(arrows: Iterable[Arrow], followed: Sequence[Traversal]) -> tuple[Arrow, ...]:
    """Return *arrows* and, before the last one, a new arrow for each of *followed* that has none.

    The last of *arrows* is the one to the end marker.
    """
    *known, end = arrows
    new = dict.fromkeys(
        Arrow(traversal.source, traversal.target, extra=traversal.extra)
        for traversal in followed
        if not any(traversal.follows(arrow) for arrow in known)
    )
    order = (None, *State)
    return (
        *known,
        *sorted(new, key=lambda one: [order.index(end) for end in (one.source, one.target)]),
        end,
    )
