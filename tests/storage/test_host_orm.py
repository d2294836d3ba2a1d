"""In the host's unit of work: an ORM Session is as good as a connection."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from sermo_fsm import ChatEngine, HistoryRow, InvalidArgument, MessageConflict, StoreError
from tests.hosting import Boom, Order, host_engine, in_the_database, watch
from tests.support import PLATFORM, USER, text


class Elsewhere(DeclarativeBase):
    pass


class Ticket(Elsewhere):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)


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


def test_the_hosts_objects_and_our_rows_are_one_unit_of_work(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    with Session(host) as session:
        session.add(Order(id=1))
        chats.handle("inbound", text(), connection=session)
        session.add(Order(id=2))
        assert told == []
        session.commit()

    assert told == [USER]
    assert in_the_database(host) == (2, 1)


def test_a_rollback_leaves_nothing_of_either(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    with Session(host) as session:
        session.add(Order(id=1))
        chats.handle("inbound", text(), connection=session)
        session.rollback()
        chats.handle("inbound", text(), connection=session)  # closed without a commit

    assert told == []
    assert in_the_database(host) == (0, 0)
    assert chats.status(PLATFORM, USER) is None


def test_a_session_that_begins_by_a_block(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    def fail_at_the_end() -> None:
        with Session(host) as session, session.begin():
            session.add(Order(id=2))
            chats.handle("inbound", text(user="b"), connection=session)
            raise Boom

    with sessionmaker(host).begin() as session:
        session.add(Order(id=1))
        chats.handle("inbound", text(user="a"), connection=session)
    with pytest.raises(Boom):
        fail_at_the_end()

    assert told == ["a"]
    assert in_the_database(host) == (1, 1)


def test_savepoints_of_the_session(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    with Session(host) as session, session.begin():
        with session.begin_nested():
            session.add(Order(id=1))
            chats.handle("inbound", text(user="a"), connection=session)
        savepoint = session.begin_nested()
        session.add(Order(id=2))
        chats.handle("inbound", text(user="b"), connection=session)
        savepoint.rollback()
        chats.handle("inbound", text(user="c"), connection=session)
        assert told == []

    assert told == ["a", "c"]
    assert in_the_database(host) == (1, 2)


def test_the_session_of_this_thread(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    current = scoped_session(sessionmaker(host))
    current.add(Order(id=1))
    chats.handle("inbound", text(), connection=current)
    status = chats.status(PLATFORM, USER, connection=current)
    assert status is not None
    assert told == []
    current.commit()
    chats.handle("inbound", text(), connection=current)
    current.remove()

    assert told == [USER]
    assert in_the_database(host) == (1, 1)


def test_a_session_on_a_connection_of_the_hosts_waits_for_that(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    with host.connect() as connection, connection.begin():
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.add(Order(id=1))
            chats.handle("inbound", text(user="a"), connection=session)
            session.commit()
            chats.handle("inbound", text(user="b"), connection=session)
            session.rollback()
        assert told == []

    assert told == ["a"]
    assert in_the_database(host) == (1, 1)


def test_a_call_of_ours_is_a_savepoint_and_nothing_else(chats: ChatEngine, host: sa.Engine) -> None:
    seen = watch(host)
    with Session(host) as session, session.begin():
        session.add(Order(id=1))
        session.flush()
        session.add(Order(id=2))
        seen.clear()
        chats.handle("inbound", text("ett"), message_id="m", connection=session)
        with pytest.raises(MessageConflict):
            chats.handle("inbound", text("två"), message_id="m", connection=session)
        assert [word for word in seen if word.islower()] == [
            *("savepoint", "release_savepoint"),
            *("savepoint", "rollback_savepoint"),
        ]
        assert {word for word in seen if word.isupper()} <= {"SAVEPOINT", "RELEASE", "ROLLBACK TO"}

    assert in_the_database(host) == (2, 1)


def test_after_a_failed_event_the_unit_of_work_goes_on(
    chats: ChatEngine, host: sa.Engine, told: list[str | None]
) -> None:
    @chats.within_transaction
    def refuse(row: HistoryRow, connection: sa.Connection) -> None:
        if row.user_id == "b":
            connection.execute(sa.insert(Order).values(id=1))

    with Session(host) as session:
        session.add(Order(id=1))
        session.flush()
        chats.handle("inbound", text(user="a"), connection=session)
        with pytest.raises(sa.exc.IntegrityError):
            chats.handle("inbound", text(user="b"), connection=session)
        session.add(Order(id=3))
        session.commit()

    assert told == ["a"]
    assert in_the_database(host) == (2, 1)


def test_a_session_whose_flush_has_failed_is_a_typed_error(
    chats: ChatEngine, host: sa.Engine
) -> None:
    with Session(host) as session:
        session.add(Order(id=1))
        session.flush()
        session.expunge_all()
        session.add(Order(id=1))
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()
        with pytest.raises(StoreError, match="PendingRollbackError"):
            chats.handle("inbound", text(), connection=session)
        session.rollback()
        chats.handle("inbound", text(), connection=session)
        session.commit()

    assert in_the_database(host) == (0, 1)


def test_a_session_that_is_bound_to_nothing_or_to_several_is_refused_in_words(
    chats: ChatEngine, host: sa.Engine
) -> None:
    other = sa.create_engine("sqlite://")
    with other.connect() as elsewhere:
        several: dict[Any, Any] = {Order: host, Ticket: elsewhere}
        for session in (Session(), Session(binds=several), scoped_session(sessionmaker())):
            with pytest.raises(InvalidArgument, match="bound to one engine"):
                chats.handle("inbound", text(), connection=session)
            with pytest.raises(InvalidArgument, match="bound to one engine"):
                chats.status(PLATFORM, USER, connection=session)
            session.close()
        with Session(binds=several) as session:  # the connection that is meant is good
            ours = session.connection({"mapper": Order})
            chats.handle("inbound", text(), connection=ours)
            session.commit()
    other.dispose()

    assert in_the_database(host) == (0, 1)
