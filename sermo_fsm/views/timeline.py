"""A chat as a conversation: who did what to whom, when, and with what outcome.

What people wrote and the names of agents are left out unless asked for: both can be erased, and a
timeline ends up in tickets and mails. Quiet events write no history row, so they have no entry.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from sermo_fsm.core.history import HistoryRow, Outcome
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.protocol.events import QUEUES, Trigger
from sermo_fsm.views.participants import Assignment, Participant

__all__ = [
    "CLOSE_REASONS",
    "NOTABLE_PAUSE",
    "TimelineEntry",
    "describe_transition",
    "entry_view",
    "timeline_entries",
]

NOTABLE_PAUSE: Final = timedelta(minutes=1)
"""A pause of this length or longer is shown."""


@frozen(kw_only=True)
class TimelineEntry:
    """A history row as a line of a conversation.

    Attributes:
        seq: The number of the row in the session's history.
        at: Its effective time.
        received_at: When the event was received: earlier than ``at`` if its queue was read late.
            None if the clock caused the row.
        since_opening: The time from the opening of the chat to ``at``.
        pause: The time from the row before to ``at``.
        actor: Who acted.
        recipient: Whom the event was addressed to.
        summary: What the actor did, in a few words, without the text of the message.
        source: The state before; None for the row that opened the chat.
        target: The state after.
        serving: Who serves the customer after the row; None in ``open`` and ``closed``.
        reason: Why the chat closed, on the row that closes it.
        body: The text of the message, if it was asked for; ``[erased]`` if it was erased.
    """

    seq: int
    at: datetime
    received_at: datetime | None
    since_opening: timedelta
    pause: timedelta
    trigger: Trigger
    actor: Participant
    recipient: Participant
    summary: str
    source: State | None
    target: State
    outcome: Outcome
    serving: Participant | None = None
    reason: str | None = None
    body: str | None = None

    @property
    def elapsed(self) -> timedelta:
        """The time since the opening, between two clock readings without fractions of a second."""
        opened = self.at - self.since_opening
        return self.at.replace(microsecond=0) - opened.replace(microsecond=0)

    @property
    def received_note(self) -> str | None:
        """The words ``received <time>`` if that differs from ``at`` by seconds; else None.

        The time is in the zone of ``at``.
        """
        at = self.at.replace(microsecond=0)
        received = (self.received_at or at).astimezone(at.tzinfo).replace(microsecond=0)
        if received == at:
            return None
        day = "" if received.date() == at.date() else f"{received:%Y-%m-%d} "
        return f"received {day}{received:%H:%M:%S}"

    @property
    def moved(self) -> bool:
        """Whether the row changed the state or opened the chat."""
        return self.source is not self.target

    @property
    def unusual_outcome(self) -> Outcome | None:
        """The outcome, unless the event moved or kept the state."""
        return None if self.outcome in _USUAL_OUTCOMES else self.outcome


_USUAL_OUTCOMES: Final = (Outcome.MOVED, Outcome.STAYED)
_SERVED_STATES: Final = (State.BOT, State.QUEUED, State.WITH_AGENT)

_SUMMARIES: Final[Mapping[Trigger, str]] = {
    Trigger.CUSTOMER_TEXT: "writes",
    Trigger.HEARTBEAT: "is on the page",
    Trigger.TYPING: "begins to type",
    Trigger.START: "opens the chat",
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
    Trigger.CLAIM_SESSION: "takes the chat",
    Trigger.AGENT_DONE: "is done with the chat",
    Trigger.AGENT_RELEASED: "lets go of the chat",
    Trigger.END_SESSION: "ends the chat for good",
    Trigger.PLATFORM_CLOSED: "closes the queue",
    Trigger.HANDOVER_TO_BOT: "hands over to the bot",
    Trigger.HANDOVER_TO_AGENT: "hands over to an agent",
    Trigger.HANDOVER_TO_QUEUE: "puts the chat in line",
    Trigger.EXPIRE: "has waited long enough",
    Trigger.CLOSE: "closes the chat by hand",
    Trigger.UNKNOWN: "sends what the protocol does not know",
}

_TEXT_TRIGGERS: Final = frozenset(
    {
        Trigger.CUSTOMER_TEXT,
        Trigger.BOT_TEXT,
        Trigger.AGENT_TEXT,
        Trigger.UNATTRIBUTED_TEXT,
        Trigger.SYSTEM_TEXT,
    }
)
_RICH_REPLIES: Final = {
    "postback": "offers buttons",
    "web_url": "sends a link",
    "image": "sends a picture",
    "carousel": "sends cards",
}
"""What is said instead of "writes" of a reply that is more than text, by its wire type."""

CLOSE_REASONS: Final[Mapping[str, str]] = {
    CloseReason.CLIENT_LEFT: "the customer left the chat",
    CloseReason.AGENT_DONE: "the agent was done",
    CloseReason.CLIENT_UNLOAD: "the customer left the page and did not come back",
    CloseReason.IDLE: "the customer was silent for too long",
    CloseReason.END_SESSION: "the agents' platform ended it for good",
    CloseReason.OPERATOR: "an operator closed it by hand",
}
"""Why a chat closed, in words."""


def describe_transition(entry: TimelineEntry) -> str:
    """Return the state before and after in words, and for ``closed`` the reason."""
    if entry.target is State.CLOSED:
        reason = CLOSE_REASONS.get(entry.reason or "", "nobody knows why")
        return f"{entry.source} → closed: {reason}"
    return f"{entry.source or 'new chat'} → {entry.target}"


def timeline_entries(
    session: ChatSession, rows: Iterable[HistoryRow], *, bodies: bool = False
) -> Iterator[TimelineEntry]:
    """Yield an entry for each history row of a session; only one row is held in memory.

    Args:
        session: The session.
        rows: Its history, in order, from the first row on.
        bodies: Include what people wrote and the names of agents.
    """
    assignment, previous_at = Assignment(), session.opened_at
    for row in rows:
        actor, assignment = assignment.actor(row), assignment.after(row)
        recipient, trigger = assignment.recipient(row), row.trigger or Trigger.UNKNOWN
        serving = assignment.serving if row.to_state in _SERVED_STATES else None
        yield TimelineEntry(
            seq=row.seq or 0,
            at=row.effective_at,
            received_at=row.received_at,
            since_opening=row.effective_at - session.opened_at,
            pause=row.effective_at - previous_at,
            trigger=trigger,
            actor=_shown(actor, with_name=bodies),
            recipient=_shown(recipient, with_name=bodies),
            summary=_summary(row, trigger),
            source=row.from_state,
            target=row.to_state or session.state,
            outcome=row.outcome,
            serving=_shown(serving, with_name=bodies) if serving else None,
            reason=row.reason,
            body=_body(row) if bodies else None,
        )
        previous_at = row.effective_at


def _shown(participant: Participant, *, with_name: bool) -> Participant:
    return participant if with_name else evolve(participant, name=None)


def _summary(row: HistoryRow, trigger: Trigger) -> str:
    words = _SUMMARIES[trigger]
    if trigger in _TEXT_TRIGGERS and row.type in _RICH_REPLIES:
        by_customer = trigger is Trigger.CUSTOMER_TEXT
        said = "presses a button" if by_customer else _RICH_REPLIES[row.type]
        words = words.replace("writes", said)
    match row.event:
        case {"queueNumber": int(number)} if trigger is Trigger.QUEUE_NUMBER:
            words = f"tells place {number} in the queue"
        case {"reason": str(code)} if trigger is Trigger.CLOSE:
            words += f" ({code})"
        case {"image": {"bytes": int(size), "mediaType": kind}}:
            words += f" [picture, {kind or 'of no known kind'}, {_format_size(size)}]"
    if trigger is Trigger.UNKNOWN:
        words += f" ({row.type})"
    if trigger in _ENDED_BY_AGENTS and row.to_state is State.BOT is not row.from_state:
        words += ", but the customer has written since"
    return words


_ENDED_BY_AGENTS: Final = (Trigger.AGENT_DONE, Trigger.END_SESSION)


def _body(row: HistoryRow) -> str | None:
    match row.event:
        case None:
            return "[erased]" if row.direction in QUEUES else None
        case {"text": str(text)} if text.strip() and row.trigger in _TEXT_TRIGGERS:
            return text
        case {"reasonText": str(text)} if text.strip() and row.trigger is Trigger.END_SESSION:
            return text
        case _:
            return None


_KILOBYTE: Final = 1000


def _format_size(size: int) -> str:
    return f"{size} bytes" if size < _KILOBYTE else f"{round(size / _KILOBYTE)} kB"


def _participant_view(participant: Participant) -> dict[str, Any]:
    return {"role": participant.role, "id": participant.id, "name": participant.name}


def entry_view(entry: TimelineEntry) -> dict[str, Any]:
    """Return an entry as ``sermo-fsm timeline --json`` prints it."""
    return {
        "seq": entry.seq,
        "at": time_view(entry.at),
        "receivedAt": time_view(entry.received_at),
        "sinceOpening": entry.since_opening / timedelta(seconds=1),
        "pause": entry.pause / timedelta(seconds=1),
        "who": _participant_view(entry.actor),
        "whom": _participant_view(entry.recipient),
        "trigger": entry.trigger,
        "what": entry.summary,
        "from": entry.source,
        "to": entry.target,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "said": entry.body,
    }
