"""Durations in words."""

from datetime import timedelta
from typing import Final

__all__ = ["format_duration"]

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def format_duration(duration: timedelta) -> str:
    """Return a duration in its largest unit and the next smaller one: ``2 min 10 s``."""
    seconds = int(duration.total_seconds())
    if seconds < 1:
        return "under 1 s" if duration else "0 s"
    parts = []
    for unit, name in _UNITS:
        count, seconds = divmod(seconds, unit)
        parts.append(f"{count} {name}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)
