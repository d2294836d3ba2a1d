"""The board as an ASGI application: its addresses, and what stands behind each."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta, tzinfo
from functools import partial
from typing import Any, Final

from attrs import define, field
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from sermo_fsm.board import asked_pages, live_pages
from sermo_fsm.board.desk import Desk
from sermo_fsm.board.guard import Guard
from sermo_fsm.board.metrics import exposed
from sermo_fsm.board.pages import STATIC
from sermo_fsm.board.poller import Interest
from sermo_fsm.board.settings import LOOPBACK, Settings
from sermo_fsm.engine.aio import AsyncChatEngine
from sermo_fsm.errors import InvalidArgument, StoreError
from sermo_fsm.views.figure_facts import TARGET

__all__ = ["Board", "app"]

_Page = Callable[[Desk, Request], Awaitable[Response]]

_PAGES: Final[dict[str, _Page]] = {
    "/": live_pages.wall,
    "/waiting": live_pages.waiting,
    "/chat/{session_id}": live_pages.chat,
    "/chat/{session_id}/path.svg": live_pages.path_picture,
    "/events/{page}": live_pages.events,
    "/events/chat/{session_id}": live_pages.events,
    "/search": asked_pages.search,
    "/figures": asked_pages.figures,
    "/machine": asked_pages.machine,
    "/machine.svg": asked_pages.machine_picture,
}


def app(  # noqa: PLR0913 - one for each option
    engine: AsyncChatEngine,
    *,
    bodies: bool = False,
    ids: bool = False,
    zone: tzinfo | None = None,
    target: timedelta = TARGET,
    every: float = 1.0,
    hosts: Sequence[str] | None = LOOPBACK,
    token: str | None = None,
) -> "Board":
    """The board of a database, as an ASGI application.

    It can be mounted in the host's, which then says who gets in: ``Mount("/board", app(engine))``.
    It reads only, and only while somebody looks. Whoever is let in sees every chat.

    Args:
        engine: Where the chats are. It stays the host's to close.
        bodies: Also show what people wrote and what agents are called.
        ids: Show users' ids whole.
        zone: The time zone of what is shown, and of the day; None for the system's.
        target: How long a customer may wait.
        every: Seconds between two looks at the database, while somebody watches.
        hosts: The names by which it may be asked for, against DNS rebinding; None for any, where
            the host's application checks that.
        token: What a viewer must give as password or bearer token: 16 characters or more; None for
            nothing.

    Raises:
        InvalidArgument: An argument is unusable.
    """
    if not isinstance(engine, AsyncChatEngine):
        raise InvalidArgument("engine", wanted="an AsyncChatEngine", got=type(engine).__name__)
    settings = Settings(
        bodies=bodies, ids=ids, zone=zone, target=target, every=every, hosts=hosts, token=token
    )
    return Board(Desk(engine, settings))


@define(eq=False)
class Board:
    """The application. It needs no lifespan: what it opens ends with the last viewer."""

    desk: Desk
    _guarded: ASGIApp = field(init=False)

    def __attrs_post_init__(self) -> None:
        pages = {path: partial(_answer, page, self.desk) for path, page in _PAGES.items()}
        routes = [
            *(Route(path, page, methods=["GET"]) for path, page in pages.items()),
            Route("/metrics", partial(_metrics, self.desk), methods=["GET"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: partial(_missing, self.desk),
            StoreError: partial(_away, self.desk),
        }
        board = Starlette(routes=routes, exception_handlers=handlers)
        self._guarded = Guard(board, self.desk.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guarded(scope, receive, send)

    def close(self) -> None:
        """Send away all who watch, so that the process can end."""
        self.desk.close()


async def _answer(page: _Page, desk: Desk, request: Request) -> Response:
    return await page(desk, request)


async def _metrics(desk: Desk, _: Request) -> Response:
    sight = await desk.poller.look(Interest(wall=True))
    return Response(exposed(sight, desk.poller), media_type=CONTENT_TYPE_LATEST)


async def _missing(desk: Desk, request: Request, error: HTTPException) -> Response:
    chat = request.url.path.count("/chat/")
    words = "There is no such chat." if chat else "There is no such page."
    display = desk.display(request)
    return desk.answer(request, "error", display, status=error.status_code, words=words)


async def _away(desk: Desk, request: Request, _: StoreError) -> Response:
    words = "The database does not answer. Try again later."
    return desk.answer(request, "error", desk.display(request), status=503, words=words)
