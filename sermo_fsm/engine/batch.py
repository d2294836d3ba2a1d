"""Messages in, receipts out, inside somebody's transaction: the one body that both engines run.

:class:`Intake` checks arguments and decodes events before any connection is needed. Then a batch is
read in one go (sessions, message ids), decided in memory by :mod:`sermo_fsm.core.advance`, and
written in one go. A single event is a batch of one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import sqlalchemy as sa
from attrs import define, evolve, field, frozen

from sermo_fsm.core.advance import NO_VISITS, Step, Visits, advance, expire
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession, HistoryRow, Outcome, Receipt
from sermo_fsm.engine.operations import Write
from sermo_fsm.errors import InvalidEvent, MessageConflict, SermoError
from sermo_fsm.protocol.envelope import Envelope, arrive, as_direction, as_moment, read_envelope
from sermo_fsm.protocol.events import Direction, Event
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, MessageKey, Rejected, UserKey
from sermo_fsm.protocol.stored_form import excerpt, fingerprint
from sermo_fsm.storage.arguments import check_id
from sermo_fsm.storage.store import Keys, Pending, Store

__all__ = ["Intake", "Item", "Swept", "handle", "sweep"]

_SWEPT_AT_ONCE = 1000

Item = Envelope | Event | bytes | str | Mapping[str, object]
"""One of the events that ``handle_many`` takes."""

Swept = tuple[Sequence[HistoryRow], bool]
"""The rows of the sessions that were closed, and whether there may be more to close."""


@frozen
class Intake:
    """How an engine takes in events: where they are stored, and by which rules."""

    store: Store
    policy: Policy
    limits: Limits

    def one(self, envelope: Envelope) -> Write[list[Receipt]]:
        """Handle one event; a message id in conflict is an error."""
        message = arrive(envelope, self.limits, datetime.now(UTC))
        return partial(handle, self.store, self.policy, (message,), raise_conflict=True)

    def many(
        self, items: Iterable[Item], direction: str | None, platform_id: str | None
    ) -> Write[list[Receipt]]:
        """Handle many events, in order."""
        queue = None if direction is None else as_direction(direction)
        check_id("platform_id", platform_id)
        messages = [self._open(item, queue, platform_id) for item in items]
        return partial(handle, self.store, self.policy, messages)

    def _open(
        self, item: Item, direction: Direction | None, platform_id: str | None
    ) -> Message | Rejected:
        now = datetime.now(UTC)
        if isinstance(item, Event):
            item = Envelope(direction, item, platform_id=platform_id)
        if not isinstance(item, Envelope):
            try:
                item = read_envelope(
                    item, self.limits, direction=direction, platform_id=platform_id
                )
            except InvalidEvent as error:
                return Rejected(error, item, now, direction)
        return arrive(item, self.limits, now)

    def sweep(self, up_to: datetime | None) -> Write[Swept]:
        """Close some of the sessions that are past their deadline."""
        moment = datetime.now(UTC) if up_to is None else as_moment("up_to", up_to)
        return partial(sweep, self.store, moment)


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
    batch = _Batch.load(store, connection, messages, policy)
    decisions = [
        batch.decide(message) if isinstance(message, Message) else batch.reject(message)
        for message in messages
    ]
    if raise_conflict:
        for decision in decisions:
            if isinstance(decision.error, MessageConflict):
                raise decision.error
    written = _numbered(batch.pending, store.write(connection, batch.pending, batch.keys))
    return [decision.receipt(written) for decision in decisions], written


def sweep(
    store: Store, up_to: datetime, connection: sa.Connection
) -> tuple[Swept, Sequence[HistoryRow]]:
    """Close some of the sessions that are past their deadline at *up_to*. Never commits."""
    users = store.overdue_users(connection, up_to, _SWEPT_AT_ONCE)
    keys: Keys = {}
    pending = Pending()
    for visits in store.lock_visits(connection, users, keys).values():
        live = visits.live  # as it is now: the customer may have come back meanwhile
        if live is not None and live.expires_at is not None and live.expires_at <= up_to:
            closed, row = expire(live)
            pending.keep(closed)
            pending.add(row)
    rows = _numbered(pending, store.write(connection, pending, keys))
    return (rows, len(users) == _SWEPT_AT_ONCE), rows


def _numbered(pending: Pending, ids: Iterable[int]) -> list[HistoryRow]:
    """The rows that were written, with the ids that the database gave them."""
    return [evolve(one.row, id=key) for one, key in zip(pending.rows, ids, strict=True)]


@frozen
class _Decision:
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
    keys: Keys
    visits: dict[UserKey, Visits]
    known: dict[MessageKey, tuple[HistoryRow | int, bytes]]
    """Message ids that were written before, with the row and the fingerprint of their event."""
    pending: Pending = field(factory=Pending)

    @classmethod
    def load(
        cls,
        store: Store,
        connection: sa.Connection,
        messages: Sequence[Message | Rejected],
        policy: Policy,
    ) -> "_Batch":
        users: set[UserKey] = set()
        ids: set[MessageKey] = set()
        for message in messages:
            if isinstance(message, Message):
                if (user := message.user) is not None:
                    users.add(user)
                if (key := message.key) is not None:
                    ids.add(key)
        keys: Keys = {}
        visits = store.lock_visits(connection, users, keys)
        # After the lock: another writer of the same message has committed by now.
        return cls(policy, keys, visits, {**store.find_messages(connection, ids)})

    def decide(self, message: Message) -> _Decision:
        key, user = message.key, message.user
        if key in self.known:
            return self._duplicate(message, *self.known[key])
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
                self.pending.keep(session, only_seen=not step.rows)
        if closed is not None and step.before is None and step.after is not None:
            # It opened a session. The one before is written too, if only as it was: another writer
            # who still sees an older state of the database, and takes that for the last one, fails.
            self.pending.keep(closed)

    def _add(self, message: Message, key: MessageKey | None, row: HistoryRow) -> None:
        if row.direction is Direction.TIMER:
            self.pending.add(row)
        elif key is None:
            self.pending.add(row, message.image)
        else:
            mark = fingerprint(message.body)
            self.known[key] = len(self.pending.rows), mark
            self.pending.add(row, message.image, mark)

    def _duplicate(self, message: Message, first: HistoryRow | int, mark: bytes) -> _Decision:
        if fingerprint(message.body) == mark:
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
                raw=excerpt(rejected.raw),
            )
        )
        return _Decision(Outcome.INVALID, slice(start, start + 1), error=rejected.error)
