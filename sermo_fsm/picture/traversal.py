"""How rows of the history lie on the arrows of the picture; and data as words for it.

A session opens in ``open`` and its first trigger is applied at once. So an opening that lands
elsewhere goes along two arrows, from the start mark to ``open`` and on, where today's table leads
there; only what resumed goes straight to where it went on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import TABLE, Effect, State
from sermo_fsm.picture.drawing import Arrow, TriggerLine, direction_of
from sermo_fsm.protocol.events import Trigger

__all__ = [
    "Traversal",
    "add_missing_arrows",
    "annotate_lines",
    "display_id",
    "display_time",
    "traversals",
]

_MAX_ID_LENGTH: Final = 60
# What has no picture of its own: controls, marks that turn the direction of writing, separators,
# halves of characters. No format takes all of them.
_INVISIBLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)


@frozen
class Traversal:
    """One arrow of a way.

    Attributes:
        source: None for the start mark.
        trigger: None if it stands on the next arrow: an opening that lands elsewhere.
        extra: Today's table has no such arrow for this trigger.
    """

    source: State | None
    target: State
    trigger: Trigger | None
    extra: bool = False

    def lies_on(self, arrow: Arrow) -> bool:
        """Whether *arrow* is the one."""
        ends = (arrow.source, arrow.target, arrow.extra)
        return ends == (self.source, self.target, self.extra)


def traversals(
    source: State | None, target: State, trigger: Trigger, *, resumed: bool = False
) -> tuple[Traversal, ...]:
    """The arrows that a row of the history goes along."""
    if source is not None:
        return (Traversal(source, target, trigger, extra=not _in_table(source, target, trigger)),)
    if resumed or not _in_table(State.OPEN, target, trigger):
        return (Traversal(None, target, trigger, extra=True),)
    if target is State.OPEN:
        return (Traversal(None, target, trigger),)
    return Traversal(None, State.OPEN, None), Traversal(State.OPEN, target, trigger)


def _in_table(source: State, target: State, trigger: Trigger) -> bool:
    cell = TABLE.get((source, trigger))
    if cell is None:  # what comes late to a closed chat moves nothing
        return source is target
    return target in (cell.to, cell.otherwise)


def _new_line(traversal: Traversal, trigger: Trigger) -> TriggerLine:
    """What stands on an arrow that the machine alone has no line for."""
    cell = (
        TABLE.get((traversal.source, trigger))
        if traversal.source is traversal.target and traversal.source
        else None
    )
    ignored = cell is not None and cell.effect is Effect.IGNORE
    sign = (
        ""
        if traversal.source is not traversal.target
        else f"{Effect.IGNORE if ignored else Effect.STAY} "
    )
    return TriggerLine(direction_of(trigger), f"{sign}{trigger}", triggers=(trigger,))


def annotate_lines(
    arrow: Arrow, traversal: Traversal, notes: Mapping[Trigger, str]
) -> tuple[TriggerLine, ...]:
    """The lines of *arrow* with *notes*; those without are faded, those that it lacks are added."""
    known = {trigger for line in arrow.lines for trigger in line.triggers}
    added = [
        _new_line(traversal, trigger) for trigger in Trigger if trigger in notes.keys() - known
    ]
    return tuple(
        evolve(line, note=notes.get(line.triggers[0], ""), faded=line.triggers[0] not in notes)
        for line in (*arrow.lines, *added)
    )


def add_missing_arrows(
    arrows: Iterable[Arrow], traversals: Sequence[Traversal]
) -> tuple[Arrow, ...]:
    """*arrows*, and one for each way of *traversals* that is not among them."""
    *known, end = arrows
    new = dict.fromkeys(
        Arrow(traversal.source, traversal.target, extra=traversal.extra)
        for traversal in traversals
        if not any(traversal.lies_on(arrow) for arrow in known)
    )
    order = (None, *State)
    return (
        *known,
        *sorted(new, key=lambda one: [order.index(end) for end in (one.source, one.target)]),
        end,
    )


def display_id(text: str) -> str:
    """An id as a person can read it in any picture."""
    seen = _INVISIBLE.sub(_escape, text)
    return seen if len(seen) <= _MAX_ID_LENGTH else seen[: _MAX_ID_LENGTH - 1] + "…"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])  # by its number: Mermaid would take \\n for an end of the line
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - as in Python


def display_time(moment: datetime) -> str:
    """To the second; in UTC, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
