"""What ``sermo-fsm ingest`` makes of files that are not plain JSON Lines (DESIGN, section 9)."""

import gzip
import io
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from backports import zstd

from sermo_fsm.cli import input_streams
from tests.command.test_cli_support import (
    COMMAND,
    environment,
    event,
    everything_in,
    line,
    sermo,
    sermo_process,
    traffic,
    url_of,
)

EVENTS = [json.loads(one) for one in traffic(60)]
LINES = "".join(traffic(60)).encode()
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    assert sermo("db", "upgrade", "--db", url).exit_code == 0
    return url


# --- what is refused ----------------------------------------------------------------------------

ARRAY, PRETTY, UTF_16 = "a JSON array", "JSON over several lines", "UTF-16"
FOREIGN = {
    "array in one line": (json.dumps(EVENTS), ARRAY),
    "array of one event": (json.dumps(EVENTS[:1]), ARRAY),
    "array, an event on each line": ("[\n" + ",\n".join(map(json.dumps, EVENTS)) + "\n]", ARRAY),
    "pretty array": (json.dumps(EVENTS, indent=2), ARRAY),
    "array after blank lines and a mark": ("\n\ufeff \n\t[ \r\n {}]", ARRAY),
    "pretty": (json.dumps(EVENTS[0], indent=2), PRETTY),
    "many pretty": ("\n".join(json.dumps(one, indent="\t") for one in EVENTS), PRETTY),
    "pretty with Windows' line ends": (
        json.dumps(EVENTS[0], indent=4).replace("\n", "\r\n"),
        PRETTY,
    ),
    "pretty from the second brace on": ('{"direction": "inbound", "event": {\n"type": 1}}', PRETTY),
    "commas first": ('{ "direction": "inbound"\n, "event": {}}', PRETTY),
    "in UTF-32": (LINES.decode().encode("utf-32"), "UTF-32"),
    "in UTF-32, big end first": (b"\0\0\xfe\xff" + LINES.decode().encode("utf-32-be"), "UTF-32"),
    "in UTF-16": (LINES.decode().encode("utf-16"), UTF_16),
    "in UTF-16, big end first": (b"\xfe\xff" + LINES.decode().encode("utf-16-be"), UTF_16),
    "in UTF-16 without a mark": (LINES.decode().encode("utf-16-le"), UTF_16),
    "in UTF-16, big end first, without a mark": (LINES.decode().encode("utf-16-be"), UTF_16),
    "array in UTF-16": (json.dumps(EVENTS).encode("utf-16-le"), UTF_16),
    "array in UTF-16, big end first": (json.dumps(EVENTS).encode("utf-16-be"), UTF_16),
    "bzip2": (b"BZh91AY&SY", "bzip2"),
    "xz": (b"\xfd7zXZ\x00\x00", "xz"),
    "ZIP": (b"PK\x03\x04\x14\x00", "a ZIP archive"),
    "gzip in gzip": (gzip.compress(gzip.compress(LINES)), "compressed twice"),
    "zstd in gzip": (gzip.compress(zstd.compress(LINES)), "compressed twice"),
    "array in gzip": (gzip.compress(json.dumps(EVENTS).encode()), ARRAY),
    "pretty in zstd": (zstd.compress(json.dumps(EVENTS[0], indent=2).encode()), PRETTY),
}


@pytest.mark.parametrize(("content", "what"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_json_lines_is_named_and_nothing_is_written(
    db: str, tmp_path: Path, content: str | bytes, what: str
) -> None:
    good, path = tmp_path / "good.jsonl", tmp_path / "events.jsonl"
    good.write_bytes(LINES)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    for arguments, stdin, name in (
        ([good, path], b"", str(path)),
        ([], path.read_bytes(), "<stdin>"),
    ):
        result = sermo("ingest", "--json", *arguments, "--db", db, stdin=stdin)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: {name}: it looks like {what}, but ")
        assert result.stderr.endswith(". Nothing is stored\n")
        assert result.stderr.count("\n") == 1
    assert everything_in(db) == {"sessions": [], "strays": []}


def test_a_file_of_any_other_kind_is_refused_before_the_first_is_read(
    db: str, tmp_path: Path
) -> None:
    good, pretty = tmp_path / "1.jsonl", tmp_path / "2.json"
    good.write_bytes(LINES)
    pretty.write_text(json.dumps(EVENTS[0], indent=1))
    assert sermo("ingest", good, pretty, "--db", db).exit_code == 2
    assert everything_in(db)["sessions"] == []
    result = sermo("ingest", good, "-", "--db", db, stdin="[{}]")  # it can't be opened twice
    assert f"60 lines are stored, up to {good}:60, " in result.stderr


def _part_of(file: io.BytesIO, size: int, _: int) -> bytes:
    return file.read(size)


@pytest.mark.parametrize("content", [json.dumps(EVENTS, indent=2), json.dumps(EVENTS[0], indent=2)])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_it_is_does_not_depend_on_how_it_is_read(content: str, encoding: str) -> None:
    raw = content.encode(encoding)[:300]
    for size in range(1, len(raw)):
        stream = input_streams._Peekable(partial(_part_of, io.BytesIO(raw), size))
        with pytest.raises(OSError, match="it looks like"):
            input_streams._refuse_foreign(stream, input_streams.STDIN)


@pytest.mark.parametrize(
    "start",
    [b"{\n", b"{ \r\n\n", b"[]\n", b"[1]\n", b"{}\n", b"\x00\n", b"PK\n", b'{"a": [\n', b"a,b\n"],
    ids=ascii,
)
def test_a_broken_first_line_is_one_line_and_the_others_are_in(db: str, start: bytes) -> None:
    good = line("inbound", event("text", text="Hej")).encode()
    result = sermo("ingest", "--json", "--db", db, stdin=start + good)
    counts = json.loads(result.stdout)
    assert (result.exit_code, counts["moved"], counts["invalid"]) == (1, 1, 1)


def test_a_first_line_that_is_long_is_not_held_twice(db: str) -> None:
    image = "data:image/png;base64," + "A" * 400_000
    text = line("inbound", event("text", text="Hej", image=image)) + LINES.decode()
    result = sermo("ingest", "--json", "--db", db, stdin=text)
    assert json.loads(result.stdout)["read"] == 61


# --- what is unpacked ---------------------------------------------------------------------------


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", ["events.jsonl.gz", "events.jsonl.zst", "events", None])
def test_what_is_compressed_is_read_whatever_its_name(
    db: str, tmp_path: Path, packer: str, name: str | None
) -> None:
    lines = LINES.splitlines(keepends=True)
    members = [PACKERS[packer](b"".join(lines[start : start + 20])) for start in (0, 20, 40)]
    packed = b"".join(members)
    files = []
    if name is not None:
        files = [tmp_path / name]
        files[0].write_bytes(packed)
    result = sermo("ingest", "--json", *files, "--db", db, stdin=packed)
    assert result.exit_code == 0, result.stderr
    clean = url_of(tmp_path / "clean.db")
    assert result.stdout == sermo("ingest", "--json", "--db", clean, stdin=LINES).stdout
    assert everything_in(db) == everything_in(clean)


def test_an_empty_file_holds_no_lines_whatever_its_name(db: str, tmp_path: Path) -> None:
    names = ["empty.gz", "empty.zst", "packed.gz"]
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(b"") if "packed" in name else b"")
    result = sermo("ingest", *(tmp_path / name for name in names), "--db", db)
    assert (result.exit_code, result.stdout) == (0, "0 lines read\n")


@pytest.mark.parametrize(("name", "format_"), [("plain.GZ", "gzip"), ("plain.zst", "zstd")])
def test_a_name_that_lies_is_refused(db: str, tmp_path: Path, name: str, format_: str) -> None:
    (tmp_path / name).write_bytes(LINES)
    result = sermo("ingest", tmp_path / name, "--db", db)
    assert result.exit_code == 2
    assert f"{name}: its name says {format_}, but it is not compressed so" in result.stderr
    assert everything_in(db)["sessions"] == []


def noisy_lines() -> list[bytes]:
    """Lines that take their time to read, in more than one batch."""
    return [one.encode() for one in traffic(3000)]


@pytest.mark.parametrize("packer", PACKERS)
def test_a_file_that_is_cut_off_says_so_and_what_is_in(
    db: str, tmp_path: Path, packer: str
) -> None:
    path, lines = tmp_path / "events", noisy_lines()
    packed = PACKERS[packer](b"".join(lines))
    path.write_bytes(packed[: len(packed) * 2 // 3])
    result = sermo("ingest", path, "--db", db)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path}: it is cut off: its compressed data has no end. " in result.stderr
    read = int(result.stderr.partition("no end. ")[2].partition(" lines are stored, up to ")[0])
    assert 0 < read < 3000
    clean = url_of(tmp_path / "clean.db")
    assert sermo("ingest", "--db", clean, stdin=b"".join(lines[:read])).exit_code == 0
    assert everything_in(db) == everything_in(clean)


def broken_gzip(flaw: str) -> bytes:
    packed = bytearray(gzip.compress(b"".join(noisy_lines())))
    match flaw:
        case "checksum":
            packed[-8] ^= 1
        case "no such block":
            packed += b"\x1f\x8b\x08" + bytes(7) + b"\x07"
        case "garbage at the end":
            packed += b"garbage"
    return bytes(packed)


@pytest.mark.parametrize("flaw", ["checksum", "no such block", "garbage at the end"])
def test_a_damaged_file_says_so_and_what_is_in(db: str, flaw: str) -> None:
    result = sermo("ingest", "--db", db, stdin=broken_gzip(flaw))
    assert result.exit_code == 2
    assert "<stdin>: its compressed data is damaged. " in result.stderr
    assert " lines are stored, up to <stdin>:" in result.stderr


def test_damaged_zstd_says_so(db: str) -> None:
    result = sermo("ingest", "--db", db, stdin=zstd.compress(LINES)[:4] + b"\xff" * 99)
    assert result.exit_code == 2
    assert "<stdin>: its compressed data is damaged. Nothing is stored" in result.stderr


def test_without_the_extra_zstd_is_refused_with_what_to_install(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "events.zst"
    path.write_bytes(zstd.compress(LINES))
    result = sermo("ingest", path, "--db", db)
    assert result.exit_code == 2
    assert f"{path}: it is compressed by zstd; zstd needs an extra: pip install " in result.stderr
    assert "'sermo-fsm[zstd]'. Nothing is stored" in result.stderr


# --- streams ------------------------------------------------------------------------------------


@contextmanager
def ingesting(db: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [*COMMAND, "ingest", "--json", "--db", db],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("packed", [False, True])
def test_each_line_of_a_live_pipe_goes_in_as_it_comes(db: str, *, packed: bool) -> None:
    packer = zlib.compressobj(wbits=31)

    def piece(text: bytes) -> bytes:
        return packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) if packed else text

    with ingesting(db) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for number in range(1, 4):
            hello = line("inbound", event("text", text="Hej"), at=number).encode()
            process.stdin.write(piece(hello + b"{}\n"))
            process.stdin.flush()
            assert process.stderr.readline().startswith(b"<stdin>:%d: invalid" % (number * 2))
        process.stdin.write(packer.flush() if packed else b"")
        stdout, _ = process.communicate()
    assert json.loads(stdout)["read"] == 6


def test_a_pipe_of_another_kind_is_refused_line_by_line_too(db: str) -> None:
    with ingesting(db) as process:
        assert process.stdin is not None
        for one in json.dumps(EVENTS[0], indent=2).splitlines(keepends=True)[:2]:
            process.stdin.write(one.encode())
            process.stdin.flush()
        _, stderr = process.communicate()
    assert process.returncode == 2
    assert b"it looks like JSON over several lines" in stderr
    assert b"pipe it through: jq -c '.'. Nothing is stored" in stderr
    assert everything_in(db)["strays"] == []


def test_ingest_loads_zstd_only_for_zstd(db: str) -> None:
    env = environment(PYTHONVERBOSE="1")
    assert b"backports" not in sermo_process("ingest", "--db", db, stdin=LINES, env=env).stderr
    packed = zstd.compress(LINES)
    assert b"backports" in sermo_process("ingest", "--db", db, stdin=packed, env=env).stderr
