"""``verify`` finds what cannot be, on every database that can be damaged so."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Policy, StoreError, Verification
from sermo_fsm.analysis import verify
from sermo_fsm.storage.schema import tables
from tests.databases import look_away
from tests.support import ANDERS, PLATFORM, USER, at, envelope, event, text

PNG = "data:image/png;base64,aGVq"
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
        ("UPDATE sermo_history SET to_state = from_state", "does not know: customer_text"),
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
        connection.execute(sa.text(f"{damage} {where}"))
    result = chats.verify()

    assert not result.ok
    assert any(complaint in problem.what for problem in result.problems)


# --- one column at a time -------------------------------------------------------------------------


@pytest.fixture
def played(kind_url: sa.URL) -> Iterator[ChatEngine]:
    """Chats of every kind, and nothing wrong with them."""
    with ChatEngine(kind_url) as chats:
        for line in (
            envelope("inbound", text("Hej", "left"), 0),
            envelope("outbound", text("Hej!", "left", agent=ANDERS), 1),
            envelope("inbound", event("client_left", "left"), 2),
            envelope("inbound", text("Hej", "left", image=PNG), 100),
            envelope("outbound", event("queue_number", "left", queueNumber=3), 101),
            envelope("outbound", event("system_text", "left", text="Wait"), 102),
            envelope("inbound", text("Hej", "done"), 0),
            envelope("outbound", event("handover_to_bot", "done", flowGroupId="f"), 1),
            envelope("outbound", event("platform_closed", "done"), 2),
            envelope("outbound", text("Hej", "done", agent=ANDERS), 3),
            envelope("outbound", event("agent_done", "done"), 4),
            envelope("inbound", text("Hej", "page"), 1790),
            envelope("inbound", event("client_unload", "page"), 1795),
            envelope("inbound", text("Hej", "clock"), 0),
            envelope("outbound", event("queue_number", "clock", queueNumber=5), 1),
            envelope("inbound", text("Hej", "back"), 0),
            envelope("outbound", event("claim_session", "back", agentId="c"), 1),
            envelope("inbound", text("Hej", "back"), 2000),
            envelope("inbound", text("Hej", "hand"), 1000),
            envelope("outbound", event("agent_done", "nobody"), 0),
        ):
            chats.handle_many([line])
        chats.sweep(at(1801))
        chats.close_chat(PLATFORM, "hand", at=at(1001), reason="stuck")
        assert chats.verify() == Verification(sessions=8, rows=22)
        yield chats


def tampered(chats: ChatEngine, *statements: str) -> list[str]:
    """What ``verify`` says once somebody has changed the tables by hand."""
    database = sa.create_engine(chats._engine.url)  # ours would see to the keys on SQLite
    with database.begin() as connection:
        look_away(connection)
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount
    database.dispose()
    return [problem.what for problem in chats.verify().problems]


EARLY, LATE = "'2020-01-01 00:00:00'", "'2027-01-01 00:00:00'"

OF_SESSIONS = [
    ("page", f"opened_at = {EARLY}", "opened_at is 2020"),
    ("done", "state = 'bot', live = 1", "state is bot, its rows say closed"),
    ("left 1", f"closed_at = {EARLY}", "closed_at is 2020"),
    ("left 1", "close_reason = 'operator'", "close_reason is operator"),
    ("left 1", f"since = {EARLY}", "since is 2020"),
    ("left 1", "agent_id = 'x'", "agent_id is x, its rows say anan01"),
    ("left 1", "agent_id = NULL", "agent_id is None, its rows say anan01"),
    ("left 1", "agent_name = 'x'", "agent_name or agent_type is not what its rows say"),
    ("left 1", "expiry_reason = 'idle'", "expiry_reason is idle, its rows say client_left"),
    ("left 1", f"typing_ended_at = {EARLY}", "typing_ended_at is 2020"),
    ("left 2", "ordinal = 3", "the user has no session before it"),
    ("left 2", "previous_session_id = NULL", "previous_session_id is None, the session before"),
    ("left 2", "previous_close_reason = 'idle'", "previous_close_reason is idle, the session"),
    ("left 2", "resumed = TRUE", "the session resumed one that the clock did not close"),
    ("left 2", "queue_number = 9", "queue_number is 9, its rows say 3"),
    ("left 2", "queue_number = NULL", "queue_number is None, its rows say 3"),
    ("left 2", f"queued_at = {EARLY}", "queued_at is 2020"),
    ("left 2", "row_count = 9", "row_count is 9, its rows say 3"),
    ("left 2", f"effective_at = {LATE}", "effective_at is 2027"),
    ("left 2", f"last_seen_at = {EARLY}", "last_seen_at is 2020"),
    ("left 2", f"last_seen_at = {LATE}", "its last_seen_at says 2027"),
    ("left 2", f"last_read_at = {LATE}", "last_read_at is 2027"),
    ("left 2", f"customer_typed_at = {EARLY}", "customer_typed_at is 2020"),
    ("left 2", f"customer_typed_at = {LATE}", "customer_typed_at is 2027"),
    ("left 2", f"customer_text_at = {LATE}", "customer_text_at is 2027"),
    ("left 2", f"expires_at = {EARLY}", "expires_at is 2020"),
    ("left 2", "expires_at = opened_at", "expires_at is 2026-03-01 12:01:40+00:00, not after"),
    ("left 2", f"expiry_set_at = {EARLY}", "expiry_set_at is 2020"),
    ("left 2", f"expiry_set_at = {LATE}", "expiry_set_at is 2027"),
    ("left 2", "expiry_reason = 'client_unload'", "client_unload, and no row of one set it"),
    ("left 2", "expiry_reason = 'client_left'", "expiry_reason is client_left"),
    ("left 2", "kept_state = 'bot'", "kept_state is bot, its rows say None"),
    ("done", "flow_group_id = 'x'", "flow_group_id is not what its rows say"),
    ("done", f"platform_closed_at = {LATE}", "platform_closed_at is 2027"),
    ("done", f"last_reply_at = {EARLY}", "last_reply_at is 2020"),
    ("done", "last_reply_by = 'bot'", "last_reply_by is bot, its rows say human"),
    ("done", "last_reply_by = NULL", "last_reply_by is None, its rows say human"),
    ("page", "due_at = NULL", "due_at is None, so no sweep closes it at its expires_at, 2026"),
    ("page", f"due_at = {LATE}", "due_at is 2027"),
    ("page", "expires_at = NULL", "expires_at is None, and its expiry_reason client_unload"),
    ("clock", "kept_state = 'bot'", "kept_state is bot, its rows say queued"),
    ("clock", f"expires_at = {LATE}", "and the clock closed it at"),
    ("clock", f"closed_at = {LATE}", "the row's effective_at is"),
    ("left 1", "expires_at = NULL", "expires_at is None, and its expiry_reason client_left"),
    ("clock", "expiry_reason = 'client_left'", "client_left, and the clock closed it for idle"),
    ("hand", "close_reason = 'end_session'", "close_reason is end_session, its rows say operator"),
    ("back 2", "resumed = FALSE", "in nothing: the row says to with_agent"),
    ("back 2", "agent_id = 'x'", "agent_id is x, its rows say c"),
]


def where(which: str) -> str:
    user, _, ordinal = which.partition(" ")
    return f"user_id = '{user}' AND ordinal = {ordinal or 1}"


@pytest.mark.parametrize(("which", "change", "complaint"), OF_SESSIONS)
def test_a_session_that_its_rows_contradict_is_found(
    played: ChatEngine, which: str, change: str, complaint: str
) -> None:
    found = tampered(played, f"UPDATE sermo_session SET {change} WHERE {where(which)}")  # noqa: S608 - our own words
    assert any(complaint in what for what in found), found


BY_HAND = "the row was changed, or another table wrote it (see 'sermo-fsm check --against')"

OF_ROWS = [
    (
        "left 1",
        2,
        "trigger_name = 'bot_text'",
        "bot_text in bot: the row says to with_agent",
    ),
    ("left 1", 2, "trigger_name = 'bot_text'", BY_HAND),
    ("left 1", 2, "trigger_name = 'magic'", "that this release does not know: magic"),
    (
        "left 1",
        2,
        "outcome = 'stayed'",
        "today's table says to with_agent, moved",
    ),
    ("left 1", 2, "to_state = 'queued'", "to queued, moved; today's table says to with_agent"),
    ("left 1", 2, "direction = 'sideways'", "does not know: agent_text, sideways"),
    ("left 1", 2, "agent_id = 'x'", "the row's agent_id is x, it should be anan01"),
    ("left 1", 2, "received_at = NULL", "the row's received_at is None, and its trigger agent"),
    ("left 2", 3, "trigger_name = 'typing_off'", "which the type on outbound does not mean"),
    ("left 2", 3, "trigger_name = 'start'", "which the type on outbound does not mean; " + BY_HAND),
    ("left 2", 3, "type = NULL", "which the type on outbound does not mean"),
    (
        "left 2",
        3,
        "direction = 'internal', trigger_name = 'start'",
        "the type on internal does not",
    ),
    ("left 1", 2, "trigger_name = 'start'", "which the type on outbound does not mean"),
    ("left 2", 1, "direction = 'internal'", "which the type on internal does not mean"),
    ("left 2", 1, "direction = 'operator'", "which the type on operator does not mean"),
    ("clock", 3, "direction = 'operator'", "which the type on operator does not mean"),
    ("hand", 2, "direction = 'inbound'", "which the type on inbound does not mean"),
    ("left 1", 3, "from_state = 'queued'", "the row says from queued, the row before ended in"),
    ("left 1", 3, "reason = 'idle'", "the row's reason is idle, it should be client_left"),
    ("left 1", 3, "last_seen_at = NULL", "the row's last_seen_at is None, it should be 2026"),
    ("left 1", 3, f"last_seen_at = {EARLY}", "the row's last_seen_at is 2020"),
    ("left 1", 3, f"effective_at = {LATE}", "the row's effective_at is 2027"),
    ("left 1", 3, f"received_at = {LATE}", "the row's effective_at is 2026"),
    ("left 2", 1, "trigger_name = 'messages_read'", "messages_read opens no chat"),
    ("left 2", 1, "trigger_name = 'expire'", "expire opens no chat by today's rules"),
    (
        "left 2",
        2,
        "trigger_name = 'agent_text'",
        "agent_text, its body means queue_number",
    ),
    (
        "left 2",
        2,
        f"last_seen_at = {EARLY}",
        "and the row closes nothing",
    ),
    (
        "left 2",
        3,
        "trigger_name = 'heartbeat'",
        "heartbeat leaves no row",
    ),
    ("back 2", 1, "trigger_name = 'agent_text'", "agent_text resumes no chat by today's rules"),
    ("clock", 3, f"effective_at = {LATE}", "the row's effective_at is 2027"),
]


@pytest.mark.parametrize(("which", "seq", "change", "complaint"), OF_ROWS)
def test_a_row_that_is_not_what_came_of_it_is_found(
    played: ChatEngine, which: str, seq: int, change: str, complaint: str
) -> None:
    of = f"(SELECT id FROM sermo_session WHERE {where(which)})"  # noqa: S608 - our own words
    found = tampered(
        played,
        f"UPDATE sermo_history SET {change} WHERE seq = {seq} AND session_key = {of}",  # noqa: S608 - our own words
    )
    assert any(complaint in what for what in found), found


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE sermo_history SET seq = 1 WHERE session_key IS NULL", "has no session, and is no"),
        ("UPDATE sermo_history SET outcome = 'late' WHERE session_key IS NULL", "and is no stray"),
        ("DELETE FROM sermo_history WHERE session_key IS NULL", "belongs to no row of the history"),
        ("DELETE FROM sermo_image", "is not there"),
        ("UPDATE sermo_body SET image_sha256 = NULL", "belongs to no body"),
        ("UPDATE sermo_image SET bytes = 1", "has another content"),
        ("UPDATE sermo_image SET content = 'xyz'", "has another content"),
        ("UPDATE sermo_body SET event = '[]'", "its body is no event"),
        ("UPDATE sermo_body SET event = '{'", "its body is no event"),
        ("""UPDATE sermo_body SET event = '{"type": "text"}'""", "its body is no event"),
    ],
)
def test_what_belongs_to_nothing_is_found(played: ChatEngine, change: str, complaint: str) -> None:
    found = tampered(played, change)
    assert any(complaint in what for what in found), found


def test_live_beside_another_state_is_found(played: ChatEngine) -> None:
    off = {
        "sqlite": ["PRAGMA ignore_check_constraints = ON"],
        "postgresql": [
            "ALTER TABLE sermo_session DROP CONSTRAINT ck_sermo_session_live",
            "ALTER TABLE sermo_session DROP CONSTRAINT ck_sermo_session_live_unless_closed",
        ],
        "mysql": ["SET check_constraint_checks = 0"],
    }[played._engine.dialect.name]
    closed = "UPDATE sermo_session SET live = 1 WHERE user_id = 'done'"
    live = "UPDATE sermo_session SET live = NULL WHERE user_id = 'page'"
    with played._engine.connect() as connection:
        for statement in (*off, closed, live):
            connection.exec_driver_sql(statement)
        connection.commit()
    found = {problem.what for problem in played.verify().problems}
    assert found == {"live is 1, and the state closed", "live is None, and the state bot"}


def test_a_session_before_that_is_live_is_found(played: ChatEngine) -> None:
    found = tampered(
        played,
        f"UPDATE sermo_session SET state = 'closed', live = NULL WHERE {where('left 2')}",  # noqa: S608 - our own words
        f"UPDATE sermo_session SET state = 'bot', live = 1 WHERE {where('left 1')}",  # noqa: S608 - our own words
    )
    assert "the session before it is still live" in found


def test_what_was_erased_is_no_fault(played: ChatEngine) -> None:
    assert not tampered(played, "DELETE FROM sermo_body", "DELETE FROM sermo_image")
    # What the rows still say is compared all the same.
    change = f"UPDATE sermo_session SET last_reply_at = {EARLY} WHERE {where('done')}"  # noqa: S608 - our own words
    (found,) = tampered(played, change)
    assert "last_reply_at is 2020" in found


def test_what_is_not_listed_any_more_is_not_left_open(
    played: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.handle("inbound", text("Hej", "new", image=PNG + "AAAA"), received_at=at(3000))
    monkeypatch.setattr(verify, "_MAX_PROBLEMS", 1)
    found = tampered(played, "UPDATE sermo_image SET bytes = 9")
    assert len(found) == 1
    assert played.counts()


def test_no_more_than_a_thousand_problems_are_listed(kind_url: sa.URL) -> None:
    with ChatEngine(kind_url) as chats:
        chats.handle_many([envelope("inbound", text(), second) for second in range(1001)])
        chats.handle("inbound", text(user="behind"), received_at=at(0))
        tampered(chats, "UPDATE sermo_history SET outcome = 'ignored' WHERE seq > 0")
        found = chats.verify()
    assert (found.sessions, found.rows, len(found.problems)) == (2, 1002, 1000)


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


def test_a_chat_that_never_expires_is_sound(kind_url: sa.URL) -> None:
    with ChatEngine(kind_url, policy=Policy(idle_timeout=None)) as chats:
        after = chats.handle("inbound", text(), received_at=at(0)).after
        assert after is not None
        assert after.expires_at is None
        assert chats.verify().ok


def test_an_empty_database_is_sound(chats: ChatEngine) -> None:
    result = chats.verify()

    assert (result.ok, result.sessions, result.rows) == (True, 0, 0)
