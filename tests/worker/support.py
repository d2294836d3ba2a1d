"""What the tests of the worker share: traffic as deliveries, and a worker in a call."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from sermo_fsm import AsyncChatEngine, Direction
from sermo_fsm.worker.loop import Settings, Worker
from sermo_fsm.worker.source import Clock, Delivery, Source
from tests.databases import async_url
from tests.support import at, text

QUICK = Settings(linger=0.0, patience=0.01, sweep_every=0.0, longest_wait=0.05, margin=timedelta())


class Failing:
    """Makes calls of an engine or a source fail, reason after reason; then it works again."""

    def __init__(self, engine: Any, name: str, *reasons: Exception, done: bool = False) -> None:
        self.done = done
        self.real = getattr(engine, name)
        self.reasons = list(reasons)
        self.calls = 0
        setattr(engine, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.reasons:
            if self.done:
                await self.real(*arguments, **named)
            raise self.reasons.pop(0)
        return await self.real(*arguments, **named)


def delivery(
    seconds: float,
    event: dict[str, Any] | bytes | None = None,
    *,
    direction: str = "inbound",
    message_id: str | None = "by time",
    clock: Clock = Clock.BROKER,
) -> Delivery:
    """A message received so many seconds after the start; its queue is named as its direction."""
    body = event if isinstance(event, bytes) else json.dumps(event or text()).encode()
    return Delivery(
        Direction(direction),
        body,
        direction,
        at(seconds),
        clock=clock,
        message_id=f"{direction}-{seconds}" if message_id == "by time" else message_id,
    )


@asynccontextmanager
async def working(
    url: sa.URL, source: Source, settings: Settings = QUICK, **options: Any
) -> AsyncIterator[tuple[Worker, "asyncio.Task[None]"]]:
    """A worker that is running; it is told to stop at the end, and has to."""
    async with AsyncChatEngine(async_url(url)) as engine:
        worker = Worker(engine, source, settings, **options)
        task = asyncio.create_task(worker.run())
        try:
            yield worker, task
        finally:
            worker.stop()
            await task


async def until(what: Callable[[], object], task: "asyncio.Task[None]") -> None:
    """Wait until it is so; what the worker raises is raised here."""
    async with asyncio.timeout(300):
        while not what():
            if task.done():
                task.result()
                assert what(), "the worker has stopped"
                return
            await asyncio.sleep(0.005)
