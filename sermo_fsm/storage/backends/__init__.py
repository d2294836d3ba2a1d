"""The databases that this release works with, one module each.

Whatever one database does differently from the others is in its module here and nowhere else. What
a module has to provide is in :mod:`sermo_fsm.storage.backends.base`. A module is imported when its
dialect is first asked for, so a process loads only the databases that it uses.
"""

from functools import cache
from importlib import import_module
from typing import Any, Final

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.statements import Row, Statements, null_column

__all__ = [
    "EXAMPLE_URL",
    "KNOWN",
    "SUPPORTED",
    "Backend",
    "ErrorKind",
    "Known",
    "Row",
    "Statements",
    "backend_named",
    "by_index",
    "null_column",
    "right_scheme",
]


@frozen
class Known:
    """What has to be known of a database before its module is imported.

    Attributes:
        module: The module in this folder.
        title: The name of the database, for people.
        driver: The SQLAlchemy name of its plain driver, for people.
        async_driver: The SQLAlchemy name of its driver for asyncio, for people.
        index_hint: How its SQL forces an index; None if its planner needs no hint.
    """

    module: str
    title: str
    driver: str
    async_driver: str
    index_hint: str | None = None


_FORCE_INDEX: Final = "FORCE INDEX ({})"

KNOWN: Final = {
    "sqlite": Known("sqlite", "SQLite", "sqlite", "sqlite+aiosqlite"),
    "postgresql": Known("postgresql", "PostgreSQL", "postgresql+psycopg", "postgresql+psycopg"),
    "mysql": Known("mysql", "MySQL", "mysql+pymysql", "mysql+asyncmy", _FORCE_INDEX),
    "mariadb": Known("mysql", "MariaDB", "mariadb+pymysql", "mariadb+asyncmy", _FORCE_INDEX),
}
"""The supported databases, by the name of their SQLAlchemy dialect."""


_ALIASES: Final = {"postgres": "postgresql", "sqlite3": "sqlite"}
"""Names that other tools give them."""


def right_scheme(database: str, *, asynchronous: bool) -> str | None:
    """What the URL of a *database* begins with; None if we do not know it."""
    known = KNOWN.get(_ALIASES.get(database, database))
    if known is None:
        return None
    return known.async_driver if asynchronous else known.driver


def _one_of(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


SUPPORTED: Final = _one_of([known.title for known in KNOWN.values()])
"""The supported databases, for people."""

EXAMPLE_URL: Final = "sqlite:///sermo.db"
"""A database URL, for people."""


@cache
def backend_named(dialect: str) -> Backend:
    """The backend of the SQLAlchemy dialect with this name.

    Raises:
        InvalidArgument: This release does not work with it.
    """
    if dialect not in KNOWN:
        raise InvalidArgument("database", wanted=SUPPORTED, got=dialect)
    backend: Backend = import_module(f"{__name__}.{KNOWN[dialect].module}").BACKEND
    return backend


def by_index(query: sa.Select[Any], table: sa.Table, index: str) -> sa.Select[Any]:
    """*query*, with *index* of *table* forced on the databases that would choose a worse one.

    Queries are built before it is known where they will run, so *query* gets the hint of every
    dialect; SQLAlchemy renders only that of the dialect in use.
    """
    for dialect, known in KNOWN.items():
        if known.index_hint is not None:
            query = query.with_hint(table, known.index_hint.format(index), dialect)
    return query
