"""A network that fails on command: a proxy between an engine and its server."""

import select
import socket
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Self

_PATIENCE = 30.0
"""Seconds; whoever waits longer has found a fault of the test."""


class Cut(Enum):
    """When the connection is cut."""

    BEFORE = auto()
    """Before the request reaches the server."""
    AFTER = auto()
    """After the server has answered it, before the answer reaches the client."""


class Proxy:
    """Passes on what comes, to and fro, until it is told to cut a connection.

    A request is what arrives at once from the client: drivers wait for the answer before they ask
    again. Cuts once; connections after that are passed on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._rule: tuple[Cut, Callable[[bytes], bool]] | None = None
        self._closing, self._wake = socket.socketpair()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self, when: Cut, which: Callable[[bytes], bool]) -> None:
        """Cut the connection at the first request for which *which* is true."""
        with self._lock:
            self._rule = when, which

    def cut_at(self, when: Cut, number: int) -> None:
        """Cut the connection at the n-th request from now on."""
        left = number

        def count(_: bytes) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        self.cut(when, count)

    def disarm(self) -> bool:
        """Cut nothing any more; whether something was cut."""
        with self._lock:
            rule, self._rule = self._rule, None
        return rule is None

    def close(self) -> None:
        """Cut all connections, and take no more."""
        self._wake.close()
        for thread in self._threads:
            thread.join(_PATIENCE)
        self._listener.close()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while self._listener in select.select([self._listener, self._closing], [], [])[0]:
            client, _ = self._listener.accept()
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            try:
                while self._pass_on(client, server):
                    pass
            except ConnectionError:
                pass  # whoever went away: the other one is told by the end of its connection

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        ready, _, _ = select.select([client, server, self._closing], [], [])
        if self._closing in ready:
            return False
        if server in ready:
            answer = server.recv(1 << 20)
            client.sendall(answer)
            return bool(answer)
        request = client.recv(1 << 20)
        when = self._verdict(request) if request else None
        if when is Cut.BEFORE or not request:
            return False
        server.sendall(request)
        if when is Cut.AFTER:
            server.settimeout(_PATIENCE)
            server.recv(1 << 20)
            return False
        return True

    def _verdict(self, request: bytes) -> Cut | None:
        with self._lock:
            if self._rule is None or not self._rule[1](request):
                return None
            when, self._rule = self._rule[0], None
            return when
