"""A customer whom the clock took for gone comes back, and finds everything as it was."""

from datetime import timedelta
from typing import Any

import pytest

from sermo_fsm import Agent, ChatSession, CloseReason, Direction, Outcome, State, Trigger, Who
from sermo_fsm.core.advance import NO_VISITS, Step, Visits, advance, expire
from sermo_fsm.core.policy import Durations
from sermo_fsm.protocol.wire import decode
from tests.support import ANDERS, BOT, at, event, text

DURATIONS = Durations()  # a reload is believed for 60 s, and who comes back is for half an hour
IN, OUT, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL

Sent = tuple[float, Direction, dict[str, Any]]


def step(visits: Visits, sent: Sent) -> Step:
    seconds, direction, value = sent
    return advance(visits, decode(direction, value, received_at=at(seconds)), DURATIONS)


def play(*events: Sent, visits: Visits = NO_VISITS) -> Visits:
    """The user's chats after these events, in the order in which they are read."""
    for sent in events:
        visits = step(visits, sent).visits
    return visits


def live(visits: Visits) -> ChatSession:
    assert visits.live is not None
    return visits.live


def closed(visits: Visits) -> ChatSession:
    assert visits.closed is not None
    return visits.closed


def swept(visits: Visits) -> Visits:
    return Visits(None, expire(live(visits))[0])


HELLO: Sent = (0, IN, text("Hej!"))
RELOAD: Sent = (1, IN, event("client_unload"))
BACK: Sent = (63, IN, event("heartbeat"))


def test_the_bot_answers_a_customer_who_wrote_before_the_reload() -> None:
    chat = live(play(HELLO, RELOAD, BACK))
    assert (chat.ordinal, chat.resumed, chat.state) == (2, True, State.BOT)
    assert chat.previous_close_reason is CloseReason.CLIENT_UNLOAD
    assert chat.last_customer_text_at == chat.customer_typed_at == at(0)
    assert chat.may_bot_speak(at(63))


def test_what_the_bot_has_answered_needs_no_answer_after_the_reload() -> None:
    answered = live(play(HELLO, (0.5, OUT, text(agent=BOT)), RELOAD, BACK))
    assert (answered.last_reply_at, answered.last_reply_by) == (at(0.5), Who.BOT)
    assert not answered.may_bot_speak(at(63))


def test_a_place_in_the_queue_is_kept_and_how_long_it_was_waited_for() -> None:
    chat = live(play(HELLO, (0.5, OUT, event("queue_number", queueNumber=3)), RELOAD, BACK))
    assert (chat.state, chat.queue_number, chat.queued_at) == (State.QUEUED, 3, at(0.5))
    assert chat.since == chat.opened_at == at(63)


def test_what_came_late_in_between_counts_in() -> None:
    gone = swept(play(HELLO, RELOAD))
    late: tuple[Sent, ...] = (
        (61, OUT, event("handover_to_agent")),
        (62, OUT, event("queue_number", queueNumber=2)),
        (62, OUT, text(agent=BOT)),
        (60.5, IN, text("Hallå?")),
    )
    visits = play(*late, visits=gone)
    assert visits.live is None
    assert closed(visits).queue_number is None  # it is over, and waits nowhere
    chat = live(play(BACK, visits=visits))
    assert (chat.state, chat.queue_number, chat.queued_at) == (State.QUEUED, 2, at(61))
    assert (chat.last_reply_at, chat.last_reply_by) == (at(62), Who.BOT)
    assert chat.last_customer_text_at == at(60.5)


def test_a_late_claim_makes_its_agent_the_one_who_has_the_chat() -> None:
    gone = swept(play(HELLO, (0.5, INTERNAL, event("handover_to_queue")), RELOAD))
    visits = play((62, INTERNAL, event("claim_session", agentId="bebe02")), visits=gone)
    chat = live(play(BACK, visits=visits))
    assert (chat.state, chat.agent, chat.queue_number) == (
        State.WITH_AGENT,
        Agent(id="bebe02"),
        None,
    )


def test_a_late_goodbye_leaves_nothing_to_resume() -> None:
    gone = swept(play(HELLO, RELOAD))
    visits = play((2, IN, event("client_left")), visits=gone)
    assert closed(visits).kept_state is State.CLOSED
    chat = live(play(BACK, visits=visits))
    assert (chat.resumed, chat.state, chat.last_customer_text_at) == (False, State.OPEN, None)


NOT_INHERITED = {
    *("platform_id", "user_id", "ordinal", "session_id", "previous_session_id"),
    *("previous_close_reason", "resumed", "opened_at", "since", "closed_at", "close_reason"),
    *("expires_at", "rows", "state", "kept_state"),
    *("expiry_set_at", "expiry_reason", "effective_at"),
}


def test_a_resumed_chat_has_everything_else_of_the_one_before() -> None:
    visits = play(
        *(HELLO, (0, OUT, event("handover_to_bot", flowGroupId="faktura"))),
        *((0.1, OUT, event("platform_closed")), (0.2, OUT, text(agent=ANDERS))),
        *((0.3, OUT, event("typing_on")), (0.4, OUT, event("typing_off"))),
        *((0.5, IN, event("messages_read")), (0.6, OUT, event("queue_number", queueNumber=1))),
        RELOAD,
    )
    before = closed(swept(visits))
    names = set(ChatSession.__struct_fields__) - NOT_INHERITED
    assert not [name for name in names if getattr(before, name) is None]
    resumed = live(play((63, IN, event("start")), visits=swept(visits)))
    assert {name: getattr(resumed, name) for name in names} == {
        **{name: getattr(before, name) for name in names},
        "last_seen_at": at(63),
    }


def test_who_comes_back_after_linger_or_twice() -> None:
    gone = swept(play(HELLO, RELOAD))
    moment = closed(gone).closed_at
    assert moment == at(61)
    assert live(play((61 + 1799, IN, event("heartbeat")), visits=gone)).resumed
    anew = live(play((61 + 1800, IN, event("heartbeat")), visits=gone))
    assert (anew.resumed, anew.state, anew.last_customer_text_at) == (False, State.OPEN, None)
    again = play(BACK, (64, IN, event("client_unload")), (125, IN, event("start")), visits=gone)
    assert live(again).ordinal == 3
    assert live(again).last_customer_text_at == at(0)


def test_the_last_word_before_a_resume_is_later_than_an_older_agent_done() -> None:
    visits = play(HELLO, (1, OUT, text(agent=ANDERS)), (5, IN, text("Vänta!")))
    resumed = play((5 + 1801, IN, event("heartbeat")), visits=visits)
    assert live(resumed).resumed
    assert live(play((4, OUT, event("agent_done")), visits=resumed)).state is State.BOT
    assert closed(play((6, OUT, event("agent_done")), visits=resumed)).state is State.CLOSED


def test_an_older_goodbye_is_late_and_every_other_event_is_not() -> None:
    visits = play(HELLO, RELOAD, BACK)
    left = step(visits, (62, IN, event("client_left")))
    assert (left.outcome, left.visits.live) == (Outcome.LATE, visits.live)
    assert left.after is not None
    assert left.after.ordinal == 1
    for direction, value in ((OUT, text(agent=ANDERS)), (IN, text()), (IN, event("messages_read"))):
        older = step(visits, (62, direction, value))
        assert older.after is not None
        assert older.after.ordinal == 2
    gone = play((64, IN, event("client_left")), visits=visits)
    assert closed(gone).ordinal == 2


@pytest.mark.parametrize("goodbye", [5, 10, 11])
def test_no_chat_closes_before_it_opened(goodbye: float) -> None:
    chat = closed(play((10, OUT, text(agent=ANDERS)), (goodbye, IN, event("client_left"))))
    assert chat.closed_at == at(max(goodbye, 10))
    assert chat.closed_at >= chat.opened_at


def test_of_every_kind_of_time_the_latest_counts_also_from_before_the_opening() -> None:
    """A bot must not be told that nobody wrote because its own text was read first."""
    visits = play(
        *((10, OUT, text(agent=BOT)), (9, IN, text("Hej!")), (8, IN, event("messages_read"))),
        *((7, OUT, event("platform_closed")), (9.5, IN, event("typing"))),
    )
    chat = live(visits)
    assert chat.opened_at == at(10)
    assert (chat.last_customer_text_at, chat.last_read_at) == (at(9), at(8))
    assert (chat.platform_closed_at, chat.customer_typed_at) == (at(7), at(9.5))
    assert chat.last_seen_at == at(9.5)
    older = live(play((9, IN, text("?")), (6, IN, text("Hallå")), visits=visits))
    assert older.last_customer_text_at == at(9)


def test_a_reply_from_before_the_opening_is_the_last_reply_until_a_later_one() -> None:
    opened = play((10, IN, text("Hej!")), (9, OUT, text(agent=ANDERS)))
    assert (live(opened).last_reply_at, live(opened).last_reply_by) == (at(9), Who.HUMAN)
    later = live(play((8, OUT, text(agent=BOT)), visits=opened))
    assert (later.last_reply_at, later.last_reply_by) == (at(9), Who.HUMAN)


def test_the_deadline_counts_from_the_opening_or_later() -> None:
    chat = live(play((10, OUT, text(agent=BOT)), (5, IN, event("client_unload"))))
    assert chat.expires_at == at(10) + timedelta(minutes=30)


def test_the_row_that_resumes_leads_to_the_kept_state() -> None:
    done = step(play(HELLO, RELOAD), BACK)
    assert [row.trigger for row in done.rows] == [Trigger.EXPIRE, Trigger.HEARTBEAT]
    opening = done.rows[-1]
    assert (opening.seq, opening.from_state, opening.to_state) == (1, None, State.BOT)
    assert opening.outcome is Outcome.MOVED
