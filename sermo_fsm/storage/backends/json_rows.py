"""Rows as JSON, an array each, which msgspec writes and reads in a few microseconds.

Drivers, and SQLAlchemy with them, take longer over 500 rows of 35 values, one by one, than the
database takes to write or to find them. One text goes by as it is.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import GenericAlias
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from sermo_fsm.errors import StoreError
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.storage.backends.statements import Row
from sermo_fsm.storage.column_types import UtcDateTime
from sermo_fsm.storage.schema import tables

__all__ = ["documents", "session_values"]


def documents(rows: Sequence[Row], largest: int) -> Iterator[str]:
    """*rows* as JSON: one text of at most *largest* characters, or as many as are needed.

    A single row that is larger than that is one of them all the same.
    """
    document = dump(rows)
    if len(document) <= largest or len(rows) == 1:
        yield document
    else:
        half = len(rows) // 2
        yield from documents(rows[:half], largest)
        yield from documents(rows[half:], largest)


def _type_in_json(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, UtcDateTime):
        return datetime | None
    return bool if isinstance(column.type, sa.Boolean) else Any


_COLUMNS: Final = tables().session.c
_TIMES: Final = [at for at, one in enumerate(_COLUMNS) if isinstance(one.type, UtcDateTime)]
_SINCE: Final = _COLUMNS.keys().index("since")  # no session is without it
_DECODER: Final = msgspec.json.Decoder(
    GenericAlias(tuple, tuple(map(_type_in_json, _COLUMNS))),
    strict=False,  # MySQL and SQLite have numbers instead of booleans
)


def session_values(text: str) -> Sequence[Any]:
    """The values of a row of the session table, from an array of them in the order of the table.

    Its times are in UTC, and all of them say so or none.

    Raises:
        StoreError: One of its times is none that Python has, or another value is of a wrong type.
    """
    values: Sequence[Any]
    try:
        values = _DECODER.decode(str(text))  # without the wrapper that hides it
    except msgspec.DecodeError:
        values = ()
    if not values:  # outside of an except clause: the error in it may show values
        reason = "one of its times is no time, or another value has a wrong type"
        raise StoreError(f"a session in the database can't be read: {reason}")
    return values if values[_SINCE].tzinfo is UTC else _in_utc(values)


def _in_utc(values: Sequence[Any]) -> Sequence[Any]:
    said = [*values]
    for at in _TIMES:
        moment: datetime | None = said[at]
        said[at] = moment and moment.replace(tzinfo=UTC)
    return said
