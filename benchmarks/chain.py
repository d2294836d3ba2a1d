"""The chain of digests: how long it takes to make, and to hold against the history."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.filled import filled
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from sermo_fsm import ChatEngine

__all__ = ["chain"]

_ABOUT: Final = """
All rows of {sessions} sessions at once, beside a bare `SELECT` of the same columns by the driver
alone. Afterwards each run takes only what is new. Events pass none of it.
"""
_BARE: Final = """
    SELECT id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome,
    received_at, effective_at, sent_at, message_id, agent_id, last_seen_at
    FROM sermo_history ORDER BY id
"""
_COLUMNS: Final = ["", "rows", "seconds", "times bare", "rows/s"]


def chain(options: Options) -> Result:
    """On the second largest of the sizes: the largest takes long to fill."""
    sessions = options.sessions[-2:][0]
    tables = []
    for kind in options.databases:
        with ChatEngine(filled(options, kind, sessions)) as chats:
            found: dict[str, list[tuple[int, float]]] = {name: [] for name in _STEPS}
            for _ in range(options.rounds):
                _forget(chats)
                for name, step in _STEPS.items():
                    start = time.perf_counter()
                    rows = step(chats)
                    found[name].append((rows, time.perf_counter() - start))
        bare = [seconds for _, seconds in found["bare `SELECT`"]]
        tables.append(
            Table(TITLES[kind], _COLUMNS, [_row(name, one, bare) for name, one in found.items()])
        )
    about = _ABOUT.strip().format(sessions=f"{sessions:,}".replace(",", " "))
    return Result("Chain of digests", about, tables, conditions=conditions(options))


def _row(name: str, runs: list[tuple[int, float]], bare: list[float]) -> list[str]:
    seconds = [one for _, one in runs]
    times = Spread.of(one / other for one, other in zip(seconds, bare, strict=True))
    return [
        name,
        f"{runs[0][0]:,}".replace(",", " "),
        Spread.of(seconds).shown(1, 2),
        times.shown(1, 1),
        Spread.of(rows / one for rows, one in runs).shown(),
    ]


def _forget(chats: ChatEngine) -> None:
    with chats._engine.begin() as connection:  # noqa: SLF001 - to use its connections
        connection.execute(sa.text("DELETE FROM sermo_chain"))


def _bare(chats: ChatEngine) -> int:
    lent = chats._engine.raw_connection()  # noqa: SLF001 - likewise
    cursor: Any = lent.cursor()
    cursor.execute(_BARE)
    read = 0
    while some := cursor.fetchmany(2000):
        read += len(some)
    cursor.close()
    lent.close()
    return read


_STEPS: Final[Mapping[str, Callable[[ChatEngine], int]]] = {
    "bare `SELECT`": _bare,
    "`extend_chain`": lambda chats: chats.extend_chain().rows,
    "`verify_chain`": lambda chats: chats.verify_chain().chain.rows,
    "`verify`": lambda chats: chats.verify().rows,
}
"""What is done in each round, in this order; each returns the number of rows that it read."""
