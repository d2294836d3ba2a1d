"""One event, one step: what becomes of a user's sessions, and what is to be written. No IO.

``advance`` is the heart of this library, and it is a function: the user's sessions, an event and
its receive time in; the user's sessions, an outcome and the rows to write out. Which session it is
about is decided in :mod:`sermo_fsm.ownership`, where the session goes in :mod:`sermo_fsm.machine`;
here is what follows from that: times, deadlines, rows.
"""

from datetime import datetime
from typing import Any, Final, Literal

from attrs import evolve, frozen

from sermo_fsm.events import (
    QUIET,
    Direction,
    HandoverTo,
    HandoverToBot,
    QueueNumber,
    Reply,
    Trigger,
    Who,
)
from sermo_fsm.machine import NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.ownership import Owner, overdue, owner_of
from sermo_fsm.policy import Durations
from sermo_fsm.session import ChatSession, CloseReason, HistoryRow, Outcome
from sermo_fsm.wire import Message

__all__ = ["NO_VISITS", "Step", "Visits", "advance", "expire"]

Changes = dict[str, Any]


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
    before: ChatSession | None
    """The owner before the event; None where there was none."""
    after: ChatSession | None
    """The owner after it; None where there is none."""
    rows: tuple[HistoryRow, ...]
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
    deadline = live.expires_at
    if deadline is None:
        raise ValueError("this session has no deadline")  # a fault of ours, not of the caller
    changes: Changes = {"kept_state": live.state}
    effective = max(deadline, live.effective_at)
    _move(live, State.CLOSED, deadline, effective, changes)
    changes["close_reason"] = live.expiry_reason
    row = _row(
        live,
        changes,
        effective,
        direction=Direction.TIMER,
        trigger=Trigger.EXPIRE,
        outcome=Outcome.MOVED,
        received_at=None,
    )
    return evolve(live, **changes), row


@frozen
class _Arrival:
    """A message with all that is known of how it came."""

    message: Message
    received_at: datetime
    durations: Durations
    message_id: str | None

    def to_live(self, live: ChatSession, closed_last: ChatSession | None) -> Step:
        trigger = self.message.trigger
        changes: Changes = {}
        self._observe(live, changes)
        self._set_deadline(live, changes)
        if trigger in QUIET:
            after = evolve(live, **changes) if changes else live
            return Step(Outcome.STAYED, Visits(after, closed_last), live, after, ())
        effective = max(self.received_at, live.effective_at)
        effect, to = self._resolve(live, live.state)
        if effect is Effect.MOVE:
            _move(live, to, self.received_at, effective, changes)
        if to is State.CLOSED:
            left = trigger is Trigger.CLIENT_LEFT
            changes["close_reason"] = CloseReason.CLIENT_LEFT if left else CloseReason.AGENT_DONE
        self._take_facts(to, changes)
        outcome = Outcome.UNKNOWN if trigger is Trigger.UNKNOWN else _OUTCOMES[effect]
        row = self._row_of(live, changes, effective, outcome)
        after = evolve(live, **changes)
        visits = Visits(after, closed_last) if after.live else Visits(None, after)
        return Step(outcome, visits, live, after, (row,))

    def to_closed(self, closed: ChatSession, live: ChatSession | None) -> Step:
        """A late event: recorded, and nothing moves but what the clock only guessed."""
        trigger = self.message.trigger
        changes: Changes = {}
        self._observe(closed, changes)
        if closed.kept_state is None:
            self._set_echo(closed, changes, superseded=live is not None)
        elif live is None and closed.kept_state is not State.CLOSED:
            effect, to = self._resolve(closed, closed.kept_state)
            if effect is Effect.MOVE:
                changes["kept_state"] = to
            self._take_facts(None, changes)
        outcome = Outcome.UNKNOWN if trigger is Trigger.UNKNOWN else Outcome.LATE
        rows: tuple[HistoryRow, ...] = ()
        if trigger not in QUIET:
            effective = max(self.received_at, closed.effective_at)
            rows = (self._row_of(closed, changes, effective, outcome),)
        after = evolve(closed, **changes) if changes else closed
        return Step(outcome, Visits(live, after), closed, after, rows)

    def to_new(self, closed: ChatSession | None, *, resumes: bool) -> Step:
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
            expires_at=_later(at, self.durations.idle_timeout),
        )
        changes: Changes = {}
        start = State.OPEN
        if resumes and closed is not None and closed.kept_state is not None:
            start, changes["agent"] = closed.kept_state, closed.agent
        _, to = self._resolve(blank, start)
        self._observe(blank, changes)
        self._set_deadline(blank, changes)
        _move(blank, to, at, at, changes)
        self._take_facts(to, changes)
        row = self._row_of(blank, changes, at, Outcome.MOVED)
        after = evolve(blank, **changes)
        return Step(Outcome.MOVED, Visits(after, closed), None, after, (row,))

    def to_nobody(self, visits: Visits) -> Step:
        message, event = self.message, self.message.event
        unknown = message.trigger is Trigger.UNKNOWN
        outcome = Outcome.UNKNOWN if unknown else Outcome.STRAY
        if message.trigger in QUIET:
            return Step(outcome, visits, None, None, ())
        row = HistoryRow(
            direction=message.direction,
            type=event.type,
            trigger=message.trigger,
            outcome=outcome,
            received_at=self.received_at,
            effective_at=self.received_at,
            at=getattr(event, "at", None),
            message_id=self.message_id,
            platform_id=event.platform_id,
            user_id=event.user_id,
            reason=_why_stray(message),
            event=message.stored[0],
        )
        return Step(outcome, visits, None, None, (row,))

    def _resolve(self, session: ChatSession, state: State) -> tuple[Effect, State]:
        cell = TABLE[state, self.message.trigger]
        wrote_at = session.customer_text_at
        wrote_later = wrote_at is not None and wrote_at > self.received_at
        return cell.effect, cell.target(_WROTE_LATER if wrote_later else NO_GUARD)

    def _row_of(
        self, session: ChatSession, changes: Changes, effective: datetime, outcome: Outcome
    ) -> HistoryRow:
        event = self.message.event
        return _row(
            session,
            changes,
            effective,
            direction=self.message.direction,
            type=event.type,
            trigger=self.message.trigger,
            outcome=outcome,
            received_at=self.received_at,
            at=getattr(event, "at", None),
            message_id=self.message_id,
            event=self.message.stored[0],
        )

    def _observe(self, session: ChatSession, changes: Changes) -> None:
        """Note when it came: the latest of each kind, never one from before the session."""
        at, trigger = self.received_at, self.message.trigger
        if trigger is Trigger.CUSTOMER_TEXT:
            _latest(session, "customer_text_at", at, changes)
        if trigger in _ENDS_TYPING:
            _latest(session, "typing_ended_at", at, changes)
        if at < session.opened_at:
            return
        if self.message.direction is Direction.INBOUND:
            _latest(session, "last_seen_at", at, changes)
        for name in _TIMES_OF.get(trigger, ()):
            _latest(session, name, at, changes)
        author = _AUTHOR_OF.get(trigger)
        if author is not None and (session.last_reply_at is None or at >= session.last_reply_at):
            changes["last_reply_at"], changes["last_reply_by"] = at, author

    def _set_deadline(self, session: ChatSession, changes: Changes) -> None:
        """Until when the customer is believed to be there: the latest inbound event decides."""
        if self.message.direction is not Direction.INBOUND or session.left:
            return
        at, set_at = self.received_at, session.expiry_set_at
        trigger, reason, wait = self.message.trigger, CloseReason.IDLE, self.durations.idle_timeout
        if trigger is Trigger.CLIENT_LEFT:
            # The first goodbye always decides, from the later of the two times.
            at = max(at, set_at)
            reason, wait = CloseReason.CLIENT_LEFT, self.durations.unload_grace
        elif at < set_at:
            return
        elif trigger is Trigger.CLIENT_UNLOAD:
            reason, wait = CloseReason.CLIENT_UNLOAD, self.durations.unload_grace
        elif at == set_at and session.expiry_reason is CloseReason.CLIENT_UNLOAD:
            return
        changes |= {"expires_at": _later(at, wait), "expiry_set_at": at, "expiry_reason": reason}

    def _set_echo(self, closed: ChatSession, changes: Changes, *, superseded: bool) -> None:
        """A closed session's moment moves until it is reached, or the next session opens."""
        if self.message.direction is not Direction.INBOUND:
            return
        latest = max(self.received_at, closed.expiry_set_at)
        if not superseded and (closed.expires_at is None or latest < closed.expires_at):
            self._set_deadline(closed, changes)
            return
        if not superseded:
            changes["expiry_set_at"] = latest  # reached: what was received before is too late
        if self.message.trigger is Trigger.CLIENT_LEFT:
            changes["expiry_reason"] = CloseReason.CLIENT_LEFT

    def _take_facts(self, to: State | None, changes: Changes) -> None:
        """What the event says beside its trigger; *to* is None on a kept state."""
        match self.message.event:
            case Reply() as reply if reply.sender is Who.HUMAN:
                changes["agent"] = reply.agent
            case HandoverToBot(flow_group_id=group):
                changes["flow_group_id"] = group
            case HandoverTo(flow_group_id=group) if self.message.trigger is _TO_BOT:
                changes["flow_group_id"] = group
            case QueueNumber(queue_number=place) if to is State.QUEUED:
                changes["queue_number"] = place


_TO_BOT: Final = Trigger.HANDOVER_TO_BOT
_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})

_OUTCOMES: Final = {
    Effect.MOVE: Outcome.MOVED,
    Effect.STAY: Outcome.STAYED,
    Effect.IGNORE: Outcome.IGNORED,
}

_TimeField = Literal[
    "last_seen_at",
    "last_read_at",
    "customer_typed_at",
    "customer_text_at",
    "platform_closed_at",
    "typing_on_at",
    "typing_ended_at",
]

_TIMES_OF: Final[dict[Trigger, tuple[_TimeField, ...]]] = {
    Trigger.CUSTOMER_TEXT: ("customer_typed_at",),
    Trigger.TYPING: ("customer_typed_at",),
    Trigger.MESSAGES_READ: ("last_read_at",),
    Trigger.PLATFORM_CLOSED: ("platform_closed_at",),
    Trigger.TYPING_ON: ("typing_on_at",),
}

_AUTHOR_OF: Final = {
    Trigger.BOT_TEXT: Who.BOT,
    Trigger.AGENT_TEXT: Who.HUMAN,
    Trigger.UNATTRIBUTED_TEXT: Who.UNKNOWN,
}

_ENDS_TYPING: Final = frozenset({Trigger.TYPING_OFF, *_AUTHOR_OF})


def _later(at: datetime, wait: Any) -> datetime | None:
    return None if wait is None else at + wait


def _latest(session: ChatSession, name: _TimeField, at: datetime, changes: Changes) -> None:
    so_far = changes.get(name) or getattr(session, name)
    if so_far is None or at > so_far:
        changes[name] = at


def _move(
    session: ChatSession, to: State, at: datetime, effective: datetime, changes: Changes
) -> None:
    """Leave the session's state for *to*, with what ends and begins by that."""
    changes |= {"state": to, "since": effective}
    if session.state is State.WITH_AGENT:
        _latest(session, "typing_ended_at", at, changes)
    if to is State.CLOSED:
        changes["closed_at"] = at
    if to is not State.QUEUED:
        changes["queue_number"] = None
    elif session.queued_at is None:
        changes["queued_at"] = max(at, session.opened_at)


def _row(session: ChatSession, changes: Changes, effective: datetime, **facts: Any) -> HistoryRow:
    """The session's next row; notes in *changes* that it has one more."""
    changes |= {"rows": session.rows + 1, "effective_at": effective}
    to = changes.get("state", session.state)
    closes = to is State.CLOSED and session.live
    agent = changes.get("agent", session.agent)
    return HistoryRow(
        **facts,
        effective_at=effective,
        platform_id=session.platform_id,
        user_id=session.user_id,
        ordinal=session.ordinal,
        seq=session.rows + 1,
        from_state=session.state if session.rows else None,
        to_state=to,
        agent_id=agent.id if agent is not None and to is State.WITH_AGENT else None,
        reason=changes["close_reason"] if closes else None,
        last_seen_at=changes.get("last_seen_at", session.last_seen_at) if closes else None,
    )


def _why_stray(message: Message) -> str:
    if message.trigger is not Trigger.UNKNOWN:
        return "this user has no session yet, and this event opens none"
    if message.event.user_id is None or message.event.platform_id is None:
        return f"type not in the protocol on {message.direction}, and no usable user"
    return f"type not in the protocol on {message.direction}, and the user has no session yet"
