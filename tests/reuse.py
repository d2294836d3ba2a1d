"""Whether a server's database is still as a new one would be, but for the rows in our tables.

To make and to drop a database is most of the time of most tests; to look at one is not.
"""

import re
from typing import Final

import sqlalchemy as sa

from sermo_fsm.migrate import VERSION_TABLE
from sermo_fsm.storage.schema import tables

_MANY_BYTES: Final = 2_000_000
_MANY_ROWS: Final = 1_000
_OURS: Final = {VERSION_TABLE, *(table.name for table in tables().metadata.sorted_tables)}
_NUMBERED: Final = (tables().session, tables().history, tables().erasure)
_VERSIONS: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - our own name

# A change of the catalogue leaves the number of its transaction there.
_POSTGRESQL: Final = """
    WITH ours AS (SELECT oid, xmin FROM pg_namespace
                  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
    SELECT string_agg(kind || oid || ':' || xmin, ' ' ORDER BY kind, oid) FROM (
        SELECT 'schema' AS kind, oid, xmin FROM ours
        UNION ALL SELECT 'class', c.oid, c.xmin FROM pg_class c JOIN ours ON relnamespace = ours.oid
        UNION ALL SELECT 'function', p.oid, p.xmin FROM pg_proc p
            JOIN ours ON pronamespace = ours.oid
        UNION ALL SELECT 'column', attrelid, a.xmin FROM pg_attribute a
            JOIN pg_class c ON attrelid = c.oid JOIN ours ON relnamespace = ours.oid
        UNION ALL SELECT 'type', t.oid, t.xmin FROM pg_type t JOIN ours ON typnamespace = ours.oid
        UNION ALL SELECT 'constraint', oid, xmin FROM pg_constraint
        UNION ALL SELECT 'trigger', oid, xmin FROM pg_trigger
    ) AS all_of_it
"""
_SETTINGS: Final = """
    SELECT setrole, setconfig FROM pg_db_role_setting
    JOIN pg_database ON setdatabase = pg_database.oid AND datname = current_database()
"""
# By names alone: a new database has none of these, and long texts would need a file.
_MYSQL: Final = """
    SELECT 'charset', default_character_set_name, default_collation_name
        FROM information_schema.schemata WHERE schema_name = DATABASE()
    UNION ALL SELECT 'trigger', trigger_name, ''
        FROM information_schema.triggers WHERE trigger_schema = DATABASE()
    UNION ALL SELECT 'routine', routine_name, ''
        FROM information_schema.routines WHERE routine_schema = DATABASE()
    UNION ALL SELECT 'event', event_name, ''
        FROM information_schema.events WHERE event_schema = DATABASE()
    UNION ALL SELECT 'grant', grantee, privilege_type
        FROM information_schema.schema_privileges WHERE table_schema = DATABASE()
"""
_NEXT_NUMBER: Final = re.compile(r" AUTO_INCREMENT=\d+")


def send_others_away(connection: sa.Connection) -> None:
    """Close all other connections to this database."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    others = connection.exec_driver_sql(
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
        " AND id <> CONNECTION_ID()"
    )
    for number in others.scalars().all():
        try:
            connection.exec_driver_sql(f"KILL {number}")
        except sa.exc.DBAPIError as error:
            if "Unknown thread id" not in str(error.orig):  # it has gone by itself
                raise


def drop_tables_of_others(connection: sa.Connection) -> None:
    """Drop what is no table of ours, such as those of a host."""
    theirs = set(sa.inspect(connection).get_table_names()) - _OURS
    if connection.dialect.name == "postgresql":
        for name in theirs:
            connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
    elif theirs:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        for name in theirs:
            connection.exec_driver_sql(f"DROP TABLE `{name}`")


def description(connection: sa.Connection) -> str:
    """All that a test can change in this database, but for our rows and the next numbers."""
    versions = connection.exec_driver_sql(_VERSIONS).all()
    if connection.dialect.name == "postgresql":
        settings = connection.exec_driver_sql(_SETTINGS).all()
        return f"{versions} {settings} {connection.exec_driver_sql(_POSTGRESQL).scalar()}"
    rest = connection.exec_driver_sql(_MYSQL).all()
    tables = [_NEXT_NUMBER.sub("", made) for made in _tables(connection)]
    return f"{versions} {rest} {tables}"


def is_full(connection: sa.Connection) -> bool:
    """Whether so much was written that what is left of it, once deleted, would slow others down."""
    if connection.dialect.name == "postgresql":
        size = connection.exec_driver_sql(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'sermo_%%'"
        )
        return bool(size.scalar_one() > _MANY_BYTES)
    rows = [sa.select(sa.func.count()).select_from(table) for table in _NUMBERED]
    return sum(connection.execute(count).scalar_one() for count in rows) > _MANY_ROWS


def start_numbers_again(connection: sa.Connection) -> None:
    """Let the next rows have the number 1 again."""
    names = [table.name for table in _NUMBERED]
    if connection.dialect.name == "postgresql":
        for name in names:
            first = sa.func.setval(f"{name}_id_seq", 1, False)  # noqa: FBT003 - SQL
            connection.execute(sa.select(first))
    elif any(_NEXT_NUMBER.search(made) for made in _tables(connection)):
        for name in names:
            connection.exec_driver_sql(f"ALTER TABLE {name} AUTO_INCREMENT = 1")


def _tables(connection: sa.Connection) -> list[str]:
    found = connection.exec_driver_sql("SHOW TABLES").scalars().all()
    return [
        str(connection.exec_driver_sql(f"SHOW CREATE TABLE `{name}`").one()[1]) for name in found
    ]
