"""Asks from forked processes, as under ``gunicorn --preload``: ``python -m tests.forked URL DOOR``.

The engine is made, and used, before the fork. Each process asks for the chats of users of its own,
all at once, and so does the parent; a connection that two of them shared would mix up the answers.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import AsyncChatEngine, ChatEngine, ForkedEngine
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


DOORS = {"plain": plain, "async": asynchronous, "host": of_the_host}


def main(url: str, door: str) -> None:
    ask = DOORS[door](url)
    assert threading.active_count() == 1 or door != "plain"
    children = []
    for number in range(1, PROCESSES + 1):
        child = os.fork()
        if not child:
            status = 1
            try:
                ask(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    if door != "async":  # there the loop of the first question is over
        ask(0)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
