"""RabbitMQ for tests: names of one's own on the usual broker, which are gone afterwards.

It is looked for at its usual local address, or where SERMO_TEST_RABBITMQ says.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, Final, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from attrs import define, field

from sermo_fsm.worker.rabbitmq_client import connect
from tests.databases import skip_without

_USUAL: Final = "amqp://guest:guest@127.0.0.1:5672/"


def url() -> str:
    """Where the broker is."""
    return os.environ.get("SERMO_TEST_RABBITMQ", _USUAL)


@define
class Broker:
    """A connection, and what was made by it."""

    connection: AbstractConnection
    channel: AbstractChannel
    prefix: str = field(factory=lambda: f"sermo_test_{uuid.uuid4().hex[:12]}_")
    queues: set[str] = field(factory=set)
    exchanges: set[str] = field(factory=set)

    def name(self, name: str) -> str:
        return self.prefix + name

    async def queue(self, name: str, **arguments: Any) -> str:
        """A queue of this name, with our prefix."""
        made = await self.channel.declare_queue(
            self.name(name), durable=True, arguments=arguments or None
        )
        self.queues.add(made.name)
        return made.name

    async def put(
        self,
        queue: str,
        body: bytes,
        message_id: str | None = None,
        at: datetime | None = None,
        exchange: str = "",
        **headers: Any,
    ) -> None:
        """Put a message, stamped by the broker's interceptor as it were."""
        if at is not None:
            headers["timestamp_in_ms"] = round(at.timestamp() * 1000)
        message = aio_pika.Message(body, headers=headers, message_id=message_id)
        target = self.channel.default_exchange
        if exchange:
            target = await self.channel.get_exchange(exchange)
        await target.publish(message, queue)

    async def look(self, queue: str) -> AbstractQueue:
        return await self.channel.declare_queue(queue, passive=True)

    async def count(self, queue: str) -> int:
        """How many messages wait there."""
        return (await self.look(queue)).declaration_result.message_count or 0

    async def get(self, queue: str) -> Any:
        """The message at the head of the queue, which is gone then."""
        return await (await self.look(queue)).get(no_ack=True)

    async def clean(self) -> None:
        for queue in self.queues:
            await self.channel.queue_delete(queue)
        for exchange in self.exchanges:
            await self.channel.exchange_delete(exchange)

    @classmethod
    async def connect(cls, where: str) -> Self:
        connection = await connect(where)
        return cls(connection, await connection.channel())


@asynccontextmanager
async def a_broker(where: str | None = None) -> AsyncIterator[Broker]:
    """The broker; skips where there is none."""
    try:
        broker = await Broker.connect(where or url())
    except OSError as error:
        skip_without(
            f"no RabbitMQ at {_without_password(url())} ({error}); "
            "apt install rabbitmq-server, or set SERMO_TEST_RABBITMQ"
        )
    async with broker.connection:
        try:
            yield broker
        finally:
            await broker.clean()


@cache
def _without_password(where: str) -> str:
    return where.rpartition("@")[2]
