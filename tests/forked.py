"""Asks from forked processes: ``python -m tests.forked URL DOOR [START]``.

*START* is how they are started: ``os`` or ``multiprocessing``.
The engine is made, and used, before the fork. Each process asks for the chats of users of its own,
all at once, and so does the parent; a connection that two of them shared would mix up the answers.
"""

import asyncio
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import AsyncChatEngine, ChatEngine, ForkedEngine
from sermo_fsm.engine import unit_of_work
from tests.databases import async_url

PROCESSES = 3
QUESTIONS = 60


def plain(url: str) -> Callable[[int], None]:
    chats = ChatEngine(url)
    for number in range(PROCESSES + 1):
        event = {"type": "heartbeat", "platformId": "web", "userId": f"user-{number}"}
        chats.handle("inbound", event)

    def ask(number: int) -> None:
        for _ in range(QUESTIONS):
            chat = chats.status("web", f"user-{number}")
            assert chat is not None
            assert chat.user_id == f"user-{number}", chat.user_id

    return ask


def asynchronous(url: str) -> Callable[[int], None]:
    plain(url)(0)
    chats = AsyncChatEngine(async_url(sa.make_url(url)))

    async def one(user: str) -> None:
        chat = await chats.status("web", user)
        assert chat is not None
        assert chat.user_id == user, chat.user_id

    async def several(user: str) -> None:
        for _ in range(QUESTIONS):
            await one(user)
        await chats.close()

    asyncio.run(one("user-0"))
    return lambda number: asyncio.run(several(f"user-{number}"))


def of_the_host(url: str) -> Callable[[int], None]:
    """The host's own engines: refused in the child, until it has disposed of the pool."""
    plain(url)(0)
    host, bridge = sa.create_engine(url), create_async_engine(async_url(sa.make_url(url)))
    chats, waiting = ChatEngine(host), AsyncChatEngine(bridge)
    chats.status("web", "user-0")
    parent = os.getpid()

    def ask(number: int) -> None:
        if os.getpid() == parent:
            return
        for refused in (
            lambda: chats.status("web", "user-0"),
            lambda: asyncio.run(waiting.verify()),
        ):
            with pytest.raises(ForkedEngine, match=r"dispose\(close=False\)"):
                refused()
        host.dispose(close=False)
        for _ in range(2):
            chat = chats.status("web", f"user-{number}")
            assert chat is not None
            assert chat.user_id == f"user-{number}"

    return ask


def half_read(url: str) -> Callable[[int], None]:
    """A generator of the parent, which holds a connection: the child can neither use nor end it."""
    plain(url)
    pytest.MonkeyPatch().setattr(unit_of_work, "_PORTION", 1)  # then the cursor is open
    chats = ChatEngine(url)
    expected = sum(1 for _ in chats.stories())
    rows = chats.stories()
    next(rows)
    parent = os.getpid()

    def ask(number: int) -> None:
        if os.getpid() == parent:
            assert sum(1 for _ in rows) == expected - 1
            return
        match number:
            case 1:
                with pytest.raises(ForkedEngine, match="connect in the new process"):
                    next(rows)
            case 2:
                rows.close()
        assert sum(1 for _ in chats.stories()) == expected

    return ask


def handed_in(url: str) -> Callable[[int], None]:
    """A connection of the host's, which an engine has seen, or whose engine it knows."""
    plain(url)(0)
    chats, host = ChatEngine(url), sa.create_engine(url)
    ChatEngine(known := sa.create_engine(url))
    connections = [host.connect(), known.connect()]
    chats.status("web", "user-0", connection=connections[0])
    parent = os.getpid()

    def ask(_: int) -> None:
        for connection in connections:
            if os.getpid() == parent:
                assert chats.status("web", "user-0", connection=connection) is not None
                connection.close()
                continue
            for refused in (
                lambda: chats.status("web", "user-0", connection=connection),  # noqa: B023 - called at once
                lambda: chats.handle("inbound", {}, connection=connection),  # noqa: B023 - likewise
            ):
                with pytest.raises(ForkedEngine, match="connect in the new process"):
                    refused()

    return ask


DOORS = {
    "plain": plain,
    "async": asynchronous,
    "host": of_the_host,
    "half-read": half_read,
    "handed-in": handed_in,
}


def by_os(ask: Callable[[int], None], number: int) -> Callable[[], int]:
    child = os.fork()
    if not child:
        status = 1
        try:
            ask(number)
            status = 0
        finally:
            os._exit(status)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def by_multiprocessing(ask: Callable[[int], None], number: int) -> Callable[[], int | None]:
    child = multiprocessing.get_context("fork").Process(target=ask, args=(number,))
    child.start()

    def wait() -> int | None:
        child.join()
        return child.exitcode

    return wait


STARTS = {"os": by_os, "multiprocessing": by_multiprocessing}


def main(url: str, door: str, start: str = "os") -> None:
    ask = DOORS[door](url)
    assert threading.active_count() == 1 or door != "plain"
    ends = [STARTS[start](ask, number) for number in range(1, PROCESSES + 1)]
    if door != "async":  # there the loop of the first question is over
        ask(0)
    assert [end() for end in ends] == [0] * PROCESSES


if __name__ == "__main__":
    main(*sys.argv[1:])
