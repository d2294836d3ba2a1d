"""Arranges a drawing: tries wider and wider gaps between the states until the labels fit."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.layout.geometry import Box, bounding_box
from sermo_fsm.picture.layout.label_search import place_labels
from sermo_fsm.picture.layout.routes import Route, fill_routes, route_arrows
from sermo_fsm.picture.layout.state_boxes import Gaps, StateBox, fill_states, place_states

__all__ = ["Layout", "arrange_drawing"]

_MIN_GAP_ACROSS: Final = 150.0
_MIN_GAP_DOWN: Final = 136.0
_MIN_GAP_DOWN_WITH_MARKER: Final = 240.0
"""The same if a start marker stands above ``queued``, below the arch over it."""
_LABEL_MARGIN: Final = 20.0
_NEIGHBOURS: Final = ({State.BOT, State.QUEUED}, {State.QUEUED, State.WITH_AGENT})
# Factors for the gaps across and down. Down grows faster, because pages are narrow.
_GAP_FACTORS: Final = (
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
_LAST_FOR_CROSSINGS: Final = 2.8
"""Beyond this factor only an overlap is worth more room; a label that a line crosses is not."""


@frozen
class Layout:
    """The position of everything in a drawing.

    Attributes:
        labels: The boxes of the labels, by the ids of the arrows.
        pills: The boxes of the pills, by the ids of the arrows.
        has_overlap: A label stands on a state or on another label, or too close to one.
        crossings: The arrows whose label or pill a line runs through, and at how many points.
        gaps: The distances between the states.
        bounds: The box around everything.
    """

    state_boxes: Mapping[State, StateBox]
    routes: tuple[Route, ...]
    labels: Mapping[str, Box]
    pills: Mapping[str, Box]
    has_overlap: bool
    crossings: Mapping[str, int]
    gaps: Gaps
    bounds: Box


def arrange_drawing(drawing: Drawing) -> Layout:
    """Place the states as close to each other as the labels allow."""
    if drawing.room is not None:
        return _filled(_arranged(drawing.room), drawing)
    return _arranged(drawing)


def _filled(room: Layout, drawing: Drawing) -> Layout:
    """Return the layout of a drawing that stands where its *room* stands."""
    state_boxes = fill_states(room.state_boxes, drawing)
    routes = fill_routes(drawing.arrows, room.routes, state_boxes, room.gaps)
    return evolve(
        room,
        state_boxes=state_boxes,
        routes=routes,
        labels={route.arrow.id: room.labels[route.arrow.id] for route in routes if route.block},
        pills={
            route.arrow.id: Box.centred_at(
                room.pills[route.arrow.id].centre, route.pill.width, route.pill.height
            )
            for route in routes
            if route.pill
        },
    )


@lru_cache(maxsize=64)  # the search takes a second, and is the same in light and dark
def _arranged(drawing: Drawing) -> Layout:
    gaps = _first_gaps(drawing)
    best = _laid_out(drawing, gaps)
    for across, down in _GAP_FACTORS:
        if not best.has_overlap and (not best.crossings or down > _LAST_FOR_CROSSINGS):
            break
        candidate = _laid_out(drawing, Gaps(gaps.across * across, gaps.down * down))
        best = min(best, candidate, key=_badness)
    return best


def _badness(layout: Layout) -> tuple[bool, int]:
    return layout.has_overlap, sum(layout.crossings.values())


def _first_gaps(drawing: Drawing) -> Gaps:
    """Return gaps with room for the labels between neighbouring states in a row."""
    none = Gaps(0, 0)
    widths = [
        route.block.width + _LABEL_MARGIN
        for route in route_arrows(drawing.arrows, place_states(drawing, none), none)
        if route.block and {route.arrow.source, route.arrow.target} in _NEIGHBOURS
    ]
    has_marker = any(arrow.target is State.QUEUED and not arrow.source for arrow in drawing.arrows)
    return Gaps(
        max([_MIN_GAP_ACROSS, *widths]), _MIN_GAP_DOWN_WITH_MARKER if has_marker else _MIN_GAP_DOWN
    )


def _laid_out(drawing: Drawing, gaps: Gaps) -> Layout:
    """Return the best layout with these gaps."""
    state_boxes = place_states(drawing, gaps)
    routes = route_arrows(drawing.arrows, state_boxes, gaps)
    found, covered = place_labels(state_boxes, routes)
    labels = {name: position.box for (name, pill), position in found.items() if not pill}
    pills = {name: position.box for (name, pill), position in found.items() if pill}
    boxes = [state_box.box for state_box in state_boxes.values()]
    boxes += [route.curve.bounds.grown(route.width / 2 + 1) for route in routes]
    boxes += [route.marker for route in routes if route.marker]
    return Layout(
        state_boxes,
        routes,
        labels,
        pills,
        covered,
        {name: position.crossings for (name, _), position in found.items() if position.crossings},
        gaps,
        bounding_box(*boxes, *labels.values(), *pills.values()),
    )
