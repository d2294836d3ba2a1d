"""The way of one chat: its steps, and how long it was where."""

from datetime import timedelta

import pytest

from sermo_fsm import ChatEngine, ChatSession, Direction, State, Trigger
from sermo_fsm.views.chat_path import ChatPath, path_from_rows
from tests.another_table import hand_in, script
from tests.doors import each_signature
from tests.support import ANDERS, PLATFORM, at

pytestmark = each_signature  # a view of what the engine says

CUSTOMER = {"type": "text", "text": "Hej!"}
AGENT = {"type": "text", "text": "Hej!", "agent": ANDERS}
HEARTBEAT = {"type": "heartbeat"}
QUEUE = {"type": "queue_number", "queueNumber": 3}
LEFT = {"type": "client_left"}

LATER = 1900  # by then the clock has closed a chat, and the customer can still resume it


def walk(chats: ChatEngine, session: ChatSession | None = None) -> ChatPath:
    found = session or chats.status(PLATFORM, "anna")
    assert found is not None
    return path_from_rows(found, chats.history(found.session_id))


def stays(walk: ChatPath, now: float) -> list[tuple[State, float]]:
    return [(state, length.total_seconds()) for state, length in walk.stays(at(now))]


def test_what_moved_the_chat_is_a_step_and_nothing_else(chats: ChatEngine) -> None:
    hand_in(
        chats,
        script(
            "anna",
            *((0, "inbound", HEARTBEAT), (1, "inbound", HEARTBEAT), (2, "inbound", CUSTOMER)),
            *((3, "inbound", CUSTOMER), (10, "outbound", QUEUE), (20, "outbound", AGENT)),
            *((30, "inbound", LEFT), (31, "outbound", QUEUE)),
        ),
    )
    found = walk(chats)

    steps = [(step.seq, step.source, step.target, step.trigger) for step in found.steps]
    assert steps == [
        (1, None, State.OPEN, Trigger.HEARTBEAT),
        (2, State.OPEN, State.BOT, Trigger.CUSTOMER_TEXT),
        (4, State.BOT, State.QUEUED, Trigger.QUEUE_NUMBER),
        (5, State.QUEUED, State.WITH_AGENT, Trigger.AGENT_TEXT),
        (6, State.WITH_AGENT, State.CLOSED, Trigger.CLIENT_LEFT),
    ]
    assert [step.at for step in found.steps] == [at(0), at(2), at(10), at(20), at(30)]
    assert {step.direction for step in found.steps} == {Direction.INBOUND, Direction.OUTBOUND}
    assert stays(found, 99) == [
        (State.OPEN, 2),
        (State.BOT, 8),
        (State.QUEUED, 10),
        (State.WITH_AGENT, 10),
        (State.CLOSED, 0),
    ]


def test_a_live_chat_is_still_where_it_is(chats: ChatEngine) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))

    found = walk(chats)

    assert stays(found, 70) == [(State.BOT, 10), (State.QUEUED, 60)]
    assert stays(found, 5) == [(State.BOT, 10), (State.QUEUED, 0)]  # a clock that is behind


def test_what_the_clock_closed_and_what_was_resumed_are_two_walks(chats: ChatEngine) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    chats.sweep(at(LATER))
    hand_in(chats, script("anna", (20, "outbound", AGENT)))  # late: it moves what is kept
    hand_in(chats, script("anna", (LATER, "inbound", HEARTBEAT)))

    resumed, closed = (walk(chats, chat) for chat in chats.sessions())

    assert resumed.session.resumed
    (step,) = resumed.steps
    assert (step.source, step.target) == (None, State.WITH_AGENT)
    assert stays(resumed, LATER + 1) == [(State.WITH_AGENT, 1)]
    last = closed.steps[-1]
    assert (last.direction, last.trigger, last.target) == (
        Direction.TIMER,
        Trigger.EXPIRE,
        State.CLOSED,
    )
    assert stays(closed, 9999) == [(State.BOT, 10), (State.QUEUED, 1790), (State.CLOSED, 0)]


def test_time_never_runs_backwards(chats: ChatEngine) -> None:
    hand_in(chats, script("anna", (10, "inbound", CUSTOMER), (3, "outbound", QUEUE)))
    hand_in(chats, script("anna", (12, "outbound", AGENT)))

    assert stays(walk(chats), 20) == [(State.BOT, 0), (State.QUEUED, 2), (State.WITH_AGENT, 8)]


@pytest.mark.parametrize("seconds", [0, 60])
def test_without_rows_there_is_no_way(chats: ChatEngine, seconds: float) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER)))
    chat = chats.status(PLATFORM, "anna")
    assert chat is not None

    assert path_from_rows(chat, []) == ChatPath(chat, ())
    assert path_from_rows(chat, []).stays(chat.since + timedelta(seconds=seconds)) == ()
    assert path_from_rows(chat, chats.strays()).steps == ()
