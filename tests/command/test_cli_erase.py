"""Erasing, keeping no longer, and holding back, in the shell."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sermo_fsm import ChatEngine
from tests.command.test_cli_support import event, line, sermo, url_of

LINES = "".join(
    (
        line("inbound", event("text", text="Hej på dig"), at=1, message="in-1"),
        line("outbound", event("text", text="Hej!", agent={"id": "bot"}), at=2),
        line("inbound", event("client_left"), at=3),
        line("inbound", event("text", "bo", text="Hallå"), at=1_000),
        line("inbound", event("client_left", "bo"), at=1_001),
        line("outbound", event("agent_done", "nobody"), at=14),
    )
)


@pytest.fixture
def chats(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    assert sermo("ingest", "--db", url, stdin=LINES).exit_code == 0
    return url


def json_of(*arguments: str, status: int = 0) -> Any:
    result = sermo(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (status, "")
    return json.loads(result.stdout)


def lines_of(*arguments: str) -> list[str]:
    result = sermo(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return [" ".join(one.split()) for one in result.stdout.splitlines()]


def test_erase_says_how_much_and_who_it_is_now(chats: str) -> None:
    dry = lines_of("erase", "web", "anna", "--dry-run", "--db", chats)
    counts = ["persons 1", "sessions 1", "rows 3", "bodies 3"]
    assert dry == ["1 person would be erased", *counts]
    first, *rest, last = lines_of("erase", "web", "anna", "--zone", "UTC", "--db", chats)
    assert first.startswith("1 person erased at ")
    assert rest == counts
    assert last.startswith("now erased-")
    assert json_of("status", "web", last.removeprefix("now "), "--db", chats)["rows"] == 3
    result = sermo("erase", "web", "anna", "--json", "--db", chats)
    assert (result.exit_code, result.stdout) == (4, "null\n")
    assert result.stderr == "Error: no such user: anna on web\n"


def test_erase_prints_the_receipt(chats: str) -> None:
    receipt = json_of("erase", "web", "bo", "--reason", "art-17", "--by", "dpo", "--db", chats)
    assert receipt.pop("userId").startswith("erased-")
    assert receipt.pop("erasedAt") > "2026"
    assert receipt == {
        "id": 1,
        "platformId": "web",
        "reason": "art-17",
        "by": "dpo",
        "closed": False,
        "sessions": 1,
        "rows": 2,
        "bodies": 2,
        "pictures": 0,
        "strays": 0,
        "overwritten": True,
    }
    assert sermo("verify", "--db", chats).exit_code == 0


def test_a_live_chat_is_1_unless_told_otherwise(chats: str) -> None:
    with ChatEngine(chats) as engine:
        engine.handle("inbound", event("text", "eva", text="Hej"), received_at=datetime.now(UTC))
    result = sermo("erase", "web", "eva", "--db", chats)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing was erased; try again later, or with --even-live" in result.stderr
    first, *_ = lines_of("erase", "web", "eva", "--even-live", "--db", chats)
    assert first.endswith(", a live chat closed first")


def test_who_is_held_back_is_listed_refused_and_released(chats: str) -> None:
    assert lines_of("hold", "--db", chats) == []
    assert json_of("hold", "--db", chats) == []
    held = json_of("hold", "web", "anna", "--reason", "court", "--by", "legal", "--db", chats)
    assert held["reason"] == "court"
    said = f"web anna held back since {held['since']} by legal (court)"
    assert lines_of("hold", "--zone", "UTC", "--db", chats) == [said]
    again = lines_of("hold", "web", "anna", "--reason", "x", "--zone", "UTC", "--db", chats)
    assert again == [said]
    assert json_of("hold", "--db", chats) == [held]
    result = sermo("erase", "web", "anna", "--db", chats)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "by legal (court); nothing was erased; 'sermo-fsm release' ends that" in result.stderr
    assert "1 person held back, passed over" in lines_of("retain", "--bodies", "1h", "--db", chats)
    assert json_of("release", "web", "anna", "--db", chats) == held
    for arguments in (["release", "web", "anna"], ["hold", "web", "n", "--reason", "court"]):
        result = sermo(*arguments, "--json", "--db", chats)
        assert (result.exit_code, result.stdout) == (4, "null\n")
    assert lines_of("hold", "web", "nobody", "--reason", "x", "--db", chats)[0].endswith(" (x)")
    assert lines_of("release", "web", "nobody", "--db", chats)[0] == "released:"


def test_retain_takes_lengths_or_a_policy(chats: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[retain]\nbodies = "100y"\n[platforms.web.retain]\nbodies = "1h"\n')
    what = ["retain", "--policy", str(policy), "--db", chats]
    counts = ["sessions 2", "bodies 5"]
    assert lines_of(*what, "--dry-run") == ["would be erased", *counts]
    assert lines_of(*what, "--platform", "elsewhere") == ["erased"]
    assert lines_of(*what) == ["erased", *counts]
    done = json_of("retain", "--people", "1h", "--strays", "1h", "--by", "cron", "--db", chats)
    assert done == {
        "persons": 2,
        "sessions": 2,
        "rows": 5,
        "bodies": 1,
        "pictures": 0,
        "strays": 1,
        "held": 0,
        "overwritten": True,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retain"], "say how long what is kept"),
        (["retain", "--bodies", "90"], "'--bodies': wanted a length such as 12h"),
        (["retain", "--people", "0d"], "'--people': wanted a length such as 12h"),
        (["hold", "web"], "give PLATFORM, USER and --reason"),
        (["hold", "web", "anna"], "give PLATFORM, USER and --reason"),
        (["hold", "--reason", "court"], "give PLATFORM, USER and --reason"),
        (["erase", "web", ""], "'USER': wanted "),
        (["erase", "web", "anna", "--by", ""], "'--by': wanted "),
    ],
    ids=str,
)
def test_wrong_usage_is_2(chats: str, arguments: list[str], words: str) -> None:
    result = sermo(*arguments, "--db", chats)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.replace("│", "").split())


def test_a_policy_that_keeps_all_for_ever_says_nothing(chats: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("idle_timeout = 60\n")
    result = sermo("retain", "--policy", policy, "--db", chats)
    assert result.exit_code == 2
    assert "say how long what is kept" in result.stderr
    result = sermo("worker", "--queues", "inbound=a", "--retain-every", "1h", "--policy", policy)
    assert result.exit_code == 2
    assert "--retain-every: say how long what is kept" in result.stderr


def test_where_another_program_reads_the_file_copies_are_said_to_be_left(chats: str) -> None:
    with closing(sqlite3.connect(chats.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM sermo_body").fetchall()
        result = sermo("erase", "web", "anna", "--db", chats)
        assert result.exit_code == 0
        assert result.stderr.startswith("copies may be left in the write-ahead log")
    assert json_of("erase", "web", "bo", "--db", chats)["overwritten"] is True


def test_an_interrupted_retain_says_what_it_has_done(
    chats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatEngine, "retain", interrupt)
    result = sermo("retain", "--bodies", "1h", "--db", chats)
    assert (result.exit_code, result.stderr) == (130, "Error: interrupted. 0 bodies are erased\n")
