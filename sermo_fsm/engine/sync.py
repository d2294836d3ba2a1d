"""The engine for plain code: ``ChatEngine`` owns transactions, and nothing else.

What is done on a connection is in :mod:`sermo_fsm.engine.operations`, and the same engine for
asyncio in :mod:`sermo_fsm.engine.aio`. Inside the host's transaction (``connection=``) an engine
never begins, commits or rolls back. Long, because every method says what it takes, returns and
raises.
"""

import inspect
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import sqlalchemy as sa

from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession, HistoryRow, Receipt
from sermo_fsm.engine import operations
from sermo_fsm.engine.batch import Intake, Item
from sermo_fsm.engine.hooks import AfterCommit, Hooks, WithinTransaction, run
from sermo_fsm.engine.operations import Write
from sermo_fsm.engine.unit_of_work import (
    Retries,
    ask,
    ask_at_one_moment,
    begin_to_read,
    end_reading,
    next_items,
    plain_connection,
    write_joined,
    write_own,
)
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.wire import Raw
from sermo_fsm.storage import queries
from sermo_fsm.storage.pages import Pages, Read
from sermo_fsm.storage.queries import SessionFilter
from sermo_fsm.storage.store import Store
from sermo_fsm.storage.transactions import HostEngine, adopt_engine, open_engine, translated
from sermo_fsm.views.traffic import Traffic

if TYPE_CHECKING:
    from sermo_fsm.analysis.comparison import Comparison
    from sermo_fsm.analysis.full_scan import ScanProgress
    from sermo_fsm.analysis.histories import Histories
    from sermo_fsm.analysis.verify import Verification
    from sermo_fsm.engine.unit_of_work import HostConnection

__all__ = ["ChatEngine"]

_T = TypeVar("_T")
_Within = TypeVar("_Within", bound=WithinTransaction)
_After = TypeVar("_After", bound=AfterCommit)


class ChatEngine:
    """Takes in events, and answers where chats are.

    Args:
        database: A URL such as ``sqlite:///chat.db``, ``postgresql+psycopg://…`` or
            ``mysql+pymysql://…``, or the host's own SQLAlchemy engine.
        policy: The durations that decide where chats end.
        limits: How large an event may be.
        schema: Where our tables are, on PostgreSQL; if left out, where the connection looks first.
        attempts: How often our own transaction is tried before ``StoreBusy`` or ``LostRace`` is
            raised, within half a minute.

    Raises:
        InvalidArgument: The URL can't be used, or its driver is not installed.

    Every method raises :class:`~sermo_fsm.StoreError` if the database refuses; then nothing is
    written, except perhaps after :class:`~sermo_fsm.CommitUnknown`. Methods with a ``connection``
    argument can work in the host's transaction, through its ``Connection`` or ORM ``Session``.
    They leave the end of that transaction to the host, and try nothing twice.
    """

    def __init__(
        self,
        database: str | sa.URL | sa.Engine,
        *,
        policy: Policy | None = None,
        limits: Limits | None = None,
        schema: str | None = None,
        attempts: int = 10,
    ) -> None:
        self._host_engine: HostEngine | None = None
        if isinstance(database, sa.Engine):
            self._host_engine = adopt_engine(database)
            self._engine = database
        else:
            self._engine = open_engine(database)
        self._dialect = self._engine.dialect
        store = Store.on(self._dialect, schema)
        self._tables = store.tables
        self._intake = Intake(store, policy or Policy(), limits or Limits())
        self._hooks = Hooks()
        self._retries = Retries(self._dialect, attempts)

    def close(self) -> None:
        """Close the connections of an engine that was made from a URL; the host's stay open."""
        if self._host_engine is None:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the schema ------------------------------------------------------------------------------

    def migrate(self) -> str:
        """Create or upgrade our tables; harmless if there is nothing to do.

        Several processes may call it at the same time: one does the work, the others wait.

        Returns:
            The revision that the database is at now.
        """
        return self._write(None, operations.migrate(self._tables.schema))

    def check_schema(self) -> None:
        """Raise where this release can't work with the tables of the database.

        Raises:
            SchemaNotReady: They are missing, older or newer; says what to do.
        """
        self._read(None, operations.check_schema(self._tables.schema))

    def prepare(self) -> str:
        """Create our tables in a SQLite database that is empty; check them in any other.

        Returns:
            The revision that the database is at.

        Raises:
            SchemaNotReady: It is not empty, and our tables are missing, older or newer.
        """
        return self._read(None, operations.prepare(self._tables.schema)) or self.migrate()

    # --- events in -------------------------------------------------------------------------------

    def handle(
        self,
        direction: str,
        event: Raw,
        *,
        message_id: str | None = None,
        received_at: datetime | None = None,
        platform_id: str | None = None,
        connection: "HostConnection | None" = None,
    ) -> Receipt:
        """Hand in one event.

        Args:
            direction: The queue that it came on: ``inbound``, ``outbound`` or ``internal``.
            event: What came: bytes, text, an object, or an :class:`~sermo_fsm.Event`.
            message_id: The broker's id of the message; with it, handing in twice is harmless.
            received_at: When the broker received it (aware); now, if left out.
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
        (receipt,) = self._write(connection, self._intake.one(envelope))
        return receipt

    def handle_many(
        self,
        envelopes: Iterable[Item],
        *,
        direction: str | None = None,
        platform_id: str | None = None,
        connection: "HostConnection | None" = None,
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
        return self._write(connection, self._intake.many(envelopes, direction, platform_id))

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        """Close every session whose deadline is reached at *up_to*.

        Many are closed in portions, each in a transaction of its own: what was closed before an
        error stays closed. Several sweepers do no harm.

        Args:
            up_to: The time to which the inbound queue has been read; now, if left out. A worker
                that was down must not close the chats whose heartbeats still wait in its queue.

        Returns:
            The row of each session that was closed.
        """
        call = self._intake.sweep(up_to)
        closed: list[HistoryRow] = []
        more = True
        while more:
            rows, more = self._write(None, call)
            closed += rows
        return closed

    # --- questions -------------------------------------------------------------------------------

    def status(
        self,
        platform_id: str,
        user_id: str,
        *,
        connection: "HostConnection | None" = None,
    ) -> ChatSession | None:
        """Where this user's chat is: the live session, else the last one; None for nobody."""
        return self._read(connection, queries.status(self._tables, platform_id, user_id))

    def session(
        self,
        session_id: str,
        *,
        connection: "HostConnection | None" = None,
    ) -> ChatSession | None:
        """The session with this id; None if there is none."""
        return self._read(connection, queries.session_by_id(self._tables, session_id))

    def sessions(
        self, *, connection: "HostConnection | None" = None, **which: Unpack[SessionFilter]
    ) -> Generator[ChatSession, None, None]:
        """Sessions, those that opened last first; read in pages while you iterate.

        Between two pages others go on writing: a session that opens meanwhile may be left out.

        Args:
            state: One state, or several.
            platform: Only of this platform.
            user: Only of this user.
            agent: Only those whose ``agent`` has this id.
            opened_from: Only those that opened then or later (aware).
            opened_before: Only those that opened earlier (aware).
            after: The id of a session: only what comes behind it in this order.
            limit: At most this many.
            connection: The host's.
        """
        return self._iterate(connection, queries.sessions(self._tables, **which))

    def counts(self, *, connection: "HostConnection | None" = None) -> dict[str, dict[State, int]]:
        """How many live sessions there are, by platform and state; zeros are left out.

        Closed ones are not counted: that would take time with every chat there ever was.
        """
        return self._read(connection, queries.counts(self._tables))

    def history(
        self,
        session_id: str,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: "HostConnection | None" = None,
    ) -> Generator[HistoryRow, None, None]:
        """The rows of a session, in order, in pages; nothing for no such session.

        Args:
            session_id: Of which session.
            after: The ``seq`` of a row: only what comes behind it.
            limit: At most this many.
            connection: The host's.
        """
        return self._iterate(
            connection, queries.history(self._tables, session_id, after=after, limit=limit)
        )

    def strays(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: "HostConnection | None" = None,
    ) -> Generator[HistoryRow, None, None]:
        """The rows without a session, the oldest first, in pages; *after* is the ``id`` of one."""
        return self._iterate(connection, queries.strays(self._tables, after=after, limit=limit))

    def stories(
        self,
        *,
        platform: str | None = None,
        opened_from: datetime | None = None,
        opened_before: datetime | None = None,
    ) -> "Histories":
        """Every row of many sessions, each with its session, as of one moment.

        The rows of a session come together and in order, those of a user's earlier sessions earlier
        where these opened earlier, too; what people wrote (``event``, ``raw``) is left out. However
        many rows there are, a portion of them is kept. A connection is held, and with it a
        snapshot, until the last row is read or the generator is closed; nothing is tried twice.

        Args:
            platform: Only sessions of this platform.
            opened_from: Only those that opened then or later (aware).
            opened_before: Only those that opened earlier (aware).
        """
        from sermo_fsm.analysis.histories import stories

        return self._iterate_at_one_moment(
            stories(
                self._tables,
                platform=platform,
                opened_from=opened_from,
                opened_before=opened_before,
            )
        )

    def verify(self) -> "Verification":
        """Replay the whole stored history (docs/design.md, guarantee 2); changes nothing."""
        from sermo_fsm.analysis.verify import verify

        return self._read_at_one_moment(verify(self._tables))

    def compare(self, *, limit: int = 100, progress: "ScanProgress | None" = None) -> "Comparison":
        """Hold the whole stored history against the table of this release; changes nothing.

        What of it would go another way today, by cell of the table, and which live chats would be
        somewhere else: to be asked before a release that changes the table is put to work. Where a
        chat would have ended or begun at another event, what came after it of that user can't be
        told, and its live chat is ``unsure``; quiet events left no row and are not asked about.

        Args:
            limit: List at most this many live chats of each kind; all are counted.
            progress: Called with the rows read so far, and about how many there are.
        """
        from sermo_fsm.analysis.compare import compare

        return self._read_at_one_moment(compare(self._tables, limit=limit, progress=progress))

    def traffic(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        platform: str | None = None,
        progress: "ScanProgress | None" = None,
    ) -> Traffic:
        """Where chats go, and how long each state lasts, counted in one pass over the history.

        Args:
            since: Only what happened then or later (aware, effective times).
            until: Only what happened earlier; of a stay its end counts.
            platform: Only sessions of this platform.
            progress: Called with the rows read so far, and about how many there are; None where
                nobody knows, because not all are read.
        """
        from sermo_fsm.analysis.traffic_count import traffic

        return self._read_at_one_moment(
            traffic(self._tables, since=since, until=until, platform=platform, progress=progress)
        )

    # --- hooks -----------------------------------------------------------------------------------

    def within_transaction(self, hook: _Within) -> _Within:
        """Call ``hook(row, connection)`` for every row, inside its transaction.

        What it raises undoes the event and reaches the caller of ``handle``. If our own transaction
        is tried again, the hook is called again. Use it as a decorator.
        """
        self._hooks.within_transaction.append(_plain(hook))
        return hook

    def after_commit(self, hook: _After) -> _After:
        """Call ``hook(row)`` for every row, once the outermost transaction is durable.

        What it raises is logged and goes no further: the row is written. Use it as a decorator.
        """
        self._hooks.after_commit.append(_plain(hook))
        return hook

    # --- transactions ----------------------------------------------------------------------------

    def _write(self, host: "HostConnection | None", write: Write[_T]) -> _T:
        hooks = self._hooks
        if host is not None:
            connection = plain_connection(host, self._dialect)
            return write_joined(connection, write, hooks, connection)
        result, rows = self._with_retries(partial(write_own, write=write, hooks=hooks))
        if hooks.after_commit:
            run(hooks.calls(rows))
        return result

    def _read(self, host: "HostConnection | None", read: Read[_T]) -> _T:
        if host is None:
            return self._with_retries(partial(ask, read=read))
        with translated(self._dialect):
            return read(plain_connection(host, self._dialect))

    def _read_at_one_moment(self, read: Read[_T]) -> _T:
        return self._with_retries(partial(ask_at_one_moment, read=read))

    def _iterate(
        self, host: "HostConnection | None", pages: Pages[_T]
    ) -> Generator[_T, None, None]:
        following: Pages[_T] | None = pages
        while following is not None:
            items, following = self._read(host, following.next)
            yield from items

    def _iterate_at_one_moment(self, read: "Read[Histories]") -> "Histories":
        with self._connect() as connection:
            items = begin_to_read(connection, read)
            try:
                while portion := next_items(connection, items):
                    yield from portion
            finally:
                end_reading(connection, items)

    def _with_retries(self, use: Callable[[sa.Connection], _T]) -> _T:
        """Run on our own connection, and retry on a new one after a transient failure."""
        try:
            return self._run(use)
        except Exception as failure:  # noqa: BLE001 - raised again unless it is transient
            return self._retries.after(failure, partial(self._run, use))

    def _run(self, use: Callable[[sa.Connection], _T]) -> _T:
        with self._connect() as connection:
            return use(connection)

    def _connect(self) -> sa.Connection:
        if self._host_engine is not None:
            self._host_engine.check_process()
        with translated(self._dialect, connecting=True):
            return self._engine.connect()


_Hook = TypeVar("_Hook", bound=Callable[..., object])


def _plain(hook: _Hook) -> _Hook:
    if inspect.iscoroutinefunction(hook):
        wanted = "a plain function; AsyncChatEngine takes coroutine functions"
        raise InvalidArgument("hook", wanted=wanted, got=hook)
    return hook
