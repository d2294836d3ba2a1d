"""What one event changes in one session: its times, its deadline, its state, its facts.

The session itself does not change: a :class:`SessionUpdate` gathers the fields that will differ,
and ``result()`` is the session with them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field
from msgspec.structs import replace

from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.protocol.events import (
    Agent,
    ClaimSession,
    Direction,
    HandoverTo,
    HandoverToBot,
    QueueNumber,
    Reply,
    RichReply,
    Trigger,
    Who,
)
from sermo_fsm.protocol.message import Message

__all__ = ["SessionUpdate", "deadline"]

# For every event: Python 3.11 takes ten times as long to find a member in its enum.
_INBOUND: Final = Direction.INBOUND
_SAYS_GOODBYE: Final = Trigger.CLIENT_LEFT
_UNLOADS: Final = Trigger.CLIENT_UNLOAD
_LEFT: Final = CloseReason.CLIENT_LEFT  # said goodbye: nothing moves the deadline any more
_UNLOADED: Final = CloseReason.CLIENT_UNLOAD
_IDLE: Final = CloseReason.IDLE

_AUTHOR_OF: Final = {
    Trigger.BOT_TEXT: Who.BOT,
    Trigger.AGENT_TEXT: Who.HUMAN,
    Trigger.UNATTRIBUTED_TEXT: Who.UNKNOWN,
}

_TIMES_OF: Final[Mapping[Trigger, tuple[str, ...]]] = {
    Trigger.CUSTOMER_TEXT: ("last_customer_text_at", "customer_typed_at"),
    Trigger.TYPING: ("customer_typed_at",),
    Trigger.MESSAGES_READ: ("last_read_at",),
    Trigger.PLATFORM_CLOSED: ("platform_closed_at",),
    Trigger.TYPING_ON: ("typing_on_at",),
    **dict.fromkeys((Trigger.TYPING_OFF, *_AUTHOR_OF), ("typing_ended_at",)),
}


@define
class SessionUpdate:
    """A session as it was, and the values that will replace some of its fields."""

    session: ChatSession
    values: dict[str, Any] = field(factory=dict)

    def result(self) -> ChatSession:
        """The session with everything that changed."""
        return replace(self.session, **self.values) if self.values else self.session

    def now(self, name: str) -> Any:
        """The value of a field of the session, as decided so far."""
        return self.values.get(name, getattr(self.session, name))

    def note_times(self, message: Message) -> None:
        """Note when the message was received; of each kind of time the latest counts."""
        at, trigger = message.received_at, message.trigger
        if message.direction is _INBOUND:
            self._note("last_seen_at", at)
        for name in _TIMES_OF.get(trigger, ()):
            self._note(name, at)
        author, replied_at = _AUTHOR_OF.get(trigger), self.session.last_reply_at
        if author is not None and (replied_at is None or at >= replied_at):
            self.values.update({"last_reply_at": at, "last_reply_by": author})

    def _note(self, name: str, at: datetime) -> None:
        so_far = self.now(name)
        if so_far is None or at > so_far:
            self.values[name] = at

    def set_deadline(self, message: Message, durations: Durations) -> None:
        """Set the moment until which the customer is believed to be there.

        Of the customer's events the one received last decides (docs/design.md, section 5).
        """
        session, trigger, at = self.session, message.trigger, message.received_at
        if message.direction is not _INBOUND or session.expiry_reason is _LEFT:
            return
        reason, wait = _IDLE, durations.idle_timeout
        if trigger is _SAYS_GOODBYE:
            # The first goodbye always decides, from the later of the two times.
            at = max(at, session.expiry_set_at)
            reason, wait = _LEFT, durations.unload_grace
        elif at < session.expiry_set_at:
            return
        elif trigger is _UNLOADS:
            reason, wait = _UNLOADED, durations.unload_grace
        elif at == session.expiry_set_at and session.expiry_reason is _UNLOADED:
            return
        self.values["expires_at"] = deadline(at, wait)
        self.values["expiry_set_at"] = at
        self.values["expiry_reason"] = reason

    def set_echo(self, message: Message, durations: Durations, *, superseded: bool) -> None:
        """Move a closed session's moment, until it is reached or the next session opens.

        *superseded* says that the next session has opened.
        """
        closed = self.session
        if message.direction is not _INBOUND:
            return
        latest = max(message.received_at, closed.expiry_set_at)
        if not superseded and (closed.expires_at is None or latest < closed.expires_at):
            self.set_deadline(message, durations)
            return
        if not superseded:
            self.values["expiry_set_at"] = latest  # reached: whatever was received before is late
        if message.trigger is _SAYS_GOODBYE:
            self.values["expiry_reason"] = _LEFT

    def move(self, to: State, at: datetime, effective_at: datetime) -> None:
        """Leave the session's state for *to*."""
        values = self.values
        values["state"], values["since"] = to, effective_at
        if to is State.CLOSED:
            values["closed_at"] = max(at, self.session.opened_at)

    def change_hands(self, old: State, new: State, at: datetime) -> None:
        """End and begin what goes with the state of a chat: its own, or the kept one."""
        if old is State.WITH_AGENT and new is not State.WITH_AGENT:
            self._note("typing_ended_at", at)
        if new is not State.QUEUED:
            self.values["queue_place"] = None
        elif self.session.queued_at is None:
            self.values["queued_at"] = at

    def take_facts(self, message: Message, to: State) -> None:
        """Take what the event says beside its trigger; *to* is the state, or the kept one."""
        match message.event:
            case Reply(agent=agent) | RichReply(agent=agent) if (
                message.trigger is Trigger.AGENT_TEXT
            ):
                self.values["agent"] = agent
            case ClaimSession(agent_id=agent_id):
                self.values["agent"] = Agent(id=agent_id)
            case HandoverToBot(flow_group_id=group):
                self.values["flow_group_id"] = group
            case HandoverTo(flow_group_id=group) if message.trigger is Trigger.HANDOVER_TO_BOT:
                self.values["flow_group_id"] = group
            case QueueNumber(queue_number=place) if to is State.QUEUED:
                self.values["queue_place"] = place


def deadline(at: datetime, wait: timedelta | None) -> datetime | None:
    """The moment *wait* after *at*; None if *wait* is None, which means never."""
    return None if wait is None else at + wait
