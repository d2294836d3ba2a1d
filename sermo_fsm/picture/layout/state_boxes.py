"""Where the states stand, and how large they are.

The chat runs from the top to the bottom: ``open`` above, the three where somebody may serve it
beside each other, ``closed`` below.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow, Drawing, Node
from sermo_fsm.picture.layout.font_metrics import text_width
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.ports import arrows_between, minimum_size
from sermo_fsm.picture.layout.text_blocks import (
    LINE_HEIGHT,
    Pill,
    TextBlock,
    make_block,
    make_pill,
    printable,
)

__all__ = [
    "NAME_FONT_SIZE",
    "NOTE_FONT_SIZE",
    "PADDING",
    "RING_GAP",
    "Gaps",
    "LoopLabel",
    "StateBox",
    "place_states",
]

NAME_FONT_SIZE: Final = 17.0
"""Of a state's name."""
NOTE_FONT_SIZE: Final = 13.0
"""Of the notes under it; nothing in a picture is smaller."""
RING_GAP: Final = 5.0
"""Between the two edges of the state where a chat is."""
PADDING: Final = 15.0
"""Between an edge and what is written inside."""

_SEAM: Final = 17.0
_AROUND_PILL: Final = 11.0
_ROWS: Final = ((State.OPEN,), (State.BOT, State.QUEUED, State.WITH_AGENT), (State.CLOSED,))
_COLUMNS: Final = {State.BOT: 0, State.WITH_AGENT: 2}
_NARROWEST: Final = 136.0
_LOWEST: Final = 52.0
_WIDEST: Final = 142.0


@frozen
class Gaps:
    """The room between the states, before it is known whether the labels find a place there."""

    across: float
    down: float


@frozen
class LoopLabel:
    """What a state's arrow to itself says: inside of the state, below a line across it.

    Attributes:
        block: None where it says nothing.
        pill: Stands upon the line.
    """

    block: TextBlock | None
    pill: Pill | None

    @property
    def divider_height(self) -> float:
        """The room around the line."""
        return self.pill.height + _AROUND_PILL if self.pill else _SEAM

    @property
    def width(self) -> float:
        """Of the wider of both."""
        return max(part.width for part in (self.block, self.pill) if part)

    @property
    def height(self) -> float:
        """Of all."""
        return self.divider_height + (self.block.height if self.block else 0.0)


@frozen
class StateBox:
    """A state, and the room it takes.

    Attributes:
        loops: What its arrows to itself say, by their ids.
    """

    node: Node
    box: Box
    notes: tuple[str, ...]
    loop_labels: Mapping[str, LoopLabel]


def place_states(drawing: Drawing, gaps: Gaps) -> dict[State, StateBox]:
    """The states of a drawing, with as much room between as that; those of a row are as high."""
    bare = {
        node.state: _bare(node, arrows_between(drawing.arrows, (node.state, node.state)))
        for node in drawing.nodes
    }
    sizes = {state: minimum_size(drawing.arrows, state) for state in bare}
    wide = max(
        [_NARROWEST, *(max(spot.box.width, sizes[state][0]) for state, spot in bare.items())]
    )
    top = 0.0
    for row in _ROWS:
        here = [state for state in row if state in bare]
        high = max([_LOWEST, *(max(bare[state].box.height, sizes[state][1]) for state in here)])
        for state in here:
            left = _COLUMNS.get(state, 1) * (wide + gaps.across)
            bare[state] = evolve(bare[state], box=Box(left, top, left + wide, top + high))
        top += high + gaps.down
    return bare


def _bare(node: Node, loops: list[Arrow]) -> StateBox:
    """A state as large as what is written in it."""
    notes = tuple(map(printable, node.notes))
    inside = {
        loop.id: LoopLabel(
            make_block(loop.lines, _WIDEST) if loop.lines else None,
            make_pill(loop.badges) if loop.badges else None,
        )
        for loop in loops
        if loop.lines or loop.badges
    }
    widths = [
        text_width(node.state, NAME_FONT_SIZE, bold=True),
        *(text_width(n, NOTE_FONT_SIZE) for n in notes),
    ]
    height = 2 * PADDING + 22.0 + (LINE_HEIGHT - 1) * len(notes)
    for part in inside.values():
        widths.append(part.width)
        height += part.height
    edge = 2 * RING_GAP if node.current else 0.0
    return StateBox(node, Box(0, 0, max(widths) + 2 * PADDING + edge, height + edge), notes, inside)
