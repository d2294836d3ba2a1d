"""Inside the host's transaction: we never end it, and what went wrong spoils nothing of it.

Long, because each database has its own way to fail.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from sermo_fsm import (
    ChatEngine,
    HistoryRow,
    InvalidArgument,
    LostRace,
    MessageConflict,
    Outcome,
    StoreBusy,
    StoreError,
)
from tests.databases import a_database
from tests.hosting import Boom, host_engine, in_the_database, order, watch
from tests.support import PLATFORM, USER, envelope, text


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    with host_engine(kind_url) as engine:
        yield engine


@pytest.fixture
def chats(host: sa.Engine) -> ChatEngine:
    return ChatEngine(host)


@pytest.fixture
def other(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """Another engine of the host's, of which no ChatEngine knows."""
    engine = sa.create_engine(kind_url)
    yield engine
    engine.dispose()


class TestTransaction:
    def test_the_hosts_commit_is_ours(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.begin() as connection:
            connection.execute(order(1))
            chats.handle("inbound", text(), connection=connection)
            assert connection.in_transaction()
            assert in_the_database(host) == (0, 0)  # as everybody else sees it

        assert in_the_database(host) == (1, 1)

    def test_the_hosts_rollback_leaves_no_trace(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            chats.handle("inbound", text(), connection=connection)
            connection.execute(order(1))
            transaction.rollback()

        assert in_the_database(host) == (0, 0)
        assert chats.status(PLATFORM, USER) is None

    def test_an_error_of_the_hosts_leaves_no_trace(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        def fail_at_the_end() -> None:
            with host.begin() as connection:
                connection.execute(order(1))
                chats.handle("inbound", text(), connection=connection)
                raise Boom

        with pytest.raises(Boom):
            fail_at_the_end()

        assert in_the_database(host) == (0, 0)

    def test_a_savepoint_opened_first_does_not_outlive_the_rollback(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            with connection.begin_nested():
                chats.handle("inbound", text(), connection=connection)
                connection.execute(order(1))
            transaction.rollback()

        assert in_the_database(host) == (0, 0)

    def test_a_savepoint_that_is_rolled_back_takes_its_events_along_and_no_others(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.begin() as connection:
            chats.handle("inbound", text("ett"), connection=connection)
            savepoint = connection.begin_nested()
            chats.handle("inbound", text("två"), connection=connection)
            savepoint.rollback()
            receipt = chats.handle("inbound", text("tre"), connection=connection)

        assert [row.seq for row in receipt.rows] == [2]
        assert chats.verify().ok
        assert in_the_database(host) == (0, 2)

    def test_a_connection_that_has_not_begun_is_the_hosts_to_commit(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            chats.handle("inbound", text(), connection=connection)
            connection.rollback()
            chats.handle("inbound", text(), connection=connection)
            connection.commit()

        assert in_the_database(host) == (0, 1)

    def test_a_connection_that_is_closed_without_a_commit_leaves_no_trace(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (0, 0)

    def test_another_engine_of_the_host_will_do(self, chats: ChatEngine, other: sa.Engine) -> None:
        with other.connect() as connection:
            transaction = connection.begin()
            # SQLite's driver has not begun, and our listener comes too late: we begin for real.
            chats.handle("inbound", text(), connection=connection)
            transaction.rollback()

        assert chats.status(PLATFORM, USER) is None

    def test_a_batch_in_the_hosts_transaction(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.begin() as connection:
            lines = [envelope("inbound", text(), second) for second in range(3)]
            chats.handle_many(lines, connection=connection)

        assert in_the_database(host) == (0, 3)

    def test_questions_see_what_the_transaction_has_done(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.begin() as connection:
            session = chats.handle("inbound", text(), connection=connection).after
            assert session is not None
            assert chats.status(PLATFORM, USER, connection=connection) == session
            assert chats.session(session.session_id, connection=connection) == session
            assert list(chats.sessions(connection=connection)) == [session]
            assert len(list(chats.history(session.session_id, connection=connection))) == 1
            assert chats.counts(connection=connection) == {PLATFORM: {"bot": 1}}
            assert chats.status(PLATFORM, USER) is None


class TestWhatWeSay:
    """What is begun and ended while a call of ours runs is a savepoint, and nothing else."""

    TAKEN = ("savepoint", "release_savepoint")
    REFUSED = ("savepoint", "rollback_savepoint")
    SQL = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")

    def said(self, seen: list[str]) -> tuple[list[str], list[str]]:
        """What SQLAlchemy was asked for; and the SQL, which some drivers have methods for."""
        events = [word for word in seen if word.islower()]
        sql = [word for word in seen if not word.islower()]
        seen.clear()
        return events, sql

    def test_a_savepoint_for_an_event_that_is_taken(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        seen = watch(host)
        with host.connect() as connection, connection.begin():
            connection.execute(order(1))
            for number in range(3):
                seen.clear()
                chats.handle("inbound", text(f"{number}"), connection=connection)
                events, sql = self.said(seen)
                assert tuple(events) == self.TAKEN
                assert set(sql) <= set(self.SQL)

    def test_a_savepoint_taken_back_for_an_event_that_is_refused(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        seen = watch(host)
        with host.connect() as connection, connection.begin():
            chats.handle("inbound", text("ett"), message_id="m", connection=connection)
            seen.clear()
            with pytest.raises(MessageConflict):
                chats.handle("inbound", text("två"), message_id="m", connection=connection)
            events, sql = self.said(seen)
            assert tuple(events) == self.REFUSED
            assert set(sql) <= set(self.SQL)

    def test_a_question_says_nothing(self, chats: ChatEngine, host: sa.Engine) -> None:
        seen = watch(host)
        with host.connect() as connection, connection.begin():
            connection.execute(order(1))
            seen.clear()
            chats.status(PLATFORM, USER, connection=connection)
            list(chats.sessions(connection=connection))
            assert seen == []

    def test_a_connection_begins_with_us_as_it_would_with_its_first_statement(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        seen = watch(host)
        with host.connect() as connection:
            chats.handle("inbound", text(), connection=connection)
            events, _ = self.said(seen)
            assert tuple(events) == ("begin", *self.TAKEN)
            assert connection.in_transaction()


class TestWhatFails:
    def test_a_refused_event_leaves_the_hosts_work_alone(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.begin() as connection:
            connection.execute(order(1))
            chats.handle("inbound", text("ett"), message_id="m", connection=connection)
            with suppress(MessageConflict):
                chats.handle("inbound", text("två"), message_id="m", connection=connection)
            connection.execute(order(2))

        assert in_the_database(host) == (2, 1)

    def test_an_invalid_event_is_recorded_in_the_hosts_transaction(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.begin() as connection:
            receipt = chats.handle("inbound", b"nonsense", connection=connection)
            connection.execute(order(1))

        assert receipt.outcome == Outcome.INVALID
        assert in_the_database(host) == (1, 1)

    def test_a_lock_held_too_long_leaves_the_hosts_work_alone(
        self, chats: ChatEngine, host: sa.Engine, kind: str
    ) -> None:
        hasty = {
            "sqlite": "PRAGMA busy_timeout = 0",
            "postgresql": "SET lock_timeout = '10ms'",
            "mysql": "SET innodb_lock_wait_timeout = 1",
        }
        chats.handle("inbound", text())
        with host.connect() as first, host.connect() as second:
            second.exec_driver_sql(hasty[kind])
            second.commit()
            if kind != "sqlite":  # where whoever writes is alone
                second.execute(order(1))
            chats.handle("inbound", text(), connection=first)
            with pytest.raises(StoreBusy):
                chats.handle("inbound", text(), connection=second)
            first.commit()
            if kind == "sqlite":  # what it has read is not the latest any more
                second.rollback()
                second.execute(order(1))
            second.commit()
            second.invalidate()  # its settings are nobody else's

        assert in_the_database(host) == (1, 2)
        assert chats.verify().ok

    def test_a_lost_race_is_a_typed_error_and_a_second_try_of_the_whole_succeeds(
        self, chats: ChatEngine, host: sa.Engine, kind: str
    ) -> None:
        level = "SERIALIZABLE" if kind == "sqlite" else "REPEATABLE READ"
        with host.connect().execution_options(isolation_level=level) as connection:
            connection.execute(sa.text("SELECT count(*) FROM orders")).all()
            chats.handle("inbound", text("ett"))  # which that transaction can't see
            with pytest.raises(StoreBusy if kind == "sqlite" else LostRace):
                chats.handle("inbound", text("två"), connection=connection)
            connection.rollback()
            chats.handle("inbound", text("två"), connection=connection)
            connection.execute(order(1))
            connection.commit()

        assert in_the_database(host) == (1, 2)
        assert chats.verify().ok


class TestWhatIsHandedIn:
    def test_a_connection_in_autocommit_is_in_no_transaction(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with (
            host.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
            pytest.raises(InvalidArgument, match="AUTOCOMMIT"),
        ):
            chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (0, 0)

    def test_so_is_one_of_an_engine_in_autocommit(self, kind_url: sa.URL, host: sa.Engine) -> None:
        engine = sa.create_engine(kind_url, isolation_level="AUTOCOMMIT")
        chats = ChatEngine(engine)
        with engine.connect() as connection, pytest.raises(InvalidArgument, match="AUTOCOMMIT"):
            chats.handle("inbound", text(), connection=connection)
        with Session(engine) as session, pytest.raises(InvalidArgument, match="AUTOCOMMIT"):
            chats.handle("inbound", text(), connection=session)
        engine.dispose()

        assert in_the_database(host) == (0, 0)

    def test_what_is_no_connection_is_refused(self, chats: ChatEngine, host: sa.Engine) -> None:
        raw = host.raw_connection()
        for wrong in (host, raw, sessionmaker(host), str(host.url), 1, object):
            with pytest.raises(InvalidArgument, match="Connection or Session"):
                chats.handle("inbound", text(), connection=wrong)  # type: ignore[arg-type]  # the point
            with pytest.raises(InvalidArgument, match="Connection or Session"):
                chats.status(PLATFORM, USER, connection=wrong)  # type: ignore[arg-type]  # likewise
        raw.close()

    def test_a_closed_connection_is_a_typed_error(self, chats: ChatEngine, host: sa.Engine) -> None:
        connection = host.connect()
        connection.close()
        with pytest.raises(StoreError, match="can't be used"):
            chats.handle("inbound", text(), connection=connection)
        with pytest.raises(StoreError, match="can't be used"):
            chats.status(PLATFORM, USER, connection=connection)


@pytest.mark.service
def test_a_connection_to_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    with a_database("sqlite", tmp_path) as one, a_database("postgresql", tmp_path) as two:
        for ours, theirs in ((one, two), (two, one)):
            stranger = sa.create_engine(theirs)
            with ChatEngine(ours) as chats, stranger.connect() as connection:
                with pytest.raises(InvalidArgument, match=theirs.get_backend_name()):
                    chats.handle("inbound", text(), connection=connection)
                with pytest.raises(InvalidArgument, match=theirs.get_backend_name()):
                    chats.status(PLATFORM, USER, connection=Session(connection))
            stranger.dispose()


@pytest.mark.service
class TestOnPostgreSQL:
    """Where a failed statement spoils the whole transaction, and its commit is a rollback."""

    @pytest.fixture
    def kind(self) -> str:
        return "postgresql"

    def test_a_transaction_that_has_failed_is_a_typed_error(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            with suppress(sa.exc.ProgrammingError):
                connection.exec_driver_sql("SELECT nonsense")
            with pytest.raises(StoreError, match="transaction is aborted"):
                chats.handle("inbound", text(), connection=connection)

    def test_after_commit_is_silent_where_the_commit_was_a_rollback(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        told: list[str | None] = []
        chats.after_commit(lambda row: told.append(row.user_id))
        with host.connect() as connection:
            chats.handle("inbound", text(), connection=connection)
            with suppress(sa.exc.ProgrammingError):
                connection.exec_driver_sql("SELECT nonsense")
            connection.commit()  # which the driver does not call an error
            assert told == []
            chats.handle("inbound", text(user="b"), connection=connection)
            connection.commit()

        assert told == ["b"]
        assert in_the_database(host) == (0, 1)

    def test_a_hook_can_not_hide_an_error_that_undoes_everything(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        @chats.within_transaction
        def hide(_: HistoryRow, connection: sa.Connection) -> None:
            with suppress(sa.exc.ProgrammingError):
                connection.exec_driver_sql("SELECT nonsense")

        with pytest.raises(StoreError, match="transaction is aborted"):
            chats.handle("inbound", text())
        with host.begin() as connection:
            connection.execute(order(1))
            with pytest.raises(StoreError, match="transaction is aborted"):
                chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (1, 0)


class TestOnSQLite:
    @pytest.fixture
    def kind(self) -> str:
        return "sqlite"

    def test_a_savepoint_that_would_outlive_the_rollback_is_refused(
        self, chats: ChatEngine, other: sa.Engine
    ) -> None:
        with other.connect() as connection:
            transaction = connection.begin()
            with connection.begin_nested(), pytest.raises(InvalidArgument, match="connection"):
                chats.handle("inbound", text(), connection=connection)
            transaction.rollback()

        assert chats.status(PLATFORM, USER) is None

    def test_a_full_disk_is_called_by_its_name(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreError, match="disk is full"):
                chats.handle("inbound", text("x" * 60_000), connection=connection)
            transaction.rollback()  # there is nothing else that the connection is good for
            chats.handle("inbound", text(), connection=connection)
            connection.rollback()

        assert in_the_database(host) == (0, 0)

    def test_a_lock_held_too_long_by_the_host_is_a_typed_error(
        self, chats: ChatEngine, kind_url: sa.URL
    ) -> None:
        hasty = sa.create_engine(kind_url, connect_args={"timeout": 0})
        other = ChatEngine(hasty, attempts=2)
        with chats._engine.begin() as connection:
            connection.execute(order(1))
            with pytest.raises(StoreBusy, match="database is locked"):
                other.handle("inbound", text())
        hasty.dispose()
