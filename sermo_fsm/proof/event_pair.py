"""Pairs of an inbound and an outbound event, and whether the order of reading decides their end.

Every predicate here depends on the user's chats before the two events, on their triggers and on
their receive times. None depends on the order of reading.
"""

from datetime import datetime
from typing import Final

from attrs import define

from sermo_fsm.core.machine import TABLE, State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
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
    "last_word_undecided",
    "law_applies",
    "left_after_done",
    "left_around_opening",
    "linger_over_after_deadline",
    "linger_over_after_goodbye",
    "lingers_as_customer_opens",
    "past_deadline_of_opened_chat",
    "resumed_or_opened",
    "two_chats_back",
]

# Spelled out, not derived from the rules of ownership: a change of those has to fail here.
PRESENCE: Final = frozenset({Trigger.HEARTBEAT, Trigger.TYPING, Trigger.START})
RETURNS: Final = PRESENCE | {Trigger.CUSTOMER_TEXT}
NO_RETURN: Final = frozenset({Trigger.MESSAGES_READ, Trigger.CLIENT_UNLOAD, Trigger.UNKNOWN})
GOODBYE: Final = frozenset({Trigger.CLIENT_LEFT})
DONE: Final = frozenset({Trigger.AGENT_DONE, Trigger.END_SESSION})
SERVES: Final = frozenset(
    {
        Trigger.AGENT_TEXT,
        Trigger.CLAIM_SESSION,
        Trigger.QUEUE_NUMBER,
        Trigger.HANDOVER_TO_BOT,
        Trigger.HANDOVER_TO_AGENT,
        Trigger.HANDOVER_TO_QUEUE,
    }
)
OPENS: Final = SERVES | {Trigger.BOT_TEXT}
MOVES: Final = OPENS | DONE | {Trigger.AGENT_RELEASED, Trigger.PLATFORM_CLOSED}


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

    def ends(self, chat: ChatSession, state: State) -> bool:
        """Whether the outbound event closes *chat*, live or kept in *state*.

        It does not if the customer wrote later.
        """
        wrote_at = chat.last_customer_text_at
        wrote_later = wrote_at is not None and wrote_at > self.outbound_at
        return _target(state, self.outbound) is State.CLOSED and not wrote_later


def law_applies(pair: EventPair) -> bool:
    """Whether the law covers this pair: no edge of a chat lies between its two events.

    A chat is live and owns both events. They were not received at the same instant, and the
    customer's event was received before the deadline. If it is a ``client_left``, the chat still
    lingers when the outbound event is received. They are not the last word and a close, both from
    before the opening.
    """
    live = pair.live
    return (
        live is not None
        and _owned_by_live(live, pair.closed, pair.inbound, pair.inbound_at)
        and _owned_by_live(live, pair.closed, pair.outbound, pair.outbound_at)
        and not pair.same_instant
        and not _reached(live.expires_at, pair.inbound_at)
        and not linger_over_after_goodbye(pair)
        and not (pair.inbound is Trigger.CUSTOMER_TEXT and last_word_undecided(pair))
    )


def _target(state: State, trigger: Trigger) -> State:
    return TABLE[state, trigger].to


def _reached(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and at >= moment


def _closed_by_agent(closed: ChatSession) -> bool:
    """Whether *closed* was closed by ``agent_done`` and no ``client_left`` has been read."""
    return closed.close_reason is CloseReason.AGENT_DONE and not closed.left


def _resumable(closed: ChatSession) -> bool:
    """Whether *closed* was closed by the clock and its kept state is live."""
    return closed.kept_state not in (None, State.CLOSED)


def _owned_by_live(
    live: ChatSession, closed: ChatSession | None, trigger: Trigger, at: datetime
) -> bool:
    """Whether this event belongs to *live*, however the chat before has ended."""
    resumed = live.resumed and trigger is not Trigger.CLIENT_LEFT
    return closed is None or resumed or at >= live.opened_at


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


def last_word_undecided(pair: EventPair) -> bool:
    """Whether neither the customer's text nor the event that ends the chat is the later one.

    They were received at the same instant; or both before the chat opened, the text later. Then
    the chat that is closed first was closed at its opening, and the text comes too late for it.
    """
    live, wrote, done = pair.live, pair.inbound_at, pair.outbound_at
    return (
        live is not None
        and pair.ends(live, live.state)
        and (done < wrote < live.opened_at or done == wrote >= live.opened_at)
        and not _reached(live.expires_at, wrote)
        and _owned_by_live(live, pair.closed, pair.outbound, done)
    )


def done_as_customer_returns(pair: EventPair) -> bool:
    """Whether the end of a chat and the customer's return meet around a close by the clock."""
    live, closed = pair.live, pair.closed
    returned, done = pair.inbound_at, pair.outbound_at
    if live is None:
        if closed is None or closed.kept_state is None or not _resumable(closed):
            return False
        if not pair.ends(closed, closed.kept_state):
            return False
        wrote_last = pair.inbound is Trigger.CUSTOMER_TEXT and returned > done
        return _in_time_to_resume(pair, closed.closed_at) and not wrote_last
    if not pair.ends(live, live.state) or not _reached(live.expires_at, returned):
        return False
    if not _in_time_to_resume(pair, live.expires_at):
        return done > returned
    if not _owned_by_live(live, closed, pair.outbound, done):
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
        and _owned_by_live(live, pair.closed, pair.inbound, pair.inbound_at)
        and not pair.lingers(max(pair.inbound_at, live.opened_at))
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
    if live is None or closed is None:
        return False
    if _owned_by_live(live, closed, pair.outbound, pair.outbound_at):
        return False
    resumes = _in_time_to_resume(pair, live.expires_at) and _owned_by_closed(closed, pair)
    return resumes and pair.moves(_target(live.state, pair.inbound))
