"""Check the stored history. Reads everything, changes nothing.

``seq`` is dense per session, every row's ``from`` is the previous row's ``to``, and
``effective_at`` never falls (docs/design.md, guarantee 2). In addition, a session has to agree with
its rows.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby, islice, pairwise
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import session_id_of
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.transactions import streamed

__all__ = ["Problem", "Verification", "verify"]

_MAX_PROBLEMS: Final = 1000


@frozen
class Problem:
    """One violation of the guarantee.

    Attributes:
        session_id: The session; the text ``no session`` for a row that belongs to none.
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
    """Check every session and its rows, one session at a time."""
    return partial(_verify, tables=tables)


def _verify(connection: sa.Connection, tables: Tables) -> Verification:
    sessions = rows = 0
    problems = list(islice(_orphans(connection, tables), _MAX_PROBLEMS))
    with streamed(connection, _rows(tables)) as found:
        for _, group in groupby(found.mappings(), key=itemgetter("key")):
            session = list(group)
            sessions += 1
            rows += sum(row["seq"] is not None for row in session)
            problems += islice(_problems(session), _MAX_PROBLEMS - len(problems))
    return Verification(sessions, rows, tuple(problems))


def _orphans(connection: sa.Connection, tables: Tables) -> Iterator[Problem]:
    history, session = tables.history, tables.session
    query = (
        sa.select(history.c.id, history.c.seq)
        .select_from(history.outerjoin(session))
        .where(history.c.session_key.is_not(None), session.c.id.is_(None))
    )
    for key, seq in connection.execute(query):
        yield Problem("no session", seq, f"row {key} of the history belongs to none")


def _rows(tables: Tables) -> sa.Select[Any]:
    history, session = tables.history, tables.session
    return (
        sa.select(
            session.c.id.label("key"),
            *(session.c[name] for name in _SESSION_COLUMNS),
            session.c.effective_at.label("latest"),
            history.c.seq,
            history.c.from_state,
            history.c.to_state,
            history.c.received_at,
            history.c.effective_at,
            history.c.reason,
        )
        .select_from(session.outerjoin(history))
        .order_by(session.c.id, history.c.seq)
        .execution_options(yield_per=1000)
    )


_SESSION_COLUMNS: Final = (
    *("session_id", "platform_id", "user_id", "ordinal", "state", "since", "row_count"),
    *("closed_at", "close_reason"),
)


def _problems(rows: list[sa.RowMapping]) -> Iterator[Problem]:
    problem = partial(Problem, rows[0]["session_id"])
    if rows[0]["seq"] is None:
        yield problem(None, "the session has no row")
        return
    yield from _broken_chain(rows, problem)
    for name, said, shown in _facts(rows):
        if said != shown:
            yield problem(None, f"the session's {name} is {said}, its rows say {shown}")


def _facts(rows: list[sa.RowMapping]) -> Iterator[tuple[str, object, object]]:
    """Yield the name of each fact of the session, its stored value and the value by its rows."""
    session, last = rows[0], rows[-1]
    moves = [row for row in rows if row["from_state"] != row["to_state"]]
    closing = next((row for row in moves if row["to_state"] == State.CLOSED), None)
    closed_at = session["closed_at"]
    if closing is None:
        closed_at = None
    elif closing["received_at"] is not None:  # else the clock closed it, at its deadline
        closed_at = closing["received_at"]
    whose = session["platform_id"], session["user_id"], session["ordinal"]
    yield "session_id", session["session_id"], str(session_id_of(*whose))
    yield "state", session["state"], last["to_state"]
    yield "since", session["since"], moves[-1]["effective_at"] if moves else None
    yield "row_count", session["row_count"], len(rows)
    yield "effective_at", session["latest"], last["effective_at"]
    yield "closed_at", session["closed_at"], closed_at
    yield "close_reason", session["close_reason"], closing["reason"] if closing else None


def _broken_chain(
    rows: list[sa.RowMapping], problem: Callable[[int | None, str], Problem]
) -> Iterator[Problem]:
    for seq, row in enumerate(rows, 1):
        if row["seq"] != seq:
            yield problem(row["seq"], f"seq {seq} should stand here")
    if rows[0]["from_state"] is not None:
        yield problem(1, f"the first row comes from {rows[0]['from_state']}, not from nothing")
    for before, row in pairwise(rows):
        if row["from_state"] != before["to_state"]:
            said, was = row["from_state"], before["to_state"]
            yield problem(row["seq"], f"the row says from {said}, the row before ended in {was}")
        if row["effective_at"] < before["effective_at"]:
            yield problem(row["seq"], "effective_at falls")
