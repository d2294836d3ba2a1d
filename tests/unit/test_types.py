"""A typing mistake in the name of a queue or a state is found by a type checker."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.databases import skip_without
from tests.support import CHECKOUT

HOST: Final = """
from sermo_fsm import AsyncChatEngine, ChatEngine, Envelope, HistoryRow, QueueName, State


def talk(chats: ChatEngine, row: HistoryRow, queue: QueueName) -> None:
    chats.handle("inbound", {})
    chats.handle(queue, {})
    chats.handle("inbond", {})  # wrong
    chats.handle_many([], direction="outbound")
    chats.handle_many([], direction="outbond")  # wrong
    Envelope("internal", b"")
    Envelope("intern", b"")  # wrong
    chats.sessions(state="queued")
    chats.sessions(state=State.QUEUED)
    chats.sessions(state=["bot", State.QUEUED])
    chats.sessions(state="queud")  # wrong
    chats.sessions(state=["queud"])  # wrong
    if row.direction is not None:
        chats.handle(row.direction, {})


async def talk_async(chats: AsyncChatEngine) -> None:
    await chats.handle("internal", {})
    await chats.handle("interna", {})  # wrong
    await chats.handle_many([], direction="inbond")  # wrong
    chats.sessions(state="with_agents")  # wrong
"""
CHECKERS: Final = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.prove
@pytest.mark.parametrize("checker", ["mypy", pytest.param("pyright", marks=pytest.mark.service)])
def test_a_name_that_is_none_is_found(checker: str, tmp_path: Path) -> None:
    if checker == "pyright" and shutil.which("node") is None:
        skip_without("no node; apt install nodejs")
    (tmp_path / "host.py").write_text(HOST)

    done = subprocess.run(
        [*CHECKERS[checker], str(tmp_path / "host.py")],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )

    found = {
        int(line) for line in re.findall(r"host\.py:(\d+)(?::\d+)?(?: -|:) error", done.stdout)
    }
    wrong = {at for at, line in enumerate(HOST.split("\n"), 1) if "# wrong" in line}
    assert found == wrong, done.stdout + done.stderr
