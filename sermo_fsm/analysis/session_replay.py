"""Replay one session from its rows, by the rules that wrote them, and compare. No I/O.

A row says what came and when, so :mod:`sermo_fsm.core.advance` can do again what it did. What it
makes of each row has to be what the row says, and in the end what the session says. Two things no
row holds. Quiet events leave none: the times that they move may be later than the rows say, never
earlier. And the durations that were in force then are not stored: a deadline is held against what
set it, not against how long it should have been.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from attrs import define, field
from msgspec.structs import replace

from sermo_fsm.core.advance import Step, close, expire, to_closed, to_live, to_new
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.core.ownership import COLUMNS, RULES, Rule, ending_of
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.errors import InvalidEvent, StoreError
from sermo_fsm.protocol.events import KINDS, Direction, Event, Trigger, Unknown
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.wire import message_of
from sermo_fsm.storage.rows import column_of, json_of

__all__ = ["TELLING", "SessionReplay"]

TELLING: Final = (
    *(Trigger.AGENT_TEXT, Trigger.CLAIM_SESSION),
    *(Trigger.QUEUE_NUMBER, Trigger.HANDOVER_TO_BOT),
)
"""The triggers whose events say more than that they came: an agent, a place, the bot's flows."""

_TOLD_BY: Final = {
    Trigger.AGENT_TEXT: "agent",
    Trigger.CLAIM_SESSION: "agent",
    Trigger.QUEUE_NUMBER: "queue_place",
    Trigger.HANDOVER_TO_BOT: "flow_group_id",
}
_LIMITS: Final = Limits()
_DURATIONS: Final = Durations()

_EXACT: Final = (
    *("state", "opened_at", "since", "closed_at", "close_reason", "rows", "effective_at"),
    *("kept_state", "queue_place", "queued_at", "flow_group_id", "platform_closed_at"),
    *("last_customer_text_at", "last_reply_at", "last_reply_by"),
)
_MOVED_BY_QUIET_EVENTS: Final = (
    *("last_seen_at", "last_read_at", "customer_typed_at", "typing_on_at", "typing_ended_at"),
)
_INBOUND_TIMES: Final = ("last_read_at", "customer_typed_at", "last_customer_text_at")
_PRIVATE: Final = ("flow_group_id",)


@define
class SessionReplay:
    """One session, as far as its rows have been read.

    Attributes:
        stored: The session as it is stored.
        previous: The user's session before it; None if there is none.
        superseded_by: The id of the row that opened the user's next session, if there is one.
        session: The session by its rows; None before the first.
        unknown: The facts that a row told whose body was erased since.
        unloaded: Whether a ``client_unload`` was received when the deadline was last set.
        lost: Whether a row holds a word that this release does not know.
    """

    stored: ChatSession
    previous: ChatSession | None
    superseded_by: int | None
    session: ChatSession | None = None
    unknown: set[str] = field(factory=set)
    unloaded: bool = False
    lost: bool = False

    # --- row by row ------------------------------------------------------------------------------

    def add(self, row: Any) -> Iterator[str]:
        """Replay the next row; yield what is wrong with it."""
        if self.lost:
            return
        try:
            trigger, direction = Trigger(row.trigger_name), Direction(row.direction)
            source = None if row.from_state is None else State(row.from_state)
            to = State(row.to_state)
        except ValueError:
            self.lost = True
            words = row.trigger_name, row.direction, row.from_state, row.to_state
            shown = ", ".join(str(word)[:40] for word in words)
            yield f"the row holds a word that this release does not know: {shown}"
            return
        event, wrong = self._event(row, trigger, direction)
        yield from wrong
        message = Message(direction, event, trigger, row.received_at or row.effective_at)
        session = self.session
        if session is not None and source is not None and session.state is not source:
            self.session = self._either(session, source, row, message)
        yield from self._apply(row, message, to)

    def _either(
        self, session: ChatSession, source: State, row: Any, message: Message
    ) -> ChatSession:
        """Where the chain is broken: *session*, if the row fits it, else in the state it says."""
        _, expected = self._step(row, message)
        fits = expected is not None and row.to_state == expected.to_state
        return session if fits else replace(session, state=source)

    def _event(self, row: Any, trigger: Trigger, direction: Direction) -> tuple[Event, list[str]]:
        """The event of a row, with what it says if that matters and is still there."""
        stored, told = self.stored, _TOLD_BY.get(trigger)
        bare = Unknown(
            type=row.type or "none", platform_id=stored.platform_id, user_id=stored.user_id
        )
        if told is None:
            return bare, []
        if row.told is None:
            self.unknown.add(told)
            return bare, []
        try:
            body = {**json_of(row.told), "image": None}  # the picture lies apart
            message = message_of(
                direction, body, row.effective_at, None, stored.platform_id, _LIMITS
            )
        except (InvalidEvent, StoreError, TypeError):
            self.unknown.add(told)
            return bare, ["its body is no event"]
        if self._takes_facts(row):
            self.unknown.discard(told)
        if message.trigger is trigger:
            return message.event, []
        return message.event, [f"the trigger is {trigger}, its body means {message.trigger}"]

    def _takes_facts(self, row: Any) -> bool:
        """Whether the session takes what the event says; one that is late may change nothing."""
        session = self.session
        if session is None or session.live:
            return True
        return session.kept_state not in (None, State.CLOSED) and not self._is_superseded(row)

    def _is_superseded(self, row: Any) -> bool:
        return self.superseded_by is not None and bool(row.id > self.superseded_by)

    def _apply(self, row: Any, message: Message, to: State) -> Iterator[str]:
        trigger = message.trigger
        yield from self._cannot_be(row, message)
        after, expected = self._step(row, message)
        if trigger is Trigger.CLIENT_UNLOAD:
            self.unloaded |= message.received_at == self.stored.expiry_set_at
        if expected is None:
            yield f"{trigger} leaves no row in a session that is there"
        elif (to, row.outcome) != (expected.to_state, expected.outcome):
            yield (
                f"{trigger} in {row.from_state or 'nothing'}: the row says to {to}, "
                f"{row.outcome}; today's table says to {expected.to_state}, {expected.outcome}; "
                f"{_BOTH}"
            )
            after = replace(after, state=to, since=row.effective_at)
        else:
            yield from self._facts_of_row(row, expected)
        self.session = after

    def _cannot_be(self, row: Any, message: Message) -> Iterator[str]:
        """What is wrong with a row, whatever the session was like."""
        trigger, direction = message.trigger, message.direction
        if not _may_mean(direction, row.type, trigger):
            yield f"the trigger is {trigger}, which the type on {direction} does not mean; {_BOTH}"
        if (row.received_at is None) is not (trigger is Trigger.EXPIRE):
            yield f"the row's received_at is {row.received_at}, and its trigger {trigger}"
        if self.session is None and not self._may_open(trigger):
            opens = "resumes no chat" if self.stored.resumed else "opens no chat"
            yield f"{trigger} {opens} by today's rules; {_BOTH}"

    def _may_open(self, trigger: Trigger) -> bool:
        rules = RULES.get(trigger)
        if rules is None:
            return False
        rule = rules[COLUMNS.index(ending_of(self.previous))]
        if self.stored.resumed:
            return rule is Rule.RESUMES
        return rule not in (Rule.STRAY, Rule.LATE)

    def _step(self, row: Any, message: Message) -> tuple[ChatSession, HistoryRow | None]:
        """The session and the row that today's rules make of it; no row of most quiet events."""
        session, stored = self.session, self.stored
        if session is None:
            resumes = stored.resumed
            step = to_new(message, self.previous, _DURATIONS, resumes=resumes)
        elif session.state is State.CLOSED:
            live = session if self._is_superseded(row) else None
            step = to_closed(message, session, live, _DURATIONS)
        elif message.trigger is Trigger.EXPIRE:
            moment = stored.closed_at or row.effective_at
            reason = stored.close_reason or CloseReason.IDLE
            return expire(replace(session, expires_at=moment, expiry_reason=reason))
        elif message.trigger is Trigger.CLOSE:
            return close(session, message.received_at, None)
        else:
            step = to_live(message, session, None, _DURATIONS)
        return _session_of(step), step.rows[-1] if step.rows else None

    def _facts_of_row(self, row: Any, expected: HistoryRow) -> Iterator[str]:
        for name in ("effective_at", "agent_id", "reason"):
            said, shown = getattr(row, name), getattr(expected, name)
            if said != shown and not (name == "agent_id" and "agent" in self.unknown):
                yield f"the row's {name} is {said}, it should be {shown}"
        said, shown = row.last_seen_at, expected.last_seen_at
        if expected.reason is None and said is not None:
            yield f"the row's last_seen_at is {said}, and the row closes nothing"
        elif not _is_or_later(said, shown):
            yield f"the row's last_seen_at is {said}, it should be {shown} or later"

    # --- the session -----------------------------------------------------------------------------

    def result(self) -> Iterator[str]:
        """Yield what is wrong with the session, once all rows are read."""
        yield from self._links()
        if self.session is None or self.lost:
            return
        yield from self._contradictions(self.session)
        yield from self._deadline(self.session)

    def _links(self) -> Iterator[str]:
        stored, previous = self.stored, self.previous
        if previous is None and stored.ordinal != 1:
            yield f"the ordinal is {stored.ordinal}, and the user has no session before it"
            return
        if previous is not None and previous.live:
            yield "the session before it is still live"
        before = (None, None) if previous is None else (previous.session_id, previous.close_reason)
        said = stored.previous_session_id, stored.previous_close_reason
        names = ("previous_session_id", "previous_close_reason")
        for name, one, other in zip(names, said, before, strict=True):
            if one != other:
                yield f"the session's {name} is {one}, the session before says {other}"
        if stored.resumed and (previous is None or previous.kept_state is None):
            yield "the session resumed one that the clock did not close"

    def _contradictions(self, shown: ChatSession) -> Iterator[str]:
        stored = self.stored
        for name in (*_EXACT, *_MOVED_BY_QUIET_EVENTS):
            one, other = getattr(stored, name), getattr(shown, name)
            if one == other or name in self.unknown or self._is_of_an_older_release(name, other):
                continue
            quiet = name in _MOVED_BY_QUIET_EVENTS
            if quiet and _is_or_later(one, other):
                continue
            if name in _PRIVATE:
                yield f"the session's {column_of(name)} is not what its rows say"
            else:
                or_later = " or later" if quiet else ""
                yield f"the session's {column_of(name)} is {one}, its rows say {other}{or_later}"
        agents = stored.agent, shown.agent
        if agents[0] != agents[1] and "agent" not in self.unknown:
            one, other = (None if agent is None else agent.id for agent in agents)
            which = "agent_id" if one != other else "agent_name or agent_type"
            told = f"is {one}, its rows say {other}" if one != other else "is not what its rows say"
            yield f"the session's {which} {told}"

    def _is_of_an_older_release(self, name: str, shown: Any) -> bool:
        """Whether releases before the schema 0003 wrote the stored value for the same rows.

        Times from before the opening did not count, and a chat closed by the clock kept no place.
        """
        stored, opened_at = self.stored, self.stored.opened_at
        said = getattr(stored, name)
        match name:
            case "closed_at":
                return said is not None and said < opened_at and shown == opened_at
            case "queued_at":
                return bool(said == opened_at and (shown is None or shown < opened_at))
            case "queue_place":
                return said is None and not stored.live
            case "last_reply_by":
                return said is None and stored.last_reply_at is None
        return said is None and isinstance(shown, datetime) and shown < opened_at

    def _deadline(self, shown: ChatSession) -> Iterator[str]:
        """What set the moment until which the customer is believed to be there."""
        stored = self.stored
        expired, reason = stored.kept_state is not None, stored.expiry_reason
        seen_at = stored.last_seen_at
        for name in _INBOUND_TIMES:
            at = getattr(stored, name)
            if at is not None and at >= stored.opened_at and (seen_at is None or at > seen_at):
                yield f"the session's {column_of(name)} is {at}, its last_seen_at is {seen_at}"
        if stored.expiry_set_at < stored.opened_at:
            yield f"the session's expiry_set_at is {stored.expiry_set_at}, before it opened"
        if not expired and stored.left is not shown.left:
            yield f"the session's expiry_reason is {reason}, its rows say {shown.expiry_reason}"
        if expired and reason is not stored.close_reason:
            yield (
                f"the session's expiry_reason is {reason}, and the clock closed it for "
                f"{stored.close_reason}"
            )
        if stored.expires_at is None and reason is not CloseReason.IDLE:  # the others have an end
            yield f"the session's expires_at is None, and its expiry_reason {reason}"
        if expired and stored.expires_at != stored.closed_at:
            yield (
                f"the session's expires_at is {stored.expires_at}, and the clock closed it at "
                f"{stored.closed_at}"
            )
        elif stored.expires_at is not None and stored.expires_at <= stored.opened_at:
            yield f"the session's expires_at is {stored.expires_at}, not after it opened"
        if stored.live or expired:
            yield from self._what_set_it(stored)

    def _what_set_it(self, stored: ChatSession) -> Iterator[str]:
        """Until the session closes, and by the clock for ever, it is the latest inbound event."""
        set_at, reason = stored.expiry_set_at, stored.expiry_reason
        if stored.expires_at is not None and stored.expires_at <= set_at:
            yield f"the session's expires_at is {stored.expires_at}, not after its expiry_set_at"
        if reason is CloseReason.CLIENT_UNLOAD and not self.unloaded:
            yield "the session's expiry_reason is client_unload, and no row of one set it"
        latest = max(stored.opened_at, stored.last_seen_at or stored.opened_at)
        if stored.live and not stored.resumed and set_at != latest:
            yield f"the session's expiry_set_at is {set_at}, its last_seen_at says {latest}"


_BOTH: Final = "the row was changed, or another table wrote it (see 'sermo-fsm check --against')"


_BY_NOBODYS_MESSAGE: Final = (
    (Direction.TIMER, Trigger.EXPIRE),
    (Direction.OPERATOR, Trigger.CLOSE),
)
_HANDOVER_TO: Final = "handover_to"
_BY_AGENT: Final = (
    {Trigger.BOT_TEXT, Trigger.AGENT_TEXT, Trigger.UNATTRIBUTED_TEXT},
    {Trigger.HANDOVER_TO_BOT, Trigger.HANDOVER_TO_AGENT},
)
"""What an event whose trigger depends on its agent can mean: a text, or a ``handover_to``."""


def _may_mean(direction: Direction, wire_type: str | None, trigger: Trigger) -> bool:
    """Whether an event of this type can have meant *trigger*, to this release or to one before."""
    if wire_type is None:
        return (direction, trigger) in _BY_NOBODYS_MESSAGE
    queues = [direction]
    if direction is Direction.INTERNAL:  # at first it triggered the same as outbound
        queues.append(Direction.OUTBOUND)
    kinds = [KINDS[queue, wire_type] for queue in queues if (queue, wire_type) in KINDS]
    meant = {kind.trigger for kind in kinds}
    if None in meant:
        meant |= _BY_AGENT[wire_type == _HANDOVER_TO]
    # What is known today may have been unknown then.
    return trigger is Trigger.UNKNOWN or trigger in meant


def _is_or_later(said: datetime | None, shown: datetime | None) -> bool:
    """Whether quiet events, which left no row, can have moved the time from *shown* to *said*."""
    return shown is None or (said is not None and said >= shown)


def _session_of(step: Step) -> ChatSession:
    assert step.after is not None  # noqa: S101 - only a stray has none
    return step.after
