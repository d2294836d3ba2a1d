"""``verify`` finds what cannot be, on every database that can be damaged so."""

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, StoreError
from sermo_fsm.storage.schema import tables
from tests.databases import look_away
from tests.support import ANDERS, PLATFORM, USER, at, event, text

NOBODY = "00000000-0000-0000-0000-000000000000"
NEVER = {"sqlite": "'yesterday'", "postgresql": "'infinity'", "mysql": "'0000-00-00 00:00:00'"}
"""What a database takes for a time, and Python does not."""


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE sermo_history SET seq = 9 WHERE seq = 2", "seq 2 should stand here"),
        ("UPDATE sermo_history SET from_state = 'bot' WHERE seq = 1", "comes from bot"),
        ("UPDATE sermo_history SET from_state = 'open' WHERE seq = 2", "row before ended in"),
        (
            "UPDATE sermo_history SET effective_at = '2020-01-01 00:00:00' WHERE seq = 2",
            "effective_at falls",
        ),
        ("UPDATE sermo_session SET state = 'bot', live = 1", "state is bot"),
        ("UPDATE sermo_session SET row_count = 7", "row_count is 7"),
        ("UPDATE sermo_session SET effective_at = '2020-01-01 00:00:00'", "effective_at is"),
        ("UPDATE sermo_session SET since = '2020-01-01 00:00:00'", "since is"),
        ("UPDATE sermo_session SET closed_at = '2020-01-01 00:00:00'", "closed_at is"),
        ("UPDATE sermo_session SET close_reason = 'idle'", "close_reason is idle"),
        ("UPDATE sermo_session SET session_id = {nobody}", f"session_id is {NOBODY}"),
        ("UPDATE sermo_history SET to_state = from_state", "since is"),
        ("DELETE FROM sermo_history", "has no row"),
        ("DELETE FROM sermo_session", "belongs to none"),
    ],
    ids=lambda value: value[:60],
)
def test_finds_what_cannot_be(
    chats: ChatEngine, database: sa.Engine, damage: str, complaint: str
) -> None:
    chats.handle("inbound", text(), received_at=at(0))
    chats.handle("outbound", text(agent=ANDERS), received_at=at(1))
    chats.handle("inbound", event("client_left"), received_at=at(2))
    chats.handle("inbound", text(user="by the clock"), received_at=at(3))
    chats.sweep(at(9999))
    chats.handle("inbound", text(user="live"), received_at=at(4))
    assert chats.verify().ok

    with database.begin() as connection:
        look_away(connection)
        connection.execute(sa.text("DELETE FROM sermo_body"))
        first = sa.select(sa.func.min(tables().session.c.id))
        key = "session_key" if "sermo_history" in damage else "id"
        one = f"{key} = {connection.scalar(first)}"
        where = f"AND {one}" if "WHERE" in damage else f"WHERE {one}"
        connection.execute(sa.text(f"{damage.replace('{nobody}', repr(NOBODY))} {where}"))
    result = chats.verify()

    assert not result.ok
    assert any(complaint in problem.what for problem in result.problems)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sermo_history SET effective_at = {never}",
        "UPDATE sermo_session SET opened_at = {never}",
        "UPDATE sermo_history SET trigger_name = 'magic'",
        "UPDATE sermo_session SET close_reason = 'bored'",
    ],
)
def test_what_cannot_be_read_is_a_typed_error(
    chats: ChatEngine, database: sa.Engine, damage: str
) -> None:
    chats.handle("inbound", text(), received_at=at(0))
    session = chats.status(PLATFORM, USER)
    assert session is not None
    never = NEVER[database.url.get_backend_name()]
    with database.begin() as connection:
        look_away(connection)
        connection.execute(sa.text(damage.format(never=never)))

    with pytest.raises(StoreError, match=r"can't be read|unknown|timestamp too large"):
        list(chats.history(session.session_id)) + list(chats.sessions())


def test_an_empty_database_is_sound(chats: ChatEngine) -> None:
    result = chats.verify()

    assert (result.ok, result.sessions, result.rows) == (True, 0, 0)
