"""Large databases, made fast: our engine writes a few sessions, SQL multiplies their rows.

Nothing here knows the columns, but for the ids that have to differ; all else is copied as the
database describes it. Every user has five sessions, one after the other, with about twelve rows
each; the last session of every tenth user is live. Each copy is an hour later than the one before.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.contenders.ours import our_tables
from benchmarks.options import TITLES, Options
from benchmarks.traffic import Naming, batches, whole_lives
from sermo_fsm import ChatEngine

__all__ = ["fill", "filled", "id_in_the_middle", "returning"]

_EACH: Final = 5
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AT_MOST: Final = 2_000
"""So many sessions are written by the engine; all others are copies."""

_LATER: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {column}, '{copy} hours')",
    "postgresql": "{column} + {copy} * interval '1 hour'",
    "mysql": "timestampadd(HOUR, {copy}, {column})",
}
# Spread over the whole index, as random ids would be.
_HASH: Final = "(({key}) * 2654435761) % 4294967296"
_HEX: Final = {
    "sqlite": "printf('%0{width}x', {number})",
    "postgresql": "lpad(to_hex({number}), {width}, '0')",
    "mysql": "lpad(lower(hex({number})), {width}, '0')",
}
_ANALYZE: Final = {
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
    "postgresql": ("VACUUM ANALYZE", "CHECKPOINT"),
    "mysql": ("ANALYZE TABLE sermo_session", "ANALYZE TABLE sermo_history"),
}


def _user(number: int, base: int) -> str:
    """The id of one of the users; *base* is how many the engine wrote about."""
    copy, first = divmod(number, base)
    return f"u-{first}" if copy == 0 else f"u-{first}-{copy}"


def _base(sessions: int) -> tuple[int, int]:
    """How many users the engine writes about, and how many copies there are with them."""
    users = max(1, min(_AT_MOST, sessions) // _EACH)
    return users, max(1, round(sessions / (users * _EACH)))


def returning(sessions: int) -> Naming:
    """Customers of a filled database who come back, and as many who are new."""
    users, copies = _base(sessions)
    fresh = count()

    def name(dice: random.Random) -> str:
        if dice.random() < 0.5:  # noqa: PLR2004 - half of them
            return _user(dice.randrange(users * copies), users)
        return f"new-{next(fresh)}"

    return name


def id_in_the_middle(chats: ChatEngine) -> str:
    """The id of a session of a filled database, as it is stored: a copy has no UUIDv5."""
    half = "SELECT count(*) / 2 FROM sermo_session"
    middle = f"SELECT session_id FROM sermo_session WHERE id >= ({half}) ORDER BY id LIMIT 1"  # noqa: S608 - ours
    with chats._engine.connect() as connection:  # noqa: SLF001 - to use its connections
        return str(connection.exec_driver_sql(middle).scalar_one())


def filled(options: Options, kind: str, sessions: int) -> str:
    """The URL of a database with about this many sessions, for every benchmark of this run."""
    if (kind, sessions) not in options.filled:
        url = options.kept.enter_context(options.database(kind))
        start = time.perf_counter()
        with ChatEngine(url) as chats:
            fill(chats, sessions)
        spent = time.perf_counter() - start
        print(f"{TITLES[kind]}: {sessions} sessions in {spent:.0f} s", flush=True)
        options.filled[kind, sessions] = url
    return options.filled[kind, sessions]


def fill(chats: ChatEngine, sessions: int) -> None:
    """Fill our empty tables with about this many sessions."""
    users, copies = _base(sessions)
    engine = chats._engine  # noqa: SLF001 - to use its connections
    chats.migrate()
    lines = whole_lives(users, _EACH, _START)
    for batch in batches([*lines], 500):
        chats.handle_many([message.line for message in batch])
    tables = our_tables(engine)
    with _in_haste(engine) as connection:
        # Pictures are shared, and nobody is held or erased yet.
        tables = [table for table in tables if "sha256" not in table.c and "what" not in table.c]
        tables = [table for table in tables if not table.name.endswith("hold")]
        sizes: dict[str, int] = {
            table.name: connection.execute(sa.select(sa.func.max(next(iter(table.c))))).scalar_one()
            for table in tables
        }
        for copy in range(1, copies):
            for table in tables:
                connection.exec_driver_sql(_copied(_kind(engine), table, copy, sizes))
    analyze(engine)


def analyze(engine: sa.Engine) -> None:
    """Update what the planner knows, and leave nothing to be written later."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in _ANALYZE[_kind(engine)]:
            connection.exec_driver_sql(statement)


def _kind(engine: sa.Engine) -> str:
    return {"mariadb": "mysql"}.get(engine.dialect.name, engine.dialect.name)


# --- copies --------------------------------------------------------------------------------------


def _copied(kind: str, table: sa.Table, copy: int, sizes: dict[str, int]) -> str:
    """The statement that copies what our engine wrote, for other users and at another time."""
    values = ", ".join(_value(kind, column, copy, sizes) for column in table.c)
    names = ", ".join(table.c.keys())
    first = next(iter(table.c)).name
    sql = (
        f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.name}"  # noqa: S608 - ours
        f" WHERE {first} <= {sizes[table.name]} ORDER BY {first}"
    )
    return sql if kind == "sqlite" else sql.replace("%", "%%")  # as the driver has to see it


def _value(kind: str, column: sa.Column[Any], copy: int, sizes: dict[str, int]) -> str:
    """The SQL of a column's value in a copy."""
    own = f"id + {copy * sizes[column.table.name]}"
    referred = [key.column.table.name for key in column.foreign_keys]
    if column.name == "id":
        return own
    if referred and isinstance(column.type, sa.Integer):
        return f"{column.name} + {copy * sizes[referred[0]]}"
    if isinstance(column.type, sa.DateTime):
        return _LATER[kind].format(column=column.name, copy=copy)
    hashed, key = (
        _hexadecimal(kind, number, width)
        for number, width in (
            (_HASH.format(key=own), 8),
            (own, 12),
        )
    )
    match column.name:
        case "user_id":
            return _joined(kind, "user_id", f"'-{copy}'")
        case "message_id":
            made = _joined(kind, hashed, "'000000000000'", key)
            return f"CASE WHEN message_id IS NOT NULL THEN {made} END"
        case "session_id":
            made = _joined(kind, hashed, "'-0000-5000-8000-'", key)
            return f"CAST({made} AS uuid)" if kind == "postgresql" else made
    return column.name


def _hexadecimal(kind: str, number: str, width: int) -> str:
    return _HEX[kind].format(width=width, number=f"({number})")


def _joined(kind: str, *parts: str) -> str:
    return " || ".join(parts) if kind != "mysql" else f"concat({', '.join(parts)})"


@contextmanager
def _in_haste(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that is not careful: what is copied can be copied again."""
    kind = _kind(engine)
    with engine.connect() as connection, ExitStack() as stack:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        stack.callback(connection.invalidate)  # nobody else shall be in a hurry
        for statement in _HASTE[kind]:
            connection.exec_driver_sql(statement)
        if kind == "postgresql":
            stack.enter_context(_without_indexes(connection))
        elif kind == "mysql":
            stack.enter_context(_with_memory(connection))
        yield connection


_HASTE: Final = {
    "sqlite": (
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA cache_size = -2000000",
    ),
    "postgresql": (
        "SET session_replication_role = replica",
        "SET synchronous_commit = off",
        "SET maintenance_work_mem = '512MB'",
    ),
    "mysql": ("SET foreign_key_checks = 0", "SET unique_checks = 0"),
}


@contextmanager
def _without_indexes(connection: sa.Connection) -> Iterator[None]:
    """Drop PostgreSQL's indexes and make them again, which is faster than to keep ten of them."""
    unique = connection.exec_driver_sql(_UNIQUE).all()
    others = connection.exec_driver_sql(_INDEXES).all()
    for table, name, _ in unique:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in others:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for table, name, what in unique:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}")
    for _, definition in others:
        connection.exec_driver_sql(definition)
    for table in ("sermo_session", "sermo_history"):
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"  # noqa: S608 - ours
        )


@contextmanager
def _with_memory(connection: sa.Connection) -> Iterator[None]:
    """Give MariaDB the memory for its indexes, which are spread over all pages, while they grow."""
    names = ", ".join(f"@@GLOBAL.{name}" for name in _MEMORY)
    before = connection.exec_driver_sql(f"SELECT {names}").one()
    try:
        _set_globals(connection, _MEMORY)
        yield
    finally:
        _set_globals(connection, dict(zip(_MEMORY, before, strict=True)))


def _set_globals(connection: sa.Connection, values: Mapping[str, int]) -> None:
    for name, value in values.items():
        connection.exec_driver_sql(f"SET GLOBAL {name} = {value}")


_MEMORY: Final = {"innodb_buffer_pool_size": 4 << 30, "innodb_flush_log_at_trx_commit": 0}

_UNIQUE: Final = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'u' AND starts_with(conrelid::regclass::text, 'sermo_')
"""
_INDEXES: Final = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE NOT indisunique AND starts_with(indrelid::regclass::text, 'sermo_')
"""
