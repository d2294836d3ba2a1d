"""How much CPU the imports cost, as ratios to ``import sqlalchemy``.

Runs each command once in every round, so that other load on the machine hits all of them alike, and
prints the medians of user and system time. Usage: ``python benchmarks/imports.py [ROUNDS]``.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

MIN_ROUNDS = 15
PYTHON = sys.executable


def cpu_seconds(command: list[str]) -> float:
    """The user and system time of one run of *command*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(rounds: int) -> None:
    """Measure and print."""
    event = '{"type": "text", "text": "Hej!", "platformId": "web", "userId": "u-1"}'
    sermo = [PYTHON, "-m", "sermo_fsm"]
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'chats.db'}"
        ingest = [*sermo, "ingest", "--direction", "inbound", "--db", database]
        subprocess.run(ingest, input=event.encode(), check=True, capture_output=True)  # noqa: S603
        commands = {
            "import sqlalchemy": [PYTHON, "-c", "import sqlalchemy"],
            "import sermo_fsm": [PYTHON, "-c", "import sermo_fsm"],
            "sermo-fsm --help": [*sermo, "--help"],
            "sermo-fsm status": [*sermo, "status", "web", "u-1", "--db", database],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                times[name].append(cpu_seconds(command))
    medians = {name: median(seconds[1:]) for name, seconds in times.items()}  # the first warms up
    base = medians["import sqlalchemy"]
    for name, seconds in medians.items():
        print(f"{name:<20}{seconds * 1000:8.0f} ms{seconds / base:8.2f}")


if __name__ == "__main__":
    main(max(MIN_ROUNDS, int(sys.argv[1]) if sys.argv[1:] else 0))
