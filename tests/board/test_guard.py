"""Who is let in, by which name, and what a browser is told about the answer."""

import asyncio
from base64 import b64encode
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.board.support import PASSWORD, Site, a_site

File = tuple[sa.URL, ChatEngine]


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/board.css", "/metrics", "/machine.svg"])
def test_every_answer_says_what_a_browser_may_do_with_it(site: Site, path: str) -> None:
    headers = site.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GETT"])
def test_nothing_but_get(site: Site, method: str) -> None:
    for path in ("/", "/events/wall", "/static/board.css"):
        answer = site.get(path, method=method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/events/wall", "/metrics", "/static/board.js"])
def test_head_is_a_get_without_a_body(site: Site, path: str) -> None:
    answer = site.get(path, method="HEAD")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:8765", 200),
        ("[::1]:8765", 200),
        ("[::1]", 200),
        ("localhost.", 200),
        ("board.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::2]", 421),
        ("", 421),
        ("evil.example:127.0.0.1", 421),
    ],
)
def test_it_answers_only_to_its_names(site: Site, host: str, status: int) -> None:
    assert site.get("/static/board.css", host=host).status_code == status


def test_more_names_can_be_given_or_any(file: File) -> None:
    with a_site(file[0], hosts=["Board.Example"]) as site:
        assert site.get("/", host="board.example").status_code == 200
        assert site.get("/", host="localhost").status_code == 421
    with a_site(file[0], hosts=None) as site:
        assert site.get("/", host="anything.example").status_code == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {PASSWORD}", 200),
        (f"bearer  {PASSWORD}", 200),
        (basic(f":{PASSWORD}"), 200),
        (basic(f"anybody:{PASSWORD}"), 200),
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {PASSWORD}x", 401),
        (f"Digest {PASSWORD}", 401),
        (basic(PASSWORD), 401),
        (basic("anybody:wrong"), 401),
        (basic("anybody:lösenord"), 401),
        ("Basic %%%", 401),
        ("Basic å".encode(), 401),
        ("Bearer å".encode(), 401),
    ],
)
def test_with_a_token_it_asks_for_it(file: File, given: str | bytes | None, status: int) -> None:
    headers: dict[str, Any] = {} if given is None else {"authorization": given}
    with a_site(file[0], token=PASSWORD) as site:
        for path in ("/", "/metrics", "/static/board.js", "/events/nothing", "/nothing"):
            answer = site.get(path, **headers)
            assert (answer.status_code == 401) is (status == 401), path
            assert ("www-authenticate" in answer.headers) is (status == 401)


def test_what_is_no_http_is_sent_away(site: Site) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(kind: str) -> None:
        async def receive() -> Any:
            await asyncio.sleep(0)
            return {"type": "lifespan.startup" if len(sent) < 2 else "lifespan.shutdown"}

        scope = {"type": kind, "path": "/", "headers": []}
        await site.board(scope, receive, send)

    site.run(lambda: ask("websocket"))
    assert sent == [{"type": "websocket.close", "code": 1000}]
    site.run(lambda: ask("lifespan"))
    assert [message["type"] for message in sent[1:]] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
