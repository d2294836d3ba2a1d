"""The events of the protocol, as frozen values.

One class for each meaning that an event can have, whatever name later revisions of the protocol
give it: ``client_closed`` is a :class:`ClientLeft` whose ``type`` says ``client_closed``. What an
event means to the machine is :func:`trigger_of`, a function of the event alone. What a field may
hold is its annotation, which :mod:`sermo_fsm.protocol.wire` checks when an event is handed in.

Long, because it is one small class after the other.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, get_args

from msgspec import Struct

from sermo_fsm.protocol.fields import Id, Milliseconds, Name, Object, QueuePlace, Text

__all__ = [
    "KINDS",
    "QUEUES",
    "QUIET",
    "Agent",
    "AgentDone",
    "AgentReleased",
    "ClaimSession",
    "ClientLeft",
    "ClientUnload",
    "CustomerText",
    "Direction",
    "EndSession",
    "Event",
    "HandoverTo",
    "HandoverToAgent",
    "HandoverToBot",
    "HandoverToQueue",
    "Heartbeat",
    "KnownEvent",
    "MessagesRead",
    "PlatformClosed",
    "Postback",
    "QueueNumber",
    "Reply",
    "RichReply",
    "Start",
    "SystemText",
    "Trigger",
    "Typing",
    "TypingOff",
    "TypingOn",
    "Unknown",
    "Who",
    "is_about_no_chat",
    "trigger_of",
]


class Direction(StrEnum):
    """The queue that an event came on, the clock, or a person (docs/design.md, section 2).

    Attributes:
        INBOUND: The queue of the customer's client.
        OUTBOUND: The queue of the bot and the human agents.
        INTERNAL: What those who serve tell each other. Its events mean the same as outbound ones,
            except ``agent_done``, and its message ids are its own.
        TIMER: No queue, but the clock, which closes a session at its deadline.
        OPERATOR: No queue, but a person, who closes a session by hand.
    """

    __hash__ = str.__hash__  # Enum's own is written in Python, and this is the hot path

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    TIMER = "timer"
    OPERATOR = "operator"


QUEUES: Final = (Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL)
"""The directions that are queues: what a host can hand in."""


class Trigger(StrEnum):
    """What an event means to the machine (docs/design.md, section 3).

    Attributes:
        CUSTOMER_TEXT: The customer sent a message, or pressed a button that the bot had offered.
        HEARTBEAT: The customer's client is still there.
        TYPING: The customer is typing.
        START: The customer opened the chat.
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
        CLAIM_SESSION: A human agent took the chat, and may not have written yet.
        AGENT_DONE: An agent ended the chat.
        AGENT_RELEASED: An agent let go of the chat, which goes on.
        END_SESSION: The agent application ended the chat for good.
        PLATFORM_CLOSED: The main queue of the platform has closed.
        HANDOVER_TO_BOT: The chat goes to the bot.
        HANDOVER_TO_AGENT: The chat goes to an agent, by way of a queue.
        HANDOVER_TO_QUEUE: The chat is put in line, by the bot or, as a transfer, by an agent.
        EXPIRE: The clock closes the chat at its deadline.
        CLOSE: An operator closes the chat by hand.
        UNKNOWN: The protocol does not name the event's type on this queue.
    """

    __hash__ = str.__hash__

    CUSTOMER_TEXT = "customer_text"
    HEARTBEAT = "heartbeat"
    TYPING = "typing"
    START = "start"
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
    CLAIM_SESSION = "claim_session"
    AGENT_DONE = "agent_done"
    AGENT_RELEASED = "agent_released"
    END_SESSION = "end_session"
    PLATFORM_CLOSED = "platform_closed"
    HANDOVER_TO_BOT = "handover_to_bot"
    HANDOVER_TO_AGENT = "handover_to_agent"
    HANDOVER_TO_QUEUE = "handover_to_queue"
    EXPIRE = "expire"
    CLOSE = "close"
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


class Agent(Struct, frozen=True, kw_only=True, gc=False):
    """Who sent an outbound event, or whom a ``handover_to`` goes to.

    Attributes:
        id: The id of the agent: 1 to 255 characters; ``bot`` for a bot.
        name: The name that the customer sees; None if the event has none.
        type: ``bot``, ``human`` or another word; None if the event has none.
    """

    id: Id
    name: Name | None = None
    type: Name | None = None


def who_is(agent: Agent | None) -> Who:
    """Return whether *agent* is a bot, a human or neither (docs/design.md, section 3)."""
    if agent is None:
        return Who.UNKNOWN
    if agent.id == "bot" or agent.type == "bot":
        return Who.BOT
    if agent.type == "human" or (agent.type is None and agent.id != "system"):
        return Who.HUMAN
    return Who.UNKNOWN


class Event(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """What every event has.

    An event that is made in Python is checked when it is handed in.

    Attributes:
        queues: The queues that it comes on.
        trigger: What the event means to the machine; None if that depends on its agent.
        type: The name of the event on the wire.
        platform_id: The platform of the user.
        user_id: The id of the user on that platform.
        at: When the event was sent, by the sender's own clock, as it came: kept, never trusted.
            In an event that is made in Python an aware datetime.
    """

    queues: ClassVar[tuple[Direction, ...]] = QUEUES
    trigger: ClassVar[Trigger | None] = Trigger.UNKNOWN

    type: Id
    platform_id: Id | None = None
    user_id: Id | None = None
    at: Any = None

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name in self.__struct_fields__
            if name not in _WHAT_PEOPLE_WROTE and (value := getattr(self, name)) is not None
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


_WHAT_PEOPLE_WROTE: Final = ("text", "image", "params", "reason_text")
"""The fields that no repr shows."""


class Unknown(Event, frozen=True, kw_only=True):
    """An event whose type the protocol does not name on this queue: it moves nothing."""


class KnownEvent(Event, frozen=True, kw_only=True):
    """What every event that the protocol names has: a user and a platform."""

    platform_id: Id
    user_id: Id


class _Inbound(KnownEvent, frozen=True, kw_only=True):
    queues = (Direction.INBOUND,)


class _Outbound(KnownEvent, frozen=True, kw_only=True):
    queues: ClassVar[tuple[Direction, ...]] = (Direction.OUTBOUND, Direction.INTERNAL)

    agent: Agent | None = None


class CustomerText(_Inbound, frozen=True, kw_only=True):
    """The customer sent a message.

    Attributes:
        text: What the customer wrote; may be empty.
        image: A picture, as a base64 ``data:`` URL or another string; None if there is none.
    """

    type: Literal["text"] = "text"
    trigger = Trigger.CUSTOMER_TEXT

    text: Text
    image: Text | None = None


class Postback(_Inbound, frozen=True, kw_only=True):
    """The customer pressed a button that the bot had offered.

    Attributes:
        text: What the button says; None if the event does not tell.
    """

    type: Literal["postback"] = "postback"
    trigger = Trigger.CUSTOMER_TEXT

    text: Text | None = None


class Start(_Inbound, frozen=True, kw_only=True):
    """The customer opened the chat.

    Attributes:
        params: What the page was opened with, perhaps personal; None if the event does not tell.
    """

    type: Literal["start"] = "start"
    trigger = Trigger.START

    params: Object | None = None


class Heartbeat(_Inbound, frozen=True, kw_only=True):
    """The customer's client is still there."""

    type: Literal["heartbeat"] = "heartbeat"
    trigger = Trigger.HEARTBEAT


class Typing(_Inbound, frozen=True, kw_only=True):
    """The customer is typing.

    Attributes:
        text: What the customer has typed and not sent. It is never stored.
    """

    type: Literal["typing", "typing_on", "typing_off"] = "typing"
    trigger = Trigger.TYPING

    text: Text | None = None


class MessagesRead(_Inbound, frozen=True, kw_only=True):
    """The customer has read what was written."""

    type: Literal["messages_read"] = "messages_read"
    trigger = Trigger.MESSAGES_READ

    text: Text | None = None


class ClientLeft(_Inbound, frozen=True, kw_only=True):
    """The customer closed the chat and confirmed it."""

    type: Literal["client_left", "client_closed"] = "client_left"
    trigger = Trigger.CLIENT_LEFT

    text: Text | None = None


class ClientUnload(_Inbound, frozen=True, kw_only=True):
    """The customer's page went away: the tab was closed, reloaded, or left for the next page."""

    type: Literal["client_unload"] = "client_unload"
    trigger = Trigger.CLIENT_UNLOAD


class _Said(_Outbound, frozen=True, kw_only=True):
    trigger = None

    @property
    def sender(self) -> Who:
        """Whether a bot, a human or neither said it, as far as the event says."""
        return who_is(self.agent)


class Reply(_Said, frozen=True, kw_only=True):
    """A bot, a human agent or an unknown sender wrote to the customer.

    Attributes:
        text: What was written; may be empty.
        image: A picture, as a base64 ``data:`` URL or another string; None if there is none.
        typing: For how many milliseconds the bot pretends to type; None if it does not.
    """

    type: Literal["text"] = "text"

    text: Text
    image: Text | None = None
    typing: Milliseconds | None = None


class RichReply(_Said, frozen=True, kw_only=True):
    """A reply that is more than text: buttons, a link, a picture, cards.

    Attributes:
        text: What was written beside it; None if nothing was.
    """

    type: Literal["postback", "web_url", "image", "carousel"] = "postback"

    text: Text | None = None


class SystemText(_Outbound, frozen=True, kw_only=True):
    """The system tells the customer something, such as the name of the queue."""

    type: Literal["system_text", "info"] = "system_text"
    trigger = Trigger.SYSTEM_TEXT

    text: Text


class TypingOn(_Outbound, frozen=True, kw_only=True):
    """The agent began to type."""

    type: Literal["typing_on"] = "typing_on"
    trigger = Trigger.TYPING_ON


class TypingOff(_Outbound, frozen=True, kw_only=True):
    """The agent stopped typing."""

    type: Literal["typing_off"] = "typing_off"
    trigger = Trigger.TYPING_OFF


class QueueNumber(_Outbound, frozen=True, kw_only=True):
    """The customer was told a place in the queue.

    Attributes:
        queue_number: The place, 0 or more.
    """

    type: Literal["queue_number"] = "queue_number"
    trigger = Trigger.QUEUE_NUMBER

    queue_number: QueuePlace


class ClaimSession(_Outbound, frozen=True, kw_only=True):
    """A human agent took the chat, often well before writing the first text.

    Attributes:
        agent_id: The id of the agent: 1 to 255 characters.
    """

    type: Literal["claim_session"] = "claim_session"
    trigger = Trigger.CLAIM_SESSION

    agent_id: Id


class AgentDone(_Outbound, frozen=True, kw_only=True):
    """The agent ended the chat.

    The same name on the queue ``internal`` is :class:`AgentReleased`.
    """

    type: Literal["agent_done"] = "agent_done"
    queues = (Direction.OUTBOUND,)
    trigger = Trigger.AGENT_DONE


class AgentReleased(_Outbound, frozen=True, kw_only=True):
    """The agent let go of the chat, which goes on.

    The same name on the queue ``outbound`` is :class:`AgentDone`.
    """

    type: Literal["agent_done"] = "agent_done"
    queues = (Direction.INTERNAL,)
    trigger = Trigger.AGENT_RELEASED


class EndSession(_Outbound, frozen=True, kw_only=True):
    """The agent application ended the chat for good.

    Attributes:
        reason_text: Why, in words; None if the event does not tell.
    """

    type: Literal["end_session"] = "end_session"
    trigger = Trigger.END_SESSION

    reason_text: Text | None = None


class PlatformClosed(_Outbound, frozen=True, kw_only=True):
    """The main queue of the platform has closed."""

    type: Literal["platform_closed"] = "platform_closed"
    trigger = Trigger.PLATFORM_CLOSED


class HandoverToBot(_Outbound, frozen=True, kw_only=True):
    """The chat goes to the bot.

    Attributes:
        flow_group_id: The flows that the bot is to run; None if the event names none.
    """

    type: Literal["handover_to_bot"] = "handover_to_bot"
    trigger = Trigger.HANDOVER_TO_BOT

    flow_group_id: Name | None = None


class HandoverToAgent(_Outbound, frozen=True, kw_only=True):
    """The chat goes to an agent, by way of a queue."""

    type: Literal["handover_to_agent"] = "handover_to_agent"
    trigger = Trigger.HANDOVER_TO_AGENT


class HandoverToQueue(_Outbound, frozen=True, kw_only=True):
    """The chat is put in line, by the bot or, as a transfer, by an agent.

    Attributes:
        queue_id: The line, as ``handover_to_queue`` names it; None if it does not.
        to_agent_application: The agent application, as the older ``transfer_to_agent_application``
            names it; None if it does not.
    """

    type: Literal["handover_to_queue", "transfer_to_agent_application"] = "handover_to_queue"
    trigger = Trigger.HANDOVER_TO_QUEUE

    queue_id: Name | None = None
    to_agent_application: Name | None = None


class HandoverTo(_Outbound, frozen=True, kw_only=True):
    """The chat goes to ``agent``: to the bot, or to a human by way of a queue.

    The protocol has this event in its scenario only.

    Attributes:
        flow_group_id: The flows that the bot is to run; None if the event names none.
    """

    type: Literal["handover_to"] = "handover_to"
    trigger = None

    flow_group_id: Name | None = None


KINDS: Final[Mapping[tuple[Direction, str], type[KnownEvent]]] = {
    (queue, name): kind
    for kind in (
        CustomerText,
        Postback,
        Start,
        Heartbeat,
        Typing,
        MessagesRead,
        ClientLeft,
        ClientUnload,
        Reply,
        RichReply,
        SystemText,
        TypingOn,
        TypingOff,
        QueueNumber,
        ClaimSession,
        AgentDone,
        AgentReleased,
        EndSession,
        PlatformClosed,
        HandoverToBot,
        HandoverToAgent,
        HandoverToQueue,
        HandoverTo,
    )
    for queue in kind.queues
    for name in get_args(kind.__annotations__["type"])
}
"""The queue and the wire ``type`` → the class of the event."""

_TEXT_OF: Final = {
    Who.BOT: Trigger.BOT_TEXT,
    Who.HUMAN: Trigger.AGENT_TEXT,
    Who.UNKNOWN: Trigger.UNATTRIBUTED_TEXT,
}


def is_about_no_chat(kind: str, queue: Direction) -> bool:
    """Whether an event of this ``type`` is about a program alone, so that nothing is written."""
    return kind == "application_heartbeat" and queue is not Direction.INBOUND


def trigger_of(event: Event) -> Trigger:
    """Return what *event* means to the machine (docs/design.md, section 3)."""
    if event.trigger is not None:
        return event.trigger
    who = who_is(getattr(event, "agent", None))
    if isinstance(event, HandoverTo):
        return Trigger.HANDOVER_TO_BOT if who is Who.BOT else Trigger.HANDOVER_TO_AGENT
    return _TEXT_OF[who]
