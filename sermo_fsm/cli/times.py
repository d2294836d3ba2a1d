"""Times as people type and read them, in a zone of theirs.

A zone of None is that of the system, with its summer and winter times.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

__all__ = ["A_TIME", "read_time", "zone_named"]

A_TIME: Final = (
    "a date (2026-03-01), a time of day (14:30), both, a timestamp (2026-03-01T14:30:00Z), "
    "or words such as now, today, yesterday 14:30, 2 hours ago"
)
"""What :func:`read_time` understands, for an error message."""

_AGO: Final = re.compile(
    r"(\d{1,9}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?) ago"
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}


def zone_named(name: str) -> tzinfo:
    """The time zone with this IANA name.

    Raises:
        ValueError: There is none, or this machine has no data about time zones.
    """
    if name.upper() == "UTC":  # known without any data
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (LookupError, OSError) as error:
        raise ValueError(name) from error


def read_time(text: str, zone: tzinfo | None, now: datetime) -> datetime:
    """A time in UTC, from one of the forms that :data:`A_TIME` names.

    Args:
        zone: That of a time that names none, and of today.

    Raises:
        ValueError: It is none, or beyond the calendar.
    """
    # fromisoformat reads over some of what is not printable, such as a NUL at the end.
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    words = " ".join(text.lower().split())
    if words == "now":
        return now
    try:
        if ago := _AGO.fullmatch(words):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2][0]])
        moment = datetime.fromisoformat(_dated(words, now.astimezone(zone).date()).upper())
        # Without a zone it is taken for the system's by astimezone().
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def _dated(words: str, today: date) -> str:
    """*words* with a date for ``today`` and ``yesterday``, and before a mere time of day."""
    words = re.sub(r"(^| )(\d:)", r"\g<1>0\2", words)  # 9:30
    if re.match(r"\d\d:", words):
        return f"{today} {words}"
    for name, days in _DAYS_AGO.items():
        if words.startswith(name):
            return f"{today - timedelta(days)}{words.removeprefix(name)}"
    return words
