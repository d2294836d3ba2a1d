"""Every inbound event with every outbound one, at every two moments that the rules can tell apart.

The rules compare times: with the *borders* of a situation, such as a deadline, and with each other.
Between two borders it makes no difference when an event is received. So one moment of each span
stands for all of it, and where both events fall into one span there are three cases: either comes
first, or neither. All that the rules can do to a pair is done by one of these.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise, product

from attrs import define

from sermo_fsm.core.machine import State
from sermo_fsm.proof.chats import Situation
from sermo_fsm.proof.event_pair import Pair
from sermo_fsm.proof.situation_classes import INBOUND, OUTBOUND, SECOND, Ground, Place, Reading
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.protocol.message import Message

__all__ = ["Trial", "trials"]

Moments = tuple[datetime, datetime]
"""When the inbound and when the outbound event is received."""


@define(eq=False)  # never changed; but frozen, each would take three times as long to make
class Trial:
    """One pair, read in both orders.

    Attributes:
        inbound_first: What came of the inbound event read first, then of the outbound one.
        outbound_first: What came of the outbound event read first, then of the inbound one.
    """

    situation: Situation
    inbound: Message
    outbound: Message
    moments: Moments
    inbound_first: tuple[Reading, Reading]
    outbound_first: tuple[Reading, Reading]

    @property
    def ends(self) -> tuple[State | None, State | None]:
        """The state of the user's current chat after either order."""
        return self.inbound_first[1].place.state, self.outbound_first[1].place.state

    @property
    def same_state(self) -> bool:
        """What the law is about."""
        return self.inbound_first[1].place.state is self.outbound_first[1].place.state

    @property
    def same_chats(self) -> bool:
        """Each event lies in the same chat, and all that the rules go on from is the same."""
        (first, then), (other, last) = self.inbound_first, self.outbound_first
        owners = (first.owner, then.owner) == (last.owner, other.owner)
        return owners and then.place is last.place

    @property
    def closes(self) -> bool:
        """One of the events closes a chat, in one order or in the other."""
        readings = (*self.inbound_first, *self.outbound_first)
        return any(reading.place.visits.live is None for reading in readings)

    def pair(self, ground: Ground) -> Pair:
        """The pair, as the law knows it."""
        visits = self.situation.place.visits
        inbound_at, outbound_at = self.moments
        return Pair(
            visits.live,
            visits.closed,
            self.inbound.trigger,
            inbound_at,
            self.outbound.trigger,
            outbound_at,
            ground.durations,
        )

    def words(self) -> str:
        """The case as a person would tell it."""
        (inbound, outbound), (at, outbound_at) = self._triggers, self.moments
        if at == outbound_at:
            order = "received at the same instant"
        else:
            order = f"{inbound if at < outbound_at else outbound} received first"
        one, other = ("no chat" if end is None else end for end in self.ends)
        return (
            f"{inbound} and {outbound}, {order}, in: {self.situation.name}. "
            f"{inbound} read first ends in {one}, {outbound} first in {other}"
        )

    @property
    def _triggers(self) -> tuple[Trigger, Trigger]:
        return self.inbound.trigger, self.outbound.trigger


def trials(ground: Ground, situation: Situation) -> Iterator[Trial]:
    """Every pair in this situation, in both orders of reading."""
    place, read = situation.place, ground.read
    spans = ground.spans(place)

    @cache
    def moments(lags: tuple[timedelta, ...]) -> list[Moments]:
        return list(_moments(spans, lags))

    for outbound in OUTBOUND:
        opens = situation.live is None and _opens(ground, place, outbound, spans)
        for inbound in INBOUND:
            for both in moments(_lags(ground, inbound, opens=opens)):
                at, outbound_at = both
                first, other = read(place, inbound, at), read(place, outbound, outbound_at)
                inbound_first = first, read(first.place, outbound, outbound_at)
                outbound_first = other, read(other.place, inbound, at)
                yield Trial(situation, inbound, outbound, both, inbound_first, outbound_first)


def _opens(ground: Ground, place: Place, outbound: Message, spans: list[datetime]) -> bool:
    """At some moment this one opens a chat."""
    return any(ground.read(place, outbound, at).place.visits.live is not None for at in spans)


def _lags(ground: Ground, inbound: Message, *, opens: bool) -> tuple[timedelta, ...]:
    """How far apart they may be for one to be at a border that the other makes.

    A chat that a ``client_left`` closes lingers; one that an outbound event opens has a deadline,
    and can be resumed after that.
    """
    lags, durations = [], ground.durations
    if inbound.trigger is Trigger.CLIENT_LEFT:
        lags.append(-durations.linger)
    if opens and durations.idle_timeout is not None:
        lags += [durations.idle_timeout, durations.idle_timeout + durations.linger]
    return tuple(lags)


def _moments(spans: list[datetime], lags: tuple[timedelta, ...]) -> Iterator[Moments]:
    """Two moments for every case that the spans and the lags between the two can make."""
    for at in sorted({*spans, *(border + lag for border, lag in product(spans, lags))}):
        for outbound_at in sorted({*spans, *(at - lag for lag in lags if at - lag > spans[0])}):
            yield at, outbound_at
    for begin, end in pairwise([*spans, spans[-1] + 2 * SECOND]):
        middle = begin + (end - begin) / 2
        yield begin, middle
        yield middle, begin
