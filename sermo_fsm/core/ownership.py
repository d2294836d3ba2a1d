"""Whose event is it? Where one session ends and the next begins (docs/design.md, section 4).

The protocol carries no session id. An event belongs to the user's live session. If there is none,
``RULES`` choose between the session that closed last and a new one, by how the last one ended.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = [
    "COLUMNS",
    "RULES",
    "Ending",
    "Owner",
    "Rule",
    "ending",
    "ending_of",
    "overdue",
    "owner_of",
]


class Owner(StrEnum):
    """The session that an event belongs to."""

    LIVE = "live"
    CLOSED = "closed"
    """The session that closed last."""
    NEW = "new"
    RESUMED = "resumed"
    """A new one, which goes on from the state that the clock took the last one from."""
    NOBODY = "nobody"


class Rule(StrEnum):
    """What an event does if there is no live session."""

    OPENS = "opens"
    STRAY = "stray"
    LATE = "late"
    """It belongs to the closed session, whenever it was received."""
    ECHO = "echo"
    """It belongs to the closed session until that one's ``expires_at``, then it opens."""
    LINGERS = "lingers"
    """It belongs to the closed session for ``linger``, then it opens."""
    RESUMES = "resumes"


class Ending(StrEnum):
    """How the session that closed last ended."""

    NONE = "no session yet"
    ENDED = "closed by client_left, end_session or close"
    DONE = "closed by agent_done"
    EXPIRED = "closed by the clock"


COLUMNS: Final = tuple(Ending)

_ANYTHING_ELSE: Final = (Rule.STRAY, Rule.LATE, Rule.LATE, Rule.LATE)
_CUSTOMER_IS_THERE: Final = (Rule.OPENS, Rule.ECHO, Rule.ECHO, Rule.RESUMES)
# After agent_done the customer is still there: what an agent sends next is the next chat.
_SERVING: Final = (Rule.OPENS, Rule.LINGERS, Rule.OPENS, Rule.LINGERS)

# Nobody hands these in: they are of a session that is live.
_OF_NO_QUEUE: Final = (Trigger.EXPIRE, Trigger.CLOSE)

_Row = tuple[Rule, Rule, Rule, Rule]

RULES: Final[Mapping[Trigger, _Row]] = {
    **{trigger: _ANYTHING_ELSE for trigger in Trigger if trigger not in _OF_NO_QUEUE},
    Trigger.CUSTOMER_TEXT: (Rule.OPENS, Rule.OPENS, Rule.OPENS, Rule.RESUMES),
    Trigger.HEARTBEAT: _CUSTOMER_IS_THERE,
    Trigger.TYPING: _CUSTOMER_IS_THERE,
    Trigger.START: _CUSTOMER_IS_THERE,
    Trigger.AGENT_TEXT: _SERVING,
    Trigger.CLAIM_SESSION: _SERVING,
    Trigger.QUEUE_NUMBER: _SERVING,
    Trigger.HANDOVER_TO_BOT: _SERVING,
    Trigger.HANDOVER_TO_AGENT: _SERVING,
    Trigger.HANDOVER_TO_QUEUE: _SERVING,
    # A bot's text after the end is a goodbye.
    Trigger.BOT_TEXT: (Rule.OPENS, Rule.LINGERS, Rule.LINGERS, Rule.LINGERS),
}


def ending_of(closed: ChatSession | None) -> Ending:
    """How the session *closed* ended; ``Ending.NONE`` if there is none."""
    if closed is None:
        return Ending.NONE
    return ending(closed.close_reason, expired=closed.kept_state is not None, left=closed.left)


def ending(reason: str | None, *, expired: bool, left: bool) -> Ending:
    """How a closed session ended.

    Args:
        reason: Why it closed.
        expired: Whether the clock closed it.
        left: Whether a ``client_left`` belongs to it, also a late one. It counts more than an
            ``agent_done``.
    """
    if expired:
        return Ending.EXPIRED
    return Ending.DONE if reason == CloseReason.AGENT_DONE and not left else Ending.ENDED


# For every event: Python 3.11 takes ten times as long to find a member in its enum.
_INBOUND: Final = Direction.INBOUND
_LIVE: Final = Owner.LIVE


def overdue(live: ChatSession, direction: Direction, received_at: datetime) -> bool:
    """Whether this event proves that the deadline passed: only the customer's own queue can."""
    return direction is _INBOUND and live.expires_at is not None and received_at >= live.expires_at


def owner_of(
    trigger: Trigger,
    received_at: datetime,
    live: ChatSession | None,
    closed: ChatSession | None,
    durations: Durations,
) -> Owner:
    """The session that an event belongs to, once overdue deadlines are applied.

    *live* is the user's live session, *closed* the one that closed last.
    """
    if live is None:
        return _owner_without_live(trigger, received_at, closed, durations)
    if (
        received_at < live.opened_at
        # Who was taken for gone and came back has not left since.
        and (not live.resumed or trigger is Trigger.CLIENT_LEFT)
        and _owner_without_live(trigger, received_at, closed, durations) is Owner.CLOSED
    ):
        return Owner.CLOSED
    return _LIVE


def _owner_without_live(
    trigger: Trigger, received_at: datetime, closed: ChatSession | None, durations: Durations
) -> Owner:
    rule = RULES[trigger][COLUMNS.index(ending_of(closed))]
    if closed is None or closed.closed_at is None:
        return Owner.NEW if rule is Rule.OPENS else Owner.NOBODY
    if received_at < closed.closed_at:
        return Owner.CLOSED
    lingers = received_at < closed.closed_at + durations.linger
    match rule:
        case Rule.OPENS:
            return Owner.NEW
        case Rule.ECHO:
            echoes = closed.expires_at is None or received_at < closed.expires_at
            return Owner.CLOSED if echoes else Owner.NEW
        case Rule.LINGERS:
            return Owner.CLOSED if lingers else Owner.NEW
        case Rule.RESUMES:
            resumes = lingers and closed.kept_state is not State.CLOSED
            return Owner.RESUMED if resumes else Owner.NEW
        case _:
            return Owner.CLOSED
