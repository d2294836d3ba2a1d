"""What became of events: the rows of the history, and the receipt of an event.

These are immutable values. ``docs/fields.md`` is generated from their docstrings.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from sermo_fsm.core.json_form import json_form, json_name
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.core.shown import NOT_SAID, concise, visible
from sermo_fsm.errors import InvalidArgument, SermoError
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["ROW_KEYS", "HistoryRow", "Outcome", "Receipt"]


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


class HistoryRow(Struct, frozen=True, kw_only=True, gc=False):
    """One row of the history: written once, and never changed.

    Times are aware datetimes in UTC. A row without a session is a stray: its ``ordinal``,
    ``session_id``, ``seq``, ``from_state`` and ``to_state`` are None.

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
        session_id: The id of the session that the row belongs to; None for strays.
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
    effective_at: datetime = NOT_SAID
    at: datetime | None = None
    message_id: str | None = None
    platform_id: str | None = None
    user_id: str | None = None

    ordinal: int | None = None
    session_id: str | None = None
    seq: int | None = None
    from_state: State | None = None
    to_state: State | None = None
    agent_id: str | None = None
    reason: str | None = None
    last_seen_at: datetime | None = None

    event: Mapping[str, Any] | None = None
    raw: str | None = None
    id: int | None = None

    def __post_init__(self) -> None:
        if self.effective_at is not NOT_SAID:
            return
        if self.received_at is None:
            wanted = "a time, because received_at is None"
            raise InvalidArgument("effective_at", wanted=wanted, got=None)
        force_setattr(self, "effective_at", self.received_at)

    def __repr__(self) -> str:
        return concise("HistoryRow", visible(self, ("session_id", "event", "raw")))

    def as_dict(self, *, bodies: bool = False) -> dict[str, Any]:
        """The row as ``sermo-fsm history --json`` prints it, ready for ``json.dumps``.

        Args:
            bodies: Include ``event``, which has what people wrote; else it is None.
        """
        shown = json_form(self, _ROW_IN_JSON)
        return {**shown, "event": self.event if bodies else None}


_ROW_IN_JSON: Final = (
    *("seq", "direction", "type", "trigger", "from_state", "to_state", "outcome"),
    *("received_at", "effective_at", "at", "message_id", "agent_id", "reason", "last_seen_at"),
)

ROW_KEYS: Final = (*map(json_name, _ROW_IN_JSON), "event")
"""The names in JSON."""


class Receipt(Struct, frozen=True, kw_only=True):
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
        return concise("Receipt", [*facts.items(), ("first", self.first), ("error", self.error)])

    @property
    def changed(self) -> bool:
        """Whether the state of a session changed, or one was opened."""
        return any(row.from_state is not row.to_state for row in self.rows)

    @property
    def reason(self) -> str | None:
        """Why, as far as there is more to say than the outcome.

        Of an event that closed a session its close reason, of a stray why it is one, of an
        ``invalid`` or a ``conflict`` what is wrong; None for all others.
        """
        if self.error is not None:
            return str(self.error)
        reason = self.rows[-1].reason if self.rows else None
        return None if reason is None else str(reason)

    def as_dict(self, *, bodies: bool = False) -> dict[str, Any]:
        """The receipt with its sessions and rows, ready for ``json.dumps``.

        Args:
            bodies: Include the ``event`` of each row, which has what people wrote.
        """

        def row_form(row: HistoryRow) -> dict[str, Any]:
            return row.as_dict(bodies=bodies)

        return {
            "outcome": self.outcome.value,
            "before": self.before and self.before.as_dict(),
            "after": self.after and self.after.as_dict(),
            "rows": [row_form(row) for row in self.rows],
            "first": self.first and row_form(self.first),
            "reason": self.reason,
            "error": None if self.error is None else str(self.error),
        }
