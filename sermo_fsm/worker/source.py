"""What the worker needs of a broker: a batch of deliveries, settle, position.

A broker is one module with one class that does what :class:`Source` says. Its obligations:

- Each queue is delivered in the broker's own order, also what is delivered again.
- What was taken and not settled is delivered again after :meth:`Source.close`, or when the process
  dies. Nothing is ever handed back to be redelivered behind later messages.
- :attr:`Batch.read_up_to` claims only what is proved: whatever came to that queue before that time
  is in this batch or was in an earlier one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from attrs import Factory, field, frozen

from sermo_fsm.errors import SermoError
from sermo_fsm.protocol.events import Direction

__all__ = ["Batch", "Clock", "DeadLetter", "Delivery", "Source", "SourceLost", "SourceRefused"]


class SourceLost(SermoError):
    """The broker can't be reached, or has ended the reading; it is opened again after a while.

    Attributes:
        reason: What happened, without anything that people wrote.
        standby: Whether another worker reads these queues, and this one waits for its turn.
    """

    def __init__(self, reason: str, *, standby: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.standby = standby


class SourceRefused(SermoError):
    """The broker, its queues or what comes on them are not as the worker needs them.

    Trying again is no use: the message says what to change.
    """


class Clock(StrEnum):
    """Who said when a message was received, the best first.

    Attributes:
        BROKER: The broker, to the millisecond: RabbitMQ's header ``timestamp_in_ms``.
        HEADER: Whoever set the header that ``--time-header`` names.
        APPEND: Kafka, when it appended the message to its log.
        PUBLISHER: The publisher's clock: the property ``timestamp`` of AMQP, in whole seconds, or
            the creation time of Kafka.
        WORKER: Nobody: the time at which the worker got the message.
    """

    __hash__ = str.__hash__

    BROKER = "broker"
    HEADER = "header"
    APPEND = "append"
    PUBLISHER = "publisher"
    WORKER = "worker"


@frozen
class Delivery:
    """One message as the broker delivered it.

    Attributes:
        direction: The queue of the protocol that it was put on.
        body: The event.
        queue: The broker's queue, or topic and partition, that it came from.
        received_at: When it was received, in UTC.
        clock: Who says so.
        message_id: The broker's id of the message; None if it has none that is stable.
        platform_id: Stands in where the event has no platform.
        key: What the broker chose its partition by; None where there are no partitions.
        token: The message as the broker's client has it.
    """

    direction: Direction
    body: bytes = field(repr=False)
    queue: str
    received_at: datetime
    clock: Clock = Clock.BROKER
    message_id: str | None = None
    platform_id: str | None = None
    key: str | None = field(default=None, repr=False)
    token: Any = field(default=None, repr=False)


@frozen
class Batch:
    """What was taken at once.

    Attributes:
        deliveries: The messages; those of one queue in its order.
        read_up_to: For a queue the time up to which it has been read, this batch included.
            Queues that other workers read may be among them.
        last: For each queue the token of the last that was taken from it: all before is settled
            with it.
    """

    deliveries: Sequence[Delivery] = ()
    read_up_to: Mapping[str, datetime] = Factory(dict)
    last: Mapping[str, Any] = Factory(dict)


@frozen
class DeadLetter:
    """A message that can't be written, and why.

    Attributes:
        delivery: The message.
        reason: Why, without anything that people wrote.
    """

    delivery: Delivery
    reason: str


class Source(Protocol):
    """A broker as the worker reads it."""

    @property
    def queues(self) -> frozenset[str]:
        """All queues that have to be read before a chat may be judged, those of others too."""

    async def open(self) -> None:
        """Begin to read, where the last settled message ended.

        Raises:
            SourceLost: Not now; try again.
            SourceRefused: Never, as it is.
        """

    async def take(self, limit: int, linger: float, patience: float) -> Batch:
        """Take what is there.

        Args:
            limit: At most so many messages.
            linger: After the first one, wait so many seconds for more.
            patience: Wait so many seconds for the first; then the batch is empty.

        Raises:
            SourceLost: The broker has ended the reading. Nothing of what was taken and not settled
                can be settled any more.
        """

    async def settle(
        self, batch: Batch, letters: Sequence[DeadLetter], position: Mapping[str, datetime]
    ) -> None:
        """Acknowledge all of *batch*, whose effects are durable, once the dead letters are safe.

        Args:
            batch: The batch, the only one that was taken and not settled.
            letters: Those of its messages that go to the dead letters.
            position: For each queue that this worker reads the time up to which it is written.

        Raises:
            SourceLost: It is not known whether the broker heard it; all of it may come again.
        """

    async def unread(self) -> Mapping[str, int]:
        """How many messages wait in each queue of this worker.

        Raises:
            SourceLost: The broker has ended the reading.
        """

    def check(self) -> None:
        """Say whether what was taken can still be settled, as far as is known.

        Raises:
            SourceLost: It can't.
        """

    async def close(self) -> None:
        """Let go of the broker; what is not settled goes back to the head of its queue."""
