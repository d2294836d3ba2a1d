"""Kafka as a source, on the mock cluster that librdkafka brings along for tests.

It speaks the protocol, keeps offsets and groups, and is one process that never loses anything: what
a real cluster does when a broker dies is not seen here.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import define, evolve, field
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from sermo_fsm import AsyncChatEngine, ChatEngine, Direction, Outcome
from sermo_fsm.worker import kafka
from sermo_fsm.worker.kafka import KafkaSource
from sermo_fsm.worker.loop import Worker
from sermo_fsm.worker.source import Batch, Clock, SourceLost, SourceRefused
from tests.command.test_cli_support import sermo
from tests.databases import a_database, async_url
from tests.support import BOT, at, text
from tests.worker.support import QUICK, until, working

TOPICS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND}
EVERY_MESSAGE = evolve(QUICK, batch=7)


@define
class Cluster:
    """A mock cluster, which is gone with its producer."""

    producer: Producer | None = field(
        factory=lambda: Producer(
            {"bootstrap.servers": "-", "test.mock.num.brokers": 1, "log_level": 0}
        )
    )
    servers: str = field(init=False)
    url: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        assert self.producer is not None
        (broker,) = self.producer.list_topics(timeout=5).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"
        # The mock forgets a member who has left no sooner than one who has died.
        self.url = f"kafka://{self.servers}?session.timeout.ms=6000&heartbeat.interval.ms=1000"
        for topic in TOPICS:
            self.producer.produce(topic, b"{", partition=3)  # which makes it, of four partitions
        self.producer.flush()

    def put(self, topic: str, *events: Any, user: str = "anna", **headers: str) -> None:
        assert self.producer is not None
        for number, one in enumerate(events):
            body = one if isinstance(one, bytes) else json.dumps(one).encode()
            stamp = round(at(number).timestamp() * 1000)
            given: Any = headers or {"timestamp_in_ms": str(stamp)}
            self.producer.produce(topic, body, user, headers=given, timestamp=stamp)
        self.producer.flush()

    def read(self, topic: str) -> list[Any]:
        """All messages of a topic."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "test", "log_level": 0})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
        found: list[Any] = []
        while not found:
            found = consumer.consume(10, 0.5)
        consumer.close()
        return found


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


@pytest.fixture(autouse=True)
def _ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_ASK_EVERY", timedelta(seconds=0.1))


async def refuse(*_: object) -> None:
    raise ValueError("no")


def rows(url: sa.URL, user: str = "anna") -> list[str]:
    with ChatEngine(url) as chats:
        assert chats.verify().ok
        found = [row for one in chats.sessions(user=user) for row in chats.history(one.session_id)]
        return [row.message_id for row in found if row.message_id]


@pytest.mark.prove
def test_all_is_written_in_the_order_of_its_partition_and_read_once(
    url: sa.URL, cluster: Cluster
) -> None:
    async def work(wanted: int) -> Worker:
        cluster.put("in", *(text(str(number)) for number in range(50)))
        async with working(url, KafkaSource(cluster.url, TOPICS), EVERY_MESSAGE) as (worker, task):
            await until(lambda: worker.tally.written == wanted, task)
            now = worker.clock.now()
            await until(lambda: worker.tally.swept_to and worker.tally.swept_to > now, task)
            await until(lambda: worker.tally.unread, task)
            assert set(worker.tally.unread.values()) == {0}
            return worker

    worker = asyncio.run(work(52))
    assert worker.tally.clocks == {Clock.BROKER: 50, Clock.PUBLISHER: 2}
    found = rows(url)
    numbers = [int(name.rpartition("-")[2]) for name in found]
    assert numbers == list(range(numbers[0], numbers[0] + 50))
    assert len({name.rpartition("-")[0] for name in found}) == 1
    assert asyncio.run(work(50)).tally.read == 50  # the next fifty, and nothing of those before


@pytest.mark.prove
def test_what_was_written_and_not_committed_comes_again_and_counts_once(
    url: sa.URL, cluster: Cluster
) -> None:
    class Cut(KafkaSource):
        was_cut = False

        async def settle(self, *arguments: Any) -> None:
            if not Cut.was_cut and any(one.body != b"{" for one in arguments[0].deliveries):
                Cut.was_cut = True
                raise SourceLost("just now")
            await super().settle(*arguments)

    async def work() -> Worker:
        cluster.put("in", *(text(str(number)) for number in range(20)))
        async with working(url, Cut(cluster.url, TOPICS), EVERY_MESSAGE) as (worker, task):
            await until(lambda: len(rows(url)) == 20 and worker.tally.sweeps, task)
        return worker

    worker = asyncio.run(work())
    assert worker.tally.reconnects == 1
    assert worker.tally.outcomes[Outcome.DUPLICATE] > 0
    assert len(set(rows(url))) == 20


@pytest.mark.prove
def test_two_workers_share_the_partitions_and_tell_each_other_how_far_they_are(
    url: sa.URL, cluster: Cluster
) -> None:
    async def work() -> list[int]:
        async with AsyncChatEngine(async_url(url)) as engine:
            sources = [KafkaSource(cluster.url, TOPICS) for _ in range(2)]
            workers = [Worker(engine, one, EVERY_MESSAGE) for one in sources]
            tasks = [asyncio.create_task(one.run()) for one in workers]
            await until(
                lambda: all(one._consumer and one._consumer.assignment() for one in sources),
                tasks[0],
            )
            for number in range(20):
                cluster.put("in", text(user=f"u-{number}"), user=f"u-{number}")
                cluster.put("out", text(user=f"u-{number}", agent=BOT), user=f"u-{number}")
            now = workers[0].clock.now()
            for one, task in zip(workers, tasks, strict=True):
                await until(
                    lambda one=one: one.tally.swept_to and one.tally.swept_to > now,  # type: ignore[misc]  # bound now
                    task,
                )
                one.stop()
            await asyncio.gather(*tasks)
            return [one.tally.written for one in workers]

    shares = asyncio.run(work())
    assert all(shares)
    assert sum(shares) >= 42
    assert {len(rows(url, f"u-{number}")) for number in range(20)} == {2}


def test_bad_messages_go_to_the_dead_letters_as_they_came(
    url: sa.URL, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        cluster.put("in", b"?", traceId="t-1")
        async with working(url, KafkaSource(cluster.url, TOPICS, "dead")) as (worker, task):
            await until(lambda: worker.tally.dead_letters == 3, task)

    monkeypatch.setattr(AsyncChatEngine, "handle_many", refuse)
    asyncio.run(work())
    (letter,) = (one for one in cluster.read("dead") if one.value() == b"?")
    assert letter.key() == b"anna"
    headers = dict(letter.headers())
    assert headers["traceId"] == b"t-1"
    assert headers["x-sermo-reason"] == b"builtins.ValueError"
    assert re.fullmatch(rb"in-\d", headers["x-sermo-queue"])


@pytest.mark.prove
def test_dead_letters_that_nobody_takes_are_not_committed(
    url: sa.URL, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        def __init__(self, _: object) -> None:
            pass

        def produce(self, *_: object, **__: object) -> None:
            pass

        def flush(self, _: float) -> int:
            return 1

    async def work() -> None:
        monkeypatch.setattr("sermo_fsm.worker.kafka.Producer", Deaf)
        monkeypatch.setattr(AsyncChatEngine, "handle_many", refuse)
        async with working(url, KafkaSource(cluster.url, TOPICS)) as (worker, task):
            await until(lambda: worker.tally.reconnects, task)
        monkeypatch.undo()
        async with working(url, KafkaSource(cluster.url, TOPICS)) as (worker, task):
            await until(lambda: worker.tally.written == 2, task)

    asyncio.run(work())


def test_a_topic_that_is_not_there_is_refused(url: sa.URL, cluster: Cluster) -> None:
    async def work() -> None:
        async with AsyncChatEngine(async_url(url)) as engine:
            await Worker(engine, KafkaSource(cluster.url, {"x": Direction.INBOUND}), QUICK).run()

    with pytest.raises(SourceRefused, match="there is no topic 'x': make it"):
        asyncio.run(work())


def test_a_broker_that_goes_away_is_lost_and_waited_for(
    url: sa.URL, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        source = KafkaSource(f"{cluster.url}&socket.timeout.ms=1000", TOPICS)
        async with working(url, source) as (worker, task):
            await until(lambda: worker.tally.written == 2, task)
            cluster.producer = None
            await until(lambda: worker.tally.reconnects, task)

    monkeypatch.setattr(kafka, "_PATIENCE", 1.0)
    asyncio.run(work())


class Stub:
    """A message as a broker that stamps, or that is very old, would give it."""

    def __init__(self, kind: int, headers: Any = None) -> None:
        self.kind, self.given = kind, headers

    def timestamp(self) -> tuple[int, int]:
        return self.kind, round(at(5).timestamp() * 1000)

    def headers(self) -> Any:
        return self.given

    def topic(self) -> str:
        return "in"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def value(self) -> None:
        return None


NOW = at(99)


@pytest.mark.parametrize(
    ("kind", "headers", "received_at", "clock"),
    [
        (0, None, NOW, Clock.WORKER),
        (1, None, at(5), Clock.PUBLISHER),
        (2, None, at(5), Clock.APPEND),
        (2, [("received", b"2026-03-01T12:00:03Z")], at(3), Clock.HEADER),
        (2, [("received", None), ("platformId", b"web")], at(5), Clock.APPEND),
    ],
)
def test_whose_clock_counts(kind: int, headers: Any, received_at: datetime, clock: Clock) -> None:
    source = KafkaSource("kafka://x", TOPICS, time_header="received", now=lambda: NOW)
    message: Any = Stub(kind, headers)
    found = source._delivery(message)
    assert (found.received_at, found.clock, found.message_id) == (received_at, clock, "in-0-7")
    assert found.platform_id == ("web" if headers and len(headers) > 1 else None)
    assert found.body == b""


def test_whoever_is_not_connected_or_was_thrown_out_of_the_group_has_lost_the_broker() -> None:
    class Out:
        """A message, and a consumer, of somebody whom the group has forgotten."""

        refused = KafkaError(KafkaError.UNKNOWN_MEMBER_ID)

        def error(self) -> KafkaError:
            return self.refused

        def consume(self, *_: object) -> list[Any]:
            return [self]

        def assignment(self) -> list[TopicPartition]:
            return [TopicPartition("in", 0, 1)]

        def position(self, asked: list[TopicPartition]) -> list[TopicPartition]:
            return asked

        def commit(self, **_: object) -> list[Any]:
            return [SimpleNamespace(error=self.refused)]

    batch = Batch(read_up_to={"in-0": NOW})
    source = KafkaSource("kafka://x", TOPICS)
    for call in (source.take(1, 0, 0), source.settle(batch, [], {}), source.unread()):
        with pytest.raises(SourceLost, match="not connected"):
            asyncio.run(call)
    consumer: Any = Out()
    source._consumer = consumer
    for call in (source.take(1, 0, 0), source.settle(batch, [], {})):
        with pytest.raises(SourceLost, match="Unknown member"):
            asyncio.run(call)


def test_the_command_reads_topics_to_their_end(tmp_path: Path, cluster: Cluster) -> None:
    database = f"sqlite:///{tmp_path}/chats.db"
    assert sermo("db", "upgrade", "--db", database).exit_code == 0
    cluster.put("in", text())
    arguments = ["--db", database, "--broker", cluster.url, "--queues", "inbound=in,outbound=out"]
    done = sermo("worker", *arguments, "--drain", "--margin", "0")
    assert (done.exit_code, done.stdout) == (0, "3 messages written\n"), done.output
    done = sermo("worker", "--broker", cluster.url, "--partitions", "2", "--db", database)
    assert done.exit_code == 2
    assert "Kafka has its own partitions" in done.output
