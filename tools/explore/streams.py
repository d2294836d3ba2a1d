"""The streams to explore: read from files, or all short ones.

A stream is the content of the queues. Each queue keeps its order; between the queues there is none.
Every message carries its receive time, so the order of reading changes nothing else.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain, combinations, permutations, product
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import field, frozen

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.envelope import Envelope, arrive, read_envelope
from sermo_fsm.protocol.events import QUIET, Direction, Trigger
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Rejected

__all__ = ["MAX_MESSAGES", "Action", "Delivery", "Stream", "Sweep", "read_stream", "short_streams"]

MAX_MESSAGES: Final = 60
"""The most messages of a file: each one more doubles the interleavings."""


@frozen
class Delivery:
    """A message, as its queue delivers it."""

    direction: Direction
    message_id: str
    received_at: datetime = field(eq=False)
    trigger: Trigger = field(eq=False)
    user: tuple[str, str] | None = field(eq=False)
    envelope: Envelope = field(eq=False, repr=False)

    @property
    def quiet(self) -> bool:
        """Whether it leaves a row, and its id, only if it opens a chat."""
        return self.trigger in QUIET

    def __str__(self) -> str:
        return f"{self.direction} {self.trigger} of {self.received_at:%H:%M:%S.%f}"[:-3]


@frozen
class Sweep:
    """A sweep, which closes chats that are past their deadlines. It comes on no queue."""

    up_to: datetime = field(eq=False)
    direction: ClassVar[Direction] = Direction.TIMER
    trigger: ClassVar[Trigger] = Trigger.EXPIRE

    def __str__(self) -> str:
        return f"a sweep up to {self.up_to:%H:%M:%S.%f}"[:-3]


Action = Delivery | Sweep
"""What can lead from one database to another."""


@frozen
class Stream:
    """The messages of each queue, in order."""

    name: str
    queues: tuple[tuple[Delivery, ...], ...]

    @classmethod
    def of(cls, name: str, deliveries: Iterable[Delivery]) -> "Stream":
        """The stream of these deliveries. Only the order within each queue counts."""
        queues: dict[Direction, list[Delivery]] = {}
        for delivery in deliveries:
            queues.setdefault(delivery.direction, []).append(delivery)
        return cls(name, tuple(tuple(queues[direction]) for direction in sorted(queues)))

    def up_to(self, read: Sequence[int]) -> datetime:
        """The time up to which a sweep is allowed, with *read* messages of each queue read.

        It is the receive time of the next inbound message. If there is none left, it is the receive
        time of the last message of the stream.
        """
        unread = (queue[count:] for queue, count in zip(self.queues, read, strict=True))
        waiting = (it.received_at for it in chain(*unread) if it.direction is Direction.INBOUND)
        last = max(it.received_at for it in chain(*self.queues))
        return min(waiting, default=last)


def read_stream(path: Path) -> Stream:
    """Read a stream from a file as ``ingest`` reads it: one envelope per line.

    Raises:
        InvalidArgument: A line cannot be explored, or there are too many.
    """
    found: dict[tuple[Direction, str], Delivery] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        if len(found) == MAX_MESSAGES:
            wanted = f"at most {MAX_MESSAGES} messages, for every interleaving is tried"
            raise InvalidArgument(where, wanted=wanted, got="one more")
        delivery = _read(line, where)
        key = delivery.direction, delivery.message_id
        if key in found:
            wanted = "a messageId that no line before has; the second delivery is ours to try"
            raise InvalidArgument(where, wanted=wanted, got=delivery.message_id)
        found[key] = delivery
    users = {delivery.user for delivery in found.values() if delivery.user}
    if len(users) > 1:
        wanted = (
            "the messages of one user: chats of different users have nothing to do with each other"
        )
        raise InvalidArgument(str(path), wanted=wanted, got=len(users))
    if not found:
        raise InvalidArgument(str(path), wanted="a message to a line", got="nothing")
    return Stream.of(path.name, found.values())


def _read(line: bytes, where: str) -> Delivery:
    try:
        envelope = read_envelope(line, Limits())
        message = arrive(envelope, Limits(), datetime.now(UTC))
        if isinstance(message, Rejected):
            raise message.error
    except InvalidEvent as error:
        raise InvalidArgument(f"{where}: {error.path}", error.wanted, error.got) from None
    if envelope.message_id is None:
        wanted = "a messageId: a message without one counts as often as it is delivered"
        raise InvalidArgument(where, wanted=wanted, got="none")
    if envelope.received_at is None:
        wanted = "a receivedAt: only the order of reading is to differ"
        raise InvalidArgument(where, wanted=wanted, got="none")
    return Delivery(
        direction=envelope.direction,
        message_id=envelope.message_id,
        received_at=envelope.received_at,
        trigger=message.trigger,
        user=message.user,
        envelope=envelope,
    )


_BEGIN: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_AWAY: Final = timedelta(minutes=45)
"""Longer than ``idle_timeout``, and short enough to resume."""

# One of each kind that the table or the ownership distinguishes.
_INBOUND: Final[Sequence[dict[str, Any]]] = (
    {"type": "text", "text": "Hej!"},
    {"type": "client_left"},
    {"type": "heartbeat"},
    {"type": "client_unload"},
    {"type": "messages_read"},
)
_OUTBOUND: Final[Sequence[dict[str, Any]]] = (
    {"type": "text", "text": "Hej!", "agent": {"id": "anan01", "type": "human"}},
    {"type": "agent_done"},
    {"type": "queue_number", "queueNumber": 1},
    {"type": "text", "text": "Hej!", "agent": {"id": "bot"}},
    {"type": "platform_closed"},
    {"type": "system_text", "text": "Hej!"},
    {"type": "typing_on"},
    {"type": "handover_to_bot"},
    {"type": "handover_to_agent"},
)


def short_streams() -> Iterator[Stream]:
    """Every stream of three messages on the two queues, received in every order, a second apart.

    Then those in which the customer is away once, and those of two messages on each queue, of the
    kinds that open, close, resume or keep from closing. Last those with a handover on a third
    queue.
    """
    for lengths in ((1, 2), (2, 1)):
        yield from _streams(_INBOUND, _OUTBOUND, lengths)
        for away in (1, 2):
            yield from _streams(_INBOUND, _OUTBOUND[:4], lengths, away)
    yield from _streams(_INBOUND[:3], _OUTBOUND[:4], (2, 2))
    three = (
        (Direction.INBOUND, _INBOUND[:3]),
        (Direction.OUTBOUND, _OUTBOUND[:4]),
        (Direction.INTERNAL, _OUTBOUND[-2:]),
    )
    for queues in permutations(three):
        yield from _products(
            _alternatives(*queue, _BEGIN + index * _SECOND) for index, queue in enumerate(queues)
        )


def _streams(
    inbound: Sequence[dict[str, Any]],
    outbound: Sequence[dict[str, Any]],
    lengths: tuple[int, int],
    away: int | None = None,
) -> Iterator[Stream]:
    """All streams of these *lengths*, with a pause after *away* messages if given."""
    every = range(sum(lengths))
    later = [timedelta() if away is None or index < away else _AWAY for index in every]
    times = [_BEGIN + index * _SECOND + later[index] for index in every]
    for chosen in combinations(every, lengths[0]):
        choices = [
            _alternatives(Direction.INBOUND, inbound, at)
            if index in chosen
            else _alternatives(Direction.OUTBOUND, outbound, at)
            for index, at in enumerate(times)
        ]
        yield from _products(choices)


def _products(choices: Iterable[list[Delivery]]) -> Iterator[Stream]:
    for deliveries in product(*choices):
        yield Stream.of(", ".join(map(str, deliveries)), deliveries)


@cache
def _delivery(direction: Direction, event: str, at: datetime) -> Delivery:
    line = {
        "direction": direction,
        "messageId": f"{at:%H:%M:%S} {event}",
        "receivedAt": at.isoformat(),
        "event": {**json.loads(event), "platformId": "web", "userId": "u-1"},
    }
    return _read(json.dumps(line).encode(), event)


def _alternatives(
    direction: Direction, events: Sequence[dict[str, Any]], at: datetime
) -> list[Delivery]:
    return [_delivery(direction, json.dumps(event), at) for event in events]
