"""Inside the host's transaction: we never end it, and hooks know what is durable."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from sermo_fsm import (
    ChatEngine,
    HistoryRow,
    InvalidArgument,
    MessageConflict,
    StoreBusy,
    StoreError,
)
from tests.support import ANDERS, PLATFORM, USER, at, envelope, event, text

HOST = sa.Table("orders", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'host.db'}"


@pytest.fixture
def host(url: str) -> Iterator[sa.Engine]:
    """The host's own engine, as a newcomer makes it: with SQLite's driver left as it is."""
    engine = sa.create_engine(url)
    HOST.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def chats(host: sa.Engine) -> ChatEngine:
    engine = ChatEngine(host)
    engine.migrate()
    return engine


class Boom(Exception):
    pass


def in_the_database(host: sa.Engine) -> tuple[int, int]:
    """Rows of the host's, and rows of ours."""
    with host.connect() as connection:
        return (
            connection.execute(sa.text("SELECT count(*) FROM orders")).scalar_one(),
            connection.execute(sa.text("SELECT count(*) FROM sermo_history")).scalar_one(),
        )


class TestTransaction:
    def test_the_hosts_commit_is_ours(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.begin() as connection:
            connection.execute(sa.insert(HOST).values(id=1))
            chats.handle("inbound", text(), connection=connection)
            assert connection.in_transaction()

        assert in_the_database(host) == (1, 1)

    def test_the_hosts_rollback_leaves_no_trace(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            chats.handle("inbound", text(), connection=connection)
            connection.execute(sa.insert(HOST).values(id=1))
            transaction.rollback()

        assert in_the_database(host) == (0, 0)
        assert chats.status(PLATFORM, USER) is None

    def test_a_savepoint_opened_first_does_not_outlive_the_rollback(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            with connection.begin_nested():
                chats.handle("inbound", text(), connection=connection)
                connection.execute(sa.insert(HOST).values(id=1))
            transaction.rollback()

        assert in_the_database(host) == (0, 0)

    def test_a_connection_that_has_not_begun_is_the_hosts_to_commit(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.connect() as connection:
            chats.handle("inbound", text(), connection=connection)
            connection.rollback()
            chats.handle("inbound", text(), connection=connection)
            connection.commit()

        assert in_the_database(host) == (0, 1)

    def test_another_engine_of_the_host_will_do(self, chats: ChatEngine, url: str) -> None:
        other = sa.create_engine(url)
        with other.connect() as connection:
            transaction = connection.begin()
            # The driver has not begun: here our listener comes too late, and we begin for real.
            chats.handle("inbound", text(), connection=connection)
            transaction.rollback()
        other.dispose()

        assert chats.status(PLATFORM, USER) is None

    def test_a_refused_event_leaves_the_hosts_work_alone(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with host.begin() as connection:
            connection.execute(sa.insert(HOST).values(id=1))
            chats.handle("inbound", text("ett"), message_id="m", connection=connection)
            with suppress(MessageConflict):
                chats.handle("inbound", text("två"), message_id="m", connection=connection)

        assert in_the_database(host) == (1, 1)

    def test_a_batch_in_the_hosts_transaction(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.begin() as connection:
            lines = [envelope("inbound", text(), second) for second in range(3)]
            chats.handle_many(lines, connection=connection)

        assert in_the_database(host) == (0, 3)

    def test_a_connection_in_autocommit_is_in_no_transaction(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        with (
            host.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
            pytest.raises(InvalidArgument, match="AUTOCOMMIT"),
        ):
            chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (0, 0)

    def test_a_savepoint_that_would_outlive_the_rollback_is_refused(
        self, chats: ChatEngine, url: str
    ) -> None:
        other = sa.create_engine(url)  # of which no ChatEngine knows
        with other.connect() as connection:
            transaction = connection.begin()
            with connection.begin_nested(), pytest.raises(InvalidArgument, match="connection"):
                chats.handle("inbound", text(), connection=connection)
            transaction.rollback()
        other.dispose()

        assert chats.status(PLATFORM, USER) is None

    def test_a_full_disk_is_called_by_its_name(self, chats: ChatEngine, host: sa.Engine) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreError, match="disk is full"):
                chats.handle("inbound", text("x" * 60_000), connection=connection)
            with suppress(sa.exc.SQLAlchemyError):
                transaction.rollback()

        assert in_the_database(host) == (0, 0)

    def test_a_lock_held_too_long_is_a_typed_error(self, chats: ChatEngine, url: str) -> None:
        hasty = sa.create_engine(url, connect_args={"timeout": 0})
        other = ChatEngine(hasty)
        with chats._engine.begin() as connection:
            connection.execute(sa.insert(HOST).values(id=1))
            with pytest.raises(StoreBusy, match="database is locked"):
                other.handle("inbound", text())
        hasty.dispose()


class TestWithinTransaction:
    def test_sees_every_row_and_the_connection(self, chats: ChatEngine, host: sa.Engine) -> None:
        seen: list[tuple[str | None, int]] = []

        @chats.within_transaction
        def note(row: HistoryRow, connection: sa.Connection) -> None:
            count = connection.execute(sa.text("SELECT count(*) FROM sermo_history")).scalar_one()
            seen.append((row.type, count))
            connection.execute(sa.insert(HOST).values(id=row.id))

        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("inbound", event("heartbeat"), received_at=at(1))
        chats.handle("inbound", text(), received_at=at(9999))

        assert seen == [("text", 1), (None, 3), ("text", 3)]
        assert in_the_database(host) == (3, 3)

    def test_raising_undoes_the_event(self, chats: ChatEngine, host: sa.Engine) -> None:
        @chats.within_transaction
        def refuse(row: HistoryRow, connection: sa.Connection) -> None:
            connection.execute(sa.insert(HOST).values(id=row.id))
            raise Boom

        with pytest.raises(Boom):
            chats.handle("inbound", text())

        assert in_the_database(host) == (0, 0)

    def test_raising_undoes_the_event_and_not_the_hosts_work(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        @chats.within_transaction
        def refuse(row: HistoryRow, _: sa.Connection) -> None:
            if row.type == "client_left":
                raise Boom

        with host.begin() as connection:
            connection.execute(sa.insert(HOST).values(id=1))
            chats.handle("inbound", text(), received_at=at(0), connection=connection)
            with pytest.raises(Boom):
                chats.handle(
                    "inbound", event("client_left"), received_at=at(1), connection=connection
                )

        assert in_the_database(host) == (1, 1)
        status = chats.status(PLATFORM, USER)
        assert status is not None
        assert status.state == "bot"
        assert chats.verify().ok

    def test_the_hosts_own_database_error_stays_its_own(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        @chats.within_transaction
        def collide(_: HistoryRow, connection: sa.Connection) -> None:
            connection.execute(sa.insert(HOST).values(id=1))
            connection.execute(sa.insert(HOST).values(id=1))

        with pytest.raises(sa.exc.IntegrityError):
            chats.handle("inbound", text())

        assert in_the_database(host) == (0, 0)

    def test_a_sweep_has_rows_too(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        seen: list[str | None] = []
        chats.within_transaction(lambda row, _: seen.append(row.reason))
        chats.after_commit(lambda row: seen.append(row.reason))

        chats.sweep(at(9999))

        assert seen == ["idle", "idle"]


class TestAfterCommit:
    @pytest.fixture
    def told(self, chats: ChatEngine) -> list[str | None]:
        told: list[str | None] = []
        chats.after_commit(lambda row: told.append(row.user_id))
        return told

    def test_comes_once_the_row_is_durable(self, chats: ChatEngine, host: sa.Engine) -> None:
        durable: list[tuple[int, int]] = []
        chats.after_commit(lambda _: durable.append(in_the_database(host)))

        chats.handle("inbound", text())

        assert durable == [(0, 1)]

    def test_waits_for_the_outermost_commit(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            with connection.begin():
                with connection.begin_nested():
                    chats.handle("inbound", text(user="a"), connection=connection)
                    with connection.begin_nested():
                        chats.handle("inbound", text(user="b"), connection=connection)
                chats.handle("inbound", text(user="c"), connection=connection)
                assert told == []
            assert told == ["a", "b", "c"]
            with connection.begin():
                chats.handle("inbound", text(user="d"), connection=connection)
            assert told == ["a", "b", "c", "d"]

    def test_forgets_what_was_rolled_back(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin()
            chats.handle("inbound", text(user="a"), connection=connection)
            transaction.rollback()
            with connection.begin():
                chats.handle("inbound", text(user="b"), connection=connection)

        assert told == ["b"]

    def test_forgets_what_a_savepoint_took_back_and_no_more(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection, connection.begin():
            # Rolled back before and after we saw the first savepoint of this connection.
            for keep, lose in (("a", "b"), ("c", "d")):
                before_us = connection.begin_nested()
                chats.handle("inbound", text(user=lose), connection=connection)
                before_us.rollback()
                chats.handle("inbound", text(user=keep), connection=connection)
                outer = connection.begin_nested()
                with connection.begin_nested():
                    chats.handle("inbound", text(user=lose), connection=connection)
                outer.rollback()

        assert told == ["a", "c"]

    def test_a_hook_that_fails_is_logged_and_stops_nobody(
        self, chats: ChatEngine, told: list[str | None], caplog: pytest.LogCaptureFixture
    ) -> None:
        @chats.after_commit
        def fail(_: HistoryRow) -> None:
            raise Boom

        more: list[str | None] = []
        chats.after_commit(lambda row: more.append(row.user_id))

        with caplog.at_level(logging.ERROR, "sermo_fsm"):
            receipt = chats.handle("outbound", text(agent=ANDERS))

        assert receipt.outcome == "moved"
        assert told == more == [USER]
        assert "an after_commit hook failed" in caplog.text

    def test_a_commit_that_fails_is_no_commit(
        self, chats: ChatEngine, url: str, told: list[str | None]
    ) -> None:
        strict = sa.create_engine(url)
        sa.event.listen(strict, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
        with strict.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE child (p INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)"
            )
            connection.commit()
            transaction = connection.begin()
            chats.handle("inbound", text(), connection=connection)
            connection.exec_driver_sql("INSERT INTO child VALUES (1)")
            with pytest.raises(sa.exc.IntegrityError):
                transaction.commit()
            transaction.rollback()
            connection.exec_driver_sql("ROLLBACK")  # SQLAlchemy leaves the driver's open
            assert told == []
            chats.handle("inbound", text(user="b"), connection=connection)
            connection.commit()
        strict.dispose()

        assert told == ["b"]

    def test_the_engines_own_connection_is_free_by_then(self, url: str) -> None:
        lonely = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
        chats = ChatEngine(lonely)
        chats.migrate()
        seen: list[str | None] = []

        @chats.after_commit
        def look(row: HistoryRow) -> None:
            session = chats.status(PLATFORM, USER)
            seen.append(f"{row.to_state} {session.state}" if session else None)

        chats.handle("inbound", text())
        lonely.dispose()

        assert seen == ["bot bot"]

    def test_a_hook_may_hand_in_events_itself(self, chats: ChatEngine) -> None:
        @chats.after_commit
        def answer(row: HistoryRow) -> None:
            if row.trigger == "customer_text":
                chats.handle("outbound", text("Svar", agent=ANDERS))

        chats.handle("inbound", text())

        status = chats.status(PLATFORM, USER)
        assert status is not None
        assert (status.state, status.rows) == ("with_agent", 2)
