"""The command line on every database: lists in parts, counts, schemas, and no password anywhere.

Long, because all of it is one surface, asked in the same ways.
"""

import io
import json
import re
import shlex
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from sermo_fsm import ChatEngine
from sermo_fsm.cli.shell import printer_for
from sermo_fsm.core.machine import State
from tests.command.test_cli_support import event, line, sermo, sermo_process, url_of
from tests.databases import KINDS, a_database, admin

SECRET = "s3cret-pass"  # noqa: S105 - of nobody
SERVERS_HERE = [pytest.param(kind, marks=pytest.mark.service) for kind in KINDS if kind != "sqlite"]
ANDERS = {"id": "anan01", "name": "Anders Andersson", "type": "human"}
CHATS = (
    line("inbound", event("text", text="Hej på dig"), at=1),
    line("outbound", event("text", text="Anders här", agent=ANDERS), at=2),
    line("inbound", event("client_left"), at=3),
    line("inbound", event("text", text="Hej igen"), at=4),
    line("outbound", event("queue_number", "bo", queueNumber=7), at=5),
    line("outbound", event("text", "cilla", text="Anders här", agent=ANDERS), at=6),
    line("inbound", event("text", "anna", text="Hej") | {"platformId": "app"}, at=7),
    line("outbound", event("agent_done", "nobody"), at=8),
    line("outbound", event("agent_done", "nobody either"), at=9),
)
ASKING = {
    "ingest": ["ingest"],
    "status": ["status", "web", "anna"],
    "sessions": ["sessions"],
    "counts": ["counts"],
    "history": ["history", "web", "anna"],
    "strays": ["strays"],
    "close": ["close", "web", "cilla"],
    "sweep": ["sweep"],
    "verify": ["verify"],
    "db current": ["db", "current"],
}


def said(url: sa.URL) -> str:
    """As it is typed."""
    return url.render_as_string(hide_password=False)


@pytest.fixture
def chats(kind_url: sa.URL) -> str:
    """A database with chats in it."""
    url = said(kind_url)
    assert sermo("ingest", "--db", url, stdin="".join(CHATS)).exit_code == 0
    return url


def json_of(*arguments: str, status: int = 0) -> Any:
    result = sermo(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def users(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['platformId']} {one['userId']} {one['ordinal']}" for one in found]


# --- lists ----------------------------------------------------------------------------------------


def test_every_command_works_on_every_database(chats: str) -> None:
    for name, arguments in ASKING.items():
        result = sermo(*arguments, "--db", chats)
        assert (name, result.exit_code, result.stderr) == (name, 0, "")
    assert json_of("status", "web", "anna", "--db", chats)["ordinal"] == 2


def test_sessions_can_be_asked_for_by_agent_and_time(chats: str) -> None:
    every = ["app anna 1", "web cilla 1", "web bo 1", "web anna 2", "web anna 1"]
    for arguments, wanted in (
        ([], every),
        (["--agent", "anan01"], ["web cilla 1", "web anna 1"]),
        (["--agent", "nobody"], []),
        (["--from", "2026-03-01T12:00:05Z"], every[:3]),
        (["--before", "2026-03-01T13:00:05+01:00"], every[3:]),
        (["--from", "2026-03-01T12:00:04Z", "--before", "2026-03-01T12:00:06Z"], every[2:4]),
        (["--platform", "web", "--limit", "2"], every[1:3]),
    ):
        assert users(json_of("sessions", *arguments, "--db", chats)) == wanted


def test_a_list_goes_on_behind_its_last_session(chats: str) -> None:
    every = json_of("sessions", "--db", chats)
    read: list[dict[str, Any]] = []
    while more := json_of(
        *("sessions", "--limit", "2", "--db", chats),
        *(["--after", read[-1]["sessionId"]] if read else []),
    ):
        read += more
    assert read == every
    assert len(every) == 5


def test_history_and_strays_go_on_behind_a_number(chats: str) -> None:
    (first,) = json_of("sessions", "--before", "2026-03-01T12:00:02Z", "--db", chats)
    history = ["history", "--session", first["sessionId"], "--db", chats]
    assert [row["seq"] for row in json_of(*history, "--after", "1")] == [2, 3]
    assert [row["seq"] for row in json_of(*history, "--limit", "2")] == [1, 2]
    assert [row["seq"] for row in json_of(*history, "--after", "1", "--limit", "1")] == [2]
    assert json_of(*history, "--after", "3") == []
    every = json_of("strays", "--db", chats)
    (last,) = json_of("strays", "--after", str(every[0]["id"]), "--limit", "5", "--db", chats)
    assert last == every[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions", "--after", "nobody"],
        ["sessions", "--after", "00000000-0000-0000-0000-000000000000"],
        ["sessions", "--from", "long ago"],
        ["sessions", "--before", "2026-03-01T12:00:00+25:00"],
        ["sessions", "--agent", ""],
        ["history", "web", "anna", "--after", "-1"],
        ["history", "web", "anna", "--after", "x"],
        ["history", "web", "anna", "--limit", "-1"],
        ["strays", "--after", "99999999999999999999"],
    ],
    ids=" ".join,
)
def test_what_is_no_place_in_a_list_is_2(tmp_path: Path, arguments: list[str]) -> None:
    result = sermo(*arguments, "--db", url_of(tmp_path / "chats.db"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[-2].removeprefix("--") in result.stderr


# --- counts ---------------------------------------------------------------------------------------


def test_counts_are_by_platform_and_state(chats: str) -> None:
    assert json_of("counts", "--db", chats) == {
        "app": {"open": 0, "bot": 1, "queued": 0, "with_agent": 0},
        "web": {"open": 0, "bot": 1, "queued": 1, "with_agent": 1},
    }
    assert sermo("counts", "--db", chats).stdout.splitlines() == [
        "platform\topen\tbot\tqueued\twith_agent",
        "app\t0\t1\t0\t0",
        "web\t0\t1\t1\t1",
    ]


def test_counts_of_nothing_are_nothing(tmp_path: Path) -> None:
    url = url_of(tmp_path / "chats.db")
    assert json_of("counts", "--db", url) == {}
    assert sermo("counts", "--db", url).stdout == "platform\topen\tbot\tqueued\twith_agent\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_counts_stand_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    states: dict[State, int] = dict.fromkeys(State, 0)
    terminal = _Terminal()
    printer_for(terminal).print_counts(
        {"web\x1b[31m": {**states, State.QUEUED: 1204}, "x" * 60: states}
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert [row.split() for row in shown] == [
        ["platform", "open", "bot", "queued", "with_agent"],
        [shown[1].split()[0], "0", "0", "1204", "0"],
        [shown[2].split()[0], "0", "0", "0", "0"],
    ]
    assert "\x1b[31m" not in terminal.getvalue()
    assert all(len(row) <= 60 for row in shown)
    assert len({row.index(" 0") for row in shown[1:]}) == 1


def test_on_a_terminal_no_counts_are_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = _Terminal()
    printer_for(terminal).print_counts({})
    assert "none" in terminal.getvalue()


# --- servers --------------------------------------------------------------------------------------


@pytest.fixture(params=SERVERS_HERE)
def server_kind(request: pytest.FixtureRequest) -> str:
    """Every database that has passwords."""
    kind: str = request.param
    return kind


def one_line(result: Result) -> str:
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_server_without_tables_is_3_with_the_line_to_run(
    server_kind: str, tmp_path: Path
) -> None:
    with a_database(server_kind, tmp_path) as empty:
        url = said(empty)
        for arguments in ASKING.values():
            result = sermo(*arguments, "--db", url)
            assert result.exit_code == 3
            assert "run: sermo-fsm db upgrade" in one_line(result)
        shown = one_line(sermo("sessions", "--db", url)).partition("run: sermo-fsm ")[2]
        if empty.password is None:
            assert shlex.split(shown) == ["db", "upgrade", "--db", url]
        assert json_of("db", "upgrade", "--db", url)["current"]
        assert sermo("sessions", "--db", url).exit_code == 0


@pytest.fixture
def someone(server_kind: str) -> Iterator[sa.URL]:
    """Somebody with a password, on a server."""
    kind, server = server_kind, admin(server_kind)
    name = f"sermo_test_{uuid.uuid4().hex[:12]}"
    words = (
        (f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'", f"DROP ROLE {name}")
        if kind == "postgresql"
        else (f"CREATE USER {name} IDENTIFIED BY '{SECRET}'", f"DROP USER {name}")
    )
    with server.connect() as connection:
        connection.exec_driver_sql(words[0])
    try:
        yield server.url.set(username=name, password=SECRET)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(words[1])


def closed_port() -> int:
    """A port where nobody listens: one is reserved, and never is a server's own."""
    return 1


def secretive(*arguments: str, status: int, variable: str | None = None) -> str:
    """What is said on standard error, which must not be the password."""
    result = sermo(*arguments, SERMO_DB=variable)
    assert result.exit_code == status, result.output
    assert SECRET not in result.output
    assert "s3cret" not in result.output
    assert not result.stdout
    return result.stderr


def test_no_password_is_printed_where_somebody_may_not_in(someone: sa.URL) -> None:
    elsewhere = {"port": "1"} if someone.get_backend_name() == "postgresql" else {}
    wrong = [
        someone.set(database="sermo_test_there_is_no_such_database"),
        someone.set(port=closed_port()),
        someone.set(host="nowhere.invalid"),
        someone.set(username="sermo_test_nobody"),
        someone._replace(password=None).update_query_dict({"password": SECRET, **elsewhere}),
    ]
    if someone.get_backend_name() == "mysql":  # PostgreSQL may trust whoever comes from here
        wrong[-1] = wrong[-1].update_query_dict({"password": f"{SECRET}-and-more"})
        wrong.append(someone.set(password=f"{SECRET}-and-more"))
    for url in wrong:
        for arguments in (["sessions"], ["db", "upgrade"]):
            stderr = secretive(*arguments, "--db", said(url), status=3)
            assert "can't be reached: " in stderr or "can't be used: " in stderr
            assert stderr.endswith("is it the right database? See --db and SERMO_DB\n")
            assert stderr.count("\n") == 1


def test_no_password_is_printed_where_there_are_no_tables(
    someone: sa.URL, tmp_path: Path, server_kind: str
) -> None:
    with a_database(server_kind, tmp_path) as empty:
        with admin(server_kind).connect() as connection:
            grant = (
                f"GRANT ALL ON DATABASE {empty.database} TO {someone.username}"
                if server_kind == "postgresql"
                else f"GRANT ALL ON {empty.database}.* TO {someone.username}"
            )
            connection.exec_driver_sql(grant)
        url = said(someone.set(database=empty.database))
        stderr = secretive("sessions", "--db", url, status=3)
        assert stderr.endswith("run: sermo-fsm db upgrade (with the same --db)\n")
        assert secretive("sessions", status=3, variable=url).endswith("run: sermo-fsm db upgrade\n")


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
@pytest.mark.parametrize(
    "rest",
    [
        f"me:{SECRET}@host:port/chats",
        f"me:{SECRET}@host:1:2/chats",
        f"me:{SECRET}@[::1/chats",
        f"me:pass@{SECRET}@127.0.0.1/chats",
        f"me:pass@1/{SECRET}@127.0.0.1/chats",
        f"me@127.0.0.1:1/chats?port={SECRET}",
    ],
)
def test_no_password_is_printed_of_what_is_no_url(driver: str, rest: str) -> None:
    assert "--db" in secretive("sessions", "--db", f"{driver}://{rest}", status=2)


@pytest.mark.parametrize(
    "url",
    [
        f"me:{SECRET}@127.0.0.1/chats",
        f"postgresql+psycopg//me:{SECRET}@127.0.0.1/chats",
        f"postgresql+nodriver://me:{SECRET}@127.0.0.1/chats",
        f"nodatabase://me:{SECRET}@127.0.0.1/chats",
        f"oracle://me:{SECRET}@127.0.0.1/chats",
        f"mysql+asyncmy://me:{SECRET}@127.0.0.1/chats",
        f"\x1b[31m://me:{SECRET}@127.0.0.1/chats",
    ],
)
def test_no_password_is_printed_of_a_driver_that_will_not_do(url: str) -> None:
    for command in (["sessions"], ["db", "upgrade"], ["ingest"]):
        stderr = secretive(*command, "--db", url, status=2)
        assert "--db" in stderr
        assert "\x1b" not in stderr


def test_help_shows_no_password() -> None:
    url = f"postgresql+psycopg://me:{SECRET}@127.0.0.1/chats"
    for arguments in (["--help"], ["sessions", "--help"], ["db", "upgrade", "--help"]):
        result = sermo("--db", url, *arguments, SERMO_DB=url)
        assert result.exit_code == 0
        assert SECRET not in result.output


@pytest.mark.service
@pytest.mark.parametrize("option", ["nonsense=1", "ssl_ca=nowhere.pem"])
def test_options_that_a_driver_can_not_use_are_2(option: str) -> None:
    url = f"{said(admin('mysql').url)}?{option}"
    assert "the driver can't use the URL's options" in secretive("sessions", "--db", url, status=2)


# --- schemas --------------------------------------------------------------------------------------


@contextmanager
def a_postgresql(folder: Path) -> Iterator[str]:
    with a_database("postgresql", folder) as url:
        yield said(url)


@pytest.mark.service
def test_a_schema_of_ones_own_is_named_before_or_after_the_command_or_by_the_variable(
    tmp_path: Path,
) -> None:
    with a_postgresql(tmp_path) as url:
        assert sermo("db", "upgrade", "--db", url, "--schema", "Chats Ö").exit_code == 0
        assert sermo("db", "upgrade", "--db", url).exit_code == 0
        lines = "".join(CHATS)
        assert sermo("ingest", "--schema", "Chats Ö", "--db", url, stdin=lines).exit_code == 0
        for arguments, variable, wanted in (
            (["sessions"], "Chats Ö", 5),
            (["sessions"], "", 0),
            (["sessions"], None, 0),
            (["--schema", "Chats Ö", "sessions"], "other", 5),
            (["sessions", "--schema", "Chats Ö"], "other", 5),
            (["--schema", "other", "sessions", "--schema", "Chats Ö"], None, 5),
            (["sessions", "--schema", ""], "Chats Ö", 0),
        ):
            result = sermo(*arguments, "--json", "--db", url, SERMO_SCHEMA=variable)
            assert len(json.loads(result.stdout)) == wanted
        for arguments in ASKING.values():
            result = sermo(*arguments, "--db", url, "--schema", "Chats Ö")
            assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.service
def test_the_line_to_run_names_the_schema_that_was_typed(tmp_path: Path) -> None:
    with a_postgresql(tmp_path) as url:
        result = sermo("sessions", "--db", url, "--schema", "my chats")
        assert result.exit_code == 3
        line = one_line(result).partition("run: sermo-fsm ")[2].rstrip()
        assert shlex.split(line)[:4] == ["db", "upgrade", "--schema", "my chats"]
        assert one_line(sermo("sessions", SERMO_DB=url, SERMO_SCHEMA="my chats")).endswith(
            "run: sermo-fsm db upgrade\n"
        )


def test_a_schema_is_refused_where_there_are_none(tmp_path: Path) -> None:
    result = sermo("sessions", "--schema", "chats", "--db", url_of(tmp_path / "chats.db"))
    assert result.exit_code == 2
    assert "'--schema' / SERMO_SCHEMA" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_help_names_the_variable_of_the_schema() -> None:
    assert "SERMO_SCHEMA" in sermo("--help").stdout
    assert "SERMO_SCHEMA" in sermo("counts", "--help").stdout


# --- quiet ----------------------------------------------------------------------------------------


def test_what_is_tried_again_is_said_once_by_how_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with ChatEngine(url_of(path)) as engine:
        engine.migrate()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = sermo_process("sweep", "--db", f"{url_of(path)}?timeout=0.01")
    assert done.returncode == 3
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"try again" in done.stderr


def test_what_is_wrong_with_us_is_not_said_to_be_wrong_with_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> bool:
        raise TypeError

    monkeypatch.setattr("sermo_fsm.migrate.is_new_file", broken)
    assert isinstance(sermo("sessions", "--db", url_of(tmp_path / "chats.db")).exception, TypeError)
