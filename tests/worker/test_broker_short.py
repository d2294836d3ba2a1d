"""A broker that is short of memory: it takes nothing, and has to be read all the same."""

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from sermo_fsm import Direction
from sermo_fsm.worker.rabbitmq import RabbitSource, Reading
from tests.databases import a_database
from tests.support import at
from tests.worker.broker import a_broker
from tests.worker.node import Node, a_node
from tests.worker.support import QUICK, until, working
from tests.worker.test_rabbitmq import body, order

pytestmark = [pytest.mark.service, pytest.mark.prove]


def test_a_broker_that_takes_nothing_is_read_to_its_end_and_then_probed_again(
    tmp_path: Path,
) -> None:
    async def work(node: Node) -> None:
        async with a_broker(node.url) as broker:
            queue = await broker.queue("inbound")
            for number in range(100):
                await broker.put(queue, body(number), f"m-{number}", at(number))
            await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "absolute", "1")
            reading = Reading({queue: Direction.INBOUND}, dead_letters=queue, prefetch=10)
            source = RabbitSource(node.url, reading)
            async with working(url, source, evolve(QUICK, batch=5)) as (worker, task):
                await until(lambda: worker.tally.written == 100, task)
                assert worker.tally.swept_to is not None  # the last message says how far it is read
                assert worker.tally.swept_to <= at(100)
                await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "0.4")
                now = worker.clock.now()
                await until(lambda: worker.tally.swept_to and worker.tally.swept_to > now, task)
                assert worker.tally.reconnects == 0

    with a_database("sqlite", tmp_path, migrated=True) as url, a_node() as node:
        asyncio.run(work(node))
        assert order(url) == [f"m-{number}" for number in range(100)]
