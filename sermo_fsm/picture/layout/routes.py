"""The route of each arrow.

An arrow between two states is a straight line, a bend, an arch over the state between them, or a
lane around all states. Which one it is follows from the sides that it leaves and enters by.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow
from sermo_fsm.picture.layout.geometry import Box, Cubic, Curve, Point, corner, straight
from sermo_fsm.picture.layout.ports import (
    END_MARKERS,
    LOOP_CORNERS,
    OUTWARD,
    START_MARKERS,
    Port,
    Side,
    arrows_between,
    line_width,
    ports_by_side,
)
from sermo_fsm.picture.layout.state_boxes import Gaps, StateBox
from sermo_fsm.picture.layout.text_blocks import (
    Pill,
    TextBlock,
    filled_block,
    make_block,
    make_pill,
)

__all__ = ["Route", "arrow_head_size", "fill_routes", "route_arrows"]


_MARKER_DISTANCE: Final = 42.0
_LANE: Final = 46.0
_LANE_BEND: Final = 44.0
_LANE_LABEL_SHARE: Final = 0.17
_BEND: Final = 0.6
_ARCH: Final = 0.62
_MARKER_SIZE: Final = 16.0
_STATE_GAP: Final = 2.0
_SECOND_MARKER_SHIFT: Final = 0.3
_HALF: Final = 0.5
_LOOP_INSET: Final = 20.0
_LOOP_REACH: Final = 23.0


@frozen
class Route:
    """An arrow, its route and its texts.

    Attributes:
        curve: The line, which ends inside the arrow head.
        tip: The point of the arrow head.
        heading: The direction of the arrow head: a unit vector along an axis.
        width: The width of the line.
        block: The triggers, to be placed beside the line; None if there are none, or for a loop.
        pill: The badges, to be placed on the line; None if there are none, or for a loop.
        marker: The box of the start or end marker, if the arrow has one.
        label_share: The best position for the texts, as a share of the curve's length.
    """

    arrow: Arrow
    curve: Curve
    tip: Point
    heading: Point
    width: float
    block: TextBlock | None
    pill: Pill | None
    marker: Box | None = None
    label_share: float = _HALF

    @property
    def is_loop(self) -> bool:
        """Whether the arrow leads from a state to itself."""
        return self.arrow.is_loop


def route_arrows(
    arrows: tuple[Arrow, ...], state_boxes: Mapping[State, StateBox], gaps: Gaps
) -> tuple[Route, ...]:
    """Return the routes of *arrows* between placed states, in the same order."""
    router = _Router(
        arrows, {state: state_box.box for state, state_box in state_boxes.items()}, gaps
    )
    return tuple(router.route(arrow, arrow) for arrow in arrows)


def fill_routes(
    arrows: tuple[Arrow, ...],
    room: tuple[Route, ...],
    state_boxes: Mapping[State, StateBox],
    gaps: Gaps,
) -> tuple[Route, ...]:
    """Return the routes of *arrows* where their *room* has them, in the same order."""
    boxes = {state: state_box.box for state, state_box in state_boxes.items()}
    router = _Router(tuple(route.arrow for route in room), boxes, gaps)
    there = {route.arrow.id: route for route in room}
    return tuple(
        evolve(
            router.route(arrow, there[arrow.id].arrow),
            block=(block := there[arrow.id].block) and filled_block(block, arrow.lines),
        )
        for arrow in arrows
    )


def arrow_head_size(width: float) -> tuple[float, float]:
    """Return the length of the arrow head for a line of *width*, and half its width."""
    return 8.0 + 1.5 * width, 3.3 + 0.95 * width


class _Router:
    """Routes arrows between the boxes of the states, from port to port."""

    def __init__(self, arrows: tuple[Arrow, ...], boxes: Mapping[State, Box], gaps: Gaps) -> None:
        self._arrows = arrows
        self._boxes = boxes
        self._gaps = gaps
        self._ports = {
            (state, name): (side, point)
            for state, side, ports in ports_by_side(arrows)
            if state in boxes
            for name, point in self._spread(state, side, ports)
        }
        obstacles = [*boxes.values(), *(self._lane_obstacle(arrow) for arrow in arrows)]
        self._left = min(box.left for box in obstacles) - _LANE
        self._right = max(box.right for box in obstacles) + _LANE

    def _spread(self, state: State, side: Side, ports: list[Port]) -> Iterator[tuple[str, Point]]:
        """Yield the arrow ids of one side with their points, around the middle of the side."""
        offset = -math.fsum(port.before + port.after for port in ports) / 2
        for port in ports:
            yield port.name, self._side_point(state, side, _HALF, offset + port.before)
            offset += port.before + port.after

    def _side_point(self, state: State, side: Side, share: float, offset: float = 0.0) -> Point:
        box = self._boxes[state]
        if side in (Side.LEFT, Side.RIGHT):
            x = box.left if side is Side.LEFT else box.right
            return x, box.top + share * box.height + offset
        y = box.top if side is Side.TOP else box.bottom
        return box.left + share * box.width + offset, y

    def route(self, arrow: Arrow, known: Arrow) -> Route:
        """Return the route of one arrow, the same as of *known*, which is one of all arrows."""
        width = line_width(arrow)
        block = make_block(arrow.lines) if arrow.lines and not arrow.is_loop else None
        pill = make_pill(arrow.badges) if arrow.badges and not arrow.is_loop else None
        marker = None
        head = arrow_head_size(width)[0]
        if arrow.source is None or arrow.target is None:
            marker, heading, start, tip = self._marker_line(known)
            pieces = [straight(start, _shift(tip, heading, -head + 1))]
        elif arrow.source is arrow.target:
            pieces, tip, heading = self._loop(arrow.source, self._index(known), head)
        else:
            pieces, tip, heading = self._path(known, arrow.source, arrow.target, head)
        share = _LANE_LABEL_SHARE if len(pieces) > 1 else _HALF
        return Route(arrow, Curve(tuple(pieces)), tip, heading, width, block, pill, marker, share)

    def _lane_obstacle(self, arrow: Arrow) -> Box:
        """Return the box that lanes keep clear of: a marker with the label beside its arrow."""
        if arrow.source is not None and arrow.target is not None:
            return self._boxes[arrow.source]
        box = self._marker_line(arrow)[0]
        if not arrow.lines or arrow.target is State.OPEN or arrow.source is State.CLOSED:
            return box
        return box.grown(make_block(arrow.lines).width)

    def _index(self, arrow: Arrow) -> int:
        """Return the index of *arrow* among those with the same ends."""
        return arrows_between(self._arrows, (arrow.source, arrow.target)).index(arrow)

    def _marker_line(self, arrow: Arrow) -> tuple[Box, Point, Point, Point]:
        """Return a marker's box, the heading of its arrow, and the start and tip of its line."""
        state = arrow.target or arrow.source or State.OPEN
        side, share = (END_MARKERS if arrow.target is None else START_MARKERS)[state]
        out = OUTWARD[side]
        inwards = _SECOND_MARKER_SHIFT if share < _HALF else -_SECOND_MARKER_SHIFT
        port = self._side_point(state, side, share + inwards * self._index(arrow))
        length = _MARKER_DISTANCE + (16.0 if arrow.badges else 0.0) + (14.0 if arrow.lines else 0.0)
        centre = _shift(port, out, length + _MARKER_SIZE / 2)
        box = Box.centred_at(centre, _MARKER_SIZE, _MARKER_SIZE)
        far = _shift(port, out, length)
        if arrow.target is None:
            return box, out, port, _shift(far, out, -_STATE_GAP)
        return box, (-out[0], -out[1]), far, _shift(port, out, _STATE_GAP)

    def _loop(self, state: State, index: int, head: float) -> tuple[list[Cubic], Point, Point]:
        box = self._boxes[state]
        right, down = LOOP_CORNERS[state]
        right *= -1 if index else 1
        x = box.right if right > 0 else box.left
        y = box.bottom if down > 0 else box.top
        near = (x - right * _LOOP_INSET, y - down * _LOOP_INSET)
        far = (x + right * _LOOP_REACH, y + down * _LOOP_REACH)
        tip = (x + right * _STATE_GAP, near[1])
        end = (tip[0] + right * (head - 1), tip[1])
        pieces = [
            corner((near[0], y), (near[0], far[1]), (x, far[1])),
            corner((x, far[1]), far, (far[0], y)),
            corner((far[0], y), (far[0], near[1]), end),
        ]
        return pieces, tip, (-1.0 * right, 0.0)

    def _path(
        self, arrow: Arrow, source: State, target: State, head: float
    ) -> tuple[list[Cubic], Point, Point]:
        leaves, start = self._ports[source, arrow.id]
        enters, port = self._ports[target, arrow.id]
        out = OUTWARD[enters]
        tip = _shift(port, out, _STATE_GAP)
        end = _shift(tip, out, head - 1)
        if leaves is enters:
            detour = self._lane if leaves in (Side.LEFT, Side.RIGHT) else self._arch
            pieces = detour(leaves, start, end, self._index(arrow))
        elif (leaves in (Side.LEFT, Side.RIGHT)) == (enters in (Side.LEFT, Side.RIGHT)):
            pieces = [straight(start, end)]
        else:
            bend_corner = (end[0], start[1]) if out[0] == 0 else (start[0], end[1])
            pieces = [corner(start, bend_corner, end, _BEND)]
        return pieces, tip, (-out[0], -out[1])

    def _arch(self, side: Side, start: Point, end: Point, index: int) -> list[Cubic]:
        height = self._gaps.down * (_ARCH - 0.2 * index) * OUTWARD[side][1]
        base = min(start[1], end[1]) if height < 0 else max(start[1], end[1])
        return [(start, (start[0], base + height), (end[0], base + height), end)]

    def _lane(self, side: Side, start: Point, end: Point, index: int) -> list[Cubic]:
        x = self._left if side is Side.LEFT else self._right
        x += OUTWARD[side][0] * _LANE / 2 * index
        inward = -OUTWARD[side][0] * _LANE_BEND
        down = _LANE_BEND if end[1] > start[1] else -_LANE_BEND
        first, second = (x + inward, start[1]), (x, start[1] + down)
        third, fourth = (x, end[1] - down), (x + inward, end[1])
        return [
            straight(start, first),
            corner(first, (x, start[1]), second),
            straight(second, third),
            corner(third, (x, end[1]), fourth),
            straight(fourth, end),
        ]


def _shift(point: Point, direction: Point, by: float) -> Point:
    return point[0] + direction[0] * by, point[1] + direction[1] * by
