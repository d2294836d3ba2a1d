"""``schema=`` on PostgreSQL: our tables in a schema of their own, and nowhere else."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from sermo_fsm import (
    AsyncChatEngine,
    ChatEngine,
    InvalidArgument,
    SchemaNotReady,
    StoreError,
    migrate,
)
from sermo_fsm.storage.schema import tables
from tests.databases import a_database, admin
from tests.doors import host_transaction, open_door
from tests.inspected import as_declared, inspected
from tests.support import ANDERS, PLATFORM, USER, at, envelope, event, text

pytestmark = pytest.mark.service

NAMES = ["chat", "Chat-1", 'with "quotes" and spaces', "it's 50% and %(x)s", "a :b\\c"]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[sa.URL]:
    """An empty database."""
    with a_database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def database(url: sa.URL) -> Iterator[sa.Engine]:
    """The same, as somebody else sees it."""
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["postgresql", "postgresql-async"])
def door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def names(database: sa.Engine, schema: str) -> set[str]:
    with database.connect() as connection:
        return set(sa.inspect(connection).get_table_names(schema))


@pytest.mark.parametrize("schema", NAMES)
def test_everything_is_in_it_and_nothing_in_public(
    door: str, url: sa.URL, database: sa.Engine, schema: str
) -> None:
    with open_door(door, url, schema=schema) as chats:
        assert chats.migrate() == chats.migrate() == chats.prepare() == migrate.head()
        chats.check_schema()

    ours = {table.name for table in tables().metadata.tables.values()}
    assert names(database, schema) == ours | {migrate.VERSION_TABLE}
    assert names(database, "public") == set()


@pytest.mark.parametrize("schema", NAMES)
def test_every_method_works_in_it(door: str, url: sa.URL, schema: str) -> None:
    with open_door(door, url, schema=schema) as chats:
        chats.migrate()
        picture = text(image="data:image/png;base64,iVBORw0KGgo=")
        first = chats.handle("inbound", picture, message_id="m-1", received_at=at(0))
        assert first.after
        lines = [
            envelope("outbound", text("Hej!", agent=ANDERS), 1),
            envelope("outbound", event("agent_done"), 2),
            envelope("inbound", event("heartbeat", "beata"), 3),
            envelope("inbound", text("Hej!", "cilla"), 4),
            envelope("outbound", event("agent_done", "nobody"), 5),
        ]
        assert [one.outcome for one in chats.handle_many(lines)][:3] == ["moved"] * 3
        again = chats.handle("inbound", picture, message_id="m-1", received_at=at(0))
        assert again.outcome == "duplicate"

        chat = chats.status(PLATFORM, USER)
        assert chat
        assert chats.session(chat.session_id) == chat
        assert [row.to_state for row in chats.history(chat.session_id)] == [
            "bot",
            "with_agent",
            "closed",
        ]
        assert [one.user_id for one in chats.sessions(state="bot")] == ["cilla"]
        assert len(list(chats.strays())) == 1
        assert chats.counts() == {PLATFORM: {"open": 1, "bot": 1}}
        assert len(chats.sweep(at(86400))) == 2
        assert chats.verify().ok
        assert chats.verify().sessions == 3


def test_two_engines_in_one_database_do_not_see_each_other(door: str, url: sa.URL) -> None:
    with (
        open_door(door, url, schema="one") as one,
        open_door(door, url, schema="two") as two,
        open_door(door, url) as neither,
    ):
        one.migrate()
        with pytest.raises(SchemaNotReady, match="no sermo_fsm tables"):
            two.check_schema()
        with pytest.raises(SchemaNotReady, match="no sermo_fsm tables"):
            neither.check_schema()
        with pytest.raises(SchemaNotReady, match="run 'sermo-fsm db upgrade'"):
            two.handle("inbound", text())
        two.migrate()
        neither.migrate()

        one.handle("inbound", text(), message_id="m-1")
        assert two.status(PLATFORM, USER) is None
        assert neither.status(PLATFORM, USER) is None
        assert two.handle("inbound", text(), message_id="m-1").outcome == "moved"
        assert [len(list(chats.sessions())) for chats in (one, two, neither)] == [1, 1, 0]


def test_the_hosts_search_path_is_left_as_it_is(database: sa.Engine) -> None:
    chats = ChatEngine(database, schema="Chat-1")
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA host")
        connection.exec_driver_sql("SET LOCAL search_path = host, public")
        assert migrate.upgrade(connection, "Chat-1") == migrate.head()
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
        chats.handle("inbound", text(), connection=connection)
        connection.exec_driver_sql("INSERT INTO orders VALUES (1)")
        assert connection.exec_driver_sql("SHOW search_path").scalar() == "host, public"

    with database.connect() as connection:
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
    assert names(database, "host") == {"orders"}
    assert chats.status(PLATFORM, USER)


def test_after_a_migration_that_fails_it_is_left_too(database: sa.Engine) -> None:
    ChatEngine(database, schema="chat").migrate()
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE chat.sermo_alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaNotReady, match="use a newer"):
            migrate.upgrade(connection, "chat")
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
        connection.exec_driver_sql("CREATE SCHEMA other CREATE TABLE sermo_body (x INTEGER)")
        with pytest.raises(StoreError, match="already exists"):
            migrate.upgrade(connection, "other")
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
    assert names(database, "public") == {"orders"}
    assert names(database, "other") == {"sermo_body"}


def test_it_comes_from_alembics_commands_as_well(database: sa.Engine) -> None:
    chats = ChatEngine(database, schema="Chat-1")
    chats.migrate()
    chats.handle("inbound", text())

    with database.begin() as connection:
        command.check(migrate.config(connection, "Chat-1"))
        command.downgrade(migrate.config(connection, "Chat-1"), "0001")
        command.upgrade(migrate.config(connection, "Chat-1"), "head")

    chats.check_schema()
    assert chats.verify().sessions == 1
    with database.begin() as connection:
        command.downgrade(migrate.config(connection, "Chat-1"), "base")
    assert names(database, "Chat-1") == {migrate.VERSION_TABLE}


@pytest.mark.parametrize("schema", NAMES)
def test_its_tables_are_what_the_code_expects(database: sa.Engine, schema: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    declared = as_declared(database, schema)

    ChatEngine(database, schema=schema).migrate()

    with database.connect() as connection:
        assert inspected(connection, schema) == declared


@contextmanager
def a_role(database: sa.Engine) -> Iterator[sa.Engine]:
    """Somebody with no rights but to the schema ``chat``, which is theirs."""
    role = f"sermo_test_{uuid.uuid4().hex}"
    with database.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM public")
        connection.exec_driver_sql(f"CREATE SCHEMA chat AUTHORIZATION {role}")
    engine = sa.create_engine(database.url.set(username=role, password=role))
    try:
        yield engine
    finally:
        engine.dispose()
        with database.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
        with admin("postgresql").connect() as connection:
            connection.exec_driver_sql(f"DROP ROLE {role}")


def test_whoever_may_make_no_schema_may_use_one_that_is_theirs(database: sa.Engine) -> None:
    with a_role(database) as theirs:
        chats = ChatEngine(theirs, schema="chat")
        assert chats.migrate() == chats.migrate() == migrate.head()
        assert chats.handle("inbound", text()).outcome == "moved"
        assert chats.verify().ok
        with pytest.raises(StoreError, match="permission denied"):
            ChatEngine(theirs, schema="other").migrate()


def test_a_schema_has_a_name() -> None:
    with pytest.raises(InvalidArgument, match="a name, on PostgreSQL"):
        ChatEngine("postgresql+psycopg://localhost/x", schema="")


@pytest.mark.parametrize("schema", ["chat", ""])
def test_elsewhere_it_is_refused_in_words(schema: str) -> None:
    for url in ("sqlite://", "mysql+pymysql://localhost/x"):
        with pytest.raises(InvalidArgument, match="on PostgreSQL; elsewhere None"):
            ChatEngine(url, schema=schema)
    with pytest.raises(InvalidArgument, match="on PostgreSQL; elsewhere None"):
        AsyncChatEngine("sqlite+aiosqlite://", schema=schema)
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        for ask in (migrate.upgrade, migrate.check_schema):
            with pytest.raises(InvalidArgument, match="on PostgreSQL; elsewhere None"):
                ask(connection, schema)
    engine.dispose()


class TestTranslated:
    """A host whose connections say another schema than its statements."""

    MAPS = ({None: "tenant"}, {None: "tenant", "chat": "other"})

    @pytest.mark.parametrize("names", MAPS)
    def test_an_engine_is_refused(self, url: sa.URL, names: Any) -> None:
        host = sa.create_engine(url)
        tenants = host.execution_options(schema_translate_map=names)
        with pytest.raises(InvalidArgument, match="schema=") as caught:
            ChatEngine(tenants)
        assert caught.value.argument == "database"
        with pytest.raises(InvalidArgument, match="schema="):
            AsyncChatEngine(create_async_engine(url).execution_options(schema_translate_map=names))

        chats = ChatEngine(host)
        host.update_execution_options(schema_translate_map=names)
        with pytest.raises(InvalidArgument, match="schema="):
            chats.migrate()

    @pytest.mark.parametrize("names", MAPS)
    def test_a_connection_is_refused(
        self, door: str, url: sa.URL, database: sa.Engine, names: Any
    ) -> None:
        options = {"schema_translate_map": names}
        with open_door(door, url) as chats:
            chats.migrate()
            for ask in (
                lambda ours: chats.handle("inbound", text(), connection=ours),
                lambda ours: chats.status(PLATFORM, USER, connection=ours),
                lambda ours: next(chats.sessions(connection=ours), None),
            ):
                with host_transaction(chats) as host:
                    if isinstance(host, sa.Connection):
                        host.execution_options(**options)
                    else:
                        host.sync_connection.execution_options(**options)
                    with pytest.raises(InvalidArgument, match="schema=") as caught:
                        ask(host)
                    assert caught.value.argument == "connection"
            with Session(database) as session:
                session.connection(execution_options=options)
                with pytest.raises(InvalidArgument, match="schema="):
                    ChatEngine(database).handle("inbound", text(), connection=session)
            assert chats.verify().rows == 0

    def test_a_migration_is_refused(self, database: sa.Engine) -> None:
        tenants = database.execution_options(schema_translate_map={None: "tenant"})
        with tenants.begin() as connection:
            for work in (migrate.upgrade, migrate.check_schema, migrate.current):
                with pytest.raises(InvalidArgument, match="schema="):
                    work(connection)
        assert names(database, "public") == set()

    def test_a_map_of_other_schemas_changes_nothing(self, database: sa.Engine) -> None:
        ChatEngine(database, schema="chat").migrate()
        others = database.execution_options(schema_translate_map={None: "tenant", "per_user": "u"})
        chats = ChatEngine(others, schema="chat")
        with others.begin() as connection:
            chats.handle("inbound", text(), connection=connection)
        assert chats.verify().rows == 1
        with pytest.raises(InvalidArgument, match="schema="):
            chats.migrate()
        assert names(database, "public") == set()
