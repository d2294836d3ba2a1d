"""Measure how long it takes to read the whole history, and how much memory that needs.

Hands in mixed traffic, and multiplies the stored rows by SQL until there are enough. Then runs each
question about all rows in its own process, to measure its peak memory. Compare the ratio to a bare
``SELECT`` of the same rows, in order, by the driver alone, in the same run.

    python -m benchmarks.history --rows 1000000
    python -m benchmarks.history postgresql+psycopg://postgres@127.0.0.1/an_empty_database

The database must be empty. Without a URL it is a SQLite file in a temporary folder.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.queries import analyze
from benchmarks.traffic import START, lines
from sermo_fsm import ChatEngine
from sermo_fsm.storage.column_types import UtcDateTime
from sermo_fsm.storage.schema import tables

_EVENTS: Final = 12_000
_USERS: Final = 400
_BATCH: Final = 1000
_PLATFORM: Final = "comviq-web"

# Each copy is an hour later than the one before.
_LATER: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {name}, '{copy} hours')",
    "postgresql": "{name} + {copy} * interval '1 hour'",
    "mysql": "timestampadd(HOUR, {copy}, {name})",
}
_UUID: Final = {
    "sqlite": "lower(hex(randomblob(16)))",
    "postgresql": "gen_random_uuid()",
    "mysql": "uuid()",
}
_BARE: Final = """
    SELECT session_key, trigger_name, from_state, to_state, effective_at FROM sermo_history
    WHERE session_key IS NOT NULL ORDER BY session_key, seq
"""


def fill(chats: ChatEngine, rows: int) -> int:
    """Fill our empty tables with at least this many rows, and return their number."""
    batch: list[bytes] = []
    for line in lines(_EVENTS, _USERS):
        batch.append(line)
        if len(batch) == _BATCH:
            chats.handle_many(batch)
            batch.clear()
    engine = chats._engine  # noqa: SLF001 - to use its connections
    session, history = tables().session, tables().history
    with engine.begin() as connection:
        sizes: dict[str, int] = {
            table.name: connection.execute(sa.select(sa.func.max(table.c.id))).scalar_one()
            for table in (session, history)
        }
        copies: int = -(-rows // sizes[history.name])
        for copy in range(1, copies):
            for table in (session, history):
                connection.exec_driver_sql(_copied(engine.dialect.name, table, copy, sizes))
    analyze(engine)
    return copies * sizes[history.name]


def _copied(kind: str, table: sa.Table, copy: int, sizes: dict[str, int]) -> str:
    """The statement that copies all rows of *table*, for other users and at another time."""

    def value(column: sa.Column[Any]) -> str:
        match column.name:
            case "id":
                return f"id + {copy * sizes[table.name]}"
            case "session_key":
                return f"session_key + {copy * sizes['sermo_session']}"
            case "session_id":
                return _UUID[kind]
            case "user_id":
                joined = f"concat(user_id, '-{copy}')"
                return joined if kind != "sqlite" else f"user_id || '-{copy}'"
            case "message_id" | "fingerprint":
                return "NULL"
        if isinstance(column.type, UtcDateTime):
            return _LATER[kind].format(name=column.name, copy=copy).replace(*_PERCENT[kind])
        return column.name

    names = ", ".join(column.name for column in table.c)
    values = ", ".join(map(value, table.c))
    which = f"WHERE id <= {sizes[table.name]} ORDER BY id"
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.name} {which}"  # noqa: S608 - ours


_PERCENT: Final = {"sqlite": ("%", "%"), "postgresql": ("%", "%%"), "mysql": ("%", "%%")}


def _bare(chats: ChatEngine) -> int:
    """Read the same rows by the driver alone, and return their number."""
    lent = chats._engine.raw_connection()  # noqa: SLF001 - to use its connections
    connection: Any = lent.driver_connection
    module: Any = chats._engine.dialect.loaded_dbapi  # noqa: SLF001 - to use its connections
    kinds: dict[str, Callable[[], Any]] = {
        "sqlite": connection.cursor,
        "postgresql": lambda: connection.cursor("bare"),
        "mysql": lambda: connection.cursor(module.cursors.SSCursor),
    }
    cursor = kinds[chats._engine.dialect.name]()  # noqa: SLF001 - to use its connections
    cursor.execute(_BARE)
    read = 0
    while some := cursor.fetchmany(2000):
        read += len(some)
    lent.close()
    return read


def _traffic(chats: ChatEngine, **which: Any) -> int:
    return chats.traffic(**which).rows


QUESTIONS: Final[dict[str, Callable[[ChatEngine], int]]] = {
    "bare SELECT": _bare,
    "verify": lambda chats: chats.verify().rows,
    "compare": lambda chats: chats.compare().rows,
    "stories": lambda chats: sum(1 for _ in chats.stories()),
    "stories, platform": lambda chats: sum(1 for _ in chats.stories(platform=_PLATFORM)),
    "traffic": _traffic,
    "traffic, platform": lambda chats: _traffic(chats, platform=_PLATFORM),
    "traffic, a day": lambda chats: _traffic(
        chats, since=START + timedelta(days=1), until=START + timedelta(days=2)
    ),
}
"""The questions by name; each returns the number of rows it read."""


def _measure(url: str, name: str) -> None:
    """Run a question in this process, and print rows, seconds and peak memory as JSON."""
    with ChatEngine(url) as chats:
        chats.counts()  # opens the connection
        start = time.perf_counter()
        rows = QUESTIONS[name](chats)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "megabytes": peak}))


def _measured(url: str, name: str) -> dict[str, Any]:
    """Run a question in its own process, and return what :func:`_measure` prints."""
    command = [sys.executable, "-m", "benchmarks.history", url, "--ask", name]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ourselves
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def report(url: str, rows: int, *, filled: bool) -> None:
    """Fill the database, run every question, and print a table."""
    with ChatEngine(url) as chats:
        if not filled:
            chats.migrate()
            start = time.perf_counter()
            count = fill(chats, rows)
            print(f"{count} rows filled in {time.perf_counter() - start:.0f} s")
        dialect = chats._engine.dialect  # noqa: SLF001 - to use its connections
        print(f"Python {platform.python_version()}, SQLAlchemy {sa.__version__}, ", end="")
        print(f"{dialect.name} by {dialect.driver}")
    _measured(url, "bare SELECT")  # brings the file into memory
    bare = _measured(url, "bare SELECT")
    for name in QUESTIONS:
        found = bare if name == "bare SELECT" else _measured(url, name)
        times = found["seconds"] / bare["seconds"]
        print(
            f"{name:20}{found['rows']:10} rows{found['seconds']:9.2f} s{times:7.1f} x"
            f"{found['megabytes']:8.0f} MB"
        )


def main() -> None:
    """Run the benchmark, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", metavar="URL", nargs="*", help="of an empty database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--filled", action="store_true", help="by an earlier run")
    parser.add_argument("--ask", choices=QUESTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        _measure(options.urls[0], options.ask)
        return
    with tempfile.TemporaryDirectory() as folder:
        for url in options.urls or [f"sqlite:///{Path(folder, 'chats.db')}"]:
            report(url, options.rows, filled=options.filled)


if __name__ == "__main__":
    main()
