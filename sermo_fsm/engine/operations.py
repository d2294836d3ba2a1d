"""What can be asked of an engine, as values: a call knows what to do on a connection.

Both doors, :mod:`sermo_fsm.engine.sync` and :mod:`sermo_fsm.engine.aio`, make their calls here and
run them, each in its own way. Arguments are checked where a call is made, before any connection is
needed.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm import migrate
from sermo_fsm.analysis import verify
from sermo_fsm.analysis.compare import compare
from sermo_fsm.analysis.comparison import Comparison
from sermo_fsm.analysis.full_scan import Progress
from sermo_fsm.analysis.histories import Stories, read_stories
from sermo_fsm.analysis.traffic_count import Asked, read_traffic
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession, HistoryRow, Receipt
from sermo_fsm.engine import batch as handling
from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.envelope import Envelope, arrive, as_direction, as_moment, read_envelope
from sermo_fsm.protocol.events import Direction, Event
from sermo_fsm.protocol.fields import AN_ID, BIGGEST_INTEGER, is_id
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.storage import queries
from sermo_fsm.storage.queries import Filter, Pages
from sermo_fsm.storage.store import Store
from sermo_fsm.views.traffic import Traffic

__all__ = ["Calls", "Line", "Read", "Write"]

_T = TypeVar("_T")

Line = Envelope | Event | bytes | str | Mapping[str, Any]
"""One of the events that ``handle_many`` takes."""

Read = Callable[[sa.Connection], _T]
"""A question: gives the answer."""

Write = Callable[[sa.Connection], tuple[_T, Sequence[HistoryRow]]]
"""Something to be done in a transaction: gives the answer, and the rows that were written."""


@frozen
class Calls:
    """The calls of one engine."""

    store: Store
    policy: Policy
    limits: Limits

    # --- the schema ------------------------------------------------------------------------------

    def migrate(self) -> Write[str]:
        """Bring the tables to this release."""
        return lambda connection: (migrate.upgrade(connection, self.store.tables.schema), ())

    def check_schema(self) -> Read[str]:
        """Whether they are of this release."""
        return lambda connection: migrate.check_schema(connection, self.store.tables.schema)

    def prepare(self) -> Read[str | None]:
        """Likewise; None for an empty SQLite database."""

        def look(connection: sa.Connection) -> str | None:
            if migrate.is_empty_sqlite(connection):
                return None
            return migrate.check_schema(connection, self.store.tables.schema)

        return look

    # --- events in -------------------------------------------------------------------------------

    def handle(self, envelope: Envelope) -> Write[Receipt]:
        """Hand in one event."""
        message = arrive(envelope, self.limits, datetime.now(UTC))

        def work(connection: sa.Connection) -> tuple[Receipt, Sequence[HistoryRow]]:
            (receipt,) = handling.handle(self.store, connection, [message], self.policy)
            if receipt.error is not None and not isinstance(receipt.error, InvalidEvent):
                raise receipt.error
            return receipt, receipt.rows

        return work

    def handle_many(
        self, envelopes: Iterable[Line], direction: str | None, platform_id: str | None
    ) -> Write[list[Receipt]]:
        """Hand in many."""
        queue = None if direction is None else as_direction(direction)
        _check_id("platform_id", platform_id)
        messages = [self._open(item, queue, platform_id) for item in envelopes]

        def work(connection: sa.Connection) -> tuple[list[Receipt], Sequence[HistoryRow]]:
            receipts = handling.handle(self.store, connection, messages, self.policy)
            return receipts, [row for receipt in receipts for row in receipt.rows]

        return work

    def _open(
        self, item: Line, direction: Direction | None, platform_id: str | None
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

    def sweep(self, up_to: datetime | None) -> Write[tuple[list[HistoryRow], bool]]:
        """Close some of what is overdue; whether there may be more."""
        moment = datetime.now(UTC) if up_to is None else as_moment("up_to", up_to)

        def work(
            connection: sa.Connection,
        ) -> tuple[tuple[list[HistoryRow], bool], Sequence[HistoryRow]]:
            found = handling.sweep(self.store, connection, moment)
            return found, found[0]

        return work

    # --- questions -------------------------------------------------------------------------------

    def status(self, platform_id: str, user_id: str) -> Read[ChatSession | None]:
        """Where a user's chat is."""
        _check_id("platform_id", platform_id)
        _check_id("user_id", user_id)
        return lambda connection: queries.status(
            connection, self.store.tables, platform_id, user_id
        )

    def session(self, session_id: str) -> Read[ChatSession | None]:
        """The session with this id."""
        if not _is_session_id(session_id):
            return lambda _: None
        return lambda connection: queries.session_by_id(connection, self.store.tables, session_id)

    def sessions(  # noqa: PLR0913 - one for each thing to ask by
        self,
        *,
        state: str | Iterable[str] | None,
        platform: str | None,
        user: str | None,
        agent: str | None,
        opened_from: datetime | None,
        opened_before: datetime | None,
        after: str | None,
        limit: int | None,
    ) -> Pages[ChatSession]:
        """A list of sessions."""
        for argument, value in (("platform", platform), ("user", user), ("agent", agent)):
            _check_id(argument, value)
        if after is not None and not _is_session_id(after):
            raise InvalidArgument("after", wanted="the id of a session", got=after)
        which = Filter(
            states=_states(state),
            platform_id=platform,
            user_id=user,
            agent_id=agent,
            opened_from=_moment("opened_from", opened_from),
            opened_before=_moment("opened_before", opened_before),
        )
        return queries.sessions(
            self.store.tables, which, after=after, limit=_number("limit", limit)
        )

    def counts(self) -> Read[dict[str, dict[State, int]]]:
        """How many are live."""
        return lambda connection: queries.counts(connection, self.store.tables)

    def history(self, session_id: str, after: int | None, limit: int | None) -> Pages[HistoryRow]:
        """The rows of a session."""
        if not _is_session_id(session_id):
            session_id = str(_NOBODY)
        return queries.history(
            self.store.tables,
            session_id,
            after=_number("after", after),
            limit=_number("limit", limit),
        )

    def strays(self, after: int | None, limit: int | None) -> Pages[HistoryRow]:
        """The rows without a session."""
        return queries.strays(
            self.store.tables, after=_number("after", after), limit=_number("limit", limit)
        )

    def stories(
        self, platform: str | None, opened_from: datetime | None, opened_before: datetime | None
    ) -> Read[Stories]:
        """The rows of many sessions."""
        _check_id("platform", platform)
        which = Filter(
            platform_id=platform,
            opened_from=_moment("opened_from", opened_from),
            opened_before=_moment("opened_before", opened_before),
        )
        return partial(read_stories, tables=self.store.tables, which=which)

    def verify(self) -> Read[verify.Verification]:
        """Replay the whole stored history."""
        return partial(verify.verify, tables=self.store.tables)

    def compare(self, limit: int, progress: Progress | None) -> Read[Comparison]:
        """Hold the whole stored history against today's table."""
        most = _number("limit", limit) or 0
        return partial(compare, tables=self.store.tables, limit=most, progress=progress)

    def traffic(
        self,
        since: datetime | None,
        until: datetime | None,
        platform: str | None,
        progress: Progress | None,
    ) -> Read[Traffic]:
        """Count where chats go."""
        _check_id("platform", platform)
        asked = Asked(
            since=_moment("since", since), until=_moment("until", until), platform=platform
        )
        return partial(read_traffic, tables=self.store.tables, asked=asked, progress=progress)


_NOBODY: Final = uuid.UUID(int=0)


def _is_session_id(value: object) -> bool:
    """Whether *value* can be one: not every database takes any string for one."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _states(state: str | Iterable[str] | None) -> tuple[State, ...]:
    try:
        names = () if state is None else (state,) if isinstance(state, str) else tuple(state)
        return tuple(State(name) for name in names)
    except (TypeError, ValueError):
        raise InvalidArgument("state", wanted=" or ".join(State), got=state) from None


def _number(argument: str, value: int | None) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value <= BIGGEST_INTEGER):
        raise InvalidArgument(argument, wanted=f"0 to {BIGGEST_INTEGER}", got=value)
    return value


def _moment(argument: str, value: datetime | None) -> datetime | None:
    return None if value is None else as_moment(argument, value)


def _check_id(argument: str, value: str | None) -> None:
    if value is not None and not is_id(value):
        raise InvalidArgument(argument, wanted=AN_ID, got=value)
