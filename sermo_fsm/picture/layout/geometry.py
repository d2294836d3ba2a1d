"""Boxes and curves; x grows to the right, y downwards.

Only sums, products and square roots are used: their results are the same on every machine, those
of trigonometric functions are not.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from attrs import field, frozen

__all__ = ["Box", "Cubic", "Curve", "Point", "bounding_box", "corner", "straight"]

Point = tuple[float, float]
Cubic = tuple[Point, Point, Point, Point]
"""A Bézier curve: its start, the two handles, its end."""

_CIRCULAR: Final = 0.5523
"""The share of a corner's edge at which its handle makes the curve look like a circle."""
_SAMPLE_DISTANCE: Final = 9.0
"""The approximate distance between the points that a curve is sampled at."""


@frozen
class Box:
    """A rectangle with sides along the axes."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def centred_at(cls, centre: Point, width: float, height: float) -> "Box":
        """Return the box of this size around a point."""
        x, y = centre
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def width(self) -> float:
        """The extent from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """The extent from top to bottom."""
        return self.bottom - self.top

    @property
    def centre(self) -> Point:
        """The point in the middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, by: float) -> "Box":
        """Return the box with a margin on every side."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def overlap(self, other: "Box") -> float:
        """Return the area that lies in both boxes."""
        # Most pairs of boxes lie apart, and this is called very often.
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

    def distance(self, other: "Box") -> float:
        """Return the distance between the boxes; 0 if they meet."""
        across = max(0.0, self.left - other.right, other.left - self.right)
        down = max(0.0, self.top - other.bottom, other.top - self.bottom)
        return math.sqrt(across * across + down * down)


def bounding_box(*boxes: Box) -> Box:
    """Return the smallest box that holds all *boxes*."""
    return Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )


def straight(start: Point, end: Point) -> Cubic:
    """Return a straight line as a Bézier curve."""
    (x, y), (u, v) = start, end
    return start, (x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end


def corner(start: Point, tip: Point, end: Point, pull: float = _CIRCULAR) -> Cubic:
    """Return a rounded bend from *start* to *end*, with its corner at *tip*."""
    return start, _between(start, tip, pull), _between(end, tip, pull), end


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


@frozen
class Curve:
    """A chain of Bézier curves, each beginning where the one before ends.

    Attributes:
        points: Evenly spaced points on the curve, including both ends.
        bounds: The bounding box of the points.
    """

    pieces: tuple[Cubic, ...]
    points: tuple[Point, ...] = field(init=False)
    bounds: Box = field(init=False)

    @points.default
    def _points(self) -> tuple[Point, ...]:
        return tuple(_evenly_spaced([point for piece in self.pieces for point in _sampled(piece)]))

    @bounds.default
    def _bounds(self) -> Box:
        across, down = zip(*self.points, strict=True)
        return Box(min(across), min(down), max(across), max(down))

    def point_at(self, share: float) -> Point:
        """Return the point at a share of the length, from 0 at the start to 1 at the end."""
        return self.points[round(share * (len(self.points) - 1))]


def _sampled(piece: Cubic, count: int = 24) -> Iterator[Point]:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = piece
    for step in range(count + 1):
        t = step / count
        s = 1 - t
        a, b, c, d = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
        yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3


def _evenly_spaced(rough: list[Point]) -> Iterator[Point]:
    """Yield points on a polyline at equal distances along it."""
    lengths = [0.0]
    for (x, y), (u, v) in pairwise(rough):
        lengths.append(lengths[-1] + math.sqrt((u - x) * (u - x) + (v - y) * (v - y)))
    count = max(2, math.ceil(lengths[-1] / _SAMPLE_DISTANCE))
    index = 0
    for step in range(count + 1):
        wanted = lengths[-1] * step / count
        while index < len(lengths) - 2 and lengths[index + 1] < wanted:
            index += 1
        length = lengths[index + 1] - lengths[index]
        yield _between(
            rough[index], rough[index + 1], (wanted - lengths[index]) / length if length else 0.0
        )
