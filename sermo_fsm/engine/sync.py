"""The engine for plain code: ``ChatEngine`` owns transactions, and nothing else.

What is done on a connection is in :mod:`sermo_fsm.engine.operations`, and the same engine for
asyncio in :mod:`sermo_fsm.engine.aio`. Inside the host's transaction (``connection=``) an engine
never begins, commits or rolls back. Long, because every method says what it takes, returns and
raises.
"""

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import sqlalchemy as sa
from attrs import evolve

from sermo_fsm.core.erasure import Erasure, Hold, Retained
from sermo_fsm.core.history import HistoryRow, Receipt
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Policy, Retention
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine import erasing, operations
from sermo_fsm.engine.batch import Intake, Item
from sermo_fsm.engine.hooks import AfterCommit, Hooks, WithinTransaction, check_hook, run
from sermo_fsm.engine.one_connection import is_lent_to_all, turn
from sermo_fsm.engine.operations import Write
from sermo_fsm.engine.retaining import Job, RetainProgress, retain
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
from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.protocol.envelope import Envelope, QueueName
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.wire import Raw
from sermo_fsm.storage import queries
from sermo_fsm.storage.driver_errors import translated
from sermo_fsm.storage.erasing import give_back
from sermo_fsm.storage.pages import Pages, Read
from sermo_fsm.storage.queries import SessionFilter
from sermo_fsm.storage.sealing import Sealing
from sermo_fsm.storage.store import Store
from sermo_fsm.storage.transactions import HostEngine, adopt_engine, held, open_engine
from sermo_fsm.views.figures import Figures
from sermo_fsm.views.overview import Overview
from sermo_fsm.views.traffic import Traffic

if TYPE_CHECKING:
    from sermo_fsm.analysis.chain import Chain, ChainVerification
    from sermo_fsm.analysis.comparison import Comparison
    from sermo_fsm.analysis.figures_count import FigureOptions, VisitFilter, Visits
    from sermo_fsm.analysis.full_scan import ScanProgress
    from sermo_fsm.analysis.histories import Histories
    from sermo_fsm.analysis.overview_count import OverviewOptions
    from sermo_fsm.analysis.verify import Verification
    from sermo_fsm.engine.unit_of_work import HostConnection
    from sermo_fsm.views.person import Person

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
        platform_id: The platform that stands in where neither an event nor its envelope nor the
            call names one.
        limits: How large an event may be.
        schema: Where our tables are, on PostgreSQL; if left out, where the connection looks first.
            An engine or connection whose ``schema_translate_map`` renames it is refused.
        attempts: How often our own transaction is tried before ``StoreBusy`` or ``LostRace`` is
            raised, within half a minute.
        redact: A function that takes a text which somebody wrote and returns what may be kept of
            it, before anything is stored or compared (docs/design.md, section 6); all of it, if
            left out. :func:`sermo_fsm.redaction.redactor` makes one. It has to return the same for
            the same text: else a message that comes again is a conflict.
        seal: A function of the host's key service, bytes -> bytes, for what people wrote and their
            pictures, as they are written; in clear, if left out.
        open: The other way, where they are read. It returns None for what has no key any more,
            which then is as if it were erased; of what was written in clear it is not asked.

    Raises:
        InvalidArgument: The URL can't be used, its driver is not installed, or an argument is
            unusable.

    Every method raises :class:`~sermo_fsm.StoreError` if the database refuses; then nothing is
    written, except perhaps after :class:`~sermo_fsm.CommitUnknown`. Methods with a ``connection``
    argument can work in the host's transaction, through its ``Connection`` or ORM ``Session``.
    They leave the end of that transaction to the host, and try nothing twice.
    """

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        database: str | sa.URL | sa.Engine,
        *,
        policy: Policy | None = None,
        platform_id: str | None = None,
        limits: Limits | None = None,
        schema: str | None = None,
        attempts: int = 10,
        redact: Callable[[str], str] | None = None,
        seal: Callable[[bytes], bytes] | None = None,
        open: Callable[[bytes], bytes | None] | None = None,  # noqa: A002 - the other way of seal
    ) -> None:
        self._host_engine: HostEngine | None = None
        if isinstance(database, sa.Engine):
            self._host_engine = adopt_engine(database, schema)
            self._engine = database
        else:
            self._engine = open_engine(database)
        self._dialect = self._engine.dialect
        store = Store.on(self._dialect, schema, Sealing.of(seal, open))
        self._tables = store.tables
        self._intake = Intake.of(store, policy, limits, platform_id, redact)
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
        direction: QueueName,
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
        direction: QueueName | None = None,
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

    def close_chat(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str | None = None,
        at: datetime | None = None,
        connection: "HostConnection | None" = None,
    ) -> Receipt | None:
        """Close the chat of a user by hand, if one is live (docs/design.md, section 6).

        Args:
            platform_id: The platform of the user.
            user_id: The id of the user on that platform.
            reason: Why, as a code of the host's: 1 to 255 characters. It is kept in the ``event``
                of the row, as ``{"reason": …}``.
            at: When it closes (aware); now, if left out. It can't be before the chat's latest row.
            connection: The host's, in a transaction of the host's.

        Returns:
            The receipt; None if this user has no live chat.

        Raises:
            InvalidArgument: An id, *reason* or *at* is unusable.
        """
        return self._write(connection, self._intake.close(platform_id, user_id, at, reason))

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        """Close every session whose deadline is reached at *up_to*.

        Many are closed in portions, each in a transaction of its own: what was closed before an
        error stays closed. Several sweepers do no harm.

        Args:
            up_to: The time to which the inbound queue has been read; now, if left out. A worker
                that was down must not close the chats whose heartbeats still wait in its queue.
                Like a receive time it can't be further ahead than ``Policy.max_ahead``.

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

    def extend_chain(self) -> "Chain":
        """Put all rows of the history that are not in it yet into the chain of digests.

        Whoever changes, deletes or slips in a row afterwards breaks the chain, and
        :meth:`verify_chain` says so (docs/privacy.md). Call it from time to time, and keep the
        digest that it returns where nobody can change it. Erasing breaks nothing. It is done in
        portions, each in a transaction of its own, so that no event waits for long.
        """
        from sermo_fsm.analysis.chain import extend_chain

        call = partial(extend_chain, self._tables)
        chain, more = self._write(None, call)
        while more:
            chain, more = self._write(None, call)
        return chain

    # --- erasing ---------------------------------------------------------------------------------

    def erase(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str | None = None,
        by: str | None = None,
        even_live: bool = False,
        dry_run: bool = False,
        connection: "HostConnection | None" = None,
    ) -> Erasure | None:
        """Erase one person, for good (docs/design.md, section 6; docs/privacy.md).

        What was said goes, with names, pictures and the texts of strays; the id of the user and of
        the sessions become random ones. States, times and outcomes stay, so ``verify`` and
        ``figures`` say the same as before. Message ids stay: a message that is delivered again
        brings nothing back. What arrives later under a new id begins anew, as from a new user.
        Hooks are called for one row only, that by which a live chat is closed; it still has the old
        ids.

        Args:
            platform_id: The platform of the user.
            user_id: The id of the user on that platform.
            reason: Why, as a code of the host's: 1 to 255 characters. It is kept, as is *by*.
            by: Who erases, as a name of the host's.
            even_live: Close a live chat first, by hand and with the code ``erased``. One that is
                past its deadline is closed by the clock in any case.
            dry_run: Only count what would be erased; the receipt has no ``user_id``.
            connection: The host's, in a transaction of the host's.

        Returns:
            The receipt; None if there is nobody, or nobody any more.

        Raises:
            ChatStillLive: The person has a live chat; says until when.
            PersonHeld: The person is held back; says since when, why and by whom.
            InvalidArgument: An id, *reason* or *by* is unusable.
        """
        call = erasing.erase(
            self._intake.store,
            (platform_id, user_id),
            reason=reason,
            by=by,
            even_live=even_live,
            dry_run=dry_run,
        )
        receipt = self._write(connection, call)
        if receipt is None or dry_run or connection is not None:
            return receipt
        return evolve(receipt, overwritten=self._give_back())

    def retain(
        self,
        retention: Retention | None = None,
        *,
        platform: str | None = None,
        by: str | None = None,
        dry_run: bool = False,
        progress: RetainProgress | None = None,
    ) -> Retained:
        """Erase what is older than it is to be kept (docs/privacy.md).

        It is done in portions, each in a transaction of its own that locks nobody for long: what
        was erased before an error stays erased, and the next call goes on. Ages count from the
        close of a chat; live chats stay, and who is held back.

        Args:
            retention: How long what is kept; if left out, as the policy says, by platform.
            platform: Only on this platform.
            by: Who asks for it, as a name of the host's; it is kept.
            dry_run: Only count what would be erased. A picture that is referred to by bodies of
                several portions is not counted.
            progress: Called after each portion with what was erased so far.

        Raises:
            InvalidArgument: An argument is unusable.
        """
        job = retain(
            self._intake.store,
            self._intake.policy,
            retention,
            platform=platform,
            by=by,
            dry_run=dry_run,
            progress=progress,
        )
        done = self._do(job)
        return done if dry_run else evolve(done, overwritten=self._give_back())

    def hold(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str,
        by: str | None = None,
        connection: "HostConnection | None" = None,
    ) -> Hold | None:
        """Hold a person back: ``erase`` refuses, and ``retain`` passes over, until ``release``.

        Args:
            platform_id: The platform of the user.
            user_id: The id of the user on that platform.
            reason: Why, as a code of the host's: 1 to 255 characters.
            by: Who says so, as a name of the host's.
            connection: The host's, in a transaction of the host's.

        Returns:
            The hold that stands: of a person who was held before, that of then. None if there is
            nobody.

        Raises:
            InvalidArgument: An id, *reason* or *by* is unusable.
        """
        call = erasing.hold(self._intake.store, (platform_id, user_id), reason=reason, by=by)
        return self._write(connection, call)

    def release(
        self, platform_id: str, user_id: str, *, connection: "HostConnection | None" = None
    ) -> Hold | None:
        """Hold a person back no longer; returns the hold that stood, None if none did."""
        return self._write(connection, erasing.release(self._intake.store, (platform_id, user_id)))

    def holds(self, *, connection: "HostConnection | None" = None) -> list[Hold]:
        """Everybody who is held back, the longest first."""
        return self._read(connection, erasing.holds(self._tables))

    # --- questions -------------------------------------------------------------------------------

    def status(
        self,
        platform_id: str,
        user_id: str,
        *,
        connection: "HostConnection | None" = None,
    ) -> ChatSession | None:
        """Where this user's chat is: the live session, else the last one; None for nobody."""
        return self._read(connection, queries.status(self._intake.store.sql, platform_id, user_id))

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

    def person(self, platform_id: str, user_id: str) -> "Person | None":
        """All that is stored about one user, as of one moment, to hand it over.

        The sessions with their rows, the strays that name the user, and which pictures there are;
        None if nothing is stored. ``sermo_fsm.export.person`` writes it as a ZIP.

        Raises:
            InvalidArgument: An id is unusable.
        """
        from sermo_fsm.analysis.person import person

        return self._read_at_one_moment(person(self._tables, platform_id, user_id))

    def picture(self, key: str) -> bytes | None:
        """A picture that somebody sent, by the ``key`` in :meth:`person`.

        Unless pictures are sealed, that is the ``sha256`` in the ``event`` of a row, too. None if
        it is not there any more.
        """
        from sermo_fsm.analysis.person import picture

        return self._read(None, picture(self._tables, key))

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

    def verify_chain(self, digest: str | None = None) -> "ChainVerification":
        """Hold the history against the chain of digests; changes nothing.

        Args:
            digest: One that :meth:`extend_chain` has returned before: the chain has to hold it.
        """
        from sermo_fsm.analysis.chain import verify_chain

        return self._read_at_one_moment(verify_chain(self._tables, digest))

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

    def figures(
        self, *, progress: "ScanProgress | None" = None, **which: "Unpack[FigureOptions]"
    ) -> Figures:
        """What support managers ask: waits, answers, who gave up, what the bot solved by itself.

        A visit is a session and those that resumed it. What is counted are the visits that opened
        in a span of time, with all that happened in them, in one pass over the history and as of
        one moment. ``FORMULAS`` in :mod:`sermo_fsm.views.figures` says what each figure is.

        Args:
            progress: Called with the rows read so far; nobody knows how many there are.
            since: Only visits that opened then or later (aware).
            until: Only visits that opened earlier (aware).
            platform: Only visits to this platform.
            by: ``hour``, ``day``, ``week``, ``platform`` or ``agent``: a group for each.
            zone: The time zone of hours, days and weeks; UTC if left out, None for the system's.
            target: An answer within this time is in time; a minute if left out.
            short: Customers who leave the queue sooner do not count in the rates; ten seconds if
                left out.

        Raises:
            InvalidArgument: An argument is unusable, or *until* is before *since*.
        """
        from sermo_fsm.analysis.figures_count import figures

        return self._read_at_one_moment(figures(self._tables, progress=progress, **which))

    def overview(self, **which: "Unpack[OverviewOptions]") -> Overview:
        """What is the case now, on every platform: who waits, since when, what is overdue.

        It is read as of one moment, and costs little however much is stored: chats that are live
        are read, not those that were. The hour and the day cost what has happened in them.

        Args:
            target: How long a customer may wait; a minute if left out.
            hour: Also count what opened, closed, was abandoned or stray in the hour before.
            day: When the day began (aware, at most 25 hours ago): also count its openings so far.
            waiting: Also list so many of those who wait, the longest first.
            chats: Also read the sessions with these ids.

        Raises:
            InvalidArgument: An argument is unusable.
        """
        from sermo_fsm.analysis.overview_count import overview

        return self._read_at_one_moment(overview(self._tables, **which))

    def visits(self, **which: "Unpack[VisitFilter]") -> "Visits":
        """The visits that the figures are about, as of one moment, in the order of their opening.

        A connection is held, as for :meth:`stories`, until the last one is read or the generator is
        closed; nothing is tried twice.

        Args:
            since: Only visits that opened then or later (aware).
            until: Only visits that opened earlier (aware).
            platform: Only visits to this platform.

        Raises:
            InvalidArgument: An argument is unusable, or *until* is before *since*.
        """
        from sermo_fsm.analysis.figures_count import visits

        return self._iterate_at_one_moment(visits(self._tables, **which))

    # --- hooks -----------------------------------------------------------------------------------

    def within_transaction(self, hook: _Within) -> _Within:
        """Call ``hook(row, connection)`` for every row, inside its transaction.

        What it raises undoes the event and reaches the caller of ``handle``. If our own transaction
        is tried again, the hook is called again. It must not end the transaction: where it has,
        ``handle`` raises :class:`~sermo_fsm.CommitUnknown`. Use it as a decorator.
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
            connection = plain_connection(host, self._tables, self._dialect)
            return write_joined(connection, write, hooks, connection)
        result, rows = self._with_retries(partial(write_own, write=write, hooks=hooks))
        if hooks.after_commit:
            run(hooks.calls(rows))
        return result

    def _do(self, job: Job[_T]) -> _T:
        """Do a job step by step, each on a connection of its own."""
        answer: object = None
        try:
            while True:
                step = job.send(answer)
                answer = (self._write if step.writes else self._read)(None, step.call)
        except StopIteration as end:
            done: _T = end.value
            return done

    def _give_back(self) -> bool | None:
        try:
            return self._read(None, give_back)
        except StoreError:  # somebody else is busy there; the next erasing does it
            return False

    def _read(self, host: "HostConnection | None", read: Read[_T]) -> _T:
        if host is None:
            return self._with_retries(partial(ask, read=read))
        with translated(self._dialect):
            return read(plain_connection(host, self._tables, self._dialect))

    def _read_at_one_moment(self, read: Read[_T]) -> _T:
        return self._with_retries(partial(ask_at_one_moment, read=read))

    def _iterate(
        self, host: "HostConnection | None", pages: Pages[_T]
    ) -> Generator[_T, None, None]:
        following: Pages[_T] | None = pages
        while following is not None:
            items, following = self._read(host, following.next)
            yield from items

    def _iterate_at_one_moment(
        self, read: Read[Generator[_T, None, None]]
    ) -> Generator[_T, None, None]:
        with self._connect() as connection, held(connection):
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

    def _connect(self) -> AbstractContextManager[sa.Connection]:
        if self._host_engine is not None:
            self._host_engine.check()
            if is_lent_to_all(self._engine):
                return self._connect_in_turn()
        with translated(self._dialect, connecting=True):
            return self._engine.connect()

    @contextmanager
    def _connect_in_turn(self) -> Iterator[sa.Connection]:
        with turn(self._engine), ExitStack() as stack:
            with translated(self._dialect, connecting=True):
                connection = stack.enter_context(self._engine.connect())
            yield connection


_Hook = TypeVar("_Hook", bound=Callable[..., object])


def _plain(hook: _Hook) -> _Hook:
    if inspect.iscoroutinefunction(hook):
        wanted = "a plain function; AsyncChatEngine takes coroutine functions"
        raise InvalidArgument("hook", wanted=wanted, got=hook)
    return check_hook(hook)
