"""The law of reading, proved by trying: inside of a chat it holds, and at its edges it is known."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from attrs import define, field

from sermo_fsm.core.machine import LIVE, State
from sermo_fsm.proof.chats import Situation
from sermo_fsm.proof.event_pair import Pair, inside
from sermo_fsm.proof.law import EDGES, Edge
from sermo_fsm.proof.pairs import Trial, trials
from sermo_fsm.proof.report import Check, Finding, Progress, unheard
from sermo_fsm.proof.situation_classes import INBOUND, OUTBOUND, Ground
from sermo_fsm.protocol.events import Trigger

__all__ = ["law_and_edges"]


def law_and_edges(
    ground: Ground, among: Iterable[Situation], progress: Progress = unheard
) -> tuple[Check, Check]:
    """The law, and where it ends: each pair of events is tried once, and belongs to one of them."""
    tally, chosen = _Tally(), list(among)
    for done, situation in enumerate(chosen):
        progress(done, len(chosen))
        for trial in trials(ground, situation):
            tally.take(trial, trial.pair(ground))
    return tally.law(chosen), tally.edges(chosen)


@define
class _Tally:
    inside: int = 0
    met: set[tuple[State | None, Trigger, Trigger, bool]] = field(factory=set)
    """In which live states which pair was tried, and whether the inbound event was first."""
    whole: int = 0
    outside: int = 0
    differ: int = 0
    moved_on: int = 0
    covered: Counter[str] = field(factory=Counter)
    breaches: list[str] = field(factory=list)
    undeclared: list[str] = field(factory=list)
    _declared: dict[tuple[Trigger, Trigger], list[Edge]] = field(factory=dict)

    def take(self, trial: Trial, pair: Pair) -> None:
        if inside(pair):
            self._take_inside(trial, pair)
            return
        self.outside += 1
        covering = [edge for edge in self._declared_for(pair) if edge.covers(pair)]
        for edge in covering:
            self.covered[edge.name] += 1
        same = trial.same_state
        self.differ += not same
        self.moved_on += same and not trial.same_chats
        if len(covering) != (not same):
            self.undeclared.append(_discord(trial, covering))

    def _declared_for(self, pair: Pair) -> list[Edge]:
        triggers = pair.inbound, pair.outbound
        if triggers not in self._declared:
            self._declared[triggers] = [
                edge
                for edge in EDGES
                if pair.inbound in edge.inbound and pair.outbound in edge.outbound
            ]
        return self._declared[triggers]

    def _take_inside(self, trial: Trial, pair: Pair) -> None:
        self.inside += 1
        first = pair.inbound_at < pair.outbound_at
        self.met.add((trial.situation.place.state, pair.inbound, pair.outbound, first))
        if not trial.same_state:
            self.breaches.append(trial.words())
        elif not trial.closes:
            self.whole += 1
            if not trial.same_chats:
                self.breaches.append(f"{trial.words()}, but something else is not the same")

    def law(self, chosen: list[Situation]) -> Check:
        lives = sum(situation.live is not None for situation in chosen)
        summary = (
            f"{lives} live chats × {len(INBOUND)} inbound × {len(OUTBOUND)} outbound triggers, "
            "either received first: both orders of reading end in the same state; in "
            f"{self.whole} of the cases nothing closes, and all that the rules go by is the same"
        )
        return Check("law", self.inside, summary, (*self._missing(), *self.breaches))

    def _missing(self) -> Iterator[str]:
        """What the law speaks of, and was tried nowhere: who takes it for an edge hides it."""
        for state, inbound, outbound, first in product(LIVE, INBOUND, OUTBOUND, (True, False)):
            pair = inbound.trigger, outbound.trigger
            if (state, *pair, first) not in self.met:
                words = f"{pair[0]} and {pair[1]}, {pair[not first]} received first"
                yield f"{words}, in a chat that is {state}: no case of it is inside of a chat"

    def edges(self, chosen: list[Situation]) -> Check:
        summary = (
            f"{len(chosen)} situations × {len(INBOUND)} inbound × {len(OUTBOUND)} outbound "
            "triggers around an opening, a close, a deadline, or at the same instant: "
            f"{self.differ} end in another state, those of {len(EDGES)} declared exceptions; "
            f"{self.moved_on} in the same state, but with an event in another chat"
        )
        gone = [
            f"no pair is of the declared exception {edge.name!r}: it no longer exists"
            for edge in EDGES
            if not self.covered[edge.name]
        ]
        findings = [Finding(edge.name, self.covered[edge.name], edge.reason) for edge in EDGES]
        return Check("edges", self.outside, summary, (*self.undeclared, *gone), tuple(findings))


def _discord(trial: Trial, covering: list[Edge]) -> str:
    if not covering:
        return f"{trial.words()}: no exception is declared for that"
    if len(covering) > 1:
        return f"{trial.words()}: of two exceptions, {' and '.join(map(_name, covering))}"
    return f"{trial.words()}: the exception {_name(covering[0])} says that they differ"


def _name(edge: Edge) -> str:
    return repr(edge.name)
