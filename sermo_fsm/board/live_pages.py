"""Pages that change while they are watched: the wall, the waiting list, one chat."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from attrs import frozen
from markupsafe import Markup
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sermo_fsm.board.chat import status_sentences, timeline_lines
from sermo_fsm.board.desk import Desk, root_of
from sermo_fsm.board.display import Display
from sermo_fsm.board.poller import Interest, Sight
from sermo_fsm.board.streams import Subject
from sermo_fsm.board.words import Words, words_for
from sermo_fsm.core.session import ChatSession
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.views.chat_path import path_from_rows
from sermo_fsm.views.overview import Overview
from sermo_fsm.views.timeline import timeline_entries

__all__ = ["chat", "events", "path_picture", "waiting", "wall"]

_READ: Final = 5000  # rows of a chat
_SHOWN: Final = 500  # the last of these


async def wall(desk: Desk, request: Request) -> Response:
    """All platforms, now and in the last hour."""
    return await _answer(_LivePage.of(desk, request, "wall"), request)


async def waiting(desk: Desk, request: Request) -> Response:
    """Who waits."""
    return await _answer(_LivePage.of(desk, request, "waiting"), request)


async def chat(desk: Desk, request: Request) -> Response:
    """One chat: where it is, its path and its timeline."""
    return await _answer(_LivePage.of(desk, request, "chat"), request)


async def events(desk: Desk, request: Request) -> Response:
    """What changes on a live page, as server-sent events."""
    page = _LivePage.of(desk, request, request.path_params.get("page", "chat"))
    if request.method == "HEAD":
        return Response(media_type=_EVENTS)
    sight = await desk.poller.look(page.interest)
    if sight.overview is not None and not page.exists(sight.overview):
        raise HTTPException(404)
    return StreamingResponse(_closing(desk, page), media_type=_EVENTS)


_EVENTS: Final = "text/event-stream"


async def _closing(desk: Desk, page: "_LivePage") -> AsyncGenerator[bytes, None]:
    """The events of *page*; when the viewer goes away, at once nothing is left."""
    async with aclosing(desk.streams.events(page.subject())) as found:
        async for event in found:
            yield event


async def path_picture(desk: Desk, request: Request) -> Response:
    """The path of a chat through the states."""
    session = await desk.engine.session(request.path_params["session_id"])
    if session is None:
        raise HTTPException(404)
    history = desk.engine.history(session.session_id)
    rows = [row async for row in history if row.from_state is not row.to_state]
    shown = replace(session, user_id=desk.settings.user(session.user_id))
    path = path_from_rows(shown, rows)
    drawing = path_drawing(path, desk.display(request).now)
    return await desk.picture(request, (session.session_id, len(path.steps)), drawing)


async def _answer(page: "_LivePage", request: Request) -> Response:
    desk = page.desk
    sight = await desk.poller.look(page.interest)
    overview = sight.overview
    if overview is not None and not page.exists(overview):
        raise HTTPException(404)
    over = page.is_over(sight)
    return desk.answer(
        request,
        "live",
        page.display(overview),
        status=503 if overview is None else 200,
        title=page.name,
        events=None if over else page.address,
        status_line=page.status(sight),
        content=Markup() if overview is None else await page.render(overview),
    )


@frozen
class _LivePage:
    """A page for those who read the same language."""

    desk: Desk
    root: str
    words: Words
    name: str
    interest: Interest

    @classmethod
    def of(cls, desk: Desk, request: Request, name: str) -> "_LivePage":
        """The page of this *name*."""
        if name == "chat":
            interest = Interest(chat=request.path_params["session_id"])
        elif name in ("wall", "waiting"):
            interest = Interest(wall=name == "wall", waiting=name == "waiting")
        else:
            raise HTTPException(404)
        words = words_for(request.headers.get("accept-language", ""))
        return cls(desk, root_of(request), words, name, interest)

    @property
    def address(self) -> str:
        """Where its events come from."""
        return self.name if self.interest.chat is None else f"chat/{self.interest.chat}"

    def subject(self) -> Subject:
        """It as something to watch."""
        return Subject(
            key=(self.root, self.words, self.name, self.interest),
            interest=self.interest,
            basis=self.basis,
            render=self.render,
            status=self.status,
            over=self.is_over,
        )

    def _chat_in(self, overview: Overview) -> ChatSession | None:
        return overview.chats.get(self.interest.chat or "")

    def exists(self, overview: Overview) -> bool:
        """Whether there is something to show."""
        return self.interest.chat is None or self._chat_in(overview) is not None

    def is_over(self, sight: Sight) -> bool:
        """Whether it will never change again."""
        found = None if sight.overview is None else self._chat_in(sight.overview)
        return found is not None and not found.live

    def basis(self, sight: Sight) -> object:
        """What it is made from. A chat is read again each minute, as its lengths of time grow."""
        overview = sight.overview
        if overview is None or self.interest.chat is None:
            return overview
        return self._chat_in(overview), overview.at.replace(second=0, microsecond=0)

    def display(self, overview: Overview | None) -> Display:
        """How it shows things."""
        return self.desk.pages.display(self.words, None if overview is None else overview.at)

    def status(self, sight: Sight) -> dict[str, Any]:
        """How old it is."""
        status = self.desk.pages.status(sight, self.display(sight.overview))
        if self.is_over(sight):
            status["verdict"] = self.words("The chat is closed: nothing changes any more.")
        return status

    async def render(self, overview: Overview) -> Markup:
        """What it shows."""
        pages = self.desk.pages
        display = self.display(overview)
        found = self._chat_in(overview)
        if found is not None:
            context = await self._chat(found, display)
        else:
            context = pages.wall(overview) if self.name == "wall" else pages.waiting(overview)
        return pages.part(self.name, display, root=self.root, **context)

    async def _chat(self, found: ChatSession, display: Display) -> dict[str, Any]:
        bodies = self.desk.settings.bodies
        rows = [row async for row in self.desk.engine.history(found.session_id, limit=_READ)]
        # From the first row on: who is in charge depends on what was before.
        entries = deque(timeline_entries(found, rows, bodies=bodies), maxlen=_SHOWN)
        return {
            "chat": found,
            "sentences": list(status_sentences(found, display, bodies=bodies)),
            "lines": list(timeline_lines(entries, display)),
            "steps": len(path_from_rows(found, rows).steps),
            "bodies": bodies,
        }
