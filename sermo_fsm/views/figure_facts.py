"""What one visit says to each figure: the definitions, in one place.

The counting of figures and the lists of the chats behind them are both made of these facts.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from sermo_fsm.core.json_form import json_name
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import CloseReason
from sermo_fsm.views.visit import Stay, StayEnd, Visit

__all__ = ["DAY", "SHORT", "TARGET", "WEEK", "Fact", "Thresholds", "facts_of"]

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
TARGET: Final = timedelta(seconds=60)
SHORT: Final = timedelta(seconds=10)


@frozen
class Thresholds:
    """Where the lines are drawn.

    Attributes:
        target: An answer within this time is in time.
        short: Who gives up sooner has hardly waited.
    """

    target: timedelta = TARGET
    short: timedelta = SHORT


@frozen
class Fact:
    """One thing that counts for a figure.

    Attributes:
        figure: The figure, by its name in JSON.
        part: Which part of it this counts for.
        by: What the part is divided by, such as how the visit ended.
        length: How long it took, if it took time.
    """

    figure: str
    part: str
    by: str = ""
    length: timedelta | None = None


def facts_of(visit: Visit, thresholds: Thresholds, now: datetime) -> Iterator[Fact]:
    """What *visit* says at *now* to each figure; one that is not over only counts as live."""
    reason = visit.close_reason
    yield Fact("visits", "live" if reason is None else reason, visit.opened_by)
    if reason is None:
        return
    yield from _responses(visit)
    for stay in visit.stays_in(State.QUEUED):
        yield from _wait(stay, visit, thresholds)
    for stay in visit.stays_in(State.WITH_AGENT):
        yield Fact("handleTime", stay.agent_id or "", length=stay.length)
    yield from _transfers(visit)
    if visit.customer_wrote_at is not None:
        yield Fact("containment", _containment(visit, reason, now))
    yield Fact("repeatVisits", _repeat(visit, now), reason)


def _responses(visit: Visit) -> Iterator[Fact]:
    for figure, asked_at, answered_at in (
        ("firstBotResponse", visit.customer_wrote_at, visit.bot_answered_at),
        ("firstHumanResponse", visit.customer_wrote_at, visit.human_answered_at),
        ("firstHumanResponseFromHandover", visit.handed_over_at, visit.human_took_over_at),
    ):
        if asked_at is not None and answered_at is not None:
            yield Fact(figure, "", length=answered_at - asked_at)


def _wait(stay: Stay, visit: Visit, thresholds: Thresholds) -> Iterator[Fact]:
    length, end = stay.length, stay.end
    yield Fact("timeInQueue", json_name(end or ""), length=length)
    abandoned = stay is visit.abandoned
    if abandoned and length < thresholds.short:
        yield Fact("abandonment", "short", length=length)
    elif abandoned:
        yield Fact("abandonment", "abandoned", length=length)
        yield Fact("serviceLevel", "abandoned", length=length)
    else:
        part = "queueClosed" if end == StayEnd.QUEUE_CLOSED else "notAbandoned"
        yield Fact("abandonment", part, length=length)
    if end == StayEnd.AGENT:
        part = "inTime" if length <= thresholds.target else "tooLate"
        yield Fact("serviceLevel", part, length=length)


_TRANSFERS: Final = {
    StayEnd.QUEUE: "toQueue",
    StayEnd.AGENT: "toAgent",
    StayEnd.BOT: "toBot",
}


def _transfers(visit: Visit) -> Iterator[Fact]:
    for stay in visit.stays_in(State.WITH_AGENT):
        if stay.end in _TRANSFERS:
            yield Fact("transfers", _TRANSFERS[stay.end])


_CONTAINED: Final = {
    CloseReason.CLIENT_LEFT: "left",
    CloseReason.CLIENT_UNLOAD: "left",
    CloseReason.IDLE: "wentSilent",
}


# Who comes back is not known of the visits of the last 24 h. All of them are left out: of these
# alone, those that are known already would be few and only of one kind.


def _containment(visit: Visit, reason: CloseReason, now: datetime) -> str:
    if visit.ended_within(DAY, now):
        return "tooRecent"
    if not visit.bot_only:
        return "notContained"
    return "cameBack" if visit.followed_within(DAY) else _CONTAINED.get(reason, "closed")


def _repeat(visit: Visit, now: datetime) -> str:
    if visit.ended_within(DAY, now):
        return "tooRecent"
    if visit.ended_within(WEEK, now):
        return "within24HoursSoFar" if visit.followed_within(DAY) else "notWithin24HoursSoFar"
    if visit.followed_within(DAY):
        return "within24Hours"
    return "within7Days" if visit.followed_within(WEEK) else "notRepeated"
