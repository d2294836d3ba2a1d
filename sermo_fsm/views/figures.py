"""The figures of many visits, as values: what was counted, and how it looks in JSON.

A figure that can't be known is None, and ``notes`` says why.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import attrs
from attrs import field, frozen

from sermo_fsm.core.json_form import json_name, time_view

__all__ = [
    "FORMULAS",
    "LENGTHS",
    "Abandonment",
    "Containment",
    "Distribution",
    "FigureGroup",
    "Figures",
    "Grouping",
    "HandleTime",
    "Load",
    "LoadHour",
    "QueueTime",
    "Rate",
    "RateByEnd",
    "RepeatVisits",
    "ServiceLevel",
    "Transfers",
    "VisitCounts",
]


class Grouping(StrEnum):
    """By what visits are put into groups; each visit is in one of them.

    Attributes:
        HOUR: The hour in which the visit opened.
        DAY: The day on which it opened.
        WEEK: The week, from Monday on, in which it opened.
        PLATFORM: Its platform.
        AGENT: The agent who had it first; an empty text if none had it.
    """

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    PLATFORM = "platform"
    AGENT = "agent"


@frozen
class Distribution:
    """Many lengths of time, in brief; None if there are none.

    The median and the 90th percentile are lengths that occurred, up to 10 000 of them, and within
    0.8 % of one beyond.
    """

    n: int = 0
    median: timedelta | None = None
    p90: timedelta | None = None
    mean: timedelta | None = None


@frozen
class Rate:
    """A share: so many of so many. It is None if there is nothing to share, or if not known."""

    numerator: int | None = 0
    denominator: int | None = 0
    rate: float | None = field(init=False)

    @rate.default
    def _divide(self) -> float | None:
        return (
            self.numerator / self.denominator
            if self.denominator and self.numerator is not None
            else None
        )


@frozen(kw_only=True)
class VisitCounts:
    """How many visits opened, by who opened them and by how they ended; the rest is still live."""

    opened: int
    by_opener: Mapping[str, int]
    by_end: Mapping[str, int]
    live: int


@frozen
class QueueTime(Distribution):
    """The stays in the queue, all of them and by how they ended."""

    by_end: Mapping[str, Distribution] = field(factory=dict)


@frozen
class HandleTime(Distribution):
    """The stays with an agent, all of them and by agent."""

    by_agent: Mapping[str, Distribution] = field(factory=dict)


@frozen
class Abandonment(Rate):
    """The share of entries into the queue that were abandoned, and what is left out of it."""

    short: int = 0
    queue_closed: int = 0


@frozen
class ServiceLevel(Rate):
    """The share of waits that an agent answered within the target, and its parts."""

    answered: int = 0
    abandoned: int = 0


@frozen
class Containment(Rate):
    """The share of visits that the bot solved by itself, and what became of its visits.

    Those that ended within the last 24 h are only counted as too recent.
    """

    left: int = 0
    went_silent: int = 0
    closed: int = 0
    came_back: int | None = 0
    too_recent: int = 0


@frozen
class Transfers:
    """How often an agent gave a chat to the queue, to another agent, or to the bot."""

    to_queue: int = 0
    to_agent: int = 0
    to_bot: int = 0


@frozen
class RateByEnd(Rate):
    """A share of visits, of all and by how they ended; the most recent are counted apart."""

    by_end: Mapping[str, Rate] = field(factory=dict)
    too_recent: int | None = 0


@frozen
class RepeatVisits:
    """The share of visits that were followed by another of the same user, within two times."""

    within_24_hours: RateByEnd
    within_7_days: RateByEnd


@frozen
class Load:
    """How many chats there were at the same time in an hour: their time-weighted mean, and most."""

    mean: float
    max: int


@frozen
class LoadHour:
    """The chats in one hour, by state and by agent; where there was none, nothing is said."""

    hour: datetime
    states: Mapping[str, Load]
    agents: Mapping[str, Load]


@frozen(kw_only=True)
class FigureGroup:
    """All figures of one group of visits.

    All but ``visits`` and ``load`` are about the visits that are over.

    Attributes:
        visits: How many opened, by whom, and how they ended.
        time_in_queue: Each stay in the queue.
        first_bot_response: From the customer's first text to the next text of a bot.
        first_human_response: From the customer's first text to the next text of a human.
        first_human_response_from_handover: From the first handover to the next text of a human.
        handle_time: Each stay with an agent.
        abandonment: Who gave up waiting.
        service_level: Who was answered in time.
        containment: What the bot solved by itself.
        transfers: What agents passed on.
        repeat_visits: Who came again.
        load: How many chats there were at the same time, hour by hour.
        notes: Why a figure is not known, or not of all visits, by its place in the JSON.
    """

    visits: VisitCounts
    time_in_queue: QueueTime
    first_bot_response: Distribution
    first_human_response: Distribution
    first_human_response_from_handover: Distribution
    handle_time: HandleTime
    abandonment: Abandonment
    service_level: ServiceLevel
    containment: Containment
    transfers: Transfers
    repeat_visits: RepeatVisits
    load: tuple[LoadHour, ...]
    notes: Mapping[str, str]


@frozen(kw_only=True)
class Figures:
    """The figures of the visits that opened in a span of time (docs/design.md, section 8).

    Attributes:
        since: Visits that opened then or later are counted; None for no lower bound.
        until: Visits that opened earlier are counted; None for no upper bound.
        zone: The time zone that hours, days and weeks are those of, by its name; what the system's
            adds to UTC, if the name of that is not known.
        groups: The figures of each group; of all visits under ``all``, if nobody asked for groups.
    """

    since: datetime | None
    until: datetime | None
    zone: str
    groups: Mapping[str, FigureGroup]

    def as_dict(self) -> dict[str, Any]:
        """The figures as ``sermo-fsm figures --json`` prints them, ready for ``json.dumps``."""
        return {
            "since": time_view(self.since),
            "until": time_view(self.until),
            "zone": self.zone,
            "figures": {name: _form(group) for name, group in self.groups.items()},
        }


def _form(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case datetime():
            return value.isoformat(timespec="minutes")
        case Mapping():
            return {name: _form(one) for name, one in value.items()}
        case tuple():
            return [_form(one) for one in value]
        case _ if attrs.has(type(value)):
            return dict(_fields(value))
        case _:
            return value


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for name in (one.name for one in attrs.fields(type(value))):
        yield json_name(name), _form(getattr(value, name))


FORMULAS: Final = {
    "visits": (
        "visits that opened in the span; a visit is a session and those that resumed it. All other "
        "figures but the load are about those that are over"
    ),
    "timeInQueue": (
        "each stay in queued, from its entry to its end; an agent ends it by the first text or the "
        "claim. If the clock ended it, to the customer's last sign of life"
    ),
    "firstBotResponse": "from the customer's first text to the next text of a bot",
    "firstHumanResponse": "from the customer's first text to the next text of a human",
    "firstHumanResponseFromHandover": (
        "from the first entry into the queue to the next text of a human"
    ),
    "handleTime": (
        "each stay with an agent, until another agent has the chat or it goes elsewhere. If the "
        "clock ended it, to the customer's last sign of life"
    ),
    "abandonment": (
        "visits that ended from queued without a text of a human, waits under {short} left out, / "
        "entries into the queue, less those that the closing of the queue sent back, and less "
        "those short ones"
    ),
    "serviceLevel": (
        "waits that an agent ended within {target} / (waits that an agent ended + abandoned ones "
        "that were not under {short}); waits that ended otherwise are left out"
    ),
    "containment": (
        "visits in which a bot answered the customer, that were never queued or with an agent, and "
        "that no visit of the same user followed within 24 h of their end / visits in which the "
        "customer wrote; those that ended within the last 24 h are too recent and left out"
    ),
    "transfers": "moves from an agent to the queue, to another agent, and to the bot",
    "repeatVisits": (
        "visits followed by another of the same user within 24 h, and within 7 days, of their end "
        "/ visits; those that ended within the last 24 h, or 7 days, are too recent and left out"
    ),
    "load": (
        "chats in each state, and with each agent, at the same time: the mean over the hour, and "
        "the most. Only visits that opened in the span, live ones too"
    ),
}
"""What each figure is, by its name in JSON; ``{target}`` and ``{short}`` are lengths of time."""

LENGTHS: Final = (
    "The median is the length in the middle, or the lower one of the two there; p90 is the "
    "shortest one that at least 90 % of all do not exceed (nearest rank). Both occurred; beyond "
    "10 000 lengths they are within 0.8 % of one that did."
)
"""How lengths of time are put in brief."""
