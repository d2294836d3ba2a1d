"""What one event changes in one session: its times, its deadline, its state, its facts.

The session itself does not change: a :class:`Change` gathers what will be different, and
``result`` is the session with that.
"""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.protocol.events import (
    Direction,
    HandoverTo,
    HandoverToBot,
    QueueNumber,
    Reply,
    Trigger,
    Who,
)
from sermo_fsm.protocol.wire import Message

__all__ = ["Change", "deadline"]

_TimeField = Literal[
    "last_seen_at",
    "last_read_at",
    "customer_typed_at",
    "customer_text_at",
    "platform_closed_at",
    "typing_on_at",
    "typing_ended_at",
]

_TIME_OF: Final[dict[Trigger, _TimeField]] = {
    Trigger.CUSTOMER_TEXT: "customer_typed_at",
    Trigger.TYPING: "customer_typed_at",
    Trigger.MESSAGES_READ: "last_read_at",
    Trigger.PLATFORM_CLOSED: "platform_closed_at",
    Trigger.TYPING_ON: "typing_on_at",
}

_AUTHOR_OF: Final = {
    Trigger.BOT_TEXT: Who.BOT,
    Trigger.AGENT_TEXT: Who.HUMAN,
    Trigger.UNATTRIBUTED_TEXT: Who.UNKNOWN,
}

_ENDS_TYPING: Final = frozenset({Trigger.TYPING_OFF, *_AUTHOR_OF})


@frozen
class Change:
    """A session as it was, and what is going to be different."""

    session: ChatSession
    values: dict[str, Any] = field(factory=dict)

    def result(self) -> ChatSession:
        """The session with everything that changed."""
        return evolve(self.session, **self.values) if self.values else self.session

    def now(self, name: str) -> Any:
        """The value of a field of the session, as far as it is decided."""
        return self.values.get(name, getattr(self.session, name))

    def _latest(self, name: _TimeField, at: datetime) -> None:
        so_far = self.now(name)
        if so_far is None or at > so_far:
            self.values[name] = at

    def observe(self, message: Message, at: datetime) -> None:
        """Note when it came: the latest of each kind, never one from before the session."""
        session, trigger = self.session, message.trigger
        if trigger is Trigger.CUSTOMER_TEXT:
            self._latest("customer_text_at", at)
        if trigger in _ENDS_TYPING:
            self._latest("typing_ended_at", at)
        if at < session.opened_at:
            return
        if message.direction is Direction.INBOUND:
            self._latest("last_seen_at", at)
        if (name := _TIME_OF.get(trigger)) is not None:
            self._latest(name, at)
        author = _AUTHOR_OF.get(trigger)
        if author is not None and (session.last_reply_at is None or at >= session.last_reply_at):
            self.values.update({"last_reply_at": at, "last_reply_by": author})

    def set_deadline(self, message: Message, at: datetime, durations: Durations) -> None:
        """Until when the customer is believed to be there: the latest inbound event decides."""
        session, trigger = self.session, message.trigger
        if message.direction is not Direction.INBOUND or session.left:
            return
        reason, wait = CloseReason.IDLE, durations.idle_timeout
        if trigger is Trigger.CLIENT_LEFT:
            # The first goodbye always decides, from the later of the two times.
            at = max(at, session.expiry_set_at)
            reason, wait = CloseReason.CLIENT_LEFT, durations.unload_grace
        elif at < session.expiry_set_at:
            return
        elif trigger is Trigger.CLIENT_UNLOAD:
            reason, wait = CloseReason.CLIENT_UNLOAD, durations.unload_grace
        elif at == session.expiry_set_at and session.expiry_reason is CloseReason.CLIENT_UNLOAD:
            return
        self.values.update(
            {
                "expires_at": deadline(at, wait),
                "expiry_set_at": at,
                "expiry_reason": reason,
            }
        )

    def set_echo(
        self, message: Message, at: datetime, durations: Durations, *, superseded: bool
    ) -> None:
        """Move a closed session's moment: until it is reached, or the next session opens."""
        closed = self.session
        if message.direction is not Direction.INBOUND:
            return
        latest = max(at, closed.expiry_set_at)
        if not superseded and (closed.expires_at is None or latest < closed.expires_at):
            self.set_deadline(message, at, durations)
            return
        if not superseded:
            self.values["expiry_set_at"] = latest  # reached: what came before is too late
        if message.trigger is Trigger.CLIENT_LEFT:
            self.values["expiry_reason"] = CloseReason.CLIENT_LEFT

    def move(self, to: State, at: datetime, effective_at: datetime) -> None:
        """Leave the session's state for *to*, with what ends and begins by that."""
        self.values.update({"state": to, "since": effective_at})
        if self.session.state is State.WITH_AGENT:
            self._latest("typing_ended_at", at)
        if to is State.CLOSED:
            self.values["closed_at"] = at
        if to is not State.QUEUED:
            self.values["queue_number"] = None
        elif self.session.queued_at is None:
            self.values["queued_at"] = max(at, self.session.opened_at)

    def take_facts(self, message: Message, to: State | None) -> None:
        """Take what the event says beside its trigger; *to* is None on a kept state."""
        match message.event:
            case Reply() as reply if reply.sender is Who.HUMAN:
                self.values["agent"] = reply.agent
            case HandoverToBot(flow_group_id=group):
                self.values["flow_group_id"] = group
            case HandoverTo(flow_group_id=group) if message.trigger is _TO_BOT:
                self.values["flow_group_id"] = group
            case QueueNumber(queue_number=place) if to is State.QUEUED:
                self.values["queue_number"] = place


_TO_BOT: Final = Trigger.HANDOVER_TO_BOT


def deadline(at: datetime, wait: timedelta | None) -> datetime | None:
    """The moment *wait* after *at*; None for never."""
    return None if wait is None else at + wait
