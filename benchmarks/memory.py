"""How much memory ``sermo-fsm ingest`` takes, by the size of the file."""

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.options import Options
from benchmarks.results import Result, Table, conditions
from benchmarks.traffic import messages

__all__ = ["memory", "peak_of_this_process"]

_ABOUT: Final = "`sermo-fsm ingest FILE` into SQLite, in a process of its own, with its peak (RSS)."


def memory(options: Options) -> Result:
    """For files of which each is four times as large as the one before."""
    rows = []
    for lines in (options.events, options.events * 4, options.events * 16):
        file = options.folder / f"{lines}.jsonl"
        with file.open("wb") as out:
            out.writelines(one.line + b"\n" for one in islice(messages(chats=options.chats), lines))
        size = file.stat().st_size / 1e6
        rows.append([str(lines), f"{size:.1f} MB", f"{_peak(file) / 1024:.0f} MB"])
        file.unlink()
    table = Table("Memory of `ingest`", ["lines", "file", "peak memory"], rows)
    return Result("Memory", _ABOUT, [table], conditions=conditions(options))


def _peak(file: Path) -> int:
    """Peak memory in KiB, as the process itself reads it at its end."""
    database = f"sqlite:///{file.with_suffix('.db')}"
    command = [sys.executable, "-c", _INGEST, "ingest", "--db", database, str(file)]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ourselves
    return int(done.stdout.split()[-1])


def peak_of_this_process() -> int:
    """Peak memory in KiB; ``getrusage`` would count what the parent had before the ``exec``."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


_INGEST: Final = """
import atexit, runpy
from pathlib import Path
atexit.register(lambda: print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]))
runpy.run_module("sermo_fsm", run_name="__main__")
"""
