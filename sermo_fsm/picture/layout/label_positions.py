"""The places that a label could stand at, and what each of them costs.

There are some hundred along an arrow. It costs little to be far from its middle, much to lie on a
line, and more than anything to cover a state.
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
"""Between a label and whatever else there is."""
PILL_MARGIN: Final = 5.0
"""Likewise around a pill."""
OVERLAP_COST: Final = 10_000.0
"""For standing on a state or on another label."""
CROSSING_COST: Final = 70.0
"""For each point of a line that runs through."""

# For each point of another's line within reach, the more the nearer: whose label would it be?
# A pill stands on its line, which says so.
_NEAR: Final = 20.0
_PILL_NEAR: Final = 1.0
_OUTSIDE: Final = 0.8
_OFF_CENTRE: Final = 26.0
_FURTHER: Final = 1.0
_OFF_LINE: Final = 40.0
_CHOICE: Final = 90
_SHARES: Final = tuple(step / 16 for step in range(2, 15))
# On which side of a point of the arrow, and what that costs: corners are less neat.
_AROUND: Final = {
    (x, y): 5.0 if x and abs(y) == 1 else 3.0 if y and abs(y) < 1 else 0.0
    for y in (-1.0, -0.5, 0.0, 0.5, 1.0)
    for x in (-1.0, -0.5, 0.0, 0.5, 1.0)
    if abs(x) == 1 or abs(y) == 1
}
_CELL_SIZE: Final = 32.0
_REACH: Final = 24.0
_TOUCHING: Final = 2.0
_BESIDE: Final = 7.0


@frozen
class LabelPosition:
    """Where a label could stand.

    Attributes:
        cost: Whatever the other labels do.
        struck: How many points of lines lie in it.
    """

    box: Box
    cost: float
    crossings: int


class _PointGrid:
    """All that the arrows cover, found quickly by where it is."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._cells: dict[tuple[int, int], list[tuple[Route, float, float, float]]] = {}
        for route in routes:
            for x, y in (*route.curve.points, route.tip):
                cell = int(x // _CELL_SIZE), int(y // _CELL_SIZE)
                self._cells.setdefault(cell, []).append((route, route.width / 2, x, y))

    def near(self, box: Box) -> Iterator[tuple[Route, float]]:
        """Each point that is near a box: its arrow, and how much air is between; below 0 inside."""
        left, top, right, bottom = box.left, box.top, box.right, box.bottom
        rows = range(int((top - _REACH) // _CELL_SIZE), int((bottom + _REACH) // _CELL_SIZE) + 1)
        for column in range(
            int((left - _REACH) // _CELL_SIZE), int((right + _REACH) // _CELL_SIZE) + 1
        ):
            for row in rows:
                for route, half, x, y in self._cells.get((column, row), ()):
                    air = max(left - x, x - right, top - y, y - bottom) - half
                    if air < _REACH:
                        yield route, air


class PositionFinder:
    """What is there before the labels are."""

    def __init__(self, spots: Mapping[State, StateBox], routes: tuple[Route, ...]) -> None:
        self._taken = [spot.box for spot in spots.values()]
        self._taken += [route.marker for route in routes if route.marker]
        self._points = _PointGrid(routes)
        self._left = min(box.left for box in self._taken) - 10
        self._right = max(box.right for box in self._taken) + 10

    def beside_arrow(self, route: Route, block: TextBlock) -> list[LabelPosition]:
        """For what an arrow says: next to it, at any side; the cheapest first."""
        return _cheapest(self._beside(route, block))

    def on_arrow(self, route: Route, pill: Pill) -> list[LabelPosition]:
        """For a pill: on the line, or at its side where there is no other way; likewise."""
        return _cheapest(self._upon(route, pill))

    def _beside(self, route: Route, block: TextBlock) -> Iterator[LabelPosition]:
        for share in _SHARES:
            for aside, slant in _AROUND.items():
                point = route.curve.point_at(share)
                cost = abs(share - route.label_share) * _OFF_CENTRE + slant
                airs = [_BESIDE + route.width / 2, *_between(route, aside)]
                for further, air in enumerate(airs):
                    box = _touching(point, aside, block.width, block.height, air)
                    yield self._place(box, route, cost + further * _FURTHER, upon=False)

    def _upon(self, route: Route, pill: Pill) -> Iterator[LabelPosition]:
        for share in _SHARES:
            point = route.curve.point_at(share)
            cost = abs(share - route.label_share) * _OFF_CENTRE
            boxes = [Box.centred_at(point, pill.width, pill.height)]
            if route.marker:
                boxes += [_touching(point, way, pill.width, pill.height, 1.0) for way in _AROUND]
            for further, box in enumerate(boxes):
                yield self._place(box, route, cost + (_OFF_LINE if further else 0.0), upon=True)

    def _place(self, box: Box, route: Route, cost: float, *, upon: bool) -> LabelPosition:
        """What it costs to stand there, whatever the other labels do."""
        struck = 0
        grown = box.grown(2.0 if upon else LABEL_MARGIN)
        for taken in self._taken:
            if shared := grown.overlap(taken):
                return LabelPosition(box, cost + OVERLAP_COST + shared, 0)
        for other, air in self._points.near(box):
            if other is route and upon:
                continue
            if air < _TOUCHING:
                struck += 1
                cost += CROSSING_COST
            elif other is not route:
                cost += (_PILL_NEAR if upon else _NEAR) * (1 - max(air, 0.0) / _REACH)
        cost += _OUTSIDE * (max(0.0, self._left - box.left) + max(0.0, box.right - self._right))
        return LabelPosition(box, cost, struck)


def _between(route: Route, aside: Point) -> Iterator[float]:
    """How far away a label has to be for a pill or a mark to find room between."""
    sideways = abs(aside[0]) == 1
    if route.pill:
        yield (route.pill.width if sideways else route.pill.height) / 2 + PILL_MARGIN + 2
    if route.marker:
        yield (route.marker.width if sideways else route.marker.height) / 2 + LABEL_MARGIN + 1


def _cheapest(places: Iterator[LabelPosition]) -> list[LabelPosition]:
    return sorted(places, key=lambda place: place.cost)[:_CHOICE]


def _touching(
    point: Point, aside: tuple[float, float], width: float, height: float, air: float
) -> Box:
    """A box on that side of a point, or at that corner."""
    (x, y), (right, down) = point, aside
    away = air * (0.85 if abs(right) == abs(down) else 1.0)
    return Box.centred_at(
        (
            x + right * (width / 2 + (away if abs(right) == 1 else 0.0)),
            y + down * (height / 2 + (away if abs(down) == 1 else 0.0)),
        ),
        width,
        height,
    )
