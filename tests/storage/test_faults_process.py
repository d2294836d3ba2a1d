"""A process that is killed at any moment: started again from the top, it is as if it ran once."""

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.command.test_cli_support import environment, everything_in, traffic
from tests.support import also_proved

SERVED = [pytest.param(kind, marks=pytest.mark.service) for kind in ("postgresql", "mysql")]
LINES = 150

# Hands in lines, so many at a time, and kills itself at the n-th statement, commits included. Says
# after each portion that it is in.
PROGRAM = """
import os, signal, sys
import sqlalchemy as sa
from sermo_fsm import ChatEngine

url, path, size, moment = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
passed = 0

def execute(*_):
    global passed
    passed += 1
    if passed == moment:
        os.kill(os.getpid(), signal.SIGKILL)

lines = open(path, encoding="utf-8").read().splitlines()
with ChatEngine(url) as chats:
    chats.check_schema()
    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", execute)
    for start in range(0, len(lines), size):
        chats.handle_many(lines[start : start + size])
        print(start, flush=True)
print(passed, flush=True)
"""


@pytest.fixture(params=SERVED)
def kind(request: pytest.FixtureRequest) -> str:
    """Those with servers; tests/command/test_cli_process.py does it with SQLite."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "events.jsonl"
    path.write_text("".join(traffic(LINES, users=8)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def wanted(lines: Path) -> dict[str, Any]:
    """What it comes to where nobody is killed."""
    database = f"sqlite:///{lines.parent / uuid.uuid4().hex}.db"
    with ChatEngine(database) as chats:
        chats.migrate()
        chats.handle_many(lines.read_text("utf-8").splitlines())
    return everything_in(database)


def command(url: sa.URL, lines: Path, size: int, moment: int = 0) -> list[str]:
    where = url.render_as_string(hide_password=False)
    return [sys.executable, "-c", PROGRAM, where, str(lines), str(size), str(moment)]


def run(url: sa.URL, lines: Path, size: int, moment: int = 0) -> tuple[int, list[str]]:
    """Its exit status, and what it said."""
    done = subprocess.run(
        command(url, lines, size, moment), env=environment(), stdout=subprocess.PIPE, check=False
    )
    return done.returncode, done.stdout.decode().split()


def check(url: sa.URL, wanted: dict[str, Any]) -> None:
    found = everything_in(url.render_as_string(hide_password=False))
    assert by_id(found) == by_id(wanted)
    with ChatEngine(url) as chats:
        assert chats.verify().ok


def by_id(found: dict[str, Any]) -> dict[str, Any]:
    """Of sessions that opened at the same instant, those of later runs may come first."""
    return {**found, "sessions": {one["sessionId"]: one for one in found["sessions"]}}


@pytest.mark.prove
@pytest.mark.parametrize("size", [1, 50])
def test_killed_at_counted_statements_it_ends_as_if_it_had_run_once(
    kind_url: sa.URL, lines: Path, wanted: dict[str, Any], size: int
) -> None:
    # Each run comes a little further than the one before: into another statement, or a commit.
    moment, step = 1, 151 if size == 1 else 4
    killed = 0
    while True:
        status, _ = run(kind_url, lines, size, moment)
        if status == 0:
            break
        assert status == -9
        killed += 1
        moment += step
    assert killed >= 4
    check(kind_url, wanted)


@pytest.mark.parametrize("heard", [20, *also_proved(0, 1, 77)])
def test_killed_wherever_it_happens_to_be_it_ends_as_if_it_had_run_once(
    kind_url: sa.URL, lines: Path, wanted: dict[str, Any], heard: int
) -> None:
    with subprocess.Popen(
        command(kind_url, lines, 1), env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(heard):
            process.stdout.readline()
        process.kill()
    assert process.returncode == -9
    assert run(kind_url, lines, 50)[0] == 0
    check(kind_url, wanted)
