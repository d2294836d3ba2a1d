"""What stands around an event, in Python and as a line of `sermo-fsm ingest`."""

import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.envelope import (
    Envelope,
    QueueName,
    arrive,
    arrive_line,
    as_direction,
    as_moment,
)
from sermo_fsm.protocol.events import Direction, Heartbeat
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.protocol.stored_form import excerpt
from tests.support import START

IN, OUT, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL
KIB, MIB = 1024, 1024 * 1024
LIMITS = Limits()
AT = datetime(2020, 2, 18, 12, 14, 11, 386000, tzinfo=UTC)

EVENT: dict[str, Any] = {"type": "heartbeat", "platformId": "web", "userId": "u-1"}
WITHOUT_PLATFORM: dict[str, Any] = {"type": "heartbeat", "userId": "u-1"}
ENVELOPE: dict[str, Any] = {
    "direction": "inbound",
    "event": EVENT,
    "messageId": "m-1",
    "receivedAt": "2020-02-18T12:14:11.386Z",
    "platformId": "web",
}

A_QUEUE = "inbound, outbound or internal"
AN_ID = "a string of 1 to 255 characters, without NUL or lone surrogates"
A_TIME = "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z"
IN_REACH = "a time with a zone, from 1970 to 9699"


def read(raw: Any, limits: Limits = LIMITS, **options: Any) -> Message:
    """A line all the way to its event, as `ingest` reads it."""
    message = arrive_line(raw, limits, START, **options)
    if isinstance(message, Rejected):
        raise message.error
    return message


def complaint_of(raw: Any, limits: Limits = LIMITS, **options: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        read(raw, limits, **options)
    return caught.value


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


# --- a line that is an envelope ------------------------------------------------------------------


def test_an_envelope_says_all_there_is() -> None:
    for raw in (ENVELOPE, json.dumps(ENVELOPE), json.dumps(ENVELOPE, indent=2).encode()):
        message = read(raw)
        assert message.direction is IN
        assert message.message_id == "m-1"
        assert message.received_at == AT
        assert message.event == Heartbeat(platform_id="web", user_id="u-1")
        assert message.body == EVENT


def test_the_last_three_are_optional() -> None:
    message = read({"direction": "internal", "event": {"type": "weather"}})
    assert message.direction is INTERNAL
    assert (message.message_id, message.received_at, message.user) == (None, START, None)
    assert message.trigger == "unknown"


def test_an_unknown_field_of_an_envelope_is_read_over() -> None:
    message = read({**ENVELOPE, "partition": 7, "headers": [{"b": None}], "userId": 5})
    assert message == read(ENVELOPE)


def test_a_receive_time_is_kept_in_utc() -> None:
    message = read({**ENVELOPE, "receivedAt": "2020-02-18T13:14:11.386+01:00"})
    assert message.received_at == AT
    assert message.received_at.tzinfo is UTC


@pytest.mark.parametrize("direction", ["inbound", "outbound", "internal"])
def test_an_envelope_has_its_own_direction(direction: str) -> None:
    line = {"direction": direction, "event": {"type": "weather"}}
    for option in (None, IN, OUT):
        assert read(line, direction=option).direction == direction


# path, wanted, got
BROKEN: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no direction": (without(ENVELOPE, "direction"), "$.direction", A_QUEUE, "nothing"),
    "another direction": (
        {**ENVELOPE, "direction": "north"},
        "$.direction",
        A_QUEUE,
        "another string",
    ),
    "the clock": ({**ENVELOPE, "direction": "timer"}, "$.direction", A_QUEUE, "another string"),
    "upper case": ({**ENVELOPE, "direction": "Inbound"}, "$.direction", A_QUEUE, "another string"),
    "a number as direction": ({**ENVELOPE, "direction": 5}, "$.direction", A_QUEUE, "a number"),
    "null as direction": ({**ENVELOPE, "direction": None}, "$.direction", A_QUEUE, "nothing"),
    "an array as direction": (
        {**ENVELOPE, "direction": ["inbound"]},
        "$.direction",
        A_QUEUE,
        "an array",
    ),
    "null as event": ({**ENVELOPE, "event": None}, "$.event", "an object", "null"),
    "text as event": (
        {**ENVELOPE, "event": "{}"},
        "$.event",
        "an object",
        "a string of 2 characters",
    ),
    "an array as event": ({**ENVELOPE, "event": [EVENT]}, "$.event", "an object", "an array"),
    "an empty event": (
        {**without(ENVELOPE, "platformId"), "event": {}},
        "$.event.type",
        "this field",
        "nothing",
    ),
    "an event without a user": (
        {**ENVELOPE, "event": {"type": "heartbeat"}},
        "$.event.userId",
        "this field",
        "nothing",
    ),
    "an event with a number for a user": (
        {**ENVELOPE, "event": {**EVENT, "userId": 5}},
        "$.event.userId",
        AN_ID,
        "a number",
    ),
    "an agent without an id": (
        {"direction": "outbound", "event": {**EVENT, "type": "agent_done", "agent": {}}},
        "$.event.agent.id",
        "this field",
        "nothing",
    ),
    "another direction in the event": (
        {**ENVELOPE, "event": {**EVENT, "direction": "outbound"}},
        "$.event.direction",
        "inbound, as its envelope says",
        "outbound",
    ),
    "another platform in the event": (
        {**ENVELOPE, "platformId": "messenger"},
        "$.event.platformId",
        "the platformId of its envelope",
        "another one",
    ),
    "a leap second by day": (
        {**ENVELOPE, "receivedAt": "2016-12-31T12:59:60Z"},
        "$.receivedAt",
        A_TIME,
        "a leap second at another time of day",
    ),
    "no time": (
        {**ENVELOPE, "receivedAt": "now"},
        "$.receivedAt",
        A_TIME,
        "a string of 3 characters",
    ),
    "a number as time": (
        {**ENVELOPE, "receivedAt": 1582028051},
        "$.receivedAt",
        A_TIME,
        "a number",
    ),
    "no zone": (
        {**ENVELOPE, "receivedAt": "2020-02-18T12:14:11"},
        "$.receivedAt",
        A_TIME,
        "one without a zone, or no time of day",
    ),
    "before 1970": (
        {**ENVELOPE, "receivedAt": "1969-12-31T23:59:59.999Z"},
        "$.receivedAt",
        IN_REACH,
        "another time",
    ),
    "before 1970 by its zone": (
        {**ENVELOPE, "receivedAt": "1970-01-01T00:59:59+01:00"},
        "$.receivedAt",
        IN_REACH,
        "another time",
    ),
    "after 9699": (
        {**ENVELOPE, "receivedAt": "9700-01-01T00:00:00Z"},
        "$.receivedAt",
        IN_REACH,
        "another time",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_envelope_gets_an_answer_with_a_path(name: str) -> None:
    line, path, wanted, got = BROKEN[name]
    for raw in (line, json.dumps(line)):
        error = complaint_of(raw)
        assert (error.path, error.wanted, error.got) == (path, wanted, got)


@pytest.mark.parametrize("name", ["messageId", "platformId"])
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (5, "a number"),
        (True, "a boolean"),
        (["m"], "an array"),
        ({}, "an object"),
        ("", "a string of 0 characters"),
        ("x" * 256, "a string of 256 characters"),
        ("a\0", "a string of 2 characters"),
    ],
    ids=lambda value: ascii(value)[:10],
)
def test_the_ids_of_an_envelope_are_ids(name: str, value: object, got: str) -> None:
    line = {**ENVELOPE, "event": WITHOUT_PLATFORM, name: value}
    error = complaint_of(line)
    assert (error.path, error.wanted, error.got) == (f"$.{name}", AN_ID, got)


def test_null_is_as_good_as_left_out() -> None:
    nothing = {"messageId": None, "receivedAt": None, "platformId": None}
    message = read({**ENVELOPE, **nothing})
    assert (message.message_id, message.received_at) == (None, START)
    assert read({**ENVELOPE, "type": None}) == read(ENVELOPE)
    assert read({**ENVELOPE, "event": {**EVENT, "platformId": None}}).event == message.event


@pytest.mark.parametrize("name", ["messageId", "platformId"])
def test_the_ids_of_an_envelope_keep_to_the_limits(name: str) -> None:
    line = {**ENVELOPE, "event": WITHOUT_PLATFORM}
    read({**line, name: "å" * 255})
    read({**line, name: "x" * 8}, Limits(id_characters=9))
    error = complaint_of({**line, name: "x" * 10}, Limits(id_characters=9))
    assert error.path == f"$.{name}"
    assert "1 to 9 characters" in error.wanted


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "9699-12-31T23:59:59.999Z", "9700-01-01T00:00:00+01:00"]
)
def test_a_receive_time_may_be_anywhere_in_reach(text: str) -> None:
    message = read({**ENVELOPE, "receivedAt": text})
    assert message.received_at == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.9Z", "2017-01-01T00:59:60+01:00"]
)
def test_a_leap_second_is_the_last_microsecond_before(text: str) -> None:
    message = read({**ENVELOPE, "receivedAt": text})
    assert message.received_at == datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_a_time_too_far_ahead_is_not_believed() -> None:
    latest = START + timedelta(hours=1)
    far = {**ENVELOPE, "receivedAt": (latest + timedelta(microseconds=1)).isoformat()}
    near = {**ENVELOPE, "receivedAt": latest.isoformat()}
    assert read(near, latest=latest).received_at == latest
    for rejected in (
        arrive_line(far, LIMITS, START, latest=latest),
        arrive(
            Envelope(IN, EVENT, received_at=latest + timedelta(seconds=1)),
            LIMITS,
            START,
            latest=latest,
        ),
    ):
        assert isinstance(rejected, Rejected)
        assert rejected.error.path == "$.receivedAt"
        assert (rejected.received_at, rejected.direction) == (START, IN)


# --- a line that is a bare event -----------------------------------------------------------------


def test_a_bare_event_has_its_direction_from_outside() -> None:
    for direction in (IN, OUT, INTERNAL):
        message = read(EVENT, direction=direction)
        assert message.direction is direction
        assert message.body == EVENT
        assert (message.message_id, message.received_at) == (None, START)


def test_or_from_a_field_of_its_own() -> None:
    value = {**EVENT, "direction": "inbound"}
    for option in (None, IN):
        message = read(value, direction=option)
        assert message.direction is IN
        assert (message.body, message.image) == (value, None)


@pytest.mark.parametrize(
    ("value", "direction", "wanted", "got"),
    [
        (
            EVENT,
            None,
            "the queue that the event came on, here or by --direction",
            "nothing",
        ),
        ({**EVENT, "direction": "north"}, None, A_QUEUE, "another string"),
        ({**EVENT, "direction": "timer"}, None, A_QUEUE, "another string"),
        (
            {**EVENT, "direction": None},
            None,
            "the queue that the event came on, here or by --direction",
            "nothing",
        ),
        ({**EVENT, "direction": "outbound"}, IN, "inbound, as --direction says", "outbound"),
        ({**EVENT, "direction": "inbound"}, INTERNAL, "internal, as --direction says", "inbound"),
        ({}, None, "the queue that the event came on, here or by --direction", "nothing"),
    ],
    ids=["none", "none such", "the clock", "null", "contradicted", "contradicted too", "empty"],
)
def test_without_a_direction_there_is_no_queue(
    value: dict[str, Any], direction: Direction | None, wanted: str, got: str
) -> None:
    error = complaint_of(value, direction=direction)
    assert (error.path, error.wanted, error.got) == ("$.direction", wanted, got)


def test_a_path_in_a_bare_event_begins_at_the_line() -> None:
    assert complaint_of({**EVENT, "userId": 5}, direction=IN).path == "$.userId"
    assert complaint_of({}, direction=IN).path == "$.type"
    assert complaint_of({"direction": "inbound"}).path == "$.type"


def test_what_has_a_type_is_an_event_whatever_else_it_has() -> None:
    value = {**EVENT, "event": {"type": "text"}, "messageId": 5, "receivedAt": "now"}
    message = read(value, direction=IN)
    assert message.event.type == "heartbeat"
    assert (message.message_id, message.received_at) == (None, START)
    assert (message.body, message.image) == (value, None)


# --- whose platform ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "envelope", "option", "platform"),
    [
        ("web", "web", "sms", "web"),
        ("web", None, "sms", "web"),
        ("web", None, None, "web"),
        (None, "web", "sms", "web"),
        (None, "web", None, "web"),
        (None, None, "sms", "sms"),
    ],
)
def test_the_platform_is_the_events_or_the_envelopes_or_the_default(
    event: str | None, envelope: str | None, option: str | None, platform: str
) -> None:
    value = WITHOUT_PLATFORM if event is None else {**EVENT, "platformId": event}
    line: dict[str, Any] = {"direction": "inbound", "event": value}
    if envelope is not None:
        line["platformId"] = envelope
    assert read(line, platform_id=option).event.platform_id == platform
    if envelope is None:
        message = read(value, direction=IN, platform_id=option)
        assert message.event.platform_id == platform


def test_without_any_platform_there_is_no_user() -> None:
    assert complaint_of(WITHOUT_PLATFORM, direction=IN).path == "$.platformId"
    line = {"direction": "inbound", "event": WITHOUT_PLATFORM}
    assert complaint_of(line).path == "$.event.platformId"


# --- sizes ---------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    value: Any = []
    for _ in range(levels - 2):
        value = [value]
    return {"type": "weather", "b": value}


def test_an_event_may_be_as_deep_in_an_envelope_as_without() -> None:
    for depth in (3, 32):
        limits = Limits(depth=depth)
        read({"direction": "inbound", "event": nested(depth)}, limits)
        read(nested(depth), limits, direction=IN)
        line = {"direction": "inbound", "event": nested(depth + 1)}
        assert complaint_of(line, limits).got == "more"
        assert complaint_of(nested(depth + 1), limits, direction=IN).got == "more"


def test_an_envelope_is_bounded_too() -> None:
    assert complaint_of({**ENVELOPE, "headers": [[[[[]]]]]}, Limits(depth=4)).got == "more"
    assert complaint_of(b'{"direction":' + b"[" * 100_000).got == "more"


def filled(value: dict[str, Any], name: str, size: int) -> dict[str, Any]:
    room = size - len(json.dumps({**value, name: ""}, separators=(",", ":")))
    return {**value, name: "x" * room}


def test_an_event_may_be_as_large_in_an_envelope_as_without() -> None:
    line = without(ENVELOPE, "event")
    text = {**EVENT, "type": "text", "text": "Hej"}
    for name, size in (("text", 64 * KIB), ("image", 16 * MIB)):
        read({**line, "event": filled(text, name, size)})
        error = complaint_of({**line, "event": filled(text, name, size + 1)})
        assert error.path == "$.event"
        assert error.got == f"{size + 1} bytes"


def test_what_stands_around_an_event_takes_16_kib() -> None:
    limits = Limits(event_bytes=1000)
    line = {**ENVELOPE, "headers": ""}
    event = len(json.dumps(EVENT, separators=(",", ":")))
    read(filled(line, "headers", event + 16 * KIB), limits)
    error = complaint_of(filled(line, "headers", event + 16 * KIB + 1), limits)
    assert (error.path, error.got) == ("$", f"{16 * KIB + 1} bytes")
    error = complaint_of(filled(line, "headers", 1001 + 16 * KIB), limits)
    assert (error.path, error.got) == ("$", f"{1001 + 16 * KIB} or more")


# --- anyone may send anything --------------------------------------------------------------------

SECRET = "hemligt"  # noqa: S105 - what a customer wrote
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*ENVELOPE, *EVENT])
lines = (
    st.dictionaries(names, json_values)
    | st.builds(lambda name, item: {**ENVELOPE, name: item}, names, json_values)
    | st.builds(lambda name, item: {**ENVELOPE, "event": {**EVENT, name: item}}, names, json_values)
)
options = st.fixed_dictionaries(
    {
        "direction": st.sampled_from([None, IN, OUT, INTERNAL]),
        "platform_id": st.sampled_from([None, "sms"]),
    }
)


def answer(raw: Any, option: dict[str, Any]) -> Message | None:
    try:
        return read(raw, **option)
    except InvalidEvent as error:
        path = error.path
    assert path.startswith("$")
    kept = excerpt(raw)
    assert kept is None or len(kept.encode()) <= 64 * KIB
    return None


@given(st.binary() | st.text(st.characters()), options)
def test_any_bytes_get_an_answer(raw: bytes | str, option: dict[str, Any]) -> None:
    assert answer(raw, option) is None


@given(lines | json_values, options)
def test_any_json_gets_an_answer(line: Any, option: dict[str, Any]) -> None:
    assert answer(line, option) == answer(json.dumps(line), option)


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 4), st.binary(max_size=4)),
        min_size=1,
        max_size=3,
    ),
    options,
)
def test_any_damage_gets_an_answer(
    damages: list[tuple[int, int, bytes]], option: dict[str, Any]
) -> None:
    raw = json.dumps(ENVELOPE).encode()
    for start, gone, new in damages:
        raw = raw[:start] + new + raw[start + gone :]
    answer(raw, option)


@given(names, st.sampled_from([SECRET, [SECRET], {SECRET: SECRET}, SECRET * 40]))
def test_no_complaint_tells_what_was_written(name: str, item: object) -> None:
    event = {**EVENT, "text": SECRET, SECRET: SECRET}
    for line in (
        {**ENVELOPE, "event": event, name: item},
        {**ENVELOPE, "event": {**event, name: item}},
    ):
        try:
            message = read(line)
        except InvalidEvent as error:
            told = str(error) + repr(error)
        else:
            told = repr(message).replace(str(message.message_id), "")
            shown = message.event
            for name_of_it in (shown.type, shown.user_id, shown.platform_id):
                told = told.replace(repr(name_of_it), "")
        assert SECRET not in told


def test_an_envelope_does_not_show_its_event() -> None:
    assert SECRET not in repr(Envelope(IN, {"text": SECRET}))
    assert SECRET not in repr(read({"text": SECRET, "type": "a"}, direction=IN))


# --- an envelope in Python -----------------------------------------------------------------------


class NoOffset(tzinfo):
    """A zone that does not know its offset: what carries it is as naive as without."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


def test_an_envelope_needs_a_direction_and_an_event() -> None:
    envelope = Envelope("outbound", b"{}")
    assert envelope == Envelope(OUT, b"{}")
    assert envelope.direction is OUT
    assert (envelope.message_id, envelope.received_at, envelope.platform_id) == (None, None, None)


@pytest.mark.parametrize("value", ["inbound", "outbound", "internal", IN, OUT, INTERNAL], ids=repr)
def test_a_queue_has_a_name(value: QueueName) -> None:
    direction = as_direction(value)
    assert isinstance(direction, Direction)
    assert direction == value


@pytest.mark.parametrize(
    "value",
    ["timer", Direction.TIMER, "INBOUND", "", None, 5, ["inbound"], {}, b"inbound"],
    ids=repr,
)
def test_nothing_else_is_a_queue(value: Any) -> None:
    for make in (lambda: as_direction(value), lambda: Envelope(value, b"{}")):
        with pytest.raises(InvalidArgument) as caught:
            make()
        assert (caught.value.argument, caught.value.wanted) == ("direction", A_QUEUE)


@pytest.mark.parametrize("name", ["message_id", "platform_id"])
@pytest.mark.parametrize("value", ["", "x" * 256, "a\0", "\ud800", 5, b"m", ["m"]], ids=ascii)
def test_the_ids_in_python_are_ids(name: str, value: Any) -> None:
    Envelope(IN, b"{}", **{name: "x" * 255})
    with pytest.raises(InvalidArgument) as caught:
        Envelope(IN, b"{}", **{name: value})
    assert (caught.value.argument, caught.value.wanted) == (name, AN_ID)


ZONE = timezone(timedelta(hours=1))


NO_RECEIVE_TIMES: dict[str, Any] = {
    "a text": "2020-02-18T12:14:11Z",
    "a number": 1582028051,
    "a date": AT.date(),
    "no zone": AT.replace(tzinfo=None),
    "a zone that does not know": AT.replace(tzinfo=NoOffset()),
    "before 1970": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    "before 1970 by its zone": datetime(1970, 1, 1, 0, 59, 59, tzinfo=ZONE),
    "after 9699": datetime(9700, 1, 1, tzinfo=UTC),
    "beyond the calendar": datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    "before the calendar": datetime.min.replace(tzinfo=ZONE),
}


@pytest.mark.parametrize("name", NO_RECEIVE_TIMES)
def test_no_other_time_is_a_receive_time(name: str) -> None:
    value = NO_RECEIVE_TIMES[name]
    for make in (
        lambda: as_moment("received_at", value),
        lambda: Envelope(IN, b"{}", received_at=value),
    ):
        with pytest.raises(InvalidArgument) as caught:
            make()
        assert (caught.value.argument, caught.value.wanted) == ("received_at", IN_REACH)


def test_a_receive_time_in_python_is_kept_in_utc() -> None:
    for value in (AT, AT.astimezone(ZONE)):
        envelope = Envelope(IN, b"{}", received_at=value)
        assert envelope.received_at == AT
        assert envelope.received_at.tzinfo is UTC
    with pytest.raises(InvalidArgument):
        as_moment("received_at", None)
