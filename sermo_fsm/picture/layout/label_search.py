"""Finds a place for every label: beside its own arrow, and on nothing else.

From the cheapest places on, one label after the other moves to where it costs least as the others
stand, until none can. Then one that stands badly may push another away, if that is worth it.
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

_ROUNDS: Final = 8
_PUSHES: Final = 16
_FEW: Final = 3
_APART: Final = 0.1

LabelId = tuple[str, bool]
"""An arrow's id, and whether it is its pill."""
LabelPositions = Mapping[LabelId, LabelPosition]


def place_labels(
    spots: Mapping[State, StateBox], routes: tuple[Route, ...]
) -> tuple[LabelPositions, bool]:
    """Where each label stands, and whether one of them covers something."""
    search = _Search(spots, routes)
    found = search.run()
    return found, search.covers(found)


class _Search:
    """The places that there are, and the way to the best of them."""

    def __init__(self, spots: Mapping[State, StateBox], routes: tuple[Route, ...]) -> None:
        finder = PositionFinder(spots, routes)
        self._choices: dict[LabelId, list[LabelPosition]] = {}
        for route in routes:
            if route.block:
                self._choices[route.arrow.id, False] = finder.beside_arrow(route, route.block)
            if route.pill:
                self._choices[route.arrow.id, True] = finder.on_arrow(route, route.pill)

    def run(self) -> dict[LabelId, LabelPosition]:
        """Where each label stands in the end."""
        found: dict[LabelId, LabelPosition] = {}
        for name in sorted(
            self._choices, key=lambda name: (not name[1], self._choices[name][0].cost)
        ):
            found[name] = self._best(name, found)
        self._settle(found)
        rounds = _ROUNDS
        while rounds and self._push(found):
            self._settle(found)
            rounds -= 1
        return found

    def covers(self, found: Mapping[LabelId, LabelPosition]) -> bool:
        """Whether a label stands on a state or on another label, or too near to one."""
        return any(self._cost(name, place, found) >= OVERLAP_COST for name, place in found.items())

    def _settle(self, found: dict[LabelId, LabelPosition]) -> None:
        """Each moves to where it costs least as the others stand."""
        for _ in range(_ROUNDS):
            before = dict(found)
            for name in found:
                found[name] = self._best(name, found)
            if found == before:
                break

    def _push(self, found: dict[LabelId, LabelPosition]) -> bool:
        """One that stands badly takes a better place, and who was there looks for another."""
        bad = [
            name for name, place in found.items() if self._cost(name, place, found) >= CROSSING_COST
        ]
        if len(bad) > _FEW:  # there is no room; where the states stand further apart there will be
            return False
        best, better = 0.0, None
        for name in bad:
            for choice in self._choices[name][:_PUSHES]:
                trial = {name: choice}
                for other, place in found.items():
                    if other != name and _overlap_cost(
                        choice.box, [_with_margin(other, name, place)]
                    ):
                        trial[other] = self._best(other, found | trial)
                gain = self._gain(found, trial)
                if gain > best:
                    best, better = gain, trial
        found.update(better or {})
        return better is not None

    def _gain(
        self, found: Mapping[LabelId, LabelPosition], trial: Mapping[LabelId, LabelPosition]
    ) -> float:
        """How much less it costs when some of them move."""
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
            self._choices[name],
            key=lambda place: (
                place.cost + _overlap_cost(place.box, others) + _separation_cost(name, place, found)
            ),
        )


def _other_boxes(name: LabelId, found: Mapping[LabelId, LabelPosition]) -> list[Box]:
    """The other labels, each with the air that it wants around it."""
    return [_with_margin(other, name, place) for other, place in found.items() if other != name]


def _with_margin(other: LabelId, name: LabelId, place: LabelPosition) -> Box:
    return place.box.grown(PILL_MARGIN if name[1] or other[1] else LABEL_MARGIN)


def _separation_cost(
    name: LabelId, place: LabelPosition, found: Mapping[LabelId, LabelPosition]
) -> float:
    """What an arrow says is to stand by its pill."""
    other = found.get((name[0], not name[1]))
    return place.box.gap(other.box) * _APART if other else 0.0


def _overlap_cost(box: Box, others: list[Box]) -> float:
    return math.fsum(OVERLAP_COST + shared for other in others if (shared := box.overlap(other)))
