"""A chat as a conversation: who did what to whom, when, and what became of it.

Everything is told from the facts of the rows. What people wrote, and what agents are called, is
told only where it is asked for: it can be erased, and a timeline ends up in tickets and mails.
Quiet events wrote no row, so they are not told.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason, HistoryRow, Outcome
from sermo_fsm.protocol.events import Direction, Trigger
from sermo_fsm.views.json_views import time_view
from sermo_fsm.views.participants import Cast, Someone

__all__ = [
    "PAUSE",
    "Entry",
    "entry_view",
    "move",
    "tell",
]

PAUSE: Final = timedelta(minutes=1)
"""From here on it is worth a word that nothing happened."""


@frozen(kw_only=True)
class Entry:
    """A row of the history, told.

    Attributes:
        seq: Its number in the history.
        at: Its effective time.
        received: When it was received, which may be earlier: its queue was read late. None for
            what the clock does.
        since_opening: How long after the chat opened that was.
        pause: How long after the row before.
        what: In a few words, without what was said.
        source: None for the row that opened the chat.
        serving: Who has the chat after it; None where nobody has.
        reason: Why it closed, on the row that closes.
        said: What was said, where that was asked for; ``[erased]`` where it is gone.
    """

    seq: int
    at: datetime
    received: datetime | None
    since_opening: timedelta
    pause: timedelta
    trigger: Trigger
    who: Someone
    whom: Someone
    what: str
    source: State | None
    target: State
    outcome: Outcome
    serving: Someone | None = None
    reason: str | None = None
    said: str | None = None

    @property
    def clock(self) -> timedelta:
        """The time since the opening as a clock shows it, which knows no parts of a second."""
        opened = self.at - self.since_opening
        return self.at.replace(microsecond=0) - opened.replace(microsecond=0)

    @property
    def received_earlier(self) -> str | None:
        """When it was received, where that is not the time that it is told at; in UTC."""
        at = self.at.astimezone(UTC).replace(microsecond=0)
        received = (self.received or at).astimezone(UTC).replace(microsecond=0)
        if received == at:
            return None
        day = "" if received.date() == at.date() else f"{received:%Y-%m-%d} "
        return f"received {day}{received:%H:%M:%S}"

    @property
    def moved(self) -> bool:
        """Whether the chat went to another state, or opened."""
        return self.source is not self.target

    @property
    def odd(self) -> Outcome | None:
        """What became of it, where the machine did not take it."""
        return None if self.outcome in _TAKEN else self.outcome


_TAKEN: Final = (Outcome.MOVED, Outcome.STAYED)
_SERVED: Final = (State.BOT, State.QUEUED, State.WITH_AGENT)

_WORDS: Final[Mapping[Trigger, str]] = {
    Trigger.CUSTOMER_TEXT: "writes",
    Trigger.HEARTBEAT: "is on the page",
    Trigger.TYPING: "begins to type",
    Trigger.MESSAGES_READ: "has read what was written",
    Trigger.CLIENT_UNLOAD: "leaves the page",
    Trigger.CLIENT_LEFT: "leaves the chat",
    Trigger.BOT_TEXT: "writes",
    Trigger.AGENT_TEXT: "writes",
    Trigger.UNATTRIBUTED_TEXT: "writes, nobody knows who",
    Trigger.SYSTEM_TEXT: "announces",
    Trigger.TYPING_ON: "begins to type",
    Trigger.TYPING_OFF: "stops typing",
    Trigger.QUEUE_NUMBER: "tells the place in the queue",
    Trigger.AGENT_DONE: "is done with the chat",
    Trigger.PLATFORM_CLOSED: "closes the queue",
    Trigger.HANDOVER_TO_BOT: "hands over to the bot",
    Trigger.HANDOVER_TO_AGENT: "hands over to an agent",
    Trigger.EXPIRE: "has waited long enough",
    Trigger.UNKNOWN: "sends what the protocol does not know",
}

_WHY: Final[Mapping[str, str]] = {
    CloseReason.CLIENT_LEFT: "the customer left the chat",
    CloseReason.AGENT_DONE: "the agent was done",
    CloseReason.CLIENT_UNLOAD: "the customer left the page and did not come back",
    CloseReason.IDLE: "the customer was silent for too long",
}


def move(entry: Entry) -> str:
    """Where an entry took the chat."""
    if entry.target is State.CLOSED:
        return f"{entry.source} → closed: {_WHY.get(entry.reason or '', 'nobody knows why')}"
    return f"{entry.source or 'new chat'} → {entry.target}"


def tell(
    session: ChatSession, rows: Iterable[HistoryRow], *, bodies: bool = False
) -> Iterator[Entry]:
    """The *rows* of a session, from its first one on, as they come: one is kept.

    Args:
        session: Whose rows they are.
        rows: In order.
        bodies: Tell also what was said, and what agents are called.
    """
    cast, before = Cast(), session.opened_at
    for row in rows:
        who, cast = cast.who(row), cast.after(row)
        whom, trigger = cast.whom(row), row.trigger or Trigger.UNKNOWN
        yield Entry(
            seq=row.seq or 0,
            at=row.effective_at,
            received=row.received_at,
            since_opening=row.effective_at - session.opened_at,
            pause=row.effective_at - before,
            trigger=trigger,
            who=_shown(who, named=bodies),
            whom=_shown(whom, named=bodies),
            what=_what(row, trigger),
            source=row.from_state,
            target=row.to_state or session.state,
            outcome=row.outcome,
            serving=_shown(cast.serving, named=bodies) if row.to_state in _SERVED else None,
            reason=row.reason,
            said=_said(row) if bodies else None,
        )
        before = row.effective_at


def _shown(someone: Someone, *, named: bool) -> Someone:
    return someone if named else evolve(someone, name=None)


def _what(row: HistoryRow, trigger: Trigger) -> str:
    words = _WORDS[trigger]
    match row.event:
        case {"queueNumber": int(number)} if trigger is Trigger.QUEUE_NUMBER:
            words = f"tells place {number} in the queue"
        case {"image": {"bytes": int(size), "mediaType": kind}}:
            words += f" [picture, {kind or 'of no known kind'}, {_size(size)}]"
    if trigger is Trigger.UNKNOWN:
        words += f" ({row.type})"
    if trigger is Trigger.AGENT_DONE and row.to_state is State.BOT is not row.from_state:
        words += ", but the customer has written since"
    return words


def _said(row: HistoryRow) -> str | None:
    match row.event:
        case None:
            return None if row.direction is Direction.TIMER else "[erased]"
        case {"text": str(text)} if text.strip() and row.trigger in _SPOKEN:
            return text
        case _:
            return None


_SPOKEN: Final = frozenset(
    {
        Trigger.CUSTOMER_TEXT,
        Trigger.BOT_TEXT,
        Trigger.AGENT_TEXT,
        Trigger.UNATTRIBUTED_TEXT,
        Trigger.SYSTEM_TEXT,
    }
)


_KILO: Final = 1000


def _size(size: int) -> str:
    return f"{size} bytes" if size < _KILO else f"{round(size / _KILO)} kB"


def _view(someone: Someone) -> dict[str, Any]:
    return {"role": someone.role, "id": someone.id, "name": someone.name}


def entry_view(entry: Entry) -> dict[str, Any]:
    """An entry as ``timeline --json`` prints it."""
    return {
        "seq": entry.seq,
        "at": time_view(entry.at),
        "receivedAt": time_view(entry.received),
        "sinceOpening": entry.since_opening / timedelta(seconds=1),
        "pause": entry.pause / timedelta(seconds=1),
        "who": _view(entry.who),
        "whom": _view(entry.whom),
        "trigger": entry.trigger,
        "what": entry.what,
        "from": entry.source,
        "to": entry.target,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "said": entry.said,
    }
