"""Live pages: what a viewer is sent, and what is left once it is gone. Asked as a server would."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Overview, StoreUnavailable
from sermo_fsm.board.poller import Interest, Poller, Sight
from sermo_fsm.board.streams import Streams, Subject
from tests.board.support import ASKS, LEAVES, Site, a_site, in_queue, said
from tests.support import at

File = tuple[sa.URL, ChatEngine]


class Viewer:
    """A browser that watches a page."""

    def __init__(self, site: Site, path: str, language: str = "en") -> None:
        headers = [(b"host", b"localhost"), (b"accept-language", language.encode())]
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "http_version": "1.1",
            "scheme": "http",
            "server": ("localhost", 80),
            "client": None,
        }
        self._site = site
        self._sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._rest = ""
        self.status = 0
        self.over = False

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Viewer"]:
        serving = asyncio.create_task(self._site.board(self._scope, self._receive, self._sent.put))
        try:
            self.status = (await self._sent.get())["status"]
            yield self
        finally:
            self._gone.set()
            await serving

    async def next(self) -> tuple[str, str]:
        """The next event: its name and its data."""
        while "\n\n" not in self._rest:
            message = await asyncio.wait_for(self._sent.get(), 30)
            body = message.get("body", b"").decode()
            self._rest += body.replace("\r\n", "\n").replace("\r", "\n")  # as a browser does
            self.over = not message.get("more_body", False)
        event, _, self._rest = self._rest.partition("\n\n")
        lines = [line.partition(": ") for line in event.split("\n")]
        data = "\n".join(value for name, _, value in lines if name == "data")
        return next((value for name, _, value in lines if name == "event"), ""), data

    async def until(self, name: str, words: str = "") -> str:
        """The data of the next event of this *name* that has these *words*."""
        while True:
            found, data = await self.next()
            if found == name and words in data:
                return data


def test_a_change_by_somebody_else_arrives(site: Site, writer: ChatEngine) -> None:
    async def work() -> None:
        async with Viewer(site, "/events/wall").watching() as viewer:
            assert viewer.status == 200
            assert await viewer.next() == ("", "")  # when to connect again
            name, page = await viewer.next()
            assert (name, "No chat is live." in page) == ("page", True)
            status = json.loads(await viewer.until("status"))
            assert (status["verdict"], status["stale"]) == ("Live", False)
            in_queue(writer, "anna", 5)
            await viewer.until("page", "longest wait in the queue")

    site.run(work)


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    async def work() -> None:
        async with Viewer(site, "/events/waiting").watching() as viewer:
            names = [(await viewer.next())[0] for _ in range(12)]
            assert names == ["", "page", *["status"] * 10]

    site.run(work)


def test_each_hears_it_in_a_language_of_its_own(site: Site, writer: ChatEngine) -> None:
    async def work() -> None:
        async with (
            Viewer(site, "/events/waiting", "sv").watching() as first,
            Viewer(site, "/events/waiting", "en").watching() as second,
        ):
            in_queue(writer, "anna")
            await first.until("page", "Vem som väntar")
            await second.until("page", "Who waits")
            assert json.loads(await first.until("status"))["verdict"] == "Aktuellt"

    site.run(work)


def test_a_chat_is_told_until_it_is_over(site: Site, writer: ChatEngine) -> None:
    session_id = in_queue(writer, "anna")

    async def work() -> None:
        async with Viewer(site, f"/events/chat/{session_id}").watching() as viewer:
            await viewer.until("page", "tells place 3")
            said(writer, "anna", ("inbound", LEAVES, 1))
            await viewer.until("page", "the customer left the chat")
            assert "nothing changes any more" in await viewer.until("status")
            assert await viewer.next() == ("end", "")
            while not viewer.over:
                viewer.over = not (await viewer._sent.get())["more_body"]

    site.run(work)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_nobody_slips_an_event_in_by_a_name(file: File, end: str) -> None:
    evil = end.join(("a", "", "event: status", 'data: {"verdict": "all is well"}', "", "b"))
    in_queue(file[1], "anna", platformId=evil)

    async def work() -> None:
        async with Viewer(site, "/events/waiting").watching() as viewer:
            page = await viewer.until("page")
            assert "all is well" in page  # a word among others
            for _ in range(5):
                assert "all is well" not in await viewer.until("status")

    with a_site(file[0], every=0.001) as site:
        site.run(work)


def test_one_rendering_serves_all(
    site: Site, writer: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_queue(writer, "anna")
    rendered: list[object] = []
    part = site.board.desk.pages.part

    def count(name: str, *args: Any, **context: Any) -> Any:
        rendered.append(context["overview"].at)
        return part(name, *args, **context)

    monkeypatch.setattr(type(site.board.desk.pages), "part", lambda _, *a, **c: count(*a, **c))

    async def watch() -> None:
        async with Viewer(site, "/events/wall").watching() as viewer:
            for _ in range(6):
                await viewer.until("status")

    async def work() -> None:
        await asyncio.gather(*(watch() for _ in range(20)))

    site.run(work)
    assert len(rendered) == len(set(rendered))  # once for each look at the database


def test_who_goes_away_leaves_nothing(site: Site) -> None:
    async def work() -> None:
        before = asyncio.all_tasks()
        for _ in range(3):
            viewers = [Viewer(site, path) for path in ("/events/wall", "/events/waiting") * 5]
            async with viewers[0].watching(), viewers[1].watching(), viewers[2].watching():
                for viewer in viewers[:3]:
                    await viewer.until("status")
                assert site.board.desk.poller.viewers == 3
            assert site.board.desk.poller.viewers == 0
            assert site.board.desk.streams._rendered == {}
        poll = site.board.desk.poller._poll
        assert poll is not None
        await asyncio.wait([poll])
        assert asyncio.all_tasks() == before

    site.run(work)


def test_while_the_database_is_away_it_says_so_and_then_goes_on(
    site: Site, writer: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = in_queue(writer, "anna")
    poller = site.board.desk.poller
    overview, history = site.engine.overview, site.engine.history
    late = [0.0]
    clock = poller.clock
    poller.clock = lambda: clock() + late[0]

    async def fail(**_: Any) -> None:
        late[0] += 1.0
        raise StoreUnavailable("gone")

    def fail_to_list(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("gone")

    async def work() -> None:
        async with Viewer(site, f"/events/chat/{session_id}").watching() as viewer:
            await viewer.until("page")
            monkeypatch.setattr(site.engine, "overview", fail)
            await viewer.until("status", "STALE: the database does not answer.")
            monkeypatch.setattr(site.engine, "history", fail_to_list)
            monkeypatch.setattr(site.engine, "overview", overview)
            said(writer, "anna", ("inbound", ASKS, 1))
            await viewer.until("status", "Live")
            monkeypatch.setattr(site.engine, "history", history)
            await viewer.until("page")

    site.run(work)


def test_before_anything_is_known_there_is_no_page(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: Any) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(site.engine, "overview", fail)

    async def work() -> None:
        async with Viewer(site, "/events/chat/x").watching() as viewer:
            assert viewer.status == 200
            assert [(await viewer.next())[0] for _ in range(3)] == ["", "status", "status"]

    site.run(work)


def test_when_the_board_closes_a_stream_ends(file: File) -> None:
    with a_site(file[0], every=0.001) as site:

        async def work() -> None:
            async with Viewer(site, "/events/wall").watching() as viewer:
                await viewer.until("status")
                site.board.close()
                while not viewer.over:
                    viewer.over = not (await viewer._sent.get()).get("more_body", False)

        site.run(work)


@pytest.mark.parametrize("path", ["/events/nothing", "/events/chat/nobody", "/events/figures"])
def test_what_does_not_live_has_no_events(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


class FixedPoller:
    """Knows the same again and again."""

    def __init__(self) -> None:
        moment = at(0)
        length = timedelta(seconds=60)
        known = Overview(at=moment, target=length, platforms={}, newest_at=None, chats={})
        self.sight = Sight(known, stale=False)

    async def follow(self, _: Interest) -> AsyncGenerator[Sight, None]:
        while True:
            yield self.sight


def test_of_those_who_watch_the_same_the_first_renders_and_the_last_tidies_up() -> None:
    streams = Streams(cast("Poller", FixedPoller()))
    gate = asyncio.Event()
    rendered: list[Overview] = []

    async def render(overview: Overview) -> str:
        rendered.append(overview)
        await gate.wait()
        return "page"

    subject = Subject(
        key="key",
        interest=Interest(wall=True),
        basis=lambda sight: sight.overview,
        render=render,
        status=lambda _: {},
        over=lambda _: False,
    )

    async def work() -> None:
        first, second = (streams.events(subject) for _ in range(2))
        for events in (first, second):
            assert (await anext(events)).startswith(b"retry")
        both = [asyncio.ensure_future(anext(events)) for events in (first, second)]
        await asyncio.sleep(0)
        gate.set()
        whole = b"event: page\ndata: page\n\nevent: status\ndata: {}\n\n"
        assert [await one for one in both] == [whole, whole]
        assert await anext(first) == b"event: status\ndata: {}\n\n"
        await first.aclose()
        assert set(streams._rendered) == {"key"}
        await second.aclose()
        assert streams._rendered == {}

    asyncio.run(work())
    assert len(rendered) == 1
