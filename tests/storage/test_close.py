"""A chat is closed by hand, on every database: what is written, and what is refused."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sermo_fsm import (
    ChatEngine,
    ChatSession,
    CloseReason,
    Direction,
    HistoryRow,
    InvalidArgument,
    Outcome,
    State,
    Trigger,
)
from tests.doors import each_signature, host_transaction, stored
from tests.support import ANDERS, PLATFORM, USER, at, event, text


def opened(chats: ChatEngine) -> ChatSession:
    """A chat in the queue, whose latest row is of 10 s."""
    chats.handle("inbound", text(), received_at=at(0))
    chats.handle("outbound", event("queue_number", queueNumber=1), received_at=at(10))
    return now(chats)


def now(chats: ChatEngine) -> ChatSession:
    session = chats.status(PLATFORM, USER)
    assert session is not None
    return session


def test_it_closes_what_is_live_and_says_who_and_why(chats: ChatEngine) -> None:
    before = opened(chats)
    receipt = chats.close_chat(PLATFORM, USER, reason="stuck", at=at(20))
    assert receipt is not None
    assert (receipt.outcome, receipt.before, receipt.reason) == (Outcome.MOVED, before, "operator")
    after = now(chats)
    assert receipt.after == after
    assert (after.state, after.close_reason) == (State.CLOSED, CloseReason.OPERATOR)
    assert after.closed_at == after.since == at(20)
    assert (after.queue_number, after.kept_state) == (None, None)
    *_, row = chats.history(after.session_id)
    assert receipt.rows == (row,)
    assert (row.direction, row.trigger, row.type) == (Direction.OPERATOR, Trigger.CLOSE, None)
    assert (row.from_state, row.to_state, row.reason) == (State.QUEUED, State.CLOSED, "operator")
    assert (row.received_at, row.effective_at, row.last_seen_at) == (at(20), at(20), at(0))
    assert row.event == {"reason": "stuck"}
    assert chats.verify().ok
    assert chats.compare().ok


def test_what_comes_after_it_is_late_and_a_text_opens_the_next_chat(chats: ChatEngine) -> None:
    opened(chats)
    assert chats.close_chat(PLATFORM, USER, at=at(20))
    for direction, value in (
        (Direction.OUTBOUND, text(agent=ANDERS)),
        (Direction.INBOUND, event("client_left")),
        (Direction.OUTBOUND, event("end_session")),
    ):
        assert chats.handle(direction, value, received_at=at(21)).outcome is Outcome.LATE
    receipt = chats.handle("inbound", text(), received_at=at(22))
    assert receipt.after is not None
    assert (receipt.after.ordinal, receipt.after.resumed) == (2, False)
    assert receipt.after.previous_close_reason is CloseReason.OPERATOR


def test_without_a_reason_and_a_time_it_closes_now(chats: ChatEngine) -> None:
    opened(chats)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    receipt = chats.close_chat(PLATFORM, USER)
    assert receipt is not None
    assert receipt.after is not None
    assert receipt.after.closed_at is not None
    assert before <= receipt.after.closed_at <= datetime.now(UTC)
    assert receipt.rows[0].event is None


def test_a_chat_whose_latest_row_is_ahead_of_our_clock_closes_then(chats: ChatEngine) -> None:
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    chats.handle("inbound", text(), received_at=ahead)
    receipt = chats.close_chat(PLATFORM, USER)
    assert receipt is not None
    assert receipt.rows[0].effective_at == receipt.rows[0].received_at == ahead


def test_nobody_and_nothing_live_is_none(chats: ChatEngine) -> None:
    assert chats.close_chat(PLATFORM, USER) is None
    opened(chats)
    assert chats.close_chat(PLATFORM, USER, at=at(20))
    before = stored(chats)
    assert chats.close_chat(PLATFORM, USER, reason="again") is None
    assert chats.close_chat("elsewhere", USER) is None
    assert stored(chats) == before


def test_it_is_not_before_the_latest_row(chats: ChatEngine) -> None:
    opened(chats)
    before = stored(chats)
    with pytest.raises(InvalidArgument, match="at: wanted a time not before 2026-03-01T12:00:10"):
        chats.close_chat(PLATFORM, USER, at=at(9.999))
    assert stored(chats) == before
    assert chats.close_chat(PLATFORM, USER, at=at(10))


@each_signature
@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"at": datetime(2999, 1, 1, tzinfo=UTC)}, "at"),
        ({"at": datetime(2026, 3, 1, 12)}, "at"),  # noqa: DTZ001 - without a zone
        ({"at": "now"}, "at"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 256}, "reason"),
        ({"reason": 5}, "reason"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"platform_id": "x" * 256}, "platform_id"),
        ({"platform_id": None}, "platform_id"),
    ],
    ids=str,
)
def test_what_is_no_argument_is_refused(
    chats: ChatEngine, wrong: dict[str, Any], argument: str
) -> None:
    opened(chats)
    before = stored(chats)
    with pytest.raises(InvalidArgument) as caught:
        chats.close_chat(**{"platform_id": PLATFORM, "user_id": USER, **wrong})
    assert caught.value.argument == argument
    assert stored(chats) == before


def test_in_the_hosts_transaction_it_stands_or_falls_with_it(chats: ChatEngine) -> None:
    before = opened(chats)
    with suppress(RuntimeError), host_transaction(chats) as connection:
        assert chats.close_chat(PLATFORM, USER, at=at(20), connection=connection)
        raise RuntimeError
    assert now(chats) == before
    with host_transaction(chats) as connection:
        receipt = chats.close_chat(PLATFORM, USER, at=at(20), connection=connection)
        assert receipt is not None
        seen = chats.status(PLATFORM, USER, connection=connection)
        assert seen == receipt.after
    assert now(chats).close_reason is CloseReason.OPERATOR


def test_hooks_are_told_and_can_refuse(chats: ChatEngine) -> None:
    before = opened(chats)
    told: list[HistoryRow] = []
    refusing = [True]

    @chats.within_transaction
    def refuse(row: HistoryRow, _: object) -> None:
        if refusing and row.trigger is Trigger.CLOSE:
            raise RuntimeError("not this one")

    chats.after_commit(told.append)
    with pytest.raises(RuntimeError, match="not this one"):
        chats.close_chat(PLATFORM, USER, at=at(20))
    assert (now(chats), told) == (before, [])
    refusing.clear()
    receipt = chats.close_chat(PLATFORM, USER, at=at(20))
    assert receipt is not None
    assert tuple(told) == receipt.rows


def test_an_overdue_chat_is_closed_by_hand_all_the_same(chats: ChatEngine) -> None:
    """The inbound queue may hold a heartbeat: an operator's word proves nothing about it."""
    opened(chats)
    receipt = chats.close_chat(PLATFORM, USER, at=at(9999))
    assert receipt is not None
    assert [row.trigger for row in receipt.rows] == [Trigger.CLOSE]
    assert chats.sweep(at(99_999)) == []


def test_message_ids_are_still_known_after_it(chats: ChatEngine) -> None:
    chats.handle("inbound", text(), message_id="m-1", received_at=at(0))
    assert chats.close_chat(PLATFORM, USER, at=at(1))
    again = chats.handle("inbound", text(), message_id="m-1", received_at=at(0))
    assert again.outcome is Outcome.DUPLICATE
