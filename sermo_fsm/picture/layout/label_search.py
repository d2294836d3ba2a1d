"""Finds a position for every label: beside its own arrow and on nothing else.

A local search. Every label starts at its cheapest position. One label after the other moves to the
position that costs least with the others where they are, until none moves. Then a badly placed
label may take a better position and push others away, if the total cost falls.
"""

import math
from collections.abc import Mapping
from typing import Final

from sermo_fsm.core.machine import State
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.label_positions import (
    CROSSING_COST,
    LABEL_MARGIN,
    OVERLAP_COST,
    PILL_MARGIN,
    LabelPosition,
    PositionFinder,
)
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.state_boxes import StateBox

__all__ = ["LabelId", "LabelPositions", "place_labels"]

_MAX_ROUNDS: Final = 8
_POSITIONS_TO_TRY: Final = 16
_MAX_BAD_LABELS: Final = 3
_SEPARATION_COST: Final = 0.1

LabelId = tuple[str, bool]
"""The id of an arrow, and whether its pill is meant rather than its label."""
LabelPositions = Mapping[LabelId, LabelPosition]


def place_labels(
    spots: Mapping[State, StateBox], routes: tuple[Route, ...]
) -> tuple[LabelPositions, bool]:
    """Return the position of each label and pill, and whether one overlaps something."""
    search = _Search(spots, routes)
    found = search.run()
    return found, search.has_overlap(found)


class _Search:
    """The local search among the possible positions."""

    def __init__(self, spots: Mapping[State, StateBox], routes: tuple[Route, ...]) -> None:
        finder = PositionFinder(spots, routes)
        self._positions: dict[LabelId, list[LabelPosition]] = {}
        for route in routes:
            if route.block:
                self._positions[route.arrow.id, False] = finder.beside_arrow(route, route.block)
            if route.pill:
                self._positions[route.arrow.id, True] = finder.on_arrow(route, route.pill)

    def run(self) -> dict[LabelId, LabelPosition]:
        """Return the position of each label after the search."""
        found: dict[LabelId, LabelPosition] = {}
        for name in sorted(
            self._positions, key=lambda name: (not name[1], self._positions[name][0].cost)
        ):
            found[name] = self._best(name, found)
        self._settle(found)
        rounds = _MAX_ROUNDS
        while rounds and self._push(found):
            self._settle(found)
            rounds -= 1
        return found

    def has_overlap(self, found: Mapping[LabelId, LabelPosition]) -> bool:
        """Whether a label stands on a state or on another label, or too close to one."""
        return any(self._cost(name, place, found) >= OVERLAP_COST for name, place in found.items())

    def _settle(self, found: dict[LabelId, LabelPosition]) -> None:
        """Move one label after the other to its cheapest position, until none moves."""
        for _ in range(_MAX_ROUNDS):
            before = dict(found)
            for name in found:
                found[name] = self._best(name, found)
            if found == before:
                break

    def _push(self, found: dict[LabelId, LabelPosition]) -> bool:
        """Give a badly placed label a better position and move the labels that are in the way."""
        bad = [
            name for name, place in found.items() if self._cost(name, place, found) >= CROSSING_COST
        ]
        if len(bad) > _MAX_BAD_LABELS:  # too little room: wait for wider gaps
            return False
        best_gain, best_trial = 0.0, None
        for name in bad:
            for choice in self._positions[name][:_POSITIONS_TO_TRY]:
                trial = {name: choice}
                for other, place in found.items():
                    if other != name and _overlap_cost(
                        choice.box, [_with_margin(other, name, place)]
                    ):
                        trial[other] = self._best(other, found | trial)
                gain = self._gain(found, trial)
                if gain > best_gain:
                    best_gain, best_trial = gain, trial
        found.update(best_trial or {})
        return best_trial is not None

    def _gain(
        self, found: Mapping[LabelId, LabelPosition], trial: Mapping[LabelId, LabelPosition]
    ) -> float:
        """Return how much the total cost falls if the labels of *trial* move."""
        moved = {**found, **trial}
        return math.fsum(
            self._cost(name, found[name], found) - self._cost(name, moved[name], moved)
            for name in trial
        )

    def _cost(
        self, name: LabelId, place: LabelPosition, found: Mapping[LabelId, LabelPosition]
    ) -> float:
        return (
            place.cost
            + _overlap_cost(place.box, _other_boxes(name, found))
            + _separation_cost(name, place, found)
        )

    def _best(self, name: LabelId, found: Mapping[LabelId, LabelPosition]) -> LabelPosition:
        others = _other_boxes(name, found)
        return min(
            self._positions[name],
            key=lambda place: (
                place.cost + _overlap_cost(place.box, others) + _separation_cost(name, place, found)
            ),
        )


def _other_boxes(name: LabelId, found: Mapping[LabelId, LabelPosition]) -> list[Box]:
    """Return the boxes of the other labels, each with its margin."""
    return [_with_margin(other, name, place) for other, place in found.items() if other != name]


def _with_margin(other: LabelId, name: LabelId, place: LabelPosition) -> Box:
    return place.box.grown(PILL_MARGIN if name[1] or other[1] else LABEL_MARGIN)


def _separation_cost(
    name: LabelId, place: LabelPosition, found: Mapping[LabelId, LabelPosition]
) -> float:
    """Return the cost of the distance between an arrow's label and its pill."""
    other = found.get((name[0], not name[1]))
    return place.box.distance(other.box) * _SEPARATION_COST if other else 0.0


def _overlap_cost(box: Box, others: list[Box]) -> float:
    return math.fsum(OVERLAP_COST + shared for other in others if (shared := box.overlap(other)))
