"""What is to be copied from examples/: the demonstration runs, and the commands are ours."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sermo_fsm.core.history import Outcome
from sermo_fsm.worker.monitor import Metrics
from sermo_fsm.worker.source import Clock
from sermo_fsm.worker.tally import Tally
from tests.command.test_cli_support import environment, sermo
from tests.databases import skip_without
from tests.support import EXAMPLES

DEPLOY = EXAMPLES / "deploy"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
UNIT = DEPLOY / "sermo-worker@.service"


def commands() -> list[str]:
    """The arguments of every ``sermo-fsm`` in the files."""
    composed = re.findall(
        r"^    command: (?!sh )(.+)$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE
    )
    (line,) = re.findall(r"^ExecStart=\S+/sermo-fsm (.+)$", UNIT.read_text(), re.MULTILINE)
    return [*composed, line.replace("${PARTITIONS}", "4").replace("%i", "3")]


def test_there_are_commands() -> None:
    assert len(commands()) == 7


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one_of_ours(command: str) -> None:
    done = sermo(*command.split(), "--help")
    assert done.exit_code == 0, done.output


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    tally = Tally(
        outcomes=Counter({Outcome.MOVED: 1}),
        clocks=Counter({Clock.WORKER: 1}),
        read_up_to={"inbound": START},
        unread={"inbound": 0},
        swept_to=START,
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Metrics(tally, lambda: START))
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for text in asked for name in re.findall(r"\bsermo_\w+", text)}
    assert names == {sample.name for sample in samples}
    labels = {label for text in asked for label in re.findall(r"by \((\w+)\)", text)}
    assert labels == {label for sample in samples for label in sample.labels}


def test_no_panel_of_the_dashboard_stands_on_another() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "sermo-worker@.service"
    unit.write_text(UNIT.read_text().replace("/opt/sermo/bin/sermo-fsm", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],  # noqa: S607 - wherever it is
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.service
@pytest.mark.prove
def test_the_demonstration_ends_with_nothing_that_differs() -> None:
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        skip_without("no RabbitMQ; apt install rabbitmq-server")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo_worker.py", "--seconds", "3"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"that differ\s+│\s+│ 0 ", done.stdout)
