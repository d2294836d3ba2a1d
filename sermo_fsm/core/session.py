"""What is known of a chat: the session, an immutable value.

``docs/fields.md`` is generated from its docstring.
"""

import json
import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from sermo_fsm.core.json_form import json_form, json_name
from sermo_fsm.core.machine import State
from sermo_fsm.core.shown import NOT_SAID, concise, visible
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import as_moment
from sermo_fsm.protocol.events import Agent, Who
from sermo_fsm.protocol.message import UserKey

__all__ = [
    "SESSION_KEYS",
    "ChatSession",
    "CloseReason",
    "session_id_of",
]

_NAMESPACE: Final = uuid.UUID("8b0a2c1e-5d3f-5c47-9a51-6f1c6d0b7e42")


def session_id_of(platform_id: str, user_id: str, ordinal: int) -> str:
    """Make the id of a user's n-th session, when it opens.

    It is the same on any machine (docs/design.md, guarantee 8). From then on it is read from where
    it was stored and never made again, because the user's id may be erased.
    """
    return str(uuid.uuid5(_NAMESPACE, json.dumps([platform_id, user_id, ordinal])))


class CloseReason(StrEnum):
    """Why a session closed (docs/design.md, section 5).

    Attributes:
        CLIENT_LEFT: The customer closed the chat and confirmed it.
        AGENT_DONE: The agent who had the chat ended it.
        CLIENT_UNLOAD: The customer's page went away, and nothing came from the customer within
            ``unload_grace``.
        IDLE: Nothing came from the customer within ``idle_timeout``.
        END_SESSION: The agent application ended the chat for good.
        OPERATOR: An operator closed the chat by hand.
    """

    CLIENT_LEFT = "client_left"
    AGENT_DONE = "agent_done"
    CLIENT_UNLOAD = "client_unload"
    IDLE = "idle"
    END_SESSION = "end_session"
    OPERATOR = "operator"


class ChatSession(Struct, frozen=True, kw_only=True, gc=False):
    """One visit of one user on one platform, as it stood when it was read.

    Times are aware datetimes in UTC. They are receive times, by the broker's clock; only ``since``
    and ``effective_at`` are effective times (docs/design.md, section 5). Of each kind of event the
    latest counts, also if it was received before the event that opened the session.

    ``platform_id``, ``user_id``, ``state`` and ``opened_at`` are enough to build one in a test.
    The fields from ``expiry_set_at`` on are internal: the rules use them, and they may change.

    Attributes:
        platform_id: The platform of the customer, such as ``comviq-web``: 1 to 255 characters.
        user_id: The id of the customer on that platform: 1 to 255 characters.
        ordinal: The number of this session among those of the user, from 1.
        session_id: The id of the session: an opaque string, the same on any machine. It is made
            when the session opens, stored, and from then on read.
        previous_session_id: The id of the user's session before this one; None for the first.
        previous_close_reason: Why the session before this one had closed when this one opened;
            None for the first session.
        resumed: Whether the clock closed the session before, and this one goes on from where that
            one was.
        state: Whose turn it is.
        opened_at: When the event that opened the session was received.
        since: The effective time at which the session came to its state.
        closed_at: When the event that closed the session was received, but never before
            ``opened_at``, or the deadline if the clock closed it; None for a live session.
        close_reason: Why the session closed; None for a live session.
        agent: The human who last wrote or claimed the chat, in this session or in the one that it
            resumed; None if nobody did.
        queued_at: When the event was received by which the chat first came into the queue; None if
            it never did.
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
        last_customer_text_at: When the latest text of the customer was received; None if none was.
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
        queue_place: Internal. The place in the queue that the customer was last told; None outside
            ``queued``, as the state or the kept state, and before any place was told.
        typing_on_at: Internal. When the latest ``typing_on`` was received; None if none was.
        typing_ended_at: Internal. When the agent last stopped typing: at a ``typing_off``, at an
            outbound text, or when the session left ``with_agent``; None if that never happened.
    """

    platform_id: str
    user_id: str
    ordinal: int = 1
    session_id: str = ""
    previous_session_id: str | None = None
    previous_close_reason: CloseReason | None = None
    resumed: bool = False

    state: State
    opened_at: datetime
    since: datetime = NOT_SAID
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    agent: Agent | None = None
    queued_at: datetime | None = None
    flow_group_id: str | None = None
    platform_closed_at: datetime | None = None

    last_seen_at: datetime | None = None
    last_read_at: datetime | None = None
    customer_typed_at: datetime | None = None
    last_reply_at: datetime | None = None
    last_reply_by: Who | None = None
    last_customer_text_at: datetime | None = None
    expires_at: datetime | None = None
    rows: int = 0

    # Internal: what the rules need to go on.
    expiry_set_at: datetime = NOT_SAID
    expiry_reason: CloseReason = CloseReason.IDLE
    effective_at: datetime = NOT_SAID
    kept_state: State | None = None
    queue_place: int | None = None
    typing_on_at: datetime | None = None
    typing_ended_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.session_id:
            made = session_id_of(self.platform_id, self.user_id, self.ordinal)
            force_setattr(self, "session_id", made)
        if self.effective_at is NOT_SAID:
            for name in ("since", "expiry_set_at", "effective_at"):
                if getattr(self, name) is NOT_SAID:
                    force_setattr(self, name, self.opened_at)

    def __repr__(self) -> str:
        return concise("ChatSession", visible(self, _INTERNAL))

    @property
    def key(self) -> UserKey:
        """The user: platform id and user id."""
        return self.platform_id, self.user_id

    @property
    def live(self) -> bool:
        """Whether the session is not closed."""
        return self.state is not State.CLOSED

    @property
    def left(self) -> bool:
        """Whether the customer left: a ``client_left`` belongs to this session."""
        return self.expiry_reason is CloseReason.CLIENT_LEFT

    @property
    def queue_number(self) -> int | None:
        """The place in the queue that the customer was last told, 0 or more.

        None outside ``queued``, and before any place was told.
        """
        return self.queue_place if self.state is State.QUEUED else None

    @property
    def agent_typing_since(self) -> datetime | None:
        """When the ``typing_on`` of an agent who still types was received; None if nobody types."""
        began, ended = self.typing_on_at, self.typing_ended_at
        if not self.live or began is None or (ended is not None and began <= ended):
            return None
        return began

    def live_at(self, now: datetime) -> bool:
        """Whether the chat lives *now* (aware): it is not closed, and its deadline is not past.

        Raises:
            InvalidArgument: *now* is no aware datetime.
        """
        now = as_moment("now", now)
        return self.live and (self.expires_at is None or now < self.expires_at)

    def may_bot_speak(self, now: datetime, *, quiet: timedelta = timedelta(seconds=3)) -> bool:
        """Whether a bot should answer the customer *now* (docs/design.md, section 8).

        Args:
            now: The present time (aware).
            quiet: For how long the customer must have been neither typing nor sending texts.

        Returns:
            True if the chat is the bot's and alive, the customer has written since the last reply,
            and has been quiet for that long.

        Raises:
            InvalidArgument: *now* is no aware datetime, or *quiet* no timedelta from zero to a day.
        """
        _check_quiet(quiet)
        lives = self.live_at(now)
        wrote_at, replied_at = self.last_customer_text_at, self.last_reply_at
        typed_at = self.customer_typed_at
        return (
            self.state is State.BOT
            and lives
            and wrote_at is not None
            and (replied_at is None or replied_at < wrote_at)
            and (typed_at is None or typed_at + quiet <= now)
        )

    def as_dict(self) -> dict[str, Any]:
        """The session as ``sermo-fsm status --json`` prints it, ready for ``json.dumps``."""
        return json_form(self, _SESSION_IN_JSON)


_SESSION_IN_JSON: Final = (
    *("session_id", "ordinal", "platform_id", "user_id", "state", "since"),
    *("opened_at", "closed_at", "close_reason"),
    *("previous_session_id", "previous_close_reason", "resumed"),
    *("agent", "queue_number", "queued_at", "flow_group_id", "platform_closed_at"),
    *("last_seen_at", "last_read_at", "customer_typed_at", "last_customer_text_at"),
    *("last_reply_at", "last_reply_by", "agent_typing_since", "expires_at", "rows"),
)

SESSION_KEYS: Final = tuple(map(json_name, _SESSION_IN_JSON))
"""The names in JSON."""


_INTERNAL: Final = frozenset(
    {
        *("session_id", "previous_session_id", "expiry_set_at", "expiry_reason", "effective_at"),
        *("kept_state", "typing_on_at", "typing_ended_at"),
    }
)
"""What the repr of a session leaves out."""


def _check_quiet(value: object) -> None:
    if not isinstance(value, timedelta) or not timedelta() <= value <= timedelta(days=1):
        raise InvalidArgument("quiet", wanted="a timedelta from zero to a day", got=value)
