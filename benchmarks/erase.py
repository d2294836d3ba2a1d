"""What erasing one of many users costs, and ageing out many rows, beside plain DELETEs."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field

from benchmarks.filled import filled
from benchmarks.latency import timed
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from sermo_fsm import ChatEngine, Retention
from sermo_fsm.core.erasure import Retained
from sermo_fsm.storage.schema import tables

__all__ = ["erase"]

_ABOUT: Final = """
Databases with so many sessions, five for each user, with twelve rows of history each. One person is
erased by `erase`, and another one by plain DELETEs of all that is stored about them, in one
transaction: medians of {users} users of each kind, with the lowest and the highest. Then `retain`
ages out the older half, first the bodies, then the people, and plain DELETEs take the younger half,
each in one statement. The longest portion is how long others may wait for a lock: of the plain
DELETEs that is all of their time. Of more than {aged_out} sessions nothing is aged out.
"""
_USERS: Final = 20
_EACH: Final = 5

_AGED_OUT: Final = 100_000
"""Of more sessions, about a million rows, one person is erased and nothing aged out."""
_COLUMNS: Final = (
    *("sessions", "`erase`, ms", "DELETEs, ms"),
    *("`retain` bodies, rows/s", "longest portion, ms", "DELETE, rows/s", "its lock, ms"),
    *("`retain` people, rows/s", "longest portion, ms", "DELETEs, rows/s", "their lock, ms"),
)

_THEIRS: Final = "s.platform_id = :platform AND s.user_id = :user"
_OLD: Final = "s.closed_at >= :cutoff"


@define
class _Portions:
    """How long the portions of a run took."""

    last: float = field(factory=time.perf_counter)
    longest: float = 0.0

    def note(self, _: Retained) -> None:
        now = time.perf_counter()
        self.longest, self.last = max(self.longest, now - self.last), now


def erase(options: Options) -> Result:
    """On each database, for each number of sessions."""
    found = []
    for kind in options.databases:
        rows = []
        for sessions in options.sessions:
            url = filled(options, kind, sessions)
            options.filled.pop((kind, sessions))  # nobody wants what is left of it
            with ChatEngine(url) as chats:
                cells = _one_person(chats)
                if sessions <= _AGED_OUT:
                    cells += _aged_out(chats)
            cells += [""] * (len(_COLUMNS) - 1 - len(cells))
            rows.append([f"{sessions:,}".replace(",", " "), *cells])
        found.append(Table(TITLES[kind], _COLUMNS, rows))
    about = _ABOUT.strip().format(users=_USERS, aged_out=f"{_AGED_OUT:,}".replace(",", " "))
    return Result("Erasing", about, found, {}, conditions(options))


def _one_person(chats: ChatEngine) -> list[str]:
    """Milliseconds of erasing somebody, by us and by plain DELETEs."""
    engine = chats._engine  # noqa: SLF001 - to use its connections
    session = tables().session.c
    over = sa.select(session.platform_id, session.user_id).distinct()
    over = over.where(session.ordinal == _EACH, session.closed_at.is_not(None))
    with engine.connect() as connection:
        people = connection.execute(over.limit(2 * _USERS)).all()
    half = len(people) // 2
    ours = [timed(partial(chats.erase, *one)) for one in people[:half]]
    plain = [timed(partial(_delete, engine, one)) for one in people[half:]]
    return [Spread.of(some).shown(1e3, 1) for some in (ours, plain)]


def _aged_out(chats: ChatEngine) -> list[str]:
    """Rows a second and locks of ageing out, by us and by plain DELETEs."""
    engine = chats._engine  # noqa: SLF001 - likewise
    session = tables().session.c
    with engine.connect() as connection:
        bodies, lasts = (
            _middle(connection, which) for which in (session.ordinal > 0, session.ordinal == _EACH)
        )
    first, second = (datetime.now(UTC) - one for one in (bodies, lasts))
    of_bodies, *of_people = _deletes(engine, _OLD)
    return [
        *_aged(chats, Retention(bodies=first), lambda done: done.bodies),
        *_deleted(engine, [of_bodies], bodies),
        *_aged(chats, Retention(people=second), lambda done: done.rows),
        *_deleted(engine, of_people, lasts),
    ]


def _deletes(engine: sa.Engine, which: str) -> tuple[str, str, str]:
    """Plain DELETEs of bodies, rows and sessions, as one who knows the database writes them."""
    if engine.dialect.name in {"sqlite", "postgresql"}:
        sessions = f"(SELECT s.id FROM sermo_session s WHERE {which})"  # noqa: S608 - ours
        rows = f"(SELECT h.id FROM sermo_history h WHERE h.session_key IN {sessions})"  # noqa: S608 - ours
        return (
            f"DELETE FROM sermo_body WHERE history_id IN {rows}",  # noqa: S608 - ours
            f"DELETE FROM sermo_history WHERE session_key IN {sessions}",  # noqa: S608 - ours
            f"DELETE FROM sermo_session WHERE id IN {sessions}",  # noqa: S608 - ours
        )
    # MariaDB 10 reads a whole table for each subquery of a DELETE, but not for a join.
    rows = "FROM sermo_session s JOIN sermo_history h ON h.session_key = s.id"
    return (
        f"DELETE b {rows} JOIN sermo_body b ON b.history_id = h.id WHERE {which}",
        f"DELETE h {rows} WHERE {which}",
        f"DELETE s FROM sermo_session s WHERE {which}",
    )


def _middle(connection: sa.Connection, which: sa.ColumnElement[bool]) -> datetime:
    """When the middle one of these sessions closed."""
    closed_at = tables().session.c.closed_at
    query = sa.select(closed_at).where(which, closed_at.is_not(None)).order_by(closed_at)
    times = connection.execute(query).scalars().all()
    middle: datetime = times[len(times) // 2]
    return middle


def _delete(engine: sa.Engine, user: Any) -> None:
    with engine.begin() as connection:
        for statement in _deletes(engine, _THEIRS):
            connection.execute(sa.text(statement), {"platform": user[0], "user": user[1]})


def _aged(chats: ChatEngine, what: Retention, count: Callable[[Retained], int]) -> list[str]:
    start, portions = time.perf_counter(), _Portions()
    done = chats.retain(what, progress=portions.note)
    spent = time.perf_counter() - start
    return [f"{count(done) / spent:,.0f}".replace(",", " "), f"{portions.longest * 1e3:.0f}"]


def _deleted(engine: sa.Engine, what: Sequence[str], cutoff: datetime) -> list[str]:
    """Delete, and count the rows of the first of the statements."""
    bound = sa.bindparam("cutoff", type_=tables().session.c.closed_at.type)
    start, rows = time.perf_counter(), 0
    with engine.begin() as connection:
        for number, statement in enumerate(what):
            done = connection.execute(sa.text(statement).bindparams(bound), {"cutoff": cutoff})
            rows += 0 if number else done.rowcount
    spent = time.perf_counter() - start
    return [f"{rows / spent:,.0f}".replace(",", " "), f"{spent * 1e3:.0f}"]
