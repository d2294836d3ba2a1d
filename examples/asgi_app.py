"""The engine behind HTTP: takes events, and answers where chats are.

    SERMO_DB=postgresql+psycopg://… uvicorn --app-dir examples asgi_app:app

The database is empty or has our schema; without SERMO_DB it is a SQLite file in the current folder.
There is no access control: whoever can reach this app can read every chat.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sermo_fsm import (
    AsyncChatEngine,
    CommitUnknown,
    InvalidArgument,
    LostRace,
    MessageConflict,
    StoreBusy,
    StoreUnavailable,
)

PAGE = 100
TRY_AGAIN = 503
STATUS: dict[type[Exception], int] = {
    InvalidArgument: 400,
    MessageConflict: 409,
    **dict.fromkeys((StoreBusy, LostRace, StoreUnavailable, CommitUnknown), TRY_AGAIN),
}


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, AsyncChatEngine]]:
    """Open one engine for the life of the process."""
    url = os.environ.get("SERMO_DB", "sqlite+aiosqlite:///sermo.db")
    async with AsyncChatEngine(url) as chats:
        await chats.migrate()  # several processes may start at once
        yield {"chats": chats}


def chats_of(request: Request) -> AsyncChatEngine:
    """The engine of this process."""
    chats: AsyncChatEngine = request.state.chats
    return chats


async def events(request: Request) -> Response:
    """Hand in one event, or JSON Lines of events or envelopes in one transaction."""
    chats, direction = chats_of(request), request.path_params["direction"]
    platform_id = request.query_params.get("platform")
    body = await request.body()
    if request.headers.get("content-type") == "application/x-ndjson":
        lines = [line for line in body.splitlines() if line.strip()]
        receipts = await chats.handle_many(lines, direction=direction, platform_id=platform_id)
        return JSONResponse([receipt.as_dict() for receipt in receipts])
    message_id = request.headers.get("message-id")  # with an id, a retry has no effect
    receipt = await chats.handle(direction, body, message_id=message_id, platform_id=platform_id)
    return JSONResponse(receipt.as_dict())


async def chat(request: Request) -> Response:
    """The latest chat of this user; 404 if there is none."""
    session = await chats_of(request).status(**request.path_params)
    if session is None:
        raise HTTPException(404, "no such user")
    return JSONResponse(session.as_dict())


async def counts(request: Request) -> Response:
    """The numbers of live chats, by platform and state."""
    return JSONResponse(await chats_of(request).counts())


async def sessions(request: Request) -> Response:
    """One page of sessions, the latest first, and the URL of the next page."""
    state: Any = request.query_params.get("state")  # checked by the engine
    after = request.query_params.get("after")
    listed = chats_of(request).sessions(state=state, after=after, limit=PAGE)
    page = [session.as_dict() async for session in listed]
    last = request.url.include_query_params(after=page[-1]["sessionId"]) if page else None
    following = str(last) if len(page) == PAGE else None
    return JSONResponse({"sessions": page, "next": following})


async def refused(_: Request, error: Exception) -> Response:
    """Turn an error of the library into an HTTP response."""
    status = STATUS[type(error)]
    headers = {"Retry-After": "1"} if status == TRY_AGAIN else None
    return JSONResponse({"error": str(error)}, status, headers)


app = Starlette(
    routes=[
        Route("/events/{direction}", events, methods=["POST"]),
        Route("/chats/{platform_id}/{user_id}", chat),
        Route("/counts", counts),
        Route("/sessions", sessions),
    ],
    exception_handlers=dict.fromkeys(STATUS, refused),
    lifespan=lifespan,
)
