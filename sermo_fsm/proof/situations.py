"""The situations that the proofs start from: one of every kind that events can lead to.

Each was reached by real events, one after the other, so it can happen.
"""

from collections.abc import Iterator
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

_NOT_LATER: Final = "customer wrote, but not after the opening"
"""Not a kind of its own: what was received before that text was received before the opening.

Only a first chat and a resumed one own an end that was received before they opened.
"""


_Step = tuple[Message | None, datetime, SituationClass]
"""A message and its receive time, or None and when an operator closes the chat; what it leads to"""


@frozen(eq=False)
class Situation:
    """A situation that a user's chats can be in.

    Attributes:
        name: Its kind, in words.
        situation_class: The class that it is in.
        path: What led there from no chat at all: messages, each with its receive time; None
            stands for an operator who closed the live chat then.
    """

    name: str
    situation_class: SituationClass
    path: tuple[tuple[Message | None, datetime], ...] = ()

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

    After each event the next one comes a second later; or at a later moment at which the rules
    change: a deadline, the end of an echo, the end of ``linger``; or it was received a second
    before the live chat opened. Or an operator closes the live chat.
    """
    start = Situation(_describe(NO_VISITS, simulator.durations), simulator.class_of(NO_VISITS))
    found, queue = {start.name: start}, [start]
    for situation in queue:  # grows while it is read
        for message, moment, reached in _further(simulator, situation.situation_class):
            name = _describe(reached.visits, simulator.durations)
            if name not in found:
                found[name] = Situation(name, reached, (*situation.path, (message, moment)))
                queue.append(found[name])
    return tuple(situation for situation in queue if _NOT_LATER not in situation.name)


def _further(simulator: Simulator, start: SituationClass) -> Iterator[_Step]:
    visits, live = start.visits, start.visits.live
    soon = _a_second_later(visits)
    moments = [soon, *(moment for moment in simulator.borders(start) if moment > soon)]
    if live is not None:
        moments.append(live.opened_at - SECOND)
    for moment, message in product(moments, MESSAGES):
        yield message, moment, simulator.read(start, message, moment).reached
    if live is not None:
        yield None, soon, simulator.close(start, soon)


def _a_second_later(visits: Visits) -> datetime:
    chats = [chat for chat in (visits.live, visits.closed) if chat is not None]
    if not chats:
        return BEGIN
    return SECOND + max(max(chat.effective_at, chat.expiry_set_at) for chat in chats)


def _describe(visits: Visits, durations: Durations) -> str:
    live, closed = visits.live, visits.closed
    if live is None:
        return "no chat yet" if closed is None else _describe_closed(closed)
    words = f"{live.state}, {_describe_customer_text(live, closed)}"
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
    if closed.kept_state is not None:
        wrote = "customer never wrote" if closed.last_customer_text_at is None else "customer wrote"
        words = f"{ending_of(closed)} ({closed.close_reason})"
        return f"{words}, kept {closed.kept_state}, {wrote}"
    words = f"closed by {closed.close_reason}"
    since = closed.left and closed.close_reason is not CloseReason.CLIENT_LEFT
    return f"{words}, and customer left" if since else words


def _describe_customer_text(live: ChatSession, closed: ChatSession | None) -> str:
    wrote_at = live.last_customer_text_at
    if wrote_at is None:
        return "customer never wrote"
    if wrote_at > live.opened_at:
        return "customer wrote"
    earlier = wrote_at < live.opened_at and (closed is None or live.resumed)
    return "customer wrote before the opening" if earlier else _NOT_LATER
