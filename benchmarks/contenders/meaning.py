"""What every contender but us has to know of the protocol: what an event means to the machine."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sermo_fsm.core.machine import TABLE, Cell, Effect, State
from sermo_fsm.protocol.events import Trigger

__all__ = ["CELLS", "STATES", "TRIGGERS", "closes", "trigger_of", "wrote_later"]

STATES: Final = [state.value for state in State]
TRIGGERS: Final = [trigger.value for trigger in Trigger]

CELLS: Final[list[tuple[str, str, Cell]]] = [
    (state.value, trigger.value, cell)
    for (state, trigger), cell in TABLE.items()
    if cell.effect is not Effect.IGNORE
]
"""The table that all contenders run: what each trigger does in each state."""


def trigger_of(direction: str, event: Mapping[str, Any]) -> str:
    """The trigger of an event of our traffic."""
    kind: str = event["type"]
    if kind != "text":
        return kind
    if direction == "inbound":
        return "customer_text"
    return "agent_text" if event["agent"]["type"] == "human" else "bot_text"


def wrote_later(customer_text_at: datetime | None, received_at: datetime) -> bool:
    """The one guard of the table: whether the customer wrote later than this event."""
    return customer_text_at is not None and customer_text_at > received_at


def closes(state: str) -> bool:
    """Whether the chat is over in this state."""
    return state == State.CLOSED
