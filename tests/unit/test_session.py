"""Sessions, rows and receipts: how a test builds them, what they show, and what a bot asks."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import fields, replace

from sermo_fsm import (
    Agent,
    ChatEngine,
    ChatSession,
    CloseReason,
    Direction,
    Envelope,
    HistoryRow,
    InvalidArgument,
    Outcome,
    Receipt,
    State,
    Trigger,
    Who,
)

OPENED = datetime(2026, 3, 2, 9, 0, 46, 871000, tzinfo=UTC)
CHAT = ChatSession(platform_id="web", user_id="u-1", state=State.BOT, opened_at=OPENED)
ROW = HistoryRow(direction=Direction.INBOUND, outcome=Outcome.MOVED, received_at=OPENED)
SECRET = "Pelle Perfect"  # noqa: S105 - a name that somebody wrote


def test_a_session_is_built_from_what_a_host_knows() -> None:
    assert CHAT.ordinal == 1
    assert {CHAT.since, CHAT.effective_at, CHAT.expiry_set_at} == {OPENED}
    assert (CHAT.live, CHAT.left, CHAT.rows) == (True, False, 0)
    later = replace(CHAT, since=OPENED + timedelta(seconds=1))
    assert later.since > later.opened_at == later.effective_at


def test_an_id_is_made_once_and_then_kept() -> None:
    assert CHAT.session_id == "4196e678-5da7-5eb4-9e22-3892302d2b4e"
    assert CHAT.previous_session_id is None
    erased = replace(CHAT, user_id="somebody", session_id="x")
    assert replace(erased, user_id="nobody", ordinal=2).session_id == "x"


def test_a_row_took_effect_when_it_was_received() -> None:
    assert ROW.effective_at == OPENED
    deadline = HistoryRow(
        direction=Direction.TIMER, outcome=Outcome.MOVED, received_at=None, effective_at=OPENED
    )
    assert deadline.effective_at == OPENED


def test_a_row_that_was_never_received_has_to_say_when_it_took_effect() -> None:
    with pytest.raises(InvalidArgument, match="effective_at: wanted a time, because received_at"):
        HistoryRow(direction=Direction.TIMER, outcome=Outcome.MOVED, received_at=None)


def test_a_time_that_is_left_out_is_that_of_the_opening() -> None:
    later = OPENED + timedelta(seconds=1)
    chat = ChatSession(
        platform_id="web", user_id="u-1", state=State.BOT, opened_at=OPENED, since=later
    )
    assert (chat.since, chat.expiry_set_at, chat.effective_at) == (later, OPENED, OPENED)


def test_a_session_shows_what_is_set() -> None:
    assert repr(CHAT) == (
        "ChatSession(platform_id='web', user_id='u-1', ordinal=1, state=bot, "
        "opened_at=2026-03-02T09:00:46.871000Z, since=2026-03-02T09:00:46.871000Z, rows=0)"
    )
    times: dict[str, Any] = {
        item.name: OPENED for item in fields(ChatSession) if item.default is None
    }
    others: dict[str, Any] = {
        "previous_close_reason": CloseReason.IDLE,
        "resumed": True,
        "close_reason": CloseReason.AGENT_DONE,
        "agent": Agent(id="pp01", name=SECRET, type="human"),
        "queue_place": 0,
        "flow_group_id": "f-1",
        "last_reply_by": Who.HUMAN,
        "kept_state": State.BOT,
    }
    full = replace(CHAT, **{**times, **others})
    shown = repr(full)
    assert "queue_place=0" in shown
    assert "agent='pp01'" in shown
    assert SECRET not in shown
    assert "kept_state" not in shown
    assert len(shown) < 900  # nine lines at most


def test_a_row_shows_nothing_that_people_wrote() -> None:
    row = replace(ROW, trigger=Trigger.CUSTOMER_TEXT, event={"text": SECRET}, raw=SECRET)
    assert repr(row) == (
        "HistoryRow(direction=inbound, trigger=customer_text, outcome=moved, "
        "received_at=2026-03-02T09:00:46.871000Z, effective_at=2026-03-02T09:00:46.871000Z)"
    )


def test_a_receipt_shows_where_the_chat_was_and_where_it_is() -> None:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        user = {"platformId": "web", "userId": "u-1"}
        opened = engine.handle(
            "inbound", {"type": "text", "text": SECRET, **user}, message_id="m-1"
        )
        moved = engine.handle("outbound", {"type": "queue_number", "queueNumber": 2, **user})
        again = engine.handle("inbound", {"type": "text", "text": SECRET, **user}, message_id="m-1")
        invalid = engine.handle("inbound", {"type": "text", "text": [SECRET], **user})
    assert opened.after is not None
    which = f"session_id={opened.after.session_id!r}"
    assert repr(opened) == f"Receipt(outcome=moved, {which}, after=bot, rows=['customer_text'])"
    assert repr(moved) == (
        f"Receipt(outcome=moved, {which}, before=bot, after=queued, rows=['queue_number'])"
    )
    assert repr(again).startswith("Receipt(outcome=duplicate, rows=[], first=HistoryRow(")
    assert repr(invalid).startswith("Receipt(outcome=invalid, rows=['invalid'], error=Invalid")
    assert all(SECRET not in repr(receipt) for receipt in (opened, moved, again, invalid))


def test_an_empty_receipt_is_short() -> None:
    assert repr(Receipt(outcome=Outcome.STAYED)) == "Receipt(outcome=stayed, rows=[])"


SESSION_IN_JSON = [
    *("sessionId", "ordinal", "platformId", "userId", "state", "since", "openedAt", "closedAt"),
    *("closeReason", "previousSessionId", "previousCloseReason", "resumed", "agent"),
    *("queueNumber", "queuedAt", "flowGroupId", "platformClosedAt", "lastSeenAt", "lastReadAt"),
    *("customerTypedAt", "lastCustomerTextAt", "lastReplyAt", "lastReplyBy", "agentTypingSince"),
    *("expiresAt", "rows"),
]
ROW_IN_JSON = [
    *("seq", "direction", "type", "trigger", "from", "to", "outcome", "receivedAt", "effectiveAt"),
    *("at", "messageId", "agentId", "reason", "lastSeenAt", "event"),
]


def plain(value: object) -> bool:
    """Whether a value is of JSON's own types, down to the last leaf: no subclass of them."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float, bool, type(None))


def receipts() -> dict[str, Receipt]:
    """One of each kind that a host can get."""
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        user = {"platformId": "web", "userId": "u-1"}
        text = {"type": "text", "text": SECRET, **user}
        stray = engine.handle("outbound", {"type": "agent_done", **user})
        opened = engine.handle("inbound", text, message_id="m-1", received_at=OPENED)
        again = engine.handle("inbound", text, message_id="m-1")
        (conflict,) = engine.handle_many(
            [Envelope("inbound", {**text, "text": "?"}, message_id="m-1")]
        )
        ignored = engine.handle("outbound", {"type": "agent_done", **user}, received_at=OPENED)
        invalid = engine.handle("inbound", {"type": "text", "text": [SECRET], **user})
        closed = engine.close_chat("web", "u-1", reason="stuck", at=OPENED)
    assert closed is not None
    return {
        "stray": stray,
        "opened": opened,
        "again": again,
        "conflict": conflict,
        "ignored": ignored,
        "invalid": invalid,
        "closed": closed,
    }


def test_a_session_is_json_as_status_prints_it() -> None:
    shown = CHAT.as_dict()
    assert list(shown) == SESSION_IN_JSON
    assert plain(shown)
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["state"], shown["openedAt"]) == ("bot", "2026-03-02T09:00:46.871Z")
    agent = Agent(id="pp01", name=SECRET, type="human")
    full = replace(CHAT, state=State.QUEUED, queue_place=0, agent=agent, last_reply_by=Who.HUMAN)
    shown = full.as_dict()
    assert plain(shown)
    assert shown["agent"] == {"id": "pp01", "name": SECRET, "type": "human"}
    assert (shown["queueNumber"], shown["lastReplyBy"]) == (0, "human")


def test_a_row_is_json_and_tells_what_people_wrote_only_if_asked() -> None:
    row = replace(ROW, trigger=Trigger.CUSTOMER_TEXT, to_state=State.BOT, event={"text": SECRET})
    shown = row.as_dict()
    assert list(shown) == ROW_IN_JSON
    assert plain(shown)
    assert (shown["from"], shown["to"], shown["event"]) == (None, "bot", None)
    assert row.as_dict(bodies=True) == {**shown, "event": {"text": SECRET}}


def test_a_receipt_is_json_whatever_became_of_the_event() -> None:
    for name, receipt in receipts().items():
        assert SECRET not in json.dumps(receipt.as_dict()), name
        shown = receipt.as_dict(bodies=True)
        assert plain(shown), name
        assert json.loads(json.dumps(shown)) == shown
        assert shown["outcome"] == receipt.outcome
        assert shown["before"] == (receipt.before.as_dict() if receipt.before else None)
        assert shown["after"] == (receipt.after.as_dict() if receipt.after else None)
        assert shown["rows"] == [row.as_dict(bodies=True) for row in receipt.rows]


def test_a_receipt_says_its_reason_and_its_error() -> None:
    shown = {name: receipt.as_dict() for name, receipt in receipts().items()}
    wrong = "$.text: wanted a string, got an array"
    conflict = shown["conflict"]["error"]
    assert {name: (one["reason"], one["error"]) for name, one in shown.items()} == {
        "stray": ("this user has no session yet, and this event opens none", None),
        "opened": (None, None),
        "again": (None, None),
        "conflict": (conflict, conflict),
        "ignored": (None, None),
        "invalid": (wrong, wrong),
        "closed": ("operator", None),
    }
    assert conflict.startswith("message 'm-1' on inbound was handed in before with another event")
    assert shown["again"]["first"] == shown["opened"]["rows"][0] == shown["conflict"]["first"]


NOW = OPENED + timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def wrote(ago: float, **other: Any) -> ChatSession:
    """The bot's chat, whose customer wrote so many seconds ago."""
    at = NOW - ago * SECOND
    return replace(CHAT, **{"last_customer_text_at": at, "customer_typed_at": at, **other})


@pytest.mark.parametrize(
    ("session", "may"),
    [
        (wrote(3), True),
        (wrote(2.999), False),
        (CHAT, False),
        (replace(CHAT, customer_typed_at=NOW - 9 * SECOND), False),
        (wrote(9, last_reply_at=NOW - 10 * SECOND), True),
        (wrote(9, last_reply_at=NOW - 9 * SECOND), False),
        (wrote(9, last_reply_at=NOW - 8 * SECOND), False),
        (wrote(9, customer_typed_at=NOW - 3 * SECOND), True),
        (wrote(9, customer_typed_at=NOW - SECOND), False),
        (wrote(9, customer_typed_at=None), True),
        (wrote(9, expires_at=NOW + SECOND), True),
        (wrote(9, expires_at=NOW), False),
        (wrote(9, expires_at=NOW - SECOND), False),
        *((wrote(9, state=state), False) for state in State if state is not State.BOT),
    ],
)
def test_a_bot_may_speak_where_it_is_asked_and_the_customer_waits(
    session: ChatSession,
    may: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert session.may_bot_speak(NOW) is may


def test_the_host_says_how_long_quiet_is() -> None:
    assert wrote(9).may_bot_speak(NOW, quiet=9 * SECOND)
    assert not wrote(9).may_bot_speak(NOW, quiet=10 * SECOND)
    assert wrote(0).may_bot_speak(NOW, quiet=timedelta())


@pytest.mark.parametrize("now", [NOW.replace(tzinfo=None), None, "now"], ids=str)
def test_a_bot_asks_with_a_time_that_has_a_zone(now: Any) -> None:
    for chat in (wrote(9), CHAT):
        with pytest.raises(InvalidArgument, match="now: wanted a time with a zone"):
            chat.may_bot_speak(now)
        with pytest.raises(InvalidArgument, match="now: wanted a time with a zone"):
            chat.live_at(now)


@pytest.mark.parametrize("quiet", [5, None, timedelta.max, -SECOND], ids=str)
def test_a_bot_asks_for_a_quiet_time_that_makes_sense(quiet: Any) -> None:
    with pytest.raises(InvalidArgument, match="quiet: wanted a timedelta from zero"):
        wrote(9).may_bot_speak(NOW, quiet=quiet)


@pytest.mark.parametrize("state", State)
def test_a_chat_lives_until_it_is_closed_or_its_deadline_is_there(state: State) -> None:
    session = replace(CHAT, state=state)
    live = state is not State.CLOSED
    assert session.live_at(NOW) is live
    assert replace(session, expires_at=NOW + SECOND).live_at(NOW) is live
    assert not replace(session, expires_at=NOW).live_at(NOW)


def test_a_place_in_the_queue_is_told_in_the_queue_alone() -> None:
    queued = replace(CHAT, state=State.QUEUED, queue_place=2)
    assert (queued.queue_number, queued.queue_place) == (2, 2)
    # The clock closed a queued chat: the place is kept, for whoever comes back.
    closed = replace(queued, state=State.CLOSED, kept_state=State.QUEUED)
    assert (closed.queue_number, closed.queue_place) == (None, 2)
