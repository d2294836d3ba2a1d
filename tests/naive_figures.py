"""The figures a second time: from their definitions alone, over whole lists, slowly."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from sermo_fsm import ChatEngine, ChatSession, CloseReason, HistoryRow

REASONS = [reason.value for reason in CloseReason]
DAY = timedelta(days=1)


class Wait(NamedTuple):
    state: str
    agent: str | None
    start: datetime
    end: datetime
    by: HistoryRow | None

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def how(self) -> str:
        """How a stay in the queue ended."""
        assert self.by is not None
        if self.by.trigger == "platform_closed":
            return "queueClosed"
        if self.by.trigger == "expire":
            return "clock"
        if self.by.trigger == "client_left":
            return "customerLeft"
        return {"with_agent": "agent", "bot": "bot", "closed": "closed"}[str(self.by.to_state)]


class Visit:
    def __init__(self, sessions: list[ChatSession], rows: list[list[HistoryRow]]) -> None:
        self.sessions = sessions
        self.first, self.last = sessions[0], sessions[-1]
        self.rows = [row for some in rows for row in some if row.outcome in ("moved", "stayed")]
        self.waits = self._waits()
        self.over = not self.last.live
        self.reason = str(self.last.close_reason) if self.over else "live"
        self.next: Visit | None = None

    def _waits(self) -> list[Wait]:
        rows = [
            row
            for before, row, after in zip(
                [None, *self.rows], self.rows, [*self.rows[1:], None], strict=False
            )
            if not (before and after and row.trigger == "expire" and place(before) == place(after))
        ]
        runs = [list(run) for _, run in groupby(rows, place)]
        heard = [self.last.effective_at, *filter(None, [self.last.last_seen_at])]
        waits = []
        for run, following in zip(runs, [*runs[1:], None], strict=True):
            start, end = run[0].effective_at, following[0] if following else None
            if end is None:
                ended_at = max(start, *heard)
            elif end.trigger == "expire":
                ended_at = max(start, end.last_seen_at or start)
            else:
                ended_at = end.effective_at
            if run[0].to_state != "closed":
                waits.append(Wait(str(run[0].to_state), run[0].agent_id, start, ended_at, end))
        return waits

    def texts(self, trigger: str) -> list[datetime]:
        found = (row.received_at for row in self.rows if row.trigger == trigger)
        return sorted(at for at in found if at is not None)

    def in_state(self, state: str) -> list[Wait]:
        return [wait for wait in self.waits if wait.state == state]

    @property
    def abandoned(self) -> Wait | None:
        waiting = self.over and self.waits[-1].state == "queued" and not self.texts("agent_text")
        return self.waits[-1] if waiting else None

    @property
    def opener(self) -> str:
        row = self.rows[0]
        if row.direction == "inbound":
            return "customer"
        names = {"bot_text": "bot", "agent_text": "agent", "claim_session": "agent"}
        return names.get(str(row.trigger), "other")

    def comes_back(self, within: timedelta) -> bool:
        closed_at = self.last.closed_at
        assert closed_at is not None
        return self.next is not None and self.next.first.opened_at - closed_at <= within

    def long_over(self, within: timedelta, now: datetime) -> bool:
        assert self.last.closed_at is not None
        return now > self.last.closed_at + within


def place(row: HistoryRow) -> tuple[str, str | None]:
    return str(row.to_state), row.agent_id


def all_visits(chats: ChatEngine) -> list[Visit]:
    found = []
    sessions = sorted(chats.sessions(), key=lambda one: (one.key, one.ordinal))
    for _, of_user in groupby(sessions, lambda one: one.key):
        chains: list[list[ChatSession]] = []
        for session in of_user:
            if session.resumed:
                chains[-1].append(session)
            else:
                chains.append([session])
        visits = [Visit(some, [[*chats.history(s.session_id)] for s in some]) for some in chains]
        for one, following in pairwise(visits):
            one.next = following
        found += visits
    return found


def lengths(found: Iterable[timedelta]) -> dict[str, Any]:
    some = sorted(found)
    if not some:
        return {"n": 0, "median": None, "p90": None, "mean": None}
    return {
        "n": len(some),
        "median": statistics.median_low(some).total_seconds(),
        "p90": some[(9 * len(some) + 9) // 10 - 1].total_seconds(),
        "mean": (sum(some, timedelta()) / len(some)).total_seconds(),
    }


def rate(numerator: int, denominator: int, **more: Any) -> dict[str, Any]:
    share = numerator / denominator if denominator else None
    return {"numerator": numerator, "denominator": denominator, "rate": share, **more}


def next_after(asked: Iterable[datetime], answers: list[datetime]) -> list[timedelta]:
    for at in asked:
        return [answer - at for answer in answers if answer >= at][:1]
    return []


def naive_figures(  # noqa: PLR0913 - one for each option
    visits: list[Visit],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    platform: str | None = None,
    by: str | None = None,
    zone: tzinfo = UTC,
    target: timedelta = timedelta(seconds=60),
    short: timedelta = timedelta(seconds=10),
    now: datetime = datetime(2026, 11, 1, tzinfo=UTC),
) -> dict[str, Any]:
    """What ``figures --json`` has under ``figures``, without the notes."""
    cohort = [
        visit
        for visit in visits
        if (since is None or visit.first.opened_at >= since)
        and (until is None or visit.first.opened_at < until)
        and platform in (None, visit.first.platform_id)
    ]
    returning = {v.first.platform_id for v in cohort if v.first.ordinal > 1 or v.next}
    groups: dict[str, list[Visit]] = {} if by else {"all": []}
    for visit in cohort:
        groups.setdefault(group_of(visit, by, zone), []).append(visit)
    return {
        name: of_group(some, returning, until, zone, target, short, now)
        for name, some in groups.items()
    }


def group_of(visit: Visit, by: str | None, zone: tzinfo) -> str:
    opened_at = visit.first.opened_at.astimezone(zone)
    agents = [wait.agent or "" for wait in visit.in_state("with_agent")]
    names: dict[str | None, Callable[[], str]] = {
        "hour": lambda: (
            opened_at.replace(minute=0, second=0, microsecond=0).isoformat()[:16]
            + opened_at.isoformat()[-6:]
        ),
        "day": lambda: f"{opened_at:%Y-%m-%d}",
        "week": lambda: f"{opened_at:%G-W%V}",
        "platform": lambda: visit.first.platform_id,
        "agent": lambda: agents[0] if agents else "",
        None: lambda: "all",
    }
    return names[by]()


def of_group(
    visits: list[Visit],
    returning: set[str],
    until: datetime | None,
    zone: tzinfo,
    target: timedelta,
    short: timedelta,
    now: datetime,
) -> dict[str, Any]:
    over = [visit for visit in visits if visit.over]
    queued = [wait for visit in over for wait in visit.in_state("queued")]
    served = [wait for visit in over for wait in visit.in_state("with_agent")]
    given_up = [wait.length for visit in over if (wait := visit.abandoned)]
    long_ones = sum(length >= short for length in given_up)
    few = len(given_up) - long_ones
    sent_back = sum(wait.how == "queueClosed" for wait in queued)
    answered = [wait.length for wait in queued if wait.how == "agent"]
    writers = [visit for visit in over if visit.texts("customer_text")]
    wrote = [visit for visit in writers if visit.long_over(DAY, now)]
    bots = [
        visit
        for visit in wrote
        if next_after(visit.texts("customer_text")[:1], visit.texts("bot_text"))
        and not visit.in_state("queued") + visit.in_state("with_agent")
    ]
    alone = Counter(visit.reason for visit in bots if not visit.comes_back(DAY))
    known = [visit for visit in over if visit.first.platform_id in returning]
    unknown = bool(visits) and not {v.first.platform_id for v in visits} & returning
    to = Counter(str(wait.by.to_state) for wait in served if wait.by)
    return {
        "visits": {
            "opened": len(visits),
            "byOpener": {
                name: sum(visit.opener == name for visit in visits)
                for name in ("customer", "bot", "agent", "other")
            },
            "byEnd": {name: sum(visit.reason == name for visit in over) for name in REASONS},
            "live": len(visits) - len(over),
        },
        "timeInQueue": {
            **lengths(wait.length for wait in queued),
            "byEnd": {
                how: lengths(wait.length for wait in queued if wait.how == how)
                for how in ("agent", "customerLeft", "clock", "bot", "queueClosed", "closed")
            },
        },
        "firstBotResponse": responses(over, "customer_text", "bot_text"),
        "firstHumanResponse": responses(over, "customer_text", "agent_text"),
        "firstHumanResponseFromHandover": lengths(
            length
            for visit in over
            for length in next_after(
                [w.received_at for w in visit.rows if w.to_state == "queued" and w.received_at][:1],
                visit.texts("agent_text"),
            )
        ),
        "handleTime": {
            **lengths(wait.length for wait in served),
            "byAgent": {
                agent: lengths(wait.length for wait in served if wait.agent == agent)
                for agent in {wait.agent for wait in served}
            },
        },
        "abandonment": rate(
            long_ones, len(queued) - sent_back - few, short=few, queueClosed=sent_back
        ),
        "serviceLevel": rate(
            sum(length <= target for length in answered),
            len(answered) + long_ones,
            answered=len(answered),
            abandoned=long_ones,
        ),
        "containment": rate(
            alone.total(),
            len(wrote),
            left=alone["client_left"] + alone["client_unload"],
            wentSilent=alone["idle"],
            closed=alone["operator"] + alone["end_session"] + alone["agent_done"],
            cameBack=None if unknown else len(bots) - alone.total(),
            tooRecent=len(writers) - len(wrote),
        ),
        "transfers": {
            "toQueue": to["queued"],
            "toAgent": to["with_agent"],
            "toBot": to["bot"],
        },
        "repeatVisits": {
            "within24Hours": repeats(known, DAY, now, unknown=unknown),
            "within7Days": repeats(known, 7 * DAY, now, unknown=unknown),
        },
        "load": load([wait for visit in visits for wait in visit.waits], until, zone),
    }


def responses(visits: list[Visit], asked: str, answered: str) -> dict[str, Any]:
    return lengths(
        length
        for visit in visits
        for length in next_after(visit.texts(asked)[:1], visit.texts(answered))
    )


def repeats(
    every: list[Visit], within: timedelta, now: datetime, *, unknown: bool
) -> dict[str, Any]:
    if unknown:
        nothing = dict.fromkeys(("numerator", "denominator", "rate", "tooRecent"))
        return {**nothing, "byEnd": {}}
    visits = [visit for visit in every if visit.long_over(within, now)]
    again = [visit for visit in visits if visit.comes_back(within)]
    by_end = {
        reason: rate(
            sum(v.reason == reason for v in again), sum(v.reason == reason for v in visits)
        )
        for reason in {visit.reason for visit in visits}
    }
    return rate(len(again), len(visits), byEnd=by_end, tooRecent=len(every) - len(visits))


def load(waits: list[Wait], until: datetime | None, zone: tzinfo) -> list[dict[str, Any]]:
    spans = [(wait, wait.start, min(wait.end, until or wait.end)) for wait in waits]
    hours: set[datetime] = set()
    for _, start, end in spans:
        hour = start.replace(minute=0, second=0, microsecond=0)  # those of zones of whole hours
        while hour < end and start < end:
            hours.add(hour)
            hour += timedelta(hours=1)
    found = []
    for hour in sorted(hours):
        inside = [
            (wait, max(start, hour), min(end, hour + timedelta(hours=1)))
            for wait, start, end in spans
        ]
        inside = [one for one in inside if one[1] < one[2]]
        found.append(
            {
                "hour": hour.astimezone(zone).isoformat(timespec="minutes"),
                "states": loads(inside, lambda wait: wait.state),
                "agents": loads(inside, lambda wait: wait.agent),
            }
        )
    return found


def loads(
    inside: list[tuple[Wait, datetime, datetime]], name: Callable[[Wait], str | None]
) -> dict[str, Any]:
    found = {}
    for one in {name(wait) for wait, _, _ in inside} - {None}:
        some = [(start, end) for wait, start, end in inside if name(wait) == one]
        total = sum((end - start for start, end in some), timedelta())
        most = max(sum(start <= at < end for start, end in some) for at, _ in some)
        found[str(one)] = {"mean": total / timedelta(hours=1), "max": most}
    return found
