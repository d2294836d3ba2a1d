"""Servers that crash, are out of room, or are full of people: nothing half-written, and on it goes.

These servers are the tests' own. Long, because each kind of server breaks in its own way.
"""

import random
import re
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import event as sa_event

from sermo_fsm import (
    ChatEngine,
    CommitUnknown,
    HistoryRow,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from tests.command.test_cli_support import traffic
from tests.databases import a_database, migrate
from tests.doors import open_door
from tests.faults import SERVED, WRITTEN, check, hand_in, in_order, plain_engine, story
from tests.servers import PASSWORD, Server, a_folder, a_server, fill, small_disk, wait_until
from tests.support import PLATFORM, USER, envelope, text

LINES = 240
BATCH = 40


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Those that were started; one of each kind for a process."""
    with ExitStack() as stack:

        class Started(dict[str, Server]):
            def __missing__(self, kind: str) -> Server:
                folder = stack.enter_context(a_folder())
                self[kind] = stack.enter_context(a_server(kind, folder))
                return self[kind]

        yield Started()


@pytest.fixture(params=SERVED)
def door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(door: str, servers: dict[str, Server]) -> Server:
    return servers[door.removesuffix("-async")]


@pytest.fixture
def url(server: Server) -> sa.URL:
    """A database on it, with our tables. It goes with the server."""
    name = f"sermo_test_{uuid.uuid4().hex}"
    with server.admin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = server.url(name)
    migrate(url)
    return url


@cache
def once() -> dict[str, Any]:
    """What the traffic comes to, where nothing goes wrong."""
    database = f"sqlite:///file:{uuid.uuid4()}?vfs=memdb&uri=true"
    with ChatEngine(database) as chats:
        chats.migrate()
        chats.handle_many(traffic(LINES))
        return everything_in(chats)


def everything_in(chats: ChatEngine) -> dict[str, Any]:
    # A quiet event that is handed in again may be noted in a chat that opened since.
    noted = dict.fromkeys(("last_seen_at", "last_read_at", "customer_typed_at", "typing_on_at"))
    return {
        session.session_id: (
            replace(session, **noted),
            [in_short(row) for row in chats.history(session.session_id)],
        )
        for session in chats.sessions()
    }


def in_short(row: HistoryRow) -> tuple[Any, ...]:
    return row.seq, row.message_id, row.outcome, row.from_state, row.to_state, row.event


def batches() -> Iterator[list[str]]:
    lines = list(traffic(LINES))
    return (lines[start : start + BATCH] for start in range(0, LINES, BATCH))


# --- the server restarts ------------------------------------------------------------------------


def test_a_crash_between_calls_is_unavailable_until_it_is_up_again(
    door: str, server: Server, url: sa.URL
) -> None:
    with open_door(door, url) as chats:
        assert hand_in(chats, "handle", story("anna")) == WRITTEN
        server.crash()
        try:
            for _ in range(3):  # the first time there is still a connection in the pool
                with pytest.raises(StoreUnavailable, match="can't be reached") as caught:
                    hand_in(chats, "handle_many", story("bert"))
                assert PASSWORD not in words_of(caught.value)
                with pytest.raises(StoreUnavailable):
                    chats.status(PLATFORM, "anna")
        finally:
            server.start()
        check(chats, "anna")
        assert in_order(chats, "bert") == []
        assert hand_in(chats, "handle_many", story("bert")) == WRITTEN
        check(chats, "bert")
        assert chats.verify().ok


def words_of(error: BaseException) -> str:
    """All that a log would show of it, with what it came from."""
    return "".join(traceback.format_exception(error))


def test_a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it(
    door: str, server: Server, url: sa.URL
) -> None:
    with open_door(door, url) as chats:
        crashes = set(range(0, LINES // BATCH, 2))
        number = 0

        @chats.within_transaction
        def crash(_: HistoryRow, __: object) -> None:
            if number in crashes:
                crashes.remove(number)
                server.crash()

        for number, batch in enumerate(batches()):
            if number in crashes:
                before = everything_in(chats)
                with pytest.raises(StoreUnavailable):
                    chats.handle_many(batch)
                server.start()
                assert everything_in(chats) == before
            chats.handle_many(batch)
        assert not crashes
        assert everything_in(chats) == once()
        assert chats.verify().ok


def test_a_restart_is_survived_by_those_who_try_again(
    door: str, server: Server, url: sa.URL
) -> None:
    """As a worker does it: what raised is handed in again, with its message ids."""
    over = threading.Event()

    def restart() -> None:
        server.crash()
        server.start()
        server.stop()
        server.start()
        over.set()

    restarting = threading.Thread(target=restart)
    with open_door(door, url) as chats:
        restarting.start()
        while not over.is_set():
            for batch in batches():
                try_until_it_is_in(chats, batch)
        restarting.join(60)
        for batch in batches():
            try_until_it_is_in(chats, batch)
        assert everything_in(chats) == once()
        assert chats.verify().ok


def try_until_it_is_in(chats: ChatEngine, batch: list[str]) -> None:
    while True:
        with suppress(StoreUnavailable, CommitUnknown):
            chats.handle_many(batch)
            return


# --- no room ------------------------------------------------------------------------------------


def big(user: str) -> list[dict[str, Any]]:
    """A chat that takes room, and can't be compressed."""
    chance = random.Random(user)  # noqa: S311 - the same every time is what is wanted
    return [
        envelope("inbound", text(chance.randbytes(5000).hex(), user), number, f"{user}-{number}")
        for number in range(20)
    ]


NO_ROOM = {
    "sqlite": "database or disk is full",
    "postgresql": "No space left on device",
    "mysql": "The table '.*' is full",
}


@pytest.fixture(params=["sqlite", "sqlite-async", *SERVED])
def any_door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Room = Callable[[], object]


@contextmanager
def no_room(kind: str, servers: dict[str, Server]) -> Iterator[tuple[sa.URL, Room, Room]]:
    """A database, what fills up all that it has, and what makes room again."""
    with ExitStack() as stack:
        folder = stack.enter_context(a_folder())
        if kind == "mysql":
            # On a disk that is full this server gives up. Its tablespace can be full as well.
            space = "--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:48M"
            server = stack.enter_context(a_server(kind, folder, *space))

            def full() -> None:
                with server.admin() as admin, suppress(sa.exc.OperationalError):
                    admin.exec_driver_sql("CREATE TABLE chats.filler (x LONGBLOB) ENGINE=InnoDB")
                    while True:
                        admin.exec_driver_sql("INSERT INTO chats.filler VALUES (SPACE(100000))")

            def more() -> None:
                server.stop()
                server.options = space[0], f"{space[1]};ibdata2:48M"
                server.start()

            with server.admin() as admin:
                admin.exec_driver_sql("CREATE DATABASE chats")
            yield server.url("chats"), full, more
            return
        disk = stack.enter_context(small_disk(folder, 32))
        if kind == "sqlite":
            yield sa.make_url(f"sqlite:///{disk / 'chats.db'}"), lambda: fill(disk), filler(disk)
            return
        name = f"sermo_test_{uuid.uuid4().hex}"
        servers[kind].give(disk)
        with servers[kind].admin() as admin:
            admin.exec_driver_sql(f"CREATE TABLESPACE {name} LOCATION '{disk}'")
            admin.exec_driver_sql(f"CREATE DATABASE {name} TABLESPACE {name}")
        yield servers[kind].url(name), lambda: fill(disk), filler(disk)
        with servers[kind].admin() as admin:
            admin.exec_driver_sql(f"DROP DATABASE {name}")
            admin.exec_driver_sql(f"DROP TABLESPACE {name}")


def filler(disk: Path) -> Room:
    """Takes away what fills the disk."""
    return (disk / "filler").unlink


@pytest.mark.service
def test_where_there_is_no_room_nothing_is_written_until_there_is(
    any_door: str, servers: dict[str, Server]
) -> None:
    kind = any_door.removesuffix("-async")
    with no_room(kind, servers) as (url, take_room, make_room):
        migrate(url)
        with open_door(any_door, url) as chats:
            assert hand_in(chats, "handle_many", story(USER)) == WRITTEN
            take_room()
            user = write_until_it_refuses(chats, NO_ROOM[kind])
            make_room()
            go_on(chats, user)


def write_until_it_refuses(chats: ChatEngine, words: str) -> str:
    """Until there is no room for somebody; who that is."""
    for number in range(1000):
        user = f"user-{number}"
        try:
            chats.handle_many(big(user))
        except StoreError as error:
            assert type(error) is StoreError  # noqa: PT017 - some users come before
            assert re.search(words, str(error))  # noqa: PT017 - likewise
            break
    else:
        pytest.fail("there is room without end")
    return user


def go_on(chats: ChatEngine, user: str) -> None:
    """There is room again. Only now it is read: for that, too, a full server may have to write."""
    assert in_order(chats, user) == []
    check(chats, USER)
    assert chats.verify().ok
    receipts = chats.handle_many(big(user))
    assert [receipt.outcome for receipt in receipts] == ["moved", *["stayed"] * 19]
    assert len(in_order(chats, user)) == 20
    assert chats.verify().ok


@pytest.mark.parametrize("door", ["sqlite", "sqlite-async"], indirect=True)
def test_a_file_that_may_not_grow_is_a_full_disk(door: str, tmp_path: Path) -> None:
    """What can be had without the right to mount a disk."""
    with a_database("sqlite", tmp_path, migrated=True) as url, open_door(door, url) as chats:
        assert hand_in(chats, "handle_many", story(USER)) == WRITTEN
        pages = 10**9

        def limit(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").all()

        sa_event.listen(plain_engine(chats), "begin", limit)
        pages = 400
        user = write_until_it_refuses(chats, NO_ROOM["sqlite"])
        pages = 10**9
        go_on(chats, user)


def test_where_the_whole_server_has_no_room_nothing_is_lost_once_it_has(door: str) -> None:
    """The log too. These servers may give up then; once there is room they can be started."""
    kind = door.removesuffix("-async")
    size = {"postgresql": 96, "mysql": 192}[kind]
    with (
        a_folder() as folder,
        small_disk(folder, size) as disk,
        a_server(kind, disk) as server,
    ):
        with server.admin() as connection:
            connection.exec_driver_sql("CREATE DATABASE chats")
        migrate(server.url("chats"))
        with open_door(door, server.url("chats")) as chats:
            assert hand_in(chats, "handle_many", story(USER)) == WRITTEN
            filling = fill(disk)
            handed_in = []
            with pytest.raises(StoreError):  # noqa: PT012 - until it does
                for number in range(1000):
                    handed_in.append(f"user-{number}")
                    chats.handle_many(big(handed_in[-1]))
            filling.unlink()
            server.start()
            for user in handed_in:
                chats.handle_many(big(user))
                assert len(in_order(chats, user)) == 20
            check(chats, USER)
            assert chats.verify().ok


# --- too many -----------------------------------------------------------------------------------


def test_where_everybody_is_connected_already_one_is_told_and_may_try_again(
    door: str, server: Server, url: sa.URL
) -> None:
    others = sa.create_engine(server.url(server.home), poolclass=sa.NullPool)
    crowd: list[sa.Connection] = []
    with ExitStack() as stack, open_door(door, url, attempts=2) as chats:
        try:
            while True:
                crowd.append(stack.enter_context(others.connect()))
        except sa.exc.OperationalError:
            assert len(crowd) > 10
        with pytest.raises((StoreBusy, StoreUnavailable), match=r"(?i)too many") as caught:
            hand_in(chats, "handle_many", story(USER))
        assert PASSWORD not in words_of(caught.value)
        crowd.pop().close()
        wait_until(lambda: succeeds(chats), "there is room for one")
        assert hand_in(chats, "handle_many", story(USER)) == WRITTEN
        check(chats, USER)


def succeeds(chats: ChatEngine) -> bool:
    with suppress(StoreBusy, StoreUnavailable):
        chats.check_schema()
        return True
    return False
