"""PgBouncer in transaction mode: each transaction may run on another connection to the server."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from sermo_fsm import ChatEngine, StoreUnavailable
from tests.databases import a_database
from tests.doors import open_door, open_hosts_door
from tests.faults import plain_engine
from tests.servers import Server, a_folder, a_server
from tests.support import CHECKOUT, PLATFORM, USER, text

pytestmark = pytest.mark.service

USERS = [f"user-{number}" for number in range(6)]
ROUNDS = 12  # psycopg prepares what it has sent five times


@pytest.fixture(scope="module")
def pooler() -> Iterator[Server]:
    with a_folder() as folder, a_server("pgbouncer", folder) as server:
        yield server


@pytest.fixture
def direct() -> Iterator[sa.URL]:
    """A database with our tables, not by way of the pooler."""
    with a_folder() as folder, a_database("postgresql", folder, migrated=True) as url:
        yield url


@pytest.fixture
def pooled(pooler: Server, direct: sa.URL) -> sa.URL:
    """The same by way of the pooler."""
    return pooler.url(direct.database or "")


@pytest.fixture(params=["postgresql", "postgresql-async"])
def door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def talk(url: sa.URL, user: str, door: str = "postgresql") -> None:
    """Write and ask, and expect no other user's chat; nothing is tried twice."""
    with open_door(door, url, attempts=1) as chats:
        for number in range(1, ROUNDS + 1):
            chats.handle_many([text(user=user)], direction="inbound")
            status = chats.status(PLATFORM, user)
            assert status is not None
            assert (status.user_id, status.rows) == (user, number)


def settings(url: sa.URL, name: str) -> set[str]:
    """What the next one finds on both connections of the pooler to the server."""
    bystander = sa.create_engine(url, poolclass=sa.NullPool)
    with bystander.connect() as one, bystander.connect() as other:
        return {each.exec_driver_sql(f"SHOW {name}").scalar_one() for each in (one, other)}


def test_threads_share_its_connections(door: str, pooled: sa.URL) -> None:
    with ThreadPoolExecutor(len(USERS)) as threads:
        list(threads.map(lambda user: talk(pooled, user, door), USERS))

    with open_door(door, pooled) as chats:
        assert chats.verify().ok
        assert {one.user_id: one.rows for one in chats.sessions()} == dict.fromkeys(USERS, ROUNDS)
    assert settings(pooled, "lock_timeout") == {"0"}


def test_processes_share_its_connections(pooled: sa.URL) -> None:
    url = pooled.render_as_string(hide_password=False)
    code = "import sqlalchemy, sys; from tests.storage.test_pooler import talk; "
    code += "talk(sqlalchemy.make_url(sys.argv[1]), sys.argv[2])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, url, user], cwd=CHECKOUT)
        for user in USERS[:3]
    ]
    assert [process.wait() for process in running] == [0, 0, 0]


def test_a_host_says_that_nothing_is_to_be_prepared(door: str, pooled: sa.URL) -> None:
    with open_hosts_door(door, pooled, {"prepare_threshold": None}, attempts=1) as chats:
        for user in USERS:
            for _ in range(ROUNDS):
                chats.handle("inbound", text(user=user))
        assert chats.verify().rows == len(USERS) * ROUNDS


def test_a_schema_is_made_and_left(door: str, pooler: Server) -> None:
    with a_folder() as folder, a_database("postgresql", folder) as direct:
        pooled = pooler.url(direct.database or "")
        with open_door(door, pooled, schema="chat") as chats:
            chats.migrate()
            chats.handle("inbound", text())
            assert chats.verify().rows == 1
        assert settings(pooled, "search_path") == {'"$user", public'}


def test_no_wait_is_endless_and_no_limit_is_left_behind(door: str, pooled: sa.URL) -> None:
    seen: dict[str, set[str]] = {}
    with open_door(door, pooled) as chats:

        @sa_event.listens_for(plain_engine(chats), "after_cursor_execute")
        def look(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
            if "sermo_" in statement:
                limit = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
                seen.setdefault(doing, set()).add(limit)

        doing = "migrate"
        chats.migrate()
        doing = "handle"
        chats.handle("inbound", text())
        doing = "status"
        chats.status(PLATFORM, USER)
        doing = "verify"
        chats.verify()
        doing = "stories"
        assert len(list(chats.stories())) == 1

    assert set(seen) == {"migrate", "handle", "status", "verify", "stories"}
    assert set.union(*seen.values()) == {"30s"}
    assert settings(pooled, "lock_timeout") == {"0"}


def missing(_: list[str]) -> list[str]:
    return ["DEALLOCATE ALL"]


def another(taken: list[str]) -> list[str]:
    nine = ", ".join(["int"] * 9)
    return ["DEALLOCATE ALL", *(f'PREPARE "{name}" ({nine}) AS SELECT $1' for name in taken)]


def already_there(taken: list[str]) -> list[str]:
    names = {f"_pg3_{number}" for number in range(40)} - set(taken)
    return [f'PREPARE "{name}" AS SELECT 1' for name in names]


@pytest.mark.parametrize(
    ("state", "statements"), [("26000", missing), ("08P01", another), ("42P05", already_there)]
)
def test_a_host_whose_driver_prepares_is_served_by_another_try(
    state: str, statements: Callable[[list[str]], list[str]], direct: sa.URL
) -> None:
    """What a pooler does is done by hand here: psycopg does not see it inside of DO."""
    host = sa.create_engine(direct, pool_size=1, max_overflow=0)
    seen = []

    @sa_event.listens_for(host, "handle_error")
    def note(context: sa.ExceptionContext) -> None:
        seen.append(getattr(context.original_exception, "sqlstate", None))

    def change() -> None:
        with host.begin() as connection:
            names = connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars()
            each = "".join(f"EXECUTE '{one}';" for one in statements(list(names)))
            connection.exec_driver_sql(f"DO $$ BEGIN {each} END $$")

    def ask(chats: ChatEngine) -> None:
        for _ in range(8):
            assert chats.status(PLATFORM, USER) is None

    def ask_more(chats: ChatEngine) -> None:
        ask(chats)
        for _ in range(8):
            assert chats.counts() == {}

    patient, hasty = ChatEngine(host), ChatEngine(host, attempts=1)
    ask(patient)
    change()
    ask_more(patient)
    assert seen == [state]

    change()
    with pytest.raises(StoreUnavailable, match="prepare_threshold"):
        ask_more(hasty)
    ask_more(hasty)  # on a connection whose driver and server agree
    assert seen == [state, state]
    host.dispose()
