"""Queues in this process, for tests and demonstrations: the shortest example of a source."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sermo_fsm.worker.inbox import Inbox, Mark
from sermo_fsm.worker.source import Batch, DeadLetter, Delivery, SourceLost

__all__ = ["MemorySource"]


class MemorySource:
    """A broker that is a list: what was taken and not settled comes again after a loss.

    Attributes:
        waiting: Messages and marks that are not settled, in order.
        dead: The dead letters.
    """

    def __init__(self, items: Iterable[Delivery | Mark] = (), queues: Iterable[str] = ()) -> None:
        self.waiting: list[Delivery | Mark] = list(items)
        self.dead: list[DeadLetter] = []
        self._queues = frozenset(queues)
        self._inbox = Inbox()
        self._settled = 0

    @property
    def queues(self) -> frozenset[str]:
        """Those that it was told."""
        return self._queues

    async def open(self) -> None:
        """Begin at the first message that is not settled."""
        self._inbox, self._settled = Inbox(), 0
        for item in self.waiting:
            self._inbox.put(item)

    def put(self, item: Delivery | Mark) -> None:
        """Add a message, or the mark that nothing else came before that time."""
        self.waiting.append(item)
        self._inbox.put(item)

    def lose(self, reason: str = "the test says so") -> None:
        """Be as a broker that went away."""
        self._inbox.fail(SourceLost(reason))

    async def take(self, limit: int, linger: float, patience: float) -> Batch:
        """Take what is there."""
        return await self._inbox.take(limit, linger, patience)

    async def settle(
        self, batch: Batch, letters: Sequence[DeadLetter], position: Mapping[str, datetime]
    ) -> None:
        """Forget what was taken."""
        del batch, position
        self.check()
        self.dead += letters
        del self.waiting[: self._inbox.given - self._settled]
        self._settled = self._inbox.given

    async def unread(self) -> Mapping[str, int]:
        """How many messages of each queue are not settled."""
        counts: dict[str, int] = {}
        for item in self.waiting:
            if isinstance(item, Delivery):
                counts[item.queue] = counts.get(item.queue, 0) + 1
        return counts

    def check(self) -> None:
        """Raise where it is lost."""
        self._inbox.check()

    async def close(self) -> None:
        """Do nothing: the messages are in this process."""
