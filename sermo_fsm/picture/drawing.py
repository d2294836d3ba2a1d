"""What is to be drawn, before anybody says how: states, arrows, and what is written on them.

A drawing is a value. What it shows of the machine comes from the table, so it can't say what the
machine does not do; an overlay (a chat's path, the traffic) is the same drawing with more on it.
Each format (Mermaid, DOT, SVG) reads a drawing and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import LIVE, TABLE, Cell, Effect, Guard, State
from sermo_fsm.protocol.events import KINDS, Direction, Trigger

__all__ = [
    "LEGEND",
    "Arrow",
    "Drawing",
    "Key",
    "Line",
    "Mark",
    "Node",
    "direction_of",
    "listed",
    "machine_drawing",
]


class Mark(StrEnum):
    """What a legend explains."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    TIMER = "timer"
    BADGE = "badge"
    """A number on an arrow: the steps of a chat."""
    COUNT = "count"
    """Likewise: how often chats went this way."""
    CURRENT = "current"
    WIDTH = "width"
    SHADE = "shade"
    FADED = "faded"
    EXTRA = "extra"


@frozen
class Line:
    """One trigger on an arrow.

    Attributes:
        direction: Who pulls it; never ``internal``, which triggers the same as ``outbound``.
        text: The trigger, and its condition if it has one.
        note: What an overlay adds, such as a count.
        faded: The overlay has nothing here.
        triggers: The same, for who reads a drawing by program.
    """

    direction: Direction
    text: str
    note: str = ""
    faded: bool = False
    triggers: tuple[Trigger, ...] = ()


@frozen
class Arrow:
    """All that leads from one state to another, or to itself.

    Attributes:
        source: None for the start mark.
        target: None for the end mark.
        lines: Its triggers.
        badges: Short texts on the arrow: the numbers of a chat's steps.
        weight: How much goes this way, 0 to 1; None where that is not told.
        faded: The overlay has nothing here.
        extra: Not in the table: a chat that was resumed, a move of an older release's.
        taken: The one chat that is shown went this way.
    """

    source: State | None
    target: State | None
    lines: tuple[Line, ...] = ()
    badges: tuple[str, ...] = ()
    weight: float | None = None
    faded: bool = False
    extra: bool = False
    taken: bool = False

    @property
    def loop(self) -> bool:
        """From a state to itself."""
        return self.source is self.target

    @property
    def id(self) -> str:
        """The same on every run, and in every format that has ids."""
        return f"{self.source or 'start'}-{self.target or 'end'}{'-extra' if self.extra else ''}"


@frozen
class Node:
    """A state.

    Attributes:
        notes: Lines under its name, such as the time spent there.
        shade: How strong its colour is, 0 to 1; None where that says nothing.
        faded: The overlay has nothing here.
        current: The chat is here.
    """

    state: State
    notes: tuple[str, ...] = ()
    shade: float | None = None
    faded: bool = False
    current: bool = False


@frozen
class Key:
    """A line of the legend."""

    mark: Mark
    text: str


@frozen
class Drawing:
    """A picture that nobody has drawn yet.

    Attributes:
        name: Begins the ids of what is in it, so that two pictures can stand on one page.
        title: One line.
        description: What it shows, in sentences, for who can't see it.
        origin: How it was made.
        caption: Lines to stand under the title; none for the machine alone.
    """

    name: str
    title: str
    description: str
    origin: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    legend: tuple[Key, ...]
    caption: tuple[str, ...] = ()


LEGEND: Final = (
    Key(Mark.INBOUND, "inbound: customer"),
    Key(Mark.OUTBOUND, "outbound: bot, agents"),
    Key(Mark.TIMER, "timer: the clock"),
)
"""What the marks before the triggers mean."""

_GUARDS: Final = {Guard.CUSTOMER_WROTE_LATER: "the customer wrote later"}
_INBOUND: Final = frozenset(kind.trigger for kind in KINDS.values() if kind.inbound)
_ORDER: Final = {state: place for place, state in enumerate(State)}
_TRIGGERS: Final[Mapping[str, int]] = {trigger: place for place, trigger in enumerate(Trigger)}
_LOOPS: Final = "= stays where it is, × has no meaning there and is ignored"


def direction_of(trigger: Trigger) -> Direction:
    """Who pulls it; for ``unknown``, which comes on either queue, ``outbound``."""
    if trigger is Trigger.EXPIRE:
        return Direction.TIMER
    return Direction.INBOUND if trigger in _INBOUND else Direction.OUTBOUND


def machine_drawing(*, loops: bool = False) -> Drawing:
    """The machine: one arrow for each pair of states, its triggers as lines.

    Args:
        loops: Also what does not move a chat, as arrows from a state to itself.
    """
    moves = tuple(_moves())
    stays = tuple(_stays()) if loops else ()
    return Drawing(
        name="machine",
        title="The states of a chat, and what moves it from one to the next",
        description=" ".join(_sentences(moves, stays)),
        origin="Drawn by sermo-fsm diagram from the table in sermo_fsm/core/machine.py",
        nodes=tuple(Node(state) for state in State),
        arrows=(Arrow(None, State.OPEN), *moves, *stays, Arrow(State.CLOSED, None)),
        legend=LEGEND,
        caption=(_LOOPS,) if loops else (),
    )


def _moves() -> Iterator[Arrow]:
    """As a chat runs: by where they begin, then the nearest first."""
    lines: dict[tuple[State, State], list[Line]] = {}
    for (state, trigger), cell in sorted(TABLE.items(), key=lambda item: _TRIGGERS[item[0][1]]):
        for to, condition in _ways(cell):
            if to is not state:
                line = Line(direction_of(trigger), trigger + condition, triggers=(trigger,))
                lines.setdefault((state, to), []).append(line)
    for source, target in sorted(lines, key=_nearest_first):
        yield Arrow(source, target, tuple(lines[source, target]))


def _nearest_first(pair: tuple[State, State]) -> tuple[int, int, int]:
    source, target = (_ORDER[state] for state in pair)
    return source, abs(target - source), -target


def _ways(cell: Cell) -> Iterator[tuple[State, str]]:
    """Where a cell goes, and under which condition."""
    if cell.guard is None or cell.otherwise is None:
        yield cell.to, ""
        return
    yield cell.to, f" [unless {_GUARDS[cell.guard]}]"
    yield cell.otherwise, f" [if {_GUARDS[cell.guard]}]"


def _stays() -> Iterator[Arrow]:
    for state in LIVE:
        lines = tuple(_lines_that_stay(state))
        if lines:
            yield Arrow(state, state, lines)


def _lines_that_stay(state: State) -> Iterator[Line]:
    for effect in (Effect.STAY, Effect.IGNORE):
        found = [trigger for trigger in Trigger if TABLE[state, trigger].effect is effect]
        for direction in (Direction.INBOUND, Direction.OUTBOUND, Direction.TIMER):
            for trigger in found:
                if direction in _queues(trigger):
                    yield Line(direction, f"{effect} {trigger}", triggers=(trigger,))


def _queues(trigger: Trigger) -> tuple[Direction, ...]:
    if trigger is Trigger.UNKNOWN:
        return Direction.INBOUND, Direction.OUTBOUND
    return (direction_of(trigger),)


def listed(words: Sequence[str], last: str = "and") -> str:
    """As a person writes a list: ``one, two and three``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _sentences(moves: Iterable[Arrow], stays: Iterable[Arrow]) -> Iterator[str]:
    """All that the picture shows, in words."""
    yield f"A chat is in one of {len(State)} states: {listed([*State])}."
    yield f"It begins in {State.OPEN}."
    for source, arrows in groupby(moves, key=lambda arrow: arrow.source):
        ways = [f"to {arrow.target} by {_said(arrow.lines)}" for arrow in arrows]
        yield f"From {source} it goes {'; '.join(ways)}."
    for arrow in stays:
        for effect, verb in ((Effect.STAY, "stays on"), (Effect.IGNORE, "ignores")):
            if names := _names(arrow, effect):
                yield f"In {arrow.source} it {verb} {names}."
    yield f"What is {State.CLOSED} stays so."


def _said(lines: Iterable[Line]) -> str:
    groups = groupby(lines, key=lambda line: line.direction)
    return ", or ".join(
        f"{direction} {listed([line.text for line in some], 'or')}" for direction, some in groups
    )


def _names(arrow: Arrow, effect: Effect) -> str:
    lines = (line for line in arrow.lines if line.text.startswith(effect))
    return listed(
        sorted({trigger for line in lines for trigger in line.triggers}, key=_TRIGGERS.__getitem__)
    )
