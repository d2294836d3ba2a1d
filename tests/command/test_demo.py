"""``make demo``: plain in a pipe, and what it shows is what happened."""

import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sermo_fsm.diagram import render
from sermo_fsm.picture.drawing import machine_drawing
from tests.command.test_cli_support import environment
from tests.support import EXAMPLES

EXPECTED: dict[str, Any] = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))
WIDTH = 100
QUIET = {"heartbeat", "typing", "messages_read", "typing_on", "typing_off"}
LINE = re.compile(r"  (\d\d:\d\d:\d\d)(\*| ) +(\S+)( +).*  (\w+)$")


def demo(**variables: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"],
        capture_output=True,
        check=True,
        env=environment(**variables),
    )
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.fixture(scope="module")
def shown() -> str:
    return demo()


@pytest.fixture(scope="module")
def parts(shown: str) -> dict[str, list[str]]:
    """The lines below each title."""
    found: dict[str, list[str]] = {}
    for line in shown.splitlines():
        title = re.match(r"(\S.*?) ─+$", line)
        if title:
            found[title[1]] = []
        elif found:
            found[[*found][-1]].append(line)
    return found


def test_each_example_is_played_in_its_order(parts: dict[str, list[str]]) -> None:
    titles = [*parts]
    assert len(titles) == len(EXPECTED) + 2
    assert titles[0] == "The standard flow"
    assert titles[-2:] == ["The machine", "Try it yourself"]


def test_every_event_of_every_example_is_shown_with_its_outcome(
    parts: dict[str, list[str]],
) -> None:
    for name, lines in zip(EXPECTED, parts.values(), strict=False):
        counts = Counter(EXPECTED[name]["counts"])
        outcomes = Counter(match[5] for line in lines if (match := LINE.match(line)))
        clock = sum(" the clock " in line for line in lines)
        quiet = sum(
            int(times or 1)
            for line in lines
            if re.fullmatch(r" {12}\S.*", line)
            for kind, times in re.findall(r"(\w+)(?: ×(\d+))?", line)
            if kind in QUIET
        )
        assert sum(outcomes.values()) + quiet - clock == counts["read"]
        for outcome in ("ignored", "stray", "conflict", "invalid"):
            assert outcomes[outcome] == counts[outcome]
        assert outcomes["moved"] == counts["moved"] + clock


def test_each_chat_is_shown_with_its_end(parts: dict[str, list[str]]) -> None:
    for name, lines in zip(EXPECTED, parts.values(), strict=False):
        ends = [line for line in lines if line.startswith("  Chat ")]
        assert len(ends) == len(EXPECTED[name]["sessions"])
        for line, session in zip(ends, EXPECTED[name]["sessions"], strict=True):
            assert line.startswith(f"  Chat {session['ordinal']} ")
            assert f"closed at {session['closedAt'][11:19]} by {session['closeReason']}" in line
            assert line.endswith(f"; {session['rows']} rows of history.")
            assert ("resumed" in line) is session["resumed"]


def test_the_sweep_is_shown_where_there_is_one(parts: dict[str, list[str]]) -> None:
    for name, lines in zip(EXPECTED, parts.values(), strict=False):
        said = any(" the sweep " in line and LINE.match(line) is None for line in lines[3:])
        assert said is (EXPECTED[name]["sweepUpTo"] is not None)


def test_what_crossed_on_the_way_is_marked(shown: str) -> None:
    crossed = [line for line in shown.splitlines() if re.match(r"  \d\d:\d\d:\d\d\* ", line)]
    assert len(crossed) > 5
    assert any("Ja, jag är kvar här!" in line for line in crossed)


def test_the_diagram_is_shown_and_what_to_type_next(shown: str) -> None:
    assert render(machine_drawing(), "mermaid") in shown
    assert "sermo-fsm ingest" in shown
    assert "sermo-fsm --help" in shown


def test_in_a_pipe_it_is_plain_and_fits(shown: str) -> None:
    assert "\x1b" not in shown
    diagram = render(machine_drawing(), "mermaid").splitlines()
    lines = [line for line in shown.splitlines() if line not in diagram and "/" not in line]
    assert max(map(len, lines)) <= WIDTH


def test_it_is_the_same_in_any_locale_and_width(shown: str) -> None:
    assert demo(LC_ALL="C", COLUMNS="40", FORCE_COLOR="1") == shown


def test_on_a_terminal_it_has_colours() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, EXAMPLES / "demo.py"], stdout=theirs, env=environment(COLUMNS="100")
    ) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # Linux says EIO where others say that it ends
            while part := os.read(ours, 65536):
                seen += part
        assert process.wait() == 0
    os.close(ours)
    assert b"\x1b[1mmoved\x1b[0m" in seen
    assert b"Anders" in seen


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    demo(TMPDIR=str(tmp_path))
    assert not list(tmp_path.iterdir())
