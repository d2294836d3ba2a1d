"""The contract of the command line (DESIGN, section 9): commands, JSON, exit statuses."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sermo_fsm
from sermo_fsm.cli import shell
from sermo_fsm.proof.law import DECLARED_EXCEPTIONS
from sermo_fsm.proof.report import Check, Finding, Report
from tests.command.test_cli_support import event, line, sermo, url_of

SESSION_KEYS = [
    "sessionId",
    "ordinal",
    "platformId",
    "userId",
    "state",
    "since",
    "openedAt",
    "closedAt",
    "closeReason",
    "previousSessionId",
    "previousCloseReason",
    "resumed",
    "agent",
    "queueNumber",
    "queuedAt",
    "flowGroupId",
    "platformClosedAt",
    "lastSeenAt",
    "lastReadAt",
    "customerTypedAt",
    "lastCustomerTextAt",
    "lastReplyAt",
    "lastReplyBy",
    "agentTypingSince",
    "expiresAt",
    "rows",
]
ROW_KEYS = [
    "seq",
    "direction",
    "type",
    "trigger",
    "from",
    "to",
    "outcome",
    "receivedAt",
    "effectiveAt",
    "at",
    "messageId",
    "agentId",
    "reason",
    "lastSeenAt",
    "event",
]
COMMANDS = [
    "board",
    "check",
    "close",
    "counts",
    "db",
    "diagram",
    "erase",
    "export",
    "figures",
    "history",
]
COMMANDS += ["hold", "ingest", "publish", "release", "retain"]
COMMANDS += ["sessions", "status", "strays", "sweep", "timeline", "verify", "waiting", "worker"]
ASKING = {
    "ingest": (["ingest"], 0),
    "status": (["status", "web", "anna"], 4),
    "sessions": (["sessions"], 0),
    "counts": (["counts"], 0),
    "history": (["history", "web", "anna"], 4),
    "timeline": (["timeline", "web", "anna"], 4),
    "export history": (["export", "history"], 0),
    "traffic": (["diagram", "--traffic"], 0),
    "path": (["diagram", "web", "anna"], 4),
    "strays": (["strays"], 0),
    "sweep": (["sweep"], 0),
    "close": (["close", "web", "anna"], 4),
    "verify": (["verify"], 0),
    "verify chain": (["verify", "--chain"], 0),
    "db chain": (["db", "chain"], 0),
    "erase": (["erase", "web", "anna"], 4),
    "retain": (["retain", "--bodies", "90d"], 0),
    "hold": (["hold", "web", "anna", "--reason", "court"], 4),
    "holds": (["hold"], 0),
    "release": (["release", "web", "anna"], 4),
    "db current": (["db", "current"], 0),
    "db upgrade": (["db", "upgrade"], 0),
}
"""What asks a database, and how it ends where that is empty."""

ANDERS = {"id": "anan01", "name": "Anders Andersson", "type": "human"}
CHATS = (
    line("inbound", event("text", text="Hej på dig"), at=1, message="in-1"),
    line("outbound", event("text", text="Hej!", agent={"id": "bot"}), at=2, message="out-1"),
    line("outbound", event("handover_to_bot", flowGroupId="faktura"), at=3),
    line("outbound", event("queue_number", queueNumber=3), at=4),
    line("outbound", event("text", text="Anders här", agent=ANDERS), at=5),
    line("inbound", event("messages_read", text="read"), at=6),
    line("inbound", event("typing", text="hemligt"), at=7),
    line("outbound", event("typing_on"), at=8),
    line("inbound", event("heartbeat", "bo"), at=9),
    line("outbound", event("queue_number", "bo", queueNumber=7), at=10),
    line("inbound", event("heartbeat", "cilla"), at=11),
    line("inbound", event("client_left", "cilla"), at=12),
    line("inbound", event("text", "cilla", text="En sak till"), at=13),
    line("outbound", event("agent_done", "nobody"), at=14),
    '{"direction": "inbound", "event": {"type": "text"}}\n',
)


@pytest.fixture
def db(tmp_path: Path) -> str:
    """An empty database."""
    return url_of(tmp_path / "chats.db")


@pytest.fixture
def chats(db: str) -> str:
    """A database with chats in it: anna with an agent, bo in the queue, cilla for the 2nd time."""
    assert sermo("ingest", "--db", db, stdin="".join(CHATS)).exit_code == 1
    return db


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """A database that belongs to somebody else."""
    path = tmp_path / "foreign.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    return url_of(path)


def tables_of(database: str) -> set[str]:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}


def execute(database: str, statement: str) -> None:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        connection.execute(statement)
        connection.commit()


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    return text


# --- the whole ----------------------------------------------------------------------------------


def test_the_version_is_that_of_the_library() -> None:
    assert sermo("--version").stdout == f"sermo-fsm, version {sermo_fsm.__version__}\n"


def test_help_names_every_command_and_every_exit_status() -> None:
    text = sermo("--help").stdout
    commands = text.partition("Commands:")[2].partition("Exit")[0]
    assert re.findall(r"^  (\w+)  +\S", commands, re.MULTILINE) == COMMANDS
    assert "..." not in commands
    statuses = re.findall(r"^    (\d+)  ", text, re.MULTILINE)
    assert statuses == ["0", "1", "2", "3", "4", "5", "130"]


GROUPS = {
    "db": ("upgrade", "current", "chain"),
    "export": ("machine", "history", "person"),
    "worker": ("topology",),
}
INNER = [f"{group} {name}" for group, names in GROUPS.items() for name in names]


@pytest.mark.parametrize("command", [*COMMANDS, *INNER])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = sermo(*command.split(), "--help")
    assert result.exit_code == 0
    assert command in GROUPS or f"sermo-fsm {command}" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["status"],
        ["status", "web"],
        ["history"],
        ["history", "web"],
        ["history", "web", "anna", "--session", "x"],
        ["history", "web", "--session", "x"],
        ["sessions", "--state", "lost"],
        ["sessions", "--limit", "-1"],
        ["sessions", "--limit", "99999999999999999999"],
        ["sessions", "--user", "\udcff"],
        ["status", "web", "\udcff"],
        ["sweep", "--up-to", "tomorrow"],
        ["sweep", "--up-to", "now", "--zone", "Europe/Sthlm"],
        ["ingest", "--direction", "timer"],
        ["ingest", "--direction", "operator"],
        ["ingest", "--platform", ""],
        ["ingest", "missing.jsonl"],
        ["ingest", "."],
        ["diagram", "--format", "crayon"],
        ["diagram", "-o", "machine.md"],
        ["diagram", "-o", "."],
        ["diagram", "-o", "nowhere/machine.dot"],
        ["db", "downgrade"],
    ],
    ids=ascii,
)
def test_wrong_usage_is_2(at_home: Path, arguments: list[str]) -> None:
    result = sermo(*arguments, stdin=CHATS[0])
    assert result.exit_code == 2
    assert result.stderr
    assert not result.stdout
    assert not [path for path in at_home.iterdir() if not path.name.startswith("sermo.db")]


def test_a_command_that_is_nearly_one_is_told_which() -> None:
    result = sermo("sesions")
    assert result.exit_code == 2
    assert "No such command 'sesions'" in result.stderr
    assert "sessions" in result.stderr.replace("'sesions'", "")


@pytest.mark.parametrize(
    ("command", "formats"),
    [
        ("diagram", "mermaid (.mmd, .mermaid), dot (.dot, .gv), svg (.svg) or png (.png)"),
        ("export machine", "scxml (.scxml, .xml) or xstate (.json)"),
        ("export history", "xes (.xes, .xml) or ocel (.json, .jsonocel)"),
        ("timeline web anna", "text (.txt) or mermaid (.mmd, .mermaid)"),
    ],
)
def test_a_name_that_says_no_format_is_told_which_there_are(
    at_home: Path, command: str, formats: str
) -> None:
    result = sermo(*command.split(), "-o", "a.pdf")
    assert result.exit_code == 2
    assert f"the name a.pdf does not say which format to write: {formats}; " in result.stderr
    assert not [*at_home.iterdir()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "{}"],
        ["ingest", "--policy", "{}"],
        ["ingest", "--direction", "{}"],
        ["diagram", "-o", "{}"],
        ["diagram", "-o", "{}.md"],
        ["diagram", "-o", "{}/machine.svg"],
        ["diagram", "-o", "{}.svg", "--format", "dot"],
        ["timeline", "web", "anna", "-o", "{}.png"],
        ["export", "history", "-o", "{}/chats.xes"],
        ["sessions", "--limit", "{}"],
        ["sessions", "--from", "{}"],
        ["sessions", "--db", "{}"],
        ["status", "web", "anna", "{}"],
        ["status", "web", "{}"],
        ["history", "--session", "{}"],
        ["check", "--against", "{}"],
        ["{}"],
        ["--{}"],
        ["--db", "{}", "sessions"],
        ["--db", "sqlite:///{}/chats.db", "sessions"],
    ],
    ids=" ".join,
)
def test_what_an_error_quotes_can_not_reach_the_terminal(
    at_home: Path, arguments: list[str]
) -> None:
    del at_home
    evil = "a\x1b[31m\x9b2J\u202e\rb\nc"
    result = sermo(*(one.replace("{}", evil) for one in arguments))
    assert result.exit_code in (2, 3, 4)
    assert re.sub(r"[^\S ]|\x1b|\x9b|\u202e", "", result.stderr) == result.stderr.replace("\n", "")
    *usage, message = result.stderr.splitlines()
    assert message.startswith("Error: ")
    assert all(one.startswith(("Usage: ", "Try ")) for one in usage if one)


# --- which database -----------------------------------------------------------------------------


def test_the_default_database_is_in_the_current_directory(at_home: Path) -> None:
    assert sermo("db", "current").exit_code == 0
    assert (at_home / "sermo.db").is_file()


def test_the_database_is_named_by_the_variable_or_before_or_after_the_command(
    at_home: Path,
) -> None:
    first, second, third = (url_of(at_home / name) for name in ("1.db", "2.db", "3.db"))
    for arguments, variable, wanted in (
        (["sessions"], first, "1.db"),
        (["--db", second, "sessions"], first, "2.db"),
        (["sessions", "--db", third], first, "3.db"),
        (["--db", second, "sessions", "--db", third], first, "3.db"),
        (["--db", second, "db", "current"], None, "2.db"),
        (["db", "--db", first, "current"], None, "1.db"),
        (["db", "--db", first, "current", "--db", third], None, "3.db"),
        (["sessions"], "", "sermo.db"),
    ):
        assert sermo(*arguments, SERMO_DB=variable).exit_code == 0
        assert {path.name for path in at_home.iterdir()} == {wanted}
        (at_home / wanted).unlink()


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize("there", ["no file", "empty file"])
def test_an_empty_file_gets_its_tables_by_itself(tmp_path: Path, command: str, there: str) -> None:
    path = tmp_path / "chats.db"
    if there == "empty file":
        path.touch()
    arguments, status = ASKING[command]
    assert sermo(*arguments, "--db", url_of(path)).exit_code == status
    assert "sermo_session" in tables_of(url_of(path))


@pytest.mark.parametrize("command", sorted(ASKING.keys() - {"db upgrade"}))
def test_a_database_of_others_is_left_alone(foreign: str, command: str) -> None:
    path = Path(foreign.removeprefix("sqlite:///"))
    before = path.read_bytes()
    result = sermo(*ASKING[command][0], "--db", foreign)
    assert result.exit_code == 3
    assert one_line(result.stderr).endswith(f"run: sermo-fsm db upgrade --db {foreign}\n")
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_upgrading_puts_our_tables_beside_theirs(foreign: str) -> None:
    assert sermo("db", "upgrade", "--db", foreign).exit_code == 0
    assert tables_of(foreign) >= {"theirs", "sermo_session"}
    assert sermo("sessions", "--db", foreign).exit_code == 0


@pytest.mark.parametrize("command", sorted(ASKING.keys() - {"db upgrade"}))
def test_an_old_schema_is_3_with_the_line_to_run(chats: str, command: str) -> None:
    execute(chats, "UPDATE sermo_alembic_version SET version_num = '0001'")
    result = sermo(*ASKING[command][0], SERMO_DB=chats)
    assert result.exit_code == 3
    assert one_line(result.stderr) == (
        "Error: the database is at revision 0001, this release needs revision 0003: "
        "run: sermo-fsm db upgrade\n"
    )


@pytest.mark.parametrize("command", ASKING)
def test_a_newer_schema_is_3_and_does_not_name_a_line_that_can_not_help(
    chats: str, command: str
) -> None:
    execute(chats, "UPDATE sermo_alembic_version SET version_num = '9999'")
    result = sermo(*ASKING[command][0], "--db", chats)
    assert result.exit_code == 3
    assert one_line(result.stderr).endswith("use a newer sermo_fsm\n")


@pytest.mark.parametrize("command", ASKING)
def test_a_database_that_can_not_be_opened_is_3_in_one_line(tmp_path: Path, command: str) -> None:
    result = sermo(*ASKING[command][0], "--db", url_of(tmp_path / "nowhere" / "chats.db"))
    assert result.exit_code == 3
    assert "--db" in one_line(result.stderr)
    assert not result.stdout


def test_a_file_that_is_no_database_is_3(tmp_path: Path) -> None:
    (tmp_path / "chats.db").write_text("this is a letter to my aunt, and no database at all\n" * 20)
    result = sermo("sessions", "--db", url_of(tmp_path / "chats.db"))
    assert result.exit_code == 3
    assert "not a database" in one_line(result.stderr)
    assert result.stderr.endswith("chats.db the right database? See --db and SERMO_DB\n")


@pytest.mark.parametrize(
    "words", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
def test_what_another_database_would_not_help_is_said_without_that_hint(
    chats: str, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise sermo_fsm.StoreError(f"the database refused: {words}")

    monkeypatch.setattr(sermo_fsm.ChatEngine, "sweep", refuse)
    result = sermo("sweep", "--db", chats)
    assert result.exit_code == 3
    assert result.stderr == f"Error: the database refused: {words}\n"


def test_a_database_that_somebody_else_holds_is_3(
    chats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sermo_fsm.storage.backends.sqlite._BUSY_TIMEOUT_MS", 1)
    with closing(sqlite3.connect(chats.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        result = sermo("sweep", "--db", chats)
    assert result.exit_code == 3
    assert "try again" in one_line(result.stderr)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "://",
        "postgresql://me:s3cret@host:port/chats",
        "nodatabase://me:s3cret@host/chats",
        "nodatabase+driver://me:s3cret@host/chats?password=s3cret",
        "sqlite://me:s3cret@host/chats.db",
        "sqlite:///chats.db?timeout=s3cret",
        "sqlite:///chats.db?timeout=s3cret&timeout=s3cret",
        "sqlite:///chats.db?cached_statements=99999999999999999999",
    ],
)
@pytest.mark.parametrize("command", [["sessions"], ["db", "upgrade"]], ids=["sessions", "upgrade"])
def test_an_unusable_url_is_2_and_no_password_is_printed(
    at_home: Path, url: str, command: list[str]
) -> None:
    result = sermo(*command, "--db", url)
    assert result.exit_code == 2
    assert "--db" in result.stderr
    assert "s3cret" not in result.output
    assert not list(at_home.iterdir())


def test_no_password_is_printed_where_the_database_refuses(foreign: str) -> None:
    for option in ("?cached_statements=7", "?cached_statements=7&check_same_thread=false"):
        result = sermo("sessions", "--db", foreign + option)
        assert result.exit_code == 3
        assert "run: sermo-fsm db upgrade (with the same --db)" in result.stderr
        assert "cached" not in result.stderr


# --- status, sessions ---------------------------------------------------------------------------


def json_of(*arguments: str, status: int = 0) -> Any:
    result = sermo(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_status_says_everything_that_section_9_names(chats: str) -> None:
    answer = json_of("status", "web", "anna", "--db", chats)
    assert list(answer) == SESSION_KEYS
    session_id = answer.pop("sessionId")
    assert isinstance(session_id, str)
    assert answer == {
        "ordinal": 1,
        "platformId": "web",
        "userId": "anna",
        "state": "with_agent",
        "since": "2026-03-01T12:00:05.000Z",
        "openedAt": "2026-03-01T12:00:01.000Z",
        "closedAt": None,
        "closeReason": None,
        "previousSessionId": None,
        "previousCloseReason": None,
        "resumed": False,
        "agent": {"id": "anan01", "name": "Anders Andersson", "type": "human"},
        "queueNumber": None,
        "queuedAt": "2026-03-01T12:00:04.000Z",
        "flowGroupId": "faktura",
        "platformClosedAt": None,
        "lastSeenAt": "2026-03-01T12:00:07.000Z",
        "lastReadAt": "2026-03-01T12:00:06.000Z",
        "customerTypedAt": "2026-03-01T12:00:07.000Z",
        "lastCustomerTextAt": "2026-03-01T12:00:01.000Z",
        "lastReplyAt": "2026-03-01T12:00:05.000Z",
        "lastReplyBy": "human",
        "agentTypingSince": "2026-03-01T12:00:08.000Z",
        "expiresAt": "2026-03-01T12:30:07.000Z",
        "rows": 5,
    }


def test_status_of_a_second_chat_points_to_the_first(chats: str) -> None:
    answer = json_of("status", "web", "cilla", "--db", chats)
    (first,) = json_of("sessions", "--user", "cilla", "--state", "closed", "--db", chats)
    assert (answer["ordinal"], answer["state"], answer["resumed"]) == (2, "bot", False)
    assert answer["previousSessionId"] == first["sessionId"]
    assert answer["previousCloseReason"] == first["closeReason"] == "client_left"
    assert first["closedAt"] == "2026-03-01T12:00:12.000Z"
    assert first["expiresAt"] == "2026-03-01T12:01:12.000Z"


def test_status_of_nobody_is_4_and_null(chats: str) -> None:
    result = sermo("status", "web", "nobody", "--json", "--db", chats)
    assert (result.exit_code, result.stdout) == (4, "null\n")
    plain = sermo("status", "web", "nobody", "--db", chats)
    assert (plain.exit_code, plain.stdout) == (4, "")
    assert "no such user" in one_line(plain.stderr)


def test_sessions_is_an_array_of_what_status_says_the_newest_first(chats: str) -> None:
    answer = json_of("sessions", "--db", chats)
    assert [(one["userId"], one["ordinal"]) for one in answer] == [
        ("cilla", 2),
        ("cilla", 1),
        ("bo", 1),
        ("anna", 1),
    ]
    assert all(list(one) == SESSION_KEYS for one in answer)
    assert answer[-1] == json_of("status", "web", "anna", "--db", chats)


@pytest.mark.parametrize(
    ("options", "users"),
    [
        (["--state", "queued"], ["bo"]),
        (["--state", "queued", "--state", "bot"], ["cilla", "bo"]),
        (["--state", "open"], []),
        (["--platform", "web", "--limit", "1"], ["cilla"]),
        (["--platform", "messenger"], []),
        (["--user", "anna"], ["anna"]),
        (["--user", "anna", "--state", "closed"], []),
        (["--limit", "0"], []),
    ],
    ids=str,
)
def test_sessions_can_be_chosen(chats: str, options: list[str], users: list[str]) -> None:
    answer = json_of("sessions", *options, "--db", chats)
    assert [one["userId"] for one in answer] == users


def test_no_sessions_are_an_empty_array(db: str) -> None:
    assert sermo("sessions", "--json", "--db", db).stdout == "[]\n"


# --- history, strays ----------------------------------------------------------------------------


def test_history_is_the_rows_of_the_last_session(chats: str) -> None:
    rows = json_of("history", "web", "anna", "--bodies", "--db", chats)
    assert all(list(row) == ROW_KEYS for row in rows)
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0] == {
        "seq": 1,
        "direction": "inbound",
        "type": "text",
        "trigger": "customer_text",
        "from": None,
        "to": "bot",
        "outcome": "moved",
        "receivedAt": "2026-03-01T12:00:01.000Z",
        "effectiveAt": "2026-03-01T12:00:01.000Z",
        "at": None,
        "messageId": "in-1",
        "agentId": None,
        "reason": None,
        "lastSeenAt": None,
        "event": event("text", text="Hej på dig"),
    }
    assert rows[4]["agentId"] == "anan01"
    facts = json_of("history", "web", "anna", "--db", chats)
    assert facts == [{**row, "event": None} for row in rows]
    assert [row["ordinal"] for row in json_of("sessions", "--user", "cilla", "--db", chats)] == [
        2,
        1,
    ]
    assert len(json_of("history", "web", "cilla", "--db", chats)) == 1


def test_history_of_a_session_says_why_it_closed(chats: str) -> None:
    assert sermo("sweep", "--up-to", "2026-03-01T13:00:00Z", "--db", chats).exit_code == 0
    first = json_of("sessions", "--user", "cilla", "--db", chats)[-1]
    rows = json_of("history", "--session", first["sessionId"], "--db", chats)
    assert [row["reason"] for row in rows] == [None, "client_left"]
    last = json_of("history", "web", "bo", "--db", chats)[-1]
    assert last["trigger"] == "expire"
    assert (last["type"], last["receivedAt"], last["event"]) == (None, None, None)
    assert last["direction"] == "timer"
    assert last["effectiveAt"] == "2026-03-01T12:30:09.000Z"
    assert (last["reason"], last["lastSeenAt"]) == ("idle", "2026-03-01T12:00:09.000Z")


@pytest.mark.parametrize(
    ("whose", "words"),
    [
        (["web", "nobody"], "no such user: nobody on web"),
        (["--session", "nothing"], "no such session: nothing"),
        (["--session", ""], "no such session: ''"),
    ],
    ids=str,
)
def test_history_of_nobody_is_4_and_null(chats: str, whose: list[str], words: str) -> None:
    result = sermo("history", *whose, "--json", "--db", chats)
    assert (result.exit_code, result.stdout) == (4, "null\n")
    plain = sermo("history", *whose, "--db", chats)
    assert (plain.exit_code, plain.stdout) == (4, "")
    assert one_line(plain.stderr) == f"Error: {words}\n"


def test_strays_say_whose_they_are_and_why_they_are_strays(chats: str) -> None:
    stray, invalid = json_of("strays", "--bodies", "--db", chats)
    assert list(stray) == ["id", "platformId", "userId", *ROW_KEYS, "raw"]
    assert (stray["type"], stray["userId"], stray["outcome"]) == ("agent_done", "nobody", "stray")
    assert invalid["outcome"] == "invalid"
    assert "userId" in invalid["reason"] or "platformId" in invalid["reason"]
    assert invalid["raw"]
    assert stray["event"]
    assert json_of("strays", "--db", chats) == [
        {**row, "event": None, "raw": None} for row in (stray, invalid)
    ]
    assert len(json_of("strays", "--limit", "1", "--db", chats)) == 1


# --- sweep, verify ------------------------------------------------------------------------------


def test_sweep_closes_what_is_past_its_deadline(chats: str) -> None:
    assert json_of("sweep", "--up-to", "2026-03-01T12:30:10+00:00", "--db", chats) == {
        "upTo": "2026-03-01T12:30:10.000Z",
        "closed": 2,
    }
    assert json_of("status", "web", "bo", "--db", chats)["closeReason"] == "idle"
    assert sermo("sweep", "--db", chats).stdout.startswith("1 session closed, up to ")
    assert sermo("sweep", "--db", chats).stdout.startswith("0 sessions closed, up to ")


def test_close_ends_the_live_chat_and_says_how_it_is_then(chats: str) -> None:
    now = "2026-03-01T13:00:20+01:00"
    answer = json_of("close", "web", "anna", "--reason", "stuck", "--at", now, "--db", chats)
    assert answer == json_of("status", "web", "anna", "--db", chats)
    assert (answer["state"], answer["closeReason"]) == ("closed", "operator")
    assert answer["closedAt"] == "2026-03-01T12:00:20.000Z"
    last = json_of("history", "web", "anna", "--bodies", "--db", chats)[-1]
    assert (last["direction"], last["trigger"], last["reason"]) == ("operator", "close", "operator")
    assert last["event"] == {"reason": "stuck"}

    result = sermo("close", "web", "bo", "--db", chats)
    assert result.exit_code == 0
    card = dict(one.split("\t") for one in result.stdout.splitlines())
    assert (card["state"], card["user"]) == ("closed", "bo")
    assert card["closed"].endswith(" operator")


def test_close_without_a_live_chat_is_4_and_null(chats: str) -> None:
    assert sermo("close", "web", "anna", "--db", chats).exit_code == 0
    for user in ("anna", "nobody"):
        result = sermo("close", "web", user, "--json", "--db", chats)
        assert (result.exit_code, result.stdout) == (4, "null\n")
        assert result.stderr == f"Error: no live chat: {user} on web\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["web", "anna", "--at", "2026-03-01T12:00:01Z"], "'--at': wanted a time not before "),
        (["web", "anna", "--at", "2999-01-01"], "'--at': wanted a time at most "),
        (["web", "anna", "--at", "soon"], "'--at': wanted a date "),
        (["web", "anna", "--reason", ""], "'--reason': wanted "),
        (["web", "anna", "--reason", "r" * 256], "'--reason': wanted "),
        (["", "anna"], "'PLATFORM': wanted "),
        (["web", ""], "'USER': wanted "),
    ],
    ids=str,
)
def test_close_refuses_what_can_not_be(chats: str, arguments: list[str], named: str) -> None:
    result = sermo("close", *arguments, "--db", chats)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert json_of("status", "web", "anna", "--db", chats)["state"] == "with_agent"


def test_verify_is_0_where_the_history_holds(chats: str) -> None:
    assert json_of("verify", "--db", chats) == {
        "ok": True,
        "sessions": 4,
        "rows": 10,
        "problems": [],
    }
    assert sermo("verify", "--db", chats).stdout == "ok 4 sessions with 10 rows\n"


def test_the_chain_of_digests_is_made_and_held_against_the_history(chats: str) -> None:
    made = json_of("db", "chain", "--db", chats)
    assert (made["segments"], made["rows"]) == (1, 12)  # two strays, too
    digest = made["digest"]
    assert sermo("db", "chain", "--db", chats).stdout == f"{digest} 12 rows\n"
    found = json_of("verify", "--chain", "--db", chats)
    assert found["chain"] == {
        "ok": True,
        "digest": digest,
        "segments": 1,
        "rows": 12,
        "unchained": 0,
        "problems": [],
    }
    assert json_of("verify", "--digest", digest, "--db", chats)["ok"]
    execute(chats, "UPDATE sermo_history SET agent_id = 'someone' WHERE message_id = 'out-1'")
    found = json_of("verify", "--digest", "0" * 64, "--db", chats, status=1)
    assert (found["ok"], found["chain"]["ok"], len(found["chain"]["problems"])) == (False, False, 2)
    plain = sermo("verify", "--chain", "--db", chats)
    assert plain.exit_code == 1
    assert "are not what they were" in plain.stdout
    assert plain.stdout.endswith("chain of 12 rows, 0 not in it\n")


def test_a_digest_is_64_digits(chats: str) -> None:
    result = sermo("verify", "--digest", "9f86", "--db", chats)
    assert result.exit_code == 2
    assert "wanted 64 hexadecimal digits" in result.stderr


def test_verify_is_1_where_somebody_wrote_into_the_history(chats: str) -> None:
    execute(chats, "UPDATE sermo_history SET from_state = 'queued' WHERE message_id = 'out-1'")
    execute(chats, "UPDATE sermo_session SET row_count = 9 WHERE user_id = 'anna'")
    answer = json_of("verify", "--db", chats, status=1)
    session_id = json_of("status", "web", "anna", "--db", chats)["sessionId"]
    assert answer["ok"] is False
    assert [(one["sessionId"], one["seq"]) for one in answer["problems"]] == [
        (session_id, 2),
        (session_id, None),
    ]
    assert all(list(one) == ["sessionId", "seq", "what"] for one in answer["problems"])
    plain = sermo("verify", "--db", chats)
    assert plain.exit_code == 1
    first, second, verdict = plain.stdout.splitlines()
    assert first.startswith(f"{session_id} row 2: ")
    assert second.startswith(f"{session_id}: ")
    assert verdict == "FAILED 4 sessions with 10 rows"


# --- db -----------------------------------------------------------------------------------------


def test_db_prints_the_revision(db: str, foreign: str) -> None:
    assert sermo("db", "upgrade", "--db", db).stdout == "0003\n"
    assert json_of("db", "upgrade", "--db", db) == {"current": "0003", "wanted": "0003"}
    assert json_of("db", "current", "--db", db) == {"current": "0003", "wanted": "0003"}
    assert json_of("db", "current", "--db", foreign, status=3) == {
        "current": None,
        "wanted": "0003",
    }
    assert sermo("db", "current", "--db", foreign).stdout == "no tables\n"


# --- check, diagram -----------------------------------------------------------------------------


def test_check_proves_the_machine() -> None:
    answer = json_of("check")
    assert answer["ok"] is True
    assert all(one["ok"] and one["count"] > 0 for one in answer["checks"])
    edges = answer["checks"][-1]
    assert [one["name"] for one in edges["findings"]] == [one.name for one in DECLARED_EXCEPTIONS]
    assert all(one["count"] > 0 and one["reason"] for one in edges["findings"])


def test_check_prints_each_exception_with_its_count_and_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    findings = (Finding("at once", 7, "Neither is first."), Finding("\x1b[2J", 1234, "Evil."))
    report = Report((Check("edges", 2000, "they are known", findings=findings),))
    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", lambda _: report)
    result = sermo("check")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok edges: they are known (2000 cases)",
        "     7 at once",
        "       Neither is first.",
        "  1234 \\x1b[2J",
        "       Evil.",
    ]


def test_check_prints_only_the_first_of_many_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report((Check("law", 12, "it holds", tuple(f"not {n}" for n in range(12))),))
    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", lambda _: report)
    lines = sermo("check").stdout.splitlines()
    assert lines[1:] == [*(f"  not {n}" for n in range(10)), "  and 2 more; --json has them all"]
    assert len(json_of("check", status=1)["checks"][0]["problems"]) == 12


def test_check_is_1_where_a_proof_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report((Check("law", 2, "it holds", ("it does not",)), Check("total", 1, "it is")))
    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", lambda _: report)
    assert json_of("check", status=1) == json.loads(json.dumps(report.view()))
    result = sermo("check")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "FAILED law: it holds (2 cases)",
        "  it does not",
        "ok total: it is (1 case)",
    ]


# --- how it ends --------------------------------------------------------------------------------


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> Report:
        raise KeyboardInterrupt

    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", interrupted)
    result = sermo("check")
    assert (result.exit_code, result.stdout) == (130, "")
    assert one_line(result.stderr) == "Error: interrupted\n"


def test_a_reader_that_goes_away_changes_no_exit_status(
    chats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> Iterator[str]:
        raise BrokenPipeError

    monkeypatch.setattr("sermo_fsm.cli.commands.verify.print_json", gone)
    execute(chats, "UPDATE sermo_session SET row_count = 9")
    result = sermo("verify", "--json", "--db", chats)
    assert (result.exit_code, result.output) == (1, "")


def test_an_argument_that_only_the_library_knows_to_be_wrong_is_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def picky(*_: object) -> Report:
        raise sermo_fsm.InvalidArgument("this", wanted="that", got="\x1b[31mred")

    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", picky)
    result = sermo("check")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


def test_the_words_for_what_went_wrong_can_not_reach_the_terminal() -> None:
    assert shell.Failure("a\x1b[31mb\nc", 1).message == "a\\x1b[31mb\\nc"
