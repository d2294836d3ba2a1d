"""An inbound and an outbound event, and whether it decides which of them is read first.

All that is said here of a pair is said of the chats that both find, of the triggers, and of when
the two were received. Whoever reads them has no part in it.
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
    "Pair",
    "done_on_return",
    "inside",
    "last_word_at_once",
    "left_after_done",
    "left_around_opening",
    "lingers_or_opens",
    "outlasts_deadline",
    "outlasts_goodbye",
    "outlasts_its_own_chat",
    "resumed_or_opened",
    "two_chats_back",
]

# Spelled out and not read from the rules of ownership: who changes those shall stumble here.
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
class Pair:
    """An inbound and an outbound event of one user, and the chats that they find."""

    live: ChatSession | None
    closed: ChatSession | None
    inbound: Trigger
    inbound_at: datetime
    outbound: Trigger
    outbound_at: datetime
    durations: Durations

    @property
    def same_instant(self) -> bool:
        """Neither was received first."""
        return self.inbound_at == self.outbound_at

    @property
    def returns(self) -> bool:
        """The inbound event is one that opens or resumes a chat."""
        return self.inbound in RETURNS

    def lingers(self, closed_at: datetime) -> bool:
        """The outbound event was received before a chat that closed then stops to linger."""
        return self.outbound_at < closed_at + self.durations.linger

    def moves(self, state: State) -> bool:
        """The outbound event moves a chat that is there."""
        return _after(state, self.outbound) is not state


def inside(pair: Pair) -> bool:
    """The law itself: no opening, no deadline and no forgotten close lies between the two.

    A chat is live and both are its own, not received at the same instant, and the customer's before
    the deadline. If that says goodbye, the chat still lingers when the other one comes.
    """
    live = pair.live
    return (
        live is not None
        and _inherits(live, pair.closed, min(pair.inbound_at, pair.outbound_at))
        and not pair.same_instant
        and not _reached(live.expires_at, pair.inbound_at)
        and not outlasts_goodbye(pair)
    )


def _after(state: State, trigger: Trigger) -> State:
    return TABLE[state, trigger].to


def _reached(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and at >= moment


def _done(closed: ChatSession) -> bool:
    """Closed by ``agent_done``, and no ``client_left`` is known."""
    return closed.kept_state is None and not closed.left


def _kept(closed: ChatSession) -> bool:
    """Closed by the clock, and can be resumed."""
    return closed.kept_state not in (None, State.CLOSED)


def _inherits(live: ChatSession, closed: ChatSession | None, at: datetime) -> bool:
    """What was received then is this chat's, whatever it is."""
    return closed is None or live.resumed or at >= live.opened_at


def _holds(closed: ChatSession, pair: Pair) -> bool:
    """The outbound event is the closed chat's, as long as there is no other."""
    closed_at = closed.closed_at
    if closed_at is None or pair.outbound_at < closed_at or pair.outbound not in OPENS:
        return True
    return pair.lingers(closed_at) and not (_done(closed) and pair.outbound in SERVES)


def _resumes(pair: Pair, closed_at: datetime | None) -> bool:
    """The customer comes back soon enough to a chat that the clock closed then."""
    return _reached(closed_at, pair.inbound_at) and not _reached(
        closed_at and closed_at + pair.durations.linger, pair.inbound_at
    )


def last_word_at_once(pair: Pair) -> bool:
    """The customer's last word and the agent's click: nobody was first."""
    live, at = pair.live, pair.outbound_at
    return (
        live is not None
        and live.state is State.WITH_AGENT
        and pair.same_instant
        and not _reached(live.expires_at, at)
        and not (live.customer_text_at is not None and live.customer_text_at > at)
        and _inherits(live, pair.closed, at)
    )


def done_on_return(pair: Pair) -> bool:
    """The agent's click ends the chat that the clock closed, the resumed one, or none."""
    live, closed = pair.live, pair.closed
    returned, done = pair.inbound_at, pair.outbound_at
    if live is None:
        if closed is None or closed.kept_state is not State.WITH_AGENT:
            return False
        wrote_last = pair.inbound is Trigger.CUSTOMER_TEXT and returned > done
        return _resumes(pair, closed.closed_at) and not wrote_last
    if live.state is not State.WITH_AGENT or not _reached(live.expires_at, returned):
        return False
    if not _resumes(pair, live.expires_at):
        return done > returned
    if not _inherits(live, closed, done):
        return False
    return done == returned or (done < returned and pair.inbound in PRESENCE)


def left_around_opening(pair: Pair) -> bool:
    """The goodbye is read before there is a chat, or after it was opened."""
    closed = pair.closed
    if pair.live is not None:
        return False
    if closed is None or closed.closed_at is None:
        return True
    return not pair.lingers(closed.closed_at) and pair.inbound_at >= pair.outbound_at


def left_after_done(pair: Pair) -> bool:
    """Who was to open the next chat has read that the customer left, or not."""
    live, closed = pair.live, pair.closed
    if closed is None or closed.closed_at is None or not _done(closed):
        return False
    if not (pair.outbound_at >= closed.closed_at and pair.lingers(closed.closed_at)):
        return False
    if live is None:
        return pair.inbound_at < pair.outbound_at
    before = max(pair.inbound_at, pair.outbound_at) < live.opened_at
    return before and pair.moves(live.state)


def outlasts_goodbye(pair: Pair) -> bool:
    """It opens a chat after the goodbye, or is read in time for the old one."""
    live = pair.live
    return (
        live is not None
        and pair.inbound is Trigger.CLIENT_LEFT
        and pair.outbound in OPENS
        and not _reached(live.expires_at, pair.inbound_at)
        and _inherits(live, pair.closed, pair.inbound_at)
        and not pair.lingers(pair.inbound_at)
    )


def outlasts_deadline(pair: Pair) -> bool:
    """It opens or moves a chat after the deadline, or is read in time for the old one."""
    live = pair.live
    if live is None or live.expires_at is None:
        return False
    if pair.inbound_at < live.expires_at or pair.lingers(live.expires_at):
        return False
    return _begins_anew(pair, live.expires_at)


def _begins_anew(pair: Pair, closed_at: datetime) -> bool:
    """After the clock closed a chat then, an outbound event that is read last leaves its mark."""
    if not pair.returns:
        return True
    return not _resumes(pair, closed_at) and pair.moves(_after(State.OPEN, pair.inbound))


def outlasts_its_own_chat(pair: Pair) -> bool:
    """The chat that it opens is past its deadline, or was never there to pass it."""
    closed, idle = pair.closed, pair.durations.idle_timeout
    if pair.live is not None or idle is None or (closed is not None and _holds(closed, pair)):
        return False
    deadline = pair.outbound_at + idle
    return pair.inbound_at >= deadline and _begins_anew(pair, deadline)


def lingers_or_opens(pair: Pair) -> bool:
    """It is the last word of the old chat, or the first of the next."""
    closed = pair.closed
    if pair.live is not None or closed is None or closed.closed_at is None or _kept(closed):
        return False
    echoes = closed.kept_state is None and pair.inbound in PRESENCE
    opens = pair.inbound_at >= closed.closed_at and (
        not echoes or _reached(closed.expires_at, pair.inbound_at)
    )
    return (
        opens
        and pair.outbound_at >= pair.inbound_at
        and _holds(closed, pair)
        and pair.moves(_after(State.OPEN, pair.inbound))
    )


def resumed_or_opened(pair: Pair) -> bool:
    """The next chat goes on where the last one was, or begins."""
    closed = pair.closed
    if pair.live is not None or closed is None or closed.closed_at is None:
        return False
    if closed.kept_state is None or not _kept(closed) or pair.lingers(closed.closed_at):
        return False
    resumed = _after(_after(closed.kept_state, pair.inbound), pair.outbound)
    return _resumes(pair, closed.closed_at) and resumed is not _after(State.OPEN, pair.outbound)


def two_chats_back(pair: Pair) -> bool:
    """It is of the chat before the last, or of the resumed one."""
    live, closed = pair.live, pair.closed
    if live is None or closed is None or _inherits(live, closed, pair.outbound_at):
        return False
    resumes = _resumes(pair, live.expires_at) and _holds(closed, pair)
    return resumes and pair.moves(_after(live.state, pair.inbound))
