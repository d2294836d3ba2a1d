"""Where chats go, as the history tells it: how often each way, and how long each state lasts."""

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.analysis.full_scan import Progress, Scan, by_key, by_opening
from sermo_fsm.analysis.median import Median
from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.storage.arguments import as_optional_moment, check_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.rows import word_of
from sermo_fsm.storage.schema import Tables
from sermo_fsm.views.traffic import Traffic, Way

__all__ = ["Asked", "traffic"]


@frozen(kw_only=True)
class Asked:
    """Which traffic is asked for; what is None does not matter."""

    since: datetime | None = None
    until: datetime | None = None
    platform: str | None = None


def traffic(
    tables: Tables,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    platform: str | None = None,
    progress: Progress | None = None,
) -> Read[Traffic]:
    """Count it, in one pass over the sessions that have rows in the time that is asked for."""
    check_id("platform", platform)
    asked = Asked(
        since=as_optional_moment("since", since),
        until=as_optional_moment("until", until),
        platform=platform,
    )
    return partial(_read, tables=tables, asked=asked, progress=progress)


def _read(
    connection: sa.Connection, tables: Tables, asked: Asked, progress: Progress | None
) -> Traffic:
    count = _Count(asked)
    with _scan(tables, asked).read(connection, progress) as sessions:
        for _, rows in sessions:
            count.take(rows)
    return count.result()


def _scan(tables: Tables, asked: Asked) -> Scan:
    session, history = tables.session.c, tables.history.c
    wanted: list[sa.ColumnElement[bool]] = []
    if asked.platform is not None:
        wanted.append(session.platform_id == asked.platform)
    if asked.until is not None:
        wanted.append(session.opened_at < asked.until)  # the effective time of its first row
    if asked.since is not None:
        wanted.append(session.effective_at >= asked.since)
    columns = (
        history.trigger_name,
        history.from_state,
        history.to_state,
        history.effective_at,
    )
    if not wanted:
        return by_key(tables, sa.select(session.id), columns)
    leading = () if asked.platform is None else ("platform_id",)
    index = "_".join(("ix", tables.session.name, *leading, "opened_at", "id"))
    some = sa.select(session.id, session.opened_at).where(*wanted)
    return by_opening(tables, some, columns, index)


@define
class _Count:
    """What was counted so far, in the words of the database."""

    asked: Asked
    sessions: int = 0
    ways: Counter[tuple[str | None, str, str]] = field(factory=Counter)
    stays: dict[str, Median] = field(factory=dict)

    def take(self, rows: Any) -> None:
        """A session."""
        since, until = self.asked.since, self.asked.until
        entered: datetime | None = None
        counted = False
        for _, trigger, source, to, at in rows:
            if until is not None and at >= until:
                break  # the effective time never falls
            counts = since is None or at >= since
            if counts:
                counted = True
                self.ways[source, to, trigger] += 1
            if source == to:
                continue
            if counts and source is not None and entered is not None:
                self._stay(source, at - entered)
            entered = at
        self.sessions += counted

    def _stay(self, state: str, length: timedelta) -> None:
        if state not in self.stays:
            self.stays[state] = Median()
        self.stays[state].add(length)

    def result(self) -> Traffic:
        """In our words, and in the order of the machine."""
        ways = {
            (None if source is None else word_of(State, source), word_of(State, to), trigger): count
            for (source, to, name), count in self.ways.items()
            for trigger in (word_of(Trigger, name),)
        }
        stays = {word_of(State, name): median for name, median in self.stays.items()}
        states = [state for state in State if state in stays]
        return Traffic(
            rows=sum(ways.values()),
            sessions=self.sessions,
            ways={way: ways[way] for way in sorted(ways, key=_place)},
            stays={state: stays[state].count for state in states},
            medians={state: stays[state].value() for state in states},
            since=self.asked.since,
            until=self.asked.until,
            platform=self.asked.platform,
        )


_STATES: list[State | None] = [None, *State]
_TRIGGERS = list(Trigger)


def _place(way: Way) -> tuple[int, int, int]:
    source, to, trigger = way
    return _STATES.index(source), _STATES.index(to), _TRIGGERS.index(trigger)
