"""Every inbound event with every outbound event, at every two moments that the rules distinguish.

The rules compare a receive time with the *borders* of a situation, such as a deadline, and with
the other event's receive time. Between two borders it makes no difference when an event is
received. So one moment stands for each span. If both events fall into one span there are three
cases: either is received first, or both at the same instant. These cases cover everything that
the rules can do to a pair.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise, product

from attrs import define

from sermo_fsm.core.machine import State
from sermo_fsm.proof.event_pair import EventPair
from sermo_fsm.proof.situation_classes import (
    INBOUND,
    OUTBOUND,
    SECOND,
    Reading,
    Simulator,
    SituationClass,
)
from sermo_fsm.proof.situations import Situation
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.protocol.message import Message

__all__ = ["Trial", "trials"]

Moments = tuple[datetime, datetime]
"""The receive time of the inbound event, and that of the outbound event."""


@define(eq=False)  # never changed, but frozen each would take three times as long to make
class Trial:
    """One pair of events, read in both orders.

    Attributes:
        inbound_first: The results of reading the inbound event, then the outbound one.
        outbound_first: The results of reading the outbound event, then the inbound one.
    """

    situation: Situation
    inbound: Message
    outbound: Message
    moments: Moments
    inbound_first: tuple[Reading, Reading]
    outbound_first: tuple[Reading, Reading]

    @property
    def ends(self) -> tuple[State | None, State | None]:
        """The state of the user's current chat: inbound read first, outbound read first."""
        return self.inbound_first[1].reached.state, self.outbound_first[1].reached.state

    @property
    def same_state(self) -> bool:
        """Whether both orders end in the same state, as the law demands."""
        return self.inbound_first[1].reached.state is self.outbound_first[1].reached.state

    @property
    def same_chats(self) -> bool:
        """Whether both orders put each event into the same chat and end in the same class."""
        (first, then), (other, last) = self.inbound_first, self.outbound_first
        owners = (first.owner, then.owner) == (last.owner, other.owner)
        return owners and then.reached is last.reached

    @property
    def closes(self) -> bool:
        """Whether one of the events closes a chat, in either order."""
        readings = (*self.inbound_first, *self.outbound_first)
        return any(reading.reached.visits.live is None for reading in readings)

    def pair(self, simulator: Simulator) -> EventPair:
        """The pair without its results, as the law is stated about it."""
        visits = self.situation.situation_class.visits
        inbound_at, outbound_at = self.moments
        return EventPair(
            visits.live,
            visits.closed,
            self.inbound.trigger,
            inbound_at,
            self.outbound.trigger,
            outbound_at,
            simulator.durations,
        )

    def describe(self) -> str:
        """The case and both of its ends, in words."""
        inbound, outbound = self.inbound.trigger, self.outbound.trigger
        at, outbound_at = self.moments
        if at == outbound_at:
            order = "received at the same instant"
        else:
            order = f"{inbound if at < outbound_at else outbound} received first"
        one, other = ("no chat" if end is None else end for end in self.ends)
        return (
            f"{inbound} and {outbound}, {order}, in: {self.situation.name}. "
            f"{inbound} read first ends in {one}, {outbound} first in {other}"
        )


def trials(simulator: Simulator, situation: Situation) -> Iterator[Trial]:
    """Try every pair of events in this situation, in both orders of reading."""
    start, read = situation.situation_class, simulator.read
    spans = simulator.span_starts(start)

    live = situation.live
    end_of_linger = live and live.opened_at + simulator.durations.linger

    @cache
    def moments(lags: tuple[timedelta, ...], more: tuple[datetime, ...]) -> list[Moments]:
        return list(_moments(spans, lags, more))

    for outbound in OUTBOUND:
        opens = situation.live is None and _can_open(simulator, start, outbound)
        for inbound in INBOUND:
            leaves = inbound.trigger is Trigger.CLIENT_LEFT
            more = (end_of_linger,) if end_of_linger and leaves else ()
            for both in moments(_lags(simulator, inbound, opens=opens), more):
                at, outbound_at = both
                first, other = read(start, inbound, at), read(start, outbound, outbound_at)
                inbound_first = first, read(first.reached, outbound, outbound_at)
                outbound_first = other, read(other.reached, inbound, at)
                yield Trial(situation, inbound, outbound, both, inbound_first, outbound_first)


def _can_open(simulator: Simulator, start: SituationClass, outbound: Message) -> bool:
    """Whether there is a moment at which *outbound* opens a chat."""
    readings = (simulator.read(start, outbound, at) for at in simulator.span_starts(start))
    return any(reading.reached.visits.live is not None for reading in readings)


def _lags(simulator: Simulator, inbound: Message, *, opens: bool) -> tuple[timedelta, ...]:
    """The time differences at which one event is received at a border that the other one sets.

    A chat that a ``client_left`` closes lingers. A chat that an outbound event opens has a
    deadline, and can be resumed for ``linger`` after that.
    """
    lags, durations = [], simulator.durations
    if inbound.trigger is Trigger.CLIENT_LEFT:
        lags.append(-durations.linger)
    if opens and durations.idle_timeout is not None:
        lags += [durations.idle_timeout, durations.idle_timeout + durations.linger]
    return tuple(lags)


def _moments(
    spans: list[datetime], lags: tuple[timedelta, ...], more: tuple[datetime, ...]
) -> Iterator[Moments]:
    """Two moments for every case that the spans and the lags can make."""
    for at in sorted({*spans, *(border + lag for border, lag in product(spans, lags))}):
        later = (at - lag for lag in lags if at - lag > spans[0])
        for outbound_at in sorted({*spans, *more, *later}):
            yield at, outbound_at
    for begin, end in pairwise([*spans, spans[-1] + 2 * SECOND]):
        middle = begin + (end - begin) / 2
        yield begin, middle
        yield middle, begin
