"""PostgreSQL: whole columns as arrays, so that a batch of any size is the same statement.

Under READ COMMITTED every statement sees what is committed when it starts: one statement takes the
lock, the next one reads what the lock protects. Under the stricter levels PostgreSQL aborts a
transaction that has read an older state, and all of it is done again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy import event, exc

from sermo_fsm.errors import LostRace
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.statements import Parameter, Statements, Values, column_values
from sermo_fsm.storage.schema import Tables

__all__ = ["BACKEND", "PostgresqlBackend", "PostgresqlStatements"]

_LOCK_TIMEOUT: Final = "30s"
_MIGRATING: Final = 0x7365726D6F  # "sermo": the number of an advisory lock

_UNIQUE_VIOLATION: Final = "23505"
_SERIALIZATION_FAILURE: Final = "40001"
_BUSY: Final = ("40P01", "55P03", "53300")  # deadlock, lock not available, too many connections
_CONNECTION_LOST: Final = ("57P01", "57P02", "57P03")  # shut down, crashed, not yet up
_CONNECTION_EXCEPTION: Final = "08"  # a class of states
_UNDEFINED_TABLE: Final = "42P01"
_EXISTS_OR_NOT: Final = ("42P07", "42710", "42701", "42P06", "42P01", "42704", "42703")
"""Something exists already, or does not exist."""

_FAILING_ROW: Final = re.compile(r"(?s)Failing row contains \(.*\)\.")
_REDACTED_ROW: Final = "Failing row contains what is not shown."

_IN_ERROR: Final = 3
"""``psycopg.pq.TransactionStatus.INERROR``; libpq knows the status without asking the server."""


class PostgresqlBackend(Backend):
    """PostgreSQL, by psycopg."""

    drivers: ClassVar[Mapping[str, str]] = {
        "psycopg": "pip install 'sermo-fsm[postgresql]'",
        "psycopg2": "say postgresql+psycopg://",
    }

    def configure_engine(self, engine: sa.Engine) -> None:
        """Limit the wait for a lock, unless the URL or the server does."""
        event.listen(engine, "connect", _set_lock_timeout)

    def check_schema_name(self, schema: str | None) -> None:
        """Take any name.

        Raises:
            InvalidArgument: It is empty.
        """
        if schema is not None and not schema:
            super().check_schema_name(schema)

    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of PostgreSQL."""
        return PostgresqlStatements(tables, dialect)

    def prepare_query(self, connection: sa.Connection) -> None:
        """Save the round trips of BEGIN and ROLLBACK."""
        connection.execution_options(isolation_level="AUTOCOMMIT")

    def commit_will_fail(self, connection: sa.Connection) -> bool:
        """PostgreSQL answers the commit of a failed transaction by rolling back, without an error.

        A host that has caught the error of the statement would not notice.
        """
        info = getattr(connection.connection.driver_connection, "info", None)
        return getattr(info, "transaction_status", None) == _IN_ERROR

    def drop_open_cursor(self, connection: sa.Connection, cursor: Any) -> None:
        """Close it, because psycopg warns of a cursor on the server that is deleted while open."""
        inner = getattr(cursor, "_cursor", cursor)  # of SQLAlchemy's adapter for asyncio
        if not getattr(inner, "closed", True):
            if not inner.connection.closed:  # we were cancelled while it was being closed
                connection.invalidate()
            cursor.close()  # sends nothing any more

    def classify(self, error: BaseException) -> ErrorKind:
        """By the SQLSTATE."""
        state = _sqlstate(error)
        if state == _UNIQUE_VIOLATION:
            return ErrorKind.UNIQUE_VIOLATION
        if state == _SERIALIZATION_FAILURE:
            return ErrorKind.SERIALIZATION_FAILURE
        if state in _BUSY:
            return ErrorKind.BUSY
        if state in _CONNECTION_LOST or state.startswith(_CONNECTION_EXCEPTION):
            return ErrorKind.CONNECTION_LOST
        return ErrorKind.MISSING_TABLE if state == _UNDEFINED_TABLE else ErrorKind.OTHER

    def redact(self, error: exc.DBAPIError) -> None:
        """Remove the row that a violated constraint quotes in full."""
        for one in filter(None, (error, error.orig)):
            one.args = tuple(
                _FAILING_ROW.sub(_REDACTED_ROW, part) if isinstance(part, str) else part
                for part in one.args
            )

    @contextmanager
    def migration_lock(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """Take an advisory lock until the transaction ends; create the schema if it is missing.

        Raises:
            LostRace: Another process was faster, and the isolation hides what it did.
        """
        strict = connection.get_isolation_level() in ("REPEATABLE READ", "SERIALIZABLE")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
        try:
            with _schema_of(connection, tables):
                yield
        except exc.DBAPIError as error:
            # A strict transaction sees the schema as it was before the wait for the lock.
            if strict and _sqlstate(error.orig) in _EXISTS_OR_NOT:
                said = self.describe(error.orig or error)
                raise LostRace(f"another writer was faster: {said}") from error
            raise


BACKEND: Final = PostgresqlBackend()


def _sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE of the driver's own *error*, which drivers keep under one of two names."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


@contextmanager
def _schema_of(connection: sa.Connection, tables: Tables) -> Iterator[None]:
    """Resolve unqualified names in the schema of *tables*; create it if it is missing."""
    if tables.schema is None:
        yield
        return
    path = sa.select(sa.func.current_setting("search_path"))
    # If anything fails, the savepoint takes back the schema and the search path.
    with connection.begin_nested():
        # IF NOT EXISTS would need the right to create schemas, even if this one exists.
        if not sa.inspect(connection).has_schema(tables.schema):
            connection.execute(sa.schema.CreateSchema(tables.schema))
        before = connection.execute(path).scalar_one()
        escaped = tables.schema.replace('"', '""')
        _set_search_path(connection, f'"{escaped}"')
        yield
        _set_search_path(connection, before)


def _set_search_path(connection: sa.Connection, path: str) -> None:
    """Set the search path until the transaction ends."""
    connection.execute(sa.select(sa.func.set_config("search_path", path, True)))  # noqa: FBT003 - SQL


def _set_lock_timeout(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    # A time-out of the URL or the server takes precedence.
    cursor.execute(
        f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT}', false)"
        " WHERE current_setting('lock_timeout') = '0'"
    )
    cursor.close()
    dbapi_connection.commit()


class PostgresqlStatements(Statements):
    """The SQL of PostgreSQL."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = self._name(tables.session)
        users = (
            "unnest(CAST(:platforms AS varchar[]), CAST(:users AS varchar[]))"
            " AS w (platform_id, user_id)"
        )
        # Found one by one, sorted by id, then locked row by row: ids grow, so a user whose first
        # session is new is locked last. NO KEY: foreign keys to these rows need no wait.
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
        # Locked too: in a host's transaction that sees an older state, this statement fails.
        self._last_two = sa.text(f"""
            SELECT s.* FROM {users} CROSS JOIN LATERAL (
                SELECT * FROM {session} AS o
                WHERE o.platform_id = w.platform_id AND o.user_id = w.user_id
                ORDER BY o.ordinal DESC LIMIT 2 FOR NO KEY UPDATE) AS s
            ORDER BY s.ordinal
        """).columns(*tables.session.c)  # noqa: S608 - the name of our own table

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:
        """In the order of the ids."""
        connection.execute(self._lock, _user_arrays(users))

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """By one lookup in the index per user."""
        return connection.execute(self._last_two, _user_arrays(users))

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """By one statement, with the ids as an array."""
        wanted = self.cached("messages", query, lambda: self._by_message_ids(query))
        yield from connection.execute(wanted, {"ids": list(ids)}).mappings()

    def _by_message_ids(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """By one lookup in the index per id, whatever the statistics of the table say."""
        ids = sa.func.unnest(_IDS).table_valued("message_id", name="w").render_derived()
        one = query.where(self.tables.history.c.message_id == ids.c.message_id).limit(1).lateral()
        return sa.select(one).select_from(ids.join(one, sa.true()))

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> Sequence[int]:
        """By one statement."""
        sql, columns = self.cached("insert new", table, lambda: self._insert_new(table))
        return sorted(connection.execute(sql, _arguments("p", columns, rows)).scalars())

    def insert_history(
        self,
        connection: sa.Connection,
        rows: Sequence[Values],
        bodies: Sequence[tuple[int, Values]],
    ) -> Sequence[int]:
        """Rows and bodies by one statement."""
        if not bodies:
            return self.insert_new(connection, self.tables.history, rows)
        sql, columns, body_columns = self.cached("insert history", None, self._insert_history)
        placed = [{**body, "place": place} for place, body in bodies]
        values = {**_arguments("p", columns, rows), **_arguments("b", body_columns, placed)}
        return connection.execute(sql, values).scalars().all()

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> None:
        """By ON CONFLICT DO NOTHING."""
        sql, columns = self.cached("insert missing", table, lambda: self._insert_missing(table))
        connection.execute(sql, _arguments("p", columns, rows))

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Values]
    ) -> None:
        """By one statement."""
        sql, parameters = self.cached("update", columns, lambda: self._update_all(columns))
        connection.execute(sql, _arguments("p", parameters, rows))

    # --- SQL text --------------------------------------------------------------------------------

    def _name(self, table: sa.Table) -> str:
        """The quoted name of *table*, for ``sa.text``: there a colon begins a parameter."""
        parts = [part.replace('"', '""') for part in (table.schema, table.name) if part]
        return ".".join(f'"{part}"' for part in parts).replace(":", r"\:")

    def _arrays(self, prefix: str, columns: Iterable[sa.Column[Any]]) -> str:
        kinds = (column.type.compile(self.dialect) for column in columns)
        return ", ".join(f"CAST(:{prefix}{at} AS {kind}[])" for at, kind in enumerate(kinds))

    def _parameters(self, columns: Iterable[sa.Column[Any]]) -> list[Parameter]:
        return [self.parameter(column.name, column.type) for column in columns]

    def _insert_new(self, table: sa.Table) -> tuple[sa.TextClause, list[Parameter]]:
        """Ids are drawn in the order of ``place``: the first row gets the smallest."""
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


def _user_arrays(users: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"platforms": [user[0] for user in users], "users": [user[1] for user in users]}


def _arguments(prefix: str, parameters: list[Parameter], rows: Sequence[Values]) -> dict[str, Any]:
    """The columns of *rows* as arrays, by the names that ``_arrays`` gives them."""
    return {f"{prefix}{at}": values for at, values in enumerate(column_values(parameters, rows))}
