"""A visit: a session and those that resumed it, as the figures count it. No database.

The clock only guesses that a customer is gone. If the customer comes back in time, the next session
goes on from there, and for whoever waits or serves nothing has ended: so both are one visit, and a
stay that goes on in the next session is one stay.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from attrs import define, evolve, field, frozen

from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import CloseReason
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["Opener", "Stay", "StayEnd", "Visit", "VisitBuilder"]


class Opener(StrEnum):
    """Who opened a visit.

    Attributes:
        CUSTOMER: The customer.
        BOT: A bot, by a text.
        AGENT: An agent, by a text or a claim.
        OTHER: A place in the queue or a handover, which does not say who sent it.
    """

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"
    OTHER = "other"


class StayEnd(StrEnum):
    """How a stay in a state ended.

    Attributes:
        AGENT: An agent wrote or claimed the chat.
        CUSTOMER_LEFT: The customer left.
        CLOCK: Nothing came from the customer until the deadline.
        BOT: The chat went to the bot.
        QUEUE_CLOSED: The queue closed, and the chat went back to the bot.
        QUEUE: The chat went into the queue.
        CLOSED: An agent, the agent application or an operator closed the chat.
    """

    AGENT = "agent"
    CUSTOMER_LEFT = "customer_left"
    CLOCK = "clock"
    BOT = "bot"
    QUEUE_CLOSED = "queue_closed"
    QUEUE = "queue"
    CLOSED = "closed"


@frozen
class Stay:
    """The time that a visit was in one state without a break; with an agent, with the same one.

    Attributes:
        state: The state.
        agent_id: The agent; None outside ``with_agent``, and if nobody is known.
        began_at: The effective time at which it began.
        ended_at: The effective time at which it ended. If the clock ended it, the customer's last
            sign of life; if it goes on, the last that was heard of the chat.
        end: How it ended; None if it goes on.
    """

    state: State
    agent_id: str | None
    began_at: datetime
    ended_at: datetime
    end: StayEnd | None = None

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.ended_at - self.began_at


@frozen(kw_only=True)
class Visit:
    """One visit, as far as its history is stored.

    Late, ignored and unknown rows count for nothing. Answers are found by receive times, because
    the two queues may be read in any order.

    Attributes:
        session_ids: The ids of its sessions, in order.
        platform_id: The platform.
        user_id: The user.
        opened_at: When it opened.
        opened_by: Who opened it.
        closed_at: When its last session closed; None if it is not over.
        close_reason: Why it closed; None if it is not over.
        stays: Its stays in the states, in order.
        customer_wrote_at: When the first text of the customer was received; None if there is none.
        bot_answered_at: When the next text of a bot after that was received.
        human_answered_at: When the next text of a human after the customer's first was received.
        handed_over_at: When the event was received that first put the visit into the queue.
        human_took_over_at: When the next text of a human after that was received.
        human_wrote: Whether a human wrote at all.
        returned: Whether this user had visited before.
        next_opened_at: When the user's next visit opened; None if there is none.
    """

    session_ids: tuple[str, ...]
    platform_id: str
    user_id: str
    opened_at: datetime
    opened_by: Opener
    closed_at: datetime | None
    close_reason: CloseReason | None
    stays: tuple[Stay, ...]
    customer_wrote_at: datetime | None
    bot_answered_at: datetime | None
    human_answered_at: datetime | None
    handed_over_at: datetime | None
    human_took_over_at: datetime | None
    human_wrote: bool
    returned: bool
    next_opened_at: datetime | None

    def stays_in(self, state: State) -> tuple[Stay, ...]:
        """Its stays in *state*."""
        return tuple(stay for stay in self.stays if stay.state is state)

    @property
    def abandoned(self) -> Stay | None:
        """The wait in which the customer gave up: it ended so, and no human ever wrote."""
        if self.closed_at is None or self.human_wrote or not self.stays:
            return None
        last = self.stays[-1]
        return last if last.state is State.QUEUED else None

    @property
    def bot_only(self) -> bool:
        """Whether the customer wrote, a bot answered, and nobody else was asked for."""
        others = (State.QUEUED, State.WITH_AGENT)
        return self.bot_answered_at is not None and all(
            stay.state not in others for stay in self.stays
        )

    @property
    def has_others(self) -> bool:
        """Whether the user has visited before or since."""
        return self.returned or self.next_opened_at is not None

    def followed_within(self, time: timedelta) -> bool:
        """Whether the user's next visit opened within *time* of the end of this one."""
        if self.closed_at is None or self.next_opened_at is None:
            return False
        return self.next_opened_at - self.closed_at <= time

    def ended_within(self, time: timedelta, now: datetime) -> bool:
        """Whether this one ended within *time* of *now*, so that the user may still come back."""
        return self.closed_at is not None and now - self.closed_at <= time


_COUNTED: Final = (Outcome.MOVED, Outcome.STAYED)

_OPENERS: Final = {
    Trigger.BOT_TEXT: Opener.BOT,
    Trigger.AGENT_TEXT: Opener.AGENT,
    Trigger.CLAIM_SESSION: Opener.AGENT,
}

_ENDS: Final = {
    Trigger.CLIENT_LEFT: StayEnd.CUSTOMER_LEFT,
    Trigger.EXPIRE: StayEnd.CLOCK,
    Trigger.PLATFORM_CLOSED: StayEnd.QUEUE_CLOSED,
}

_ENDS_BY_STATE: Final = {
    State.BOT: StayEnd.BOT,
    State.QUEUED: StayEnd.QUEUE,
    State.WITH_AGENT: StayEnd.AGENT,
    State.CLOSED: StayEnd.CLOSED,
}


@define
class VisitBuilder:
    """Makes a visit of its sessions, in order, and the rows of each, in order."""

    _head: Any
    _last: Any = None
    _opened_by: Opener = Opener.CUSTOMER
    _session_ids: list[str] = field(factory=list)
    _stays: list[Stay] = field(factory=list)
    _handed_over_at: datetime | None = None
    _customer_wrote_at: datetime | None = None
    _bot_texts: list[datetime] = field(factory=list)
    _human_texts: list[datetime] = field(factory=list)

    @property
    def opened_at(self) -> datetime:
        """When the visit opened."""
        opened_at: datetime = self._head.opened_at
        return opened_at

    def add_session(self, session: Any) -> None:
        """Go on with the next session."""
        self._last = session
        self._session_ids.append(session.session_id)

    def add_row(self, row: Any) -> None:
        """Go on with the next row of the last session."""
        if row.outcome not in _COUNTED:
            return
        if row.from_state is None or not self._stays:
            self._open(row)
        elif row.from_state != row.to_state or row.agent_id != self._stays[-1].agent_id:
            self._move(row)
        self._note_text(row)

    def _open(self, row: Any) -> None:
        if len(self._session_ids) == 1 and row.direction != Direction.INBOUND:
            self._opened_by = _OPENERS.get(row.trigger_name, Opener.OTHER)
        going_on = self._stays[-1] if self._stays else None
        if going_on is not None and (going_on.state, going_on.agent_id) == (
            row.to_state,
            row.agent_id,
        ):
            self._stays[-1] = evolve(going_on, end=None)
        else:
            self._begin(row)

    def _move(self, row: Any) -> None:
        stay = self._stays[-1]
        end = _ENDS.get(row.trigger_name) or _ENDS_BY_STATE[State(row.to_state)]
        ended_at = row.effective_at
        if end is StayEnd.CLOCK:
            ended_at = max(stay.began_at, row.last_seen_at or stay.began_at)
        self._stays[-1] = evolve(stay, ended_at=ended_at, end=end)
        if row.to_state != State.CLOSED:
            self._begin(row)

    def _begin(self, row: Any) -> None:
        at = row.effective_at
        self._stays.append(Stay(State(row.to_state), row.agent_id, at, at))
        if row.to_state == State.QUEUED and self._handed_over_at is None:
            self._handed_over_at = row.received_at

    def _note_text(self, row: Any) -> None:
        at, wrote_at = row.received_at, self._customer_wrote_at
        match row.trigger_name:
            case Trigger.CUSTOMER_TEXT:
                self._customer_wrote_at = at if wrote_at is None else min(at, wrote_at)
            case Trigger.BOT_TEXT:
                self._bot_texts.append(at)
            case Trigger.AGENT_TEXT:
                self._human_texts.append(at)

    def result(self, next_opened_at: datetime | None) -> Visit:
        """The visit; the user's next one opened at *next_opened_at*."""
        head, last = self._head, self._last
        stays = self._stays
        if stays and stays[-1].end is None:
            alive_at = max(last.effective_at, last.last_seen_at or last.effective_at)
            stays[-1] = evolve(stays[-1], ended_at=max(stays[-1].began_at, alive_at))
        return Visit(
            session_ids=tuple(self._session_ids),
            platform_id=head.platform_id,
            user_id=head.user_id,
            opened_at=head.opened_at,
            opened_by=self._opened_by,
            closed_at=last.closed_at,
            close_reason=None if last.close_reason is None else CloseReason(last.close_reason),
            stays=tuple(stays),
            customer_wrote_at=self._customer_wrote_at,
            bot_answered_at=_next(self._bot_texts, self._customer_wrote_at),
            human_answered_at=_next(self._human_texts, self._customer_wrote_at),
            handed_over_at=self._handed_over_at,
            human_took_over_at=_next(self._human_texts, self._handed_over_at),
            human_wrote=bool(self._human_texts),
            returned=head.ordinal > 1,
            next_opened_at=next_opened_at,
        )


def _next(times: list[datetime], start: datetime | None) -> datetime | None:
    """The first of *times* from *start* on."""
    if start is None:
        return None
    return min((at for at in times if at >= start), default=None)
