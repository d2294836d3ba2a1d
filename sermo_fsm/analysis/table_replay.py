"""Apply today's table to stored triggers, written by this release or by another. No I/O.

States, triggers and outcomes are the stored strings. One that this release does not know leads
nowhere.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, cast

from attrs import define, frozen

from sermo_fsm.core.advance import OUTCOME_OF, unless_unknown
from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import LIVE, NO_GUARD, TABLE, Cell, Guard, State
from sermo_fsm.core.ownership import COLUMNS, RULES, Ending, Rule
from sermo_fsm.protocol.events import Trigger

__all__ = [
    "TableReplay",
    "TransitionResult",
    "guess_start",
    "replay_late_opening",
    "replay_opening",
    "replay_transition",
]

_CELLS: Final = cast("Mapping[tuple[str, str], Cell]", TABLE)  # both enums are strings
_OPENS_NOTHING: Final = {Rule.STRAY: Outcome.STRAY, Rule.LATE: Outcome.LATE}
_OPENS_ALWAYS: Final = (Rule.OPENS, Rule.RESUMES)


@frozen
class TransitionResult:
    """The state that a trigger led to, and its outcome; ``to`` is None if no chat was opened."""

    to: str | None
    outcome: str


def replay_opening(trigger: str, ending: Ending, start: str) -> TransitionResult | None:
    """The result of a trigger while no chat is live.

    Args:
        trigger: The stored trigger.
        ending: How the previous chat ended.
        start: The state that a resumed chat begins in.

    Returns:
        None if this release does not know the trigger, or has no cell for it in *start*.
    """
    rule = _rule(trigger, ending)
    if rule is None:
        return None
    if rule in _OPENS_NOTHING:
        return TransitionResult(None, unless_unknown(trigger, _OPENS_NOTHING[rule]))
    begin = start if rule is Rule.RESUMES else State.OPEN
    if (begin, trigger) not in _CELLS:
        return None
    return TransitionResult(_next_state(begin, trigger, NO_GUARD), Outcome.MOVED)


def replay_late_opening(trigger: str, ending: Ending, start: str) -> TransitionResult | None:
    """The result of a trigger that opens a chat at any time after the close; else None."""
    if _rule(trigger, ending) not in _OPENS_ALWAYS:
        return None
    return replay_opening(trigger, ending, start)


def _rule(trigger: str, ending: Ending) -> Rule | None:
    try:
        return RULES[Trigger(trigger)][COLUMNS.index(ending)]
    except (KeyError, ValueError):
        return None


def replay_transition(
    trigger: str, state: str, holding: AbstractSet[Guard]
) -> TransitionResult | None:
    """The result of a trigger in a live or closed state, while the guards in *holding* hold.

    None if this release does not know the trigger or the state.
    """
    cell = _CELLS.get((state, trigger))
    if cell is not None:
        outcome = unless_unknown(trigger, OUTCOME_OF[cell.effect])
        return TransitionResult(cell.target(holding), outcome)
    if state == State.CLOSED and trigger in RULES:
        return TransitionResult(State.CLOSED, unless_unknown(trigger, Outcome.LATE))
    return None


def guess_start(trigger: str, to: str) -> str:
    """The first live state from which *trigger* leads to *to*; ``open`` if there is none."""
    return next(
        (state for state in LIVE if _next_state(state, trigger, NO_GUARD) == to), State.OPEN
    )


def _next_state(state: str, trigger: str, holding: AbstractSet[Guard]) -> str:
    """The target of the cell; *state* itself if it is closed or there is no cell."""
    cell = _CELLS.get((state, trigger))
    return state if cell is None else cell.target(holding)


@define
class TableReplay:
    """One chat, taken through today's table trigger by trigger.

    Attributes:
        ending: How the previous chat ended.
        start: The state that the chat begins in if it is resumed.
        state: The current state; None until a trigger opens the chat.
        kept: The state that the clock took it from, moved on by late events.
    """

    ending: Ending
    start: str
    state: str | None = None
    kept: str | None = None

    def apply(self, trigger: str, holding: AbstractSet[Guard], *, superseded: bool) -> None:
        """Apply *trigger*. A closed chat that the next one has *superseded* no longer changes."""
        if self.state is None:
            result = replay_opening(trigger, self.ending, self.start)
            self.state = None if result is None else result.to
        elif self.state == State.CLOSED:
            if self.kept is not None and not superseded:
                self.kept = _next_state(self.kept, trigger, holding)
        else:
            if trigger == Trigger.EXPIRE:
                self.kept = self.state
            self.state = _next_state(self.state, trigger, holding)
