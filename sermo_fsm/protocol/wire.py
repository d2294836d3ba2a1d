"""JSON ⇄ events.

Out comes a message whose event is valid down to the last field, or an
:class:`~sermo_fsm.errors.InvalidEvent` that says where, what was wanted and what was there.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, get_args, get_type_hints

import msgspec

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.events import (
    KINDS,
    QUEUES,
    Agent,
    ClaimSession,
    Direction,
    Event,
    KnownEvent,
    Unknown,
    is_about_no_chat,
    trigger_of,
)
from sermo_fsm.protocol.fields import ID_CHARACTERS, is_id, kind_of_value
from sermo_fsm.protocol.json_reader import Json, Limits, parse, parse_time, read_id
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.redacted import Redact, redacted
from sermo_fsm.protocol.stored_form import stored_form

__all__ = ["Raw", "decode", "encode", "message_of", "sent_at"]

Raw = Json | Event
"""What can be handed in."""

_LIMITS: Final = Limits()


def decode(
    direction: Direction,
    raw: Raw,
    *,
    received_at: datetime,
    message_id: str | None = None,
    platform_id: str | None = None,
    limits: Limits = _LIMITS,
    redact: Redact | None = None,
) -> Message:
    """The message that *raw* is; *platform_id* stands in if the event has none of its own.

    Raises:
        InvalidEvent: It breaks the protocol.
        RedactionFailed: *redact*, which sees what people wrote, has failed.
        InvalidArgument: It is an :class:`~sermo_fsm.Event` of another queue, or an unusable one.
    """
    if not isinstance(raw, Event):
        value = parse(raw, limits)
        return message_of(direction, value, received_at, message_id, platform_id, limits, redact)
    if direction not in raw.queues:
        got = f"{type(raw).__name__} on {direction}"
        raise InvalidArgument("event", wanted="an event of this direction", got=got)
    try:
        value = parse(encode(raw), limits)
        message = message_of(direction, value, received_at, message_id, platform_id, limits, redact)
    except InvalidEvent as error:
        wanted = f"{error.wanted} at {error.path}"
        raise InvalidArgument("event", wanted=wanted, got=error.got) from None
    if isinstance(raw, KnownEvent) and type(raw) is not type(message.event):
        wanted = f"a type that {type(raw).__name__} can have"
        raise InvalidArgument("event", wanted=wanted, got="another type")
    return message


def message_of(
    direction: Direction,
    value: Mapping[str, Any],
    received_at: datetime,
    message_id: str | None,
    platform_id: str | None,
    limits: Limits,
    redact: Redact | None = None,
) -> Message:
    """The message that a JSON object is, once it is read.

    Raises:
        InvalidEvent: It breaks the protocol.
        RedactionFailed: *redact*, which sees what people wrote, has failed.
    """
    if platform_id is not None and value.get("platformId") is None:
        value = {**value, "platformId": platform_id}
    own = value.get("direction")
    if own != direction and own in QUEUES:
        raise InvalidEvent("$.direction", wanted=f"{direction}, as its envelope says", got=own)
    if redact is not None:
        value = redacted(value, redact)
    name = value.get("type")
    kind = KINDS.get((direction, name)) if isinstance(name, str) else None
    event = _unknown(value, direction, limits) if kind is None else _known(kind, value, limits)
    body, image = stored_form(value)
    platform, user = event.platform_id, event.user_id
    return Message(
        direction,
        event,
        trigger_of(event),
        received_at,
        message_id,
        body,
        image,
        None if platform is None or user is None else (platform, user),
        None if message_id is None else (direction, message_id),
    )


def _known(kind: type[KnownEvent], value: Mapping[str, Any], limits: Limits) -> KnownEvent:
    try:
        event = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _fault(str(error), kind, value) from None
    if limits.id_characters < ID_CHARACTERS:
        _check_ids(event, limits)
    return event


def _check_ids(event: KnownEvent, limits: Limits) -> None:
    agent: Agent | None = getattr(event, "agent", None)
    read_id(event.platform_id, "$.platformId", limits)
    read_id(event.user_id, "$.userId", limits)
    if agent is not None:
        read_id(agent.id, "$.agent.id", limits)
    if isinstance(event, ClaimSession):
        read_id(event.agent_id, "$.agentId", limits)


def _unknown(value: Mapping[str, Any], direction: Direction, limits: Limits) -> Unknown:
    if value.get("type") is None:
        raise InvalidEvent("$.type", wanted="this field", got="nothing")
    kind = read_id(value["type"], "$.type", limits)
    if is_about_no_chat(kind, direction):
        return Unknown(type=kind)
    platform, user = (
        name
        if isinstance(name, str) and is_id(name) and len(name) <= limits.id_characters
        else None
        for name in (value.get("platformId"), value.get("userId"))
    )
    return Unknown(type=kind, platform_id=platform, user_id=user, at=value.get("at"))


# --- what is wrong, and where --------------------------------------------------------------------

_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_AT: Final = re.compile(r" - at `\$([\w.]*)")
_A_PLATFORM: Final = (
    "this field, or a default (platform_id= of the engine or of the call; "
    "--platform or SERMO_PLATFORM in the shell)"
)


def _fault(words: str, kind: type[KnownEvent], value: Mapping[str, Any]) -> InvalidEvent:
    """What msgspec complains of in *words*, as we say it."""
    found, missing = _AT.search(words), _MISSING.search(words)
    path = (found[1] if found else "") + (f".{missing[1]}" if missing else "")
    names = path.split(".")[1:]
    there: Any = value
    for name in names:
        there = there.get(name)
    if there is None:
        wanted, got = _A_PLATFORM if path == ".platformId" else "this field", "nothing"
    else:
        wanted, got = _wanted(kind, names), kind_of_value(there)
    return InvalidEvent(f"${path}", wanted=wanted, got=got)


def _wanted(kind: type[msgspec.Struct], names: Iterable[str]) -> str:
    """What the field with this path may hold, as its annotation says."""
    words = ""
    for name in names:
        attribute = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
        hint = get_type_hints(kind, include_extras=True)[attribute[name]]
        if Agent in get_args(hint):
            kind, words = Agent, "an object"
        else:
            words = next(
                str(meta.description)
                for choice in (hint, *get_args(hint))
                for meta in getattr(choice, "__metadata__", ())
            )
    return words


# --- the other way -------------------------------------------------------------------------------


def encode(event: Event) -> dict[str, Any]:
    """*event* as the JSON object that it is on the wire.

    Raises:
        InvalidEvent: Its ``at`` is a datetime without a zone, or beyond the calendar.
    """
    value = _set_fields(event)
    if isinstance(event.at, datetime):
        value["at"] = parse_time(event.at.isoformat(), "$.at").isoformat()
    agent = value.get("agent")
    return {**value, "agent": _set_fields(agent)} if isinstance(agent, Agent) else value


def _set_fields(struct: msgspec.Struct) -> dict[str, Any]:
    # Not msgspec's own way to make an object of a struct: that coerces, bytes to base64 say.
    names = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    return {wire: item for wire, name in names if (item := getattr(struct, name)) is not None}


def sent_at(event: Event) -> datetime | None:
    """When *event* was sent, by the sender's own clock; None where that can't be read."""
    if event.at is None:
        return None
    try:
        return parse_time(event.at, "$.at")
    except InvalidEvent:
        return None
