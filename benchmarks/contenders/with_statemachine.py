"""python-statemachine, a machine for each chat that is loaded, and SQLAlchemy's ORM.

https://python-statemachine.readthedocs.io, "Domain models": ``ChatMachine(model=chat)``.
"""

from typing import Any

from statemachine import State, StateMachine

from benchmarks.contenders.meaning import CELLS, STATES, TRIGGERS, closes
from benchmarks.contenders.orm import Chat, OrmContender

__all__ = ["PythonStatemachine"]


def _machine() -> type[StateMachine]:
    """Our table as a class; conditions are methods of the model."""
    states = {
        name: State(name, value=name, initial=name == STATES[0], final=closes(name))
        for name in STATES
    }
    events: dict[str, Any] = {}
    for source, trigger, cell in CELLS:
        to = states[source].to
        if cell.to.value == source:
            transition = to(states[source], internal=True)
        elif cell.otherwise is None:
            transition = to(states[cell.to.value])
        else:
            transition = to(states[cell.otherwise.value], cond="customer_wrote_later")
            transition |= states[source].to(states[cell.to.value])
        events[trigger] = events[trigger] | transition if trigger in events else transition
    body = {**states, **{name: events[name] for name in TRIGGERS}}
    return type("ChatMachine", (StateMachine,), {**body, "allow_event_without_transition": True})


class PythonStatemachine(OrmContender):
    """``ChatMachine(chat).send(trigger)``."""

    def open(self, url: str) -> None:
        """Build the class from our table."""
        super().open(url)
        self.machine = _machine()

    def fire(self, chat: Chat, trigger: str) -> None:
        """On a machine around the chat, which stays with it while it is loaded."""
        if chat.machine is None:
            chat.machine = self.machine(chat)
        chat.machine.send(trigger)
