"""The position and size of the states.

A chat runs from top to bottom: ``open`` at the top, the three states with someone to serve the
customer in a row below, ``closed`` at the bottom.
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
    filled_block,
    make_block,
    make_pill,
    printable,
)

__all__ = [
    "NAME_FONT_SIZE",
    "NAME_HEIGHT",
    "NOTE_FONT_SIZE",
    "NOTE_LINE_HEIGHT",
    "PADDING",
    "RING_GAP",
    "Gaps",
    "LoopLabel",
    "StateBox",
    "fill_states",
    "place_states",
]

NAME_FONT_SIZE: Final = 17.0
"""The font size of a state's name."""
NAME_HEIGHT: Final = 22.0
"""The height of the line with the name."""
NOTE_FONT_SIZE: Final = 13.0
"""The font size of the notes below the name; the smallest in a diagram."""
NOTE_LINE_HEIGHT: Final = LINE_HEIGHT - 1
"""The distance from one note to the next."""
RING_GAP: Final = 5.0
"""The gap between the two borders of the current state."""
PADDING: Final = 15.0
"""The distance from the border to the text inside."""

_DIVIDER_HEIGHT: Final = 17.0
_PILL_MARGIN: Final = 11.0
_ROWS: Final = ((State.OPEN,), (State.BOT, State.QUEUED, State.WITH_AGENT), (State.CLOSED,))
_COLUMNS: Final = {State.BOT: 0, State.WITH_AGENT: 2}
_MIN_WIDTH: Final = 136.0
_MIN_HEIGHT: Final = 52.0
_MAX_BLOCK_WIDTH: Final = 142.0


@frozen
class Gaps:
    """The distances between neighbouring states, across and down."""

    across: float
    down: float


@frozen
class LoopLabel:
    """The label of an arrow from a state to itself, inside the state, below a dividing line.

    Attributes:
        block: The triggers, if there are any.
        pill: The badges, which stand on the dividing line, if there are any.
        divider_height: The height reserved for the dividing line and the pill on it.
    """

    block: TextBlock | None
    pill: Pill | None
    divider_height: float

    @property
    def width(self) -> float:
        """The width of the wider part."""
        return max(part.width for part in (self.block, self.pill) if part)

    @property
    def height(self) -> float:
        """The height of the whole label."""
        return self.divider_height + (self.block.height if self.block else 0.0)


@frozen
class StateBox:
    """A state with its position and size.

    Attributes:
        notes: The notes of the node, made printable.
        loop_labels: The labels of the arrows from the state to itself, by the ids of the arrows.
    """

    node: Node
    box: Box
    notes: tuple[str, ...]
    loop_labels: Mapping[str, LoopLabel]


def place_states(drawing: Drawing, gaps: Gaps) -> dict[State, StateBox]:
    """Place the states of a drawing; all have the same width, those in a row the same height."""
    state_boxes = {
        node.state: _unplaced(node, arrows_between(drawing.arrows, (node.state, node.state)))
        for node in drawing.nodes
    }
    sizes = {}
    for state, state_box in state_boxes.items():
        width, height = minimum_size(drawing.arrows, state)
        sizes[state] = max(width, state_box.box.width), max(height, state_box.box.height)
    width = max([_MIN_WIDTH, *(size[0] for size in sizes.values())])
    top = 0.0
    for row in _ROWS:
        states = [state for state in row if state in state_boxes]
        height = max([_MIN_HEIGHT, *(sizes[state][1] for state in states)])
        for state in states:
            left = _COLUMNS.get(state, 1) * (width + gaps.across)
            box = Box(left, top, left + width, top + height)
            state_boxes[state] = evolve(state_boxes[state], box=box)
        top += height + gaps.down
    return state_boxes


def fill_states(room: Mapping[State, StateBox], drawing: Drawing) -> dict[State, StateBox]:
    """Put the texts of a drawing into the states of its room."""
    return {
        node.state: evolve(
            room[node.state],
            node=node,
            notes=_as_many(tuple(map(printable, node.notes)), room[node.state]),
            loop_labels={
                loop.id: _filled(room[node.state].loop_labels[loop.id], loop)
                for loop in arrows_between(drawing.arrows, (node.state, node.state))
            },
        )
        for node in drawing.nodes
    }


def _as_many(notes: tuple[str, ...], room: StateBox) -> tuple[str, ...]:
    """*notes*, with empty ones as far as a label below them has to keep its place."""
    missing = len(room.notes) - len(notes) if room.loop_labels else 0
    return (*notes, *([""] * missing))


def _filled(room: LoopLabel, loop: Arrow) -> LoopLabel:
    return evolve(
        room,
        block=room.block and filled_block(room.block, loop.lines),
        pill=make_pill(loop.badges) if loop.badges else None,
    )


def _loop_label(loop: Arrow) -> LoopLabel:
    pill = make_pill(loop.badges) if loop.badges else None
    return LoopLabel(
        make_block(loop.lines, _MAX_BLOCK_WIDTH) if loop.lines else None,
        pill,
        pill.height + _PILL_MARGIN if pill else _DIVIDER_HEIGHT,
    )


def _unplaced(node: Node, loops: list[Arrow]) -> StateBox:
    """Return a state at the origin, just large enough for its texts."""
    notes = tuple(map(printable, node.notes))
    loop_labels = {loop.id: _loop_label(loop) for loop in loops if loop.lines or loop.badges}
    widths = [
        text_width(node.state, NAME_FONT_SIZE, bold=True),
        *(text_width(n, NOTE_FONT_SIZE) for n in notes),
    ]
    height = 2 * PADDING + NAME_HEIGHT + NOTE_LINE_HEIGHT * len(notes)
    for label in loop_labels.values():
        widths.append(label.width)
        height += label.height
    ring = 2 * RING_GAP if node.current else 0.0
    return StateBox(
        node, Box(0, 0, max(widths) + 2 * PADDING + ring, height + ring), notes, loop_labels
    )
