"""transitions, one shared machine for all chats, and SQLAlchemy's ORM.

https://github.com/pytransitions/transitions: a machine without models, triggered for each.
"""

from benchmarks.contenders.orm import Chat, OrmContender
from sermo_fsm.core.machine import shared_machine

__all__ = ["Transitions"]


class Transitions(OrmContender):
    """``machine.events[trigger].trigger(chat)``."""

    def open(self, url: str) -> None:
        """Build the machine from our table."""
        super().open(url)
        self.events = shared_machine().events

    def fire(self, chat: Chat, trigger: str) -> None:
        """On the shared machine."""
        self.events[trigger].trigger(chat)
