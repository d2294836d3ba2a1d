"""Boxes and curves in the plane of a picture: x to the right, y downwards.

Nothing but sums, products and square roots, which are the same on every machine; the functions of
an angle are not.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from attrs import field, frozen

__all__ = ["Box", "Cubic", "Curve", "Point", "bounding_box", "corner", "cubic", "straight"]

Point = tuple[float, float]
Cubic = tuple[Point, Point, Point, Point]

_ROUND: Final = 0.5523
"""How far along its edges a corner's handles lie, to look like a circle."""
_STEP: Final = 9.0
"""About so far apart are the points that stand for a curve."""


@frozen
class Box:
    """A rectangle along the axes."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def centred_at(cls, centre: Point, width: float, height: float) -> "Box":
        """The one of this size around a point."""
        x, y = centre
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    @property
    def centre(self) -> Point:
        """The point in the middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, by: float) -> "Box":
        """The same with a margin."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def overlap(self, other: "Box") -> float:
        """The area that lies in both."""
        # Most lie apart, and this is asked very often.
        if (
            self.left >= other.right
            or other.left >= self.right
            or self.top >= other.bottom
            or other.top >= self.bottom
        ):
            return 0.0
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high

    def gap(self, other: "Box") -> float:
        """How far it is from one to the other; 0 where they meet."""
        across = max(0.0, self.left - other.right, other.left - self.right)
        down = max(0.0, self.top - other.bottom, other.top - self.bottom)
        return math.sqrt(across * across + down * down)


def bounding_box(*boxes: Box) -> Box:
    """The smallest box that holds them all."""
    return Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )


def cubic(start: Point, out: Point, into: Point, end: Point) -> Cubic:
    """A Bézier curve with its two handles."""
    return start, out, into, end


def straight(start: Point, end: Point) -> Cubic:
    """A straight piece, as a Bézier curve like any other."""
    (x, y), (u, v) = start, end
    return start, (x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end


def corner(start: Point, tip: Point, end: Point, pull: float = _ROUND) -> Cubic:
    """A bend that would go by *tip* if it were not round."""
    return start, _between(start, tip, pull), _between(end, tip, pull), end


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


@frozen
class Curve:
    """Cubic pieces, each beginning where the one before ends.

    Attributes:
        points: Points along it, evenly, both ends among them.
        bounds: The box around those.
    """

    pieces: tuple[Cubic, ...]
    points: tuple[Point, ...] = field(init=False)
    bounds: Box = field(init=False)

    @points.default
    def _points(self) -> tuple[Point, ...]:
        return tuple(_evenly([point for piece in self.pieces for point in _steps(piece)]))

    @bounds.default
    def _bounds(self) -> Box:
        across, down = zip(*self.points, strict=True)
        return Box(min(across), min(down), max(across), max(down))

    def point_at(self, share: float) -> Point:
        """The point so far along, from 0 at the start to 1 at the end."""
        return self.points[round(share * (len(self.points) - 1))]


def _steps(piece: Cubic, count: int = 24) -> Iterator[Point]:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = piece
    for step in range(count + 1):
        t = step / count
        s = 1 - t
        a, b, c, d = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
        yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3


def _evenly(rough: list[Point]) -> Iterator[Point]:
    """Points on a broken line, all as far apart along it."""
    marks = [0.0]
    for (x, y), (u, v) in pairwise(rough):
        marks.append(marks[-1] + math.sqrt((u - x) * (u - x) + (v - y) * (v - y)))
    count = max(2, math.ceil(marks[-1] / _STEP))
    place = 0
    for step in range(count + 1):
        wanted = marks[-1] * step / count
        while place < len(marks) - 2 and marks[place + 1] < wanted:
            place += 1
        length = marks[place + 1] - marks[place]
        yield _between(
            rough[place], rough[place + 1], (wanted - marks[place]) / length if length else 0.0
        )
