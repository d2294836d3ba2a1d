"""Who takes part in a chat, and who did what each row of its history is about."""

from enum import StrEnum
from typing import Final

from attrs import evolve, field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import HistoryRow
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["Cast", "Role", "Someone"]


class Role(StrEnum):
    """Who takes part in a chat."""

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"
    PLATFORM = "platform"
    """The agents' application, with its queues."""
    CLOCK = "clock"


@frozen
class Someone:
    """Somebody who takes part; an agent has an id, where it is known, and perhaps a name."""

    role: Role
    id: str | None = None
    name: str | None = field(default=None, eq=False)

    def __str__(self) -> str:
        if self.id in _ROLES:  # an agent may be called "customer", but must not look like one
            return f"“{self.id}”"
        return self.id or self.role.value


_ROLES: Final = frozenset(role.value for role in Role)
_CUSTOMER: Final = Someone(Role.CUSTOMER)
_BOT: Final = Someone(Role.BOT)
_PLATFORM: Final = Someone(Role.PLATFORM)
_CLOCK: Final = Someone(Role.CLOCK)
_SENDERS: Final = {Trigger.BOT_TEXT: _BOT, Trigger.HANDOVER_TO_AGENT: _BOT, Trigger.EXPIRE: _CLOCK}
_RECEIVERS: Final = {
    Trigger.HANDOVER_TO_BOT: _BOT,
    Trigger.HANDOVER_TO_AGENT: _PLATFORM,
    Trigger.PLATFORM_CLOSED: _BOT,
}


@frozen
class Cast:
    """Who serves the customer, as far as the rows told so far say.

    Attributes:
        serving: Who does, or did last before the chat closed.
        in_charge: The agent, while the chat is with one.
    """

    serving: Someone = _BOT
    in_charge: Someone | None = None

    def who(self, row: HistoryRow) -> Someone:
        """Who did what *row* is about; asked before :meth:`after`."""
        trigger = row.trigger
        if row.direction is Direction.INBOUND:
            return _CUSTOMER
        if trigger is Trigger.AGENT_TEXT:
            return self._known(_agent_of(row))
        if trigger in (Trigger.AGENT_DONE, Trigger.HANDOVER_TO_BOT) and self.in_charge:
            return self.in_charge
        return _SENDERS.get(trigger or Trigger.UNKNOWN, _PLATFORM)

    def whom(self, row: HistoryRow) -> Someone:
        """Whom it was done to; asked after :meth:`after`."""
        usual = self.serving if row.direction is Direction.INBOUND else _CUSTOMER
        return _RECEIVERS.get(row.trigger or Trigger.UNKNOWN, usual)

    def after(self, row: HistoryRow) -> "Cast":
        """As it is when *row* is told."""
        match row.to_state:
            case State.BOT | State.OPEN:
                return Cast(_BOT)
            case State.QUEUED:
                return Cast(_PLATFORM)
            case State.WITH_AGENT:
                agent = self._known(_agent_of(row))
                return Cast(agent, agent)
            case _:
                return evolve(self, in_charge=None)

    def _known(self, agent: Someone) -> Someone:
        """With the name that an earlier row told, while the agent has the chat."""
        if self.in_charge is None or agent != self.in_charge or agent.name is not None:
            return agent
        return self.in_charge


def _agent_of(row: HistoryRow) -> Someone:
    """The agent of a row: an id is a fact; a late row has it only in what came."""
    agent = (row.event or {}).get("agent") if row.trigger is Trigger.AGENT_TEXT else None
    match agent:
        case {"id": str(id), "name": str(name)}:
            return Someone(Role.AGENT, id, name)
        case {"id": str(id)}:
            return Someone(Role.AGENT, id)
        case _:
            return Someone(Role.AGENT, row.agent_id)
