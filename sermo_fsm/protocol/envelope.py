"""What stands around an event: the queue it came on, when, and under which message id."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from attrs import field, frozen
from attrs.validators import optional

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.events import QUEUES, Direction
from sermo_fsm.protocol.fields import AN_ID, is_id, kind_of_value
from sermo_fsm.protocol.json_reader import Json, Limits, is_envelope, parse, parse_time, read_id
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.protocol.redacted import Redact, redacted_text
from sermo_fsm.protocol.stored_form import excerpt
from sermo_fsm.protocol.wire import Raw, decode, message_of

__all__ = [
    "NOT_AHEAD",
    "Envelope",
    "QueueName",
    "arrive",
    "arrive_line",
    "as_direction",
    "as_moment",
]

QueueName = Literal["inbound", "outbound", "internal"] | Direction
"""What a caller may write for a queue: anything else is found by a type checker."""

_QUEUES: Final = {queue.value: queue for queue in QUEUES}
_A_QUEUE: Final = "inbound, outbound or internal"

# Every deadline that follows from such a time is still within the calendar.
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9700, 1, 1, tzinfo=UTC)
_A_TIME: Final = "a time with a zone, from 1970 to 9699"

NOT_AHEAD: Final = "a time at most max_ahead later than the clock of this machine"


def as_direction(value: QueueName) -> Direction:
    """*value* as the name of a queue.

    Raises:
        InvalidArgument: It is none.
    """
    given: object = value
    if isinstance(given, str) and given in _QUEUES:
        return _QUEUES[given]
    raise InvalidArgument("direction", wanted=_A_QUEUE, got=value)


def as_moment(argument: str, value: object) -> datetime:
    """*value* as a receive time, in UTC.

    Raises:
        InvalidArgument: Not an aware datetime, or beyond what can be reckoned with.
    """
    if (
        isinstance(value, datetime)
        and value.utcoffset() is not None
        and _EARLIEST <= value < _LATEST
    ):
        return value.astimezone(UTC)
    raise InvalidArgument(argument, wanted=_A_TIME, got=value)


def _optional_time(value: object) -> datetime | None:
    return None if value is None else as_moment("received_at", value)


def _check_id(_: object, attribute: Any, value: Any) -> None:
    if not is_id(value):
        raise InvalidArgument(attribute.name, wanted=AN_ID, got=value)


@frozen
class Envelope:
    """One event with its circumstances.

    Attributes:
        direction: The queue: ``inbound``, ``outbound`` or ``internal``.
        event: What came on it: bytes, text, an object, or an :class:`~sermo_fsm.Event`.
        message_id: The broker's id of the message, 1 to 255 characters; unique on its queue. With
            it, handing in the same message twice has the effect of once.
        received_at: When the broker received it (aware); the time of handling where None.
        platform_id: Stands in where the event has no ``platformId``.

    Raises:
        InvalidArgument: A direction, id or time that is none.
    """

    direction: Direction = field(converter=as_direction)
    event: Raw = field(repr=False)
    message_id: str | None = field(default=None, kw_only=True, validator=optional(_check_id))
    received_at: datetime | None = field(default=None, kw_only=True, converter=_optional_time)
    platform_id: str | None = field(default=None, kw_only=True, validator=optional(_check_id))


def arrive(
    envelope: Envelope,
    limits: Limits,
    now: datetime,
    *,
    latest: datetime | None = None,
    platform_id: str | None = None,
    redact: Redact | None = None,
) -> Message | Rejected:
    """Open an envelope.

    Args:
        envelope: What came.
        limits: How large its event may be.
        now: The receive time of an event that came without one.
        latest: A later receive time is not believed; None if any is.
        platform_id: Stands in where neither the event nor its envelope has a platform.
        redact: What is kept of a text that people wrote; None keeps all of it.

    Raises:
        RedactionFailed: *redact* has failed.
    """
    queue, raw, received_at = envelope.direction, envelope.event, envelope.received_at or now
    if latest is not None and received_at > latest:
        return _rejected(_too_far_ahead(received_at), raw, now, queue, redact)
    try:
        return decode(
            queue,
            raw,
            received_at=received_at,
            message_id=envelope.message_id,
            platform_id=envelope.platform_id or platform_id,
            limits=limits,
            redact=redact,
        )
    except InvalidEvent as error:
        return _rejected(error, raw, received_at, queue, redact)


def arrive_line(
    raw: Json,
    limits: Limits,
    now: datetime,
    *,
    direction: Direction | None = None,
    latest: datetime | None = None,
    platform_id: str | None = None,
    redact: Redact | None = None,
) -> Message | Rejected:
    """Open a line of ``sermo-fsm ingest``: an envelope, or a bare event.

    A bare event has a ``type`` of its own; its queue is *direction*, or what its field
    ``direction`` says. The other arguments are those of :func:`arrive`.
    """
    try:
        line = parse(raw, limits, line=True)
        if is_envelope(line):
            return _arrive_enveloped(line, limits, now, latest, platform_id, redact)
        queue = _queue_of(line, direction)
    except InvalidEvent as error:
        return _rejected(error, raw, now, direction, redact)
    try:
        return message_of(queue, line, now, None, platform_id, limits, redact)
    except InvalidEvent as error:
        return _rejected(error, line, now, queue, redact)


def _arrive_enveloped(
    line: Mapping[str, Any],
    limits: Limits,
    now: datetime,
    latest: datetime | None,
    platform_id: str | None,
    redact: Redact | None,
) -> Message | Rejected:
    event = line["event"]
    if not isinstance(event, dict):
        raise InvalidEvent("$.event", wanted="an object", got=kind_of_value(event))
    if line.get("direction") is None:
        raise InvalidEvent("$.direction", wanted=_A_QUEUE, got="nothing")
    own_platform = _id(line, "platformId", limits)
    if own_platform is not None and event.get("platformId") not in (None, own_platform):
        wanted = "the platformId of its envelope"
        raise InvalidEvent("$.event.platformId", wanted=wanted, got="another one")
    queue, message_id = _queue(line["direction"]), _id(line, "messageId", limits)
    received_at = _time(line) or now
    if latest is not None and received_at > latest:
        return _rejected(_too_far_ahead(received_at), event, now, queue, redact)
    try:
        platform_id = own_platform or platform_id
        return message_of(queue, event, received_at, message_id, platform_id, limits, redact)
    except InvalidEvent as error:
        return _rejected(error.under("$.event"), event, received_at, queue, redact)


def _rejected(
    error: InvalidEvent,
    raw: object,
    received_at: datetime,
    queue: Direction | None,
    redact: Redact | None,
) -> Rejected:
    keep = None if redact is None else partial(redacted_text, redact=redact)
    return Rejected(error, excerpt(raw, keep), received_at, queue)


def _too_far_ahead(received_at: datetime) -> InvalidEvent:
    return InvalidEvent("$.receivedAt", wanted=NOT_AHEAD, got=received_at.isoformat())


def _queue_of(event: Mapping[str, Any], direction: Direction | None) -> Direction:
    """The queue of a bare event."""
    own = None if event.get("direction") is None else _queue(event["direction"])
    if own is not None and direction is not None and own is not direction:
        raise InvalidEvent("$.direction", wanted=f"{direction}, as --direction says", got=own)
    queue = own or direction
    if queue is None:
        wanted = "the queue that the event came on, here or by --direction"
        raise InvalidEvent("$.direction", wanted=wanted, got="nothing")
    return queue


def _queue(value: object) -> Direction:
    if isinstance(value, str) and value in _QUEUES:
        return _QUEUES[value]
    got = "another string" if isinstance(value, str) else kind_of_value(value)
    raise InvalidEvent("$.direction", wanted=_A_QUEUE, got=got)


def _id(value: Mapping[str, Any], name: str, limits: Limits) -> str | None:
    return None if value.get(name) is None else read_id(value[name], f"$.{name}", limits)


def _time(value: Mapping[str, Any]) -> datetime | None:
    if value.get("receivedAt") is None:
        return None
    moment = parse_time(value["receivedAt"], "$.receivedAt", leap_second=True)
    if not _EARLIEST <= moment < _LATEST:
        raise InvalidEvent("$.receivedAt", wanted=_A_TIME, got="another time")
    return moment
