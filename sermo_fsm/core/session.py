"""What is known of a chat: the session, the rows of its history, and the receipt of an event.

These are immutable values. ``docs/fields.md`` is generated from their docstrings.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from attrs import Factory, field, fields, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.errors import InvalidArgument, SermoError
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.protocol.message import UserKey

__all__ = [
    "ChatSession",
    "CloseReason",
    "HistoryRow",
    "Outcome",
    "Receipt",
    "session_id_of",
]

_NAMESPACE: Final = uuid.UUID("8b0a2c1e-5d3f-5c47-9a51-6f1c6d0b7e42")


def session_id_of(platform_id: str, user_id: str, ordinal: int) -> uuid.UUID:
    """Return the id of a user's n-th session.

    It is the same on any machine (docs/design.md, guarantee 8).
    """
    return uuid.uuid5(_NAMESPACE, json.dumps([platform_id, user_id, ordinal]))


class Outcome(StrEnum):
    """What became of an event (docs/design.md, section 6).

    Attributes:
        MOVED: The event changed the state of a session, or opened one.
        STAYED: The event belongs to a live session and leaves its state as it is.
        IGNORED: The event means nothing in the session's state; it is recorded and moves nothing.
        LATE: The event belongs to a closed session, which stays closed.
        STRAY: The user has no session, and this event does not open one.
        UNKNOWN: The protocol does not name this type on this queue; the event moves nothing.
        DUPLICATE: This message was handed in before, with the same event; nothing was written now.
        CONFLICT: The message id was used before for another event; nothing was written.
        INVALID: The event breaks the protocol; it is kept as a stray, with the reason.
    """

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


class CloseReason(StrEnum):
    """Why a session closed (docs/design.md, section 5).

    Attributes:
        CLIENT_LEFT: The customer closed the chat and confirmed it.
        AGENT_DONE: The agent who had the chat ended it.
        CLIENT_UNLOAD: The customer's page went away, and nothing came from the customer within
            ``unload_grace``.
        IDLE: Nothing came from the customer within ``idle_timeout``.
    """

    CLIENT_LEFT = "client_left"
    AGENT_DONE = "agent_done"
    CLIENT_UNLOAD = "client_unload"
    IDLE = "idle"


_OPENED_AT: Final = Factory(attrgetter("opened_at"), takes_self=True)


@frozen(kw_only=True)
class ChatSession:
    """One visit of one user on one platform, as it stood when it was read.

    Times are aware datetimes in UTC. They are receive times, by the broker's clock; only ``since``
    and ``effective_at`` are effective times (docs/design.md, section 5). Of each kind of event the
    latest counts; what was received before the session opened does not.

    ``platform_id``, ``user_id``, ``state`` and ``opened_at`` are enough to build one in a test.
    The fields from ``expiry_set_at`` on are internal: the rules use them, and they may change.

    Attributes:
        platform_id: The platform of the customer, such as ``comviq-web``: 1 to 255 characters.
        user_id: The id of the customer on that platform: 1 to 255 characters.
        ordinal: The number of this session among those of the user, from 1.
        previous_close_reason: Why the session before this one had closed when this one opened;
            None for the first session.
        resumed: Whether the clock closed the session before, and this one goes on from where that
            one was.
        state: Whose turn it is.
        opened_at: When the event that opened the session was received.
        since: The effective time at which the session came to its state.
        closed_at: When the event that closed the session was received, or the deadline if the
            clock closed it; None for a live session.
        close_reason: Why the session closed; None for a live session.
        agent: The human who wrote last, in this session or in the one that it resumed; None if
            nobody did.
        queue_number: The place in the queue that the customer was last told, 0 or more; None
            outside ``queued``, and before any place was told.
        queued_at: When the session first came into the queue; None if it never did.
        flow_group_id: The flows that the bot runs, as the latest handover to the bot named them;
            None if it named none.
        platform_closed_at: When the latest ``platform_closed`` was received; None if none was.
        last_seen_at: When the latest inbound event of any kind was received; None if none was.
        last_read_at: When the latest ``messages_read`` was received; None if none was.
        customer_typed_at: When the latest ``typing`` or text of the customer was received; None if
            none was.
        last_reply_at: When the latest outbound text was received, by any sender; system texts
            do not count. None if none was.
        last_reply_by: Who wrote that text; None if there was none.
        expires_at: Until when the customer is believed to be on this chat. A live session closes
            at that moment, and a closed one keeps the customer's heartbeats until then; None if
            that moment never comes.
        rows: The number of rows in the session's history.
        expiry_set_at: Internal. Inbound events that were received before this moment set
            ``expires_at`` no more, except the first ``client_left``.
        expiry_reason: Internal. What set ``expires_at``: ``client_left``, after which nothing moves
            it, ``client_unload``, or ``idle`` for all else.
        effective_at: Internal. The latest effective time of a row of the session.
        kept_state: Internal. The state from which the clock closed the session, moved on by late
            events; None unless the clock closed it.
        customer_text_at: Internal. When the latest text of the customer in this session was
            received, even if that was before the session opened; None if there was none.
        typing_on_at: Internal. When the latest ``typing_on`` was received; None if none was.
        typing_ended_at: Internal. When the agent last stopped typing: at a ``typing_off``, at an
            outbound text, or when the session left ``with_agent``; None if that never happened.
    """

    platform_id: str
    user_id: str
    ordinal: int = 1
    previous_close_reason: CloseReason | None = None
    resumed: bool = False

    state: State
    opened_at: datetime
    since: datetime = field(default=_OPENED_AT)
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    agent: Agent | None = None
    queue_number: int | None = None
    queued_at: datetime | None = None
    flow_group_id: str | None = None
    platform_closed_at: datetime | None = None

    last_seen_at: datetime | None = None
    last_read_at: datetime | None = None
    customer_typed_at: datetime | None = None
    last_reply_at: datetime | None = None
    last_reply_by: Who | None = None
    expires_at: datetime | None = None
    rows: int = 0

    # Internal: what the rules need to go on.
    expiry_set_at: datetime = field(default=_OPENED_AT, repr=False)
    expiry_reason: CloseReason = field(default=CloseReason.IDLE, repr=False)
    effective_at: datetime = field(default=_OPENED_AT, repr=False)
    kept_state: State | None = field(default=None, repr=False)
    customer_text_at: datetime | None = field(default=None, repr=False)
    typing_on_at: datetime | None = field(default=None, repr=False)
    typing_ended_at: datetime | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return _concise("ChatSession", _visible(self))

    @property
    def key(self) -> UserKey:
        """The user: platform id and user id."""
        return self.platform_id, self.user_id

    @property
    def session_id(self) -> str:
        """The id of the session: an opaque string, the same on any machine."""
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal))

    @property
    def previous_session_id(self) -> str | None:
        """The id of the user's session before this one; None for the first."""
        if self.ordinal == 1:
            return None
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal - 1))

    @property
    def live(self) -> bool:
        """Whether the session is not closed."""
        return self.state is not State.CLOSED

    @property
    def left(self) -> bool:
        """Whether the customer left: a ``client_left`` belongs to this session."""
        return self.expiry_reason is CloseReason.CLIENT_LEFT

    @property
    def last_customer_text_at(self) -> datetime | None:
        """When the latest text of the customer was received; None if none was."""
        at = self.customer_text_at
        return at if at is not None and at >= self.opened_at else None

    @property
    def agent_typing_since(self) -> datetime | None:
        """When the ``typing_on`` of an agent who still types was received; None if nobody types."""
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
    """One row of the history: written once, and never changed.

    Times are aware datetimes in UTC. A row without a session is a stray: its ``ordinal``, ``seq``,
    ``from_state`` and ``to_state`` are None.

    ``direction``, ``outcome`` and ``received_at`` are enough to build one in a test.

    Attributes:
        direction: The queue that the event came on, or ``timer`` if the clock closed the session;
            None if an invalid envelope did not name the queue.
        type: The ``type`` of the event on the wire; None for the clock and for invalid events.
        trigger: What the event meant to the machine; None for invalid events.
        outcome: What became of the event.
        received_at: When the broker received the event, or when it was handed in if nobody said;
            None for the clock.
        effective_at: When the row took effect: its receive time (for the clock the deadline), or
            the session's latest effective time if that is later.
        at: When the event was sent, by the sender's own clock, which is never trusted; None if the
            event does not say.
        message_id: The broker's id of the message, unique on its queue; None if nobody gave one,
            for the clock and for invalid events.
        platform_id: The platform of the user; None for strays that name none.
        user_id: The id of the user on that platform; None for strays that name none.
        ordinal: The number of the session among those of the user, from 1; None for strays.
        seq: The number of the row in its session: 1, 2, 3 and so on without a gap; None for strays.
        from_state: The state of the session before the row; None for the row that opens it.
        to_state: The state of the session after the row; None for strays.
        agent_id: The id of the human who has the chat after the row; None outside ``with_agent``,
            and if nobody is known.
        reason: On the row that closes a session its close reason, on a stray why it is one; None
            on all others.
        last_seen_at: On the row that closes a session, when the latest inbound event was received;
            None on all others.
        event: The event as it is stored, without unsent text and with its image described; None
            for the clock and for invalid events, and if it was erased or not loaded.
        raw: The text of an invalid event, at most 64 KiB of it; None for all others.
        id: The key of the row in the database, which grows with the rows of a transaction; None
            before the row is written.
    """

    direction: Direction | None
    type: str | None = None
    trigger: Trigger | None = None
    outcome: Outcome
    received_at: datetime | None
    effective_at: datetime = field(default=Factory(_received_at, takes_self=True))
    at: datetime | None = None
    message_id: str | None = None
    platform_id: str | None = None
    user_id: str | None = None

    ordinal: int | None = None
    seq: int | None = None
    from_state: State | None = None
    to_state: State | None = None
    agent_id: str | None = None
    reason: str | None = None
    last_seen_at: datetime | None = None

    event: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: str | None = field(default=None, repr=False)
    id: int | None = None

    def __repr__(self) -> str:
        return _concise("HistoryRow", _visible(self))

    @property
    def session_id(self) -> str | None:
        """The id of the session that the row belongs to; None for strays."""
        if self.platform_id is None or self.user_id is None or self.ordinal is None:
            return None
        return str(session_id_of(self.platform_id, self.user_id, self.ordinal))


@frozen(kw_only=True)
class Receipt:
    """The answer to handing in one event.

    ``outcome`` is enough to build one in a test.

    Attributes:
        outcome: What became of the event.
        before: The session that the event belongs to, as it was before; None if the event opened
            one or belongs to none.
        after: That session as it is now; None if the event belongs to none.
        rows: The rows that were written, in order: none, one, or two if a deadline came first.
        first: For a ``duplicate`` or a ``conflict``, the row that was written when the message id
            came first; None for all others.
        error: For an ``invalid`` or a ``conflict``, what is wrong; None for all others.
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
