"""The machine for other tools: SCXML, as the W3C writes statecharts, and XState's JSON.

Both come from the table, the same bytes every time. What stays is a transition without a target,
what is ignored is none, and a guard is a condition by its own name, which the reader supplies.
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

_Way = tuple[Guard | None, State | None]
"""Under which guard, and where to; to nowhere where it stays."""


def _ways(state: State, trigger: Trigger) -> Iterator[_Way]:
    """What a trigger may do in a state, the first that may; nothing where it is ignored."""
    cell = TABLE[state, trigger]
    if cell.effect is Effect.IGNORE:
        return
    if cell.guard is not None:
        yield cell.guard, cell.otherwise
    yield None, None if cell.effect is Effect.STAY else cell.to


def scxml() -> str:
    """The machine as SCXML; a guard is a variable of the data model, false by itself."""
    return "\n".join(_scxml()) + "\n"


def _scxml() -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<!-- {_MADE_BY} -->"
    yield '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="chat"'
    yield f'       datamodel="ecmascript" initial="{State.OPEN}">'
    yield "  <datamodel>"
    for name, words in _GUARDS.items():
        yield f"    <!-- {words} -->"
        yield f'    <data id="{name}" expr="false"/>'
    yield "  </datamodel>"
    for state in LIVE:
        yield f'  <state id="{state}">'
        for trigger in Trigger:
            for guard, to in _ways(state, trigger):
                given = {"event": trigger, "cond": guard, "target": to}
                said = (f"{name}={quoteattr(value)}" for name, value in given.items() if value)
                yield f"    <transition {' '.join(said)}/>"
        yield "  </state>"
    yield f'  <final id="{State.CLOSED}"/>'
    yield "</scxml>"


def xstate() -> str:
    """The machine as the configuration of XState 5, for ``createMachine``; guards are named."""
    states: dict[str, Any] = {state: {"on": _on(state)} for state in LIVE}
    machine = {
        "id": "chat",
        "description": _MADE_BY,
        "initial": State.OPEN,
        "states": {**states, State.CLOSED: {"type": "final"}},
    }
    return json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def _on(state: State) -> dict[str, Any]:
    found = {trigger: [_transition(*way) for way in _ways(state, trigger)] for trigger in Trigger}
    return {trigger: ways for trigger, ways in found.items() if ways}


def _transition(guard: Guard | None, to: State | None) -> dict[str, str]:
    return {
        **({"guard": guard.value} if guard else {}),
        **({"target": to.value} if to else {}),
    }


STATECHARTS: Final = {"scxml": scxml, "xstate": xstate}
"""What the machine can be written as."""
