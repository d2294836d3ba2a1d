"""What all pages of a board have in common: where they read, and how they answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final

from attrs import define, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sermo_fsm.board.display import Display
from sermo_fsm.board.pages import Pages
from sermo_fsm.board.poller import Poller
from sermo_fsm.board.seldom import Seldom
from sermo_fsm.board.settings import Settings
from sermo_fsm.board.streams import Streams
from sermo_fsm.board.words import words_for
from sermo_fsm.diagram import THEMES, render
from sermo_fsm.engine.aio import AsyncChatEngine
from sermo_fsm.picture.drawing import Drawing

__all__ = ["Desk", "root_of"]

_RELOAD: Final = "10"  # seconds


def root_of(request: Request) -> str:
    """Where the board is mounted: what its addresses begin with."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="sermo-board")


@define(eq=False)
class Desk:
    """What a board works with.

    Attributes:
        engine: Where the chats are.
        settings: What is shown, and to whom.
        poller: Knows what is the case now.
        pages: Renders.
        streams: Keeps pages up to date.
        answers: Keeps what took long to count.
        pictures: Keeps what took long to draw.
    """

    engine: AsyncChatEngine
    settings: Settings
    poller: Poller = field(init=False)
    pages: Pages = field(init=False)
    streams: Streams = field(init=False)
    answers: Seldom = field(factory=Seldom, init=False)
    pictures: Seldom = field(factory=Seldom, init=False)
    _drawer: ThreadPoolExecutor = field(factory=_one_thread, init=False)

    def __attrs_post_init__(self) -> None:
        self.poller = Poller(self.engine, self.settings)
        self.pages = Pages(self.settings)
        self.streams = Streams(self.poller)

    def close(self) -> None:
        """Send away all who watch, and draw no more."""
        self.poller.close()
        self._drawer.shutdown(wait=False, cancel_futures=True)

    def display(self, request: Request, now: datetime | None = None) -> Display:
        """How things are shown to whoever asks."""
        return self.pages.display(words_for(request.headers.get("accept-language", "")), now)

    def answer(
        self,
        request: Request,
        name: str,
        display: Display,
        *,
        status: int = 200,
        events: str | None = None,
        **context: Any,
    ) -> Response:
        """A page as the answer to a request; *events* is where its changes come from."""
        root = root_of(request)
        html = self.pages.page(
            name,
            display,
            root=root,
            here=request.url.path,
            events=None if events is None else f"{root}/events/{events}",
            reload=_RELOAD if request.query_params.get("reload") == _RELOAD else None,
            reload_seconds=_RELOAD,
            **context,
        )
        language = display.words.language
        headers = {"Content-Language": language, "Vary": "Accept-Language"}
        return HTMLResponse(html, status, headers)

    async def picture(self, request: Request, question: object, drawing: Drawing) -> Response:
        """A drawing as SVG, for light or dark pages."""
        theme = request.query_params.get("theme", THEMES[0])
        if theme not in THEMES:
            raise HTTPException(404)

        async def draw() -> str:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._drawer, render, drawing, "svg", theme)

        svg = await self.pictures.ask((question, theme), draw)
        return Response(svg, media_type="image/svg+xml")
