"""What ``sermo-fsm ingest`` takes, counts, complains about and writes (DESIGN, section 9)."""

import io
import json
import sqlite3
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from sermo_fsm import ChatEngine, Limits, Outcome, Receipt, StoreBusy
from sermo_fsm.cli import json_lines
from tests.command.test_cli_support import (
    OUTCOMES,
    event,
    everything_in,
    line,
    sermo,
    traffic,
    url_of,
)

HEARTBEAT = json.dumps(event("heartbeat"))
TOO_LONG = Limits().event_bytes + 64 * 1024


@pytest.fixture
def db(tmp_path: Path) -> str:
    return url_of(tmp_path / "chats.db")


def ingested(db: str, text: str | bytes, *options: str | Path, status: int = 0) -> dict[str, int]:
    """The counts that are not zero."""
    result = sermo("ingest", "--json", "--db", db, *options, stdin=text)
    assert result.exit_code == status, result.output
    counts: dict[str, int] = json.loads(result.stdout)
    assert list(counts) == ["read", *OUTCOMES]
    assert counts["read"] == sum(counts[outcome] for outcome in OUTCOMES)
    return {name: count for name, count in counts.items() if count}


def texts_of(db: str, user: str = "anna") -> list[str]:
    with ChatEngine(db) as engine:
        session = engine.status("web", user)
        assert session is not None
        return [row.event["text"] for row in engine.history(session.session_id) if row.event]


# --- what is counted ----------------------------------------------------------------------------


EVERY_OUTCOME = (
    line("outbound", event("agent_done"), at=0),  # stray
    line("inbound", event("text", text="Hej"), at=1, message="m-1"),  # moved
    line("inbound", event("heartbeat"), at=2),  # stayed
    line("outbound", event("agent_done"), at=3),  # ignored
    line("inbound", event("weather"), at=4),  # unknown
    line("inbound", event("text", text="Hej"), at=1, message="m-1"),  # duplicate
    line("inbound", event("text", text="Nej"), at=1, message="m-1"),  # conflict
    line("inbound", {"type": "text"}),  # invalid
    line("inbound", event("client_left"), at=5),  # moved
    line("outbound", event("system_text", text="Hej då"), at=6),  # late
)


def test_every_line_is_counted_under_its_outcome(db: str) -> None:
    everything = dict.fromkeys(OUTCOMES, 1)
    assert ingested(db, "".join(EVERY_OUTCOME), status=1) == {
        **everything,
        "read": 10,
        "moved": 2,
    }


@pytest.mark.parametrize("spoils", ["invalid", "conflict"])
def test_a_line_that_is_not_taken_is_1_and_the_good_ones_are_in_all_the_same(
    db: str, spoils: str
) -> None:
    bad = {"invalid": "{\n", "conflict": EVERY_OUTCOME[6]}[spoils]
    lines = [EVERY_OUTCOME[1], bad, line("inbound", event("text", text="Igen"), at=2)]
    assert ingested(db, "".join(lines), status=1) == {"read": 3, "moved": 1, "stayed": 1, spoils: 1}
    assert texts_of(db) == ["Hej", "Igen"]


def test_people_see_the_counts_that_are_not_zero(db: str) -> None:
    result = sermo("ingest", "--db", db, stdin="".join(EVERY_OUTCOME))
    first, *counts = result.stdout.splitlines()
    assert first == "10 lines read"
    assert [line.split() for line in counts] == [
        [outcome, "2" if outcome == "moved" else "1"] for outcome in OUTCOMES
    ]


def test_nothing_at_all_is_fine(db: str) -> None:
    assert ingested(db, "") == {}
    assert sermo("ingest", "--db", db).stdout == "0 lines read\n"


def test_complaints_name_file_line_and_reason_and_never_what_was_written(
    db: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    text = event("text", text=5, note="hemligt")
    path.write_text("\n" + EVERY_OUTCOME[1] + line("inbound", text) + EVERY_OUTCOME[6])
    result = sermo("ingest", path, "--db", db)
    invalid, conflict = result.stderr.splitlines()
    assert invalid.startswith(f"{path}:3: invalid: $.event.text: wanted ")
    assert conflict.startswith(f"{path}:4: conflict: message 'm-1' on inbound was ")
    assert "hemligt" not in result.stderr


def test_only_the_first_complaints_are_printed(db: str) -> None:
    result = sermo("ingest", "--db", db, stdin="{\n" * 700)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [
        f"<stdin>:{number}" for number in range(1, 11)
    ]
    assert "sermo-fsm strays" in lines[-1]
    assert "700" in result.stdout


def test_every_conflict_is_named_for_it_is_written_nowhere(db: str) -> None:
    text = EVERY_OUTCOME[1] + EVERY_OUTCOME[6] * 30 + "{\n" * 12 + EVERY_OUTCOME[6]
    lines = sermo("ingest", "--db", db, stdin=text).stderr.splitlines()
    conflicts = [line for line in lines if ": conflict: " in line]
    assert [line.partition(": ")[0] for line in conflicts] == [
        f"<stdin>:{number}" for number in [*range(2, 32), 44]
    ]
    assert sum(": invalid: " in line for line in lines) == 10
    assert [line for line in lines if "sermo-fsm strays" in line] == [lines[40]]


@pytest.mark.parametrize("platform", ["", "p" * 256, "a\ud800"], ids=ascii)
def test_a_platform_that_can_be_none_is_2_and_the_option_is_named(db: str, platform: str) -> None:
    for stdin in ("", HEARTBEAT):
        result = sermo("ingest", "--platform", platform, "--db", db, stdin=stdin)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "'--platform'" in result.stderr
        assert "platform_id" not in result.stderr


# --- what is read -------------------------------------------------------------------------------


def test_files_are_read_in_their_order(db: str, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_text(
            line("inbound", event("text", text=str(number)), at=number)
        )
    two = (tmp_path / "2.jsonl").read_bytes()
    assert ingested(db, two, tmp_path / "3.jsonl", "-", tmp_path / "0.jsonl")["read"] == 3
    assert texts_of(db) == ["3", "2", "0"]


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=str)
def test_standard_input_is_read_for_a_dash_or_nothing(db: str, arguments: list[str]) -> None:
    assert ingested(db, EVERY_OUTCOME[1], *arguments) == {"read": 1, "moved": 1}


def test_blank_lines_are_nothing_and_line_ends_may_be_those_of_windows_or_missing(db: str) -> None:
    lines = [
        line("inbound", event("text", text=text), at=at).strip().encode()
        for at, text in enumerate("abc")
    ]
    text = b"\n \t\r\n" + lines[0] + b"\r\n\r\n" + lines[1] + b"\n\n" + lines[2]
    assert ingested(db, text) == {"read": 3, "moved": 1, "stayed": 2}
    assert texts_of(db) == ["a", "b", "c"]


def test_a_byte_order_mark_at_the_start_of_a_line_is_skipped(db: str, tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    hello = [line("inbound", event("text", text=text)).encode() for text in "ab"]
    (tmp_path / "a").write_bytes(mark + hello[0] + mark + hello[1])
    (tmp_path / "b").write_bytes(mark)
    (tmp_path / "c").write_bytes(mark + mark + hello[1] + mark + b"\n" + mark)
    files = [tmp_path / name for name in "abc"]
    assert ingested(db, "", *files) == {"read": 3, "moved": 1, "stayed": 2}
    assert ingested(db, hello[0][:-1] + mark + b"\n", status=1) == {"read": 1, "invalid": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{} {}",
        b"\x00",
        b'{"direction": "inbound", "event": {"type": "text\\u0000"}}',
        b'{"direction": "inbound", "event": {"type": "text", "text": "\\ud800", "userId": NaN}}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1, "a": 2}',
    ],
    ids=lambda raw: ascii(raw[-40:]),
)
def test_whatever_a_line_is_it_gets_an_answer(db: str, raw: bytes) -> None:
    good = line("inbound", event("text", text="Hej")).encode()
    counts = ingested(db, raw + b"\n" + good, status=1)
    assert counts == {"read": 2, "moved": 1, "invalid": 1}


def test_a_file_that_is_not_there_stops_everything_before_it_begins(
    db: str, tmp_path: Path
) -> None:
    good = tmp_path / "good.jsonl"
    good.write_text(EVERY_OUTCOME[1])
    result = sermo("ingest", good, tmp_path / "missing.jsonl", "--db", db)
    assert result.exit_code == 2
    assert "missing.jsonl" in result.stderr
    assert everything_in_new(db) == {"sessions": [], "strays": []}


def everything_in_new(db: str) -> dict[str, Any]:
    assert sermo("db", "upgrade", "--db", db).exit_code == 0
    return everything_in(db)


def test_a_file_that_goes_away_meanwhile_is_2_and_says_what_is_in(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    first.write_text("".join(traffic(3)))
    second.write_text(EVERY_OUTCOME[1])
    before = ChatEngine.handle_many

    def handle_many(*args: Any, **options: Any) -> list[Receipt]:
        second.unlink()
        return before(*args, **options)

    monkeypatch.setattr(ChatEngine, "handle_many", handle_many)
    result = sermo("ingest", first, second, "--db", db)
    assert result.exit_code == 2
    assert str(second) in result.stderr
    assert f"3 lines are stored, up to {first}:3, " in result.stderr


# --- bare events, platforms, policies -----------------------------------------------------------


def test_the_direction_of_a_bare_event_is_told_or_its_own(db: str) -> None:
    own = json.dumps(event("heartbeat", direction="inbound"))
    assert ingested(db, HEARTBEAT, "--direction", "inbound") == {"read": 1, "moved": 1}
    assert ingested(db, own) == {"read": 1, "stayed": 1}
    assert ingested(db, HEARTBEAT, status=1) == {"read": 1, "invalid": 1}
    assert ingested(db, own, "--direction", "outbound", status=1) == {"read": 1, "invalid": 1}
    bare = json.dumps(event("handover_to_agent"))
    assert ingested(db, bare, "--direction", "internal") == {"read": 1, "moved": 1}


def test_the_direction_of_an_envelope_is_its_own(db: str) -> None:
    text = line("outbound", event("handover_to_agent")) + HEARTBEAT
    assert ingested(db, text, "--direction", "inbound") == {"read": 2, "moved": 2}
    (first,) = everything_in(db)["sessions"][-1]["history"][:1]
    assert (first["direction"], first["type"]) == ("outbound", "handover_to_agent")


def test_the_nearest_platform_counts(db: str) -> None:
    """Of the event, of its envelope, of the option, of the variable."""
    text = {"type": "text", "text": "Hej", "userId": "anna"}
    bare = line("inbound", text)
    enveloped = json.dumps({**json.loads(bare), "platformId": "envelope"})
    own = line("inbound", {**text, "platformId": "event"})
    for text_line, options, variable, platform in (
        (bare, (), "variable", "variable"),
        (bare, ("--platform", "option"), "variable", "option"),
        (enveloped, ("--platform", "option"), "variable", "envelope"),
        (own, ("--platform", "option"), "variable", "event"),
        (json.dumps({**text, "direction": "inbound"}), (), "a bare event's", "a bare event's"),
    ):
        arguments = ("ingest", *options, "--db", db)
        assert sermo(*arguments, stdin=text_line, SERMO_PLATFORM=variable).exit_code == 0
        assert everything_in(db)["sessions"][0]["platformId"] == platform


@pytest.mark.parametrize("variable", [None, ""])
def test_without_any_platform_an_event_is_invalid(db: str, variable: str | None) -> None:
    text = line("inbound", {"type": "text", "text": "Hej", "userId": "anna"})
    result = sermo("ingest", "--db", db, stdin=text, SERMO_PLATFORM=variable)
    assert result.exit_code == 1
    assert "platformId" in result.stderr


@pytest.mark.parametrize("command", ["ingest", "worker"])
def test_a_variable_that_can_be_no_platform_is_2_and_is_named(db: str, command: str) -> None:
    result = sermo(command, "--db", db, SERMO_PLATFORM="p" * 256)
    assert result.exit_code == 2
    assert "SERMO_PLATFORM" in result.stderr


def test_a_policy_decides_when_a_silent_customer_is_gone(db: str, tmp_path: Path) -> None:
    short, long = tmp_path / "short.toml", tmp_path / "long.toml"
    short.write_text("idle_timeout = 60\n\n[platforms.messenger]\nidle_timeout = false\n")
    long.write_text("idle_timeout = 7200\n")
    for user, options, variable, expires in (
        ("anna", ["--policy", str(short)], None, "2026-03-01T12:01:00.000Z"),
        ("bo", [], short, "2026-03-01T12:01:00.000Z"),
        ("cilla", ["--policy", str(long)], short, "2026-03-01T14:00:00.000Z"),
        ("doris", [], None, "2026-03-01T12:30:00.000Z"),
    ):
        result = sermo(
            "ingest",
            *options,
            *("--db", db),
            stdin=line("inbound", event("heartbeat", user)),
            SERMO_POLICY=None if variable is None else str(variable),
        )
        assert result.exit_code == 0
        assert everything_in(db)["sessions"][0]["expiresAt"] == expires


@pytest.mark.parametrize(
    "content",
    [b"idle_timeout = soon", b"patience = 5", b"idle_timeout = -1", b"\xff", b"x = [" * 9000, None],
    ids=["no TOML", "unknown name", "negative", "no UTF-8", "too deep", "no file"],
)
def test_a_policy_that_is_none_is_2_and_nothing_is_in(
    db: str, tmp_path: Path, content: bytes | None
) -> None:
    policy = tmp_path / "policy.toml"
    if content is not None:
        policy.write_bytes(content)
    result = sermo("ingest", "--policy", policy, "--db", db, stdin=EVERY_OUTCOME[1])
    assert result.exit_code == 2
    assert "policy.toml" in result.stderr
    assert everything_in_new(db) == {"sessions": [], "strays": []}


# --- sizes --------------------------------------------------------------------------------------


def test_a_line_that_is_too_long_is_invalid_and_its_neighbours_are_in(db: str) -> None:
    lines = [
        line("inbound", event("text", text="a"), at=1).encode(),
        line("inbound", event("text", text="x" * TOO_LONG), at=2).encode() + b"\n",
        line("inbound", event("text", text="b"), at=3).encode(),
    ]
    counts = ingested(db, b"".join(lines), status=1)
    assert counts == {"read": 3, "moved": 1, "stayed": 1, "invalid": 1}
    assert texts_of(db) == ["a", "b"]
    with ChatEngine(db) as engine:
        (stray,) = engine.strays()
    assert stray.reason is not None
    assert "at most" in stray.reason
    assert len(stray.raw or "") == 64 * 1024


def test_an_event_as_large_as_allowed_goes_in_with_its_envelope(db: str) -> None:
    bare = event("text", text="Bifogad bild:", image="")
    room = Limits().event_bytes - len(json.dumps(bare))
    bare["image"] = "x" * room
    assert ingested(db, line("inbound", bare, message="m" * 255)) == {"read": 1, "moved": 1}
    bare["image"] += "x"
    assert ingested(db, line("inbound", bare), status=1) == {"read": 1, "invalid": 1}


def test_what_stands_behind_very_much_blank_space_is_not_lost_in_silence(db: str) -> None:
    text = b" " * TOO_LONG + EVERY_OUTCOME[1].encode()
    assert ingested(db, text, status=1) == {"read": 1, "invalid": 1}


def test_a_line_without_end_is_never_held_whole() -> None:
    splitter = json_lines._LineSplitter("endless")
    for _ in range(100):
        assert list(splitter.feed(b"x" * 1024 * 1024)) == []
        assert len(splitter.rest) <= TOO_LONG
    (only,) = splitter.feed(b"\n{}")
    assert len(only.content) == TOO_LONG
    assert [line.content for line in splitter.end()] == [b"{}"]


def test_lines_are_the_same_however_they_are_read() -> None:
    text = b"\xef\xbb\xbfa\n\n b \r\nccc\n\xef\xbb\xbfd\n\xef\xbb\xbf \ne"
    wanted = [(1, b"a"), (3, b" b \r"), (4, b"ccc"), (5, b"d"), (7, b"e")]
    for size in range(1, len(text) + 1):
        splitter = json_lines._LineSplitter("chats")
        chunks = (text[start : start + size] for start in range(0, len(text), size))
        lines = [line for chunk in chunks for line in splitter.feed(chunk)] + [*splitter.end()]
        assert [(line.number, line.content) for line in lines] == wanted


def batches_of(text: bytes, monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """What is handed in at a time."""
    batches: list[list[bytes]] = []

    def handle_many(_: ChatEngine, lines: Iterable[bytes], **__: Any) -> list[Receipt]:
        batches.append([*lines])
        return [Receipt(outcome=Outcome.STAYED) for _ in batches[-1]]

    monkeypatch.setattr(ChatEngine, "handle_many", handle_many)
    assert sermo("ingest", "--db", "sqlite://", stdin=text).exit_code == 0
    assert b"\n".join(line for batch in batches for line in batch) == text.rstrip(b"\n")
    return batches


def test_a_batch_is_bounded_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = batches_of(b"{}\n" * 1700, monkeypatch)
    assert [len(batch) for batch in batches] == [500, 500, 500, 200]


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = b"x" * (TOO_LONG - 1)
    batches = batches_of((longest + b"\n") * 3 + (b"y" * 10_000 + b"\n") * 3000, monkeypatch)
    assert max(sum(map(len, batch)) for batch in batches) < TOO_LONG + 512 * 1024


# --- a database that refuses --------------------------------------------------------------------


def test_where_the_database_refuses_nothing_of_the_failing_batch_is_in(
    db: str, tmp_path: Path
) -> None:
    lines = list(traffic(1300))
    path, clean = tmp_path / "events.jsonl", url_of(tmp_path / "clean.db")
    path.write_text("".join(lines))
    assert sermo("db", "upgrade", "--db", db).exit_code == 0
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON sermo_history WHEN new.message_id = {!r} "
    refuse += "BEGIN SELECT RAISE(ABORT, 'no'); END"
    stored = message_that_is_stored(lines[800:])
    change(db, refuse.format(stored))

    result = sermo("ingest", path, "--json", "--db", db)
    assert (result.exit_code, result.stdout) == (3, "")
    (message,) = result.stderr.splitlines()
    assert f"500 lines are stored, up to {path}:500, and nothing of what follows" in message
    assert sermo("ingest", "--db", clean, stdin="".join(lines[:500])).exit_code == 0
    assert everything_in(db) == everything_in(clean)

    change(db, "DROP TRIGGER refuse")
    counts = ingested(db, "", path)
    assert counts["read"] == 1300
    assert counts["duplicate"] > 0
    ingested(clean, "", path)
    assert everything_in(db) == everything_in(clean)


def message_that_is_stored(lines: list[str]) -> str:
    texts = (json.loads(line) for line in lines)
    return next(str(one["messageId"]) for one in texts if one["event"]["type"] == "text")


def change(db: str, statement: str) -> None:
    with closing(sqlite3.connect(db.removeprefix("sqlite:///"))) as connection:
        connection.execute(statement)
        connection.commit()


def test_where_the_database_refuses_at_once_nothing_is_in(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> list[Receipt]:
        raise StoreBusy("the database is busy: database is locked")

    monkeypatch.setattr(ChatEngine, "handle_many", refuse)
    result = sermo("ingest", "--db", db, stdin=EVERY_OUTCOME[1])
    assert result.exit_code == 3
    assert result.stderr == (
        "Error: the database is busy: database is locked; "
        "try again when the other program is done. Nothing is stored\n"
    )


def test_one_line_is_not_lines(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: json_lines._Ingester, path: Path) -> None:
        del self, path
        raise OSError(5, "Input/output error")

    before = json_lines._Ingester.ingest

    def ingest(self: json_lines._Ingester, path: Path) -> None:
        before(self, path)
        monkeypatch.setattr(json_lines._Ingester, "ingest", gone)

    monkeypatch.setattr(json_lines._Ingester, "ingest", ingest)
    result = sermo("ingest", "-", "-", "--db", db, stdin=EVERY_OUTCOME[1])
    assert result.exit_code == 2
    assert "Input/output error. 1 line is stored, up to <stdin>:1, " in result.stderr


# --- where it runs ------------------------------------------------------------------------------


def test_it_also_runs_in_a_thread_where_there_are_no_signals(db: str) -> None:
    counts: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: counts.append(ingested(db, EVERY_OUTCOME[1])))
    thread.start()
    thread.join()
    assert counts == [{"read": 1, "moved": 1}]


def test_a_read_that_does_not_wait_is_not_taken_for_the_end(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(io.RawIOBase):
        answers: Iterator[bytes | None] = iter([EVERY_OUTCOME[1].encode(), None])

        def read(self, size: int = -1, /) -> bytes | None:
            del size
            return next(self.answers)

    with Impatient() as stream:
        monkeypatch.setattr("sermo_fsm.cli.input_streams._opened", lambda _: nullcontext(stream))
        result = sermo("ingest", "--db", db)
    assert result.exit_code == 2
    assert "pipe it through 'cat |'. 1 line is stored, up to <stdin>:1, " in result.stderr


# --- redaction ----------------------------------------------------------------------------------


def test_texts_are_redacted_where_asked(db: str) -> None:
    card = "4111 1111 1111 1111"
    lines = line("inbound", event("text", text=f"kort {card}"), at=0, message="m-1")
    assert ingested(db, lines, "--redact") == {"read": 1, "moved": 1}
    assert ingested(db, lines, "--redact") == {"read": 1, "duplicate": 1}
    assert texts_of(db) == ["kort [kortnummer]"]
    result = sermo("ingest", "--db", db, stdin=lines, SERMO_REDACT="1")
    assert result.exit_code == 0
    assert ingested(db, lines, status=1) == {"read": 1, "conflict": 1}
    assert ingested(db, f"no JSON {card}", "--redact", status=1) == {"read": 1, "invalid": 1}
    assert card not in str(everything_in(db))


@pytest.mark.parametrize("command", [["ingest"], ["worker", "--queues", "inbound=a"]])
def test_redaction_needs_its_extra(
    command: list[str], db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stdnum", None)
    result = sermo(*command, "--redact", "--db", db)
    assert result.exit_code == 2
    assert "it needs the extra: pip install 'sermo-fsm[redact]'" in result.stderr
