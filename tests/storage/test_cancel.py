"""Cancellation: whatever is cancelled, at whichever moment, has either happened or not.

The moments are counted: every time that any task of the event loop is about to wait for something.
A test cancels at the first of them, then at the second, until the call is through before its turn.
"""

import asyncio
import gc
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from sermo_fsm import AsyncChatEngine, HistoryRow
from sermo_fsm.analysis import full_scan as scan
from sermo_fsm.engine import unit_of_work
from tests.databases import DOORS, async_url
from tests.faults import story
from tests.support import PLATFORM, also_proved

# SQLAlchemy drops connections of aiosqlite whose task was cancelled; since Python 3.13 sqlite3
# complains of a connection that nobody closed. Older versions say nothing of it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <sqlite3.Connection:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def garbage() -> Iterator[None]:
    """What a test dropped is found missing in that test, and not in one of another file."""
    yield
    gc.collect()


_IDS: Final = (1, 2, 4, 5, 6)
"""Of the messages of a story that leave a row."""


@pytest.fixture(
    params=[
        door if door.startswith("sqlite") else pytest.param(door, marks=pytest.mark.service)
        for door in DOORS
        if door.endswith("-async")
    ]
)
def door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Moments:
    """Counts the moments at which a task of the loop begins to wait, and does something at some."""

    def __init__(self) -> None:
        self.passed = 0
        self._at: Callable[[int], object] | None = None

    def begin(self, at: Callable[[int], object]) -> None:
        """From now on, call *at* with the number of each moment."""
        self.passed = 0
        self._at = at

    def end(self) -> None:
        self._at = None

    def task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """A task whose moments count."""
        return asyncio.Task(self._run(coroutine), loop=loop, **options)

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Since Python 3.12 a task is made of nothing but a coroutine."""
        return await self._counted(coroutine)

    @types.coroutine
    def _counted(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        going_on = partial(coroutine.send, None)
        while True:
            try:
                waited_for = going_on()
            except StopIteration as stop:
                return stop.value
            if self._at is not None:
                self.passed += 1
                self._at(self.passed)
            try:
                going_on = partial(coroutine.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                going_on = partial(coroutine.throw, error)


class Bench:
    """An engine, what it does, what its hooks heard, and what the loop complained of."""

    def __init__(self, chats: AsyncChatEngine, moments: Moments) -> None:
        self.chats = chats
        self.moments = moments
        self.heard: list[HistoryRow] = []
        self.complaints: list[dict[str, Any]] = []
        self.began_to_commit = False
        chats.after_commit(self.hear)
        self.watch(chats._engine)

    def watch(self, engine: AsyncEngine) -> None:
        """Notice when a commit begins."""

        def commit(_: sa.Connection) -> None:
            self.began_to_commit = True

        sa_event.listen(engine.sync_engine, "commit", commit)

    def begin(self, at: Callable[[int], object]) -> None:
        """From now on, call *at* with the number of each moment."""
        self.began_to_commit = False
        self.moments.begin(at)

    def end(self) -> None:
        self.moments.end()

    async def hear(self, row: HistoryRow) -> None:
        await asyncio.sleep(0)
        self.heard.append(row)

    @property
    def pool(self) -> Any:
        return self.chats._engine.pool

    async def written(self, user: str) -> list[str | None]:
        """The message ids of this user's rows, in order."""
        found = [
            [row.message_id async for row in self.chats.history(session.session_id)]
            async for session in self.chats.sessions(user=user)
        ]
        return [message for session in reversed(found) for message in session]

    async def settled(self) -> None:
        """Nothing of a cancelled call goes on, no connection is kept, nobody complains."""
        async with asyncio.timeout(30):
            while len(asyncio.all_tasks()) > 1 or self.pool.checkedout():  # noqa: ASYNC110 - polls
                await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        assert self.complaints == []

    async def happened(self, user: str, ids: list[str]) -> bool:
        """Whether all of it has happened; that it was all or nothing."""
        await self.settled()
        found = await self.written(user)
        heard = [row.message_id for row in self.heard if row.user_id == user]
        assert found == (ids if found else [])
        assert heard == (ids if found else [])
        return bool(found)


def run(url: sa.URL, test: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    """Run it on a loop of its own, with an engine of its own."""
    moments = Moments()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with AsyncChatEngine(async_url(url), **options) as chats:
            await chats.check_schema()
            bench = Bench(chats, moments)
            loop.set_exception_handler(lambda _, context: bench.complaints.append(context))
            loop.set_task_factory(moments.task)
            await test(bench)
            moments.end()
            await bench.settled()
            assert (await chats.verify()).ok

    gc.collect()
    gc.freeze()  # collecting what the tests leave takes a while otherwise
    asyncio.run(main())
    gc.unfreeze()


def once(bench: Bench, number: int, task: "asyncio.Task[Any]") -> None:
    """Cancel at this moment."""
    bench.begin(lambda passed: task.cancel() if passed == number else None)


def twice(bench: Bench, number: int, task: "asyncio.Task[Any]") -> None:
    """Cancel at this moment and at the next."""
    bench.begin(lambda passed: task.cancel() if passed - number in (0, 1) else None)


def relentlessly(bench: Bench, number: int, task: "asyncio.Task[Any]") -> None:
    """Cancel at this moment and at all that follow."""
    bench.begin(lambda passed: task.cancel() if passed >= number else None)


Way = Callable[[Bench, int, "asyncio.Task[Any]"], None]


async def cancelled(
    bench: Bench, number: int, call: Callable[[], Coroutine[Any, Any, Any]], way: Way = once
) -> bool:
    """Call it, and cancel it at the n-th moment; whether it was through before."""
    task: asyncio.Task[Any] = asyncio.create_task(call())
    way(bench, number, task)
    with suppress(asyncio.CancelledError):
        await task
    through = bench.moments.passed < number
    bench.end()
    assert through is not task.cancelled()
    return through


@pytest.mark.parametrize("way", [once, *also_proved(twice, relentlessly)])
@pytest.mark.parametrize("events", [1, 6], ids=["one", "batch"])
def test_what_is_cancelled_has_happened_or_has_not(door_url: sa.URL, events: int, way: Way) -> None:
    async def test(bench: Bench) -> None:
        through, number = False, 0
        seen = set()
        while not through:
            number += 1
            user = f"user-{number}"
            lines = story(user)[:events]
            ids = [f"{user}-{which}" for which in _IDS if which <= events]
            through = await cancelled(bench, number, partial(bench.chats.handle_many, lines), way)
            happened = await bench.happened(user, ids)
            # Once it begins to commit it is seen through; until then it is taken back.
            assert happened is bench.began_to_commit
            seen.add((through, happened))
            # What was cancelled can be handed in again.
            receipts = await bench.chats.handle_many(lines)
            assert (receipts[0].outcome == "duplicate") is happened
            assert await bench.happened(user, ids)
        assert seen == {(False, False), (False, True), (True, True)}

    run(door_url, test)


def test_a_deadline_is_a_cancellation(door_url: sa.URL) -> None:
    async def test(bench: Bench) -> None:
        in_time, number = False, 0
        seen = set()
        while not in_time:
            number += 1
            user = f"user-{number}"

            async def call(number: int = number, user: str = user) -> bool:
                async with asyncio.timeout(None) as deadline:
                    bench.begin(lambda passed: deadline.reschedule(0) if passed == number else None)
                    await bench.chats.handle_many(story(user))
                return not deadline.expired()

            try:
                in_time = await call()
            except TimeoutError:
                in_time = False
            bench.end()
            happened = await bench.happened(user, [f"{user}-{which}" for which in _IDS])
            assert happened is bench.began_to_commit
            seen.add((in_time, happened))
        assert (False, False) in seen
        assert (True, True) in seen

    run(door_url, test)


def test_a_sweep_that_is_cancelled_has_happened_or_has_not(door_url: sa.URL) -> None:
    async def test(bench: Bench) -> None:
        through, number = False, 0
        seen = set()
        while not through:
            number += 1
            user = f"user-{number}"
            await bench.chats.handle_many(story(user)[:1])
            heard = len(bench.heard)
            through = await cancelled(bench, number, bench.chats.sweep)
            await bench.settled()
            session = await bench.chats.status(PLATFORM, user)
            assert session is not None
            assert session.live is not bench.began_to_commit
            assert len(bench.heard) == heard + bench.began_to_commit
            seen.add((through, session.live))
            await bench.chats.sweep()
        assert seen == {(False, True), (False, False), (True, False)}

    run(door_url, test)


@pytest.mark.parametrize("way", [once, *also_proved(twice, relentlessly)])
def test_a_question_that_is_cancelled_keeps_no_connection(door_url: sa.URL, way: Way) -> None:
    async def test(bench: Bench) -> None:
        await bench.chats.handle_many(story("anna"))

        async def ask() -> None:
            assert await bench.chats.status(PLATFORM, "anna") is not None
            assert [session async for session in bench.chats.sessions()]
            assert (await bench.chats.verify()).ok

        assert await asked(bench, ask, way) > 3

    run(door_url, test)


async def asked(bench: Bench, ask: Callable[[], Coroutine[Any, Any, Any]], way: Way) -> int:
    """Cancel it at each moment in turn; how many there are."""
    through, number = False, 0
    while not through:
        number += 1
        through = await cancelled(bench, number, ask, way)
        await bench.settled()
        assert await bench.chats.counts()
    return number


@pytest.mark.parametrize("way", [once, *also_proved(twice, relentlessly)])
def test_whoever_reads_all_and_is_cancelled_keeps_no_connection(
    door_url: sa.URL, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_ROWS", 2)
    monkeypatch.setattr(unit_of_work, "_PORTION", 2)

    async def test(bench: Bench) -> None:
        await bench.chats.handle_many(story("anna"))

        async def tell() -> None:
            told = bench.chats.stories()
            async with aclosing(told):
                assert [row.seq async for _, row in told] == [1, 2, 3, 4, 1]

        async def tell_some() -> None:
            async with aclosing(bench.chats.stories()) as told:
                assert (await anext(told))[1].seq == 1

        async def count() -> None:
            assert (await bench.chats.compare()).rows == 5
            assert (await bench.chats.traffic()).rows == 5

        for ask in (tell, tell_some, count):
            assert await asked(bench, ask, way) > 3

    run(door_url, test)


def test_a_story_that_is_dropped_gives_the_connection_back(door_url: sa.URL) -> None:
    async def test(bench: Bench) -> None:
        await bench.chats.handle_many(story("anna"))
        async for _, row in bench.chats.stories():
            assert row.seq == 1
            break  # the loop closes what nobody holds any more

    run(door_url, test)


@pytest.mark.parametrize("host_has", ["connection", *also_proved("session")])
def test_cancelled_in_the_hosts_transaction_nothing_is_written(
    door_url: sa.URL, host_has: str
) -> None:
    async def test(bench: Bench) -> None:
        host = create_async_engine(async_url(door_url))
        bench.watch(host)

        @asynccontextmanager
        async def transaction() -> AsyncIterator[AsyncConnection | AsyncSession]:
            if host_has == "session":
                async with AsyncSession(host) as session, session.begin():
                    yield session
            else:
                async with host.begin() as connection:
                    yield connection

        async def handle(user: str) -> None:
            async with transaction() as theirs:
                await bench.chats.handle_many(story(user)[:2], connection=theirs)
                await bench.chats.handle_many(story(user)[2:], connection=theirs)

        through, number = False, 0
        while not through:
            number += 1
            user = f"user-{number}"
            through = await cancelled(bench, number, partial(handle, user))
            await bench.settled()
            assert host.pool.checkedout() == 0  # type: ignore[attr-defined]  # of a QueuePool
            ids = [f"{user}-{which}" for which in _IDS]
            heard = [row.message_id for row in bench.heard if row.user_id == user]
            # The host's own commit is the host's: cancelled there, or in a hook after it, it is as
            # the database has it.
            if await bench.written(user):
                assert bench.began_to_commit
                assert heard == (ids if through else ids[: len(heard)])
            else:
                assert not through
                assert heard == []
                await handle(user)
            assert await bench.written(user) == ids
        await host.dispose()

    run(door_url, test)
