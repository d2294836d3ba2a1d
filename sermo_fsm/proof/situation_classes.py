"""Where a user's chats can be, as far as the rules can tell, and the real step between the places.

Two situations in which every ``FACT`` is the same are one :class:`Place`: whatever comes next, the
rules decide the same in both. That is proved (:mod:`sermo_fsm.proof.steps`), and it is why millions
of steps can be told from some ten thousands.
"""

from datetime import UTC, datetime, timedelta
from itertools import product
from operator import attrgetter
from typing import Any, Final

from attrs import define, evolve, field, frozen

from sermo_fsm.core.advance import Visits, advance
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import Outcome
from sermo_fsm.protocol.events import KINDS, Direction
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.wire import decode

__all__ = ["BEGIN", "FACTS", "INBOUND", "MESSAGES", "OUTBOUND", "SECOND", "Ground", "Place"]

BEGIN: Final = datetime(2020, 2, 18, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)

FACTS: Final = (
    "ordinal",
    "state",
    "opened_at",
    "closed_at",
    "kept_state",
    "resumed",
    "expires_at",
    "expiry_set_at",
    "expiry_reason",
    "customer_text_at",
    "close_reason",  # no rule goes by it, but how a chat ended must not change
)
"""All of a chat that the rules go by."""

_facts_of: Final = attrgetter(*FACTS)

# Enough for an event of any type; what a type does not name is extra.
_FIELDS: Final = {"platformId": "web", "userId": "u-1", "text": "Hej!", "queueNumber": 1}


def _messages(direction: Direction) -> tuple[Message, ...]:
    """One message for every trigger that can come on this queue."""
    types = [name for inbound, name in KINDS if inbound is (direction is Direction.INBOUND)]
    found: dict[Any, Message] = {}
    for name, agent in product([*types, "unheard of"], ({"id": "bot"}, {"id": "anan01"}, None)):
        message = decode(direction, {"type": name, "agent": agent, **_FIELDS}, received_at=BEGIN)
        found.setdefault(message.trigger, message)
    return tuple(found.values())


INBOUND: Final = _messages(Direction.INBOUND)
OUTBOUND: Final = _messages(Direction.OUTBOUND)
MESSAGES: Final = INBOUND + OUTBOUND


@frozen(eq=False)
class Place:
    """A user's chats; the same object wherever the rules can see no difference."""

    visits: Visits
    steps: "dict[tuple[int, datetime], Reading]" = field(factory=dict, repr=False)

    @property
    def state(self) -> State | None:
        """Where the user's current chat is; None where there was none yet."""
        current = self.visits.current
        return None if current is None else current.state


@frozen(eq=False)
class Reading:
    """What reading one message came to."""

    place: Place
    owner: int | None
    """The ordinal of the chat that the event is recorded in; None where it is none's."""
    outcome: Outcome


@define
class Ground:
    """All places that were come by, under one policy."""

    durations: Durations = field(factory=Durations)
    _places: dict[Any, Place] = field(factory=dict)

    def place(self, visits: Visits) -> Place:
        """The place where a user with these chats is."""
        live, closed = visits.live, visits.closed
        facts = (live and _facts_of(live), closed and _facts_of(closed))
        found = self._places.get(facts)
        if found is None:
            found = self._places[facts] = Place(visits)
        return found

    def read(self, place: Place, message: Message, at: datetime) -> Reading:
        """Take the real step, or remember where it led from here."""
        key = (id(message), at)  # the messages live as long as this module
        found = place.steps.get(key)
        if found is None:
            step = advance(place.visits, evolve(message, received_at=at), self.durations)
            owner = step.after.ordinal if step.after else None
            found = Reading(self.place(step.visits), owner, step.outcome)
            place.steps[key] = found
        return found

    def borders(self, place: Place) -> list[datetime]:
        """The moments between which the rules treat all that is received alike, in order."""
        live, closed, linger = place.visits.live, place.visits.closed, self.durations.linger
        moments: list[datetime | None] = []
        if live is not None:
            moments += [live.customer_text_at, live.expires_at]
            moments.append(live.expires_at and live.expires_at + linger)
            if closed is not None and not live.resumed:  # else what came before is its own, too
                moments.append(live.opened_at)
        if closed is not None and closed.closed_at is not None:
            moments += [closed.closed_at, closed.closed_at + linger]
            if closed.kept_state is None:
                moments.append(closed.expires_at)
            elif live is None:
                moments.append(closed.customer_text_at)
        return sorted({moment for moment in moments if moment is not None})

    def spans(self, place: Place) -> list[datetime]:
        """The first moment of each span between two borders; one of the span before them all."""
        borders = self.borders(place)
        before = borders[0] - 2 * SECOND if borders else BEGIN
        return [before, *borders]
