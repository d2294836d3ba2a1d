"""What the tests of faults share: chats that are published, and what must have become of them.

Every message has to have its effect exactly once, as the naive model says, whatever was killed.
"""

import asyncio
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, evolve, field

from sermo_fsm import AsyncChatEngine, ChatEngine, Direction, Envelope, Outcome, Policy
from sermo_fsm.worker.loop import Worker
from sermo_fsm.worker.publisher import Target, publish
from sermo_fsm.worker.rabbitmq import RabbitSource
from sermo_fsm.worker.source import SourceLost
from sermo_fsm.worker.topology import Topology
from tests.command.test_cli_support import traffic
from tests.databases import async_url
from tests.naive_model import QUIET, NaiveChats
from tests.worker.broker import a_broker
from tests.worker.node import Node
from tests.worker.support import QUICK

LONG: Final = "SERMO_SOAK" in os.environ
TOPOLOGY: Final = Topology(2, {one: one.value for one in (Direction.INBOUND, Direction.OUTBOUND)})
SHARE: Final = 60
UNSWEPT: Final = evolve(QUICK, margin=timedelta(days=9999), sweep_every=1.0, batch=10)
_PER_USER: Final = 30
_PATIENCE: Final = 120.0


def envelopes(users: int) -> Iterator[Envelope]:
    """Chats without end, without quiet events: a second reading of those may leave a trace."""
    for one in map(json.loads, traffic(10**9, users=users)):
        if one["event"]["type"] in QUIET:
            continue
        # A broker stamps to the millisecond.
        moment = datetime.fromisoformat(one["receivedAt"])
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        yield Envelope(
            one["direction"], one["event"], message_id=one["messageId"], received_at=moment
        )


@define
class Rig:
    """A broker and a database, and what was published for them.

    Attributes:
        node: The broker.
        url: The database as the worker reaches it.
        kills: How many times something is broken.
        published: What the broker has confirmed.
    """

    node: Node
    url: sa.URL
    kills: int
    published: list[Envelope] = field(factory=list)
    _coming: Iterator[Envelope] = field(init=False)
    _chance: random.Random = field(factory=lambda: random.Random(7), init=False)  # noqa: S311 - moments, no secret

    def __attrs_post_init__(self) -> None:
        self._coming = envelopes(5 + SHARE * self.kills // _PER_USER)

    async def publish(self, count: int = SHARE) -> None:
        """Publish some more, and again from the top where the broker dies, as publishers do."""
        share = list(islice(self._coming, count))
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                await publish(Target(self.node.url, TOPOLOGY.exchanges), share)
            except SourceLost:
                assert time.monotonic() < end
                await asyncio.sleep(0.2)
            else:
                self.published += share
                return

    async def moment(self) -> None:
        """Wait until somebody is wherever they happen to be: any moment is right."""
        await asyncio.sleep(self._chance.random() * 0.15)

    @asynccontextmanager
    async def working(self, **settings: Any) -> AsyncIterator[tuple[Worker, "asyncio.Task[None]"]]:
        """A worker in this process."""
        async with AsyncChatEngine(async_url(self.url)) as engine:
            source = RabbitSource(self.node.url, TOPOLOGY.reading(None, dead_letters="dead"))
            worker = Worker(engine, source, evolve(UNSWEPT, **settings))
            task = asyncio.create_task(worker.run())
            try:
                yield worker, task
            finally:
                worker.stop()
                await task

    async def read_to_the_end(self) -> None:
        """Read what is left; in the queues are only the last probes then."""
        async with self.working(drain=True) as (_, task):
            await task
        async with a_broker(self.node.url) as broker:
            assert await broker.count("dead") == 0
            for name in TOPOLOGY.queues:
                assert await broker.count(name) <= 1

    def compare(self) -> int:
        """Every message has had the effect that the model says. Returns how many effects."""
        models: dict[str, NaiveChats] = defaultdict(_model)
        for one in self.published:
            assert isinstance(one.event, dict)
            assert one.received_at is not None
            models[one.event["userId"]].handle(
                one.direction, dict(one.event), one.received_at, one.message_id
            )
        effects = []
        with ChatEngine(self.url) as chats:
            for user, model in models.items():
                for session in chats.sessions(user=user):
                    rows = [row.as_dict() for row in chats.history(session.session_id)]
                    wanted = model.history("web", user, session.ordinal)
                    assert _facts(rows) == _facts(wanted), user
                    effects += [row["messageId"] for row in rows if row["messageId"]]
                last, status = chats.status("web", user), model.status("web", user)
                assert (last and last.ordinal) == (status and status["ordinal"])
            effects += [row.message_id for row in chats.strays()]
            assert chats.verify().ok
        assert sorted(effects) == sorted(str(one.message_id) for one in self.published)
        return len(effects)


def written(worker: Worker) -> int:
    """How many messages have had their effect, those that came again counted once."""
    return worker.tally.written - worker.tally.outcomes[Outcome.DUPLICATE]


def _model() -> NaiveChats:
    policy = Policy()
    return NaiveChats(
        unload_grace=policy.unload_grace, idle_timeout=policy.idle_timeout, linger=policy.linger
    )


def _facts(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("seq", "direction", "trigger", "from", "to", "outcome", "messageId", "reason")
    return [tuple(row[name] for name in names) for row in rows]


@contextmanager
def judged(fault: str, rig: Rig) -> Iterator[None]:
    """Break things in the block; then everything must be as if nothing had been broken."""
    began = time.monotonic()
    yield
    asyncio.run(rig.read_to_the_end())
    effects = rig.compare()
    seconds = time.monotonic() - began
    print(  # noqa: T201 - what `make soak` shows
        f"\n{fault}: {rig.kills} survived, {len(rig.published)} messages published, "
        f"{effects} effects, {seconds:.0f} s"
    )
