"""A host's database in memory: its pool lends one connection of the driver to all who ask."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sermo_fsm import AsyncChatEngine, ChatEngine, HistoryRow, StoreBusy, StoreError
from sermo_fsm.engine import one_connection
from tests.support import PLATFORM, USER, text

USERS = [f"user-{number}" for number in range(8)]
ROUNDS = 25


def in_memory() -> sa.Engine:
    """As FastAPI's and SQLAlchemy's pages make one for tests."""
    return sa.create_engine(
        "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
    )


@pytest.fixture
def host() -> Iterator[sa.Engine]:
    engine = in_memory()
    ChatEngine(engine).migrate()
    yield engine
    engine.dispose()


@asynccontextmanager
async def async_host() -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine("sqlite+aiosqlite://")
    assert isinstance(engine.pool, sa.StaticPool)
    await AsyncChatEngine(engine).migrate()
    yield engine
    await engine.dispose()


def test_what_threads_hand_in_at_once_is_there(host: sa.Engine) -> None:
    def talk(user: str) -> None:
        chats = ChatEngine(host, attempts=1)  # one of several on the same engine
        for number in range(1, ROUNDS + 1):
            chats.handle("inbound", text(user=user))
            status = chats.status(PLATFORM, user)
            assert status is not None
            assert (status.user_id, status.rows) == (user, number)

    with ThreadPoolExecutor(len(USERS)) as threads:
        list(threads.map(talk, USERS))

    found = ChatEngine(host).verify()
    assert (found.ok, found.rows) == (True, len(USERS) * ROUNDS)


def test_what_tasks_hand_in_at_once_is_there() -> None:
    async def talk(host: AsyncEngine, user: str) -> None:
        chats = AsyncChatEngine(host, attempts=1)
        for number in range(1, ROUNDS + 1):
            await chats.handle("inbound", text(user=user))
            status = await chats.status(PLATFORM, user)
            assert status is not None
            assert (status.user_id, status.rows) == (user, number)

    async def run() -> None:
        async with async_host() as host:
            await asyncio.gather(*[talk(host, user) for user in USERS])
            found = await AsyncChatEngine(host).verify()
            assert (found.ok, found.rows) == (True, len(USERS) * ROUNDS)

    asyncio.run(run())


NESTED = "from within another one"


def test_a_call_within_a_call_is_refused(host: sa.Engine) -> None:
    chats = ChatEngine(host)

    @chats.within_transaction
    def ask(_: HistoryRow, __: sa.Connection) -> None:
        with pytest.raises(StoreError, match=NESTED):
            chats.status(PLATFORM, USER)

    chats.handle("inbound", text())
    for _ in chats.stories():
        with pytest.raises(StoreError, match=NESTED):
            chats.handle("inbound", text())
    assert chats.verify().rows == 1


def test_a_call_within_a_call_is_refused_of_a_task_too() -> None:
    async def run() -> None:
        async with async_host() as host:
            chats = AsyncChatEngine(host)

            @chats.within_transaction
            async def ask(_: HistoryRow, __: AsyncConnection) -> None:
                with pytest.raises(StoreError, match=NESTED):
                    await asyncio.create_task(chats.status(PLATFORM, USER))

            await chats.handle("inbound", text())
            async for _ in chats.stories():
                with pytest.raises(StoreError, match=NESTED):
                    await chats.handle("inbound", text())
            assert (await chats.verify()).rows == 1

    asyncio.run(run())


def test_nobody_waits_for_ever(host: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_connection, "_PATIENCE", 0.01)
    chats = ChatEngine(host, attempts=1)
    chats.handle("inbound", text())
    stories = chats.stories()
    next(stories)
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(StoreBusy, match="only connection of the pool"),
    ):
        thread.submit(chats.status, PLATFORM, USER).result()
    with ThreadPoolExecutor(1) as thread:  # may end them in another thread than they began in
        thread.submit(stories.close).result()
    assert chats.verify().rows == 1


def test_no_task_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_connection, "_PATIENCE", 0.01)

    async def run() -> None:
        async with async_host() as host:
            chats = AsyncChatEngine(host, attempts=1)
            await chats.handle("inbound", text())
            elsewhere = Context()
            stories = chats.stories()
            await anext(stories)
            asking = chats.status(PLATFORM, USER)
            with pytest.raises(StoreBusy, match="only connection of the pool"):
                await asyncio.create_task(asking, context=elsewhere)
            await stories.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("pool", [sa.StaticPool, sa.SingletonThreadPool])
def test_the_hosts_own_transaction_survives_what_is_refused(pool: type[sa.Pool]) -> None:
    host = sa.create_engine("sqlite://", poolclass=pool)
    chats = ChatEngine(host)
    chats.migrate()
    told: list[str | None] = []
    chats.after_commit(lambda row: told.append(row.user_id))
    with host.begin() as connection:
        chats.handle("inbound", text(), connection=connection)
        for ask in (
            lambda: chats.handle("inbound", text()),
            lambda: chats.status(PLATFORM, USER),
            chats.verify,
        ):
            with pytest.raises(StoreError, match="hand in that connection"):
                ask()
        assert told == []
    assert told == [USER]
    assert chats.verify().rows == 1
    host.dispose()


def test_a_host_that_breaks_in_leaves_no_receipt(host: sa.Engine) -> None:
    """The pool rolls back, when the host gives back the connection that it was refused."""
    chats = ChatEngine(host)

    @sa_event.listens_for(host, "after_cursor_execute")
    def break_in(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT INTO sermo_session") and not broken_in:
            broken_in.append(True)
            with pytest.raises(StoreError, match="hand in"), host.begin():
                pass

    broken_in: list[bool] = []
    with pytest.raises(StoreError, match="rolled back by somebody else; nothing is written"):
        chats.handle("inbound", text())
    assert broken_in
    assert chats.verify().rows == 0
    chats.handle("inbound", text())
    assert chats.verify().rows == 1
