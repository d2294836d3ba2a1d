"""Messages in, receipts out, inside somebody's transaction: the one body that both engines run.

:class:`Intake` checks arguments and decodes events before any connection is needed. Then a batch is
read in one go (sessions, message ids), decided in memory by :mod:`sermo_fsm.core.advance`, and
written in one go. A single event is a batch of one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Self

import sqlalchemy as sa
from attrs import define, field, frozen
from msgspec import Struct
from msgspec.structs import force_setattr

from sermo_fsm.core.advance import NO_VISITS, Step, Visits, advance, close, expire
from sermo_fsm.core.history import HistoryRow, Outcome, Receipt
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine.operations import Write
from sermo_fsm.errors import InvalidArgument, MessageConflict, SermoError
from sermo_fsm.protocol.envelope import (
    NOT_AHEAD,
    Envelope,
    QueueName,
    arrive,
    arrive_line,
    as_direction,
    as_moment,
)
from sermo_fsm.protocol.events import Direction, Event
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, MessageKey, Rejected, UserKey
from sermo_fsm.protocol.redacted import Redact, redacted_text
from sermo_fsm.protocol.stored_form import same_json
from sermo_fsm.storage.arguments import check_given_id, check_id
from sermo_fsm.storage.kept_sessions import Users
from sermo_fsm.storage.store import Pending, Store, Stored

__all__ = ["Intake", "Item", "Swept", "close_chat", "handle", "numbered", "sweep"]

_SWEPT_AT_ONCE = 1000

Item = Envelope | Event | bytes | str | Mapping[str, object]
"""One of the events that ``handle_many`` takes."""

_SINGLE = (str, bytes, bytearray, memoryview, Mapping)  # a list of letters, bytes or keys

Swept = tuple[Sequence[HistoryRow], bool]
"""The rows of the sessions that were closed, and whether there may be more to close."""


@frozen
class Intake:
    """How an engine takes in events: where they are stored, and by which rules."""

    store: Store
    policy: Policy
    limits: Limits
    platform_id: str | None
    """Stands in where neither an event nor its envelope nor the call has a platform."""
    redact: Redact | None = None
    """What is kept of a text that people wrote; None keeps all of it."""

    @classmethod
    def of(
        cls,
        store: Store,
        policy: Policy | None,
        limits: Limits | None,
        platform_id: str | None,
        redact: Redact | None = None,
    ) -> Self:
        """The intake that an engine is asked for.

        Raises:
            InvalidArgument: *policy* or *limits* is something else, *platform_id* is no id, or
                *redact* is no plain function.
        """
        check_id("platform_id", platform_id)
        given: object = redact
        if given is not None and (not callable(given) or iscoroutinefunction(given)):
            wanted = "a plain function, text -> text"
            raise InvalidArgument("redact", wanted=wanted, got=given)
        for name, value, kind in (("policy", policy, Policy), ("limits", limits, Limits)):
            if value is not None and not isinstance(value, kind):
                wanted = f"a {kind.__name__}"
                raise InvalidArgument(name, wanted=wanted, got=type(value).__name__)
        return cls(store, policy or Policy(), limits or Limits(), platform_id, redact)

    def one(self, envelope: Envelope) -> Write[list[Receipt]]:
        """Handle one event; a message id in conflict, or a time too far ahead, is an error."""
        now = datetime.now(UTC)
        latest = self.policy.latest(now)
        _check_not_ahead("received_at", envelope.received_at, latest)
        message = arrive(
            envelope,
            self.limits,
            now,
            latest=latest,
            platform_id=self.platform_id,
            redact=self.redact,
        )
        return partial(handle, self.store, self.policy, (message,), raise_conflict=True)

    def many(
        self, items: Iterable[Item], direction: QueueName | None, platform_id: str | None
    ) -> Write[list[Receipt]]:
        """Handle many events, in order."""
        _check_list(items)
        queue = None if direction is None else as_direction(direction)
        check_id("platform_id", platform_id)
        platform_id = platform_id or self.platform_id
        messages = [self._open(item, queue, platform_id) for item in items]
        return partial(handle, self.store, self.policy, messages)

    def _open(
        self, item: Item, direction: Direction | None, platform_id: str | None
    ) -> Message | Rejected:
        now = datetime.now(UTC)
        latest = self.policy.latest(now)
        if isinstance(item, Event):
            if direction is None:
                wanted = "the queue of events that are no JSON"
                raise InvalidArgument("direction", wanted=wanted, got=None)
            item = Envelope(direction, item)
        if isinstance(item, Envelope):
            return arrive(
                item,
                self.limits,
                now,
                latest=latest,
                platform_id=platform_id,
                redact=self.redact,
            )
        return arrive_line(
            item,
            self.limits,
            now,
            direction=direction,
            latest=latest,
            platform_id=platform_id,
            redact=self.redact,
        )

    def close(
        self, platform_id: str, user_id: str, at: datetime | None, reason: str | None
    ) -> Write[Receipt | None]:
        """Close a user's live chat by hand."""
        check_given_id("platform_id", platform_id)
        check_given_id("user_id", user_id)
        check_id("reason", reason)
        if reason is not None and self.redact is not None:
            reason = redacted_text(reason, self.redact)
        moment = None if at is None else as_moment("at", at)
        _check_not_ahead("at", moment, self.policy.latest(datetime.now(UTC)))
        return partial(close_chat, self.store, (platform_id, user_id), moment, reason)

    def sweep(self, up_to: datetime | None) -> Write[Swept]:
        """Close some of the sessions that are past their deadline."""
        now = datetime.now(UTC)
        moment = now if up_to is None else as_moment("up_to", up_to)
        _check_not_ahead("up_to", moment, self.policy.latest(now))
        return partial(sweep, self.store, moment)


def _check_not_ahead(argument: str, moment: datetime | None, latest: datetime | None) -> None:
    if moment is not None and latest is not None and moment > latest:
        raise InvalidArgument(argument, wanted=NOT_AHEAD, got=moment)


def _check_list(items: object) -> None:
    if not isinstance(items, Iterable) or isinstance(items, _SINGLE):
        wanted = "a list of events or envelopes; handle() takes a single one"
        raise InvalidArgument("envelopes", wanted=wanted, got=type(items).__name__)


def handle(
    store: Store,
    policy: Policy,
    messages: Sequence[Message | Rejected],
    connection: sa.Connection,
    *,
    raise_conflict: bool = False,
) -> tuple[list[Receipt], Sequence[HistoryRow]]:
    """Decide what becomes of each message, in order, and write it down. Never commits.

    Returns a receipt for each message, and all rows that were written.

    Raises:
        MessageConflict: *raise_conflict* asks for that, and a message id is in conflict.
    """
    recalled = store.recall(connection) if len(messages) > 1 else None
    batch = _Batch.load(store, connection, messages, policy, recalled)
    decisions = [
        batch.decide(message) if isinstance(message, Message) else batch.reject(message)
        for message in messages
    ]
    if raise_conflict:
        for decision in decisions:
            if isinstance(decision.error, MessageConflict):
                raise decision.error
    ids = store.write(connection, batch.pending, batch.stored)
    written = numbered(batch.pending, ids) if ids else []
    if recalled is not None:
        store.learn(connection, recalled, batch.stored)
    return [decision.receipt(written) for decision in decisions], written


def sweep(
    store: Store, up_to: datetime, connection: sa.Connection
) -> tuple[Swept, Sequence[HistoryRow]]:
    """Close some of the sessions that are past their deadline at *up_to*. Never commits."""
    users = store.overdue_users(connection, up_to, _SWEPT_AT_ONCE)
    stored: Stored = {}
    pending = Pending()
    for visits in store.lock_visits(connection, users, stored).values():
        live = visits.live  # as it is now: the customer may have come back meanwhile
        if live is None:
            continue
        if live.expires_at is not None and live.expires_at <= up_to:
            closed, row = expire(live)
            pending.keep(closed)
            pending.add(row)
        else:
            pending.put_forward(live)
    rows = numbered(pending, store.write(connection, pending, stored))
    return (rows, len(users) == _SWEPT_AT_ONCE), rows


def close_chat(
    store: Store,
    user: UserKey,
    at: datetime | None,
    reason: str | None,
    connection: sa.Connection,
) -> tuple[Receipt | None, Sequence[HistoryRow]]:
    """Close what is live of this user, by hand; None where nothing is. Never commits.

    Raises:
        InvalidArgument: *at* is before the latest effective time of the session.
    """
    stored: Stored = {}
    live = store.lock_visits(connection, [user], stored)[user].live
    if live is None:
        return None, ()
    if at is None:
        at = max(datetime.now(UTC), live.effective_at)
    elif at < live.effective_at:
        wanted = f"a time not before {live.effective_at.isoformat()}, the chat's latest row"
        raise InvalidArgument("at", wanted=wanted, got=at)
    closed, row = close(live, at, reason)
    pending = Pending()
    pending.keep(closed)
    pending.add(row)
    rows = numbered(pending, store.write(connection, pending, stored))
    receipt = Receipt(outcome=row.outcome, before=live, after=closed, rows=tuple(rows))
    return receipt, rows


def _as_far_as_kept(event: Mapping[str, Any], kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """*event*, without what says which picture it had if *kept* does not say so any more."""
    picture = kept.get("image")
    if isinstance(picture, Mapping) and picture.get("sha256", "") is None and "image" in event:
        return {**event, "image": picture}
    return event


def numbered(pending: Pending, ids: Iterable[int]) -> list[HistoryRow]:
    """The rows that were written, with the ids that the database gave them."""
    rows: list[HistoryRow] = []
    for one, key in zip(pending.rows, ids, strict=True):
        force_setattr(one.row, "id", key)  # nobody else has seen it yet, and a copy takes longer
        rows.append(one.row)
    return rows


class _Decision(Struct, frozen=True, gc=False):
    """What becomes of one message; its rows are known by their places among all of the batch.

    Attributes:
        first: Of a message that came before: its row, or the place of a row of this batch.
    """

    outcome: Outcome
    rows: slice
    before: ChatSession | None = None
    after: ChatSession | None = None
    first: HistoryRow | int | None = None
    error: SermoError | None = None

    def receipt(self, written: Sequence[HistoryRow]) -> Receipt:
        """The answer to the host, once the rows are written."""
        first = self.first
        return Receipt(
            outcome=self.outcome,
            before=self.before,
            after=self.after,
            rows=tuple(written[self.rows]),
            first=written[first] if isinstance(first, int) else first,
            error=self.error,
        )


_NO_ROWS = slice(0, 0)


@define
class _Batch:
    """What is known and what is decided while the messages of one transaction are handled."""

    policy: Policy
    stored: Stored
    visits: dict[UserKey, Visits]
    known: dict[MessageKey, HistoryRow | int]
    """Message ids that came before, with their row, or its place among those of this batch."""
    pending: Pending = field(factory=Pending)

    @classmethod
    def load(
        cls,
        store: Store,
        connection: sa.Connection,
        messages: Sequence[Message | Rejected],
        policy: Policy,
        recalled: Users | None,
    ) -> "_Batch":
        users: set[UserKey] = set()
        ids: set[MessageKey] = set()
        for message in messages:
            if isinstance(message, Message):
                if (user := message.user) is not None:
                    users.add(user)
                if (key := message.key) is not None:
                    ids.add(key)
        stored: Stored = {}
        visits, known = store.load(connection, users, ids, stored, recalled)
        return cls(policy, stored, visits, {**known})

    def decide(self, message: Message) -> _Decision:
        key, user = message.key, message.user
        if key in self.known:
            return self._duplicate(message, self.known[key])
        visits = NO_VISITS if user is None else self.visits[user]
        policy = self.policy
        durations = policy.of(user[0]) if user is not None and policy.platforms else policy
        step = advance(visits, message, durations)
        if user is not None:
            self.visits[user] = step.visits
            self._keep(visits, step)
        start = len(self.pending.rows)
        for row in step.rows:
            self._add(message, key, row)
        rows = slice(start, start + len(step.rows))
        return _Decision(step.outcome, rows, step.before, step.after)

    def _keep(self, old: Visits, step: Step) -> None:
        """Remember the sessions that changed: mostly one, of a quiet event perhaps none."""
        live, closed = step.visits.live, step.visits.closed
        for session in (closed, live):
            if session is not None and session is not old.live and session is not old.closed:
                self.pending.keep(session)
        if closed is not None and step.before is None and step.after is not None:
            # It opened a session. The one before is written too, if only as it was: another writer
            # who still sees an older state of the database, and takes that for the last one, fails.
            self.pending.keep(closed)

    def _add(self, message: Message, key: MessageKey | None, row: HistoryRow) -> None:
        if row.direction is not message.direction:  # of the deadline that came first
            self.pending.add(row)
            return
        if key is not None:
            self.known[key] = len(self.pending.rows)
        self.pending.add(row, message.image)

    def _duplicate(self, message: Message, first: HistoryRow | int) -> _Decision:
        body = self.pending.rows[first].row.event if isinstance(first, int) else first.event
        # Once the body is erased, nothing is left to tell another event by.
        if body is None or same_json(body, _as_far_as_kept(message.body, body)):
            return _Decision(Outcome.DUPLICATE, _NO_ROWS, first=first)
        error = MessageConflict(message.direction, str(message.message_id))
        return _Decision(Outcome.CONFLICT, _NO_ROWS, first=first, error=error)

    def reject(self, rejected: Rejected) -> _Decision:
        start = len(self.pending.rows)
        self.pending.add(
            HistoryRow(
                direction=rejected.direction,
                outcome=Outcome.INVALID,
                received_at=rejected.received_at,
                effective_at=rejected.received_at,
                reason=str(rejected.error),
                raw=rejected.raw,
            )
        )
        return _Decision(Outcome.INVALID, slice(start, start + 1), error=rejected.error)
