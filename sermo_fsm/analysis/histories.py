"""Read the history of many sessions, row by row, without what people wrote.

It is read by :mod:`sermo_fsm.analysis.full_scan`: only one page of it is in memory at a time.
"""

from collections.abc import Generator
from functools import partial
from typing import Any, Final, Unpack

import sqlalchemy as sa

from sermo_fsm.analysis.full_scan import Scan, scan_all, scan_by_opening
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.session import ChatSession
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.queries import Filter, SessionFilter
from sermo_fsm.storage.rows import row_of, session_of
from sermo_fsm.storage.schema import Tables

__all__ = ["Histories", "SessionRow", "stories"]

SessionRow = tuple[ChatSession, HistoryRow]
"""A row of the history, with its session."""

Histories = Generator[SessionRow, None, None]
"""The rows of many sessions, those of one session together and in order."""


def stories(tables: Tables, **which: Unpack[SessionFilter]) -> Read[Histories]:
    """Read the rows of the wanted sessions, those of a user's earlier sessions first."""
    return partial(_read, tables=tables, which=Filter.of(**which))


def _read(connection: sa.Connection, tables: Tables, which: Filter) -> Histories:
    columns = [column for column in tables.history.c if column.name not in _USER_COLUMNS]
    names = ["session_key", *(column.name for column in columns)]
    with _scan(tables, which, columns).read(connection) as sessions:
        for found, rows in sessions:
            _, session = session_of(found)
            user = {name: getattr(session, name) for name in _USER_COLUMNS}
            for row in rows:
                yield session, row_of(dict(zip(names, row, strict=True), **user))


_USER_COLUMNS: Final = ("platform_id", "user_id", "ordinal", "session_id")
"""Columns whose values are the session's own."""


def _scan(tables: Tables, which: Filter, columns: list[sa.Column[Any]]) -> Scan:
    wanted = which.conditions(tables.session.c)
    if not wanted:
        return scan_all(tables, sa.select(tables.session), columns)
    query = sa.select(tables.session).where(*wanted)
    return scan_by_opening(tables, query, columns, which.index(tables.session))
