"""How many chats there are at the same time, hour by hour, in memory for those of one moment.

Stays may come in nearly any order: it has to be said from time to time that no more will come that
began before a moment. What was before it is then counted and forgotten.
"""

from collections import Counter, defaultdict
from datetime import datetime, timedelta, tzinfo
from heapq import heappop, heappush
from typing import Final

from attrs import define, field

from sermo_fsm.views.figures import Load, LoadHour
from sermo_fsm.views.visit import Stay

__all__ = ["LoadTally", "hour_of"]

_HOUR: Final = timedelta(hours=1)
_STATE: Final = 0
_AGENT: Final = 1

_Key = tuple[str, int, str]
"""A group, whether the next is a state or an agent, and its name."""


@define
class _Hour:
    """The chats in an hour: the sum of their times, and the most at once."""

    total: timedelta = timedelta()
    most: int = 0


@define
class LoadTally:
    """Counts stays in each group, by state and by agent.

    Attributes:
        zone: The zone whose hours they are; None for the system's.
        until: What happened later is not counted.
    """

    zone: tzinfo | None
    until: datetime | None
    _changes: list[tuple[datetime, int, _Key]] = field(factory=list)
    _chats: Counter[_Key] = field(factory=Counter)
    _since: dict[_Key, datetime] = field(factory=dict)
    _hours: dict[str, dict[datetime, dict[_Key, _Hour]]] = field(
        factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(_Hour)))
    )

    def add(self, group: str, stay: Stay) -> None:
        """Count a stay."""
        ended_at = stay.ended_at if self.until is None else min(stay.ended_at, self.until)
        if ended_at <= stay.began_at:
            return
        keys = [(group, _STATE, str(stay.state))]
        if stay.agent_id is not None:
            keys.append((group, _AGENT, stay.agent_id))
        for key in keys:
            heappush(self._changes, (stay.began_at, 1, key))
            heappush(self._changes, (ended_at, -1, key))  # before those that begin then

    def advance(self, moment: datetime | None) -> None:
        """No stay will come any more that began before *moment*; None for none at all."""
        while self._changes and (moment is None or self._changes[0][0] < moment):
            at, change, key = heappop(self._changes)
            self._spread(key, self._since.get(key, at), at)
            self._since[key] = at
            self._chats[key] += change
            if not self._chats[key]:
                del self._chats[key], self._since[key]

    def _spread(self, key: _Key, start: datetime, end: datetime) -> None:
        """Count the chats that there are, from *start* to *end*."""
        chats = self._chats[key]
        while start < end:
            hour = hour_of(start, self.zone)
            following = min(hour + _HOUR, end)
            found = self._hours[key[0]][hour][key]
            found.total += (following - start) * chats
            found.most = max(found.most, chats)
            start = following

    def result(self, group: str) -> tuple[LoadHour, ...]:
        """The hours of *group* in which there were chats; all stays have to be counted."""
        return tuple(
            LoadHour(hour.astimezone(self.zone), _named(found, _STATE), _named(found, _AGENT))
            for hour, found in sorted(self._hours.get(group, {}).items())
        )


def _named(found: dict[_Key, _Hour], kind: int) -> dict[str, Load]:
    return {
        name: Load(hour.total / _HOUR, hour.most)
        for (_, its_kind, name), hour in sorted(found.items())
        if its_kind == kind
    }


def hour_of(moment: datetime, zone: tzinfo | None) -> datetime:
    """The beginning of the hour of *moment* by the clocks of *zone*, in UTC."""
    local = moment.astimezone(zone)
    return moment - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
