"""What a field of an event may hold, and how that is said in an error.

A field is annotated with one of these types; msgspec checks it, and the description is what an
error says was wanted.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

__all__ = [
    "AN_ID",
    "BIGGEST_INTEGER",
    "ID_CHARACTERS",
    "Id",
    "Milliseconds",
    "Name",
    "Object",
    "QueuePlace",
    "Text",
    "is_id",
    "kind_of_value",
]

ID_CHARACTERS: Final = 255
"""The longest id that the columns hold, in characters."""

BIGGEST_INTEGER: Final = 2**63 - 1
"""The biggest integer that the columns hold."""

AN_ID: Final = "a string of 1 to 255 characters, without NUL or lone surrogates"
_A_PLACE: Final = f"an integer from 0 to {BIGGEST_INTEGER}"

_NO_NUL: Final = r"^[^\0]*\Z"  # lone surrogates don't get as far as this
_A_NAME: Final = "a string without NUL or lone surrogates"
_A_TIME: Final = "a number of milliseconds, 0 or more"

Id = Annotated[
    str, Meta(min_length=1, max_length=ID_CHARACTERS, pattern=_NO_NUL, description=AN_ID)
]
Name = Annotated[str, Meta(pattern=_NO_NUL, description=_A_NAME)]
Text = Annotated[str, Meta(description="a string")]
Object = Annotated[Mapping[str, Any], Meta(description="an object")]
Milliseconds = (
    Annotated[int, Meta(ge=0, description=_A_TIME)]
    | Annotated[float, Meta(ge=0, description=_A_TIME)]
)
QueuePlace = Annotated[int, Meta(ge=0, le=BIGGEST_INTEGER, description=_A_PLACE)]


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


def is_id(value: object) -> bool:
    """Whether *value* can be an id: 1 to 255 characters that every database can store."""
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARACTERS or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
