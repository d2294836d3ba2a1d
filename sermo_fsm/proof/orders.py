"""Prove the law of reading by trying every pair of events, in every situation, in both orders.

Inside a chat the law holds. At the edges of a chat it fails only as
:mod:`sermo_fsm.proof.law` declares.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from attrs import define, field

from sermo_fsm.core.machine import LIVE, State
from sermo_fsm.proof.event_pair import EventPair, law_applies
from sermo_fsm.proof.law import DECLARED_EXCEPTIONS, DeclaredException
from sermo_fsm.proof.report import Check, Finding, SituationProgress, ignore_progress
from sermo_fsm.proof.situation_classes import INBOUND, OUTBOUND, Simulator
from sermo_fsm.proof.situations import Situation
from sermo_fsm.proof.trials import Trial, trials
from sermo_fsm.protocol.events import Trigger

__all__ = ["law_and_edges"]


def law_and_edges(
    simulator: Simulator,
    situations: Iterable[Situation],
    progress: SituationProgress = ignore_progress,
) -> tuple[Check, Check]:
    """Prove the law and its declared exceptions; each pair of events counts for one of the two."""
    tally, chosen = _LawTally(), list(situations)
    for done, situation in enumerate(chosen):
        progress(done, len(chosen))
        for trial in trials(simulator, situation):
            tally.add(trial, trial.pair(simulator))
    return tally.law(chosen), tally.edges(chosen)


@define
class _LawTally:
    """The counts and problems so far.

    Attributes:
        inside: The number of pairs that the law is about.
        met: The pairs of triggers among them, each with its live state and whether the inbound
            event was received first.
        whole: The number of them in which no chat closes.
        outside: The number of pairs at an edge of a chat.
        differ: The number of them that end in two different states.
        moved_on: The number of them that end in one state, but with an event in another chat.
        covered: The number of pairs of each declared exception, by its name.
        breaches: The cases in which the law is broken.
        undeclared: The cases that contradict the declared exceptions.
    """

    inside: int = 0
    met: set[tuple[State | None, Trigger, Trigger, bool]] = field(factory=set)
    whole: int = 0
    outside: int = 0
    differ: int = 0
    moved_on: int = 0
    covered: Counter[str] = field(factory=Counter)
    breaches: list[str] = field(factory=list)
    undeclared: list[str] = field(factory=list)
    _declared: dict[tuple[Trigger, Trigger], list[DeclaredException]] = field(factory=dict)

    def add(self, trial: Trial, pair: EventPair) -> None:
        """Count one trial."""
        if law_applies(pair):
            self._add_inside(trial, pair)
            return
        self.outside += 1
        covering = [one for one in self._declared_for(pair) if one.covers(pair)]
        for exception in covering:
            self.covered[exception.name] += 1
        same = trial.same_state
        self.differ += not same
        self.moved_on += same and not trial.same_chats
        if len(covering) != (not same):
            self.undeclared.append(_contradiction(trial, covering))

    def _declared_for(self, pair: EventPair) -> list[DeclaredException]:
        triggers = pair.inbound, pair.outbound
        if triggers not in self._declared:
            self._declared[triggers] = [
                one
                for one in DECLARED_EXCEPTIONS
                if pair.inbound in one.inbound and pair.outbound in one.outbound
            ]
        return self._declared[triggers]

    def _add_inside(self, trial: Trial, pair: EventPair) -> None:
        self.inside += 1
        first = pair.inbound_at < pair.outbound_at
        state = trial.situation.situation_class.state
        self.met.add((state, pair.inbound, pair.outbound, first))
        if not trial.same_state:
            self.breaches.append(trial.describe())
        elif not trial.closes:
            self.whole += 1
            if not trial.same_chats:
                self.breaches.append(f"{trial.describe()}, but something else is not the same")

    def law(self, situations: list[Situation]) -> Check:
        """The check of the pairs inside a chat."""
        live_chats = sum(situation.live is not None for situation in situations)
        summary = (
            f"{live_chats} live chats × {len(INBOUND)} inbound × {len(OUTBOUND)} outbound "
            "triggers, either received first: both orders of reading end in the same state; in "
            f"{self.whole} of the cases nothing closes, and all that the rules go by is the same"
        )
        return Check("law", self.inside, summary, (*self._missing(), *self.breaches))

    def _missing(self) -> Iterator[str]:
        """The pairs that the law covers and no trial did: a wrong ``law_applies`` hides them."""
        for state, inbound, outbound, first in product(LIVE, INBOUND, OUTBOUND, (True, False)):
            pair = inbound.trigger, outbound.trigger
            if (state, *pair, first) not in self.met:
                words = f"{pair[0]} and {pair[1]}, {pair[not first]} received first"
                yield f"{words}, in a chat that is {state}: no case of it is inside of a chat"

    def edges(self, situations: list[Situation]) -> Check:
        """The check of the pairs at the edges of a chat, with the declared exceptions."""
        summary = (
            f"{len(situations)} situations × {len(INBOUND)} inbound × {len(OUTBOUND)} outbound "
            "triggers around an opening, a close, a deadline, or at the same instant: "
            f"{self.differ} end in another state, those of {len(DECLARED_EXCEPTIONS)} declared "
            f"exceptions; {self.moved_on} in the same state, but with an event in another chat"
        )
        gone = [
            f"no pair is of the declared exception {one.name!r}: it no longer exists"
            for one in DECLARED_EXCEPTIONS
            if not self.covered[one.name]
        ]
        findings = [
            Finding(one.name, self.covered[one.name], one.reason) for one in DECLARED_EXCEPTIONS
        ]
        return Check("edges", self.outside, summary, (*self.undeclared, *gone), tuple(findings))


def _contradiction(trial: Trial, covering: list[DeclaredException]) -> str:
    case, names = trial.describe(), [repr(one.name) for one in covering]
    if not names:
        return f"{case}: no exception is declared for that"
    if len(names) > 1:
        return f"{case}: of two exceptions, {' and '.join(names)}"
    return f"{case}: the exception {names[0]} says that they differ"
