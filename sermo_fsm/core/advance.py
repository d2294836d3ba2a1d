"""One event, one step: what becomes of a user's sessions, and what is to be written. No IO.

``advance`` is the heart of this library, and it is a function: the user's sessions, an event and
its receive time in; the user's sessions, an outcome and the rows to write out. Which session it is
about is decided in :mod:`sermo_fsm.core.ownership`, where the session goes in
:mod:`sermo_fsm.core.machine`, what else changes in it in :mod:`sermo_fsm.core.session_update`.
"""

from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.core.ownership import Owner, overdue, owner_of
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason, HistoryRow, Outcome
from sermo_fsm.core.session_update import Change, deadline
from sermo_fsm.protocol.events import QUIET, Direction, Trigger
from sermo_fsm.protocol.wire import Message

__all__ = ["NO_VISITS", "Step", "Visits", "advance", "expire"]


@frozen
class Visits:
    """All of a user's sessions that an event can still belong to."""

    live: ChatSession | None = None
    closed: ChatSession | None = None
    """The session that closed last."""

    @property
    def current(self) -> ChatSession | None:
        """The live session, else the last one."""
        return self.live or self.closed


NO_VISITS: Final = Visits()


@frozen
class Step:
    """What one event did."""

    outcome: Outcome
    visits: Visits
    before: ChatSession | None = None
    """The owner before the event; None where there was none."""
    after: ChatSession | None = None
    """The owner after it; None where there is none."""
    rows: tuple[HistoryRow, ...] = ()
    """What is to be written, in this order: none, one, or two where a deadline came first."""


def advance(
    visits: Visits,
    message: Message,
    received_at: datetime,
    durations: Durations,
    message_id: str | None = None,
) -> Step:
    """Apply one event, received at *received_at* (UTC), to its user's sessions."""
    expired: tuple[HistoryRow, ...] = ()
    if visits.live is not None and overdue(visits.live, message.direction, received_at):
        closed, row = expire(visits.live)
        visits, expired = Visits(None, closed), (row,)
    live, closed_last = visits.live, visits.closed
    owner = owner_of(message.trigger, received_at, live, closed_last, durations)
    arrival = _Arrival(message, received_at, durations, message_id)
    match owner:
        case Owner.LIVE if live is not None:
            step = arrival.to_live(live, closed_last)
        case Owner.CLOSED if closed_last is not None:
            step = arrival.to_closed(closed_last, live)
        case Owner.NOBODY:
            step = arrival.to_nobody(visits)
        case _:
            step = arrival.to_new(closed_last, resumes=owner is Owner.RESUMED)
    return evolve(step, rows=expired + step.rows) if expired else step


def expire(live: ChatSession) -> tuple[ChatSession, HistoryRow]:
    """Close *live* at its deadline, by the clock; whoever noticed it, and whenever."""
    moment = live.expires_at
    if moment is None:
        raise ValueError("this session has no deadline")  # a fault of ours, not of the caller
    change = Change(live, {"kept_state": live.state, "close_reason": live.expiry_reason})
    effective_at = max(moment, live.effective_at)
    change.move(State.CLOSED, moment, effective_at)
    row = _row(
        change,
        effective_at,
        direction=Direction.TIMER,
        trigger=Trigger.EXPIRE,
        outcome=Outcome.MOVED,
        received_at=None,
    )
    return change.result(), row


@frozen
class _Arrival:
    """A message with all that is known of how it came."""

    message: Message
    received_at: datetime
    durations: Durations
    message_id: str | None

    def to_live(self, live: ChatSession, closed_last: ChatSession | None) -> Step:
        """The common case: the machine decides."""
        change = Change(live)
        change.observe(self.message, self.received_at)
        change.set_deadline(self.message, self.received_at, self.durations)
        if self.message.trigger in QUIET:
            after = change.result()
            return Step(Outcome.STAYED, Visits(after, closed_last), live, after)
        effective_at = max(self.received_at, live.effective_at)
        effect, to = self._resolve(live, live.state)
        if effect is Effect.MOVE:
            change.move(to, self.received_at, effective_at)
        if to is State.CLOSED:
            left = self.message.trigger is Trigger.CLIENT_LEFT
            reason = CloseReason.CLIENT_LEFT if left else CloseReason.AGENT_DONE
            change.values["close_reason"] = reason
        change.take_facts(self.message, to)
        outcome = self._unless_unknown(_OUTCOMES[effect])
        row = self._row_of(change, effective_at, outcome)
        after = change.result()
        visits = Visits(after, closed_last) if after.live else Visits(None, after)
        return Step(outcome, visits, live, after, (row,))

    def to_closed(self, closed: ChatSession, live: ChatSession | None) -> Step:
        """A late event: recorded, and nothing moves but what the clock only guessed."""
        change = Change(closed)
        change.observe(self.message, self.received_at)
        if closed.kept_state is None:
            superseded = live is not None
            change.set_echo(self.message, self.received_at, self.durations, superseded=superseded)
        elif live is None and closed.kept_state is not State.CLOSED:
            change.values["kept_state"] = self._resolve(closed, closed.kept_state)[1]
            change.take_facts(self.message, None)
        outcome = self._unless_unknown(Outcome.LATE)
        rows: tuple[HistoryRow, ...] = ()
        if self.message.trigger not in QUIET:
            effective_at = max(self.received_at, closed.effective_at)
            rows = (self._row_of(change, effective_at, outcome),)
        after = change.result()
        return Step(outcome, Visits(live, after), closed, after, rows)

    def to_new(self, closed: ChatSession | None, *, resumes: bool) -> Step:
        """Open a session, and apply the trigger at once."""
        at, event = self.received_at, self.message.event
        blank = ChatSession(
            platform_id=str(event.platform_id),
            user_id=str(event.user_id),
            ordinal=closed.ordinal + 1 if closed else 1,
            previous_close_reason=closed.close_reason if closed else None,
            resumed=resumes,
            state=State.OPEN,
            since=at,
            opened_at=at,
            expiry_set_at=at,
            effective_at=at,
            expires_at=deadline(at, self.durations.idle_timeout),
        )
        change, start = Change(blank), State.OPEN
        if resumes and closed is not None and closed.kept_state is not None:
            start, change.values["agent"] = closed.kept_state, closed.agent
        _, to = self._resolve(blank, start)
        change.observe(self.message, at)
        change.set_deadline(self.message, at, self.durations)
        change.move(to, at, at)
        change.take_facts(self.message, to)
        row = self._row_of(change, at, Outcome.MOVED)
        after = change.result()
        return Step(Outcome.MOVED, Visits(after, closed), None, after, (row,))

    def to_nobody(self, visits: Visits) -> Step:
        """A stray: recorded without a session, where it is not quiet."""
        message, event = self.message, self.message.event
        outcome = self._unless_unknown(Outcome.STRAY)
        if message.trigger in QUIET:
            return Step(outcome, visits)
        row = HistoryRow(
            direction=message.direction,
            type=event.type,
            trigger=message.trigger,
            outcome=outcome,
            received_at=self.received_at,
            effective_at=self.received_at,
            at=event.at,
            message_id=self.message_id,
            platform_id=event.platform_id,
            user_id=event.user_id,
            reason=_why_stray(message),
            event=message.stored[0],
        )
        return Step(outcome, visits, rows=(row,))

    def _unless_unknown(self, outcome: Outcome) -> Outcome:
        return Outcome.UNKNOWN if self.message.trigger is Trigger.UNKNOWN else outcome

    def _resolve(self, session: ChatSession, state: State) -> tuple[Effect, State]:
        cell = TABLE[state, self.message.trigger]
        wrote_at = session.customer_text_at
        wrote_later = wrote_at is not None and wrote_at > self.received_at
        return cell.effect, cell.target(_WROTE_LATER if wrote_later else NO_GUARD)

    def _row_of(self, change: Change, effective_at: datetime, outcome: Outcome) -> HistoryRow:
        event = self.message.event
        return _row(
            change,
            effective_at,
            direction=self.message.direction,
            type=event.type,
            trigger=self.message.trigger,
            outcome=outcome,
            received_at=self.received_at,
            at=event.at,
            message_id=self.message_id,
            event=self.message.stored[0],
        )


_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})

_OUTCOMES: Final = {
    Effect.MOVE: Outcome.MOVED,
    Effect.STAY: Outcome.STAYED,
    Effect.IGNORE: Outcome.IGNORED,
}


def _row(change: Change, effective_at: datetime, **facts: Any) -> HistoryRow:
    """The session's next row; the change notes that it has one more."""
    session, seq = change.session, change.session.rows + 1
    change.values.update({"rows": seq, "effective_at": effective_at})
    to = change.now("state")
    closes = to is State.CLOSED and session.live
    agent = change.now("agent")
    return HistoryRow(
        **facts,
        effective_at=effective_at,
        platform_id=session.platform_id,
        user_id=session.user_id,
        ordinal=session.ordinal,
        seq=seq,
        from_state=session.state if session.rows else None,
        to_state=to,
        agent_id=agent.id if agent is not None and to is State.WITH_AGENT else None,
        reason=change.now("close_reason") if closes else None,
        last_seen_at=change.now("last_seen_at") if closes else None,
    )


def _why_stray(message: Message) -> str:
    if message.trigger is not Trigger.UNKNOWN:
        return "this user has no session yet, and this event opens none"
    if message.event.user_id is None or message.event.platform_id is None:
        return f"type not in the protocol on {message.direction}, and no usable user"
    return f"type not in the protocol on {message.direction}, and the user has no session yet"
