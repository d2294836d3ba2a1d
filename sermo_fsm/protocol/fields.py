"""What a field of an event may hold.

A check is the validator of a field, whose metadata say what it is called on the ``wire``. It holds
for an event that was read and for one that was made in Python.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import Attribute  # noqa: TC002 - attrs reads the annotation

from sermo_fsm.errors import InvalidEvent

__all__ = [
    "AN_ID",
    "BIGGEST_INTEGER",
    "ID",
    "ID_CHARACTERS",
    "MILLISECONDS",
    "OPTIONAL_NAME",
    "OPTIONAL_TEXT",
    "OPTIONAL_TIME",
    "QUEUE_PLACE",
    "TEXT",
    "check",
    "is_id",
    "kind_of_value",
    "optional",
]

ID_CHARACTERS: Final = 255
"""The longest id that the columns hold, in characters."""

BIGGEST_INTEGER: Final = 2**63 - 1
"""The biggest integer that the columns hold."""


def kind_of_value(value: object) -> str:
    """What *value* is in the words of JSON: never the value itself, it may be a customer's."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a string of {len(value)} characters"
        case datetime():
            return "a timestamp"
        case list() | tuple():
            return "an array"
        case Mapping():
            return "an object"
        case _:
            return f"a Python {type(value).__name__}"


_Check = Callable[[Any, "Attribute[Any]", Any], None]


def check(wanted: str, holds: Callable[[Any], bool]) -> _Check:
    """A check that a field holds what is *wanted*."""

    def validate(_: object, attribute: "Attribute[Any]", value: Any) -> None:
        if not holds(value):
            path = f"$.{attribute.metadata['wire']}"
            raise InvalidEvent(path, wanted=wanted, got=kind_of_value(value))

    return validate


def _storable(value: str) -> bool:
    """Whether every database takes *value* as text: no NUL, no lone surrogate."""
    if value.isascii():
        return "\0" not in value
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def is_id(value: object) -> bool:
    """Whether *value* can be an id: 1 to 255 characters that every database can store."""
    return isinstance(value, str) and 0 < len(value) <= ID_CHARACTERS and _storable(value)


def _is_moment(value: object) -> bool:
    """Whether *value* is a moment that UTC can express."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return False
    try:
        value.astimezone(UTC)
    except OverflowError:  # its zone carries it beyond the calendar
        return False
    return True


def optional(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The same, or nothing."""
    return lambda value: value is None or holds(value)


AN_ID: Final = "a string of 1 to 255 characters, without NUL or lone surrogates"
ID = check(AN_ID, is_id)
TEXT = check("a string", lambda value: isinstance(value, str))
OPTIONAL_TEXT = check("a string", optional(lambda value: isinstance(value, str)))
OPTIONAL_NAME = check(
    "a string without NUL or lone surrogates",
    optional(lambda value: isinstance(value, str) and _storable(value)),
)
OPTIONAL_TIME = check(
    "a timestamp with a zone, such as 2020-02-18T12:14:11.386Z",
    optional(_is_moment),
)
MILLISECONDS = check(
    "a number of milliseconds, 0 or more",
    optional(
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 <= value < float("inf")
        )
    ),
)
QUEUE_PLACE = check(
    f"an integer from 0 to {BIGGEST_INTEGER}",
    lambda value: type(value) is int and 0 <= value <= BIGGEST_INTEGER,
)
