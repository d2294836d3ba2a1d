"""Count what is the case now, at a cost that grows with what is live and new, not with what is old.

Live chats are found by the index of the live ones, openings by that of openings. No index knows
when a chat closed. So what happened in the last hour is looked for in the rows that were written
since a session opened that is older than the hour: a range of the primary key.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Final, TypedDict, Unpack

import sqlalchemy as sa
from attrs import evolve, frozen

from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.storage.arguments import (
    as_count,
    as_optional_moment,
    check_session_id,
    is_session_id,
)
from sermo_fsm.storage.backends import by_index
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.queries import LIVE
from sermo_fsm.storage.rows import STATES, session_of
from sermo_fsm.storage.schema import Tables
from sermo_fsm.views.figure_facts import SHORT, TARGET
from sermo_fsm.views.overview import (
    DayCounts,
    HourCounts,
    Overview,
    PlatformHour,
    PlatformNow,
    Quantity,
)

__all__ = ["OverviewOptions", "overview"]

_now: Final = partial(datetime.now, UTC)
_HOUR: Final = timedelta(hours=1)
_STEP: Final = timedelta(minutes=30)
_LONGEST_DAY: Final = timedelta(hours=25)
_SOME: Final = 200  # sessions


class OverviewOptions(TypedDict, total=False):
    """What an overview is to hold, beside the live chats.

    Attributes:
        target: How long a customer may wait; a minute if left out.
        hour: Whether to count the hour before.
        day: When the day began (aware), to count it so far; at most 25 hours ago.
        waiting: How many of those who wait to list; None for none.
        chats: The ids of sessions to read.
    """

    target: timedelta
    hour: bool
    day: datetime | None
    waiting: int | None
    chats: Iterable[str]


@frozen
class _Question:
    now: datetime
    target: timedelta
    hour: bool
    day: datetime | None
    waiting: int | None
    chats: tuple[str, ...]


def overview(tables: Tables, **which: Unpack[OverviewOptions]) -> Read[Overview]:
    """Count what is the case when this is called."""
    for name in which.keys() - OverviewOptions.__annotations__.keys():
        wanted = f"one of {', '.join(OverviewOptions.__annotations__)}"
        raise InvalidArgument(name, wanted=wanted, got="an unknown argument")
    target: object = which.get("target", TARGET)
    chats = tuple(which.get("chats", ()))
    if not isinstance(target, timedelta) or target < timedelta():
        raise InvalidArgument("target", wanted="a timedelta of zero or more", got=target)
    for one in chats:
        check_session_id(one)
    now = _now()
    day = as_optional_moment("day", which.get("day"))
    if day is not None and now - day > _LONGEST_DAY:
        raise InvalidArgument("day", wanted="a time at most 25 hours ago", got=day)
    question = _Question(
        now=now,
        target=target,
        hour=which.get("hour", False),
        day=day,
        waiting=as_count("waiting", which.get("waiting")),
        chats=tuple(filter(is_session_id, chats)),
    )
    return partial(_read, tables=tables, asked=question)


def _read(connection: sa.Connection, tables: Tables, asked: _Question) -> Overview:
    now = asked.now
    return Overview(
        at=now,
        target=asked.target,
        platforms=_platforms(connection, tables, asked),
        newest_at=connection.execute(_newest(tables)).scalar(),
        hour=_hour(connection, tables, now) if asked.hour else None,
        day=_day(connection, tables, asked.day, now) if asked.day is not None else None,
        waiting=(
            _waiting(connection, tables, now, asked.waiting) if asked.waiting is not None else None
        ),
        chats={
            one.session_id: one
            for one in map(_session, connection.execute(_chats(tables, asked.chats)))
        }
        if asked.chats
        else {},
    )


def _session(row: sa.Row[Any]) -> ChatSession:
    return session_of(row)[1]


# --- now ------------------------------------------------------------------------------------------


def _queued_at(session: Any) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(session.queued_at, session.since)


def _in_time(session: Any) -> sa.ColumnElement[bool]:
    """Whether the deadline is not past."""
    return sa.or_(session.expires_at.is_(None), session.expires_at > sa.bindparam("now"))


@cache
def _live(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    waits = sa.and_(session.state == State.QUEUED, _in_time(session))
    asks = sa.and_(
        session.state == State.BOT,
        _in_time(session),
        session.customer_text_at.is_not(None),
        sa.or_(session.last_reply_at.is_(None), session.last_reply_at < session.customer_text_at),
    )
    late = sa.and_(waits, _queued_at(session) < sa.bindparam("late"))

    def count(what: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((what, 1), else_=0))

    return (
        sa.select(
            session.platform_id,
            session.state,
            sa.func.count().label("chats"),
            sa.func.min(sa.case((waits, _queued_at(session)))).label("waiting_since"),
            count(late).label("over_target"),
            count(asks).label("unanswered"),
            sa.func.min(sa.case((asks, session.customer_text_at))).label("unanswered_since"),
            count(sa.not_(_in_time(session))).label("overdue"),
            sa.func.max(session.last_seen_at).label("last_seen_at"),
        )
        .where(session.live == LIVE)
        .group_by(session.state, session.platform_id)
    )


def _platforms(
    connection: sa.Connection, tables: Tables, asked: _Question
) -> dict[str, PlatformNow]:
    moments = {"now": asked.now, "late": asked.now - asked.target}
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_live(tables), moments):
        found[row.platform_id].append(row)
    return {platform: _platform(found[platform]) for platform in sorted(found)}


def _platform(rows: list[Any]) -> PlatformNow:
    counts = {STATES[row.state]: row.chats for row in rows}
    waiting = [row.waiting_since for row in rows if row.waiting_since is not None]
    unanswered = [row.unanswered_since for row in rows if row.unanswered_since is not None]
    seen = [row.last_seen_at for row in rows if row.last_seen_at is not None]
    return PlatformNow(
        states={state: counts[state] for state in State if state in counts},
        waiting_since=min(waiting, default=None),
        over_target=sum(int(row.over_target) for row in rows),
        unanswered=sum(int(row.unanswered) for row in rows),
        unanswered_since=min(unanswered, default=None),
        overdue=sum(int(row.overdue) for row in rows),
        last_seen_at=max(seen, default=None),
    )


@cache
def _newest(tables: Tables) -> sa.Select[Any]:
    history = tables.history.c
    return (
        sa.select(history.received_at)
        .where(history.received_at.is_not(None))
        .order_by(history.id.desc())
        .limit(1)
    )


def _waiting(
    connection: sa.Connection, tables: Tables, now: datetime, limit: int
) -> tuple[ChatSession, ...]:
    session = tables.session.c
    query = (
        sa.select(tables.session)
        .where(session.live == LIVE, session.state == State.QUEUED, _in_time(session))
        .order_by(_queued_at(session), session.id)
        .limit(limit)
    )
    return tuple(map(_session, connection.execute(query, {"now": now})))


def _chats(tables: Tables, chats: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(tables.session).where(tables.session.c.session_id.in_(chats))


# --- the last hour --------------------------------------------------------------------------------


def _hour(connection: sa.Connection, tables: Tables, now: datetime) -> HourCounts:
    since = now - _HOUR
    span = {"first": _first_row(connection, tables, since), "since": since, "now": now}
    counts: dict[str, Counter[str | None]] = {
        "opened": _counted(connection, _opened(tables), span),
        "closed": _counted(connection, _closed(tables), span),
        "strays": Counter(),
        "invalid": Counter(),
        "abandoned": Counter(),
        "short": Counter(),
    }
    for platform, outcome, count in connection.execute(_strays(tables), span):
        counts["invalid" if outcome == Outcome.INVALID else "strays"][platform] += count
    for platform, is_short in _gave_up(connection, tables, span):
        counts["short" if is_short else "abandoned"][platform] += 1
    platforms = {platform for one in counts.values() for platform in one}
    return HourCounts(
        now,
        {
            platform: PlatformHour(**{name: one[platform] for name, one in counts.items()})
            for platform in sorted(platforms, key=lambda one: (one is None, one or ""))
        },
    )


def _counted(
    connection: sa.Connection, query: sa.Select[Any], span: dict[str, Any]
) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for platform, count in connection.execute(query, span):
        counts[platform] = count
    return counts


def _first_row(connection: sa.Connection, tables: Tables, since: datetime) -> int:
    """The id of a row before which nothing was written that is of the time from *since* on.

    It is the first row of a session that opened about then. Many are asked, because whoever reads
    other queues may have been slower, and what is imported has old times and new ids.
    """
    found = (
        connection.execute(query, {"since": since}).scalar()
        for query in (_first_row_before(tables), _first_row_after(tables))
    )
    return min((number for number in found if number is not None), default=0)


@cache
def _first_row_before(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    last = sa.select(session.id).where(session.opened_at < sa.bindparam("since"))
    return _lowest(tables, last.order_by(session.opened_at.desc(), session.id.desc()))


@cache
def _first_row_after(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    first = sa.select(session.id).where(session.opened_at >= sa.bindparam("since"))
    return _lowest(tables, first.order_by(session.opened_at, session.id))


def _lowest(tables: Tables, sessions: sa.Select[Any]) -> sa.Select[Any]:
    session, history = tables.session, tables.history.c
    some = by_index(sessions, session, f"ix_{session.name}_opened_at_id").limit(_SOME).subquery()
    return sa.select(sa.func.min(history.id)).where(
        history.session_key == some.c.id, history.seq == 1
    )


@cache
def _opened(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    return (
        sa.select(session.platform_id, sa.func.count())
        .where(session.opened_at >= sa.bindparam("since"), session.opened_at < sa.bindparam("now"))
        .group_by(session.platform_id)
    )


def _of_the_hour(tables: Tables) -> tuple[sa.ColumnElement[bool], ...]:
    history = tables.history.c
    return (
        history.id >= sa.bindparam("first"),
        history.effective_at >= sa.bindparam("since"),
        history.effective_at < sa.bindparam("now"),
    )


def _closing(tables: Tables) -> tuple[sa.ColumnElement[bool], ...]:
    history = tables.history.c
    # Late rows stay in closed, and move nothing.
    moved = (history.to_state == State.CLOSED, history.outcome == Outcome.MOVED)
    return (*_of_the_hour(tables), *moved)


@cache
def _closed(tables: Tables) -> sa.Select[Any]:
    session = tables.session.c
    return (
        sa.select(session.platform_id, sa.func.count())
        .join_from(tables.history, tables.session)
        .where(*_closing(tables))
        .group_by(session.platform_id)
    )


@cache
def _left_the_queue(tables: Tables) -> sa.Select[Any]:
    session, history = tables.session.c, tables.history.c
    return (
        sa.select(
            session.platform_id,
            session.queued_at,
            history.trigger_name,
            history.effective_at,
            history.last_seen_at,
        )
        .join_from(tables.history, tables.session)
        .where(*_closing(tables), history.from_state == State.QUEUED, session.agent_id.is_(None))
    )


def _gave_up(
    connection: sa.Connection, tables: Tables, span: dict[str, Any]
) -> Iterator[tuple[str, bool]]:
    """The platform of each chat that was abandoned, and whether that was after a short time."""
    for row in connection.execute(_left_the_queue(tables), span):
        by_clock = row.trigger_name == Trigger.EXPIRE
        ended_at = (row.last_seen_at if by_clock else None) or row.effective_at
        yield row.platform_id, ended_at - (row.queued_at or ended_at) < SHORT


@cache
def _strays(tables: Tables) -> sa.Select[Any]:
    history = tables.history.c
    return (
        sa.select(history.platform_id, history.outcome, sa.func.count())
        .where(history.session_key.is_(None), *_of_the_hour(tables))
        .group_by(history.platform_id, history.outcome)
    )


# --- the day --------------------------------------------------------------------------------------


def _day(connection: sa.Connection, tables: Tables, since: datetime, now: datetime) -> DayCounts:
    steps: list[Quantity] = []
    empty = Quantity(since, 0, 0)
    while empty.since < now:
        span = {"since": empty.since, "now": min(empty.since + _STEP, now)}
        opened, queued = connection.execute(_openings(tables), span).one()
        steps.append(evolve(empty, opened=opened, queued=queued))
        empty = evolve(empty, since=empty.since + _STEP)
    return DayCounts(now, tuple(steps))


@cache
def _openings(tables: Tables) -> sa.Select[int, int]:
    session = tables.session.c
    return sa.select(sa.func.count(), sa.func.count(session.queued_at)).where(
        session.opened_at >= sa.bindparam("since"), session.opened_at < sa.bindparam("now")
    )
