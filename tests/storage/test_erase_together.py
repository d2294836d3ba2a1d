"""Erasing while others write, on servers: who waits for whom, and who does not."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, LostRace, Outcome, StoreBusy
from tests.databases import dump
from tests.erased import PIXEL, erased, play
from tests.support import PLATFORM, USER, at, event, text

WAITING: Final = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx"
    " JOIN information_schema.processlist ON id = trx_mysql_thread_id"
    " WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()",
}


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.service) for kind in WAITING])
def kind(request: pytest.FixtureRequest) -> str:
    """Those that have several writers at once."""
    name: str = request.param
    return name


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(kind_url, isolation_level="READ COMMITTED")
    yield engine
    engine.dispose()


@pytest.fixture
def chats(host: sa.Engine) -> ChatEngine:
    """On the connections of a host."""
    return ChatEngine(host)


def beside(
    host: sa.Engine, kind: str, first: Callable[[sa.Connection], Any], then: Callable[[], Any]
) -> Any:
    """Do one thing in a transaction that is open until the other one waits for it."""
    watcher = sa.create_engine(host.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def is_waiting() -> bool:
        with watcher.connect() as connection:
            return bool(connection.exec_driver_sql(WAITING[kind]).scalar_one())

    with ThreadPoolExecutor(1) as pool:
        with host.begin() as connection:
            first(connection)
            waiting: Future[Any] = pool.submit(then)
            while not is_waiting():
                # What InnoDB says is renewed only if it was not asked for a tenth of a second.
                assert not wait([waiting], timeout=0.2).done
        return waiting.result()


def test_erasing_waits_for_what_is_just_being_written(
    chats: ChatEngine, host: sa.Engine, kind: str
) -> None:
    play(chats)
    late = event("system_text", text="marked")

    def write(connection: sa.Connection) -> None:
        receipt = chats.handle("outbound", late, received_at=at(500), connection=connection)
        assert receipt.outcome is Outcome.LATE

    receipt = erased(beside(host, kind, write, lambda: chats.erase(PLATFORM, USER)))
    assert (receipt.rows, receipt.bodies) == (11, 12)
    assert dump(host)["sermo_body"] == []
    assert chats.verify().ok


def test_who_writes_waits_for_erasing_and_begins_anew(
    chats: ChatEngine, host: sa.Engine, kind: str
) -> None:
    play(chats)
    late = event("system_text", text="late"), text("Hej igen")

    def write() -> list[Outcome]:
        return [
            one.outcome
            for one in chats.handle_many(
                [{"direction": "inbound", "event": late[1], "receivedAt": at(500).isoformat()}]
            )
        ]

    outcomes = beside(
        host, kind, lambda connection: chats.erase(PLATFORM, USER, connection=connection), write
    )
    assert outcomes == [Outcome.MOVED]
    session = chats.status(PLATFORM, USER)
    assert session is not None
    assert (session.ordinal, session.rows) == (1, 1)
    assert chats.verify().ok


def test_a_picture_that_comes_while_it_is_erased_is_there_afterwards(
    chats: ChatEngine, host: sa.Engine, kind: str
) -> None:
    play(chats)
    with_picture = text("Hej", "beata", image=PIXEL)
    receipt = beside(
        host,
        kind,
        lambda connection: chats.erase(PLATFORM, USER, connection=connection),
        lambda: chats.handle("inbound", with_picture, received_at=at(500)),
    )
    assert receipt.outcome is Outcome.MOVED
    assert len(dump(host)["sermo_image"]) == 1
    assert chats.verify().ok


def test_erasing_waits_for_a_picture_that_is_just_being_sent(
    chats: ChatEngine, host: sa.Engine, kind: str
) -> None:
    play(chats)
    with_picture = text("Hej", "beata", image=PIXEL)

    def send(connection: sa.Connection) -> None:
        chats.handle("inbound", with_picture, received_at=at(500), connection=connection)

    receipt = erased(beside(host, kind, send, lambda: chats.erase(PLATFORM, USER)))
    assert receipt.pictures == 0
    assert len(dump(host)["sermo_image"]) == 1
    assert chats.verify().ok


def test_others_write_while_somebody_is_erased(chats: ChatEngine, host: sa.Engine) -> None:
    play(chats)
    with host.begin() as connection:
        assert chats.erase(PLATFORM, USER, connection=connection)
        opened = chats.handle("inbound", text("Hej", "beata"), received_at=at(500))
        assert opened.outcome is Outcome.MOVED


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_host_who_sees_an_older_state_erases_all_or_nothing(
    kind_url: sa.URL, isolation: str
) -> None:
    """MariaDB's locking reads see what is new; PostgreSQL refuses."""
    strict = sa.create_engine(kind_url, isolation_level=isolation, pool_size=2)
    with ChatEngine(kind_url) as others:
        play(others)
        chats = ChatEngine(strict)
        with suppress(LostRace, StoreBusy), strict.begin() as connection:
            connection.execute(sa.text("SELECT count(*) FROM sermo_image")).all()
            late = event("system_text", text="marked")
            if isolation == "REPEATABLE READ":  # else it would wait for us
                others.handle("outbound", late, received_at=at(500))
            assert chats.erase(PLATFORM, USER, connection=connection)
        left = dump(strict)["sermo_body"]
        assert (left == []) is (others.status(PLATFORM, USER) is None)
        assert others.verify().ok
    strict.dispose()
