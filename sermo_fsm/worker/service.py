"""The worker as a process: signals, and what is open while it runs."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from sermo_fsm.engine.aio import AsyncChatEngine
from sermo_fsm.worker.loop import Worker

__all__ = ["serve"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def serve(engine: AsyncChatEngine, make_worker: Callable[[ExitStack], Worker]) -> Worker:
    """Run a worker until it is done, or told to stop by SIGTERM or Ctrl-C.

    The first signal lets it finish its batch. After it signals have their usual effect, so that the
    second one ends the process at once; that is as harmless as a power cut.

    Args:
        engine: Is closed at the end.
        make_worker: Makes the worker, inside the event loop; what it opens is closed at the end.

    Returns:
        The worker, which has stopped.
    """
    loop = asyncio.get_running_loop()
    async with engine:
        with ExitStack() as stack:
            worker = make_worker(stack)

            def stop() -> None:
                for one in _SIGNALS:
                    loop.remove_signal_handler(one)
                worker.stop()

            for one in _SIGNALS:
                loop.add_signal_handler(one, stop)
            stack.callback(stop)
            await worker.run()
    return worker
