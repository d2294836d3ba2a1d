"""``sermo-fsm diagram``: what it draws, where it writes, what it compares."""

import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sermo_fsm.diagram import FILES, FORMATS, render
from tests.test_cli_support import COMMAND, environment, sermo


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FORMATS)
def test_it_draws_each_format(kind: str) -> None:
    assert sermo("diagram", "--format", kind).stdout == render(kind)


def test_it_draws_mermaid_where_nothing_is_said() -> None:
    assert sermo("diagram").stdout == sermo("diagram", "-o", "-").stdout == render("mermaid")


def test_it_needs_no_database(here: Path) -> None:
    assert sermo("diagram", SERMO_DB="nonsense").exit_code == 0
    assert sermo("check", SERMO_DB="nonsense").exit_code == 0
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.mmd", "mermaid"), ("a.MERMAID", "mermaid"), ("a.dot", "dot"), ("a.b.gv", "dot")],
)
def test_the_name_of_the_file_says_the_format(here: Path, name: str, kind: str) -> None:
    result = sermo("diagram", "-o", name)
    assert (result.exit_code, result.output) == (0, "")
    assert (here / name).read_bytes() == render(kind).encode()


def test_a_name_that_says_none_needs_the_option(here: Path) -> None:
    assert sermo("diagram", "-o", "machine.md").exit_code == 2
    assert not list(here.iterdir())
    assert sermo("diagram", "-o", "machine.md", "--format", "dot").exit_code == 0
    assert (here / "machine.md").read_text("utf-8") == render("dot")


def test_json_holds_what_is_drawn(here: Path) -> None:
    drawn = {"format": "mermaid", "file": None, "diagram": render("mermaid")}
    assert json.loads(sermo("diagram", "--json").stdout) == drawn
    written = {"format": "dot", "file": "a.dot", "diagram": render("dot")}
    assert json.loads(sermo("diagram", "--json", "-o", "a.dot").stdout) == written
    assert (here / "a.dot").exists()


# --- writing ------------------------------------------------------------------------------------


def test_what_was_there_is_replaced_and_keeps_its_mode(here: Path) -> None:
    path = here / "a.dot"
    path.write_text("old" * 10_000)
    path.chmod(0o640)
    assert sermo("diagram", "-o", "a.dot").exit_code == 0
    assert path.read_text("utf-8") == render("dot")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(here.iterdir()) == [path]


def test_a_link_stays_a_link(here: Path) -> None:
    (here / "real.dot").write_text("old")
    (here / "link.dot").symlink_to("real.dot")
    assert sermo("diagram", "-o", "link.dot").exit_code == 0
    assert (here / "link.dot").is_symlink()
    assert (here / "real.dot").read_text("utf-8") == render("dot")


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
    assert done.stdout == render("dot").encode()


# --- comparing ----------------------------------------------------------------------------------


def test_the_diagrams_of_the_checkout_are_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    assert sermo("diagram", "--check").exit_code == 0


def drawn(folder: Path) -> None:
    (folder / "diagrams").mkdir()
    for name, kind in FILES.items():
        (folder / "diagrams" / name).write_text(render(kind), encoding="utf-8")


def problems(*options: str, status: int) -> dict[str, str | None]:
    result = sermo("diagram", "--check", "--json", *options)
    assert result.exit_code == status, result.output
    answer = json.loads(result.stdout)
    assert list(answer) == ["ok", "files"]
    assert answer["ok"] is (status == 0)
    assert all(list(one) == ["file", "format", "problem"] for one in answer["files"])
    return {one["file"]: one["problem"] for one in answer["files"]}


def test_what_is_in_step_is_0(here: Path) -> None:
    drawn(here)
    assert problems(status=0) == {f"diagrams/{name}": None for name in FILES}
    lines = sermo("diagram", "--check").stdout.splitlines()
    assert lines == [f"ok diagrams/{name}" for name in FILES]


def test_what_is_not_in_step_is_1_and_named(here: Path) -> None:
    drawn(here)
    first, second = FILES
    with (here / "diagrams" / first).open("a") as file:
        file.write("%% by hand\n")
    (here / "diagrams" / second).unlink()
    assert problems(status=1) == {
        f"diagrams/{first}": "not what would be drawn now",
        f"diagrams/{second}": "missing",
    }
    result = sermo("diagram", "--check")
    assert result.exit_code == 1
    for name, line in zip(FILES, result.stdout.splitlines(), strict=True):
        assert line.startswith(f"FAILED diagrams/{name}: ")
        assert line.endswith(f"sermo-fsm diagram --format {FILES[name]} -o diagrams/{name}")


def test_one_format_or_one_file_can_be_compared_alone(here: Path) -> None:
    drawn(here)
    (here / "diagrams" / "machine.mmd").unlink()
    assert problems("--format", "dot", status=0) == {"diagrams/machine.dot": None}
    assert problems("-o", "diagrams/machine.dot", status=0) == {"diagrams/machine.dot": None}
    assert problems("-o", "elsewhere.gv", status=1) == {"elsewhere.gv": "missing"}


def test_line_ends_of_windows_are_in_step(here: Path) -> None:
    (here / "a.dot").write_text(render("dot"), encoding="utf-8", newline="\r\n")
    assert problems("-o", "a.dot", status=0) == {"a.dot": None}


def test_a_file_that_can_not_be_read_is_2(here: Path) -> None:
    (here / "diagrams").mkdir()
    (here / "diagrams" / "machine.mmd").mkdir()
    result = sermo("diagram", "--check")
    assert result.exit_code == 2
    assert "machine.mmd" in result.stderr


def test_the_script_is_installed_beside_python() -> None:
    script = Path(sys.executable).with_name("sermo-fsm")
    done = subprocess.run([script, "diagram"], capture_output=True, check=True, env=environment())
    assert done.stdout == render("mermaid").encode()
