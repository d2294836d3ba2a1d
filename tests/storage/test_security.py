"""Nobody learns from us what is nobody's business: passwords, and what customers wrote.

Long, because there are many ways to fail, and each may talk.
"""

import asyncio
import json
import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import (
    Agent,
    AsyncChatEngine,
    ChatEngine,
    CommitUnknown,
    Envelope,
    MessageConflict,
    QueueName,
    StoreError,
    StoreUnavailable,
    UnusableDatabase,
)
from tests.databases import admin, async_url
from tests.support import PLATFORM, USER, at, event, everything

PASSWORD: Final = "s3kret:p@ss/w%rd'\"\\x"  # with all that has to be quoted somewhere  # noqa: S105
PASSWORDS: Final = (
    *(PASSWORD, repr(PASSWORD)[1:-1], json.dumps(PASSWORD)[1:-1], "s3kret"),
    sa.URL.create("x", "u", PASSWORD, "h").render_as_string(hide_password=False)[6:-2],
)


class Heard(logging.Handler):
    """All that was logged, with everything that hangs on it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))
        self.said.append(repr(record.__dict__))

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@contextmanager
def listening() -> Iterator[Heard]:
    """Every logger there is says all that it can."""
    heard, root = Heard(), logging.getLogger()
    names = ("sqlalchemy.engine", "sqlalchemy.pool", "stamina", "asyncio", "aiosqlite", "psycopg")
    loggers = [logging.getLogger(name) for name in (*logging.root.manager.loggerDict, *names)]
    before = [(logger, logger.level) for logger in (root, *loggers)]
    for logger, _ in before:
        logger.setLevel(logging.DEBUG)
    root.addHandler(heard)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        for logger, level in before:
            logger.setLevel(level)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as heard:
        yield heard


# --- passwords -----------------------------------------------------------------------------------


def ask(url: sa.URL | str) -> None:
    """At the plain door."""
    with ChatEngine(url, attempts=2) as chats:
        chats.status(PLATFORM, USER)


def ask_async(url: sa.URL | str) -> None:
    """At the other one."""

    async def story() -> None:
        async with AsyncChatEngine(url, attempts=2) as chats:
            await chats.status(PLATFORM, USER)

    asyncio.run(story())


def closed_port() -> int:
    """One where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


SERVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
WRONG: Final[dict[str, Callable[[sa.URL], sa.URL]]] = {
    "user": lambda url: url.set(username="nobody"),
    "port": lambda url: url.set(port=closed_port()),
    "host": lambda url: url.set(host="nowhere.invalid"),
    "database": lambda url: url.set(database="sermo_test_none"),
    "option": lambda url: url.update_query_dict({"nonsense": "1"}),
}


@pytest.mark.service
@pytest.mark.parametrize("door", [ask, ask_async])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("server", SERVERS)
def test_a_password_is_in_no_error_and_in_no_log(
    server: str, wrong: str, door: Callable[[sa.URL], None], heard: Heard
) -> None:
    url = WRONG[wrong](admin(server).url.set(password=PASSWORD))

    with pytest.raises(Exception) as raised:  # noqa: PT011 - what it is, is said elsewhere
        door(url if door is ask else async_url(url))

    told = everything(raised.value) + heard.text
    assert [secret for secret in PASSWORDS if secret in told] == []
    if wrong != "option":
        unusable = wrong in ("user", "database")
        assert isinstance(raised.value, UnusableDatabase if unusable else StoreUnavailable)


URLS: Final = (
    f"nosql://nobody:{PASSWORD}@127.0.0.1/chat",
    "postgresql+nothing://nobody:s3kret@127.0.0.1/chat",
    "postgresql+psycopg://nobody:s3kret@127.0.0.1:port/chat",
    "oracle://nobody:s3kret@127.0.0.1/chat",
    "nobody:s3kret@127.0.0.1/chat",
    "s3kret",
)


@pytest.mark.parametrize("door", [ask, ask_async])
@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_a_url_that_is_none_is_not_repeated(
    url: str, door: Callable[[str], None], heard: Heard
) -> None:
    with pytest.raises(ValueError, match="wanted") as raised:
        door(url)

    assert "s3kret" not in everything(raised.value) + heard.text


@contextmanager
def with_a_password(kind: str, url: sa.URL) -> Iterator[sa.URL]:
    """The same database, for a user who has one."""
    user = f"sermo_{uuid.uuid4().hex[:16]}"
    make = {
        "postgresql": ["CREATE USER {user} SUPERUSER PASSWORD 's3kret'"],
        "mysql": ["CREATE USER {user} IDENTIFIED BY 's3kret'", "GRANT ALL ON {name}.* TO {user}"],
    }
    server = admin(kind)
    with server.connect() as connection:
        for statement in make[kind]:
            connection.exec_driver_sql(statement.format(user=user, name=url.database))
    try:
        yield url.set(username=user, password="s3kret")  # noqa: S106 - of this test
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP USER {user}")


KILL: Final = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user",
    "mysql": "SELECT id FROM information_schema.processlist WHERE user = :user",
}


def kill(kind: str, user: str) -> None:
    """End every connection of this user, who is ours."""
    with admin(kind).connect() as connection:
        found = connection.execute(sa.text(KILL[kind]), {"user": user}).scalars().all()
        assert found
        if kind == "mysql":
            for number in found:
                connection.exec_driver_sql(f"KILL {number}")


@pytest.mark.service
@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_password_is_not_heard_when_a_connection_is_killed(kind: str, kind_url: sa.URL) -> None:
    with with_a_password(kind, kind_url) as url, listening() as heard:
        engine = sa.create_engine(url)
        chats = ChatEngine(engine, attempts=1)
        with engine.connect() as connection:
            chats.handle("inbound", event("heartbeat"), connection=connection)
            kill(kind, str(url.username))
            with pytest.raises(StoreUnavailable) as raised:
                chats.handle("inbound", event("heartbeat"), connection=connection)
        told = everything(raised.value) + heard.text + repr(chats) + repr(engine)
        engine.dispose()

        async def story() -> str:
            engine = create_async_engine(async_url(url))
            chats = AsyncChatEngine(engine, attempts=1)
            async with engine.connect() as connection:
                await chats.handle("inbound", event("heartbeat"), connection=connection)
                kill(kind, str(url.username))
                with pytest.raises(StoreUnavailable) as raised:
                    await chats.handle("inbound", event("heartbeat"), connection=connection)
            await engine.dispose()
            return everything(raised.value) + heard.text + repr(chats)

        told += asyncio.run(story())

    assert [secret for secret in PASSWORDS if secret in told] == []


# --- every value is bound ------------------------------------------------------------------------

NASTY: Final = (
    *("%s %(p0)s %% %", ":x :p0 ::text \\:y", "{} {0} {user}", "'; DROP TABLE sermo_body; --"),
    *('"; \' `" """', "\\ \\' \\\\ \\n \\x27 \\0", "/* */ # -- ", "$1 ?1 ? @x", "[1,2] {1,2} NULL"),
    *(
        '["a", {"b": "\\u0000"}]',
        "räksmörgås 🦐 ﷽ \u202e",
        "\x01\x1f\x7f\u2028\ufeff",
        "  sp ace  ",
    ),
)


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_every_value_is_bound(chats: ChatEngine, database: sa.Engine, nasty: str) -> None:
    agent = {"id": nasty, "name": nasty, "type": "human", nasty: nasty}
    customer = {
        **event("text", nasty, text=nasty, flowGroupId=nasty, image=nasty),
        "platformId": nasty,
        nasty: [nasty, {nasty: nasty}],
    }
    sent: list[tuple[QueueName, dict[str, Any]]] = [
        ("inbound", customer),
        ("outbound", {**customer, "agent": agent}),
        ("outbound", {**customer, "type": "handover_to_bot"}),
        ("inbound", {**customer, "type": nasty}),
        ("inbound", event("heartbeat", "someone else")),
    ]
    one_by_one = [
        chats.handle(direction, one, message_id=f"{nasty}{number}", received_at=at(number))
        for number, (direction, one) in enumerate(sent)
    ]
    again = chats.handle_many(
        [
            Envelope(direction, one, message_id=f"{nasty}{number}", received_at=at(number))
            for number, (direction, one) in enumerate(sent)
        ]
    )
    batch = chats.handle_many(
        [Envelope(direction, one, received_at=at(9)) for direction, one in sent]
    )
    invalid = chats.handle("inbound", nasty)

    session = chats.status(nasty, nasty)
    assert session is not None
    assert session == batch[3].after
    assert session.agent == Agent(id=nasty, name=nasty, type="human")
    assert session.flow_group_id == nasty
    assert [receipt.outcome for receipt in again[:4]] == ["duplicate"] * 4
    assert [receipt.first and receipt.first.message_id for receipt in again[:4]] == [
        f"{nasty}{number}" for number in range(4)
    ]
    with pytest.raises(MessageConflict):
        chats.handle("inbound", {**customer, "text": "b"}, message_id=f"{nasty}0")
    rows = list(chats.history(session.session_id))
    stored = [
        {key: one for key, one in row.event.items() if key != "image"} for row in rows if row.event
    ]
    plain = [{key: one for key, one in event.items() if key != "image"} for _, event in sent[:4]]
    assert stored == plain * 2
    assert [row.type for row in rows] == ["text", "text", "handover_to_bot", nasty] * 2
    assert [one.user_id for one in chats.sessions(user=nasty, platform=nasty, agent=nasty)] == [
        nasty
    ]
    assert list(chats.sessions(user=nasty + "x")) == []
    assert chats.counts()[nasty] == {"bot": 1}
    assert [row.raw for row in chats.strays()] == [nasty]
    assert invalid.rows[0].raw == nasty
    assert {one.rows[0].id for one in one_by_one[:4]} == {row.id for row in rows[:4]}
    chats.sweep(at(99_999))
    assert chats.verify().ok
    with database.connect() as connection:
        image = connection.execute(sa.text("SELECT content FROM sermo_image")).scalar_one()
    assert bytes(image) == nasty.encode()


# --- what customers wrote ------------------------------------------------------------------------

SECRET: Final = "HEMLIGT"  # noqa: S105 - what customers wrote


def private() -> list[dict[str, Any]]:
    """Events of whose words nothing may be heard."""
    word = SECRET
    agent = {"id": "anan01", "name": f"{word} namn", "type": "human"}
    return [
        event("text", text=f"{word} text", flowGroupId=f"{word} flöde", more=f"{word} mer"),
        event("text", text=f"{word} bild", image=f"data:image/png;base64,{word}{word}AA"),
        event("typing", text=f"{word} osänt"),
        event("text", text=f"{word} svar", agent=agent),
        event("text", text=f"{word} svar", agent=agent, image=f"{word} {word}"),
        event("system_text", text=f"{word} system"),
        event("nonsense", text=f"{word} okänt"),
        event("agent_done", agent=agent),
        event("text", text={word: word}),
    ]


RAW: Final = (
    f"{SECRET} rått",
    f'{{"type": "text", "text": "{SECRET}',
    f"{SECRET} \xff".encode("latin1"),
)


def live_a_little(chats: ChatEngine, connection: Any = None) -> None:
    """Everything that can be done with them, one by one and all at once."""
    host: dict[str, Any] = {} if connection is None else {"connection": connection}
    direction: QueueName
    for number, one in enumerate(private()):
        direction = "outbound" if "agent" in one or one["type"] == "system_text" else "inbound"
        for _ in range(2):
            chats.handle(direction, one, message_id=f"m-{number}", received_at=at(number), **host)
        with suppress(MessageConflict):
            changed = {**one, "text": f"{SECRET} annat"}
            chats.handle(direction, changed, message_id=f"m-{number}", received_at=at(1), **host)
    for raw in RAW:
        chats.handle("inbound", raw, **host)
    many = [{**one, "userId": f"u-{n}"} for n in range(3) for one in private()]
    for direction in ("inbound", "outbound"):
        chats.handle_many([*many, *RAW], direction=direction, **host)


def read_a_little(chats: ChatEngine) -> str:
    """Everything that can be asked; what was answered."""
    sessions = list(chats.sessions())
    rows = [row for session in sessions for row in chats.history(session.session_id)]
    strays = list(chats.strays())
    found = [chats.session(session.session_id) for session in sessions]
    assert chats.status(PLATFORM, USER) in found
    assert chats.verify().ok
    events = [row.event for row in rows]
    return repr([sessions, events, [row.raw for row in strays], [row.reason for row in rows]])


LEVELS: Final = {"echo": True, "debug": "debug"}


@pytest.fixture
def talkative(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """The host's own engine, which says all that it can, parameters and rows included."""
    ours = logging.getLogger("sqlalchemy")
    handlers = list(ours.handlers)
    engine = sa.create_engine(kind_url, echo="debug", echo_pool="debug", hide_parameters=False)
    yield engine
    engine.dispose()
    for handler in set(ours.handlers) - set(handlers):  # SQLAlchemy's own, to standard output
        ours.removeHandler(handler)


def test_a_log_of_statements_shows_no_words_of_customers(
    talkative: sa.Engine, heard: Heard, capfd: pytest.CaptureFixture[str]
) -> None:
    chats = ChatEngine(talkative)
    live_a_little(chats)
    with talkative.begin() as connection:
        live_a_little(chats, connection)
    chats.sweep(at(99_999))

    assert "INSERT INTO" in heard.text
    assert f"{PLATFORM}" in heard.text  # ids are shown: the log is what it says it is
    assert SECRET not in heard.text
    assert SECRET not in capfd.readouterr().out


def test_nor_does_a_log_of_rows(
    talkative: sa.Engine, heard: Heard, capfd: pytest.CaptureFixture[str]
) -> None:
    chats = ChatEngine(talkative)
    live_a_little(chats)

    answered = read_a_little(chats)

    for word in ("text", "flöde", "mer", "namn", "svar", "system", "okänt", "rått"):
        assert f"{SECRET} {word}" in answered  # the host itself is told
    assert "Row (" in heard.text
    assert SECRET not in heard.text
    assert SECRET not in capfd.readouterr().out


def test_nor_does_the_asynchronous_door(door: str, door_url: sa.URL, heard: Heard) -> None:
    if not door.endswith("-async"):
        return

    async def story() -> None:
        engine = create_async_engine(async_url(door_url), hide_parameters=False)
        chats = AsyncChatEngine(engine)
        for number, one in enumerate(private()):
            await chats.handle("inbound", one, received_at=at(number))
        await chats.handle_many([*private(), *RAW], direction="outbound")
        async for session in chats.sessions():
            async for row in chats.history(session.session_id):
                assert SECRET in repr(row.event) or row.type in ("typing", None)
        await chats.verify()
        await engine.dispose()

    asyncio.run(story(), debug=True)
    assert "sqlalchemy.engine" in heard.text
    assert SECRET not in heard.text


BREAK: Final = {
    "sqlite": "DROP TABLE sermo_body",
    "postgresql": "DROP TABLE sermo_body",
    "mysql": "DROP TABLE sermo_body",
}
NARROW: Final = {
    "sqlite": "CREATE TRIGGER no BEFORE INSERT ON sermo_body BEGIN SELECT RAISE(FAIL, 'no'); END",
    "postgresql": "ALTER TABLE sermo_body ADD CHECK (history_id < 0)",
    "mysql": "ALTER TABLE sermo_body ADD CHECK (history_id < 0)",
}


@pytest.mark.parametrize("how", [BREAK, NARROW], ids=["missing", "refusing"])
def test_what_the_database_refuses_is_not_repeated(
    kind: str, talkative: sa.Engine, heard: Heard, how: dict[str, str]
) -> None:
    with talkative.begin() as connection:
        connection.exec_driver_sql(how[kind])
    chats = ChatEngine(talkative)
    told = ""
    one, other = private()[:2]
    calls: list[Callable[[], object]] = [
        lambda: chats.handle("inbound", one),
        lambda: chats.handle("inbound", RAW[0]),
        lambda: chats.handle_many([one, other, *RAW], direction="inbound"),
    ]
    for call in calls:
        with pytest.raises(StoreError) as raised:
            call()
        assert not isinstance(raised.value, CommitUnknown)
        told += everything(raised.value)

    assert "sermo_body" in told
    assert SECRET not in told + heard.text
