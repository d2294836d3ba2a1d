"""JSON ⇄ events.

Out comes a message whose event is valid down to the last field, or an
:class:`~sermo_fsm.errors.InvalidEvent` that says where, what was wanted and what was there.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, fields

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.events import (
    KINDS,
    Agent,
    Direction,
    Event,
    KnownEvent,
    Unknown,
    trigger_of,
)
from sermo_fsm.protocol.fields import ID_CHARACTERS, is_id, kind_of_value
from sermo_fsm.protocol.json_reader import (
    Json,
    Limits,
    Parsed,
    check_size,
    parse,
    parse_time,
    read_id,
)
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.stored_form import stored_form

if TYPE_CHECKING:
    import cattrs

__all__ = ["Raw", "decode", "encode"]

Raw = Json | Event
"""What can be handed in."""

_LIMITS: Final = Limits()

_Structure = Callable[[Mapping[str, Any], Any], Any]


_EXTRA: Final = "\0extra"
"""Under this key the reader hands on the fields that an event does not name."""


def _as_it_came(value: Any, _: Any) -> Any:
    return value  # the classes check their own fields: nothing is coerced on the way


def _time_hook(value: Any, _: Any) -> datetime:
    return parse_time(value, "$.at")


def _agent_hook(value: Any, _: Any) -> Agent | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidEvent("$.agent", wanted="an object or null", got=kind_of_value(value))
    try:
        _check_no_null(Agent, value)
        agent: Agent = _STRUCTURE[Agent](value, Agent)
    except InvalidEvent as error:
        raise error.under("$.agent") from None
    except KeyError as missing:
        raise _missing(missing).under("$.agent") from None
    return agent


def _missing(error: KeyError) -> InvalidEvent:
    return InvalidEvent(f"$.{error.args[0]}", wanted="this field", got="nothing")


def _wire_names(kind: type[Any]) -> dict[str, str]:
    return {item.name: item.metadata["wire"] for item in fields(kind) if "wire" in item.metadata}


@cache
def _converter() -> "cattrs.Converter":
    import cattrs

    converter = cattrs.Converter(detailed_validation=False)
    for kind in (str, str | None, int, float | None):
        converter.register_structure_hook(kind, _as_it_came)
    converter.register_structure_hook(datetime | None, _time_hook)
    converter.register_structure_hook(Agent | None, _agent_hook)
    return converter


def _structure_of(kind: type[Any]) -> _Structure:
    from cattrs.gen import make_dict_structure_fn, override

    renames: dict[str, Any] = {
        name: override(rename=wire) for name, wire in _wire_names(kind).items()
    }
    if kind is not Agent:
        renames["extra"] = override(rename=_EXTRA, struct_hook=_as_it_came)
    return make_dict_structure_fn(kind, _converter(), _cattrs_detailed_validation=False, **renames)


class _Structures(dict[type[Any], _Structure]):
    """What makes an event of a JSON object, built when the first event of its class comes."""

    def __missing__(self, kind: type[Any]) -> _Structure:
        self[kind] = _structure_of(kind)
        return self[kind]


_STRUCTURE: Final = _Structures()
_NAMED: Final = {kind: frozenset(_wire_names(kind).values()) for kind in {*KINDS.values(), Agent}}


def decode(
    direction: Direction,
    raw: Raw,
    *,
    received_at: datetime,
    message_id: str | None = None,
    platform_id: str | None = None,
    limits: Limits = _LIMITS,
) -> Message:
    """The message that *raw* is; *platform_id* stands in if the event has none of its own.

    Raises:
        InvalidEvent: It breaks the protocol.
        InvalidArgument: It is an :class:`~sermo_fsm.Event` of the other direction.
    """
    if isinstance(raw, Event):
        if raw.inbound not in (None, direction is Direction.INBOUND):
            got = f"{type(raw).__name__} on {direction}"
            raise InvalidArgument("event", wanted="an event of this direction", got=got)
        raw = encode(raw)
    parsed = parse(raw, limits)
    try:
        check_size(parsed, limits)
        event, value = _decode(direction, parsed, platform_id, limits)
    except InvalidEvent as error:
        raise (error if parsed.path == "$" else error.under(parsed.path)) from None
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
        user=None if platform is None or user is None else (platform, user),
        key=None if message_id is None else (direction, message_id),
    )


def _decode(
    direction: Direction, parsed: Parsed, platform_id: str | None, limits: Limits
) -> tuple[Event, Mapping[str, Any]]:
    value = parsed.value
    if platform_id is not None and "platformId" not in value:
        value = {**value, "platformId": platform_id}
    kind = KINDS.get((direction is Direction.INBOUND, _type_of(value, limits)))
    _check_direction(direction, value)
    return (_unknown(value, limits) if kind is None else _known(kind, value, limits)), value


def _type_of(value: Mapping[str, Any], limits: Limits) -> str:
    if "type" not in value:
        raise InvalidEvent("$.type", wanted="this field", got="nothing")
    return read_id(value["type"], "$.type", limits)


def _check_direction(direction: Direction, value: Mapping[str, Any]) -> None:
    own = value.get("direction")
    if own != direction and own in (Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL):
        raise InvalidEvent("$.direction", wanted=f"{direction}, as its envelope says", got=own)


def _known(kind: type[KnownEvent], value: Mapping[str, Any], limits: Limits) -> KnownEvent:
    if None in value.values():
        _check_no_null(kind, value)
    if not value.keys() <= _NAMED[kind]:
        extra = {name: item for name, item in value.items() if name not in _NAMED[kind]}
        value = {**value, _EXTRA: extra}
    try:
        event: KnownEvent = _STRUCTURE[kind](value, kind)
    except KeyError as missing:
        raise _missing(missing) from None
    if limits.id_characters < ID_CHARACTERS:
        _check_ids(event, limits.id_characters)
    return event


def _check_no_null(kind: type[Any], value: Mapping[str, Any]) -> None:
    """What is there must be of its type, and null is of none; only an agent may be null."""
    for name in _NAMED[kind] - {"agent"}:
        if name in value and value[name] is None:
            raise InvalidEvent(f"$.{name}", wanted="a value, or no such field", got="null")


def _check_ids(event: KnownEvent, most: int) -> None:
    agent: Agent | None = getattr(event, "agent", None)
    ids = {"$.platformId": event.platform_id, "$.userId": event.user_id}
    if agent is not None:
        ids["$.agent.id"] = agent.id
    for path, text in ids.items():
        if len(text) > most:
            raise InvalidEvent(path, wanted=f"at most {most} characters", got=kind_of_value(text))


def _unknown(value: Mapping[str, Any], limits: Limits) -> Unknown:
    platform, user = (
        name
        if isinstance(name, str) and is_id(name) and len(name) <= limits.id_characters
        else None
        for name in (value.get("platformId"), value.get("userId"))
    )
    try:
        at = parse_time(value.get("at"), "$.at")
    except InvalidEvent:  # not ours to judge
        at = None
    extra = {name: item for name, item in value.items() if name not in _NAMED_OF_UNKNOWN}
    return Unknown(type=value["type"], platform_id=platform, user_id=user, at=at, extra=extra)


_NAMED_OF_UNKNOWN: Final = frozenset({"type", "platformId", "userId", "at"})


def encode(event: Event) -> dict[str, Any]:
    """*event* as the JSON object that it is on the wire."""
    value: dict[str, Any] = {"type": event.type}
    names = {"platform_id": "platformId", "user_id": "userId", **_wire_names(type(event))}
    for name, wire in names.items():
        item = getattr(event, name)
        if isinstance(item, Agent):
            item = asdict(item, filter=lambda _, given: given is not None)
        elif isinstance(item, datetime):
            item = item.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if item is not None:
            value[wire] = item
    return {**event.extra, **value}
