"""What people wrote is redacted before it is stored or compared, on every database and engine."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, CustomerText, Envelope, InvalidArgument, RedactionFailed
from sermo_fsm.redaction import CARD, redactor
from tests.doors import each_signature, open_door, stored
from tests.support import EXAMPLES, START, envelope, everything

VISA = "4111 1111 1111 1111"
WORD = "hemligt"
WHO = {"userId": "u-1", "platformId": "web"}
BOT_VISA = {"id": "bot", "name": VISA}


def tables_of(database: sa.Engine) -> str:
    """All that stands in the tables."""
    with database.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        tables = [sa.table(name) for name in names if name.startswith("sermo_")]
        rows = [
            connection.execute(sa.select(sa.text("*")).select_from(table)).all() for table in tables
        ]
    return repr(rows)


def test_no_text_is_stored_as_it_came(door: str, door_url: sa.URL, database: sa.Engine) -> None:
    event = {"type": "text", "text": f"kort {VISA}", **WHO}
    with open_door(door, door_url, redact=redactor()) as chats:
        receipts = [
            chats.handle("inbound", event, received_at=START),
            chats.handle("inbound", json.dumps(event).encode(), received_at=START),
            chats.handle(
                "inbound",
                CustomerText(text=VISA, user_id="u-2", platform_id="web"),
                received_at=START,
            ),
            chats.handle("inbound", f'{{"type": "text", "text": ["{VISA}"]}}', received_at=START),
            chats.handle("inbound", f"no JSON {VISA}", received_at=START),
            *chats.handle_many(
                [
                    json.dumps(envelope("inbound", event, 0)),
                    Envelope("outbound", {**event, "agent": BOT_VISA}, received_at=START),
                ]
            ),
        ]
        closed = chats.close_chat("web", "u-1", reason=VISA, at=START)
        assert closed is not None
        found = [*receipts, closed]
    assert all(VISA not in repr(one.as_dict(bodies=True)) for one in found)
    assert VISA not in tables_of(database)
    rows = [row for one in found for row in one.rows]
    assert [row.event and row.event.get("text") for row in rows] == [
        f"kort {CARD}", f"kort {CARD}", CARD, None, None, f"kort {CARD}", f"kort {CARD}", None,
    ]  # fmt: skip
    assert rows[-1].event == {"reason": CARD}
    assert [row.raw for row in rows if row.raw] == [
        f'{{"type": "text", "text": ["{CARD}"]}}', f"no JSON {CARD}",
    ]  # fmt: skip


def test_a_message_that_comes_again_is_a_duplicate(door: str, door_url: sa.URL) -> None:
    """It is compared as it is stored, or it would be a conflict with itself."""
    event = {"type": "text", "text": VISA, **WHO}
    with open_door(door, door_url, redact=redactor()) as chats:
        for outcome in ("moved", "duplicate"):
            assert chats.handle("inbound", event, message_id="m").outcome == outcome
        # What differs only in what was taken out is the same event from then on.
        again = {**event, "text": "5555555555554444"}
        assert chats.handle("inbound", again, message_id="m").outcome == "duplicate"
        other = chats.handle_many(
            [Envelope("inbound", {**event, "text": "5"}, message_id="m")],
        )
        assert other[0].outcome == "conflict"


def test_a_batch_is_one_as_well(door: str, door_url: sa.URL) -> None:
    event = {"type": "text", "text": VISA, **WHO}
    with open_door(door, door_url, redact=redactor()) as chats:
        batch = [Envelope("inbound", event, message_id="m")] * 2
        assert [one.outcome for one in chats.handle_many(batch)] == ["moved", "duplicate"]


def broken(text: str) -> str:
    if text == WORD:
        raise LookupError(text)
    return text


def test_nothing_is_written_where_the_function_fails(
    door: str, door_url: sa.URL, database: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    first, secret = ({"type": "text", "text": text, **WHO} for text in ("first", WORD))
    with open_door(door, door_url, redact=broken) as chats:
        for call in (
            lambda: chats.handle("inbound", secret),
            lambda: chats.handle_many([Envelope("inbound", one) for one in (first, secret)]),
            lambda: chats.close_chat("web", "u-1", reason=WORD),
        ):
            with pytest.raises(RedactionFailed, match="raised LookupError at test_redact") as found:
                call()
            assert WORD not in everything(found.value) + caplog.text
        assert chats.status("web", "u-1") is None
    assert WORD not in tables_of(database)


async def not_plain(text: str) -> str:
    return text


@each_signature
@pytest.mark.parametrize("redact", ["[x]", 5, not_plain])
def test_it_has_to_be_a_plain_function(redact: Any, door: str, door_url: sa.URL) -> None:
    with (
        pytest.raises(InvalidArgument, match="redact: wanted a plain function, text -> text"),
        open_door(door, door_url, redact=redact),
    ):
        pass


def test_the_example_chats_lose_nothing(tmp_path: Path) -> None:
    """Their numbers of invoices and orders are none of a card or a person."""
    url = f"sqlite:///{tmp_path / 'chat.db'}"
    files = sorted(EXAMPLES.glob("*.jsonl"))
    stories = [line for story in files for line in story.read_bytes().splitlines()]
    with ChatEngine(url, redact=redactor(), platform_id="web") as chats:
        chats.migrate()
        chats.handle_many(stories)
        assert chats.verify().ok
        kept = stored(chats)
    with ChatEngine("sqlite://", platform_id="web") as chats:
        chats.migrate()
        chats.handle_many(stories)
        assert kept == stored(chats)
