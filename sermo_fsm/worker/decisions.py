"""What the worker decides, without doing it: no broker, no database, no clock of its own."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from attrs import define, field
from sqlalchemy.exc import DataError, IntegrityError

from sermo_fsm.core.history import Receipt
from sermo_fsm.errors import LostRace, MessageConflict, SermoError, StoreError
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.worker.source import Batch, DeadLetter, Delivery, SourceRefused

__all__ = ["Horizon", "Routing", "SteadyClock", "Sweeps", "Verdict", "dead_letters", "verdict"]


class Verdict(Enum):
    """What is to be done about a batch that could not be written."""

    HOLD = auto()
    """It is the database: hold the batch, read nothing more, and try the same again."""
    APART = auto()
    """It is a message: hand them in in smaller parts, until it is alone."""


def verdict(error: Exception) -> Verdict:
    """Whose fault it was that a batch could not be written.

    A database that is down, busy, full, or short of a table or a permission will be mended, and
    then takes the batch as it is. It is the message's fault only where the database refused the
    values themselves, or the error is none of the database's.
    """
    if not isinstance(error, StoreError):
        return Verdict.APART
    if isinstance(error, LostRace):  # a unique constraint: another writer was faster
        return Verdict.HOLD
    of_values = isinstance(error.__cause__, DataError | IntegrityError)
    return Verdict.APART if of_values else Verdict.HOLD


def dead_letters(results: Iterable[tuple[Delivery, Receipt | Exception]]) -> list[DeadLetter]:
    """What of a batch goes to the dead letters, and why: conflicts, and what failed by itself."""
    letters = []
    for delivery, result in results:
        error = result.error if isinstance(result, Receipt) else result
        if isinstance(error, MessageConflict) or (error is not None and error is result):
            letters.append(DeadLetter(delivery, _reason(error)))
    return letters


def _reason(error: Exception) -> str:
    """Why, in words that quote nothing: those of errors that are not ours might."""
    if isinstance(error, MessageConflict):
        return f"conflict: {error}"
    return f"{type(error).__name__}: {error}" if isinstance(error, SermoError) else _name(error)


def _name(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


@define
class Routing:
    """Whether all messages of a user come to one partition, as far as one worker can see it.

    Attributes:
        limit: How many users are remembered, those of the last messages.
    """

    limit: int = 100_000
    _seen: OrderedDict[UserKey, tuple[str, str]] = field(factory=OrderedDict)

    def check(self, results: Iterable[tuple[Delivery, Receipt | Exception]]) -> None:
        """Look at the messages of a batch.

        Raises:
            SourceRefused: Two messages of a user have different keys, or came from two partitions.
        """
        for delivery, receipt in results:
            session = receipt.after if isinstance(receipt, Receipt) else None
            if session is None or delivery.key is None:
                continue
            found = delivery.queue, delivery.key
            known = self._seen.setdefault(session.key, found)
            if known != found:
                raise SourceRefused(
                    f"messages of one user come to the partitions {known[0]!r} and {found[0]!r}, "
                    "or by different keys: every publisher has to set the same key for all "
                    "messages of a user (see docs/worker.md)"
                )
            self._seen.move_to_end(session.key)
            if len(self._seen) > self.limit:
                self._seen.popitem(last=False)


@define
class Horizon:
    """Up to which time every queue has been read: the sweeper judges nothing after it.

    Attributes:
        queues: The queues that have to be read.
        margin: So much earlier than that; two clocks that stamp one queue may differ by this.
        position: The time up to which each queue has been read, so far as is known.
    """

    queues: frozenset[str]
    margin: timedelta = timedelta(seconds=5)
    position: dict[str, datetime] = field(factory=dict)

    def note(self, batch: Batch, now: datetime) -> None:
        """Take in what a batch tells, once it is written.

        While there is a backlog, the last message of a queue tells how far it has been read. What
        is stamped later than *now* tells nothing.
        """
        for delivery in batch.deliveries:
            if delivery.received_at <= now:
                self.position[delivery.queue] = delivery.received_at
        for queue, time in batch.read_up_to.items():
            self.position[queue] = max(time, self.position.get(queue, time))

    def up_to(self, now: datetime) -> datetime | None:
        """The time to which chats may be judged; None while some queue has told nothing yet."""
        if not self.queues or not self.queues <= self.position.keys():
            return None
        return min(now, *(self.position[queue] for queue in self.queues)) - self.margin

    def is_past(self, moment: datetime) -> bool:
        """Whether every queue has been read up to *moment*."""
        return all(
            queue in self.position and self.position[queue] >= moment for queue in self.queues
        )


@define
class Sweeps:
    """When to sweep: every so many seconds, if there is anything new to judge by.

    Attributes:
        every: Seconds, of a clock that never jumps.
        last: When the last sweep was.
        swept_to: The time to which it judged.
    """

    every: float
    last: float | None = None
    swept_to: datetime | None = None

    def is_due(self, clock: float, up_to: datetime | None) -> bool:
        """Whether to sweep now."""
        if up_to is None or (self.swept_to is not None and up_to <= self.swept_to):
            return False
        return self.last is None or clock - self.last >= self.every

    def done(self, clock: float, up_to: datetime) -> None:
        """Note a sweep."""
        self.last, self.swept_to = clock, up_to


_BELIEVED_AFTER: Final = 900.0


@define
class SteadyClock:
    """The time of this machine, whose jumps ahead are not believed at once.

    A jump back is: chats are then judged later, which does no harm. A jump ahead would close chats
    whose customers are there, so time goes on as before for a quarter of an hour; a clock that
    still says so then is right (the machine slept, or its clock was wrong before).

    Attributes:
        wall: What the machine's clock says.
        steady: Seconds that never jump.
    """

    wall: Callable[[], datetime]
    steady: Callable[[], float]
    _anchor: tuple[datetime, float] = field(init=False)
    _ahead_since: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._anchor = self.wall(), self.steady()

    def now(self) -> datetime:
        """The time that is believed."""
        wall, steady = self.wall(), self.steady()
        expected = self._anchor[0] + timedelta(seconds=steady - self._anchor[1])
        if wall <= expected + timedelta(seconds=1):  # two clocks of one machine drift apart
            self._anchor, self._ahead_since = (wall, steady), None
            return wall
        if self._ahead_since is None:
            self._ahead_since = steady
        if steady - self._ahead_since >= _BELIEVED_AFTER:
            self._anchor, self._ahead_since = (wall, steady), None
            return wall
        return expected
