"""What later programs send: programs that are alive, events without a platform, times to come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Envelope, InvalidArgument, Outcome, Policy
from tests.command.test_cli_support import sermo, url_of
from tests.doors import each_signature, open_door, stored
from tests.support import USER, at, envelope, event, text

Queue = Literal["inbound", "outbound", "internal"]
SERVING: tuple[Queue, ...] = ("outbound", "internal")
ALIVE = {"type": "application_heartbeat", "available": True}


def rows_in(database: sa.Engine) -> int:
    """How many rows there are in all of our tables, apart from the one with the revision."""
    with database.connect() as connection:
        return sum(
            connection.execute(sa.text(f"SELECT count(*) FROM sermo_{name}")).scalar_one()  # noqa: S608 - our own words
            for name in ("session", "history", "body", "image")
        )


# --- a program is alive ---------------------------------------------------------------------------


@pytest.mark.parametrize("queue", SERVING)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"userId": USER, "platformId": "web"},  # about no chat, whatever it says
        {"userId": None, "at": "2020-02-18T12:14:11.386Z", "direction": None},
        {"available": "no boolean"},
    ],
    ids=str,
)
def test_that_a_program_is_alive_is_written_nowhere(
    chats: ChatEngine, database: sa.Engine, queue: Queue, more: dict[str, Any]
) -> None:
    chats.handle("inbound", text(), received_at=at(0))
    before, rows = stored(chats), rows_in(database)
    event = {**ALIVE, **more}
    many = chats.handle_many(
        [Envelope(queue, event, message_id="a-1"), envelope(queue, event, 9, "a-1")]
    )
    for receipt in (
        *many,
        chats.handle(queue, event),
        chats.handle(queue, event, message_id="a-2", platform_id="web"),
        chats.handle(queue, event, message_id="a-2", received_at=at(99_999)),
    ):
        assert (receipt.outcome, receipt.rows) == (Outcome.UNKNOWN, ())
        assert (receipt.before, receipt.after, receipt.error) == (None, None, None)
    assert (stored(chats), rows_in(database)) == (before, rows)
    # Its message id is forgotten, too.
    assert chats.handle(queue, {"type": "weather"}, message_id="a-2").outcome is Outcome.UNKNOWN
    assert rows_in(database) == rows + 2


def test_on_the_customers_queue_it_is_any_other_unknown_event(chats: ChatEngine) -> None:
    receipt = chats.handle("inbound", ALIVE, message_id="a-1")
    assert (receipt.outcome, len(receipt.rows)) == (Outcome.UNKNOWN, 1)


# --- no platform ----------------------------------------------------------------------------------

BARE = {"type": "heartbeat", "userId": USER}


@pytest.mark.parametrize(
    ("of_engine", "of_call", "of_envelope", "of_event", "wanted"),
    [
        ("a", None, None, None, "a"),
        ("a", "b", None, None, "b"),
        (None, "b", None, None, "b"),
        ("a", "b", "c", None, "c"),
        ("a", None, "c", None, "c"),
        ("a", "b", None, "d", "d"),
        ("a", "b", "d", "d", "d"),
    ],
)
@each_signature
def test_the_nearest_platform_stands_in(
    door: str,
    door_url: sa.URL,
    of_engine: str | None,
    of_call: str | None,
    of_envelope: str | None,
    of_event: str | None,
    wanted: str,
) -> None:
    for kind in ("heartbeat", "weather"):  # an unknown event has an owner, too
        value = {**BARE, "type": kind, "platformId": of_event}
        line = {"direction": "inbound", "event": value, "platformId": of_envelope}
        with open_door(door, door_url, platform_id=of_engine) as chats:
            chats.handle("inbound", text(user=USER) | {"platformId": wanted}, received_at=at(0))
            (receipt,) = chats.handle_many([line], platform_id=of_call)
            assert receipt.after is not None, kind
            assert receipt.after.platform_id == wanted
            if of_envelope is None:
                receipt = chats.handle("inbound", value, platform_id=of_call)
                assert receipt.after is not None
                assert receipt.after.platform_id == wanted


@each_signature
def test_without_any_the_error_says_how_to_give_one(chats: ChatEngine) -> None:
    error = chats.handle("inbound", BARE).error
    assert str(error) == (
        "$.platformId: wanted this field, or a default (platform_id= of the engine or of the call; "
        "--platform or SERMO_PLATFORM in the shell), got nothing"
    )


@each_signature
@pytest.mark.parametrize("platform", ["", "x" * 256, 5])
def test_a_platform_of_the_engine_is_an_id(door: str, door_url: sa.URL, platform: Any) -> None:
    with pytest.raises(InvalidArgument, match="platform_id"):
        open_door(door, door_url, platform_id=platform).__enter__()


# --- times to come --------------------------------------------------------------------------------


def in_(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_a_time_too_far_ahead_is_invalid_and_silences_nobody(chats: ChatEngine) -> None:
    far, near = in_(1.1), in_(0.9)
    with pytest.raises(InvalidArgument, match="received_at: wanted a time at most max_ahead"):
        chats.handle("inbound", text(), received_at=far)
    assert stored(chats) == []
    lines: list[Envelope | dict[str, Any]] = [
        Envelope("inbound", text(), received_at=far, message_id="m-1"),
        {"direction": "inbound", "event": text(), "receivedAt": far.isoformat()},
        Envelope("inbound", text(), received_at=near, message_id="m-1"),
    ]
    first, second, third = chats.handle_many(lines)
    for receipt in (first, second):
        assert receipt.outcome is Outcome.INVALID
        assert str(receipt.error).startswith("$.receivedAt: wanted a time at most max_ahead later")
        # The row is received now, for else it would be ahead of everything that comes.
        assert receipt.rows[0].received_at is not None
        assert receipt.rows[0].received_at < near
    assert third.outcome is Outcome.MOVED  # an invalid event's message id is not remembered
    assert chats.close_chat("web", USER, at=near)


@each_signature
def test_without_a_limit_any_time_is_believed(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url, policy=Policy(max_ahead=None)) as chats:
        far = datetime(2999, 1, 1, tzinfo=UTC)
        receipt = chats.handle("inbound", text(), received_at=far)
        assert receipt.after is not None
        assert receipt.after.opened_at == far
        assert chats.close_chat("web", USER, at=far)


def test_ingest_takes_the_limit_from_its_policy(tmp_path: Path) -> None:
    lines, policy = tmp_path / "lines.jsonl", tmp_path / "policy.toml"
    lines.write_text(
        '{"direction": "inbound", "receivedAt": "2999-01-01T00:00:00Z", "event": '
        '{"type": "text", "text": "Hej!", "platformId": "web", "userId": "u-1"}}\n'
    )
    policy.write_text("max_ahead = false\n")
    url = url_of(tmp_path / "chats.db")
    assert sermo("ingest", lines, "--db", url).exit_code == 1
    assert sermo("ingest", lines, "--policy", policy, "--db", url).exit_code == 0


# --- what nobody has sent -------------------------------------------------------------------------

UNSENT = "osänt hemligt"


@pytest.mark.parametrize(
    "kind", ["typing", "typing_on", "Typing", "TYPING_OFF", "typingStarted", "typing ", "tYpInG_2"]
)
@pytest.mark.parametrize("queue", ["inbound", "outbound", "internal"])
def test_what_was_typed_and_not_sent_is_stored_nowhere_in_any_spelling(
    chats: ChatEngine, database: sa.Engine, queue: Queue, kind: str
) -> None:
    chats.handle("inbound", text(), received_at=at(0))
    whole = event(kind, text=UNSENT)
    for value in (whole, {**whole, "userId": 5}, {**whole, "text": [UNSENT]}, {**whole, "at": {}}):
        chats.handle(queue, value, received_at=at(1))
    with database.connect() as connection:
        for name in ("event", "raw"):
            kept = connection.execute(sa.text(f"SELECT {name} FROM sermo_body")).scalars()  # noqa: S608 - our own words
            assert not [one for one in kept if one and "hemligt" in str(one)]
