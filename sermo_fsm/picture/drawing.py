"""A diagram as data: states, arrows and their texts, before layout and rendering.

The machine's drawing is made from the table, so it can't differ from what the machine does. An
overlay (the path of a chat, the traffic) is that drawing with more on it. The formats (Mermaid,
DOT, SVG, PNG) read nothing but a drawing.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import LIVE, TABLE, Cell, Effect, Guard, State
from sermo_fsm.picture.display_text import join_words
from sermo_fsm.protocol.events import KINDS, Direction, Trigger

__all__ = [
    "LEGEND",
    "Arrow",
    "Drawing",
    "LegendEntry",
    "LegendSymbol",
    "Node",
    "TriggerLine",
    "direction_of",
    "machine_drawing",
]


class LegendSymbol(StrEnum):
    """The symbols that a legend explains."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    TIMER = "timer"
    OPERATOR = "operator"
    BADGE = "badge"
    """The number of a chat's step, on an arrow."""
    COUNT = "count"
    """How often chats followed an arrow, and the share of all that left its state."""
    CURRENT = "current"
    """The frame of the state that the chat is in."""
    WIDTH = "width"
    """The width of an arrow."""
    SHADE = "shade"
    """The colour of a state."""
    FADED = "faded"
    """A state or an arrow that the overlay has nothing for."""
    EXTRA = "extra"
    """The dashes of an arrow that the table does not have."""

    @property
    def direction(self) -> Direction | None:
        """The direction of the triggers with this symbol; None for the other symbols."""
        return _SYMBOL_DIRECTIONS.get(self)


_SYMBOL_DIRECTIONS: Final = {
    LegendSymbol.INBOUND: Direction.INBOUND,
    LegendSymbol.OUTBOUND: Direction.OUTBOUND,
    LegendSymbol.TIMER: Direction.TIMER,
    LegendSymbol.OPERATOR: Direction.OPERATOR,
}


@frozen
class TriggerLine:
    """One trigger on an arrow.

    Attributes:
        direction: Which side causes the trigger; ``outbound`` includes ``internal``.
        text: The trigger, and its condition if it has one.
        note: What an overlay adds, such as a count.
        faded: The overlay has nothing for this trigger.
        triggers: The trigger as a value, in a tuple of one.
    """

    direction: Direction
    text: str
    note: str = ""
    faded: bool = False
    triggers: tuple[Trigger, ...] = ()


@frozen
class Arrow:
    """All transitions from one state to another, or from a state to itself.

    Attributes:
        source: None for the start marker.
        target: None for the end marker.
        lines: The triggers.
        badges: Short texts on the arrow: the numbers of a chat's steps, or a count.
        weight: How wide to draw the arrow for its traffic, 0 to 1; None if no traffic is shown.
        faded: The overlay has nothing for this arrow.
        extra: The table has no such arrow: a chat was resumed, or moved under an older table.
        taken: The chat whose path is shown followed this arrow.
    """

    source: State | None
    target: State | None
    lines: tuple[TriggerLine, ...] = ()
    badges: tuple[str, ...] = ()
    weight: float | None = None
    faded: bool = False
    extra: bool = False
    taken: bool = False

    @property
    def is_loop(self) -> bool:
        """Whether the arrow leads from a state to itself."""
        return self.source is self.target

    @property
    def id(self) -> str:
        """The arrow's id in every format that has ids, such as ``open-bot``."""
        return f"{self.source or 'start'}-{self.target or 'end'}{'-extra' if self.extra else ''}"


@frozen
class Node:
    """A state in a drawing.

    Attributes:
        notes: Lines below the name, such as the time spent there.
        shade: The strength of the colour, 0 to 1; None for the usual colour.
        faded: The overlay has nothing for this state.
        current: The chat whose path is shown is in this state.
    """

    state: State
    notes: tuple[str, ...] = ()
    shade: float | None = None
    faded: bool = False
    current: bool = False


@frozen
class LegendEntry:
    """A symbol and its explanation."""

    symbol: LegendSymbol
    text: str


@frozen
class Drawing:
    """A diagram as data, before layout and rendering.

    Attributes:
        name: The prefix of all ids, so that two diagrams can share a page.
        title: One line of text.
        description: The content in sentences, for readers who can't see the diagram.
        origin: The command and the source that the diagram was made from.
        caption: Lines below the title; none for the machine alone.
        room: The same drawing with the longest texts that it may have. Everything then stands where
            it stands there, so that drawings with the same room can be laid side by side.
    """

    name: str
    title: str
    description: str
    origin: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    legend: tuple[LegendEntry, ...]
    caption: tuple[str, ...] = ()
    room: "Drawing | None" = None


LEGEND: Final = (
    LegendEntry(LegendSymbol.INBOUND, "inbound: customer"),
    LegendEntry(LegendSymbol.OUTBOUND, "outbound, internal: bot, agents"),
    LegendEntry(LegendSymbol.TIMER, "timer: the clock"),
    LegendEntry(LegendSymbol.OPERATOR, "operator: by hand"),
)
"""What the symbols before the triggers mean."""

_GUARDS: Final = {Guard.CUSTOMER_WROTE_LATER: "the customer wrote later"}
_INBOUND: Final = frozenset(
    kind.trigger for kind in KINDS.values() if Direction.INBOUND in kind.queues
)
_OF_NO_QUEUE: Final = {Trigger.EXPIRE: Direction.TIMER, Trigger.CLOSE: Direction.OPERATOR}
_STATE_ORDER: Final = {state: index for index, state in enumerate(State)}
_TRIGGER_ORDER: Final[Mapping[str, int]] = {trigger: index for index, trigger in enumerate(Trigger)}
_LOOPS_CAPTION: Final = "= stays where it is, × has no meaning there and is ignored"


def direction_of(trigger: Trigger) -> Direction:
    """Return which side causes a trigger; ``outbound`` for ``unknown``, which either side may."""
    if trigger in _OF_NO_QUEUE:
        return _OF_NO_QUEUE[trigger]
    return Direction.INBOUND if trigger in _INBOUND else Direction.OUTBOUND


def machine_drawing(*, loops: bool = False) -> Drawing:
    """Return the drawing of the machine: one arrow for each pair of states that has triggers.

    Args:
        loops: Include the triggers that don't change the state, as arrows from a state to itself.
    """
    moves = tuple(_moving_arrows())
    self_loops = tuple(_loop_arrows()) if loops else ()
    return Drawing(
        name="machine",
        title="The states of a chat, and what moves it from one to the next",
        description=" ".join(_describe_machine(moves, self_loops)),
        origin="Drawn by sermo-fsm diagram from the table in sermo_fsm/core/machine.py",
        nodes=tuple(Node(state) for state in State),
        arrows=(Arrow(None, State.OPEN), *moves, *self_loops, Arrow(State.CLOSED, None)),
        legend=LEGEND,
        caption=(_LOOPS_CAPTION,) if loops else (),
    )


def _moving_arrows() -> Iterator[Arrow]:
    """Yield the arrows between states, in the order in which a chat usually passes them."""
    lines: dict[tuple[State, State], list[TriggerLine]] = {}
    for (state, trigger), cell in sorted(
        TABLE.items(), key=lambda item: _TRIGGER_ORDER[item[0][1]]
    ):
        for to, condition in _transitions(cell):
            if to is not state:
                line = TriggerLine(direction_of(trigger), trigger + condition, triggers=(trigger,))
                lines.setdefault((state, to), []).append(line)
    for source, target in sorted(lines, key=_nearest_first):
        yield Arrow(source, target, tuple(lines[source, target]))


def _nearest_first(pair: tuple[State, State]) -> tuple[int, int, int]:
    source, target = (_STATE_ORDER[state] for state in pair)
    return source, abs(target - source), -target


def _transitions(cell: Cell) -> Iterator[tuple[State, str]]:
    """Yield each state that a cell of the table leads to, with its condition in words."""
    if cell.guard is None or cell.otherwise is None:
        yield cell.to, ""
        return
    yield cell.to, f" [unless {_GUARDS[cell.guard]}]"
    yield cell.otherwise, f" [if {_GUARDS[cell.guard]}]"


def _loop_arrows() -> Iterator[Arrow]:
    for state in LIVE:
        lines = tuple(_loop_lines(state))
        if lines:
            yield Arrow(state, state, lines)


def _loop_lines(state: State) -> Iterator[TriggerLine]:
    for effect in (Effect.STAY, Effect.IGNORE):
        found = [trigger for trigger in Trigger if TABLE[state, trigger].effect is effect]
        for direction in _SYMBOL_DIRECTIONS.values():
            for trigger in found:
                if direction in _directions(trigger):
                    yield TriggerLine(direction, f"{effect} {trigger}", triggers=(trigger,))


def _directions(trigger: Trigger) -> tuple[Direction, ...]:
    if trigger is Trigger.UNKNOWN:
        return Direction.INBOUND, Direction.OUTBOUND
    return (direction_of(trigger),)


def _describe_machine(moves: Iterable[Arrow], loops: Iterable[Arrow]) -> Iterator[str]:
    """Yield the content of the drawing in sentences."""
    yield f"A chat is in one of {len(State)} states: {join_words([*State])}."
    yield f"It begins in {State.OPEN}."
    for source, arrows in groupby(moves, key=lambda arrow: arrow.source):
        targets = [f"to {arrow.target} by {_describe_lines(arrow.lines)}" for arrow in arrows]
        yield f"From {source} it goes {'; '.join(targets)}."
    for arrow in loops:
        for effect, verb in ((Effect.STAY, "stays on"), (Effect.IGNORE, "ignores")):
            if names := _loop_triggers(arrow, effect):
                yield f"In {arrow.source} it {verb} {names}."
    yield f"What is {State.CLOSED} stays so."


def _describe_lines(lines: Iterable[TriggerLine]) -> str:
    groups = groupby(lines, key=lambda line: line.direction)
    return ", or ".join(
        f"{direction} {join_words([line.text for line in some], 'or')}"
        for direction, some in groups
    )


def _loop_triggers(arrow: Arrow, effect: Effect) -> str:
    lines = (line for line in arrow.lines if line.text.startswith(effect))
    return join_words(
        sorted(
            {trigger for line in lines for trigger in line.triggers}, key=_TRIGGER_ORDER.__getitem__
        )
    )
