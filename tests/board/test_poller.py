"""One poller for all who watch: what it asks for, how often, when it stops. We make the time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast

import pytest

from sermo_fsm import AsyncChatEngine, Overview, StoreUnavailable
from sermo_fsm.board import poller as module
from sermo_fsm.board.poller import LISTED, Interest, Poller
from sermo_fsm.board.settings import Settings
from sermo_fsm.views.overview import DayCounts, HourCounts
from tests.support import at

WALL, WAITING, CHAT = Interest(wall=True), Interest(waiting=True), Interest(chat="c")


class Engine:
    """Answers overviews, in the time of the test."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.now = 0.0
        self.takes: Callable[[dict[str, Any]], float] = lambda _: 0.0
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    def clock(self) -> float:
        return self.now

    async def overview(self, **which: Any) -> Overview:
        self.asked.append(which)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        self.now += self.takes(which)
        if self.failure is not None:
            raise self.failure
        moment = at(self.now)
        return Overview(
            at=moment,
            target=timedelta(seconds=60),
            platforms={},
            newest_at=None,
            hour=HourCounts(moment, {}) if which["hour"] else None,
            day=DayCounts(moment, ()) if which["day"] else None,
            waiting=() if which["waiting"] else None,
            chats={},
        )


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def poller(engine: Engine) -> Poller:
    return Poller(cast("AsyncChatEngine", engine), Settings(every=1.0), engine.clock)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def done() -> None:
        await work()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "something goes on"

    asyncio.run(done())


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


class TestPages:
    def test_one_look_serves_all_who_ask_at_once(self, engine: Engine, poller: Poller) -> None:
        async def work() -> None:
            sights = await asyncio.gather(*(poller.look(WALL) for _ in range(50)))
            assert all(sight.overview is sights[0].overview for sight in sights)

        run(work)
        (asked,) = engine.asked
        assert (asked["hour"], asked["waiting"], asked["chats"]) == (True, None, frozenset())
        assert asked["day"].time() == time()  # TZ is UTC

    def test_what_is_new_is_not_looked_for_again(self, engine: Engine, poller: Poller) -> None:
        async def work() -> None:
            await poller.look(WALL)
            engine.now += 0.9
            await poller.look(WALL)
            assert len(engine.asked) == 1
            engine.now += 0.2
            await poller.look(WALL)
            assert len(engine.asked) == 2

        run(work)

    def test_who_wants_something_else_gets_it(self, engine: Engine, poller: Poller) -> None:
        async def work() -> None:
            await asyncio.gather(*map(poller.look, (WALL, WAITING, CHAT)))

        run(work)
        assert engine.asked[0]["waiting"] is None
        assert any(asked["waiting"] == LISTED for asked in engine.asked)
        assert any(asked["chats"] == {"c"} for asked in engine.asked)
        assert len(engine.asked) == 2

    def test_the_hour_and_the_day_have_a_pace_of_their_own(
        self, engine: Engine, poller: Poller
    ) -> None:
        async def work() -> None:
            for _ in range(122):
                await poller.look(WALL)
                engine.now += 1.0

        run(work)
        assert len(engine.asked) == 122
        assert sum(asked["hour"] for asked in engine.asked) == 13
        assert sum(asked["day"] is not None for asked in engine.asked) == 3
        assert poller.sight.overview is not None
        assert poller.sight.overview.hour is not None

    def test_what_takes_long_is_counted_more_seldom(self, engine: Engine, poller: Poller) -> None:
        engine.takes = lambda which: 2.0 if which["hour"] else 0.0

        async def work() -> None:
            for _ in range(100):
                await poller.look(WALL)
                engine.now += 1.0

        run(work)
        assert sum(asked["hour"] for asked in engine.asked) == 3  # a twentieth of 100 s

    def test_who_looks_at_one_chat_does_not_pay_for_the_wall(
        self, engine: Engine, poller: Poller
    ) -> None:
        async def work() -> None:
            await poller.look(CHAT)

        run(work)
        assert (engine.asked[0]["hour"], engine.asked[0]["day"]) == (False, None)


class TestFailures:
    def test_what_is_known_gets_old(
        self, engine: Engine, poller: Poller, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work() -> None:
            assert not (await poller.look(WALL)).stale
            for error in (StoreUnavailable("gone"), TimeoutError(), ZeroDivisionError()):
                engine.failure = error
                engine.now += 1.5
                assert (await poller.look(WALL)).overview is not None
            assert poller.sight.stale
            engine.failure = None
            engine.now += 1.5
            assert not (await poller.look(WALL)).stale

        run(work)
        assert (poller.polls, poller.failures) == (5, 3)
        said = [record.getMessage() for record in caplog.records]
        assert said == [
            "the database does not answer: gone",
            "the board can't read",
            "the database answers again",
        ]

    def test_before_anything_is_known(self, engine: Engine, poller: Poller) -> None:
        engine.failure = StoreUnavailable("gone")

        async def work() -> None:
            sight = await poller.look(WALL)
            assert (sight.overview, sight.stale) == (None, True)
            await poller.look(WALL)
            assert len(engine.asked) == 1  # it has just tried

        run(work)

    def test_a_page_does_not_wait_for_a_database_that_hangs(
        self, engine: Engine, poller: Poller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_PATIENCE", 0.001)

        async def work() -> None:
            await poller.look(WALL)
            engine.gate = asyncio.Event()
            engine.now += 10
            assert (await poller.look(WALL)).stale
            engine.gate.set()
            await settle()
            assert not poller.sight.stale
            assert len(engine.asked) == 2  # however long they wait

        run(work)

    def test_one_that_hangs_for_very_long_is_given_up(
        self, engine: Engine, poller: Poller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_LONGEST", 0.001)

        async def work() -> None:
            engine.gate = asyncio.Event()
            await poller.look(WALL)
            assert poller.failures == 1

        run(work)


class TestFollowing:
    def test_all_who_watch_share_one_poll_and_leave_nothing(
        self, engine: Engine, poller: Poller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[datetime] = []

        async def watch(times: int) -> None:
            async with aclosing(poller.follow(WALL)) as sights:
                async for sight in sights:
                    assert sight.overview is not None
                    seen.append(sight.overview.at)
                    times -= 1
                    if not times:
                        return

        def advance(_: dict[str, Any]) -> float:
            return 0.01

        async def work() -> None:
            monkeypatch.setattr(asyncio, "sleep", no_time(engine))
            engine.takes = advance
            assert poller.viewers == 0
            await asyncio.gather(*(watch(5) for _ in range(20)))
            assert poller.viewers == 0
            await settle()

        run(work)
        assert len(seen) == 100
        assert len(engine.asked) <= 7

    def test_who_is_slow_gets_what_is_known_then(self, engine: Engine, poller: Poller) -> None:
        async def work() -> None:
            async with aclosing(poller.follow(WALL)) as sights:
                first = await anext(sights)
                for _ in range(5):
                    engine.now += 2.0
                    await poller.look(WALL)
                poller._wake()
                last = await anext(sights)
                assert first.overview is not None
                assert last.overview is not None
                assert last.overview.at - first.overview.at == timedelta(seconds=10)
            await settle()

        run(work)

    def test_where_nothing_is_new_they_hear_that_it_is_old(
        self, engine: Engine, poller: Poller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_PATIENCE", 0.001)

        async def work() -> None:
            async with aclosing(poller.follow(WALL)) as sights:
                assert not (await anext(sights)).stale
                engine.gate = asyncio.Event()
                engine.now += 10
                assert (await anext(sights)).stale
                engine.gate.set()
                while (await anext(sights)).stale:
                    pass
            await settle()

        run(work)

    @pytest.mark.parametrize(
        ("takes", "failure", "pause"),
        [
            (0.01, None, 0.99),
            (0.1, None, 1.9),
            (2.0, None, 15.0),
            (2.0, StoreUnavailable("gone"), 1.0),
        ],
    )
    def test_the_pause_is_longer_where_a_poll_is(
        self, engine: Engine, poller: Poller, takes: float, failure: Exception, pause: float
    ) -> None:
        engine.takes = lambda _: takes
        engine.failure = failure

        async def work() -> None:
            await poller.look(CHAT)
            assert poller._pause == pytest.approx(pause)

        run(work)

    def test_in_a_long_pause_they_hear_that_it_goes_on(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        poller = Poller(cast("AsyncChatEngine", engine), Settings(every=60.0), engine.clock)

        async def work() -> None:
            monkeypatch.setattr(asyncio, "sleep", no_time(engine))
            async with aclosing(poller.follow(WALL)) as sights:
                for _ in range(10):
                    await anext(sights)
                assert len(engine.asked) <= 2
            await settle()

        run(work)

    def test_when_it_closes_all_go(self, poller: Poller) -> None:
        async def watch() -> int:
            return len([sight async for sight in poller.follow(WALL)])

        async def work() -> None:
            watching = [asyncio.create_task(watch()) for _ in range(3)]
            await settle()
            assert poller.viewers == 3
            poller.close()
            assert all(count >= 1 for count in await asyncio.gather(*watching))
            assert poller.viewers == 0
            await settle()

        run(work)


def no_time(engine: Engine) -> Callable[[float], Awaitable[None]]:
    """A sleep that takes time only for the engine."""
    sleep = asyncio.sleep

    async def pass_at_once(seconds: float) -> None:
        engine.now += seconds
        await sleep(0)

    return pass_at_once


def test_today_begins_at_midnight_where_the_viewer_is() -> None:
    from zoneinfo import ZoneInfo

    stockholm = Settings(zone=ZoneInfo("Europe/Stockholm"))
    assert stockholm.midnight(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == datetime(
        2026, 7, 1, 22, tzinfo=UTC
    )
    assert Settings(zone=UTC).start_of("2026-03-01", later=1) == datetime(2026, 3, 2, tzinfo=UTC)
    assert stockholm.start_of("2026-10-25", later=1) - stockholm.start_of(
        "2026-10-25"
    ) == timedelta(hours=25)
