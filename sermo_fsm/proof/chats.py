"""The situations that the proofs start from: every kind that events can lead to, found by trying.

Nothing is made up. Each was brought there by real events, one after the other, so it can happen.
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
from sermo_fsm.proof.situation_classes import BEGIN, MESSAGES, SECOND, Ground, Place
from sermo_fsm.protocol.message import Message

__all__ = ["Situation", "situations"]

_OPENED_WITH_WORDS: Final = "customer wrote first"
"""No situation of its own: what was received before the words was received before the opening."""


@frozen(eq=False)
class Situation:
    """A user's chats, in words what there is to know about them, and the events that led there."""

    name: str
    place: Place
    path: tuple[tuple[Message, datetime], ...] = ()

    @property
    def live(self) -> ChatSession | None:
        """The live chat, if there is one."""
        return self.place.visits.live

    @property
    def closed(self) -> ChatSession | None:
        """The chat that closed last, if there is one."""
        return self.place.visits.closed


def situations(ground: Ground) -> tuple[Situation, ...]:
    """One situation of each kind, as soon as the shortest way there finds it.

    From each the next event comes a second later, or at the next moment at which the rules change:
    a deadline, the end of an echo, the end of ``linger``.
    """
    start = Situation(_words(NO_VISITS, ground.durations), ground.place(NO_VISITS))
    found, waiting = {start.name: start}, [start]
    for one in waiting:  # which grows meanwhile
        soon = _later(one.place.visits)
        moments = [soon, *(moment for moment in ground.borders(one.place) if moment > soon)]
        for moment, message in product(moments, MESSAGES):
            place = ground.read(one.place, message, moment).place
            name = _words(place.visits, ground.durations)
            if name not in found:
                found[name] = Situation(name, place, (*one.path, (message, moment)))
                waiting.append(found[name])
    return tuple(one for one in waiting if _OPENED_WITH_WORDS not in one.name)


def _later(visits: Visits) -> datetime:
    chats = [chat for chat in (visits.live, visits.closed) if chat is not None]
    if not chats:
        return BEGIN
    return SECOND + max(max(chat.effective_at, chat.expiry_set_at) for chat in chats)


def _words(visits: Visits, durations: Durations) -> str:
    live, closed = visits.live, visits.closed
    if live is None:
        return "no chat yet" if closed is None else _words_of_closed(closed)
    words = f"{live.state}, {_wrote(live)}"
    if closed is None or closed.closed_at is None:
        unloaded = live.expiry_reason is CloseReason.CLIENT_UNLOAD
        return f"{words}, page unloaded" if unloaded else words
    if live.resumed:
        return f"{words}, resumed"
    lingered = live.opened_at < closed.closed_at + durations.linger
    before = f"opened {'soon' if lingered else 'long'} after a chat {ending_of(closed)}"
    gone = " and then for good" if closed.kept_state is State.CLOSED else ""
    return f"{words}, {before}{gone}"


def _words_of_closed(closed: ChatSession) -> str:
    words = str(ending_of(closed))
    if closed.kept_state is not None:
        wrote = "customer never wrote" if closed.customer_text_at is None else "customer wrote"
        return f"{words} ({closed.close_reason}), kept {closed.kept_state}, {wrote}"
    both = closed.left and closed.close_reason is CloseReason.AGENT_DONE
    return f"{words}, after agent_done" if both else words


def _wrote(live: ChatSession) -> str:
    if live.customer_text_at is None:
        return "customer never wrote"
    return "customer wrote" if live.customer_text_at > live.opened_at else _OPENED_WITH_WORDS
