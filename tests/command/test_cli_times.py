"""Times as they are typed and shown: which forms, and in which zone."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sermo_fsm.cli.times import read_time, zone_named
from tests.command.test_cli_support import environment, event, line, sermo, sermo_process, url_of

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NOW = datetime(2026, 3, 30, 22, 15, 30, 250_000, tzinfo=UTC)
"""Two hours later it is the 31st in Stockholm, in summer time since the 29th."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


# --- typed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:14:11.386Z", "2026-03-01 12:14:11.386"),
        ("2026-03-01t12:14:11z", "2026-03-01 12:14:11"),
        ("2026-03-01T12:14:11+05:30", "2026-03-01 06:44:11"),
        ("2026-03-01 12:14", "2026-03-01 11:14"),
        ("2026-03-01T12:14:11", "2026-03-01 11:14:11"),
        ("2026-03-01", "2026-02-28 23:00"),
        ("2026-03-01 9:05", "2026-03-01 08:05"),
        ("2026-03-29 01:59:59", "2026-03-29 00:59:59"),
        ("2026-03-29 03:00", "2026-03-29 01:00"),
        ("2026-10-25 02:30", "2026-10-25 00:30"),
        ("14:30", "2026-03-31 12:30"),
        ("9:30:05", "2026-03-31 07:30:05"),
        ("14:30Z", "2026-03-31 14:30"),
        ("now", "2026-03-30 22:15:30.25"),
        (" NOW ", "2026-03-30 22:15:30.25"),
        ("today", "2026-03-30 22:00"),
        ("Today 9:30", "2026-03-31 07:30"),
        ("yesterday", "2026-03-29 22:00"),
        ("yesterday  14:30", "2026-03-30 12:30"),
        ("2 hours ago", "2026-03-30 20:15:30.25"),
        ("1 hour ago", "2026-03-30 21:15:30.25"),
        ("90 s ago", "2026-03-30 22:14:00.25"),
        ("90sec ago", "2026-03-30 22:14:00.25"),
        ("3 min ago", "2026-03-30 22:12:30.25"),
        ("15m ago", "2026-03-30 22:00:30.25"),
        ("5 h ago", "2026-03-30 17:15:30.25"),
        ("2 days ago", "2026-03-28 22:15:30.25"),
        ("1 week ago", "2026-03-23 22:15:30.25"),
    ],
)
def test_a_time_is_read_in_its_zone_or_that_of_the_option(text: str, moment: str) -> None:
    assert read_time(text, STOCKHOLM, NOW) == utc(moment)


@pytest.mark.usefixtures("in_new_york")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-08 01:30", "2026-03-08 06:30"),
        ("2026-03-08 03:30", "2026-03-08 07:30"),
        ("yesterday 14:30", "2026-03-29 18:30"),
    ],
)
def test_without_the_option_it_is_the_zone_of_the_system(text: str, moment: str) -> None:
    assert read_time(text, None, NOW) == utc(moment)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "tomorrow", "noon", "ago", "2 hours", "-2 hours ago", "2 years ago", "h ago"),
        *("2026", "2026-13-01", "2026-02-30", "25:00", "14:60", "14", "1772366400", "14.30"),
        *("yesterday 25:00", "yesterday at 14:30", "todayish", "now 14:30", "٣ hours ago"),
        *("2026-03-01T12:00:00+25:00", "2026-03-01T12:00\x00", "2026-06-30T23:59:60Z", "ü"),
        *("999999999 weeks ago", "999999999 days ago", "9999999999 s ago"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("zone", [STOCKHOLM, None], ids=str)
def test_what_is_no_time_is_refused(text: str, zone: tzinfo | None) -> None:
    with pytest.raises(ValueError, match=r"\A"):
        read_time(text, zone, NOW)


@pytest.mark.parametrize("name", ["Europe/Stockholm", "UTC", "utc", "America/Sao_Paulo", "CET"])
def test_a_zone_has_a_name(name: str) -> None:
    assert NOW.astimezone(zone_named(name)) == NOW


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Sthlm", "../zoneinfo/UTC", "/etc/localtime", "\udcff", "+02:00"]
)
def test_what_is_no_zone_is_2_and_says_what_is(tmp_path: Path, name: str) -> None:
    result = sermo("sessions", "--zone", name, "--db", url_of(tmp_path / "chats.db"))
    assert result.exit_code == 2
    assert "'--zone': wanted the name of a time zone that this machine knows" in result.stderr


def test_what_is_no_time_is_2_and_says_what_is(tmp_path: Path) -> None:
    for command in ("sweep --up-to", "sessions --from", "export history --since"):
        result = sermo(*command.split(), "then", "--db", url_of(tmp_path / "chats.db"))
        assert result.exit_code == 2
        for form in ("2026-03-01", "14:30", "2026-03-01T14:30:00Z", "yesterday", "2 hours ago"):
            assert form in result.stderr


# --- on the command line -------------------------------------------------------------------------


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A chat that opened at 12:50 in Stockholm, whose last text was read late."""
    url = url_of(tmp_path / "chats.db")
    text = (
        line("inbound", event("text", text="Hej"), at=-600)
        + line("outbound", event("queue_number", queueNumber=3), at=600)
        + line("inbound", event("text", text="Hej?"), at=300)
        + line("outbound", event("agent_done", "nobody"), at=1)
    )
    assert sermo("ingest", "--db", url, stdin=text).exit_code == 0
    return url


@pytest.mark.parametrize("turned", [False, True])
def test_the_option_decides_what_a_time_means_wherever_it_stands(db: str, *, turned: bool) -> None:
    for zone, after, found in (
        ("Europe/Stockholm", "2026-03-01 12:50", 1),
        ("Europe/Stockholm", "2026-03-01 12:51", 0),
        ("UTC", "2026-03-01 11:50", 1),
        ("UTC", "2026-03-01 11:51", 0),
    ):
        options = ["--from", after, "--zone", zone]
        if turned:
            options = options[2:] + options[:2]
        result = sermo("sessions", *options, "--json", "--db", db)
        assert len(json.loads(result.stdout)) == found


STOCKHOLM_SAYS = {
    "status web anna": ["opened\t2026-03-01T12:50:00.000+01:00\n"],
    "sessions": ["\t2026-03-01T13:10:00.000+01:00\t", "\t2026-03-01T13:05:00.000+01:00\t"],
    "history web anna": ["1\t2026-03-01T12:50:00.000+01:00\t"],
    "strays": ["\t2026-03-01T13:00:01.000+01:00\t"],
    "timeline web anna": [
        "opened 2026-03-01 12:50:00 (CET)\n",
        "\n2  13:10:00 ",
        " (received 13:05:00)\n",
    ],
    "sweep --up-to 2026-08-01": [", up to 2026-08-01T00:00:00.000+02:00\n"],
}


@pytest.mark.parametrize("command", STOCKHOLM_SAYS)
def test_people_read_times_in_the_zone_and_programs_in_utc(db: str, command: str) -> None:
    shown = sermo(*command.split(), "--zone", "Europe/Stockholm", "--db", db).stdout
    for words in STOCKHOLM_SAYS[command]:
        assert words in shown
    as_json = sermo(*command.split(), "--zone", "Europe/Stockholm", "--json", "--db", db).stdout
    assert "+0" not in as_json
    assert "00Z" in as_json


def test_the_day_of_a_timeline_is_that_of_the_zone(db: str) -> None:
    shown = sermo("timeline", "web", "anna", "--zone", "Pacific/Fiji", "--db", db).stdout
    assert "opened 2026-03-01 23:50:00 (+12)\n" in shown
    assert "   2026-03-02 (+12)\n2  00:10:00 " in shown


def test_a_file_of_a_timeline_is_in_the_zone(db: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    assert (
        sermo(
            *("timeline", "web", "anna", "-o", path, "--zone", "Europe/Stockholm", "--db", db)
        ).exit_code
        == 0
    )
    assert "(CET)" in path.read_text("utf-8")


def test_without_the_option_people_read_them_in_the_zone_of_the_system(db: str) -> None:
    env = environment(TZ="America/New_York")
    shown = sermo_process("status", "web", "anna", "--db", db, env=env).stdout
    assert b"opened\t2026-03-01T06:50:00.000-05:00\n" in shown
    assert b"(EST)" in sermo_process("timeline", "web", "anna", "--db", db, env=env).stdout


def test_the_tests_run_in_utc() -> None:
    assert os.environ["TZ"] == "UTC"
    assert datetime.now().astimezone().tzname() == "UTC"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sessions --from 1969-01-01", "--from: wanted a time with a zone, from 1970 to 9699"),
        ("sweep --up-to 2999-01-01", "--up-to: wanted a time at most max_ahead later"),
        ("figures --since 2026-01-02 --until 2026-01-01", "--until: wanted a time that is not"),
    ],
)
def test_a_time_that_the_library_refuses_is_named_by_its_option(
    db: str, command: str, said: str
) -> None:
    refused = sermo(*command.split(), "--db", db)
    assert refused.exit_code == 2
    assert f"Error: {said}" in refused.stderr
    assert "-01T00:00:00+00:00\n" in refused.stderr
    assert "datetime" not in refused.stderr
