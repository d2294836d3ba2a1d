"""Finds a place for every label: beside its own arrow, and on nothing else.

From the cheapest places on, one label after the other moves to where it costs least as the others
stand, until none can. Then one that stands badly may push another away, if that is worth it.
"""

import math
from collections.abc import Mapping
from typing import Final

from sermo_fsm.core.machine import State
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.label_places import AIR, COVERED, PILL_AIR, STRUCK, Place, Places
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.spots import Spot

__all__ = ["Labels", "Name", "placed"]

_ROUNDS: Final = 8
_PUSHES: Final = 16
_FEW: Final = 3
_APART: Final = 0.1

Name = tuple[str, bool]
"""An arrow's id, and whether it is its pill."""
Labels = Mapping[Name, Place]


def placed(spots: Mapping[State, Spot], routes: tuple[Route, ...]) -> tuple[Labels, bool]:
    """Where each label stands, and whether one of them covers something."""
    search = _Search(spots, routes)
    found = search.run()
    return found, search.covers(found)


class _Search:
    """The places that there are, and the way to the best of them."""

    def __init__(self, spots: Mapping[State, Spot], routes: tuple[Route, ...]) -> None:
        places = Places(spots, routes)
        self._choices: dict[Name, list[Place]] = {}
        for route in routes:
            if route.block:
                self._choices[route.arrow.id, False] = places.beside(route, route.block)
            if route.pill:
                self._choices[route.arrow.id, True] = places.upon(route, route.pill)

    def run(self) -> dict[Name, Place]:
        """Where each label stands in the end."""
        found: dict[Name, Place] = {}
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

    def covers(self, found: Mapping[Name, Place]) -> bool:
        """Whether a label stands on a state or on another label, or too near to one."""
        return any(self._cost(name, place, found) >= COVERED for name, place in found.items())

    def _settle(self, found: dict[Name, Place]) -> None:
        """Each moves to where it costs least as the others stand."""
        for _ in range(_ROUNDS):
            before = dict(found)
            for name in found:
                found[name] = self._best(name, found)
            if found == before:
                break

    def _push(self, found: dict[Name, Place]) -> bool:
        """One that stands badly takes a better place, and who was there looks for another."""
        bad = [name for name, place in found.items() if self._cost(name, place, found) >= STRUCK]
        if len(bad) > _FEW:  # there is no room; where the states stand further apart there will be
            return False
        best, better = 0.0, None
        for name in bad:
            for choice in self._choices[name][:_PUSHES]:
                trial = {name: choice}
                for other, place in found.items():
                    if other != name and _crowd(choice.box, [_wanted(other, name, place)]):
                        trial[other] = self._best(other, found | trial)
                gain = self._gain(found, trial)
                if gain > best:
                    best, better = gain, trial
        found.update(better or {})
        return better is not None

    def _gain(self, found: Mapping[Name, Place], trial: Mapping[Name, Place]) -> float:
        """How much less it costs when some of them move."""
        moved = {**found, **trial}
        return math.fsum(
            self._cost(name, found[name], found) - self._cost(name, moved[name], moved)
            for name in trial
        )

    def _cost(self, name: Name, place: Place, found: Mapping[Name, Place]) -> float:
        return place.cost + _crowd(place.box, _others(name, found)) + _apart(name, place, found)

    def _best(self, name: Name, found: Mapping[Name, Place]) -> Place:
        others = _others(name, found)
        return min(
            self._choices[name],
            key=lambda place: place.cost + _crowd(place.box, others) + _apart(name, place, found),
        )


def _others(name: Name, found: Mapping[Name, Place]) -> list[Box]:
    """The other labels, each with the air that it wants around it."""
    return [_wanted(other, name, place) for other, place in found.items() if other != name]


def _wanted(other: Name, name: Name, place: Place) -> Box:
    return place.box.grown(PILL_AIR if name[1] or other[1] else AIR)


def _apart(name: Name, place: Place, found: Mapping[Name, Place]) -> float:
    """What an arrow says is to stand by its pill."""
    other = found.get((name[0], not name[1]))
    return place.box.gap(other.box) * _APART if other else 0.0


def _crowd(box: Box, others: list[Box]) -> float:
    return math.fsum(COVERED + shared for other in others if (shared := box.overlap(other)))
