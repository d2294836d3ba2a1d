"""MySQL and MariaDB: locking reads, which see what is committed whatever the transaction saw.

An engine of ours works under READ COMMITTED: the default, REPEATABLE READ, locks the gaps between
rows, and two writers that look for what is not there yet would wait for each other.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sermo_fsm.errors import StoreBusy
from sermo_fsm.storage.backends.base import PARAMETERS, Driver, Parameter, Row, Sql, Verdict, bound
from sermo_fsm.storage.column_types import PrivateText
from sermo_fsm.storage.schema import TABLE_PREFIX, Tables

__all__ = ["MysqlDriver", "MysqlSql"]

_LOST: Final = 1062  # duplicate entry
_STALE: Final = (1020, 1412)  # a record, or a table, has changed since last read
_BUSY: Final = (1040, 1205, 1213, 1317)  # too many connections, lock timeout, deadlock, KILL QUERY
_GONE: Final = (1053, 1927, 2002, 2003, 2006, 2013, 2014, 2045, 2055, 4031)
_NO_TABLES: Final = 1146

_DUPLICATE: Final = re.compile(r"(?s)Duplicate entry .* for key")


class MysqlDriver(Driver):
    """What a driver of MySQL or MariaDB has to be told."""

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """See above."""
        return url, {"isolation_level": "READ COMMITTED"}

    def take_snapshot(self, connection: sa.Connection) -> None:
        """By a statement: the driver's own way would tell of a lost connection in its own words."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def in_autocommit(self, driver: Any) -> bool:
        """PyMySQL has a method for it."""
        asked = getattr(driver, "get_autocommit", None)
        return bool(asked()) if asked else super().in_autocommit(driver)

    def verdict(self, error: BaseException) -> Verdict:
        """By the server's own number, which every driver puts first."""
        number = error.args[0] if error.args else None
        if number == _LOST:
            return Verdict.LOST
        if number in _STALE:
            return Verdict.STALE
        if number in _BUSY:
            return Verdict.BUSY
        if number in _GONE:
            return Verdict.GONE
        return Verdict.NO_TABLES if number == _NO_TABLES else Verdict.REFUSED

    def wording(self, error: BaseException) -> str:
        """The server quotes what was there twice: that is somebody's id."""
        said = str(error.args[1]) if len(error.args) > 1 else super().wording(error)
        return _DUPLICATE.sub("Duplicate entry for key", said).partition("\n")[0]

    @contextmanager
    def migrating(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """A migration commits with every statement here, so the lock is the connection's."""
        del tables
        if connection.execute(_GET_LOCK).scalar() != 1:
            raise StoreBusy("another process has been migrating for a minute")
        try:
            yield
        finally:
            if not connection.invalidated:  # else the lock is gone with it
                connection.execute(_RELEASE_LOCK)


# The server is asked which database it is, for not every host says so in a URL.
_LOCK: Final = f"CONCAT('{TABLE_PREFIX}migrate.', MD5(DATABASE()))"
_GET_LOCK: Final = sa.text(f"SELECT GET_LOCK({_LOCK}, 60)")
_RELEASE_LOCK: Final = sa.text(f"SELECT RELEASE_LOCK({_LOCK})")


class MysqlSql(Sql):
    """MySQL's own statements."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = tables.session
        user = sa.tuple_(session.c.platform_id, session.c.user_id)
        # InnoDB locks what it reads in the order of reading. Along this index that is one order.
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
        # No window and no LATERAL: MariaDB lacks one of them under a lock, and the other at all.
        # The planner would rather read all sessions of a platform, and so lock them: it is told to
        # take the users one by one, along their index.
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
        """By the rows of their first sessions, along the index of users."""
        for some in _chunks(users):
            first = [(*user, 1) for user in some]
            connection.execute(self._lock, {"users": first}).all()

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """At least: a session that was opened meanwhile comes along."""
        for some in _chunks(users):
            yield from connection.execute(self._last_two, {"users": some})

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """InnoDB tells the first id of a statement, and the distance to the next."""
        columns = [self.parameter(column.name, column.type) for column in table.c[1:]]
        keys: list[int] = []
        for some in _chunks(rows, _ROWS):
            sql = self.made("numbered", (table, len(some)), partial(_values, table, len(some)))
            values = zip(*bound(columns, some), strict=True)
            result = connection.exec_driver_sql(sql, tuple(chain.from_iterable(values)))
            step = connection.execute(_STEP).scalar_one() if len(some) > 1 else 1
            first: int = result.lastrowid
            keys += range(first, first + len(some) * step, step)
        return keys

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By changing nothing where it is there: IGNORE would hide other errors too.

        That would lock what is there until the end, and with it all who send the same picture.
        """
        (key,) = table.primary_key
        there = sa.select(key).where(key.in_([row[key.name] for row in rows]))
        known = set(connection.execute(there).scalars())
        statement = self.made(
            "insert missing",
            table,
            lambda: mysql.insert(table).on_duplicate_key_update({key.name: key}),
        )
        self.run(connection, statement, [row for row in rows if row[key.name] not in known])

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Row]
    ) -> None:
        """Several in one statement, as JSON: the driver would send them one by one."""
        if len(rows) == 1:
            super().update_sessions(connection, columns, rows)
            return
        sql, parameters = self.made("update all", columns, lambda: self._update_all(columns))
        for some in _chunks(rows, _ROWS):
            values = list(zip(*bound(parameters, some), strict=True))
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


_ROWS: Final = 100  # in one statement: with the longest names still below the usual packet
_USERS: Final[sa.BindParameter[Any]] = sa.bindparam("users", expanding=True)
_STEP: Final = sa.text("SELECT @@auto_increment_increment")

_Item = TypeVar("_Item")


def _chunks(items: Sequence[_Item], size: int = PARAMETERS) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _hinted(query: sa.Select[Any], table: sa.Table, hint: str) -> sa.Select[Any]:
    return query.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


def _values(table: sa.Table, rows: int) -> str:
    """An INSERT of so many rows, without their ids."""
    names = [column.name for column in table.c[1:]]
    row = f"({', '.join(['%s'] * len(names))})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {values}"  # noqa: S608 - ours


def _json(values: object) -> str:
    return json.dumps(values, default=_moment)


def _moment(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")
