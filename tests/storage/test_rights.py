"""The recipes of docs/privacy.md for roles of PostgreSQL: what the engine may do under them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, StoreError
from sermo_fsm.storage.column_types import PrivateText
from sermo_fsm.storage.rows import CHANGING
from sermo_fsm.storage.schema import tables
from tests.servers import Server, a_folder, a_server
from tests.support import CHECKOUT, EXAMPLES, PLATFORM

pytestmark = pytest.mark.service

ALICE = {"platformId": PLATFORM, "userId": "alice"}
PRIVATE = [
    (table, column.name)
    for table in tables().metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, PrivateText)
]


def recipes() -> list[str]:
    """The SQL of the page, block by block."""
    page = (CHECKOUT / "docs" / "privacy.md").read_text()
    section = page.partition("## Rights in the database")[2].partition("\n## ")[0]
    return re.findall(r"```sql\n(.+?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """PostgreSQL with the examples, and with the roles of the page."""
    with a_folder() as folder, a_server("postgresql", folder) as server:
        with ChatEngine(str_of(server.url(""))) as chats:
            chats.migrate()
            for path in sorted(EXAMPLES.glob("*.jsonl")):
                chats.handle_many(path.read_bytes().splitlines())
            chats.extend_chain()
        with server.admin() as connection:
            psql: Any = connection.connection.driver_connection  # to which % is no parameter
            for recipe in recipes():
                psql.execute(recipe)
        yield server


def str_of(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def as_role(server: Server, role: str) -> ChatEngine:
    return ChatEngine(str_of(server.url("").set(username=role)))


@pytest.fixture
def reader(server: Server) -> Iterator[ChatEngine]:
    with as_role(server, "chat_reader") as chats:
        yield chats


@pytest.fixture
def writer(server: Server) -> Iterator[ChatEngine]:
    with as_role(server, "chat_writer") as chats:
        yield chats


def check_refused(server: Server, role: str, statement: str) -> None:
    """This role may not do so, or does not even see what is meant."""
    engine = sa.create_engine(server.url("").set(username=role), poolclass=sa.NullPool)
    with (
        pytest.raises(
            sa.exc.ProgrammingError, match=r"permission denied|does not exist|must be owner"
        ),
        engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_reader_sees_all_facts(server: Server, reader: ChatEngine) -> None:
    with as_role(server, "chat") as owner:
        reader.check_schema()
        assert reader.counts() == owner.counts()
        assert reader.traffic() == owner.traffic()
        assert reader.figures().as_dict() == owner.figures().as_dict()
        assert reader.verify_chain() == owner.verify_chain()
        seen = {one.session_id: one for one in reader.sessions()}
        for chat in owner.sessions():
            hidden = ("agent", "flowGroupId")
            told, whole = (
                {name: value for name, value in one.as_dict().items() if name not in hidden}
                for one in (seen.pop(chat.session_id), chat)
            )
            assert told == whole
            rows = [one.as_dict(bodies=True) for one in reader.history(chat.session_id)]
            assert [row["to"] for row in rows] == [
                row.to_state for row in owner.history(chat.session_id)
            ]
            assert {(row["event"], row["reason"]) for row in rows} == {(None, None)}
        assert not seen
        assert len(list(reader.strays())) == len(list(owner.strays()))


def test_a_reader_sees_nothing_that_people_wrote_or_are_called(
    server: Server, reader: ChatEngine
) -> None:
    chats = list(reader.sessions())
    assert {chat.agent.name for chat in chats if chat.agent} == {None}
    engine = sa.create_engine(server.url("").set(username="chat_reader"))
    with engine.connect() as connection:
        views = sa.inspect(connection).get_view_names("facts")
        for table, column in PRIVATE:
            check_refused(server, "chat_reader", f"SELECT {column} FROM public.{table}")  # noqa: S608 - our own names
            if table.name in views:
                query = f"SELECT count({column}) FROM {table}"  # noqa: S608 - likewise
                assert connection.exec_driver_sql(query).scalar_one() == 0
    engine.dispose()
    assert len(views) >= 5


@pytest.mark.parametrize("table", tables().metadata.sorted_tables, ids=lambda table: table.name)
def test_a_reader_changes_nothing(server: Server, table: sa.Table) -> None:
    for schema in ("public", "facts"):
        name = f"{schema}.{table.name}"
        first = next(iter(table.columns)).name
        check_refused(server, "chat_reader", f"DELETE FROM {name}")  # noqa: S608 - our own names
        check_refused(server, "chat_reader", f"UPDATE {name} SET {first} = NULL")  # noqa: S608 - our own words


def test_a_writer_does_what_events_need(server: Server, writer: ChatEngine) -> None:
    del server
    now = datetime.now(UTC)
    text = {"type": "text", "text": "Hej!", **ALICE}
    assert writer.handle("inbound", text, received_at=now).after
    receipts = writer.handle_many(
        [
            {"direction": "outbound", "event": {"type": "queue_number", "queueNumber": 1, **ALICE}},
            {"direction": "inbound", "event": {"type": "heartbeat", **ALICE}},
            {"direction": "inbound", "event": {"type": "no such type"}},
        ]
    )
    assert [one.outcome for one in receipts] == ["moved", "stayed", "unknown"]
    assert writer.close_chat(PLATFORM, "alice", reason="test")
    assert writer.sweep(now) is not None
    assert writer.verify().ok
    assert writer.verify_chain().ok
    for path in sorted(EXAMPLES.glob("*.jsonl")):  # pictures, too
        lines = path.read_text().replace('"userId":"', '"userId":"again-').splitlines()
        writer.handle_many([line.replace('"messageId":"', '"messageId":"again-') for line in lines])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sermo_history",
        "DELETE FROM sermo_body",
        "DELETE FROM sermo_image",
        "DELETE FROM sermo_session",
        "TRUNCATE sermo_body",
        "UPDATE sermo_history SET reason = NULL",
        "UPDATE sermo_history SET to_state = 'bot'",
        "UPDATE sermo_body SET event = NULL",
        "UPDATE sermo_image SET content = ''",
        "UPDATE sermo_session SET user_id = 'nobody'",
        "UPDATE sermo_session SET session_id = NULL",
        "DELETE FROM sermo_chain",
        "UPDATE sermo_chain SET digest = ''",
        "DROP TABLE sermo_body",
        "ALTER TABLE sermo_body DROP COLUMN event",
        "SELECT setval('sermo_history_id_seq', 1)",
    ],
)
def test_a_writer_erases_nothing(server: Server, statement: str) -> None:
    check_refused(server, "chat_writer", statement)


def test_a_writer_may_write_the_columns_that_events_change_and_no_other() -> None:
    (grants,) = re.findall(r"GRANT UPDATE\s*\((.+?)\)", "\n".join(recipes()), re.DOTALL)
    assert sorted(grants.replace("\n", " ").replace(" ", "").split(",")) == sorted(CHANGING)


def test_what_a_role_may_not_is_an_error_that_says_so(reader: ChatEngine) -> None:
    text = {"type": "text", "text": "Hej!", **ALICE}
    with pytest.raises(StoreError, match="permission denied"):
        reader.handle_many([text, {**text, "userId": "bo"}], direction="inbound")
