"""What is known of a chat: the session, and the rows of its history. Values, no behaviour.

All times are UTC. They are *receive times* but for ``since`` and ``effective_at``, which never run
backwards within a session (DESIGN, section 5).
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from attrs import Factory, field, fields, frozen

from sermo_fsm.core.machine import Effect, State
from sermo_fsm.errors import InvalidArgument, SermoError
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.protocol.message import UserKey

__all__ = [
    "OUTCOME_OF",
    "ChatSession",
    "CloseReason",
    "HistoryRow",
    "Outcome",
    "Receipt",
    "session_id_of",
    "unless_unknown",
]

_NAMESPACE: Final = uuid.UUID("8b0a2c1e-5d3f-5c47-9a51-6f1c6d0b7e42")


def session_id_of(platform_id: str, user_id: str, ordinal: int) -> uuid.UUID:
    """The id of a user's n-th session: the same on any machine (guarantee 8)."""
    return uuid.uuid5(_NAMESPACE, json.dumps([platform_id, user_id, ordinal]))


class Outcome(StrEnum):
    """What became of an event (DESIGN, section 6)."""

    __hash__ = str.__hash__

    MOVED = "moved"
    STAYED = "stayed"
    IGNORED = "ignored"
    LATE = "late"
    STRAY = "stray"
    UNKNOWN = "unknown"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INVALID = "invalid"


OUTCOME_OF: Final = {
    Effect.MOVE: Outcome.MOVED,
    Effect.STAY: Outcome.STAYED,
    Effect.IGNORE: Outcome.IGNORED,
}
"""What becomes of an event of a live session, by what the table says of it."""


def unless_unknown(trigger: str, outcome: Outcome) -> Outcome:
    """*outcome*; of an event that is not in the protocol it is ``unknown`` instead."""
    return Outcome.UNKNOWN if trigger == Trigger.UNKNOWN else outcome


class CloseReason(StrEnum):
    """Why a session closed."""

    CLIENT_LEFT = "client_left"
    AGENT_DONE = "agent_done"
    CLIENT_UNLOAD = "client_unload"
    IDLE = "idle"


_OPENED_AT: Final = Factory(attrgetter("opened_at"), takes_self=True)


@frozen(kw_only=True)
class ChatSession:
    """One visit of one user, as it stands: a snapshot that does not change.

    The first part is what a bot or a person asks for; of each kind of time the latest so far
    counts. The second part is what the time rules need to go on.
    """

    # whose, and which
    platform_id: str
    user_id: str
    ordinal: int = 1
    """The n-th session of this user, from 1."""
    previous_close_reason: CloseReason | None = None
    resumed: bool = False
    """The session before was closed by the clock, and this one goes on from where it was."""

    # where it is
    state: State
    opened_at: datetime
    since: datetime = field(default=_OPENED_AT)
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    agent: Agent | None = None
    """The human who wrote last."""
    queue_number: int | None = None
    queued_at: datetime | None = None
    """First entry into the queue."""
    flow_group_id: str | None = None
    platform_closed_at: datetime | None = None

    # who did what, when
    last_seen_at: datetime | None = None
    last_read_at: datetime | None = None
    customer_typed_at: datetime | None = None
    last_reply_at: datetime | None = None
    last_reply_by: Who | None = None
    expires_at: datetime | None = None
    """Until then the customer is believed to be on this chat; None for ever."""
    rows: int = 0
    """The rows of its history."""

    # what the rules need
    expiry_set_at: datetime = field(default=_OPENED_AT, repr=False)
    """The receive time of what set ``expires_at``."""
    expiry_reason: CloseReason = field(default=CloseReason.IDLE, repr=False)
    """What set it. After ``client_left`` nothing moves it any more."""
    effective_at: datetime = field(default=_OPENED_AT, repr=False)
    """The latest effective time of a row."""
    kept_state: State | None = field(default=None, repr=False)
    """What the clock took the session from; late events go on moving it."""
    customer_text_at: datetime | None = field(default=None, repr=False)
    """The latest customer_text, also one from before the session opened."""
    typing_on_at: datetime | None = field(default=None, repr=False)
    typing_ended_at: datetime | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return _concise("ChatSession", _visible(self))

    @property
    def key(self) -> UserKey:
        """Whose it is."""
        return self.platform_id, self.user_id

    @property
    def session_id(self) -> str:
        """An opaque id, the same on any machine."""
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal))

    @property
    def previous_session_id(self) -> str | None:
        """The session of this user before this one."""
        if self.ordinal == 1:
            return None
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal - 1))

    @property
    def live(self) -> bool:
        """Not closed."""
        return self.state is not State.CLOSED

    @property
    def left(self) -> bool:
        """The customer said goodbye: a ``client_left`` is this session's."""
        return self.expiry_reason is CloseReason.CLIENT_LEFT

    @property
    def last_customer_text_at(self) -> datetime | None:
        """The latest text of the customer since the session opened."""
        at = self.customer_text_at
        return at if at is not None and at >= self.opened_at else None

    @property
    def agent_typing_since(self) -> datetime | None:
        """When an agent began to type; None where nobody does."""
        began, ended = self.typing_on_at, self.typing_ended_at
        if not self.live or began is None or (ended is not None and began <= ended):
            return None
        return began


def _received_at(row: "HistoryRow") -> datetime:
    if row.received_at is None:
        wanted = "a time, because received_at is None"
        raise InvalidArgument("effective_at", wanted=wanted, got=None)
    return row.received_at


@frozen(kw_only=True)
class HistoryRow:
    """One row of the history: it is written once and never changed.

    Rows without a session are strays: ``seq``, ``from_state`` and ``to_state`` are None.
    """

    direction: Direction | None
    """None where an invalid envelope did not say."""
    type: str | None = None
    """The ``type`` on the wire; None for what the clock does."""
    trigger: Trigger | None = None
    outcome: Outcome
    received_at: datetime | None
    """When the broker received it; None for what the clock does."""
    effective_at: datetime = field(default=Factory(_received_at, takes_self=True))
    at: datetime | None = None
    """The sender's own clock: kept, never trusted."""
    message_id: str | None = None
    platform_id: str | None = None
    user_id: str | None = None

    ordinal: int | None = None
    """Which session of the user; None for strays."""
    seq: int | None = None
    from_state: State | None = None
    to_state: State | None = None
    agent_id: str | None = None
    """The human in charge after the row."""
    reason: str | None = None
    """The close reason on the row that closes; on strays, why it is one."""
    last_seen_at: datetime | None = None
    """On the row that closes."""

    event: Mapping[str, Any] | None = field(default=None, repr=False)
    """What came, as it is stored; None for what the clock does, once erased, and where a receipt
    names the first row of a duplicate."""
    raw: str | None = field(default=None, repr=False)
    """What came where it was invalid, at most 64 KiB."""
    id: int | None = None
    """Grows with the rows of a transaction, whosever they are; each is given once."""

    def __repr__(self) -> str:
        return _concise("HistoryRow", _visible(self))

    @property
    def session_id(self) -> str | None:
        """The session that it belongs to; None for strays."""
        if self.platform_id is None or self.user_id is None or self.ordinal is None:
            return None
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal))


@frozen(kw_only=True)
class Receipt:
    """What became of one event.

    Attributes:
        outcome: What became of it.
        before: The session that it belongs to, as it was before; None where it opened one or
            belongs to none.
        after: That session as it is now; None where it belongs to none.
        rows: The rows that were written, in order: none, one, or two where a deadline came first.
        first: Of a duplicate, the row that was written when the message came first.
        error: Of an ``invalid`` or a ``conflict``, what was wrong.
    """

    outcome: Outcome
    before: ChatSession | None = None
    after: ChatSession | None = None
    rows: tuple[HistoryRow, ...] = ()
    first: HistoryRow | None = None
    error: SermoError | None = None

    def __repr__(self) -> str:
        facts: dict[str, object] = {"outcome": self.outcome}
        session = self.after or self.before
        if session is not None:
            facts["session_id"] = session.session_id
        if self.before is not None:
            facts["before"] = self.before.state
        if self.after is not None:
            facts["after"] = self.after.state
        facts["rows"] = [str(row.trigger or row.outcome) for row in self.rows]
        return _concise("Receipt", [*facts.items(), ("first", self.first), ("error", self.error)])

    @property
    def changed(self) -> bool:
        """Whether the state of a session changed, or one was opened."""
        return any(row.from_state is not row.to_state for row in self.rows)


def _visible(value: Any) -> Iterator[tuple[str, object]]:
    return ((item.name, getattr(value, item.name)) for item in fields(type(value)) if item.repr)


def _concise(name: str, facts: Iterable[tuple[str, object]]) -> str:
    """A repr of what is set: None and False are left out."""
    shown = [
        f"{key}={_shown(value)}" for key, value in facts if value is not None and value is not False
    ]
    return f"{name}({', '.join(shown)})"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Agent):
        return repr(value.id)  # without the name of the person
    return str(value) if isinstance(value, StrEnum) else repr(value)
