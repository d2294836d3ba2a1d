"""The client of RabbitMQ, and what its errors mean.

aiormq tells of a lost connection in four ways: by its own errors, by those of sockets, by
cancelling what waits for an answer, and by an ``Exception`` of no other class. All of them become
ours here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity

from sermo_fsm.worker.source import SourceLost, SourceRefused

__all__ = [
    "PATIENCE",
    "close",
    "connect",
    "connected",
    "connection_to",
    "copy_of",
    "is_there",
    "said",
]

PATIENCE: Final = 10.0
"""Seconds to wait for the broker's answer."""

_Fault = (*CONNECTION_EXCEPTIONS, TimeoutError)


@contextmanager
def connected(what: str) -> Iterator[None]:
    """Raise our own errors instead of those of the client.

    Raises:
        SourceLost: The broker did not do it.
    """
    try:
        yield
    except (SourceLost, SourceRefused):
        raise
    except _Fault as error:
        raise SourceLost(f"{what}: {said(error)}") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # aiormq has no other for what is sent on a connection that was closed without a reason.
        raise SourceLost(f"{what}: the connection was lost") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # aiormq cancels what waits for an answer of a connection that is lost.
        raise SourceLost(f"{what}: the connection was lost") from error


@asynccontextmanager
async def connection_to(url: str) -> AsyncIterator[AbstractConnection]:
    """A connection, closed at the end."""
    connection = await connect(url)
    async with connection:
        yield connection


async def connect(url: str) -> AbstractConnection:
    """Connect; what could not connect is closed too, for otherwise it closes itself when collected.

    Which may be in a thread without an event loop, where all that comes of it is a warning.
    """
    connection = aio_pika.Connection(make_url(url))
    try:
        await connection.connect(timeout=PATIENCE)
    except BaseException:
        await connection.close()
        raise
    return connection


def said(error: BaseException) -> str:
    """What the broker said: it knows names of queues, and nothing that people wrote."""
    return " ".join(str(error).split()) or type(error).__name__


async def close(connection: AbstractConnection) -> None:
    """Close it; where it is lost already, or hangs, it is left."""
    with suppress(SourceLost), connected("not closed"):
        async with asyncio.timeout(PATIENCE):
            await connection.close()


async def is_there(connection: AbstractConnection, name: str, *, exchange: bool = False) -> bool:
    """Whether there is a queue or an exchange of this name, made by whoever and however."""
    channel = await connection.channel()
    declare: Any = channel.declare_exchange if exchange else channel.declare_queue
    try:
        await declare(name, passive=True, timeout=PATIENCE)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


def copy_of(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> aio_pika.Message:
    """The same message with other headers, to be published."""
    return aio_pika.Message(
        message.body,
        headers=dict(headers),
        content_type=message.content_type,
        message_id=message.message_id,
        timestamp=message.timestamp,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
