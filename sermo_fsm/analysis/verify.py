"""Check the stored history. Reads everything, changes nothing.

``seq`` is dense per session, every row's ``from`` is the previous row's ``to``, and
``effective_at`` never falls (docs/design.md, guarantee 2). In addition, every row has to be what
today's rules make of it, and a session has to agree with its rows
(:mod:`sermo_fsm.analysis.session_replay`). Bodies and images have to belong to something.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field, frozen
from msgspec.structs import replace

from sermo_fsm.analysis.full_scan import Scan, scan_all, with_neighbours
from sermo_fsm.analysis.session_replay import TELLING, SessionReplay
from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import SealingFailed
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.rows import session_of
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.sealing import is_sealed_picture, opened_picture
from sermo_fsm.storage.transactions import streamed

__all__ = ["Problem", "Verification", "verify"]

_MAX_PROBLEMS: Final = 1000


@frozen
class Problem:
    """One violation of the guarantee.

    Attributes:
        session_id: The session; the text ``no session`` for what belongs to none.
        seq: The row; None if the problem is in the session itself.
        what: The problem, in words.
    """

    session_id: str
    seq: int | None
    what: str


@frozen
class Verification:
    """The result of a verification.

    Attributes:
        sessions: The number of sessions read.
        rows: The number of their rows.
        problems: The problems found; at most the first 1000.
    """

    sessions: int
    rows: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(tables: Tables) -> Read[Verification]:
    """Check every session and its rows, one row at a time."""
    return partial(_verify, tables=tables)


def _verify(connection: sa.Connection, tables: Tables) -> Verification:
    with closing(_lost(connection, tables)) as lost:
        problems = list(islice(lost, _MAX_PROBLEMS))
    sessions = rows = 0
    with _scan(tables).read(connection) as found:
        for row, its_rows in found:
            check = _SessionCheck.of(row)
            problems += islice(check.problems(its_rows), _MAX_PROBLEMS - len(problems))
            sessions += 1
            rows += check.rows + sum(1 for _ in its_rows)  # those behind the last problem, too
    return Verification(sessions, rows, tuple(problems))


# --- what belongs to nothing ---------------------------------------------------------------------


def _lost(connection: sa.Connection, tables: Tables) -> Generator[Problem, None, None]:
    yield from _without_session(connection, tables)
    yield from _bodies_and_images(connection, tables)


def _without_session(connection: sa.Connection, tables: Tables) -> Iterator[Problem]:
    history, session = tables.history, tables.session
    lost = (
        sa.select(history.c.id, history.c.seq)
        .select_from(history.outerjoin(session))
        .where(history.c.session_key.is_not(None), session.c.id.is_(None))
    )
    for key, seq in connection.execute(lost.limit(_MAX_PROBLEMS)):
        yield Problem("no session", seq, f"row {key} of the history belongs to none")
    of_a_session = (history.c.seq, history.c.from_state, history.c.to_state)
    strays = sa.select(history.c.id).where(
        history.c.session_key.is_(None),
        sa.or_(
            *(column.is_not(None) for column in of_a_session),
            history.c.outcome.not_in([Outcome.STRAY, Outcome.UNKNOWN, Outcome.INVALID]),
        ),
    )
    for key in connection.execute(strays.limit(_MAX_PROBLEMS)).scalars():
        yield Problem("no session", None, f"row {key} has no session, and is no stray")


def _bodies_and_images(connection: sa.Connection, tables: Tables) -> Iterator[Problem]:
    history, body, image = tables.history, tables.body, tables.image
    questions = (
        (
            sa.select(body.c.history_id)
            .select_from(body.outerjoin(history))
            .where(history.c.id.is_(None)),
            "body {} belongs to no row of the history",
        ),
        (
            sa.select(body.c.history_id)
            .select_from(body.outerjoin(image))
            .where(body.c.image_sha256.is_not(None), image.c.sha256.is_(None)),
            "the image of body {} is not there",
        ),
        (
            sa.select(image.c.sha256)
            .select_from(image.outerjoin(body))
            .where(body.c.history_id.is_(None)),
            "image {} belongs to no body",
        ),
    )
    for query, words in questions:
        for key in connection.execute(query.limit(_MAX_PROBLEMS)).scalars():
            yield Problem("no session", None, words.format(key))
    contents = sa.select(image.c.sha256, image.c.bytes, image.c.content)
    with streamed(connection, contents.execution_options(yield_per=1)) as found:
        for sha256, size, content in found:
            its_own = content if isinstance(content, bytes) else b""  # SQLite takes text for them
            if len(its_own) != size or not _is_whole(sha256, its_own, tables):
                yield Problem("no session", None, f"image {sha256} has another content")


def _is_whole(key: str, content: bytes, tables: Tables) -> bool:
    """Whether this is what was written: by its digest, or if it is sealed by opening it."""
    if not is_sealed_picture(key):
        return hashlib.sha256(content).hexdigest() == key
    try:
        opened_picture(key, content, tables.sealing)
    except SealingFailed:
        return False
    return True


# --- sessions ------------------------------------------------------------------------------------

_BEFORE: Final = "before_"


def _scan(tables: Tables) -> Scan:
    """All sessions, each with the one before it of this user, and when the next one opened."""
    session, history, body = tables.session, tables.history.c, tables.body.c
    joined, before, opening = with_neighbours(tables)
    query = sa.select(
        session,
        *(column.label(_BEFORE + column.name) for column in before.c),
        opening.c.id.label("superseded_by"),
    )
    event = sa.select(body.event).where(body.history_id == history.id).scalar_subquery()
    columns = (
        *(history.id, history.seq, history.direction, history.type, history.trigger_name),
        *(history.from_state, history.to_state, history.outcome, history.received_at),
        *(history.effective_at, history.agent_id, history.reason, history.last_seen_at),
        sa.case((history.trigger_name.in_(TELLING), event)).label("told"),
    )
    return scan_all(tables, query.select_from(joined), columns)


@define
class _SessionCheck:
    """One session, as far as its rows have been read."""

    session_id: str
    live: int | None
    due_at: datetime | None
    replays: tuple[SessionReplay, ...]
    rows: int = 0

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "_SessionCheck":
        width = (len(row) - 1) // 2
        _, stored = session_of(row[:width])
        previous = None if row[width] is None else session_of(row[width:-1])[1]
        replays = tuple(
            SessionReplay(stored, one, row.superseded_by) for one in _as_it_was(stored, previous)
        )
        return cls(stored.session_id, row.live, row.due_at, replays)

    def problems(self, rows: Iterable[Any]) -> Iterator[Problem]:
        """Yield what is wrong with the session and its rows."""
        before: Any = None
        found: list[list[Problem]] = [[] for _ in self.replays]
        for row in rows:
            self.rows += 1
            yield from self._broken_chain(before, row)
            for replay, its in zip(self.replays, found, strict=True):
                if len(its) < _MAX_PROBLEMS:
                    its.extend(Problem(self.session_id, row.seq, what) for what in replay.add(row))
            before = row
        if before is None:
            yield Problem(self.session_id, None, "the session has no row")
        stored = self.replays[0].stored
        if self.live != (1 if stored.live else None):
            state = stored.state
            yield Problem(self.session_id, None, f"live is {self.live}, and the state {state}")
        due_at, deadline = self.due_at, stored.expires_at
        if stored.live and deadline is not None and (due_at is None or due_at > deadline):
            what = f"due_at is {due_at}, so no sweep closes it at its expires_at, {deadline}"
            yield Problem(self.session_id, None, what)
        for replay, its in zip(self.replays, found, strict=True):
            its.extend(Problem(self.session_id, None, what) for what in replay.result())
        yield from min(found, key=len)

    def _broken_chain(self, before: Any, row: Any) -> Iterator[Problem]:
        problem = partial(Problem, self.session_id, row.seq)
        if row.seq != self.rows:
            yield problem(f"seq {self.rows} should stand here")
        if before is None:
            if row.from_state is not None:
                yield problem(f"the first row comes from {row.from_state}, not from nothing")
            return
        if row.from_state != before.to_state:
            said, was = row.from_state, before.to_state
            yield problem(f"the row says from {said}, the row before ended in {was}")
        if row.effective_at < before.effective_at:
            yield problem("effective_at falls")


def _as_it_was(stored: ChatSession, previous: ChatSession | None) -> Iterator[ChatSession | None]:
    """The session before, as it may have been when this one opened."""
    if previous is None or not stored.resumed:
        yield previous
        return
    previous = _unerased(stored, previous)
    # A client_left that was read later may have moved its last_seen_at since.
    yield replace(previous, last_seen_at=None)
    # Before the schema 0003 a resumed session had only the state and the agent from it.
    yield ChatSession(
        platform_id=previous.platform_id,
        user_id=previous.user_id,
        ordinal=previous.ordinal,
        session_id=previous.session_id,
        state=State.CLOSED,
        opened_at=previous.opened_at,
        closed_at=previous.closed_at,
        close_reason=previous.close_reason,
        kept_state=previous.kept_state,
        agent=previous.agent,
    )


def _unerased(stored: ChatSession, previous: ChatSession) -> ChatSession:
    """*previous* with the names that *stored* has from it, where they were erased since."""
    agent, its = stored.agent, previous.agent
    if agent is not None and its is not None and (its.id, its.name) == (agent.id, None):
        previous = replace(previous, agent=agent)
    if previous.flow_group_id is None:
        previous = replace(previous, flow_group_id=stored.flow_group_id)
    return previous
