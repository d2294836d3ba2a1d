"""When a message was received: the best of the clocks that say so."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import as_moment
from sermo_fsm.worker.source import Clock

__all__ = ["BROKER_HEADER", "receive_time"]

BROKER_HEADER: Final = "timestamp_in_ms"
"""What RabbitMQ sets where its interceptor for timestamps is on."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def receive_time(
    headers: Mapping[str, Any],
    published: datetime | None,
    now: datetime,
    *,
    header: str | None = None,
) -> tuple[datetime, Clock]:
    """The receive time of a message from RabbitMQ, and who says so.

    Args:
        headers: Of the message.
        published: Its property ``timestamp``.
        now: The time at which it was delivered.
        header: The name of a header that also holds a receive time: milliseconds since 1970, or
            a timestamp of AMQP, or text as in ISO 8601 with a zone.
    """
    for name, clock in ((BROKER_HEADER, Clock.BROKER), (header, Clock.HEADER)):
        moment = None if name is None else _moment(headers.get(name))
        if moment is not None:
            return moment, clock
    moment = _moment(published)
    return (now, Clock.WORKER) if moment is None else (moment, Clock.PUBLISHER)


def _moment(value: object) -> datetime | None:
    """*value* as a time that the engine takes; None if it is none."""
    try:
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            value = _EPOCH + timedelta(milliseconds=value)
        return as_moment("received_at", value)
    except (InvalidArgument, ValueError, OverflowError):
        return None
