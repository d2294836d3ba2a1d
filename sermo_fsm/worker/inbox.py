"""What has been delivered and not been taken: filled while the batch before it is written."""

import asyncio
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from sermo_fsm.worker.source import Batch, Delivery, SourceLost

__all__ = ["Inbox", "Mark"]


@frozen
class Mark:
    """A place between two messages.

    Attributes:
        queue: The queue.
        time: Whatever came to the queue before that is before this place; None if it says nothing.
        token: What the broker put there.
    """

    queue: str
    time: datetime | None
    token: Any = None


@define
class Inbox:
    """Messages and marks in the order in which they came, until somebody takes them.

    It holds as many messages as the source lets in. It belongs to one event loop.

    Attributes:
        given: How many messages and marks have been taken.
    """

    given: int = 0
    _arrived: deque[Delivery | Mark] = field(factory=deque)
    _changed: asyncio.Event = field(factory=asyncio.Event)
    _gone: asyncio.Event = field(factory=asyncio.Event)
    _lost: SourceLost | None = None

    def put(self, item: Delivery | Mark) -> None:
        """Add what came last."""
        self._arrived.append(item)
        self._changed.set()

    def fail(self, reason: SourceLost) -> None:
        """Give nothing out any more; the first reason counts."""
        self._lost = self._lost or reason
        self._changed.set()
        self._gone.set()

    def check(self) -> None:
        """Raise where the source is lost.

        Raises:
            SourceLost: It is.
        """
        if self._lost is not None:
            raise self._lost

    async def take(self, limit: int, linger: float, patience: float) -> Batch:
        """Take what is there, as :meth:`Source.take` does.

        A call that is cancelled has taken nothing.

        Raises:
            SourceLost: The source is lost; what came before that can't be settled any more.
        """
        await self._wait(1, patience)
        if self._arrived:
            await self._wait(limit, linger)
        self.check()
        deliveries: list[Delivery] = []
        read_up_to: dict[str, datetime] = {}
        last: dict[str, Any] = {}
        while self._arrived and len(deliveries) < limit:
            item = self._arrived.popleft()
            self.given += 1
            if item.token is not None:
                last[item.queue] = item.token
            if isinstance(item, Delivery):
                deliveries.append(item)
            elif item.time is not None:
                read_up_to[item.queue] = item.time
        return Batch(deliveries, read_up_to, last)

    async def until_lost(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            SourceLost: The source is lost meanwhile.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        self.check()

    async def _wait(self, count: int, seconds: float) -> None:
        """Wait until so many are there, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self._arrived) < count and self._lost is None:
                    self._changed.clear()
                    await self._changed.wait()
