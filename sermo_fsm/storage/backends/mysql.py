"""MySQL and MariaDB: locking reads, which see the latest committed rows under every isolation.

Our own engine uses READ COMMITTED. The default, REPEATABLE READ, locks the gaps between rows, and
two writers that look for rows that do not exist yet would wait for each other. Long, because all
that is said of these databases is said here: connections, errors and SQL.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from operator import methodcaller
from typing import Any, ClassVar, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sermo_fsm.errors import InvalidArgument, StoreBusy, UnusableDatabase
from sermo_fsm.protocol.message import MessageKey
from sermo_fsm.storage.backends.base import Backend, ErrorKind
from sermo_fsm.storage.backends.json_rows import documents, session_values
from sermo_fsm.storage.backends.statements import (
    MAX_PARAMETERS,
    Change,
    Converters,
    Row,
    Statements,
    converted,
    null_column,
    quiet_and_others,
)
from sermo_fsm.storage.column_types import PrivateText, UtcDateTime
from sermo_fsm.storage.schema import TABLE_PREFIX, Tables

__all__ = ["BACKEND", "MysqlBackend", "MysqlStatements"]

_UNIQUE_VIOLATION: Final = 1062
# A record, or a table, has changed since last read; a picture has just been erased, with the last
# body that referred to it.
_SERIALIZATION_FAILURE: Final = (1020, 1412, 1452)
_DEADLOCK: Final = 1213
_DOES_NOT_EXIST: Final = 1305  # a savepoint, or a routine
_BUSY: Final = (1040, 1205, _DEADLOCK, 1317)  # too many connections, lock time-out, KILL QUERY
_CONNECTION_LOST: Final = (1053, 1927, 2002, 2003, 2006, 2013, 2014, 2045, 2055, 4031)
_UNUSABLE: Final = (1044, 1045, 1049, 1698)  # access denied, or no such database
_MISSING_TABLE: Final = 1146
_MISSING_COLUMN: Final = 1054

_CHARSET: Final = "utf8mb4"
"""The only one that holds every text: ``utf8`` is an old name for three bytes of it."""


class MysqlBackend(Backend):
    """MySQL and MariaDB, by PyMySQL or asyncmy."""

    drivers: ClassVar[Mapping[str, str]] = {
        "pymysql": "pip install 'sermo-fsm[mysql]'",
        "asyncmy": "pip install 'sermo-fsm[async]'",
    }

    quotations: ClassVar[Sequence[tuple[re.Pattern[str], str]]] = (
        (re.compile(r"(?s)Duplicate entry .* for key"), "Duplicate entry for key"),
        (re.compile(r"(?s)(ncorrect [\w ]+ value:|near) '.*'"), r"\1 what is not shown"),
    )

    def check_url(self, url: sa.URL) -> None:
        """Refuse another encoding, too.

        Raises:
            InvalidArgument: The URL asks for one, or has an unescaped ``@``.
        """
        super().check_url(url)
        if url.query.get("charset", _CHARSET) != _CHARSET:
            wanted = f"charset={_CHARSET}, or no charset: no other holds every text"
            raise InvalidArgument("url", wanted=wanted, got="another one")

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """READ COMMITTED; the reason is at the top of this module."""
        return url, {"isolation_level": "READ COMMITTED"}

    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of MySQL and MariaDB."""
        return MysqlStatements(tables, dialect)

    def prepare_snapshot(self, connection: sa.Connection) -> None:
        """By a statement: the driver's own method raises other errors for a lost connection."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def _in_autocommit(self, connection: sa.Connection) -> bool:
        """PyMySQL has a method for it, asyncmy an attribute."""
        driver: Any = connection.connection.driver_connection
        get_autocommit = getattr(driver, "get_autocommit", None)
        return bool(get_autocommit()) if get_autocommit else super()._in_autocommit(connection)

    def latest(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """By a locking read, because a host's transaction may be in REPEATABLE READ."""
        return query.with_for_update()

    def has_rolled_back(self, connection: sa.Connection, error: BaseException) -> bool:
        """A deadlock rolls back the whole transaction of its victim."""
        del connection
        return _DEADLOCK in error.args[:1]

    def socket_number(self, driver: Any) -> int | None:
        """Of PyMySQL's socket."""
        number: int = driver._sock.fileno()  # noqa: SLF001 - no other way
        return number

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
        if number in _UNUSABLE:
            return ErrorKind.UNUSABLE
        if number == _DOES_NOT_EXIST and "SAVEPOINT" in str(error):
            return ErrorKind.MISSING_SAVEPOINT
        if number == _MISSING_COLUMN and "sermo_" in str(error):
            return ErrorKind.MISSING_COLUMN
        return ErrorKind.MISSING_TABLE if number == _MISSING_TABLE else ErrorKind.OTHER

    def describe(self, error: BaseException) -> str:
        """Without the number, and without the values that it quotes."""
        text = str(error.args[1]) if len(error.args) > 1 else super().describe(error)
        return self._unquoted(text).partition("\n")[0]

    def check_encoding(self, connection: sa.Connection, tables: Tables) -> None:
        """The connection, and every text of our tables, have to be in utf8mb4.

        What the database is in does not matter: our tables say it for themselves.

        Raises:
            UnusableDatabase: One of them is not.
        """
        for charset in connection.execute(_CHARSETS).one():
            if charset not in (None, _CHARSET):  # None: results come as they are stored
                raise UnusableDatabase(
                    f"the encoding of the connection is {charset}, which can't hold every text:"
                    f" connect with charset={_CHARSET}"
                )
        names = [table.name for table in tables.metadata.sorted_tables]
        for table, column, charset in connection.execute(_COLUMNS, {"tables": names}):
            raise UnusableDatabase(
                f"the encoding of {table}.{column} is {charset}, which can't hold every text; run"
                f" ALTER TABLE {table} CONVERT TO CHARACTER SET {_CHARSET} COLLATE"
                f" {_exact_collation(connection)}"
            )

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

_CHARSETS: Final = sa.text(
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results"
)
_COLUMNS: Final = sa.text(
    "SELECT table_name, column_name, character_set_name FROM information_schema.columns"  # noqa: S608 - ours
    f" WHERE table_schema = DATABASE() AND character_set_name <> '{_CHARSET}'"
    " AND table_name IN :tables ORDER BY table_name, ordinal_position LIMIT 1"
).bindparams(sa.bindparam("tables", expanding=True))


def _exact_collation(connection: sa.Connection) -> str:
    """The collation of our tables, as the first migration says."""
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    return f"{_CHARSET}_nopad_bin" if mariadb else f"{_CHARSET}_0900_bin"


class MysqlStatements(Statements):
    """The SQL of MySQL and MariaDB."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        super().__init__(tables, dialect)
        session, history = tables.session, tables.history
        values = ", ".join(map(_selected, session.c))
        # InnoDB locks rows as it reads them. By this index, that is always in the same order.
        index = f"FORCE INDEX (uq_{session.name}_platform_id_user_id_ordinal)"
        lock = (
            f"SELECT id FROM {session.name} {index}"  # noqa: S608 - the name of our own table
            " WHERE (platform_id, user_id, ordinal) IN {firsts} FOR UPDATE"
        )
        # MariaDB has no LATERAL, and no window functions in locking reads. Left alone, the planner
        # would read, and so lock, all sessions of a platform: the hints make it look up each user.
        # PyMySQL and SQLAlchemy took 54 µs for the values of a session; for one of JSON it is 5.
        last_two = f"""
            SELECT STRAIGHT_JOIN JSON_ARRAY({values}) FROM (
                SELECT platform_id, user_id, MAX(ordinal) AS n FROM {session.name} {index}
                WHERE (platform_id, user_id) IN {{users}} GROUP BY platform_id, user_id) AS w
            JOIN {session.name} AS sermo_s {index} ON sermo_s.platform_id = w.platform_id
                AND sermo_s.user_id = w.user_id AND sermo_s.ordinal > w.n - 2
            ORDER BY sermo_s.ordinal FOR UPDATE
        """  # noqa: S608 - the name of our own table
        session_only = sa.column("session", PrivateText)
        self._lock = sa.text(lock.format(firsts=":users")).bindparams(_USERS)
        self._last_two = (
            sa.text(last_two.format(users=":users")).bindparams(_USERS).columns(session_only)
        )
        self._lock_one = sa.text(lock.format(firsts="((:platform, :user, 1))"))
        self._last_two_of_one = sa.text(last_two.format(users="((:platform, :user))")).columns(
            session_only
        )
        # By any other index it would sort.
        self._last = sa.text(
            f"SELECT JSON_ARRAY({values}) FROM {session.name} AS sermo_s {index}"  # noqa: S608 - ours
            " WHERE sermo_s.platform_id = :platform AND sermo_s.user_id = :user"
            " ORDER BY sermo_s.ordinal DESC LIMIT 1"
        ).columns(session_only)
        self._known_one = sa.text(
            f"SELECT message_id FROM {history.name}"  # noqa: S608 - the name of our own table
            " WHERE direction = :direction AND message_id = :message"
        )

    def load(
        self,
        connection: sa.Connection,
        users: Sequence[tuple[str, str]],
        messages: Collection[MessageKey],
    ) -> tuple[Iterable[Sequence[Any]], Collection[MessageKey]]:
        """For one user by statements that SQLAlchemy has not to write anew for so many of them."""
        if len(users) != 1:
            return super().load(connection, users, messages)
        ((platform, user),) = users
        one = {"platform": platform, "user": user}
        connection.execute(self._lock_one, one).all()
        found = connection.execute(self._last_two_of_one, one).scalars()
        return [*map(session_values, found)], messages

    def known_messages(
        self, connection: sa.Connection, direction: str, ids: Sequence[str]
    ) -> Sequence[str]:
        """One likewise."""
        if len(ids) != 1:
            return super().known_messages(connection, direction, ids)
        values = {"direction": direction, "message": ids[0]}
        return connection.execute(self._known_one, values).scalars().all()

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:
        """In the order of the index of users."""
        for some in _chunks(users):
            first = [(*user, 1) for user in some]
            connection.execute(self._lock, {"users": first}).all()

    def last(self, connection: sa.Connection, platform: str, user: str) -> Sequence[Any] | None:
        """By one lookup in the index."""
        one = {"platform": platform, "user": user}
        text = connection.execute(self._last, one).scalar()
        return None if text is None else session_values(text)

    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[Sequence[Any]]:
        """And a session that was opened between the two reads of this statement."""
        for some in _chunks(users):
            found = connection.execute(self._last_two, {"users": some})
            yield from map(session_values, found.scalars())

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """By many rows in one statement, for which InnoDB reports the first id and the step."""
        converters = self.converters(column.type for column in table.c[1:])
        step: int = connection.execute(_STEP).scalar_one() if len(rows) > 1 else 1
        keys: list[int] = []
        for some in _chunks(rows, _MAX_ROWS):
            sql = self.cached("insert new", (table, len(some)), partial(_values, table, len(some)))
            values = chain.from_iterable(converted(converters, some))
            result = connection.exec_driver_sql(sql, tuple(values))
            first: int = result.lastrowid
            keys += range(first, first + len(some) * step, step)
        return keys

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """By an update of nothing if a key exists: IGNORE would hide other errors as well.

        That update locks the row. So the keys that exist are left out first; else every writer of
        the same image would wait. An image that may be too large for one packet comes in pieces.
        """
        known = self.existing(connection, table, rows)
        missing = [row for row in rows if row[0] not in known]
        at = table.c.keys().index(_CONTENT)
        large = [row for row in missing if len(row[at] or b"") > _SURELY_FITS]
        largest = max((len(row[at]) for row in large), default=0)
        piece = self._piece(connection, largest) if large else _SURELY_FITS
        insert = self.compiled("insert missing", table, partial(_insert_missing, table))
        if missing:
            first = [(*row[:at], row[at] and row[at][:piece], *row[at + 1 :]) for row in missing]
            self.run(connection, insert, first)
        append = self.compiled("append", table, partial(_append, table))
        for row in large:
            key, content = row[0], row[at]
            for start in range(piece, len(content), piece):
                self.run(connection, append, [(content[start : start + piece], key, start)])

    def existing(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> set[str]:
        """The keys that are in *table* already."""
        key = _key(table)
        query = sa.select(key).where(key.in_([row[0] for row in rows]))
        return set(connection.execute(query).scalars())

    def _piece(self, connection: sa.Connection, largest: int) -> int:
        """How much of an image fits into one statement, as base64 and with all around it.

        Raises:
            UnusableDatabase: The server can't hold the *largest* image at all.
        """
        packet: int = connection.execute(_PACKET).scalar_one()
        if largest > packet:
            raise UnusableDatabase(
                f"max_allowed_packet of the server is {packet} bytes, which an image exceeds; run"
                f" SET GLOBAL max_allowed_packet = {-(-largest // 1024) * 1024}"
            )
        return packet // 2

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], changes: Sequence[Change]
    ) -> None:
        """Several by one statement, as JSON: the driver would send one statement for each."""
        if len(changes) == 1:
            super().update_sessions(connection, columns, changes)
            return
        for names, rows in quiet_and_others(columns, changes):
            sql, times = self.cached("update all", names, partial(self._update_all, names))
            for document in documents(converted(times, rows), _MAX_DOCUMENT):
                connection.execute(sql, {"rows": document})

    def _update_all(self, columns: tuple[str, ...]) -> tuple[sa.TextClause, Converters]:
        session = self.tables.session
        named = {name: session.c[name].type for name in columns} | {"key": session.c.id.type}
        paths = ", ".join(
            f"v_{name} {self._json_type(kind)} PATH '$[{at}]'"
            for at, (name, kind) in enumerate(named.items())
        )
        sets = ", ".join(f"s.{name} = v.v_{name}" for name in columns) or _UNCHANGED
        sql = (
            f"UPDATE {session.name} AS s"  # noqa: S608 - our own names
            f" JOIN JSON_TABLE(:rows, '$[*]' COLUMNS ({paths})) AS v ON s.id = v.v_key SET {sets}"
        )
        text = sa.text(sql).bindparams(sa.bindparam("rows", type_=PrivateText))
        kinds = enumerate(named.values())
        return text, [(at, _IN_UTC) for at, kind in kinds if isinstance(kind, UtcDateTime)]

    def _json_type(self, kind: sa.types.TypeEngine[Any]) -> str:
        """Of a column in JSON_TABLE, which else is in the encoding of the database."""
        name = kind.compile(self.dialect)
        text = isinstance(kind, sa.String | PrivateText)
        return f"{name} CHARACTER SET {_CHARSET}" if text else name


_UNCHANGED: Final = "s.row_count = s.row_count"
_MAX_ROWS: Final = 50  # in one statement: with the longest names still below the usual packet
_MAX_DOCUMENT: Final = 1_000_000  # characters, below the usual packet however they are encoded
_IN_UTC: Final = methodcaller("replace", tzinfo=None)
"""A time in UTC as a DATETIME takes it, which is without a zone."""
_USERS: Final[sa.BindParameter[Any]] = sa.bindparam("users", expanding=True)
_STEP: Final = sa.text("SELECT @@auto_increment_increment")

_Item = TypeVar("_Item")


def _chunks(items: Sequence[_Item], size: int = MAX_PARAMETERS) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _selected(column: sa.Column[Any]) -> str:
    """A column of a session; of a time JSON says the zone."""
    is_time = isinstance(column.type, UtcDateTime)
    return f"CONCAT(sermo_s.{column.name}, 'Z')" if is_time else f"sermo_s.{column.name}"


@compiles(null_column, "mysql", "mariadb")
def _null(_element: null_column, _compiler: SQLCompiler, **_options: Any) -> str:
    return "NULL"


_CONTENT: Final = "content"
_SURELY_FITS: Final = 500_000
"""An image of so many bytes fits into the smallest ``max_allowed_packet`` that was ever usual."""

_PACKET: Final = sa.text("SELECT @@max_allowed_packet")


def _key(table: sa.Table) -> sa.Column[Any]:
    (key,) = table.primary_key
    return key


def _insert_missing(table: sa.Table) -> sa.Insert:
    key = _key(table)
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def _append(table: sa.Table) -> sa.Update:
    """Append a piece to an image; one that another writer has completed meanwhile stays."""
    content = table.c[_CONTENT]
    return (
        sa.update(table)
        .where(_key(table) == sa.bindparam("key"))
        .where(sa.func.octet_length(content) == sa.bindparam("start"))
        .values({_CONTENT: sa.func.concat(content, sa.bindparam("piece", type_=content.type))})
    )


def _values(table: sa.Table, rows: int) -> str:
    """An INSERT of this many rows, without their ids."""
    names = [column.name for column in table.c[1:]]
    row = f"({', '.join(['%s'] * len(names))})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {values}"  # noqa: S608 - ours
