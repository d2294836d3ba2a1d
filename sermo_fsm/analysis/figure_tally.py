"""Count figures, visit by visit; the definitions are in :mod:`sermo_fsm.views.figure_facts`."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from attrs import define, evolve, field, frozen

from sermo_fsm.analysis.load import LoadTally, hour_of
from sermo_fsm.analysis.median import Median
from sermo_fsm.analysis.system_zone import system_zone_name
from sermo_fsm.core.json_form import json_name
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import CloseReason
from sermo_fsm.views.figure_facts import Fact, Thresholds, facts_of
from sermo_fsm.views.figures import (
    Abandonment,
    Containment,
    Distribution,
    FigureGroup,
    Figures,
    Grouping,
    HandleTime,
    LoadHour,
    QueueTime,
    Rate,
    RateByEnd,
    RepeatVisits,
    ServiceLevel,
    Transfers,
    VisitCounts,
)
from sermo_fsm.views.visit import Opener, StayEnd, Visit

__all__ = ["ALL", "FigureTally", "Question"]

ALL: Final = "all"
"""The group of all visits, if nobody asked for groups."""

_NOBODY_RETURNS: Final = (
    "no visit on {} is any user's second: user ids may be new with every visit there, so who came "
    "back can't be known"
)
_TOO_RECENT: Final = (
    "{} of the visits ended within the last {}: who comes back is not known yet, so they are left "
    "out"
)


@frozen(kw_only=True)
class Question:
    """What is asked for.

    Attributes:
        since: Only visits that opened then or later.
        until: Only visits that opened earlier.
        platform: Only visits to this platform.
        by: What to put visits into groups by; None for all in one.
        zone: The zone of hours, days and weeks; None for the system's.
        thresholds: What is in time, and what is short.
        now: When the question is asked.
    """

    since: datetime | None = None
    until: datetime | None = None
    platform: str | None = None
    by: Grouping | None = None
    zone: tzinfo | None = UTC
    thresholds: Thresholds = field(factory=Thresholds)
    now: datetime

    def group_of(self, visit: Visit) -> str:
        """The name of the group of *visit*."""
        opened_at = visit.opened_at.astimezone(self.zone)
        match self.by:
            case Grouping.HOUR:
                hour = hour_of(visit.opened_at, self.zone).astimezone(self.zone)
                return hour.isoformat(timespec="minutes")
            case Grouping.DAY:
                return opened_at.date().isoformat()
            case Grouping.WEEK:
                year, week, _ = opened_at.isocalendar()
                return f"{year}-W{week:02}"
            case Grouping.PLATFORM:
                return visit.platform_id
            case Grouping.AGENT:
                agents = (stay.agent_id or "" for stay in visit.stays_in(State.WITH_AGENT))
                return next(agents, "")
            case _:
                return ALL

    @property
    def zone_name(self) -> str:
        """The name of the zone."""
        if self.zone is None:
            return system_zone_name()
        return str(self.zone)


@define
class FigureTally:
    """The figures of each group so far."""

    question: Question
    _groups: dict[str, "_GroupTally"] = field(factory=lambda: defaultdict(_GroupTally))
    _load: LoadTally = field(init=False)
    _returning: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._load = LoadTally(self.question.zone, self.question.until)
        if self.question.by is None:
            self._groups[ALL] = _GroupTally()

    def add(self, visit: Visit) -> None:
        """Count a visit."""
        name = self.question.group_of(visit)
        group = self._groups[name]
        for fact in facts_of(visit, self.question.thresholds, self.question.now):
            group.add(fact, visit.platform_id)
        for stay in visit.stays:
            self._load.add(name, stay)
        if visit.has_others:
            self._returning.add(visit.platform_id)

    def advance(self, moment: datetime) -> None:
        """No visit will come any more that opened before *moment*."""
        self._load.advance(moment)

    def result(self) -> Figures:
        """The figures of all visits."""
        self._load.advance(None)
        # Where clocks are put back an hour comes twice, and the second one has the smaller name.
        order = datetime.fromisoformat if self.question.by is Grouping.HOUR else str
        return Figures(
            since=self.question.since,
            until=self.question.until,
            zone=self.question.zone_name,
            groups={
                name: self._groups[name].result(self._load.result(name), self._returning)
                for name in sorted(self._groups, key=order)
            },
        )


_Lengths = tuple[int, timedelta | None, timedelta | None, timedelta | None]
"""How many, and their median, 90th percentile and mean."""


@define
class _GroupTally:
    """The facts of a group: how many of each there are by platform, and how long they took."""

    counts: Counter[tuple[str, str, str, str]] = field(factory=Counter)
    lengths: dict[tuple[str, str | None], Median] = field(factory=lambda: defaultdict(Median))

    def add(self, fact: Fact, platform: str) -> None:
        self.counts[fact.figure, fact.part, fact.by, platform] += 1
        if fact.length is not None:
            self.lengths[fact.figure, None].add(fact.length)
            if fact.part:
                self.lengths[fact.figure, fact.part].add(fact.length)

    def result(self, load: tuple[LoadHour, ...], returning: set[str]) -> FigureGroup:
        platforms = {platform for *_, platform in self.counts}
        seen, unseen = platforms & returning, sorted(platforms - returning)
        abandoned = self._count("abandonment", "abandoned")
        in_time, late = (self._count("serviceLevel", part) for part in ("inTime", "tooLate"))
        group = FigureGroup(
            visits=self._visits(),
            time_in_queue=QueueTime(*self._length("timeInQueue"), self._by_end()),
            first_bot_response=Distribution(*self._length("firstBotResponse")),
            first_human_response=Distribution(*self._length("firstHumanResponse")),
            first_human_response_from_handover=Distribution(
                *self._length("firstHumanResponseFromHandover")
            ),
            handle_time=HandleTime(*self._length("handleTime"), self._by_agent()),
            abandonment=Abandonment(
                abandoned,
                abandoned + self._count("abandonment", "notAbandoned"),
                short=self._count("abandonment", "short"),
                queue_closed=self._count("abandonment", "queueClosed"),
            ),
            service_level=ServiceLevel(
                in_time, in_time + late + abandoned, answered=in_time + late, abandoned=abandoned
            ),
            containment=self._containment(known=not unseen or bool(seen)),
            transfers=Transfers(*(self._count("transfers", to) for to in _TRANSFERS)),
            repeat_visits=self._repeat_visits(seen, known=not unseen or bool(seen)),
            load=load,
            notes={},
        )
        return evolve(group, notes=_notes(group, unseen))

    def _count(
        self, figure: str, part: str | None = None, by: str | None = None, at: Any = None
    ) -> int:
        """How often there was such a fact, on the platforms *at*; None does not restrict it."""
        return sum(
            count
            for (its_figure, its_part, its_by, platform), count in self.counts.items()
            if its_figure == figure
            and part in (None, its_part)
            and by in (None, its_by)
            and (at is None or platform in at)
        )

    def _length(self, figure: str, part: str | None = None) -> _Lengths:
        found = self.lengths.get((figure, part))
        if found is None:
            return 0, None, None, None
        return found.count, found.value(), found.value(90), found.mean()

    def _by_end(self) -> dict[str, Distribution]:
        ends = (json_name(end) for end in StayEnd if end is not StayEnd.QUEUE)
        return {end: Distribution(*self._length("timeInQueue", end)) for end in ends}

    def _by_agent(self) -> dict[str, Distribution]:
        agents = sorted(part for figure, part in self.lengths if figure == "handleTime" and part)
        return {agent: Distribution(*self._length("handleTime", agent)) for agent in agents}

    def _visits(self) -> VisitCounts:
        return VisitCounts(
            opened=self._count("visits"),
            by_opener={opener.value: self._count("visits", by=opener) for opener in Opener},
            by_end={reason.value: self._count("visits", reason) for reason in CloseReason},
            live=self._count("visits", "live"),
        )

    def _containment(self, *, known: bool) -> Containment:
        left, silent, closed, back, recent = (
            self._count("containment", part)
            for part in ("left", "wentSilent", "closed", "cameBack", "tooRecent")
        )
        contained = left + silent + closed
        wrote = self._count("containment") - recent
        returned = back if known else None
        return Containment(contained, wrote, left, silent, closed, returned, recent)

    def _repeat_visits(self, platforms: set[str], *, known: bool) -> RepeatVisits:
        if not known:
            unknown = RateByEnd(None, None, too_recent=None)
            return RepeatVisits(unknown, unknown)

        def count(parts: tuple[str, ...], by: str | None = None) -> int:
            return sum(self._count("repeatVisits", part, by, platforms) for part in parts)

        def rate(again: tuple[str, ...], alone: tuple[str, ...]) -> RateByEnd:
            ends = {end: count(again + alone, end) for end in CloseReason}
            by_end = {end.value: Rate(count(again, end), n) for end, n in ends.items() if n}
            over = count(again + alone)
            recent = self._count("repeatVisits", at=platforms) - over
            return RateByEnd(count(again), over, by_end, recent)

        return RepeatVisits(
            rate(
                ("within24Hours", "within24HoursSoFar"),
                ("within7Days", "notRepeated", "notWithin24HoursSoFar"),
            ),
            rate(("within24Hours", "within7Days"), ("notRepeated",)),
        )


_TRANSFERS: Final = ("toQueue", "toAgent", "toBot")


def _notes(group: FigureGroup, unseen: list[str]) -> dict[str, str]:
    """Why a figure of *group* is not known, or not known of some visits or platforms *unseen*."""
    notes = {}
    if unseen:
        why = _NOBODY_RETURNS.format(", ".join(unseen))
        notes = {"containment.cameBack": f"{why}, and the rate may be too high"}
        notes["repeatVisits"] = f"{why}, and visits there are left out"
    for place, time, recent in (
        ("containment", "24 h", group.containment.too_recent),
        ("repeatVisits.within24Hours", "24 h", group.repeat_visits.within_24_hours.too_recent),
        ("repeatVisits.within7Days", "7 days", group.repeat_visits.within_7_days.too_recent),
    ):
        if recent:
            notes[place] = _TOO_RECENT.format(recent, time)
    for name in ("abandonment", "service_level", "containment"):
        if getattr(group, name).rate is None:
            notes[f"{json_name(name)}.rate"] = "the denominator is 0"
    return notes
