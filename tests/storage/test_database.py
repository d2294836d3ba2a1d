"""What every database sees to by itself, and what it says becomes; engines of the host's."""

import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import ChatEngine, InvalidArgument, LostRace, StoreBusy, StoreError
from sermo_fsm.storage.backends import mysql
from sermo_fsm.storage.schema import tables
from sermo_fsm.storage.store import Store
from tests.databases import a_database, async_url, dump, refuse_rows
from tests.doors import Blocking, open_door
from tests.support import PLATFORM, USER, at, text


def test_a_user_has_one_live_session_whoever_writes(chats: ChatEngine, database: sa.Engine) -> None:
    chats.handle("inbound", text(), received_at=at(0))
    with database.begin() as connection:
        row = connection.execute(sa.select(tables().session)).mappings().one()
    another = {**row, "id": row["id"] + 1, "session_id": str(uuid.UUID(int=0)), "ordinal": 2}
    with database.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError, match="live"):
            connection.execute(sa.insert(tables().session).values(another))
        connection.rollback()
        # It is that which is refused, and nothing else about the row.
        closed = {**another, "live": None, "state": "closed"}
        connection.execute(sa.insert(tables().session).values(closed))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "closed"},
        {"live": None},
        {"live": 2},
        {"live": 0},
        {"live": None, "ordinal": 2},
        {"live": 2, "state": "closed"},
    ],
    ids=str,
)
def test_live_says_the_same_as_the_state(
    chats: ChatEngine, database: sa.Engine, change: dict[str, Any]
) -> None:
    """Or else one user could have two live sessions."""
    chats.handle("inbound", text(), received_at=at(0))
    with (
        database.connect() as connection,
        pytest.raises(sa.exc.DBAPIError, match="ck_sermo_session_live"),
    ):
        connection.execute(sa.update(tables().session).values(change))


def test_a_lost_race_is_a_typed_error(door: str, door_url: sa.URL, database: sa.Engine) -> None:
    with open_door(door, door_url, attempts=2) as chats:
        chats.handle("inbound", text(), received_at=at(0))
        with database.begin() as connection:
            connection.execute(sa.update(tables().history).values(seq=2))
        once = dump(database)

        with pytest.raises(LostRace, match="another writer was faster"):
            chats.handle("inbound", text(), received_at=at(1))

        assert dump(database) == once


def test_a_fault_is_an_error_and_no_lost_race(
    door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    with open_door(door, door_url) as chats:
        chats.handle("inbound", text(), received_at=at(0))
        refuse_rows(database)
        once = dump(database)

        with pytest.raises(StoreError, match="refused: no more room") as caught:
            chats.handle("inbound", text(), received_at=at(1))

        assert type(caught.value) is StoreError
        assert dump(database) == once


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "url: wanted a database URL"),
        ("nosuch://u:secret@host/db", "url: wanted a database URL"),
        ("postgresql+psycopg://u:p@secret@host/db", "is written %40"),
        ("postgresql+pg8000://u:secret@host/db", "no module pg8000"),
        ("mssql+pymssql://u:secret@host/db", "wanted SQLite, PostgreSQL, MySQL or MariaDB"),
        ("oracle+oracledb://u:secret@host/db", "got 'oracle'"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_without_its_password(
    url: str, complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        ChatEngine(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "remedy"),
    [
        ("postgresql+psycopg://host/db", "psycopg", r"pip install 'sermo-fsm\[postgresql\]'"),
        ("mysql+pymysql://host/db", "pymysql", r"pip install 'sermo-fsm\[mysql\]'"),
        ("postgresql+psycopg2://host/db", "psycopg2", r"write postgresql\+psycopg://"),
        ("mysql://host/db", "MySQLdb", r"write mysql\+pymysql://"),
    ],
)
def test_a_driver_that_is_not_installed_comes_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidArgument, match=rf"no module {module}; {remedy}[\"']$"):
        ChatEngine(url)


def test_an_engine_of_another_database_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = sa.create_engine("sqlite://")
    monkeypatch.setattr(engine.dialect, "name", "oracle")  # whose driver is not installed

    with pytest.raises(InvalidArgument, match=r"wanted SQLite, PostgreSQL, .* got 'oracle'"):
        ChatEngine(engine)


def test_the_hosts_engine_is_left_open(kind_url: sa.URL) -> None:
    host = sa.create_engine(kind_url)
    pooled = host.pool
    with ChatEngine(host) as chats:
        chats.handle("inbound", text())
    chats.close()
    assert host.pool is pooled
    assert chats.verify().rows == 1
    host.dispose()


def test_so_is_one_for_asyncio(kind_url: sa.URL) -> None:
    host = create_async_engine(async_url(kind_url))
    pooled = host.sync_engine.pool
    with Blocking(host) as chats:
        chats.handle("inbound", text())
        chats.runner.run(chats.engine.close())
        assert host.sync_engine.pool is pooled
        assert chats.verify().rows == 1
        chats.runner.run(host.dispose())


def test_a_pool_that_is_used_up_is_a_typed_error(kind_url: sa.URL) -> None:
    host = sa.create_engine(kind_url, pool_size=1, max_overflow=0, pool_timeout=0)
    chats = ChatEngine(host, attempts=2)
    with host.connect():
        for call in (lambda: chats.handle("inbound", text()), chats.verify):
            with pytest.raises(StoreBusy, match="no connection of the pool came free in time"):
                call()
    assert chats.handle("inbound", text()).rows
    host.dispose()


@pytest.mark.parametrize("attempts", [0, -1, True, 1.0, "5"], ids=repr)
def test_attempts_are_counted_from_one(attempts: Any) -> None:
    with pytest.raises(InvalidArgument, match="attempts: wanted an integer, 1 or more"):
        ChatEngine("sqlite://", attempts=attempts)


@pytest.mark.service
def test_who_migrates_for_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "_GET_LOCK", sa.text(str(mysql._GET_LOCK).replace("60", "0")))
    with a_database("mysql", tmp_path) as url, ChatEngine(url, attempts=1) as chats:
        other = sa.create_engine(url)
        with (
            other.connect() as connection,
            mysql.BACKEND.migration_lock(connection, tables()),
            pytest.raises(StoreBusy, match="migrating for a minute"),
        ):
            chats.migrate()
        other.dispose()
        assert chats.migrate()


def test_who_came_back_or_left_meanwhile_is_not_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        chats.handle("inbound", text(), received_at=at(0))
        # As it was when the sweeper looked, before it had the lock.
        monkeypatch.setattr(Store, "overdue_users", lambda *_: [(PLATFORM, USER)])

        assert chats.sweep(at(1799)) == []
        assert len(chats.sweep(at(1800))) == 1
        assert chats.sweep(at(1800)) == []  # somebody else has closed it
