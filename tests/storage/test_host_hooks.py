"""Hooks: part of the transaction, or told once the outermost one is durable.

Long, because there are many ways to end a transaction.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sermo_fsm import ChatEngine, CommitUnknown, HistoryRow
from tests.hosting import Boom, Order, host_engine, in_the_database, order
from tests.support import ANDERS, PLATFORM, USER, at, event, text


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    with host_engine(kind_url) as engine:
        yield engine


@pytest.fixture
def chats(host: sa.Engine) -> ChatEngine:
    return ChatEngine(host)


@pytest.fixture
def told(chats: ChatEngine) -> list[str | None]:
    told: list[str | None] = []
    chats.after_commit(lambda row: told.append(row.user_id))
    return told


class TestWithinTransaction:
    def test_sees_every_row_and_the_connection(self, chats: ChatEngine, host: sa.Engine) -> None:
        seen: list[tuple[str | None, int]] = []

        @chats.within_transaction
        def note(row: HistoryRow, connection: sa.Connection) -> None:
            count = connection.execute(sa.text("SELECT count(*) FROM sermo_history")).scalar_one()
            seen.append((row.type, count))
            connection.execute(order(row.id or 0))

        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("inbound", event("heartbeat"), received_at=at(1))
        chats.handle("inbound", text(), received_at=at(9999))

        assert seen == [("text", 1), (None, 3), ("text", 3)]
        assert in_the_database(host) == (3, 3)

    def test_is_shown_the_hosts_own_connection(self, chats: ChatEngine, host: sa.Engine) -> None:
        seen: list[sa.Connection] = []
        chats.within_transaction(lambda _, connection: seen.append(connection))

        with host.begin() as connection:
            chats.handle("inbound", text(), connection=connection)
            assert seen == [connection]
        with Session(host) as session:
            chats.handle("inbound", text(), connection=session)
            assert seen[1:] == [session.connection()]

    def test_raising_undoes_the_event(self, chats: ChatEngine, host: sa.Engine) -> None:
        @chats.within_transaction
        def refuse(row: HistoryRow, connection: sa.Connection) -> None:
            connection.execute(order(row.id or 0))
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
            connection.execute(order(1))
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
            connection.execute(order(1))
            connection.execute(order(1))

        with pytest.raises(sa.exc.IntegrityError):
            chats.handle("inbound", text())
        with host.begin() as connection:
            connection.execute(order(2))
            with pytest.raises(sa.exc.IntegrityError):
                chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (1, 0)

    def test_a_hook_may_work_in_a_savepoint_of_its_own(
        self, chats: ChatEngine, host: sa.Engine
    ) -> None:
        @chats.within_transaction
        def note(row: HistoryRow, connection: sa.Connection) -> None:
            connection.execute(order(row.id or 0))
            with suppress(sa.exc.IntegrityError), connection.begin_nested():
                connection.execute(order(row.id or 0))

        chats.handle("inbound", text())
        with host.begin() as connection:
            chats.handle("inbound", text(), connection=connection)

        assert in_the_database(host) == (2, 2)

    def test_a_sweep_has_rows_too(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        seen: list[str | None] = []
        chats.within_transaction(lambda row, _: seen.append(row.reason))
        chats.after_commit(lambda row: seen.append(row.reason))

        chats.sweep(at(9999))

        assert seen == ["idle", "idle"]


def by_begin(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with host.begin() as connection:
        work(connection)


def by_commit(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with host.connect() as connection:
        work(connection)
        connection.commit()


def by_a_transaction(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with host.connect() as connection:
        transaction = connection.begin()
        work(connection)
        transaction.commit()


def with_options(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with host.execution_options(logging_token="host").connect() as connection:  # noqa: S106 - of a log
        work(connection.execution_options(isolation_level="SERIALIZABLE"))
        connection.execution_options(stream_results=False).commit()


def by_a_session(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with Session(host) as session:
        work(session.connection(execution_options={"isolation_level": "SERIALIZABLE"}))
        session.commit()


def by_a_session_on_a_connection(host: sa.Engine, work: Callable[[sa.Connection], object]) -> None:
    with host.connect() as connection, Session(connection) as session, session.begin():
        work(session.connection())


class TestAfterCommit:
    def test_comes_once_the_row_is_durable(self, chats: ChatEngine, host: sa.Engine) -> None:
        durable: list[tuple[int, int]] = []
        chats.after_commit(lambda _: durable.append(in_the_database(host)))

        chats.handle("inbound", text())
        with host.begin() as connection:
            connection.execute(order(1))
            chats.handle("inbound", text(), connection=connection)

        assert durable == [(0, 1), (1, 2)]

    @pytest.mark.parametrize(
        "way",
        [
            *(by_begin, by_commit, by_a_transaction, with_options),
            *(by_a_session, by_a_session_on_a_connection),
        ],
    )
    def test_however_the_host_commits(
        self,
        way: Callable[[sa.Engine, Callable[[sa.Connection], object]], None],
        chats: ChatEngine,
        host: sa.Engine,
        told: list[str | None],
    ) -> None:
        def work(connection: sa.Connection) -> None:
            chats.handle("inbound", text(user="a"), connection=connection)
            chats.handle("inbound", text(user="b"), connection=connection)
            assert told == []

        way(host, work)

        assert told == ["a", "b"]
        assert in_the_database(host) == (0, 2)

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

    def test_a_connection_is_used_for_one_transaction_after_the_other(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            for user in "abc":
                chats.handle("inbound", text(user=user), connection=connection)
                connection.commit()
                assert told[-1] == user
                chats.handle("inbound", text(user="nobody"), connection=connection)
                connection.rollback()
                connection.commit()
            connection.execute(order(1))
            connection.commit()

        assert told == ["a", "b", "c"]

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

    def test_forgets_what_was_on_a_connection_that_is_closed(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        for end in (sa.Connection.close, sa.Connection.invalidate):
            with host.connect() as connection:
                chats.handle("inbound", text(), connection=connection)
                end(connection)
        with host.begin() as connection:
            connection.execute(order(1))

        assert told == []

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

    def test_is_not_told_of_an_event_that_a_hook_has_undone(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        @chats.within_transaction
        def refuse(row: HistoryRow, _: sa.Connection) -> None:
            if row.user_id == "b":
                raise Boom

        with host.begin() as connection:
            for user in "abc":
                with suppress(Boom):
                    chats.handle("inbound", text(user=user), connection=connection)

        assert told == ["a", "c"]

    def test_a_hook_that_fails_is_logged_and_stops_nobody(
        self,
        chats: ChatEngine,
        host: sa.Engine,
        told: list[str | None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        @chats.after_commit
        def fail(_: HistoryRow) -> None:
            raise Boom

        more: list[str | None] = []
        chats.after_commit(lambda row: more.append(row.user_id))

        with caplog.at_level(logging.ERROR, "sermo_fsm"):
            receipt = chats.handle("outbound", text(agent=ANDERS))
            with host.begin() as connection:
                chats.handle("outbound", text(agent=ANDERS), connection=connection)

        assert receipt.outcome == "moved"
        assert told == more == [USER, USER]
        assert [record.message for record in caplog.records] == [
            "an after_commit hook failed",
            "an after_commit hook failed",
        ]

    def test_the_engines_own_connection_is_free_by_then(self, kind_url: sa.URL) -> None:
        lonely = sa.create_engine(kind_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
        chats = ChatEngine(lonely)
        seen: list[str | None] = []

        @chats.after_commit
        def look(row: HistoryRow) -> None:
            session = chats.status(PLATFORM, USER)
            seen.append(f"{row.to_state} {session.state}" if session else None)

        chats.handle("inbound", text())
        lonely.dispose()

        assert seen == ["bot bot"]

    def test_a_hook_may_hand_in_events_itself(self, chats: ChatEngine, host: sa.Engine) -> None:
        @chats.after_commit
        def answer(row: HistoryRow) -> None:
            if row.trigger == "customer_text":
                chats.handle("outbound", text("Svar", row.user_id or "", agent=ANDERS))

        chats.handle("inbound", text(user="a"))
        with host.begin() as connection:
            chats.handle("inbound", text(user="b"), connection=connection)

        for user in "ab":
            status = chats.status(PLATFORM, user)
            assert status is not None
            assert (status.state, status.rows) == ("with_agent", 2)

    def test_a_hook_may_hand_in_events_in_a_transaction_of_the_hosts(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        @chats.after_commit
        def answer(row: HistoryRow) -> None:
            if row.trigger == "customer_text":
                with host.begin() as another:
                    another.execute(order(1))
                    answer = text("Svar", "b", agent=ANDERS)
                    chats.handle("outbound", answer, connection=another)

        with host.begin() as connection:
            chats.handle("inbound", text(user="a"), connection=connection)

        assert told == ["a", "b"]
        assert in_the_database(host) == (1, 2)


class TestSavepointsOfSqlText:
    @pytest.mark.parametrize("before", [None, "a"])
    @pytest.mark.parametrize(
        "rollback", ["ROLLBACK TO {}", "/* why */ rollback\ntransaction to savepoint {} -- because"]
    )
    def test_forgets_what_one_took_back(
        self,
        rollback: str,
        before: str | None,
        kind: str,
        chats: ChatEngine,
        host: sa.Engine,
        told: list[str | None],
    ) -> None:
        name = "`Mine`" if kind == "mysql" else '"Mine"'
        if kind == "mysql":
            rollback = rollback.replace("transaction", "work")
        with host.begin() as connection:
            if before is not None:  # we have not seen this connection otherwise
                chats.handle("inbound", text(user=before), connection=connection)
            connection.execute(sa.text(f"SAVEPOINT {name}"))
            chats.handle("inbound", text(user="lost"), connection=connection)
            with connection.begin_nested():
                chats.handle("inbound", text(user="lost too"), connection=connection)
            connection.execute(sa.text(rollback.format(name)))
            chats.handle("inbound", text(user="b"), connection=connection)

        assert told == [*filter(None, [before]), "b"]
        assert in_the_database(host) == (0, len(told))

    def test_forgets_nothing_that_one_released(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.begin() as connection:
            chats.handle("inbound", text(user="a"), connection=connection)
            connection.execute(sa.text("SAVEPOINT one"))
            chats.handle("inbound", text(user="b"), connection=connection)
            connection.execute(sa.text("SAVEPOINT two"))
            connection.execute(sa.text("RELEASE SAVEPOINT two"))
            connection.execute(sa.text("SAVEPOINT one"))
            chats.handle("inbound", text(user="lost"), connection=connection)
            connection.execute(sa.text("ROLLBACK TO SAVEPOINT one"))
            connection.execute(sa.text("RELEASE SAVEPOINT one"))

        assert told == ["a", "b"]
        assert in_the_database(host) == (0, 2)

    def test_forgets_all_when_sql_text_rolls_back(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            chats.handle("inbound", text(user="lost"), connection=connection)
            connection.execute(sa.text("ROLLBACK"))
            connection.commit()

        assert told == []
        assert in_the_database(host) == (0, 0)


def by_sql_text(connection: sa.Connection) -> None:
    connection.execute(sa.text("COMMIT"))


def by_the_driver(connection: sa.Connection) -> None:
    connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]  # it is connected


def by_more_than_that(connection: sa.Connection) -> None:
    connection.commit()
    connection.execute(order(1))


class TestAHookThatEndsTheTransaction:
    @pytest.mark.parametrize(
        ("end", "written"),
        [
            *((sa.Connection.commit, True), (by_sql_text, True), (by_the_driver, True)),
            *((by_more_than_that, True), (sa.Connection.rollback, False)),
        ],
    )
    def test_is_not_told_that_nothing_is_written(
        self,
        end: Callable[[sa.Connection], None],
        written: bool,  # noqa: FBT001 - a parameter of the test
        chats: ChatEngine,
        host: sa.Engine,
        told: list[str | None],
    ) -> None:
        chats.within_transaction(lambda _, connection: end(connection))

        with pytest.raises(CommitUnknown, match="hook has ended"):
            chats.handle("inbound", text())
        assert in_the_database(host) == (0, written)
        with host.connect() as connection:
            with pytest.raises(CommitUnknown, match="hook has ended"):
                chats.handle("inbound", text(user="b"), connection=connection)
            connection.rollback()
            connection.commit()

        assert told == []
        assert in_the_database(host) == (0, 2 * written)

    @pytest.mark.service
    @pytest.mark.parametrize("kind", ["mysql"], indirect=True)
    def test_nor_by_a_statement_that_commits(
        self, kind: str, chats: ChatEngine, host: sa.Engine
    ) -> None:
        assert kind == "mysql"

        @chats.within_transaction
        def hook(_: HistoryRow, connection: sa.Connection) -> None:
            connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")

        with pytest.raises(CommitUnknown, match="hook has ended"):
            chats.handle("inbound", text())
        assert in_the_database(host) == (0, 1)


DEFERRED = {
    "sqlite": "CREATE TABLE child (p INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)",
    "postgresql": "CREATE TABLE child (p INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)",
}


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)], indirect=True
)
def test_a_commit_that_fails_is_no_commit(
    kind: str, chats: ChatEngine, kind_url: sa.URL, told: list[str | None]
) -> None:
    strict = sa.create_engine(kind_url)
    if kind == "sqlite":
        sa.event.listen(strict, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    with strict.connect() as connection:
        connection.exec_driver_sql(DEFERRED[kind])
        connection.commit()
        transaction = connection.begin()
        chats.handle("inbound", text(), connection=connection)
        connection.exec_driver_sql("INSERT INTO child VALUES (1)")
        with pytest.raises(sa.exc.IntegrityError):
            transaction.commit()
        transaction.rollback()
        if kind == "sqlite":
            connection.exec_driver_sql("ROLLBACK")  # SQLAlchemy leaves the driver's open
        assert told == []
        chats.handle("inbound", text(user="b"), connection=connection)
        connection.commit()
    strict.dispose()

    assert told == ["b"]


@pytest.mark.service
@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
def test_a_deadlock_that_the_host_hides_is_no_commit(
    kind: str, chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    """MariaDB takes back the whole transaction, and lets the next one begin in silence."""
    assert kind == "mysql"

    def touch(number: int) -> sa.Update:
        return sa.update(Order).where(Order.id == number).values(id=number + 10_000)

    with host.begin() as connection:
        connection.execute(order(1))
        connection.execute(order(2))
    with host.connect() as ours, host.connect() as other, ThreadPoolExecutor(1) as thread:
        chats.handle("inbound", text(user="a"), connection=ours)
        ours.execute(touch(1))
        other.execute(touch(2))
        # Whoever has written less is the victim.
        other.execute(sa.insert(Order), [{"id": number} for number in range(10, 400)])
        waiting = thread.submit(other.execute, touch(1))
        with pytest.raises(sa.exc.OperationalError, match="1213"):
            ours.execute(touch(2))
        waiting.result()
        other.rollback()
        chats.handle("inbound", text(user="b"), connection=ours)
        ours.commit()

    assert told == ["b"]
    assert chats.status(PLATFORM, "a") is None
    assert in_the_database(host) == (2, 1)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_nor_is_a_full_disk_that_the_host_hides(
    kind: str, chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    assert kind == "sqlite"
    with host.connect() as connection:
        chats.handle("inbound", text(user="a"), connection=connection)
        connection.rollback()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.commit()
        chats.handle("inbound", text(user="b"), connection=connection)
        with pytest.raises(sa.exc.OperationalError, match="full"):
            connection.execute(sa.insert(Order), [{"id": number} for number in range(100_000)])
        connection.commit()
        connection.invalidate()

    assert told == []
    assert in_the_database(host) == (0, 0)


@pytest.mark.service
class TestTwoPhases:
    """Of the databases here MariaDB has them without being told; PostgreSQL has to be told."""

    @pytest.fixture
    def kind(self) -> str:
        return "mysql"

    def test_after_the_second(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin_twophase()
            connection.execute(order(1))
            chats.handle("inbound", text(user="a"), connection=connection)
            transaction.prepare()
            assert told == []
            transaction.commit()
            assert told == ["a"]

        assert in_the_database(host) == (1, 1)

    @pytest.mark.parametrize("phase", ["first", "second"])
    def test_never_after_a_rollback(
        self, phase: str, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with host.connect() as connection:
            transaction = connection.begin_twophase()
            chats.handle("inbound", text(user="a"), connection=connection)
            if phase == "second":
                transaction.prepare()
            transaction.rollback()
            connection.execute(order(1))
            connection.commit()

        assert told == []
        assert in_the_database(host) == (1, 0)

    def test_in_an_orm_session(
        self, chats: ChatEngine, host: sa.Engine, told: list[str | None]
    ) -> None:
        with Session(host, twophase=True) as session:
            with session.begin_nested():
                chats.handle("inbound", text(user="a"), connection=session)
            session.commit()
            chats.handle("inbound", text(user="b"), connection=session)
            session.rollback()

        assert told == ["a"]
        assert in_the_database(host) == (0, 1)
