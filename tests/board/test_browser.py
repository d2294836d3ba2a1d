"""The board in a real browser: Chromium of the system, driven by Playwright, looked at by axe."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, sync_playwright

from sermo_fsm import ChatEngine
from tests import npm
from tests.board.support import (
    ANSWERS,
    ASKS,
    EVIL,
    LEAVES,
    PASSWORD,
    SECRET,
    TAKES,
    in_queue,
    said,
)
from tests.board.test_service import running
from tests.databases import migrate, skip_without
from tests.servers import a_folder, a_server
from tests.support import also_proved

pytestmark = pytest.mark.service

File = tuple[sa.URL, ChatEngine]
HEIGHTS: Final = {360: 740, 1280: 900, 3840: 2160}
USER: Final = "kund-0123456789"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests here: to start it takes longer than they do."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        skip_without("no Chromium; apt install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield playwright.chromium.launch(executable_path=program, args=arguments)


class Visit:
    """A page, with everything that went wrong on it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.requests: list[str] = []
        self.faults: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def until(self, selector: str, words: str) -> None:
        self.page.locator(selector, has_text=words).first.wait_for(timeout=60_000)


@contextmanager
def visiting(
    browser: Browser, address: str, width: int = 1280, scheme: str = "light", **options: Any
) -> Iterator[Visit]:
    """Somebody who looks at the board."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHTS[width]},
        color_scheme=scheme,  # type: ignore[arg-type]  # light or dark
        **{"locale": "en-GB", **options},
    )
    try:
        yield Visit(context.new_page(), address)
    finally:
        context.close()


@pytest.fixture
def board(file: File) -> Iterator[str]:
    with running(file[0]) as (address, _):
        yield address


def elsewhere(url: sa.URL | str, user: str) -> None:
    """Another process commits that this user came into the queue."""
    code = (
        "import sys; from tests.board.support import in_queue; from sermo_fsm import ChatEngine\n"
        "with ChatEngine(sys.argv[1]) as chats: in_queue(chats, sys.argv[2], 5)"
    )
    named = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", code, named, user], check=True)


@pytest.fixture
def pages(writer: ChatEngine) -> dict[str, str]:
    """Every page with something on it, by its name."""
    said(writer, USER, ("inbound", ASKS, 300), ("outbound", ANSWERS, 290))
    said(writer, USER, ("outbound", TAKES, 280), ("inbound", LEAVES, 200))
    session_id = in_queue(writer, USER, 130)
    in_queue(writer, EVIL, 10, platformId=EVIL)
    said(writer, "cia", ("inbound", ASKS, 4000))
    said(writer, "dora", ("inbound", ASKS, 100))
    writer.handle("inbound", b"nonsense")
    return {
        "wall": "/",
        "waiting": "/waiting",
        "search": f"/search?user={USER}",
        "refused": f"/search?user={'x' * 256}",
        "chat": f"/chat/{session_id}",
        "figures": "/figures?by=platform",
        "machine": "/machine",
        "missing": "/nothing",
    }


AXE: Final = """
async () => (await axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
})).violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)
"""


def check_look(
    browser: Browser, board: str, paths: dict[str, str], width: int, scheme: str
) -> None:
    axe = npm.packages() / "node_modules" / "axe-core" / "axe.min.js"
    # By the browser's own door: the page would not load it.
    with visiting(browser, board, width, scheme, bypass_csp=True) as visit:
        for name, path in paths.items():
            page = visit.open(path)
            page.add_script_tag(path=axe)
            assert page.evaluate(AXE) == [], name
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, name


def test_axe_finds_nothing_and_nothing_is_too_wide(
    browser: Browser, board: str, pages: dict[str, str]
) -> None:
    check_look(browser, board, {name: pages[name] for name in ("wall", "waiting")}, 360, "light")
    check_look(browser, board, {name: pages[name] for name in ("chat", "figures")}, 1280, "dark")


@pytest.mark.parametrize("scheme", also_proved("light", "dark"))
@pytest.mark.parametrize("width", HEIGHTS)
def test_every_page_in_every_width_by_day_and_by_night(
    browser: Browser, board: str, pages: dict[str, str], width: int, scheme: str
) -> None:
    check_look(browser, board, pages, width, scheme)


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_refused(
    browser: Browser, board: str, pages: dict[str, str]
) -> None:
    with visiting(browser, board) as visit:
        for path in pages.values():
            page = visit.open(path)
            shown = page.content()
            for secret in (SECRET, "Anders And", "Robotina"):
                assert secret not in shown, path
            if "search" not in path:  # where it stands in the form
                assert USER not in shown, path
        visit.open(pages["machine"]).wait_for_function(
            "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
        assert all(url.startswith(f"{board}/") for url in visit.requests)
        assert [fault for fault in visit.faults if "400" not in fault and "404" not in fault] == []
        assert visit.page.context.cookies() == []


def test_what_another_process_commits_appears(browser: Browser, board: str, file: File) -> None:
    with visiting(browser, board) as wall, visiting(browser, board, locale="sv-SE") as waiting:
        wall.open("/")
        waiting.open("/waiting")
        wall.until("#live", "No chat is live.")
        waiting.until("#live", "Ingen väntar.")
        elsewhere(file[0], USER)
        wall.until("tr", "longest wait in the queue under 1 min")
        waiting.until("#live th", "chatt 1")
        assert wall.page.inner_text("#verdict") == "Live"
        assert not wall.faults + waiting.faults


def test_a_chat_lives_until_it_is_closed(browser: Browser, board: str, writer: ChatEngine) -> None:
    session_id = in_queue(writer, USER)
    with visiting(browser, board) as visit:
        page = visit.open(f"/chat/{session_id}")
        visit.until("#live li", "The customer was told place 3.")
        said(writer, USER, ("outbound", TAKES, 5))
        visit.until("#live li", "The agent is anan01.")
        said(writer, USER, ("inbound", LEAVES, 1))
        visit.until("#verdict", "nothing changes any more")
        page.locator("#pause").wait_for(state="hidden")
        assert not visit.faults


def test_who_pauses_sees_that_it_gets_old_and_keeps_the_place(
    browser: Browser, board: str, writer: ChatEngine
) -> None:
    in_queue(writer, USER)
    with visiting(browser, board) as visit:
        page = visit.open("/waiting")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.locator("#live a").first.focus()
        focused = page.evaluate("document.activeElement.id")
        in_queue(writer, "bert", 20)
        page.locator("#live tbody tr").nth(1).wait_for()
        assert page.evaluate("document.activeElement.id") == focused != ""
        page.locator("#pause").press("Enter")
        visit.until("#verdict", "Paused")
        assert page.locator("#pause").get_attribute("aria-pressed") == "true"
        in_queue(writer, "cia", 10)
        page.locator("#pause").press("Enter")
        page.locator("#live tbody tr").nth(2).wait_for()
        visit.until("#verdict", "Live")


def test_it_is_stale_while_the_database_is_away_and_live_again_when_it_is_back(
    browser: Browser,
) -> None:
    with a_folder() as folder, a_server("postgresql", folder) as server:
        url = server.url("")
        migrate(url)
        with running(url) as (address, _), visiting(browser, address) as visit:
            page = visit.open("/")
            visit.until("#verdict", "Live")
            server.crash()
            visit.until("#verdict", "STALE: the database does not answer.")
            assert page.title().startswith("STALE")
            visit.open("/")
            visit.until("#verdict", "STALE")  # who comes only now is told as well
            server.start()
            visit.until("#verdict", "Live")
            elsewhere(url, USER)
            visit.until("tr", "longest wait in the queue under 1 min")


def test_it_is_stale_when_the_board_itself_is_gone(browser: Browser, file: File) -> None:
    with running(file[0]) as (address, process), visiting(browser, address) as visit:
        visit.open("/")
        visit.until("#verdict", "Live")
        process.kill()
        visit.until("#verdict", "STALE: the board does not answer.")


def test_with_a_token_the_browser_asks_for_it(browser: Browser, file: File, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(PASSWORD, encoding="utf-8")
    known = {"username": "anybody", "password": PASSWORD}
    with (
        running(file[0], "--token-file", str(token)) as (address, _),
        visiting(browser, address, http_credentials=known) as visit,
    ):
        visit.open("/")
        elsewhere(file[0], USER)  # the stream of events has to know it as well
        visit.until("tr", "longest wait in the queue under 1 min")


def test_without_a_script_it_reloads(browser: Browser, board: str) -> None:
    with visiting(browser, board, java_script_enabled=False) as visit:
        page = visit.open("/waiting")
        assert page.locator("#pause").is_hidden()
        page.get_by_role("link", name="Reload every 10 seconds").click()
        assert page.locator("meta[http-equiv=refresh]").count() == 1
        page.get_by_role("link", name="Reload no more").click()
        assert page.locator("meta[http-equiv=refresh]").count() == 0
