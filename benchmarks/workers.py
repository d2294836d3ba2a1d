"""How much faster several processes hand in the same traffic than one."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Final

from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import batches, traffic
from sermo_fsm import ChatEngine

__all__ = ["workers"]

_ABOUT: Final = """
All processes share one stream, as consumers of one queue do, so that they write about the same
chats: batch by batch in turn. SQLite has one writer at a time, whoever it is.
"""
_COUNTS: Final = (1, 2, 4)
_BARRIERS: Final[list[Barrier]] = []
"""In each process, the barrier at which it waits until all are ready."""

_Lines = Sequence[Sequence[bytes]]


def workers(options: Options) -> Result:
    """On every database, in batches."""
    events = traffic(options.events, chats=options.chats)
    lines = [[message.line for message in batch] for batch in batches(events, options.batch)]
    tables = []
    for kind in options.databases:
        seconds: dict[int, list[float]] = {count: [] for count in _COUNTS}
        for _ in range(options.rounds):
            for count in _COUNTS:
                with options.database(kind) as url:
                    seconds[count].append(_by(url, lines, count))
        rows = []
        for count, times in seconds.items():
            more = [one / some for one, some in zip(seconds[1], times, strict=True)]
            rate = Spread.of(len(events) / some for some in times)
            rows.append([str(count), rate.shown(), Spread.of(more).shown(1, 2)])
        tables.append(Table(TITLES[kind], ["processes", "events/s", "times one"], rows))
    return Result("Workers", _ABOUT.strip(), tables, conditions=conditions(options))


def _by(url: str, lines: _Lines, count: int) -> float:
    """Seconds from the first begin to the last end."""
    with ChatEngine(url) as chats:
        chats.migrate()
    context = get_context("spawn")
    with ProcessPoolExecutor(
        count, context, initializer=_begin, initargs=(context.Barrier(count),)
    ) as pool:
        shares = [lines[first::count] for first in range(count)]
        times = list(pool.map(partial(_write, url), shares))
    return max(end for _, end in times) - min(start for start, _ in times)


def _begin(barrier: Barrier) -> None:
    _BARRIERS.append(barrier)


def _write(url: str, lines: _Lines) -> tuple[float, float]:
    """Hand in the share of this process: when that began and ended."""
    with ChatEngine(url) as chats:
        chats.status("web", "nobody")  # opens the connection
        _BARRIERS[0].wait()
        start = time.monotonic()
        for batch in lines:
            chats.handle_many(batch)
        return start, time.monotonic()
