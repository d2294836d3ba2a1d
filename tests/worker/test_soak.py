"""Faults, each for real, while messages flow: nothing is lost, and nothing counts twice.

With all other tests each fault strikes a few times; ``make soak`` lets it strike as often as it
takes to believe it.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import pytest
import sqlalchemy as sa

from sermo_fsm.worker.topology import apply
from tests.command.test_cli_support import environment
from tests.databases import migrate
from tests.proxy import Cut, Proxy
from tests.servers import Server, a_folder, a_server, fill, small_disk
from tests.worker.broker import a_broker
from tests.worker.node import Node, a_node
from tests.worker.soak import LONG, TOPOLOGY, Rig, judged, written
from tests.worker.support import until

pytestmark = [pytest.mark.service, pytest.mark.prove]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A broker that has the partitions."""
    with a_node() as node:
        asyncio.run(apply(node.url, TOPOLOGY))
        # RabbitMQ 3.10 forgets a quorum queue that it made just before it was killed.
        node.stop()
        node.start()
        yield node


@contextmanager
def a_rig(node: Node, kind: str, short: int, long: int) -> Iterator[tuple[Rig, Server]]:
    """The broker, and a database server of its own."""
    with a_folder() as folder, a_server(kind, folder) as server:
        with server.admin() as admin:
            admin.exec_driver_sql("CREATE DATABASE chats")
        migrate(server.url("chats"))
        yield Rig(node, server.url("chats"), long if LONG else short), server


async def a_worker(rig: Rig, first: int) -> Process:
    """A worker as a process, which reads."""
    options = {
        "--db": rig.url.render_as_string(hide_password=False),
        "--broker": rig.node.url,
        "--partitions": "2",
        "--first": str(first),
        "--exchanges": "inbound=inbound,outbound=outbound",
        "--dead-letters": "dead",
        "--margin": str(10**9),
        "--batch": "10",
        "--linger": "0",
    }
    words = [word for option in options.items() for word in option]
    process = await create_subprocess_exec(
        sys.executable, "-m", "sermo_fsm", "worker", *words, env=environment(), stderr=PIPE
    )
    assert process.stderr is not None
    said = b""
    while b"reading" not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line
    return process


async def kill(process: Process) -> None:
    process.kill()
    await process.communicate()


def test_users_keep_their_partition_whatever_becomes_of_the_broker(node: Node) -> None:
    async def partition_of_each() -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        async with a_broker(node.url) as broker:
            for number in range(40):
                for exchange in TOPOLOGY.exchanges.values():
                    await broker.put(f"user-{number}", b"%d" % number, exchange=exchange)
            for name in TOPOLOGY.queues:
                channel = await broker.connection.channel()
                queue = await channel.get_queue(name, ensure=False)
                left = await broker.count(name)
                async with queue.iterator() as messages:
                    while left:
                        message = await anext(messages)
                        await message.ack()
                        left -= 1
                        assert found.setdefault(message.body, name) == name
        return found

    first = asyncio.run(partition_of_each())
    assert (len(first), len(set(first.values()))) == (40, 2)
    for number in range(10 if LONG else 4):
        (node.crash if number % 2 else node.stop)()
        node.start()
        assert asyncio.run(partition_of_each()) == first


def test_a_worker_is_killed(node: Node) -> None:
    async def work(rig: Rig) -> None:
        for number in range(rig.kills):
            publishing = asyncio.create_task(rig.publish())
            process = await a_worker(rig, number % 2)
            await rig.moment()
            await kill(process)
            await publishing

    with a_rig(node, "postgresql", 5, 500) as (rig, _), judged("worker killed", rig):
        asyncio.run(work(rig))


def test_one_of_two_workers_is_killed_and_the_other_takes_over(node: Node) -> None:
    async def work(rig: Rig) -> None:
        workers = [await a_worker(rig, first) for first in (0, 1)]
        for number in range(rig.kills):
            publishing = asyncio.create_task(rig.publish())
            await rig.moment()
            await kill(workers[number % 2])
            await publishing
            workers[number % 2] = await a_worker(rig, number % 2)
        for one in workers:
            await kill(one)

    with a_rig(node, "postgresql", 4, 50) as (rig, _), judged("failover", rig):
        asyncio.run(work(rig))


def test_the_broker_is_killed(node: Node) -> None:
    async def work(rig: Rig) -> None:
        async with rig.working() as (worker, task):
            for _ in range(rig.kills):
                await until(lambda: worker.tally.reading, task)
                publishing = asyncio.create_task(rig.publish())
                await rig.moment()
                await asyncio.to_thread(node.crash)
                await asyncio.to_thread(node.start)
                await publishing
            assert worker.tally.reconnects >= rig.kills

    with a_rig(node, "postgresql", 2, 20) as (rig, _), judged("broker killed", rig):
        asyncio.run(work(rig))


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_the_database_is_killed(node: Node, kind: str) -> None:
    async def work(rig: Rig, server: Server) -> None:
        async with rig.working() as (worker, task):
            for _ in range(rig.kills):
                publishing = asyncio.create_task(rig.publish())
                await rig.moment()
                await asyncio.to_thread(server.crash)
                await asyncio.to_thread(server.start)
                await publishing
                await until(lambda: worker.tally.written == len(rig.published), task)
            assert worker.tally.reconnects == 0  # all was held, and nothing went back to a queue

    with a_rig(node, kind, 3, 20) as (rig, server), judged(f"{kind} killed", rig):
        asyncio.run(work(rig, server))


def test_the_connection_to_the_database_is_cut_at_any_request(node: Node) -> None:
    async def work(rig: Rig, proxy: Proxy) -> None:
        cuts = cycle(Cut)
        async with rig.working() as (worker, task):
            for number in range(rig.kills):
                proxy.cut_at(next(cuts), number // 2 % 20 + 1)
                while proxy._rule is not None:
                    await rig.publish(5)
                    await until(lambda: worker.tally.written == len(rig.published), task)
            assert worker.tally.reconnects == 0

    with a_rig(node, "postgresql", 20, 200) as (rig, server):
        direct = rig.url
        with judged("database connection cut", rig):
            with Proxy("127.0.0.1", server.port) as proxy:
                rig.url = direct.set(port=proxy.port)
                asyncio.run(work(rig, proxy))
            rig.url = direct


def test_the_disk_of_the_database_is_full_for_a_while(node: Node) -> None:
    async def work(rig: Rig, disk: Path) -> None:
        async with rig.working() as (worker, task):
            for _ in range(rig.kills):
                await until(lambda: worker.tally.storing, task)
                filler = await asyncio.to_thread(fill, disk)
                while worker.tally.storing:
                    await rig.publish(5)
                    await until(
                        lambda: (
                            not worker.tally.storing or worker.tally.written == len(rig.published)
                        ),
                        task,
                    )
                await asyncio.to_thread(filler.unlink)
                await until(lambda: worker.tally.written == len(rig.published), task)
            assert worker.tally.reconnects == 0  # all was held, and nothing went back to a queue

    with a_folder() as folder, small_disk(folder, 16) as disk:
        rig = Rig(node, sa.make_url(f"sqlite:///{disk}/chat.db"), 20 if LONG else 2)
        migrate(rig.url)
        with judged("disk full", rig):
            asyncio.run(work(rig, disk))


def test_the_connections_to_the_broker_are_closed(node: Node) -> None:
    async def work(rig: Rig) -> None:
        async with rig.working() as (worker, task):
            for _ in range(rig.kills):
                await until(lambda: worker.tally.reading, task)
                publishing = asyncio.create_task(rig.publish())
                await asyncio.to_thread(node.control, "close_all_connections", "it is a test")
                await publishing
            assert worker.tally.reconnects >= rig.kills

    with a_rig(node, "postgresql", 2, 30) as (rig, _), judged("connections closed", rig):
        asyncio.run(work(rig))


def test_a_queue_is_deleted_and_made_again(node: Node) -> None:
    async def work(rig: Rig) -> None:
        async with rig.working() as (worker, task), a_broker(node.url) as broker:
            for number in range(rig.kills):
                await until(lambda: worker.tally.reading, task)
                await rig.publish()
                # What is written and not acknowledged yet goes with the queue.
                await until(lambda: written(worker) >= len(rig.published), task)
                lost = worker.tally.reconnects
                await broker.channel.queue_delete(TOPOLOGY.queues[number % 2])
                await until(lambda lost=lost: worker.tally.reconnects > lost, task)  # type: ignore[misc]  # bound now
                await apply(node.url, TOPOLOGY)

    with a_rig(node, "postgresql", 3, 50) as (rig, _), judged("queue deleted", rig):
        asyncio.run(work(rig))


def test_the_database_is_away_for_longer_than_the_broker_waits_for_an_acknowledgement(
    node: Node,
) -> None:
    # Of RabbitMQ's half an hour a second is left, from now on; each time counts as a delivery.
    async def work(rig: Rig, server: Server) -> None:
        async with rig.working() as (worker, task):
            await rig.publish()
            await until(lambda: worker.tally.written >= len(rig.published), task)
            await asyncio.to_thread(server.crash)
            await rig.publish()
            for number in range(rig.kills):
                await until(lambda number=number: worker.tally.reconnects > number, task)  # type: ignore[misc]  # bound now
            await asyncio.to_thread(server.start)
            await until(lambda: written(worker) == len(rig.published), task)

    with a_rig(node, "postgresql", 3, 40) as (rig, server):
        for name, value in (("consumer_timeout", 1000), ("channel_tick_interval", 500)):
            node.control("eval", f"application:set_env(rabbit, {name}, {value}).")
        with judged("consumer timed out", rig):
            asyncio.run(work(rig, server))
