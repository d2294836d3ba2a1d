"""JSON that anyone may have written, read with care.

What is not JSON, or more of it than there may be, is an :class:`~sermo_fsm.errors.InvalidEvent`.
Nothing is coerced, nothing else is raised.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from attrs import field, fields, frozen

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.fields import ID_CHARACTERS, is_id, kind_of_value

__all__ = [
    "Json",
    "Limits",
    "Parsed",
    "check_depth",
    "check_size",
    "dump",
    "parse",
    "parse_time",
    "read_id",
]


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


Json = bytes | bytearray | memoryview | str | Mapping[str, Any] | Parsed
"""JSON, parsed or not."""


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


def _too_deep(value: dict[str, Any] | list[Any], room: int) -> bool:
    items = value.values() if isinstance(value, dict) else value
    # Most items are plain: only those that hold others are worth a call.
    return room == 0 or any(
        _too_deep(item, room - 1) for item in items if isinstance(item, dict | list)
    )


def check_depth(value: dict[str, Any], most: int) -> None:
    """Objects and arrays inside each other, *value* itself included.

    Raises:
        InvalidEvent: There are more than *most*.
    """
    if _too_deep(value, most):
        raise InvalidEvent("$", wanted=f"nesting of at most {most} levels", got="more")


def parse(raw: Json, limits: Limits, *, slack: int = 0) -> Parsed:
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
        # Not the interpreter's own words: they change from one version to the next.
        got = f"something else at line {error.lineno}, column {error.colno}"
        raise InvalidEvent("$", wanted="JSON", got=got) from None
    except RecursionError:
        wanted = f"nesting of at most {depth} levels"
        raise InvalidEvent("$", wanted=wanted, got="more") from None
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


def check_size(parsed: Parsed, limits: Limits) -> None:
    """An event's size, with and without its image.

    Raises:
        InvalidEvent: It is larger than *limits* allow.
    """
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
    """A timestamp with a zone, as RFC 3339 or ISO 8601 write it, in UTC.

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
