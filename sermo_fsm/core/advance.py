"""One message, one step: what becomes of a user's sessions, and which rows are to be written.

:func:`advance` is the heart of this library, and a pure function: the user's sessions, a message
and the durations in; the user's sessions, an outcome and rows out. Which session the message is
about is decided in :mod:`sermo_fsm.core.ownership`, where that session goes in
:mod:`sermo_fsm.core.machine`, what else changes in it in :mod:`sermo_fsm.core.session_update`.
"""

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sermo_fsm.core.history import HistoryRow, Outcome
from sermo_fsm.core.machine import NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.core.ownership import Owner, overdue, owner_of
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.core.session_update import SessionUpdate, deadline
from sermo_fsm.protocol.events import QUIET, Direction, Trigger, is_about_no_chat
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.wire import sent_at

__all__ = [
    "NO_VISITS",
    "OUTCOME_OF",
    "Step",
    "Visits",
    "advance",
    "close",
    "expire",
    "to_closed",
    "to_live",
    "to_new",
    "unless_unknown",
]

# For every event: Python 3.11 takes ten times as long to find a member in its enum.
_CLOSED: Final = State.CLOSED
_MOVE: Final = Effect.MOVE
_STAYED: Final = Outcome.STAYED
_UNKNOWN: Final = Trigger.UNKNOWN

OUTCOME_OF: Final = {
    Effect.MOVE: Outcome.MOVED,
    Effect.STAY: Outcome.STAYED,
    Effect.IGNORE: Outcome.IGNORED,
}
"""What becomes of an event of a live session, by what the table says of it."""


def unless_unknown(trigger: str, outcome: Outcome) -> Outcome:
    """*outcome*; of an event that is not in the protocol it is ``unknown`` instead."""
    return Outcome.UNKNOWN if trigger == _UNKNOWN else outcome


class Visits(Struct, frozen=True, gc=False):
    """All of a user's sessions that an event can still belong to."""

    live: ChatSession | None = None
    closed: ChatSession | None = None
    """The session that closed last."""

    @property
    def current(self) -> ChatSession | None:
        """The live session, else the last one."""
        return self.live or self.closed


NO_VISITS: Final = Visits()


class Step(Struct, frozen=True, gc=False):
    """What one message did.

    Attributes:
        outcome: What became of it.
        visits: The user's sessions after it.
        before: The session it belongs to, before it; None if it opened one or belongs to none.
        after: The same session after it; None if it belongs to none.
        rows: What is to be written, in this order: none, one, or two if a deadline came first.
    """

    outcome: Outcome
    visits: Visits
    before: ChatSession | None = None
    after: ChatSession | None = None
    rows: tuple[HistoryRow, ...] = ()


def advance(visits: Visits, message: Message, durations: Durations) -> Step:
    """Apply one message to its user's sessions."""
    live, closed = visits.live, visits.closed
    expired: tuple[HistoryRow, ...] = ()
    if live is not None and overdue(live, message.direction, message.received_at):
        closed, row = expire(live)
        live, expired = None, (row,)
    owner = owner_of(message.trigger, message.received_at, live, closed, durations)
    match owner:
        case Owner.LIVE if live is not None:
            step = to_live(message, live, closed, durations)
        case Owner.CLOSED if closed is not None:
            step = to_closed(message, closed, live, durations)
        case Owner.NOBODY:
            step = _to_nobody(message, Visits(live, closed))
        case _:
            step = to_new(message, closed, durations, resumes=owner is Owner.RESUMED)
    return replace(step, rows=expired + step.rows) if expired else step


def expire(live: ChatSession) -> tuple[ChatSession, HistoryRow]:
    """Close *live* at its deadline, however late that was noticed."""
    moment = live.expires_at
    if moment is None:
        raise ValueError("this session has no deadline")  # our own fault, not the caller's
    update = SessionUpdate(live, {"kept_state": live.state, "close_reason": live.expiry_reason})
    effective_at = max(moment, live.effective_at)
    update.move(_CLOSED, moment, effective_at)  # only the kept state has changed hands
    row = _row(
        update,
        effective_at,
        direction=Direction.TIMER,
        trigger=Trigger.EXPIRE,
        outcome=Outcome.MOVED,
        received_at=None,
    )
    return update.result(), row


def close(live: ChatSession, at: datetime, code: str | None) -> tuple[ChatSession, HistoryRow]:
    """Close *live* by hand; *code* is the operator's reason."""
    update = SessionUpdate(live, {"close_reason": CloseReason.OPERATOR})
    effective_at = max(at, live.effective_at)
    update.move(_CLOSED, at, effective_at)
    update.change_hands(live.state, _CLOSED, at)
    row = _row(
        update,
        effective_at,
        direction=Direction.OPERATOR,
        trigger=Trigger.CLOSE,
        outcome=Outcome.MOVED,
        received_at=at,
        event=None if code is None else {"reason": code},
    )
    return update.result(), row


def to_live(
    message: Message, live: ChatSession, closed: ChatSession | None, durations: Durations
) -> Step:
    """The common case: the machine decides."""
    trigger = message.trigger
    update = SessionUpdate(live)
    update.note_times(message)
    update.set_deadline(message, durations)
    if trigger in QUIET:
        after = update.result()
        return Step(_STAYED, Visits(after, closed), live, after)
    effective_at = max(message.received_at, live.effective_at)
    effect, to = _decide(message, live, live.state)
    if effect is _MOVE:
        update.move(to, message.received_at, effective_at)
        update.change_hands(live.state, to, message.received_at)
    if to is _CLOSED:
        update.values["close_reason"] = _CLOSE_REASONS.get(trigger, CloseReason.AGENT_DONE)
    update.take_facts(message, to)
    outcome = unless_unknown(trigger, OUTCOME_OF[effect])
    row = _row_of(message, update, effective_at, outcome)
    after = update.result()
    visits = Visits(None, after) if to is _CLOSED else Visits(after, closed)
    return Step(outcome, visits, live, after, (row,))


_CLOSE_REASONS: Final = {
    Trigger.CLIENT_LEFT: CloseReason.CLIENT_LEFT,
    Trigger.END_SESSION: CloseReason.END_SESSION,
}


def to_closed(
    message: Message, closed: ChatSession, live: ChatSession | None, durations: Durations
) -> Step:
    """A late event: recorded, and only a kept state may move, since the clock only guessed."""
    update = SessionUpdate(closed)
    update.note_times(message)
    if closed.kept_state is None:
        update.set_echo(message, durations, superseded=live is not None)
    elif live is None and closed.kept_state is not _CLOSED:
        effect, to = _decide(message, closed, closed.kept_state)
        if effect is _MOVE:
            update.values["kept_state"] = to
            update.change_hands(closed.kept_state, to, message.received_at)
        update.take_facts(message, to)
    outcome = unless_unknown(message.trigger, Outcome.LATE)
    rows: tuple[HistoryRow, ...] = ()
    if message.trigger not in QUIET:
        effective_at = max(message.received_at, closed.effective_at)
        rows = (_row_of(message, update, effective_at, outcome),)
    after = update.result()
    return Step(outcome, Visits(live, after), closed, after, rows)


def to_new(
    message: Message, closed: ChatSession | None, durations: Durations, *, resumes: bool
) -> Step:
    """Open a session, and apply the trigger at once."""
    at, event = message.received_at, message.event
    fresh = ChatSession(
        platform_id=str(event.platform_id),
        user_id=str(event.user_id),
        ordinal=closed.ordinal + 1 if closed else 1,
        previous_session_id=closed.session_id if closed else None,
        previous_close_reason=closed.close_reason if closed else None,
        resumed=resumes,
        state=State.OPEN,
        opened_at=at,
        expires_at=deadline(at, durations.idle_timeout),
    )
    if resumes and closed is not None and closed.kept_state is not None:
        goes_on = {name: getattr(closed, name) for name in _GOES_ON}
        fresh = replace(fresh, state=closed.kept_state, **goes_on)
    update = SessionUpdate(fresh)
    _, to = _decide(message, fresh, fresh.state)
    update.note_times(message)
    update.set_deadline(message, durations)
    update.move(to, at, at)
    if to is not fresh.state:
        update.change_hands(fresh.state, to, at)
    update.take_facts(message, to)
    row = _row_of(message, update, at, Outcome.MOVED)
    after = update.result()
    return Step(Outcome.MOVED, Visits(after, closed), None, after, (row,))


_GOES_ON: Final = (
    *("agent", "queue_place", "queued_at", "flow_group_id", "platform_closed_at"),
    *("last_seen_at", "last_read_at", "customer_typed_at", "last_customer_text_at"),
    *("last_reply_at", "last_reply_by", "typing_on_at", "typing_ended_at"),
)
"""What a resumed session has from the one before it."""


def _to_nobody(message: Message, visits: Visits) -> Step:
    """A stray: recorded without a session, unless it is quiet."""
    outcome = unless_unknown(message.trigger, Outcome.STRAY)
    event = message.event
    if message.trigger in QUIET or is_about_no_chat(event.type, message.direction):
        return Step(outcome, visits)
    row = HistoryRow(
        direction=message.direction,
        type=event.type,
        trigger=message.trigger,
        outcome=outcome,
        received_at=message.received_at,
        effective_at=message.received_at,
        at=sent_at(event),
        message_id=message.message_id,
        platform_id=event.platform_id,
        user_id=event.user_id,
        reason=_why_stray(message),
        event=message.body,
    )
    return Step(outcome, visits, rows=(row,))


_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})


def _decide(message: Message, session: ChatSession, state: State) -> tuple[Effect, State]:
    """What the table says of this message in *state*, and where that leads."""
    cell = TABLE[state, message.trigger]
    if cell.guard is None:
        return cell.effect, cell.to
    wrote_at = session.last_customer_text_at
    wrote_later = wrote_at is not None and wrote_at > message.received_at
    return cell.effect, cell.target(_WROTE_LATER if wrote_later else NO_GUARD)


def _row_of(
    message: Message, update: SessionUpdate, effective_at: datetime, outcome: Outcome
) -> HistoryRow:
    """The row of a message in the session that is updated."""
    return _row(
        update,
        effective_at,
        direction=message.direction,
        type=message.event.type,
        trigger=message.trigger,
        outcome=outcome,
        received_at=message.received_at,
        at=sent_at(message.event),
        message_id=message.message_id,
        event=message.body,
    )


def _row(update: SessionUpdate, effective_at: datetime, **facts: Any) -> HistoryRow:
    """The session's next row; the update counts it."""
    session, values = update.session, update.values
    seq = values["rows"] = session.rows + 1
    values["effective_at"] = effective_at
    to = values.get("state", session.state)
    agent = values.get("agent", session.agent)
    closes = to is _CLOSED and session.state is not _CLOSED
    return HistoryRow(
        **facts,
        effective_at=effective_at,
        platform_id=session.platform_id,
        user_id=session.user_id,
        ordinal=session.ordinal,
        session_id=session.session_id,
        seq=seq,
        from_state=session.state if session.rows else None,
        to_state=to,
        agent_id=agent.id if agent is not None and to is State.WITH_AGENT else None,
        reason=update.now("close_reason") if closes else None,
        last_seen_at=update.now("last_seen_at") if closes else None,
    )


def _why_stray(message: Message) -> str:
    if message.trigger is not _UNKNOWN:
        return "this user has no session yet, and this event opens none"
    if message.user is None:
        return f"type not in the protocol on {message.direction}, and no usable user"
    return f"type not in the protocol on {message.direction}, and the user has no session yet"
