"""A board without a socket: asked in this process, on an event loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import sqlalchemy as sa

from sermo_fsm import AsyncChatEngine, ChatEngine
from sermo_fsm.board import app
from tests.databases import a_database, async_url

if TYPE_CHECKING:
    from sermo_fsm.board.application import Board

_T = TypeVar("_T")

SECRET = "min-hemlighet"  # noqa: S105 - what somebody wrote
EVIL = "\"><script>alert('x')</script>&"
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - of the tests


class Site:
    """A board and its visitors."""

    def __init__(self, url: sa.URL, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.engine = AsyncChatEngine(async_url(url), attempts=1)
        self.board: Board = app(self.engine, **{"zone": about_noon(), **options})

    def run(self, work: Callable[[], Awaitable[_T]]) -> _T:
        async def done() -> _T:
            return await work()

        return self.runner.run(done())

    def get(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "localhost:8765",
        root: str = "",
        **headers: str | bytes,
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.board, root_path=root)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
                named: list[tuple[bytes, bytes]] = [
                    (name.replace("_", "-").encode(), _as_bytes(value))
                    for name, value in {"host": host, **headers}.items()
                ]
                return await web.request(method, f"{root}{path}", headers=named)

        return self.run(ask)

    def close(self) -> None:
        self.board.close()
        self.run(self.engine.close)
        self.runner.close()


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


@contextmanager
def a_site(url: sa.URL, **options: Any) -> Iterator[Site]:
    site = Site(url, **options)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def a_file(folder: Path) -> Iterator[tuple[sa.URL, ChatEngine]]:
    """A SQLite database, and somebody who writes to it."""
    with a_database("sqlite", folder, migrated=True) as url, ChatEngine(url) as chats:
        yield url, chats


def about_noon() -> timezone:
    """A time zone in which it is between twelve and one: today began long ago."""
    return timezone(timedelta(hours=12 - datetime.now(UTC).hour))


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def said(chats: ChatEngine, user: str, *events: tuple[str, dict[str, Any], float]) -> str:
    """Hand in events that were received so many seconds ago; returns the id of the session."""
    for direction, event, seconds in events:
        chats.handle(
            direction,  # type: ignore[arg-type]  # one of the words
            {"platformId": "web", **event, "userId": user},
            received_at=ago(seconds),
        )
    found = chats.status(events[0][1].get("platformId", "web"), user)
    assert found is not None
    return found.session_id


ASKS = {"type": "text", "text": SECRET}
ANSWERS = {"type": "text", "text": SECRET, "agent": {"id": "bot", "name": "Robotina"}}
QUEUES = {"type": "queue_number", "queueNumber": 3}
TAKES = {
    "type": "text",
    "text": SECRET,
    "agent": {"id": "anan01", "name": "Anders And", "type": "human"},
}
LEAVES = {"type": "client_left"}


def in_queue(chats: ChatEngine, user: str, seconds: float = 100, **fields: Any) -> str:
    asks = ("inbound", {**ASKS, **fields}, seconds + 20)
    return said(chats, user, asks, ("outbound", {**QUEUES, **fields}, seconds))
