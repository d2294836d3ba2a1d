"""The door: ``ChatEngine`` owns transactions, and nothing else.

The body is in :mod:`sermo_fsm.handling` and :mod:`sermo_fsm.queries`. Inside a transaction of the
host's (``connection=``) it never begins, commits or rolls back. Long, because every method says
what it takes, gives and raises.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from sermo_fsm import handling, migrate, queries
from sermo_fsm import verify as verification
from sermo_fsm._hooks import AfterCommit, Hooks, WithinTransaction
from sermo_fsm.database import (
    adopt_engine,
    committing,
    is_in_memory,
    join,
    open_engine,
    reading,
    translated,
    writing,
)
from sermo_fsm.envelope import Envelope, as_direction, as_moment, read_envelope
from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.events import Direction, Event
from sermo_fsm.fields import AN_ID, BIGGEST_INTEGER, is_id
from sermo_fsm.handling import Arrival, Rejected, arrive
from sermo_fsm.jsontext import Limits
from sermo_fsm.machine import State
from sermo_fsm.policy import Policy
from sermo_fsm.receipt import Receipt
from sermo_fsm.session import ChatSession, HistoryRow
from sermo_fsm.wire import Raw

__all__ = ["ChatEngine"]

_T = TypeVar("_T")

Line = Envelope | Event | bytes | str | Mapping[str, Any]


_Within = TypeVar("_Within", bound=WithinTransaction)
_After = TypeVar("_After", bound=AfterCommit)


class ChatEngine:
    """Hands events in, asks where chats are.

    Args:
        database: A URL such as ``sqlite:///chat.db``, or the host's own SQLAlchemy engine.
        policy: The durations that decide where chats end.
        limits: How large an event may be.

    Raises:
        InvalidArgument: The URL is none, or its driver is not installed.

    Every method raises :class:`~sermo_fsm.StoreError` where the database refuses; then nothing of
    what was asked for is written. Those that take ``connection`` work in the host's transaction,
    and leave its end to the host.
    """

    def __init__(
        self,
        database: str | sa.URL | sa.Engine,
        *,
        policy: Policy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._owns_engine = not isinstance(database, sa.Engine)
        if isinstance(database, sa.Engine):
            adopt_engine(database)
            self._engine = database
        else:
            self._engine = open_engine(database)
        self._streams = not self._owns_engine or not is_in_memory(self._engine.url)
        self._policy = policy or Policy()
        self._limits = limits or Limits()
        self._hooks = Hooks()

    def close(self) -> None:
        """Close the connections of an engine that was made from a URL; the host's stay open."""
        if self._owns_engine:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the schema ------------------------------------------------------------------------------

    def migrate(self) -> str:
        """Create or upgrade our tables; harmless where nothing is to be done.

        Returns:
            The revision that the database is at now.
        """
        return self._write(None, migrate.upgrade, lambda _: ())

    def check_schema(self) -> None:
        """Raise where this release can't work with the tables of the database.

        Raises:
            SchemaNotReady: They are missing, older or newer; says what to do.
        """
        with self._reading(None) as connection:
            migrate.check_schema(connection)

    def prepare(self) -> str:
        """Create our tables in a SQLite database that is empty; check them in any other.

        Returns:
            The revision that the database is at.

        Raises:
            SchemaNotReady: It is not empty, and our tables are missing, older or newer.
        """
        with self._reading(None) as connection:
            if not migrate.is_empty_sqlite(connection):
                return migrate.check_schema(connection)
        # Another process may be about to do the same: the second finds nothing to do.
        return self.migrate()

    # --- events in -------------------------------------------------------------------------------

    def handle(
        self,
        direction: str,
        event: Raw,
        *,
        message_id: str | None = None,
        received_at: datetime | None = None,
        platform_id: str | None = None,
        connection: sa.Connection | None = None,
    ) -> Receipt:
        """Hand in one event.

        Args:
            direction: The queue that it came on: ``inbound``, ``outbound`` or ``internal``.
            event: What came: bytes, text, an object, or an :class:`~sermo_fsm.Event`.
            message_id: The broker's id of the message; with it, handing in twice is harmless.
            received_at: When the broker received it (aware); now, where left out.
            platform_id: Stands in where the event has no ``platformId``.
            connection: The host's, in a transaction of the host's.

        Raises:
            MessageConflict: This message id was written before with another event.
            InvalidArgument: An argument beside the event is unusable.
        """
        envelope = Envelope(
            direction,
            event,
            message_id=message_id,
            received_at=received_at,
            platform_id=platform_id,
        )
        arrival = arrive(envelope, self._limits, datetime.now(UTC))
        (receipt,) = self._handle(connection, [arrival])
        if receipt.error is not None and not isinstance(receipt.error, InvalidEvent):
            raise receipt.error
        return receipt

    def handle_many(
        self,
        envelopes: Iterable[Line],
        *,
        direction: str | None = None,
        platform_id: str | None = None,
        connection: sa.Connection | None = None,
    ) -> list[Receipt]:
        """Hand in many events, in order, in one transaction: all of them are in, or none.

        An invalid event, or one whose message id is in conflict, spoils no other: its receipt
        says so. A ``within_transaction`` hook that raises undoes the whole batch.

        Args:
            envelopes: :class:`~sermo_fsm.Envelope`, or the JSON of one, or a bare event.
            direction: The queue of bare events.
            platform_id: Stands in where neither event nor envelope has a ``platformId``.
            connection: The host's, in a transaction of the host's.
        """
        queue = None if direction is None else as_direction(direction)
        _check_id("platform_id", platform_id)
        arrivals = [self._open(item, queue, platform_id) for item in envelopes]
        return self._handle(connection, arrivals)

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        """Close every session whose deadline is reached at *up_to*.

        Many are closed in portions, each in a transaction of its own: what was closed before an
        error stays closed.

        Args:
            up_to: The time to which the inbound queue has been read; now, where left out. A worker
                that was down must not close the chats whose heartbeats still wait in its queue.

        Returns:
            The row of each session that was closed.
        """
        moment = datetime.now(UTC) if up_to is None else as_moment("up_to", up_to)
        closed: list[HistoryRow] = []
        while rows := self._write(None, lambda ours: handling.sweep(ours, moment), tuple):
            closed += rows
        return closed

    # --- questions -------------------------------------------------------------------------------

    def status(
        self, platform_id: str, user_id: str, *, connection: sa.Connection | None = None
    ) -> ChatSession | None:
        """Where this user's chat is: the live session, else the last one; None for nobody."""
        _check_id("platform_id", platform_id)
        _check_id("user_id", user_id)
        with self._reading(connection) as ours:
            return queries.status(ours, platform_id, user_id)

    def session(
        self, session_id: str, *, connection: sa.Connection | None = None
    ) -> ChatSession | None:
        """The session with this id; None where there is none."""
        if not is_id(session_id):
            return None
        with self._reading(connection) as ours:
            return queries.session_by_id(ours, session_id)

    def sessions(
        self,
        *,
        state: str | Iterable[str] | None = None,
        platform: str | None = None,
        user: str | None = None,
        limit: int | None = None,
        connection: sa.Connection | None = None,
    ) -> Generator[ChatSession, None, None]:
        """Sessions, the newest first; read while you iterate, so close what you do not exhaust.

        Args:
            state: One state, or several.
            platform: Only of this platform.
            user: Only of this user.
            limit: At most so many.
        """
        states = _states(state)
        _check_id("platform", platform)
        _check_id("user", user)
        _check_limit(limit)
        return self._iterate(
            connection,
            lambda ours: queries.sessions(
                ours, states=states, platform_id=platform, user_id=user, limit=limit
            ),
        )

    def history(
        self, session_id: str, *, connection: sa.Connection | None = None
    ) -> Generator[HistoryRow, None, None]:
        """The rows of a session, in order; read while you iterate. Nothing for no such session."""
        if not is_id(session_id):
            return self._iterate(connection, lambda _: iter(()))
        return self._iterate(connection, lambda ours: queries.history(ours, session_id))

    def strays(
        self, *, limit: int | None = None, connection: sa.Connection | None = None
    ) -> Generator[HistoryRow, None, None]:
        """The rows without a session, the oldest first; read while you iterate."""
        _check_limit(limit)
        return self._iterate(connection, lambda ours: queries.strays(ours, limit=limit))

    def verify(self) -> verification.Verification:
        """Replay the whole stored history against guarantee 2; changes nothing."""
        with self._reading(None) as connection:
            return verification.verify(connection)

    # --- hooks -----------------------------------------------------------------------------------

    def within_transaction(self, hook: _Within) -> _Within:
        """Call ``hook(row, connection)`` for every row, inside its transaction.

        Raising undoes the event, and reaches the caller of ``handle``. A decorator.
        """
        self._hooks.within_transaction.append(hook)
        return hook

    def after_commit(self, hook: _After) -> _After:
        """Call ``hook(row)`` for every row, once the outermost transaction is durable.

        What it raises is logged and goes no further: the row is written. A decorator.
        """
        self._hooks.after_commit.append(hook)
        return hook

    # --- transactions ----------------------------------------------------------------------------

    def _write(
        self,
        connection: sa.Connection | None,
        work: Callable[[sa.Connection], _T],
        rows_of: Callable[[_T], Iterable[HistoryRow]],
    ) -> _T:
        """Do *work* in a transaction of ours; or, within the host's, in a savepoint of ours."""
        if connection is None:
            with writing(self._engine) as ours:
                result, rows = self._work(ours, work, rows_of)
            self._hooks.committed(rows)
            return result
        with translated():
            join(connection)
        with committing(connection.begin_nested):
            result, rows = self._work(connection, work, rows_of)
            self._hooks.wait(rows, connection)
        return result

    def _work(
        self,
        connection: sa.Connection,
        work: Callable[[sa.Connection], _T],
        rows_of: Callable[[_T], Iterable[HistoryRow]],
    ) -> tuple[_T, tuple[HistoryRow, ...]]:
        with translated():
            result = work(connection)
        rows = tuple(rows_of(result))
        self._hooks.within(rows, connection)
        return result, rows

    @contextmanager
    def _reading(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        if connection is None:
            with reading(self._engine) as ours:
                yield ours
            return
        with translated():
            yield connection

    def _iterate(
        self, connection: sa.Connection | None, read: Callable[[sa.Connection], Iterator[_T]]
    ) -> Generator[_T, None, None]:
        with self._reading(connection) as ours:
            if self._streams:
                yield from read(ours)
                return
            # In memory SQLite can't write while a list is open: there it is read in one go.
            found = list(read(ours))
        yield from found

    def _handle(
        self, connection: sa.Connection | None, arrivals: list[Arrival | Rejected]
    ) -> list[Receipt]:
        return self._write(
            connection,
            lambda ours: handling.handle(ours, arrivals, self._policy),
            lambda receipts: (row for receipt in receipts for row in receipt.rows),
        )

    def _open(
        self, item: Line, direction: Direction | None, platform_id: str | None
    ) -> Arrival | Rejected:
        now = datetime.now(UTC)
        if isinstance(item, Event):
            item = Envelope(direction, item, platform_id=platform_id)
        if not isinstance(item, Envelope):
            try:
                item = read_envelope(
                    item, self._limits, direction=direction, platform_id=platform_id
                )
            except InvalidEvent as error:
                return Rejected(error, item, now, direction)
        return arrive(item, self._limits, now)


def _states(state: str | Iterable[str] | None) -> tuple[State, ...]:
    names = () if state is None else (state,) if isinstance(state, str) else tuple(state)
    for name in names:
        if name not in set(State):
            raise InvalidArgument("state", wanted=" or ".join(State), got=name)
    return tuple(State(name) for name in names)


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit not in range(BIGGEST_INTEGER + 1):
        raise InvalidArgument("limit", wanted=f"0 to {BIGGEST_INTEGER}", got=limit)


def _check_id(argument: str, value: str | None) -> None:
    if value is not None and not is_id(value):
        raise InvalidArgument(argument, wanted=AN_ID, got=value)
