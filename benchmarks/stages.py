"""Where the time of an event goes: the engine is interrupted many times, to see what it is doing.

Each sample belongs to the innermost function of ours on the stack, and with it to a folder, or to
what that function has called: SQLAlchemy, or the driver and with it the database.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import sermo_fsm
from benchmarks.contenders.ours import handle
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Table, conditions
from benchmarks.traffic import batches, traffic
from sermo_fsm import ChatEngine

__all__ = ["stages"]

_ABOUT: Final = """
Microseconds of the clock for one event, and their share. Found by interrupting the engine every
half millisecond: a sample belongs to the innermost function of ours, or to what it has called.
"""
_EVERY: Final = 0.0005
_OURS: Final = str(Path(sermo_fsm.__file__).parent) + "/"
_DRIVERS: Final = ("/psycopg/", "/pymysql/", "/sqlite3/")

_DATABASE: Final = "the driver and the database"
_SQLALCHEMY: Final = "SQLAlchemy between us and the driver"
_OTHER: Final = "else"
_FOLDERS: Final = {
    "protocol/": "reading: from bytes to a message",
    "core/": "deciding: from a message to a step",
    "storage/rows": "rows from and to values",
    "storage/column_types": "rows from and to values",
    "storage/": "loading and writing, statements",
    "engine/": "batches, receipts, transactions",
}
_ORDER: Final = (*dict.fromkeys(_FOLDERS.values()), _SQLALCHEMY, _DATABASE, _OTHER)


def stages(options: Options) -> Result:
    """On every database, in batches and one by one."""
    tables = []
    for kind in options.databases:
        with options.database(kind) as url, ChatEngine(url) as chats:
            chats.migrate()
            columns = [*_measured(chats, options)]
        heads = ["", f"batches of {options.batch}", "", "one by one", ""]
        rows = [[stage, *(cell for one in columns for cell in one[stage])] for stage in _ORDER]
        tables.append(Table(TITLES[kind], heads, rows))
    return Result("Stages", _ABOUT.strip(), tables, conditions=conditions(options))


def _measured(chats: ChatEngine, options: Options) -> Iterator[dict[str, tuple[str, str]]]:
    for_single = options.rounds * options.single
    every = traffic(options.before + options.events + for_single, chats=options.chats)
    first, last = options.before, options.before + options.events
    for batch in batches(every[:first], options.batch):
        chats.handle_many([message.line for message in batch])

    def in_batches() -> None:
        for batch in batches(every[first:last], options.batch):
            chats.handle_many([message.line for message in batch])

    def one_by_one() -> None:
        for message in every[last:]:
            handle(chats, message)

    yield _shares(in_batches, last - first)
    yield _shares(one_by_one, for_single)


def _shares(work: Callable[[], None], events: int) -> dict[str, tuple[str, str]]:
    start = time.perf_counter()
    with _sampled() as samples:
        work()
    each = (time.perf_counter() - start) / events * 1e6
    total = max(samples.total(), 1)
    return {
        stage: (f"{each * samples[stage] / total:,.1f} µs", f"{samples[stage] / total:.0%}")
        for stage in _ORDER
    }


@contextmanager
def _sampled() -> Iterator[Counter[str]]:
    samples: Counter[str] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        samples[_stage(frame)] += 1

    before = signal.signal(signal.SIGALRM, sample)
    signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stage(frame: FrameType | None) -> str:
    called: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if _is_driver(file, frame.f_code.co_name):
            return _DATABASE
        if file.startswith(_OURS):
            return called or _folder(file.removeprefix(_OURS))
        if "/sqlalchemy/" in file:
            called = _SQLALCHEMY
        frame = frame.f_back
    return _OTHER


def _is_driver(file: str, function: str) -> bool:
    """Whether this is a driver, or the call of one: C leaves no frame of its own."""
    calls = "/sqlalchemy/" in file and function.startswith("do_")
    calls = calls or (file.endswith("/sqlite_statements.py") and function == "execute")
    return calls or any(driver in file for driver in _DRIVERS)


def _folder(path: str) -> str:
    return next((stage for folder, stage in _FOLDERS.items() if path.startswith(folder)), _OTHER)
