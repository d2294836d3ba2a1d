"""What one event changes in one session: its times, its deadline, its state, its facts.

The session itself does not change: a :class:`SessionUpdate` gathers the fields that will differ,
and ``result()`` is the session with them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, evolve, field

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
from sermo_fsm.protocol.message import Message

__all__ = ["SessionUpdate", "deadline"]

_LEFT: Final = CloseReason.CLIENT_LEFT  # said goodbye: nothing moves the deadline any more

_TIME_OF: Final[Mapping[Trigger, str]] = {
    Trigger.CUSTOMER_TEXT: "customer_typed_at",
    Trigger.TYPING: "customer_typed_at",
    Trigger.MESSAGES_READ: "last_read_at",
    Trigger.PLATFORM_CLOSED: "platform_closed_at",
    Trigger.TYPING_ON: "typing_on_at",
}
"""Times that only count if they are not before the opening."""

_AUTHOR_OF: Final = {
    Trigger.BOT_TEXT: Who.BOT,
    Trigger.AGENT_TEXT: Who.HUMAN,
    Trigger.UNATTRIBUTED_TEXT: Who.UNKNOWN,
}

_TIME_ANYWAY: Final[Mapping[Trigger, str]] = {
    Trigger.CUSTOMER_TEXT: "customer_text_at",
    **dict.fromkeys((Trigger.TYPING_OFF, *_AUTHOR_OF), "typing_ended_at"),
}
"""Times that count even if they are from before the opening."""


@define
class SessionUpdate:
    """A session as it was, and the values that will replace some of its fields."""

    session: ChatSession
    values: dict[str, Any] = field(factory=dict)

    def result(self) -> ChatSession:
        """The session with everything that changed."""
        return evolve(self.session, **self.values) if self.values else self.session

    def now(self, name: str) -> Any:
        """The value of a field of the session, as decided so far."""
        return self.values.get(name, getattr(self.session, name))

    def note_times(self, message: Message) -> None:
        """Note when the message was received; of each kind of time the latest counts."""
        at, trigger, session = message.received_at, message.trigger, self.session
        names = [_TIME_ANYWAY.get(trigger)]
        if at >= session.opened_at:
            names.append(_TIME_OF.get(trigger))
            if message.direction is Direction.INBOUND:
                names.append("last_seen_at")
            author, replied_at = _AUTHOR_OF.get(trigger), session.last_reply_at
            if author is not None and (replied_at is None or at >= replied_at):
                self.values.update({"last_reply_at": at, "last_reply_by": author})
        for name in names:
            if name is not None:
                so_far = getattr(session, name)
                if so_far is None or at > so_far:
                    self.values[name] = at

    def set_deadline(self, message: Message, durations: Durations) -> None:
        """Set the moment until which the customer is believed to be there.

        Of the customer's events the one received last decides (docs/design.md, section 5).
        """
        session, trigger, at = self.session, message.trigger, message.received_at
        if message.direction is not Direction.INBOUND or session.expiry_reason is _LEFT:
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
        self.values["expires_at"] = deadline(at, wait)
        self.values["expiry_set_at"] = at
        self.values["expiry_reason"] = reason

    def set_echo(self, message: Message, durations: Durations, *, superseded: bool) -> None:
        """Move a closed session's moment, until it is reached or the next session opens.

        *superseded* says that the next session has opened.
        """
        closed = self.session
        if message.direction is not Direction.INBOUND:
            return
        latest = max(message.received_at, closed.expiry_set_at)
        if not superseded and (closed.expires_at is None or latest < closed.expires_at):
            self.set_deadline(message, durations)
            return
        if not superseded:
            self.values["expiry_set_at"] = latest  # reached: whatever was received before is late
        if message.trigger is Trigger.CLIENT_LEFT:
            self.values["expiry_reason"] = CloseReason.CLIENT_LEFT

    def move(self, to: State, at: datetime, effective_at: datetime) -> None:
        """Leave the session's state for *to*, with everything that ends or begins by that."""
        session, values = self.session, self.values
        values["state"], values["since"] = to, effective_at
        if session.state is State.WITH_AGENT:
            ended_at = self.now("typing_ended_at")
            values["typing_ended_at"] = at if ended_at is None else max(at, ended_at)
        if to is State.CLOSED:
            values["closed_at"] = at
        if to is not State.QUEUED:
            values["queue_number"] = None
        elif session.queued_at is None:
            values["queued_at"] = max(at, session.opened_at)

    def take_facts(self, message: Message, to: State | None) -> None:
        """Take what the event says beside its trigger; *to* is None for a kept state."""
        match message.event:
            case Reply() as reply if message.trigger is Trigger.AGENT_TEXT:
                self.values["agent"] = reply.agent
            case HandoverToBot(flow_group_id=group):
                self.values["flow_group_id"] = group
            case HandoverTo(flow_group_id=group) if message.trigger is Trigger.HANDOVER_TO_BOT:
                self.values["flow_group_id"] = group
            case QueueNumber(queue_number=place) if to is State.QUEUED:
                self.values["queue_number"] = place


def deadline(at: datetime, wait: timedelta | None) -> datetime | None:
    """The moment *wait* after *at*; None if *wait* is None, which means never."""
    return None if wait is None else at + wait
