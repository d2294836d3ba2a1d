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
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from sermo_fsm.migrate import VERSION_TABLE, head
from sermo_fsm.storage.schema import tables
from tests import reuse

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
        file = folder / f"{name}.db"
        if migrated:
            file.write_bytes(_migrated_file())
        yield sa.make_url(f"sqlite:///{file}")
        return
    if migrated:
        with _as_good_as_new(kind) as url:
            yield url
        return
    server = admin(kind)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
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


@cache
def _migrated_file() -> bytes:
    """An SQLite file with our tables: a copy is faster than all migrations."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "template.db")
        migrate(sa.make_url(f"sqlite:///{file}"))
        return file.read_bytes()


_templates: Final[list[str]] = []
_spare: Final[dict[str, list[str]]] = {"postgresql": [], "mysql": []}


@contextmanager
def _as_good_as_new(kind: str) -> Iterator[sa.URL]:
    """A migrated database on a server: one that was used, if it is as it was, else a new one."""
    spare = _spare[kind]
    name = spare.pop() if spare else _created(kind)
    url = admin(kind).url.set(database=name)
    usable = False
    try:
        yield url
        usable = _emptied(kind, url)
    finally:
        if usable:
            spare.append(name)
        else:
            drop(kind, name)


def _created(kind: str) -> str:
    """The name of a new database with our tables, without the time that the migrations take."""
    name = f"sermo_test_{uuid.uuid4().hex}"
    source = f" TEMPLATE {_template()}" if kind == "postgresql" else ""
    statements = _statements() if kind == "mysql" else []
    with admin(kind).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}{source}")
        try:
            if kind == "postgresql":
                # Connections are killed in tests, but never this server: nothing can be lost.
                connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
            if statements:
                connection.exec_driver_sql(f"USE {name}")
            for statement in statements:
                connection.exec_driver_sql(statement)
        except BaseException:
            drop(kind, name)
            raise
    return name


def _template() -> str:
    """A database with our tables, made once in each process: PostgreSQL copies it."""
    if not _templates:
        name = f"sermo_test_template_{uuid.uuid4().hex}"
        server = admin("postgresql")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        _templates.append(name)
        migrate(server.url.set(database=name))
    return _templates[0]


@cache
def _statements() -> list[str]:
    """What makes our tables on MySQL as they are after all migrations."""
    with a_database("mysql", Path()) as url:
        migrate(url)
        with _look_on(url) as connection:
            names = [table.name for table in tables().metadata.sorted_tables]
            made = [
                str(connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1])
                for name in [VERSION_TABLE, *names]
            ]
    version = f"INSERT INTO {VERSION_TABLE} VALUES ('{head()}')"  # noqa: S608 - our own names
    return [*made, version]


@cache
def _description_of_new(kind: str) -> str:
    """What is to be found in a database that nobody has changed."""
    name = _created(kind)
    try:
        with _look_on(admin(kind).url.set(database=name)) as connection:
            return reuse.description(connection)
    finally:
        drop(kind, name)


def _emptied(kind: str, url: sa.URL) -> bool:
    """Whether this database is as a new one, once its rows are deleted."""
    with _look_on(url) as connection:
        reuse.send_others_away(connection)
        reuse.drop_tables_of_others(connection)
        expected = _description_of_new(kind)
        if reuse.description(connection) != expected or reuse.is_full(connection):
            return False
        empty(connection)
        reuse.start_numbers_again(connection)
    return True


@cache
def _watcher(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool)


@contextmanager
def _look_on(url: sa.URL) -> Iterator[sa.Connection]:
    with _watcher(url).begin() as connection:
        yield connection


def drop_all() -> None:
    """Drop what this process has kept to be used again."""
    for kind, names in [*_spare.items(), ("postgresql", _templates)]:
        while names:
            drop(kind, names.pop())


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
