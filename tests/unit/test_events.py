"""The events as values: what each may hold, who speaks, and what it means to the machine."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.events import (
    KINDS,
    QUIET,
    Agent,
    AgentDone,
    AgentReleased,
    ClaimSession,
    ClientLeft,
    ClientUnload,
    CustomerText,
    Direction,
    EndSession,
    Event,
    HandoverTo,
    HandoverToAgent,
    HandoverToBot,
    HandoverToQueue,
    Heartbeat,
    KnownEvent,
    MessagesRead,
    PlatformClosed,
    Postback,
    QueueNumber,
    Reply,
    RichReply,
    Start,
    SystemText,
    Trigger,
    Typing,
    TypingOff,
    TypingOn,
    Unknown,
    Who,
    trigger_of,
    who_is,
)
from sermo_fsm.protocol.fields import BIGGEST_INTEGER, ID_CHARACTERS, is_id, kind_of_value
from sermo_fsm.protocol.wire import decode

WHOSE: dict[str, Any] = {"platform_id": "web", "user_id": "u-1"}
AT = datetime(2020, 2, 18, 12, 14, 11, 386000, tzinfo=UTC)


class NoOffset(tzinfo):
    """A zone that does not know its offset: what carries it is as naive as without."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


# --- who is who ----------------------------------------------------------------------------------

# DESIGN, section 3: a bot has the id or the type `bot`; a human is any other of type `human`, or
# without a type and with an id other than `system`. One row per id, one column per type.
TYPES = (None, "bot", "human", "system", "", "Human")
B, H, N = Who.BOT, Who.HUMAN, Who.UNKNOWN
WHO: dict[str, tuple[Who, ...]] = {
    # id       no type  bot  human  system  ""  Human
    "bot": (B, B, B, B, B, B),
    "system": (N, B, H, N, N, N),
    "anan01": (H, B, H, N, N, N),
    "human": (H, B, H, N, N, N),
    "Bot": (H, B, H, N, N, N),
    "System": (H, B, H, N, N, N),
}


@pytest.mark.parametrize(
    ("agent_id", "agent_type", "who"),
    [
        pytest.param(agent_id, agent_type, who, id=f"{agent_id}-{agent_type}")
        for agent_id, row in WHO.items()
        for agent_type, who in zip(TYPES, row, strict=True)
    ],
)
def test_an_agent_is_a_bot_a_human_or_neither(
    agent_id: str, agent_type: str | None, who: Who
) -> None:
    agent = Agent(id=agent_id, type=agent_type)
    assert who_is(agent) is who
    assert Reply(**WHOSE, text="Hej", agent=agent).sender is who


def test_nobody_is_neither() -> None:
    assert who_is(None) is Who.UNKNOWN


# --- triggers ------------------------------------------------------------------------------------

BOT = Agent(id="bot", name="Bot")
HUMAN = Agent(id="anan01", name="Anders Andersson", type="human")
SYSTEM = Agent(id="system")

TRIGGERS: list[tuple[Event, str]] = [
    (CustomerText(**WHOSE, text="Hej"), "customer_text"),
    (Postback(**WHOSE), "customer_text"),
    (Start(**WHOSE), "start"),
    (Heartbeat(**WHOSE), "heartbeat"),
    (Typing(**WHOSE), "typing"),
    (Typing(**WHOSE, type="typing_on"), "typing"),
    (Typing(**WHOSE, type="typing_off"), "typing"),
    (MessagesRead(**WHOSE), "messages_read"),
    (ClientLeft(**WHOSE), "client_left"),
    (ClientLeft(**WHOSE, type="client_closed"), "client_left"),
    (ClientUnload(**WHOSE), "client_unload"),
    (Reply(**WHOSE, text="Hej", agent=BOT), "bot_text"),
    (Reply(**WHOSE, text="Hej", agent=HUMAN), "agent_text"),
    (Reply(**WHOSE, text="Hej", agent=SYSTEM), "unattributed_text"),
    (Reply(**WHOSE, text="Hej"), "unattributed_text"),
    *[
        (RichReply(**WHOSE, type=kind, agent=agent), trigger)
        for kind in ("postback", "web_url", "image", "carousel")
        for agent, trigger in (
            (BOT, "bot_text"),
            (HUMAN, "agent_text"),
            (SYSTEM, "unattributed_text"),
            (None, "unattributed_text"),
        )
    ],
    (SystemText(**WHOSE, text="Hej"), "system_text"),
    (SystemText(**WHOSE, text="Hej", type="info"), "system_text"),
    (SystemText(**WHOSE, text="Hej", agent=HUMAN), "system_text"),
    (TypingOn(**WHOSE), "typing_on"),
    (TypingOff(**WHOSE), "typing_off"),
    (QueueNumber(**WHOSE, queue_number=0), "queue_number"),
    (ClaimSession(**WHOSE, agent_id="anan01"), "claim_session"),
    (AgentDone(**WHOSE), "agent_done"),
    (AgentReleased(**WHOSE), "agent_released"),
    (EndSession(**WHOSE), "end_session"),
    (PlatformClosed(**WHOSE), "platform_closed"),
    (HandoverToBot(**WHOSE), "handover_to_bot"),
    (HandoverToBot(**WHOSE, agent=HUMAN), "handover_to_bot"),
    (HandoverToAgent(**WHOSE), "handover_to_agent"),
    (HandoverToAgent(**WHOSE, agent=BOT), "handover_to_agent"),
    (HandoverToQueue(**WHOSE), "handover_to_queue"),
    (HandoverToQueue(**WHOSE, type="transfer_to_agent_application"), "handover_to_queue"),
    (HandoverTo(**WHOSE, agent=BOT), "handover_to_bot"),
    (HandoverTo(**WHOSE, agent=HUMAN), "handover_to_agent"),
    (HandoverTo(**WHOSE, agent=SYSTEM), "handover_to_agent"),
    (HandoverTo(**WHOSE), "handover_to_agent"),
    (Unknown(type="weather"), "unknown"),
    (Unknown(type="text"), "unknown"),
]


@pytest.mark.parametrize(
    ("event", "trigger"),
    [pytest.param(*case, id=f"{number}-{case[1]}") for number, case in enumerate(TRIGGERS)],
)
def test_an_event_means_its_trigger(event: Event, trigger: str) -> None:
    assert trigger_of(event) is Trigger(trigger)


def test_every_trigger_but_those_of_no_queue_has_an_event() -> None:
    assert {trigger for _, trigger in TRIGGERS} == set(Trigger) - {"expire", "close"}


def test_every_name_of_the_protocol_has_a_class() -> None:
    inbound = {name: kind.__name__ for (queue, name), kind in KINDS.items() if queue == "inbound"}
    outbound = {name: kind.__name__ for (queue, name), kind in KINDS.items() if queue == "outbound"}
    internal = {name: kind.__name__ for (queue, name), kind in KINDS.items() if queue == "internal"}
    assert inbound == {
        "text": "CustomerText",
        "postback": "Postback",
        "start": "Start",
        "heartbeat": "Heartbeat",
        "typing": "Typing",
        "typing_on": "Typing",
        "typing_off": "Typing",
        "messages_read": "MessagesRead",
        "client_left": "ClientLeft",
        "client_closed": "ClientLeft",
        "client_unload": "ClientUnload",
    }
    assert outbound == {
        "text": "Reply",
        "postback": "RichReply",
        "web_url": "RichReply",
        "image": "RichReply",
        "carousel": "RichReply",
        "queue_number": "QueueNumber",
        "system_text": "SystemText",
        "info": "SystemText",
        "claim_session": "ClaimSession",
        "agent_done": "AgentDone",
        "end_session": "EndSession",
        "typing_on": "TypingOn",
        "typing_off": "TypingOff",
        "platform_closed": "PlatformClosed",
        "handover_to_bot": "HandoverToBot",
        "handover_to_agent": "HandoverToAgent",
        "handover_to_queue": "HandoverToQueue",
        "transfer_to_agent_application": "HandoverToQueue",
        "handover_to": "HandoverTo",
    }
    assert internal == outbound | {"agent_done": "AgentReleased"}


def test_the_quiet_events_are_those_of_the_design() -> None:
    assert {str(trigger) for trigger in QUIET} == {
        "heartbeat",
        "typing",
        "messages_read",
        "typing_on",
        "typing_off",
    }


def test_names_are_strings_and_stand_for_them() -> None:
    names: dict[str, int] = {Direction.INBOUND: 1, Trigger.HEARTBEAT: 2}
    assert names["inbound"] == 1
    assert names["heartbeat"] == 2
    assert {str(direction) for direction in Direction} == {
        "inbound",
        "outbound",
        "internal",
        "timer",
        "operator",
    }


# --- what an event may hold ----------------------------------------------------------------------

AN_ID = "a string of 1 to 255 characters, without NUL or lone surrogates"
A_NAME = "a string without NUL or lone surrogates"
A_TIME = "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z"
MILLISECONDS = "a number of milliseconds, 0 or more"
A_PLACE = "an integer from 0 to 9223372036854775807"
EXPRESSIBLE = "an object that JSON can express"
NO_ZONE = "one without a zone, or no time of day"

# class, field, value, path, wanted, got
BROKEN: list[tuple[type[KnownEvent], str, Any, str, str, str]] = [
    (Heartbeat, "user_id", "", "$.userId", AN_ID, "a string of 0 characters"),
    (Heartbeat, "user_id", "x" * 256, "$.userId", AN_ID, "a string of 256 characters"),
    (Heartbeat, "user_id", "a\0b", "$.userId", AN_ID, "a string of 3 characters"),
    (Heartbeat, "user_id", "\ud800", "$", "text in UTF-8", "a lone surrogate"),
    (Heartbeat, "user_id", None, "$.userId", "this field", "nothing"),
    (Heartbeat, "user_id", 5, "$.userId", AN_ID, "a number"),
    (Heartbeat, "platform_id", b"web", "$", EXPRESSIBLE, "Python values that it can't"),
    (Heartbeat, "type", 5, "$.type", AN_ID, "a number"),
    (Heartbeat, "at", AT.replace(tzinfo=None), "$.at", A_TIME, NO_ZONE),
    (Heartbeat, "at", AT.replace(tzinfo=NoOffset()), "$.at", A_TIME, NO_ZONE),
    (
        Heartbeat,
        "at",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        "$.at",
        A_TIME,
        "a string of 25 characters",
    ),
    (CustomerText, "text", None, "$.text", "this field", "nothing"),
    (CustomerText, "text", 5, "$.text", "a string", "a number"),
    (CustomerText, "image", b"", "$", EXPRESSIBLE, "Python values that it can't"),
    (Reply, "agent", "bot", "$.agent", "an object", "a string of 3 characters"),
    (Reply, "agent", Agent(id=""), "$.agent.id", AN_ID, "a string of 0 characters"),
    (
        Reply,
        "agent",
        Agent(id="bot", name="\0"),
        "$.agent.name",
        A_NAME,
        "a string of 1 characters",
    ),
    (ClaimSession, "agent_id", "", "$.agentId", AN_ID, "a string of 0 characters"),
    (Start, "params", ["a"], "$.params", "an object", "an array"),
    (Reply, "typing", -1, "$.typing", MILLISECONDS, "a number"),
    (Reply, "typing", True, "$.typing", MILLISECONDS, "a boolean"),
    (Reply, "typing", float("nan"), "$", EXPRESSIBLE, "Python values that it can't"),
    (Reply, "typing", float("inf"), "$", EXPRESSIBLE, "Python values that it can't"),
    (Reply, "typing", "1000", "$.typing", MILLISECONDS, "a string of 4 characters"),
    (QueueNumber, "queue_number", -1, "$.queueNumber", A_PLACE, "a number"),
    (QueueNumber, "queue_number", 2**63, "$.queueNumber", A_PLACE, "a number"),
    (QueueNumber, "queue_number", 1.0, "$.queueNumber", A_PLACE, "a number"),
    (QueueNumber, "queue_number", False, "$.queueNumber", A_PLACE, "a boolean"),
    (HandoverToBot, "flow_group_id", "a\0", "$.flowGroupId", A_NAME, "a string of 2 characters"),
    (HandoverTo, "flow_group_id", 5, "$.flowGroupId", A_NAME, "a number"),
]
NEEDED: dict[type[KnownEvent], Mapping[str, Any]] = {
    CustomerText: {"text": "Hej"},
    Reply: {"text": "Hej"},
    QueueNumber: {"queue_number": 1},
    ClaimSession: {"agent_id": "anan01"},
}


@pytest.mark.parametrize(
    ("kind", "name", "value", "complaint"),
    [
        pytest.param(kind, name, value, complaint, id=f"{number}-{complaint[0]}")
        for number, (kind, name, value, *complaint) in enumerate(BROKEN)
    ],
)
def test_no_event_is_taken_with_what_the_protocol_forbids(
    kind: type[KnownEvent], name: str, value: object, complaint: list[str]
) -> None:
    arguments: dict[str, Any] = {**WHOSE, **NEEDED.get(kind, {})}
    queue, (path, wanted, got) = kind.queues[0], complaint
    assert decode(queue, kind(**arguments), received_at=AT).event == kind(**arguments)
    with pytest.raises(InvalidArgument) as caught:
        decode(queue, kind(**{**arguments, name: value}), received_at=AT)
    assert (caught.value.wanted, caught.value.got) == (f"{wanted} at {path}", got)


@pytest.mark.parametrize("kind", ["text", "weather", "typing"])
def test_an_event_has_a_type_of_its_class(kind: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode(Direction.INBOUND, Heartbeat(**WHOSE, type=kind), received_at=AT)


def test_an_unknown_event_needs_nothing_but_a_type() -> None:
    assert Unknown(type="weather").user_id is None
    with pytest.raises(InvalidArgument, match=r"\$\.type"):
        decode(Direction.INBOUND, Unknown(type=""), received_at=AT)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x", True),
        ("x" * 255, True),
        ("😀" * 255, True),  # characters, not bytes
        (" ", True),
        ("\ufffd\x7f", True),
        ("", False),
        ("x" * 256, False),
        ("\0", False),
        ("å\0", False),
        ("å\ud800", False),
        ("\udfff", False),
        (5, False),
        (None, False),
        (b"x", False),
    ],
    ids=ascii,
)
def test_an_id_is_1_to_255_characters_that_can_be_stored(
    value: object,
    fits: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert is_id(value) is fits


def test_the_limits_are_those_of_the_design() -> None:
    assert ID_CHARACTERS == 255
    assert BIGGEST_INTEGER == 9_223_372_036_854_775_807
    assert QueueNumber(**WHOSE, queue_number=BIGGEST_INTEGER).queue_number == BIGGEST_INTEGER


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean"),
        (5, "a number"),
        (5.5, "a number"),
        ("hemlig", "a string of 6 characters"),
        (AT, "a timestamp"),
        (["hemlig"], "an array"),
        (("hemlig",), "an array"),
        ({"hemlig": "hemlig"}, "an object"),
        (b"hemlig", "a Python bytes"),
    ],
    ids=str,
)
def test_a_value_is_described_without_being_shown(value: object, words: str) -> None:
    assert kind_of_value(value) == words


def test_events_are_frozen_and_equal_by_value() -> None:
    event = Heartbeat(**WHOSE, at=AT)
    assert event == Heartbeat(**WHOSE, at=AT)
    assert event != Heartbeat(**WHOSE)
    assert event.type == "heartbeat"
    with pytest.raises(AttributeError):
        event.user_id = "someone else"  # type: ignore[misc] # what is tested


SECRET = "hemligt"  # noqa: S105 - what a customer wrote


@pytest.mark.parametrize(
    "event",
    [
        CustomerText(**WHOSE, text=SECRET, image=SECRET),
        Typing(**WHOSE, text=SECRET),
        MessagesRead(**WHOSE, text=SECRET),
        ClientLeft(**WHOSE, text=SECRET),
        Reply(**WHOSE, text=SECRET, image=SECRET),
        SystemText(**WHOSE, text=SECRET),
        EndSession(**WHOSE, reason_text=SECRET),
        Start(**WHOSE, params={SECRET: SECRET}),
    ],
    ids=lambda event: type(event).__name__,
)
def test_no_event_shows_what_was_written(event: Event) -> None:
    assert SECRET not in repr(event)
    assert SECRET not in str(event)
