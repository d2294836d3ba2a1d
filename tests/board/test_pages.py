"""Each page: what it says, to whom, in which language, and what it does not say."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from attrs import evolve
from jinja2 import Environment, nodes

from sermo_fsm import AsyncChatEngine, ChatEngine, InvalidArgument, Policy, StoreUnavailable
from sermo_fsm.board import app, pages
from sermo_fsm.board.curve import curve
from sermo_fsm.board.display import Display
from sermo_fsm.board.settings import Settings
from sermo_fsm.board.words import ENGLISH, SWEDISH, words_for
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import CloseReason
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.views import timeline
from sermo_fsm.views.figure_rows import FigureRow
from sermo_fsm.views.figures import FORMULAS, Grouping
from sermo_fsm.views.overview import DayCounts, Quantity
from tests.board.support import (
    ANSWERS,
    ASKS,
    EVIL,
    LEAVES,
    QUEUES,
    SECRET,
    TAKES,
    Site,
    a_site,
    in_queue,
    said,
)
from tests.support import EXAMPLES, at

File = tuple[sa.URL, ChatEngine]
USER = "kund-0123456789"
OTHERS = ("/", "/waiting", "/search", "/figures", "/machine")


def words_of(html: str) -> str:
    """What a person reads, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.replace("&nbsp;", " ")))


class TestWall:
    def test_nothing_is_live(self, site: Site) -> None:
        told = words_of(site.get("/").text)

        assert "No chat is live." in told
        assert "No chat has opened today." in told
        assert "nothing is live" in told

    def test_everything_that_is_known(self, site: Site, writer: ChatEngine) -> None:
        in_queue(writer, "anna", 300)
        in_queue(writer, "bert", 30)
        said(writer, "cia", ("inbound", ASKS, 200))
        for user, left in (("dora", 700), ("eva", 795)):
            in_queue(writer, user, 800)
            said(writer, user, ("inbound", LEAVES, left))
        said(writer, "fia", ("inbound", ASKS, 4000))  # past its deadline
        writer.handle("inbound", b"nonsense")
        writer.handle("inbound", {"type": "client_left", "userId": "x", "platformId": "web"})
        told = words_of(site.get("/").text)

        assert "○ open ◆ bot ▲ queued ● with agent 0 2 2 0" in told
        assert re.search(r"longest wait in the queue 5 min ■ attention since \d\d:\d\d:\d\d", told)
        assert "waits over 1 min 1 ■ attention" in told
        assert "wait for an answer of the bot 1 ▲ attention the longest since" in told
        assert "past their deadline, not swept 1 ▲ attention" in told
        assert "abandoned in the queue 1 and 1 within 10 s" in told
        assert "opened 5 closed 2" in told
        assert "events without a chat (strays) 1 invalid events 0" in told
        assert "invalid events 1 without a platform" in told
        assert "(lag) under 1 min" in told
        assert "conflicts not known here" in told
        assert "have opened since 00:00" in told

    def test_a_long_lag_is_an_alarm(self, site: Site, writer: ChatEngine) -> None:
        said(writer, "anna", ("inbound", ASKS, 200))

        assert "(lag) 3 min ▲ attention" in words_of(site.get("/").text)

    def test_a_platform_that_has_only_strays(self, site: Site, writer: ChatEngine) -> None:
        writer.handle("inbound", {"type": "client_left", "userId": "x", "platformId": "app"})
        told = words_of(site.get("/").text)

        assert "app Live chats ○ open ◆ bot ▲ queued ● with agent 0 0 0 0 In the hour" in told

    def test_the_target_is_that_of_the_board(self, file: File) -> None:
        in_queue(file[1], "anna", 100)
        with a_site(file[0], target=timedelta(seconds=90)) as site:
            assert "waits over 90 s 1" in words_of(site.get("/").text)
        with a_site(file[0], target=timedelta(hours=2)) as site:
            assert "waits over 2 h 0 min 0" in words_of(site.get("/").text)


class TestWaiting:
    def test_nobody(self, site: Site) -> None:
        assert "Nobody waits." in site.get("/waiting").text

    def test_the_longest_first_with_place_and_times(self, site: Site, writer: ChatEngine) -> None:
        session_id = in_queue(writer, "bert-0123456789", 30)
        in_queue(writer, "anna-0123456789", 600)
        page = site.get("/waiting").text
        told = words_of(page)

        assert told.index("anna-…") < told.index("bert-…")
        assert f'href="/chat/{session_id}"' in page
        assert re.search(r"web bert-… chat 1 under 1 min \d\d:\d\d:\d\d 3 \d\d:\d\d:\d\d", told)

    def test_a_long_list_ends(self, site: Site, writer: ChatEngine, monkeypatch: Any) -> None:
        monkeypatch.setattr(pages, "LISTED", 1)
        in_queue(writer, "anna", 90)

        assert "The list ends after 1." in site.get("/waiting").text


class TestSearch:
    def test_a_user_that_is_known(self, site: Site, writer: ChatEngine) -> None:
        first = said(writer, USER, ("inbound", ASKS, 900), ("inbound", LEAVES, 800))
        second = said(writer, USER, ("inbound", ASKS, 20))
        page = site.get(f"/search?user={USER}").text

        assert page.index(f"/chat/{second}") < page.index(f"/chat/{first}")
        assert "chat 2" in page
        assert f"/chat/{first}" in site.get(f"/search?user={USER}&platform=web").text
        assert first not in site.get(f"/search?user={USER}&platform=app").text

    def test_one_that_is_not(self, site: Site) -> None:
        assert "No chat of this user is known." in site.get("/search?user=nobody").text

    @pytest.mark.parametrize("query", [f"user={'x' * 256}", f"user=a&platform={'x' * 256}"])
    def test_what_can_be_no_id(self, site: Site, query: str) -> None:
        answer = site.get(f"/search?{query}")

        assert (answer.status_code, "can&#39;t be an id" in answer.text) == (400, True)

    def test_a_long_list_ends(self, site: Site, writer: ChatEngine, monkeypatch: Any) -> None:
        from sermo_fsm.board import asked_pages

        monkeypatch.setattr(asked_pages, "_FOUND", 1)
        said(writer, USER, ("inbound", ASKS, 900), ("inbound", LEAVES, 800))

        assert "The list ends after 1." in site.get(f"/search?user={USER}").text


class TestChat:
    def test_in_the_queue(self, site: Site, writer: ChatEngine) -> None:
        page = site.get(f"/chat/{in_queue(writer, USER, 130)}")
        told = words_of(page.text)

        assert "Chat 1 of kund-… on web ▲ queued" in told
        assert re.search(r"It is in ▲ queued since \d\d:\d\d:\d\d \(2 min\)", told)
        assert "It has waited in the queue since" in told
        assert "The customer was told place 3." in told
        assert "Unless the customer is heard of, it closes at" in told
        assert re.search(r"customer bot writes ◆ bot", told)
        assert re.search(r"platform customer tells place 3 in the queue ▲ queued", told)
        assert 'data-events="/events/chat/' in page.text

    def test_with_the_bot_and_with_an_agent(self, site: Site, writer: ChatEngine) -> None:
        session_id = said(writer, USER, ("inbound", ASKS, 20))
        assert "text has had no reply" in site.get(f"/chat/{session_id}").text
        said(writer, USER, ("outbound", ANSWERS, 15))
        assert "text has had no reply" not in site.get(f"/chat/{session_id}").text
        said(writer, USER, ("outbound", TAKES, 10))
        told = words_of(site.get(f"/chat/{session_id}").text)
        assert "The agent is anan01." in told
        assert "anan01 customer writes ● with agent" in told

    def test_one_of_which_little_is_known(self, site: Site, file: File) -> None:
        policy = Policy(idle_timeout=None)
        with ChatEngine(file[0], policy=policy) as writer:
            event = {"type": "handover_to_queue", "platformId": "web", "userId": USER}
            writer.handle("outbound", event)
            chat = writer.status("web", USER)
        assert chat is not None
        told = words_of(site.get(f"/chat/{chat.session_id}").text)

        assert "It has waited in the queue since" in told
        for words in ("was told place", "was last seen", "it closes at", "deadline"):
            assert words not in told

    def test_one_that_is_past_its_deadline(self, site: Site, writer: ChatEngine) -> None:
        session_id = said(writer, USER, ("inbound", ASKS, 4000))

        assert "is past: it is to be swept." in site.get(f"/chat/{session_id}").text

    def test_one_that_is_over(self, site: Site, writer: ChatEngine) -> None:
        first = said(writer, USER, ("inbound", ASKS, 900), ("inbound", LEAVES, 800))
        said(writer, USER, ("outbound", QUEUES, 790))  # late
        second = said(writer, USER, ("inbound", ASKS, 20))
        told = words_of(site.get(f"/chat/{first}").text)
        page = site.get(f"/chat/{second}").text

        assert "The chat is closed: nothing changes any more." in told
        assert re.search(r"It closed at \S+ : the customer left the chat\.", told)
        assert "✕ closed the customer left the chat" in told
        assert "late: tells place 3 in the queue" in told
        assert "data-events" not in site.get(f"/chat/{first}").text
        assert f'href="/chat/{first}">The chat before it' in page

    def test_one_that_goes_on_from_another(self, site: Site, writer: ChatEngine) -> None:
        said(writer, USER, ("inbound", ASKS, 2000))
        writer.sweep()
        session_id = said(writer, USER, ("inbound", ASKS, 20))

        assert (
            "goes on from a chat that the clock had closed" in site.get(f"/chat/{session_id}").text
        )

    def test_a_long_one_ends(self, site: Site, writer: ChatEngine, monkeypatch: Any) -> None:
        from sermo_fsm.board import live_pages

        monkeypatch.setattr(live_pages, "_SHOWN", 1)
        session_id = in_queue(writer, USER)
        told = words_of(site.get(f"/chat/{session_id}").text)

        assert "shows the rows 2 to 2 of 2" in told
        assert "tells place 3" in told
        assert "writes" not in told
        monkeypatch.setattr(live_pages, "_READ", 1)
        assert "shows the rows 1 to 1 of 2" in site.get(f"/chat/{session_id}").text

    def test_its_picture(self, site: Site, writer: ChatEngine) -> None:
        session_id = in_queue(writer, USER)
        light = site.get(f"/chat/{session_id}/path.svg?theme=light")
        dark = site.get(f"/chat/{session_id}/path.svg?theme=dark")

        assert light.headers["content-type"] == "image/svg+xml"
        assert "user kund-… on web" in light.text
        assert USER not in light.text
        assert dark.text != light.text
        assert site.get(f"/chat/{session_id}/path.svg?theme=pink").status_code == 404
        assert site.get("/chat/nobody/path.svg").status_code == 404

    @pytest.mark.parametrize("session_id", ["nobody", "8b0a2c1e-5d3f-5c47-9a51-6f1c6d0b7e42"])
    def test_one_that_does_not_exist(self, site: Site, session_id: str) -> None:
        answer = site.get(f"/chat/{session_id}")

        assert answer.status_code == 404
        assert "There is no such chat." in answer.text


class TestFigures:
    def test_of_today(self, site: Site, writer: ChatEngine) -> None:
        said(writer, USER, ("inbound", ASKS, 3), ("inbound", LEAVES, 2))
        told = words_of(site.get("/figures").text)

        assert "visits opened 1" in told
        assert re.search(r"counted at \S+ , in ", told)
        assert "How each figure is counted" in told

    def test_of_days_gone_by_by_agent(self, site: Site, writer: ChatEngine) -> None:
        for name in ("1-standard", "2-transfer"):
            writer.handle_many((EXAMPLES / f"{name}.jsonl").read_text().splitlines())
        told = words_of(site.get("/figures?from=2026-03-01&to=2026-03-07&by=agent").text)

        assert "opened from 2026-03-01 to 2026-03-07" in told
        assert re.search(r"anan01 figure part number", told)
        assert re.search(r"handle time anan01 1 ", told)
        some = site.get("/figures?from=2026-03-01&to=2026-03-07&platform=app").text
        assert "opened" in some

    def test_of_days_without_any(self, site: Site) -> None:
        told = words_of(site.get("/figures?from=2026-01-01&to=2026-01-02&by=day").text)

        assert "No visit opened then." in told

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("from=2026-03-02&to=2026-03-01", "Those are no days"),
            ("from=2026-01-01&to=2026-02-01", "Those are no days"),
            ("from=yesterday", "Those are no days"),
            ("from=0001-01-01&to=0001-01-01", "Those are no days"),
            ("from=0001-06-01&to=0001-06-01", "Those are no days"),
            ("from=9999-12-31&to=9999-12-31", "Those are no days"),
            ("by=mood", "There is no such group."),
            (f"platform={'x' * 256}", "can't be an id"),
        ],
    )
    def test_what_can_not_be_counted(self, site: Site, query: str, words: str) -> None:
        answer = site.get(f"/figures?{query}")

        assert answer.status_code == 400
        assert words in answer.text.replace("&#39;", "'")


class TestMachine:
    def test_nothing_today(self, site: Site) -> None:
        assert "Nothing has happened today." in site.get("/machine").text

    def test_todays_traffic(self, site: Site, writer: ChatEngine) -> None:
        in_queue(writer, USER, 1)
        told = words_of(site.get("/machine").text)

        assert "new chat ◆ bot customer_text 1" in told
        assert "◆ bot ▲ queued queue_number 1" in told
        assert "◆ bot 1 20 s" in told
        assert site.get("/machine.svg").text.startswith("<svg")


class TestEveryPage:
    def test_nothing_of_what_people_wrote_or_are_called(
        self, site: Site, writer: ChatEngine
    ) -> None:
        session_id = in_queue(writer, USER)
        said(writer, USER, ("outbound", TAKES, 20), ("outbound", ANSWERS, 10))
        for path in (*OTHERS, "/metrics", f"/chat/{session_id}", f"/chat/{session_id}/path.svg"):
            page = site.get(path).text
            for secret in (SECRET, "Anders", "Robotina", USER):
                assert secret not in page, path

    def test_with_bodies_and_ids_they_are_there(self, file: File) -> None:
        session_id = in_queue(file[1], USER)
        said(file[1], USER, ("outbound", TAKES, 20))
        with a_site(file[0], bodies=True, ids=True) as site:
            page = site.get(f"/chat/{session_id}").text
            for shown in (SECRET, "Anders And", USER):
                assert shown in page

    def test_what_was_erased_says_so(self, file: File) -> None:
        session_id = in_queue(file[1], USER)
        with sa.create_engine(file[0], poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql("UPDATE sermo_body SET event = NULL")
        with a_site(file[0], bodies=True) as site:
            assert "[erased]" in site.get(f"/chat/{session_id}").text
            assert "[raderat]" in site.get(f"/chat/{session_id}", accept_language="sv").text

    def test_what_strangers_send_is_only_text(self, file: File) -> None:
        url, writer = file
        evil: dict[str, Any] = {"platformId": EVIL, "text": EVIL}
        session_id = in_queue(writer, EVIL * 2, **evil)
        taken = {**TAKES, "agent": {"id": EVIL, "name": EVIL, "type": "human"}, **evil}
        said(writer, EVIL * 2, ("outbound", taken, 10), ("outbound", {"type": EVIL, **evil}, 9))
        in_queue(writer, EVIL, **evil)
        with a_site(url, bodies=True, ids=True) as site:
            for path in (
                *OTHERS,
                f"/chat/{session_id}",
                f"/chat/{session_id}/path.svg",
                "/machine.svg",
                "/figures?by=agent",
                "/figures?by=platform",
                "/figures?platform=%22%3E%3Cscript%3Ealert",
                "/search?user=%22%3E%3Cscript%3Ealert&platform=%22%3E%3Cscript%3Ealert",
                "/%22%3E%3Cscript%3Ealert",
            ):
                page = site.get(path).text
                assert "<script>alert" not in page, path
                assert '"><script' not in page, path

    def test_it_says_in_which_zone_its_times_are(self, file: File) -> None:
        for zone, name in ((ZoneInfo("Europe/Stockholm"), "Europe/Stockholm"), (None, "UTC")):
            with a_site(file[0], zone=zone) as site:
                assert f"Times are in {name}." in site.get("/").text

    def test_in_swedish(self, site: Site, writer: ChatEngine) -> None:
        session_id = in_queue(writer, USER)
        for path, words in (
            ("/", "längsta väntan i kön"),
            ("/waiting", "Vem som väntar i kön"),
            ("/search", "Användar-id"),
            ("/figures", "Nyckeltal för besök"),
            ("/machine", "Dagens trafik"),
            (f"/chat/{session_id}", "säger plats 3 i kön"),
            ("/chat/nobody", "Chatten finns inte."),
            ("/nothing", "Sidan finns inte."),
        ):
            answer = site.get(path, accept_language="sv-SE,sv;q=0.9,en;q=0.8")
            assert words in answer.text, path
            assert '<html lang="sv"' in answer.text
            assert answer.headers["content-language"] == "sv"
            assert answer.headers["vary"] == "Accept-Language"

    def test_where_it_is_mounted_its_links_lead_there(self, site: Site, writer: ChatEngine) -> None:
        session_id = in_queue(writer, USER)
        for path in (*OTHERS, f"/chat/{session_id}", "/nothing"):
            page = site.get(path, root="/board").text
            links = re.findall(r'(?:href|src|srcset|action|data-events)="([^"]*)"', page)
            assert links
            assert all(link.startswith(("/board/", "#")) for link in links), path
        assert site.get("/static/board.css", root="/board").status_code == 200

    def test_without_a_script_it_can_reload(self, site: Site) -> None:
        assert '<a href="/?reload=10">' in site.get("/").text
        page = site.get("/?reload=10").text
        assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page
        assert '<a href="/">Reload no more' in page
        assert "http-equiv" not in site.get("/?reload=1").text

    def test_where_the_database_is_away_it_says_so(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise StoreUnavailable("no route to host, as 10.0.0.1 says")

        def fail_to_list(*_: object, **__: object) -> None:
            raise StoreUnavailable("no route to host, as 10.0.0.1 says")

        for name in ("overview", "figures", "traffic", "session"):
            monkeypatch.setattr(site.engine, name, fail)
        monkeypatch.setattr(site.engine, "sessions", fail_to_list)
        for path in (
            *("/", "/waiting", "/chat/x", "/search?user=x", "/figures", "/machine"),
            *("/machine.svg", "/chat/x/path.svg"),
        ):
            answer = site.get(path)
            assert answer.status_code == 503, path
            assert "database does not answer" in answer.text
            assert "10.0.0.1" not in answer.text
        assert "STALE" in site.get("/").text
        assert 'class="stale"' in site.get("/").text


def test_the_files_ship_with_the_package() -> None:
    assert {file.name for file in pages.STATIC.iterdir()} == {"board.css", "board.js", "icon.svg"}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"every": 0}, "every: wanted a number of seconds"),
        ({"every": True}, "every"),
        ({"every": 3601.0}, "every"),
        ({"target": timedelta(-1)}, "target: wanted a timedelta"),
        ({"target": 60}, "target"),
        ({"zone": "Europe/Stockholm"}, "zone: wanted a tzinfo"),
        ({"hosts": "localhost"}, "hosts: wanted names"),
        ({"token": "short"}, "token: wanted 16 or more"),
        ({"token": "with a space in it"}, "token"),
        ({"token": 1234567890123456}, "token"),
    ],
)
def test_unusable_options_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        app(AsyncChatEngine("sqlite+aiosqlite://"), **options)


def test_the_engine_has_to_be_one_for_asyncio() -> None:
    with ChatEngine("sqlite://") as engine, pytest.raises(InvalidArgument, match="AsyncChatEngine"):
        app(engine)  # type: ignore[arg-type]  # on purpose


def test_a_token_is_in_no_repr() -> None:
    assert "correct-horse" not in repr(Settings(token="correct-horse-battery"))  # noqa: S106 - its


class TestWords:
    @pytest.mark.parametrize(
        ("accepted", "language"),
        [
            ("", "en"),
            ("sv", "sv"),
            ("SV-fi", "sv"),
            ("de,fr", "en"),
            ("en,sv;q=0.9", "en"),
            ("en;q=0.5, sv;q=0.9", "sv"),
            ("sv;q=0", "en"),
            ("sv;q=2", "en"),
            ("sv;level=1", "en"),
            ("*", "en"),
            (",;,", "en"),
        ],
    )
    def test_the_language_is_what_the_browser_asks_for(self, accepted: str, language: str) -> None:
        assert words_for(accepted).language == language

    def test_every_word_of_a_page_is_known_in_swedish(self) -> None:
        folder = Path(pages.__file__).parent
        said = {title for *_, title in pages._NAVIGATION}
        for template in (folder / "templates").rglob("*.html"):
            tree = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
            for call in tree.find_all(nodes.Call):
                match call:
                    case nodes.Call(
                        node=nodes.Name(name="_") | nodes.Getattr(attr="say"),
                        args=[nodes.Const(value=str(text)), *_],
                    ):
                        said.add(text)
        for module in folder.glob("*.py"):
            code = module.read_text(encoding="utf-8")
            said |= set(re.findall(r'\b(?:say|words)\(\s*"([^"]+)"', code))
        assert len(said) > 100
        assert {text for text in said if not SWEDISH.knows(text)} == set()
        assert all(ENGLISH.knows(text) for text in said)

    def test_every_word_of_the_machine_is_known_in_swedish(self) -> None:
        words = [
            *State,
            *Grouping,
            *FORMULAS,
            *timeline.CLOSE_REASONS.values(),
            *timeline._RICH_REPLIES.values(),
            *(words.partition(",")[0] for words in timeline._SUMMARIES.values()),
        ]
        assert [word for word in words if not SWEDISH.knows(word)] == []
        assert set(timeline._SUMMARIES) == set(Trigger)
        assert set(timeline.CLOSE_REASONS) == set(CloseReason)

    @pytest.mark.parametrize(
        ("english", "swedish"),
        [
            ("writes", "skriver"),
            ("writes, nobody knows who", "skriver, ingen vet vem"),
            ("tells place 12 in the queue", "säger plats 12 i kön"),
            ("writes [picture, image/png, 5 kB]", "skriver [picture, image/png, 5 kB]"),
            ("closes the chat by hand (stuck)", "avslutar chatten för hand (stuck)"),
            (
                "is done with the chat, but the customer has written since",
                "är klar med chatten, men kunden har skrivit sedan dess",
            ),
            (
                "sends what the protocol does not know (a, b)",
                "skickar något som protokollet inte känner till (a, b)",
            ),
            ("", ""),
        ],
    )
    def test_what_a_timeline_says(self, english: str, swedish: str) -> None:
        assert SWEDISH.summary(english) == swedish
        assert ENGLISH.summary(english) == english


class TestDisplay:
    display = Display(ENGLISH, None, Settings().user, at(0))

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (-5, "under 1 min"),
            (59.9, "under 1 min"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
            (86399, "23 h 59 min"),
            (90000, "1 d 1 h"),
        ],
    )
    def test_lengths(self, seconds: float, words: str) -> None:
        assert self.display.length(timedelta(seconds=seconds)) == words

    @pytest.mark.parametrize(
        ("figure", "part", "english", "swedish"),
        [
            ("visits", "", "", ""),
            ("visits", "client_left", "the customer left the chat", "kunden lämnade chatten"),
            ("timeInQueue", "customerLeft", "customer left", "kunden gick"),
            ("repeatVisits", "within24Hours", "within 24 hours", "inom 24 timmar"),
            (
                "repeatVisits",
                "within7Days agent_done",
                "within 7 days, the agent was done",
                "inom 7 dagar, medarbetaren var klar",
            ),
            ("handleTime", "customerLeft", "customerLeft", "customerLeft"),
        ],
    )
    def test_parts_of_figures(self, figure: str, part: str, english: str, swedish: str) -> None:
        row = FigureRow(figure, part)
        assert self.display.part(row) == english
        assert evolve(self.display, words=SWEDISH).part(row) == swedish

    def test_a_time_of_another_day_has_its_date(self) -> None:
        assert ">2026-02-28 12:00:00<" in self.display.time(at(-86400))
        assert ">12:00:00<" in self.display.time(at(0))

    @pytest.mark.parametrize(
        ("user", "shown"),
        [("a", "…"), ("anna", "a…"), ("3f0b7c52-6a1e-4d0f", "3f0b7c…"), ("1234567890", "123…")],
    )
    def test_of_a_user_no_more_than_a_third_is_shown(self, user: str, shown: str) -> None:
        assert Settings().user(user) == shown
        assert Settings(ids=True).user(user) == user


class TestCurve:
    def test_bars_stand_on_the_ground_and_end_below_the_top(self) -> None:
        steps = (Quantity(at(0), 3, 1), Quantity(at(1800), 7, 0), Quantity(at(3600), 0, 0))
        found = curve(DayCounts(at(4000), steps))

        assert (found.most, found.opened, found.queued, found.peak) == (10, 10, 1, at(1800))
        first, second, third = found.bars
        assert (first.queued_y, first.queued_height) == (180, 20)
        assert (first.other_y, first.other_height) == (140, 40)
        assert (second.queued_height, second.other_y) == (0, 60)
        assert third.other_height == 0
        assert first.x < second.x < third.x

    @pytest.mark.parametrize(
        ("count", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (501, 1000)]
    )
    def test_the_scale_ends_at_a_round_number(self, count: int, top: int) -> None:
        assert curve(DayCounts(at(1), (Quantity(at(0), count, 0),))).most == top

    def test_a_day_that_has_just_begun(self) -> None:
        found = curve(DayCounts(at(0), ()))
        assert (found.bars, found.peak) == ((), None)
