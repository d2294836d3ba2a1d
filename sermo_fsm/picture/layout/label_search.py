"""Finds a position for every label: beside its own arrow and on nothing else.

A local search. Every label starts at its cheapest position. One label after the other moves to the
position that costs least with the others where they are, until none moves. Then a badly placed
label may take a better position and push others away, if the total cost falls.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

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


class LabelId(NamedTuple):
    """Identifies a label or a pill by its arrow."""

    arrow_id: str
    is_pill: bool


LabelPositions = Mapping[LabelId, LabelPosition]


def place_labels(
    state_boxes: Mapping[State, StateBox], routes: tuple[Route, ...]
) -> tuple[LabelPositions, bool]:
    """Return the position of each label and pill, and whether one overlaps something."""
    search = _Search(state_boxes, routes)
    found = search.run()
    return found, search.has_overlap(found)


class _Search:
    """The local search among the possible positions."""

    def __init__(self, state_boxes: Mapping[State, StateBox], routes: tuple[Route, ...]) -> None:
        finder = PositionFinder(state_boxes, routes)
        self._positions: dict[LabelId, list[LabelPosition]] = {}
        for route in routes:
            if route.block:
                self._positions[LabelId(route.arrow.id, is_pill=False)] = finder.beside_arrow(
                    route, route.block
                )
            if route.pill:
                self._positions[LabelId(route.arrow.id, is_pill=True)] = finder.on_arrow(
                    route, route.pill
                )

    def run(self) -> dict[LabelId, LabelPosition]:
        """Return the position of each label after the search."""
        found: dict[LabelId, LabelPosition] = {}
        for label in sorted(
            self._positions, key=lambda label: (not label.is_pill, self._positions[label][0].cost)
        ):
            found[label] = self._best(label, found)
        self._settle(found)
        rounds = _MAX_ROUNDS
        while rounds and self._push(found):
            self._settle(found)
            rounds -= 1
        return found

    def has_overlap(self, found: Mapping[LabelId, LabelPosition]) -> bool:
        """Whether a label stands on a state or on another label, or too close to one."""
        return any(
            self._cost(label, position, found) >= OVERLAP_COST for label, position in found.items()
        )

    def _settle(self, found: dict[LabelId, LabelPosition]) -> None:
        """Move one label after the other to its cheapest position, until none moves."""
        for _ in range(_MAX_ROUNDS):
            before = dict(found)
            for label in found:
                found[label] = self._best(label, found)
            if found == before:
                break

    def _push(self, found: dict[LabelId, LabelPosition]) -> bool:
        """Give a badly placed label a better position and move the labels that are in the way."""
        bad = [
            label
            for label, position in found.items()
            if self._cost(label, position, found) >= CROSSING_COST
        ]
        if len(bad) > _MAX_BAD_LABELS:  # too little room: wait for wider gaps
            return False
        best_gain, best_trial = 0.0, None
        for label in bad:
            for choice in self._positions[label][:_POSITIONS_TO_TRY]:
                trial = {label: choice}
                for other, position in found.items():
                    if other != label and _overlap_cost(
                        choice.box, [_with_margin(other, label, position)]
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
            self._cost(label, found[label], found) - self._cost(label, moved[label], moved)
            for label in trial
        )

    def _cost(
        self, label: LabelId, position: LabelPosition, found: Mapping[LabelId, LabelPosition]
    ) -> float:
        return (
            position.cost
            + _overlap_cost(position.box, _other_boxes(label, found))
            + _separation_cost(label, position, found)
        )

    def _best(self, label: LabelId, found: Mapping[LabelId, LabelPosition]) -> LabelPosition:
        others = _other_boxes(label, found)
        return min(
            self._positions[label],
            key=lambda position: (
                position.cost
                + _overlap_cost(position.box, others)
                + _separation_cost(label, position, found)
            ),
        )


def _other_boxes(label: LabelId, found: Mapping[LabelId, LabelPosition]) -> list[Box]:
    """Return the boxes of the other labels, each with its margin."""
    return [
        _with_margin(other, label, position) for other, position in found.items() if other != label
    ]


def _with_margin(other: LabelId, label: LabelId, position: LabelPosition) -> Box:
    return position.box.grown(PILL_MARGIN if label.is_pill or other.is_pill else LABEL_MARGIN)


def _separation_cost(
    label: LabelId, position: LabelPosition, found: Mapping[LabelId, LabelPosition]
) -> float:
    """Return the cost of the distance between an arrow's label and its pill."""
    other = found.get(LabelId(label.arrow_id, is_pill=not label.is_pill))
    return position.box.distance(other.box) * _SEPARATION_COST if other else 0.0


def _overlap_cost(box: Box, others: list[Box]) -> float:
    return math.fsum(OVERLAP_COST + shared for other in others if (shared := box.overlap(other)))
