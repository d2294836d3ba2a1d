"""Measure how many events per second 1, 2, 4 and 8 processes hand in, on each database.

All processes share the same traffic, so that they write about the same users. Each figure has its
own database, made where the tests make theirs. Beside it stand the number of retries and, for one
writer, the speed of the driver alone with exactly the statements and parameters that the engine
sent.

    python -m benchmarks.writers --databases sqlite,postgresql,mysql --writers 1,2,4,8
"""

import argparse
import gc
import platform
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.statements import Batches, Statement, hand_in_batches, record
from benchmarks.traffic import lines
from sermo_fsm import ChatEngine
from tests.databases import KINDS, a_database, drop_all
from tests.writers import counted

_BARRIERS: list[Barrier] = []
"""In each process, the barrier at which it waits until all are ready."""


def _initialize(barrier: Barrier) -> None:
    _BARRIERS.append(barrier)


def write(url: str, batches: Batches) -> tuple[float, float, Counter[str]]:
    """Hand in the share of this process: when that began and ended, and what was retried."""
    with ChatEngine(url) as chats, counted() as retries:
        chats.status("comviq-web", "nobody")  # opens the connection
        gc.collect()
        _BARRIERS[0].wait()
        start = time.monotonic()
        hand_in_batches(chats, batches)
        return start, time.monotonic(), retries


def by_processes(url: sa.URL, batches: Batches, writers: int) -> tuple[float, Counter[str]]:
    """Seconds from the first begin to the last end, and what was retried."""
    context = get_context("spawn")
    with ProcessPoolExecutor(
        writers, mp_context=context, initializer=_initialize, initargs=(context.Barrier(writers),)
    ) as pool:
        address = url.render_as_string(hide_password=False)
        shares = [batches[first::writers] for first in range(writers)]
        found = list(pool.map(partial(write, address), shares))
    seconds = max(end for _, end, _ in found) - min(start for start, _, _ in found)
    return seconds, sum((retries for _, _, retries in found), Counter())


def recorded(url: sa.URL, batches: Batches) -> list[Statement]:
    """The statements that one writer sends to the driver."""
    with ChatEngine(url) as chats:
        sent = record(chats)
        hand_in_batches(chats, batches)
    return sent


def by_the_driver(url: sa.URL, sent: Sequence[Statement]) -> float:
    """Seconds for the same statements with the same parameters, without the engine."""
    with ChatEngine(url) as chats:  # so that connections are set up as the engine does
        connection: Any = chats._engine.raw_connection()  # noqa: SLF001 - to use the driver itself
        driver = connection.driver_connection
        if url.get_backend_name() == "sqlite":
            driver.isolation_level = None
        cursor = driver.cursor()
        start = time.monotonic()
        for statement, parameters, many in sent:
            if statement == "COMMIT":
                driver.commit()
            elif many:
                cursor.executemany(statement, parameters)
            else:
                cursor.execute(statement, parameters or ())
                if cursor.description:
                    cursor.fetchall()
        seconds = time.monotonic() - start
        cursor.close()
        connection.close()
    return seconds


def versions(kind: str) -> str:
    """The name and version of the database."""
    if kind == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    query = {"postgresql": "SHOW server_version", "mysql": "SELECT version()"}[kind]
    with tempfile.TemporaryDirectory() as folder, a_database(kind, Path(folder)) as url:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            version = connection.exec_driver_sql(query).scalar_one()
        engine.dispose()
    return f"{kind} {version}"


def figures(kind: str, batches: Batches, writers: Sequence[int]) -> Iterator[str]:
    """Yield a line of the table for each number of writers."""
    events = sum(map(len, batches))
    one: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for number in writers:
            with a_database(kind, here, migrated=True) as url:
                seconds, retries = by_processes(url, batches, number)
            rate = events / seconds
            one = one or rate
            line = f"{number:8}{rate:12.0f}{rate / one:10.2f}{retries.total():10}  "
            if number == 1:
                with a_database(kind, here, migrated=True) as url:
                    sent = recorded(url, batches)
                with a_database(kind, here, migrated=True) as url:
                    alone = by_the_driver(url, sent)
                line += f"{alone / seconds:.0%} of the driver's speed, "
                line += f"{len(sent) / len(batches):.1f} statements to a call"
            yield line + ", ".join(f"{code}: {n}" for code, n in retries.items())


def main() -> None:
    """Run the benchmark, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--databases", default=",".join(KINDS))
    parser.add_argument("--writers", default="1,2,4,8")
    for name, default in (("events", 20_000), ("single", 2_000), ("users", 2_000), ("batch", 500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    writers = [int(number) for number in options.writers.split(",")]
    print(f"Python {platform.python_version()}, SQLAlchemy {sa.__version__}")
    try:
        for kind in options.databases.split(","):
            for size, events in ((options.batch, options.events), (1, options.single)):
                every = list(lines(events, options.users))
                batches = [every[start : start + size] for start in range(0, len(every), size)]
                how = f"batches of {size}" if size > 1 else "one by one"
                print(f"\n{versions(kind)}, {how}, {events} events")
                print(f"{'writers':>8}{'events/s':>12}{'to one':>10}{'retries':>10}")
                for line in figures(kind, batches, writers):
                    print(line, flush=True)
    finally:
        drop_all()


if __name__ == "__main__":
    main()
