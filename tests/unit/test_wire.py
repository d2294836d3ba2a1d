"""JSON ⇄ events: what the protocol says, and what anyone else may send."""

import base64
import codecs
import ctypes
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import example, given
from msgspec.structs import replace

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol import wire
from sermo_fsm.protocol.envelope import arrive_line
from sermo_fsm.protocol.events import (
    KINDS,
    Agent,
    AgentDone,
    ClientLeft,
    ClientUnload,
    CustomerText,
    Direction,
    Event,
    HandoverTo,
    HandoverToAgent,
    HandoverToBot,
    Heartbeat,
    KnownEvent,
    MessagesRead,
    PlatformClosed,
    QueueNumber,
    Reply,
    SystemText,
    Typing,
    TypingOff,
    TypingOn,
    Unknown,
)
from sermo_fsm.protocol.json_reader import Limits, dump, parse_time
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.protocol.stored_form import (
    EXCERPT_BYTES,
    Image,
    excerpt,
    image_of,
    same_json,
    stored_form,
)
from sermo_fsm.protocol.wire import encode, sent_at
from tests.support import CHECKOUT, START

IN, OUT, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL
QUEUES = (IN, OUT, INTERNAL)
KIB, MIB = 1024, 1024 * 1024

WHOSE: dict[str, Any] = {"platformId": "web", "userId": "u-1"}
HEARTBEAT: dict[str, Any] = {"type": "heartbeat", **WHOSE}
TEXT: dict[str, Any] = {"type": "text", **WHOSE, "text": "Hej"}
AT = "2020-02-18T12:14:11.386Z"
PICTURE = "data:image/png;base64,aGVq"


def decode(direction: Direction, raw: Any, **options: Any) -> Message:
    """The message, received at the start."""
    return wire.decode(direction, raw, received_at=START, **options)


def stored(message: Message) -> tuple[Any, Image | None]:
    """What is stored of it."""
    return message.body, message.image


def complaint_of(direction: Direction, raw: Any, **options: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decode(direction, raw, **options)
    return caught.value


def outcome(direction: Direction, raw: Any) -> Message | InvalidEvent:
    """What became of *raw*; any other error fails the test."""
    try:
        return decode(direction, raw)
    except InvalidEvent as error:
        return error


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# --- the protocol's own examples -----------------------------------------------------------------

SPEC = CHECKOUT / "tests" / "spec" / "sermo-events.md"


def spec_blocks() -> Iterator[tuple[str, str, str]]:
    """Direction, heading and JSON of every example in the specification."""
    direction = heading = ""
    pattern = r'^## "(\w+)"|^### ([^\n]+)\n|^```json\n(.*?)^```'
    for found in re.finditer(pattern, SPEC.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if found[1]:
            direction = found[1].lower()
        elif found[2]:
            heading = found[2]
        else:
            yield direction, heading, found[3]


HERS: dict[str, Any] = {
    "platform_id": "comviq-web",
    "user_id": "8a8b5c18-c0dd-467b-bd77-7e7685fadf6d",
}
SPEC_IMAGE = "data:image/jpeg;base64,/9j/4AAQSkZJRgAB+UinhpBuBqJlnCSSdoePgIDo//2Q=="


def on_18th(hour: int, minute: int, second: int, milliseconds: int) -> datetime:
    return datetime(2020, 2, 18, hour, minute, second, milliseconds * 1000, tzinfo=UTC)


def as_sent(event: Event) -> Event:
    """*event* with the sender's time as one that is made in Python has it."""
    return replace(event, at=sent_at(event))


EXPECTED: list[tuple[str, str, Event, str]] = [
    (
        "inbound",
        "text",
        CustomerText(**HERS, text="Jag vill ändra faktura 70557076"),
        "customer_text",
    ),
    (
        "inbound",
        "text (med bild)",
        CustomerText(**HERS, text="Bifogad bild:", image=SPEC_IMAGE),
        "customer_text",
    ),
    ("inbound", "heartbeat", Heartbeat(**HERS), "heartbeat"),
    (
        "inbound",
        "messages_read",
        MessagesRead(**HERS, text="read", at=on_18th(12, 14, 11, 386)),
        "messages_read",
    ),
    (
        "inbound",
        "client_left",
        ClientLeft(**HERS, text="Kunden har stängt chatten.", at=on_18th(12, 12, 33, 766)),
        "client_left",
    ),
    (
        "inbound",
        "client_unload",
        ClientUnload(**HERS, at=on_18th(12, 10, 18, 968)),
        "client_unload",
    ),
    (
        "inbound",
        "typing",
        Typing(**HERS, text="Hej, jag mitt na", at=on_18th(14, 41, 37, 571)),
        "typing",
    ),
    ("outbound", "queue_number", QueueNumber(**HERS, queue_number=1), "queue_number"),
    (
        "outbound",
        "text",
        Reply(
            **HERS,
            text=(
                "Jag skickar ett SMS till dig nu med betalningsuppgifterna, "
                "det kommer plinga i din telefonen inom en minut."
            ),
            agent=Agent(id="anan01", name="Anders Andersson", type="human"),
        ),
        "agent_text",
    ),
    (
        "outbound",
        "text (från Boten)",
        Reply(**HERS, text="Hej!", typing=1000, agent=Agent(id="bot", name="Bot")),
        "bot_text",
    ),
    (
        "outbound",
        "text (med bild)",
        Reply(**HERS, text="Bifogad bild:", image=SPEC_IMAGE),
        "unattributed_text",
    ),
    (
        "outbound",
        "system_text",
        SystemText(**HERS, text='Chatten har placerats i kön "Com Hem allmänt"'),
        "system_text",
    ),
    ("outbound", "agent_done", AgentDone(**HERS), "agent_done"),
    ("outbound", "typing_on", TypingOn(**HERS), "typing_on"),
    ("outbound", "typing_off", TypingOff(**HERS), "typing_off"),
    ("outbound", "platform_closed", PlatformClosed(**HERS), "platform_closed"),
    (
        "outbound",
        "handover_to_bot",
        HandoverToBot(**HERS, flow_group_id="end"),
        "handover_to_bot",
    ),
    ("outbound", "handover_to_agent", HandoverToAgent(**HERS), "handover_to_agent"),
]


def test_every_example_of_the_specification_is_expected_below() -> None:
    blocks = [(direction, heading) for direction, heading, _ in spec_blocks()]
    assert blocks == [(direction, heading) for direction, heading, _, _ in EXPECTED]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param(block, expected, id=f"{expected[0]}-{expected[1]}")
        for (_, _, block), expected in zip(spec_blocks(), EXPECTED, strict=True)
    ],
)
def test_the_examples_of_the_specification_are_accepted_as_they_stand(
    block: str, expected: tuple[str, str, Event, str]
) -> None:
    direction, _, event, trigger = expected
    for raw in (block, block.encode(), bytearray(block.encode()), memoryview(block.encode())):
        message = decode(Direction(direction), raw)
        assert as_sent(message.event) == event
        assert type(message.event) is type(event)
        assert message.trigger == trigger
        assert stored(message) == stored_form(json.loads(block))
    assert as_sent(decode(Direction(direction), json.loads(block)).event) == event
    if direction == "outbound" and trigger != "agent_done":
        assert as_sent(decode(INTERNAL, block).event) == event
        assert decode(INTERNAL, block).trigger == trigger
        assert decode(INTERNAL, block).direction == "internal"


def test_the_image_of_the_specification_is_the_same_on_every_python() -> None:
    # It has more padding than base64 needs: until 3.12 Python reads over that, later it does not.
    image = image_of(SPEC_IMAGE)
    assert image.content[:10] == b"\xff\xd8\xff\xe0\x00\x10JFIF"
    assert image.description == {
        "sha256": "b43d9aadd39c0ac9c33d6b0f4fdb7993b751ee013b614f1288bd99d85f1800f6",
        "bytes": 33,
        "mediaType": "image/jpeg",
    }


# --- names, and where they count -----------------------------------------------------------------

# Every type that section 3 of DESIGN.md names, what else it needs, and the trigger on either queue.
NAMES: dict[str, tuple[dict[str, Any], str, str]] = {
    # type              needs             inbound          outbound
    "text": ({"text": "Hej"}, "customer_text", "unattributed_text"),
    "postback": ({}, "customer_text", "unattributed_text"),
    "start": ({}, "start", "unknown"),
    "web_url": ({}, "unknown", "unattributed_text"),
    "image": ({}, "unknown", "unattributed_text"),
    "carousel": ({}, "unknown", "unattributed_text"),
    "info": ({"text": "Hej"}, "unknown", "system_text"),
    "claim_session": ({"agentId": "anan01"}, "unknown", "claim_session"),
    "end_session": ({}, "unknown", "end_session"),
    "handover_to_queue": ({}, "unknown", "handover_to_queue"),
    "transfer_to_agent_application": ({}, "unknown", "handover_to_queue"),
    "customer_identified": ({}, "unknown", "unknown"),
    "application_heartbeat": ({}, "unknown", "unknown"),
    "close": ({}, "unknown", "unknown"),
    "agent_released": ({}, "unknown", "unknown"),
    "heartbeat": ({}, "heartbeat", "unknown"),
    "typing": ({}, "typing", "unknown"),
    "messages_read": ({}, "messages_read", "unknown"),
    "client_left": ({}, "client_left", "unknown"),
    "client_closed": ({}, "client_left", "unknown"),
    "client_unload": ({}, "client_unload", "unknown"),
    "typing_on": ({}, "typing", "typing_on"),
    "typing_off": ({}, "typing", "typing_off"),
    "queue_number": ({"queueNumber": 0}, "unknown", "queue_number"),
    "system_text": ({"text": "Hej"}, "unknown", "system_text"),
    "agent_done": ({}, "unknown", "agent_done"),
    "platform_closed": ({}, "unknown", "platform_closed"),
    "handover_to_bot": ({}, "unknown", "handover_to_bot"),
    "handover_to_agent": ({}, "unknown", "handover_to_agent"),
    "handover_to": ({}, "unknown", "handover_to_agent"),
    "expire": ({}, "unknown", "unknown"),
    "unknown": ({}, "unknown", "unknown"),
    "Text": ({}, "unknown", "unknown"),
    "text ": ({}, "unknown", "unknown"),
    "väder": ({}, "unknown", "unknown"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_has_its_meaning_on_its_own_direction(name: str) -> None:
    needs, inbound, outbound = NAMES[name]
    internal = "agent_released" if name == "agent_done" else outbound
    for direction, trigger in ((IN, inbound), (OUT, outbound), (INTERNAL, internal)):
        message = decode(direction, {"type": name, **WHOSE, **needs})
        assert message.trigger == trigger
        assert message.event.type == name
        assert isinstance(message.event, Unknown) is (trigger == "unknown")
        if trigger == "unknown":  # needs nothing but its type
            assert decode(direction, {"type": name}).event == Unknown(type=name)
        else:
            assert complaint_of(direction, {"type": name}).path == "$.platformId"


@pytest.mark.parametrize(
    ("agent", "trigger"),
    [
        ({"id": "bot"}, "handover_to_bot"),
        ({"id": "flow-7", "type": "bot"}, "handover_to_bot"),
        ({"id": "anan01"}, "handover_to_agent"),
        ({"id": "system"}, "handover_to_agent"),
        (None, "handover_to_agent"),
    ],
    ids=str,
)
def test_the_agent_of_a_handover_is_whom_it_goes_to(
    agent: dict[str, Any] | None, trigger: str
) -> None:
    message = decode(OUT, {"type": "handover_to", **WHOSE, "agent": agent, "flowGroupId": "end"})
    assert message.trigger == trigger
    assert isinstance(message.event, HandoverTo)
    assert message.event.flow_group_id == "end"


def test_an_agent_may_be_null_which_is_nobody() -> None:
    message = decode(OUT, {**TEXT, "agent": None})
    assert message.trigger == "unattributed_text"
    assert message.event == decode(OUT, TEXT).event
    assert message.body["agent"] is None


def test_inbound_typing_on_carries_the_unsent_text() -> None:
    event = decode(IN, {"type": "typing_on", **WHOSE, "text": "Hej"}).event
    assert event == Typing(platform_id="web", user_id="u-1", type="typing_on", text="Hej")


# Turkish has two letters i; and nobody sees a blank or a zero-width space before a type.
@pytest.mark.parametrize("name", ["TYPİNG", "typ\u0131ng", "Typing-2", " typing", "\u200btyping"])
def test_no_spelling_of_typing_keeps_the_unsent_text(name: str) -> None:
    message = decode(IN, {"type": name, **WHOSE, "text": "Hej"})
    assert message.trigger == "unknown"
    assert message.body == {"type": name, **WHOSE}


def test_extra_fields_are_kept_as_they_came() -> None:
    extra = {"channel": {"id": [1, 1.0, None, "å\u0000"]}, "": False, "queueNumber": "five"}
    message = decode(IN, {**HEARTBEAT, **extra})
    assert message.event == decode(IN, HEARTBEAT).event
    assert stored(message) == ({**HEARTBEAT, **extra}, None)


def test_extra_fields_of_an_agent_are_stored() -> None:
    value = {**TEXT, "agent": {"id": "bot", "skill": {"level": 3}}}
    message = decode(OUT, value)
    assert message.event == Reply(
        platform_id="web", user_id="u-1", text="Hej", agent=Agent(id="bot")
    )
    assert stored(message) == (value, None)


UNREADABLE: dict[str, Any] = {"platformId": 5, "userId": "", "at": "yesterday"}


@pytest.mark.parametrize("direction", QUEUES)
def test_an_unknown_event_survives_whatever_it_holds(direction: Direction) -> None:
    value = {"type": "weather", **UNREADABLE, "agent": "me", "queueNumber": -1, "text": None}
    message = decode(direction, value)
    assert message.trigger == "unknown"
    assert as_sent(message.event) == Unknown(type="weather")
    assert stored(message) == (value, None)


def test_an_unknown_event_belongs_to_the_user_that_it_names() -> None:
    event = decode(IN, {"type": "weather", **WHOSE, "at": AT}).event
    assert as_sent(event) == Unknown(
        type="weather", platform_id="web", user_id="u-1", at=on_18th(12, 14, 11, 386)
    )


@pytest.mark.parametrize("value", [HEARTBEAT, {"type": "weather", "userId": "u-1"}], ids=str)
def test_the_callers_platform_stands_in_only_where_there_is_none(value: dict[str, Any]) -> None:
    bare = {name: item for name, item in value.items() if name != "platformId"}
    assert decode(IN, bare, platform_id="sms").event.platform_id == "sms"
    assert decode(IN, {**bare, "platformId": "web"}, platform_id="sms").event.platform_id == "web"
    assert bare == {name: item for name, item in value.items() if name != "platformId"}


def test_a_platform_that_is_null_is_as_if_it_were_not_there() -> None:
    for value in ({**HEARTBEAT, "platformId": None}, {"type": "weather", "platformId": None}):
        assert decode(IN, value, platform_id="sms").event.platform_id == "sms"
    assert complaint_of(IN, {**HEARTBEAT, "platformId": None}).got == "nothing"


NULLABLE: dict[str, dict[str, Any]] = {
    "inbound": {"image": None, "at": None, "direction": None, "agent": None},
    "outbound": {
        "image": None,
        "typing": None,
        "at": None,
        "flowGroupId": None,
        "reasonText": None,
        "agent": {"id": "bot", "name": None, "type": None},
    },
}


@pytest.mark.parametrize("direction", [IN, OUT])
def test_a_null_is_as_if_it_were_not_there_and_is_kept(direction: Direction) -> None:
    value = {**TEXT, **NULLABLE[direction]}
    message = decode(direction, value)
    bare = {name: item for name, item in value.items() if item is not None}
    assert message.event == decode(direction, bare).event
    assert message.body == value


def test_a_needed_field_that_is_null_is_missing() -> None:
    for direction, name, value in (
        (IN, "text", {**TEXT, "text": None}),
        (IN, "userId", {**TEXT, "userId": None}),
        (IN, "type", {**TEXT, "type": None}),
        (OUT, "agent.id", {**TEXT, "agent": {"id": None, "name": "Anders"}}),
        (OUT, "agentId", {"type": "claim_session", **WHOSE, "agentId": None}),
    ):
        error = complaint_of(direction, value)
        assert (error.path, error.wanted, error.got) == (f"$.{name}", "this field", "nothing")


@pytest.mark.parametrize("own", ["inbound", "outbound", "internal"])
@pytest.mark.parametrize("direction", QUEUES)
def test_an_event_must_not_contradict_its_queue(direction: Direction, own: str) -> None:
    value = {"type": "weather", "direction": own}
    if own == direction:
        assert decode(direction, value).body == value
    else:
        error = complaint_of(direction, value)
        assert (error.path, error.got) == ("$.direction", own)
        assert error.wanted.startswith(direction)


@pytest.mark.parametrize("own", ["timer", "north", 5, None, ["inbound"]], ids=str)
def test_a_direction_that_is_no_queue_is_an_extra_field(own: object) -> None:
    assert decode(IN, {**HEARTBEAT, "direction": own}).body["direction"] == own


# --- fields --------------------------------------------------------------------------------------

# Every event of the protocol with every field that it can have.
INBOUND_FULL: list[dict[str, Any]] = [
    {"type": "text", "text": "Hej", "image": PICTURE},
    {"type": "heartbeat"},
    {"type": "typing", "text": "He"},
    {"type": "typing_on", "text": "He"},
    {"type": "typing_off", "text": "He"},
    {"type": "messages_read", "text": "read"},
    {"type": "client_left", "text": "Kunden har stängt chatten."},
    {"type": "client_closed", "text": "Kunden har stängt chatten."},
    {"type": "client_unload"},
    {"type": "start", "params": {"flow": "faktura"}},
    {"type": "postback", "text": "Ja"},
]
OUTBOUND_FULL: list[dict[str, Any]] = [
    {"type": "text", "text": "Hej", "image": PICTURE, "typing": 1000},
    {"type": "system_text", "text": "Hej"},
    {"type": "typing_on"},
    {"type": "typing_off"},
    {"type": "queue_number", "queueNumber": 1},
    {"type": "agent_done"},
    {"type": "platform_closed"},
    {"type": "handover_to_bot", "flowGroupId": "end"},
    {"type": "handover_to_agent"},
    {"type": "handover_to", "flowGroupId": "end"},
    {"type": "postback", "text": "Välj:"},
    {"type": "web_url", "text": "Se här:"},
    {"type": "image", "text": "Se här:"},
    {"type": "carousel", "text": "Välj:"},
    {"type": "info", "text": "Hej"},
    {"type": "handover_to_queue", "queueId": "faktura"},
    {"type": "transfer_to_agent_application", "toAgentApplication": "avaya"},
    {"type": "claim_session", "agentId": "anan01"},
    {"type": "end_session", "reasonText": "klar"},
]
AGENT = {"id": "anan01", "name": "Anders Andersson", "type": "human"}
FULL: list[tuple[Direction, dict[str, Any]]] = [
    *((IN, {**value, **WHOSE, "at": AT}) for value in INBOUND_FULL),
    *((OUT, {**value, **WHOSE, "at": AT, "agent": AGENT}) for value in OUTBOUND_FULL),
]

AN_ID = "a string of 1 to 255 characters, without NUL or lone surrogates"
A_NAME = "a string without NUL or lone surrogates"
A_TIME = "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z"
MILLISECONDS = "a number of milliseconds, 0 or more"
A_PLACE = "an integer from 0 to 9223372036854775807"
WANTED: dict[str, str] = {
    "type": AN_ID,
    "platformId": AN_ID,
    "userId": AN_ID,
    "agent.id": AN_ID,
    "text": "a string",
    "image": "a string",
    "at": A_TIME,
    "typing": MILLISECONDS,
    "queueNumber": A_PLACE,
    "flowGroupId": A_NAME,
    "agent": "an object",
    "agentId": AN_ID,
    "queueId": A_NAME,
    "toAgentApplication": A_NAME,
    "reasonText": "a string",
    "params": "an object",
    "agent.name": A_NAME,
    "agent.type": A_NAME,
}
# One of every JSON type, and how a complaint calls it; the fields that take it.
SAMPLES: list[tuple[Any, str, set[str]]] = [
    (True, "a boolean", set()),
    (False, "a boolean", set()),
    (5, "a number", {"typing", "queueNumber"}),
    (-5, "a number", set()),
    (1.0, "a number", {"typing"}),
    (
        "5",
        "a string of 1 characters",
        {
            *("type", "platformId", "userId", "text", "image", "flowGroupId"),
            *("agent.id", "agent.name", "agent.type"),
            *("agentId", "queueId", "toAgentApplication", "reasonText"),
        },
    ),
    ([], "an array", set()),
    (["5"], "an array", set()),
    ({}, "an object", {"agent", "params"}),
    ({"id": "5"}, "an object", {"agent", "params"}),
]


def with_field(value: Mapping[str, Any], name: str, item: object) -> dict[str, Any]:
    if name.startswith("agent."):
        return {**value, "agent": {**value["agent"], name.removeprefix("agent."): item}}
    return {**value, name: item}


def without_field(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name == "agent.id":
        return {**value, "agent": {"name": "Anders"}}
    return {key: item for key, item in value.items() if key != name}


def fields_of(value: Mapping[str, Any]) -> list[str]:
    return [*value, *(f"agent.{name}" for name in value.get("agent", ()))]


each_event = pytest.mark.parametrize(
    ("direction", "value"),
    [pytest.param(*case, id=f"{case[0]}-{case[1]['type']}") for case in FULL],
)


@each_event
class TestFields:
    """Every event of the protocol with one thing wrong."""

    def test_it_is_valid_as_it_is(self, direction: Direction, value: dict[str, Any]) -> None:
        message = decode(direction, value)
        assert not isinstance(message.event, Unknown)
        assert encode(message.event) == value

    def test_no_value_is_coerced(self, direction: Direction, value: dict[str, Any]) -> None:
        for name in fields_of(value):
            for item, got, fits in SAMPLES:
                if name in fits or name == "at":
                    continue
                error = complaint_of(direction, with_field(value, name, item))
                assert (error.path, error.got) == (f"$.{name}", got)
                assert error.wanted == WANTED[name]

    def test_what_it_needs_is_there(self, direction: Direction, value: dict[str, Any]) -> None:
        needed = {"type", "platformId", "userId", "agent.id", "queueNumber", "agentId"}
        if value["type"] in {"text", "system_text", "info"}:
            needed.add("text")
        for name in fields_of(value):
            less = without_field(value, name)
            if name in needed:
                error = complaint_of(direction, less)
                assert (error.path, error.got) == (f"$.{name}", "nothing")
                assert error.wanted.startswith("this field")
                assert ("SERMO_PLATFORM" in error.wanted) is (name == "platformId")
            elif not name.startswith("agent."):
                assert decode(direction, less).trigger != "unknown"

    def test_no_id_is_empty_too_long_or_unstorable(
        self, direction: Direction, value: dict[str, Any]
    ) -> None:
        ids = {"platformId", "userId", "agent.id", "agentId"} & set(fields_of(value))
        for name in (*ids, "type"):
            for item in ("", "x" * 256, "a\0b"):
                error = complaint_of(direction, with_field(value, name, item))
                assert error.path == f"$.{name}"
                assert error.wanted == AN_ID
                assert error.got == f"a string of {len(item)} characters"
        for name in ids:
            for item in ("x", "å" * 255, "\x01"):
                decode(direction, with_field(value, name, item))

    def test_no_name_is_unstorable(self, direction: Direction, value: dict[str, Any]) -> None:
        names = {"flowGroupId", "queueId", "toAgentApplication", "agent.name", "agent.type"}
        for name in names & set(fields_of(value)):
            error = complaint_of(direction, with_field(value, name, "a\0b"))
            assert (error.path, error.wanted) == (f"$.{name}", A_NAME)
            decode(direction, with_field(value, name, ""))

    def test_free_text_may_hold_anything(self, direction: Direction, value: dict[str, Any]) -> None:
        for name in {"text", "image"} & set(value):
            for item in ("", "\0", "\x7f", "😀", "å" * 10_000):
                raw = json.dumps({**value, name: item})
                event = decode(direction, raw).event
                assert getattr(event, name) == item
                if name == "text":
                    body = decode(direction, raw).body
                    assert body.get("text", item) == item
                    assert json.loads(dump(body)) == body


# --- timestamps ----------------------------------------------------------------------------------

MOMENTS: dict[str, datetime] = {
    "2020-02-18T12:14:11.386Z": on_18th(12, 14, 11, 386),
    "2020-02-18T12:14:11Z": on_18th(12, 14, 11, 0),
    "2020-02-18t12:14:11z": on_18th(12, 14, 11, 0),  # RFC 3339, section 5.6
    "2020-02-18 12:14:11+00:00": on_18th(12, 14, 11, 0),
    "2020-02-18T13:14:11+01:00": on_18th(12, 14, 11, 0),
    "2020-02-18T13:14:11+0100": on_18th(12, 14, 11, 0),
    "2020-02-17T22:14:11-14:00": on_18th(12, 14, 11, 0),
    "2020-02-18T12:14:11-00:00": on_18th(12, 14, 11, 0),
    "2020-02-18T12:14:11.3861239Z": on_18th(12, 14, 11, 386) + timedelta(microseconds=123),
    "2020-02-29T00:00:00Z": datetime(2020, 2, 29, tzinfo=UTC),
    "0001-01-01T00:00:00Z": datetime.min.replace(tzinfo=UTC),
    "9999-12-31T23:59:59.999999Z": datetime.max.replace(tzinfo=UTC),
}
NO_MOMENTS = [
    "",
    "now",
    "2020-02-18",  # no time of day
    "12:14:11Z",
    "2020-02-18T12:14:11",  # no zone
    "2020-02-18T12:14:11.386",
    "2020-02-30T12:14:11Z",  # no such day
    "2019-02-29T12:14:11Z",
    "2020-13-01T12:14:11Z",
    "0000-01-01T00:00:00Z",
    "2020-02-18T25:14:11Z",
    "2020-02-18T12:60:11Z",
    "2020-02-18T12:14:61Z",
    "2020-02-18T12:14:11+24:00",  # no such zone
    "2020-02-18T12:14:11+99:99",
    "2020-02-18T12:14:11 Europe/Stockholm",
    "0001-01-01T00:00:00+14:00",  # its zone carries it beyond the calendar
    "9999-12-31T23:59:59-01:00",
    "12020-02-18T12:14:11Z",
    "-2020-02-18T12:14:11Z",
    "1582028051386",
    " 2020-02-18T12:14:11Z",
    "2020-02-18T12:14:11Z ",
    "2020-02-18T12:14:11Z\n",
    "2020-02-18T12:14:11Z\0",  # fromisoformat takes these four
    "2020-02-18\0" + "12:14:11Z",
    "2020-02-18å12:14:11Z",
    "2020-02-18\ud80012:14:11Z",
    "2016-12-31T23:59:60Z",
    "２０２０-02-18T12:14:11Z",  # noqa: RUF001 - digits, but not these
]


@pytest.mark.parametrize("text", MOMENTS)
def test_a_timestamp_is_a_moment(text: str) -> None:
    moment = parse_time(text, "$.at")
    assert moment == MOMENTS[text]
    assert moment.tzinfo is UTC
    assert sent_at(decode(IN, {**HEARTBEAT, "at": text}).event) == moment


@pytest.mark.parametrize("text", NO_MOMENTS, ids=ascii)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_time(text, "$.at")
    assert (caught.value.path, caught.value.wanted) == ("$.at", A_TIME)


@pytest.mark.parametrize(
    "item", ["2016-12-31T23:59:60Z", "yesterday", "2020-02-18", "", 5, [], {"a": 1}, True], ids=str
)
def test_a_senders_time_that_cannot_be_read_is_as_if_it_were_not_there(item: object) -> None:
    for value in (HEARTBEAT, TEXT, {"type": "weather"}):
        message = decode(IN, {**value, "at": item})
        assert as_sent(message.event) == decode(IN, value).event
        assert message.body["at"] == item


@given(st.text() | st.text("0123456789TZW+-:., \0", max_size=40))
def test_no_text_breaks_the_reading_of_timestamps(text: str) -> None:
    with suppress(InvalidEvent):
        assert parse_time(text, "$.at").tzinfo is UTC


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["0", "1", "-0", "9223372036854775807"])
def test_a_place_in_the_queue_is_an_integer(number: str) -> None:
    raw = f'{{"type":"queue_number","platformId":"web","userId":"u-1","queueNumber":{number}}}'
    assert decode(OUT, raw).event == QueueNumber(
        platform_id="web", user_id="u-1", queue_number=int(number)
    )


@pytest.mark.parametrize("number", ["-1", "1.0", "1e0", "-0.0", "9223372036854775808", "9" * 4000])
def test_any_other_number_is_none(number: str) -> None:
    raw = f'{{"type":"queue_number","platformId":"web","userId":"u-1","queueNumber":{number}}}'
    error = complaint_of(OUT, raw)
    assert (error.path, error.wanted, error.got) == ("$.queueNumber", A_PLACE, "a number")


@pytest.mark.parametrize("number", ["0", "1000", "0.5", "1e300", "9" * 400])
def test_a_bot_may_type_for_any_time(number: str) -> None:
    raw = compact(TEXT)[:-1] + b',"typing":' + number.encode() + b"}"
    assert cast("Reply", decode(OUT, raw).event).typing == json.loads(number)


# --- what is no event at all ---------------------------------------------------------------------

JSON_, UTF8, OBJECT = "JSON", "text in UTF-8", "an object"
SANE = "numbers of a sane size"
NESTING = "nesting of at most 32 levels"
RAWS: dict[str, tuple[bytes | str, str]] = {
    "nothing": (b"", JSON_),
    "spaces": (b" \r\n\t ", JSON_),
    "a word": (b"heartbeat", JSON_),
    "half an object": (b'{"type":"heartbeat"', JSON_),
    "half a string": (b'{"type":"heart', JSON_),
    "half an escape": (b'{"type":"\\u00', JSON_),
    "two objects": (b'{"type":"a"}{"type":"b"}', JSON_),
    "single quotes": (b"{'type':'a'}", JSON_),
    "a comma too many": (b'{"type":"a",}', JSON_),
    "a comment": (b'{"type":"a"} // hej', JSON_),
    "a byte order mark": (codecs.BOM_UTF8 + b'{"type":"a"}', JSON_),
    "a byte order mark in text": ('\ufeff{"type":"a"}', JSON_),
    "a raw line feed": (b'{"type":"a","b":"\n"}', JSON_),
    "a raw NUL": (b'{"type":"a","b":"\0"}', JSON_),
    "a raw escape": (b'{"type":"a","b":"\x1b"}', JSON_),
    "NULs": (b"\0" * 100, JSON_),
    "a bad escape": (b'{"type":"a","b":"\\x41"}', JSON_),
    "other spaces": ('{"type":\u00a0"a"}', JSON_),
    "NaN": (b'{"type":"a","b":NaN}', JSON_),
    "Infinity": (b'{"type":"a","b":[Infinity]}', JSON_),
    "-Infinity": (b'{"type":"a","b":{"c":-Infinity}}', JSON_),
    "nan": (b'{"type":"a","b":nan}', JSON_),
    "hexadecimal": (b'{"type":"a","b":0x1}', JSON_),
    "a leading zero": (b'{"type":"a","b":01}', JSON_),
    "other digits": ('{"type":"a","b":１}', JSON_),  # noqa: RUF001 - that they look alike
    "1e999": (b'{"type":"a","b":1e999}', SANE),
    "-1e999": (b'{"type":"a","b":[-1e999]}', SANE),
    "400 digits and a point": (b'{"type":"a","b":' + b"9" * 400 + b".0}", SANE),
    "5000 digits": (b'{"type":"a","b":' + b"9" * 5000 + b"}", SANE),
    "-5000 digits": (b'{"type":"a","b":-' + b"9" * 5000 + b"}", SANE),
    "latin-1": ('{"type":"väder"}'.encode("latin-1"), UTF8),
    "UTF-16": ('{"type":"a"}'.encode("utf-16"), JSON_),
    "UTF-16 without a mark": ('{"type":"a"}'.encode("utf-16-le"), JSON_),
    "UTF-32": ('{"type":"a"}'.encode("utf-32"), JSON_),
    "half a character": ('{"type":"å"}'.encode()[:10], JSON_),
    "a surrogate in UTF-8": (b'{"type":"a","b":"\xed\xa0\x80"}', UTF8),
    "an overlong slash": (b'{"type":"a","b":"\xc0\xaf"}', UTF8),
    "a lone surrogate": ('{"type":"a","b":"\ud800"}', UTF8),
    "a lone surrogate, escaped": (b'{"type":"a","b":"\\ud800"}', JSON_),
    "a lone low surrogate, escaped": (b'{"type":"a","b":"x\\udfff x"}', JSON_),
    "null": (b"null", OBJECT),
    "true": (b"true", OBJECT),
    "a number": (b"5", OBJECT),
    "a real number": (b"5.5", OBJECT),
    "a string": (b'"type"', OBJECT),
    "an array": (b'[{"type":"a"}]', OBJECT),
    "33 levels": (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", NESTING),
    "33 levels of objects": (b'{"a":' * 32 + b"{}" + b"}" * 32, NESTING),
    "900 levels": (b'{"a":' + b"[" * 899 + b"]" * 899 + b"}", NESTING),
    "5000 levels": (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", NESTING),
    "100 000 brackets": (b"[" * 100_000, OBJECT),
    "100 000 braces": (b'{"a":' * 100_000, NESTING),
    "100 000 levels in an event": (b'{"type":"a","b":' + b"[" * 100_000, NESTING),
}


@pytest.mark.parametrize("name", RAWS)
def test_what_is_no_event_gets_an_answer(name: str) -> None:
    raw, wanted = RAWS[name]
    error = complaint_of(IN, raw)
    assert (error.path, error.wanted) == ("$", wanted)
    assert excerpt(raw) is not None


def test_an_answer_says_where() -> None:
    assert complaint_of(IN, b'{\n  "type" heartbeat}').got == ("something else at byte 11")
    assert complaint_of(IN, b'["hemligt"]').got == "an array"
    assert complaint_of(IN, b'{"b":NaN}').got == "something else at byte 5"
    assert complaint_of(IN, b'{"b":').got == "something else, or a part of it"


def test_of_a_field_that_is_given_twice_the_last_one_counts() -> None:
    raw = b'{"type":"text","type":"weather","agent":{"id":"a"},"agent":{"id":"b","\\u0069d":"c"}}'
    message = decode(OUT, raw)
    assert message.event == Unknown(type="weather")
    assert message.body == {"type": "weather", "agent": {"id": "c"}}


def test_32_levels_are_read() -> None:
    deepest = json.loads("[" * 31 + "]" * 31)
    message = decode(IN, {"type": "weather", "deep": deepest})
    assert message.body["deep"] == deepest
    assert same_json(message.body, message.body)


CIRCLE: dict[str, Any] = {"type": "a"}
CIRCLE["b"] = [CIRCLE]
DEEP: dict[str, Any] = {"type": "a"}
for _ in range(100_000):
    DEEP = {"type": "a", "b": DEEP}

INEXPRESSIBLE: dict[str, Any] = {
    "a set": {"type": "a", "b": {1}},
    "bytes": {"type": b"a"},
    "a datetime": {**HEARTBEAT, "at": on_18th(12, 14, 11, 386)},
    "NaN": {"type": "a", "b": float("nan")},
    "infinity": {"type": "a", "b": [float("inf")]},
    "a circle": CIRCLE,
    "100 000 levels": DEEP,
    "a huge integer": {"type": "a", "b": 10**5000},
    "a tuple as a key": {"type": "a", (1, 2): 3},
    "a number as a key": {"type": "a", 1: 2},
    "null as a key": {"type": "a", "b": {None: 1}},
    "a key in an array": {"type": "a", "b": ({"c": [{True: 1}]},)},
    "a mapping that is no dict, inside": {"type": "a", "b": MappingProxyType({})},
    "an object": {"type": "a", "b": object()},
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_json_cannot_express_gets_an_answer(name: str) -> None:
    error = complaint_of(IN, INEXPRESSIBLE[name])
    assert (error.path, error.wanted) == ("$", "an object that JSON can express")
    assert excerpt(INEXPRESSIBLE[name]) is not None


@pytest.mark.parametrize("raw", [None, 5, True, ["type"], ("type",), {"type"}, object], ids=repr)
def test_what_is_no_raw_event_gets_an_answer(raw: object) -> None:
    error = complaint_of(IN, raw)
    assert (error.path, error.wanted) == ("$", "bytes, text or an object")
    assert excerpt(raw) == error.got


def test_any_mapping_will_do() -> None:
    assert decode(IN, MappingProxyType(HEARTBEAT)).body == HEARTBEAT
    assert decode(IN, {"type": "weather", "b": (1, 2)}).body["b"] == [1, 2]


def test_any_view_of_memory_will_do() -> None:
    raw = compact(HEARTBEAT)
    assert decode(IN, memoryview(raw)[::1]).body == HEARTBEAT
    assert complaint_of(IN, memoryview(ctypes.c_int(5))).wanted == JSON_  # has no length
    wide = memoryview(b"    " * 100).cast("i")
    assert complaint_of(IN, wide, limits=Limits(event_bytes=399)).got == "400 or more"


def test_a_mapping_holds_no_lone_surrogates() -> None:
    for value in ({**TEXT, "text": "a\ud800"}, {**TEXT, "b\udfff": 1}):
        assert complaint_of(IN, value).wanted == UTF8


# --- sizes ---------------------------------------------------------------------------------------


def padded(value: Mapping[str, Any], size: int, *, name: str = "text", filler: str = "x") -> bytes:
    """*value* as compact JSON of exactly this size."""
    bare = compact({**value, name: ""})
    count, rest = divmod(size - len(bare), len(filler.encode()))
    raw = compact({**value, name: filler * count + "x" * rest})
    assert len(raw) == size
    return raw


def too_large(raw: Any, **limits: int) -> str:
    error = complaint_of(IN, raw, limits=Limits(**limits))
    assert error.path == "$"
    return f"wanted {error.wanted}, got {error.got}"


BARE = f"wanted an event of at most {64 * KIB} bytes without its image, got {64 * KIB + 1} bytes"


@pytest.mark.parametrize("filler", ["x", "å", "😀"])
def test_an_event_without_an_image_takes_64_kib(filler: str) -> None:
    raw = padded(TEXT, 64 * KIB, filler=filler)
    assert decode(IN, raw) == decode(IN, raw.decode())
    raw = padded(TEXT, 64 * KIB + 1, filler=filler)
    assert too_large(raw) == BARE
    assert too_large(raw.decode()) == BARE
    assert too_large(json.loads(raw)) == BARE


def test_what_stands_beside_an_image_takes_64_kib() -> None:
    for size, fits in ((64 * KIB, True), (64 * KIB + 1, False)):
        value = {**json.loads(padded(TEXT, size)), "image": "x" * 1000}
        if fits:
            decode(IN, value)
        else:
            assert too_large(value) == BARE


def test_only_a_text_is_an_image() -> None:
    value = {"type": "weather", "image": ["x" * 64 * KIB]}
    assert "without its image" in too_large(value)
    assert decode(IN, {"type": "weather", "image": "x" * 64 * KIB})


@pytest.mark.parametrize("filler", ["x", "å"])
def test_an_event_with_an_image_takes_16_mib(filler: str) -> None:
    raw = padded(TEXT, 16 * MIB, name="image", filler=filler)
    assert decode(IN, raw).image is not None
    raw = padded(TEXT, 16 * MIB + 1, name="image", filler=filler)
    most = f"wanted at most {16 * MIB} bytes, got {16 * MIB + 1} or more"
    assert too_large(raw) == most
    whole = f"wanted an event of at most {16 * MIB} bytes in all, got {16 * MIB + 1} bytes"
    assert too_large(raw.decode()) == (most if filler == "x" else whole)


def test_an_event_is_as_large_as_it_came() -> None:
    raw = json.dumps({**TEXT, "text": "x" * 1000}, indent=300)
    assert len(raw) > 2000
    assert "without its image" in too_large(raw, bare_bytes=1200)


def test_a_large_line_is_measured_without_its_envelope() -> None:
    def line(size: int, around: int) -> bytes:
        event = json.loads(padded(TEXT, size))
        return compact({"direction": "inbound", "event": event, "x": "y" * around})

    assert isinstance(arrive_line(line(64 * KIB, 1000), Limits(), START), Message)
    assert isinstance(arrive_line(line(64 * KIB + 1, 1000), Limits(), START), Rejected)
    message = arrive_line(line(64 * KIB, 20_000), Limits(), START)
    assert isinstance(message, Rejected)
    assert message.error.wanted == f"at most {16 * KIB} bytes around the event"


def test_an_events_size_is_settable() -> None:
    assert "at most 100 bytes" in too_large(padded(TEXT, 101), event_bytes=100)
    assert "without its image" in too_large(padded(TEXT, 101), bare_bytes=100)
    assert decode(IN, padded(TEXT, 100), limits=Limits(event_bytes=100, bare_bytes=100))
    assert decode(IN, padded(TEXT, 70_000), limits=Limits(bare_bytes=70_000))


def test_depth_is_settable() -> None:
    value = {"type": "weather", "b": [[]]}
    assert decode(IN, value, limits=Limits(depth=3))
    assert too_large(value, depth=2) == "wanted nesting of at most 2 levels, got more"
    assert decode(IN, "{" + '"a":{' * 255 + "}" * 255 + ',"type":"a"}', limits=Limits(depth=256))


@pytest.mark.parametrize("name", ["platformId", "userId", "agent.id", "agentId"])
def test_the_length_of_ids_is_settable(name: str) -> None:
    value = {**WHOSE, "type": "claim_session", "agentId": "bo", "agent": {"id": "bot"}}
    limits = Limits(id_characters=4)
    assert decode(OUT, with_field(value, name, "x" * 4), limits=limits)
    error = complaint_of(OUT, with_field(value, name, "x" * 5), limits=limits)
    assert (error.path, error.got) == (f"$.{name}", "a string of 5 characters")
    assert "4 characters" in error.wanted


def test_the_length_of_unknown_things_is_settable() -> None:
    limits = Limits(id_characters=7)
    value = {"type": "weather", "platformId": "x" * 7, "userId": "x" * 8}
    assert decode(IN, value, limits=limits).event == Unknown(type="weather", platform_id="x" * 7)
    error = complaint_of(IN, {"type": "weathers"}, limits=limits)
    assert error.path == "$.type"
    assert "1 to 7 characters" in error.wanted


def test_the_limits_are_those_of_the_design() -> None:
    assert Limits() == Limits(
        event_bytes=16 * MIB, bare_bytes=64 * KIB, id_characters=255, depth=32
    )


@pytest.mark.parametrize("value", [0, -1, 2**31, 1.0, "5", True, None], ids=repr)
@pytest.mark.parametrize("name", ["event_bytes", "bare_bytes", "id_characters", "depth"])
def test_a_limit_is_a_number_that_makes_sense(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Limits(**{name: value})
    assert caught.value.argument == name


def test_some_limits_have_a_ceiling() -> None:
    Limits(id_characters=255, depth=256, event_bytes=2**31 - 1)
    for name, value in (("id_characters", 256), ("depth", 257)):
        with pytest.raises(InvalidArgument, match=name):
            Limits(**{name: value})


# --- round trips ---------------------------------------------------------------------------------


def as_utf_16(text: str) -> str:
    """A high surrogate before a low one is one character, in JSON as in UTF-16."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


any_texts = st.text(st.characters()).map(as_utf_16)  # lone surrogates and NULs too
free_texts = st.text()
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ids = names.filter(bool).map(lambda text: text[:255]) | st.just("x" * 255)
zones = st.sampled_from(
    [
        UTC,
        timezone(timedelta(hours=5, minutes=30)),
        timezone(-timedelta(hours=23, minutes=59)),
        timezone(timedelta(seconds=30)),
        timezone(-timedelta(hours=1, microseconds=1)),
    ]
)
earliest, latest = (datetime(year, 1, 1) for year in (2, 9998))  # noqa: DTZ001 - as hypothesis wants
moments = st.datetimes(earliest, latest, timezones=zones)
agents = st.builds(Agent, id=ids, name=st.none() | names, type=st.none() | names)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=10,
)  # fmt: skip
WIRE_NAMES = {
    *("type", "platformId", "userId", "at", "text", "image", "agent", "typing"),
    *("queueNumber", "flowGroupId", "direction", "agentId", "queueId", "toAgentApplication"),
    *("reasonText", "params"),
}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "text": free_texts,
    "image": st.none() | free_texts,
    "agent": st.none() | agents,
    "typing": st.none() | st.integers(0) | st.floats(0, allow_infinity=False),
    "queue_number": st.integers(0, 2**63 - 1),
    "flow_group_id": st.none() | names,
    "agent_id": ids,
    "queue_id": st.none() | names,
    "to_agent_application": st.none() | names,
    "reason_text": st.none() | free_texts,
    "params": st.none() | st.dictionaries(st.text(), json_values, max_size=2),
}


def events_of(kind: type[KnownEvent]) -> st.SearchStrategy[KnownEvent]:
    known = {name: FIELDS[name] for name in FIELDS if name in kind.__struct_fields__}
    names_of_it = [name for (_, name), one in KINDS.items() if one is kind]
    return st.builds(
        kind,
        type=st.sampled_from(names_of_it),
        platform_id=ids,
        user_id=ids,
        at=st.none() | moments,
        **known,
    )


known_events = st.sampled_from(sorted(set(KINDS.values()), key=str)).flatmap(events_of)
unknown_events = st.builds(
    Unknown,
    type=ids.filter(lambda name: name not in NAMES),
    platform_id=st.none() | ids,
    user_id=st.none() | ids,
    at=st.none() | moments,
)


@given(known_events | unknown_events)
@example(Heartbeat(platform_id="web", user_id="u-1", at=datetime(2020, 1, 1, tzinfo=UTC)))
def test_an_event_survives_the_wire(event: Event) -> None:
    value = encode(event)
    raw = json.dumps(value, allow_nan=False)
    for direction in QUEUES:
        if direction in event.queues:
            assert as_sent(decode(direction, raw).event) == event
            assert as_sent(decode(direction, value).event) == event
            assert as_sent(decode(direction, event).event) == event
            assert json.loads(dump(value)) == json.loads(raw)
        else:
            with pytest.raises(InvalidArgument, match="event of this direction") as caught:
                decode(direction, event)
            assert caught.value.got == f"{type(event).__name__} on {direction}"


# --- what customers write is told to nobody ------------------------------------------------------

SECRET = "hemligt"  # noqa: S105 - what a customer wrote


def secretive(value: Any) -> Any:
    """*value* with every text in it replaced, and some added."""
    if isinstance(value, str):
        return SECRET
    if isinstance(value, dict):
        return {**{name: secretive(item) for name, item in value.items()}, SECRET: SECRET}
    return value


secrets = st.sampled_from(
    [SECRET, SECRET * 40, f"{SECRET}\0", [SECRET], {SECRET: SECRET}, {"id": SECRET, "name": 5}]
)


@given(st.sampled_from(FULL), st.data())
def test_no_complaint_tells_what_was_written(
    case: tuple[Direction, dict[str, Any]], data: st.DataObject
) -> None:
    direction, value = case
    value = {**secretive(value), "type": value["type"], "at": AT}
    name = data.draw(st.sampled_from(sorted(value)))
    item = data.draw(secrets)
    raw = data.draw(
        st.sampled_from(
            [
                json.dumps({**value, name: item}),
                json.dumps({**value, "type": item}),
                json.dumps({**value, f"{name}{SECRET}": item})[:-1],
                json.dumps({key: value[key] for key in value if key != name}),
                json.dumps(value)[:-1] + f',"{name}":"{SECRET}"}}',
                json.dumps(value).encode("utf-16"),
                json.dumps([value]),
                {**value, name: {SECRET}},
            ]
        )
    )
    message = outcome(direction, raw)
    if isinstance(message, InvalidEvent):
        assert SECRET not in str(message)
        assert SECRET not in repr(message)
        return
    event = message.event
    # A name is not what the customer wrote.
    whole = repr(event)
    for shown in (event.user_id, event.platform_id, getattr(event, "agent", None), event.type):
        whole = whole.replace(repr(shown), "")
    whole = whole.replace(repr(getattr(event, "flow_group_id", "")), "")
    assert SECRET not in whole


@each_event
def test_wherever_an_event_breaks_off_the_complaint_does_not_tell(
    direction: Direction, value: dict[str, Any]
) -> None:
    raw = compact(secretive(value))
    for end in range(len(raw)):
        error = complaint_of(direction, raw[:end])
        assert SECRET not in str(error)
        assert SECRET not in repr(error)


def test_nothing_around_an_event_shows_it() -> None:
    message = decode(IN, {**TEXT, "text": SECRET, "image": SECRET, SECRET: SECRET})
    assert SECRET not in repr(message)
    assert SECRET not in repr(message.image)
    rejected = arrive_line(compact({"type": "text", SECRET: SECRET}), Limits(), START)
    assert SECRET not in repr(rejected)


# --- anyone may send anything --------------------------------------------------------------------


def answer(direction: Direction, raw: Any) -> Message | None:
    """A valid event, or none; whichever it is, it is sound."""
    message = outcome(direction, raw)
    if isinstance(message, InvalidEvent):
        assert message.path.startswith("$")
        assert str(message).encode()
    else:
        body, image = stored(message)
        assert dump(body).encode()
        assert same_json(body, body)
        assert not isinstance(body.get("image"), str)
        assert image is None or body["image"] == image.description
        assert decode(direction, encode(message.event)).event == message.event
    kept = excerpt(raw)
    if kept is not None:
        assert len(kept.encode()) <= EXCERPT_BYTES
        assert "\0" not in kept
    return None if isinstance(message, InvalidEvent) else message


queues = st.sampled_from(QUEUES)


@given(queues, st.binary() | st.text(st.characters()))
@example(IN, b"\xff" * 100_000)
@example(IN, "\0" * 100_000)
def test_any_bytes_get_an_answer(direction: Direction, raw: bytes | str) -> None:
    assert answer(direction, raw) is None


@given(queues, json_values | st.dictionaries(st.sampled_from(sorted(WIRE_NAMES)), json_values))
def test_any_json_gets_an_answer(direction: Direction, value: object) -> None:
    answer(direction, json.dumps(value))
    answer(direction, compact(value))
    answer(direction, value)


cuts = st.tuples(st.integers(0, 250), st.integers(0, 4), st.binary(max_size=4))


@given(st.sampled_from(FULL), queues, st.lists(cuts, min_size=1, max_size=3))
def test_any_damage_gets_an_answer(
    case: tuple[Direction, dict[str, Any]],
    direction: Direction,
    damages: list[tuple[int, int, bytes]],
) -> None:
    raw = compact(case[1])
    for start, gone, new in damages:
        raw = raw[:start] + new + raw[start + gone :]
    answer(direction, raw)


@given(st.sampled_from(FULL), queues, st.data())
def test_any_field_gets_an_answer(
    case: tuple[Direction, dict[str, Any]], direction: Direction, data: st.DataObject
) -> None:
    value = case[1]
    for name in data.draw(st.lists(st.sampled_from(fields_of(value)), max_size=3)):
        item = data.draw(json_values | any_texts | st.sampled_from([-(2**63), 2**64, 1e308]))
        if "agent" not in name or isinstance(value["agent"], dict):
            value = with_field(value, name, item)
    for name in data.draw(st.lists(st.sampled_from(fields_of(case[1])), max_size=2)):
        value = without_field(value, name) if name in value else value
    assert answer(direction, value) == answer(direction, json.dumps(value))


SLOW: dict[str, bytes] = {
    "brackets": b"[" * 4 * MIB,
    "arrays": b'{"type":"a","b":[' + b"[]," * (MIB) + b"[]]}",
    "objects": b'{"type":"a","b":[' + b'{"a":1},' * (MIB // 4) + b"{}]}",
    "keys": b'{"type":"a"' + b"".join(b',"%d":0' % n for n in range(200_000)) + b"}",
    "long numbers": b'{"type":"a","b":[' + b",".join([b"9" * 4200] * 500) + b"]}",
    "escapes": b'{"type":"a","b":"' + b"\\u0041" * (MIB // 2) + b'"}',
    "broken escapes": b"\\u00g1" * (MIB // 2),
    "types and spaces": b"type " * MIB,
    "type and spaces": b"type" + b" " * 4 * MIB,
    "backslashes": b"\\" * 4 * MIB,
    "no UTF-8": b"\xff" * 2 * MIB,
    "NULs": b"\0" * 4 * MIB,
    "a damaged picture": compact({**TEXT, "image": PICTURE + "A" * 4 * MIB + "!"}),
    "a data URL without an end": compact({**TEXT, "image": "data:a/b" + ";c=d" * MIB}),
    "a media type without an end": compact({**TEXT, "image": "data:" + "a" * 4 * MIB}),
}


@pytest.mark.parametrize("name", SLOW)
def test_nothing_takes_absurdly_long(name: str) -> None:
    start = time.process_time()
    answer(IN, SLOW[name])
    assert time.process_time() - start < 8


# --- what is stored ------------------------------------------------------------------------------


def test_the_image_is_stored_apart() -> None:
    value = {**TEXT, "image": PICTURE}
    message = decode(IN, value)
    sha256 = hashlib.sha256(b"hej").hexdigest()
    assert stored(message) == (
        {**TEXT, "image": {"sha256": sha256, "bytes": 3, "mediaType": "image/png"}},
        Image(sha256, "image/png", b"hej"),
    )
    assert cast("CustomerText", message.event).image == PICTURE


def test_the_image_of_an_unknown_event_is_stored_apart() -> None:
    body, image = stored(decode(IN, {"type": "weather", "image": "☀"}))
    assert image == Image(hashlib.sha256("☀".encode()).hexdigest(), None, "☀".encode())
    assert body["image"] == {"sha256": image.sha256, "bytes": 3, "mediaType": None}


@pytest.mark.parametrize("item", [None, 5, ["x"], {"sha256": "x"}], ids=str)
def test_what_is_no_image_stays_where_it_is(item: object) -> None:
    value = {"type": "weather", "image": item}
    assert stored(decode(IN, value)) == (value, None)


@pytest.mark.parametrize("direction", QUEUES)
@pytest.mark.parametrize("name", ["typing", "typing_on", "typing_off"])
def test_unsent_text_is_never_stored(direction: Direction, name: str) -> None:
    bare = {"type": name, **WHOSE, "at": AT, "extra": [1]}
    message = decode(direction, {**bare, "text": SECRET})
    assert stored(message) == (bare, None)
    other = decode(direction, {**bare, "text": "something else"})
    assert same_json(message.body, other.body)
    assert same_json(message.body, decode(direction, bare).body)


def test_sent_text_is_stored() -> None:
    for value in (TEXT, {"type": "messages_read", **WHOSE, "text": "read"}):
        assert stored(decode(IN, value)) == (value, None)


def is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether what is stored of the one, and read again, is the same as what came."""
    stored_one = json.loads(dump(decode(IN, json.dumps(one)).body))
    return same_json(stored_one, decode(IN, json.dumps(other)).body)


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another order": (
        {"type": "a", "b": {"c": 1, "d": [1, {"e": 2, "f": 3}]}},
        {"b": {"d": [1, {"f": 3, "e": 2}], "c": 1}, "type": "a"},
    ),
    "another way to write the same image": (
        {"type": "a", "image": "data:image/png;base64,aGVq"},
        {"type": "a", "image": "data:IMAGE/PNG;name=a.png;base64,aGVq"},
    ),
    "more padding": (
        {"type": "a", "image": "data:image/png;base64,aGVqIQ=="},
        {"type": "a", "image": "data:image/png;base64,aGVqIR=="},
    ),
}
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "1 and 1.0": (1, 1.0),
    "1 and true": (1, True),
    "0 and false": (0, False),
    "null and absent": ({"x": None}, {}),
    "null and false": (None, False),
    "1 and '1'": (1, "1"),
    "another order of an array": ([1, 2], [2, 1]),
    "an array and an object": ([], {}),
    "the case of a key": ({"x": 1}, {"X": 1}),
    "composed and decomposed": ("\u00e5", "a\u030a"),
    "big integers": (2**53, 2**53 + 1),
    "what looks like a lone surrogate": ("\\ud800", "\\udfff"),
}


@pytest.mark.parametrize("name", SAME)
def test_an_event_is_the_same_however_it_is_written(name: str) -> None:
    one, other = SAME[name]
    assert is_same(one, other)
    assert is_same(other, one)


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_event_is_not_the_same(name: str) -> None:
    one, other = ({"type": "a", "b": value} for value in DIFFERENT[name])
    assert is_same(one, one)
    assert not is_same(one, other)
    assert not is_same(other, one)


@pytest.mark.parametrize(
    "image",
    [
        "data:image/png;base64,aGVK",
        "data:image/jpeg;base64,aGVq",
        "https://example.org/hej.png",
        "aGVq",
        "",
    ],
)
def test_another_image_is_another_event(image: str) -> None:
    assert not is_same({**TEXT, "image": image}, {**TEXT, "image": PICTURE})


def test_a_number_is_compared_by_value_not_by_how_it_is_written() -> None:
    first = decode(IN, b'{"type":"a","b":100.0}').body
    for number in (b"1e2", b"1E+2", b"100.00"):
        assert same_json(first, decode(IN, b'{"type":"a","b":%s}' % number).body)


def shape(value: Any) -> Any:
    """*value* as something that is equal only where the JSON is."""
    if isinstance(value, dict):
        return frozenset((name, shape(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(shape(item) for item in value)
    return type(value), repr(value)


@given(st.lists(st.dictionaries(st.text(), json_values), min_size=2, max_size=2))
def test_what_is_the_same_is_equal_as_json(values: list[dict[str, Any]]) -> None:
    one, other = values
    assert same_json(one, other) is (shape(one) == shape(other))
    assert same_json(one, dict(reversed(one.items())))


DATA = "data:image/png;base64,"
IMAGES: dict[str, tuple[str, str | None, bytes | None]] = {
    # URL, media type, content; None where the string is its own content
    "a picture": (DATA + "aGVq", "image/png", b"hej"),
    "upper case": ("data:Image/SVG+XML;base64,aGVq", "image/svg+xml", b"hej"),
    "a parameter": ("data:image/png;charset=utf-8;name=a.b;base64,aGVq", "image/png", b"hej"),
    "nothing": (DATA, "image/png", b""),
    "padding": (DATA + "aGVqIQ==", "image/png", b"hej!"),
    "two padding signs for one": (DATA + "aGVqIT0==", "image/png", b"hej!="),
    "padding that is not needed": (DATA + "aGVq==", "image/png", b"hej"),
    "loose bits": (DATA + "aGVqIR==", "image/png", b"hej!"),
    "no padding": (DATA + "aGVqIQ", None, None),
    "half of the padding": (DATA + "aGVqIQ=", None, None),
    "too much padding": (DATA + "aGVqIQ===", None, None),
    "one character too many": (DATA + "aGVqI", None, None),
    "one, padded": (DATA + "aGVqI==", None, None),
    "padding first": (DATA + "=aGVq", None, None),
    "padding inside": (DATA + "aG=Vq", None, None),
    "two pictures": (DATA + "aGVqIQ==aGVq", None, None),
    "a space": (DATA + "aGVq aGVq", None, None),
    "a line feed": (DATA + "aGVq\n", None, None),
    "the alphabet for URLs": (DATA + "-_-_", None, None),
    "what is not ASCII": (DATA + "aGVå", None, None),
    "a lone surrogate": (DATA + "\ud800", None, None),
    "no base64": ("data:image/png,hej", None, None),
    "no media type": ("data:;base64,aGVq", None, None),
    "a URL": ("https://example.org/a.png", None, None),
    "base64 alone": ("aGVq", None, None),
    "a data URL later": ("x" + DATA + "aGVq", None, None),
    "an empty text": ("", None, None),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_its_bytes_or_else_its_text(name: str) -> None:
    text, media_type, content = IMAGES[name]
    if content is None:
        content = text.encode("utf-8", "surrogatepass")
    sha256 = hashlib.sha256(content).hexdigest()
    image = image_of(text)
    assert image == Image(sha256, media_type, content)
    assert image.description == {
        "sha256": sha256,
        "bytes": len(content),
        "mediaType": media_type,
    }


@given(st.binary())
def test_any_picture_is_decoded(content: bytes) -> None:
    image = image_of(DATA + base64.b64encode(content).decode())
    assert (image.content, image.media_type) == (content, "image/png")


@given(any_texts | any_texts.map(DATA.__add__) | st.text("ABCDabcd01+/=").map(DATA.__add__))
def test_any_text_is_an_image(text: str) -> None:
    image = image_of(text)
    assert image.media_type == "image/png" or image.content == text.encode("utf-8", "surrogatepass")


# --- what is kept of an invalid event ------------------------------------------------------------

EXCERPTS: dict[str, tuple[Any, str]] = {
    "bytes": (b'{"type":5}', '{"type":5}'),
    "text": ('{"type":5}', '{"type":5}'),
    "a view": (memoryview(b'{"type":5}'), '{"type":5}'),
    "a mapping": ({"type": 5, "b": "å"}, '{"type":5,"b":"å"}'),
    "another mapping": (MappingProxyType({"type": 5}), '{"type":5}'),
    "no UTF-8": (b'{"type":"v\xe4der"}', '{"type":"v\\xe4der"}'),
    "NUL": (b"a\0b", "a\\x00b"),
    "a lone surrogate": ("a\ud800b", "a\\ud800b"),
    "a lone surrogate in a mapping": ({"b": "\ud800"}, '{"b":"\\ud800"}'),
    "a number": (5, "a number"),
    "nothing": (b"", ""),
    "what JSON cannot express": ({"b": {SECRET}}, "a Python dict that JSON can't express"),
    "a text about typing": ({"type": "text", "text": "typing"}, '{"type":"text","text":"typing"}'),
}


@pytest.mark.parametrize("name", EXCERPTS)
def test_an_excerpt_is_the_raw_text(name: str) -> None:
    raw, kept = EXCERPTS[name]
    assert excerpt(raw) == kept


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (b"x" * EXCERPT_BYTES, 65_536),
        (b"x" * 1_000_000, 65_536),
        ("å" * 1_000_000, 65_536),
        ("x" + "å" * 1_000_000, 65_535),  # no half character
        ("xx" + "☀" * 1_000_000, 65_534),
        (b"\xff" * 1_000_000, 65_536),
        (b"\0" * 1_000_000, 65_536),
        ({"b": "x" * 1_000_000}, 65_536),
    ],
    ids=["just fits", "bytes", "2-byte", "2-byte cut", "3-byte cut", "no UTF-8", "NUL", "mapping"],
)
def test_an_excerpt_takes_64_kib(raw: Any, size: int) -> None:
    kept = excerpt(raw)
    assert kept is not None
    assert len(kept.encode()) == size


TYPING: dict[str, Any] = {
    "an event": {"type": "typing", "text": SECRET},
    "typing_on": {"type": "typing_on", "text": SECRET},
    "typing_off": {"type": "typing_off", "text": SECRET},
    "an envelope": {"event": {"text": SECRET, "type": "typing"}, "direction": 5},
    "another mapping": MappingProxyType({"text": SECRET, "type": "typing"}),
    "an array": json.dumps([{"text": SECRET, "type": "typing"}]),
    "broken off": f'{{"type":"typing","text":"{SECRET}',
    "broken off later": f'{{"text":"{SECRET}","type":"typing',
    "spaces": f'{{ "type" : "typing", "text" : "{SECRET}"',
    "lines": f'{{\n\t"type"\n:\r\n"typing", "text" : "{SECRET}"',
    "wide spaces": f'{{"type":\u3000\u200b"typing","text":"{SECRET}"}}',
    "single quotes": f"{{'type':'typing','text':'{SECRET}'}}",
    "no quotes": f"{{type:typing,text:{SECRET}}}",
    "curly quotes": f"{{”type”: ”typing”, ”text”: ”{SECRET}”}}",
    "an equals sign": f"type=typing text={SECRET}",
    "upper case": f'{{"TYPE":"Typing","text":"{SECRET}"',
    "in an array": {"type": ["typing"], "text": SECRET},
    "an escaped type": f'{{"type":"t\\u0079ping","text":"{SECRET}"',
    "all of it escaped": r'{"\u0074\u0079\u0070\u0065":"\u0074\u0079\u0070\u0069\u006E\u0067"',
    "a string in a string": json.dumps(json.dumps({"type": "typing", "text": SECRET})),
    "escaped twice": json.dumps(f'{{"type":"t\\u0079ping","text":"{SECRET}"'),
    "twice, and in the end typing": f'{{"type":"text","type":"typing","text":"{SECRET}"}}',
    "more than is kept": '{"text":"' + SECRET * 100_000 + '","type":"typing"}',
    "a text that is none": {"type": "typing", "text": {"b": SECRET}},
    "UTF-16": f'{{"type":"typing","text":"{SECRET}"}}'.encode("utf-16"),
    "UTF-16, the other way": f'{{"type":"typing","text":"{SECRET}"}}'.encode("utf-16-be"),
    "UTF-32": f'{{"type":"typing","text":"{SECRET}"}}'.encode("utf-32"),
    "UTF-16 read as text": f'{{"type":"typing","text":"{SECRET}"}}'.encode("utf-16-le").decode(),
    "UTF-16 as Python shows it": repr('{"type":"typing","text":"'.encode("utf-16-le")) + SECRET,
    "latin-1": f'{{"type":"typing","text":"å {SECRET}"}}'.encode("latin-1"),
    "a byte order mark": codecs.BOM_UTF8 + f'{{"type":"typing","text":"{SECRET}"}}'.encode(),
}


@pytest.mark.parametrize("name", TYPING)
def test_nothing_is_kept_of_what_is_readably_a_typing_event(name: str) -> None:
    assert excerpt(TYPING[name]) is None


def test_not_even_what_json_cannot_express_tells() -> None:
    kept = excerpt({"type": "typing", "text": SECRET, "b": {1}})
    assert kept is not None
    assert SECRET not in kept


TYPE_TOKENS = [
    '"type":"typing"',
    '"type" : "typing_on"',
    "'type':'typing_off'",
    '"\\u0074ype":\n"typ\\u0069ng"',
    '\\"type\\":\\"typing\\"',
    "type=typing",
    '"type":["typing"]',
]
TEXT_TOKENS = [f'"text":"{SECRET}"', f'"text":"{SECRET}', f"text={SECRET}"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


@given(
    st.permutations([st.sampled_from(TYPE_TOKENS), st.sampled_from(TEXT_TOKENS)]).flatmap(
        lambda tokens: st.tuples(*tokens)
    ),
    st.lists(st.text(), min_size=3, max_size=3),
    st.sampled_from(ENCODINGS),
    st.binary(max_size=3),
    queues,
)
def test_unsent_text_is_never_kept(
    tokens: tuple[str, str], around: list[str], encoding: str, end: bytes, direction: Direction
) -> None:
    text = f"{around[0]}{tokens[0]}{around[1]}{tokens[1]}{around[2]}"
    assert excerpt(text) is None
    raw = text.encode(encoding) + end
    assert excerpt(raw) is None
    assert answer(direction, raw) is None


@given(st.sampled_from([value for _, value in FULL if "typing" in value["type"]]), st.data())
def test_unsent_text_is_never_stored_whatever_else_is_wrong(
    value: dict[str, Any], data: st.DataObject
) -> None:
    """A typing event with one field broken, and its text anywhere that is not its own field."""
    text = data.draw(st.sampled_from([SECRET, [SECRET], {"b": SECRET}, {"type": SECRET}]))
    name = data.draw(st.sampled_from(["platformId", "userId", "at", "agent", "b"]))
    broken = {**value, "text": text, name: data.draw(json_values)}
    direction = data.draw(queues)
    order = data.draw(st.permutations(sorted(broken)))
    raw = json.dumps({key: broken[key] for key in order})
    message = answer(direction, raw)
    if message is not None:
        assert SECRET not in dump(message.body)
    assert excerpt(raw) is None


def test_the_excerpt_of_a_typed_event_does_not_show_it() -> None:
    event = Typing(platform_id="web", user_id="u-1", text=SECRET)
    assert excerpt(event) == "a Python Typing"


def test_nothing_is_written_that_is_not_json() -> None:
    with pytest.raises(TypeError, match="object can't be written as JSON"):
        dump({"platformId": object()})
