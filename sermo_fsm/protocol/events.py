"""The events of the protocol, as frozen and validated values.

One class for each meaning that an event can have, whatever name later revisions of the protocol
give it: ``client_closed`` is a :class:`ClientLeft` whose ``type`` says ``client_closed``. What an
event means to the machine is :func:`trigger_of`, a function of the event alone.

Long, because it is one small class after the other.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from attrs import Attribute, field, frozen

from sermo_fsm.errors import InvalidEvent
from sermo_fsm.protocol.fields import (
    ID,
    MILLISECONDS,
    OPTIONAL_NAME,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
    QUEUE_PLACE,
    TEXT,
    check,
    optional,
)

__all__ = [
    "KINDS",
    "QUIET",
    "Agent",
    "AgentDone",
    "ClientLeft",
    "ClientUnload",
    "CustomerText",
    "Direction",
    "Event",
    "HandoverTo",
    "HandoverToAgent",
    "HandoverToBot",
    "Heartbeat",
    "KnownEvent",
    "MessagesRead",
    "PlatformClosed",
    "QueueNumber",
    "Reply",
    "SystemText",
    "Trigger",
    "Typing",
    "TypingOff",
    "TypingOn",
    "Unknown",
    "Who",
    "trigger_of",
]


class Direction(StrEnum):
    """The queue that an event came on, or the clock (docs/design.md, section 2).

    Attributes:
        INBOUND: The queue of the customer's client.
        OUTBOUND: The queue of the bot and the human agents.
        INTERNAL: A second queue of those who serve; its events mean the same as outbound ones, and
            its message ids are its own.
        TIMER: No queue, but the clock, which closes a session at its deadline.
    """

    __hash__ = str.__hash__  # Enum's own is written in Python, and this is the hot path

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    TIMER = "timer"


class Trigger(StrEnum):
    """What an event means to the machine (docs/design.md, section 3).

    Attributes:
        CUSTOMER_TEXT: The customer sent a message.
        HEARTBEAT: The customer's client is still there.
        TYPING: The customer is typing.
        MESSAGES_READ: The customer has read what was written.
        CLIENT_UNLOAD: The customer's page went away: the tab was closed, reloaded, or left for the
            next page.
        CLIENT_LEFT: The customer closed the chat and confirmed it.
        BOT_TEXT: A bot wrote to the customer.
        AGENT_TEXT: A human agent wrote to the customer.
        UNATTRIBUTED_TEXT: Somebody wrote to the customer, and the event does not say whether it
            was a bot or a human.
        SYSTEM_TEXT: The system told the customer something, such as the name of the queue.
        TYPING_ON: An agent began to type.
        TYPING_OFF: An agent stopped typing.
        QUEUE_NUMBER: The customer was told a place in the queue.
        AGENT_DONE: An agent ended the chat.
        PLATFORM_CLOSED: The main queue of the platform has closed.
        HANDOVER_TO_BOT: The chat goes to the bot.
        HANDOVER_TO_AGENT: The chat goes to an agent, by way of a queue.
        EXPIRE: The clock closes the chat at its deadline.
        UNKNOWN: The protocol does not name the event's type on this queue.
    """

    __hash__ = str.__hash__

    CUSTOMER_TEXT = "customer_text"
    HEARTBEAT = "heartbeat"
    TYPING = "typing"
    MESSAGES_READ = "messages_read"
    CLIENT_UNLOAD = "client_unload"
    CLIENT_LEFT = "client_left"
    BOT_TEXT = "bot_text"
    AGENT_TEXT = "agent_text"
    UNATTRIBUTED_TEXT = "unattributed_text"
    SYSTEM_TEXT = "system_text"
    TYPING_ON = "typing_on"
    TYPING_OFF = "typing_off"
    QUEUE_NUMBER = "queue_number"
    AGENT_DONE = "agent_done"
    PLATFORM_CLOSED = "platform_closed"
    HANDOVER_TO_BOT = "handover_to_bot"
    HANDOVER_TO_AGENT = "handover_to_agent"
    EXPIRE = "expire"
    UNKNOWN = "unknown"


class Who(StrEnum):
    """Who writes to the customer, or whom a chat is handed to (docs/design.md, section 3).

    Attributes:
        BOT: A bot: its id or its type is ``bot``.
        HUMAN: A human: the type is ``human``, or there is no type and the id is not ``system``.
        UNKNOWN: Neither, or no agent at all.
    """

    BOT = "bot"
    HUMAN = "human"
    UNKNOWN = "unknown"


QUIET: Final = frozenset(
    {
        Trigger.HEARTBEAT,
        Trigger.TYPING,
        Trigger.MESSAGES_READ,
        Trigger.TYPING_ON,
        Trigger.TYPING_OFF,
    }
)
"""Most of the traffic: they update presence, and write history only where they open a session."""


@frozen(kw_only=True)
class Agent:
    """Who sent an outbound event, or whom a ``handover_to`` goes to.

    Attributes:
        id: The id of the agent: 1 to 255 characters; ``bot`` for a bot.
        name: The name that the customer sees; None if the event has none.
        type: ``bot``, ``human`` or another word; None if the event has none.
    """

    id: str = field(validator=ID, metadata={"wire": "id"})
    name: str | None = field(validator=OPTIONAL_NAME, metadata={"wire": "name"}, default=None)
    type: str | None = field(validator=OPTIONAL_NAME, metadata={"wire": "type"}, default=None)


def who_is(agent: Agent | None) -> Who:
    """Return whether *agent* is a bot, a human or neither (docs/design.md, section 3)."""
    if agent is None:
        return Who.UNKNOWN
    if agent.id == "bot" or agent.type == "bot":
        return Who.BOT
    if agent.type == "human" or (agent.type is None and agent.id != "system"):
        return Who.HUMAN
    return Who.UNKNOWN


def _check_type(event: "Event", attribute: "Attribute[Any]", value: Any) -> None:
    ID(event, attribute, value)
    if event.types and value not in event.types:
        raise InvalidEvent("$.type", wanted=" or ".join(event.types), got="another type")


@frozen(kw_only=True)
class Event:
    """What every event has.

    Attributes:
        types: The names that the protocol has for this event; the first is the default.
        inbound: Whether it comes from the customer; None if any side may send it.
        trigger: What the event means to the machine; None if that depends on its agent.
        type: The name of the event on the wire.
        platform_id: The platform of the user.
        user_id: The id of the user on that platform.
        at: When the event was sent, by the sender's own clock (aware): kept, never trusted.
        extra: The fields that the protocol does not name, as they came.
    """

    types: ClassVar[tuple[str, ...]] = ()
    inbound: ClassVar[bool | None] = None
    trigger: ClassVar[Trigger | None] = Trigger.UNKNOWN

    type: str = field(validator=_check_type, metadata={"wire": "type"})
    platform_id: str | None = None
    user_id: str | None = None
    at: datetime | None = field(validator=OPTIONAL_TIME, metadata={"wire": "at"}, default=None)
    extra: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Unknown(Event):
    """An event whose type the protocol does not name on this queue: it moves nothing."""


@frozen(kw_only=True)
class KnownEvent(Event):
    """What every event that the protocol names has: a user and a platform."""

    type: str = field(validator=_check_type, metadata={"wire": "type"})
    platform_id: str = field(validator=ID, metadata={"wire": "platformId"})
    user_id: str = field(validator=ID, metadata={"wire": "userId"})

    @type.default  # noqa: A003 - the field above, not the builtin
    def _first_type(self) -> str:
        return self.types[0]


@frozen(kw_only=True)
class _Inbound(KnownEvent):
    inbound: ClassVar[bool | None] = True


@frozen(kw_only=True)
class _Outbound(KnownEvent):
    inbound: ClassVar[bool | None] = False

    agent: Agent | None = field(
        validator=check("an object", optional(lambda value: isinstance(value, Agent))),
        metadata={"wire": "agent"},
        default=None,
    )


@frozen(kw_only=True)
class CustomerText(_Inbound):
    """The customer sent a message.

    Attributes:
        text: What the customer wrote; may be empty.
        image: A picture, as a base64 ``data:`` URL or another string; None if there is none.
    """

    types = ("text",)
    trigger = Trigger.CUSTOMER_TEXT

    text: str = field(validator=TEXT, metadata={"wire": "text"}, repr=False)
    image: str | None = field(
        validator=OPTIONAL_TEXT, metadata={"wire": "image"}, default=None, repr=False
    )


@frozen(kw_only=True)
class Heartbeat(_Inbound):
    """The customer's client is still there."""

    types = ("heartbeat",)
    trigger = Trigger.HEARTBEAT


@frozen(kw_only=True)
class Typing(_Inbound):
    """The customer is typing.

    Attributes:
        text: What the customer has typed and not sent. It is never stored.
    """

    types = ("typing", "typing_on", "typing_off")
    trigger = Trigger.TYPING

    text: str | None = field(
        validator=OPTIONAL_TEXT, metadata={"wire": "text"}, default=None, repr=False
    )


@frozen(kw_only=True)
class MessagesRead(_Inbound):
    """The customer has read what was written."""

    types = ("messages_read",)
    trigger = Trigger.MESSAGES_READ

    text: str | None = field(
        validator=OPTIONAL_TEXT, metadata={"wire": "text"}, default=None, repr=False
    )


@frozen(kw_only=True)
class ClientLeft(_Inbound):
    """The customer closed the chat and confirmed it."""

    types = ("client_left", "client_closed")
    trigger = Trigger.CLIENT_LEFT

    text: str | None = field(
        validator=OPTIONAL_TEXT, metadata={"wire": "text"}, default=None, repr=False
    )


@frozen(kw_only=True)
class ClientUnload(_Inbound):
    """The customer's page went away: the tab was closed, reloaded, or left for the next page."""

    types = ("client_unload",)
    trigger = Trigger.CLIENT_UNLOAD


@frozen(kw_only=True)
class Reply(_Outbound):
    """A bot, a human agent or an unknown sender wrote to the customer.

    Attributes:
        text: What was written; may be empty.
        image: A picture, as a base64 ``data:`` URL or another string; None if there is none.
        typing: For how many milliseconds the bot pretends to type; None if it does not.
    """

    types = ("text",)
    trigger = None

    text: str = field(validator=TEXT, metadata={"wire": "text"}, repr=False)
    image: str | None = field(
        validator=OPTIONAL_TEXT, metadata={"wire": "image"}, default=None, repr=False
    )
    typing: float | None = field(validator=MILLISECONDS, metadata={"wire": "typing"}, default=None)

    @property
    def sender(self) -> Who:
        """Whether a bot, a human or neither wrote the text, as far as the event says."""
        return who_is(self.agent)


@frozen(kw_only=True)
class SystemText(_Outbound):
    """The system tells the customer something, such as the name of the queue."""

    types = ("system_text",)
    trigger = Trigger.SYSTEM_TEXT

    text: str = field(validator=TEXT, metadata={"wire": "text"}, repr=False)


@frozen(kw_only=True)
class TypingOn(_Outbound):
    """The agent began to type."""

    types = ("typing_on",)
    trigger = Trigger.TYPING_ON


@frozen(kw_only=True)
class TypingOff(_Outbound):
    """The agent stopped typing."""

    types = ("typing_off",)
    trigger = Trigger.TYPING_OFF


@frozen(kw_only=True)
class QueueNumber(_Outbound):
    """The customer was told a place in the queue.

    Attributes:
        queue_number: The place, 0 or more.
    """

    types = ("queue_number",)
    trigger = Trigger.QUEUE_NUMBER

    queue_number: int = field(validator=QUEUE_PLACE, metadata={"wire": "queueNumber"})


@frozen(kw_only=True)
class AgentDone(_Outbound):
    """The agent ended the chat."""

    types = ("agent_done",)
    trigger = Trigger.AGENT_DONE


@frozen(kw_only=True)
class PlatformClosed(_Outbound):
    """The main queue of the platform has closed."""

    types = ("platform_closed",)
    trigger = Trigger.PLATFORM_CLOSED


@frozen(kw_only=True)
class HandoverToBot(_Outbound):
    """The chat goes to the bot.

    Attributes:
        flow_group_id: The flows that the bot is to run; None if the event names none.
    """

    types = ("handover_to_bot",)
    trigger = Trigger.HANDOVER_TO_BOT

    flow_group_id: str | None = field(
        validator=OPTIONAL_NAME, metadata={"wire": "flowGroupId"}, default=None
    )


@frozen(kw_only=True)
class HandoverToAgent(_Outbound):
    """The chat goes to an agent, by way of a queue."""

    types = ("handover_to_agent",)
    trigger = Trigger.HANDOVER_TO_AGENT


@frozen(kw_only=True)
class HandoverTo(_Outbound):
    """The chat goes to ``agent``: to the bot, or to a human by way of a queue.

    The protocol has this event in its scenario only.

    Attributes:
        flow_group_id: The flows that the bot is to run; None if the event names none.
    """

    types = ("handover_to",)
    trigger = None

    flow_group_id: str | None = field(
        validator=OPTIONAL_NAME, metadata={"wire": "flowGroupId"}, default=None
    )


KINDS: Final[Mapping[tuple[bool, str], type[KnownEvent]]] = {
    (bool(kind.inbound), name): kind
    for kind in (
        CustomerText,
        Heartbeat,
        Typing,
        MessagesRead,
        ClientLeft,
        ClientUnload,
        Reply,
        SystemText,
        TypingOn,
        TypingOff,
        QueueNumber,
        AgentDone,
        PlatformClosed,
        HandoverToBot,
        HandoverToAgent,
        HandoverTo,
    )
    for name in kind.types
}
"""Whether it is inbound, and its wire ``type`` → the class of the event."""

_TEXT_OF: Final = {
    Who.BOT: Trigger.BOT_TEXT,
    Who.HUMAN: Trigger.AGENT_TEXT,
    Who.UNKNOWN: Trigger.UNATTRIBUTED_TEXT,
}


def trigger_of(event: Event) -> Trigger:
    """Return what *event* means to the machine (docs/design.md, section 3)."""
    match event:
        case Reply():
            return _TEXT_OF[event.sender]
        case HandoverTo():
            to_bot = who_is(event.agent) is Who.BOT
            return Trigger.HANDOVER_TO_BOT if to_bot else Trigger.HANDOVER_TO_AGENT
        case _:
            return event.trigger or Trigger.UNKNOWN
