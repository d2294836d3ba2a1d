"""What the tests of the command line share: traffic, and ways to run the command."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from sermo_fsm import ChatEngine
from sermo_fsm.cli import main
from sermo_fsm.core.json_form import time_view

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMAND = (sys.executable, "-m", "sermo_fsm")

VARIABLES = (
    *("SERMO_DB", "SERMO_SCHEMA", "SERMO_PLATFORM", "SERMO_POLICY"),
    *("SERMO_REDACT", "SERMO_SEALING"),
)

OUTCOMES = (
    "moved",
    "stayed",
    "ignored",
    "late",
    "stray",
    "unknown",
    "duplicate",
    "conflict",
    "invalid",
)
"""Those of DESIGN, section 6, in its order."""


def sermo(*arguments: str | Path, stdin: str | bytes = "", **variables: str | None) -> Result:
    """Run the command in this process."""
    env: dict[str, str | None] = dict.fromkeys(VARIABLES) | variables
    return CliRunner().invoke(main, [*map(str, arguments)], input=stdin, env=env)


def environment(**variables: str) -> dict[str, str]:
    """That of a person at a shell, and no more of it than needed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERMO_")}
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "COLUMNS",
        "LINES",
        "PYTHONIOENCODING",
        "PYTHONUNBUFFERED",  # containers set it, people don't
    ):
        kept.pop(name, None)
    return {**kept, "TERM": "xterm-256color", **variables}


def sermo_process(
    *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    """Run the command as a process of its own."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        env=environment() if env is None else env,
        check=False,
        **{**streams, **options},
    )


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def event(kind: str, user: str = "anna", /, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "platformId": "web", "userId": user, **fields}


def line(
    direction: str, event: Mapping[str, Any], *, at: float = 0, message: str | None = None
) -> str:
    """An envelope, received *at* seconds after :data:`START`."""
    envelope = {
        "direction": direction,
        "receivedAt": time_view(START + timedelta(seconds=at)),
        "event": event,
    }
    if message is not None:
        envelope["messageId"] = message
    return json.dumps(envelope, ensure_ascii=False) + "\n"


INBOUND = {"heartbeat": 30, "typing": 20, "text": 12, "client_left": 1, "client_unload": 2}
OUTBOUND = {
    "bot": 8,
    "agent": 12,
    "queue_number": 4,
    "agent_done": 1,
    "handover_to_agent": 2,
    "handover_to_bot": 1,
    "typing_on": 3,
    "weather": 1,
}
SPEAKERS = {
    "bot": {"id": "bot", "name": "Bot"},
    "agent": {"id": "anan01", "name": "Anders Andersson", "type": "human"},
}


def traffic(lines: int, *, users: int = 40) -> Iterator[str]:
    """Mixed traffic of many chats, the same every time; every line has a message id of its own."""
    chance = random.Random(7)  # noqa: S311 - the same numbers every time is what is wanted
    kinds = {**INBOUND, **OUTBOUND}
    at = 0.0
    for number in range(lines):
        (kind,) = chance.choices([*kinds], [*kinds.values()])
        at += chance.random() * 200 / users
        fields: dict[str, Any] = {}
        if kind in {"text", "typing", *SPEAKERS}:
            fields["text"] = "Hej, jag undrar över min faktura. " * chance.randrange(1, 4)
        if kind in SPEAKERS:
            fields["agent"] = SPEAKERS[kind]
        if kind == "queue_number":
            fields["queueNumber"] = chance.randrange(20)
        user = f"user-{chance.randrange(users)}"
        body = event("text" if kind in SPEAKERS else kind, user, **fields)
        yield line("inbound" if kind in INBOUND else "outbound", body, at=at, message=f"m-{number}")


def everything_in(database: str) -> dict[str, Any]:
    """All sessions with their histories, and the strays, as they are shown."""
    with ChatEngine(database) as engine:
        return {
            "sessions": [
                {
                    **session.as_dict(),
                    "history": [
                        row.as_dict(bodies=True) for row in engine.history(session.session_id)
                    ],
                }
                for session in engine.sessions()
            ],
            "strays": [row.as_dict(bodies=True) for row in engine.strays()],
        }


def test_the_traffic_is_the_same_every_time_and_no_message_id_comes_twice() -> None:
    lines = list(traffic(300))
    assert lines == list(traffic(300))
    assert len({json.loads(one)["messageId"] for one in lines}) == 300


def test_the_traffic_has_chats_that_open_move_and_close_and_events_that_come_late() -> None:
    counts = json.loads(
        sermo("ingest", "--json", "--db", "sqlite://", stdin="".join(traffic(3000))).stdout
    )
    assert all(counts[name] for name in ("moved", "stayed", "ignored", "late", "stray", "unknown"))
    assert counts["invalid"] == counts["conflict"] == counts["duplicate"] == 0
