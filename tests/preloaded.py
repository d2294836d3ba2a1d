"""An application with an engine that is made, and used, before gunicorn forks its workers."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from sermo_fsm import ChatEngine

WORKERS = 3
USERS = [f"user-{number}" for number in range(6)]


def application() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that says whose chat it was told, and which process says so."""
    chats = ChatEngine(os.environ["SERMO_DATABASE"])
    chats.migrate()
    for user in USERS:
        chats.handle("inbound", {"type": "heartbeat", "platformId": "web", "userId": user})

    def answer(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        chat = chats.status("web", request["PATH_INFO"].removeprefix("/"))
        start("200 OK", [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))])
        return [str(chat and chat.user_id).encode()]

    return answer
