"""The streams to explore: read from files, or all short ones.

A stream is the content of the queues. Each queue keeps its order; between the queues there is none.
Every message carries its receive time, so the order of reading changes nothing else.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain, combinations, permutations, product
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import field, frozen

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import arrive_line
from sermo_fsm.protocol.events import QUIET, Direction, Trigger, is_about_no_chat
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Rejected

__all__ = ["MAX_MESSAGES", "Action", "Delivery", "Stream", "Sweep", "read_stream", "short_streams"]

MAX_MESSAGES: Final = 60
"""The most messages of a file: each one more doubles the interleavings."""

_MAX_POSITIONS: Final = 1000
"""How far each queue is read: so many combinations at most are explored as a whole."""

_PART: Final = 18
"""The number of messages in a part of a longer stream."""


@frozen
class Delivery:
    """A message, as its queue delivers it."""

    direction: Direction
    message_id: str
    received_at: datetime = field(eq=False)
    trigger: Trigger = field(eq=False)
    user: tuple[str, str] | None = field(eq=False)
    quiet: bool = field(eq=False)
    """Whether it leaves a row, and its id, only if it opens a chat; or never."""
    envelope: bytes = field(eq=False, repr=False)

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
    """The messages of each queue, in order; *before* them others were read, in this order."""

    name: str
    queues: tuple[tuple[Delivery, ...], ...]
    before: tuple[Delivery, ...] = ()

    @classmethod
    def of(
        cls, name: str, deliveries: Iterable[Delivery], before: Sequence[Delivery] = ()
    ) -> "Stream":
        """The stream of these deliveries. Only the order within each queue counts."""
        queues: dict[Direction, list[Delivery]] = {}
        for delivery in deliveries:
            queues.setdefault(delivery.direction, []).append(delivery)
        ordered = tuple(tuple(queues[direction]) for direction in sorted(queues))
        return cls(name, ordered, tuple(before))

    def parts(self) -> list["Stream"]:
        """The stream; if it has too many orders, parts of it, each beginning in the one before.

        What was received before a part is read before it, in the order of receiving.
        """
        if prod(len(queue) + 1 for queue in self.queues) <= _MAX_POSITIONS:
            return [self]
        received = list(heapq.merge(*self.queues, key=attrgetter("received_at")))
        half = _PART // 2
        return [
            Stream.of(
                f"{self.name} from message {begin + 1}",
                received[begin : begin + _PART],
                received[:begin],
            )
            for begin in range(0, len(received) - half, half)
        ]

    def up_to(self, read: Sequence[int]) -> datetime:
        """The time up to which a sweep is allowed, with *read* messages of each queue read.

        It is the receive time of the next inbound message. If there is none left, it is the receive
        time of the last message of the stream.
        """
        unread = (queue[count:] for queue, count in zip(self.queues, read, strict=True))
        waiting = (it.received_at for it in chain(*unread) if it.direction is Direction.INBOUND)
        last = max(it.received_at for it in chain(*self.queues))
        return min(waiting, default=last)


def read_stream(path: Path, platform_id: str | None = None) -> Stream:
    """Read a stream from a file as ``ingest`` reads it: one envelope per line.

    Where no platform is given, *platform_id* stands in.

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
        delivery = _read(line, where, platform_id)
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


def _read(line: bytes, where: str, platform_id: str | None = None) -> Delivery:
    message = arrive_line(line, Limits(), _NEVER, platform_id=platform_id)
    if isinstance(message, Rejected):
        error = message.error
        raise InvalidArgument(f"{where}: {error.path}", error.wanted, error.got)
    if message.message_id is None:
        wanted = "a messageId: a message without one counts as often as it is delivered"
        raise InvalidArgument(where, wanted=wanted, got="none")
    if message.received_at is _NEVER:
        wanted = "a receivedAt: only the order of reading is to differ"
        raise InvalidArgument(where, wanted=wanted, got="none")
    return Delivery(
        direction=message.direction,
        message_id=message.message_id,
        received_at=message.received_at,
        trigger=message.trigger,
        user=message.user,
        quiet=message.trigger in QUIET or is_about_no_chat(message.event.type, message.direction),
        envelope=line,
    )


_NEVER: Final = datetime.max.replace(tzinfo=UTC)


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
    {"type": "start"},
)
_OUTBOUND: Final[Sequence[dict[str, Any]]] = (
    {"type": "text", "text": "Hej!", "agent": {"id": "anan01", "type": "human"}},
    {"type": "agent_done"},
    {"type": "queue_number", "queueNumber": 1},
    {"type": "text", "text": "Hej!", "agent": {"id": "bot"}},
    {"type": "end_session"},
    {"type": "platform_closed"},
    {"type": "system_text", "text": "Hej!"},
    {"type": "typing_on"},
    {"type": "handover_to_bot"},
    {"type": "handover_to_agent"},
)
# What programs send there; claim_session and handover_to_queue are as agent_text and queue_number.
_INTERNAL: Final[Sequence[dict[str, Any]]] = (
    {"type": "agent_done"},
    {"type": "claim_session", "agentId": "anan01"},
    {"type": "handover_to_queue"},
    {"type": "handover_to_bot"},
    {"type": "handover_to_agent"},
)


def short_streams() -> Iterator[Stream]:
    """Every stream of three messages on the two queues, received in every order, a second apart.

    Then those in which the customer is away once, and those of two messages on each queue, of the
    kinds that open, close, resume or keep from closing. Last those with a message on a third queue;
    an agent who lets go there may also do so while the customer is away.
    """
    for lengths in ((1, 2), (2, 1)):
        yield from _streams(_INBOUND, _OUTBOUND, lengths)
        for away in (1, 2):
            yield from _streams(_INBOUND[:5], _OUTBOUND[:5], lengths, away)
    yield from _streams(_INBOUND[:3], _OUTBOUND[:5], (2, 2))
    yield from _three_queues(_INTERNAL)
    for away in (1, 2):
        yield from _three_queues(_INTERNAL[:1], away)


def _three_queues(internal: Sequence[dict[str, Any]], away: int | None = None) -> Iterator[Stream]:
    """All streams of one message on each queue, with a pause after *away* messages if given."""
    three = (
        (Direction.INBOUND, _INBOUND[:3]),
        (Direction.OUTBOUND, _OUTBOUND[:5]),
        (Direction.INTERNAL, internal),
    )
    for queues in permutations(three):
        times = _times(len(queues), away)
        yield from _products(
            _alternatives(*queue, at) for queue, at in zip(queues, times, strict=True)
        )


def _times(count: int, away: int | None) -> list[datetime]:
    """Receive times a second apart, with a pause after *away* messages if given."""
    later = [timedelta() if away is None or index < away else _AWAY for index in range(count)]
    return [_BEGIN + index * _SECOND + pause for index, pause in enumerate(later)]


def _streams(
    inbound: Sequence[dict[str, Any]],
    outbound: Sequence[dict[str, Any]],
    lengths: tuple[int, int],
    away: int | None = None,
) -> Iterator[Stream]:
    """All streams of these *lengths*, with a pause after *away* messages if given."""
    times = _times(sum(lengths), away)
    for chosen in combinations(range(len(times)), lengths[0]):
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
