"""The schema: made from nothing, found missing, left to the host what is the host's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sermo_fsm import ChatEngine, SchemaNotReady, StoreError, migrate
from sermo_fsm.schema import METADATA, TABLE_PREFIX
from tests.support import text


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'chat.db'}")
    yield engine
    engine.dispose()


def test_makes_the_schema_and_is_harmless_twice(database: sa.Engine) -> None:
    chats = ChatEngine(database)

    assert chats.migrate() == chats.migrate() == migrate.head()
    chats.check_schema()


def test_the_migrations_make_what_the_code_expects(database: sa.Engine) -> None:
    ChatEngine(database).migrate()

    with database.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": migrate.VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, METADATA) == []


def test_the_hosts_tables_and_versions_are_left_alone(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('the-hosts')")
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
    ChatEngine(database).migrate()

    with database.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    ours = {name for name in tables if name.startswith(TABLE_PREFIX)}
    assert tables - ours - {"sqlite_sequence"} == {"alembic_version", "orders"}
    assert version == "the-hosts"


def test_downgrade_takes_everything_away(database: sa.Engine) -> None:
    chats = ChatEngine(database)
    chats.migrate()
    chats.handle("inbound", text())
    with database.begin() as connection:
        command.downgrade(migrate.config(connection), "base")
        left = set(sa.inspect(connection).get_table_names())
    assert left <= {migrate.VERSION_TABLE, "sqlite_sequence"}

    chats.migrate()
    chats.check_schema()


def test_a_database_without_our_tables_says_what_to_do(database: sa.Engine) -> None:
    with pytest.raises(SchemaNotReady) as caught:
        ChatEngine(database).check_schema()

    assert (caught.value.current, caught.value.wanted) == (None, migrate.head())
    assert "sermo-fsm db upgrade" in str(caught.value)


def test_a_newer_database_wants_a_newer_release(database: sa.Engine) -> None:
    chats = ChatEngine(database)
    chats.migrate()
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE sermo_alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaNotReady, match="use a newer sermo_fsm"):
        chats.check_schema()
    with pytest.raises(SchemaNotReady, match="use a newer sermo_fsm"):
        chats.migrate()


def test_a_migration_that_fails_leaves_nothing_half_made(
    database: sa.Engine,
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sermo_body (x INTEGER)")

    with pytest.raises(StoreError, match="sermo_body already exists"):
        ChatEngine(database).migrate()

    with database.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["sermo_body"]


def test_without_migrations_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: sa.Engine
) -> None:
    (tmp_path / "versions").mkdir()
    monkeypatch.setattr(migrate, "script_location", lambda: tmp_path)

    with pytest.raises(StoreError, match="no migrations"):
        ChatEngine(database).check_schema()


def test_events_before_migrate_are_refused_with_a_typed_error(database: sa.Engine) -> None:
    with pytest.raises(StoreError, match="no such table"):
        ChatEngine(database).handle("inbound", text())
