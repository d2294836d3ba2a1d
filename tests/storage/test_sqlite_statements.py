"""Statements by the driver's own cursor: who follows them misses none, and errors are the same."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sermo_fsm import ChatEngine, HistoryRow, SchemaNotReady, StoreBusy, StoreError
from tests.databases import a_database
from tests.doors import open_door
from tests.faults import WRITTEN, plain_engine, story
from tests.support import PLATFORM, USER, text

DOORS = ["sqlite", "sqlite-async"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


def work(chats: ChatEngine) -> None:
    """A batch, the same one by one, and questions."""
    for user, size in (("anna", 6), ("bo", 1)):
        events = story(user)
        parts = [events[start : start + size] for start in range(0, 6, size)]
        assert [one.outcome for part in parts for one in chats.handle_many(part)] == WRITTEN
    assert chats.status(PLATFORM, "anna") is not None
    assert chats.status(PLATFORM, "nobody") is None


class WentThroughSqlalchemy(BaseException):
    """No error that anybody translates."""


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets no statement go through SQLAlchemy any more."""

    def refuse(*_: object, **__: object) -> None:
        raise WentThroughSqlalchemy

    def forbid() -> None:
        for name in ("execute", "exec_driver_sql"):
            monkeypatch.setattr(sa.Connection, name, refuse)

    return forbid


# --- who follows them ---------------------------------------------------------------------------


Follow = Callable[[sa.Engine], AbstractContextManager[None]]


@contextmanager
def nobody(_: sa.Engine) -> Iterator[None]:
    yield


@contextmanager
def listener(name: str, engine: sa.Engine, *, every: bool = False) -> Iterator[None]:
    """Somebody listens, to this engine or to every one."""

    def hear(*_: object) -> None: ...

    target = sa.Engine if every else engine
    sa.event.listen(target, name, hear)
    yield
    sa.event.remove(target, name, hear)


@contextmanager
def log(name: str, _: sa.Engine) -> Iterator[None]:
    """Somebody wants to see statements in the log."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


ENGINES = ["before_cursor_execute", "after_cursor_execute", "before_execute", "after_execute"]
DIALECTS = ["do_execute", "do_executemany", "handle_error"]
FOLLOWERS: dict[str, Follow] = {
    **{name: partial(listener, name) for name in (*ENGINES, *DIALECTS)},
    **{f"every {name}": partial(listener, name, every=True) for name in ENGINES},
    **{name: partial(log, name) for name in ("sqlalchemy.engine", "sqlalchemy.engine.Engine")},
}


@pytest.mark.parametrize("door", DOORS)
def test_if_nobody_follows_no_statement_goes_through_sqlalchemy(
    door: str, database: sa.URL, forbid: Callable[[], None]
) -> None:
    with open_door(door, database) as chats:
        forbid()
        work(chats)


@pytest.mark.parametrize("follow", FOLLOWERS.values(), ids=FOLLOWERS)
def test_if_somebody_follows_they_all_do(
    follow: Follow, database: sa.URL, forbid: Callable[[], None]
) -> None:
    with ChatEngine(database) as chats, follow(plain_engine(chats)):
        forbid()
        for call in (partial(chats.status, PLATFORM, USER), partial(work, chats)):
            with pytest.raises(WentThroughSqlalchemy):
                call()


@pytest.mark.parametrize("door", DOORS)
def test_followed_or_not_sqlite_runs_the_same(door: str, tmp_path: Path) -> None:
    found = []
    follow: Follow
    for follow in (nobody, *FOLLOWERS.values()):
        with a_database("sqlite", tmp_path, migrated=True) as url:
            run: list[str] = []
            with open_door(door, url) as chats, follow(plain_engine(chats)):
                sa.event.listen(plain_engine(chats), "connect", partial(trace, run))
                work(chats)
            found.append(run)
    assert any("INSERT INTO sermo_body" in sql for sql in found[0])
    assert all(one == found[0] for one in found)


def trace(run: list[str], driver: Any, _: object) -> None:
    """Take down what SQLite says that it runs."""
    if hasattr(driver, "run_async"):
        driver.run_async(lambda real: real.set_trace_callback(run.append))
    else:
        driver.set_trace_callback(run.append)


def test_with_the_engine_of_a_host_they_all_go_through_sqlalchemy(
    database: sa.URL, forbid: Callable[[], None]
) -> None:
    host = sa.create_engine(database)
    chats = ChatEngine(host)
    forbid()
    for call in (partial(chats.status, PLATFORM, USER), partial(work, chats)):
        with pytest.raises(WentThroughSqlalchemy):
            call()
    host.dispose()


def test_a_dialect_that_executes_in_its_own_way_is_asked(
    database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def execute(_: Any, cursor: Any, sql: str, values: Any, __: Any = None) -> None:
        said.append(sql)
        cursor.execute(sql, values)

    monkeypatch.setattr(SQLiteDialect_pysqlite, "do_execute", execute)
    with ChatEngine(database) as chats:
        work(chats)
    assert said.count("BEGIN IMMEDIATE") == 7


def test_whoever_listens_to_a_connection_misses_none(database: sa.URL) -> None:
    said: list[str] = []

    def connected(connection: sa.Connection) -> None:
        sa.event.listen(connection, "before_cursor_execute", lambda *told: said.append(told[2]))

    with ChatEngine(database) as chats:
        sa.event.listen(sa.Engine, "engine_connect", connected)
        chats.handle("inbound", text(user=USER), message_id="1")
        chats.status(PLATFORM, USER)
        sa.event.remove(sa.Engine, "engine_connect", connected)
    assert [sql.split()[0] for sql in said] == [
        *("BEGIN", "SELECT", "SELECT", "INSERT", "SELECT", "INSERT", "INSERT", "SELECT")
    ]


def test_a_hook_that_listens_to_its_connection_misses_none(database: sa.URL) -> None:
    said: list[str] = []
    with ChatEngine(database) as chats:

        @chats.within_transaction
        def again(row: HistoryRow, connection: Any) -> None:
            if row.user_id == "anna":
                sa.event.listen(
                    connection, "before_cursor_execute", lambda *told: said.append(told[2])
                )
                chats.handle("inbound", text(user="bo"), message_id="2", connection=connection)

        chats.handle("inbound", text(user="anna"), message_id="1")
        assert chats.status(PLATFORM, "bo") is not None
    assert sum(sql.startswith("INSERT INTO sermo_") for sql in said) == 3


# --- errors -------------------------------------------------------------------------------------


def refusing(url: sa.URL) -> None:
    run(url, "CREATE TRIGGER no BEFORE INSERT ON sermo_body BEGIN SELECT RAISE(ABORT, 'no'); END")


def without_a_table(url: sa.URL) -> None:
    run(url, "DROP TABLE sermo_body")


def unreadable(url: sa.URL) -> None:
    with ChatEngine(url) as chats:
        chats.handle("inbound", text(user="anna"))
    run(url, "UPDATE sermo_session SET agent_name = CAST(x'ff' AS TEXT)")


def run(url: sa.URL, sql: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)
    engine.dispose()


BROKEN = {
    "a constraint": (refusing, StoreError, "the database refused: no"),
    "no table": (without_a_table, SchemaNotReady, "db upgrade"),
    "no text": (unreadable, StoreError, "Could not decode to UTF-8 column"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("spoil", "kind", "says"), BROKEN.values(), ids=BROKEN)
def test_errors_are_those_that_sqlalchemy_makes_of_them(
    door: str,
    spoil: Callable[[sa.URL], None],
    kind: type[StoreError],
    says: str,
    database: sa.URL,
) -> None:
    spoil(database)
    found = []
    follow: Follow
    for follow in (nobody, partial(listener, "before_cursor_execute")):
        with open_door(door, database) as chats, follow(plain_engine(chats)):
            with pytest.raises(kind, match=says) as raised:
                chats.handle("inbound", text("nobody's business", user="anna"))
            cause = raised.value.__cause__
            assert isinstance(cause, sa.exc.DBAPIError)
            assert "business" not in f"{raised.value} {cause}"
            found.append((str(raised.value), type(cause), str(cause.orig)))
    assert found[0] == found[1]


@pytest.mark.parametrize("door", DOORS)
def test_a_lock_that_stays_is_busy(door: str, database: sa.URL) -> None:
    holder = sa.create_engine(database)
    impatient = database.update_query_dict({"timeout": "0"})
    with open_door(door, impatient, attempts=2) as chats, holder.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="database is locked"):
            chats.handle("inbound", text(user=USER))
        connection.exec_driver_sql("ROLLBACK")
        assert chats.handle("inbound", text(user=USER)).outcome == "moved"
    holder.dispose()


@pytest.mark.parametrize("door", DOORS)
def test_a_connection_that_somebody_has_closed_is_replaced(door: str, database: sa.URL) -> None:
    with open_door(door, database) as chats:
        work(chats)
        made: list[Any] = []
        sa.event.listen(plain_engine(chats), "checkout", lambda driver, *_: made.append(driver))
        chats.status(PLATFORM, USER)
        assert len(made) == 1
        sa.event.listen(plain_engine(chats), "checkout", partial(close_once, made))
        assert chats.status(PLATFORM, "anna") is not None
        assert len({id(driver) for driver in made}) == 2


def close_once(made: list[Any], driver: Any, *_: object) -> None:
    if driver is made[0]:
        driver.close()


def test_an_error_of_the_driver_that_is_none_of_its_own_shows_no_value(database: sa.URL) -> None:
    def decode(value: bytes) -> str:
        raise ValueError(value)

    def connected(driver: Any, _: object) -> None:
        driver.text_factory = decode

    unreadable(database)
    with ChatEngine(database) as chats:
        sa.event.listen(plain_engine(chats), "connect", connected)
        with pytest.raises(StoreError, match="driver of the database failed: ValueError") as raised:
            chats.status(PLATFORM, "anna")
        assert isinstance(raised.value.__cause__, ValueError)
        assert raised.value.__cause__.args == ()
