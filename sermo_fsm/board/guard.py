"""Before the board: who may ask, by which name, and what a browser may do with the answer."""

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sermo_fsm.board.settings import Settings

__all__ = ["Guard"]

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        *(f"{what}-src 'self'" for what in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for what does not know the policy
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="sermo-fsm board", charset="UTF-8"'}
_METHODS: Final = ("GET", "HEAD")


class Guard:
    """An ASGI application around the board's own."""

    def __init__(self, board: ASGIApp, settings: Settings) -> None:
        self._board = board
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the board answer."""
        if scope["type"] == "lifespan":
            await self._board(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})  # refused before it is accepted
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._board
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if scope["method"] not in _METHODS:
            return _refused(405, "The board only answers GET.", {"Allow": ", ".join(_METHODS)})
        hosts = self._settings.hosts
        if hosts is not None and _host_name(headers.get("host", "")) not in hosts:
            return _refused(
                421,
                "The board is not known by this name. Whoever runs it can add the name with "
                "--allow-host.",
            )
        token = self._settings.token
        if token is not None and not _knows(token, headers.get("authorization", "")):
            return _refused(401, "The board asks for its token, as the password.", _CHALLENGE)
        return None


def _refused(
    status: int, words: str, headers: Mapping[str, str] | None = None
) -> PlainTextResponse:
    return PlainTextResponse(f"{words}\n", status, headers)


def _host_name(host: str) -> str:
    """The name in a ``Host`` header, in small letters, without port and brackets."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def _knows(token: str, given: str) -> bool:
    """Whether the ``Authorization`` header has the token: as a bearer's, or as a password."""
    scheme, _, rest = given.partition(" ")
    secret: Any = rest.strip()
    match scheme.lower():
        case "bearer":
            secret = secret.encode()
        case "basic":
            try:
                secret = b64decode(secret, validate=True).partition(b":")[2]
            except (NotBase64, ValueError):
                return False
        case _:
            return False
    return hmac.compare_digest(secret, token.encode())
