"""Read visits, and count the figures of those that opened in a span of time, in one pass.

A visit is begun at its first session and goes on at the session that resumed it. In between it is
kept: that is true of few at a time. What resumed a visit after the span is read at the end, by key.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final, TypedDict, Unpack

import sqlalchemy as sa
from attrs import define, field

from sermo_fsm.analysis.figure_tally import FigureTally, Question
from sermo_fsm.analysis.full_scan import Scan, ScanProgress, scan_by_opening
from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.storage.arguments import as_optional_moment, check_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.views.figure_facts import SHORT, TARGET, Thresholds
from sermo_fsm.views.figures import Figures, Grouping
from sermo_fsm.views.visit import Visit, VisitBuilder

__all__ = ["FigureOptions", "VisitFilter", "Visits", "figures", "visits"]

Visits = Generator[Visit, None, None]
"""Visits, of which not all are in memory at the same time."""


class VisitFilter(TypedDict, total=False):
    """Which visits are asked for; what is left out or None does not matter.

    Attributes:
        since: Only visits that opened then or later (aware).
        until: Only visits that opened earlier (aware).
        platform: Only visits to this platform.
    """

    since: datetime | None
    until: datetime | None
    platform: str | None


class FigureOptions(VisitFilter, total=False):
    """Which figures are asked for.

    Attributes:
        by: What to put visits into groups by; None for all in one.
        zone: The zone of hours, days and weeks; UTC if left out, None for the system's.
        target: An answer within this time is in time; a minute if left out.
        short: Customers who leave the queue sooner do not count as waiting; ten seconds if left
            out.
    """

    by: Grouping | str | None
    zone: tzinfo | None
    target: timedelta
    short: timedelta


def visits(tables: Tables, **which: Unpack[VisitFilter]) -> Read[Visits]:
    """Read visits, in the order in which they opened."""
    question = _question(
        {
            "since": which.get("since"),
            "until": which.get("until"),
            "platform": which.get("platform"),
        }
    )
    return partial(_in_order, tables=tables, question=question)


def figures(
    tables: Tables, *, progress: ScanProgress | None = None, **which: Unpack[FigureOptions]
) -> Read[Figures]:
    """Count the figures, in one pass over the visits."""
    return partial(_count, tables=tables, question=_question(which), progress=progress)


def _question(which: FigureOptions) -> Question:
    since = as_optional_moment("since", which.get("since"))
    until = as_optional_moment("until", which.get("until"))
    check_id("platform", which.get("platform"))
    if since is not None and until is not None and until < since:
        raise InvalidArgument("until", wanted="a time that is not before since", got=until)
    zone = which.get("zone", UTC)
    if zone is not None and not isinstance(zone, tzinfo):
        raise InvalidArgument("zone", wanted="a tzinfo or None", got=zone)
    return Question(
        since=since,
        until=until,
        platform=which.get("platform"),
        by=_grouping(which.get("by")),
        zone=zone,
        now=_now(),
        thresholds=Thresholds(
            target=_length("target", which.get("target", TARGET)),
            short=_length("short", which.get("short", SHORT)),
        ),
    )


def _grouping(by: str | None) -> Grouping | None:
    try:
        return None if by is None else Grouping(by)
    except ValueError:
        raise InvalidArgument("by", wanted=" or ".join(Grouping), got=by) from None


def _length(argument: str, value: object) -> timedelta:
    if not isinstance(value, timedelta) or value < timedelta():
        raise InvalidArgument(argument, wanted="a timedelta of zero or more", got=value)
    return value


def _count(
    connection: sa.Connection, tables: Tables, question: Question, progress: ScanProgress | None
) -> Figures:
    tally = FigureTally(question)
    reader = _VisitReader(tables, question, progress, tally.advance)
    for visit in reader.read(connection):
        tally.add(visit)
    return tally.result()


def _in_order(connection: sa.Connection, tables: Tables, question: Question) -> Visits:
    """The visits by their opening; each waits here until none can come before it."""
    found: list[tuple[datetime, tuple[str, ...], Visit]] = []
    passed: deque[datetime] = deque(maxlen=1)
    with closing(_VisitReader(tables, question, None, passed.append).read(connection)) as read:
        for visit in read:
            heappush(found, (visit.opened_at, visit.session_ids, visit))
            while found and passed and found[0][0] < passed[0]:
                yield heappop(found)[-1]
    while found:
        yield heappop(found)[-1]


_now: Final = partial(datetime.now, UTC)
_KEYS: Final = 500  # asked for at once


@define
class _VisitReader:
    """Makes visits of the sessions in the database.

    Attributes:
        resumed_by: The visits that go on in a session not yet read, by its key.
        passed: Called from time to time with a moment: the visits that follow opened then or later.
    """

    tables: Tables
    question: Question
    progress: ScanProgress | None
    passed: Callable[[datetime], object]
    resumed_by: dict[int, VisitBuilder] = field(factory=dict)

    def read(self, connection: sa.Connection) -> Visits:
        """The visits, each once all of its sessions are read."""
        session = self.tables.session.c
        yield from self._visits(connection, self._in_the_span(), self.progress, self._pass)
        while keys := sorted(self.resumed_by)[:_KEYS]:
            query = self._sessions().where(session.id.in_(keys)).order_by(session.id)
            scan = Scan(
                self.tables, query, lambda last: session.id > last.id, self._columns, whole=False
            )
            yield from self._visits(connection, scan)

    def _visits(self, connection: sa.Connection, scan: Scan, *calls: Any) -> Visits:
        with scan.read(connection, *calls) as sessions:
            for found, rows in sessions:
                builder = self.resumed_by.pop(found.id, None)
                if builder is None:
                    if found.resumed and found.key_before is not None:
                        continue  # of a visit that opened before the span
                    builder = VisitBuilder(found)
                try:
                    builder.add_session(found)
                    for row in rows:
                        builder.add_row(row)
                    if found.next_resumed:
                        self.resumed_by[found.next_key] = builder
                        continue
                    visit = builder.result(found.next_opened_at)
                except ValueError as error:
                    raise StoreError(f"the database holds an unknown word: {error}") from None
                yield visit

    def _pass(self, last: Any) -> None:
        kept = (builder.opened_at for builder in self.resumed_by.values())
        self.passed(min([last.opened_at, *kept]))

    def _in_the_span(self) -> Scan:
        session, question = self.tables.session, self.question
        query = self._sessions()
        if question.platform is not None:
            query = query.where(session.c.platform_id == question.platform)
        if question.since is not None:
            query = query.where(session.c.opened_at >= question.since)
        if question.until is not None:
            query = query.where(session.c.opened_at < question.until)
        leading = () if question.platform is None else ("platform_id",)
        index = "_".join(("ix", session.name, *leading, "opened_at", "id"))
        return scan_by_opening(self.tables, query, self._columns, index)

    @property
    def _columns(self) -> tuple[sa.Column[Any], ...]:
        history = self.tables.history.c
        return (
            *(history.direction, history.trigger_name, history.outcome, history.agent_id),
            *(history.from_state, history.to_state),
            *(history.received_at, history.effective_at, history.last_seen_at),
        )

    def _sessions(self) -> sa.Select[Any]:
        """Select sessions, each with the user's session before it and the next one."""
        session = self.tables.session
        before, following = session.alias("before_it"), session.alias("following")

        def of_the_same_user(other: sa.FromClause, ordinal: Any) -> sa.ColumnElement[bool]:
            return sa.and_(
                other.c.platform_id == session.c.platform_id,
                other.c.user_id == session.c.user_id,
                other.c.ordinal == ordinal,
            )

        joined = session.outerjoin(
            before, of_the_same_user(before, session.c.ordinal - 1)
        ).outerjoin(following, of_the_same_user(following, session.c.ordinal + 1))
        return sa.select(
            *(session.c[name] for name in _SESSION_COLUMNS),
            before.c.id.label("key_before"),
            following.c.id.label("next_key"),
            following.c.opened_at.label("next_opened_at"),
            following.c.resumed.label("next_resumed"),
        ).select_from(joined)


_SESSION_COLUMNS: Final = (
    *("id", "session_id", "platform_id", "user_id", "ordinal", "resumed", "opened_at"),
    *("closed_at", "close_reason", "last_seen_at", "effective_at"),
)
