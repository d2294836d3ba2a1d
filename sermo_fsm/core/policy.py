"""The durations of a host: where chats end, which times we believe, how long what is kept."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import field, fields, frozen

from sermo_fsm.errors import InvalidArgument

__all__ = ["A_LENGTH", "Durations", "Policy", "Retention", "length_of"]

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
class Retention:
    """How long what is stored is kept, for ``ChatEngine.retain``; None for ever.

    Attributes:
        bodies: What people wrote, and the names of agents, after the close of the chat.
        pictures: Pictures, after the close of the chat.
        people: Who wrote, after the close of the person's last chat. Then the person is erased.
        strays: Texts, reasons and users of rows without a session, after they were received.
    """

    bodies: timedelta | None = field(default=None, validator=_positive_or_none)
    pictures: timedelta | None = field(default=None, validator=_positive_or_none)
    people: timedelta | None = field(default=None, validator=_positive_or_none)
    strays: timedelta | None = field(default=None, validator=_positive_or_none)


@frozen(kw_only=True)
class Policy(Durations):
    """The durations for all platforms, and for those that want their own.

    >>> Policy(platforms={"messenger": Durations(idle_timeout=None)})

    Attributes:
        max_ahead: How far ahead of the clock of this machine a receive time may be. An event that
            is further ahead is ``invalid``, because it would silence its customer until then; None
            for never.
        platforms: The platforms that have durations of their own, by ``platformId``.
        retention: How long what is stored is kept on all platforms.
        retention_on: The platforms on which that is otherwise, by ``platformId``.
    """

    max_ahead: timedelta | None = field(default=timedelta(hours=1), validator=_positive_or_none)
    platforms: Mapping[str, Durations] = field(factory=dict)
    retention: Retention = field(factory=Retention)
    retention_on: Mapping[str, Retention] = field(factory=dict)

    @property
    def forgets(self) -> bool:
        """Whether anything is too old one day."""
        return any(one != Retention() for one in (self.retention, *self.retention_on.values()))

    def of(self, platform_id: str) -> Durations:
        """The durations of this platform."""
        return self.platforms.get(platform_id, self)

    def latest(self, now: datetime) -> datetime | None:
        """The latest receive time that is believed *now*; None if any is."""
        return None if self.max_ahead is None else now + self.max_ahead

    @classmethod
    def from_toml(cls, text: str) -> "Policy":
        """A policy as a person writes it: durations in seconds, ``false`` for never.

        How long what is stored is kept may have a unit, and ``false`` is for ever. Fields that a
        platform leaves out are those of all platforms::

            idle_timeout = 1800
            max_ahead = 3600

            [retain]
            bodies = "90d"
            people = "2y"

            [platforms.messenger]
            idle_timeout = false

            [platforms.messenger.retain]
            bodies = "30d"

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
        for name, table in platforms.items():
            if not isinstance(table, dict):
                raise InvalidArgument(f"platforms.{name}", wanted="a table", got=table)
        kept = _durations(document.pop("retain", {}), "retain.", _KEPT)
        kept_on = {
            name: Retention(
                **kept | _durations(table.pop("retain"), f"platforms.{name}.retain.", _KEPT)
            )
            for name, table in platforms.items()
            if "retain" in table
        }
        everywhere = _durations(document, "", _SETTABLE, "retain", "platforms")
        shared = {name: everywhere[name] for name in _OF_A_PLATFORM if name in everywhere}
        own = {
            name: Durations(
                **shared | _durations(table, f"platforms.{name}.", _OF_A_PLATFORM, "retain")
            )
            for name, table in platforms.items()
        }
        return cls(**everywhere, platforms=own, retention=Retention(**kept), retention_on=kept_on)


_OF_A_PLATFORM: Final = tuple(item.name for item in fields(Durations))
_SETTABLE: Final = (*_OF_A_PLATFORM, "max_ahead")
_KEPT: Final = tuple(item.name for item in fields(Retention))
_CAN_BE_NEVER: Final = ("idle_timeout", "max_ahead", *_KEPT)

A_LENGTH: Final = "a length such as 12h, 90d, 8w or 2y (of 365 days)"
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,5})([hdwy])")
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}


def length_of(text: str) -> timedelta:
    """A length of time as people type it.

    Raises:
        InvalidArgument: It is none, or longer than any that can be set.
    """
    found = _LENGTH.fullmatch(text)
    length = timedelta(hours=int(found[1]) * _HOURS[found[2]]) if found else timedelta()
    if not timedelta() < length <= _LONGEST:
        raise InvalidArgument("length", wanted=A_LENGTH, got=text)
    return length


def _durations(table: Any, where: str, names: Sequence[str], *tables: str) -> dict[str, Any]:
    """The durations of these names; *tables* is what else may stand there."""
    if not isinstance(table, dict):
        raise InvalidArgument(where.rstrip("."), wanted="a table", got=table)
    durations: dict[str, timedelta | None] = {}
    for name, value in table.items():
        if name not in names:
            raise InvalidArgument(where + name, wanted=" or ".join((*names, *tables)), got=name)
        if value is False and name in _CAN_BE_NEVER:
            durations[name] = None
        elif isinstance(value, str) and name in _KEPT:
            try:
                durations[name] = length_of(value)
            except InvalidArgument as error:
                raise InvalidArgument(where + name, error.wanted, value) from None
        else:
            durations[name] = _seconds(value, where + name)
    return durations


def _seconds(value: Any, where: str) -> timedelta:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 < value <= _LONGEST.total_seconds() and (seconds := timedelta(seconds=value)):
        return seconds
    raise InvalidArgument(where, wanted=_SECONDS, got=value)
