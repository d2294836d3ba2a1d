"""The benchmarks run: each at its smallest, so that none of them rots.

What they find is not looked at, with one exception: they compare what every contender has stored,
and a run ends if one of them stored anything else.
"""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import filled, report
from benchmarks.__main__ import BENCHMARKS
from benchmarks.results import Result, Table
from benchmarks.traffic import messages
from sermo_fsm import ChatEngine
from tests.databases import KINDS, a_database, admin, skip_without
from tests.servers import program
from tests.support import CHECKOUT, also_proved

QUICK = ("throughput", "growth", "stages", "plans")
"""Those that take seconds; the others start many processes."""
WITH_A_BROKER = "scale"
"""It starts servers of its own."""
SLOW = [name for name in BENCHMARKS if name not in (*QUICK, WITH_A_BROKER)]


def measure(name: str, kinds: str, output: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--small", "--databases", kinds]
    done = subprocess.run(
        [*command, "--output", output],
        cwd=CHECKOUT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*QUICK, *also_proved(*SLOW)])
def test_it_runs_and_is_reported(name: str, tmp_path: Path) -> None:
    output = tmp_path / "not" / "there"
    measure(name, "sqlite", output)
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))[name]
    page = (output / "RESULTS.md").read_text(encoding="utf-8")
    assert found["tables"]
    for table in found["tables"]:
        assert f"### {table['title']}\n" in page
        assert table["rows"]
    pictures = {path.name for path in output.glob("*.svg")}
    assert pictures == ({f"{name}.svg", f"{name}-dark.svg"} if found["data"] else set())


@pytest.mark.prove
@pytest.mark.service
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_it_runs_on_servers(kind: str, name: str, tmp_path: Path) -> None:
    admin(kind)
    measure(name, kind, tmp_path)


@pytest.mark.prove
@pytest.mark.service
def test_workers_are_measured_with_a_broker(tmp_path: Path) -> None:
    program("postgres")
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        skip_without("no RabbitMQ; apt install rabbitmq-server")
    measure(WITH_A_BROKER, "sqlite", tmp_path)
    (table,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["scale"][
        "tables"
    ]
    assert [row[0] for row in table["rows"]][2:] == ["1 worker", "2 workers", "4 workers"]


def test_figures_go_between_their_markers() -> None:
    page = (
        "a\n<!-- figures: one -->\nold\n<!-- /figures -->\nb\n"
        "<!-- figures: two -->\n<!-- /figures -->\n"
    )
    table = Table("T", ["", "n"], [["x", "1"]])
    filled = report.filled_in(page, {"one": Result("One", "about", [table])})
    assert filled == (
        "a\n<!-- figures: one -->\n|  | n |\n| --- | ---: |\n| x | 1 |\n<!-- /figures -->\nb\n"
        "<!-- figures: two -->\nNot measured yet.\n<!-- /figures -->\n"
    )
    assert report.filled_in(filled, {"one": Result("One", "about", [table])}) == filled


def test_every_figure_in_the_docs_has_a_benchmark() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (CHECKOUT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.splitlines()]
    asked = {line.split()[2] for line in lines if line.startswith("<!-- figures:")}
    assert asked
    assert asked <= set(BENCHMARKS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filled_database_is_what_the_engine_would_have_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filled, "_AT_MOST", 50)
    with a_database(kind, tmp_path) as url, ChatEngine(url) as chats:
        filled.fill(chats, 200)
        found = chats.verify()
        # All is right but the ids of the copies, which SQL can't make.
        assert all("the session's previous_session_id is" in one.what for one in found.problems)
        assert found.sessions == 200
        assert found.rows > 10 * 200
        counts = sum(chats.counts()["comviq-web"].values())
        assert counts == 200 / 50
        middle = filled.id_in_the_middle(chats)
        assert chats.session(middle) is not None
        assert [*chats.history(middle)]
        assert 0 < len([*chats.sessions(after=middle)]) < 200
        coming = islice(messages(chats=50, naming=filled.returning(200)), 300)
        receipts = chats.handle_many([message.line for message in coming])
        assert {receipt.outcome for receipt in receipts} <= {"moved", "stayed", "ignored"}
        assert {receipt.after.ordinal for receipt in receipts if receipt.after} == {1, 6}
        assert len(chats.verify().problems) == len(found.problems)
