"""PostgreSQL: a batch as JSON, so that one of any size is the same statement.

Under READ COMMITTED every statement sees what is committed when it starts: one statement takes the
lock, the next one reads what the lock protects. For a single event one statement does both, and is
run again if somebody else had the lock meanwhile. Under the stricter levels PostgreSQL aborts a
transaction that has read an older state, and all of it is done again.

Behind a pooler such as PgBouncer a client's next transaction may run on another connection to the
server. There our own connections prepare no statements, and set nothing that outlives a
transaction. Elsewhere they do: without prepared statements an event takes half as long again.

Long, because all that is said of this database is said here: connections, errors and SQL.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import ConnectionPoolEntry

from sermo_fsm.errors import InvalidArgument, LostRace, UnusableDatabase
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.message import MessageKey
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.json_rows import documents, session_values
from sermo_fsm.storage.backends.statements import (
    Change,
    Row,
    Statements,
    quiet_and_others,
)
from sermo_fsm.storage.column_types import PrivateText, UtcDateTime
from sermo_fsm.storage.schema import Tables

__all__ = ["BACKEND", "PostgresqlBackend", "PostgresqlStatements"]

_LOCK_TIMEOUT: Final = "30s"
_MIGRATING: Final = 0x7365726D6F  # "sermo": the number of an advisory lock

_UNIQUE_VIOLATION: Final = "23505"
_SERIALIZATION_FAILURE: Final = "40001"
_FOREIGN_KEY_VIOLATION: Final = "23503"
"""A picture that was there has just been erased, with the last body that referred to it."""
_BUSY: Final = ("40P01", "55P03", "53300")  # deadlock, lock not available, too many connections
_CONNECTION_LOST: Final = ("57P01", "57P02", "57P03")  # shut down, crashed, not yet up
_CONNECTION_EXCEPTION: Final = "08"  # a class of states
_REFUSED: Final = ("3D000", "28000", "28P01")  # no such database, no such role, wrong password
_REFUSED_AT_ONCE: Final = re.compile(
    'FATAL: +(database "[^"]*" does not exist|role "[^"]*" does not exist|no pg_hba.conf entry'
    "|password authentication failed)"
)
"""libpq reports no SQLSTATE for a connection that it does not get."""
_UNDEFINED_TABLE: Final = "42P01"
_UNDEFINED_COLUMN: Final = "42703"
_MISSING_SAVEPOINT: Final = ("3B001", "25P01")  # not there; or there is no transaction at all
_OTHER_CONNECTION: Final = ("26000", "42P05", "08P01")
"""A prepared statement is missing, exists already, or is another one: a pooler has changed the
server's connection."""
_LOST: Final = (*_CONNECTION_LOST, *_OTHER_CONNECTION)
_UNPREPARED: Final = (
    "; where a pooler lends a server's connection for one transaction, give your own engine "
    "connect_args={'prepare_threshold': None}"
)
_EXISTS_OR_NOT: Final = ("42P07", "42710", "42701", "42P06", "42P01", "42704", "42703")
"""Something exists already, or does not exist."""

_UTF8: Final = "utf8"
_ENCODINGS: Final = sa.text(
    "SELECT current_setting('server_encoding'), current_setting('client_encoding'),"
    " current_database()"
)

_IN_ERROR: Final = 3
"""``psycopg.pq.TransactionStatus.INERROR``; libpq knows the status without asking the server."""


class PostgresqlBackend(Backend):
    """PostgreSQL, by psycopg."""

    drivers: ClassVar[Mapping[str, str]] = {
        "psycopg": "pip install 'sermo-fsm[postgresql]'",
    }

    quotations: ClassVar[Sequence[tuple[re.Pattern[str], str]]] = (
        (
            re.compile(r"(?s)Failing row contains \(.*\)\."),
            "Failing row contains what is not shown.",
        ),
        (re.compile(r"(?:0x[0-9a-f]{2} ?)+"), "what is not shown "),
        (re.compile(r'(?s)Token ".*" is invalid\.'), "Something is invalid that is not shown."),
        (re.compile(r"(?s)\nCONTEXT:.*"), ""),  # with the parameters, if the server is told to
    )

    def prepare_engine(self, engine: sa.Engine) -> None:
        """Drop a connection whose prepared statements a pooler has left with another client."""
        if not event.contains(engine, "handle_error", _drop_if_changed):
            event.listen(engine, "handle_error", _drop_if_changed)

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """Speak UTF-8, whatever the environment or the server's defaults say.

        Raises:
            InvalidArgument: The URL asks for another encoding.
        """
        asked = url.query.get("client_encoding", _UTF8)
        if not _is_utf8(str(asked)):
            wanted = f"client_encoding={_UTF8}, or no client_encoding: no other holds every text"
            raise InvalidArgument("url", wanted=wanted, got="another one")
        return url.update_query_dict({"client_encoding": _UTF8}), {}

    def configure_engine(self, engine: sa.Engine) -> None:
        """Limit the wait for a lock, unless the URL or the server does; get on with poolers."""
        self.prepare_engine(engine)
        event.listen(engine, "connect", _set_up)

    def check_schema_name(self, schema: str | None) -> None:
        """Take any name.

        Raises:
            InvalidArgument: It is empty, or no text.
        """
        if schema is not None and (not schema or schema != str(schema)):
            super().check_schema_name(schema)

    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of PostgreSQL."""
        return PostgresqlStatements(tables, dialect)

    def begin_write(self, connection: sa.Connection) -> sa.Transaction:
        """Begin it, with a limit to its waits for locks."""
        transaction = super().begin_write(connection)
        _limit_waits(connection)
        return transaction

    def prepare_query(self, connection: sa.Connection) -> None:
        """Save the round trips of BEGIN and ROLLBACK, where no wait has to be limited by them."""
        if not _limit_waits(connection):
            connection.execution_options(isolation_level="AUTOCOMMIT")

    def prepare_snapshot(self, connection: sa.Connection) -> None:
        """As SQLAlchemy does, only to read, and with a limit to its waits for locks."""
        super().prepare_snapshot(connection)
        connection.execution_options(postgresql_readonly=True)
        _limit_waits(connection)

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

    def socket_number(self, driver: Any) -> int | None:
        """As libpq says."""
        number: int = driver.fileno()
        return number

    def classify(self, error: BaseException) -> ErrorKind:
        """By the SQLSTATE."""
        state = _sqlstate(error)
        if state == _UNIQUE_VIOLATION:
            return ErrorKind.UNIQUE_VIOLATION
        if state in (_SERIALIZATION_FAILURE, _FOREIGN_KEY_VIOLATION):
            return ErrorKind.SERIALIZATION_FAILURE
        if state in _BUSY:
            return ErrorKind.BUSY
        if state in _LOST or state.startswith(_CONNECTION_EXCEPTION):
            return ErrorKind.CONNECTION_LOST
        if state in _REFUSED or (not state and _REFUSED_AT_ONCE.search(str(error))):
            return ErrorKind.UNUSABLE
        if state in _MISSING_SAVEPOINT:
            return ErrorKind.MISSING_SAVEPOINT
        if state == _UNDEFINED_COLUMN and "sermo_" in str(error):
            return ErrorKind.MISSING_COLUMN
        return ErrorKind.MISSING_TABLE if state == _UNDEFINED_TABLE else ErrorKind.OTHER

    def describe(self, error: BaseException) -> str:
        """With a remedy if a pooler gets in the way of prepared statements."""
        remedy = _UNPREPARED if _sqlstate(error) in _OTHER_CONNECTION else ""
        return super().describe(error) + remedy

    def check_encoding(self, connection: sa.Connection, tables: Tables) -> None:
        """Both the database and the connection have to be in UTF-8.

        Raises:
            UnusableDatabase: One of them is not.
        """
        del tables
        server, client, name = connection.execute(_ENCODINGS).one()
        if not _is_utf8(server):
            raise UnusableDatabase(
                f"the encoding of the database is {server}, which can't hold every text; make"
                f" another one: createdb --encoding=UTF8 --template=template0 {name}"
            )
        if not _is_utf8(client):
            raise UnusableDatabase(
                f"the encoding of the connection is {client}, which can't hold every text: connect"
                f" with client_encoding={_UTF8}"
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


def _is_utf8(encoding: str) -> bool:
    """Whether PostgreSQL takes *encoding* for a name of UTF-8."""
    return re.sub("[^a-z0-9]", "", encoding.lower()) in (_UTF8, "unicode")


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


# --- connections ---------------------------------------------------------------------------------


def _set_up(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    """Find out whether a pooler stands before the server; if none does, limit waits for good.

    A pooler tells its clients numbers of its own instead of the server's process.
    """
    driver: Any = record.driver_connection
    process = getattr(getattr(driver, "info", None), "backend_pid", 0)
    cursor = dbapi_connection.cursor()
    cursor.execute(_LIMIT_WAITS.format(is_local=f"pg_backend_pid() <> {process}"))
    is_pooled, _ = cursor.fetchone()
    cursor.close()
    dbapi_connection.commit()
    if is_pooled:
        record.info[_POOLED] = True
        with suppress(AttributeError):  # other drivers than psycopg have options of their own
            driver.prepare_threshold = None


def _limit_waits(connection: sa.Connection) -> bool:
    """Limit the waits of one transaction, if a pooler lends the server's connection to others."""
    is_pooled: bool = connection.info.get(_POOLED, False)
    if is_pooled:
        connection.exec_driver_sql(_LIMIT_WAITS.format(is_local="true"))
    return is_pooled


_POOLED: Final = "sermo_pooled"
"""Key in ``Connection.info``: whether a pooler stands between our own connection and the server."""

# A time-out of the URL or the server takes precedence.
_LIMIT_WAITS: Final = (
    "SELECT {is_local}, CASE current_setting('lock_timeout') WHEN '0'"
    f" THEN set_config('lock_timeout', '{_LOCK_TIMEOUT}', {{is_local}}) END"
)


def _drop_if_changed(context: sa.ExceptionContext) -> None:
    """Have a connection discarded, and with it what its driver takes for prepared."""
    if _sqlstate(context.original_exception) in _OTHER_CONNECTION:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # the others may do


class PostgresqlStatements(Statements):
    """The SQL of PostgreSQL.

    Rows go there as one JSON text, arrays in an array, and sessions come back as an array each. Of
    a batch of 500 that leaves 6 µs of our CPU to write a row of the history where arrays by column,
    one for each, took 40, and 4 µs to read a session of 35 columns instead of 25. The server takes
    as long: ``jsonb`` finds the n-th value of an array, ``json`` would look for it from the start.
    """

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session = self._name(tables.session)
        users = (
            "(SELECT v->>0 AS platform_id, v->>1 AS user_id"
            " FROM jsonb_array_elements(CAST(:users AS jsonb)) AS v) AS w"
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
        values = ", ".join(map(_selected, tables.session.c))
        # Locked too: in a host's transaction that sees an older state, this statement fails.
        self._last_two = sa.text(f"""
            SELECT CAST(json_build_array({values}) AS text) FROM {users} CROSS JOIN LATERAL (
                SELECT * FROM {session} AS o
                WHERE o.platform_id = w.platform_id AND o.user_id = w.user_id
                ORDER BY o.ordinal DESC LIMIT 2 FOR NO KEY UPDATE) AS sermo_s
            ORDER BY sermo_s.ordinal
        """).columns(sa.column("session", PrivateText))  # noqa: S608 - the name of our own table
        one = "{0}.platform_id = :platform AND {0}.user_id = :user"
        self._last = sa.text(f"""
            SELECT CAST(json_build_array({values}) AS text) FROM {session} AS sermo_s
            WHERE {one.format("sermo_s")} ORDER BY sermo_s.ordinal DESC LIMIT 1
        """).columns(sa.column("session", PrivateText))  # noqa: S608 - the name of our own table
        # What is asked of f is always so: it only lets the first session be locked first.
        self._one = sa.text(f"""
            SELECT
                CASE WHEN sermo_s.id IS NOT NULL THEN CAST(json_build_array({values}) AS text) END,
                sermo_s.is_stale, m.is_written
            FROM (SELECT EXISTS (
                SELECT FROM {self._name(tables.history)} AS h
                WHERE h.direction = :direction AND h.message_id = :message) AS is_written) AS m
            LEFT JOIN LATERAL (
                SELECT id FROM {session} AS i WHERE {one.format("i")} AND i.ordinal = 1
                FOR NO KEY UPDATE) AS f ON true
            LEFT JOIN LATERAL (
                SELECT o.*,
                    o.ctid <> (SELECT ctid FROM {session} AS p WHERE p.id = o.id) AS is_stale
                FROM (
                    SELECT *, ctid FROM {session} AS k
                    WHERE {one.format("k")} AND coalesce(f.id, 0) >= 0
                    ORDER BY k.ordinal DESC LIMIT 2 FOR NO KEY UPDATE) AS o) AS sermo_s ON true
            ORDER BY sermo_s.ordinal
        """).columns(  # noqa: S608 - the names of our own tables
            sa.column("session", PrivateText),
            sa.column("is_stale", sa.Boolean),
            sa.column("is_written", sa.Boolean),
        )

    def load(
        self,
        connection: sa.Connection,
        users: Sequence[tuple[str, str]],
        messages: Collection[MessageKey],
    ) -> tuple[Iterable[Sequence[Any]], Collection[MessageKey]]:
        """For one event by one statement: a fifth of the time that the three of a batch take.

        It sees what was committed before it waited for the lock. Who had the lock meanwhile and has
        written a session or a message has also written one of the last two sessions that it sees:
        where another opens, the one before is written, too. Then the row that was locked is not the
        row that was seen, and the statement is run again, with the lock.
        """
        if len(users) != 1 or len(messages) > 1:
            return super().load(connection, users, messages)
        ((platform, user),) = users
        direction, message = next(iter(messages), (None, None))
        values = {"platform": platform, "user": user, "direction": direction, "message": message}
        found = connection.execute(self._one, values).all()
        if any(is_stale for _, is_stale, _ in found):
            found = connection.execute(self._one, values).all()
        sessions = [session_values(text) for text, _, _ in found if text is not None]
        return sessions, messages if found[0].is_written else ()

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:
        """In the order of the ids."""
        connection.execute(self._lock, {"users": dump(users)})

    def last(self, connection: sa.Connection, platform: str, user: str) -> Sequence[Any] | None:
        """By one lookup in the index."""
        one = {"platform": platform, "user": user}
        text = connection.execute(self._last, one).scalar()
        return None if text is None else session_values(text)

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[Sequence[Any]]:
        """By one lookup in the index per user."""
        found = connection.execute(self._last_two, {"users": dump(users)})
        return map(session_values, found.scalars())

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """By one statement, with the ids as JSON."""
        wanted = self.cached("messages", query, lambda: self._by_message_ids(query))
        yield from connection.execute(wanted, {"ids": dump(ids)}).mappings()

    def _by_message_ids(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """By one lookup in the index per id, whatever the statistics of the table say."""
        ids = sa.func.jsonb_array_elements_text(_IDS).table_valued("message_id", name="w")
        ids = ids.render_derived()
        one = query.where(self.tables.history.c.message_id == ids.c.message_id).limit(1).lateral()
        return sa.select(one).select_from(ids.join(one, sa.true()))

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """By one statement."""
        sql = self.cached("insert new", table, lambda: self._insert_new(table))
        keys: list[int] = []
        for document in documents(rows, _LARGEST):
            keys += sorted(connection.execute(sql, {"rows": document}).scalars())
        return keys

    def insert_history(
        self,
        connection: sa.Connection,
        rows: Sequence[Row],
        bodies: Sequence[tuple[int, Row]],
    ) -> Sequence[int]:
        """Rows and bodies by one statement; where a row has a body, that follows its values."""
        if not bodies:
            return self.insert_new(connection, self.tables.history, rows)
        sql = self.cached("insert history", None, self._insert_history)
        whole = list(rows)
        for place, body in bodies:
            whole[place] += body
        keys: list[int] = []
        for document in documents(whole, _LARGEST):
            keys += connection.execute(sql, {"rows": document}).scalars()
        return keys

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By ON CONFLICT DO NOTHING."""
        insert = self.compiled(
            "insert missing", table, lambda: postgresql.insert(table).on_conflict_do_nothing()
        )
        self.run(connection, insert, rows)

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], changes: Sequence[Change]
    ) -> None:
        """One by its own values, several by one statement, or two."""
        if len(changes) == 1:
            super().update_sessions(connection, columns, changes)
            return
        for names, rows in quiet_and_others(columns, changes):
            sql = self.cached("update all", names, partial(self._update_all, names))
            for document in documents(rows, _LARGEST):
                connection.execute(sql, {"rows": document})

    # --- SQL text --------------------------------------------------------------------------------

    def _name(self, table: sa.Table) -> str:
        """The quoted name of *table*, for ``sa.text``: there a colon begins a parameter."""
        parts = [part.replace('"', '""') for part in (table.schema, table.name) if part]
        return ".".join(f'"{part}"' for part in parts).replace(":", r"\:")

    def _value(self, at: int, column: sa.Column[Any]) -> str:
        """The value of *column*, which is the n-th of a row."""
        return f"CAST(v->>{at} AS {column.type.compile(self.dialect)})"

    def _values(self, columns: Iterable[sa.Column[Any]], start: int = 0) -> str:
        return ", ".join(self._value(at, column) for at, column in enumerate(columns, start))

    def _insert(self, table: sa.Table, source: str) -> str:
        """Ids are drawn in the order of ``place``: the first row gets the smallest."""
        columns = table.c[1:]
        return (
            f"INSERT INTO {self._name(table)} ({_names(columns)}) SELECT {self._values(columns)}"  # noqa: S608 - ours
            f" FROM {source} ORDER BY place RETURNING id"
        )

    def _insert_new(self, table: sa.Table) -> sa.TextClause:
        return _of_rows(self._insert(table, f"{_ROWS} WITH ORDINALITY AS r (v, place)"))

    def _insert_history(self) -> sa.TextClause:
        history, body = self.tables.history, self.tables.body
        own, columns = len(history.c) - 1, body.c[1:]
        return _of_rows(
            f"WITH r AS (SELECT v, place FROM {_ROWS} WITH ORDINALITY AS r (v, place)),"  # noqa: S608 - ours
            f" h AS ({self._insert(history, 'r')}),"
            " k AS (SELECT id, row_number() OVER (ORDER BY id) AS place FROM h),"
            f" b AS (INSERT INTO {self._name(body)} (history_id, {_names(columns)})"
            f" SELECT id, {self._values(columns, own)} FROM k JOIN r USING (place)"
            f" WHERE jsonb_array_length(v) > {own}) SELECT id FROM k ORDER BY place"
        )

    def _update_all(self, names: tuple[str, ...]) -> sa.TextClause:
        session = self.tables.session
        columns = [session.c[name] for name in names]
        sets = [f"{one.name} = {self._value(at, one)}" for at, one in enumerate(columns)]
        key = self._value(len(names), session.c.id)
        return _of_rows(
            f"UPDATE {self._name(session)} AS s SET {', '.join(sets) or _UNCHANGED}"  # noqa: S608 - ours
            f" FROM {_ROWS} AS v WHERE s.id = {key}"
        )


def _selected(column: sa.Column[Any]) -> str:
    """A column of a session; times in UTC, for in JSON they would be in the connection's zone."""
    in_utc = " AT TIME ZONE 'UTC'" if isinstance(column.type, UtcDateTime) else ""
    return f"sermo_s.{column.name}{in_utc}"


_ROWS: Final = "jsonb_array_elements(CAST(:rows AS jsonb))"
_UNCHANGED: Final = "row_count = s.row_count"
_IDS: Final[Any] = sa.cast(sa.bindparam("ids", type_=sa.Text), postgresql.JSONB)

_LARGEST: Final = 50_000_000
"""So many characters of JSON fit into a ``jsonb``, which holds 256 MB."""


def _names(columns: Iterable[sa.Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _of_rows(sql: str) -> sa.TextClause:
    """*sql* with rows as JSON, which no log shows."""
    return sa.text(sql).bindparams(sa.bindparam("rows", type_=PrivateText))
