"""What a host hands in to build a session, a row or a receipt in its tests, and what they show."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, fields

from sermo_fsm import (
    Agent,
    ChatEngine,
    ChatSession,
    CloseReason,
    Direction,
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
    later = evolve(CHAT, since=OPENED + timedelta(seconds=1))
    assert later.since > later.opened_at == later.effective_at


def test_a_row_took_effect_when_it_was_received() -> None:
    assert ROW.effective_at == OPENED
    deadline = HistoryRow(
        direction=Direction.TIMER, outcome=Outcome.MOVED, received_at=None, effective_at=OPENED
    )
    assert deadline.effective_at == OPENED


def test_a_row_that_was_never_received_has_to_say_when_it_took_effect() -> None:
    with pytest.raises(InvalidArgument, match="effective_at: wanted a time, because received_at"):
        HistoryRow(direction=Direction.TIMER, outcome=Outcome.MOVED, received_at=None)


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
        "queue_number": 0,
        "flow_group_id": "f-1",
        "last_reply_by": Who.HUMAN,
        "kept_state": State.BOT,
    }
    full = evolve(CHAT, **{**times, **others})
    shown = repr(full)
    assert "queue_number=0" in shown
    assert "agent='pp01'" in shown
    assert SECRET not in shown
    assert "kept_state" not in shown
    assert len(shown) < 900  # nine lines at most


def test_a_row_shows_nothing_that_people_wrote() -> None:
    row = evolve(ROW, trigger=Trigger.CUSTOMER_TEXT, event={"text": SECRET}, raw=SECRET)
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
