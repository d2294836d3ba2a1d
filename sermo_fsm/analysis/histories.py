"""Every row of many sessions, session by session, without what people wrote.

For who wants all of it, of one moment: read as :mod:`sermo_fsm.analysis.full_scan` reads, so that
however much there is, a portion is kept.
"""

from collections.abc import Generator
from functools import partial
from typing import Any, Final, Unpack

import sqlalchemy as sa

from sermo_fsm.analysis.full_scan import Scan, by_key, by_opening
from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.queries import Filter, SessionFilter
from sermo_fsm.storage.rows import row_of, session_of
from sermo_fsm.storage.schema import Tables

__all__ = ["Stories", "Told", "stories"]

Told = tuple[ChatSession, HistoryRow]
"""A row, and whose it is."""

Stories = Generator[Told, None, None]


def stories(tables: Tables, **which: Unpack[SessionFilter]) -> Read[Stories]:
    """The rows of the sessions that are asked for, those of a user's earlier sessions earlier."""
    return partial(_read, tables=tables, which=Filter.of(**which))


def _read(connection: sa.Connection, tables: Tables, which: Filter) -> Stories:
    columns = [column for column in tables.history.c if column.name not in _OF_THE_SESSION]
    names = ["session_key", *(column.name for column in columns)]
    with _scan(tables, which, columns).read(connection) as sessions:
        for found, rows in sessions:
            _, session = session_of(found)
            whose = {name: getattr(session, name) for name in _OF_THE_SESSION}
            for row in rows:
                yield session, row_of(dict(zip(names, row, strict=True), **whose))


_OF_THE_SESSION: Final = ("platform_id", "user_id", "ordinal")


def _scan(tables: Tables, which: Filter, columns: list[sa.Column[Any]]) -> Scan:
    wanted = which.conditions(tables.session.c)
    if not wanted:
        return by_key(tables, sa.select(tables.session), columns)
    query = sa.select(tables.session).where(*wanted)
    return by_opening(tables, query, columns, which.index(tables.session))
