"""The side at which each arrow leaves or enters a state, and the room that it takes there."""

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow
from sermo_fsm.picture.layout.geometry import Point
from sermo_fsm.picture.layout.text_blocks import make_block, make_pill

__all__ = [
    "END_MARKERS",
    "LOOP_CORNERS",
    "OUTWARD",
    "START_MARKERS",
    "Port",
    "Side",
    "StatePair",
    "arrows_between",
    "line_width",
    "minimum_size",
    "ports_by_side",
]


class Side(StrEnum):
    """A side of a state's box."""

    LEFT = "left"
    TOP = "top"
    RIGHT = "right"
    BOTTOM = "bottom"


OUTWARD: Final[Mapping[Side, Point]] = {
    Side.LEFT: (-1.0, 0.0),
    Side.TOP: (0.0, -1.0),
    Side.RIGHT: (1.0, 0.0),
    Side.BOTTOM: (0.0, 1.0),
}
"""The unit vector that points away from a state, by side."""

StatePair = tuple[State, State]

_O, _B, _Q, _A, _C = State.OPEN, State.BOT, State.QUEUED, State.WITH_AGENT, State.CLOSED
# The arrows on each side, from left to right or from top to bottom. In this order, arrows that
# share a side don't cross each other.
PORTS: Final[Mapping[tuple[State, Side], tuple[StatePair, ...]]] = {
    (_O, Side.LEFT): ((_O, _C), (_O, _B), (_B, _O)),
    (_O, Side.RIGHT): ((_C, _O), (_O, _A), (_A, _O)),
    (_O, Side.BOTTOM): ((_O, _Q), (_Q, _O)),
    (_B, Side.TOP): ((_O, _B), (_B, _O), (_B, _A)),
    (_B, Side.RIGHT): ((_B, _Q), (_Q, _B)),
    (_B, Side.BOTTOM): ((_B, _C), (_C, _B), (_A, _B)),
    (_Q, Side.TOP): ((_O, _Q), (_Q, _O)),
    (_Q, Side.LEFT): ((_B, _Q), (_Q, _B)),
    (_Q, Side.RIGHT): ((_Q, _A), (_A, _Q)),
    (_Q, Side.BOTTOM): ((_Q, _C), (_C, _Q)),
    (_A, Side.TOP): ((_B, _A), (_A, _O), (_O, _A)),
    (_A, Side.LEFT): ((_Q, _A), (_A, _Q)),
    (_A, Side.BOTTOM): ((_A, _B), (_C, _A), (_A, _C)),
    (_C, Side.TOP): ((_Q, _C), (_C, _Q)),
    (_C, Side.LEFT): ((_C, _B), (_B, _C), (_O, _C)),
    (_C, Side.RIGHT): ((_C, _A), (_A, _C), (_C, _O)),
}
# The sides whose order runs from the inside to the outside.
_INWARDS: Final = frozenset({(_C, Side.LEFT), (_C, Side.RIGHT), (_A, Side.TOP), (_A, Side.BOTTOM)})
# The side on which a state has its start or end marker, and the position along that side.
START_MARKERS: Final = {
    State.OPEN: (Side.TOP, 0.5),
    State.BOT: (Side.TOP, 0.12),
    State.QUEUED: (Side.TOP, 0.14),
    State.WITH_AGENT: (Side.TOP, 0.88),
    State.CLOSED: (Side.BOTTOM, 0.2),
}
END_MARKERS: Final = {
    State.OPEN: (Side.TOP, 0.8),
    State.BOT: (Side.LEFT, 0.7),
    State.QUEUED: (Side.BOTTOM, 0.86),
    State.WITH_AGENT: (Side.RIGHT, 0.7),
    State.CLOSED: (Side.BOTTOM, 0.5),
}
# The corner that an arrow from a state to itself goes around: right and down are positive.
LOOP_CORNERS: Final = {
    State.OPEN: (1, -1),
    State.BOT: (-1, 1),
    State.QUEUED: (1, -1),
    State.WITH_AGENT: (1, 1),
    State.CLOSED: (1, 1),
}

# The sides between neighbours in a row, where the arrows are straight and parallel.
_FACING_SIDES: Final = {(_B, Side.RIGHT), (_Q, Side.LEFT), (_Q, Side.RIGHT), (_A, Side.LEFT)}

_MIN_ROOM_UPRIGHT: Final = 18.0
_MIN_ROOM_LEVEL: Final = 30.0
_LABEL_MARGIN: Final = 14.0
_MIN_WIDTH, _MAX_WIDTH = 1.2, 8.0
_MAX_LOOP_WIDTH: Final = 3.0
"""Loops are so short that a wider line would hide the bend."""


@frozen
class Port:
    """The room that an arrow takes on a side where it leaves or enters.

    Attributes:
        name: The arrow's id.
        before: The room before its line, along the side.
        after: The room after its line.
    """

    name: str
    before: float
    after: float


def line_width(arrow: Arrow) -> float:
    """Return the width of an arrow's line."""
    if arrow.weight is not None:
        widest = _MAX_LOOP_WIDTH if arrow.is_loop else _MAX_WIDTH
        return _MIN_WIDTH + (widest - _MIN_WIDTH) * min(max(arrow.weight, 0.0), 1.0)
    return 2.6 if arrow.taken else 1.2 if arrow.faded else 1.7


def ports_by_side(arrows: tuple[Arrow, ...]) -> Iterator[tuple[State, Side, list[Port]]]:
    """Yield for each side of each state the arrows that leave or enter there, in order."""
    for (state, side), pairs in PORTS.items():
        upright = side in (Side.LEFT, Side.RIGHT)
        order = -1 if (state, side) in _INWARDS else 1
        on_side = [arrow for pair in pairs for arrow in arrows_between(arrows, pair)[::order]]
        # The labels of the first and the last arrow stand outside, so they need no room here.
        between = on_side[1:-1] if (state, side) in _FACING_SIDES else []
        ports = [_port(arrow, upright=upright, between=arrow in between) for arrow in on_side]
        yield state, side, ports


def _port(arrow: Arrow, *, upright: bool, between: bool) -> Port:
    half = _room(arrow, upright=upright) / 2
    label = make_block(arrow.lines).height + _LABEL_MARGIN if between and arrow.lines else 0.0
    return Port(arrow.id, half + label, half)


def arrows_between(
    arrows: tuple[Arrow, ...], ends: tuple[State | None, State | None]
) -> list[Arrow]:
    """Return the arrows with these ends: at most one that the table has and one that it has not."""
    return [arrow for arrow in arrows if (arrow.source, arrow.target) == ends]


def _room(arrow: Arrow, *, upright: bool) -> float:
    """Return the room along a side that keeps a pill off the next line."""
    pill = make_pill(arrow.badges) if arrow.badges else None
    if upright:
        return max(_MIN_ROOM_UPRIGHT, line_width(arrow) + 12.0, pill.height + 6.0 if pill else 0.0)
    return max(_MIN_ROOM_LEVEL, line_width(arrow) + 12.0, pill.width - 6.0 if pill else 0.0)


def minimum_size(arrows: tuple[Arrow, ...], state: State) -> tuple[float, float]:
    """Return the width and height that a state needs for the arrows on its sides."""
    width, height = 0.0, 0.0
    for owner, side, ports in ports_by_side(arrows):
        if owner is state:
            room = math.fsum(port.before + port.after for port in ports)
            if side in (Side.LEFT, Side.RIGHT):
                height = max(height, room + 14.0)
            else:
                width = max(width, room + 24.0)
    return width, height
