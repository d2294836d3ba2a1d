"""The three durations that decide where one chat ends and the next begins."""

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import field, fields, frozen

from sermo_fsm.errors import InvalidArgument

__all__ = ["Durations", "Policy"]

_LONGEST: Final = timedelta(days=36500)  # keeps every deadline within the calendar
_A_DURATION: Final = "a timedelta, longer than nothing and at most 36500 days"
_SECONDS: Final = f"a number of seconds, more than 0 and at most {_LONGEST.total_seconds():.0f}"


def _positive(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, timedelta) or not timedelta() < value <= _LONGEST:
        raise InvalidArgument(attribute.name, wanted=_A_DURATION, got=value)


def _positive_or_none(_: object, attribute: Any, value: object) -> None:
    if value is not None:
        _positive(_, attribute, value)


@frozen(kw_only=True)
class Durations:
    """How long a customer who says nothing is believed to be there (docs/design.md, section 5).

    Attributes:
        unload_grace: How long after a ``client_unload`` the customer may come back on the same
            chat, and how long after a ``client_left`` the client's last heartbeats may trickle in.
        idle_timeout: How long after any other sign of the customer; None for never.
        linger: How long after the close what belongs to the old chat may still arrive, and for
            how long a customer who was only believed gone finds everything as it was.
    """

    unload_grace: timedelta = field(default=timedelta(seconds=60), validator=_positive)
    idle_timeout: timedelta | None = field(
        default=timedelta(minutes=30), validator=_positive_or_none
    )
    linger: timedelta = field(default=timedelta(minutes=30), validator=_positive)


@frozen(kw_only=True)
class Policy(Durations):
    """The durations for all platforms, and for those that want their own.

    >>> Policy(platforms={"messenger": Durations(idle_timeout=None)})
    """

    platforms: Mapping[str, Durations] = field(factory=dict)

    def of(self, platform_id: str) -> Durations:
        """The durations of this platform."""
        return self.platforms.get(platform_id, self)

    @classmethod
    def from_toml(cls, text: str) -> "Policy":
        """A policy as a person writes it: durations in seconds, ``false`` for never.

        Fields that a platform leaves out are those of all platforms::

            idle_timeout = 1800

            [platforms.messenger]
            idle_timeout = false

        Raises:
            InvalidArgument: Not TOML, an unknown name, or a value that is no duration.
        """
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # also a number too long, nesting too deep
            raise InvalidArgument("policy", wanted="TOML", got=str(error)) from None
        platforms = document.pop("platforms", {})
        if not isinstance(platforms, dict):
            raise InvalidArgument("platforms", wanted="a table for each platform", got=platforms)
        everywhere = _durations(document, "")
        own = {
            name: Durations(**{**everywhere, **_durations(table, f"platforms.{name}.")})
            for name, table in platforms.items()
        }
        return cls(**everywhere, platforms=own)


def _durations(table: Any, where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise InvalidArgument(where.rstrip("."), wanted="a table", got=table)
    names = [attribute.name for attribute in fields(Durations)]
    durations: dict[str, timedelta | None] = {}
    for name, value in table.items():
        if name not in names:
            raise InvalidArgument(where + name, wanted=" or ".join(names), got=name)
        if value is False and name == "idle_timeout":
            durations[name] = None
        else:
            durations[name] = _seconds(value, where + name)
    return durations


def _seconds(value: Any, where: str) -> timedelta:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 < value <= _LONGEST.total_seconds() and (seconds := timedelta(seconds=value)):
        return seconds
    raise InvalidArgument(where, wanted=_SECONDS, got=value)
