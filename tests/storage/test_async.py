"""The door for asyncio: what a host does with it, in its own transactions and beside them.

Long, because the host's connections, its hooks and the engine itself are each looked at again; what
both doors promise is in the suite that runs over both. Cancellation has a module of its own.
"""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from sermo_fsm import AsyncChatEngine, ChatEngine, HistoryRow, InvalidArgument, MessageConflict
from tests.databases import a_database, async_url
from tests.hosting import Base, Boom, Order, order, watch
from tests.support import ANDERS, PLATFORM, USER, at, text


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that runs on an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **options: Any) -> None:
        async def story() -> None:
            await test(*args, **options)

        asyncio.run(story())

    return run


@pytest.fixture
def url(kind_url: sa.URL) -> sa.URL:
    return async_url(kind_url)


@asynccontextmanager
async def hosting(url: sa.URL) -> AsyncIterator[tuple[AsyncEngine, AsyncChatEngine]]:
    """The host's own engine, as a newcomer makes it, and ours on it."""
    host = create_async_engine(url)
    try:
        async with host.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield host, AsyncChatEngine(host)
    finally:
        await host.dispose()


async def in_the_database(host: AsyncEngine) -> tuple[int, int]:
    """Rows of the host's, and rows of ours."""
    async with host.connect() as connection:
        orders = await connection.scalar(sa.text("SELECT count(*) FROM orders"))
        return orders, await connection.scalar(sa.text("SELECT count(*) FROM sermo_history"))


class TestTransaction:
    @awaited
    async def test_the_hosts_commit_is_ours(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            async with host.begin() as connection:
                await connection.execute(order(1))
                await chats.handle("inbound", text(), connection=connection)
                assert connection.in_transaction()
                assert await in_the_database(host) == (0, 0)

            assert await in_the_database(host) == (1, 1)

    @awaited
    async def test_the_hosts_rollback_leaves_no_trace(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            async with host.connect() as connection:
                await connection.execute(order(1))
                await chats.handle("inbound", text(), connection=connection)
                await connection.rollback()
                await chats.handle("inbound", text(), connection=connection)

            assert await in_the_database(host) == (0, 0)
            assert await chats.status(PLATFORM, USER) is None

    @awaited
    async def test_a_savepoint_opened_first_does_not_outlive_the_rollback(
        self, url: sa.URL
    ) -> None:
        async with hosting(url) as (host, chats):
            async with host.connect() as connection:
                async with connection.begin_nested():
                    await chats.handle("inbound", text(), connection=connection)
                    await connection.execute(order(1))
                await connection.rollback()

            assert await in_the_database(host) == (0, 0)

    @awaited
    async def test_a_refused_event_leaves_the_hosts_work_alone(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            async with host.begin() as connection:
                await connection.execute(order(1))
                for words in ("ett", "två"):
                    with suppress(MessageConflict):
                        await chats.handle(
                            "inbound", text(words), message_id="m", connection=connection
                        )
                await connection.execute(order(2))

            assert await in_the_database(host) == (2, 1)

    @awaited
    async def test_a_call_of_ours_is_a_savepoint_and_nothing_else(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            seen = watch(host.sync_engine)
            async with host.connect() as connection:
                await connection.execute(order(1))
                seen.clear()
                await chats.handle("inbound", text(), connection=connection)
                events = [word for word in seen if word.islower()]
                assert events == ["savepoint", "release_savepoint"]
                assert {word for word in seen if word.isupper()} <= {"SAVEPOINT", "RELEASE"}
                seen.clear()
                await chats.status(PLATFORM, USER, connection=connection)
                assert seen == []

    @awaited
    async def test_questions_see_what_the_transaction_has_done(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats), host.connect() as connection:
            receipts = await chats.handle_many(
                [text("ett"), text("två")], direction="inbound", connection=connection
            )
            session = receipts[-1].after
            assert session is not None
            assert await chats.status(PLATFORM, USER, connection=connection) == session
            assert await chats.session(session.session_id, connection=connection) == session
            assert [one async for one in chats.sessions(connection=connection)] == [session]
            rows = [
                row.seq async for row in chats.history(session.session_id, connection=connection)
            ]
            assert rows == [1, 2]
            assert await chats.counts(connection=connection) == {PLATFORM: {"bot": 1}}
            assert await chats.status(PLATFORM, USER) is None


class TestSession:
    @awaited
    async def test_the_hosts_objects_and_our_rows_are_one_unit_of_work(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            async with AsyncSession(host) as session:
                session.add(Order(id=1))
                await chats.handle("inbound", text(), connection=session)
                session.add(Order(id=2))
                await session.commit()
                session.add(Order(id=3))
                await chats.handle("inbound", text(), connection=session)
                await session.rollback()

            assert await in_the_database(host) == (2, 1)

    @awaited
    async def test_the_session_of_this_task(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            current = async_scoped_session(async_sessionmaker(host), asyncio.current_task)
            current.add(Order(id=1))
            await chats.handle("inbound", text(), connection=current)
            assert await chats.status(PLATFORM, USER, connection=current) is not None
            await current.commit()
            await current.remove()

            assert await in_the_database(host) == (1, 1)

    @awaited
    async def test_savepoints_of_the_session(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            told: list[str | None] = []
            chats.after_commit(lambda row: told.append(row.user_id))
            async with AsyncSession(host) as session, session.begin():
                async with session.begin_nested():
                    await chats.handle("inbound", text(user="a"), connection=session)
                savepoint = await session.begin_nested()
                await chats.handle("inbound", text(user="b"), connection=session)
                await savepoint.rollback()
                assert told == []

            assert told == ["a"]
            assert await in_the_database(host) == (0, 1)


class TestWhatIsHandedIn:
    @awaited
    async def test_what_is_no_asynchronous_connection_is_refused(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            async with host.connect() as connection:
                plain = connection.sync_connection
                for wrong in (
                    host,
                    host.connect(),
                    plain,
                    Session(plain),
                    async_sessionmaker(host),
                ):
                    with pytest.raises(InvalidArgument, match="AsyncConnection or AsyncSession"):
                        await chats.handle("inbound", text(), connection=wrong)  # type: ignore[arg-type]  # the point
                    with pytest.raises(InvalidArgument, match="AsyncConnection or AsyncSession"):
                        await chats.status(PLATFORM, USER, connection=wrong)  # type: ignore[arg-type]  # likewise

            assert await in_the_database(host) == (0, 0)

    @awaited
    async def test_a_session_that_is_bound_to_nothing_is_refused_in_words(
        self, url: sa.URL
    ) -> None:
        async with hosting(url) as (_, chats), AsyncSession() as session:
            with pytest.raises(InvalidArgument, match="bound to one engine"):
                await chats.handle("inbound", text(), connection=session)
            with pytest.raises(InvalidArgument, match="bound to one engine"):
                await chats.status(PLATFORM, USER, connection=session)

    @awaited
    async def test_a_connection_in_autocommit_is_in_no_transaction(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            autocommit = host.execution_options(isolation_level="AUTOCOMMIT")
            async with autocommit.connect() as connection:
                with pytest.raises(InvalidArgument, match="AUTOCOMMIT"):
                    await chats.handle("inbound", text(), connection=connection)

            assert await in_the_database(host) == (0, 0)

    @awaited
    async def test_an_engine_in_autocommit_is_good_for_transactions_of_ours(
        self, url: sa.URL
    ) -> None:
        async with hosting(url) as (host, _):
            engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
            chats = AsyncChatEngine(engine)

            @chats.within_transaction
            async def refuse(_: HistoryRow, __: AsyncConnection) -> None:
                raise Boom

            with pytest.raises(Boom):
                await chats.handle("inbound", text())
            await engine.dispose()

            assert await in_the_database(host) == (0, 0)

    @pytest.mark.service
    def test_a_connection_to_another_kind_of_database_is_refused(self, tmp_path: Path) -> None:
        async def story(ours: sa.URL, theirs: sa.URL) -> None:
            stranger = create_async_engine(theirs)
            async with AsyncChatEngine(ours) as chats, stranger.connect() as connection:
                with pytest.raises(InvalidArgument, match=theirs.get_backend_name()):
                    await chats.handle("inbound", text(), connection=connection)
            await stranger.dispose()

        with a_database("sqlite", tmp_path) as one, a_database("postgresql", tmp_path) as two:
            asyncio.run(story(async_url(one), async_url(two)))
            asyncio.run(story(async_url(two), async_url(one)))


class TestWithinTransaction:
    @awaited
    async def test_is_shown_the_connection_and_writes_in_the_same_transaction(
        self, url: sa.URL
    ) -> None:
        async with hosting(url) as (host, chats):
            shown: list[AsyncConnection] = []

            @chats.within_transaction
            async def note(row: HistoryRow, connection: AsyncConnection) -> None:
                shown.append(connection)
                await connection.execute(order(row.id or 0))

            @chats.within_transaction
            def look(_: HistoryRow, connection: AsyncConnection) -> None:
                shown.append(connection)

            await chats.handle("inbound", text())
            async with host.connect() as connection:
                await chats.handle("inbound", text(), connection=connection)
                assert shown[2:] == [connection, connection]
                await connection.rollback()

            assert {type(connection) for connection in shown} == {AsyncConnection}
            assert await in_the_database(host) == (1, 1)

    @pytest.mark.parametrize("how", ["plain", "coroutine"])
    @awaited
    async def test_raising_undoes_the_event_and_not_the_hosts_work(
        self, url: sa.URL, how: str
    ) -> None:
        async with hosting(url) as (host, chats):

            def refuse(_: HistoryRow, __: AsyncConnection) -> None:
                raise Boom

            async def write_and_refuse(row: HistoryRow, connection: AsyncConnection) -> None:
                await connection.execute(order(row.id or 0))
                raise Boom

            chats.within_transaction(refuse if how == "plain" else write_and_refuse)

            with pytest.raises(Boom):
                await chats.handle("inbound", text())
            assert await in_the_database(host) == (0, 0)
            async with host.begin() as connection:
                await connection.execute(order(9))
                with pytest.raises(Boom):
                    await chats.handle("inbound", text(), connection=connection)
            assert await in_the_database(host) == (1, 0)


async def by_begin(host: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    async with host.begin() as connection:
        await work(connection)


async def by_commit(host: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    async with host.connect() as connection:
        await work(connection)
        await connection.commit()


async def by_a_session(
    host: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[None]]
) -> None:
    async with AsyncSession(host) as session:
        await work(await session.connection())
        await session.commit()


class TestAfterCommit:
    @pytest.mark.parametrize("way", [by_begin, by_commit, by_a_session])
    @awaited
    async def test_is_awaited_once_after_the_outermost_commit(
        self, url: sa.URL, way: Callable[..., Awaitable[None]]
    ) -> None:
        async with hosting(url) as (host, chats):
            told: list[tuple[str | None, tuple[int, int]]] = []

            @chats.after_commit
            async def tell(row: HistoryRow) -> None:
                await asyncio.sleep(0)
                told.append((row.user_id, await in_the_database(host)))

            plain: list[str | None] = []
            chats.after_commit(lambda row: plain.append(row.user_id))

            async def work(connection: AsyncConnection) -> None:
                async with connection.begin_nested():
                    await chats.handle("inbound", text(user="a"), connection=connection)
                savepoint = await connection.begin_nested()
                await chats.handle("inbound", text(user="b"), connection=connection)
                await savepoint.rollback()
                await chats.handle("inbound", text(user="c"), connection=connection)
                assert not told
                assert not plain

            await way(host, work)
            await way(host, lambda connection: connection.execute(order(1)))

            assert told == [("a", (0, 2)), ("c", (0, 2))]
            assert plain == ["a", "c"]

    @awaited
    async def test_forgets_what_was_rolled_back(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):
            told: list[str | None] = []

            @chats.after_commit
            async def tell(row: HistoryRow) -> None:
                told.append(row.user_id)

            async with host.connect() as connection:
                await chats.handle("inbound", text(user="a"), connection=connection)
                await connection.rollback()
                await chats.handle("inbound", text(user="b"), connection=connection)
                await connection.commit()

            assert told == ["b"]

    @awaited
    async def test_a_hook_that_fails_is_logged_and_stops_nobody(
        self, url: sa.URL, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with hosting(url) as (host, chats):

            @chats.after_commit
            async def fail(_: HistoryRow) -> None:
                raise Boom

            told: list[str | None] = []
            chats.after_commit(lambda row: told.append(row.user_id))

            with caplog.at_level(logging.ERROR, "sermo_fsm"):
                await chats.handle("inbound", text(user="a"))
                async with host.begin() as connection:
                    await chats.handle("inbound", text(user="b"), connection=connection)

            assert told == ["a", "b"]
            assert [record.message for record in caplog.records] == [
                "an after_commit hook failed",
                "an after_commit hook failed",
            ]

    @awaited
    async def test_a_hook_may_hand_in_events_itself(self, url: sa.URL) -> None:
        async with hosting(url) as (host, chats):

            @chats.after_commit
            async def answer(row: HistoryRow) -> None:
                if row.trigger == "customer_text":
                    answer = text("Svar", row.user_id or "", agent=ANDERS)
                    await chats.handle("outbound", answer)

            await chats.handle("inbound", text(user="a"))
            async with host.begin() as connection:
                await chats.handle("inbound", text(user="b"), connection=connection)

            for user in "ab":
                status = await chats.status(PLATFORM, user)
                assert status is not None
                assert (status.state, status.rows) == ("with_agent", 2)


async def coroutine(*_: object) -> None:
    pass


def test_a_coroutine_hook_is_refused_by_the_plain_door() -> None:
    with ChatEngine("sqlite://") as chats:
        for register in (chats.within_transaction, chats.after_commit):
            with pytest.raises(InvalidArgument, match="AsyncChatEngine takes coroutine functions"):
                register(coroutine)


def test_so_is_one_that_does_not_look_like_one(caplog: pytest.LogCaptureFixture) -> None:
    wanted = "AsyncChatEngine takes coroutine functions"
    with ChatEngine("sqlite://") as chats, chats._engine.connect() as connection:
        chats.migrate()
        chats.after_commit(lambda _: coroutine())
        chats.handle("inbound", text())
        chats.handle("inbound", text(), connection=connection)
        connection.commit()
        assert caplog.text.count(wanted) == 2
        chats.within_transaction(lambda *_: coroutine())
        with pytest.raises(InvalidArgument, match=wanted):
            chats.handle("inbound", text())
        with pytest.raises(InvalidArgument, match=wanted):
            chats.handle("inbound", text(), connection=connection)
        connection.rollback()

        assert chats.verify().rows == 2


class TestEngine:
    @awaited
    async def test_many_tasks_share_few_connections(self, url: sa.URL) -> None:
        engine = create_async_engine(url, pool_size=3, max_overflow=0)
        chats = AsyncChatEngine(engine, attempts=50)
        users = [f"u-{number}" for number in range(5)]

        receipts = await asyncio.gather(
            *(
                chats.handle("inbound", text(f"{number}", user=users[number % 5]))
                for number in range(50)
            )
        )

        result = await chats.verify()
        sessions = [session async for session in chats.sessions()]
        await engine.dispose()
        assert len({row.id for receipt in receipts for row in receipt.rows}) == 50
        assert (result.ok, result.sessions, result.rows) == (True, 5, 50)
        assert {session.rows for session in sessions} == {10}

    @awaited
    async def test_it_closes_its_own_engine_and_leaves_the_hosts_open(self, url: sa.URL) -> None:
        async with hosting(url) as (host, _):
            async with AsyncChatEngine(url) as chats:
                await chats.handle("inbound", text())
                ours: Any = chats._engine.pool
                assert ours.checkedin() > 0
            closed: Any = chats._engine.pool
            assert closed.checkedin() == 0

            async with AsyncChatEngine(host) as chats:
                await chats.handle("inbound", text())
            theirs: Any = host.pool
            assert theirs.checkedin() > 0
            assert await in_the_database(host) == (0, 2)

    @awaited
    async def test_a_list_that_is_left_early_holds_no_connection(self, url: sa.URL) -> None:
        async with AsyncChatEngine(url) as chats:
            await chats.handle_many(
                [text(user=f"u-{number}") for number in range(3)], direction="inbound"
            )
            pool: Any = chats._engine.pool
            listed = chats.sessions()
            assert (await anext(listed)).user_id == "u-2"
            assert pool.checkedout() == 0
            await listed.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(listed)
            async for _ in chats.sessions(limit=2):
                break
            assert pool.checkedout() == 0

    def test_one_event_loop_after_the_other(self, url: sa.URL) -> None:
        """A connection belongs to its loop, as SQLAlchemy has it: close at the end of each."""
        chats = AsyncChatEngine(url)

        async def hand_in(seconds: float) -> str:
            async with chats:
                receipt = await chats.handle("inbound", text(), received_at=at(seconds))
            assert receipt.after is not None
            return receipt.after.session_id

        assert asyncio.run(hand_in(0)) == asyncio.run(hand_in(1))


class TestWhatIsRefusedInWords:
    def test_an_engine_of_the_other_kind(self) -> None:
        engine: Any = sa.create_engine("sqlite://")
        with pytest.raises(InvalidArgument, match="database"):
            AsyncChatEngine(engine)
        other: Any = create_async_engine("sqlite+aiosqlite://")
        with pytest.raises(InvalidArgument, match="database"):
            ChatEngine(other)

    def test_a_driver_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aiosqlite", None)
        with pytest.raises(InvalidArgument, match=r"no module aiosqlite; pip .*\[async\]"):
            AsyncChatEngine("sqlite+aiosqlite://")

    def test_an_installation_without_the_extra(self) -> None:
        program = """
import sys
sys.modules["greenlet"] = None
import sermo_fsm
try:
    from sermo_fsm import AsyncChatEngine
    AsyncChatEngine("sqlite+aiosqlite://")
except Exception as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "pip install 'sermo-fsm[async]'" in done.stdout
