"""One call at a time on the connection that a pool lends to all, as with a host's SQLite in memory.

Whoever gives such a connection back rolls back what the others have not committed.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from sermo_fsm.errors import StoreBusy, StoreError
from sermo_fsm.storage.backends import backend_named

__all__ = ["async_turn", "is_lent_to_all", "turn"]

_PATIENCE: Final = 30.0
"""Seconds to wait for the connection, as SQLAlchemy's other pools do."""


def is_lent_to_all(engine: sa.Engine) -> bool:
    """Whether the pool of *engine* has one connection, and lends it to several at once."""
    return isinstance(engine.pool, sa.StaticPool)


@contextmanager
def turn(engine: sa.Engine) -> Iterator[None]:
    """Keep the connection of *engine* from all other calls of ours.

    Raises:
        StoreBusy: They have it for too long.
        StoreError: The caller has it already, or a transaction of the host's.
    """
    turns = _turns_of(engine, threading.Lock)
    if not turns.lock.acquire(timeout=_PATIENCE):
        raise _too_long()
    try:
        turns.begin(engine)
        yield
    finally:
        turns.end()


@asynccontextmanager
async def async_turn(engine: sa.Engine) -> AsyncIterator[None]:
    """The same for asyncio."""
    turns = _turns_of(engine, asyncio.Lock)
    try:
        async with asyncio.timeout(_PATIENCE):
            await turns.lock.acquire()
    except TimeoutError:
        raise _too_long() from None
    try:
        turns.begin(engine)
        yield
    finally:
        turns.end()


_HELD: Final[ContextVar[object]] = ContextVar("sermo_fsm_held", default=None)
"""The last turn of the running code, and of the code that it belongs to."""


class _Turns:
    """Whose turn it is on the connection of one pool."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self._current: object = None

    def refuse_nested(self) -> None:
        """Raise where a wait would be for the caller's own call to end."""
        if self._current is not None and _HELD.get() is self._current:
            raise StoreError(
                "the pool has one connection, and this call comes from within another one that "
                "has it: hand in that connection (connection=…), or use a pool with several"
            )

    def begin(self, engine: sa.Engine) -> None:
        """Mark what runs from now on as the holder's."""
        backend_named(engine.dialect.name).check_unused(engine.pool)
        self._current = object()
        _HELD.set(self._current)

    def end(self) -> None:
        """Let the next one."""
        self._current = None
        self.lock.release()


_TURNS: Final[WeakKeyDictionary[sa.Pool, _Turns]] = WeakKeyDictionary()


def _turns_of(engine: sa.Engine, lock: Callable[[], Any]) -> _Turns:
    turns = _TURNS.setdefault(engine.pool, _Turns(lock()))
    turns.refuse_nested()
    return turns


def _too_long() -> StoreBusy:
    return StoreBusy("another call has had the only connection of the pool for too long")
