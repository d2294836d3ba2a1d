"""A chat told as a conversation: who did what to whom, when; and what is left out."""

import json
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from sermo_fsm import ChatEngine, ChatSession, HistoryRow, Policy
from sermo_fsm.cli import main
from sermo_fsm.cli.commands import timeline as timeline_command
from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.picture.sequence import sequence_diagram
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.views.participants import Participant, Role
from sermo_fsm.views.timeline import TimelineEntry, describe_transition, timeline_entries
from tests.command.test_cli_support import sermo, url_of
from tests.command.test_cli_terminal import EVIL, Terminal
from tests.support import ANDERS, BEATA, BOT, USER, at, envelope, event, text

PICTURE = "data:image/png;base64," + "A" * 16_000
Line = dict[str, Any]


def inbound(seconds: float, what: Line) -> Line:
    return envelope("inbound", what, seconds)


def outbound(seconds: float, what: Line) -> Line:
    return envelope("outbound", what, seconds)


WHOLE = (
    inbound(0, event("heartbeat")),
    inbound(14, text("Hej, hemligt!")),
    outbound(15, text("Ett ögonblick", agent=BOT)),
    outbound(20, event("handover_to_agent")),
    outbound(21, event("queue_number", queueNumber=3)),
    outbound(22, event("system_text", text="Du är i kön")),
    outbound(800, text("Anders här", agent=ANDERS)),
    inbound(810, text("Bild:", image=PICTURE)),
    outbound(815, event("weather", text="sol")),
    outbound(820, event("queue_number", queueNumber=1)),
    outbound(821, event("agent_done")),
    outbound(830, event("platform_closed")),
    outbound(840, text("Beata här", agent=BEATA)),
    outbound(850, event("handover_to_bot", flowGroupId="faktura")),
    outbound(860, text("Jag igen", agent=BEATA)),
    outbound(870, text("?")),
    outbound(880, event("agent_done")),
    outbound(881, text("Hej då", agent=BOT)),
    outbound(882, text("Hej?")),
    inbound(890, event("client_unload")),
)


def chat(*lines: Line, sweep: float | None = None) -> tuple[ChatSession, list[HistoryRow]]:
    """The last session of our user after these events."""
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        assert not [one for one in engine.handle_many(lines) if one.error]
        if sweep is not None:
            engine.sweep(at(sweep))
        session = engine.status("web", USER)
        assert session is not None
        return session, list(engine.history(session.session_id))


def told(*lines: Line, bodies: bool = False, sweep: float | None = None) -> list[TimelineEntry]:
    session, rows = chat(*lines, sweep=sweep)
    return list(timeline_entries(session, rows, bodies=bodies))


def words(entry: TimelineEntry) -> str:
    odd = f" {entry.unusual_outcome}" if entry.unusual_outcome else ""
    return f"{entry.actor} → {entry.recipient}{odd}: {entry.summary}"


def test_a_chat_reads_as_what_happened_in_it() -> None:
    assert [words(entry) for entry in told(*WHOLE)] == [
        "customer → bot: is on the page",
        "customer → bot: writes",
        "bot → customer: writes",
        "bot → platform: hands over to an agent",
        "platform → customer: tells place 3 in the queue",
        "platform → customer: announces",
        "anan01 → customer: writes",
        "customer → anan01: writes [picture, image/png, 12 kB]",
        "platform → customer unknown: sends what the protocol does not know (weather)",
        "platform → customer: tells place 1 in the queue",
        "platform → customer ignored: is done with the chat",
        "platform → bot: closes the queue",
        "bebe02 → customer: writes",
        "bebe02 → bot: hands over to the bot",
        "bebe02 → customer: writes",
        "platform → customer: writes, nobody knows who",
        "bebe02 → customer: is done with the chat",
        "bot → customer late: writes",
        "platform → customer late: writes, nobody knows who",
        "customer → bebe02 late: leaves the page",
    ]


def internal(seconds: float, what: Line) -> Line:
    return envelope("internal", what, seconds)


LATER = (
    inbound(0, event("start", params={"page": "/hemligt"})),
    inbound(5, text("Hej!")),
    outbound(6, event("postback", agent=BOT, text="Vad gäller det?")),
    inbound(9, event("postback", text="Faktura", payload="F")),
    outbound(10, event("web_url", agent=BOT, url="https://example.org")),
    outbound(11, event("carousel", agent=BOT, cards=[])),
    outbound(12, event("image", imageUrl="https://example.org/a.png")),
    internal(13, event("handover_to_queue", queueId="q-1")),
    outbound(14, event("info", text="Du är i kön")),
    internal(30, event("claim_session", agentId="anan01")),
    outbound(40, text("Anders här", agent=ANDERS)),
    internal(50, event("handover_to_queue", queueId="q-2")),
    internal(60, event("claim_session", agentId="bebe02")),
    internal(70, event("agent_done")),
    internal(71, event("agent_done")),
    internal(80, event("claim_session", agentId="bebe02")),
    outbound(90, event("end_session", reasonText="Löst")),
    internal(91, event("claim_session", agentId="cece03")),
)


def test_a_chat_as_programs_send_it_today_reads_as_what_happened_in_it() -> None:
    assert [words(entry) for entry in told(*LATER)] == [
        "customer → bot: opens the chat",
        "customer → bot: writes",
        "bot → customer: offers buttons",
        "customer → bot: presses a button",
        "bot → customer: sends a link",
        "bot → customer: sends cards",
        "platform → customer: sends a picture, nobody knows who",
        "bot → platform: puts the chat in line",
        "platform → customer: announces",
        "anan01 → platform: takes the chat",
        "anan01 → customer: writes",
        "anan01 → platform: puts the chat in line",
        "bebe02 → platform: takes the chat",
        "bebe02 → platform: lets go of the chat",
        "platform → platform ignored: lets go of the chat",
        "bebe02 → platform: takes the chat",
        "platform → customer: ends the chat for good",
        "cece03 → platform late: takes the chat",
    ]
    assert [describe_transition(entry) for entry in told(*LATER) if entry.moved] == [
        "new chat → open",
        "open → bot",
        "bot → queued",
        "queued → with_agent",
        "with_agent → queued",
        "queued → with_agent",
        "with_agent → bot",
        "bot → with_agent",
        "with_agent → closed: the agents' platform ended it for good",
    ]


def test_who_claims_a_chat_has_it_before_the_first_text() -> None:
    serving = [entry.serving and str(entry.serving) for entry in told(*LATER)]
    assert serving[7:10] == ["platform", "platform", "anan01"]
    assert serving[10:14] == ["anan01", "platform", "bebe02", "bot"]


def test_what_people_wrote_in_later_events_is_told_on_request() -> None:
    said = [entry.body for entry in told(*LATER, bodies=True)]
    assert [one for one in said if one] == [
        *("Hej!", "Vad gäller det?", "Faktura", "Du är i kön", "Anders här", "Löst"),
    ]
    assert not [entry.body for entry in told(*LATER) if entry.body]


def test_an_end_for_good_says_that_the_customer_has_written_since() -> None:
    *_, last = told(
        *LATER[:10],
        inbound(50, text("Vänta!")),
        outbound(45, event("end_session")),
    )
    assert last.summary == "ends the chat for good, but the customer has written since"
    assert describe_transition(last) == "with_agent → bot"


@pytest.mark.parametrize(
    ("code", "summary"),
    [("stuck", "closes the chat by hand (stuck)"), (None, "closes the chat by hand")],
)
def test_a_close_by_hand_says_who_and_why(code: str | None, summary: str) -> None:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        engine.handle_many(LATER[:12])
        receipt = engine.close_chat("web", USER, reason=code, at=at(55))
        assert receipt is not None
        assert receipt.after is not None
        session, rows = receipt.after, list(engine.history(receipt.after.session_id))
    *_, last = timeline_entries(session, rows, bodies=True)
    assert words(last) == f"operator → customer: {summary}"
    assert describe_transition(last) == "queued → closed: an operator closed it by hand"
    assert (last.body, last.serving, last.reason) == (None, None, "operator")
    drawn = sequence_diagram(session, rows)
    assert "    participant O as Operator" in drawn
    assert f"    O->>C: {summary}" in drawn


def test_it_says_where_each_step_took_the_chat() -> None:
    assert [describe_transition(entry) for entry in told(*WHOLE) if entry.moved] == [
        "new chat → open",
        "open → bot",
        "bot → queued",
        "queued → with_agent",
        "with_agent → queued",
        "queued → bot",
        "bot → with_agent",
        "with_agent → bot",
        "bot → with_agent",
        "with_agent → closed: the agent was done",
    ]


def test_it_says_who_has_the_chat_and_when_nobody_has() -> None:
    serving = [entry.serving and str(entry.serving) for entry in told(*WHOLE)]
    assert serving[:4] == [None, "bot", "bot", "platform"]
    assert serving[6:10] == ["anan01", "anan01", "anan01", "platform"]
    assert serving[-4:] == [None] * 4


@pytest.mark.parametrize(
    ("last", "sweep", "why"),
    [
        (inbound(9, event("client_left")), None, "the customer left the chat"),
        (inbound(9, event("client_unload")), 99, "the customer left the page and did not"),
        (inbound(9, event("heartbeat")), 9999, "the customer was silent for too long"),
    ],
)
def test_it_says_why_it_closed(last: Line, sweep: float | None, why: str) -> None:
    *_, entry = told(inbound(0, text()), last, sweep=sweep)
    assert describe_transition(entry).startswith(f"bot → closed: {why}")
    if sweep is not None:
        assert words(entry) == "clock → customer: has waited long enough"


def test_a_reason_that_is_none_of_ours_is_no_error() -> None:
    session, rows = chat(inbound(0, text()), inbound(1, event("client_left")))
    *_, entry = timeline_entries(session, [*rows[:-1], replace(rows[-1], reason=None)])
    assert describe_transition(entry) == "bot → closed: nobody knows why"


def test_an_agent_who_had_not_read_the_last_word_leaves_it_to_the_bot() -> None:
    *_, entry = told(
        outbound(0, text("Hej", agent=ANDERS)),
        inbound(20, text("Vänta!")),
        outbound(10, event("agent_done")),
    )
    assert entry.summary == "is done with the chat, but the customer has written since"
    assert str(entry.actor) == "anan01"
    assert describe_transition(entry) == "with_agent → bot"


def test_what_was_said_and_what_people_are_called_is_told_only_where_asked_for() -> None:
    shy = repr(told(*WHOLE))
    for secret in ("hemligt", "Du är i kön", "Anders", "Beata", "sol"):
        assert secret not in shy
    entries = told(*WHOLE, bodies=True)
    said = [entry.body for entry in entries if entry.body]
    assert said[:3] == ["Hej, hemligt!", "Ett ögonblick", "Du är i kön"]
    assert len(said) == 10
    assert {entry.actor.name for entry in entries} == {None, ANDERS["name"], BEATA["name"]}


def test_a_name_that_was_told_once_is_known_while_the_agent_has_the_chat() -> None:
    entries = told(*WHOLE[:6], outbound(30, text("Hej", agent=ANDERS)), *WHOLE[7:8], bodies=True)
    assert entries[-1].recipient == Participant(Role.AGENT, ANDERS["id"])
    assert entries[-1].recipient.name == ANDERS["name"]


def test_an_agent_without_a_name_is_known_by_the_id() -> None:
    (entry,) = told(outbound(0, text("Hej", agent={"id": "x1", "type": "human"})), bodies=True)
    assert (entry.actor, entry.actor.name) == (Participant(Role.AGENT, "x1"), None)


def test_a_name_that_was_told_once_is_that_of_the_next_text_too() -> None:
    nameless = outbound(30, text("Hej", agent={"id": ANDERS["id"], "type": "human"}))
    after_another = outbound(40, text("Hej", agent=BEATA))
    entries = told(WHOLE[6], nameless, after_another, nameless, bodies=True)
    assert [entry.actor.name for entry in entries] == [ANDERS["name"]] * 2 + [BEATA["name"], None]


def test_an_agent_who_is_called_what_we_call_somebody_is_no_such() -> None:
    (entry,) = told(outbound(0, text("Hej", agent={"id": "customer", "type": "human"})))
    assert words(entry) == "“customer” → customer: writes"


def test_what_was_read_late_says_when_it_was_received() -> None:
    night = 12 * 3600
    entries = told(
        inbound(night - 60, text()),
        inbound(night - 10.1, text()),
        outbound(night - 30, text(agent=ANDERS)),
        outbound(night - 10.2, text(agent=ANDERS)),  # in the same second
        inbound(night, text()),
        outbound(night - 1, text(agent=ANDERS)),
        sweep=night + 9999,
    )
    assert [entry.received_note for entry in entries] == [
        *(None, None, "received 23:59:30", None, None),
        *("received 2026-03-01 23:59:59", None),
    ]


def test_what_was_erased_is_shown_as_such_and_the_facts_stay() -> None:
    session, rows = chat(*WHOLE, sweep=None)
    erased = [replace(row, event=None) for row in rows]
    entries = list(timeline_entries(session, erased, bodies=True))
    assert {entry.body for entry in entries} == {"[erased]"}
    assert words(entries[6]) == "anan01 → customer: writes"
    assert words(entries[4]) == "platform → customer: tells the place in the queue"


def test_a_late_text_is_of_whom_it_says_while_it_is_there() -> None:
    late = outbound(2, text("Varsågod", agent=ANDERS))
    session, rows = chat(inbound(0, text()), inbound(1, event("client_left")), late)
    assert words([*timeline_entries(session, rows)][-1]) == "anan01 → customer late: writes"
    erased = replace(rows[-1], event=None)
    assert (
        words([*timeline_entries(session, [*rows[:-1], erased])][-1])
        == "agent → customer late: writes"
    )


def test_the_clock_says_nothing_that_could_be_erased() -> None:
    *_, entry = told(inbound(0, text()), sweep=9999, bodies=True)
    assert entry.body is None


def test_every_trigger_has_words_and_somebody_who_did_it() -> None:
    session, (row, *_) = chat(inbound(0, text()))
    for trigger in Trigger:
        for state in State:
            (entry,) = timeline_entries(session, [replace(row, trigger=trigger, to_state=state)])
            assert entry.summary
            assert entry.actor != entry.recipient or trigger in (
                Trigger.HANDOVER_TO_AGENT,
                Trigger.HANDOVER_TO_BOT,
                Trigger.AGENT_RELEASED,
            )


def test_times_are_counted_from_the_opening_and_from_the_row_before() -> None:
    entries = told(inbound(0.9, text()), inbound(61.2, text()), inbound(61.2, text()))
    assert [entry.since_opening.total_seconds() for entry in entries] == [0, 60.3, 60.3]
    assert [entry.pause.total_seconds() for entry in entries] == [0, 60.3, 0]
    assert entries[1].elapsed == timedelta(seconds=61)  # what 12:00:00 and 12:01:01 lie apart


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle_many(WHOLE)
    return url


def test_a_person_reads_it_line_by_line(db: str) -> None:
    result = sermo("timeline", "web", USER, "--db", db)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "chat 1 on web, opened 2026-03-01 12:00:00 (UTC)"
    assert lines[1].startswith("session ")
    assert lines[2:5] == [
        " 1  12:00:00      +0:00  customer → bot           is on the page",
        "    ── new chat → open ──",
        " 2  12:00:14      +0:14  customer → bot           writes",
    ]
    assert "    … 12 min 58 s later" in lines
    assert " 9  12:13:35     +13:35  platform → customer      unknown: sends what" in result.stdout
    assert "    ── with_agent → closed: the agent was done ──" in lines
    assert not [line for line in lines if line != line.rstrip()]
    assert "hemligt" not in result.stdout
    assert "Anders" not in result.stdout


def test_what_was_said_stands_below_with_who_said_it(db: str) -> None:
    lines = sermo("timeline", "web", USER, "--bodies", "--db", db).stdout.splitlines()
    assert "        Hej, hemligt!" in lines
    assert "        Anders Andersson: Anders här" in lines


def test_who_said_it_is_said_once_of_many_lines(tmp_path: Path) -> None:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("outbound", text("ett\n\ntvå", agent=ANDERS))
    shown = sermo("timeline", "web", USER, "--bodies", "--db", url).stdout
    assert "\n      Anders Andersson: ett\n\n      två\n" in shown


def test_a_chat_over_midnight_days_and_hours_says_so(tmp_path: Path) -> None:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("outbound", text(agent=BOT), received_at=at(0))
        engine.handle("outbound", text(agent=BOT), received_at=at(4000))
        engine.handle("outbound", text(agent=BOT), received_at=at(90_000))
    lines = sermo("timeline", "web", USER, "--db", url).stdout.splitlines()
    assert "   2026-03-02 (UTC)" in lines
    assert "2  13:06:40   +1:06:40  bot → customer           writes" in lines
    assert "3  13:00:00    +1d 01h  bot → customer           writes" in lines
    assert lines[-1] == "   not closed: bot"


def test_a_chat_that_goes_on_from_another_names_it(tmp_path: Path) -> None:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("inbound", text(), received_at=at(0))
        engine.sweep(at(1800))
        engine.handle("inbound", text(), received_at=at(1801))
        first = engine.status("web", USER)
        assert first is not None
        engine.handle("inbound", event("client_left"), received_at=at(1802))
        engine.handle("inbound", text(), received_at=at(1803))
    resumed = sermo("timeline", "--session", first.session_id, "--db", url).stdout.splitlines()
    assert resumed[2] == f"goes on from session {first.previous_session_id}, closed by idle"
    after = sermo("timeline", "web", USER, "--db", url).stdout.splitlines()
    assert after[2] == f"comes after session {first.session_id}, closed by client_left"


def test_the_columns_stay_where_they_are_whatever_is_in_them(tmp_path: Path) -> None:
    url = url_of(tmp_path / "chats.db")
    ids = ("a2", "漢字漢字漢字漢字", "an agent with a long id", "\x1b[2J", "e\u0301" * 12)
    forever = Policy(idle_timeout=None, max_ahead=None)
    with ChatEngine(url, policy=forever) as engine:
        engine.migrate()
        for number, agent_id in enumerate(ids):
            agent = {"id": agent_id, "type": "human"}
            engine.handle("outbound", text(agent=agent), received_at=at(number * 1e7))
    shown = sermo("timeline", "web", USER, "--db", url).stdout.splitlines()
    texts = [line for line in shown if line.endswith("writes")]
    assert len(texts) == len(ids)
    assert len({cell_len(line) for line in texts}) == 1
    assert texts[-1].startswith("5  11:06:40  +462d 23h  ")


@pytest.mark.parametrize(
    ("most", "left"), [(3, "17 more rows"), (19, "1 more row"), (0, "20 more")]
)
def test_what_is_left_out_is_counted(db: str, most: int, left: str) -> None:
    *_, last = sermo("timeline", "web", USER, "--limit", str(most), "--db", db).stdout.splitlines()
    assert last.startswith(f"    … and {left}")


def test_json_has_an_object_for_each_row(db: str) -> None:
    found = json.loads(sermo("timeline", "web", USER, "--json", "--db", db).stdout)
    assert len(found) == 20
    assert found[6] == {
        "seq": 7,
        "at": "2026-03-01T12:13:20.000Z",
        "receivedAt": "2026-03-01T12:13:20.000Z",
        "sinceOpening": 800.0,
        "pause": 778.0,
        "who": {"role": "agent", "id": "anan01", "name": None},
        "whom": {"role": "customer", "id": None, "name": None},
        "trigger": "agent_text",
        "what": "writes",
        "from": "queued",
        "to": "with_agent",
        "outcome": "moved",
        "reason": None,
        "said": None,
    }
    whole = json.loads(sermo("timeline", "web", USER, "--json", "--bodies", "--db", db).stdout)
    assert whole[6]["said"] == "Anders här"
    assert whole[6]["who"]["name"] == "Anders Andersson"


def test_nobody_is_4_and_null(db: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.mmd"
    for arguments in (["web", "nobody"], ["--session", "no-such"]):
        result = sermo("timeline", *arguments, "-o", path, "--db", db)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith("Error: no such ")
        assert sermo("timeline", *arguments, "--json", "--db", db).stdout == "null\n"
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["web"],
        ["web", USER, "--json", "--format", "text"],
        ["web", USER, "--json", "-o", "x.mmd"],
        ["web", USER, "--format", "svg"],
        ["web", USER, "-o", "chat.svg"],
        ["web", USER, "-o", "chat.PNG", "--format", "text"],
        ["web", USER, "-o", "chat.mmd", "--format", "text"],
    ],
)
def test_wrong_usage_is_2(
    db: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    assert sermo("timeline", *arguments, "--db", db).exit_code == 2
    assert {*tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("chat.mmd", [], "mermaid"),
        ("chat.MERMAID", [], "mermaid"),
        ("chat.txt", [], "text"),
        ("chat", [], "text"),
        ("chat", ["--format", "mermaid"], "mermaid"),
    ],
)
def test_a_file_has_what_is_printed(
    db: str, tmp_path: Path, name: str, options: list[str], kind: str
) -> None:
    path = tmp_path / name
    result = sermo("timeline", "web", USER, "-o", path, *options, "--db", db)
    assert (result.exit_code, result.output) == (0, "")
    printed = sermo("timeline", "web", USER, "-o", "-", "--format", kind, "--db", db).stdout
    assert path.read_text("utf-8") == printed
    assert printed.startswith({"text": "chat 1", "mermaid": "%% Told by"}[kind])


def test_a_database_that_refuses_is_3(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    path.write_text("no database" * 100)
    target = tmp_path / "chat.txt"
    assert sermo("timeline", "web", USER, "-o", target, "--db", url_of(path)).exit_code == 3
    assert not target.exists()


def test_on_a_terminal_it_has_colours_and_nobody_writes_an_escape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    url = url_of(tmp_path / "chats.db")
    agent = {"id": "\x1b[2Jan\x07", "name": EVIL, "type": "human"}
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle_many(
            [
                inbound(0, text(EVIL)),
                outbound(1, text(EVIL, agent=agent)),
                outbound(2, event("w\x1b]0;x\x07")),
                outbound(3, event("handover_to_bot")),
                outbound(4, event("agent_done")),
            ]
        )
    screen = Terminal()
    with redirect_stdout(screen), pytest.raises(SystemExit):
        main(["timeline", "web", USER, "--bodies", "--db", url])
    assert "\x1b[" in screen.getvalue()  # ours
    assert "ignored" in screen.plain
    for shown in (screen.plain, sermo("timeline", "web", USER, "--bodies", "--db", url).stdout):
        assert not [char for char in shown if char < " " and char != "\n"]
        assert "\u202e" not in shown


def test_what_was_said_is_folded_below_where_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("outbound", text("漢字 och ord " * 20 + "\n\nslut", agent=ANDERS))
    whole = sermo("timeline", "web", USER, "--bodies", "--db", url).stdout
    assert max(map(len, whole.splitlines())) > 200
    for columns, most in ((60, 60), (10, 26)):
        monkeypatch.setenv("COLUMNS", str(columns))
        screen = Terminal()
        with redirect_stdout(screen), pytest.raises(SystemExit):
            main(["timeline", "web", USER, "--bodies", "--db", url])
        folded = [line for line in screen.plain.splitlines() if line.startswith(" " * 6)]
        assert max(map(cell_len, folded)) <= most
        assert "".join("".join(folded).split()) == ("AndersAndersson:" + "漢字ochord" * 20 + "slut")


def test_only_what_is_beside_the_point_is_dim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("inbound", text(), received_at=at(0))
        engine.handle("inbound", event("client_left"), received_at=at(1))
    screen = Terminal()
    with redirect_stdout(screen), pytest.raises(SystemExit):
        main(["timeline", "web", USER, "--db", url])
    row, move, *_ = screen.getvalue().splitlines()[2:]
    assert row.endswith("\x1b[34mbot\x1b[0m           writes")
    assert "\x1b[1mcustomer\x1b[0m" in row
    assert "\x1b[0mnew chat → \x1b[34mbot\x1b[0m" in move
    assert "closed\x1b[0m: the customer left the chat" in screen.getvalue()


def test_the_command_tells_a_close_by_hand_and_lets_no_code_steer_the_terminal(
    tmp_path: Path,
) -> None:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("inbound", text(), received_at=at(0))
        assert engine.close_chat("web", USER, reason="stuck\x1b[2J", at=at(1))
    *_, row, move = sermo("timeline", "web", USER, "--db", url).stdout.splitlines()
    assert "operator → customer" in row
    assert row.endswith(r"closes the chat by hand (stuck\x1b[2J)")
    assert move.strip() == "── bot → closed: an operator closed it by hand ──"


@pytest.mark.parametrize("role", Role)
def test_every_role_has_a_style_on_a_terminal(role: Role) -> None:
    assert role in timeline_command._ROLE_STYLES


def test_a_row_that_came_too_late_is_marked() -> None:
    entries = told(*WHOLE)
    assert [entry.unusual_outcome for entry in entries].count(Outcome.LATE) == 3
    assert {entry.unusual_outcome for entry in entries} == {
        None,
        Outcome.LATE,
        Outcome.UNKNOWN,
        Outcome.IGNORED,
    }


def test_the_writer_keeps_one_row_however_many_there_are(db: str) -> None:
    with ChatEngine(db) as engine:
        session = engine.status("web", USER)
        assert session is not None
        (row, *_) = engine.history(session.session_id)
    kept: list[int] = []

    def rows() -> Any:
        for seq in range(1, 50):
            kept.append(seq)
            yield replace(row, seq=seq)

    for entry in timeline_entries(session, rows()):
        assert kept[-1] == entry.seq
