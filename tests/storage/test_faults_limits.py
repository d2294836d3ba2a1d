"""What a server allows, and no longer allows: time-outs, and databases that are only to be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from sermo_fsm import ChatEngine, StoreBusy, StoreError, StoreUnavailable
from tests.databases import a_database
from tests.doors import open_door
from tests.faults import SERVED, WRITTEN, Heard, check, hand_in, in_order, plain_engine, story
from tests.servers import wait_until
from tests.support import PLATFORM, USER


@pytest.fixture(params=SERVED)
def door(request: pytest.FixtureRequest) -> str:
    """Those of servers."""
    name: str = request.param
    return name


def limited(url: sa.URL, **settings: str) -> sa.URL:
    """The same database, for connections that are held to something."""
    if url.get_backend_name() == "postgresql":
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return url.update_query_dict({"options": options})
    sets = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return url.update_query_dict({"init_command": f"SET SESSION {sets}"})


@contextmanager
def somebody_else_writes(url: sa.URL) -> Iterator[None]:
    """Meanwhile a transaction has all sessions locked."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT id FROM sermo_session FOR UPDATE")).all()
        yield
    engine.dispose()


LIMITS = {
    ("postgresql", "lock"): ("lock_timeout", "100ms", StoreBusy, "lock timeout"),
    ("postgresql", "statement"): ("statement_timeout", "100ms", StoreError, "statement timeout"),
    ("mysql", "lock"): ("innodb_lock_wait_timeout", "1", StoreBusy, "Lock wait timeout"),
    ("mysql", "statement"): ("max_statement_time", "0.1", StoreError, "max_statement_time"),
}


@pytest.mark.parametrize("what", ["lock", "statement"])
def test_a_time_out_is_a_typed_error_and_nothing_is_written(
    door: str, door_url: sa.URL, what: str
) -> None:
    name, value, error, words = LIMITS[door_url.get_backend_name(), what]
    host = limited(door_url, **{name: value})
    with open_door(door, host, attempts=2) as chats:
        heard = Heard(chats)
        assert hand_in(chats, "handle", story(USER)[:1]) == WRITTEN[:1]
        with somebody_else_writes(door_url), pytest.raises(StoreError, match=words) as caught:
            hand_in(chats, "handle_many", story(USER)[1:])
        assert type(caught.value) is error
        assert in_order(chats, USER) == [f"{USER}-1"]
        assert heard.of(USER) == 1
        assert hand_in(chats, "handle_many", story(USER)[1:]) == WRITTEN[1:]
        check(chats, USER)


@pytest.mark.parametrize("door", SERVED[:2], indirect=True)
def test_patience_that_the_url_asks_for_is_not_overruled(door: str, door_url: sa.URL) -> None:
    shown = []
    for url in (door_url, limited(door_url, lock_timeout="100ms")):
        with open_door(door, url) as chats:

            @sa_event.listens_for(plain_engine(chats), "begin")
            def show(connection: sa.Connection) -> None:
                shown.append(connection.exec_driver_sql("SHOW lock_timeout").scalar())

            hand_in(chats, "handle_many", story(USER)[:1])
    assert shown == ["30s", "100ms"]


@pytest.mark.parametrize(
    "door",
    [SERVED[0], pytest.param("postgresql-async", marks=[pytest.mark.service, pytest.mark.prove])],
    indirect=True,
)
def test_a_transaction_that_idles_for_too_long_is_done_again(door: str, door_url: sa.URL) -> None:
    # Long enough that a busy machine does not idle for it by itself: only the hook does.
    here = limited(door_url, idle_in_transaction_session_timeout="4s")
    watch = sa.create_engine(door_url, isolation_level="AUTOCOMMIT")
    mine = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    with open_door(door, here, attempts=2) as chats, watch.connect() as other:
        idle = 1

        @chats.within_transaction
        def dawdle(_: object, __: object) -> None:
            nonlocal idle
            if idle:
                idle -= 1
                wait_until(lambda: other.execute(mine).scalar() == 0, "the server has had enough")

        assert hand_in(chats, "handle_many", story(USER)[:1]) == WRITTEN[:1]
        idle = 2
        with pytest.raises(StoreUnavailable, match=r"^the database went away: "):
            hand_in(chats, "handle_many", story(USER)[1:2])
        assert idle == 0
        assert in_order(chats, USER) == [f"{USER}-1"]
        assert hand_in(chats, "handle_many", story(USER)[1:]) == WRITTEN[1:]
        check(chats, USER)
    watch.dispose()


READ_ONLY = {
    "postgresql": {"options": "-c default_transaction_read_only=on"},
    "mysql": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
}


def test_a_server_that_is_only_to_be_read_can_be_read(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url) as chats:
        hand_in(chats, "handle_many", story(USER))
    only_to_read = door_url.update_query_dict(READ_ONLY[door_url.get_backend_name()])
    with open_door(door, only_to_read) as chats:
        with pytest.raises(StoreError, match=r"^the database refused: .*(?i:read.only)") as caught:
            hand_in(chats, "handle_many", story("bert"))
        assert type(caught.value) is StoreError
        with pytest.raises(StoreError, match=r"^the database refused: "):
            chats.sweep()
        assert chats.status(PLATFORM, "bert") is None
        check(chats, USER)
        assert chats.verify().ok


def test_a_file_that_is_only_to_be_read_can_be_read(tmp_path: Path) -> None:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        with ChatEngine(url) as chats:
            hand_in(chats, "handle_many", story(USER))
        name = f"file:{url.database}?mode=ro&uri=true"
        with ChatEngine(f"sqlite:///{name}") as chats:
            with pytest.raises(StoreError, match=r"^the database refused: .*readonly") as caught:
                hand_in(chats, "handle_many", story("bert"))
            assert type(caught.value) is StoreError
            check(chats, USER)
            assert chats.verify().ok
