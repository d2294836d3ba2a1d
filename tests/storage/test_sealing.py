"""What people wrote is sealed where it is written, and opened wherever it is read."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Envelope, InvalidArgument, Retention, SealingFailed
from sermo_fsm.storage.schema import tables
from tests.doors import each_signature, host_transaction, open_door
from tests.support import START, at, everything, text

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
IMAGE = "data:image/png;base64," + base64.b64encode(PNG).decode()
WORDS = "Hemligt å😀"

Hook = Callable[[bytes], bytes]


def flipped(given: bytes) -> bytes:
    """A seal that anybody can break: every bit the other way, both ways."""
    return bytes(byte ^ 0xFF for byte in given)


SEALED: dict[str, Any] = {"seal": flipped, "open": flipped}


def tables_of(database: sa.Engine) -> list[Any]:
    """All bodies and pictures, as they are stored."""
    ours = tables()
    with database.connect() as connection:
        bodies = connection.execute(
            sa.text("SELECT event, raw, image_sha256 FROM sermo_body ORDER BY history_id")
        ).all()
        images = connection.execute(sa.select(ours.image)).all()
    return [*bodies, *((*row[:3], bytes(row[3])) for row in images)]


def filled(chats: ChatEngine) -> str:
    """Every kind of body. Returns the id of the session."""
    chats.handle("inbound", text(WORDS, image=IMAGE), received_at=at(0), message_id="m-1")
    chats.handle("inbound", text(WORDS, image=IMAGE), received_at=at(1), message_id="m-2")
    agent = {"id": "anan01", "name": "Anders", "type": "human"}
    chats.handle_many(
        [
            Envelope("outbound", text(WORDS, agent=agent), received_at=at(2)),
            Envelope("outbound", text(WORDS, agent=agent), received_at=at(3), message_id="m-3"),
            Envelope("inbound", f"no JSON {WORDS}", received_at=at(4)),
        ]
    )
    session = chats.status("web", "anna")
    assert session is not None
    return session.session_id


def test_it_is_stored_sealed_and_read_in_clear(
    door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        session_id = filled(chats)
        rows = list(chats.history(session_id))
        assert [row.event and row.event["text"] for row in rows] == [WORDS] * 4
        image = {"sha256": hashlib.sha256(PNG).hexdigest(), "bytes": len(PNG)}
        assert rows[0].event is not None
        assert rows[0].event["image"] == {**image, "mediaType": "image/png"}
        assert [row.raw for row in chats.strays()] == [f"no JSON {WORDS}"]
        assert chats.verify().ok
    stored = tables_of(database)
    assert "Hemligt" not in repr(stored)
    assert hashlib.sha256(PNG).hexdigest() not in repr(stored)
    assert all(PNG[:8] not in one for row in stored for one in row if isinstance(one, bytes))
    events = [event for event, *_ in stored[:4]]
    assert all(event.startswith("sealed:") for event in events)
    pictures = [row for row in stored if row[0] and row[0].startswith("sealed-")]
    assert len({key for key, *_ in pictures}) == 2  # one for each message
    assert [flipped(content) for *_, content in pictures] == [PNG, PNG]


def test_a_message_that_comes_again_is_compared_in_clear(door: str, door_url: sa.URL) -> None:
    numbers = iter(range(1000))

    def salted(clear: bytes) -> bytes:
        return next(numbers).to_bytes(2, "big") + flipped(clear)

    with open_door(door, door_url, seal=salted, open=lambda one: flipped(one[2:])) as chats:
        filled(chats)
        again = Envelope("inbound", text(WORDS, image=IMAGE), message_id="m-1")
        other = Envelope("inbound", text("else"), message_id="m-2")
        outcomes = [one.outcome for one in chats.handle_many([again, other])]
        assert outcomes == ["duplicate", "conflict"]


def test_it_works_in_the_transaction_of_a_host(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        with host_transaction(chats) as connection:
            receipt = chats.handle("inbound", text(WORDS), connection=connection)
        assert receipt.after is not None
        (row,) = chats.history(receipt.after.session_id)
        assert row.event == text(WORDS)


def test_what_was_written_in_clear_is_still_read(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url) as chats:
        chats.handle("inbound", text("clear", image=IMAGE), received_at=START, message_id="m-1")
        chats.handle("inbound", "sealed:AAAA", received_at=START)
    with open_door(door, door_url, **SEALED) as chats:
        again = chats.handle("inbound", text("clear", image=IMAGE), message_id="m-1")
        assert again.outcome == "duplicate"
        chats.handle("inbound", text(WORDS), received_at=at(1))
        session = chats.status("web", "anna")
        assert session is not None
        rows = chats.history(session.session_id)
        assert [row.event and row.event["text"] for row in rows] == ["clear", WORDS]
        assert [row.raw for row in chats.strays()] == [" sealed:AAAA"]
        assert chats.verify().ok


def test_no_log_shows_it_sealed_or_opened(
    door: str, door_url: sa.URL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with open_door(door, door_url, **SEALED) as chats:
        engine: Any = getattr(chats, "engine", chats)._engine
        engine.echo = "debug"
        session_id = filled(chats)
        assert len(list(chats.history(session_id))) == 4
        again = chats.handle("inbound", text(WORDS, image=IMAGE), message_id="m-1")
        assert again.outcome == "duplicate"
    assert "SELECT" in caplog.text
    assert "Hemligt" not in caplog.text


def gone(_: bytes) -> None:
    return None


@pytest.mark.parametrize(
    "options",
    [{}, {"seal": flipped, "open": gone}],
    ids=["without the functions", "its key destroyed"],
)
def test_what_has_no_key_is_as_if_it_were_erased(options: Any, door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        session_id = filled(chats)
    with open_door(door, door_url, **options) as chats:
        assert [row.event for row in chats.history(session_id)] == [None] * 4
        assert [row.raw for row in chats.strays()] == [None]
        assert chats.verify().ok
        other = chats.handle("inbound", text("else"), message_id="m-1")
        assert other.outcome == "duplicate"


def broken(given: bytes) -> bytes:
    raise TimeoutError(f"no key for {given!r}")


FAILING = [
    (broken, "raised TimeoutError"),
    (lambda _: "text", "returned str, not bytes"),
]


@pytest.mark.parametrize(
    ("seal", "what"), [*FAILING, (gone, "returned None, not bytes")], ids=["raises", "str", "None"]
)
def test_nothing_is_written_where_seal_fails(
    seal: Any, what: str, door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    with open_door(door, door_url, seal=seal, open=flipped) as chats:
        for call in (
            lambda: chats.handle("inbound", text(WORDS)),
            lambda: chats.handle_many([Envelope("inbound", text(WORDS, image=IMAGE))]),
        ):
            with pytest.raises(SealingFailed, match=f"seal= {what}; nothing was written") as found:
                call()
            assert "Hemligt" not in everything(found.value)
            assert found.value.__context__ is None
        assert chats.status("web", "anna") is None
    assert tables_of(database) == []


@pytest.mark.parametrize(
    ("opener", "what"),
    [*FAILING, (lambda _: b"\xff", "was given what was never sealed so")],
    ids=["raises", "str", "no UTF-8"],
)
def test_where_open_fails_no_answer_is_made_up(
    opener: Any, what: str, door: str, door_url: sa.URL
) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        session_id = filled(chats)
    with open_door(door, door_url, seal=flipped, open=opener) as chats:
        for call in (
            lambda: list(chats.history(session_id)),
            lambda: list(chats.strays()),
            lambda: chats.handle("inbound", text(WORDS), message_id="m-1"),
        ):
            with pytest.raises(SealingFailed, match=f"open= .*{what}"):
                call()
        assert chats.status("web", "anna") is not None
        assert sum(1 for _ in chats.stories()) == 4  # reads no body


def test_verify_tells_what_can_not_be_opened(
    door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        filled(chats)
        ours = tables()
        with database.begin() as connection:
            connection.execute(sa.update(ours.body).values(event="sealed:no base64"))
        found = chats.verify().problems
        assert [one.what for one in found] == ["its body is no event"] * 2  # of the agent's texts
    with open_door(door, door_url, seal=flipped, open=broken) as chats:
        words = [one.what for one in chats.verify().problems]
        assert sum(one.endswith("has another content") for one in words) == 2


@each_signature
@pytest.mark.parametrize("options", [{"seal": flipped}, {"open": flipped}, {**SEALED, "seal": 5}])
def test_both_functions_belong_together(options: Any, door: str, door_url: sa.URL) -> None:
    with (
        pytest.raises(InvalidArgument, match="wanted a plain function, bytes -> bytes"),
        open_door(door, door_url, **options),
    ):
        pass


def test_a_large_picture_is_sealed(door: str, door_url: sa.URL) -> None:
    content = base64.b64encode(b"\x00" * 1_200_000).decode()
    event = json.dumps(text(WORDS, image=f"data:image/png;base64,{content}"))
    with open_door(door, door_url, **SEALED) as chats:
        chats.handle("inbound", event)
        assert chats.verify().ok


# --- erasing what is sealed ----------------------------------------------------------------------


def test_a_sealed_stray_that_names_the_user_is_erased(
    door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    raw = f'{{"type": 5, "userId": "anna", "x": "{WORDS}"}}'
    with open_door(door, door_url, **SEALED) as chats:
        chats.handle("inbound", text(WORDS, image=IMAGE), received_at=at(0))
        chats.handle("inbound", raw, received_at=at(1))
        chats.handle("inbound", "of somebody else", received_at=at(2))
    with open_door(door, door_url, seal=flipped, open=broken) as chats:
        with pytest.raises(SealingFailed):
            chats.erase("web", "anna", even_live=True)
        assert chats.status("web", "anna") is not None
    with open_door(door, door_url, **SEALED) as chats:
        assert chats.erase("web", "anna", even_live=True) is not None
        assert [row.raw for row in chats.strays()] == [None, "of somebody else"]
        assert chats.verify().ok
    assert len(tables_of(database)) == 1


@pytest.mark.parametrize("options", [SEALED, {}], ids=["with the key", "without it"])
def test_a_body_whose_picture_is_aged_out_stays_sealed(
    options: Any, door: str, door_url: sa.URL, database: sa.Engine
) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        session_id = filled(chats)
        chats.close_chat("web", "anna", at=at(10))
    with open_door(door, door_url, **options) as chats:
        chats.retain(Retention(pictures=timedelta(days=1)))
    stored = tables_of(database)
    assert "Hemligt" not in repr(stored)
    assert not [row for row in stored if isinstance(row[-1], bytes)]
    with open_door(door, door_url, **SEALED) as chats:
        first, *_ = chats.history(session_id)
        assert first.event is not None
        assert first.event["text"] == WORDS
        digest = first.event["image"]["sha256"]
        assert digest == (None if options else hashlib.sha256(PNG).hexdigest())


def test_nothing_is_aged_out_of_a_body_that_can_not_be_opened(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        session_id = filled(chats)
        chats.close_chat("web", "anna", at=at(10))
    with (
        open_door(door, door_url, seal=flipped, open=broken) as chats,
        pytest.raises(SealingFailed),
    ):
        chats.retain(Retention(pictures=timedelta(days=1)))
    with open_door(door, door_url, **SEALED) as chats:
        first, *_ = chats.history(session_id)
        assert first.event is not None
        assert first.event["image"]["sha256"] == hashlib.sha256(PNG).hexdigest()
