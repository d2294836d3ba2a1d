"""The door for asyncio: ``AsyncChatEngine`` is ``ChatEngine`` with ``await``.

The same calls run by the same code: SQLAlchemy carries plain code over to an asynchronous driver.
What is said of arguments, answers and errors at :class:`~sermo_fsm.ChatEngine` holds here. Long,
because every method has its signature.
"""

import asyncio
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar, Unpack

import sqlalchemy as sa
from attrs import evolve
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    create_async_engine,
)

from sermo_fsm.analysis.chain import Chain, ChainVerification, extend_chain, verify_chain
from sermo_fsm.analysis.comparison import Comparison
from sermo_fsm.analysis.figures_count import FigureOptions, VisitFilter
from sermo_fsm.analysis.full_scan import ScanProgress
from sermo_fsm.analysis.histories import SessionRow
from sermo_fsm.analysis.overview_count import OverviewOptions
from sermo_fsm.analysis.person import person, picture
from sermo_fsm.analysis.verify import Verification
from sermo_fsm.core.erasure import Erasure, Hold, Retained
from sermo_fsm.core.history import HistoryRow, Receipt
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Policy, Retention
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine import erasing, operations
from sermo_fsm.engine.batch import Intake, Item
from sermo_fsm.engine.hooks import AfterCommit, Hooks, check_hook, guarded
from sermo_fsm.engine.one_connection import async_turn, is_lent_to_all
from sermo_fsm.engine.operations import Write
from sermo_fsm.engine.retaining import Job, RetainProgress, retain
from sermo_fsm.engine.unit_of_work import (
    Retries,
    ask,
    ask_at_one_moment,
    begin_to_read,
    check_connection,
    end_reading,
    next_items,
    of_a_session,
    write_joined,
    write_own,
)
from sermo_fsm.errors import InvalidArgument, StoreError, WrongEventLoop
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
from sermo_fsm.storage.transactions import HostEngine, adopt_engine, open_by
from sermo_fsm.views.figures import Figures
from sermo_fsm.views.overview import Overview
from sermo_fsm.views.person import Person
from sermo_fsm.views.traffic import Traffic
from sermo_fsm.views.visit import Visit

__all__ = ["AsyncChatEngine"]

_T = TypeVar("_T")
_Within = TypeVar("_Within", bound=Callable[[HistoryRow, AsyncConnection], object])
_After = TypeVar("_After", bound=AfterCommit)

HostConnection = AsyncConnection | AsyncSession | async_scoped_session[Any]
"""What a host hands in: its connection, or the ORM session that has one."""


class AsyncChatEngine:
    """Hands events in, asks where chats are, without blocking the event loop.

    Args:
        database: A URL such as ``sqlite+aiosqlite:///chat.db``, ``postgresql+psycopg://…`` or
            ``mysql+asyncmy://…``, or the host's own SQLAlchemy ``AsyncEngine``.
        policy: The durations that decide where chats end.
        platform_id: The platform that stands in where neither an event nor its envelope nor the
            call names one.
        limits: How large an event may be.
        schema: Where our tables are, on PostgreSQL; if left out, where the connection looks first.
            An engine or connection whose ``schema_translate_map`` renames it is refused.
        attempts: How often our own transaction is tried.
        redact: What may be kept of a text that somebody wrote; a plain function, which runs in the
            event loop.
        seal: Seals what people wrote; a plain function, which runs in the event loop.
        open: The other way.

    Raises:
        InvalidArgument: The URL can't be used, or its driver is not installed or not asynchronous.

    An engine belongs to the event loop that it was first used in, until it is closed, or until the
    host has disposed of its own: in another loop a method raises :class:`~sermo_fsm.WrongEventLoop`
    before it sends anything. The host's engine with ``poolclass=NullPool`` works in any number,
    once its first call has ended.

    A method that is cancelled has happened or has not: until it begins to commit it is taken back,
    and from then on the cancellation waits for the commit, and for the hooks after it. In the
    host's transaction (``connection=``) a cancellation spoils the connection, and with it the
    transaction.
    """

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        database: str | sa.URL | AsyncEngine,
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
        self._loop = _EventLoop()
        if isinstance(database, AsyncEngine):
            self._host_engine = adopt_engine(database.sync_engine, schema)
            self._engine = database
        else:
            self._engine = open_by(create_async_engine, database, lambda engine: engine.sync_engine)
        self._dialect = self._engine.dialect
        store = Store.on(self._dialect, schema, Sealing.of(seal, open))
        self._tables = store.tables
        self._intake = Intake.of(store, policy, limits, platform_id, redact)
        self._hooks = Hooks()
        self._retries = Retries(self._dialect, attempts)

    async def close(self) -> None:
        """Close the connections of an engine that was made from a URL; the host's stay open."""
        if self._host_engine is None:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- the schema ------------------------------------------------------------------------------

    async def migrate(self) -> str:
        """Create or upgrade our tables, like :meth:`ChatEngine.migrate`."""
        return await self._write(None, operations.migrate(self._tables.schema))

    async def check_schema(self) -> None:
        """Raise where this release can't work with the tables of the database."""
        await self._read(None, operations.check_schema(self._tables.schema))

    async def prepare(self) -> str:
        """Create our tables in a SQLite database that is empty; check them in any other."""
        return (
            await self._read(None, operations.prepare(self._tables.schema)) or await self.migrate()
        )

    # --- events in -------------------------------------------------------------------------------

    async def handle(
        self,
        direction: QueueName,
        event: Raw,
        *,
        message_id: str | None = None,
        received_at: datetime | None = None,
        platform_id: str | None = None,
        connection: HostConnection | None = None,
    ) -> Receipt:
        """Hand in one event, like :meth:`ChatEngine.handle`."""
        envelope = Envelope(
            direction,
            event,
            message_id=message_id,
            received_at=received_at,
            platform_id=platform_id,
        )
        (receipt,) = await self._write(connection, self._intake.one(envelope))
        return receipt

    async def handle_many(
        self,
        envelopes: Iterable[Item],
        *,
        direction: QueueName | None = None,
        platform_id: str | None = None,
        connection: HostConnection | None = None,
    ) -> list[Receipt]:
        """Hand in many events in one transaction, like :meth:`ChatEngine.handle_many`."""
        call = self._intake.many(envelopes, direction, platform_id)
        return await self._write(connection, call)

    async def close_chat(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str | None = None,
        at: datetime | None = None,
        connection: HostConnection | None = None,
    ) -> Receipt | None:
        """Close the chat of a user by hand, like :meth:`ChatEngine.close_chat`."""
        return await self._write(connection, self._intake.close(platform_id, user_id, at, reason))

    async def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        """Close every session that is past its deadline, like :meth:`ChatEngine.sweep`."""
        call = self._intake.sweep(up_to)
        closed: list[HistoryRow] = []
        more = True
        while more:
            rows, more = await self._write(None, call)
            closed += rows
        return closed

    async def extend_chain(self) -> Chain:
        """Put new rows into the chain of digests, like :meth:`ChatEngine.extend_chain`."""
        call = partial(extend_chain, self._tables)
        chain, more = await self._write(None, call)
        while more:
            chain, more = await self._write(None, call)
        return chain

    # --- erasing ---------------------------------------------------------------------------------

    async def erase(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str | None = None,
        by: str | None = None,
        even_live: bool = False,
        dry_run: bool = False,
        connection: HostConnection | None = None,
    ) -> Erasure | None:
        """Erase one person, for good, like :meth:`ChatEngine.erase`."""
        call = erasing.erase(
            self._intake.store,
            (platform_id, user_id),
            reason=reason,
            by=by,
            even_live=even_live,
            dry_run=dry_run,
        )
        receipt = await self._write(connection, call)
        if receipt is None or dry_run or connection is not None:
            return receipt
        return evolve(receipt, overwritten=await self._give_back())

    async def retain(
        self,
        retention: Retention | None = None,
        *,
        platform: str | None = None,
        by: str | None = None,
        dry_run: bool = False,
        progress: RetainProgress | None = None,
    ) -> Retained:
        """Erase what is older than it is to be kept, like :meth:`ChatEngine.retain`."""
        job = retain(
            self._intake.store,
            self._intake.policy,
            retention,
            platform=platform,
            by=by,
            dry_run=dry_run,
            progress=progress,
        )
        done = await self._do(job)
        return done if dry_run else evolve(done, overwritten=await self._give_back())

    async def hold(
        self,
        platform_id: str,
        user_id: str,
        *,
        reason: str,
        by: str | None = None,
        connection: HostConnection | None = None,
    ) -> Hold | None:
        """Hold a person back, like :meth:`ChatEngine.hold`."""
        call = erasing.hold(self._intake.store, (platform_id, user_id), reason=reason, by=by)
        return await self._write(connection, call)

    async def release(
        self, platform_id: str, user_id: str, *, connection: HostConnection | None = None
    ) -> Hold | None:
        """Hold a person back no longer; returns the hold that stood, None if none did."""
        call = erasing.release(self._intake.store, (platform_id, user_id))
        return await self._write(connection, call)

    async def holds(self, *, connection: HostConnection | None = None) -> list[Hold]:
        """Everybody who is held back, the longest first."""
        return await self._read(connection, erasing.holds(self._tables))

    # --- questions -------------------------------------------------------------------------------

    async def status(
        self, platform_id: str, user_id: str, *, connection: HostConnection | None = None
    ) -> ChatSession | None:
        """Where this user's chat is: the live session, else the last one; None for nobody."""
        return await self._read(
            connection, queries.status(self._intake.store.sql, platform_id, user_id)
        )

    async def session(
        self, session_id: str, *, connection: HostConnection | None = None
    ) -> ChatSession | None:
        """The session with this id; None if there is none."""
        return await self._read(connection, queries.session_by_id(self._tables, session_id))

    def sessions(
        self, *, connection: HostConnection | None = None, **which: Unpack[SessionFilter]
    ) -> AsyncGenerator[ChatSession, None]:
        """Sessions, those that opened last first, like :meth:`ChatEngine.sessions`."""
        return self._iterate(connection, queries.sessions(self._tables, **which))

    async def counts(
        self, *, connection: HostConnection | None = None
    ) -> dict[str, dict[State, int]]:
        """How many live sessions there are, by platform and state."""
        return await self._read(connection, queries.counts(self._tables))

    def history(
        self,
        session_id: str,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: HostConnection | None = None,
    ) -> AsyncGenerator[HistoryRow, None]:
        """The rows of a session, in order, like :meth:`ChatEngine.history`."""
        return self._iterate(
            connection, queries.history(self._tables, session_id, after=after, limit=limit)
        )

    def strays(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: HostConnection | None = None,
    ) -> AsyncGenerator[HistoryRow, None]:
        """The rows without a session, the oldest first, like :meth:`ChatEngine.strays`."""
        return self._iterate(connection, queries.strays(self._tables, after=after, limit=limit))

    async def person(self, platform_id: str, user_id: str) -> Person | None:
        """All that is stored about one user, as of one moment, to hand it over."""
        return await self._read_at_one_moment(person(self._tables, platform_id, user_id))

    async def picture(self, key: str) -> bytes | None:
        """A picture that somebody sent, by the ``key`` in :meth:`person`."""
        return await self._read(None, picture(self._tables, key))

    def stories(
        self,
        *,
        platform: str | None = None,
        opened_from: datetime | None = None,
        opened_before: datetime | None = None,
    ) -> AsyncGenerator[SessionRow, None]:
        """Every row of many sessions as of one moment, like :meth:`ChatEngine.stories`."""
        from sermo_fsm.analysis.histories import stories

        return self._iterate_at_one_moment(
            stories(
                self._tables,
                platform=platform,
                opened_from=opened_from,
                opened_before=opened_before,
            )
        )

    async def verify(self) -> Verification:
        """Replay the whole stored history (docs/design.md, guarantee 2); changes nothing."""
        from sermo_fsm.analysis.verify import verify

        return await self._read_at_one_moment(verify(self._tables))

    async def verify_chain(self, digest: str | None = None) -> ChainVerification:
        """Hold the history against the chain, like :meth:`ChatEngine.verify_chain`."""
        return await self._read_at_one_moment(verify_chain(self._tables, digest))

    async def compare(
        self, *, limit: int = 100, progress: ScanProgress | None = None
    ) -> Comparison:
        """Hold the whole stored history against the table, like :meth:`ChatEngine.compare`."""
        from sermo_fsm.analysis.compare import compare

        return await self._read_at_one_moment(compare(self._tables, limit=limit, progress=progress))

    async def traffic(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        platform: str | None = None,
        progress: ScanProgress | None = None,
    ) -> Traffic:
        """Where chats go, and how long each state lasts, like :meth:`ChatEngine.traffic`."""
        from sermo_fsm.analysis.traffic_count import traffic

        return await self._read_at_one_moment(
            traffic(self._tables, since=since, until=until, platform=platform, progress=progress)
        )

    async def figures(
        self, *, progress: ScanProgress | None = None, **which: Unpack[FigureOptions]
    ) -> Figures:
        """What support managers ask, like :meth:`ChatEngine.figures`."""
        from sermo_fsm.analysis.figures_count import figures

        return await self._read_at_one_moment(figures(self._tables, progress=progress, **which))

    async def overview(self, **which: Unpack[OverviewOptions]) -> Overview:
        """What is the case now, like :meth:`ChatEngine.overview`."""
        from sermo_fsm.analysis.overview_count import overview

        return await self._read_at_one_moment(overview(self._tables, **which))

    def visits(self, **which: Unpack[VisitFilter]) -> AsyncGenerator[Visit, None]:
        """The visits that the figures are about, like :meth:`ChatEngine.visits`."""
        from sermo_fsm.analysis.figures_count import visits

        return self._iterate_at_one_moment(visits(self._tables, **which))

    # --- hooks -----------------------------------------------------------------------------------

    def within_transaction(self, hook: _Within) -> _Within:
        """Call ``hook(row, connection)`` for every row, inside its transaction.

        The hook is shown an ``AsyncConnection`` and may be a coroutine function. Raising undoes the
        event, and reaches the caller of ``handle``. A decorator.
        """
        self._hooks.within_transaction.append(check_hook(hook))
        return hook

    def after_commit(self, hook: _After) -> _After:
        """Call ``hook(row)`` for every row, once the outermost transaction is durable.

        The hook may be a coroutine function. What it raises is logged and goes no further. A
        decorator.
        """
        self._hooks.after_commit.append(check_hook(hook))
        return hook

    # --- transactions ----------------------------------------------------------------------------

    async def _write(self, host: HostConnection | None, write: Write[_T]) -> _T:
        if host is None:
            decided = asyncio.Event()
            return await _see_through(self._write_own(write, decided), decided)
        shown = await self._connection_of(host)
        return await shown.run_sync(write_joined, write, self._hooks, shown)

    async def _write_own(self, write: Write[_T], decided: asyncio.Event) -> _T:
        def work(ours: sa.Connection, shown: AsyncConnection) -> tuple[_T, Sequence[HistoryRow]]:
            try:
                return write_own(ours, write, self._hooks, shown, decided.set)
            except BaseException:
                decided.clear()
                raise

        result, rows = await self._with_retries(work)
        for call in self._hooks.calls(rows):
            with guarded():
                given = call()
                if inspect.isawaitable(given):
                    await given
        return result

    async def _do(self, job: Job[_T]) -> _T:
        """Do a job step by step, each on a connection of its own."""
        answer: object = None
        try:
            while True:
                step = job.send(answer)
                answer = await (self._write if step.writes else self._read)(None, step.call)
        except StopIteration as end:
            done: _T = end.value
            return done

    async def _give_back(self) -> bool | None:
        try:
            return await self._read(None, give_back)
        except StoreError:  # somebody else is busy there; the next erasing does it
            return False

    async def _read(self, host: HostConnection | None, read: Read[_T]) -> _T:
        if host is None:
            return await self._with_retries(lambda ours, _: ask(ours, read))
        connection = await self._connection_of(host)
        with translated(self._dialect):
            return await connection.run_sync(read)

    async def _read_at_one_moment(self, read: Read[_T]) -> _T:
        return await self._with_retries(lambda ours, _: ask_at_one_moment(ours, read))

    async def _iterate(
        self, host: HostConnection | None, pages: Pages[_T]
    ) -> AsyncGenerator[_T, None]:
        following: Pages[_T] | None = pages
        while following is not None:
            items, following = await self._read(host, following.next)
            for item in items:
                yield item

    async def _iterate_at_one_moment(
        self, read: Read[Generator[_T, None, None]]
    ) -> AsyncGenerator[_T, None]:
        async with AsyncExitStack() as stack:
            shown = await self._connect(stack)
            items = await shown.run_sync(begin_to_read, read)
            stack.push_async_callback(shown.run_sync, end_reading, items)
            while portion := await shown.run_sync(next_items, items):
                for item in portion:
                    yield item

    async def _with_retries(self, use: Callable[[sa.Connection, AsyncConnection], _T]) -> _T:
        """Run on our own connection, and retry on a new one after a transient failure."""
        try:
            return await self._run(use)
        except Exception as failure:  # noqa: BLE001 - raised again unless it is transient
            return await self._retries.after_async(failure, partial(self._run, use))

    async def _run(self, use: Callable[[sa.Connection, AsyncConnection], _T]) -> _T:
        async with AsyncExitStack() as stack:
            shown = await self._connect(stack)
            return await shown.run_sync(use, shown)

    async def _connect(self, stack: AsyncExitStack) -> AsyncConnection:
        self._loop.check(self._engine.pool)
        if self._host_engine is not None:
            self._host_engine.check()
            if is_lent_to_all(self._engine.sync_engine):
                await stack.enter_async_context(async_turn(self._engine.sync_engine))
        with translated(self._dialect, connecting=True):
            return await stack.enter_async_context(self._engine.connect())

    async def _connection_of(self, host: HostConnection) -> AsyncConnection:
        shown = host
        if isinstance(host, AsyncSession | async_scoped_session):
            with of_a_session(self._dialect):
                shown = await host.connection()
        ours = shown.sync_connection if isinstance(shown, AsyncConnection) else None
        if not isinstance(shown, AsyncConnection) or ours is None:
            wanted = "a connected SQLAlchemy AsyncConnection or AsyncSession"
            raise InvalidArgument("connection", wanted=wanted, got=type(host).__name__)
        check_connection(ours, self._tables, self._dialect)
        return shown


class _EventLoop:
    """The event loop that the connections of a pool belong to."""

    def __init__(self) -> None:
        self._pool: sa.Pool | None = None
        self._loop: Callable[[], asyncio.AbstractEventLoop | None]

    def check(self, pool: sa.Pool) -> None:
        """Refuse another loop than the one in which *pool* was first used.

        Raises:
            WrongEventLoop: It is another.
        """
        loop = asyncio.get_running_loop()
        if pool is not self._pool:
            self._pool, self._loop = pool, weakref.ref(loop)
        elif self._loop() is not loop and not isinstance(pool, sa.NullPool):
            raise WrongEventLoop(
                "the engine was used in another event loop, to which its connections belong: make "
                "one in each loop, or close it at the end of each"
            )


async def _see_through(work: Coroutine[Any, Any, _T], decided: asyncio.Event) -> _T:
    """Do *work* to its end where we are cancelled after it was *decided*; else take it back.

    Either way it is over when this is: nobody is left to wonder whether it will still happen.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not decided.is_set():
            task.cancel()
        while not task.done():
            with suppress(asyncio.CancelledError):  # more of them change nothing
                await asyncio.wait([task])
        raise
