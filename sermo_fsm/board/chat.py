"""One chat in words: where it is, and what happened in it."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from attrs import frozen
from markupsafe import Markup

from sermo_fsm.board.display import Display
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.views.participants import Participant, Role
from sermo_fsm.views.timeline import CLOSE_REASONS, NOTABLE_PAUSE, TimelineEntry

__all__ = ["Line", "status_sentences", "timeline_lines"]


def status_sentences(chat: ChatSession, display: Display, *, bodies: bool) -> Iterator[Markup]:
    """Where a chat is, sentence by sentence."""
    say, time = display.say, display.time
    if chat.closed_at is not None:
        reason = _reason(chat.close_reason, display)
        yield say("It closed at {time}: {reason}.", time=time(chat.closed_at), reason=reason)
    else:
        yield from _live_sentences(chat, display, bodies=bodies)
    yield say("It opened at {time}.", time=time(chat.opened_at))
    if chat.last_seen_at is not None:
        yield say("The customer was last seen at {time}.", time=time(chat.last_seen_at))
    if chat.resumed:
        yield say("It goes on from a chat that the clock had closed.")


def _live_sentences(chat: ChatSession, display: Display, *, bodies: bool) -> Iterator[Markup]:
    def say(text: str, since: datetime | None = None, **values: object) -> Markup:
        if since is None:
            return display.say(text, **values)
        return display.say(text, time=display.time(since), length=display.since(since), **values)

    state = display.state(chat.state)
    yield say("It is in {state} since {time} ({length}).", chat.since, state=state)
    match chat.state:
        case State.QUEUED:
            queued_at = chat.queued_at or chat.since
            yield say("It has waited in the queue since {time} ({length}).", queued_at)
            if chat.queue_number is not None:
                yield say("The customer was told place {place}.", place=chat.queue_number)
        case State.WITH_AGENT if chat.agent is not None:
            name = (chat.agent.name if bodies else None) or chat.agent.id
            yield say("The agent is {agent}.", agent=name)
        case State.BOT if _is_unanswered(chat):
            yield say("The customer's last text has had no reply.")
    if chat.expires_at is not None:
        over = chat.expires_at <= display.now
        text = (
            "Its deadline, {time}, is past: it is to be swept."
            if over
            else "Unless the customer is heard of, it closes at {time}."
        )
        yield display.say(text, time=display.time(chat.expires_at))


def _is_unanswered(chat: ChatSession) -> bool:
    wrote_at, replied_at = chat.last_customer_text_at, chat.last_reply_at
    return wrote_at is not None and (replied_at is None or replied_at < wrote_at)


def _reason(reason: str | None, display: Display) -> str:
    return display.words(CLOSE_REASONS.get(reason or "", "nobody knows why"))


@frozen(kw_only=True)
class Line:
    """One row of a timeline, in words.

    Attributes:
        seq: The number of the row.
        at: When it took effect.
        pause: How long nothing had happened before; None if not long.
        received_at: When it was received, if that was at another time.
        actor: Who acted.
        recipient: Whom it was addressed to.
        what: What was done.
        outcome: What became of it, if not the usual.
        state: The state after the row, if it is another one.
        reason: Why the chat closed, on the row that closes it.
        said: What was written, if that is shown.
    """

    seq: int
    at: datetime
    pause: str | None
    received_at: datetime | None
    actor: str
    recipient: str
    what: str
    outcome: str | None
    state: State | None
    reason: str | None
    said: str | None


def timeline_lines(entries: Iterable[TimelineEntry], display: Display) -> Iterator[Line]:
    """A timeline as lines."""
    words = display.words
    for entry in entries:
        closes = entry.moved and entry.target is State.CLOSED
        yield Line(
            seq=entry.seq,
            at=entry.at,
            pause=display.length(entry.pause) if entry.pause >= NOTABLE_PAUSE else None,
            received_at=entry.received_at if entry.received_note else None,
            actor=_name(entry.actor, display),
            recipient=_name(entry.recipient, display),
            what=words.summary(entry.summary),
            outcome=words(entry.unusual_outcome) if entry.unusual_outcome else None,
            state=entry.target if entry.moved else None,
            reason=_reason(entry.reason, display) if closes else None,
            said=words(entry.body) if entry.body == "[erased]" else entry.body,
        )


def _name(participant: Participant, display: Display) -> str:
    if participant.name is not None or participant.id is not None:
        return participant.name or str(participant)
    role = participant.role
    return display.words("platform (role)" if role is Role.PLATFORM else role.value)
