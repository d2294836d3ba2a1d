"""Both doors behind one interface: what is said of the one is said of the other.

``Blocking`` runs an ``AsyncChatEngine`` on an event loop of its own, so that the tests, and the
model, which know nothing of asyncio, can use it like a ``ChatEngine``.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Any, Self, TypeVar, cast

import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sermo_fsm import AsyncChatEngine, ChatEngine
from tests.databases import async_url

_T = TypeVar("_T")

each_signature = pytest.mark.parametrize("door", ["sqlite", "sqlite-async"], indirect=True)
"""For what a door refuses before it asks a database: once for each door is enough."""


class Blocking:
    """An asynchronous engine for those who wait."""

    def __init__(self, database: sa.URL | AsyncEngine, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.engine = AsyncChatEngine(database, **options)
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.runner.run(self.engine.close())
            self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.engine, name)
        if name in ("within_transaction", "after_commit"):
            return found
        if name in ("sessions", "history", "strays", "stories", "visits"):
            return lambda *args, **options: self._each(found(*args, **options))
        return lambda *args, **options: self._wait(found, *args, **options)

    def _wait(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.runner.run(call(*args, **options))

    def _each(self, items: AsyncGenerator[_T, None]) -> Generator[_T, None, None]:
        try:
            while True:
                try:
                    yield self._wait(items.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            self._wait(items.aclose)


@contextmanager
def host_transaction(chats: ChatEngine | Blocking) -> Iterator[Any]:
    """A transaction of the host's, on a connection as this door wants it."""
    if not isinstance(chats, Blocking):
        with chats._engine.begin() as connection:
            yield connection
        return
    run, stack = chats.runner.run, AsyncExitStack()
    with ExitStack() as ends:
        ends.push(lambda *raised: run(stack.__aexit__(*raised)))
        yield run(stack.enter_async_context(chats.engine._engine.begin()))


def stored(chats: ChatEngine) -> list[Any]:
    """Everything that can be asked for: session by session with their rows, then the strays."""
    sessions = sorted(chats.sessions(), key=lambda one: (*one.key, one.ordinal))
    return [
        (one.as_dict(), [row.as_dict(bodies=True) for row in chats.history(one.session_id)])
        for one in sessions
    ] + [row.as_dict(bodies=True) for row in chats.strays()]


def fewer(door: str, share: float) -> settings:
    """So much of the examples that the profile asks for; a tenth where each of them takes long."""
    examples = settings().max_examples * share * (1 if door == "sqlite" else 0.1)
    return settings(max_examples=max(1, round(examples)), deadline=None)


@contextmanager
def open_door(door: str, url: sa.URL, **options: Any) -> Iterator[ChatEngine]:
    """An engine of this kind on *url*, whose tables are there; as if it were a ChatEngine."""
    if door.endswith("-async"):
        with Blocking(async_url(url), **options) as engine:
            yield cast("ChatEngine", engine)
    else:
        with ChatEngine(url, **options) as engine:
            yield engine


@contextmanager
def open_hosts_door(
    door: str, url: sa.URL, connect_args: dict[str, Any], **options: Any
) -> Iterator[ChatEngine]:
    """The same on an engine of the host's, who connects in a way of its own."""
    if door.endswith("-async"):
        bridge = create_async_engine(async_url(url), connect_args=connect_args)
        with Blocking(bridge, **options) as engine:
            try:
                yield cast("ChatEngine", engine)
            finally:
                engine.runner.run(bridge.dispose())
    else:
        host = sa.create_engine(url, connect_args=connect_args)
        try:
            yield ChatEngine(host, **options)
        finally:
            host.dispose()
