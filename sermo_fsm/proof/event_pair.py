"""Pairs of an inbound and an outbound event, and whether the order of reading decides their end.

Every predicate here depends on the user's chats before the two events, on their triggers and on
their receive times. None depends on the order of reading.
"""

from datetime import datetime
from typing import Final

from attrs import define

from sermo_fsm.core.machine import TABLE, State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.events import Trigger

__all__ = [
    "DONE",
    "GOODBYE",
    "MOVES",
    "NO_RETURN",
    "OPENS",
    "RETURNS",
    "SERVES",
    "EventPair",
    "done_as_customer_returns",
    "law_applies",
    "left_after_done",
    "left_around_opening",
    "linger_over_after_deadline",
    "linger_over_after_goodbye",
    "lingers_as_customer_opens",
    "past_deadline_of_opened_chat",
    "resumed_or_opened",
    "text_and_done_at_once",
    "two_chats_back",
]

# Spelled out, not derived from the rules of ownership: a change of those has to fail here.
PRESENCE: Final = frozenset({Trigger.HEARTBEAT, Trigger.TYPING})
RETURNS: Final = PRESENCE | {Trigger.CUSTOMER_TEXT}
NO_RETURN: Final = frozenset({Trigger.MESSAGES_READ, Trigger.CLIENT_UNLOAD, Trigger.UNKNOWN})
GOODBYE: Final = frozenset({Trigger.CLIENT_LEFT})
DONE: Final = frozenset({Trigger.AGENT_DONE})
SERVES: Final = frozenset(
    {
        Trigger.AGENT_TEXT,
        Trigger.QUEUE_NUMBER,
        Trigger.HANDOVER_TO_BOT,
        Trigger.HANDOVER_TO_AGENT,
    }
)
OPENS: Final = SERVES | {Trigger.BOT_TEXT}
MOVES: Final = OPENS | DONE | {Trigger.PLATFORM_CLOSED}


@define  # never changed; but frozen, each would take three times as long to make
class EventPair:
    """An inbound and an outbound event of one user, and the user's chats before them.

    Attributes:
        live: The live chat, if there is one.
        closed: The chat that closed last, if there is one.
        inbound: The trigger of the inbound event, received ``inbound_at``.
        outbound: The trigger of the outbound event, received ``outbound_at``.
        durations: The policy.
    """

    live: ChatSession | None
    closed: ChatSession | None
    inbound: Trigger
    inbound_at: datetime
    outbound: Trigger
    outbound_at: datetime
    durations: Durations

    @property
    def same_instant(self) -> bool:
        """Whether both were received at the same instant."""
        return self.inbound_at == self.outbound_at

    @property
    def customer_returns(self) -> bool:
        """Whether the inbound event can open or resume a chat."""
        return self.inbound in RETURNS

    def lingers(self, closed_at: datetime) -> bool:
        """Whether a chat closed at *closed_at* lingers when the outbound event is received."""
        return self.outbound_at < closed_at + self.durations.linger

    def moves(self, state: State) -> bool:
        """Whether the outbound event moves a chat that is in *state*."""
        return _target(state, self.outbound) is not state


def law_applies(pair: EventPair) -> bool:
    """Whether the law covers this pair: no edge of a chat lies between its two events.

    A chat is live and owns both events. They were not received at the same instant, and the
    customer's event was received before the deadline. If it is a ``client_left``, the chat still
    lingers when the outbound event is received.
    """
    live = pair.live
    return (
        live is not None
        and _owned_by_live(live, pair.closed, min(pair.inbound_at, pair.outbound_at))
        and not pair.same_instant
        and not _reached(live.expires_at, pair.inbound_at)
        and not linger_over_after_goodbye(pair)
    )


def _target(state: State, trigger: Trigger) -> State:
    return TABLE[state, trigger].to


def _reached(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and at >= moment


def _closed_by_agent(closed: ChatSession) -> bool:
    """Whether *closed* was closed by ``agent_done`` and no ``client_left`` has been read."""
    return closed.kept_state is None and not closed.left


def _resumable(closed: ChatSession) -> bool:
    """Whether *closed* was closed by the clock and its kept state is live."""
    return closed.kept_state not in (None, State.CLOSED)


def _owned_by_live(live: ChatSession, closed: ChatSession | None, at: datetime) -> bool:
    """Whether every event received *at* that time belongs to *live*."""
    return closed is None or live.resumed or at >= live.opened_at


def _owned_by_closed(closed: ChatSession, pair: EventPair) -> bool:
    """Whether the outbound event belongs to *closed* if no chat is live."""
    closed_at = closed.closed_at
    if closed_at is None or pair.outbound_at < closed_at or pair.outbound not in OPENS:
        return True
    return pair.lingers(closed_at) and not (_closed_by_agent(closed) and pair.outbound in SERVES)


def _in_time_to_resume(pair: EventPair, closed_at: datetime | None) -> bool:
    """Whether the inbound event is received in time to resume a chat closed at *closed_at*."""
    return _reached(closed_at, pair.inbound_at) and not _reached(
        closed_at and closed_at + pair.durations.linger, pair.inbound_at
    )


def text_and_done_at_once(pair: EventPair) -> bool:
    """Whether the customer's text and ``agent_done`` were received at the same instant."""
    live, at = pair.live, pair.outbound_at
    return (
        live is not None
        and live.state is State.WITH_AGENT
        and pair.same_instant
        and not _reached(live.expires_at, at)
        and not (live.customer_text_at is not None and live.customer_text_at > at)
        and _owned_by_live(live, pair.closed, at)
    )


def done_as_customer_returns(pair: EventPair) -> bool:
    """Whether ``agent_done`` and the customer's return meet around a close by the clock."""
    live, closed = pair.live, pair.closed
    returned, done = pair.inbound_at, pair.outbound_at
    if live is None:
        if closed is None or closed.kept_state is not State.WITH_AGENT:
            return False
        wrote_last = pair.inbound is Trigger.CUSTOMER_TEXT and returned > done
        return _in_time_to_resume(pair, closed.closed_at) and not wrote_last
    if live.state is not State.WITH_AGENT or not _reached(live.expires_at, returned):
        return False
    if not _in_time_to_resume(pair, live.expires_at):
        return done > returned
    if not _owned_by_live(live, closed, done):
        return False
    return done == returned or (done < returned and pair.inbound in PRESENCE)


def left_around_opening(pair: EventPair) -> bool:
    """Whether ``client_left`` is read before or after the outbound event opens a chat."""
    closed = pair.closed
    if pair.live is not None:
        return False
    if closed is None or closed.closed_at is None:
        return True
    return not pair.lingers(closed.closed_at) and pair.inbound_at >= pair.outbound_at


def left_after_done(pair: EventPair) -> bool:
    """Whether the ``client_left`` was read before the event that opens the next chat."""
    live, closed = pair.live, pair.closed
    if closed is None or closed.closed_at is None or not _closed_by_agent(closed):
        return False
    if not (pair.outbound_at >= closed.closed_at and pair.lingers(closed.closed_at)):
        return False
    if live is None:
        return pair.inbound_at < pair.outbound_at
    before = max(pair.inbound_at, pair.outbound_at) < live.opened_at
    return before and pair.moves(live.state)


def linger_over_after_goodbye(pair: EventPair) -> bool:
    """Whether the outbound event comes after ``client_left`` and ``linger``.

    Read last, it opens a chat. Read first, it belongs to the old one.
    """
    live = pair.live
    return (
        live is not None
        and pair.inbound is Trigger.CLIENT_LEFT
        and pair.outbound in OPENS
        and not _reached(live.expires_at, pair.inbound_at)
        and _owned_by_live(live, pair.closed, pair.inbound_at)
        and not pair.lingers(pair.inbound_at)
    )


def linger_over_after_deadline(pair: EventPair) -> bool:
    """Whether the outbound event comes after the deadline and ``linger``.

    Read last, it opens a chat or moves the one that the customer has opened. Read first, it
    belongs to the old one.
    """
    live = pair.live
    if live is None or live.expires_at is None:
        return False
    if pair.inbound_at < live.expires_at or pair.lingers(live.expires_at):
        return False
    return _outbound_decides(pair, live.expires_at)


def _outbound_decides(pair: EventPair, closed_at: datetime) -> bool:
    """Whether an outbound event read last decides the state, after a close by the clock."""
    if not pair.customer_returns:
        return True
    return not _in_time_to_resume(pair, closed_at) and pair.moves(_target(State.OPEN, pair.inbound))


def past_deadline_of_opened_chat(pair: EventPair) -> bool:
    """Whether the inbound event proves the deadline of the chat that the outbound one opens."""
    closed, idle = pair.closed, pair.durations.idle_timeout
    if (
        pair.live is not None
        or idle is None
        or (closed is not None and _owned_by_closed(closed, pair))
    ):
        return False
    deadline = pair.outbound_at + idle
    return pair.inbound_at >= deadline and _outbound_decides(pair, deadline)


def lingers_as_customer_opens(pair: EventPair) -> bool:
    """Whether the outbound event belongs to the lingering chat or to the customer's next one."""
    closed = pair.closed
    if pair.live is not None or closed is None or closed.closed_at is None or _resumable(closed):
        return False
    echoes = closed.kept_state is None and pair.inbound in PRESENCE
    opens = pair.inbound_at >= closed.closed_at and (
        not echoes or _reached(closed.expires_at, pair.inbound_at)
    )
    return (
        opens
        and pair.outbound_at >= pair.inbound_at
        and _owned_by_closed(closed, pair)
        and pair.moves(_target(State.OPEN, pair.inbound))
    )


def resumed_or_opened(pair: EventPair) -> bool:
    """Whether the order decides if the next chat resumes the last one or starts anew."""
    closed = pair.closed
    if pair.live is not None or closed is None or closed.closed_at is None:
        return False
    if closed.kept_state is None or not _resumable(closed) or pair.lingers(closed.closed_at):
        return False
    resumed = _target(_target(closed.kept_state, pair.inbound), pair.outbound)
    opened = _target(State.OPEN, pair.outbound)
    return _in_time_to_resume(pair, closed.closed_at) and resumed is not opened


def two_chats_back(pair: EventPair) -> bool:
    """Whether the outbound event belongs to the chat before the last, or to the resumed one."""
    live, closed = pair.live, pair.closed
    if live is None or closed is None or _owned_by_live(live, closed, pair.outbound_at):
        return False
    resumes = _in_time_to_resume(pair, live.expires_at) and _owned_by_closed(closed, pair)
    return resumes and pair.moves(_target(live.state, pair.inbound))
