"""``sermo-fsm check --against URL``: what is printed, how it ends, and that nothing is touched."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from sermo_fsm import ChatEngine, Trigger
from sermo_fsm.analysis.full_scan import ScanProgress
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.core.ownership import Rule
from tests.another_table import another_rule, another_table, hand_in, script
from tests.command.test_cli_support import sermo, url_of
from tests.command.test_cli_terminal import Terminal
from tests.databases import a_database
from tests.support import ANDERS, at

CUSTOMER = {"type": "text", "text": "Hej!"}
AGENT = {"type": "text", "text": "Hej!", "agent": ANDERS}
QUEUE = {"type": "queue_number", "queueNumber": 3}
HEARTBEAT = {"type": "heartbeat"}
DONE = {"type": "agent_done"}

CHANGED = (
    ("agent_text", "queued", "="),
    ("agent_text", "bot", "queued"),
    ("agent_done", "bot", "="),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database in which all is as it should be."""
    path = tmp_path / "chats.db"
    with ChatEngine(url_of(path)) as chats:
        chats.migrate()
        hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
        hand_in(chats, script("anna", (2, "outbound", AGENT)))
        hand_in(chats, script("bo", (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))
        hand_in(chats, script("cia\x1b[31m", (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))
        hand_in(chats, script("dan", (0, "inbound", CUSTOMER), (1, "outbound", DONE)))
        hand_in(chats, script("eva", (0, "inbound", CUSTOMER)))
        chats.sweep(at(1801))
        hand_in(chats, script("eva", (2, "outbound", QUEUE)))
        hand_in(chats, script("eva", (1900, "inbound", HEARTBEAT)))
        for user in ("anna", "bo", "cia\x1b[31m", "dan"):
            hand_in(chats, script(user, (1900, "inbound", HEARTBEAT)))
    return path


def against(path: Path, *arguments: str) -> Result:
    return sermo("check", "--against", url_of(path), *arguments)


def json_of(result: Result) -> Any:
    return json.loads(result.stdout)


def test_what_is_possible_is_0(file: Path) -> None:
    result = against(file)

    assert result.exit_code == 0
    assert result.stdout == "ok 10 sessions with 21 rows; 0 sessions affected\n"
    assert result.stderr == ""
    assert json_of(against(file, "--json")) == {
        "ok": True,
        "sessions": 10,
        "rows": 21,
        "strays": 0,
        "liveSessions": 5,
        "affectedSessions": 0,
        "cells": [],
        "kept": [],
        "liveAffected": 0,
        "live": [],
        "more": 0,
        "liveUnsure": 0,
        "unsure": [],
        "moreUnsure": 0,
    }


def test_what_is_not_is_1_and_told_by_cell_and_by_chat(file: Path) -> None:
    with another_table(*CHANGED, ("queue_number", "bot", "=")):
        result = against(file)
        parsed = against(file, "--json")

    assert result.exit_code == parsed.exit_code == 1
    *lines, last = result.stdout.splitlines()
    affected = "9 sessions affected, 4 live chats would be somewhere else"
    assert last == f"FAILED 10 sessions with 21 rows; {affected}"
    assert lines[:4] == [
        "agent_text in bot: stored → with_agent, today → queued: 2 rows of 2 sessions, 0 live",
        "agent_done in bot: stored ignored, today stayed: 1 row of 1 session, 0 live",
        "agent_text in queued: stored → with_agent, today → queued: 1 row of 1 session, 0 live",
        "queue_number in bot: stored → queued, today → bot: 1 row of 1 session, 0 live",
    ]
    found = json_of(parsed)
    assert not found["ok"]
    assert found["affectedSessions"] == 9
    assert found["cells"][0] == {
        "trigger": "agent_text",
        "state": "bot",
        "opens": False,
        "stored": {"to": "with_agent", "outcome": "moved"},
        "today": {"to": "queued", "outcome": "moved"},
        "rows": 2,
        "sessions": 2,
        "liveSessions": 0,
    }
    kept = {(one["stored"], one["today"]): one["sessions"] for one in found["kept"]}
    assert kept == {("queued", "bot"): 1}
    assert "kept after the clock closed it: stored queued, today bot: 1 session" in lines
    chats = {one["userId"]: one for one in found["live"]}
    assert set(chats) == {"anna", "bo", "cia\x1b[31m", "eva"}
    chat = chats["eva"]
    assert (chat["stored"], chat["today"]) == ("queued", "bot")
    named = f"live chat {chat['sessionId']} (eva on web): stored queued, today bot"
    assert f"{named}; they part at row 1, heartbeat" in lines


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """Three live chats with an agent; one of them has a name that a terminal would obey."""
    path = tmp_path / "live.db"
    with ChatEngine(url_of(path)) as chats:
        chats.migrate()
        for user in ("anna", "bo", "cia\x1b[31m"):
            hand_in(chats, script(user, (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))
    return path


def test_so_many_are_listed_and_the_others_counted(live: Path) -> None:
    with another_table(*CHANGED):
        lines = against(live, "--limit", "1").stdout.splitlines()
        found = json_of(against(live, "--limit", "1", "--json"))
        every = against(live).stdout

    assert lines[2] == "and 2 more live chats"
    assert (len(found["live"]), found["more"], found["liveAffected"]) == (1, 2, 3)
    assert "\x1b" not in every
    assert r"cia\x1b[31m" in every


def test_what_would_never_have_opened_and_what_nobody_knows_any_more(
    live: Path,
) -> None:
    with another_rule(Trigger.CUSTOMER_TEXT, *[Rule.STRAY] * 4):
        lines = against(live).stdout.splitlines()
    assert lines[0] == (
        "opened by customer_text in open: stored → bot, today → nothing (stray):"
        " 3 rows of 3 sessions, 3 live"
    )
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE sermo_history SET trigger_name = 'magic' WHERE seq = 1")
        connection.execute("UPDATE sermo_session SET state = 'queued' WHERE user_id = 'bo'")
        connection.execute("DELETE FROM sermo_history WHERE session_key = 2")
    lines = against(live).stdout.splitlines()
    assert "opened by magic in open: stored → bot, today not known" in lines[0]
    assert any(line.endswith("(bo on web): stored queued, today never opened") for line in lines)


def test_what_can_not_be_told_is_said_with_the_reason(live: Path) -> None:
    with ChatEngine(url_of(live)) as chats:
        for user in ("dan", "eva"):
            hand_in(chats, script(user, (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))
            hand_in(chats, script(user, (2, "outbound", DONE), (3, "inbound", CUSTOMER)))
        hand_in(chats, script("bo", (3, "inbound", CUSTOMER), (2, "outbound", DONE)))
    with another_table(("agent_done", "with_agent", "bot unless customer_wrote_later: closed")):
        hand = against(live).stdout.splitlines()
        with ChatEngine(url_of(live)) as chats:
            hand_in(chats, script("bo", (4, "outbound", AGENT)))
        lines = against(live).stdout.splitlines()
        few = against(live, "--limit", "1").stdout.splitlines()

    assert any("(bo on web): stored bot, today closed; they part at row 4" in one for one in hand)
    told = [line for line in lines if "can't be told: " in line]
    assert len(told) == 3
    assert told[0].endswith(
        "(bo on web): stored with_agent, today can't be told:"
        " behind row 4, agent_done, its events may be those of other chats"
    )
    assert told[1].endswith(
        "(dan on web): stored bot, today can't be told:"
        " this user's earlier events may have been other chats"
    )
    assert lines[-1].endswith("; 5 sessions affected, of 3 live chats it can't be told")
    assert "and 2 more live chats that can't be told" in few


def test_strays_are_counted_where_there_are_any(live: Path) -> None:
    with ChatEngine(url_of(live)) as chats:
        hand_in(chats, script("nobody", (0, "outbound", DONE)))
    assert against(live).stdout.endswith("with 6 rows, and 1 stray; 0 sessions affected\n")
    with another_rule(Trigger.AGENT_DONE, Rule.OPENS, *[Rule.LATE] * 3):
        result = against(live)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == (
        "opened by agent_done in open: stored → nothing (stray), today → open: 1 stray"
    )


# --- what is asked --------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_2_and_is_not_made(tmp_path: Path) -> None:
    for url in (url_of(tmp_path / "none.db"), f"sqlite:///file:{tmp_path}/none.db?uri=true"):
        result = sermo("check", "--against", url)
        assert result.exit_code == 2
        assert f"there is no file {tmp_path / 'none.db'}" in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit", "3"],
        ["--against", "nonsense"],
        ["--against", "oracle://x/y"],
        ["--against", "postgresql+psycopg://me:hemligt@db:hemligt/chats"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    result = sermo("check", *arguments)

    assert result.exit_code == 2
    assert arguments[0] in result.stderr
    assert "--db" not in result.stderr
    assert "hemligt" not in result.stderr


def test_a_schema_of_another_release_is_3_with_the_line_to_run(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE sermo_alembic_version SET version_num = '0001'")
    result = against(file)

    assert result.exit_code == 3
    assert f"run: sermo-fsm db upgrade --db {url_of(file)}" in result.stderr


def test_a_file_without_tables_is_3_and_gets_none(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    result = against(file)

    assert result.exit_code == 3
    assert "db upgrade" in result.stderr
    assert file.stat().st_size == 0
    assert sermo("check", "--against", "sqlite://").exit_code == 3


def test_what_is_no_database_is_3_and_the_option_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no database, however long one looks at it" * 99)
    result = against(file)

    assert result.exit_code == 3
    assert "See --against" in result.stderr


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_file_stays_as_it_is(file: Path, mode: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = hashlib.sha256(file.read_bytes()).hexdigest()

    with another_table(*CHANGED):
        assert against(file).exit_code == 1

    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_may_not_be_written_is_read(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = delete")
    file.chmod(0o444)

    assert against(file).exit_code == 0


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere"
)
def test_in_a_folder_that_may_not_be_written_it_is_said_how_to_read(file: Path) -> None:
    obeying = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*(obeying if os.geteuid() == 0 else []), sys.executable, "-m", "sermo_fsm", "check"]

    def run(url: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, "--against", url], check=False, capture_output=True, text=True
        )

    file.parent.chmod(0o555)
    try:
        refused = run(url_of(file))
        told = run(f"sqlite:///file:{file}?immutable=1&uri=true")
    finally:
        file.parent.chmod(0o755)
    assert refused.returncode == 3
    assert "sqlite:///file:PATH?immutable=1&uri=true" in refused.stderr
    assert told.stdout == "ok 10 sessions with 21 rows; 0 sessions affected\n", told.stderr


@pytest.fixture
def of_a_schema(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("postgresql", tmp_path) as url:
        with ChatEngine(url, schema="chat") as chats:
            chats.migrate()
            hand_in(chats, script("anna", (0, "inbound", CUSTOMER)))
        yield url


@pytest.mark.service
def test_the_schema_can_be_named(of_a_schema: sa.URL) -> None:
    url = of_a_schema.render_as_string(hide_password=False)

    result = sermo("check", "--against", url, "--schema", "chat")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("ok 1 session with 1 row;")
    refused = sermo("check", "--against", url, "--schema", "other")
    assert refused.exit_code == 3
    assert "db upgrade --schema other --db" in refused.stderr


@pytest.mark.service
def test_a_password_is_not_repeated(of_a_schema: sa.URL) -> None:
    url = of_a_schema.set(password="hemligt").render_as_string(hide_password=False)  # noqa: S106 - made up
    result = sermo("check", "--against", url)

    assert result.exit_code == 3
    assert "db upgrade --db (that URL)" in result.stderr
    assert "hemligt" not in result.stderr


# --- how far it is --------------------------------------------------------------------------------


def test_a_person_sees_how_far_it_is_and_a_program_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count(progress: ScanProgress) -> None:
        for read in range(0, 2001, 500):
            progress(read, 2000)

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr("sys.stderr", stream)
        with progress_bar("rows") as progress:
            count(progress)

    assert "2000/2000 rows" in terminal.plain
    assert pipe.getvalue() == ""
