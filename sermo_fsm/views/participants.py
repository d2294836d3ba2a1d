"""Who takes part in a chat, and who did what each row of its history is about."""

from enum import StrEnum
from typing import Final

from attrs import evolve, field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import HistoryRow
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["Assignment", "Participant", "Role"]


class Role(StrEnum):
    """Who takes part in a chat."""

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"
    PLATFORM = "platform"
    """The agents' application, with its queues."""
    CLOCK = "clock"


@frozen
class Participant:
    """Somebody who takes part; an agent has an id, where it is known, and perhaps a name."""

    role: Role
    id: str | None = None
    name: str | None = field(default=None, eq=False)

    def __str__(self) -> str:
        if self.id in _ROLES:  # an agent may be called "customer", but must not look like one
            return f"“{self.id}”"
        return self.id or self.role.value


_ROLES: Final = frozenset(role.value for role in Role)
_CUSTOMER: Final = Participant(Role.CUSTOMER)
_BOT: Final = Participant(Role.BOT)
_PLATFORM: Final = Participant(Role.PLATFORM)
_CLOCK: Final = Participant(Role.CLOCK)
_SENDERS: Final = {Trigger.BOT_TEXT: _BOT, Trigger.HANDOVER_TO_AGENT: _BOT, Trigger.EXPIRE: _CLOCK}
_RECEIVERS: Final = {
    Trigger.HANDOVER_TO_BOT: _BOT,
    Trigger.HANDOVER_TO_AGENT: _PLATFORM,
    Trigger.PLATFORM_CLOSED: _BOT,
}


@frozen
class Assignment:
    """Who serves the customer, as far as the rows told so far say.

    Attributes:
        serving: Who does, or did last before the chat closed.
        agent: The agent, while the chat is with one.
    """

    serving: Participant = _BOT
    agent: Participant | None = None

    def actor(self, row: HistoryRow) -> Participant:
        """Who did what *row* is about; asked before :meth:`after`."""
        trigger = row.trigger
        if row.direction is Direction.INBOUND:
            return _CUSTOMER
        if trigger is Trigger.AGENT_TEXT:
            return self._known(_agent_in(row))
        if trigger in (Trigger.AGENT_DONE, Trigger.HANDOVER_TO_BOT) and self.agent:
            return self.agent
        return _SENDERS.get(trigger or Trigger.UNKNOWN, _PLATFORM)

    def recipient(self, row: HistoryRow) -> Participant:
        """Whom it was done to; asked after :meth:`after`."""
        usual = self.serving if row.direction is Direction.INBOUND else _CUSTOMER
        return _RECEIVERS.get(row.trigger or Trigger.UNKNOWN, usual)

    def after(self, row: HistoryRow) -> "Assignment":
        """As it is when *row* is told."""
        match row.to_state:
            case State.BOT | State.OPEN:
                return Assignment(_BOT)
            case State.QUEUED:
                return Assignment(_PLATFORM)
            case State.WITH_AGENT:
                agent = self._known(_agent_in(row))
                return Assignment(agent, agent)
            case _:
                return evolve(self, agent=None)

    def _known(self, agent: Participant) -> Participant:
        """With the name that an earlier row told, while the agent has the chat."""
        if self.agent is None or agent != self.agent or agent.name is not None:
            return agent
        return self.agent


def _agent_in(row: HistoryRow) -> Participant:
    """The agent of a row: an id is a fact; a late row has it only in what came."""
    agent = (row.event or {}).get("agent") if row.trigger is Trigger.AGENT_TEXT else None
    match agent:
        case {"id": str(id), "name": str(name)}:
            return Participant(Role.AGENT, id, name)
        case {"id": str(id)}:
            return Participant(Role.AGENT, id)
        case _:
            return Participant(Role.AGENT, row.agent_id)
