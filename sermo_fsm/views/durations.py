"""Lengths of time, as a person reads them."""

from datetime import timedelta
from typing import Final

__all__ = ["format_duration"]

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def format_duration(length: timedelta) -> str:
    """A length of time in the two greatest units that matter: ``2 min 10 s``."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return "under 1 s" if length else "0 s"
    parts = []
    for unit, name in _UNITS:
        count, seconds = divmod(seconds, unit)
        parts.append(f"{count} {name}" if count else "")
    first = next(place for place, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)
