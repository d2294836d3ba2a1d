"""``sermo-fsm check --explore``: what it reads, what it says, and how it ends."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from sermo_fsm.cli import explore, prove
from sermo_fsm.proof.report import Check, Report
from sermo_fsm.proof.streams import Stream, short_streams
from tests.support import envelope, event, text
from tests.test_cli_support import sermo

SHORT = [
    envelope("inbound", text(), 1, "in-1"),
    envelope("outbound", event("queue_number", queueNumber=1), 2, "out-1"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "short.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in SHORT), "utf-8")
    return path


@pytest.fixture(autouse=True)
def proved(monkeypatch: pytest.MonkeyPatch) -> Callable[[Report], None]:
    """The other proofs have this result; they take some seconds, and are not what is tried here."""

    def as_if(report: Report) -> None:
        monkeypatch.setattr(prove, "run_checks", lambda _: report)

    as_if(Report((Check("law", 2, "it holds"),)))
    return as_if


@pytest.fixture
def few_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    def few() -> Iterator[Stream]:
        return islice(short_streams(), 3)

    monkeypatch.setattr(explore, "short_streams", few)
    monkeypatch.setattr(explore, "REASONS", ())


def test_a_file_is_explored_and_the_executions_are_counted(file: Path) -> None:
    result = sermo("check", "--explore", str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    first, last = result.stdout.splitlines()
    assert first == "ok law: it holds (2 cases)"
    assert last.startswith("ok short.jsonl: 2 interleavings, ")
    assert "always ends in queued" in last
    assert last.endswith(" executions)")


def test_the_same_as_json(file: Path) -> None:
    result = sermo("check", "--json", "--explore", str(file))
    answer = json.loads(result.stdout)
    explored = answer["checks"][-1]
    assert answer["ok"] is True
    assert {**explored, "count": 0, "databases": 0, "power_cuts": 0, "summary": ""} == {
        "name": "short.jsonl",
        "ok": True,
        "count": 0,
        "summary": "",
        "problems": [],
        "findings": [],
        "streams": 1,
        "databases": 0,
        "interleavings": 2,
        "schedules": 14,
        "power_cuts": 0,
        "swept": 0,
        "ends": {"queued": 1},
        "ways": {"queued": 2},
        "forks": {},
    }


@pytest.mark.usefixtures("few_streams")
def test_without_a_file_it_is_the_examples_and_all_short_streams(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore, "_CHECKOUT", tmp_path)
    (tmp_path / "examples").mkdir()
    file.rename(tmp_path / "examples" / "one.jsonl")
    (tmp_path / "pyproject.toml").touch()
    first, one, short, *findings = sermo("check", "--explore").stdout.splitlines()
    assert first.startswith("ok law")
    assert one.startswith("ok one.jsonl: ")
    assert short.startswith("ok short streams: 3 streams, 9 interleavings, ")
    assert all(line.startswith("  ") for line in findings)


@pytest.mark.usefixtures("few_streams")
def test_an_installed_package_has_no_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore, "_CHECKOUT", tmp_path)
    answer = json.loads(sermo("check", "--explore", "--json").stdout)
    assert [one["name"] for one in answer["checks"] if "streams" in one] == ["short streams"]


def test_a_file_without_the_option_is_wrong_usage(file: Path) -> None:
    result = sermo("check", str(file))
    assert result.exit_code == 2
    assert "a FILE is for --explore" in result.stderr


def test_exploring_and_comparing_at_once_is_wrong_usage() -> None:
    result = sermo("check", "--explore", "--against", "sqlite://")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--explore is about the engine" in result.stderr


def test_a_file_that_can_not_be_explored_is_wrong_usage(file: Path) -> None:
    file.write_text('{"direction": "inbound", "event": {"type": "new\x1b[31m"}}\n', "utf-8")
    result = sermo("check", "--explore", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "short.jsonl:1" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    result = sermo("check", "--explore", "nowhere.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere.jsonl" in result.stderr


def test_where_a_proof_fails_already_nothing_is_explored(
    file: Path, proved: Callable[[Report], None]
) -> None:
    proved(Report((Check("law", 2, "it holds", ("it does not",)),)))
    result = sermo("check", "--explore", str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["FAILED law: it holds (2 cases)", "  it does not"]


def test_what_is_proved_is_printed_before_the_minutes_of_exploring(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Check:
        raise KeyboardInterrupt

    monkeypatch.setattr(explore, "explore", interrupted)
    result = sermo("check", "--explore", str(file))
    assert (result.exit_code, result.stdout) == (130, "ok law: it holds (2 cases)\n")


def test_what_is_found_is_1(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sermo_fsm.proof.space.MOST_DATABASES", 2)
    result = sermo("check", "--explore", str(file))
    assert result.exit_code == 1
    failed, problem = result.stdout.splitlines()[-2:]
    assert failed.startswith("FAILED short.jsonl: 2 databases, and then it went wrong (")
    assert problem.endswith(": there are more than 2 different databases")
