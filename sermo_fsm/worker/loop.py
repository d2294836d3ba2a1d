"""The loop: take a batch, write it in one transaction, acknowledge it, judge who has gone.

What is decided is in :mod:`~sermo_fsm.worker.decisions`; here it is done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stamina
from attrs import define, field, frozen

from sermo_fsm.core.history import Receipt
from sermo_fsm.engine.aio import AsyncChatEngine
from sermo_fsm.errors import StoreError, StoreUnavailable
from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.worker.decisions import (
    Horizon,
    SteadyClock,
    Sweeps,
    Verdict,
    dead_letters,
    verdict,
)
from sermo_fsm.worker.source import Clock, Delivery, Source, SourceLost
from sermo_fsm.worker.tally import Tally

__all__ = ["Settings", "Worker"]

_LOG: Final = logging.getLogger("sermo_fsm.worker")

Result = tuple[Delivery, Receipt | Exception]
"""A message, and its receipt or why it can't be written."""


@frozen
class Settings:
    """How the worker works.

    Attributes:
        batch: At most so many messages are written in one transaction.
        linger: Seconds to wait for more messages after the first one of a batch.
        patience: Seconds to wait for a message before the loop looks round.
        sweep_every: Seconds between two sweeps.
        margin: How much earlier than what has been read chats are judged.
        longest_wait: The longest pause between two tries of what failed, in seconds.
        drain: Whether to stop once everything that was there at the start is read and swept.
        retain_every: Seconds between two looks for what is older than the policy keeps it; None for
            never.
    """

    batch: int = 500
    linger: float = 0.02
    patience: float = 0.5
    sweep_every: float = 5.0
    margin: timedelta = timedelta(seconds=5)
    longest_wait: float = 5.0
    drain: bool = False
    retain_every: float | None = None


def _boot_seconds() -> float:
    """Seconds that never jump, and go on where the machine sleeps, if it can say so."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@define
class Worker:
    """Reads one source into one database, until it is told to stop.

    Attributes:
        engine: Where the chats are kept.
        source: Where the messages come from.
        settings: How it works.
        tally: What it counts.
        observe: Is called with what became of each batch, once that is durable.
        clock: The time that is believed.
    """

    engine: AsyncChatEngine
    source: Source
    settings: Settings = field(factory=Settings)
    tally: Tally = field(factory=Tally)
    observe: Callable[[Sequence[Result]], object] = field(default=lambda _: None)
    clock: SteadyClock = field(
        factory=lambda: SteadyClock(lambda: datetime.now(UTC), _boot_seconds)
    )
    _stopping: asyncio.Event = field(factory=asyncio.Event, init=False)
    _said: set[str] = field(factory=set, init=False)

    def stop(self) -> None:
        """Finish the batch that is being written, and return from :meth:`run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until :meth:`stop`, or until everything is read where the settings say ``drain``.

        Raises:
            SchemaNotReady: The tables are missing or of another release.
            SourceRefused: The broker is not as the worker needs it.
        """
        self._is_alive()
        retaining: asyncio.Task[None] | None = None
        try:
            if await self._until_done(self.engine.prepare, self._database_is_away):
                self._database_is_back()
            if self.settings.retain_every is not None:
                retaining = asyncio.create_task(self._retain(self.settings.retain_every))
            while not self._stopping.is_set():
                await self._read_once()
        finally:
            await _ended(retaining)
            await self.source.close()

    async def _read_once(self) -> None:
        """Open the source, and read until it is lost or the worker is told to stop."""
        if await self._until_done(self._open, self._broker_is_away):
            try:
                await self._read()
            except SourceLost as lost:
                self._broker_is_away(lost)
        self.tally.reading = False
        await self.source.close()
        with suppress(TimeoutError):  # not at once again, where it is lost at once each time
            async with asyncio.timeout(0.1):
                await self._stopping.wait()

    async def _open(self) -> None:
        try:
            await self.source.open()
        except SourceLost:
            await self.source.close()
            raise
        self.tally.reading = True
        self._say_again("broker", "reading", extra={"queues": sorted(self.source.queues)})

    async def _read(self) -> None:
        """Take batches until there is a reason to stop."""
        settings, began = self.settings, self.clock.now()
        horizon = Horizon(self.source.queues, settings.margin)
        sweeps = Sweeps(settings.sweep_every, swept_to=self.tally.swept_to)
        while not self._stopping.is_set():
            self._is_alive()
            batch = await self.source.take(settings.batch, settings.linger, settings.patience)
            results = await self._store(batch.deliveries)
            if results is None:
                return  # told to stop while the database was away: all of it comes again
            letters = dead_letters(results)
            self.tally.dead_letters += len(letters)
            for letter in letters:
                _LOG.warning(
                    "a message goes to the dead letters",
                    extra={"queue": letter.delivery.queue, "reason": letter.reason},
                )
            horizon.note(batch, self.clock.now())
            self.tally.read_up_to |= horizon.position
            await self.source.settle(batch, letters, horizon.position)
            self.observe(results)
            drained = settings.drain and horizon.is_past(began)
            up_to = horizon.up_to(self.clock.now())
            if up_to is not None and (drained or sweeps.is_due(time.monotonic(), up_to)):
                await self._sweep(up_to)
                sweeps.done(time.monotonic(), up_to)
                self.tally.unread = dict(await self.source.unread())
            if drained:
                self.stop()

    # --- the database ----------------------------------------------------------------------------

    async def _store(self, deliveries: Sequence[Delivery]) -> list[Result] | None:
        """Write messages in one transaction; None if the worker is to stop before they are."""
        self._count(deliveries)
        if not deliveries:
            return []
        began = time.monotonic()
        try:
            results = await self._write(deliveries)
        except StoreError as error:
            _LOG.warning("left a batch to be read again", extra={"reason": str(error)})
            return None
        self.tally.batches += 1
        self.tally.batch_seconds += time.monotonic() - began
        self.tally.outcomes.update(one.outcome for _, one in results if isinstance(one, Receipt))
        self._database_is_back()
        return results

    async def _write(self, deliveries: Sequence[Delivery]) -> list[Result]:
        """Write them all at once or, if a message spoils that, in halves, until it is alone."""
        envelopes = [
            Envelope(
                one.direction,
                one.body,
                message_id=one.message_id,
                received_at=one.received_at,
                platform_id=one.platform_id,
            )
            for one in deliveries
        ]
        caller = stamina.AsyncRetryingCaller(**self._waits).on(self._is_to_be_held)
        try:
            receipts = await caller(self.engine.handle_many, envelopes)
        except Exception as error:
            if verdict(error) is Verdict.HOLD or isinstance(error, SourceLost):
                raise
            if len(deliveries) == 1:
                return [(deliveries[0], error)]
            half = len(deliveries) // 2
            return await self._write(deliveries[:half]) + await self._write(deliveries[half:])
        return list(zip(deliveries, receipts, strict=True))

    def _is_to_be_held(self, error: Exception) -> bool:
        """Whether to try the same again, which waits before it does."""
        if verdict(error) is not Verdict.HOLD or self._stopping.is_set():
            return False
        self._is_alive()
        self.source.check()  # what can't be settled any more will come again by itself
        self.tally.retries += 1
        self._database_is_away(error)
        return True

    async def _sweep(self, up_to: datetime) -> None:
        """Close what is past its deadline; where that fails, the next sweep does it."""
        try:
            closed = await self.engine.sweep(up_to)
        except StoreError as error:
            self._database_is_away(error)
            return
        self.tally.swept += len(closed)
        self.tally.sweeps += 1
        self.tally.swept_to = up_to

    async def _retain(self, every: float) -> None:
        """Erase what is too old, beside all else; where that fails, the next time does it."""
        while True:
            try:
                done = await self.engine.retain(by="worker")
            except StoreError as error:
                _LOG.warning("what is too old is still there", extra={"reason": str(error)})
            else:
                _LOG.info("erased what was too old", extra=done.as_dict())
            await asyncio.sleep(every)

    def _count(self, deliveries: Sequence[Delivery]) -> None:
        for one in deliveries:
            self.tally.clocks[one.clock] += 1
            if one.message_id is None:
                self.tally.without_id += 1
                self._say_once(
                    "no id",
                    "messages come without a message id: where one is delivered again, after a "
                    "crash or a lost connection, it is recorded twice",
                    extra={"queue": one.queue},
                )
            if one.clock in (Clock.PUBLISHER, Clock.WORKER):
                self._say_once(
                    f"clock {one.clock}",
                    "receive times come from a clock that is not the broker's",
                    extra={"queue": one.queue, "clock": str(one.clock)},
                )

    # --- trying again, and saying so once --------------------------------------------------------

    @property
    def _waits(self) -> dict[str, Any]:
        longest = self.settings.longest_wait
        waits = {"wait_initial": longest / 50, "wait_max": longest, "wait_jitter": longest / 10}
        return {"attempts": None, "timeout": None, **waits}

    async def _until_done(
        self, work: Callable[[], Awaitable[object]], away: Callable[[Exception], object]
    ) -> bool:
        """Do it, again and again where the other side is away; False if told to stop meanwhile."""

        def is_away(error: Exception) -> bool:
            if not isinstance(error, SourceLost | StoreUnavailable):
                return False
            self._is_alive()
            away(error)
            return not self._stopping.is_set()

        try:
            await stamina.AsyncRetryingCaller(**self._waits).on(is_away)(work)
        except (SourceLost, StoreUnavailable):
            return False
        return True

    def _is_alive(self) -> None:
        """Note that the loop comes round, be it to wait for somebody who is away."""
        self.tally.alive_at = time.monotonic()

    def _database_is_away(self, error: Exception) -> None:
        self.tally.storing = False
        self._say_once(
            "database",
            "the database takes nothing; what was read is held",
            extra={"reason": str(error)},
        )

    def _database_is_back(self) -> None:
        self.tally.storing = True
        self._say_again("database", "the database takes what comes")

    def _broker_is_away(self, error: Exception) -> None:
        if getattr(error, "standby", False):
            self._say_once("broker", "another worker reads these queues; standing by")
            return
        self.tally.reconnects += 1
        self._say_once("broker", "the broker is lost", extra={"reason": str(error)})

    def _say_once(self, topic: str, words: str, **more: Any) -> None:
        if topic not in self._said:
            self._said.add(topic)
            _LOG.warning(words, **more)

    def _say_again(self, topic: str, words: str, **more: Any) -> None:
        """Say that it is well again; the next trouble is then news."""
        if topic in self._said or topic == "broker":
            _LOG.info(words, **more)
        self._said.discard(topic)


async def _ended(task: "asyncio.Task[None] | None") -> None:
    """Cancel a task, if there is one, and wait for its end."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
