"""What is stored of events on every database: bodies, images, what is left out."""

import hashlib
from datetime import datetime

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from sermo_fsm import ChatEngine, HistoryRow, Outcome, StoreError
from sermo_fsm.storage.schema import tables
from tests.databases import dump
from tests.support import ANDERS, PLATFORM, USER, at, envelope, event, hand_in_unsent, text

PNG = "data:image/png;base64,iVBORw0KGgo="


def test_unsent_text_is_stored_nowhere(chats: ChatEngine, database: sa.Engine) -> None:
    secret = "Hemligheten"  # noqa: S105 - what a customer typed
    hand_in_unsent(chats, secret)

    everything = dump(database)
    assert everything["sermo_history"]
    assert secret not in repr(everything)


def test_an_image_lies_apart_and_once(chats: ChatEngine, database: sa.Engine) -> None:
    content = b"\x89PNG\r\n\x1a\n"
    receipts = chats.handle_many(
        [envelope("inbound", text("Bild:", user, image=PNG), 0) for user in ("a", "b", "b")]
    )

    digest = hashlib.sha256(content).hexdigest()
    description = {"sha256": digest, "bytes": len(content), "mediaType": "image/png"}
    assert receipts[2].rows[0].event == text("Bild:", "b", image=description)
    assert dump(database)["sermo_image"] == [(digest, "image/png", len(content), content)]


def test_an_unknown_event_may_call_anything_an_image(chats: ChatEngine) -> None:
    odd = event("weather", image={"sha256": "x"})

    assert chats.handle("inbound", odd).rows[0].event == odd


def test_a_body_can_be_erased_and_the_facts_stay(chats: ChatEngine, database: sa.Engine) -> None:
    chats.handle("inbound", text("Mitt nummer är 0701234567"), received_at=at(0))
    line = envelope("outbound", text("Tack", agent=ANDERS), 1, "m-1")
    receipt = chats.handle_many([line])[0]
    with database.begin() as connection:
        connection.execute(sa.delete(tables().body))

    session_id = receipt.rows[0].session_id or ""
    assert [row.event for row in chats.history(session_id)] == [None, None]
    assert chats.verify().ok
    other = envelope("outbound", text("Something else", agent=ANDERS), 1, "m-1")
    for again in chats.handle_many([line, other]):
        assert (again.outcome, again.first) == (Outcome.DUPLICATE, bare(receipt.rows[0]))


def bare(row: HistoryRow) -> HistoryRow:
    return replace(row, event=None)


def test_a_body_that_is_no_json_is_a_typed_error(chats: ChatEngine, database: sa.Engine) -> None:
    session = chats.handle("inbound", text("secret"), received_at=at(0)).after
    assert session is not None
    with database.begin() as connection:
        connection.execute(sa.update(tables().body).values(event='{"text":"secret'))

    with pytest.raises(StoreError, match="an event that is not JSON") as caught:
        list(chats.history(session.session_id))
    assert "secret" not in str(caught.value)


def test_a_body_that_is_no_json_spoils_no_message_that_comes_again(
    chats: ChatEngine, database: sa.Engine
) -> None:
    lines = [envelope("inbound", text(), 0, "m-1"), envelope("inbound", text("Hallå?"), 1, "m-2")]
    chats.handle_many(lines[:1])
    with database.begin() as connection:
        connection.execute(sa.update(tables().body).values(event='{"text":"secret'))
    outcomes = [receipt.outcome for receipt in chats.handle_many(lines)]
    assert outcomes == [Outcome.DUPLICATE, Outcome.STAYED]


def test_no_digest_of_a_body_is_stored(chats: ChatEngine, database: sa.Engine) -> None:
    chats.handle("inbound", text("0701234567"), received_at=at(0), message_id="m-1")
    with database.begin() as connection:
        connection.execute(sa.delete(tables().body))
        names = {one["name"] for one in sa.inspect(connection).get_columns("sermo_history")}

    assert "fingerprint" not in names
    for rows in dump(database).values():
        assert not any(isinstance(value, bytes) for row in rows for value in row)


def test_ids_are_read_and_not_made_again(chats: ChatEngine, database: sa.Engine) -> None:
    """As after a user was erased: the ids are others, and nothing leads back."""
    chats.handle_many(
        [
            envelope("inbound", text(), 0),
            envelope("inbound", event("client_left"), 1),
            envelope("inbound", text(), 2),
        ]
    )
    session, ids = tables().session, [f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2)]
    with database.begin() as connection:
        for ordinal, before, its_own in ((1, None, ids[0]), (2, *ids)):
            values = {"user_id": "x", "session_id": its_own, "previous_session_id": before}
            connection.execute(session.update().where(session.c.ordinal == ordinal).values(values))

    chat = chats.status(PLATFORM, "x")
    assert chat is not None
    assert (chat.session_id, chat.previous_session_id) == (ids[1], ids[0])
    assert [one.session_id for one in chats.sessions()] == ids[::-1]
    assert chats.session(ids[0]) in [*chats.sessions(user="x")]
    assert {row.session_id for row in chats.history(ids[0])} == {ids[0]}
    assert [one.session_id for one, _ in chats.stories()] == [ids[0], ids[0], ids[1]]
    assert [row.session_id for _, row in chats.stories()] == [ids[0], ids[0], ids[1]]
    left = chats.handle("inbound", event("client_left", "x"), received_at=at(3))
    assert [row.session_id for row in left.rows] == [ids[1]]
    after = chats.handle("inbound", text(user="x"), received_at=at(4)).after
    assert after is not None
    assert after.previous_session_id == ids[1]
    assert chats.status(PLATFORM, "x") == after
    assert chats.verify().ok


def test_an_invalid_event_is_kept_with_its_reason(chats: ChatEngine) -> None:
    chats.handle("inbound", b'{"type": "text", "text": 5}', received_at=at(0))
    chats.handle("outbound", b"\xff\x00" + b"x" * 100_000, received_at=at(1))
    chats.handle_many(["", '{"direction": 5, "event": {}}', "[1]"])

    first, second, *rest = chats.strays()
    assert (first.outcome, first.direction, first.type) == ("invalid", "inbound", None)
    assert first.reason == "$.text: wanted a string, got a number"
    assert first.raw == '{"type": "text", "text": 5}'
    assert second.raw is not None
    assert len(second.raw.encode()) <= 64 * 1024
    assert second.raw.startswith("\\xff\\x00xxx")
    assert [(row.direction, row.seq) for row in rest] == [(None, None)] * 3


def test_people_can_read_the_tables(chats: ChatEngine, database: sa.Engine) -> None:
    moment = datetime.fromisoformat("2026-03-01T13:00:00.123456+01:00")
    chats.handle("inbound", text(), received_at=moment)

    opened = {
        "sqlite": "opened_at",
        "postgresql": "to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        "mysql": "CAST(opened_at AS CHAR)",
    }[database.url.get_backend_name()]
    with database.connect() as connection:
        row = connection.execute(
            sa.text(
                f"SELECT state, {opened}, CAST(session_id AS CHAR(36)) "  # noqa: S608 - ours
                "FROM sermo_session"
            )
        ).one()
    session = chats.status(PLATFORM, USER)
    assert session is not None
    assert tuple(row) == ("bot", "2026-03-01 12:00:00.123456", session.session_id)
    assert session.opened_at == moment


def test_history_ids_grow_with_every_row(chats: ChatEngine) -> None:
    receipts = [chats.handle("outbound", event("agent_done"))]
    receipts += [chats.handle("inbound", text(user=user)) for user in ("u-2", "u-1", "u-2")]
    receipts += chats.handle_many([text(user=f"u-{9 - n}") for n in range(9)], direction="inbound")

    given = [row.id or 0 for receipt in receipts for row in receipt.rows]
    assert given == sorted(set(given))
    asked = [*chats.strays()]
    asked += [row for one in chats.sessions() for row in chats.history(one.session_id)]
    assert {row.id: row for row in asked} == {
        row.id: row for receipt in receipts for row in receipt.rows
    }


def test_the_same_events_give_the_same_ids_on_any_machine(chats: ChatEngine) -> None:
    receipt = chats.handle("inbound", text(), received_at=at(0))

    assert receipt.after is not None
    assert receipt.after.session_id == "d3640a6c-22bf-5806-aedd-873294e4b049"
