"""What a board shows, and to whom."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from attrs import field, frozen

from sermo_fsm.analysis.system_zone import system_zone_name
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.views.figure_facts import TARGET

__all__ = ["LOOPBACK", "SHORTEST_TOKEN", "Settings"]

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""The names that a browser on the same machine knows it by."""
SHORTEST_TOKEN: Final = 16
_MOST_SECONDS: Final = 3600.0


def _check_every(_: object, __: object, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= _MOST_SECONDS:
        wanted = f"a number of seconds, more than 0 and at most {_MOST_SECONDS:.0f}"
        raise InvalidArgument("every", wanted=wanted, got=value)


def _check_token(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value) < SHORTEST_TOKEN or not _is_plain(value):
        wanted = f"{SHORTEST_TOKEN} or more letters, digits and signs of ASCII, without a space"
        raise InvalidArgument("token", wanted=wanted, got="something else")


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def _check_zone(_: object, __: object, value: Any) -> None:
    if value is not None and not isinstance(value, tzinfo):
        raise InvalidArgument("zone", wanted="a tzinfo or None", got=value)


def _check_target(_: object, __: object, value: Any) -> None:
    if not isinstance(value, timedelta) or value < timedelta():
        raise InvalidArgument("target", wanted="a timedelta of zero or more", got=value)


def _names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        raise InvalidArgument("hosts", wanted="names of hosts, or None", got=value)
    return None if value is None else tuple(name.lower().strip("[]") for name in value)


@frozen(kw_only=True)
class Settings:
    """What a board shows, and to whom.

    Attributes:
        bodies: Whether what people wrote and agents are called is shown.
        ids: Whether users' ids are shown whole.
        zone: The time zone of what is shown; None for the system's.
        target: How long a customer may wait.
        every: Seconds between two looks at the database, while somebody watches.
        hosts: The names that the board is asked for by; None for any.
        token: What a viewer must know; None for nothing.
    """

    bodies: bool = False
    ids: bool = False
    zone: tzinfo | None = field(default=None, validator=_check_zone)
    target: timedelta = field(default=TARGET, validator=_check_target)
    every: float = field(default=1.0, validator=_check_every)
    hosts: Sequence[str] | None = field(default=LOOPBACK, converter=_names)
    token: str | None = field(default=None, validator=_check_token, repr=False)

    @property
    def zone_name(self) -> str:
        """What the time zone is called."""
        return system_zone_name() if self.zone is None else str(self.zone)

    def midnight(self, now: datetime | None = None) -> datetime:
        """When today began, in UTC."""
        today = (now or datetime.now(UTC)).astimezone(self.zone).date()
        return self.start_of(today.isoformat())

    def start_of(self, day: str, *, later: int = 0) -> datetime:
        """When a day began, or so many days later, in UTC.

        Raises:
            ValueError: It is no date such as 2026-03-01, or beyond the calendar.
        """
        try:
            begun = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=self.zone)
            # Without a zone it is taken for the system's.
            return (begun + timedelta(days=later)).astimezone(UTC)
        except OverflowError as error:
            raise ValueError(day) from error

    def user(self, user_id: str) -> str:
        """A user's id as it may be shown: of one that is shortened at most a third."""
        if self.ids:
            return user_id
        return f"{user_id[: min(_SHOWN, len(user_id) // 3)]}…"


_SHOWN: Final = 6  # characters
