"""SQLite's own: pools, autocommit and ways to begin that hosts have, pragmas, its file."""

import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, HistoryRow, InvalidArgument, StoreError
from tests.support import PLATFORM, USER, at, hand_in_unsent, text

THREADS, EVENTS = 6, 20


class Boom(Exception):
    pass


def by_the_recipe(url: str) -> sa.Engine:
    """The engine of SQLAlchemy's own advice for SQLite: it begins by itself."""
    engine = sa.create_engine(url)

    @sa.event.listens_for(engine, "connect")
    def leave_it_to_us(raw: Any, _: object) -> None:
        raw.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def autocommitting(url: str) -> sa.Engine:
    return sa.create_engine(url, isolation_level="AUTOCOMMIT")


def autocommitting_by_option(url: str) -> sa.Engine:
    return sa.create_engine(url).execution_options(isolation_level="AUTOCOMMIT")


def always_in_a_transaction(url: str) -> sa.Engine:
    return sa.create_engine(url, connect_args={"autocommit": False})


KINDS = [
    sa.create_engine,
    by_the_recipe,
    autocommitting,
    autocommitting_by_option,
    pytest.param(
        always_in_a_transaction,
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="came with Python 3.12"),
    ),
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'host.db'}"


def hand_in_from_many_threads(chats: ChatEngine) -> None:
    def work(thread: int) -> None:
        for number in range(EVENTS):
            chats.handle("inbound", text(), received_at=at(number), message_id=f"{thread}-{number}")

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))


@pytest.mark.parametrize("make", KINDS)
def test_many_threads_lose_nothing(make: Callable[[str], sa.Engine], url: str) -> None:
    engine = make(url)
    chats = ChatEngine(engine)
    chats.migrate()

    hand_in_from_many_threads(chats)

    result = chats.verify()
    engine.dispose()
    assert (result.ok, result.sessions, result.rows) == (True, 1, THREADS * EVENTS)


@pytest.mark.parametrize("make", KINDS)
def test_raising_in_a_hook_undoes_the_event(make: Callable[[str], sa.Engine], url: str) -> None:
    engine = make(url)
    chats = ChatEngine(engine)
    chats.migrate()

    @chats.within_transaction
    def refuse(_: HistoryRow, __: sa.Connection) -> None:
        raise Boom

    with pytest.raises(Boom):
        chats.handle("inbound", text())

    result = chats.verify()
    engine.dispose()
    assert (result.sessions, result.rows) == (0, 0)


def test_the_hosts_autocommit_stays_as_it_was(url: str) -> None:
    engine = autocommitting(url)
    ChatEngine(engine).migrate()
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO orders VALUES (1)")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM orders").scalar() == 1
    engine.dispose()


class NeverCommits(sqlite3.Connection):
    """What ``autocommit=True`` makes of a connection, from Python 3.12 on."""

    autocommit = True


def test_a_driver_that_never_commits_is_refused(url: str) -> None:
    engine = sa.create_engine(url, connect_args={"factory": NeverCommits})
    with pytest.raises(InvalidArgument, match="autocommit"):
        ChatEngine(engine).migrate()
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_one_for_all_threads(url: str) -> None:
    with ChatEngine(url) as chats:
        chats.migrate()
        hand_in_from_many_threads(chats)

        assert chats.verify().rows == THREADS * EVENTS


@pytest.mark.parametrize(
    "ask",
    [
        lambda chats: chats.handle("inbound", text()),
        lambda chats: chats.status(PLATFORM, "anna"),
        lambda chats: chats.sweep(),
    ],
    ids=["handle", "status", "sweep"],
)
def test_a_connection_that_is_lent_twice_is_found_out(
    ask: Callable[[ChatEngine], object], url: str
) -> None:
    engine = sa.create_engine(url, poolclass=sa.StaticPool)
    chats = ChatEngine(engine)
    chats.migrate()
    with engine.connect() as host, host.begin():
        chats.handle("inbound", text(), connection=host)
        with pytest.raises(StoreError, match="hand in that connection"):
            ask(chats)
    engine.dispose()


def test_in_memory_events_may_be_handed_in_while_a_list_is_read() -> None:
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        for number in range(3):
            chats.handle("inbound", text(user=f"u-{number}"), received_at=at(0))
        for session in chats.sessions(limit=2):
            chats.handle("inbound", text(user=session.user_id), received_at=at(1))

        assert chats.verify().rows == 5


@pytest.mark.parametrize("pool", [sa.SingletonThreadPool, sa.StaticPool, sa.QueuePool])
def test_questions_may_be_asked_while_a_list_is_read(pool: type[sa.Pool], url: str) -> None:
    engine = sa.create_engine(url, poolclass=pool)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    chats = ChatEngine(engine)
    chats.migrate()
    for number in range(3):
        chats.handle("inbound", text(user=f"u-{number}"), received_at=at(0))

    for session in chats.sessions():
        assert len(list(chats.history(session.session_id))) == 1
        assert chats.status(*session.key) == session
        chats.handle("inbound", text(user=session.user_id), received_at=at(1))

    assert chats.verify().rows == 6
    engine.dispose()


def test_migrating_many_databases_at_once(tmp_path: Path) -> None:
    engines = [ChatEngine(f"sqlite:///{tmp_path / str(number)}.db") for number in range(THREADS)]

    with ThreadPoolExecutor(THREADS) as threads:
        assert len(set(threads.map(ChatEngine.migrate, engines))) == 1

    for chats in engines:
        chats.check_schema()
        chats.close()


def test_the_time_out_of_a_url_counts(tmp_path: Path) -> None:
    for query, milliseconds in (("", 30_000), ("?timeout=1", 1000)):
        with ChatEngine(f"sqlite:///{tmp_path / 'chat.db'}{query}") as chats:
            with chats._engine.connect() as connection:
                waits = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
            assert waits == milliseconds


def test_the_file_is_set_up_for_many_readers(url: str) -> None:
    with ChatEngine(url) as chats:
        chats.migrate()
        with chats._engine.connect() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout")
            ]
    assert pragmas == ["wal", 1, 30_000]


def test_unsent_text_is_in_no_file(url: str, tmp_path: Path) -> None:
    with ChatEngine(url) as chats:
        chats.migrate()
        hand_in_unsent(chats, "Hemligheten")
        for file in tmp_path.iterdir():  # the journal too
            assert b"Hemligheten" not in file.read_bytes()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Kära Anna, " * 1000)

    with ChatEngine(f"sqlite:///{file}") as chats, pytest.raises(StoreError, match="not a data"):
        chats.migrate()


def test_a_database_in_memory_that_is_full_is_not_thrown_away() -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    chats = ChatEngine(engine)
    chats.migrate()
    with engine.connect() as connection:
        transaction = connection.begin()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full"):
            chats.handle("inbound", text("x" * 60_000), connection=connection)
        with suppress(sa.exc.SQLAlchemyError):
            transaction.rollback()
    assert chats.status(PLATFORM, USER) is None  # its tables are there
    engine.dispose()


@pytest.mark.parametrize("value", ["20260301", "5.5", "x'32'", "'yesterday'"])
@pytest.mark.parametrize("column", ["since", "expires_at"])
def test_what_is_no_time_in_a_column_of_times_is_a_typed_error(
    tmp_path: Path, column: str, value: str
) -> None:
    """SQLite stores in a column whatever it is told to."""
    with ChatEngine(f"sqlite:///{tmp_path / 'chat.db'}") as chats:
        chats.migrate()
        chats.handle("inbound", text(), received_at=at(0))
        with chats._engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE sermo_session SET {column} = {value}")  # noqa: S608 - our own words
        with pytest.raises(StoreError, match="can't be read: one of its times is no time, or "):
            chats.status(PLATFORM, USER)
        with pytest.raises(StoreError, match="a time in the database can't be read: "):
            chats.verify()
