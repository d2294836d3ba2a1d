"""MySQL and MariaDB: locking reads, which see the latest committed rows under every isolation.

Our own engine uses READ COMMITTED. The default, REPEATABLE READ, locks the gaps between rows, and
two writers that look for rows that do not exist yet would wait for each other.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sermo_fsm.errors import StoreBusy
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.statements import (
    MAX_PARAMETERS,
    Parameter,
    Statements,
    Values,
    column_values,
    null_column,
)
from sermo_fsm.storage.column_types import PrivateText
from sermo_fsm.storage.schema import TABLE_PREFIX, Tables

__all__ = ["BACKEND", "MysqlBackend", "MysqlStatements"]

_UNIQUE_VIOLATION: Final = 1062
_SERIALIZATION_FAILURE: Final = (1020, 1412)  # a record, or a table, has changed since last read
_DEADLOCK: Final = 1213
_BUSY: Final = (1040, 1205, _DEADLOCK, 1317)  # too many connections, lock time-out, KILL QUERY
_CONNECTION_LOST: Final = (1053, 1927, 2002, 2003, 2006, 2013, 2014, 2045, 2055, 4031)
_MISSING_TABLE: Final = 1146

_DUPLICATE: Final = re.compile(r"(?s)Duplicate entry .* for key")


class MysqlBackend(Backend):
    """MySQL and MariaDB, by PyMySQL or asyncmy."""

    drivers: ClassVar[Mapping[str, str]] = {
        "pymysql": "pip install 'sermo-fsm[mysql]'",
        "asyncmy": "pip install 'sermo-fsm[async]'",
        "MySQLdb": "say mysql+pymysql://",
    }

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """READ COMMITTED; the reason is at the top of this module."""
        return url, {"isolation_level": "READ COMMITTED"}

    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of MySQL and MariaDB."""
        return MysqlStatements(tables, dialect)

    def prepare_snapshot(self, connection: sa.Connection) -> None:
        """By a statement: the driver's own method raises other errors for a lost connection."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def _in_autocommit(self, connection: sa.Connection) -> bool:
        """PyMySQL has a method for it, asyncmy an attribute."""
        driver: Any = connection.connection.driver_connection
        get_autocommit = getattr(driver, "get_autocommit", None)
        return bool(get_autocommit()) if get_autocommit else super()._in_autocommit(connection)

    def has_rolled_back(self, connection: sa.Connection, error: BaseException) -> bool:
        """A deadlock rolls back the whole transaction of its victim."""
        del connection
        return _DEADLOCK in error.args[:1]

    def classify(self, error: BaseException) -> ErrorKind:
        """By the server's number, which every driver puts first."""
        number = error.args[0] if error.args else None
        if number == _UNIQUE_VIOLATION:
            return ErrorKind.UNIQUE_VIOLATION
        if number in _SERIALIZATION_FAILURE:
            return ErrorKind.SERIALIZATION_FAILURE
        if number in _BUSY:
            return ErrorKind.BUSY
        if number in _CONNECTION_LOST:
            return ErrorKind.CONNECTION_LOST
        return ErrorKind.MISSING_TABLE if number == _MISSING_TABLE else ErrorKind.OTHER

    def describe(self, error: BaseException) -> str:
        """Without the value of a duplicate entry, which may be somebody's id."""
        text = str(error.args[1]) if len(error.args) > 1 else super().describe(error)
        return _DUPLICATE.sub("Duplicate entry for key", text).partition("\n")[0]

    @contextmanager
    def migration_lock(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """Take a lock of the connection: every statement of a migration commits by itself."""
        del tables
        if connection.execute(_GET_LOCK).scalar() != 1:
            raise StoreBusy("another process has been migrating for a minute")
        try:
            yield
        finally:
            if not connection.invalidated:  # a lost connection has lost the lock, too
                connection.execute(_RELEASE_LOCK)


BACKEND: Final = MysqlBackend()

# Not every URL names the database, so the server is asked.
_LOCK: Final = f"CONCAT('{TABLE_PREFIX}migrate.', MD5(DATABASE()))"
_GET_LOCK: Final = sa.text(f"SELECT GET_LOCK({_LOCK}, 60)")
_RELEASE_LOCK: Final = sa.text(f"SELECT RELEASE_LOCK({_LOCK})")


class MysqlStatements(Statements):
    """The SQL of MySQL and MariaDB."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = tables.session
        user = sa.tuple_(session.c.platform_id, session.c.user_id)
        # InnoDB locks rows as it reads them. By this index, that is always in the same order.
        index = f"FORCE INDEX (uq_{session.name}_platform_id_user_id_ordinal)"
        self._lock = _hinted(
            sa.select(session.c.id)
            .where(
                sa.tuple_(session.c.platform_id, session.c.user_id, session.c.ordinal).in_(_USERS)
            )
            .with_for_update(),
            session,
            index,
        )
        newest = _hinted(
            sa.select(
                session.c.platform_id, session.c.user_id, sa.func.max(session.c.ordinal).label("n")
            )
            .where(user.in_(_USERS))
            .group_by(session.c.platform_id, session.c.user_id),
            session,
            index,
        ).subquery()
        # MariaDB has no LATERAL, and no window functions in locking reads. Left alone, the planner
        # would read, and so lock, all sessions of a platform: the hints make it look up each user.
        self._last_two = _hinted(
            sa.select(session)
            .prefix_with("STRAIGHT_JOIN")
            .select_from(newest)
            .join(
                session,
                sa.and_(
                    session.c.platform_id == newest.c.platform_id,
                    session.c.user_id == newest.c.user_id,
                    session.c.ordinal > newest.c.n - 2,
                ),
            )
            .order_by(session.c.ordinal)
            .with_for_update(),
            session,
            index,
        )

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:
        """In the order of the index of users."""
        for some in _chunks(users):
            first = [(*user, 1) for user in some]
            connection.execute(self._lock, {"users": first}).all()

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """And a session that was opened between the two reads of this statement."""
        for some in _chunks(users):
            yield from connection.execute(self._last_two, {"users": some})

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> Sequence[int]:
        """By many rows in one statement, for which InnoDB reports the first id and the step."""
        columns = [self.parameter(column.name, column.type) for column in table.c[1:]]
        keys: list[int] = []
        for some in _chunks(rows, _MAX_ROWS):
            sql = self.cached("insert new", (table, len(some)), partial(_values, table, len(some)))
            values = zip(*column_values(columns, some), strict=True)
            result = connection.exec_driver_sql(sql, tuple(chain.from_iterable(values)))
            step = connection.execute(_STEP).scalar_one() if len(some) > 1 else 1
            first: int = result.lastrowid
            keys += range(first, first + len(some) * step, step)
        return keys

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> None:
        """By an update of nothing if a key exists: IGNORE would hide other errors as well.

        That update locks the row. So the keys that exist are left out first; else every writer of
        the same image would wait.
        """
        (key,) = table.primary_key
        existing = sa.select(key).where(key.in_([row[key.name] for row in rows]))
        known = set(connection.execute(existing).scalars())
        missing = [row for row in rows if row[key.name] not in known]
        insert = self.compiled(
            "insert missing",
            table,
            lambda: mysql.insert(table).on_duplicate_key_update({key.name: key}),
        )
        if missing:
            connection.exec_driver_sql(insert.sql, insert.arguments(missing))

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Values]
    ) -> None:
        """Several by one statement, as JSON: the driver would send one statement for each."""
        if len(rows) == 1:
            super().update_sessions(connection, columns, rows)
            return
        sql, parameters = self.cached("update all", columns, lambda: self._update_all(columns))
        for some in _chunks(rows, _MAX_ROWS):
            values = list(zip(*column_values(parameters, some), strict=True))
            document = PrivateText().process_bind_param(_json(values), self.dialect)
            connection.execute(sql, {"rows": document})

    def _update_all(self, columns: tuple[str, ...]) -> tuple[sa.TextClause, list[Parameter]]:
        session = self.tables.session
        changed = {name: session.c[name].type for name in columns}
        named = {"key": session.c.id.type, **changed}
        paths = ", ".join(
            f"v_{name} {kind.compile(self.dialect)} PATH '$[{at}]'"
            for at, (name, kind) in enumerate(named.items())
        )
        sets = ", ".join(f"s.{name} = v.v_{name}" for name in columns)
        sql = (
            f"UPDATE {session.name} AS s"  # noqa: S608 - our own names
            f" JOIN JSON_TABLE(:rows, '$[*]' COLUMNS ({paths})) AS v ON s.id = v.v_key SET {sets}"
        )
        return sa.text(sql), [self.parameter(name, kind) for name, kind in named.items()]


_MAX_ROWS: Final = 100  # in one statement: with the longest names still below the usual packet
_USERS: Final[sa.BindParameter[Any]] = sa.bindparam("users", expanding=True)
_STEP: Final = sa.text("SELECT @@auto_increment_increment")

_Item = TypeVar("_Item")


def _chunks(items: Sequence[_Item], size: int = MAX_PARAMETERS) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@compiles(null_column, "mysql", "mariadb")
def _null(_element: null_column, _compiler: SQLCompiler, **_options: Any) -> str:
    return "NULL"


def _hinted(query: sa.Select[Any], table: sa.Table, hint: str) -> sa.Select[Any]:
    return query.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


def _values(table: sa.Table, rows: int) -> str:
    """An INSERT of this many rows, without their ids."""
    names = [column.name for column in table.c[1:]]
    row = f"({', '.join(['%s'] * len(names))})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {values}"  # noqa: S608 - ours


def _json(values: object) -> str:
    return json.dumps(values, default=_moment)


def _moment(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")
