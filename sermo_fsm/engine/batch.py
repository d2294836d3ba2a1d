"""The one body behind every door: events in, receipts out, inside somebody's transaction.

A batch is read in one go (message ids, users), decided in memory by :mod:`sermo_fsm.core.advance`,
and written in one go. A single event is a batch of one.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.core.advance import NO_VISITS, Step, Visits, advance, expire
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import HistoryRow, Outcome, Receipt, UserKey
from sermo_fsm.errors import InvalidEvent, MessageConflict
from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.stored_form import excerpt, fingerprint
from sermo_fsm.protocol.wire import Message, decode
from sermo_fsm.storage.store import Keys, MessageKey, Pending, Store

__all__ = ["Arrival", "Rejected", "arrive", "handle", "sweep"]

_SWEPT_AT_ONCE = 1000


@frozen
class Arrival:
    """A valid event, ready to be handled."""

    message: Message
    received_at: datetime
    message_id: str | None

    @property
    def user(self) -> UserKey | None:
        """Whose event it is; None where it does not say so in a usable way."""
        event = self.message.event
        if event.platform_id is None or event.user_id is None:
            return None
        return event.platform_id, event.user_id

    @property
    def key(self) -> MessageKey | None:
        """Its message id, on its queue."""
        return None if self.message_id is None else (self.message.direction, self.message_id)


@frozen
class Rejected:
    """What is no event: recorded as a stray, with the reason. Its message id is not remembered."""

    error: InvalidEvent
    raw: object = field(repr=False)
    received_at: datetime
    direction: Direction | None = None


def arrive(envelope: Envelope, limits: Limits, now: datetime) -> Arrival | Rejected:
    """Open an envelope; what was received without a time was received *now*."""
    received_at = envelope.received_at or now
    try:
        message = decode(
            envelope.direction, envelope.event, platform_id=envelope.platform_id, limits=limits
        )
    except InvalidEvent as error:
        return Rejected(error, envelope.event, received_at, envelope.direction)
    return Arrival(message, received_at, envelope.message_id)


def handle(
    store: Store,
    connection: sa.Connection,
    arrivals: Sequence[Arrival | Rejected],
    policy: Policy,
) -> list[Receipt]:
    """Decide what became of each event, in order, and write it down. Never commits."""
    batch = _Batch.load(store, connection, arrivals, policy)
    receipts = [batch.take(arrival) for arrival in arrivals]
    store.write(connection, batch.pending, batch.keys)
    return receipts


def sweep(
    store: Store, connection: sa.Connection, up_to: datetime
) -> tuple[list[HistoryRow], bool]:
    """Close some of what is past its deadline at *up_to*; and whether there may be more."""
    users = store.overdue_users(connection, up_to, _SWEPT_AT_ONCE)
    keys: Keys = {}
    pending = Pending()
    rows = []
    for visits in store.lock_visits(connection, users, keys).values():
        live = visits.live  # as it is now: the customer may have come back meanwhile
        if live is not None and live.expires_at is not None and live.expires_at <= up_to:
            closed, row = expire(live)
            pending.keep(closed)
            rows.append(pending.add(row))
    store.write(connection, pending, keys)
    return rows, len(users) == _SWEPT_AT_ONCE


@define
class _Batch:
    """What is known and what is decided while the events of one transaction are handled."""

    policy: Policy
    keys: Keys
    visits: dict[UserKey, Visits]
    written: dict[MessageKey, tuple[HistoryRow, bytes]]
    pending: Pending = field(factory=Pending)

    @classmethod
    def load(
        cls,
        store: Store,
        connection: sa.Connection,
        arrivals: Sequence[Arrival | Rejected],
        policy: Policy,
    ) -> "_Batch":
        valid = [arrival for arrival in arrivals if isinstance(arrival, Arrival)]
        users = {arrival.user for arrival in valid if arrival.user is not None}
        messages = {arrival.key for arrival in valid if arrival.key is not None}
        keys: Keys = {}
        visits = store.lock_visits(connection, users, keys)
        # After the lock: whoever handed in the same message before us has committed by now.
        written = store.find_messages(connection, messages)
        return cls(policy, keys, visits, written)

    def take(self, arrival: Arrival | Rejected) -> Receipt:
        if isinstance(arrival, Rejected):
            return self._reject(arrival)
        if arrival.key in self.written:
            return self._again(arrival, *self.written[arrival.key])
        user = arrival.user
        step = advance(
            NO_VISITS if user is None else self.visits[user],
            arrival.message,
            arrival.received_at,
            self.policy.of(user[0] if user else ""),
            arrival.message_id,
        )
        if user is not None:
            self._keep(user, step)
        rows = tuple([self._write(row, arrival) for row in step.rows])
        return Receipt(outcome=step.outcome, before=step.before, after=step.after, rows=rows)

    def _keep(self, user: UserKey, step: Step) -> None:
        """Remember the sessions that changed: mostly one, of a quiet event perhaps none."""
        old = self.visits[user]
        self.visits[user] = step.visits
        for session in (step.visits.closed, step.visits.live):
            if session is not None and session is not old.live and session is not old.closed:
                self.pending.keep(session, only_seen=not step.rows)
        closed = step.visits.closed
        if closed is not None and step.before is None and step.after is not None:
            # It opened a session. The one before is written too, if only as it was: whoever still
            # sees an older state of the database, and takes that for the last one, fails there.
            self.pending.keep(closed)

    def _write(self, row: HistoryRow, arrival: Arrival) -> HistoryRow:
        if row.direction is Direction.TIMER:
            return self.pending.add(row)
        value, image = arrival.message.stored
        if arrival.key is None:
            return self.pending.add(row, image)
        mark = fingerprint(value)
        row = self.pending.add(row, image, mark)
        self.written[arrival.key] = row, mark
        return row

    def _again(self, arrival: Arrival, first: HistoryRow, mark: bytes) -> Receipt:
        if fingerprint(arrival.message.stored[0]) == mark:
            return Receipt(outcome=Outcome.DUPLICATE, first=first)
        error = MessageConflict(arrival.message.direction, str(arrival.message_id))
        return Receipt(outcome=Outcome.CONFLICT, first=first, error=error)

    def _reject(self, rejected: Rejected) -> Receipt:
        row = HistoryRow(
            direction=rejected.direction,
            outcome=Outcome.INVALID,
            received_at=rejected.received_at,
            effective_at=rejected.received_at,
            reason=str(rejected.error),
            raw=excerpt(rejected.raw),
        )
        rows = (self.pending.add(row),)
        return Receipt(outcome=Outcome.INVALID, rows=rows, error=rejected.error)
