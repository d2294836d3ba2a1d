"""The examples of hosts, run as processes: people copy them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.databases import async_url
from tests.support import EXAMPLES, PLATFORM, text


def test_the_host_application(bare_url: sa.URL) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", EXAMPLES / "host_app.py"),
            bare_url.render_as_string(hide_password=False),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "sent to anna: Hej anna, du skrev: Min faktura är fel",
        "one message, handed over twice: 1 chats, 2 rows, 1 answers, 1 tickets",
        "ticket 1 is taken, so nothing of it: 1 chats, 2 rows, 1 answers, 1 tickets",
    ]
    for number in range(4):  # by threads, whose lines may run into each other
        assert done.stdout.count(f"sent to cia: Hej cia, du skrev: {number}") == 1
    assert lines[-1] == "four workers, one new customer: 2 chats, 10 rows, 5 answers, 1 tickets"
    engine = sa.create_engine(bare_url)
    with engine.connect() as connection:
        unsent = sa.text("SELECT count(*) FROM answer WHERE NOT sent")
        assert connection.execute(unsent).scalar() == 0
    with ChatEngine(engine) as chats:
        assert chats.verify().ok
    engine.dispose()


def test_without_a_url_it_leaves_nothing_behind(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "host_app.py"],
        capture_output=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=True,
    )

    assert list(tmp_path.iterdir()) == []


@contextmanager
def served(url: sa.URL) -> Iterator[str]:
    """The ASGI application under uvicorn, on a port of its own; ended by SIGTERM."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)  # who asks before it is up waits here
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-X", "dev", "-m", "uvicorn"),
                *("--app-dir", EXAMPLES, "asgi_app:app", "--fd", str(listening.fileno())),
            ],
            env={**os.environ, "SERMO_DB": url.render_as_string(hide_password=False)},
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
    assert "Application shutdown complete" in errors
    assert "Warning" not in errors
    assert "Traceback" not in errors
    # Of those that let uvicorn know that all is well, 0; others pass the signal on.
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.fixture
def app(bare_url: sa.URL) -> Iterator[str]:
    with served(async_url(bare_url)) as address:
        yield address


@pytest.fixture
def web(app: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app, timeout=60) as client:
        yield client


def lines(*events: dict[str, Any]) -> dict[str, Any]:
    """A request of JSON lines."""
    content = "\n".join(httpx.Request("POST", "/", json=one).content.decode() for one in events)
    return {"content": content, "headers": {"content-type": "application/x-ndjson"}}


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)], indirect=True
)
class TestASGI:
    def test_an_event_goes_in_and_the_chat_is_there(self, web: httpx.Client) -> None:
        answer = web.post("/events/inbound", json=text(), headers={"message-id": "m"}).json()
        again = web.post("/events/inbound", json=text(), headers={"message-id": "m"}).json()
        chat = web.get(f"/chats/{PLATFORM}/anna").json()

        assert (answer["outcome"], answer["after"]["state"]) == ("moved", "bot")
        assert again["outcome"] == "duplicate"
        assert chat == answer["after"]
        assert web.get("/counts").json() == {PLATFORM: {"bot": 1}}

    def test_what_goes_wrong_has_its_status(self, web: httpx.Client) -> None:
        web.post("/events/inbound", json=text("ett"), headers={"message-id": "m"})
        conflict = web.post("/events/inbound", json=text("två"), headers={"message-id": "m"})
        invalid = web.post("/events/inbound", content=b"nonsense")

        assert conflict.status_code == 409
        assert "handed in before" in conflict.json()["error"]
        assert (invalid.status_code, invalid.json()["outcome"]) == (200, "invalid")
        assert web.post("/events/sideways", json=text()).status_code == 400
        assert web.get("/sessions", params={"state": "asleep"}).status_code == 400
        assert web.get("/sessions", params={"after": "nobody"}).status_code == 400
        assert web.get(f"/chats/{PLATFORM}/nobody").status_code == 404

    def test_many_lines_and_pages(self, web: httpx.Client) -> None:
        sent = [text(user=f"u-{number}") for number in range(250)]
        taken = web.post("/events/inbound", **lines(*sent)).json()
        seen: list[str] = []
        page = web.get("/sessions", params={"state": "bot"}).json()
        while True:
            seen += [session["userId"] for session in page["sessions"]]
            if page["next"] is None:
                break
            page = web.get(page["next"]).json()

        assert [one["outcome"] for one in taken] == ["moved"] * 250
        assert sorted(seen) == sorted(f"u-{number}" for number in range(250))

    def test_many_at_a_time(self, app: str, bare_url: sa.URL) -> None:
        async def ask() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(base_url=app, timeout=60, limits=limits) as web:
                return await asyncio.gather(
                    *(
                        web.post(
                            "/events/inbound",
                            json=text(f"{number}", user=f"u-{number % 5}"),
                            headers={"message-id": f"m-{number}"},
                        )
                        for number in range(60)
                    )
                )

        answers = asyncio.run(ask())

        assert {answer.status_code for answer in answers} == {200}
        with ChatEngine(bare_url) as chats:
            result = chats.verify()
        assert (result.ok, result.sessions, result.rows) == (True, 5, 60)


_KILL = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")


@pytest.mark.service
class TestBusy:
    @pytest.fixture
    def kind(self) -> str:
        return "postgresql"

    def test_a_database_that_is_gone_is_503_and_back_again_is_200(
        self, web: httpx.Client, bare_url: sa.URL
    ) -> None:
        assert web.post("/events/inbound", json=text()).status_code == 200
        admin = sa.create_engine(
            bare_url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        name = bare_url.database
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"
                ),
                {"d": name},
            )
            refused = web.post("/events/inbound", json=text())
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert web.post("/events/inbound", json=text()).status_code == 200


def test_the_example_of_sealing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "sealed.py"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "comes again: duplicate",
        "opened: ['Hemligt', 'Också hemligt']",
        "without the old key: raised InvalidToken",
        "stored: sealed:Z0FBQUFB …",
        "in clear anywhere: False",
    ]
