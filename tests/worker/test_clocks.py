"""Whose clock says when a message was received."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sermo_fsm.worker.clocks import receive_time
from sermo_fsm.worker.source import Clock
from tests.support import at

NOW = at(1000)
MILLISECONDS = int(at(1).timestamp() * 1000) + 7
PUBLISHED = at(2)


@pytest.mark.parametrize(
    ("headers", "published", "wanted"),
    [
        ({"timestamp_in_ms": MILLISECONDS, "t": 0}, PUBLISHED, (at(1.007), Clock.BROKER)),
        ({"t": MILLISECONDS}, PUBLISHED, (at(1.007), Clock.HEADER)),
        ({"t": at(3).isoformat()}, PUBLISHED, (at(3), Clock.HEADER)),
        ({"t": at(3).isoformat().encode()}, PUBLISHED, (at(3), Clock.HEADER)),
        ({"t": at(3).astimezone(timezone(timedelta(hours=2)))}, None, (at(3), Clock.HEADER)),
        ({}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({}, None, (NOW, Clock.WORKER)),
        # What is none is passed over.
        ({"timestamp_in_ms": "soon"}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"timestamp_in_ms": True}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"timestamp_in_ms": 10**30}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"timestamp_in_ms": -1}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"t": "2026-03-01T12:00:00"}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"t": b"\xff"}, PUBLISHED, (at(2), Clock.PUBLISHER)),
        ({"t": 1.5}, None, (NOW, Clock.WORKER)),
    ],
)
def test_the_best_clock_that_says_a_time_counts(
    headers: dict[str, Any], published: datetime | None, wanted: tuple[datetime, Clock]
) -> None:
    moment, clock = receive_time(headers, published, NOW, header="t")
    assert (moment, clock) == wanted
    assert moment.tzinfo is UTC


def test_a_header_that_was_not_named_says_nothing() -> None:
    assert receive_time({"t": MILLISECONDS}, None, NOW) == (NOW, Clock.WORKER)
