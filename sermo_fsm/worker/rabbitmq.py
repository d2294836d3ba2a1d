"""RabbitMQ as a source, by aio-pika.

Each queue has a channel and an iterator of its own, which keep its order; one acknowledgement for
all of a batch follows the commit. The connection is never mended: it is closed and made anew, and
the broker then delivers what was not acknowledged, in order, before anything else. For the same
reason nothing is handed back by ``nack``, nor by closing an iterator.

Whatever is published goes over a second connection. A broker that is short of memory or disk reads
nothing from connections that publish, and on the first one it would miss the acknowledgements.

How far a queue has been read is found out by probes: small messages of our own that are put into
the queue. Whoever gets one has got everything that came before it. This also holds for an empty
queue, in a backlog, and where another worker is the active one and gets our probe.
"""

import asyncio
import itertools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import (
    AuthenticationError,
    ChannelClosed,
    ProbableAuthenticationError,
)
from attrs import define, field, frozen

from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.fields import is_id
from sermo_fsm.worker.clocks import receive_time
from sermo_fsm.worker.inbox import Inbox, Mark
from sermo_fsm.worker.rabbitmq_client import (
    PATIENCE,
    close,
    connect,
    connected,
    copy_of,
    is_there,
    said,
)
from sermo_fsm.worker.source import Batch, DeadLetter, Delivery, SourceLost, SourceRefused

__all__ = ["RabbitSource", "Reading"]

_BEGINNING: Final = 60.0
"""Seconds until all queues are being read."""
_PROBE: Final = "sermo.probe"
_PROBE_EVERY: Final = 1.0
_ROUNDS_ALONE: Final = 3
_PROBE_GIVEN_UP: Final = timedelta(seconds=60)
_IN_USE: Final = "exclusive"
_REASON: Final = "x-sermo-reason"


@frozen
class Reading:
    """What is read, and how.

    Attributes:
        queues: The queues, by the direction that all of their messages have; None where the
            exchange says it.
        exchanges: The direction of what was put on each exchange.
        dead_letters: The queue for what can't be written; made if it is not there.
        prefetch: At most so many messages of a queue are held in memory.
        exclusive: Whether to let no other consumer read the queues meanwhile.
        time_header: A header that holds a receive time.
        key_header: The header that the broker chooses the partition by; None for the routing key.
        positions: The exchange by which workers tell each other how far they have read; None where
            one worker reads everything.
        first: The queue to read at once, and with priority, by which RabbitMQ 4 gives it back after
            a failover. The others follow after a while, so that of several workers that are started
            together each becomes the active one of its own.
    """

    queues: Mapping[str, Direction | None]
    exchanges: Mapping[str, Direction] = field(factory=dict)
    dead_letters: str = "sermo.dead"
    prefetch: int = 1000
    exclusive: bool = True
    time_header: str | None = None
    key_header: str | None = None
    positions: str | None = None
    first: str | None = None

    def direction_of(self, queue: str, exchange: str | None) -> Direction | None:
        """The direction of a message; None if nobody knows."""
        return self.queues[queue] or self.exchanges.get(exchange or "")


@define
class _Reader:
    """One queue that is being read."""

    queue: str
    channel: AbstractChannel
    iterator: Any
    probed_at: datetime | None = None
    """When the probe that has not come back was sent."""

    def may_be_probed(self, now: datetime) -> bool:
        """Whether no probe is on its way; one that has not come for long may be lost.

        Somebody has purged the queue, or another worker was the active one and got it.
        """
        return self.probed_at is None or now - self.probed_at > _PROBE_GIVEN_UP


@define
class RabbitSource:
    """Queues of one RabbitMQ.

    Attributes:
        url: Where the broker is.
        reading: What is read, and how.
        now: The time by the clock of this machine that is believed.
    """

    url: str = field(repr=False)
    reading: Reading
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _name: str = field(factory=lambda: uuid.uuid4().hex, init=False)
    _connection: AbstractConnection | None = field(default=None, init=False)
    _publishing: AbstractConnection | None = field(default=None, init=False)
    _out: AbstractChannel = field(init=False)
    _readers: dict[str, _Reader] = field(factory=dict, init=False)
    _tasks: list["asyncio.Task[None]"] = field(factory=list, init=False)
    _inbox: Inbox = field(factory=Inbox, init=False)
    _untold: dict[str, datetime] = field(factory=dict, init=False)
    _was_open: bool = field(default=False, init=False)

    @property
    def queues(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.reading.queues)

    # --- opening and closing ---------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and begin to read each queue at its head."""
        self._inbox = Inbox()
        with connected("the broker can't be reached"):
            try:
                self._connection = await connect(self.url)
                publishing = self._publishing = await connect(self.url)
            except (AuthenticationError, ProbableAuthenticationError) as error:
                raise SourceRefused(f"the broker refuses the user: {said(error)}") from error
        with connected("the queues can't be read"):
            await self._begin(publishing)
        self._tasks.append(asyncio.create_task(self._probe()))
        self._was_open = True

    async def _begin(self, publishing: AbstractConnection) -> None:
        """Begin to read, and to listen; a broker that answers nothing is given up."""
        async with asyncio.timeout(_BEGINNING):
            self._out = await publishing.channel(on_return_raises=True)
            await self._make_dead_letters()
            await self._listen()
            first = self.reading.first
            for queue in self.reading.queues if first is None else [first]:
                await self._read(queue)

    async def _read(self, queue: str) -> None:
        reader = self._readers[queue] = await self._reader(queue)
        self._tasks.append(asyncio.create_task(self._pump(reader)))

    async def _listen(self) -> None:
        """Hear how far the other workers have read."""
        if self.reading.positions is not None:
            queue = await self._out.declare_queue(exclusive=True)
            await queue.bind(self.reading.positions)
            await queue.consume(self._told, no_ack=True)

    async def _told(self, message: AbstractIncomingMessage) -> None:
        for queue, moment in json.loads(message.body).items():
            self._inbox.put(Mark(queue, datetime.fromisoformat(moment)))

    async def _make_dead_letters(self) -> None:
        if not await is_there(self._connected, self.reading.dead_letters):
            await self._out.declare_queue(self.reading.dead_letters, durable=True)

    async def _reader(self, name: str) -> _Reader:
        if not await is_there(self._connected, name):
            reason = f"there is no queue {name!r}"
            if self._was_open:  # somebody deletes it and makes it again
                raise SourceLost(reason)
            raise SourceRefused(f"{reason}: make it and bind it, or name another one")
        channel = await self._connected.channel()
        await channel.set_qos(prefetch_count=self.reading.prefetch)
        queue = await channel.get_queue(name, ensure=False)
        wanted = {"x-priority": 1} if name == self.reading.first else None
        iterator: Any = queue.iterator(exclusive=self.reading.exclusive, arguments=wanted)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._cancelled)
        try:
            await iterator.consume()
        except ChannelClosed as error:
            raise SourceLost(said(error), standby=_IN_USE in str(error)) from error
        return _Reader(name, channel, iterator)

    async def close(self) -> None:
        """Close the connection; the broker puts what is not acknowledged back where it was."""
        connections = self._connection, self._publishing
        self._connection = self._publishing = None
        self._inbox.fail(SourceLost("closed"))
        await asyncio.gather(*(close(one) for one in connections if one is not None))
        tasks, self._tasks = self._tasks, []
        self._readers.clear()
        await asyncio.gather(*tasks)

    @property
    def _connected(self) -> AbstractConnection:
        if self._connection is None:
            raise SourceLost("not connected")
        return self._connection

    # --- what comes ------------------------------------------------------------------------------

    async def _pump(self, reader: _Reader) -> None:
        """Pass on what the iterator gives; never cancelled, which would have it hand back."""
        try:
            with connected("the queue is no longer read"):
                async for message in reader.iterator:
                    await self._arrive(reader, message)
        except SourceLost as lost:
            self._inbox.fail(lost)
        finally:
            self._inbox.fail(SourceLost("the broker closed the connection"))

    def _cancelled(self, _: object) -> None:
        self._inbox.fail(SourceLost("the broker cancelled the consumer: the queue is gone"))

    async def _arrive(self, reader: _Reader, message: AbstractIncomingMessage) -> None:
        if message.type == _PROBE:
            self._inbox.put(Mark(reader.queue, self._probe_came(reader, message), message))
            return
        delivery = self._delivery(reader.queue, message)
        if delivery is None:
            reason = f"no direction is known for the exchange {message.exchange!r}"
            await self._bury(message, reader.queue, reason)
            self._inbox.put(Mark(reader.queue, None, message))
        else:
            self._inbox.put(delivery)

    def _delivery(self, queue: str, message: AbstractIncomingMessage) -> Delivery | None:
        reading, headers = self.reading, message.headers
        direction = reading.direction_of(queue, message.exchange)
        if direction is None:
            return None
        received_at, clock = receive_time(
            headers, message.timestamp, self.now(), header=reading.time_header
        )
        header = reading.key_header
        key = message.routing_key if header is None else headers.get(header)
        return Delivery(
            direction,
            message.body,
            queue,
            received_at,
            clock=clock,
            message_id=message.message_id if is_id(message.message_id) else None,
            platform_id=_platform(headers.get("platformId")),
            key=None if key is None else str(key),
            token=message,
        )

    # --- how far it is read ----------------------------------------------------------------------

    async def _probe(self) -> None:
        """Put a probe into each queue from which the one before has come back, from time to time.

        Where only the first queue is read, begin to read the others after some rounds.
        """
        try:
            with connected("no probe can be sent"):
                for rounds in itertools.count():
                    if rounds >= _ROUNDS_ALONE:
                        for queue in self.queues - self._readers.keys():
                            await self._read(queue)
                    with suppress(TimeoutError):  # the broker is short of memory, and takes nothing
                        await self._tell()
                        for reader in list(self._readers.values()):
                            if reader.may_be_probed(self.now()):
                                reader.probed_at = self.now()
                                await self._send_probe(reader.queue, reader.probed_at)
                    await self._inbox.until_lost(_PROBE_EVERY)
        except SourceLost as lost:
            self._inbox.fail(lost)

    async def _send_probe(self, queue: str, at: datetime) -> None:
        probe = aio_pika.Message(
            b"", type=_PROBE, headers={"worker": self._name, "at": at.isoformat()}
        )
        await self._out.default_exchange.publish(probe, queue, timeout=PATIENCE)

    def _probe_came(self, reader: _Reader, message: AbstractIncomingMessage) -> datetime | None:
        """The time that a probe proves to be read; the earlier one of two workers' clocks."""
        now = self.now()
        sent_at, _ = receive_time(message.headers, None, now, header="at")
        if message.headers.get("worker") == self._name:
            reader.probed_at = None
        return min(sent_at, now)

    # --- what the worker asks --------------------------------------------------------------------

    async def take(self, limit: int, linger: float, patience: float) -> Batch:
        """Take what is there."""
        return await self._inbox.take(limit, linger, patience)

    async def settle(
        self, batch: Batch, letters: Sequence[DeadLetter], position: Mapping[str, datetime]
    ) -> None:
        """Acknowledge all of *batch*, once the broker has confirmed the dead letters."""
        self.check()
        with connected("what was written could not be acknowledged"):
            for letter in letters:
                await self._bury(letter.delivery.token, letter.delivery.queue, letter.reason)
            for message in batch.last.values():
                await message.ack(multiple=True)
        self._untold |= {queue: position[queue] for queue in batch.last if queue in position}

    async def _tell(self) -> None:
        """Tell the other workers how far this one has read."""
        news, self._untold = self._untold, {}
        if news and self.reading.positions is not None:
            told = {queue: moment.isoformat() for queue, moment in news.items()}
            target = await self._out.get_exchange(self.reading.positions, ensure=False)
            message = aio_pika.Message(json.dumps(told).encode())
            await target.publish(message, "", timeout=PATIENCE)

    async def _bury(self, message: AbstractIncomingMessage, queue: str, reason: str) -> None:
        """Put a message to the dead letters as it came, with the reason in a header."""
        why = {
            _REASON: reason,
            "x-sermo-queue": queue,
            "x-sermo-exchange": message.exchange or "",
            "x-sermo-routing-key": message.routing_key or "",
        }
        letter = copy_of(message, {**message.headers, **why})
        exchange = self._out.default_exchange
        await exchange.publish(letter, self.reading.dead_letters, timeout=PATIENCE)

    async def unread(self) -> Mapping[str, int]:
        """How many messages wait in each queue, without those that were delivered."""
        counts = {}
        with connected("the queues can't be counted"):
            for queue, reader in self._readers.items():
                found = await reader.channel.declare_queue(queue, passive=True, timeout=PATIENCE)
                counts[queue] = found.declaration_result.message_count or 0
        return counts

    def check(self) -> None:
        """Raise where what was taken can't be settled any more."""
        self._inbox.check()


def _platform(value: object) -> str | None:
    return value if isinstance(value, str) and is_id(value) else None
