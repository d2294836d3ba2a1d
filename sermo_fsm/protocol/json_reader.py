"""JSON that anyone may have written, read with care.

What is not JSON, or more of it than there may be, is an :class:`~sermo_fsm.errors.InvalidEvent`.
Nothing is coerced, nothing else is raised. Of a field that is given twice the last one counts.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from attrs import fields, frozen
from msgspec import Raw

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.fields import ID_CHARACTERS, is_id, kind_of_value
from sermo_fsm.protocol.long_text import read_text

__all__ = [
    "Json",
    "Limits",
    "dump",
    "is_envelope",
    "parse",
    "parse_time",
    "read_id",
]

_SLACK: Final = 16 * 1024  # bytes that may stand around an event


@frozen(kw_only=True)
class Limits:
    """How large an event may be. What is larger is ``invalid``; it is never cut.

    Attributes:
        event_bytes: The whole event, in bytes as it came; large because of its image.
        bare_bytes: The event without its image, in bytes as it came.
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


Json = bytes | bytearray | memoryview | str | Mapping[str, Any]
"""JSON, parsed or not."""


def parse(raw: Json, limits: Limits, *, line: bool = False) -> dict[str, Any]:
    """*raw* as one JSON object; a *line* may be an envelope, which has an event inside.

    Raises:
        InvalidEvent: Not UTF-8, not JSON, not an object, too deep, too large.
    """
    data: bytes | bytearray
    if type(raw) is bytes and len(raw) <= limits.bare_bytes:  # nearly all that comes
        data = raw
    else:
        data = _as_bytes(raw, limits.event_bytes + _SLACK * line)
    if len(data) > limits.bare_bytes or len(data) > limits.event_bytes:
        value = _decode_large(data, limits, line=line)
    else:
        value = _decode(_ANYTHING, data, limits.depth)
    if not isinstance(value, dict):
        raise InvalidEvent("$", wanted="an object", got=kind_of_value(value))
    depth = limits.depth + (line and is_envelope(value))
    if data.count(b"{") + data.count(b"[") > depth and _too_deep(value, depth):
        raise InvalidEvent("$", wanted=f"nesting of at most {depth} levels", got="more")
    return value


def is_envelope(value: Mapping[str, Any]) -> bool:
    """Whether this object is an envelope and not an event, which has a ``type``."""
    return "event" in value and value.get("type") is None


_ANYTHING: Final = msgspec.json.Decoder().decode
_SLICES: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_NULL: Final = Raw(b"null")
_NOTHING: Final = Raw(b"")


class _Outline(msgspec.Struct):
    """What of a large object may be long. Its other fields, a million perhaps, take no memory."""

    type: Raw = _NULL
    event: Raw = _NOTHING
    image: Raw = _NOTHING


_OUTLINE: Final = msgspec.json.Decoder(_Outline).decode


def _as_bytes(raw: Json, most: int) -> bytes | bytearray:
    if isinstance(raw, Mapping):
        raw = _dump_mapping(raw)
    if not isinstance(raw, bytes | bytearray | memoryview | str):
        raise InvalidEvent("$", wanted="bytes, text or an object", got=kind_of_value(raw))
    least = raw.nbytes if isinstance(raw, memoryview) else len(raw)
    if least > most:
        raise InvalidEvent("$", wanted=f"at most {most} bytes", got=f"{least} or more")
    if isinstance(raw, str):
        try:
            return raw.encode()
        except UnicodeEncodeError:
            raise InvalidEvent("$", wanted="text in UTF-8", got="a lone surrogate") from None
    return bytes(raw) if isinstance(raw, memoryview) else raw


def _decode(decode: Callable[[Any], Any], data: object, depth: int) -> Any:
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        if "out of range" in str(error):
            wanted = "numbers of a sane size"
            raise InvalidEvent("$", wanted=wanted, got="a larger one") from None
        raise InvalidEvent("$", wanted="an object", got="something else") from None
    except msgspec.DecodeError as error:
        place = _PLACE.search(str(error))
        got = f"something else at byte {place[1]}" if place else "something else, or a part of it"
        raise InvalidEvent("$", wanted="JSON", got=got) from None
    except UnicodeDecodeError:
        raise InvalidEvent("$", wanted="text in UTF-8", got="something else") from None
    except RecursionError:
        wanted = f"nesting of at most {depth} levels"
        raise InvalidEvent("$", wanted=wanted, got="more") from None


_PLACE: Final = re.compile(r"\(byte (\d+)\)")


def _decode_large(data: bytes | bytearray, limits: Limits, *, line: bool) -> dict[str, Any]:
    """Refuse what is too large before anything is made of it, and keep the image in bytes."""
    outline: _Outline = _decode(_OUTLINE, data, limits.depth)
    if not line or outline.event == _NOTHING or outline.type != _NULL:
        return _decode_large_event(data, outline, limits, "$")
    around = len(data) - memoryview(outline.event).nbytes
    if around > _SLACK:
        wanted = f"at most {_SLACK} bytes around the event"
        raise InvalidEvent("$", wanted=wanted, got=f"{around} bytes")
    parts: dict[str, Raw] = _decode(_SLICES, data, limits.depth)
    event = parts.pop("event")
    value = {name: _decode(_ANYTHING, part, limits.depth) for name, part in parts.items()}
    outline = _decode(_OUTLINE, event, limits.depth)
    value["event"] = _decode_large_event(event, outline, limits, "$.event")
    return value


def _decode_large_event(
    data: bytes | bytearray | Raw, outline: _Outline, limits: Limits, path: str
) -> dict[str, Any]:
    size, image = memoryview(data).nbytes, memoryview(outline.image)
    picture = len(',"image":') + image.nbytes if bytes(image[:1]) == b'"' else 0
    for most, what, got in (
        (limits.bare_bytes, "without its image", size - picture),
        (limits.event_bytes, "in all", size),
    ):
        if got > most:
            wanted = f"an event of at most {most} bytes {what}"
            raise InvalidEvent(path, wanted=wanted, got=f"{got} bytes")
    parts: dict[str, Raw] = _decode(_SLICES, data, limits.depth)
    return {
        name: _decode(read_text, image, limits.depth)
        if picture and name == "image"
        else _decode(_ANYTHING, part, limits.depth)
        for name, part in parts.items()
    }


def _too_deep(value: dict[str, Any] | list[Any], room: int) -> bool:
    items = value.values() if isinstance(value, dict) else value
    # Most items are plain: only those that hold others are worth a call.
    return room == 0 or any(
        _too_deep(item, room - 1) for item in items if isinstance(item, dict | list)
    )


def _dump_mapping(raw: Mapping[str, Any]) -> str:
    wanted = "an object that JSON can express"
    try:  # json, because msgspec would write what JSON has not, such as a datetime
        text = json.dumps(dict(raw), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        as_it_came = _has_text_keys(raw)
    except (TypeError, ValueError, RecursionError):
        raise InvalidEvent("$", wanted=wanted, got="Python values that it can't") from None
    if not as_it_came:  # json made strings of them
        raise InvalidEvent("$", wanted=wanted, got="a key that is no string")
    return text


def _has_text_keys(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))


def dump(value: object) -> str:
    """*value* as JSON text; a time may be of a subclass, such as tests have that set the clock."""
    return msgspec.json.encode(value, enc_hook=_subclassed).decode()


def _subclassed(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


_LEAP_SECOND: Final = re.compile(r"(?<=:59):60(?:[.,]\d+)?(?=[Z+-])")


def parse_time(value: object, path: str, *, leap_second: bool = False) -> datetime:
    """A timestamp with a zone, as RFC 3339 or ISO 8601 write it, in UTC.

    With *leap_second*, one such as ``23:59:60Z`` is the last microsecond before it.

    Raises:
        InvalidEvent: Not a string, not a timestamp, without a zone, or beyond the calendar.
    """
    wanted = "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z"
    # fromisoformat reads over some of what is not printable, such as a NUL at the end.
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value))
    text, leaps = value.upper(), 0
    if leap_second and ":60" in text:
        text, leaps = _LEAP_SECOND.subn(":59.999999", text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise InvalidEvent(path, wanted=wanted, got="one without a zone, or no time of day")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value)) from None
    if leaps and (moment.hour, moment.minute) != (23, 59):
        raise InvalidEvent(path, wanted=wanted, got="a leap second at another time of day")
    return moment


def read_id(value: object, path: str, limits: Limits) -> str:
    """*value* as an id, or a type.

    Raises:
        InvalidEvent: Not a string, empty, too long, or with characters that can't be stored.
    """
    if is_id(value) and len(str(value)) <= limits.id_characters:
        return str(value)
    wanted = f"a string of 1 to {limits.id_characters} characters, without NUL or lone surrogates"
    raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value))
