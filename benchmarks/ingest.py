"""Compare handing in events with the speed of the database alone.

Plays the same traffic through ``ChatEngine``, and through the bare ``sqlite3`` driver with exactly
the statements and parameters that the engine sent. Compare the ratio, not the numbers: both run in
turn, on the same machine, in the same minute.

    python -m benchmarks.ingest --events 20000 --users 2000 --batch 500 --rounds 5
"""

import argparse
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from benchmarks.statements import Batches, Statement, hand_in_batches, record
from benchmarks.traffic import lines
from sermo_fsm import ChatEngine


def through_the_engine(file: Path, batches: Batches) -> None:
    """Hand everything in, in a new database."""
    with ChatEngine(f"sqlite:///{file}") as chats:
        chats.migrate()
        hand_in_batches(chats, batches)


def recorded(file: Path, batches: Batches) -> list[Statement]:
    """Do the same, and return the statements that the engine sent."""
    with ChatEngine(f"sqlite:///{file}") as chats:
        chats.migrate()
        sent = record(chats)
        hand_in_batches(chats, batches)
    return sent


def through_the_driver(file: Path, sent: Sequence[Statement]) -> None:
    """Send the same statements with the same parameters, without the engine."""
    with ChatEngine(f"sqlite:///{file}") as chats:
        chats.migrate()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    for statement, parameters, many in sent:
        if many:
            connection.executemany(statement, parameters)
        else:
            connection.execute(statement, parameters).fetchall()
    connection.close()


def timed(work: Callable[[], object]) -> float:
    """Run *work*, and return the seconds it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Run the benchmark, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("events", 20_000), ("users", 2_000), ("batch", 500), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    every = list(lines(options.events, options.users))
    batches = [
        every[start : start + options.batch] for start in range(0, len(every), options.batch)
    ]
    engine, driver = [], []
    with tempfile.TemporaryDirectory() as folder:
        sent = recorded(Path(folder, "record.db"), batches)
        for number in range(options.rounds):
            fresh, bare = Path(folder, f"engine{number}.db"), Path(folder, f"driver{number}.db")
            engine.append(timed(partial(through_the_engine, fresh, batches)))
            driver.append(timed(partial(through_the_driver, bare, sent)))
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, ", end="")
    print(f"SQLAlchemy {sa.__version__}; {options.events} events, batches of {options.batch}")
    for name, seconds in (("engine", engine), ("driver alone", driver)):
        rate = options.events / statistics.median(seconds)
        print(f"{name:14}{rate:10.0f} events/s  (median of {options.rounds})")
    ratios = [one / other for one, other in zip(driver, engine, strict=True)]
    print(f"{'ratio':14}{statistics.median(ratios):10.0%} of the driver's speed")


if __name__ == "__main__":
    main()
