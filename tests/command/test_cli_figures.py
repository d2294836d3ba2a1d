"""``sermo-fsm figures`` and ``waiting``, and CSV everywhere: what is printed, and how it ends."""

import csv
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sermo_fsm import ChatEngine
from sermo_fsm.cli import main
from sermo_fsm.views.figures import FORMULAS
from tests.another_table import hand_in, script
from tests.command.test_cli_support import sermo, url_of
from tests.command.test_cli_terminal import ESCAPES, Terminal
from tests.support import ANDERS, BOT, CHECKOUT, EXAMPLES

CUSTOMER = {"type": "text", "text": "Hej!"}
REPLY = {"type": "text", "text": "Hej!", "agent": BOT}
AGENT = {"type": "text", "text": "Hej!", "agent": ANDERS}
QUEUE = {"type": "queue_number", "queueNumber": 3}
LEFT = {"type": "client_left"}
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def db(tmp_path: Path) -> str:
    """The examples, all over."""
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as chats:
        chats.migrate()
        for path in sorted(EXAMPLES.glob("*.jsonl")):
            chats.handle_many(path.read_bytes().splitlines())
        chats.sweep(datetime(2026, 3, 20, tzinfo=UTC))
    return url


@pytest.fixture
def empty(tmp_path: Path) -> str:
    url = url_of(tmp_path / "empty.db")
    with ChatEngine(url) as chats:
        chats.migrate()
    return url


def said(*arguments: str) -> str:
    result = sermo(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def json_of(*arguments: str) -> Any:
    return json.loads(said(*arguments, "--json"))


def csv_of(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(said(*arguments, "--csv"))))


# --- figures --------------------------------------------------------------------------------------


def test_json_has_the_keys_that_are_promised(db: str) -> None:
    found = json_of("figures", "--db", db, "--since", "2026-03-02", "--zone", "Europe/Stockholm")

    assert list(found) == ["since", "until", "zone", "figures"]
    assert (found["since"], found["until"]) == ("2026-03-01T23:00:00.000Z", None)
    assert found["zone"] == "Europe/Stockholm"
    assert list(found["figures"]["all"]) == [*FORMULAS, "notes"]
    assert found["figures"]["all"]["timeInQueue"]["n"] == 10
    with ChatEngine(db) as chats:
        since = datetime(2026, 3, 1, 23, tzinfo=UTC)
        wanted = chats.figures(since=since).as_dict()["figures"]
    hours = found["figures"]["all"].pop("load")
    assert [hour["hour"][-6:] for hour in hours] == ["+01:00"] * len(hours)
    del wanted["all"]["load"]
    assert found["figures"] == wanted


def test_every_option_reaches_the_engine(db: str) -> None:
    several = json_of("figures", "--db", db, "--by", "platform", "--target", "80", "--short", "0")
    assert list(several["figures"]) == ["comhem-web", "comviq-web"]
    assert several["figures"]["comhem-web"]["serviceLevel"]["rate"] == 1
    assert several["zone"] == "UTC"  # that of the tests
    one = json_of("figures", "--db", db, "--platform", "comhem-web", "--until", "2026-03-03 13:20")
    assert one["figures"]["all"]["visits"]["opened"] == 0
    assert json_of("figures", "--db", db, "--by", "day")["figures"].keys() == {
        f"2026-03-0{day}" for day in (2, 3, 4, 5, 6, 9)
    }


def test_for_people_each_figure_is_a_line_and_the_zone_is_said(db: str) -> None:
    lines = said("figures", "--db", db, "--since", "2026-03-02", "--explain").splitlines()

    assert lines[0] == "visits opened from 2026-03-02T00:00:00.000Z; times in UTC"
    assert lines[1] == "all: 8 visits"
    assert lines[2].split("\t")[:2] == ["figure", "part"]
    rows = [line.split("\t") for line in lines[3:] if "\t" in line]
    assert ["timeInQueue", "agent", "8", "", "", "33 s", "1 min 14 s", "47 s"] in rows
    level = ["serviceLevel", "", "5", "8", "62.5%", "", "", ""]
    assert level in rows  # not 67.833, 73.280 and 74.098 s
    assert ["2026-03-02T09:00+00:00", "anan01", "0.02", "1"] in rows
    assert not [row for row in rows if row[1] == "customerLeft"]  # nobody
    assert [line.split(" = ")[0] for line in lines if " = " in line] == list(FORMULAS)
    assert "within 1 min / (" in next(line for line in lines if line.startswith("serviceLevel = "))
    assert "lower" in lines[-1]
    assert "nearest rank" in lines[-1]
    assert any(line.startswith("repeatVisits: no visit on comhem-web") for line in lines)


def test_the_formula_of_the_service_level_stands_beside_it(db: str) -> None:
    text = said("figures", "--db", db, "--target", "30", "--short", "5", "--by", "platform")
    formulas = [line for line in text.splitlines() if " = " in line]
    assert len(formulas) == 2
    assert all(line.startswith("serviceLevel = waits that an agent ended") for line in formulas)
    assert all("within 30 s / (" in line and "under 5 s" in line for line in formulas)


def words_of(picture: Path) -> set[str]:
    found = ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own
    return {" ".join("".join(one.itertext()).split()) for one in found}


def test_waits_are_drawn_by_hour(db: str, tmp_path: Path) -> None:
    picture = tmp_path / "waits.svg"
    options = ("--since", "2026-03-02", "--until", "2026-03-03", "--zone", "Europe/Stockholm")
    assert said("figures", "--db", db, *options, "-o", str(picture)) == ""
    words = words_of(picture)
    assert words >= {
        "Time in the queue and visits, by hour",
        "visits opened from 2026-03-02 00:00 before 2026-03-03 00:00; times in Europe/Stockholm",
        *("1 stay in the queue", "1 visit", "time in the queue, seconds", "visits"),
        *("median", "p90: nine of ten were no longer", "10:00", "2026-Mar-02"),
    }
    before = picture.read_bytes()
    said("figures", "--db", db, *options, "-o", str(picture))
    assert picture.read_bytes() == before


def test_waits_are_drawn_for_dark_pages_by_day_and_week(db: str, tmp_path: Path) -> None:
    picture, platform = tmp_path / "waits.svg", "comhem-web"
    said("figures", "--db", db, "-o", str(picture), "--by", "day", "--platform", platform)
    assert f"Time in the queue and visits on {platform}, by day" in words_of(picture)
    light = picture.read_text()
    said("figures", "--db", db, "-o", str(picture), "--by", "week", "--theme", "dark")
    assert {"Time in the queue and visits, by week", "time in the queue, minutes"} <= words_of(
        picture
    )
    assert "#0d1117" in picture.read_text()
    assert "#0d1117" not in light
    said("figures", "--db", db, "-o", str(tmp_path / "WAITS.PNG"))
    assert (tmp_path / "WAITS.PNG").read_bytes().startswith(b"\x89PNG")


def test_no_visits_are_a_picture_too(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a zone that has a name, too.
    monkeypatch.setattr("sermo_fsm.analysis.figure_tally.system_zone_name", lambda: "+05:30")
    picture = tmp_path / "waits.svg"
    said("figures", "--db", empty, "-o", str(picture), "--platform", "$x$")
    assert words_of(picture) >= {"0 visits", "Time in the queue and visits on $x$, by hour"}
    assert "visits opened at any time; times in +05:30" in words_of(picture)


def test_what_a_picture_of_waits_needs_is_said(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = sermo("figures", "--db", db, "-o", str(tmp_path / "waits.svg"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'sermo-fsm[charts]'" in result.stderr
    assert list(tmp_path.glob("waits*")) == []


def test_groups_have_titles(db: str) -> None:
    text = said("figures", "--db", db, "--by", "agent", "--until", "2026-03-07")
    assert text.startswith("visits opened before 2026-03-07T00:00:00.000Z; times in UTC\n")
    assert "\nno agent: 1 visit\n" in text
    assert "\nanan01: 1 visit\n" in text


def test_csv_is_the_same_in_rows(db: str) -> None:
    rows = csv_of("figures", "--db", db, "--by", "platform")

    (queue,) = (
        row
        for row in rows
        if (row["group"], row["figure"], row["part"]) == ("comhem-web", "timeInQueue", "")
    )
    assert queue == {
        **dict.fromkeys(("part", "of", "rate", "max"), ""),
        "group": "comhem-web",
        "figure": "timeInQueue",
        "n": "2",
        "median": "26.596",
        "p90": "74.098",
        "mean": "50.347",
    }
    (level,) = (
        row
        for row in rows
        if row["group"] == "comhem-web" and row["figure"] == "serviceLevel" and not row["part"]
    )
    assert (level["n"], level["of"], level["rate"]) == ("1", "2", "0.5")
    (again,) = (
        row for row in rows if row["part"] == "within24Hours" and row["group"] == "comhem-web"
    )
    assert (again["n"], again["of"], again["rate"]) == ("", "", "")
    assert {row["part"] for row in rows if row["figure"] == "load"} >= {
        "2026-03-02T09:00+00:00 queued",
        "2026-03-02T09:00+00:00 anan01",
    }


def test_the_chats_behind_a_figure_are_listed(db: str) -> None:
    listed = json_of("figures", "--db", db, "--list", "timeInQueue", "--platform", "comhem-web")

    assert [(one["part"], one["seconds"]) for one in listed] == [
        ("agent", 26.596),
        ("agent", 74.098),
    ]
    assert listed[0]["openedAt"] == "2026-03-03T13:20:00.087Z"
    assert sermo("history", "--db", db, "--session", listed[0]["sessionId"]).exit_code == 0
    figures = json_of("figures", "--db", db)["figures"]["all"]
    lines = said("figures", "--db", db, "--list", "containment").splitlines()
    assert lines[0].split("\t")[:4] == ["platform", "user", "opened", "part"]
    assert sum("cameBack" in line for line in lines) == 1
    assert said("figures", "--db", db, "--list", "timeinqueue") == said(
        "figures", "--db", db, "--list", "timeInQueue"
    )
    ends = figures["timeInQueue"]["byEnd"]
    waits = Counter(one["part"] for one in json_of("figures", "--db", db, "--list", "timeInQueue"))
    assert waits == {end: found["n"] for end, found in ends.items() if found["n"]}
    opened = [one["openedAt"] for one in json_of("figures", "--db", db, "--list", "containment")]
    assert opened == sorted(opened)
    assert csv_of("figures", "--db", db, "--list", "visits")[0]["by"] == "customer"
    fields = (CHECKOUT / "docs" / "fields.md").read_text(encoding="utf-8")
    for name in FORMULAS:
        if name != "load":
            found = json_of("figures", "--db", db, "--list", name)
            assert len(found) == counted(name, figures)
            if name != "handleTime":
                assert all(f"`{one['part']}`" in fields for one in found if one["part"])


def test_who_has_left_only_just_is_listed_as_too_recent(empty: str) -> None:
    start = datetime.now(UTC) - timedelta(seconds=60)
    with ChatEngine(empty) as chats:
        for number, event in enumerate((CUSTOMER, LEFT, CUSTOMER)):
            at = start + timedelta(seconds=number)
            chats.handle("inbound", {**event, "platformId": "web", "userId": "u"}, received_at=at)

    for figure in ("containment", "repeatVisits"):
        (one,) = json_of("figures", "--db", empty, "--list", figure)
        assert one["part"] == "tooRecent"


def counted(name: str, figures: dict[str, Any]) -> int:
    """How many lines are behind a figure."""
    found = figures[name]
    match name:
        case "visits":
            return int(found["opened"])
        case "repeatVisits":
            return int(found["within24Hours"]["denominator"])
        case "transfers":
            return sum(found.values())
        case "abandonment":
            return int(figures["timeInQueue"]["n"])
        case "serviceLevel" | "containment":
            return int(found["denominator"])
        case _:
            return int(found["n"])


def test_of_an_empty_database(empty: str) -> None:
    assert json_of("figures", "--db", empty)["figures"]["all"]["visits"]["opened"] == 0
    assert json_of("figures", "--db", empty, "--by", "day")["figures"] == {}
    assert said("figures", "--db", empty, "--by", "day").splitlines()[1:] == ["0 visits"]
    assert said("figures", "--db", empty).startswith("visits opened at any time; times in UTC\n")
    assert json_of("figures", "--db", empty, "--list", "visits") == []
    assert json_of("waiting", "--db", empty) == []
    for command in ("sessions", "strays", "counts", "waiting"):
        text = said(command, "--db", empty, "--csv")
        assert text.count("\n") == 1
        assert "," in text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--since", "2026-03-02", "--until", "2026-03-01"), "before since"),
        (("--json", "--csv"), "exclude"),
        (("--explain", "--json"), "--explain"),
        (("--explain", "--list", "visits"), "--explain"),
        (("--list", "visits", "--by", "day"), "--by"),
        (("--list", "load"), "it counts chats that are there at the same time, and lists none"),
        (("--list", "notes"), "notes: wanted one of visits, timeInQueue, firstBotResponse"),
        (("-o", "waits.pdf"), "-o wants a file name that ends in .svg or .png, got waits.pdf"),
        (("-o", "waits.svg", "--by", "agent"), "-o draws by hour or day or week, not by agent"),
        (("-o", "waits.svg", "--csv"), "-o draws: not with --json, --csv, --explain or --list"),
        (("-o", "/nowhere/waits.svg"), "/nowhere"),
        (("--theme", "dark"), "--theme needs -o"),
        (("--list", "visits", "--json", "--csv"), "exclude"),
        (("--by", "month"), "--by"),
        (("--target", "-1"), "'--target': wanted a whole number of seconds, from 0 to"),
        (("--target", "1000000000"), "--target"),
        (("--target", "abc"), "'--target': wanted a whole number of seconds, from 0 to"),
        (("--short", "soon"), "--short"),
        (("--zone", "Mars"), "--zone"),
        (("--since", "once"), "--since"),
        (("--platform", ""), "platform"),
    ],
)
def test_bad_options_are_usage_errors(db: str, options: tuple[str, ...], why: str) -> None:
    result = sermo("figures", "--db", db, *options)
    assert result.exit_code == 2
    assert why in result.stderr


@pytest.fixture(params=[80, 100, 120])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(request.param))
    return Terminal()


def seen(terminal: Terminal, *arguments: str) -> list[str]:
    with redirect_stdout(terminal), pytest.raises(SystemExit):
        main.main(arguments)
    return terminal.plain.splitlines()


def test_on_a_terminal_they_are_tables_in_which_nothing_is_shortened(
    db: str, terminal: Terminal
) -> None:
    lines = seen(terminal, "figures", "--db", db)

    at = next(number for number, line in enumerate(lines) if line.startswith("part"))
    assert lines[at].split() == ["part", "n", "of", "rate", "median", "p90", "mean"]
    assert all(name in lines for name in FORMULAS if name != "load")
    assert lines[lines.index("timeInQueue") + 1].split()[:2] == ["all", "10"]
    of_load = next(number for number, line in enumerate(lines) if line.startswith("load "))
    assert lines[of_load].split() == ["load", "mean", "max"]
    assert lines[of_load + 1] == "2026-03-02T09:00+00:00"
    assert max(map(len, lines[at:of_load])) <= 80
    assert "…" not in terminal.plain
    assert ESCAPES.search(terminal.getvalue())


def test_on_a_terminal_only_ids_are_shortened(db: str, terminal: Terminal) -> None:
    lines = seen(terminal, "figures", "--db", db, "--list", "visits")

    assert lines[0].split()[:3] == ["platform", "user", "opened"]
    assert len(re.findall(r" [0-9]+ (?:days|h|min|s) ago  ", terminal.plain)) == 8
    users = [line.split()[1] for line in lines if line.startswith("com")]
    assert terminal.plain.count("…") == "".join(users).count("…")
    listed = json_of("figures", "--db", db, "--list", "visits")
    assert all(one["sessionId"] in terminal.plain for one in listed)


# --- who waits ------------------------------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    url = url_of(tmp_path / "waiting.db")
    now = datetime.now(UTC)
    with ChatEngine(url) as chats:
        chats.migrate()
        for user, minutes in (("late", 5), ("first", 20), ("gone", 50), ("=1+1", 10)):
            start = now - timedelta(minutes=minutes)
            event = {"platformId": "web", "userId": user}
            chats.handle("inbound", {**CUSTOMER, **event}, received_at=start)
            chats.handle("outbound", {**QUEUE, **event}, received_at=start + timedelta(seconds=1))
        app = {"platformId": "app", "userId": "other"}
        chats.handle("inbound", {**CUSTOMER, **app}, received_at=now)
        chats.handle("outbound", {**QUEUE, **app}, received_at=now)
        bot = {"platformId": "web", "userId": "with the bot"}
        chats.handle("inbound", {**CUSTOMER, **bot}, received_at=now)
    return url


def test_who_waits_is_listed_longest_first(waiting: str) -> None:
    found = json_of("waiting", "--db", waiting)

    assert [one["userId"] for one in found] == ["first", "=1+1", "late", "other"]
    assert list(found[0]) == [
        *("sessionId", "platformId", "userId", "queueNumber", "queuedAt", "waitedSeconds"),
        "lastSeenAt",
    ]
    assert found[0]["queueNumber"] == 3
    assert 1199 <= found[0]["waitedSeconds"] < 1199 + 600
    assert [one["userId"] for one in json_of("waiting", "--db", waiting, "--platform", "app")] == [
        "other"
    ]
    lines = said("waiting", "--db", waiting).splitlines()
    assert lines[0].split("\t")[:5] == ["platform", "user", "place", "queued", "waited"]
    assert [line.split("\t")[1] for line in lines[1:]] == ["first", "=1+1", "late", "other"]
    assert sermo("waiting", "--db", waiting, "--json", "--csv").exit_code == 2


def test_on_a_terminal_the_times_are_those_of_other_lists(waiting: str, terminal: Terminal) -> None:
    lines = seen(terminal, "waiting", "--db", waiting)

    assert lines[0].split()[:6] == ["platform", "user", "place", "queued", "waited", "last"]
    assert len(re.findall(r"[0-9]+ min ago", terminal.plain)) >= 3
    assert len(re.findall(UUID, terminal.plain)) == 4
    assert "…" not in terminal.plain


# --- CSV ------------------------------------------------------------------------------------------


def test_lists_are_the_same_in_csv_as_in_json(db: str) -> None:
    hand_in_strays(db)
    for command in (
        ["sessions"],
        ["strays"],
        ["history", "comviq-web", "3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690"],
    ):
        found, rows = json_of(*command, "--db", db), csv_of(*command, "--db", db)
        assert found
        assert [list(row) for row in rows] == [list(one) for one in found]
        for row, one in zip(rows, found, strict=True):
            for name, value in one.items():
                assert row[name] == ("" if value is None else as_cell(value))
    counts = csv_of("counts", "--db", waiting_too(db))
    assert counts == [
        {"platform": "web", "open": "0", "bot": "1", "queued": "0", "with_agent": "0"}
    ]
    assert sermo("counts", "--db", db, "--json", "--csv").exit_code == 2


def as_cell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def hand_in_strays(db: str) -> None:
    with ChatEngine(db) as chats:
        hand_in(chats, script("nobody", (0, "inbound", LEFT)))


def waiting_too(db: str) -> str:
    with ChatEngine(db) as chats:
        hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (1, "outbound", REPLY)))
    return db


@pytest.mark.parametrize("user", ["=1+1", "+46701", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_is_a_formula(empty: str, user: str) -> None:
    with ChatEngine(empty) as chats:
        hand_in(chats, script(user, (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))

    (row,) = csv_of("sessions", "--db", empty)

    assert row["userId"].startswith("'" + user.strip()[:1].replace("x", "\\"))
    assert row["ordinal"] == "1"
    assert "\r" not in said("sessions", "--db", empty, "--csv")
