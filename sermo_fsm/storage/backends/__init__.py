"""The databases that this release works with, one module each.

What one of them does differently from the others stands in its module, and nowhere else: what its
driver has to be told (:class:`Driver`), and the statements that it wants said its own way
(:class:`Sql`). A database more is a module more, and a line in the table below.
"""

from typing import Final

import sqlalchemy as sa

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.backends.base import Driver, Sql, Verdict
from sermo_fsm.storage.backends.mysql import MysqlDriver, MysqlSql
from sermo_fsm.storage.backends.postgresql import PostgresqlDriver, PostgresqlSql
from sermo_fsm.storage.backends.sqlite import SqliteDriver, SqliteSql
from sermo_fsm.storage.schema import Tables

__all__ = ["Driver", "Sql", "Verdict", "driver_of", "sql_of"]

_BACKENDS: Final[dict[str, tuple[Driver, type[Sql]]]] = {
    "sqlite": (SqliteDriver(), SqliteSql),
    "postgresql": (PostgresqlDriver(), PostgresqlSql),
    "mysql": (MysqlDriver(), MysqlSql),
    "mariadb": (MysqlDriver(), MysqlSql),
}


def driver_of(dialect: sa.Dialect) -> Driver:
    """What the driver of this database has to be told.

    Raises:
        InvalidArgument: This release does not work with it.
    """
    return _backend(dialect)[0]


def sql_of(dialect: sa.Dialect, tables: Tables) -> Sql:
    """How this database wants its statements, on these tables."""
    return _backend(dialect)[1](tables, dialect)


def _backend(dialect: sa.Dialect) -> tuple[Driver, type[Sql]]:
    if dialect.name not in _BACKENDS:
        wanted = "SQLite, PostgreSQL, MySQL or MariaDB"
        raise InvalidArgument("database", wanted=wanted, got=dialect.name)
    return _BACKENDS[dialect.name]
