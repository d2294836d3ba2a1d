"""What the core knows, as JSON: which names and forms its values have there."""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sermo_fsm.protocol.events import Agent

__all__ = ["json_form", "json_name", "time_view"]

_RENAMED: Final = {"from_state": "from", "to_state": "to"}


@cache
def json_name(name: str) -> str:
    """Return the name in JSON of a field or a property."""
    first, *others = _RENAMED.get(name, name).split("_")
    return first + "".join(map(str.capitalize, others))


def time_view(moment: datetime | None, zone: tzinfo | None = UTC) -> str | None:
    """Return a time as ``2020-02-18T12:14:11.386Z``, with microseconds only if it has any.

    Args:
        moment: The time, aware; None for no time.
        zone: The time zone; None for that of the system.
    """
    if moment is None:
        return None
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.astimezone(zone).isoformat(timespec=precision).replace("+00:00", "Z")


def json_form(value: object, names: Iterable[str]) -> dict[str, Any]:
    """Return these fields and properties of *value* as ``json.dumps`` takes them."""
    return {json_name(name): _plain(getattr(value, name)) for name in names}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return time_view(value)
        case StrEnum():
            return value.value
        case Agent():
            return {"id": value.id, "name": value.name, "type": value.type}
        case _:
            return value
