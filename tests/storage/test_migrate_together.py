"""Migrations by many at once, and by one who is killed in the middle of it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from sermo_fsm import ChatEngine, LostRace, StoreError, migrate
from tests.databases import SERVERS
from tests.forking import MANY, listen
from tests.inspected import inspected, not_exact
from tests.support import CHECKOUT, also_proved, text

CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "COMMIT")

Ask = Callable[..., Any]


def _only(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "kind", [pytest.param(kind, marks=pytest.mark.service)], indirect=True
    )


only_postgresql = _only("postgresql")
only_mysql = _only("mysql")


@pytest.fixture
def engine(bare_url: sa.URL) -> Iterator[sa.Engine]:
    """An empty database."""
    engine = sa.create_engine(bare_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def ask(bare_url: sa.URL) -> Iterator[Ask]:
    """Has it done by processes of its own."""
    with asking(bare_url) as ask:
        yield ask


@contextmanager
def asking(url: sa.URL) -> Iterator[Ask]:
    """Likewise."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forking", url.render_as_string(hide_password=False)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdin
        assert process.stdout
        sent, answers = process.stdin, process.stdout

        def ask(**order: object) -> Any:
            sent.write(json.dumps(order) + "\n")
            sent.flush()
            return json.loads(answers.readline())

        yield ask
        sent.close()


def schema_of(engine: sa.Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        if engine.dialect.name == "mysql":
            assert not list(not_exact(connection))
        return inspected(connection)


def wipe(engine: sa.Engine) -> None:
    """Nothing of ours is left."""
    with engine.begin() as connection:
        migrate.tables().metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {migrate.VERSION_TABLE}")


def go_back(engine: sa.Engine, revision: str) -> None:
    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), revision)


@pytest.fixture
def right(engine: sa.Engine) -> dict[str, Any]:
    """What comes of it where nobody disturbs; the database is empty again."""
    ChatEngine(engine).migrate()
    made = schema_of(engine)
    wipe(engine)
    return made


@pytest.mark.parametrize("start", ["empty", "0001"])
def test_many_processes_at_once_all_come_to_the_latest(
    engine: sa.Engine, right: dict[str, Any], ask: Ask, start: str
) -> None:
    if start != "empty":
        ChatEngine(engine).migrate()
        go_back(engine, start)

    assert ask(many="migrate") == [0] * MANY

    assert schema_of(engine) == right
    chats = ChatEngine(engine)
    chats.check_schema()
    chats.handle("inbound", text())


@only_postgresql
def test_many_processes_at_once_under_the_strictest_isolation(
    bare_url: sa.URL, engine: sa.Engine, right: dict[str, Any]
) -> None:
    strict = {"options": "-c default_transaction_isolation=serializable"}
    with asking(bare_url.update_query_dict(strict)) as ask:
        assert ask(many="migrate") == [0] * MANY

    assert schema_of(engine) == right


@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=pytest.mark.service) for one in SERVERS], indirect=True
)
@pytest.mark.parametrize("start", ["empty", "0001"])
def test_a_transaction_that_can_not_see_what_another_did_is_told_so(
    engine: sa.Engine, start: str
) -> None:
    if start != "empty":
        ChatEngine(engine).migrate()
        go_back(engine, start)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.exec_driver_sql("SELECT * FROM orders")  # as it is from now on
        ChatEngine(engine).migrate()

        with pytest.raises(LostRace):
            migrate.upgrade(connection)
        connection.rollback()

        assert migrate.upgrade(connection) == migrate.head()
    ChatEngine(engine).check_schema()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_many_processes_may_prepare_an_empty_file(
    engine: sa.Engine, right: dict[str, Any], ask: Ask
) -> None:
    del right

    assert ask(many="prepare") == [0] * MANY

    ChatEngine(engine).check_schema()


@pytest.mark.parametrize("start", ["empty", "0001"])
def test_many_threads_at_once_all_come_to_the_latest(
    engine: sa.Engine, right: dict[str, Any], start: str
) -> None:
    chats = ChatEngine(engine)
    if start != "empty":
        chats.migrate()
        go_back(engine, start)
    together = Barrier(MANY)

    def work(_: int) -> str:
        together.wait(60)
        return chats.migrate()

    with ThreadPoolExecutor(MANY) as threads:
        assert set(threads.map(work, range(MANY))) == {migrate.head()}

    assert schema_of(engine) == right


@pytest.mark.parametrize("step", [7, *also_proved(1)])
def test_whoever_is_killed_in_the_middle_leaves_what_can_be_completed(
    engine: sa.Engine, ask: Ask, step: int
) -> None:
    said: list[str] = []
    listen(engine, said.append)
    ChatEngine(engine).migrate()
    changes = [one for one in dict.fromkeys(said) if one.lstrip().startswith(CHANGES)]
    right = schema_of(engine)
    wipe(engine)
    assert len(changes) > 20

    # On MySQL each goes on where the one before was killed, one statement further.
    for change in changes[::step]:
        assert ask(kill=change) == -signal.SIGKILL, change
        if engine.dialect.name != "mysql":  # elsewhere it is all of it or nothing
            assert schema_of(engine) == {}

    ChatEngine(engine).migrate()
    assert schema_of(engine) == right


@only_mysql
def test_a_downgrade_that_was_interrupted_goes_on(engine: sa.Engine) -> None:
    chats = ChatEngine(engine)
    chats.migrate()
    for revision, done in (
        ("0002", "ALTER TABLE sermo_history ADD COLUMN fingerprint VARBINARY(32)"),
        ("0001", "DROP INDEX ix_sermo_session_opened_at_id ON sermo_session"),
        ("base", "DROP TABLE sermo_body"),
    ):
        with engine.begin() as connection:
            connection.exec_driver_sql(done)
        go_back(engine, revision)

    assert schema_of(engine) == {}


@only_mysql
def test_a_migration_whose_connection_is_lost_is_taken_up_again(
    engine: sa.Engine, right: dict[str, Any]
) -> None:
    lost: list[int] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _lose(connection: sa.Connection, *said: Any) -> None:
        if "CREATE TABLE IF NOT EXISTS sermo_history" in said[1] and not lost:
            lost.append(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
            with sa.create_engine(engine.url, poolclass=sa.NullPool).connect() as other:
                other.exec_driver_sql(f"KILL {lost[0]}")

    assert ChatEngine(engine).migrate() == migrate.head()

    assert lost
    assert schema_of(engine) == right


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_migration_that_fails_leaves_nothing_half_made(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sermo_body (x INTEGER)")

    with pytest.raises(StoreError, match="sermo_body already exists"):
        ChatEngine(engine).migrate()

    assert list(schema_of(engine)) == ["sermo_body"]
