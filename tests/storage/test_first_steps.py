"""What somebody writes who is new here, and what to write instead: said at once."""

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import (
    AsyncChatEngine,
    ChatEngine,
    Envelope,
    Heartbeat,
    InvalidArgument,
    SchemaNotReady,
    UnusableDatabase,
)
from sermo_fsm.migrate import head
from tests.databases import a_database, admin, async_url
from tests.doors import Blocking, each_signature, open_door
from tests.support import text

# --- database URLs -------------------------------------------------------------------------------

PLAIN: Final[list[tuple[Any, str]]] = [
    ("postgres://u:s3kret@h/db", "that begins with postgresql+psycopg://, got 'postgres://'"),
    ("postgresql+asyncpg://u:s3kret@h/db", "no module asyncpg; write postgresql+psycopg://"),
    ("postgresql+psycopg2://u:s3kret@h/db", "no module psycopg2; write postgresql+psycopg://"),
    ("mysql://u:s3kret@h/db", "no module MySQLdb; write mysql+pymysql://"),
    ("mariadb://u:s3kret@h/db", "no module MySQLdb; write mariadb+pymysql://"),
    ("mysql+asyncmy://h/db", "that begins with mysql+pymysql://, got 'mysql+asyncmy://'"),
    ("sqlite+aiosqlite:///chat.db", "that begins with sqlite://, got 'sqlite+aiosqlite://'"),
    ("sqlite3:///chat.db", "that begins with sqlite://, got 'sqlite3://'"),
    ("chat.db", "a database URL such as sqlite:///sermo.db, got 'text without ://'"),
    (Path("some/chat.db"), "wanted sqlite:///some/chat.db, got 'a path'"),
    (None, "sqlite:///sermo.db, or an Engine of SQLAlchemy, got None"),
    (b"sqlite://", "or an Engine of SQLAlchemy, got 'bytes'"),
    ("", "got 'text without ://'"),
    ("nosuch://u:s3kret@h/db", "a database URL such as sqlite:///sermo.db, got 'something else'"),
    ("postgresql+psycopg://h:port/db", "sqlite:///sermo.db, got 'one whose port is no number'"),
    ("a b://h/db", "such as sqlite:///sermo.db, got 'what is none'"),
]
ASYNC: Final[list[tuple[Any, str]]] = [
    ("postgres://u:s3kret@h/db", "that begins with postgresql+psycopg://, got 'postgres://'"),
    ("postgresql+asyncpg://u:s3kret@h/db", "no module asyncpg; write postgresql+psycopg://"),
    ("mysql://u:s3kret@h/db", "no module MySQLdb; write mysql+asyncmy://"),
    ("mysql+pymysql://h/db", "that begins with mysql+asyncmy://, got 'mysql+pymysql://'"),
    ("mariadb+pymysql://h/db", "that begins with mariadb+asyncmy://, got 'mariadb+pymysql://'"),
    ("sqlite:///chat.db", "that begins with sqlite+aiosqlite://, got 'sqlite://'"),
    ("chat.db", "URL such as sqlite+aiosqlite:///sermo.db, got 'text without ://'"),
    (Path("chat.db"), "wanted sqlite+aiosqlite:///chat.db, got 'a path'"),
    (None, "sqlite+aiosqlite:///sermo.db, or an AsyncEngine of SQLAlchemy, got None"),
]


@pytest.mark.parametrize(("url", "said"), PLAIN, ids=range(len(PLAIN)))
def test_a_url_that_can_not_be_used_says_what_to_write(url: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ChatEngine(url)
    assert said in str(caught.value).replace('"', "'")
    assert "s3kret" not in str(caught.value)


@pytest.mark.parametrize(("url", "said"), ASYNC, ids=range(len(ASYNC)))
def test_so_does_one_for_asyncio(url: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AsyncChatEngine(url)
    assert said in str(caught.value).replace('"', "'")
    assert "s3kret" not in str(caught.value)


def test_an_engine_of_the_other_kind_is_named() -> None:
    plain: Any = sa.create_engine("sqlite://")
    bridge: Any = create_async_engine("sqlite+aiosqlite://")
    with pytest.raises(InvalidArgument, match="an Engine of SQLAlchemy, got 'AsyncEngine'"):
        ChatEngine(bridge)
    with pytest.raises(InvalidArgument, match="an AsyncEngine of SQLAlchemy, got 'Engine'"):
        AsyncChatEngine(plain)


def test_postgresql_needs_no_driver_in_its_url() -> None:
    ChatEngine("postgresql://h/db").close()
    asyncio.run(AsyncChatEngine("postgresql://h/db").close())


# --- databases that are not there ----------------------------------------------------------------

MISSING: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "postgresql": ({"database": "sermo_test_none"}, 'database "sermo_test_none" does not exist'),
    "postgresql-user": ({"username": "sermo_nobody"}, 'role "sermo_nobody" does not exist'),
    "mysql": ({"database": "sermo_test_none"}, "Unknown database 'sermo_test_none'"),
    "mysql-user": ({"username": "sermo_nobody"}, "Access denied for user 'sermo_nobody'"),
}


@pytest.mark.service
@pytest.mark.parametrize("missing", MISSING)
def test_a_database_that_does_not_exist_is_not_tried_again_later(missing: str) -> None:
    changed, said = MISSING[missing]
    url = admin(missing.partition("-")[0]).url.set(**changed)
    with ChatEngine(url) as chats, pytest.raises(UnusableDatabase, match=said):
        chats.migrate()
    with Blocking(async_url(url)) as bridge, pytest.raises(UnusableDatabase, match=said):
        bridge.migrate()


def test_nor_is_a_folder(tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path}/none/chat.db")
    said = "unable to open database file; does its folder exist"
    # Plain only: aiosqlite leaves a thread behind that reports to a loop which is closed by then.
    with ChatEngine(url) as chats, pytest.raises(UnusableDatabase, match=said):
        chats.migrate()


def test_nor_is_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_text("A letter, and a long one: " * 100)
    with (
        ChatEngine(f"sqlite:///{tmp_path}/chat.db") as chats,
        pytest.raises(UnusableDatabase, match="file is not a database"),
    ):
        chats.status("web", "anna")


# --- what was forgotten --------------------------------------------------------------------------

METHODS: Final[dict[str, Callable[[ChatEngine], object]]] = {
    "handle": lambda chats: chats.handle("inbound", text()),
    "handle_many": lambda chats: chats.handle_many([text()], direction="inbound"),
    "sweep": lambda chats: chats.sweep(),
    "status": lambda chats: chats.status("web", "anna"),
    "session": lambda chats: chats.session(str(uuid.UUID(int=0))),
    "sessions": lambda chats: list(chats.sessions()),
    "counts": lambda chats: chats.counts(),
    "history": lambda chats: list(chats.history(str(uuid.UUID(int=0)))),
    "strays": lambda chats: list(chats.strays()),
    "stories": lambda chats: list(chats.stories()),
    "verify": lambda chats: chats.verify(),
    "compare": lambda chats: chats.compare(),
    "traffic": lambda chats: chats.traffic(),
    "check_schema": lambda chats: chats.check_schema(),
}


def test_every_method_says_that_migrate_was_forgotten(door: str, tmp_path: Path) -> None:
    with (
        a_database(door.removesuffix("-async"), tmp_path) as url,
        open_door(door, url) as chats,
    ):
        for call in METHODS.values():
            with pytest.raises(SchemaNotReady, match=r"or ChatEngine\.migrate\(\)$") as caught:
                call(chats)
            assert caught.value.current is None
            assert caught.value.wanted == head()


def test_tables_of_another_release_are_not_ready(door: str, tmp_path: Path) -> None:
    with (
        a_database(door.removesuffix("-async"), tmp_path) as url,
        open_door(door, url) as chats,
    ):
        chats.migrate()
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                sa.text("ALTER TABLE sermo_session RENAME COLUMN queued_at TO since_when")
            )
        engine.dispose()
        with pytest.raises(SchemaNotReady, match="of another release, this release") as caught:
            chats.status("web", "u-1")
        assert caught.value.current == SchemaNotReady.UNASKED


# --- arguments that are something else -----------------------------------------------------------

ARGUMENTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"policy": {"idle_timeout": 5}}, "policy: wanted a Policy, got 'dict'"),
    ({"limits": 5}, "limits: wanted a Limits, got 'int'"),
    ({"schema": 5}, "schema: wanted a name"),
]


@pytest.mark.parametrize(("options", "said"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_an_engine_refuses_what_is_no_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        ChatEngine("sqlite://", **options)
    with pytest.raises(InvalidArgument, match=said):
        AsyncChatEngine("sqlite+aiosqlite://", **options)


SINGLE: Final[list[Any]] = [
    json.dumps(text("HEMLIGT")),
    json.dumps(text("HEMLIGT")).encode(),
    bytearray(b"{}"),
    memoryview(b"{}"),
    text("HEMLIGT"),
    Heartbeat(platform_id="web", user_id="anna"),
    Envelope("inbound", text("HEMLIGT")),
]


@each_signature
@pytest.mark.parametrize("single", SINGLE, ids=[type(one).__name__ for one in SINGLE])
def test_handle_many_refuses_a_single_event(chats: ChatEngine, single: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^envelopes: wanted a list .*, got ") as caught:
        chats.handle_many(single, direction="inbound")
    assert "HEMLIGT" not in str(caught.value)
    assert list(chats.strays()) == []


@each_signature
@pytest.mark.parametrize("nothing", [None, 5])
def test_and_what_is_no_list(chats: ChatEngine, nothing: Any) -> None:
    with pytest.raises(InvalidArgument, match="envelopes: wanted a list"):
        chats.handle_many(nothing, direction="inbound")


REFUSED: Final[list[tuple[str, Callable[[Any], object]]]] = [
    ("platform_id", lambda chats: chats.status(None, "anna")),
    ("user_id", lambda chats: chats.status("web", None)),
    ("user_id", lambda chats: chats.status("web", 5)),
    ("session_id", lambda chats: chats.session(None)),
    ("session_id", lambda chats: chats.session(5)),
    ("session_id", lambda chats: list(chats.history(None))),
    ("direction", lambda chats: chats.handle_many([Heartbeat(platform_id="web", user_id="u")])),
    ("hook", lambda chats: chats.within_transaction(None)),
    ("hook", lambda chats: chats.after_commit("print")),
]


@each_signature
@pytest.mark.parametrize(("argument", "call"), REFUSED, ids=range(len(REFUSED)))
def test_an_argument_that_can_not_be_meant_is_refused(
    chats: ChatEngine, argument: str, call: Callable[[Any], object]
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{argument}: wanted "):
        call(chats)
