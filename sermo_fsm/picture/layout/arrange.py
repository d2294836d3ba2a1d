"""A drawing with a place for all that is in it: states, arrows, labels."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.label_search import place_labels
from sermo_fsm.picture.layout.routes import Route, route_arrows
from sermo_fsm.picture.layout.state_boxes import Gaps, StateBox, place_states

__all__ = ["Layout", "arrange_drawing"]

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
class Layout:
    """All that has a place.

    Attributes:
        labels: By the ids of the arrows.
        pills: Likewise.
        covered: Some label stands on a state or on another label.
        struck: The labels that a line runs through, because there is no better way, and how often.
    """

    state_boxes: Mapping[State, StateBox]
    routes: tuple[Route, ...]
    labels: Mapping[str, Box]
    pills: Mapping[str, Box]
    has_overlap: bool
    crossings: Mapping[str, int]


def arrange_drawing(drawing: Drawing) -> Layout:
    """The states as near to each other as the labels allow."""
    gaps = _first_gaps(drawing)
    best = _with(drawing, gaps)
    for across, down in _WIDER:
        if not best.has_overlap and (not best.crossings or down > _WIDE):
            break
        layout = _with(drawing, Gaps(gaps.across * across, gaps.down * down))
        best = min(best, layout, key=_badness)
    return best


def _badness(layout: Layout) -> tuple[bool, int]:
    return layout.has_overlap, sum(layout.crossings.values())


def _first_gaps(drawing: Drawing) -> Gaps:
    """Room for what stands between two states in the same row."""
    none = Gaps(0, 0)
    widths = [
        route.block.width + _AROUND_LABEL
        for route in route_arrows(drawing.arrows, place_states(drawing, none), none)
        if route.block and {route.arrow.source, route.arrow.target} in _LEVEL
    ]
    marked = any(arrow.target is State.QUEUED and not arrow.source for arrow in drawing.arrows)
    return Gaps(max([_ACROSS, *widths]), _DOWN_WITH_MARK if marked else _DOWN)


def _with(drawing: Drawing, gaps: Gaps) -> Layout:
    """The best that there is with so much room."""
    spots = place_states(drawing, gaps)
    routes = route_arrows(drawing.arrows, spots, gaps)
    found, covered = place_labels(spots, routes)
    return Layout(
        spots,
        routes,
        {name: place.box for (name, pill), place in found.items() if not pill},
        {name: place.box for (name, pill), place in found.items() if pill},
        covered,
        {name: place.crossings for (name, _), place in found.items() if place.crossings},
    )
