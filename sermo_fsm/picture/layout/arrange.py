"""A drawing with a place for all that is in it: states, arrows, labels."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.labels import placed
from sermo_fsm.picture.layout.routes import Route, routes_of
from sermo_fsm.picture.layout.spots import Gaps, Spot, spots_of

__all__ = ["Picture", "arranged"]

_ACROSS: Final = 150.0
_DOWN: Final = 136.0
_DOWN_WITH_MARK: Final = 240.0
"""Above a state in the middle, so that a mark stands below the arch."""
_AROUND_LABEL: Final = 30.0
_LEVEL: Final = ({State.BOT, State.QUEUED}, {State.QUEUED, State.WITH_AGENT})
# How much further apart, across and down; rather down, for pages are narrow.
_WIDER: Final = (
    (1.0, 1.15),
    (1.0, 1.3),
    (1.0, 1.5),
    (1.06, 1.7),
    (1.15, 2.0),
    (1.3, 2.4),
    (1.6, 2.8),
    (2.0, 3.4),
    (2.6, 4.4),
    (4.0, 6.5),
    (6.0, 10.0),
)
_WIDE: Final = 2.8
"""Beyond that only what is covered is worth more room, and not what a line runs through."""


@frozen
class Picture:
    """All that has a place.

    Attributes:
        labels: By the ids of the arrows.
        pills: Likewise.
        covered: Some label stands on a state or on another label.
        struck: The labels that a line runs through, because there is no better way, and how often.
    """

    spots: Mapping[State, Spot]
    routes: tuple[Route, ...]
    labels: Mapping[str, Box]
    pills: Mapping[str, Box]
    covered: bool
    struck: Mapping[str, int]


def arranged(drawing: Drawing) -> Picture:
    """The states as near to each other as the labels allow."""
    gaps = _first_gaps(drawing)
    best = _with(drawing, gaps)
    for across, down in _WIDER:
        if not best.covered and (not best.struck or down > _WIDE):
            break
        picture = _with(drawing, Gaps(gaps.across * across, gaps.down * down))
        best = min(best, picture, key=_badness)
    return best


def _badness(picture: Picture) -> tuple[bool, int]:
    return picture.covered, sum(picture.struck.values())


def _first_gaps(drawing: Drawing) -> Gaps:
    """Room for what stands between two states in the same row."""
    none = Gaps(0, 0)
    widths = [
        route.block.width + _AROUND_LABEL
        for route in routes_of(drawing.arrows, spots_of(drawing, none), none)
        if route.block and {route.arrow.source, route.arrow.target} in _LEVEL
    ]
    marked = any(arrow.target is State.QUEUED and not arrow.source for arrow in drawing.arrows)
    return Gaps(max([_ACROSS, *widths]), _DOWN_WITH_MARK if marked else _DOWN)


def _with(drawing: Drawing, gaps: Gaps) -> Picture:
    """The best that there is with so much room."""
    spots = spots_of(drawing, gaps)
    routes = routes_of(drawing.arrows, spots, gaps)
    found, covered = placed(spots, routes)
    return Picture(
        spots,
        routes,
        {name: place.box for (name, pill), place in found.items() if not pill},
        {name: place.box for (name, pill), place in found.items() if pill},
        covered,
        {name: place.struck for (name, _), place in found.items() if place.struck},
    )
