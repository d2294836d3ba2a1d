"""``sermo-fsm --sealing``: where the command finds the functions that seal and open."""

import json
from pathlib import Path

import pytest

from sermo_fsm import ChatEngine
from tests.command.test_cli_support import event, line, sermo, url_of

KEYS = """
class Keys:
    def seal(self, clear):
        return clear[::-1]
    open = seal

class Namespace:
    keys = Keys()

half = object()
"""


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, and in the folder of whoever calls the module ``some_keys``."""
    (tmp_path / "some_keys.py").write_text(KEYS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    url = url_of(tmp_path / "chats.db")
    lines = line("inbound", event("text", text="Hemligt"), at=0, message="m-1")
    done = sermo("--sealing", "some_keys:Namespace.keys", "ingest", "--db", url, stdin=lines)
    assert done.exit_code == 0, done.output
    return url


def test_commands_seal_and_open(db: str) -> None:
    asked = ("history", "web", "anna", "--bodies", "--json", "--db", db)
    (row,) = json.loads(sermo(*asked, SERMO_SEALING="some_keys:Namespace.keys").stdout)
    assert row["event"]["text"] == "Hemligt"
    (row,) = json.loads(sermo(*asked).stdout)
    assert row["event"] is None
    with ChatEngine(db) as chats:
        assert chats.verify().ok


@pytest.mark.parametrize(
    "where",
    ["no_such_module:keys", "some_keys:nobody", "some_keys:half", "some_keys", ":", "some_keys:"],
)
def test_it_says_where_it_found_none(where: str, db: str) -> None:
    done = sermo("--sealing", where, "counts", "--db", db)
    assert done.exit_code == 2
    assert "'--sealing' / SERMO_SEALING" in done.stderr
    assert "wanted MODULE:OBJECT, an object that has seal and open" in done.stderr


def test_the_functions_have_to_be_some(db: str, tmp_path: Path) -> None:
    (tmp_path / "no_keys.py").write_text("class Keys:\n    seal = open = 5\n", encoding="utf-8")
    done = sermo("--sealing", "no_keys:Keys", "counts", "--db", db)
    assert done.exit_code == 2
    assert "'--sealing' / SERMO_SEALING" in done.stderr
    assert "wanted a plain function" in done.stderr


@pytest.mark.parametrize("command", [["board", "--port", "0"], ["worker", "--queues", "inbound=a"]])
def test_programs_that_go_on_running_open_and_seal_too(
    command: list[str], db: str, tmp_path: Path
) -> None:
    done = sermo("--sealing", "some_keys:nobody", *command, "--db", db)
    assert done.exit_code == 2
    assert "wanted MODULE:OBJECT" in done.stderr
    (tmp_path / "bad_keys.py").write_text("class Keys:\n    seal = open = 5\n", encoding="utf-8")
    done = sermo("--sealing", "bad_keys:Keys", *command, "--db", db)
    assert done.exit_code == 2
    assert "--sealing: wanted a plain function" in done.stderr
