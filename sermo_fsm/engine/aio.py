"""The door for asyncio: ``AsyncChatEngine`` is ``ChatEngine`` with ``await``.

The same calls run by the same code: SQLAlchemy carries plain code over to an asynchronous driver.
What is said of arguments, answers and errors at :class:`~sermo_fsm.ChatEngine` holds here. Long,
because every method has its signature.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any, Self, TypeVar

import sqlalchemy as sa
import stamina
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    create_async_engine,
)

from sermo_fsm.analysis.comparison import Comparison
from sermo_fsm.analysis.full_scan import Progress
from sermo_fsm.analysis.histories import Stories, Told
from sermo_fsm.analysis.verify import Verification
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession, HistoryRow, Receipt
from sermo_fsm.engine.hooks import AfterCommit, Hooks, guarded
from sermo_fsm.engine.operations import Calls, Line, Read, Write
from sermo_fsm.engine.unit_of_work import (
    again,
    ask,
    ask_for_long,
    begin_to_read,
    check_dialect,
    end_of,
    next_of,
    of_a_session,
    retries,
    write_joined,
    write_own,
)
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.wire import Raw
from sermo_fsm.storage.queries import Pages
from sermo_fsm.storage.store import Store
from sermo_fsm.storage.transactions import adopt_engine, open_by, translated
from sermo_fsm.views.traffic import Traffic

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
        limits: How large an event may be.
        schema: Where our tables are, on PostgreSQL; where the connection looks, if left out.
        attempts: How often a transaction of ours is tried.

    Raises:
        InvalidArgument: The URL is none, or its driver is not installed or not asynchronous.

    A method that is cancelled has happened or has not: until it begins to commit it is taken back,
    and from then on the cancellation waits for the commit, and for the hooks after it. In the
    host's transaction (``connection=``) a cancellation spoils the connection, and with it the
    transaction.
    """

    def __init__(
        self,
        database: str | sa.URL | AsyncEngine,
        *,
        policy: Policy | None = None,
        limits: Limits | None = None,
        schema: str | None = None,
        attempts: int = 10,
    ) -> None:
        self._owns_engine = not isinstance(database, AsyncEngine)
        if isinstance(database, AsyncEngine):
            adopt_engine(database.sync_engine)
            self._engine = database
        else:
            self._engine = open_by(create_async_engine, database, lambda engine: engine.sync_engine)
        self._dialect = self._engine.dialect
        store = Store.on(self._dialect, schema)
        self._calls = Calls(store, policy or Policy(), limits or Limits())
        self._hooks = Hooks()
        self._retry = stamina.AsyncRetryingCaller(**retries(attempts)).on(again(self._dialect))

    async def close(self) -> None:
        """Close the connections of an engine that was made from a URL; the host's stay open."""
        if self._owns_engine:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- the schema ------------------------------------------------------------------------------

    async def migrate(self) -> str:
        """Create or upgrade our tables, like :meth:`ChatEngine.migrate`."""
        return await self._write(None, self._calls.migrate())

    async def check_schema(self) -> None:
        """Raise where this release can't work with the tables of the database."""
        await self._read(None, self._calls.check_schema())

    async def prepare(self) -> str:
        """Create our tables in a SQLite database that is empty; check them in any other."""
        return await self._read(None, self._calls.prepare()) or await self.migrate()

    # --- events in -------------------------------------------------------------------------------

    async def handle(
        self,
        direction: str,
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
        return await self._write(connection, self._calls.handle(envelope))

    async def handle_many(
        self,
        envelopes: Iterable[Line],
        *,
        direction: str | None = None,
        platform_id: str | None = None,
        connection: HostConnection | None = None,
    ) -> list[Receipt]:
        """Hand in many events in one transaction, like :meth:`ChatEngine.handle_many`."""
        call = self._calls.handle_many(envelopes, direction, platform_id)
        return await self._write(connection, call)

    async def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        """Close every session that is past its deadline, like :meth:`ChatEngine.sweep`."""
        call = self._calls.sweep(up_to)
        closed: list[HistoryRow] = []
        more = True
        while more:
            rows, more = await self._write(None, call)
            closed += rows
        return closed

    # --- questions -------------------------------------------------------------------------------

    async def status(
        self, platform_id: str, user_id: str, *, connection: HostConnection | None = None
    ) -> ChatSession | None:
        """Where this user's chat is: the live session, else the last one; None for nobody."""
        return await self._read(connection, self._calls.status(platform_id, user_id))

    async def session(
        self, session_id: str, *, connection: HostConnection | None = None
    ) -> ChatSession | None:
        """The session with this id; None where there is none."""
        return await self._read(connection, self._calls.session(session_id))

    def sessions(  # noqa: PLR0913 - one for each thing to ask by
        self,
        *,
        state: str | Iterable[str] | None = None,
        platform: str | None = None,
        user: str | None = None,
        agent: str | None = None,
        opened_from: datetime | None = None,
        opened_before: datetime | None = None,
        after: str | None = None,
        limit: int | None = None,
        connection: HostConnection | None = None,
    ) -> AsyncGenerator[ChatSession, None]:
        """Sessions, those that opened last first, like :meth:`ChatEngine.sessions`."""
        pages = self._calls.sessions(
            state=state,
            platform=platform,
            user=user,
            agent=agent,
            opened_from=opened_from,
            opened_before=opened_before,
            after=after,
            limit=limit,
        )
        return self._iterate(connection, pages)

    async def counts(
        self, *, connection: HostConnection | None = None
    ) -> dict[str, dict[State, int]]:
        """How many live sessions there are, by platform and state."""
        return await self._read(connection, self._calls.counts())

    def history(
        self,
        session_id: str,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: HostConnection | None = None,
    ) -> AsyncGenerator[HistoryRow, None]:
        """The rows of a session, in order, like :meth:`ChatEngine.history`."""
        return self._iterate(connection, self._calls.history(session_id, after, limit))

    def strays(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        connection: HostConnection | None = None,
    ) -> AsyncGenerator[HistoryRow, None]:
        """The rows without a session, the oldest first, like :meth:`ChatEngine.strays`."""
        return self._iterate(connection, self._calls.strays(after, limit))

    def stories(
        self,
        *,
        platform: str | None = None,
        opened_from: datetime | None = None,
        opened_before: datetime | None = None,
    ) -> AsyncGenerator[Told, None]:
        """Every row of many sessions as of one moment, like :meth:`ChatEngine.stories`."""
        return self._iterate_one_moment(self._calls.stories(platform, opened_from, opened_before))

    async def verify(self) -> Verification:
        """Replay the whole stored history against guarantee 2; changes nothing."""
        return await self._read_for_long(self._calls.verify())

    async def compare(self, *, limit: int = 100, progress: Progress | None = None) -> Comparison:
        """Hold the whole stored history against the table, like :meth:`ChatEngine.compare`."""
        return await self._read_for_long(self._calls.compare(limit, progress))

    async def traffic(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        platform: str | None = None,
        progress: Progress | None = None,
    ) -> Traffic:
        """Where chats go, and how long each state lasts, like :meth:`ChatEngine.traffic`."""
        return await self._read_for_long(self._calls.traffic(since, until, platform, progress))

    # --- hooks -----------------------------------------------------------------------------------

    def within_transaction(self, hook: _Within) -> _Within:
        """Call ``hook(row, connection)`` for every row, inside its transaction.

        The hook is shown an ``AsyncConnection`` and may be a coroutine function. Raising undoes the
        event, and reaches the caller of ``handle``. A decorator.
        """
        self._hooks.within_transaction.append(hook)
        return hook

    def after_commit(self, hook: _After) -> _After:
        """Call ``hook(row)`` for every row, once the outermost transaction is durable.

        The hook may be a coroutine function. What it raises is logged and goes no further. A
        decorator.
        """
        self._hooks.after_commit.append(hook)
        return hook

    # --- transactions ----------------------------------------------------------------------------

    async def _write(self, host: HostConnection | None, write: Write[_T]) -> _T:
        if host is None:
            decided = asyncio.Event()
            return await _see_through(self._write_own(write, decided), decided)
        shown = await self._connection_of(host)
        return await shown.run_sync(write_joined, write, self._hooks, shown)

    async def _write_own(self, write: Write[_T], decided: asyncio.Event) -> _T:
        async def once() -> tuple[_T, Sequence[HistoryRow]]:
            try:
                return await self._on_a_connection(
                    lambda ours, shown: write_own(ours, write, self._hooks, shown, decided.set)
                )
            except BaseException:
                decided.clear()
                raise

        result, rows = await self._retry(once)
        for call in self._hooks.calls(rows):
            with guarded():
                given = call()
                if inspect.isawaitable(given):
                    await given
        return result

    async def _read(self, host: HostConnection | None, read: Read[_T]) -> _T:
        if host is None:
            return await self._retry(self._on_a_connection, lambda ours, _: ask(ours, read))
        connection = await self._connection_of(host)
        with translated(self._dialect):
            return await connection.run_sync(read)

    async def _read_for_long(self, read: Read[_T]) -> _T:
        return await self._retry(self._on_a_connection, lambda ours, _: ask_for_long(ours, read))

    async def _iterate(
        self, host: HostConnection | None, pages: Pages[_T]
    ) -> AsyncGenerator[_T, None]:
        following: Pages[_T] | None = pages
        while following is not None:
            items, following = await self._read(host, following.next)
            for item in items:
                yield item

    async def _iterate_one_moment(self, read: Read[Stories]) -> AsyncGenerator[Told, None]:
        async with AsyncExitStack() as stack:
            with translated(self._dialect, connecting=True):
                shown = await stack.enter_async_context(self._engine.connect())
            told = await shown.run_sync(begin_to_read, read)
            stack.push_async_callback(shown.run_sync, end_of, told)
            while some := await shown.run_sync(next_of, told):
                for one in some:
                    yield one

    async def _on_a_connection(self, use: Callable[[sa.Connection, AsyncConnection], _T]) -> _T:
        async with AsyncExitStack() as stack:
            with translated(self._dialect, connecting=True):
                shown = await stack.enter_async_context(self._engine.connect())
            return await shown.run_sync(use, shown)

    async def _connection_of(self, host: HostConnection) -> AsyncConnection:
        shown = host
        if isinstance(host, AsyncSession | async_scoped_session):
            with of_a_session(self._dialect):
                shown = await host.connection()
        if not isinstance(shown, AsyncConnection):
            wanted = "a SQLAlchemy AsyncConnection or AsyncSession"
            raise InvalidArgument("connection", wanted=wanted, got=type(host).__name__)
        check_dialect(shown.dialect, self._dialect)
        return shown


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
