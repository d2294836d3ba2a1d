"""One ``AsyncChatEngine``, and several event loops."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import AsyncChatEngine, WrongEventLoop
from tests.databases import async_url
from tests.support import PLATFORM, USER, text


@pytest.fixture
def url(kind_url: sa.URL) -> sa.URL:
    return async_url(kind_url)


def calls(chats: AsyncChatEngine) -> list[Callable[[], object]]:
    async def read_all() -> None:
        assert [row async for row in chats.stories()]

    return [
        lambda: asyncio.run(chats.handle("inbound", text())),
        lambda: asyncio.run(chats.status(PLATFORM, USER)),
        lambda: asyncio.run(chats.verify()),
        lambda: asyncio.run(read_all()),
    ]


def test_another_loop_is_refused_until_the_engine_is_closed(url: sa.URL) -> None:
    chats = AsyncChatEngine(url)

    async def one_day() -> int:
        await chats.handle("inbound", text())
        rows = (await chats.verify()).rows
        await chats.close()
        return rows

    async def first() -> None:
        await chats.handle("inbound", text())
        with ThreadPoolExecutor(1) as thread:  # at the same time
            for call in calls(chats):
                with pytest.raises(WrongEventLoop, match="close it at the end of each"):
                    await asyncio.wrap_future(thread.submit(call))
        await chats.close()

    asyncio.run(first())
    assert [asyncio.run(one_day()) for _ in range(2)] == [2, 3]


def test_nor_is_it_used_when_the_first_loop_is_over(url: sa.URL) -> None:
    host = create_async_engine(url)
    chats = AsyncChatEngine(host)
    with asyncio.Runner() as first:
        first.run(chats.handle("inbound", text()))
        for call in calls(chats):
            with ThreadPoolExecutor(1) as thread, pytest.raises(WrongEventLoop):
                thread.submit(call).result()
        first.run(host.dispose())
    with asyncio.Runner() as second:
        assert second.run(chats.verify()).rows == 1
        second.run(host.dispose())


def test_a_host_that_keeps_no_connections_may_have_any_number(url: sa.URL) -> None:
    chats = AsyncChatEngine(create_async_engine(url, poolclass=sa.NullPool))
    asyncio.run(chats.check_schema())  # SQLAlchemy can't connect for the first time in several
    everybody = threading.Barrier(4)

    def talk(user: str) -> None:
        async def some() -> None:
            for _ in range(10):
                await chats.handle("inbound", text(user=user))

        everybody.wait()
        asyncio.run(some())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(talk, "abcd"))
    assert asyncio.run(chats.verify()).rows == 40
