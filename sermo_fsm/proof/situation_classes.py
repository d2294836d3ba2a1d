"""Classes of situations that the rules cannot tell apart, and the real step between them.

Two situations are in the same :class:`SituationClass` if all ``DECISIVE_FIELDS`` of their sessions
are equal: whatever comes next, the rules decide the same in both. :mod:`sermo_fsm.proof.steps`
proves that. It is why fewer than 200 000 calls of ``advance`` stand for millions of steps.
"""

from datetime import UTC, datetime, timedelta
from itertools import product
from operator import attrgetter
from typing import Any, Final

from attrs import define, field, frozen
from msgspec.structs import replace

from sermo_fsm.core.advance import Visits, advance, close
from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations
from sermo_fsm.protocol.events import KINDS, Direction
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.wire import decode

__all__ = [
    "BEGIN",
    "DECISIVE_FIELDS",
    "INBOUND",
    "MESSAGES",
    "OUTBOUND",
    "SECOND",
    "Reading",
    "Simulator",
    "SituationClass",
]

BEGIN: Final = datetime(2020, 2, 18, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)

DECISIVE_FIELDS: Final = (
    "ordinal",
    "state",
    "opened_at",
    "closed_at",
    "kept_state",
    "resumed",
    "expires_at",
    "expiry_set_at",
    "expiry_reason",
    "last_customer_text_at",
    "close_reason",
)
"""The fields of a session that the rules read."""

_decisive_values: Final = attrgetter(*DECISIVE_FIELDS)

# Enough for an event of any type; fields that a type does not name are ignored.
_FIELDS: Final = {
    "platformId": "web",
    "userId": "u-1",
    "text": "Hej!",
    "queueNumber": 1,
    "agentId": "anan01",
}


def _messages(*queues: Direction) -> tuple[Message, ...]:
    """One message for every trigger that these queues can carry, from the first that can."""
    agents = ({"id": "bot"}, {"id": "anan01"}, None)
    found: dict[Any, Message] = {}
    for direction in queues:
        types = [name for queue, name in KINDS if queue is direction]
        for name, agent in product([*types, "unheard of"], agents):
            event = {"type": name, "agent": agent, **_FIELDS}
            message = decode(direction, event, received_at=BEGIN)
            found.setdefault(message.trigger, message)
    return tuple(found.values())


INBOUND: Final = _messages(Direction.INBOUND)
OUTBOUND: Final = _messages(Direction.OUTBOUND, Direction.INTERNAL)
"""Of those who serve, by whichever queue: what ``internal`` says, too, where it says its own."""
MESSAGES: Final = INBOUND + OUTBOUND


@frozen(eq=False)
class SituationClass:
    """All situations that the rules treat alike, by one example of a user's sessions.

    A :class:`Simulator` makes one object for each class, so classes are compared by identity.
    """

    visits: Visits
    readings: "dict[tuple[int, datetime], Reading]" = field(factory=dict, repr=False)
    """What was read from here already, by the id of the message and its receive time."""
    state: State | None = field(init=False)
    """The state of the user's current chat; None if there has been no chat yet."""

    @state.default
    def _current_state(self) -> State | None:
        current = self.visits.current
        return None if current is None else current.state


@frozen(eq=False)
class Reading:
    """The result of reading one message."""

    reached: SituationClass
    owner: int | None
    """The ordinal of the chat that the event is recorded in; None for a stray."""
    outcome: Outcome


@define
class Simulator:
    """Calls the real ``advance`` under one policy, and remembers every result."""

    durations: Durations = field(factory=Durations)
    _classes: dict[Any, SituationClass] = field(factory=dict)

    def class_of(self, visits: Visits) -> SituationClass:
        """The class of the situation of a user with these sessions."""
        live, closed = visits.live, visits.closed
        key = (live and _decisive_values(live), closed and _decisive_values(closed))
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = SituationClass(visits)
        return found

    def read(self, start: SituationClass, message: Message, at: datetime) -> Reading:
        """The result of reading *message*, received *at* that time, in this class."""
        key = (id(message), at)  # the messages live as long as this module
        found = start.readings.get(key)
        if found is None:
            step = advance(start.visits, replace(message, received_at=at), self.durations)
            owner = step.after.ordinal if step.after else None
            found = Reading(self.class_of(step.visits), owner, step.outcome)
            start.readings[key] = found
        return found

    def close(self, start: SituationClass, at: datetime) -> SituationClass:
        """The class that an operator's close *at* that time leads to; *start* if no chat lives."""
        live = start.visits.live
        if live is None:
            return start
        return self.class_of(Visits(closed=close(live, at, None)[0]))

    def borders(self, situation_class: SituationClass) -> list[datetime]:
        """The moments that the rules compare receive times with, in order.

        The rules treat all events alike that are received between two neighbouring borders.
        """
        visits, linger = situation_class.visits, self.durations.linger
        live, closed = visits.live, visits.closed
        moments: list[datetime | None] = []
        if live is not None:
            moments += [live.opened_at, live.last_customer_text_at, live.expires_at]
            moments.append(live.expires_at and live.expires_at + linger)
            if live.resumed:  # whatever was received before is its own, or late
                closed = None
        if closed is not None and closed.closed_at is not None:
            moments += [closed.closed_at, closed.closed_at + linger]
            if closed.kept_state is None:
                moments.append(closed.expires_at)
            elif live is None:
                moments.append(closed.last_customer_text_at)
        return sorted({moment for moment in moments if moment is not None})

    def span_starts(self, situation_class: SituationClass) -> list[datetime]:
        """One moment in each span between borders: the borders, and a moment before the first."""
        borders = self.borders(situation_class)
        before = borders[0] - 2 * SECOND if borders else BEGIN
        return [before, *borders]
