"""What today's table makes of triggers that were written down, by this release or another. No IO.

The words are those that are stored: what this release does not know leads nowhere.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, cast

from attrs import define, frozen

from sermo_fsm.core.machine import LIVE, NO_GUARD, TABLE, Cell, Effect, Guard, State
from sermo_fsm.core.ownership import COLUMNS, RULES, Ending, Rule
from sermo_fsm.core.session import Outcome
from sermo_fsm.protocol.events import Trigger

__all__ = ["Course", "Done", "judged", "opened", "opened_late", "start_of"]

_OUTCOMES: Final = {
    Effect.MOVE: Outcome.MOVED,
    Effect.STAY: Outcome.STAYED,
    Effect.IGNORE: Outcome.IGNORED,
}
_CELLS: Final = cast("Mapping[tuple[str, str], Cell]", TABLE)  # a state or a trigger is its word
_OPENS_NOTHING: Final = {Rule.STRAY: Outcome.STRAY, Rule.LATE: Outcome.LATE}
_OPENS_ALWAYS: Final = (Rule.OPENS, Rule.RESUMES)


@frozen
class Done:
    """Where a trigger led, and with which outcome; to None where no chat was opened."""

    to: str | None
    outcome: str


def opened(trigger: str, ending: Ending, start: str) -> Done | None:
    """What a trigger does where no chat is live; None where this release does not know it.

    Args:
        trigger: What came.
        ending: How the chat before ended.
        start: Where a chat begins that is resumed.
    """
    rule = _rule(trigger, ending)
    if rule is None:
        return None
    if rule in _OPENS_NOTHING:
        return Done(None, _unless_unknown(trigger, _OPENS_NOTHING[rule]))
    begun = start if rule is Rule.RESUMES else State.OPEN
    if (begun, trigger) not in _CELLS:
        return None
    return Done(_moved(begun, trigger, NO_GUARD), Outcome.MOVED)


def opened_late(trigger: str, ending: Ending, start: str) -> Done | None:
    """What a trigger opens behind a chat whenever it comes; None where it may be late."""
    return opened(trigger, ending, start) if _rule(trigger, ending) in _OPENS_ALWAYS else None


def _rule(trigger: str, ending: Ending) -> Rule | None:
    try:
        return RULES[Trigger(trigger)][COLUMNS.index(ending)]
    except (KeyError, ValueError):
        return None


def judged(trigger: str, state: str, holding: AbstractSet[Guard]) -> Done | None:
    """What a trigger does in a state, *closed* too; None where this release does not know it."""
    cell = _CELLS.get((state, trigger))
    if cell is not None:
        return Done(cell.target(holding), _unless_unknown(trigger, _OUTCOMES[cell.effect]))
    if state == State.CLOSED and trigger in RULES:
        return Done(State.CLOSED, _unless_unknown(trigger, Outcome.LATE))
    return None


def start_of(trigger: str, to: str) -> str:
    """Where a resumed chat began, if nobody knows: where *trigger* could have led to its state."""
    return next((state for state in LIVE if _moved(state, trigger, NO_GUARD) == to), State.OPEN)


def _unless_unknown(trigger: str, outcome: Outcome) -> Outcome:
    return Outcome.UNKNOWN if trigger == Trigger.UNKNOWN else outcome


def _moved(state: str, trigger: str, holding: AbstractSet[Guard]) -> str:
    """Closed stays closed, and what is not known moves nothing."""
    cell = _CELLS.get((state, trigger))
    return state if cell is None else cell.target(holding)


@define
class Course:
    """Where today's table leads a chat, trigger by trigger.

    Attributes:
        ending: How the chat before ended.
        start: Where it begins if it is resumed.
        state: None until something opens it.
        kept: What the clock took it from, and where that has got to.
    """

    ending: Ending
    start: str
    state: str | None = None
    kept: str | None = None

    def take(self, trigger: str, holding: AbstractSet[Guard], *, superseded: bool) -> None:
        """Go on; of a chat that is *superseded* by the next one, nothing moves any more."""
        if self.state is None:
            done = opened(trigger, self.ending, self.start)
            self.state = None if done is None else done.to
        elif self.state == State.CLOSED:
            if self.kept is not None and not superseded:
                self.kept = _moved(self.kept, trigger, holding)
        else:
            if trigger == Trigger.EXPIRE:
                self.kept = self.state
            self.state = _moved(self.state, trigger, holding)
