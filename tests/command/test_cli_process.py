"""The command as a process: signals, pipes, locales, memory. Nothing here waits for a time."""

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from sermo_fsm import ChatEngine
from tests.command.test_cli_support import (
    COMMAND,
    environment,
    event,
    everything_in,
    line,
    sermo,
    sermo_process,
    traffic,
    url_of,
)
from tests.support import also_proved

INVALID = b"{}\n"
SWEDISH = "Åh, så bra! 😊 – naïve"

# Does something to itself at the n-th statement that it sends to the database, commits included.
# To be killed it is told by SQLite, which leaves the statements their own way to the driver, and
# counts each row of many. What is told by SQLite can't interrupt.
AT_STATEMENT = """
import os, signal, sys
import sqlalchemy as sa
from sermo_fsm.cli import main

countdown = int(sys.argv[1])

def execute(*_):
    global countdown
    countdown -= 1
    if countdown == 0:
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))

if sys.argv[2] == "SIGKILL":
    sa.event.listen(sa.Pool, "connect", lambda driver, _: driver.set_trace_callback(execute))
else:
    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", execute)
try:
    main(sys.argv[3:])
finally:
    print(countdown, file=sys.stderr)
"""


@pytest.fixture
def db(tmp_path: Path) -> str:
    return url_of(tmp_path / "chats.db")


@pytest.fixture
def many(db: str) -> str:
    """A database with more in it than fits into a pipe."""
    assert sermo("ingest", "--db", db, stdin="[]\n" * 3000).exit_code == 1
    return db


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """The command, with pipes to all its ends; gone in the end."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(
        [*COMMAND, *arguments], **{**pipes, "env": environment(), **options}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


# --- exit statuses ------------------------------------------------------------------------------


def test_the_exit_statuses_are_those_of_the_process(tmp_path: Path, db: str) -> None:
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    for arguments, stdin, status in (
        (["ingest", "--db", db], b"", 0),
        (["ingest", "--db", db], INVALID, 1),
        (["ingest", "--nonsense"], b"", 2),
        (["sessions", "--db", url_of(foreign)], b"", 3),
        (["status", "web", "nobody", "--db", db], b"", 4),
    ):
        done = sermo_process(*arguments, stdin=stdin)
        assert done.returncode == status
        assert b"Traceback" not in done.stderr


def test_where_nobody_hears_the_complaint_the_status_still_says_it(db: str) -> None:
    for arguments, expected in (
        (["status", "web", "nobody", "--json", "--db", db], (4, b"null\n")),
        (["--nonsense"], (2, b"")),
    ):
        with Path("/dev/full").open("wb") as full:
            done = sermo_process(*arguments, stderr=full)
        assert (done.returncode, done.stdout) == expected


def test_an_output_that_is_full_is_2_in_one_line(many: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = sermo_process("strays", "--json", "--db", many, stdout=full)
    assert (done.returncode, done.stderr) == (2, b"Error: No space left on device\n")
    with Path("/dev/full").open("wb") as full:
        done = sermo_process("ingest", "--db", many, stdout=full)
    assert done.returncode == 2
    assert b"Every line is stored" in done.stderr
    with Path("/dev/full").open("wb") as full:
        done = sermo_process("--help", stdout=full)
    assert (done.returncode, done.stderr) == (2, b"Error: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(db: str, closed: str) -> None:
    command = subprocess.list2cmdline([*COMMAND, "sessions", "--json", "--db", db])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {closed}"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b"" if ">&-" in closed.split() else b"[]\n")
    assert everything_in(db)["sessions"] == []


def test_without_standard_input_there_has_to_be_a_file(tmp_path: Path, db: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("")
    for files, status in (("", 2), (path, 0)):
        command = subprocess.list2cmdline([*COMMAND, "ingest", "--db", db])
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} {files} <&-"],
            capture_output=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == status
        assert b"Traceback" not in done.stderr


# --- UTF-8 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        *also_proved({"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}),
    ],
    ids=lambda locale: "-".join(locale.values()),
)
def test_it_speaks_utf_8_whatever_the_locale(db: str, locale: dict[str, str]) -> None:
    env = environment(**locale)
    text = line("inbound", event("text", "åke", text=SWEDISH)).encode()
    assert sermo_process("ingest", "--db", db, stdin=text, env=env).returncode == 0
    plain = sermo_process("history", "web", "åke", "--bodies", "--db", db, env=env)
    assert SWEDISH in plain.stdout.decode()
    rows = sermo_process("history", "web", "åke", "--bodies", "--db", db, "--json", env=env)
    assert SWEDISH in rows.stdout.decode()
    nobody = sermo_process("status", "web", "öyvind", "--db", db, env=env)
    assert "öyvind" in nobody.stderr.decode()
    assert sermo_process("--help", env=env).returncode == 0
    assert "►" in sermo_process("diagram", env=env).stdout.decode()


# --- pipes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_has_seen_enough_ends_it_in_silence(many: str, options: list[str]) -> None:
    with running("strays", "--db", many, *options) as process:
        assert pipe(process.stdout).readline()
        pipe(process.stdout).close()
        assert pipe(process.stderr).read() == b""
        assert process.wait() == 0


def test_events_go_in_although_nobody_hears_the_complaints(db: str) -> None:
    with running("ingest", "--db", db, "--json") as process:
        pipe(process.stderr).close()
        stdout, _ = process.communicate(INVALID + "".join(traffic(1000)).encode() + INVALID)
    assert process.returncode == 1
    assert json.loads(stdout)["read"] == 1002


def test_lines_of_a_live_pipe_do_not_wait_for_more(db: str) -> None:
    with running("ingest", "--db", db) as process:
        stdin, stderr = pipe(process.stdin), pipe(process.stderr)
        for number in range(1, 4):
            hello = line("inbound", event("text", text="Hej"), at=number).encode()
            # The half line waits for its rest; all before it is in when the complaint is heard.
            stdin.write(hello + INVALID + hello[:40])
            stdin.flush()
            assert stderr.readline().startswith(b"<stdin>:%d: invalid" % (number * 3 - 1))
            with ChatEngine(db) as engine:
                session = engine.status("web", "anna")
            assert session is not None
            assert session.rows == number * 2 - 1
            stdin.write(hello[40:])
        stdin.close()
        assert process.wait() == 1


def test_a_pipe_that_does_not_wait_is_2_and_not_the_end(db: str) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb") as stdin, open(writing, "wb") as far:  # noqa: PTH123 - no paths
        done = subprocess.run(
            [*COMMAND, "ingest", "--db", db],
            stdin=stdin,
            capture_output=True,
            env=environment(),
            check=False,
        )
        far.close()
    assert done.returncode == 2
    assert b"cat" in done.stderr


def test_a_pipe_has_no_progress_bar(db: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(traffic(1000)))
    env = environment(FORCE_COLOR="1", TTY_COMPATIBLE="1")
    done = sermo_process("ingest", str(path), "--db", db, env=env)
    assert done.stderr == b""
    assert done.stdout.startswith(b"1000 lines read\n")


def test_two_may_read_the_same_at_once_even_where_there_is_no_table_yet(
    once: tuple[Path, dict[str, Any], int], db: str
) -> None:
    path, wanted, _ = once
    with running("ingest", str(path), "--db", db) as one:
        with running("ingest", str(path), "--db", db) as other:
            assert (other.communicate()[1], other.returncode) == (b"", 0)
        assert (one.communicate()[1], one.returncode) == (b"", 0)
    assert without_presence(everything_in(db)) == without_presence(wanted)


# --- a person at a terminal ---------------------------------------------------------------------


def read_terminal(terminal: int) -> bytes:
    """All that comes, until nobody holds the other end any more."""
    seen = b""
    with suppress(OSError):  # Linux says EIO where others say that it ends
        while part := os.read(terminal, 65536):
            seen += part
    return seen


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """The person's end, and the program's."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def test_a_person_sees_a_progress_bar_and_then_the_counts(db: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(traffic(1000)))
    with (
        terminal() as (ours, theirs),
        running("ingest", str(path), "--db", db, stdout=theirs, stderr=theirs) as process,
    ):
        os.close(theirs)
        seen = read_terminal(ours).decode()
        assert process.wait() == 0
    assert "1000 lines" in seen.partition("1000 lines read")[0]
    assert "\x1b[" in seen


def test_a_person_who_types_is_told_how_to_end(db: str) -> None:
    with (
        terminal() as (ours, theirs),
        running("ingest", "--db", db, stdin=theirs, stdout=theirs, stderr=theirs) as process,
    ):
        os.close(theirs)
        os.write(ours, line("inbound", event("heartbeat")).encode() + b"\x04")
        seen = read_terminal(ours).decode()
        assert process.wait() == 0
    assert "Ctrl-D" in seen
    assert "1 line read" in seen
    assert "\x1b[?25l" not in seen  # no bar would hide the cursor


@pytest.mark.parametrize("columns", [40, *also_proved(80)])
@pytest.mark.parametrize("command", ["history web user-1", "sessions", "strays"])
def test_a_listing_fits_the_terminal_of_the_person(db: str, command: str, columns: int) -> None:
    assert sermo("ingest", "--db", db, stdin="".join(traffic(400))).exit_code == 0
    with terminal() as (ours, theirs):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with running(*command.split(), "--db", db, stdin=theirs, stdout=theirs) as process:
            os.close(theirs)
            seen = re.sub(r"\x1b\[[0-9;]*m", "", read_terminal(ours).decode())
            assert process.wait() == 0
    lines = seen.splitlines()
    assert max(map(len, lines)) <= columns
    rows = len(sermo(*command.split(), "--db", db).stdout.splitlines()) - 1
    headings = 3  # legend, header, day
    if command == "sessions":
        rows, headings = 2 * rows, 2  # the id has a line of its own
    if columns == 80:
        assert len(lines) == rows + headings
    else:
        assert len(lines) > rows + headings


def test_what_is_tried_again_is_said_once_and_at_the_end(db: str) -> None:
    assert sermo("db", "upgrade", "--db", db).exit_code == 0
    with closing(sqlite3.connect(db.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        done = sermo_process("sweep", "--db", f"{db}?timeout=0.001")
    assert done.returncode == 3
    assert done.stderr.startswith(b"Error: the database is busy: database is locked; try again")
    assert done.stderr.count(b"\n") == 1


# --- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_between_batches_says_how_far_it_came(db: str) -> None:
    lines = [one.encode() for one in traffic(700)]
    with running("ingest", "--db", db, "--json") as process:
        stdin, stderr = pipe(process.stdin), pipe(process.stderr)
        stdin.write(b"".join(lines) + INVALID)
        stdin.flush()
        stderr.readline()  # the complaint: all before it is in
        process.send_signal(signal.SIGINT)
        stdin.close()  # Python sees a signal that comes just before a read just after it
        message = stderr.read().decode()
        assert process.wait() == 130
        assert pipe(process.stdout).read() == b""
    assert "Error: interrupted. 701 lines are stored, up to <stdin>:701, " in message
    assert message.count("\n") == 1
    clean = db.replace("chats.db", "clean.db")
    assert sermo("ingest", "--db", clean, stdin=b"".join(lines)).exit_code == 0
    assert everything_in(db)["sessions"] == everything_in(clean)["sessions"]


def test_ctrl_c_inside_of_a_batch_lets_it_go_in_whole(db: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(traffic(1300)))
    counted = db.replace("chats", "counted")
    for database in (db, counted):  # so that all that is counted is what the batches send
        assert sermo("db", "upgrade", "--db", database).exit_code == 0
    statements = statements_of("SIGINT", "ingest", str(path), "--db", counted)
    done = interfering(statements // 2, "SIGINT", "ingest", str(path), "--db", db)
    assert done.returncode == 130
    message = done.stderr.decode().splitlines()[0]
    read = int(message.partition("interrupted. ")[2].partition(" lines are stored")[0])
    assert 0 < read < 1300
    clean = db.replace("chats.db", "clean.db")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    assert sermo("ingest", "--db", clean, stdin="".join(lines[:read])).exit_code == 0
    assert everything_in(db) == everything_in(clean)


# Python imports it at its start; it presses Ctrl-C when a certain module is about to load.
AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == os.environ["SERMO_TEST_AT_IMPORT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "module",
    [
        *("importlib.metadata", "click", "sermo_fsm.cli.commands.status"),
        *also_proved("sqlalchemy", "sermo_fsm.cli.shell", "sermo_fsm.storage.backends.sqlite"),
    ],
)
@pytest.mark.parametrize(
    "command", [COMMAND, (str(Path(sys.executable).with_name("sermo-fsm")),)], ids=["-m", "script"]
)
def test_ctrl_c_while_it_loads_is_130_without_a_traceback(
    db: str, tmp_path: Path, module: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*command, "status", "web", "anna", "--db", db],
        env=environment(SERMO_TEST_AT_IMPORT=module, PYTHONPATH=path),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, b"")
    assert done.stderr in (b"", b"Error: interrupted\n")


def test_a_host_that_is_interrupted_while_it_loads_us_sees_what_it_always_sees() -> None:
    code = "import signal, sermo_fsm; signal.raise_signal(signal.SIGINT)"
    for arguments in (["-c", code], ["-c", code, "sermo_fsm"]):
        done = subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        assert b"KeyboardInterrupt" in done.stderr


def test_who_ignores_ctrl_c_goes_on(db: str) -> None:
    command = subprocess.list2cmdline([*COMMAND, "ingest", "--db", db, "--json"])
    arguments = ["/bin/sh", "-c", f"trap '' INT; exec {command}"]
    with subprocess.Popen(
        arguments,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        pipe(process.stdin).write(INVALID)
        pipe(process.stdin).flush()
        pipe(process.stderr).readline()
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(INVALID)
    assert process.returncode == 1
    assert json.loads(stdout)["read"] == 2


# --- kill -9 ------------------------------------------------------------------------------------


def interfering(statement: int, name: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """The command, with a signal to itself at its n-th statement."""
    return subprocess.run(
        [sys.executable, "-c", AT_STATEMENT, str(statement), name, *arguments],
        env=environment(),
        capture_output=True,
        check=False,
    )


def statements_of(name: str, *arguments: str) -> int:
    """How many statements the command sends, as they are counted for this signal."""
    return 10**6 - int(interfering(10**6, name, *arguments).stderr)


def without_presence(found: dict[str, Any]) -> dict[str, Any]:
    """Without what a quiet event that is read again may change in a chat that opened since."""
    noted = {"customerTypedAt", "lastSeenAt", "lastReadAt", "agentTypingSince"}
    sessions = [
        {name: value for name, value in session.items() if name not in noted}
        for session in found["sessions"]
    ]
    return {**found, "sessions": sessions}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], int]:
    """Traffic, what it looks like where it went in once, and how many statements that took."""
    folder = tmp_path_factory.mktemp("once")
    path, database = folder / "events.jsonl", url_of(folder / "chats.db")
    path.write_text("".join(traffic(2600)), encoding="utf-8")
    statements = statements_of("SIGKILL", "ingest", str(path), "--db", database)
    return path, everything_in(database), statements


# From the first statement, before there is a table, to the last one; most are inside of a batch.
@pytest.mark.parametrize(
    "percent",
    [0, 47, 100, *also_proved(5, 20, 33, 40, 55, 61, 68, 74, 83, 91, 97)],
)
def test_killed_and_started_again_from_the_top_it_ends_as_if_it_had_run_once(
    once: tuple[Path, dict[str, Any], int], db: str, percent: int
) -> None:
    path, wanted, statements = once
    moment = max(1, statements * percent // 100)
    assert interfering(moment, "SIGKILL", "ingest", str(path), "--db", db).returncode == -9
    again = sermo("ingest", path, "--db", db)
    assert again.exit_code == 0, again.output
    assert without_presence(everything_in(db)) == without_presence(wanted)
    assert sermo("verify", "--db", db).exit_code == 0


@pytest.mark.prove
def test_killed_again_and_again_it_still_ends_as_if_it_had_run_once(
    once: tuple[Path, dict[str, Any], int], db: str
) -> None:
    path, wanted, statements = once
    for part in range(1, 6):
        moment = statements * part // 12
        assert interfering(moment, "SIGKILL", "ingest", str(path), "--db", db).returncode == -9
    assert sermo("ingest", path, "--db", db).exit_code == 0
    assert without_presence(everything_in(db)) == without_presence(wanted)


@pytest.mark.parametrize("lines", [700, *also_proved(1, 2000)])
def test_killed_wherever_it_happens_to_be(
    once: tuple[Path, dict[str, Any], int], db: str, lines: int
) -> None:
    path, wanted, _ = once
    text = path.read_bytes().splitlines(keepends=True)
    with running("ingest", "--db", db) as process:
        pipe(process.stdin).write(b"".join(text[:lines]))
        pipe(process.stdin).flush()
        process.kill()
        assert process.wait() == -9
    assert sermo("ingest", path, "--db", db).exit_code == 0
    assert without_presence(everything_in(db)) == without_presence(wanted)


# --- memory -------------------------------------------------------------------------------------

# A process of its own, so that the only child that it measures is the command; without coverage,
# which keeps notes of its own.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_of(*arguments: str) -> int:
    """The most memory that the command had."""
    env = {name: value for name, value in environment().items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *COMMAND, *arguments],
        capture_output=True,
        check=True,
        env=env,
    )
    return int(done.stdout)


@pytest.mark.prove
def test_a_hundred_thousand_lines_need_no_more_memory_than_ten_thousand(tmp_path: Path) -> None:
    peaks, shown = {}, {}
    for lines in (10_000, 100_000):
        path, database = tmp_path / f"{lines}.jsonl", url_of(tmp_path / f"{lines}.db")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(traffic(lines, users=lines // 100))
        peaks[lines] = peak_of("ingest", str(path), "--db", database)
        shown[lines] = peak_of("sessions", "--json", "--db", database)
    assert peaks[100_000] < 1.2 * peaks[10_000]
    assert shown[100_000] < 1.2 * shown[10_000]
