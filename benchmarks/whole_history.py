"""Questions about all that is stored: how long they take, and how much memory they need."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks.filled import filled
from benchmarks.memory import peak_of_this_process
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import PLATFORM
from sermo_fsm import ChatEngine

__all__ = ["QUESTIONS", "whole_history"]

_ABOUT: Final = """
Each question in a process of its own, on {sessions} sessions, beside a bare `SELECT` of the same
rows in the same order by the driver alone. Memory is the peak of the process (RSS).
"""
_DAY: Final = datetime(2026, 1, 2, tzinfo=UTC)
_BARE: Final = """
    SELECT session_key, trigger_name, from_state, to_state, effective_at FROM sermo_history
    WHERE session_key IS NOT NULL ORDER BY session_key, seq
"""


def _bare(chats: ChatEngine) -> int:
    """Read the same rows by the driver alone, in portions, and return their number."""
    engine = chats._engine  # noqa: SLF001 - to use its connections
    lent = engine.raw_connection()
    connection: Any = lent.driver_connection
    module: Any = engine.dialect.loaded_dbapi
    cursors: dict[str, Callable[[], Any]] = {
        "sqlite": connection.cursor,
        "postgresql": lambda: connection.cursor("bare"),
        "mysql": lambda: connection.cursor(module.cursors.SSCursor),
    }
    cursor = cursors[engine.dialect.name]()
    cursor.execute(_BARE)
    read = 0
    while some := cursor.fetchmany(2000):
        read += len(some)
    lent.close()
    return read


def _figures(chats: ChatEngine, **which: Any) -> int:
    read = [0]
    chats.figures(progress=lambda rows, _: read.append(rows), **which)
    return read[-1]


QUESTIONS: Final[Mapping[str, Callable[[ChatEngine], int]]] = {
    "bare `SELECT`": _bare,
    "`verify`": lambda chats: chats.verify().rows,
    "`compare`": lambda chats: chats.compare().rows,
    "`stories`": lambda chats: sum(1 for _ in chats.stories()),
    "`stories` of a platform": lambda chats: sum(1 for _ in chats.stories(platform=PLATFORM)),
    "`figures`": _figures,
    "`figures` by hour": lambda chats: _figures(chats, by="hour"),
    "`figures` of a day": lambda chats: _figures(chats, since=_DAY, until=_DAY + timedelta(days=1)),
    "`traffic`": lambda chats: chats.traffic().rows,
    "`traffic` of a day": lambda chats: (
        chats.traffic(since=_DAY, until=_DAY + timedelta(days=1)).rows
    ),
}
"""The questions by name; each returns the number of rows it read."""


def whole_history(options: Options) -> Result:
    """On the second largest of the sizes: the largest takes an hour."""
    sessions = options.sessions[-2:][0]
    tables = []
    for kind in options.databases:
        url = filled(options, kind, sessions)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in QUESTIONS}
        for _ in range(options.rounds):
            for name in QUESTIONS:
                found[name].append(_asked(url, name))
        tables.append(
            Table(
                TITLES[kind],
                ["", "rows", "seconds", "times bare", "memory"],
                [_row(name, runs, found["bare `SELECT`"]) for name, runs in found.items()],
            )
        )
    about = _ABOUT.strip().format(sessions=f"{sessions:,}".replace(",", " "))
    return Result("Whole history", about, tables, conditions=conditions(options))


def _row(name: str, runs: list[dict[str, float]], bare: list[dict[str, float]]) -> list[str]:
    times = Spread.of(
        one["seconds"] / other["seconds"] for one, other in zip(runs, bare, strict=True)
    )
    return [
        name,
        f"{runs[0]['rows']:,.0f}".replace(",", " "),
        Spread.of(one["seconds"] for one in runs).shown(1, 2),
        times.shown(1, 1),
        f"{max(one['megabytes'] for one in runs):.0f} MB",
    ]


def _asked(url: str, name: str) -> dict[str, float]:
    """Ask in a process of its own: rows, seconds and megabytes."""
    command = [sys.executable, "-m", "benchmarks.whole_history", url, name]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ourselves
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _ask(url: str, name: str) -> None:
    with ChatEngine(url) as chats:
        chats.counts()  # opens the connection
        start = time.perf_counter()
        rows = QUESTIONS[name](chats)
        seconds = time.perf_counter() - start
    megabytes = peak_of_this_process() / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "megabytes": megabytes}))


if __name__ == "__main__":
    _ask(*sys.argv[1:])
