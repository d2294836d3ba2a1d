"""RabbitMQ as a source, with a broker for real: order, loss, dead letters, standing by."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest
import sqlalchemy as sa
from attrs import evolve

from sermo_fsm import AsyncChatEngine, ChatEngine, Direction, StoreUnavailable
from sermo_fsm.worker import rabbitmq
from sermo_fsm.worker.loop import Worker
from sermo_fsm.worker.rabbitmq import RabbitSource, Reading
from sermo_fsm.worker.source import Batch, Clock, DeadLetter, SourceLost, SourceRefused
from tests.databases import a_database, async_url
from tests.proxy import Cut, Proxy
from tests.support import BOT, also_proved, at, text
from tests.worker import broker as brokers
from tests.worker.broker import Broker, a_broker
from tests.worker.support import QUICK, Failing, until, working

pytestmark = pytest.mark.service

# Methods of AMQP, as they stand in a frame.
DECLARE = b"\x00\x32\x00\x0a"
PUBLISH = b"\x00\x3c\x00\x28"

BATCHES = evolve(QUICK, batch=7)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


def body(number: int = 0, user: str = "anna", **fields: Any) -> bytes:
    return json.dumps(text(f"{number}", user, **fields)).encode()


async def source_for(
    broker: Broker, *directions: str, where: str | None = None, **options: Any
) -> RabbitSource:
    """A source of queues that are named as their directions."""
    queues = {await broker.queue(one): Direction(one) for one in directions or ("inbound",)}
    dead = broker.name("dead")
    broker.queues.add(dead)
    return RabbitSource(where or brokers.url(), Reading(queues, dead_letters=dead, **options))


def order(url: sa.URL, user: str = "anna") -> list[str]:
    """The message ids of a user's chats, as they were written; the sweeper's rows have none."""
    with ChatEngine(url) as chats:
        assert chats.verify().ok
        sessions = sorted(chats.sessions(user=user), key=lambda one: one.ordinal)
        rows = [row for one in sessions for row in chats.history(one.session_id)]
        return [row.message_id for row in rows if row.message_id is not None]


async def written(broker: Broker, source: RabbitSource, worker: Worker, task: Any) -> None:
    """Until all queues are read, and that is acknowledged."""
    await until(lambda: worker.tally.reading, task)
    began = worker.clock.now()
    await until(lambda: worker.tally.swept_to is not None and worker.tally.swept_to > began, task)
    for queue in source.queues:
        assert await broker.count(queue) == 0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_thousand_messages_are_written_in_order_and_acknowledged(url: sa.URL, kind: str) -> None:
    async def work() -> None:
        async with a_broker() as broker:
            name = await broker.queue("inbound", **{"x-queue-type": kind})
            reading = Reading({name: Direction.INBOUND}, dead_letters=broker.name("dead"))
            broker.queues.add(broker.name("dead"))
            for number in range(1000):
                await broker.put(name, body(number), f"m-{number}", at(number / 1000))
            source = RabbitSource(brokers.url(), reading)
            async with working(url, source) as (worker, task):
                await written(broker, source, worker, task)
            assert await broker.count(name) == 0

    asyncio.run(work())
    assert order(url) == [f"m-{number}" for number in range(1000)]


def test_directions_ids_times_and_platforms_come_from_where_they_should() -> None:
    async def work() -> list[Any]:
        async with a_broker() as broker:
            source = await source_for(broker, "inbound", "outbound", time_header="when")
            inbound, outbound = broker.name("inbound"), broker.name("outbound")
            bare = json.dumps({"type": "text", "text": "Hej!", "userId": "anna"}).encode()
            await broker.put(inbound, bare, "m-1", at(1), platformId="web")
            await broker.put(outbound, body(agent=BOT), when=at(2).isoformat())
            await broker.put(outbound, body(agent=BOT), "", platformId=["web"])
            await source.open()
            found: list[Any] = []
            while len(found) < 3:
                found += (await source.take(10, 0.1, 1.0)).deliveries
            # aio-pika gives an id to every message that it publishes; other publishers do not.
            third = max(found, key=lambda one: one.received_at)
            third.token.message_id = None
            found[found.index(third)] = source._delivery(third.queue, third.token)
            await source.close()
            return sorted(found, key=lambda one: one.received_at)

    first, second, third = asyncio.run(work())
    assert (first.direction, first.message_id, first.clock) == ("inbound", "m-1", Clock.BROKER)
    assert (first.received_at, first.platform_id) == (at(1), "web")
    assert (second.direction, second.clock) == ("outbound", Clock.HEADER)
    assert (third.message_id, third.clock, third.platform_id) == (None, Clock.WORKER, None)


def test_what_is_not_settled_comes_again_first_and_in_order() -> None:
    async def work() -> list[Any]:
        async with a_broker() as broker:
            source = await source_for(broker, prefetch=20)
            for number in range(40):
                await broker.put(broker.name("inbound"), body(number), f"m-{number}")
            seen = []
            for _ in range(3):
                await source.open()
                taken: list[Any] = []
                while len(taken) < 15:
                    batch = await source.take(15 - len(taken), 0.0, 1.0)
                    taken += batch.deliveries
                    if len(taken) <= 10:
                        await source.settle(batch, [], {})
                seen.append([one.message_id for one in taken])
                await source.close()
            return seen

    seen = asyncio.run(work())
    for one in seen:
        numbers = [int(name.removeprefix("m-")) for name in one]
        assert numbers == list(range(numbers[0], numbers[0] + 15))


def test_bad_messages_go_to_the_dead_letters_as_they_came_with_the_reason(url: sa.URL) -> None:
    async def work() -> Any:
        async with a_broker() as broker:
            source = await source_for(broker)
            queue = broker.name("inbound")
            await broker.put(queue, body(1), "m", at(1))
            await broker.put(queue, body(2), "m", at(2), traceId="t-1")
            await broker.put(queue, b"{", "n", at(3))
            async with working(url, source) as (worker, task):
                await until(lambda: worker.tally.written == 3, task)
                await written(broker, source, worker, task)
            assert worker.tally.outcomes == {"moved": 1, "conflict": 1, "invalid": 1}
            letter = await broker.get(broker.name("dead"))
            assert await broker.count(broker.name("dead")) == 0
            return letter

    letter = asyncio.run(work())
    assert letter.body == body(2)
    assert letter.message_id == "m"
    assert letter.headers["traceId"] == "t-1"
    assert letter.headers["x-sermo-reason"].startswith("conflict: message 'm' on inbound")


def test_a_second_worker_stands_by_and_takes_over(url: sa.URL) -> None:
    async def work() -> None:
        async with a_broker() as broker:
            source = await source_for(broker, "inbound", "outbound")
            other = RabbitSource(source.url, source.reading)
            queue = broker.name("inbound")
            async with AsyncChatEngine(async_url(url)) as engine:
                first, second = Worker(engine, source, BATCHES), Worker(engine, other, BATCHES)
                running = asyncio.create_task(first.run())
                await until(lambda: first.tally.reading, running)
                standing_by = asyncio.create_task(second.run())
                await until(lambda: "broker" in second._said, standing_by)
                await broker.put(queue, body(1), "m-1", at(1))
                await until(lambda: first.tally.written, running)
                assert not second.tally.reading
                first.stop()
                await running
                await broker.put(queue, body(2), "m-2", at(2))
                await until(lambda: second.tally.written, standing_by)
                second.stop()
                await standing_by

    asyncio.run(work())
    assert order(url) == ["m-1", "m-2"]


def test_a_queue_that_is_not_there_is_refused_at_the_start(url: sa.URL) -> None:
    async def work() -> None:
        async with a_broker() as broker:
            reading = Reading({"sermo_test_nowhere": None}, dead_letters=broker.name("dead"))
            broker.queues.add(broker.name("dead"))
            async with working(url, RabbitSource(brokers.url(), reading)) as (_, task):
                await task

    with pytest.raises(SourceRefused, match="there is no queue 'sermo_test_nowhere': make it"):
        asyncio.run(work())


def test_a_queue_that_is_deleted_and_made_again_is_read_again(url: sa.URL) -> None:
    async def work() -> None:
        async with a_broker() as broker:
            source = await source_for(broker)
            queue = broker.name("inbound")
            async with working(url, source) as (worker, task):
                await broker.put(queue, body(1), "m-1", at(1))
                await until(lambda: worker.tally.written == 1, task)
                await broker.channel.queue_delete(queue)
                await until(lambda: not worker.tally.reading, task)
                await until(lambda: worker.tally.reconnects >= 2, task)
                await broker.queue("inbound")
                await broker.put(queue, body(2), "m-2", at(2))
                await until(lambda: worker.tally.written == 2, task)

    asyncio.run(work())
    assert order(url) == ["m-1", "m-2"]


def test_a_wrong_password_is_refused_and_a_broker_that_is_away_is_waited_for() -> None:
    async def open_at(where: str) -> None:
        async with a_broker():
            await RabbitSource(where, Reading({})).open()

    wrong = brokers.url().replace("guest:guest", "guest:wrong")
    with pytest.raises(SourceRefused, match="the broker refuses the user"):
        asyncio.run(open_at(wrong))
    with pytest.raises(SourceLost, match="the broker can't be reached"):
        asyncio.run(open_at("amqp://guest:guest@127.0.0.1:1/"))


def test_what_belongs_to_no_exchange_that_is_known_is_a_dead_letter(url: sa.URL) -> None:
    async def work() -> Any:
        async with a_broker() as broker:
            source = await source_for(broker)
            queue = broker.name("inbound")
            reading = Reading({queue: None}, dead_letters=source.reading.dead_letters)
            source = RabbitSource(brokers.url(), reading)
            await broker.put(queue, body(1), "m-1", at(1))
            async with working(url, source) as (worker, task):
                await written(broker, source, worker, task)
            assert worker.tally.written == 0
            return await broker.get(source.reading.dead_letters)

    assert "no direction is known" in asyncio.run(work()).headers["x-sermo-reason"]


def test_a_probe_that_is_lost_is_followed_by_another(
    url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Purged(RabbitSource):
        lost = 0

        async def _send_probe(self, queue: str, at: datetime) -> None:
            if self.lost:
                await super()._send_probe(queue, at)
            self.lost += 1

    async def work() -> None:
        async with a_broker() as broker:
            source = await source_for(broker)
            async with working(url, Purged(source.url, source.reading)) as (worker, task):
                await until(lambda: worker.tally.swept_to, task)

    monkeypatch.setattr(rabbitmq, "_PROBE_GIVEN_UP", timedelta())
    asyncio.run(work())


def test_while_the_database_is_away_no_more_is_in_memory_than_the_prefetch(url: sa.URL) -> None:
    async def work() -> None:
        async with a_broker() as broker, AsyncChatEngine(async_url(url)) as engine:
            source = await source_for(broker, prefetch=20)
            queue = broker.name("inbound")
            for number in range(100):
                await broker.put(queue, body(number), f"m-{number}", at(number))
            failing = Failing(engine, "handle_many", *[StoreUnavailable("away")] * 10**4)
            worker = Worker(engine, source, BATCHES)
            task = asyncio.create_task(worker.run())
            await until(lambda: failing.calls > 3, task)
            assert await broker.count(queue) >= 80
            assert len(source._inbox._arrived) < 20
            failing.reasons.clear()
            await until(lambda: worker.tally.written == 100, task)
            worker.stop()
            await task

    asyncio.run(work())


async def until_lost(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the connection is lost, which may first be noticed by somebody else."""
    while True:
        await ask()


@pytest.mark.parametrize("when", Cut)
@pytest.mark.parametrize(("what", "method"), [("unread", DECLARE), ("settle", PUBLISH)])
def test_whoever_waits_for_an_answer_when_the_connection_is_cut_is_told(
    what: str, method: bytes, when: Cut
) -> None:
    async def work() -> None:
        async with a_broker() as broker:
            host = urlsplit(brokers.url())
            with Proxy(str(host.hostname), host.port or 5672) as proxy:
                where = brokers.url().replace(host.netloc, f"guest:guest@127.0.0.1:{proxy.port}")
                source = await source_for(broker, where=where)
                await source.open()
                await broker.put(broker.name("inbound"), body())
                batch = Batch([], {}, {})
                while not batch.deliveries:
                    batch = await source.take(1, 0.0, 1.0)
                letters = [DeadLetter(batch.deliveries[0], "it is a test")]
                settle = partial(source.settle, batch, letters, {})
                proxy.cut(when, lambda request: method in request)
                with pytest.raises(SourceLost):
                    await until_lost(source.unread if what == "unread" else settle)
                await source.close()

    asyncio.run(work())


def test_a_broker_that_falls_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # The client then cancels whoever waits for an answer, as if they were to stop.
    async def work() -> None:
        async with a_broker() as broker:
            source = await source_for(broker, where=f"{brokers.url()}?heartbeat=1")
            await source.open()
            with monkeypatch.context() as patch:
                patch.setattr(aiormq.Connection, "is_connection_was_stuck", True)
                with pytest.raises(SourceLost):
                    await until_lost(source.unread)
            await source.close()

    asyncio.run(work())


@pytest.mark.parametrize("steps", [2, *also_proved(12)])
def test_the_connection_is_cut_at_any_request_and_all_is_there_once_in_order(
    url: sa.URL, steps: int
) -> None:
    async def work() -> int:
        async with a_broker() as broker:
            host = urlsplit(brokers.url())
            with Proxy(str(host.hostname), host.port or 5672) as proxy:
                where = brokers.url().replace(host.netloc, f"guest:guest@127.0.0.1:{proxy.port}")
                source = await source_for(broker, "inbound", "outbound", where=where)
                queues = [broker.name("inbound"), broker.name("outbound")]
                sent = 0
                async with working(url, source, BATCHES) as (worker, task):
                    for step in range(1, steps + 1):
                        for when in Cut:
                            proxy.cut_at(when, step)
                            before = worker.tally.reconnects
                            while worker.tally.reconnects == before:
                                assert not task.done(), task.result()
                                event = body(sent, agent=BOT) if sent % 2 else body(sent)
                                await broker.put(queues[sent % 2], event, f"m-{sent}", at(sent))
                                sent += 1
                    await written(broker, source, worker, task)
                return sent

    sent = asyncio.run(work())
    found = order(url)
    assert sorted(found) == sorted(f"m-{number}" for number in range(sent))
    numbers = [int(name.removeprefix("m-")) for name in found]
    for half in (0, 1):
        own = [number for number in numbers if number % 2 == half]
        assert own == sorted(own)
