"""JSON ⇄ events.

Bytes come in that anyone may have written. What goes on is an event that is valid down to the
last field, or an :class:`~sermo_fsm.errors.InvalidEvent` that says where, what was wanted and what
was there. Nothing is coerced, nothing else is raised.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, NoReturn

import cattrs
from attrs import field, fields, frozen
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.events import (
    ID_CHARACTERS,
    KINDS,
    Agent,
    Direction,
    Event,
    KnownEvent,
    Trigger,
    Unknown,
    is_id,
    kind_of_value,
    trigger_of,
)

__all__ = [
    "EXCERPT_BYTES",
    "Image",
    "Limits",
    "Message",
    "Parsed",
    "Raw",
    "check_depth",
    "decode",
    "dump",
    "encode",
    "excerpt",
    "fingerprint",
    "image_of",
    "parse",
    "parse_time",
    "read_id",
]

EXCERPT_BYTES: Final = 64 * 1024
"""How much of an invalid event's raw text is kept."""

_HOLDS_UNSENT_TEXT: Final = frozenset({"typing", "typing_on", "typing_off"})


@frozen(kw_only=True)
class Limits:
    """How large an event may be. What is larger is ``invalid``; it is never cut.

    Attributes:
        event_bytes: The whole event, in bytes; large because of its image.
        bare_bytes: The event without its image, in bytes.
        id_characters: Every id, in characters; at most 255, the width of the columns.
        depth: Objects and arrays inside each other.
    """

    event_bytes: int = 16 * 1024 * 1024
    bare_bytes: int = 64 * 1024
    id_characters: int = ID_CHARACTERS
    depth: int = 32

    def __attrs_post_init__(self) -> None:
        ceilings = {"id_characters": ID_CHARACTERS, "depth": 256}
        for attribute in fields(Limits):
            value, ceiling = getattr(self, attribute.name), ceilings.get(attribute.name, 2**31 - 1)
            if type(value) is not int or not 1 <= value <= ceiling:
                wanted = f"an integer from 1 to {ceiling}"
                raise InvalidArgument(attribute.name, wanted=wanted, got=value)


@frozen
class Parsed:
    """A JSON object that was parsed already, the bytes it took, and where it stood."""

    value: dict[str, Any] = field(repr=False)
    size: int
    path: str = "$"


Raw = bytes | bytearray | memoryview | str | Mapping[str, Any] | Event | Parsed
"""What can be handed in."""


@frozen
class Image:
    """A picture, once per content. Its description stands in the history in its place."""

    sha256: str
    media_type: str | None
    content: bytes = field(repr=False)

    @property
    def description(self) -> dict[str, Any]:
        """What the history says in place of the picture."""
        return {"sha256": self.sha256, "bytes": len(self.content), "mediaType": self.media_type}


@frozen
class Message:
    """One event as it came: the typed event, and the JSON object that it was read from."""

    direction: Direction
    event: Event
    trigger: Trigger
    json: Mapping[str, Any] = field(factory=dict, repr=False)

    @cached_property
    def stored(self) -> tuple[dict[str, Any], Image | None]:
        """What the history keeps of it: without unsent text, and its image apart."""
        value = dict(self.json)
        if self.event.type in _HOLDS_UNSENT_TEXT:
            value.pop("text", None)
        if not isinstance(value.get("image"), str):
            return value, None
        image = image_of(value["image"])
        value["image"] = image.description
        return value, image


# --- parsing -------------------------------------------------------------------------------------


def _no_constant(name: str) -> NoReturn:
    raise InvalidEvent("$", wanted="JSON", got=f"{name}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidEvent("$", wanted="numbers within the range of a double", got="a larger one")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise InvalidEvent("$", wanted="every field once", got="a field that is given twice")
    return unique


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
)


def _text(raw: bytes | bytearray | memoryview | str, limits: Limits, slack: int) -> tuple[str, int]:
    """*raw* as text, and its size in bytes."""
    most = limits.event_bytes + slack
    least = raw.nbytes if isinstance(raw, memoryview) else len(raw)
    if least > most:
        raise InvalidEvent("$", wanted=f"at most {most} bytes", got=f"{least} or more")
    try:
        if isinstance(raw, str):
            return raw, len(raw.encode())
        data = bytes(raw)
        return data.decode(), len(data)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        wanted = "text in UTF-8"
        raise InvalidEvent("$", wanted=wanted, got=f"something else at position {start}") from None


def _too_deep(value: object, room: int) -> bool:
    if isinstance(value, dict):
        return room == 0 or any(_too_deep(item, room - 1) for item in value.values())
    if isinstance(value, list):
        return room == 0 or any(_too_deep(item, room - 1) for item in value)
    return False


def check_depth(value: object, most: int) -> None:
    """Objects and arrays inside each other, *value* itself included.

    Raises:
        InvalidEvent: There are more than *most*.
    """
    if _too_deep(value, most):
        raise InvalidEvent("$", wanted=f"nesting of at most {most} levels", got="more")


def parse(raw: Raw, limits: Limits, *, slack: int = 0) -> Parsed:
    """*raw* as one JSON object; *slack* is what may stand around an event, in bytes.

    What has something around it may also be nested one level deeper.

    Raises:
        InvalidEvent: Not UTF-8, not JSON, not an object, a field given twice, too deep, too large.
    """
    if isinstance(raw, Parsed):
        return raw
    if isinstance(raw, Mapping):
        raw = _dump_mapping(raw)
    if not isinstance(raw, bytes | bytearray | memoryview | str):
        raise InvalidEvent("$", wanted="bytes, text or an object", got=kind_of_value(raw))
    text, size = _text(raw, limits, slack)
    depth = limits.depth + bool(slack)
    try:
        value = _JSON.decode(text)
    except json.JSONDecodeError as error:
        got = f"{error.msg} (line {error.lineno}, column {error.colno})"
        raise InvalidEvent("$", wanted="JSON", got=got) from None
    except RecursionError:
        wanted = f"nesting of at most {depth} levels"
        raise InvalidEvent("$", wanted=wanted, got="many more") from None
    except ValueError:  # the interpreter's own bound on the digits of an integer
        raise InvalidEvent("$", wanted="numbers of a sane length", got="a longer one") from None
    if not isinstance(value, dict):
        raise InvalidEvent("$", wanted="an object", got=kind_of_value(value))
    check_depth(value, depth)
    return Parsed(value, size)


def _dump_mapping(raw: Mapping[str, Any]) -> str:
    wanted = "an object that JSON can express"
    try:
        text, as_it_came = dump(dict(raw)), _has_text_keys(raw)
    except (TypeError, ValueError, RecursionError):
        raise InvalidEvent("$", wanted=wanted, got="Python values that it can't") from None
    if not as_it_came:  # json made strings of them
        raise InvalidEvent("$", wanted=wanted, got="a key that is no string")
    return text


def _has_text_keys(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))


def dump(value: object, *, sort: bool = False) -> str:
    """*value* as JSON text that UTF-8 can encode: a lone surrogate stays the escape it came as."""
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort
    )
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _check_size(parsed: Parsed, limits: Limits) -> None:
    if parsed.size <= min(limits.bare_bytes, limits.event_bytes):
        return
    bare, picture = parsed.value, 0
    if isinstance(bare.get("image"), str):
        picture = len(',"image":""') + len(bare["image"].encode("utf-8", "surrogatepass"))
        bare = {name: value for name, value in bare.items() if name != "image"}
    # As compact as it came or as it can be written (floats can come shorter): never too strict.
    size = min(len(dump(bare).encode()), parsed.size - picture)
    for most, what, got in (
        (limits.bare_bytes, "without its image", size),
        (limits.event_bytes, "in all", size + picture),
    ):
        if got > most:
            wanted = f"an event of at most {most} bytes {what}"
            raise InvalidEvent("$", wanted=wanted, got=f"{got} bytes")


def parse_time(value: object, path: str) -> datetime:
    """An RFC 3339 timestamp with a zone, in UTC.

    Raises:
        InvalidEvent: Not a string, not a timestamp, without a zone, or beyond the calendar.
    """
    wanted = "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z"
    # fromisoformat reads over some of what is not printable, such as a NUL at the end.
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value))
    try:
        moment = datetime.fromisoformat(value.upper())
        if moment.tzinfo is None:
            raise InvalidEvent(path, wanted=wanted, got="one without a zone, or no time of day")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value)) from None


def read_id(value: object, path: str, limits: Limits) -> str:
    """*value* as an id, or a type.

    Raises:
        InvalidEvent: Not a string, empty, too long, or with characters that can't be stored.
    """
    if is_id(value) and len(str(value)) <= limits.id_characters:
        return str(value)
    wanted = f"a string of 1 to {limits.id_characters} characters, without NUL or lone surrogates"
    raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value))


# --- structuring ---------------------------------------------------------------------------------

_CONVERTER: Final = cattrs.Converter(detailed_validation=False)


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


for _kind in (str, str | None, int, float | None):
    _CONVERTER.register_structure_hook(_kind, _as_it_came)
_CONVERTER.register_structure_hook(datetime | None, _time_hook)
_CONVERTER.register_unstructure_hook(
    Agent, make_dict_unstructure_fn(Agent, _CONVERTER, _cattrs_omit_if_default=True)
)
_CONVERTER.register_structure_hook(Agent | None, _agent_hook)


def _wire_names(kind: type[Any]) -> dict[str, str]:
    return {item.name: item.metadata["wire"] for item in fields(kind) if "wire" in item.metadata}


def _structure_of(kind: type[Any]) -> Callable[[Mapping[str, Any], Any], Any]:
    renames: dict[str, Any] = {
        name: override(rename=wire) for name, wire in _wire_names(kind).items()
    }
    if kind is not Agent:
        renames["extra"] = override(omit=True)
    return make_dict_structure_fn(kind, _CONVERTER, _cattrs_detailed_validation=False, **renames)


_STRUCTURE: Final = {kind: _structure_of(kind) for kind in {*KINDS.values(), Agent}}
_NAMED: Final = {kind: frozenset(_wire_names(kind).values()) for kind in _STRUCTURE}


def decode(
    direction: Direction,
    raw: Raw,
    *,
    platform_id: str | None = None,
    limits: Limits = Limits(),
) -> Message:
    """The event in *raw*; *platform_id* stands in where it has none of its own.

    Raises:
        InvalidEvent: It breaks the protocol.
    """
    if isinstance(raw, Event):
        if raw.inbound not in (None, direction is Direction.INBOUND):
            got = f"{type(raw).__name__} on {direction}"
            raise InvalidArgument("event", wanted="an event of this direction", got=got)
        raw = encode(raw)
    parsed = parse(raw, limits)
    try:
        _check_size(parsed, limits)
        return _decode(direction, parsed, platform_id, limits)
    except InvalidEvent as error:
        raise (error if parsed.path == "$" else error.under(parsed.path)) from None


def _decode(
    direction: Direction, parsed: Parsed, platform_id: str | None, limits: Limits
) -> Message:
    value = parsed.value
    if platform_id is not None and "platformId" not in value:
        value = {**value, "platformId": platform_id}
    kind = KINDS.get((direction is Direction.INBOUND, _type_of(value, limits)))
    _check_direction(direction, value)
    if kind is None:
        event: Event = _unknown(value, limits)
    else:
        event = _known(kind, value, limits)
    return Message(direction, event, trigger_of(event), value)


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
    try:
        event: KnownEvent = _STRUCTURE[kind](value, kind)
    except KeyError as missing:
        raise _missing(missing) from None
    if len(value) > len(_NAMED[kind]) or not value.keys() <= _NAMED[kind]:
        extra = {name: item for name, item in value.items() if name not in _NAMED[kind]}
        object.__setattr__(event, "extra", extra)  # just made, nobody else holds it yet
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
            item = _CONVERTER.unstructure(item)
        elif isinstance(item, datetime):
            item = item.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if item is not None:
            value[wire] = item
    return {**value, **event.extra}


# --- what is stored ------------------------------------------------------------------------------


def fingerprint(value: Mapping[str, Any]) -> bytes:
    """Equal for equal JSON values, whatever the order of their fields; 1 and 1.0 differ."""
    return hashlib.sha256(dump(value, sort=True).encode()).digest()


# Its own grammar, for what base64 takes for valid changes from one Python to the next. Too much
# padding does no harm, and the protocol's own example has it.
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]*+)(={0,2})", re.ASCII)
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)


def image_of(text: str) -> Image:
    """The picture in a base64 ``data:`` URL; any other string is its own content."""
    content, media_type = text.encode("utf-8", "surrogatepass"), None
    if (head := _DATA_URL.match(text)) and (body := _BASE64.fullmatch(text, head.end())):
        missing = -len(body[1]) % 4
        if missing <= len(body[2]):  # else damaged on the way: kept as it came
            content = base64.b64decode(body[1] + "=" * missing)
            media_type = head[1].lower()
    return Image(hashlib.sha256(content).hexdigest(), media_type, content)


_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_READABLY_TYPING: Final = re.compile(r"type\W+typing", re.IGNORECASE)


def excerpt(raw: object) -> str | None:
    """At most 64 KiB of an invalid event; None where it readably is a typing one.

    What a customer has typed and not sent is stored nowhere, not even for those who look for the
    fault in a broken event.
    """
    if isinstance(raw, Parsed):
        raw = raw.value
    if isinstance(raw, Mapping):
        try:
            text = dump(dict(raw))
        except (TypeError, ValueError, RecursionError):
            text = f"a Python {type(raw).__name__} that JSON can't express"
    elif isinstance(raw, str):
        text = raw
    elif isinstance(raw, bytes | bytearray | memoryview):
        text = bytes(raw).decode("utf-8", "backslashreplace")
    else:
        text = kind_of_value(raw)
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace("\0", ""))
    if _READABLY_TYPING.search(plain.replace("\\x00", "").replace("\\", "")):
        return None
    # NUL and lone surrogates are what not every database can store.
    head = text[:EXCERPT_BYTES].replace("\0", "\\x00")
    data = head.encode("utf-8", "backslashreplace")
    return data[:EXCERPT_BYTES].decode("utf-8", "ignore")
