"""The board as a process of its own: a socket, signals, and what is open meanwhile."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from sermo_fsm.board.application import Board

__all__ = ["listen", "serve"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_MOST: Final = 1000  # connections; more are told that it is busy
_FAREWELL: Final = 3  # seconds that answers may still take once it is to end


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free.

    Raises:
        OSError: There is no such address, or the port is in use.
    """
    (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.create_server(address[:2], family=family, backlog=128)


class _Server(uvicorn.Server):
    """Ends by signals as the worker does, and lets go of those who watch."""

    def __init__(self, config: uvicorn.Config, board: Board) -> None:
        super().__init__(config)
        self._board = board

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the first signal for a wish; after it signals have their usual effect."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for one in _SIGNALS:
                loop.remove_signal_handler(one)
            self._board.close()
            self.should_exit = True

        for one in _SIGNALS:
            loop.add_signal_handler(one, stop)
        yield


async def serve(
    board: Board,
    listening: socket.socket,
    ready: Callable[[], object],
    *,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Args:
        listening: Where they come in; is closed at the end.
        ready: Is called before the first one is answered.
        tls: The certificate and its key, if it does TLS.

    Raises:
        OSError: The certificate or its key can't be read or used.
    """
    options: dict[str, Any] = {}
    if tls is not None:
        options = dict(zip(("ssl_certfile", "ssl_keyfile"), tls, strict=True))
    config = uvicorn.Config(
        board,
        log_config=None,
        access_log=False,  # addresses hold users' ids
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=_MOST,
        timeout_graceful_shutdown=_FAREWELL,
        **options,
    )
    with listening:
        config.load()
        ready()
        await _Server(config, board).serve(sockets=[listening])
