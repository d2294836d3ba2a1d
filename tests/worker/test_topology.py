"""Partitions: one order for each user, whichever exchange, and workers who share them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from sermo_fsm import AsyncChatEngine, ChatEngine, Direction, Envelope
from sermo_fsm.worker.decisions import Routing
from sermo_fsm.worker.loop import Worker
from sermo_fsm.worker.publisher import Target, drive_again, publish
from sermo_fsm.worker.rabbitmq import RabbitSource
from sermo_fsm.worker.source import SourceLost, SourceRefused
from sermo_fsm.worker.topology import Topology, apply
from tests.databases import a_database, async_url
from tests.support import BOT, at, text
from tests.worker import broker as brokers
from tests.worker.broker import Broker, a_broker
from tests.worker.support import QUICK, until

pytestmark = pytest.mark.service

USERS = [f"u-{number}" for number in range(10)]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


@asynccontextmanager
async def partitions(number: int, key_header: str = "user") -> AsyncIterator[Any]:
    """A topology with names of its own, by the plugin that the usual broker has."""
    async with a_broker() as broker:
        exchanges = {one: broker.name(one) for one in (Direction.INBOUND, Direction.OUTBOUND)}
        topology = Topology(number, exchanges, broker.name("p"), key_header)
        wanted = topology.definitions()
        broker.queues |= {f"{broker.name('p')}.dead", f"{broker.name('p')}.{number}"}
        broker.queues |= {one["name"] for one in wanted["queues"]}
        broker.exchanges |= {one["name"] for one in wanted["exchanges"]}
        await apply(brokers.url(), topology)
        await apply(brokers.url(), topology)  # what is there is left as it is
        yield broker, topology


def envelopes(rounds: int, start: int = 0) -> list[Envelope]:
    """Every user says something and is answered, again and again."""
    return [
        Envelope(
            "inbound" if number % 2 else "outbound",
            text(str(number), user) if number % 2 else text(str(number), user, agent=BOT),
            message_id=f"{user}-{number}",
            received_at=at(number),
        )
        for number in range(start, start + rounds)
        for user in USERS
    ]


def source_of(broker: Broker, topology: Topology, first: int | None = None) -> RabbitSource:
    reading = topology.reading(first, dead_letters=broker.name("p") + ".dead")
    return RabbitSource(brokers.url(), reading)


def numbers(url: sa.URL, user: str) -> list[int]:
    with ChatEngine(url) as chats:
        assert chats.verify().ok
        sessions = sorted(chats.sessions(user=user), key=lambda one: one.ordinal)
        rows = [row for one in sessions for row in chats.history(one.session_id)]
        return [int(row.message_id.rpartition("-")[2]) for row in rows if row.message_id]


def test_each_user_is_read_in_the_order_of_both_exchanges_and_workers_share_them(
    url: sa.URL,
) -> None:
    async def work() -> list[int]:
        async with partitions(2) as (broker, topology), AsyncChatEngine(async_url(url)) as engine:
            target = Target(brokers.url(), topology.exchanges, key_header="user")
            workers = [
                Worker(engine, source_of(broker, topology, number), QUICK, observe=Routing().check)
                for number in (0, 1)
            ]
            tasks = [asyncio.create_task(one.run()) for one in workers]
            for one, task in zip(workers, tasks, strict=True):
                await until(lambda one=one: one.tally.reading, task)  # type: ignore[misc]  # bound now
            await publish(target, envelopes(20))
            wanted = 20 * len(USERS)
            await until(lambda: sum(one.tally.written for one in workers) >= wanted, tasks[0])
            # Both know that all is read, though each has read a part: one told the other.
            now = workers[0].clock.now()
            for one, task in zip(workers, tasks, strict=True):
                await until(
                    lambda one=one: one.tally.swept_to and one.tally.swept_to > now,  # type: ignore[misc]  # bound now
                    task,
                )
            shares = [one.tally.written for one in workers]
            # The first one leaves, and the other takes over what it read.
            workers[0].stop()
            await tasks[0]
            await publish(target, envelopes(4, start=20))
            left = sum(shares) + 4 * len(USERS) - shares[0]
            await until(lambda: workers[1].tally.written >= left, tasks[1])
            workers[1].stop()
            await tasks[1]
            return shares

    shares = asyncio.run(work())
    assert all(shares)
    for user in USERS:
        assert numbers(url, user) == list(range(24))


def test_a_user_whose_messages_have_two_keys_ends_the_worker(url: sa.URL) -> None:
    async def work() -> None:
        async with partitions(1) as (broker, topology):
            target = Target(brokers.url(), topology.exchanges, key_header="user")
            await publish(target, envelopes(1))
            one = json.dumps(text("?", USERS[0], agent=BOT)).encode()
            await broker.put("", one, exchange=broker.name("outbound"), user="somebody else")
            async with AsyncChatEngine(async_url(url)) as engine:
                source = source_of(broker, topology)
                await Worker(engine, source, QUICK, observe=Routing().check).run()

    with pytest.raises(SourceRefused, match="messages of one user come to the partitions"):
        asyncio.run(work())


def test_fewer_partitions_than_there_are_is_refused() -> None:
    async def work() -> None:
        async with partitions(2) as (_, topology):
            await apply(brokers.url(), evolve(topology, partitions=1))

    with pytest.raises(SourceRefused, match=r"there is a queue '.*p\.1' already"):
        asyncio.run(work())


def test_a_broker_that_is_not_there_is_lost() -> None:
    with pytest.raises(SourceLost, match="the topology can't be made"):
        asyncio.run(apply("amqp://127.0.0.1:1/", Topology(1, {})))


def test_before_version_4_no_limit_of_deliveries_is_said() -> None:
    arguments = [
        Topology(1, {}).definitions(version=version)["queues"][0]["arguments"] for version in (3, 4)
    ]
    assert [one.get("x-delivery-limit") for one in arguments] == [None, -1]


def test_a_hash_without_a_header_is_one_that_survives_a_restart() -> None:
    kinds = [
        Topology(1, {}, key_header=header).definitions()["exchanges"][0]["type"]
        for header in (None, "user")
    ]
    assert kinds == ["x-modulus-hash", "x-consistent-hash"]


def test_dead_letters_are_driven_again_to_where_they_came_from(url: sa.URL) -> None:
    async def work() -> None:
        async with partitions(1) as (broker, topology), AsyncChatEngine(async_url(url)) as engine:
            dead = broker.name("p") + ".dead"
            target = Target(brokers.url(), topology.exchanges, key_header="user")
            twice = [evolve(one, message_id="m") for one in envelopes(3)[1 :: len(USERS)]]
            await publish(target, [evolve(one, direction="inbound") for one in twice])
            worker = Worker(engine, source_of(broker, topology), QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: worker.tally.dead_letters == 2, task)
            assert await drive_again(brokers.url(), dead) == 2
            await until(lambda: worker.tally.dead_letters == 4, task)
            worker.stop()
            await task
            letter = await broker.get(dead)
            assert letter.headers["x-sermo-exchange"] == topology.exchanges[Direction.INBOUND]
            assert letter.headers["timestamp_in_ms"] == round(at(1).timestamp() * 1000)
            await broker.get(dead)
            await broker.put(dead, b"{", "n", **{"x-sermo-queue": broker.name("p") + ".0"})
            assert await drive_again(brokers.url(), dead) == 1
            assert await broker.count(topology.queues[0]) >= 1

    asyncio.run(work())
