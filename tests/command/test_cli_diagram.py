"""``sermo-fsm diagram``: what it draws, where it writes, what it compares."""

import io
import json
import os
import pty
import stat
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sermo_fsm import ChatEngine
from sermo_fsm import diagram as diagram_module
from sermo_fsm.diagram import FILES, FORMATS, render
from sermo_fsm.picture.drawing import machine_drawing
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.views.chat_path import path_from_rows
from tests.command.test_cli_support import COMMAND, environment, sermo
from tests.support import CHECKOUT, also_proved


def drawn(kind: str, theme: str = "light", *, loops: bool = False, scale: float = 2.0) -> bytes:
    """What is to come out for the machine."""
    found = render(machine_drawing(loops=loops), kind, theme, scale=scale)
    return found if isinstance(found, bytes) else found.encode()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FORMATS)
def test_it_draws_each_format(kind: str) -> None:
    assert sermo("diagram", "--format", kind).stdout_bytes == drawn(kind)


def test_it_draws_mermaid_where_nothing_is_said() -> None:
    for options in ((), ("-o", "-")):
        assert sermo("diagram", *options).stdout_bytes == drawn("mermaid")


def test_it_needs_no_database(here: Path) -> None:
    assert sermo("diagram", SERMO_DB="nonsense").exit_code == 0
    assert sermo("check", SERMO_DB="nonsense").exit_code == 0
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.mmd", "mermaid"), ("a.MERMAID", "mermaid"), ("a.dot", "dot"), ("a.b.gv", "dot")),
        *(("a.svg", "svg"), ("a.Png", "png")),
    ],
)
def test_the_name_of_the_file_says_the_format(here: Path, name: str, kind: str) -> None:
    result = sermo("diagram", "-o", name)
    assert (result.exit_code, result.output) == (0, "")
    assert (here / name).read_bytes() == drawn(kind)


def test_a_name_that_says_none_needs_the_option(here: Path) -> None:
    assert sermo("diagram", "-o", "machine.md").exit_code == 2
    assert not list(here.iterdir())
    assert sermo("diagram", "-o", "machine.md", "--format", "dot").exit_code == 0
    assert (here / "machine.md").read_bytes() == drawn("dot")


def test_json_holds_what_is_drawn(here: Path) -> None:
    shown = {"format": "mermaid", "file": None, "diagram": drawn("mermaid").decode()}
    assert json.loads(sermo("diagram", "--json").stdout) == shown
    written = {"format": "dot", "file": "a.dot", "diagram": drawn("dot").decode()}
    assert json.loads(sermo("diagram", "--json", "-o", "a.dot").stdout) == written
    assert (here / "a.dot").exists()


# --- writing ------------------------------------------------------------------------------------


def test_what_was_there_is_replaced_and_keeps_its_mode(here: Path) -> None:
    path = here / "a.dot"
    path.write_text("old" * 10_000)
    path.chmod(0o640)
    assert sermo("diagram", "-o", "a.dot").exit_code == 0
    assert path.read_bytes() == drawn("dot")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(here.iterdir()) == [path]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []

    def sync(file: int) -> None:
        synced.append((os.fstat(file).st_size, (here / "a.dot").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    assert sermo("diagram", "-o", "a.dot").exit_code == 0
    assert synced == [(len(drawn("dot")), False)]


def test_a_link_stays_a_link(here: Path) -> None:
    (here / "real.dot").write_text("old")
    (here / "link.dot").symlink_to("real.dot")
    assert sermo("diagram", "-o", "link.dot").exit_code == 0
    assert (here / "link.dot").is_symlink()
    assert (here / "real.dot").read_bytes() == drawn("dot")


class Full(io.BytesIO):
    """What is written to fills the disk half way."""

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")  # as of a write: without a name


def full(self: Path, *_: object) -> Full:
    self.touch()
    return Full()


def no_rename(self: Path, *_: object) -> Path:
    raise OSError(28, "No space left on device", str(self))


@pytest.mark.parametrize(("what", "fails"), [("open", full), ("replace", no_rename)])
def test_where_writing_fails_the_old_file_is_whole_and_nothing_is_left_over(
    here: Path, monkeypatch: pytest.MonkeyPatch, what: str, fails: Callable[..., object]
) -> None:
    (here / "a.dot").write_text("old")
    with monkeypatch.context() as patched:
        patched.setattr(Path, what, fails)
        result = sermo("diagram", "-o", "a.dot")
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert [path.name for path in here.iterdir()] == ["a.dot"]
    assert (here / "a.dot").read_text() == "old"


@pytest.mark.parametrize(("there", "named"), [(False, "nodir"), (True, "nodir/x.mmd")])
def test_a_file_that_can_not_be_written_is_named_and_not_the_one_beside_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, named: str, *, there: bool
) -> None:
    if there:
        (here / "nodir").mkdir()
        monkeypatch.setattr(Path, "open", full)
    result = sermo("diagram", "-o", "nodir/x.mmd")
    words = "No space left on device" if there else "No such file or directory"
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {named}: {words}\n"


def test_a_full_device_is_named() -> None:
    result = sermo("diagram", "--format", "dot", "-o", "/dev/full")
    assert result.exit_code == 2
    assert result.stderr == "Error: /dev/full: No space left on device\n"


def test_what_is_no_file_is_written_to_and_not_replaced() -> None:
    arguments = [*COMMAND, "diagram", "--format", "dot", "-o", "/dev/stdout"]
    done = subprocess.run(arguments, capture_output=True, check=True, env=environment())
    assert done.stdout == drawn("dot")


# --- comparing ----------------------------------------------------------------------------------


def test_the_diagrams_of_the_checkout_are_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert sermo("diagram", "--check").exit_code == 0


def fill(folder: Path) -> None:
    (folder / "diagrams").mkdir()
    for name, draw in FILES.items():
        (folder / "diagrams" / name).write_bytes(draw())


def problems(*options: str, status: int) -> dict[str, str | None]:
    result = sermo("diagram", "--check", "--json", *options)
    assert result.exit_code == status, result.output
    answer = json.loads(result.stdout)
    assert list(answer) == ["ok", "files"]
    assert answer["ok"] is (status == 0)
    assert all(list(one) == ["file", "format", "problem"] for one in answer["files"])
    return {one["file"]: one["problem"] for one in answer["files"]}


def test_what_is_in_step_is_0(here: Path) -> None:
    fill(here)
    assert problems(status=0) == {f"diagrams/{name}": None for name in FILES}
    lines = sermo("diagram", "--check").stdout.splitlines()
    assert lines == [f"ok diagrams/{name}" for name in FILES]


def test_what_is_not_in_step_is_1_and_named(here: Path) -> None:
    fill(here)
    first, second, *others = FILES
    with (here / "diagrams" / first).open("a") as file:
        file.write("%% by hand\n")
    (here / "diagrams" / second).unlink()
    assert problems(status=1) == {
        f"diagrams/{first}": "not what would be drawn now",
        f"diagrams/{second}": "missing",
        **{f"diagrams/{name}": None for name in others},
    }
    result = sermo("diagram", "--check")
    assert result.exit_code == 1
    again = "sermo-fsm diagram --format"
    stale = "not what would be drawn now"
    assert result.stdout.splitlines() == [
        f"FAILED diagrams/machine.mmd: {stale}; {again} mermaid -o diagrams/machine.mmd",
        f"FAILED diagrams/machine.dot: missing; {again} dot -o diagrams/machine.dot",
        "ok diagrams/machine.svg",
        "ok diagrams/machine-dark.svg",
    ]


def test_what_is_to_be_run_mends_it(here: Path) -> None:
    (here / "diagrams").mkdir()
    for line in sermo("diagram", "--check").stdout.splitlines():
        command = line.partition("; sermo-fsm ")[2].split()
        assert sermo(*command).exit_code == 0
    assert sermo("diagram", "--check").exit_code == 0


def test_one_format_or_one_file_can_be_compared_alone(here: Path) -> None:
    fill(here)
    (here / "diagrams" / "machine.mmd").unlink()
    assert problems("--format", "dot", status=0) == {"diagrams/machine.dot": None}
    assert problems("-o", "diagrams/machine.dot", status=0) == {"diagrams/machine.dot": None}
    assert problems("-o", "elsewhere.gv", status=1) == {"elsewhere.gv": "missing"}


def test_line_ends_of_windows_are_in_step(here: Path) -> None:
    (here / "a.dot").write_bytes(drawn("dot").replace(b"\n", b"\r\n"))
    assert problems("-o", "a.dot", status=0) == {"a.dot": None}
    (here / "a.png").write_bytes(drawn("png").replace(b"\n", b"\r\n"))
    assert problems("-o", "a.png", status=1) == {"a.png": "not what would be drawn now"}


def test_a_file_that_can_not_be_read_is_2(here: Path) -> None:
    (here / "diagrams").mkdir()
    (here / "diagrams" / "machine.mmd").mkdir()
    result = sermo("diagram", "--check")
    assert result.exit_code == 2
    assert "machine.mmd" in result.stderr


def test_the_script_is_installed_beside_python() -> None:
    script = Path(sys.executable).with_name("sermo-fsm")
    done = subprocess.run([script, "diagram"], capture_output=True, check=True, env=environment())
    assert done.stdout == drawn("mermaid")


def test_the_traffic_in_the_folder_is_that_of_all_examples(here: Path) -> None:
    files = sorted((CHECKOUT / "examples").glob("*.jsonl"))
    assert sermo("ingest", *files).exit_code == 0
    assert sermo("sweep", "--up-to", "2026-03-06T19:10:00Z").exit_code == 0
    for theme, name in (("light", "traffic.svg"), ("dark", "traffic-dark.svg")):
        result = sermo("diagram", "--traffic", "-o", here / name, "--theme", theme)
        assert result.exit_code == 0
        assert (here / name).read_bytes() == (CHECKOUT / "diagrams" / name).read_bytes()


def test_a_file_can_be_compared_with_any_drawing(here: Path) -> None:
    (here / "a.svg").write_bytes(drawn("svg", "dark", loops=True))
    options = ("-o", "a.svg", "--theme", "dark")
    assert problems(*options, "--loops", status=0) == {"a.svg": None}
    assert problems(*options, status=1) == {"a.svg": "not what would be drawn now"}
    line = sermo("diagram", "--check", *options).stdout
    assert line.endswith("not what would be drawn now; run the same command without --check\n")


# --- themes, sizes, loops -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_a_theme_and_loops_are_handed_on(kind: str) -> None:
    found = sermo("diagram", "--format", kind, "--theme", "dark", "--loops").stdout_bytes
    assert found == drawn(kind, "dark", loops=True)


def test_a_png_can_be_large_and_is_base64_in_json(here: Path) -> None:
    assert sermo("diagram", "-o", "a.png", "--scale", "0.5").exit_code == 0
    assert (here / "a.png").read_bytes() == drawn("png", scale=0.5)
    answer = json.loads(sermo("diagram", "--format", "png", "--json").stdout)
    assert b64decode(answer["diagram"]) == drawn("png")


def test_what_a_png_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> bytes:
        raise ImportError("PNG needs: pip install 'sermo-fsm[diagrams]'")

    monkeypatch.setattr(diagram_module, "png", missing)
    result = sermo("diagram", "--format", "png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'sermo-fsm[diagrams]'" in result.stderr


def test_a_png_goes_into_a_pipe_but_not_to_a_terminal() -> None:
    command = [*COMMAND, "diagram", "--format", "png"]
    piped = subprocess.run(command, capture_output=True, check=True, env=environment())
    assert piped.stdout == drawn("png")
    status, shown = on_a_terminal("diagram", "--format", "png")
    assert status == 2
    assert "a PNG can't be shown on a terminal; name a file with -o" in shown
    status, shown = on_a_terminal("diagram", "--format", "png", "--json")
    assert status == 0


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run it where a person watches: its status, and what that person sees."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=theirs, stderr=theirs, env=environment(COLUMNS="100")
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a terminal says on Linux that nobody writes there any more
        while some := os.read(ours, 65536):
            shown += some
    os.close(ours)
    return process.wait(), shown.decode()


# --- chats and traffic --------------------------------------------------------------------------

ANNA = ("comviq-web", "c86f2b1d-53a9-4e70-8d14-b90a7e35f6c2")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the chats of the examples."""
    url = f"sqlite:///{tmp_path_factory.mktemp('chats') / 'chat.db'}"
    with ChatEngine(url) as engine:
        engine.migrate()
        for path in sorted((CHECKOUT / "examples").glob("*.jsonl")):
            engine.handle_many(path.read_bytes().splitlines())
        engine.sweep(datetime(2026, 3, 7, tzinfo=UTC))
    return url


def the_path(url: str, *named: str, kind: str = "mermaid") -> str | bytes:
    with ChatEngine(url) as engine:
        session = engine.session(*named) if len(named) == 1 else engine.status(*named)
        assert session is not None
        walk = path_from_rows(session, engine.history(session.session_id))
    return render(path_drawing(walk, session.effective_at), kind)


def test_the_path_of_a_users_last_chat(url: str) -> None:
    result = sermo("diagram", *ANNA, "--db", url)
    assert (result.exit_code, result.stdout) == (0, the_path(url, *ANNA))
    assert "resumed chat 1" in result.stdout


def test_the_path_of_the_chat_with_this_id(url: str, here: Path) -> None:
    with ChatEngine(url) as engine:
        (first,) = (one for one in engine.sessions(user=ANNA[1]) if one.ordinal == 1)
    named = first.session_id
    result = sermo("diagram", "--session", named, "-o", "a.dot", "--json", SERMO_DB=url)
    assert json.loads(result.stdout)["diagram"] == the_path(url, named, kind="dot")
    assert (here / "a.dot").read_text("utf-8") == the_path(url, named, kind="dot")


@pytest.mark.parametrize("named", [("comviq-web", "nobody"), ("--session", "x")])
def test_who_is_not_there_has_no_path(url: str, named: tuple[str, str], here: Path) -> None:
    result = sermo("diagram", *named, "-o", "a.svg", "--db", url)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no such" in result.stderr
    assert not list(here.iterdir())
    assert sermo("diagram", *named, "--json", "--db", url).stdout == "null\n"


def test_traffic_is_counted_and_drawn(url: str) -> None:
    with ChatEngine(url) as engine:
        found = engine.traffic()
    assert found.rows > 100
    result = sermo("diagram", "--traffic", "--db", url)
    assert result.stdout == render(traffic_drawing(found), "mermaid")
    assert result.stderr == ""
    with_loops = sermo("diagram", "--traffic", "--loops", "--format", "dot", "--db", url)
    assert with_loops.stdout == render(traffic_drawing(found, loops=True), "dot")


def test_traffic_can_be_of_a_platform_and_a_time(url: str) -> None:
    since, until = datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC)
    with ChatEngine(url) as engine:
        found = engine.traffic(since=since, until=until, platform="comviq-web")
    options = ("--since", "2026-03-03T01:00:00+01:00", "--until", "2026-03-06T00:00:00Z")
    result = sermo("diagram", "--traffic", *options, "--platform", "comviq-web", "--db", url)
    assert result.stdout == render(traffic_drawing(found), "mermaid")
    assert "platform comviq-web, from 2026-03-03 00:00:00 UTC" in result.stdout


def test_no_traffic_is_a_picture_too(url: str) -> None:
    result = sermo("diagram", "--traffic", "--platform", "nowhere", "--db", url)
    assert result.exit_code == 0
    assert "no rows: nothing happened there and then" in result.stdout


def test_who_watches_sees_how_far_the_counting_is(url: str, here: Path) -> None:
    status, shown = on_a_terminal("diagram", "--traffic", "-o", "a.svg", "--db", url)
    assert status == 0
    assert "rows" in shown
    assert (here / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize("what", [ANNA, *also_proved(("--loops",), ("--traffic", "--loops"))])
def test_every_run_draws_the_same_bytes(what: tuple[str, ...], url: str) -> None:
    command = [*COMMAND, "diagram", *what, "--format", "dot", "--db", url]
    one, other = (
        subprocess.run(
            command, capture_output=True, check=True, env=environment(PYTHONHASHSEED=seed)
        )
        for seed in ("1", "2")
    )
    assert one.stdout == other.stdout


TRAFFIC = ("--since", "2026-03-03T00:00:00Z")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("web",), "give either PLATFORM and USER, or --session"),
        (("web", "anna", "--session", "x"), "give either PLATFORM and USER, or --session"),
        (("web", "anna", "--traffic"), "--traffic draws all chats"),
        (("--session", "x", "--traffic"), "--traffic draws all chats"),
        (("web", "anna", "--loops"), "--loops can't be combined with a chat"),
        (TRAFFIC, "--since, --until and --platform need --traffic"),
        (("--until", "2026-03-03T00:00:00Z"), "need --traffic"),
        (("--platform", ""), "need --traffic"),
        (("web", "anna", *TRAFFIC), "need --traffic"),
        (("--traffic", "--since", "long ago"), "'--since'"),
        (("--scale", "2"), "--scale needs --format png"),
        (("--scale", "2", "-o", "a.svg"), "--scale needs --format png"),
        (("--scale", "0", "-o", "a.png"), "0<x<=8"),
        (("--scale", "9", "-o", "a.png"), "0<x<=8"),
        (("-o", "a.svg", "--format", "png"), "the name a.svg says svg, but --format says png"),
        (("-o", "a.jpg"), "the name a.jpg does not say which format to write"),
        (("--theme", "dusk"), "'--theme'"),
        (("--format", "crayon"), "'--format'"),
        (("--check", "--loops"), "--check without -o FILE"),
        (("--check", "--theme", "dark"), "--check without -o FILE"),
        (("--check", "--traffic"), "--check without -o FILE"),
        (("--check", "web", "anna"), "--check without -o FILE"),
        (("--check", "--scale", "2"), "--check without -o FILE"),
        (("--check", "-o", "a.jpg"), "a.jpg does not say"),
    ],
)
def test_what_contradicts_itself_is_refused_with_words(
    options: tuple[str, ...], words: str, here: Path
) -> None:
    result = sermo("diagram", *options, SERMO_DB="sqlite:///no.db")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert not list(here.iterdir())
