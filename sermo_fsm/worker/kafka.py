"""Kafka as a source, by confluent-kafka.

Each partition of a topic is a queue. Offsets are committed after the database, so what was written
and not committed comes again; topic, partition and offset are the message id. The client fetches
ahead by itself, and gives partitions back only from within a poll: while a batch is written, none
is taken away.

How far a partition has been read is asked of the broker, over a connection that no fetch holds up.
Where nothing follows what was taken, all that was appended before the question has been read.
Workers tell each other by the words that Kafka keeps with an offset.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # OffsetSpec, not in its __all__
    AdminClient,
    OffsetSpec,
)

from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.fields import is_id
from sermo_fsm.worker.clocks import receive_time
from sermo_fsm.worker.source import (
    Batch,
    Clock,
    DeadLetter,
    Delivery,
    SourceLost,
    SourceRefused,
)

__all__ = ["KafkaSource"]

_PATIENCE: Final = 10.0
"""Seconds to wait for the broker's answer."""
_ASK_EVERY: Final = timedelta(seconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OURS: Final = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "log_level": 0,  # what matters of its words is in the errors
    # One worker gets the partitions of the same number of all topics, so all of a user's events.
    "partition.assignment.strategy": "range",
}

_T = TypeVar("_T")


@contextmanager
def _connected(what: str) -> Iterator[None]:
    """Raise our own errors instead of those of the client."""
    try:
        yield
    except KafkaException as error:
        raise SourceLost(f"{what}: {error.args[0].str()}") from error


def _settings(url: str) -> dict[str, Any]:
    """What a URL such as ``kafka://host:9092,host:9092?group.id=chats`` tells the client."""
    parts = urlsplit(url)
    return {"bootstrap.servers": parts.netloc, "group.id": "sermo", **dict(parse_qsl(parts.query))}


def _queue(one: TopicPartition) -> str:
    return f"{one.topic}-{one.partition}"


@define
class KafkaSource:
    """Topics of one Kafka.

    Attributes:
        url: Where the brokers are; its query is for librdkafka, such as ``security.protocol``.
        topics: The topics, and the direction that all of their messages have.
        dead_letters: The topic for what can't be written.
        time_header: A header that holds a receive time.
        now: The time by the clock of this machine that is believed.
    """

    url: str = field(repr=False)
    topics: Mapping[str, Direction]
    dead_letters: str = "sermo.dead"
    time_header: str | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _consumer: Consumer | None = field(default=None, init=False)
    _asking: AdminClient = field(init=False)
    _partitions: dict[str, TopicPartition] = field(factory=dict, init=False)
    _ends: dict[str, int] = field(factory=dict, init=False)
    _asked_at: datetime = field(default=_EPOCH, init=False)
    _thread: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(1), init=False)

    @property
    def queues(self) -> frozenset[str]:
        """All partitions of all topics."""
        return frozenset(self._partitions)

    async def open(self) -> None:
        """Join the group, and read its partitions from what was last committed."""
        await self._call(self._open)

    async def take(self, limit: int, linger: float, patience: float) -> Batch:
        """Take what is there."""
        return await self._call(self._take, limit, linger, patience)

    async def settle(
        self, batch: Batch, letters: Sequence[DeadLetter], position: Mapping[str, datetime]
    ) -> None:
        """Commit the offsets, once the broker has the dead letters."""
        await self._call(self._settle, batch, letters, position)

    async def unread(self) -> Mapping[str, int]:
        """How many messages of each partition of this worker have not been taken."""
        return await self._call(self._unread)

    def check(self) -> None:
        """Do nothing: whether the group has gone on without us is heard when we commit."""

    async def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await self._call(consumer.close)

    async def _call(self, work: Callable[..., _T], *arguments: object) -> _T:
        """Call it in the one thread that talks to Kafka."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # --- in that thread --------------------------------------------------------------------------

    @property
    def _opened(self) -> Consumer:
        if self._consumer is None:
            raise SourceLost("not connected")
        return self._consumer

    def _open(self) -> None:
        self._ends, self._asked_at = {}, _EPOCH
        with _connected("the broker can't be reached"):
            settings = _settings(self.url)
            self._consumer = Consumer({**settings, **_OURS})
            del settings["group.id"]
            self._asking = AdminClient({**settings, "log_level": 0})
            there = self._consumer.list_topics(timeout=_PATIENCE).topics
            for topic in self.topics:
                if topic not in there:
                    raise SourceRefused(f"there is no topic {topic!r}: make it, or name another")
            self._partitions = {
                _queue(one): one
                for topic in self.topics
                for one in (TopicPartition(topic, n) for n in there[topic].partitions)
            }
            self._consumer.subscribe(list(self.topics))

    def _take(self, limit: int, linger: float, patience: float) -> Batch:
        consumer = self._opened
        with _connected("the topics can't be read"):
            messages = consumer.consume(1, patience)
            if messages and limit > 1:
                messages += consumer.consume(limit - 1, linger)
            found = [self._delivery(one) for one in messages if not self._is_end(one)]
            return Batch(found, self._read_up_to(consumer))

    def _is_end(self, message: Message) -> bool:
        """Whether this only says that nothing follows."""
        error = message.error()
        if error is None:
            return False
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name is public
            raise KafkaException(error)
        self._ends[f"{message.topic()}-{message.partition()}"] = message.offset() or 0
        return True

    def _delivery(self, message: Message) -> Delivery:
        topic = str(message.topic())
        queue = f"{topic}-{message.partition()}"
        given: Any = message.headers() or ()  # a list here; where one publishes it may be a dict
        headers = {name: _number(value) for name, value in given}
        kind, milliseconds = message.timestamp()
        stamped = _EPOCH + timedelta(milliseconds=milliseconds)
        received_at, clock = receive_time(
            headers,
            None if kind == TIMESTAMP_NOT_AVAILABLE else stamped,
            self.now(),
            header=self.time_header,
        )
        if clock is Clock.PUBLISHER and kind == TIMESTAMP_LOG_APPEND_TIME:
            clock = Clock.APPEND
        platform = headers.get("platformId")
        return Delivery(
            self.topics[topic],
            bytes(message.value() or b""),
            queue,
            received_at,
            clock=clock,
            message_id=f"{queue}-{message.offset()}",
            platform_id=platform if isinstance(platform, str) and is_id(platform) else None,
            token=message,
        )

    def _read_up_to(self, consumer: Consumer) -> dict[str, datetime]:
        """How far each partition has been read, asked from time to time."""
        if self.now() - self._asked_at < _ASK_EVERY:
            return {}
        self._asked_at = self.now()
        found = {}
        own = {_queue(one): one for one in consumer.position(consumer.assignment())}
        ends = self._log_ends(own)
        for queue, one in own.items():
            if self._next(one) >= ends[queue]:
                found[queue] = self._asked_at
        others = [one for queue, one in self._partitions.items() if own and queue not in own]
        for one in consumer.committed(others, timeout=_PATIENCE) if others else ():
            if one.metadata:
                found[_queue(one)] = datetime.fromisoformat(one.metadata)
        return found

    def _log_ends(self, own: Mapping[str, TopicPartition]) -> dict[str, int]:
        """The offset that the next message of each partition will have."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its module has no types
        wanted = {TopicPartition(one.topic, one.partition): latest for one in own.values()}
        asked = self._asking.list_offsets(wanted, request_timeout=_PATIENCE) if wanted else {}
        return {_queue(one): answer.result().offset for one, answer in asked.items()}

    def _next(self, position: TopicPartition) -> int:
        """The offset behind what was taken; less than nothing while that is unknown."""
        return max(position.offset, self._ends.get(_queue(position), -1))

    def _settle(
        self, batch: Batch, letters: Sequence[DeadLetter], position: Mapping[str, datetime]
    ) -> None:
        if not batch.deliveries and not batch.read_up_to:
            return
        consumer = self._opened
        with _connected("what was written could not be committed"):
            self._bury(letters)
            offsets = [
                TopicPartition(one.topic, one.partition, self._next(one), _words(position, one))
                for one in consumer.position(consumer.assignment())
                if self._next(one) >= 0
            ]
            told = consumer.commit(offsets=offsets, asynchronous=False) if offsets else None
            for one in told or ():
                if one.error is not None:
                    raise KafkaException(one.error)

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        """Put messages to the dead letters as they came, with the reason in a header."""
        if not letters:
            return
        producer = Producer({"bootstrap.servers": _settings(self.url)["bootstrap.servers"]})
        for letter in letters:
            message: Message = letter.delivery.token
            why = [("x-sermo-reason", letter.reason), ("x-sermo-queue", letter.delivery.queue)]
            headers: Any = [*(message.headers() or ()), *why]
            producer.produce(self.dead_letters, message.value(), message.key(), headers=headers)
        if producer.flush(_PATIENCE):
            raise SourceLost("the dead letters could not be published")

    def _unread(self) -> dict[str, int]:
        consumer = self._opened
        with _connected("the topics can't be counted"):
            own = {_queue(one): one for one in consumer.position(consumer.assignment())}
            ends = self._log_ends(own)
            return {queue: ends[queue] - max(self._next(one), 0) for queue, one in own.items()}


def _words(position: Mapping[str, datetime], one: TopicPartition) -> str:
    moment = position.get(_queue(one))
    return "" if moment is None else moment.isoformat()


def _number(value: object) -> object:
    """A header's value: bytes, of which some are text, and some of that a number."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return int(text) if isinstance(text, str) and text.isdecimal() else text
