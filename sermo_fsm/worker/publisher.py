"""Puts events on RabbitMQ, for demonstrations and tests, and drives dead letters again."""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from attrs import frozen

from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.protocol.events import Direction
from sermo_fsm.worker.clocks import BROKER_HEADER
from sermo_fsm.worker.rabbitmq_client import PATIENCE, connected, connection_to, copy_of

__all__ = ["Target", "drive_again", "publish"]

_ORIGIN: Final = "x-sermo-"
_AT_ONCE: Final = 100


@frozen
class Target:
    """Where events go.

    Attributes:
        url: The broker.
        names: The exchange of each direction or, where *straight*, the queue.
        straight: Whether they are put straight into queues.
        key_header: A header that also gets the user's id.
    """

    url: str
    names: Mapping[Direction, str]
    straight: bool = False
    key_header: str | None = None

    async def exchange(self, channel: AbstractChannel, direction: Direction) -> AbstractExchange:
        """The exchange that an event of this direction is put on."""
        if self.straight:
            return channel.default_exchange
        return await channel.get_exchange(self.names[direction])


async def publish(target: Target, envelopes: Sequence[Envelope]) -> None:
    """Publish in order; back when the broker has confirmed all.

    An event without a message id gets one. Its receive time, if it has one, goes into the header
    in which a broker would say it.

    Raises:
        SourceLost: The broker did not take all of them.
    """
    with connected("not everything was published"):
        async with connection_to(target.url) as connection:
            async with asyncio.timeout(PATIENCE):
                channel = await connection.channel(on_return_raises=True)
                exchanges = {
                    direction: await target.exchange(channel, direction)
                    for direction in sorted({envelope.direction for envelope in envelopes})
                }
            for start in range(0, len(envelopes), _AT_ONCE):
                sent = []
                for envelope in envelopes[start : start + _AT_ONCE]:
                    message, key = _message(envelope, target)
                    sent.append(exchanges[envelope.direction].publish(message, key))
                await asyncio.gather(*sent)  # written in order, confirmed in any


def _message(envelope: Envelope, target: Target) -> tuple[aio_pika.Message, str]:
    """The message, and its routing key."""
    event: Any = envelope.event
    user = str(event.get("userId", ""))
    headers: dict[str, Any] = {}
    if envelope.received_at is not None:
        headers[BROKER_HEADER] = round(envelope.received_at.timestamp() * 1000)
    if envelope.platform_id is not None:
        headers["platformId"] = envelope.platform_id
    if target.key_header is not None:
        headers[target.key_header] = user
    message = aio_pika.Message(
        json.dumps(event, ensure_ascii=False).encode(),
        headers=headers,
        content_type="application/json",
        message_id=envelope.message_id or str(uuid.uuid4()),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    return message, target.names[envelope.direction] if target.straight else user


async def drive_again(url: str, queue: str) -> int:
    """Put the dead letters of *queue* back where they came from. Returns how many they were.

    Each is as it was, without the reason. Where the broker dies in between, a letter may be driven
    twice; by its message id it counts once.

    Raises:
        SourceLost: The broker did not take all of them.
    """
    count = 0
    with connected("not every dead letter was driven again"):
        async with connection_to(url) as connection:
            async with asyncio.timeout(PATIENCE):
                channel = await connection.channel(on_return_raises=True)
                found = await channel.declare_queue(queue, passive=True)
            left = found.declaration_result.message_count or 0
            while count < left and (letter := await found.get(fail=False)) is not None:
                origin = {
                    name: str(letter.headers.get(f"{_ORIGIN}{name}", ""))
                    for name in ("queue", "exchange", "routing-key")
                }
                target, key = channel.default_exchange, origin["queue"]
                if origin["exchange"]:
                    target = await channel.get_exchange(origin["exchange"])
                    key = origin["routing-key"]
                headers = {
                    name: value
                    for name, value in letter.headers.items()
                    if not name.startswith(_ORIGIN)
                }
                await target.publish(copy_of(letter, headers), key)
                await letter.ack()
                count += 1
    return count
