"""The situations that the proofs start from: one of every kind that events can lead to.

Each was reached by real events, one after the other, so it can happen.
"""

from datetime import datetime
from itertools import product
from typing import Final

from attrs import frozen

from sermo_fsm.core.advance import NO_VISITS, Visits
from sermo_fsm.core.machine import State
from sermo_fsm.core.ownership import ending_of
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.proof.situation_classes import BEGIN, MESSAGES, SECOND, Simulator, SituationClass
from sermo_fsm.protocol.message import Message

__all__ = ["Situation", "find_situations"]

_WROTE_FIRST: Final = "customer wrote first"
"""Not a kind of its own: what was received before that text was received before the opening."""


@frozen(eq=False)
class Situation:
    """A situation that a user's chats can be in.

    Attributes:
        name: Its kind, in words.
        situation_class: The class that it is in.
        path: The messages that led there from no chat at all, each with its receive time.
    """

    name: str
    situation_class: SituationClass
    path: tuple[tuple[Message, datetime], ...] = ()

    @property
    def live(self) -> ChatSession | None:
        """The live chat, if there is one."""
        return self.situation_class.visits.live

    @property
    def closed(self) -> ChatSession | None:
        """The chat that closed last, if there is one."""
        return self.situation_class.visits.closed


def find_situations(simulator: Simulator) -> tuple[Situation, ...]:
    """Find one situation of each kind, by breadth-first search over events.

    After each event the next one comes a second later, or at a later moment at which the rules
    change: a deadline, the end of an echo, the end of ``linger``.
    """
    start = Situation(_describe(NO_VISITS, simulator.durations), simulator.class_of(NO_VISITS))
    found, queue = {start.name: start}, [start]
    for situation in queue:  # grows while it is read
        soon = _a_second_later(situation.situation_class.visits)
        borders = simulator.borders(situation.situation_class)
        moments = [soon, *(moment for moment in borders if moment > soon)]
        for moment, message in product(moments, MESSAGES):
            reached = simulator.read(situation.situation_class, message, moment).reached
            name = _describe(reached.visits, simulator.durations)
            if name not in found:
                found[name] = Situation(name, reached, (*situation.path, (message, moment)))
                queue.append(found[name])
    return tuple(situation for situation in queue if _WROTE_FIRST not in situation.name)


def _a_second_later(visits: Visits) -> datetime:
    chats = [chat for chat in (visits.live, visits.closed) if chat is not None]
    if not chats:
        return BEGIN
    return SECOND + max(max(chat.effective_at, chat.expiry_set_at) for chat in chats)


def _describe(visits: Visits, durations: Durations) -> str:
    live, closed = visits.live, visits.closed
    if live is None:
        return "no chat yet" if closed is None else _describe_closed(closed)
    words = f"{live.state}, {_describe_customer_text(live)}"
    if closed is None or closed.closed_at is None:
        unloaded = live.expiry_reason is CloseReason.CLIENT_UNLOAD
        return f"{words}, page unloaded" if unloaded else words
    if live.resumed:
        return f"{words}, resumed"
    lingered = live.opened_at < closed.closed_at + durations.linger
    before = f"opened {'soon' if lingered else 'long'} after a chat {ending_of(closed)}"
    gone = " and then for good" if closed.kept_state is State.CLOSED else ""
    return f"{words}, {before}{gone}"


def _describe_closed(closed: ChatSession) -> str:
    words = str(ending_of(closed))
    if closed.kept_state is not None:
        wrote = "customer never wrote" if closed.customer_text_at is None else "customer wrote"
        return f"{words} ({closed.close_reason}), kept {closed.kept_state}, {wrote}"
    both = closed.left and closed.close_reason is CloseReason.AGENT_DONE
    return f"{words}, after agent_done" if both else words


def _describe_customer_text(live: ChatSession) -> str:
    if live.customer_text_at is None:
        return "customer never wrote"
    return "customer wrote" if live.customer_text_at > live.opened_at else _WROTE_FIRST
