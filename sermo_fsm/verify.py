"""Is the stored history what the guarantees say? Reads everything, changes nothing.

Guarantee 2: ``seq`` is dense per session, every row's ``from`` is the row before's ``to``,
``effective_at`` never falls. And the session is where its last row says.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby, islice, pairwise
from operator import itemgetter
from typing import Final

import sqlalchemy as sa
from attrs import field, frozen

from sermo_fsm.schema import HISTORY, SESSION

__all__ = ["Problem", "Verification", "verify"]

_MOST_PROBLEMS: Final = 1000


@frozen
class Problem:
    """One thing that can't be.

    Attributes:
        session_id: Of which session.
        seq: At which row; None where it is about the session.
        what: In words.
    """

    session_id: str
    seq: int | None
    what: str


@frozen
class Verification:
    """What was read, and what was wrong with it; at most the first 1000 problems."""

    sessions: int
    rows: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Nothing was wrong."""
        return not self.problems


def verify(connection: sa.Connection) -> Verification:
    """Replay every session's rows, in constant memory."""
    sessions = rows = 0
    problems: list[Problem] = []
    for _, group in groupby(_rows(connection), key=itemgetter("key")):
        session = list(group)
        sessions += 1
        rows += sum(row["seq"] is not None for row in session)
        room = _MOST_PROBLEMS - len(problems)
        problems += islice(_problems(session), room)
    return Verification(sessions, rows, tuple(problems))


def _rows(connection: sa.Connection) -> Iterator[sa.RowMapping]:
    query = (
        sa.select(
            SESSION.c.id.label("key"),
            SESSION.c.session_id,
            SESSION.c.state,
            SESSION.c.row_count,
            SESSION.c.effective_at.label("latest"),
            HISTORY.c.seq,
            HISTORY.c.from_state,
            HISTORY.c.to_state,
            HISTORY.c.effective_at,
        )
        .select_from(SESSION.outerjoin(HISTORY))
        .order_by(SESSION.c.id, HISTORY.c.seq)
        .execution_options(yield_per=1000)
    )
    return iter(connection.execute(query).mappings())


def _problems(rows: list[sa.RowMapping]) -> Iterator[Problem]:
    session = rows[0]
    problem = partial(Problem, session["session_id"])
    if session["seq"] is None:
        yield problem(None, "the session has no row")
        return
    yield from _broken_chain(rows, problem)
    last = rows[-1]
    if session["state"] != last["to_state"]:
        is_in, ended = session["state"], last["to_state"]
        yield problem(None, f"the session is in {is_in}, its last row ended in {ended}")
    if session["row_count"] != len(rows):
        yield problem(None, f"the session counts {session['row_count']} rows of {len(rows)}")
    if session["latest"] != last["effective_at"]:
        yield problem(None, "the session's latest effective time is not its last row's")


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
