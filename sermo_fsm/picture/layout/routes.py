"""Which way each arrow takes.

Every pair of states has its ways, there and back, of one of four shapes: straight, a bend, an arch
over the state between, a lane around all. The sides that an arrow leaves and enters by say which.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow
from sermo_fsm.picture.layout.geometry import Box, Cubic, Curve, Point, corner, cubic, straight
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
from sermo_fsm.picture.layout.text_blocks import Pill, TextBlock, make_block, make_pill

__all__ = ["Route", "arrow_head_size", "route_arrows"]


_STUB: Final = 42.0
_LANE: Final = 46.0
_LANE_BEND: Final = 44.0
_MIDDLE_OF_LANE: Final = 0.17
_BEND: Final = 0.6
_ARCH: Final = 0.62
_MARK: Final = 16.0
_AIR: Final = 2.0
_ASIDE: Final = 0.3
_HALF: Final = 0.5
_LOOP: Final = 20.0
_LOOP_OUT: Final = 23.0


@frozen
class Route:
    """An arrow, and the way it takes.

    Attributes:
        curve: As far as into the arrow head.
        tip: Where that points.
        toward: In which direction: one of the four along the axes.
        width: Of its line.
        block: What is to be written beside it; None where that stands inside of its state.
        pill: What is to be written on it; likewise.
        mark: Where the start or the end of the chat is marked.
        middle: How far along what is written stands best.
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
        """From a state to itself."""
        return self.arrow.is_loop


def route_arrows(
    arrows: tuple[Arrow, ...], spots: Mapping[State, StateBox], gaps: Gaps
) -> tuple[Route, ...]:
    """The ways between states that stand there."""
    router = _Router(arrows, {state: spot.box for state, spot in spots.items()}, gaps)
    return tuple(map(router.route, arrows))


def arrow_head_size(width: float) -> tuple[float, float]:
    """How long the head of such a line is, and how wide to each side."""
    return 8.0 + 1.5 * width, 3.3 + 0.95 * width


class _Router:
    """Knows where the states stand, and at which place of its sides each arrow has its port."""

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
        everything = [*boxes.values(), *(self._aside(arrow) for arrow in arrows)]
        self._left = min(box.left for box in everything) - _LANE
        self._right = max(box.right for box in everything) + _LANE

    def _spread(self, state: State, side: Side, ports: list[Port]) -> Iterator[tuple[str, Point]]:
        """The places along one side, around its middle."""
        place = -math.fsum(port.before + port.after for port in ports) / 2
        for port in ports:
            yield port.name, self._on(state, side, _HALF, place + port.before)
            place += port.before + port.after

    def _on(self, state: State, side: Side, share: float, further: float = 0.0) -> Point:
        box = self._boxes[state]
        if side in (Side.LEFT, Side.RIGHT):
            x = box.left if side is Side.LEFT else box.right
            return x, box.top + share * box.height + further
        y = box.top if side is Side.TOP else box.bottom
        return box.left + share * box.width + further, y

    def route(self, arrow: Arrow) -> Route:
        """The way of one arrow."""
        width = line_width(arrow)
        block = make_block(arrow.lines) if arrow.lines and not arrow.is_loop else None
        pill = make_pill(arrow.badges) if arrow.badges and not arrow.is_loop else None
        mark = None
        head = arrow_head_size(width)[0]
        if arrow.source is None or arrow.target is None:
            mark, out, start, tip = self._mark(arrow)
            toward = out
            pieces = [straight(start, _shift(tip, toward, -head + 1))]
        elif arrow.source is arrow.target:
            pieces, tip, toward = self._loop(arrow.source, self._nth(arrow), head)
        else:
            pieces, tip, toward = self._way(arrow, arrow.source, arrow.target, head)
        middle = _MIDDLE_OF_LANE if len(pieces) > 1 else _HALF
        return Route(arrow, Curve(tuple(pieces)), tip, toward, width, block, pill, mark, middle)

    def _aside(self, arrow: Arrow) -> Box:
        """What a lane has to keep clear of: a mark, and what is written beside its arrow."""
        if arrow.source is not None and arrow.target is not None:
            return self._boxes[arrow.source]
        box = self._mark(arrow)[0]
        if not arrow.lines or arrow.target is State.OPEN or arrow.source is State.CLOSED:
            return box
        return box.grown(make_block(arrow.lines).width)

    def _nth(self, arrow: Arrow) -> int:
        """How many before it lead from there to there."""
        return arrows_between(self._arrows, (arrow.source, arrow.target)).index(arrow)

    def _mark(self, arrow: Arrow) -> tuple[Box, Point, Point, Point]:
        """The box of a mark, the direction, and the two ends of the line between it and a state."""
        state = arrow.target or arrow.source or State.OPEN
        side, share = (END_MARKERS if arrow.target is None else START_MARKERS)[state]
        out = OUTWARD[side]
        inwards = _ASIDE if share < _HALF else -_ASIDE
        port = self._on(state, side, share + inwards * self._nth(arrow))
        length = _STUB + (16.0 if arrow.badges else 0.0) + (14.0 if arrow.lines else 0.0)
        box = Box.centred_at(_shift(port, out, length + _MARK / 2), _MARK, _MARK)
        far = _shift(port, out, length)
        if arrow.target is None:
            return box, out, port, _shift(far, out, -_AIR)
        return box, (-out[0], -out[1]), far, _shift(port, out, _AIR)

    def _loop(self, state: State, nth: int, head: float) -> tuple[list[Cubic], Point, Point]:
        box = self._boxes[state]
        right, down = LOOP_CORNERS[state]
        right *= -1 if nth else 1
        x = box.right if right > 0 else box.left
        y = box.bottom if down > 0 else box.top
        near = (x - right * _LOOP, y - down * _LOOP)
        far = (
            x + right * _LOOP_OUT,
            y + down * _LOOP_OUT,
        )
        tip = (x + right * _AIR, near[1])
        end = (tip[0] + right * (head - 1), tip[1])
        pieces = [
            corner((near[0], y), (near[0], far[1]), (x, far[1])),
            corner((x, far[1]), far, (far[0], y)),
            corner((far[0], y), (far[0], near[1]), end),
        ]
        return pieces, tip, (-1.0 * right, 0.0)

    def _way(
        self, arrow: Arrow, source: State, target: State, head: float
    ) -> tuple[list[Cubic], Point, Point]:
        leaves, start = self._ports[source, arrow.id]
        enters, port = self._ports[target, arrow.id]
        out = OUTWARD[enters]
        tip = _shift(port, out, _AIR)
        end = _shift(tip, out, head - 1)
        if leaves is enters:
            bend = self._lane if leaves in (Side.LEFT, Side.RIGHT) else self._arch
            pieces = bend(leaves, start, end, self._nth(arrow))
        elif (leaves in (Side.LEFT, Side.RIGHT)) == (enters in (Side.LEFT, Side.RIGHT)):
            pieces = [straight(start, end)]
        else:
            tip_of_bend = (end[0], start[1]) if out[0] == 0 else (start[0], end[1])
            pieces = [corner(start, tip_of_bend, end, _BEND)]
        return pieces, tip, (-out[0], -out[1])

    def _arch(self, side: Side, start: Point, end: Point, nth: int) -> list[Cubic]:
        high = self._gaps.down * (_ARCH - 0.2 * nth) * OUTWARD[side][1]
        base = min(start[1], end[1]) if high < 0 else max(start[1], end[1])
        return [cubic(start, (start[0], base + high), (end[0], base + high), end)]

    def _lane(self, side: Side, start: Point, end: Point, nth: int) -> list[Cubic]:
        x = self._left if side is Side.LEFT else self._right
        x += OUTWARD[side][0] * _LANE / 2 * nth
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


def _shift(point: Point, toward: Point, by: float) -> Point:
    return point[0] + toward[0] * by, point[1] + toward[1] * by
