"""Count where chats go: how often each transition happened, and how long each state lasted."""

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.analysis.full_scan import Scan, ScanProgress, scan_all, scan_by_opening
from sermo_fsm.analysis.median import Median
from sermo_fsm.core.machine import LIVE, State
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.storage.arguments import as_optional_moment, check_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.rows import STATES, TRIGGERS
from sermo_fsm.storage.schema import Tables
from sermo_fsm.views.traffic import Traffic, Way

__all__ = ["TrafficFilter", "traffic"]


@frozen(kw_only=True)
class TrafficFilter:
    """Which rows to count; a field that is None does not restrict them.

    Attributes:
        since: Only rows of this effective time or later.
        until: Only rows of an earlier effective time.
        platform: Only sessions of this platform.
    """

    since: datetime | None = None
    until: datetime | None = None
    platform: str | None = None


def traffic(
    tables: Tables,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    platform: str | None = None,
    progress: ScanProgress | None = None,
) -> Read[Traffic]:
    """Count the traffic, in one pass over the sessions that may have rows in the time wanted."""
    check_id("platform", platform)
    which = TrafficFilter(
        since=as_optional_moment("since", since),
        until=as_optional_moment("until", until),
        platform=platform,
    )
    return partial(_read, tables=tables, which=which, progress=progress)


def _read(
    connection: sa.Connection,
    tables: Tables,
    which: TrafficFilter,
    progress: ScanProgress | None,
) -> Traffic:
    counter = _TrafficCounter(which)
    with _scan(tables, which).read(connection, progress) as sessions:
        for _, rows in sessions:
            counter.add_session(rows)
    return counter.result()


def _scan(tables: Tables, which: TrafficFilter) -> Scan:
    session, history = tables.session.c, tables.history.c
    wanted: list[sa.ColumnElement[bool]] = []
    if which.platform is not None:
        wanted.append(session.platform_id == which.platform)
    if which.until is not None:
        wanted.append(session.opened_at < which.until)  # the first row's effective time
    if which.since is not None:
        wanted.append(session.effective_at >= which.since)
    columns = (
        history.trigger_name,
        history.from_state,
        history.to_state,
        history.effective_at,
    )
    if not wanted:
        return scan_all(tables, sa.select(session.id), columns)
    leading = () if which.platform is None else ("platform_id",)
    index = "_".join(("ix", tables.session.name, *leading, "opened_at", "id"))
    sessions = sa.select(session.id, session.opened_at).where(*wanted)
    return scan_by_opening(tables, sessions, columns, index)


@define
class _TrafficCounter:
    """The counts so far, by the strings that are stored."""

    which: TrafficFilter
    sessions: int = 0
    ways: Counter[tuple[str | None, str, str]] = field(factory=Counter)
    stays: dict[str, Median] = field(factory=dict)
    still_there: Counter[str] = field(factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add_session(self, rows: Any) -> None:
        """Count the rows of one session."""
        since, until = self.which.since, self.which.until
        entered = first = last = None
        for _, trigger, source, to, at in rows:
            if until is not None and at >= until:
                break  # effective times never fall within a session
            counts = since is None or at >= since
            if counts:
                first = first or at
                last = at, to
                self.ways[source, to, trigger] += 1
            if source == to:
                continue
            if counts and source is not None and entered is not None:
                self._add_stay(source, at - entered)
            entered = at
        if first is not None and last is not None:
            last_at, state = last
            self.sessions += 1
            self.still_there[state] += 1
            self.first_at = min(self.first_at or first, first)
            self.last_at = max(self.last_at or last_at, last_at)

    def _add_stay(self, state: str, length: timedelta) -> None:
        if state not in self.stays:
            self.stays[state] = Median()
        self.stays[state].add(length)

    def result(self) -> Traffic:
        """The counts by states and triggers, in the order of the machine."""
        ways = {
            (STATES[source], STATES[to], TRIGGERS[trigger]): count
            for (source, to, trigger), count in self.ways.items()
        }
        stays = {STATES[name]: median for name, median in self.stays.items()}
        states = [state for state in State if state in stays]
        return Traffic(
            rows=sum(ways.values()),
            sessions=self.sessions,
            ways={way: ways[way] for way in sorted(ways, key=_position)},
            stays={state: stays[state].count for state in states},
            medians={state: stays[state].value() for state in states},
            p90s={state: stays[state].value(90) for state in states},
            still_there={state: count for state in LIVE if (count := self.still_there[state])},
            first_at=self.first_at,
            last_at=self.last_at,
            since=self.which.since,
            until=self.which.until,
            platform=self.which.platform,
        )


_STATES: list[State | None] = [None, *State]
_TRIGGERS = list(Trigger)


def _position(way: Way) -> tuple[int, int, int]:
    source, to, trigger = way
    return _STATES.index(source), _STATES.index(to), _TRIGGERS.index(trigger)
