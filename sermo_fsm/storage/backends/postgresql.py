"""PostgreSQL: whole columns as arrays, so that a batch is one statement of a constant text.

Right under READ COMMITTED, where every statement sees what is committed by then: the lock is one
statement, what it protects is read by the next. Under the stricter levels the database aborts
whoever would have decided on what was true before, and the whole is done again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy import event, exc

from sermo_fsm.errors import LostRace
from sermo_fsm.storage.backends.base import Driver, Parameter, Row, Sql, Verdict, bound
from sermo_fsm.storage.schema import Tables

__all__ = ["PostgresqlDriver", "PostgresqlSql"]

_LOCK_TIMEOUT: Final = "30s"
_MIGRATING: Final = 0x7365726D6F  # "sermo": the number of an advisory lock

_LOST: Final = "23505"  # unique violation
_STALE: Final = "40001"  # serialization failure
_BUSY: Final = ("40P01", "55P03", "53300")  # deadlock, lock not available, too many connections
_GONE: Final = ("57P01", "57P02", "57P03")  # shut down, crashed, not yet up
_NO_TABLES: Final = "42P01"

_ROW: Final = re.compile(r"(?s)Failing row contains \(.*\)\.")
_NO_ROW: Final = "Failing row contains what is not shown."
_THERE_OR_NOT: Final = ("42P07", "42710", "42701", "42P06", "42P01", "42704", "42703")


class PostgresqlDriver(Driver):
    """What a driver of PostgreSQL has to be told."""

    # One question is one round trip, without BEGIN and ROLLBACK around it.
    reading: ClassVar[Mapping[str, Any]] = {"isolation_level": "AUTOCOMMIT"}

    def prepare(self, engine: sa.Engine) -> None:
        """Nobody waits for a lock for ever."""
        event.listen(engine, "connect", _set_lock_timeout)

    def verdict(self, error: BaseException) -> Verdict:
        """By the SQLSTATE of the SQL standard, which every driver has under one of two names."""
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
        if state in (_LOST, _STALE):
            return Verdict.LOST if state == _LOST else Verdict.STALE
        if state in _BUSY:
            return Verdict.BUSY
        if state in _GONE or state.startswith("08"):
            return Verdict.GONE
        return Verdict.NO_TABLES if state == _NO_TABLES else Verdict.REFUSED

    def hush(self, error: sa.exc.DBAPIError) -> None:
        """A constraint that is not met shows the whole row."""
        for one in filter(None, (error, error.orig)):
            one.args = tuple(
                _ROW.sub(_NO_ROW, part) if isinstance(part, str) else part for part in one.args
            )

    @contextmanager
    def migrating(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """Whoever starts at the same time waits; the schema is made where it is missing.

        Raises:
            LostRace: Something was there, or was not, against what the transaction sees.
        """
        strict = connection.get_isolation_level() in ("REPEATABLE READ", "SERIALIZABLE")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
        try:
            with _schema_of(connection, tables):
                yield
        except exc.DBAPIError as error:
            # Such a transaction sees what was there before it waited.
            state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", "")
            if strict and state in _THERE_OR_NOT:
                said = self.wording(error.orig or error)
                raise LostRace(f"another writer was faster: {said}") from error
            raise


@contextmanager
def _schema_of(connection: sa.Connection, tables: Tables) -> Iterator[None]:
    """Look where the tables are to be, for as long as this lasts."""
    if tables.schema is None:
        yield
        return
    path = sa.select(sa.func.current_setting("search_path"))
    # With whatever fails, the savepoint takes back schema and search path.
    with connection.begin_nested():
        # IF NOT EXISTS would want the right to create it also where it is there.
        if not sa.inspect(connection).has_schema(tables.schema):
            connection.execute(sa.schema.CreateSchema(tables.schema))
        before = connection.execute(path).scalar_one()
        escaped = tables.schema.replace('"', '""')
        _look_in(connection, f'"{escaped}"')
        yield
        _look_in(connection, before)


def _look_in(connection: sa.Connection, path: str) -> None:
    """Set the search path, at most until the transaction ends."""
    connection.execute(sa.select(sa.func.set_config("search_path", path, True)))  # noqa: FBT003 - SQL


def _set_lock_timeout(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    # What the URL or the server says is meant.
    cursor.execute(
        f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT}', false)"
        " WHERE current_setting('lock_timeout') = '0'"
    )
    cursor.close()
    dbapi_connection.commit()


class PostgresqlSql(Sql):
    """PostgreSQL's own statements."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = self._name(tables.session)
        users = (
            "unnest(CAST(:platforms AS varchar[]), CAST(:users AS varchar[]))"
            " AS w (platform_id, user_id)"
        )
        # Found one by one, sorted, and locked then, row by row: who has only just opened a first
        # session comes last. Sessions of others that point here may go on.
        self._lock = sa.text(f"""
            SELECT s.id FROM (
                SELECT o.id FROM {users} CROSS JOIN LATERAL (
                    SELECT id FROM {session} AS i
                    WHERE i.platform_id = w.platform_id AND i.user_id = w.user_id AND i.ordinal = 1
                    OFFSET 0) AS o
                ORDER BY o.id OFFSET 0) AS f
            CROSS JOIN LATERAL (
                SELECT id FROM {session} AS k WHERE k.id = f.id FOR NO KEY UPDATE) AS s
        """)  # noqa: S608 - the name of our own table
        # Locked too, for a host's transaction that sees an older state: there this is what fails.
        self._last_two = sa.text(f"""
            SELECT s.* FROM {users} CROSS JOIN LATERAL (
                SELECT * FROM {session} AS o
                WHERE o.platform_id = w.platform_id AND o.user_id = w.user_id
                ORDER BY o.ordinal DESC LIMIT 2 FOR NO KEY UPDATE) AS s
            ORDER BY s.ordinal
        """).columns(*tables.session.c)  # noqa: S608 - likewise

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:
        """By the rows of their first sessions, in the order of their keys."""
        connection.execute(self._lock, _columns(users))

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """By one look into the index for each user."""
        return connection.execute(self._last_two, _columns(users))

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """All in one array."""
        wanted = self.made("messages", query, lambda: self._wanted(query))
        yield from connection.execute(wanted, {"ids": list(ids)}).mappings()

    def _wanted(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """By one look into the index for each, whatever the planner believes of the table."""
        ids = sa.func.unnest(_IDS).table_valued("message_id", name="w").render_derived()
        one = query.where(self.tables.history.c.message_id == ids.c.message_id).limit(1).lateral()
        return sa.select(one).select_from(ids.join(one, sa.true()))

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """One statement for all."""
        sql, columns = self.made("insert new", table, lambda: self._insert_new(table))
        return sorted(connection.execute(sql, _named("p", columns, rows)).scalars())

    def insert_history(
        self, connection: sa.Connection, rows: Sequence[Row], bodies: Sequence[tuple[int, Row]]
    ) -> Sequence[int]:
        """Rows and bodies in one statement."""
        if not bodies:
            return self.insert_new(connection, self.tables.history, rows)
        sql, columns, theirs = self.made("insert history", None, self._insert_history)
        placed = [{**body, "place": place} for place, body in bodies]
        values = {**_named("p", columns, rows), **_named("b", theirs, placed)}
        return connection.execute(sql, values).scalars().all()

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By PostgreSQL's own clause."""
        sql, columns = self.made("insert missing", table, lambda: self._insert_missing(table))
        connection.execute(sql, _named("p", columns, rows))

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Row]
    ) -> None:
        """One statement for all."""
        sql, named = self.made("update", columns, lambda: self._update_all(columns))
        connection.execute(sql, _named("p", named, rows))

    # --- their texts -----------------------------------------------------------------------------

    def _name(self, table: sa.Table) -> str:
        """For a text of SQLAlchemy's: ``%`` is doubled there, and a colon begins a parameter."""
        parts = [part.replace('"', '""') for part in (table.schema, table.name) if part]
        return ".".join(f'"{part}"' for part in parts).replace(":", r"\:")

    def _arrays(self, prefix: str, columns: Iterable[sa.Column[Any]]) -> str:
        kinds = (column.type.compile(self.dialect) for column in columns)
        return ", ".join(f"CAST(:{prefix}{at} AS {kind}[])" for at, kind in enumerate(kinds))

    def _parameters(self, columns: Iterable[sa.Column[Any]]) -> list[Parameter]:
        return [self.parameter(column.name, column.type) for column in columns]

    def _insert_new(self, table: sa.Table) -> tuple[sa.TextClause, list[Parameter]]:
        """Ids are drawn in the order of the places, so the smallest is that of the first row."""
        columns = list(table.c)[1:]
        names = ", ".join(column.name for column in columns)
        sql = (
            f"INSERT INTO {self._name(table)} ({names}) SELECT {names}"  # noqa: S608 - ours
            f" FROM unnest({self._arrays('p', columns)}) WITH ORDINALITY AS v ({names}, place)"
            f" ORDER BY place RETURNING id"
        )
        return sa.text(sql), self._parameters(columns)

    def _insert_history(self) -> tuple[sa.TextClause, list[Parameter], list[Parameter]]:
        body = self.tables.body
        inserted, parameters = self._insert_new(self.tables.history)
        columns = list(body.c)[1:]
        names = ", ".join(column.name for column in columns)
        place = sa.Column("place", sa.BigInteger)
        arrays = self._arrays("b", [place, *columns])
        sql = (
            f"WITH h AS ({inserted.text}),"  # noqa: S608 - ours
            " k AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM h),"
            f" b AS (INSERT INTO {self._name(body)} (history_id, {names}) SELECT id, {names}"
            f" FROM k JOIN unnest({arrays}) AS v (place, {names}) USING (place))"
            " SELECT id FROM k ORDER BY place"
        )
        return sa.text(sql), parameters, self._parameters([place, *columns])

    def _insert(self, table: sa.Table) -> tuple[sa.TextClause, list[Parameter]]:
        columns = list(table.c)
        names = ", ".join(column.name for column in columns)
        values = f"SELECT * FROM unnest({self._arrays('p', columns)})"  # noqa: S608 - ours
        sql = f"INSERT INTO {self._name(table)} ({names}) {values}"
        return sa.text(sql), self._parameters(columns)

    def _insert_missing(self, table: sa.Table) -> tuple[sa.TextClause, list[Parameter]]:
        sql, parameters = self._insert(table)
        return sa.text(f"{sql.text} ON CONFLICT DO NOTHING"), parameters

    def _update_all(self, columns: tuple[str, ...]) -> tuple[sa.TextClause, list[Parameter]]:
        session = self.tables.session
        changed = [sa.Column("key", session.c.id.type), *(session.c[name] for name in columns)]
        sets = ", ".join(f"{name} = v.{name}" for name in columns)
        names = ", ".join(column.name for column in changed)
        sql = (
            f"UPDATE {self._name(session)} AS s SET {sets}"  # noqa: S608 - ours
            f" FROM unnest({self._arrays('p', changed)}) AS v ({names}) WHERE s.id = v.key"
        )
        return sa.text(sql), self._parameters(changed)


_IDS: Final[Any] = sa.bindparam("ids", type_=sa.ARRAY(sa.String))


def _columns(users: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"platforms": [user[0] for user in users], "users": [user[1] for user in users]}


def _named(prefix: str, parameters: list[Parameter], rows: Sequence[Row]) -> dict[str, Any]:
    """Each column of *rows*, under the name that it has in the statement."""
    return {f"{prefix}{at}": values for at, values in enumerate(bound(parameters, rows))}
