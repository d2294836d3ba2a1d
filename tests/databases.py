"""Databases of one's own for a test, on SQLite and on real servers.

The servers are looked for at their usual local addresses, or where SERMO_TEST_POSTGRESQL and
SERMO_TEST_MYSQL say: URLs of a user who may create databases.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from sermo_fsm.migrate import VERSION_TABLE, head
from sermo_fsm.storage.schema import tables

KINDS: Final = ("sqlite", "postgresql", "mysql")
DOORS: Final = tuple(f"{kind}{door}" for kind in KINDS for door in ("", "-async"))

SERVERS: Final = {
    "postgresql": (
        "SERMO_TEST_POSTGRESQL",
        "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
        "apt install postgresql, and trust for 127.0.0.1 in pg_hba.conf",
    ),
    "mysql": (
        "SERMO_TEST_MYSQL",
        "mysql+pymysql://root@127.0.0.1:3306/mysql",
        "apt install mariadb-server, and root without a password on 127.0.0.1",
    ),
}
ASYNC_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+asyncmy",
}


def skip_without(what: str) -> NoReturn:
    """Skip for want of a service; where CI says that it is to be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"service: {what}")
    pytest.skip(f"service: {what}")


@cache
def _admin(kind: str) -> sa.Engine | str:
    """Somebody who may create databases, or why there is nobody."""
    variable, usual, remedy = SERVERS[kind]
    engine = sa.create_engine(
        os.environ.get(variable, usual), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        where = engine.url.render_as_string()
        reason = str(error.orig).splitlines()[0]
        return f"no {kind} at {where} ({reason}); {remedy}, or set {variable}"
    return engine


def admin(kind: str) -> sa.Engine:
    """The server of this kind; skips where there is none."""
    found = _admin(kind)
    if isinstance(found, str):
        skip_without(found)
    return found


@contextmanager
def a_database(kind: str, folder: Path, *, migrated: bool = False) -> Iterator[sa.URL]:
    """A database for nobody else; it is gone afterwards."""
    name = f"sermo_test_{uuid.uuid4().hex}"
    if kind == "sqlite":
        url = sa.make_url(f"sqlite:///{folder / name}.db")
        if migrated:
            migrate(url)
        yield url
        return
    server = admin(kind)
    if kind == "postgresql" and migrated:
        with _a_copy(server) as url:
            yield url
        return
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            if migrated:
                connection.exec_driver_sql(f"USE {name}")
                for statement in _statements():
                    connection.exec_driver_sql(statement)
        except BaseException:
            drop(kind, name)
            raise
    try:
        yield server.url.set(database=name)
    finally:
        drop(kind, name)


def drop(kind: str, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    force = " WITH (FORCE)" if kind == "postgresql" else ""
    with admin(kind).connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")


def migrate(url: sa.URL) -> None:
    """Create our tables."""
    with ChatEngine(url) as engine:
        engine.migrate()


_templates: list[str] = []
_spare: list[str] = []


def _template() -> str:
    """A database with our tables, made once for each process: copying it is faster."""
    if not _templates:
        name = f"sermo_test_template_{uuid.uuid4().hex}"
        server = admin("postgresql")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        _templates.append(name)
        migrate(server.url.set(database=name))
    return _templates[0]


@contextmanager
def _a_copy(server: sa.Engine) -> Iterator[sa.URL]:
    """A copy of the template; one that was used, and is as it was, is as good as a new one.

    To make and to drop a database costs PostgreSQL a checkpoint each, which is most of the time of
    most tests.
    """
    template = _template()
    if _spare:
        name = _spare.pop()
    else:
        name = f"sermo_test_{uuid.uuid4().hex}"
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    url = server.url.set(database=name)
    as_new = False
    try:
        yield url
        as_new = _emptied(url)
    finally:
        if as_new:
            _spare.append(name)
        else:
            drop("postgresql", name)


_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Whoever changes anything in a catalogue leaves the number of the transaction there.
_CATALOGUES = """
    WITH ours AS (SELECT oid, xmin FROM pg_namespace
                  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
    SELECT string_agg(kind || oid || ':' || xmin, ' ' ORDER BY kind, oid) FROM (
        SELECT 'schema' AS kind, oid, xmin FROM ours
        UNION ALL SELECT 'class', c.oid, c.xmin FROM pg_class c JOIN ours ON relnamespace = ours.oid
        UNION ALL SELECT 'function', p.oid, p.xmin FROM pg_proc p
            JOIN ours ON pronamespace = ours.oid
        UNION ALL SELECT 'column', attrelid, a.xmin FROM pg_attribute a
            JOIN pg_class c ON attrelid = c.oid JOIN ours ON relnamespace = ours.oid
        UNION ALL SELECT 'constraint', oid, xmin FROM pg_constraint
        UNION ALL SELECT 'trigger', oid, xmin FROM pg_trigger
        UNION ALL SELECT 'setting', d.oid, s.xmin FROM pg_db_role_setting s
            JOIN pg_database d ON setdatabase = d.oid AND datname = current_database()
    ) AS all_of_it
"""
_BYTES = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'sermo_%%'"


@cache
def _untouched() -> str:
    with _alone(admin("postgresql").url.set(database=_template())) as connection:
        return str(connection.exec_driver_sql(_CATALOGUES).scalar())


@contextmanager
def _alone(url: sa.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection


def _emptied(url: sa.URL) -> bool:
    """Whether this database is as the template is, once its rows are deleted."""
    with _alone(url) as connection:
        connection.exec_driver_sql(_OTHERS)
        if str(connection.exec_driver_sql(_CATALOGUES).scalar()) != _untouched():
            return False
        if connection.exec_driver_sql(_BYTES).scalar_one() > 2_000_000:
            return False  # full of what is deleted, and its statistics are of that
        version = sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - our own name
        if connection.execute(version).scalars().all() != [head()]:
            return False
        empty(connection)
        for table in ("session", "history"):
            sequence = f"sermo_{table}_id_seq"
            connection.execute(sa.select(sa.func.setval(sequence, 1, False)))  # noqa: FBT003 - SQL
    return True


@cache
def _statements() -> list[str]:
    """What makes our tables on MySQL, as they are after all migrations; without them, for speed."""
    with a_database("mysql", Path()) as url:
        migrate(url)
        database = sa.create_engine(url, poolclass=sa.NullPool)
        with database.connect() as connection:
            names = [table.name for table in tables().metadata.sorted_tables]
            made = [
                str(connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1])
                for name in [VERSION_TABLE, *names]
            ]
    version = f"INSERT INTO {VERSION_TABLE} VALUES ('{head()}')"  # noqa: S608 - our own names
    return [*made, version]


def drop_templates() -> None:
    """At the end of the process; with the databases that were as good as new."""
    for names in (_spare, _templates):
        while names:
            drop("postgresql", names.pop())


def async_url(url: sa.URL) -> sa.URL:
    """The same database, for an asynchronous driver."""
    return url.set(drivername=ASYNC_DRIVERS[url.get_backend_name()])


def empty(connection: sa.Connection) -> None:
    """Delete all rows of ours."""
    for table in reversed(tables().metadata.sorted_tables):
        connection.execute(sa.delete(table))


def dump(database: sa.Engine) -> dict[str, list[Any]]:
    """Everything that is stored."""
    with database.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in tables().metadata.sorted_tables
        }


def look_away(connection: sa.Connection) -> None:
    """Let the database take what it would refuse otherwise: that a row points to nothing."""
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET foreign_key_checks = 0")
            connection.exec_driver_sql("SET sql_mode = ''")  # a date that is none


REFUSALS: Final = {
    "sqlite": """
        CREATE TRIGGER refusal BEFORE INSERT ON sermo_history
        BEGIN SELECT RAISE(ABORT, 'no more room'); END
    """,
    "postgresql": """
        CREATE FUNCTION refusal() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''no more room''; END';
        CREATE TRIGGER refusal BEFORE INSERT ON sermo_history
            FOR EACH ROW EXECUTE FUNCTION refusal()
    """,
    "mysql": """
        CREATE TRIGGER refusal BEFORE INSERT ON sermo_history FOR EACH ROW
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no more room'
    """,
}


def refuse_rows(database: sa.Engine) -> None:
    """Let the database refuse every further row of the history, saying 'no more room'."""
    with database.begin() as connection:
        connection.exec_driver_sql(REFUSALS[database.url.get_backend_name()])
