"""Encodings that can't hold every text are refused; none of them loses or repeats what came."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import Agent, ChatEngine, InvalidArgument, StoreError, UnusableDatabase
from tests.databases import a_database, admin, async_url, drop, migrate
from tests.doors import Blocking, open_door
from tests.support import PLATFORM, everything, text

SECRET: Final = "HEMLIGT"  # noqa: S105 - what a customer wrote
WORDS: Final = f"{SECRET} 🦐 {SECRET}"
"""A shrimp, of which older encodings know nothing."""

OPTIONS: Final = {
    "postgresql": "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '{}'",
    "mysql": "CHARACTER SET {}",
}


@contextmanager
def encoded(kind: str, encoding: str) -> Iterator[sa.URL]:
    """An empty database in this encoding."""
    name = f"sermo_test_{uuid.uuid4().hex}"
    with admin(kind).connect() as connection:
        options = OPTIONS[kind].format(encoding)
        connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
    try:
        yield admin(kind).url.set(database=name)
    finally:
        drop(kind, name)


def texts(chats: ChatEngine) -> list[str]:
    """Every text that is stored."""
    rows = [row for one in chats.sessions() for row in chats.history(one.session_id)]
    return [row.event["text"] for row in rows if row.event]


on_postgresql: Final = pytest.mark.parametrize(
    "door",
    [pytest.param(door, marks=pytest.mark.service) for door in ("postgresql", "postgresql-async")],
)
on_mysql: Final = pytest.mark.parametrize(
    "door", [pytest.param(door, marks=pytest.mark.service) for door in ("mysql", "mysql-async")]
)


# --- the encoding of the database ----------------------------------------------------------------


@on_postgresql
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_in_another_encoding_is_refused(door: str, encoding: str) -> None:
    with encoded("postgresql", encoding) as url, open_door(door, url) as chats:
        for call in (chats.migrate, chats.check_schema):
            with pytest.raises(UnusableDatabase) as caught:
                call()
            assert encoding in str(caught.value)
            assert f"createdb --encoding=UTF8 --template=template0 {url.database}" in str(
                caught.value
            )


@on_postgresql
def test_what_is_handed_in_all_the_same_is_not_repeated(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = "sermo_fsm.storage.backends.postgresql.PostgresqlBackend"
    with encoded("postgresql", "LATIN1") as url:
        with monkeypatch.context() as patched:  # migrated by an earlier release
            patched.setattr(f"{backend}.check_encoding", lambda *_: None)
            migrate(url)
        with open_door(door, url, attempts=2) as chats:
            with pytest.raises(StoreError) as caught:
                chats.handle_many([text("Hej!"), text(WORDS)], direction="inbound")
            told = everything(caught.value)
            assert [word for word in (SECRET, "🦐", "0xf0") if word in told] == []
            assert chats.handle("inbound", text("räksmörgås")).outcome == "moved"


@on_mysql
@pytest.mark.parametrize("encoding", ["latin1", "utf8mb3"])
def test_what_the_database_is_in_does_not_matter_if_our_tables_are_not(
    door: str, encoding: str
) -> None:
    agent = {"id": "å🦐", "name": WORDS, "type": "human"}
    users = ["anna🦐", "bert🦐"]
    with encoded("mysql", encoding) as url, open_door(door, url) as chats:
        chats.migrate()
        for words in (WORDS, f"{WORDS}!"):  # the second batch updates more than one session
            batch = [text(words, user, agent=agent, flowGroupId=words) for user in users]
            chats.handle_many(batch, direction="outbound")
        for user in users:
            found = chats.status(PLATFORM, user)
            assert found is not None
            assert found.agent == Agent(id="å🦐", name=WORDS, type="human")
        assert sorted(set(texts(chats))) == [WORDS, f"{WORDS}!"]


@on_mysql
def test_tables_that_somebody_has_converted_are_refused(door: str) -> None:
    with encoded("mysql", "utf8mb4") as url:
        migrate(url)
        other = sa.create_engine(url)
        with other.begin() as connection:
            connection.exec_driver_sql(
                "ALTER TABLE sermo_body MODIFY event LONGTEXT CHARACTER SET latin1"
            )
        other.dispose()
        with open_door(door, url, attempts=2) as chats:
            with pytest.raises(UnusableDatabase) as caught:
                chats.check_schema()
            assert "sermo_body.event" in str(caught.value)
            assert "CONVERT TO CHARACTER SET utf8mb4" in str(caught.value)
            with pytest.raises(StoreError, match="the database refused") as refused:
                chats.handle("inbound", text(WORDS))
            assert SECRET not in everything(refused.value)


# --- the encoding of the connection --------------------------------------------------------------

URLS: Final = (
    ("postgresql+psycopg://nobody@nowhere.invalid/db", "client_encoding", "utf8"),
    ("mysql+pymysql://nobody@nowhere.invalid/db", "charset", "utf8mb4"),
)


@pytest.mark.parametrize("asked", ["latin1", "utf8mb3", "sql_ascii", "koi8r"])
@pytest.mark.parametrize(("url", "option", "wanted"), URLS, ids=["postgresql", "mysql"])
def test_a_url_that_asks_for_another_encoding_says_what_to_write(
    url: str, option: str, wanted: str, asked: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"url: wanted {option}={wanted}, or no {option}"):
        ChatEngine(f"{url}?{option}={asked}")


@pytest.mark.parametrize("asked", ["utf8", "UTF-8", "unicode", "UTF8"])
def test_one_that_asks_for_what_we_want_is_taken(asked: str) -> None:
    ChatEngine(f"{URLS[0][0]}?client_encoding={asked}").close()


@on_postgresql
def test_what_the_environment_asks_for_does_not_matter(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with encoded("postgresql", "UTF8") as url:
        asked = url.update_query_dict({"options": "-c client_encoding=latin1"})
        with open_door(door, asked) as chats:
            chats.migrate()
            chats.handle("inbound", text(WORDS))
            assert texts(chats) == [WORDS]


HOSTS: Final = {
    "postgresql": {"client_encoding": "latin1"},
    "postgresql-ascii": {"client_encoding": "sql_ascii"},
    "mysql": {"charset": "utf8"},
    "mysql-latin1": {"charset": "latin1"},
}


@pytest.mark.service
@pytest.mark.parametrize("door", ["plain", "async"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_hosts_own_connection_is_refused_and_repeats_nothing(host: str, door: str) -> None:
    kind = host.partition("-")[0]
    with encoded(kind, {"postgresql": "UTF8", "mysql": "utf8mb4"}[kind]) as url:
        migrate(url)
        theirs = url.update_query_dict(HOSTS[host])
        engine: Any
        if door == "async":
            engine = create_async_engine(async_url(theirs), hide_parameters=False)
            with Blocking(engine) as chats:
                refuse(chats)
                chats.runner.run(engine.dispose())
        else:
            engine = sa.create_engine(theirs, hide_parameters=False)
            refuse(ChatEngine(engine))
            engine.dispose()


def refuse(chats: Any) -> None:
    """The schema check fails, and where events do, they fail without a word of what came."""
    for call in (chats.check_schema, chats.migrate):
        with pytest.raises(StoreError, match=r"encoding|driver of the database failed: TypeError"):
            call()
    try:
        chats.handle("inbound", text(WORDS))
    except StoreError as error:
        told = everything(error)
        assert [word for word in (SECRET, "🦐", "0xf0", "\\xF0") if word in told] == []


# --- what is stored and can't be read ------------------------------------------------------------

UNREADABLE: Final = {
    "the driver says so": (f"CAST('{SECRET}' || x'FF' AS TEXT)", None, "Could not decode to UTF-8"),
    "what decodes for it": (
        f"CAST('{SECRET}' || x'FF' AS TEXT)",
        bytes.decode,
        "UnicodeDecodeError",
    ),
    "it is no JSON": (f"'{{{SECRET}'", None, "an event that is not JSON"),
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_body_that_can_not_be_read_is_not_repeated(how: str, tmp_path: Path) -> None:
    value, text_factory, said = UNREADABLE[how]
    with a_database("sqlite", tmp_path, migrated=True) as url:
        host = sa.create_engine(url)

        @sa.event.listens_for(host, "connect")
        def decode(connection: Any, _: object) -> None:
            connection.text_factory = text_factory or str

        chats = ChatEngine(host)
        session = chats.handle("inbound", text()).after
        assert session is not None
        with host.begin() as connection:
            connection.exec_driver_sql(f"UPDATE sermo_body SET event = {value}")  # noqa: S608 - our own words
        with pytest.raises(StoreError, match=said) as caught:
            list(chats.history(session.session_id))
        assert SECRET not in everything(caught.value)
        host.dispose()
