"""What every backend has to provide, obligation by obligation, without the engine above it.

The obligations are those of ``sermo_fsm.storage.backends.base`` and ``.statements``. A new backend
goes through all of them as soon as it is named in ``KINDS`` and ``HASTY``.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, LostRace, StoreBusy, StoreError, StoreUnavailable
from sermo_fsm.protocol.events import Direction
from sermo_fsm.storage.backends import Backend, ErrorKind, Statements, backend_named
from sermo_fsm.storage.backends.statements import Change, Row
from sermo_fsm.storage.driver_errors import translated
from sermo_fsm.storage.schema import tables
from sermo_fsm.storage.transactions import open_engine
from tests.databases import KINDS, SERVERS
from tests.faults import kill_all
from tests.support import START, at

HASTY: Final = {
    "sqlite": "PRAGMA busy_timeout = 1",
    "postgresql": "SET lock_timeout = '10ms'",
    "mysql": "SET innodb_lock_wait_timeout = 1",
}
"""What makes a connection give up waiting for a lock at once."""

ELSEWHERE: Final = {
    "postgresql": "SET TIME ZONE 'Africa/Monrovia'",  # whose offset had seconds until 1972
    "mysql": "SET time_zone = '+05:30'",
}
"""What puts a connection into another time zone."""

NO_TIME: Final = {
    "postgresql": ["UPDATE sermo_session SET since = 'infinity'"],
    "mysql": ["SET sql_mode = ''", "UPDATE sermo_session SET since = '0000-00-00'"],
}
"""What makes a time of every session one that Python has not."""

PATIENCE: Final = 60  # seconds, for those who wait for each other; never reached
A_WHILE: Final = 0.3  # seconds, in which whoever does not have to wait is done

ANNA, BERT, CLEO = ("web", "anna"), ("web", "bert"), ("web", "cleo")
LIVE: Final = {"live": 1, "state": "open"}
MESSAGE: Final = {"direction": "inbound", "message_id": "m-1"}
TABLES: Final = tables()

on_servers = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.service) for kind in KINDS if kind in SERVERS]
)


@pytest.fixture
def backend(kind: str) -> Backend:
    return backend_named(kind)


@pytest.fixture
def engine(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine of ours."""
    engine = open_engine(kind_url)
    yield engine
    engine.dispose()


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine of the host's, in which nothing is prepared."""
    engine = sa.create_engine(kind_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sql(backend: Backend, engine: sa.Engine) -> Statements:
    return backend.statements(TABLES, engine.dialect)


# --- rows, and others who work at the same time --------------------------------------------------


def session_row(user: tuple[str, str], ordinal: int = 1, **values: Any) -> dict[str, Any]:
    row = dict.fromkeys(column.name for column in TABLES.session.c if column.name != "id")
    moments = ("since", "opened_at", "effective_at", "expiry_set_at")
    words = {"platform_id": user[0], "user_id": user[1], "expiry_reason": "idle", "state": "closed"}
    counts = {"ordinal": ordinal, "row_count": 0, "resumed": False}
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{user} {ordinal}"))
    return {**row, "session_id": key, **words, **counts, **dict.fromkeys(moments, START), **values}


def history_row(**values: Any) -> Row:
    row = dict.fromkeys(column.name for column in TABLES.history.c if column.name != "id")
    return tuple({**row, "outcome": "stray", "effective_at": START, **values}.values())


def image_row(name: str, content: bytes | None) -> Row:
    return name * 64, None, 1, content


def counted(key: int, rows: int) -> Change:
    """A session that has one row more than before."""
    return key, (rows - 1,), (rows,)


@contextmanager
def writing(backend: Backend, engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction of ours that writes; ended by the caller, or rolled back."""
    with engine.connect() as connection:
        backend.begin_write(connection)
        yield connection


def insert(
    backend: Backend, engine: sa.Engine, sql: Statements, *rows: dict[str, Any]
) -> list[int]:
    with writing(backend, engine) as connection:
        ids = list(
            sql.insert_new(connection, TABLES.session, [tuple(row.values()) for row in rows])
        )
        connection.commit()
    return ids


def last_two(
    sql: Statements, connection: sa.Connection, users: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """What is read of these users."""
    return [*map(named, sql.last_two(connection, users))]


def named(row: Iterable[Any]) -> dict[str, Any]:
    """A row of the session table by column."""
    return dict(zip(TABLES.session.c.keys(), row, strict=True))


def row_counts(engine: sa.Engine) -> dict[str, int]:
    """What stands in ``row_count``, by user."""
    session = TABLES.session.c
    with engine.connect() as connection:
        query = sa.select(session.user_id, session.row_count)
        return {row.user_id: row.row_count for row in connection.execute(query)}


def count(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(TABLES.session)).scalar_one()


@contextmanager
def another() -> Iterator[Callable[..., "Future[Any]"]]:
    """Somebody else, in a thread; what is given to do goes on in the background."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit


def waits(future: "Future[Any]") -> bool:
    with suppress(TimeoutError):
        future.result(A_WHILE)
    return not future.done()


# --- transactions --------------------------------------------------------------------------------


class TestBeginning:
    @pytest.mark.parametrize("level", [None, "AUTOCOMMIT"])
    def test_what_is_rolled_back_was_never_there(
        self, backend: Backend, sql: Statements, kind_url: sa.URL, level: Any
    ) -> None:
        """Also where the host's engine commits every statement."""
        options = {} if level is None else {"isolation_level": level}
        engine = sa.create_engine(kind_url, **options)
        backend.prepare_engine(engine)
        with engine.connect() as connection:
            transaction = backend.begin_write(connection)
            sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
            savepoint = connection.begin_nested()
            sql.insert_new(connection, TABLES.session, [tuple(session_row(BERT).values())])
            savepoint.commit()
            backend.roll_back(connection, transaction)
        assert row_counts(engine) == {}
        engine.dispose()

    def test_so_it_is_in_the_hosts(
        self, backend: Backend, sql: Statements, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            assert backend.ensure_transaction(connection)
            with connection.begin_nested():
                sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
            transaction.rollback()
        assert row_counts(host) == {}

    def test_a_connection_in_autocommit_is_found_out(
        self, backend: Backend, host: sa.Engine
    ) -> None:
        with host.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.begin()
            assert not backend.ensure_transaction(connection)

    def test_an_engine_may_be_prepared_twice(
        self, backend: Backend, sql: Statements, host: sa.Engine
    ) -> None:
        for _ in range(2):
            backend.prepare_engine(host)
        assert len(insert(backend, host, sql, session_row(ANNA))) == 1

    def test_what_is_lost_can_only_be_ended(
        self, backend: Backend, sql: Statements, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            backend.ensure_transaction(connection)
            sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
            backend.abandon(connection)
            with pytest.raises(sa.exc.PendingRollbackError):
                count(connection)
            transaction.rollback()
            assert count(connection) == 0


class TestReading:
    def test_a_query_sees_the_latest_and_stands_in_nobodys_way(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        with engine.connect() as connection:
            backend.prepare_query(connection)
            assert count(connection) == 0
            with another() as do:
                do(insert, backend, engine, sql, session_row(ANNA)).result(PATIENCE)

    def test_a_snapshot_is_of_one_moment(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        insert(backend, engine, sql, session_row(ANNA))
        with engine.connect() as connection:
            backend.prepare_snapshot(connection)
            assert count(connection) == 1
            with another() as do:
                do(insert, backend, engine, sql, session_row(BERT)).result(PATIENCE)
            assert count(connection) == 1
            connection.rollback()
            assert count(connection) == 2

    def test_on_a_server_a_snapshot_is_only_for_reading(
        self, backend: Backend, engine: sa.Engine
    ) -> None:
        delete = sa.delete(tables().session)
        if engine.dialect.name != "sqlite":  # a snapshot there is whatever reads
            with engine.connect() as connection:
                backend.prepare_snapshot(connection)
                with pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.only"):
                    connection.execute(delete)
        with engine.begin() as connection:  # and its connection is as it was before
            connection.execute(delete)


# --- one writer for each user --------------------------------------------------------------------


class TestLock:
    def test_a_second_writer_waits_and_sees_what_the_first_has_done(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        (key,) = insert(backend, engine, sql, session_row(ANNA))

        def add_one() -> None:
            with writing(backend, engine) as connection:
                sql.lock(connection, [ANNA])
                (row,) = last_two(sql, connection, [ANNA])
                new = counted(row["id"], row["row_count"] + 1)
                sql.update_sessions(connection, ("row_count",), [new])
                connection.commit()

        with another() as do:
            with writing(backend, engine) as connection:
                sql.lock(connection, [ANNA])
                second = do(add_one)
                assert waits(second)
                sql.update_sessions(connection, ("row_count",), [counted(key, 10)])
                connection.commit()
            second.result(PATIENCE)
        assert row_counts(engine) == {"anna": 11}

    def test_the_last_session_is_read_whole_while_another_has_the_lock(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        later = session_row(ANNA, 2), session_row(ANNA, 3, **LIVE)
        insert(backend, engine, sql, session_row(ANNA), session_row(BERT), *later)
        with writing(backend, engine) as connection, engine.connect() as reader:
            sql.lock(connection, [ANNA])
            wanted = last_two(sql, connection, [ANNA])[-1]
            backend.prepare_query(reader)
            found = sql.last(reader, *ANNA)
            assert found is not None
            assert named(found) == wanted
            assert wanted["ordinal"] == 3
            assert sql.last(reader, ANNA[0], "nobody") is None

    @pytest.mark.parametrize("theirs", [[], [BERT]], ids=["behind one", "behind a batch"])
    @pytest.mark.parametrize("others", [[], [BERT]], ids=["one user", "a batch"])
    def test_who_has_waited_sees_the_session_and_the_message_that_the_first_has_written(
        self, backend: Backend, engine: sa.Engine, sql: Statements, others: Any, theirs: Any
    ) -> None:
        keys = insert(backend, engine, sql, session_row(ANNA), session_row(ANNA, 2, **LIVE))
        message = Direction(MESSAGE["direction"]), MESSAGE["message_id"]

        def load() -> tuple[list[Any], bool]:
            with writing(backend, engine) as connection:
                rows, perhaps = sql.load(connection, [ANNA, *others], [message])
                found = [named(row) for row in rows]
            return [(one["ordinal"], one["live"]) for one in found][-2:], message in perhaps

        assert load()[0] == [(1, None), (2, 1)]
        with another() as do:
            with writing(backend, engine) as connection:
                sql.load(connection, [ANNA, *theirs], [])
                second = do(load)
                assert waits(second)
                close = keys[1], (1, "open"), (None, "closed")
                sql.update_sessions(connection, ("live", "state"), [close])
                new = tuple(session_row(ANNA, 3, **LIVE).values())
                sql.insert_new(connection, TABLES.session, [new])
                sql.insert_history(connection, [history_row(**MESSAGE)], [])
                connection.commit()
            assert second.result(PATIENCE) == ([(2, None), (3, 1)], True)

    def test_nobody_is_loaded_where_there_is_none(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        message = Direction(MESSAGE["direction"]), MESSAGE["message_id"]
        with writing(backend, engine) as connection:
            sql.insert_history(connection, [history_row(**MESSAGE)], [])
            for users in ([], [ANNA], [ANNA, BERT]):
                rows, perhaps = sql.load(connection, users, [message])
                assert ([*rows], [*perhaps]) == ([], [message])
                assert [*sql.load(connection, users, [])[0]] == []

    def test_a_lock_is_given_back_by_a_rollback(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        insert(backend, engine, sql, session_row(ANNA))
        for _ in range(2):
            with writing(backend, engine) as connection:
                sql.lock(connection, [ANNA])

    def test_of_two_who_open_a_first_session_one_is_refused(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        """The second waits for the lock or for the index, and is refused then."""

        def open_one() -> None:
            with translated(engine.dialect), writing(backend, engine) as connection:
                sql.lock(connection, [ANNA])
                sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
                connection.commit()

        with another() as do:
            with writing(backend, engine) as connection:
                sql.lock(connection, [ANNA])
                mine = session_row(ANNA, row_count=1)
                sql.insert_new(connection, TABLES.session, [tuple(mine.values())])
                second = do(open_one)
                assert waits(second)
                connection.commit()
            with pytest.raises(LostRace):
                second.result(PATIENCE)
        assert row_counts(engine) == {"anna": 1}

    @pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
    def test_a_transaction_that_sees_an_older_state_never_writes_over_a_newer(
        self, backend: Backend, engine: sa.Engine, host: sa.Engine, sql: Statements, level: Any
    ) -> None:
        (key,) = insert(backend, engine, sql, session_row(ANNA))
        if host.dialect.name not in SERVERS:
            level = "SERIALIZABLE"  # the one that it has
        errors: list[Any] = []
        with host.connect().execution_options(isolation_level=level) as connection:
            transaction = connection.begin()
            backend.ensure_transaction(connection)
            assert count(connection) == 1
            with writing(backend, engine) as other:
                sql.update_sessions(other, ("row_count",), [counted(key, 10)])
                other.commit()
            try:
                sql.lock(connection, [ANNA])
                (row,) = last_two(sql, connection, [ANNA])
                new = counted(row["id"], row["row_count"] + 1)
                sql.update_sessions(connection, ("row_count",), [new])
                transaction.commit()
            except sa.exc.DBAPIError as error:
                errors.append(error.orig)
                backend.roll_back(connection, transaction)
        transient = ErrorKind.SERIALIZATION_FAILURE, ErrorKind.BUSY
        assert all(backend.classify(error) in transient for error in errors)
        assert row_counts(engine) == {"anna": 10 if errors else 11}


class TestMigrationLock:
    def test_one_migrates_and_the_others_wait(self, backend: Backend, engine: sa.Engine) -> None:
        order: list[str] = []

        def migrate(name: str) -> None:
            with writing(backend, engine) as connection:
                with backend.migration_lock(connection, TABLES):
                    order.append(name)
                connection.commit()

        with another() as do:
            with writing(backend, engine) as connection:
                with backend.migration_lock(connection, TABLES):
                    second = do(migrate, "second")
                    assert waits(second)
                    order.append("first")
                connection.commit()
            second.result(PATIENCE)
        assert order == ["first", "second"]

    def test_only_a_file_without_tables_is_new(self, backend: Backend, bare_url: sa.URL) -> None:
        engine = open_engine(bare_url)
        with engine.connect() as connection:
            assert backend.is_new_file(connection) == (backend.database_file(bare_url) is not None)
        with ChatEngine(engine) as chats:
            chats.migrate()
        with engine.connect() as connection:
            assert not backend.is_new_file(connection)
        engine.dispose()


# --- statements ----------------------------------------------------------------------------------


class TestStatements:
    def test_new_rows_get_ids_that_grow_in_their_order(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        for size in (1, 250, 2):  # more than in one statement of any database
            rows = [history_row(seq=number) for number in range(size)]
            with writing(backend, engine) as connection:
                ids = list(sql.insert_new(connection, TABLES.history, rows))
                connection.commit()
                query = sa.select(TABLES.history.c.id, TABLES.history.c.seq)
                found = dict(map(tuple, connection.execute(query.order_by(TABLES.history.c.id))))
            assert ids == sorted(ids)
            assert [found[key] for key in ids] == list(range(size))

    def test_each_body_belongs_to_its_row(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        bodies = [(at, (f"{at}", None, None)) for at in (0, 2)]
        with writing(backend, engine) as connection:
            rows = [history_row(seq=number) for number in range(4)]
            ids = sql.insert_history(connection, rows, bodies)
            more = sql.insert_history(connection, rows, [])
            connection.commit()
            body = TABLES.body.c
            query = sa.select(body.history_id, body.event)
            assert dict(map(tuple, connection.execute(query))) == {ids[0]: "0", ids[2]: "2"}
            assert len({*ids, *more}) == 8

    def test_what_is_there_is_left_as_it_is(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        for rows in (
            [image_row("a", b"first"), image_row("b", b"first")],
            [image_row("b", b"second"), image_row("c", b"second")],
            [image_row("c", b"third")],
        ):
            with writing(backend, engine) as connection:
                sql.insert_missing(connection, TABLES.image, rows)
                connection.commit()
        with engine.connect() as connection:
            query = sa.select(TABLES.image.c.sha256, TABLES.image.c.content)
            found = {row.sha256[0]: row.content for row in connection.execute(query)}
        assert found == {"a": b"first", "b": b"first", "c": b"second"}

    def test_and_nothing_else_is_passed_over(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        with writing(backend, engine) as connection, pytest.raises(sa.exc.IntegrityError):
            sql.insert_missing(connection, TABLES.image, [image_row("a", None)])

    def test_the_last_two_sessions_come_whole_and_in_order(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        rows = [session_row(ANNA, number, agent_id=f"{number}") for number in range(1, 5)]
        insert(backend, engine, sql, *rows, session_row(BERT), session_row(CLEO))
        with writing(backend, engine) as connection:
            users = [ANNA, BERT, ("web", "nobody")]
            sql.lock(connection, users)
            found = last_two(sql, connection, users)
        of_anna = [row for row in found if row["user_id"] == "anna"]
        assert [row["ordinal"] for row in of_anna][-2:] == [3, 4]
        assert [row["user_id"] for row in found if row["user_id"] != "anna"] == ["bert"]
        assert [row["ordinal"] for row in found] == sorted(row["ordinal"] for row in found)
        assert {**rows[3], "id": of_anna[-1]["id"]} == of_anna[-1]

    def test_a_version_lasts_until_anybody_writes(
        self, kind: str, backend: Backend, engine: sa.Engine, host: sa.Engine, sql: Statements
    ) -> None:
        def version() -> Any:
            with writing(backend, engine) as connection:  # always the same one of the driver's
                found = sql.version(connection)
                connection.rollback()
            return found

        found = [version(), version()]
        for somebody, user in ((engine, ANNA), (host, BERT)):
            insert(backend, somebody, sql, session_row(user))
            found += [version(), version()]
        if kind in SERVERS:
            assert set(found) == {None}
        else:
            assert found[::2] == found[1::2]
            assert len(set(found)) == 3

    @pytest.mark.parametrize("others", [[], [BERT]], ids=["one user", "a batch"])
    def test_so_they_do_where_the_first_is_gone(
        self, backend: Backend, engine: sa.Engine, sql: Statements, others: list[tuple[str, str]]
    ) -> None:
        insert(backend, engine, sql, *(session_row(ANNA, number) for number in (2, 3)))
        with writing(backend, engine) as connection:
            found = list(sql.load(connection, [ANNA, *others], [])[0])
        ordinal = TABLES.session.c.keys().index("ordinal")
        assert [row[ordinal] for row in found] == [2, 3]

    @on_servers
    def test_times_are_in_utc_wherever_the_connection_is(
        self, kind: str, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        since = datetime(1970, 2, 1, 12, 30, tzinfo=UTC)
        insert(backend, engine, sql, session_row(ANNA, since=since))
        with writing(backend, engine) as connection:
            connection.exec_driver_sql(ELSEWHERE[kind])
            (row,) = last_two(sql, connection, [ANNA])
            connection.invalidate()  # its settings are nobody else's
        assert (row["since"], row["since"].tzinfo) == (since, UTC)

    @on_servers
    @pytest.mark.parametrize("others", [[], [BERT]], ids=["one user", "a batch"])
    def test_a_time_that_is_none_is_an_error_of_ours(
        self, kind: str, backend: Backend, engine: sa.Engine, sql: Statements, others: Any
    ) -> None:
        insert(backend, engine, sql, session_row(ANNA))
        with writing(backend, engine) as connection:
            for statement in NO_TIME[kind]:
                connection.exec_driver_sql(statement)
            with pytest.raises(StoreError, match=r"^a session in the database can't be read"):
                list(sql.load(connection, [ANNA, *others], [])[0])
            connection.invalidate()  # its settings are nobody else's

    def test_messages_are_found_however_many_are_asked_for(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        rows = [history_row(direction="inbound", message_id=f"{n}") for n in range(0, 1200, 2)]
        rows.append(history_row(direction="outbound", message_id="1"))
        with writing(backend, engine) as connection:
            sql.insert_new(connection, TABLES.history, rows)
            connection.commit()
            history = TABLES.history.c
            query = sa.select(history.message_id).where(history.direction == "inbound")
            for asked in (range(1100), range(1199, 1201), range(0)):
                found = sql.messages(connection, query, [f"{number}" for number in asked])
                known = sql.known_messages(connection, "inbound", [f"{number}" for number in asked])
                there = [number for number in asked if number % 2 == 0 and number < 1200]
                assert sorted(int(row["message_id"]) for row in found) == there
                assert sorted(map(int, known)) == there

    @pytest.mark.parametrize("size", [1, 250])
    def test_only_what_is_different_in_a_session_changes(
        self, backend: Backend, engine: sa.Engine, sql: Statements, size: int
    ) -> None:
        rows = [session_row(("web", f"{number}"), agent_name="Ö") for number in range(size)]
        keys = insert(backend, engine, sql, *rows, session_row(ANNA))
        columns = ("kept_state", "row_count", "last_seen_at")
        news = [
            (None, number % 3, None if number % 2 else at(number)) for number in range(len(keys))
        ]
        changes = [(key, (None, 0, None), new) for key, new in zip(keys, news, strict=True)]
        with writing(backend, engine) as connection:
            connection.execute(sa.update(TABLES.session).values(kept_state="bot"))
            sql.update_sessions(connection, columns, changes[:size])
            connection.commit()
            session = TABLES.session
            found = connection.execute(sa.select(session).order_by(session.c.id)).mappings().all()
        for row, (_, count, seen_at), read in zip(rows, news[:size], found[:size], strict=True):
            values = {"row_count": count, "last_seen_at": seen_at, "kept_state": "bot"}
            assert dict(read) == {**row, **values, "id": read["id"]}
        assert [row["id"] for row in found] == keys
        assert found[-1]["row_count"] == 0

    def test_a_session_without_a_difference_stays_as_it_is(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        rows = [session_row(ANNA, row_count=1), session_row(BERT, row_count=2)]
        keys = insert(backend, engine, sql, *rows)
        for some in (keys[:1], keys):
            with writing(backend, engine) as connection:
                sql.update_sessions(connection, ("row_count",), [(key, (0,), (0,)) for key in some])
                connection.commit()
            assert row_counts(engine) == {"anna": 1, "bert": 2}


# --- errors --------------------------------------------------------------------------------------


class TestErrors:
    def of(self, backend: Backend, do: Callable[[], object]) -> ErrorKind:
        with pytest.raises(sa.exc.DBAPIError) as caught:
            do()
        assert caught.value.orig is not None
        return backend.classify(caught.value.orig)

    def test_unique_violation(self, backend: Backend, engine: sa.Engine, sql: Statements) -> None:
        insert(backend, engine, sql, session_row(ANNA))
        kind = self.of(backend, lambda: insert(backend, engine, sql, session_row(ANNA)))
        assert kind is ErrorKind.UNIQUE_VIOLATION

    def test_missing_table(self, backend: Backend, bare_url: sa.URL) -> None:
        engine = open_engine(bare_url)
        with engine.connect() as connection:
            assert self.of(backend, lambda: count(connection)) is ErrorKind.MISSING_TABLE
        engine.dispose()

    def test_any_other(self, backend: Backend, engine: sa.Engine, sql: Statements) -> None:
        wrong = session_row(ANNA, state=None)
        kind = self.of(backend, lambda: insert(backend, engine, sql, wrong))
        assert kind is ErrorKind.OTHER

    def test_a_lock_that_is_held_for_too_long(
        self, kind: str, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        insert(backend, engine, sql, session_row(ANNA))
        with writing(backend, engine) as first, engine.connect() as second:
            sql.lock(first, [ANNA])
            second.exec_driver_sql(HASTY[kind])
            second.commit()

            def lock_too() -> None:
                backend.begin_write(second)
                sql.lock(second, [ANNA])

            assert self.of(backend, lock_too) is ErrorKind.BUSY
            second.invalidate()  # its settings are nobody else's

    @on_servers
    def test_a_deadlock(self, backend: Backend, engine: sa.Engine, sql: Statements) -> None:
        insert(backend, engine, sql, session_row(ANNA), session_row(BERT))
        errors = []

        def lock(connection: sa.Connection, user: tuple[str, str]) -> None:
            try:
                sql.lock(connection, [user])
            except sa.exc.DBAPIError as error:
                errors.append(error.orig)
            connection.rollback()

        with writing(backend, engine) as ours, writing(backend, engine) as theirs, another() as do:
            sql.lock(ours, [ANNA])
            sql.lock(theirs, [BERT])
            waiting = do(lock, theirs, ANNA)
            assert waits(waiting)
            lock(ours, BERT)
            waiting.result(PATIENCE)
        (error,) = errors
        assert error is not None
        assert backend.classify(error) is ErrorKind.BUSY

    @on_servers
    def test_a_connection_that_is_gone(
        self, engine: sa.Engine, backend: Backend, kind_url: sa.URL
    ) -> None:
        with writing(backend, engine) as connection:
            kill_all(kind_url)
            with pytest.raises(StoreUnavailable), translated(engine.dialect):
                count(connection)

    def test_what_was_written_before_an_error_is_committed_unless_it_is_said(
        self, backend: Backend, host: sa.Engine, sql: Statements
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            backend.ensure_transaction(connection)
            sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
            assert not backend.commit_will_fail(connection)
            with pytest.raises(sa.exc.DBAPIError) as caught:
                sql.insert_new(connection, TABLES.session, [tuple(session_row(ANNA).values())])
            assert caught.value.orig is not None
            lost = backend.has_rolled_back(connection, caught.value.orig)
            lost = lost or backend.commit_will_fail(connection)
            with suppress(sa.exc.DBAPIError):
                transaction.commit()
        assert row_counts(host) == ({} if lost else {"anna": 0})


class TestWhatErrorsSay:
    SECRET: Final = "Hemligheten"  # noqa: S105 - what somebody wrote

    def test_an_error_is_described_in_one_line_without_values(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        row = session_row(("web", self.SECRET))
        insert(backend, engine, sql, row)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            insert(backend, engine, sql, row)
        assert caught.value.orig is not None
        text = backend.describe(caught.value.orig)
        assert text
        assert "\n" not in text
        assert self.SECRET not in text

    def test_what_a_check_refuses_is_nowhere_in_the_error(
        self, backend: Backend, engine: sa.Engine, sql: Statements
    ) -> None:
        wrong = session_row(ANNA, live=1, agent_name=self.SECRET)  # closed, and live
        with pytest.raises(StoreError) as caught, translated(engine.dialect):
            insert(backend, engine, sql, wrong)
        assert not isinstance(caught.value, LostRace | StoreBusy)
        error: BaseException | None = caught.value
        while error is not None:
            assert self.SECRET not in f"{error} {error!r} {error.args}"
            error = error.__cause__ or error.__context__
