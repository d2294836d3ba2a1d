"""Until when a customer is believed to be there: every rule of the design, one by one."""

from datetime import timedelta

import pytest

from sermo_fsm.core.advance import NO_VISITS, Visits, advance
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import CloseReason
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.wire import decode
from tests.support import ANDERS, at, event, text

DURATIONS = Durations(
    unload_grace=timedelta(seconds=60),
    idle_timeout=timedelta(seconds=1000),
    linger=timedelta(seconds=300),
)


def after(*read: tuple[int, str]) -> Visits:
    """A user's chats, once these were read in this order, each received so many seconds in."""
    visits = NO_VISITS
    for seconds, kind in read:
        value = {"text": text(), "agent": text(agent=ANDERS)}.get(kind, event(kind))
        served = kind in ("agent", "agent_done")
        direction = Direction.OUTBOUND if served else Direction.INBOUND
        message = decode(direction, value, received_at=at(seconds))
        visits = advance(visits, message, DURATIONS).visits
    return visits


ENDED = (0, "text"), (1, "agent"), (2, "agent_done")

IDLE, UNLOAD, LEFT = CloseReason.IDLE, CloseReason.CLIENT_UNLOAD, CloseReason.CLIENT_LEFT


@pytest.mark.parametrize(
    ("read", "seconds", "reason"),
    [
        pytest.param([(0, "text")], 1000, IDLE, id="opened by the customer"),
        pytest.param([(7, "agent")], 1007, IDLE, id="opened by the other side"),
        pytest.param([(0, "text"), (9, "agent")], 1000, IDLE, id="outbound sets nothing"),
        pytest.param([(0, "text"), (9, "heartbeat")], 1009, IDLE, id="a later sign"),
        pytest.param([(0, "text"), (9, "unheard of")], 1009, IDLE, id="an unknown one, too"),
        pytest.param([(9, "text"), (5, "unheard of")], 1009, IDLE, id="an earlier one"),
        pytest.param([(9, "agent"), (5, "heartbeat")], 1009, IDLE, id="from before the opening"),
        pytest.param([(0, "text"), (9, "client_unload")], 69, UNLOAD, id="a reload, or the end"),
        pytest.param(
            [(0, "text"), (9, "client_unload"), (10, "heartbeat")], 1010, IDLE, id="a reload"
        ),
        pytest.param(
            [(0, "text"), (9, "heartbeat"), (5, "client_unload")], 1009, IDLE, id="reloaded before"
        ),
        pytest.param(
            [(0, "text"), (9, "heartbeat"), (9, "client_unload")], 69, UNLOAD, id="at once"
        ),
        pytest.param(
            [(0, "text"), (9, "client_unload"), (9, "heartbeat")], 69, UNLOAD, id="at once, again"
        ),
        pytest.param([(0, "text"), (9, "client_left")], 69, LEFT, id="a goodbye"),
        pytest.param(
            [(0, "text"), (9, "client_left"), (20, "messages_read")], 69, LEFT, id="is final"
        ),
        pytest.param(
            [(0, "text"), (9, "client_left"), (20, "client_left")], 69, LEFT, id="the first"
        ),
        pytest.param(
            [(0, "text"), (20, "heartbeat"), (9, "client_left")], 80, LEFT, id="the later time"
        ),
        pytest.param([*ENDED, (30, "heartbeat")], 1030, IDLE, id="an echo"),
        pytest.param([*ENDED, (30, "client_left")], 90, LEFT, id="a goodbye after the end"),
        pytest.param([*ENDED, (1000, "messages_read")], 1000, IDLE, id="an echo too late"),
        pytest.param(
            [*ENDED, (1000, "messages_read"), (900, "heartbeat")], 1000, IDLE, id="its echo is over"
        ),
    ],
)
def test_the_moment_is_where_the_design_says(
    read: list[tuple[int, str]], seconds: int, reason: CloseReason
) -> None:
    chat = after(*read).current
    assert chat is not None
    assert (chat.expires_at, chat.expiry_reason) == (at(seconds), reason)


def test_the_next_chat_ends_the_echo_of_the_one_before() -> None:
    visits = after(*ENDED, (50, "text"), (40, "heartbeat"))
    assert visits.live is not None
    assert visits.closed is not None
    assert visits.live.expires_at == at(1050)
    assert visits.closed.expires_at == at(1000)
    assert visits.closed.last_seen_at == at(40), "it was the one before that heard of it"


def test_the_next_chat_ends_what_a_chat_that_the_clock_closed_keeps() -> None:
    visits = after((0, "text"), (1400, "heartbeat"), (500, "agent"))
    assert visits.closed is not None
    assert visits.closed.kept_state == "bot", "though its agent spoke before the deadline"
