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
    "LegendEntry",
    "LegendSymbol",
    "Node",
    "TriggerLine",
    "direction_of",
    "join_words",
    "machine_drawing",
]


class LegendSymbol(StrEnum):
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
class TriggerLine:
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
    lines: tuple[TriggerLine, ...] = ()
    badges: tuple[str, ...] = ()
    weight: float | None = None
    faded: bool = False
    extra: bool = False
    taken: bool = False

    @property
    def is_loop(self) -> bool:
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
class LegendEntry:
    """A line of the legend."""

    symbol: LegendSymbol
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
    legend: tuple[LegendEntry, ...]
    caption: tuple[str, ...] = ()


LEGEND: Final = (
    LegendEntry(LegendSymbol.INBOUND, "inbound: customer"),
    LegendEntry(LegendSymbol.OUTBOUND, "outbound: bot, agents"),
    LegendEntry(LegendSymbol.TIMER, "timer: the clock"),
)
"""What the marks before the triggers mean."""

_GUARDS: Final = {Guard.CUSTOMER_WROTE_LATER: "the customer wrote later"}
_INBOUND: Final = frozenset(kind.trigger for kind in KINDS.values() if kind.inbound)
_STATE_ORDER: Final = {state: place for place, state in enumerate(State)}
_TRIGGER_ORDER: Final[Mapping[str, int]] = {trigger: place for place, trigger in enumerate(Trigger)}
_LOOPS_CAPTION: Final = "= stays where it is, × has no meaning there and is ignored"


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
    moves = tuple(_moving_arrows())
    stays = tuple(_loop_arrows()) if loops else ()
    return Drawing(
        name="machine",
        title="The states of a chat, and what moves it from one to the next",
        description=" ".join(_describe_machine(moves, stays)),
        origin="Drawn by sermo-fsm diagram from the table in sermo_fsm/core/machine.py",
        nodes=tuple(Node(state) for state in State),
        arrows=(Arrow(None, State.OPEN), *moves, *stays, Arrow(State.CLOSED, None)),
        legend=LEGEND,
        caption=(_LOOPS_CAPTION,) if loops else (),
    )


def _moving_arrows() -> Iterator[Arrow]:
    """As a chat runs: by where they begin, then the nearest first."""
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
    """Where a cell goes, and under which condition."""
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
        for direction in (Direction.INBOUND, Direction.OUTBOUND, Direction.TIMER):
            for trigger in found:
                if direction in _directions(trigger):
                    yield TriggerLine(direction, f"{effect} {trigger}", triggers=(trigger,))


def _directions(trigger: Trigger) -> tuple[Direction, ...]:
    if trigger is Trigger.UNKNOWN:
        return Direction.INBOUND, Direction.OUTBOUND
    return (direction_of(trigger),)


def join_words(words: Sequence[str], last: str = "and") -> str:
    """As a person writes a list: ``one, two and three``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _describe_machine(moves: Iterable[Arrow], stays: Iterable[Arrow]) -> Iterator[str]:
    """All that the picture shows, in words."""
    yield f"A chat is in one of {len(State)} states: {join_words([*State])}."
    yield f"It begins in {State.OPEN}."
    for source, arrows in groupby(moves, key=lambda arrow: arrow.source):
        ways = [f"to {arrow.target} by {_describe_lines(arrow.lines)}" for arrow in arrows]
        yield f"From {source} it goes {'; '.join(ways)}."
    for arrow in stays:
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
