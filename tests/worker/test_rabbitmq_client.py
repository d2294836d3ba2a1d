"""What the errors of RabbitMQ's client mean."""

import asyncio

import pytest
from aiormq.base import FutureStore

from sermo_fsm.worker.rabbitmq_client import connected
from sermo_fsm.worker.source import SourceLost


def test_what_waits_on_a_connection_that_was_closed_without_a_reason_is_lost() -> None:
    """The client rejects it with a bare Exception, before it is sent and while it waits."""

    async def work() -> None:
        store = FutureStore(asyncio.get_running_loop())
        waiting = store.create_future()
        await store.reject_all(None)
        for future in (waiting, store.create_future()):
            with pytest.raises(SourceLost, match="the connection was lost"), connected("not sent"):
                await future

    asyncio.run(work())


def test_a_mistake_of_ours_is_not_taken_for_a_lost_connection() -> None:
    with pytest.raises(LookupError), connected("not sent"):
        raise LookupError
