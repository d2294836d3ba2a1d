"""How near to the speed of the database alone is handing in events.

Plays the same traffic through ``ChatEngine`` and, with the very statements and parameters that the
engine sent, through the bare ``sqlite3`` driver. What counts is the ratio: both run in turn, on
the same machine, in the same minute.

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
from typing import Any

import sqlalchemy as sa

from benchmarks.traffic import lines
from sermo_fsm import ChatEngine

Statement = tuple[str, Any, bool]


def through_the_engine(
    file: Path, batches: Sequence[Sequence[bytes]], *, listen: bool = False
) -> list[Statement]:
    """Hand everything in; with *listen*, what was sent to the driver comes back."""
    sent: list[Statement] = []
    with ChatEngine(f"sqlite:///{file}") as chats:
        chats.migrate()
        if listen:
            _record(chats, sent)
        for batch in batches:
            chats.handle_many(batch)
    return sent


def _record(chats: ChatEngine, sent: list[Statement]) -> None:
    engine = chats._engine  # noqa: SLF001 - to listen

    def executed(*arguments: Any) -> None:
        _, _, statement, parameters, _, many = arguments
        sent.append((statement, parameters, many))

    sa.event.listen(engine, "before_cursor_execute", executed)
    sa.event.listen(engine, "commit", lambda _: sent.append(("COMMIT", (), False)))


def through_the_driver(file: Path, sent: Sequence[Statement]) -> None:
    """Send the same statements with the same parameters by the driver alone."""
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
    """Seconds that *work* took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Run, and print a table."""
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
        sent = through_the_engine(Path(folder, "record.db"), batches, listen=True)
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
