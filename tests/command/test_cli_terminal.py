"""What people see: tables and colours on a terminal, plain lines in a pipe, and never an escape."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from sermo_fsm import ChatEngine, ChatSession, HistoryRow
from sermo_fsm.cli import main
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.progress import ingest_progress, progress_bar
from sermo_fsm.cli.shell import printer_for
from sermo_fsm.cli.terminal import console_on
from sermo_fsm.cli.text import escape_controls
from tests.command.test_cli_support import START, event, line, sermo, url_of

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = "[red]\x1b[31m\x1b]0;title\x07\u202etxt\x9b2J[/red]\r\n\tend"
LONG_ID = "u" * 255
ANDERS = {"id": "anan01", "name": "Anders", "type": "human"}


class Terminal(io.StringIO):
    """What a person would see."""

    def isatty(self) -> bool:
        return True

    @property
    def plain(self) -> str:
        return ESCAPES.sub("", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[ChatEngine]:
    with ChatEngine(url_of(tmp_path / "chats.db")) as engine:
        engine.migrate()
        engine.handle_many(
            [
                line("inbound", event("text", text="Hej, jag har en fråga om min faktura " * 9)),
                line("outbound", event("handover_to_bot", flowGroupId="faktura"), at=1),
                line("outbound", event("queue_number", queueNumber=12), at=2),
                line("outbound", event("text", text="Anders här", agent=ANDERS), at=3),
                line("inbound", event("text", text="Bild:", image="data:,x"), at=4),
                line("outbound", event("text", text="Hej", agent={"id": "anan01"}), at=5),
                line("outbound", event("platform_closed"), at=5),
                line("inbound", event("client_unload"), at=6),
                line("inbound", event("text", LONG_ID, text=EVIL), at=7),
                line("outbound", event("queue_number", "bo", queueNumber=3), at=8),
                line("outbound", event("agent_done", "nobody"), at=9),
                "{" + EVIL,
            ]
        )
        engine.sweep(START + timedelta(minutes=20))
        engine.handle_many([line("inbound", event("heartbeat"), at=1300)])
        yield engine


def chat(db: ChatEngine, user: str = "anna") -> ChatSession:
    session = db.status("web", user)
    assert session is not None
    return session


def first_chat_of_anna(db: ChatEngine) -> list[HistoryRow]:
    first = [*db.sessions(user="anna")][-1]
    return [*db.history(first.session_id)]


NOW = START + timedelta(minutes=25)


# --- in a pipe ----------------------------------------------------------------------------------


def test_in_a_pipe_a_row_is_a_line_with_tabs_and_nothing_is_cut(db: ChatEngine) -> None:
    page = io.StringIO()
    printer_for(page, NOW).print_sessions(db.sessions())
    header, *rows = [line.split("\t") for line in page.getvalue().splitlines()]
    assert header == [
        *("platform", "user", "chat", "state", "since", "agent", "queue", "last seen", "session")
    ]
    assert rows[0] == [
        *("web", "anna", "2", "with_agent", "2026-03-01T12:21:40.000Z", "anan01", ""),
        *("2026-03-01T12:21:40.000Z", chat(db).session_id),
    ]
    assert [row[1] for row in rows] == ["anna", "bo", LONG_ID, "anna"]


def test_in_a_pipe_history_says_what_happened(db: ChatEngine) -> None:
    page = io.StringIO()
    printer_for(page, NOW).print_history(first_chat_of_anna(db), bodies=True)
    header, *rows = [line.split("\t") for line in page.getvalue().splitlines()]
    assert header == ["seq", "time", "direction", "type", "from", "to", "outcome", "text", "reason"]
    assert rows[0][:7] == ["1", "2026-03-01T12:00:00.000Z", "inbound", "text", "", "bot", "moved"]
    assert rows[0][7].startswith("Hej, jag har en fråga")
    assert rows[0][7].endswith("…")
    assert len(rows[0][7]) == 80
    assert [row[7] for row in rows[1:]] == [
        "flow faktura",
        "number 12",
        "Anders: Anders här",
        "Bild: [image]",
        "anan01: Hej",
        "",
        "",
        "",
    ]
    assert rows[-1][2:4] == ["timer", "expire"]
    assert [row[8] for row in rows] == [*[""] * (len(rows) - 1), "client_unload"]


def test_what_people_wrote_and_are_called_is_shown_only_where_asked_for(
    db: ChatEngine, terminal: Terminal
) -> None:
    for page in (io.StringIO(), terminal):
        printer = printer_for(page, NOW)
        printer.print_history(first_chat_of_anna(db))
        printer.print_strays(db.strays())
        shown = ESCAPES.sub("", page.getvalue())
        assert not re.search("Hej|Anders|Bild|red", shown)
        for fact in ("flow faktura", "number 12", "anan01:", "[image]", "$: wanted JSON"):
            assert fact in shown


def test_the_code_of_an_operator_is_shown(db: ChatEngine, terminal: Terminal) -> None:
    code = "reported-7"
    assert db.close_chat("web", "bo", reason=code, at=START + timedelta(seconds=20))
    printer_for(terminal, NOW).print_history(db.history(chat(db, "bo").session_id))
    assert re.search(r"■ close +queued → closed +moved +operator reported-7", terminal.plain)


def test_in_a_pipe_strays_say_why(db: ChatEngine) -> None:
    page = io.StringIO()
    printer_for(page, NOW).print_strays(db.strays(), bodies=True)
    header, *rows = [line.split("\t") for line in page.getvalue().splitlines()]
    assert header[-3:] == ["outcome", "reason", "text"]
    assert [row[-3] for row in rows] == ["stray", "invalid"]
    assert rows[0][4:6] == ["web", "nobody"]
    assert rows[1][-2].startswith("$: wanted JSON")
    assert rows[1][-1].startswith("{[red]\\x1b[31m")


def test_in_a_pipe_the_card_is_a_name_and_a_value_a_line(db: ChatEngine) -> None:
    page = io.StringIO()
    printer_for(page, NOW).print_session(chat(db))
    lines = dict(line.split("\t") for line in page.getvalue().splitlines())
    assert lines["chat"] == "2, resumed"
    assert lines["chat before"] == "closed by client_unload"
    assert lines["last seen"] == "2026-03-01T12:21:40.000Z"
    assert lines["session"] == chat(db).session_id
    assert "queue number" not in lines


def test_every_command_is_plain_where_nobody_watches(db: ChatEngine) -> None:
    url = db._engine.url.render_as_string()
    for command in (
        ["sessions"],
        ["status", "web", "anna"],
        ["history", "web", LONG_ID, "--bodies"],
        ["strays", "--bodies"],
        ["verify"],
        ["check"],
    ):
        result = sermo(*command, SERMO_DB=url, FORCE_COLOR="1", COLUMNS="20")
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.stdout)


def test_json_is_whole_and_can_not_reach_the_terminal_either(db: ChatEngine) -> None:
    url = db._engine.url.render_as_string()
    texts = [
        sermo(*command, "--bodies", "--json", SERMO_DB=url).stdout
        for command in (["history", "web", LONG_ID], ["strays"])
    ]
    for text in texts:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        first, *items, last = text.splitlines()
        assert (first, last) == ("[", "]")
        assert [json.loads(item.removesuffix(",")) for item in items] == json.loads(text)
    assert json.loads(texts[0])[0]["event"]["text"] == EVIL
    assert json.loads(texts[1])[1]["raw"] == "{" + EVIL


def test_what_is_printed_into_no_file_at_all_is_printed(db: ChatEngine) -> None:
    url = db._engine.url.render_as_string()
    page = io.StringIO()
    with redirect_stdout(page):
        status = main(["sessions", "--db", url], standalone_mode=False)
    assert not status
    assert len(page.getvalue().splitlines()) == 5


# --- on a terminal ------------------------------------------------------------------------------


def test_a_terminal_gets_a_table_with_colours(db: ChatEngine, terminal: Terminal) -> None:
    printer_for(terminal, NOW).print_history(first_chat_of_anna(db))
    assert "\x1b[33mqueued" in terminal.getvalue()
    assert "\x1b[2m2026-03-01 (UTC)\x1b[0m" in terminal.getvalue()
    legend, header, day, first, *_ = terminal.plain.splitlines()
    assert legend == "► inbound  ◄ outbound  ○ timer  ◇ internal  ■ operator"
    assert header.split() == ["time", "type", "state", "outcome", "text"]
    assert day == "2026-03-01 (UTC)"
    assert first.startswith("12:00:00  ► text ")


def test_a_terminal_shows_times_in_the_zone_and_says_which(
    db: ChatEngine, terminal: Terminal
) -> None:
    printer = printer_for(terminal, NOW, ZoneInfo("Europe/Stockholm"))
    printer.print_history(first_chat_of_anna(db))
    printer.print_strays(db.strays())
    printer.print_session(chat(db))
    assert terminal.plain.splitlines()[2:4] == [
        "2026-03-01 (CET)",
        "13:00:00  ► text             → bot                moved",
    ]
    assert "13:00:09  ◄ agent_done" in terminal.plain
    assert "2026-03-01 13:21:40 CET (3 min ago)" in terminal.plain


def test_a_terminal_gets_no_colours_where_none_are_wanted(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    printer_for(terminal, NOW).print_history(first_chat_of_anna(db))
    printer_for(terminal, NOW).print_line("plain")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.getvalue())
    assert "queued" in terminal.plain


@pytest.mark.parametrize("columns", ["10", "40", "79", "80", "100", "149", "150", "250"])
def test_the_id_of_a_session_is_whole_at_any_width(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    sessions = [*db.sessions()]
    printer_for(terminal, NOW).print_sessions(sessions)
    assert re.findall(r"\S{36}$", terminal.plain, re.MULTILINE) == [
        session.session_id for session in sessions
    ]
    assert ("last seen" in terminal.plain) is (int(columns) >= 150)
    assert "inbound" not in terminal.plain


def shown_at(
    width: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> tuple[Printer, Terminal]:
    monkeypatch.setenv("COLUMNS", str(width))
    return printer_for(terminal, NOW), terminal


def test_at_80_columns_a_row_of_history_is_a_line_and_only_the_text_is_cropped(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = shown_at(80, terminal, monkeypatch)
    rows = first_chat_of_anna(db)
    page.print_history(rows, bodies=True)
    _, _, _, *lines = terminal.plain.splitlines()
    assert len(lines) == len(rows)
    assert max(map(len, lines)) <= 80
    columns = [re.split(r"  +", line) for line in lines]
    assert [one[:4] for one in columns] == [
        ["12:00:00", "► text", "→ bot", "moved"],
        ["12:00:01", "◄ handover_to_bot", "bot", "stayed"],
        ["12:00:02", "◄ queue_number", "bot → queued", "moved"],
        ["12:00:03", "◄ text", "queued → with_agent", "moved"],
        ["12:00:04", "► text", "with_agent", "stayed"],
        ["12:00:05", "◄ text", "with_agent", "stayed"],
        ["12:00:05", "◄ platform_closed", "with_agent", "stayed"],
        ["12:00:06", "► client_unload", "with_agent", "stayed"],
        ["12:01:06", "○ expire", "with_agent → closed", "moved"],
    ]
    assert columns[0][4].startswith("Hej, jag har")
    assert columns[0][4].endswith("…")
    assert columns[2][4] == "number 12"
    assert columns[-1][4] == "client_unload"


def test_at_40_columns_a_row_goes_on_in_the_next_line_and_nothing_vanishes(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = shown_at(40, terminal, monkeypatch)
    page.print_history(first_chat_of_anna(db))
    page.print_strays(db.strays())
    page.print_sessions(db.sessions())
    lines = terminal.plain.splitlines()
    assert max(map(len, lines)) <= 40
    words = " ".join(terminal.plain.split())
    for whole in (
        *("► inbound ◄ outbound ○ timer ◇ internal ■ operator", "time type state outcome text"),
        *("12:00:03 ◄ text queued → with_agent moved", "◄ handover_to_bot bot stayed flow faktura"),
        *("○ expire with_agent → closed moved client_unload", "◄ agent_done web nobody stray"),
        *("web anna 2 with_agent 3 min ago anan01", "web bo 1 queued 24 min ago 3"),
    ):
        assert whole in words


def test_the_day_stands_above_its_rows(db: ChatEngine, terminal: Terminal) -> None:
    row = first_chat_of_anna(db)[0]
    days = [0, 0, 1, 2, 2]
    rows = [replace(row, effective_at=START + timedelta(days=day)) for day in days]
    printer_for(terminal, NOW).print_history(rows)
    shown = [line.split()[0] for line in terminal.plain.splitlines()[2:]]
    one = "12:00:00"
    assert shown == ["2026-03-01", one, one, "2026-03-02", one, "2026-03-03", one, one]


@pytest.mark.parametrize("reason", ["client_left", "agent_done", "client_unload", "idle"])
@pytest.mark.parametrize("width", [10, 40, 80])
def test_why_a_chat_closed_is_never_cropped(
    db: ChatEngine,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    reason: str,
) -> None:
    page, _ = shown_at(width, terminal, monkeypatch)
    rows = first_chat_of_anna(db)
    page.print_history([replace(rows[0], type="x" * 99, reason=reason), rows[3]], bodies=True)
    assert reason in terminal.plain
    assert "…" in terminal.plain


def test_ids_that_are_too_long_are_cropped_in_the_middle(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = shown_at(80, terminal, monkeypatch)
    wide = [replace(one, user_id="a" + "你" * 200 + "z") for one in db.sessions(user="bo")]
    page.print_sessions([*db.sessions(), *wide])
    header, heading, *lines = terminal.plain.splitlines()
    assert header.split() == ["platform", "user", "chat", "state", "since", "agent", "queue"]
    assert heading == "  session"
    assert len(lines) == 5 * 2
    assert all(cell_len(line) <= 80 for line in lines)
    assert re.match(r"web +u+…u+ +1 +bot +24 min ago", lines[4])
    assert re.match(r"web +a你+…你+z +1 +queued ", lines[8])


def test_at_80_columns_a_stray_is_a_line(
    db: ChatEngine, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = shown_at(80, terminal, monkeypatch)
    stray, invalid = db.strays()
    long = replace(stray, type="handover_to_agent", platform_id="p" * 50, user_id="u" * 50)
    page.print_strays([stray, invalid, long])
    legend, header, *lines = terminal.plain.splitlines()
    assert legend.startswith("► inbound")
    assert header.split() == ["time", "type", "platform", "user", "outcome", "why"]
    rows = [line for line in lines if "(UTC)" not in line]
    assert len(rows) == 3
    assert max(map(len, rows)) <= 80
    assert re.match(r"12:00:09  ◄ agent_done +web +nobody +stray +\w.*…$", rows[0])
    assert re.match(r"\d\d:\d\d:\d\d  \? +invalid +\$: wanted.*…$", rows[1])
    assert re.match(r"12:00:09  ◄ handover_to_agent  pp+…pp+  uu+…uu+  stray ", rows[2])


def test_a_terminal_is_told_where_there_is_nothing(terminal: Terminal) -> None:
    printer_for(terminal, NOW).print_strays([])
    assert terminal.plain == "none\n"


def test_a_long_listing_is_laid_out_in_parts(db: ChatEngine, terminal: Terminal) -> None:
    row = first_chat_of_anna(db)[0]
    printer_for(terminal, NOW).print_history(row for _ in range(450))
    assert len(re.findall("^time ", terminal.plain, re.MULTILINE)) == 3
    assert terminal.plain.count("► inbound") == 1
    assert len(terminal.plain.splitlines()) == 450 + 3 + 1 + 1


def test_what_customers_write_can_not_reach_the_terminal(
    db: ChatEngine, terminal: Terminal
) -> None:
    page = printer_for(terminal, NOW)
    page.print_history(db.history(chat(db, LONG_ID).session_id), bodies=True)
    page.print_strays(db.strays(), bodies=True)
    page.print_session(chat(db, LONG_ID))
    page.print_line(EVIL)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", terminal.plain)
    assert "[red]\\x1b[31m" in terminal.plain.replace("\n", "")


def test_the_card_says_how_long_ago(db: ChatEngine, terminal: Terminal) -> None:
    printer_for(terminal, NOW).print_session(chat(db))
    assert "2026-03-01 12:21:40 UTC (3 min ago)" in terminal.plain
    assert "(in 26 min)" in terminal.plain
    assert re.search(r"^chat +2, resumed *$", terminal.plain, re.MULTILINE)
    assert "with_agent" in terminal.plain


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(), "(now)"),
        (timedelta(seconds=1), "(now)"),
        (timedelta(seconds=2), "(2 s ago)"),
        (timedelta(minutes=90), "(90 min ago)"),
        (timedelta(hours=47), "(47 h ago)"),
        (timedelta(days=2), "(2 days ago)"),
        (timedelta(days=-800), "(in 800 days)"),
    ],
    ids=str,
)
def test_distances(db: ChatEngine, terminal: Terminal, distance: timedelta, words: str) -> None:
    session = chat(db)
    printer_for(terminal, session.opened_at + distance).print_session(session)
    assert words in next(one for one in terminal.plain.splitlines() if one.startswith("opened"))


def test_the_card_of_an_agent_with_and_without_a_name(tmp_path: Path) -> None:
    with ChatEngine(url_of(tmp_path / "chats.db")) as engine:
        engine.migrate()
        for agent, wanted in (
            (ANDERS, "Anders (anan01, human)"),
            ({"id": "anan01", "name": "Anders"}, "Anders (anan01)"),
            ({"id": "anan01", "type": "human"}, "anan01, human"),
            ({"id": "anan01"}, "anan01"),
        ):
            user = wanted
            engine.handle("outbound", event("text", user, text="Hej", agent=agent))
            page = io.StringIO()
            printer_for(page).print_session(chat(engine, user))
            assert f"agent\t{wanted}\n" in page.getvalue()
            assert "last reply\t" in page.getvalue()
            assert " by human\n" in page.getvalue()


@pytest.mark.parametrize(
    "text",
    ["Hej på dig!", "😊 👨‍👩‍👧 ♥️", "né à Zürich", "שלום", "[bold]", ":smile:"],
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


def test_what_is_not_shows_what_it_was() -> None:
    assert escape_controls("a\x1bb\x9bc\u202ed\ud800e\nf") == r"a\x1bb\x9bc\u202ed\ud800e\nf"


# --- progress -----------------------------------------------------------------------------------


def test_a_bar_only_where_somebody_watches(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    with ingest_progress(1000, quiet=False) as watch:
        watch.advance(500, 3)
        watch.remark(f"chats:1: {EVIL}")
    assert "3 lines" in terminal.plain
    assert "0.5/1.0 kB" in terminal.plain
    assert "chats:1: [red]\\x1b[31m" in terminal.plain


@pytest.mark.parametrize("quiet", [True, False])
def test_no_bar_where_nobody_watches_or_somebody_types(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, *, quiet: bool
) -> None:
    stream = terminal if quiet else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with ingest_progress(1000, quiet=quiet) as watch:
        watch.advance(500, 3)
    assert stream.getvalue() == ""


def test_what_is_counted_is_shown_where_somebody_watches(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar("situations") as tell:
        tell(41, 92)
    assert "41/92 situations" in terminal.plain


def test_what_is_counted_is_not_shown_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress_bar("situations") as tell:
        tell(41, 92)
    assert pipe.getvalue() == ""


def test_a_remark_that_nobody_can_read_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str, /) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    with ingest_progress(None, quiet=False) as watch:
        watch.remark("hello")


def test_a_console_takes_no_text_for_markup(terminal: Terminal) -> None:
    console_on(terminal).print("[red]a[/red] :smile: http://x 'y'")
    assert terminal.getvalue() == "[red]a[/red] :smile: http://x 'y'\n"


class Deaf(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_console_whose_reader_has_gone_does_not_end_the_process() -> None:
    with pytest.raises(BrokenPipeError):
        console_on(Deaf()).print("Hej!")
