"""What stands around an event: the queue it came on, when, and under which message id."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import optional

from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.fields import AN_ID, is_id, kind_of_value
from sermo_fsm.protocol.json_reader import Limits, Parsed, check_depth, parse, parse_time, read_id
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.protocol.wire import Raw, decode

__all__ = ["Envelope", "arrive", "as_direction", "as_moment", "read_envelope"]

_SLACK: Final = 16 * 1024  # bytes that may stand around an event
_QUEUES: Final = (Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL)
_A_QUEUE: Final = "inbound, outbound or internal"

# Every deadline that follows from such a time is still within the calendar.
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9700, 1, 1, tzinfo=UTC)
_A_TIME: Final = "a time with a zone, from 1970 to 9699"


def as_direction(value: object) -> Direction:
    """*value* as the name of a queue.

    Raises:
        InvalidArgument: It is none.
    """
    if value in _QUEUES:
        return Direction(str(value))
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


def arrive(envelope: Envelope, limits: Limits, now: datetime) -> Message | Rejected:
    """Open an envelope; without a receive time its event was received *now*."""
    received_at = envelope.received_at or now
    try:
        return decode(
            envelope.direction,
            envelope.event,
            received_at=received_at,
            message_id=envelope.message_id,
            platform_id=envelope.platform_id,
            limits=limits,
        )
    except InvalidEvent as error:
        return Rejected(error, envelope.event, received_at, envelope.direction)


def read_envelope(
    raw: bytes | str | Mapping[str, Any],
    limits: Limits,
    *,
    direction: Direction | None = None,
    platform_id: str | None = None,
) -> Envelope:
    """A line of ``sermo-fsm ingest``: an envelope, or a bare event.

    A bare event has a ``type`` of its own; its queue is *direction*, or what its field
    ``direction`` says. *platform_id* stands in where neither event nor envelope has one.

    Raises:
        InvalidEvent: Neither, or an envelope that contradicts its event.
    """
    parsed = parse(raw, limits, slack=_SLACK)
    value = parsed.value
    if "type" in value or "event" not in value:
        check_depth(value, limits.depth)
        own = _queue(value["direction"]) if "direction" in value else None
        if own is None and direction is None:
            wanted = "the queue that the event came on, here or by --direction"
            raise InvalidEvent("$.direction", wanted=wanted, got="nothing")
        if own is not None and direction is not None and own is not direction:
            raise InvalidEvent("$.direction", wanted=f"{direction}, as --direction says", got=own)
        return Envelope(own or direction, parsed, platform_id=platform_id)
    event = value["event"]
    if not isinstance(event, dict):
        raise InvalidEvent("$.event", wanted="an object", got=kind_of_value(event))
    if "direction" not in value:
        raise InvalidEvent("$.direction", wanted=_A_QUEUE, got="nothing")
    own_platform = _id(value, "platformId", limits)
    if own_platform is not None and event.get("platformId", own_platform) != own_platform:
        wanted = "the platformId of its envelope"
        raise InvalidEvent("$.event.platformId", wanted=wanted, got="another one")
    return Envelope(
        _queue(value["direction"]),
        Parsed(event, parsed.size, "$.event"),
        message_id=_id(value, "messageId", limits),
        received_at=_time(value),
        platform_id=own_platform or platform_id,
    )


def _queue(value: object) -> Direction:
    if value in _QUEUES:
        return Direction(str(value))
    got = "another string" if isinstance(value, str) else kind_of_value(value)
    raise InvalidEvent("$.direction", wanted=_A_QUEUE, got=got)


def _id(value: Mapping[str, Any], name: str, limits: Limits) -> str | None:
    return None if value.get(name) is None else read_id(value[name], f"$.{name}", limits)


def _time(value: Mapping[str, Any]) -> datetime | None:
    if value.get("receivedAt") is None:
        return None
    moment = parse_time(value["receivedAt"], "$.receivedAt")
    if not _EARLIEST <= moment < _LATEST:
        raise InvalidEvent("$.receivedAt", wanted=_A_TIME, got="another time")
    return moment
