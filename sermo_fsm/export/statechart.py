"""The machine as a statechart: SCXML, the W3C's format, and the JSON of XState.

Both are made from the table; the same table gives the same text. A trigger that keeps the state is
a transition without a target, an ignored trigger has no transition. A guard is a named condition
that the reader has to supply.
"""

import json
from collections.abc import Iterator
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from sermo_fsm.core.machine import LIVE, TABLE, Effect, Guard, State
from sermo_fsm.protocol.events import Trigger

__all__ = ["STATECHARTS", "scxml", "xstate"]

_MADE_BY: Final = "Made by sermo-fsm export machine from the table in sermo_fsm/core/machine.py"
_GUARDS: Final = {
    Guard.CUSTOMER_WROTE_LATER: "a customer_text of this chat was received later than the event",
}

_Branch = tuple[Guard | None, State | None]
"""A guard, and the target state; None for a target keeps the state."""


def _branches(state: State, trigger: Trigger) -> Iterator[_Branch]:
    """Yield what a trigger does in a state; the first branch whose guard holds is taken."""
    cell = TABLE[state, trigger]
    if cell.effect is Effect.IGNORE:
        return
    if cell.guard is not None:
        yield cell.guard, cell.otherwise
    yield None, None if cell.effect is Effect.STAY else cell.to


def scxml() -> str:
    """Return the machine as SCXML; a guard is a variable of the data model, false by default."""
    return "\n".join(_scxml()) + "\n"


def _scxml() -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<!-- {_MADE_BY} -->"
    yield '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="chat"'
    yield f'       datamodel="ecmascript" initial="{State.OPEN}">'
    yield "  <datamodel>"
    for name, meaning in _GUARDS.items():
        yield f"    <!-- {meaning} -->"
        yield f'    <data id="{name}" expr="false"/>'
    yield "  </datamodel>"
    for state in LIVE:
        yield f'  <state id="{state}">'
        for trigger in Trigger:
            for guard, to in _branches(state, trigger):
                values = {"event": trigger, "cond": guard, "target": to}
                written = (f"{name}={quoteattr(value)}" for name, value in values.items() if value)
                yield f"    <transition {' '.join(written)}/>"
        yield "  </state>"
    yield f'  <final id="{State.CLOSED}"/>'
    yield "</scxml>"


def xstate() -> str:
    """Return the machine as JSON for ``createMachine`` of XState 5; guards are named."""
    states: dict[str, Any] = {state: {"on": _on(state)} for state in LIVE}
    machine = {
        "id": "chat",
        "description": _MADE_BY,
        "initial": State.OPEN,
        "states": {**states, State.CLOSED: {"type": "final"}},
    }
    return json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def _on(state: State) -> dict[str, Any]:
    transitions = {
        trigger: [_transition(*branch) for branch in _branches(state, trigger)]
        for trigger in Trigger
    }
    return {trigger: found for trigger, found in transitions.items() if found}


def _transition(guard: Guard | None, to: State | None) -> dict[str, str]:
    return {
        **({"guard": guard.value} if guard else {}),
        **({"target": to.value} if to else {}),
    }


STATECHARTS: Final = {"scxml": scxml, "xstate": xstate}
"""The formats, each with the function that returns the machine in it."""
