"""Timestamps on every kind of database, as far as that can be seen without one."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given
from sqlalchemy.dialects import registry, sqlite

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


@given(
    st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - likewise
        timezones=st.timezones() | st.just(UTC),
    )
)
@example(MOMENT.replace(microsecond=0))
@example(MOMENT.replace(microsecond=1))
@example(MOMENT.replace(year=1))
def test_sqlite_stores_every_time_as_text_that_sorts_by_time(moment: datetime) -> None:
    write: Any = UtcDateTime().bind_processor(sqlite.dialect())
    read: Any = UtcDateTime().result_processor(sqlite.dialect(), None)

    wanted = moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    assert write(moment) == wanted
    assert read(wanted) == moment
