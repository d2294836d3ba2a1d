"""What was measured: kept as JSON, so that one benchmark can be run again without the others."""

import json
import os
import platform
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import sqlalchemy as sa
from attrs import asdict, field, frozen

from benchmarks.options import TITLES, Options

__all__ = ["Result", "Spread", "Table", "conditions", "read", "save"]

_SETTINGS: Final = {
    "postgresql": "SELECT name, setting FROM pg_settings WHERE name IN"
    " ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers')",
    "mysql": "SHOW VARIABLES WHERE variable_name IN ('version', 'innodb_flush_log_at_trx_commit',"
    " 'sync_binlog', 'innodb_buffer_pool_size')",
}
_LEVELS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")


@frozen
class Spread:
    """The median of some rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of *values*."""
        every = sorted(values)
        return cls(median(every), every[0], every[-1])

    def shown(self, scale: float = 1, digits: int = 0, unit: str = "") -> str:
        """The median, and from where to where the rounds went."""
        middle, low, high = (
            f"{value * scale:,.{digits}f}".replace(",", " ")
            for value in (self.median, self.low, self.high)
        )
        return f"{middle}{unit} ({low}–{high})"


@frozen
class Table:
    """One table of a result, as it is to be shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@frozen
class Result:
    """What a benchmark found.

    Attributes:
        title: For the headline.
        about: What was done, and what the columns are.
        tables: What is shown.
        data: What pictures are drawn from, by the name of the series.
        conditions: On which machine, when, with what.
    """

    title: str
    about: str
    tables: Sequence[Table]
    data: Mapping[str, Any] = field(factory=dict)
    conditions: Sequence[str] = ()


def conditions(options: Options, packages: Iterable[str] = ()) -> list[str]:
    """The machine, its load before we began, the versions, and how durable a commit is."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    names = ["sermo-fsm", "SQLAlchemy", "psycopg", "PyMySQL", *packages]
    machine = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {cpu[1] if cpu else platform.machine()},"
        f" {os.cpu_count()} cores, {platform.system()} {platform.release()};"
        f" load before the run {options.load:.1f}"
    )
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    return [machine, python, *(_database(kind, options) for kind in options.databases)]


def _database(kind: str, options: Options) -> str:
    with options.database(kind) as url:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            if kind == "sqlite":
                level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
                found = {"journal_mode": "WAL", "synchronous": _LEVELS[level]}
            else:
                found = dict(connection.exec_driver_sql(_SETTINGS[kind]).tuples().all())
        engine.dispose()
    return f"{TITLES[kind]}: " + ", ".join(f"{name} = {value}" for name, value in found.items())


def save(folder: Path, name: str, result: Result) -> None:
    """Put *result* in the place of the last one of this name."""
    file = folder / "results.json"
    every = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    every[name] = asdict(result)
    file.write_text(json.dumps(every, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Result]:
    """Everything that was measured, by the name of the benchmark."""
    file = folder / "results.json"
    every = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {
        name: Result(**{**one, "tables": [Table(**table) for table in one["tables"]]})
        for name, one in every.items()
    }
