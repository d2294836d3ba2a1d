"""Timestamps on every kind of database, as far as that can be seen without one."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.dialects import registry

from sermo_fsm.storage.column_types import UtcDateTime

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
IN_STOCKHOLM = MOMENT.astimezone(timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("sqlite", "2026-03-01 12:00:00.123456"),
        ("postgresql", MOMENT),
        ("mysql", MOMENT.replace(tzinfo=None)),
    ],
    ids=["sqlite", "postgresql", "mysql"],
)
def test_a_time_comes_back_as_it_went_in(name: str, stored: Any) -> None:
    dialect = registry.load(name)()
    write: Any = UtcDateTime().bind_processor(dialect)
    read: Any = UtcDateTime().result_processor(dialect, None)

    sent = write(IN_STOCKHOLM)
    if isinstance(sent, datetime):
        assert sent == MOMENT
    else:
        assert sent == stored
    assert (read(stored), read(stored).tzinfo) == (MOMENT, UTC)
    assert (write(None), read(None)) == (None, None)
