"""``make explore``: what it reads, what it says, and how it ends."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sermo_fsm.proof.report import Check, Report
from tests.support import envelope, event, text
from tools.explore import __main__ as command
from tools.explore.streams import Stream, short_streams

pytestmark = pytest.mark.prove


def explore(*arguments: str | Path) -> Result:
    """Run the tool in this process."""
    return CliRunner().invoke(command.main, [*map(str, arguments)])


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
        monkeypatch.setattr(command, "run_checks", lambda _: report)

    as_if(Report((Check("law", 2, "it holds"),)))
    return as_if


@pytest.fixture
def few_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    def few() -> Iterator[Stream]:
        return islice(short_streams(), 3)

    monkeypatch.setattr(command, "short_streams", few)
    monkeypatch.setattr(command, "REASONS", ())


def test_a_file_is_explored_and_the_executions_are_counted(file: Path) -> None:
    result = explore(str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    first, last = result.stdout.splitlines()
    assert first == "ok law: it holds (2 cases)"
    assert last.startswith("ok short.jsonl: 2 interleavings, ")
    assert "always ends in queued" in last
    assert last.endswith(" executions)")


def test_the_same_as_json(file: Path) -> None:
    result = explore("--json", str(file))
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


def test_a_platform_stands_in_where_none_is_named(file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    bare = [{**line, "event": {**line["event"], "platformId": None}} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in bare), "utf-8")
    refused = explore(str(file))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "$.event.platformId" in refused.stderr
    taken = explore("--platform", "web", str(file))
    assert taken.exit_code == 0
    assert "always ends in queued" in taken.stdout


@pytest.mark.usefixtures("few_streams")
def test_without_a_file_it_is_the_examples_and_all_short_streams(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_EXAMPLES", tmp_path / "examples")
    (tmp_path / "examples").mkdir()
    file.rename(tmp_path / "examples" / "one.jsonl")
    first, one, short, *findings = explore().stdout.splitlines()
    assert first.startswith("ok law")
    assert one.startswith("ok one.jsonl: ")
    assert short.startswith("ok short streams: 3 streams, 9 interleavings, ")
    assert all(line.startswith("  ") for line in findings)


def test_a_file_that_can_not_be_explored_is_wrong_usage(file: Path) -> None:
    file.write_text('{"direction": "inbound", "event": {"type": "new\x1b[31m"}}\n', "utf-8")
    result = explore(str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "short.jsonl:1" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    result = explore("nowhere.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere.jsonl" in result.stderr


def test_where_a_proof_fails_already_nothing_is_explored(
    file: Path, proved: Callable[[Report], None]
) -> None:
    proved(Report((Check("law", 2, "it holds", ("it does not",)),)))
    result = explore(str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["FAILED law: it holds (2 cases)", "  it does not"]


def test_what_is_proved_is_printed_before_the_minutes_of_exploring(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Check:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "explore", interrupted)
    result = explore(str(file))
    assert (result.exit_code, result.stdout) == (130, "ok law: it holds (2 cases)\n")


def test_what_is_found_is_1(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.explore.space.MAX_DATABASES", 2)
    result = explore(str(file))
    assert result.exit_code == 1
    failed, problem = result.stdout.splitlines()[-2:]
    assert failed.startswith("FAILED short.jsonl: 2 databases, and then it went wrong (")
    assert problem.endswith(": there are more than 2 different databases")
