"""What an engine does to the schema, as values: each knows what to do on a connection.

Both engines make an operation and run it in their own way. Handling and sweeping are made in
:mod:`sermo_fsm.engine.batch`, and questions where their answer is read: in
:mod:`sermo_fsm.storage.queries` and :mod:`sermo_fsm.analysis`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from sermo_fsm import migrate as revisions
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.storage.pages import Read

__all__ = ["Write", "check_schema", "migrate", "prepare"]

_T = TypeVar("_T")

Write = Callable[[sa.Connection], tuple[_T, Sequence[HistoryRow]]]
"""Something to be done in a transaction: returns the answer, and the rows that were written."""


def migrate(schema: str | None) -> Write[str]:
    """Bring the tables to this release."""
    return lambda connection: (revisions.upgrade(connection, schema), ())


def check_schema(schema: str | None) -> Read[str]:
    """The revision of the database; raises unless this release can work with it."""
    return partial(revisions.check_schema, schema=schema)


def prepare(schema: str | None) -> Read[str | None]:
    """The revision of the database, or None if it is an empty SQLite database."""
    check = check_schema(schema)
    return lambda connection: None if revisions.is_new_file(connection) else check(connection)
