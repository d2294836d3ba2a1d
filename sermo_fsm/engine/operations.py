"""What an engine does to a database, as values: each knows what to do on a connection.

Both engines make an operation here and run it in their own way. Arguments are checked and events
are decoded when it is made, before any connection is needed. Questions are made where their answer
is read: in :mod:`sermo_fsm.storage.queries` and :mod:`sermo_fsm.analysis`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm import migrate as revisions
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import HistoryRow, Receipt
from sermo_fsm.engine import batch
from sermo_fsm.errors import InvalidEvent
from sermo_fsm.protocol.envelope import Envelope, arrive, as_direction, as_moment, read_envelope
from sermo_fsm.protocol.events import Direction, Event
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.storage.arguments import check_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.store import Store

__all__ = ["Intake", "Item", "Write", "check_schema", "migrate", "prepare"]

_T = TypeVar("_T")

Item = Envelope | Event | bytes | str | Mapping[str, object]
"""One of the events that ``handle_many`` takes."""

Write = Callable[[sa.Connection], tuple[_T, Sequence[HistoryRow]]]
"""Something to be done in a transaction: returns the answer, and the rows that were written."""


@frozen
class Intake:
    """How an engine takes in events: where they are stored, and by which rules."""

    store: Store
    policy: Policy
    limits: Limits

    def one(self, envelope: Envelope) -> Write[list[Receipt]]:
        """Handle one event; a message id in conflict is an error."""
        message = arrive(envelope, self.limits, datetime.now(UTC))
        return partial(batch.handle, self.store, self.policy, (message,), raise_conflict=True)

    def many(
        self, items: Iterable[Item], direction: str | None, platform_id: str | None
    ) -> Write[list[Receipt]]:
        """Handle many events, in order."""
        queue = None if direction is None else as_direction(direction)
        check_id("platform_id", platform_id)
        messages = [self._open(item, queue, platform_id) for item in items]
        return partial(batch.handle, self.store, self.policy, messages)

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

    def sweep(self, up_to: datetime | None) -> Write[batch.Swept]:
        """Close some of the sessions that are past their deadline."""
        moment = datetime.now(UTC) if up_to is None else as_moment("up_to", up_to)
        return partial(batch.sweep, self.store, moment)


def migrate(schema: str | None) -> Write[str]:
    """Bring the tables to this release."""
    return lambda connection: (revisions.upgrade(connection, schema), ())


def check_schema(schema: str | None) -> Read[str]:
    """The revision of the database; raises unless this release can work with it."""
    return partial(revisions.check_schema, schema=schema)


def prepare(schema: str | None) -> Read[str | None]:
    """The revision of the database, or None if it is an empty SQLite database."""
    check = check_schema(schema)
    return lambda connection: None if revisions.is_new_file(connection) else check(connection)
