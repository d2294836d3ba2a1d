"""One, two and four workers from RabbitMQ into PostgreSQL, beside what each end does alone.

Broker and database are started for it, the database with ``fsync``, as it is by default.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import aio_pika
import sqlalchemy as sa
from attrs import evolve, field, frozen

from benchmarks.contenders import Job
from benchmarks.contenders.floor import Floor
from benchmarks.options import Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import Message, batches, traffic
from sermo_fsm import ChatEngine, Direction, Envelope
from sermo_fsm.worker.publisher import Target, publish
from sermo_fsm.worker.topology import Topology, apply

__all__ = ["scale"]

_ABOUT: Final = """
{events} messages lie in the partitions of a RabbitMQ, as many as there are workers, which read them
in batches of {batch}. The clock runs from the first commit to the last, so what a worker takes to
start is not in it. Beside them the broker's client, which only acknowledges, and one connection of
the driver, which writes the same rows. CPU is that of all processes of the PostgreSQL. Broker,
database and workers share the cores of one machine.
"""
_COLUMNS: Final = ["", "events/s", "database: CPU per event, µs", "events per CPU second"]
_WORKERS: Final = (1, 2, 4)
_EXCHANGES: Final = {Direction.INBOUND: "inbound", Direction.OUTBOUND: "outbound"}
_SETTINGS: Final = (
    *("--fsync=on", "--shared_buffers=256MB", "--max_connections=50"),
    "--track_commit_timestamp=on",
)
_SPAN: Final = """
    SELECT extract(epoch FROM max(at) - min(at))
    FROM (SELECT pg_xact_commit_timestamp(xmin) AS at FROM sermo_history) AS commits
"""
_PATIENCE: Final = 600
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@frozen
class _Measured:
    """Events a second, and CPU seconds of the database for each; None if it has no part in it."""

    rate: float
    cost: float | None = None


def scale(options: Options) -> Result:
    """On servers of its own: the options about databases do not matter."""
    from tests.servers import a_folder, a_server
    from tests.worker.node import a_node

    with ExitStack() as stack:
        folder = stack.enter_context(a_folder())
        server: Any = stack.enter_context(a_server("postgresql", folder, *_SETTINGS))
        bench = _Bench(stack.enter_context(a_node()).url, server, options)
        steps: dict[str, Callable[[str], _Measured]] = {
            "the broker's client alone reads": bench.read,
            "the driver alone writes": bench.write,
        }
        for count in _WORKERS:
            workers = evolve(bench, workers=count)
            steps[f"{count} worker{'s' if count > 1 else ''}"] = workers.work
        found: dict[str, list[_Measured]] = {name: [] for name in steps}
        for number in range(options.rounds):
            for place, (name, step) in enumerate(steps.items()):
                found[name].append(step(f"run{number}x{place}"))
        with server.admin() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    table = Table("RabbitMQ and PostgreSQL", _COLUMNS, [_row(*one) for one in found.items()])
    about = _ABOUT.strip().format(
        events=f"{options.events:,}".replace(",", " "), batch=options.batch
    )
    return Result(
        "Scale",
        about,
        [table],
        conditions=[
            *conditions(evolve(options, databases=()), ["aio-pika"]),
            f"PostgreSQL {version}, {' '.join(_SETTINGS)}; RabbitMQ with quorum queues",
        ],
    )


def _row(name: str, runs: Sequence[_Measured]) -> list[str]:
    costs = [one.cost for one in runs if one.cost]
    shown = (
        (Spread.of(costs).shown(1e6), Spread.of(1 / one for one in costs).shown())
        if costs
        else ("–", "–")
    )
    return [name, Spread.of(one.rate for one in runs).shown(), *shown]


@frozen
class _Bench:
    """What is measured, on these servers.

    Attributes:
        workers: How many workers read, and how many partitions there are.
    """

    broker: str
    server: Any
    options: Options
    workers: int = 1
    events: Sequence[Message] = field(init=False)

    @events.default
    def _traffic(self) -> Sequence[Message]:
        return traffic(self.options.events, chats=self.options.chats)

    def work(self, name: str) -> _Measured:
        """Have the workers read all that there is."""
        url, options = self._database(name), self._published(name)
        before = _cpu_of(self.server.process.pid)
        command = [sys.executable, "-m", "sermo_fsm", "worker", *options, "--db", url]
        workers = [
            subprocess.Popen(  # noqa: S603 - ourselves
                [*command, "--first", str(first)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for first in range(self.workers)
        ]
        try:
            if any(one.wait(_PATIENCE) for one in workers):
                raise RuntimeError("a worker did not end well")
        finally:
            for one in workers:
                one.kill()
        cpu = _cpu_of(self.server.process.pid) - before
        # The first commit of each worker has a batch of its own.
        counted = len(self.events) - self.options.batch * self.workers
        return _Measured(counted / self._span(url), cpu / len(self.events))

    def read(self, name: str) -> _Measured:
        """Read with the broker's client, and acknowledge as the worker does."""
        self._published(name)
        with get_context("spawn").Pool(1) as pool:
            given = self.broker, name, len(self.events), self.options.batch
            return _Measured(len(self.events) / pool.apply(_read, given))

    def write(self, name: str) -> _Measured:
        """Write with the driver, one transaction for a batch."""
        job = Job((), list(batches(self.events, self.options.batch)))
        floor = Floor()
        floor.learn(self._database(f"{name}learn", migrated=False), job)
        floor.open(self._database(name, migrated=False))
        before, start = _cpu_of(self.server.process.pid), time.perf_counter()
        for batch in job.timed:
            floor.many(batch)
        seconds = time.perf_counter() - start
        cpu = _cpu_of(self.server.process.pid) - before
        floor.close()
        return _Measured(len(self.events) / seconds, cpu / len(self.events))

    def _database(self, name: str, *, migrated: bool = True) -> str:
        with self.server.admin() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        url: str = self.server.url(name).render_as_string(hide_password=False)
        if migrated:
            with ChatEngine(url) as chats:
                chats.migrate()
        return url

    def _published(self, name: str) -> list[str]:
        """Put all messages into partitions of this name; the worker's options for them."""
        exchanges = {one: f"{name}.{exchange}" for one, exchange in _EXCHANGES.items()}
        topology = Topology(self.workers, exchanges, name=name)
        envelopes = [
            Envelope(
                one.direction,
                json.loads(one.body),
                message_id=one.message_id,
                received_at=one.received_at,
            )
            for one in self.events
        ]
        asyncio.run(apply(self.broker, topology))
        asyncio.run(publish(Target(self.broker, exchanges), envelopes))
        named = ",".join(f"{one}={exchange}" for one, exchange in exchanges.items())
        return [
            *("--broker", self.broker, "--name", name, "--exchanges", named),
            *("--partitions", str(self.workers), "--batch", str(self.options.batch)),
            *("--margin", str(10**9), "--drain"),  # no sweep
        ]

    @staticmethod
    def _span(url: str) -> float:
        """Seconds from the first commit to the last."""
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            seconds = float(connection.exec_driver_sql(_SPAN).scalar_one())
        engine.dispose()
        return seconds


def _read(broker: str, name: str, count: int, batch: int) -> float:
    """Seconds from the first of so many messages to the last, in a process of its own."""
    return asyncio.run(_read_all(broker, f"{name}.0", count, batch))


async def _read_all(broker: str, name: str, count: int, batch: int) -> float:
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2 * batch)
        queue = await channel.get_queue(name)
        read, start = 0, 0.0
        async with queue.iterator() as messages:
            async for message in messages:
                start = start or time.perf_counter()
                read += 1
                if read % batch == 0 or read == count:
                    await message.ack(multiple=True)
                if read == count:
                    break
    return time.perf_counter() - start


def _cpu_of(process: int) -> float:
    """CPU seconds of a process and its children, those that have ended too."""
    return sum(map(_seconds, [process, *_children(process)]))


def _children(process: int) -> Iterator[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    yield from map(int, text.split())


def _seconds(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:  # it has ended just now
        return 0.0
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / _TICKS
