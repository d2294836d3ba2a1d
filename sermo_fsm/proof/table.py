"""Prove the table by itself, and that ``transitions`` reads it the same way."""

from collections.abc import Set as AbstractSet
from itertools import product
from types import SimpleNamespace
from typing import Final

from sermo_fsm.core.machine import (
    LIVE,
    NO_EFFECT,
    NO_GUARD,
    TABLE,
    Cell,
    Effect,
    Guard,
    State,
    shared_machine,
)
from sermo_fsm.proof.report import Check, Finding, check_from_cases
from sermo_fsm.protocol.events import QUIET, Trigger

__all__ = ["closing", "deterministic", "effective", "quiet", "reachable", "same_machine", "total"]

_GUARD_SETS: Final = (NO_GUARD, *(frozenset({guard}) for guard in Guard))

_ALWAYS_CLOSES: Final = (Trigger.CLIENT_LEFT, Trigger.EXPIRE, Trigger.CLOSE)
"""The customer, the clock and an operator: each may end a chat at any moment."""


def total() -> Check:
    """Prove that every live state and trigger have exactly one cell, and ``closed`` has none."""
    summary = f"{len(State)} states × {len(Trigger)} triggers: one cell if live, none if closed"
    return check_from_cases(
        "total", summary, (_cell_problem(*case) for case in product(State, Trigger))
    )


def _cell_problem(state: State, trigger: Trigger) -> str:
    cell, where = TABLE.get((state, trigger)), f"{trigger} in {state}"
    if cell is None:
        return f"{where}: the cell is left out" if state in LIVE else ""
    if state not in LIVE:
        return f"{where}: no cell may stand there"
    moves = cell.effect is Effect.MOVE
    decides = (cell.guard is None) is (cell.otherwise is None) and (moves or cell.guard is None)
    return "" if decides and moves is not (cell.to is state) else f"{where}: contradicts itself"


def deterministic() -> Check:
    """Prove that no transition is hidden by one that is taken instead."""
    summary = (
        f"{len(State)} states × {len(Trigger)} triggers: one way, or two where a guard decides"
    )
    cases = (_ambiguity(*case) for case in product(State, Trigger))
    return check_from_cases("deterministic", summary, cases)


def _ambiguity(state: State, trigger: Trigger) -> str:
    cell, event = TABLE.get((state, trigger)), shared_machine().events.get(trigger.value)
    ways = [] if event is None else event.transitions.get(state.value, [])
    guards = [bool(way.conditions) for way in ways]
    if cell is None or cell.effect is Effect.IGNORE:
        wanted = []
    else:
        wanted = [False] if cell.guard is None else [True, False]
    if guards == wanted:
        return ""
    return f"{trigger} in {state}: {len(ways)} ways in transitions, not {len(wanted)}"


def reachable() -> Check:
    """Prove that every state can be reached, and ``closed`` from every live state."""
    ways = [(State.OPEN, state) for state in State] + [(state, State.CLOSED) for state in LIVE]
    cases = ("" if to in _reached_from(at) else f"no way from {at} to {to}" for at, to in ways)
    summary = f"{len(State)} states can be reached from open, and closed from {len(LIVE)} live ones"
    return check_from_cases("reachable", summary, cases)


def _reached_from(start: State) -> set[State]:
    """The states that the table leads to from *start*, which is one of them."""
    reached, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for (at, _), cell in TABLE.items():
            ways = {cell.target(holding) for holding in _GUARD_SETS} if at is state else set()
            waiting += ways - reached
            reached |= ways
    return reached


def closing() -> Check:
    """Prove that the customer, the clock and an operator close a chat in whatever state it is."""
    summary = f"{len(LIVE)} live states × {', '.join(_ALWAYS_CLOSES)}: each closes any live chat"
    cases = (
        ""
        if TABLE[state, trigger] == Cell(Effect.MOVE, State.CLOSED)
        else f"{trigger} in {state} does not always close the chat"
        for state, trigger in product(LIVE, _ALWAYS_CLOSES)
    )
    return check_from_cases("closing", summary, cases)


def quiet() -> Check:
    """Prove that quiet and unknown triggers never move a live chat."""
    still = [trigger for trigger in Trigger if trigger in QUIET or trigger is Trigger.UNKNOWN]
    summary = f"{len(LIVE)} live states × {len(still)} quiet or unknown triggers: none moves a chat"
    cases = (
        "" if TABLE[state, trigger].effect is Effect.STAY else f"{trigger} in {state} does not stay"
        for state, trigger in product(LIVE, still)
    )
    return check_from_cases("quiet", summary, cases)


def effective() -> Check:
    """Prove that ``NO_EFFECT`` names exactly the triggers that never move a chat."""
    idle = len(NO_EFFECT)
    summary = f"{len(Trigger) - idle} triggers move a chat somewhere, the other {idle} are declared"
    findings = (Finding(name, len(LIVE), reason) for name, reason in NO_EFFECT.items())
    return check_from_cases("effective", summary, map(_effect_problem, Trigger), findings)


def _effect_problem(trigger: Trigger) -> str:
    moves = any(TABLE[state, trigger].effect is Effect.MOVE for state in LIVE)
    if moves is (trigger not in NO_EFFECT):
        return ""
    declared = "is declared to have no effect, and moves a chat"
    return f"{trigger} {declared if moves else 'has no effect anywhere, and is not declared'}"


def same_machine() -> Check:
    """Prove that the ``transitions.Machine`` goes where the lookup says."""
    summary = (
        f"{len(State)} states × {len(Trigger)} triggers × {len(_GUARD_SETS)} values of the guard: "
        "transitions.Machine goes where the lookup says"
    )
    cases = (_disagreement(*case) for case in product(State, Trigger, _GUARD_SETS))
    return check_from_cases("transitions", summary, cases)


def _disagreement(state: State, trigger: Trigger, holding: AbstractSet[Guard]) -> str:
    cell, subject = TABLE.get((state, trigger)), SimpleNamespace(state=state.value, holding=holding)
    wanted = (False, state)  # for a closed chat, which has no cells
    if cell is not None:
        wanted = (cell.effect is not Effect.IGNORE, cell.target(holding))
    event = shared_machine().events.get(trigger.value)
    if (event is not None and event.trigger(subject), subject.state) == wanted:
        return ""
    where = f"{trigger} in {state}, {' and '.join(holding) or 'no guard'} holding"
    return f"{where}: the lookup says {wanted[1]}, transitions {subject.state}"
