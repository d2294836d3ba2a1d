"""The participants of a chat, and which of them acted in each row of its history."""

from enum import StrEnum
from typing import Final

from attrs import evolve, field, frozen

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["Assignment", "Participant", "Role"]


class Role(StrEnum):
    """The part that a participant has in a chat."""

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"
    PLATFORM = "platform"
    """The agents' application, with its queues."""
    CLOCK = "clock"
    """The library itself, when it closes a chat at its deadline."""
    OPERATOR = "operator"
    """A person who closes a chat by hand."""


@frozen
class Participant:
    """A participant of a chat. Two with the same role and id are equal, whatever their names.

    Attributes:
        id: The agent's id, if it is known; None for every other role.
        name: The agent's name, if it is known and was asked for.
    """

    role: Role
    id: str | None = None
    name: str | None = field(default=None, eq=False)

    def __str__(self) -> str:
        if self.id in _ROLES:  # an agent whose id is "customer" must not look like the customer
            return f"“{self.id}”"
        return self.id or self.role.value


_ROLES: Final = frozenset(role.value for role in Role)
_CUSTOMER: Final = Participant(Role.CUSTOMER)
_BOT: Final = Participant(Role.BOT)
_PLATFORM: Final = Participant(Role.PLATFORM)
_ACTORS: Final = {
    Trigger.BOT_TEXT: _BOT,
    Trigger.HANDOVER_TO_AGENT: _BOT,
    Trigger.HANDOVER_TO_QUEUE: _BOT,
    Trigger.EXPIRE: Participant(Role.CLOCK),
    Trigger.CLOSE: Participant(Role.OPERATOR),
}
_BY_THE_AGENT: Final = (
    Trigger.AGENT_DONE,
    Trigger.AGENT_RELEASED,
    Trigger.HANDOVER_TO_BOT,
    Trigger.HANDOVER_TO_QUEUE,
)
"""What the agent did, if the chat is with one."""
_RECIPIENTS: Final = {
    Trigger.CLAIM_SESSION: _PLATFORM,
    Trigger.AGENT_RELEASED: _PLATFORM,
    Trigger.HANDOVER_TO_BOT: _BOT,
    Trigger.HANDOVER_TO_AGENT: _PLATFORM,
    Trigger.HANDOVER_TO_QUEUE: _PLATFORM,
    Trigger.PLATFORM_CLOSED: _BOT,
}


@frozen
class Assignment:
    """Who serves the customer after the rows read so far. A new chat begins with the bot.

    Attributes:
        serving: The participant that serves the customer, or did last before the chat closed.
        agent: The agent while the chat is with one; otherwise None.
    """

    serving: Participant = _BOT
    agent: Participant | None = None

    def actor(self, row: HistoryRow) -> Participant:
        """Return who acted in *row*; call this on the assignment before the row."""
        trigger = row.trigger
        if row.direction is Direction.INBOUND:
            return _CUSTOMER
        if trigger in (Trigger.AGENT_TEXT, Trigger.CLAIM_SESSION):
            return self._with_known_name(_agent_in(row))
        if trigger in _BY_THE_AGENT and self.agent:
            return self.agent
        return _ACTORS.get(trigger or Trigger.UNKNOWN, _PLATFORM)

    def recipient(self, row: HistoryRow) -> Participant:
        """Return whom *row* was addressed to; call this on the assignment after the row."""
        usual = self.serving if row.direction is Direction.INBOUND else _CUSTOMER
        return _RECIPIENTS.get(row.trigger or Trigger.UNKNOWN, usual)

    def after(self, row: HistoryRow) -> "Assignment":
        """Return the assignment after *row*."""
        match row.to_state:
            case State.BOT | State.OPEN:
                return Assignment(_BOT)
            case State.QUEUED:
                return Assignment(_PLATFORM)
            case State.WITH_AGENT:
                agent = self._with_known_name(_agent_in(row))
                return Assignment(agent, agent)
            case _:
                return evolve(self, agent=None)

    def _with_known_name(self, agent: Participant) -> Participant:
        """Return *agent*, with the name from an earlier row if the chat is with the same one."""
        if self.agent is None or agent != self.agent or agent.name is not None:
            return agent
        return self.agent


def _agent_in(row: HistoryRow) -> Participant:
    """Return the agent of a row.

    The agent's id is a column, but a late row has it only in the event, as it has the name.
    """
    match row.trigger, row.event:
        case Trigger.AGENT_TEXT, {"agent": {"id": str(id), "name": str(name)}}:
            return Participant(Role.AGENT, id, name)
        case Trigger.AGENT_TEXT, {"agent": {"id": str(id)}}:
            return Participant(Role.AGENT, id)
        case Trigger.CLAIM_SESSION, {"agentId": str(id)}:
            return Participant(Role.AGENT, id)
        case _:
            return Participant(Role.AGENT, row.agent_id)
