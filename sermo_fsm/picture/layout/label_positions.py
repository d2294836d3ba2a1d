"""The positions that a label may take, and the cost of each.

Each arrow has some hundred. To stand far from the middle of the arrow costs little, to lie on a
line costs much, and to overlap a state costs most.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.layout.geometry import Box, Point
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.state_boxes import StateBox
from sermo_fsm.picture.layout.text_blocks import Pill, TextBlock

__all__ = [
    "CROSSING_COST",
    "LABEL_MARGIN",
    "OVERLAP_COST",
    "PILL_MARGIN",
    "LabelPosition",
    "PositionFinder",
]

LABEL_MARGIN: Final = 9.0
"""The margin around a label."""
PILL_MARGIN: Final = 5.0
"""The margin around a pill."""
OVERLAP_COST: Final = 10_000.0
"""The cost of an overlap with a state or another label."""
CROSSING_COST: Final = 70.0
"""The cost of each point of a line that runs through a label."""

# The cost of each point of another line within reach, the higher the nearer: a reader could take
# the label for that line's. A pill stands on its own line, so this matters less for it.
_PROXIMITY_COST: Final = 20.0
_PILL_PROXIMITY_COST: Final = 1.0
_OUTSIDE_COST: Final = 0.8
_OFF_CENTRE_COST: Final = 26.0
_DISTANCE_COST: Final = 1.0
_OFF_LINE_COST: Final = 40.0
_MAX_POSITIONS: Final = 90
_SHARES: Final = tuple(step / 16 for step in range(2, 15))
# The directions from a point of the arrow to the label, and their costs: corners look less neat.
_DIRECTION_COSTS: Final = {
    (x, y): 5.0 if x and abs(y) == 1 else 3.0 if y and abs(y) < 1 else 0.0
    for y in (-1.0, -0.5, 0.0, 0.5, 1.0)
    for x in (-1.0, -0.5, 0.0, 0.5, 1.0)
    if abs(x) == 1 or abs(y) == 1
}
_CELL_SIZE: Final = 32.0
_REACH: Final = 24.0
_CROSSING_DISTANCE: Final = 2.0
_LABEL_DISTANCE: Final = 7.0


@frozen
class LabelPosition:
    """A position that a label may take.

    Attributes:
        cost: The cost before other labels are considered.
        crossings: The number of points of lines inside the box.
    """

    box: Box
    cost: float
    crossings: int


class _PointGrid:
    """The points of all arrows in a grid, for fast search by position."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._cells: dict[tuple[int, int], list[tuple[Route, float, float, float]]] = {}
        for route in routes:
            for x, y in (*route.curve.points, route.tip):
                cell = int(x // _CELL_SIZE), int(y // _CELL_SIZE)
                self._cells.setdefault(cell, []).append((route, route.width / 2, x, y))

    def near(self, box: Box) -> Iterator[tuple[Route, float]]:
        """Yield the arrow and the distance of each point near a box; negative inside the box."""
        left, top, right, bottom = box.left, box.top, box.right, box.bottom
        rows = range(int((top - _REACH) // _CELL_SIZE), int((bottom + _REACH) // _CELL_SIZE) + 1)
        for column in range(
            int((left - _REACH) // _CELL_SIZE), int((right + _REACH) // _CELL_SIZE) + 1
        ):
            for row in rows:
                for route, half, x, y in self._cells.get((column, row), ()):
                    distance = max(left - x, x - right, top - y, y - bottom) - half
                    if distance < _REACH:
                        yield route, distance


class PositionFinder:
    """Finds positions for labels among the states, markers and lines."""

    def __init__(self, state_boxes: Mapping[State, StateBox], routes: tuple[Route, ...]) -> None:
        self._obstacles = [state_box.box for state_box in state_boxes.values()]
        self._obstacles += [route.marker for route in routes if route.marker]
        self._points = _PointGrid(routes)
        self._left = min(box.left for box in self._obstacles) - 10
        self._right = max(box.right for box in self._obstacles) + 10

    def beside_arrow(self, route: Route, block: TextBlock) -> list[LabelPosition]:
        """Return positions for a label beside its arrow, cheapest first."""
        return _cheapest(self._label_positions(route, block))

    def on_arrow(self, route: Route, pill: Pill) -> list[LabelPosition]:
        """Return positions for a pill on its line, cheapest first; beside a marker if need be."""
        return _cheapest(self._pill_positions(route, pill))

    def _label_positions(self, route: Route, block: TextBlock) -> Iterator[LabelPosition]:
        for share in _SHARES:
            for direction, direction_cost in _DIRECTION_COSTS.items():
                point = route.curve.point_at(share)
                cost = abs(share - route.label_share) * _OFF_CENTRE_COST + direction_cost
                distances = [_LABEL_DISTANCE + route.width / 2, *_extra_distances(route, direction)]
                for index, distance in enumerate(distances):
                    box = _box_beside(point, direction, block.width, block.height, distance)
                    yield self._position(box, route, cost + index * _DISTANCE_COST, is_pill=False)

    def _pill_positions(self, route: Route, pill: Pill) -> Iterator[LabelPosition]:
        for share in _SHARES:
            point = route.curve.point_at(share)
            cost = abs(share - route.label_share) * _OFF_CENTRE_COST
            boxes = [Box.centred_at(point, pill.width, pill.height)]
            if route.marker:
                boxes += [
                    _box_beside(point, direction, pill.width, pill.height, 1.0)
                    for direction in _DIRECTION_COSTS
                ]
            for index, box in enumerate(boxes):
                off_line = _OFF_LINE_COST if index else 0.0
                yield self._position(box, route, cost + off_line, is_pill=True)

    def _position(self, box: Box, route: Route, cost: float, *, is_pill: bool) -> LabelPosition:
        """Return a position with its cost, before other labels are considered."""
        crossings = 0
        grown = box.grown(2.0 if is_pill else LABEL_MARGIN)
        for obstacle in self._obstacles:
            if shared := grown.overlap(obstacle):
                return LabelPosition(box, cost + OVERLAP_COST + shared, 0)
        for other, distance in self._points.near(box):
            if other is route and is_pill:
                continue
            if distance < _CROSSING_DISTANCE:
                crossings += 1
                cost += CROSSING_COST
            elif other is not route:
                weight = _PILL_PROXIMITY_COST if is_pill else _PROXIMITY_COST
                cost += weight * (1 - max(distance, 0.0) / _REACH)
        outside = max(0.0, self._left - box.left) + max(0.0, box.right - self._right)
        return LabelPosition(box, cost + _OUTSIDE_COST * outside, crossings)


def _extra_distances(route: Route, direction: Point) -> Iterator[float]:
    """Yield the distances at which a pill or a marker fits between label and line."""
    sideways = abs(direction[0]) == 1
    if route.pill:
        yield (route.pill.width if sideways else route.pill.height) / 2 + PILL_MARGIN + 2
    if route.marker:
        yield (route.marker.width if sideways else route.marker.height) / 2 + LABEL_MARGIN + 1


def _cheapest(places: Iterator[LabelPosition]) -> list[LabelPosition]:
    return sorted(places, key=lambda place: place.cost)[:_MAX_POSITIONS]


def _box_beside(
    point: Point, direction: Point, width: float, height: float, distance: float
) -> Box:
    """Return a box of this size at a distance from a point; *direction* is a side or a corner."""
    (x, y), (right, down) = point, direction
    away = distance * (0.85 if abs(right) == abs(down) else 1.0)
    return Box.centred_at(
        (
            x + right * (width / 2 + (away if abs(right) == 1 else 0.0)),
            y + down * (height / 2 + (away if abs(down) == 1 else 0.0)),
        ),
        width,
        height,
    )
