"""How much CPU starting up costs, beside ``import sqlalchemy``."""

import resource
import subprocess
import sys
from typing import Final

from benchmarks.options import Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import PLATFORM, traffic
from sermo_fsm import ChatEngine

__all__ = ["imports"]

_ABOUT: Final = "User and system time of one process each, in turn."


def imports(options: Options) -> Result:
    """Each command once in every round, so that other load hits all of them alike."""
    url = f"sqlite:///{options.folder / 'imports.db'}"
    (message,) = traffic(1, chats=1)
    with ChatEngine(url) as chats:
        chats.migrate()
        chats.handle_many([message.line])
    sermo = [sys.executable, "-m", "sermo_fsm"]
    commands = {
        "import sqlalchemy": [sys.executable, "-c", "import sqlalchemy"],
        "import sermo_fsm": [sys.executable, "-c", "import sermo_fsm"],
        "sermo-fsm --help": [*sermo, "--help"],
        "sermo-fsm status": [*sermo, "status", PLATFORM, message.user_id, "--db", url],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(2 * options.rounds + 1):
        for name, command in commands.items():
            seconds = _cpu_seconds(command)
            if number:  # the first warms up
                times[name].append(seconds)
    base = times["import sqlalchemy"]
    rows = []
    for name, found in times.items():
        ratios = [one / other for one, other in zip(found, base, strict=True)]
        rows.append(
            [f"`{name}`", Spread.of(found).shown(1e3, 0, " ms"), Spread.of(ratios).shown(1, 2)]
        )
    table = Table("Starting up", ["", "CPU", "times `import sqlalchemy`"], rows)
    return Result("Starting up", _ABOUT, [table], conditions=conditions(options))


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
