"""What README and ``docs/`` show is what happens, and what is generated is what would be now."""

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from sermo_fsm import ChatEngine, Outcome, Policy
from sermo_fsm.core.machine import LIVE, TABLE
from sermo_fsm.diagram import FILES
from sermo_fsm.protocol.events import KINDS, Direction, Trigger
from tests.support import CHECKOUT
from tools import docs

README = CHECKOUT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in docs.PAGES}


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def languages(text: str) -> set[str]:
    return set(re.findall(r"^```(\w+)$", text, re.MULTILINE))


def expected_output(code: str) -> list[str]:
    """What comments say is printed: behind a ``print``, or below a loop that prints."""
    return re.findall(r"(?:print\(.*\)  |^)# (.+)$", code, re.MULTILINE)


def test_every_block_is_of_a_kind_that_is_tried_here() -> None:
    assert languages(TEXT) == {"sh", "python", "json", "toml", "console"}
    for name, text in PAGES.items():
        assert text.count("\n```") % 2 == 0, name
        # What needs a broker or runs for ever is run by tests/worker and tests/board, and SQL by
        # tests/storage/test_rights.py.
        shell = {"worker.md": {"sh"}, "board.md": {"sh"}, "privacy.md": {"sh", "sql"}}
        shell["plans.md"] = {"sql", "text"}  # what the engine sent, and what databases answered
        others = shell.get(name, set())
        assert name == "README.md" or languages(text) <= {"python", "console", *others}, name


@pytest.mark.parametrize("name", [name for name in PAGES if "python" in languages(PAGES[name])])
def test_the_python_blocks_of_a_page_run_one_after_the_other(name: str, tmp_path: Path) -> None:
    code = "\n".join(blocks("python", PAGES[name]))
    expected = expected_output(code)
    assert len(expected) > 3
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-X", "utf8", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected


def test_the_first_block_is_what_embedding_takes() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line]
    assert len(lines) <= 10


def test_the_make_targets_are_there() -> None:
    commands = [
        line.partition("#")[0].split() for line in chain(*map(str.splitlines, blocks("sh")))
    ]
    assert ["make", "demo"] in commands
    assert ["make", "test"] in commands
    for command in commands:
        assert command[0] == "make"
        done = subprocess.run(
            ["make", "--dry-run", *command[1:]],  # noqa: S607 - whichever make there is
            cwd=CHECKOUT,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_json_is_what_ingest_takes() -> None:
    lines = [line for block in blocks("json") for line in block.splitlines()]
    assert lines
    assert all(json.loads(line) for line in lines)
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        outcomes = {receipt.outcome for receipt in engine.handle_many(lines)}
    assert outcomes == {Outcome.MOVED}


def test_the_policy_in_toml_is_the_one_in_python() -> None:
    (toml,) = blocks("toml")
    (python,) = (block for block in blocks("python") if "Policy(" in block)
    names: dict[str, object] = {"ChatEngine": lambda *_, policy: policy}
    exec(python, names)  # noqa: S102 - our own README
    assert Policy.from_toml(toml).of("messenger").idle_timeout is None
    for platform in ("messenger", "web"):
        of_toml, of_python = (
            {name: getattr(policy, name) for name in ("idle_timeout", "unload_grace", "linger")}
            for policy in (Policy.from_toml(toml).of(platform), _policy(names).of(platform))
        )
        assert of_toml == of_python


def _policy(names: dict[str, object]) -> Policy:
    policy = names["policy"]
    assert isinstance(policy, Policy)
    return policy


@pytest.mark.prove
@pytest.mark.parametrize("name", [name for name in PAGES if "console" in languages(PAGES[name])])
def test_the_console_shows_what_commands_print(name: str) -> None:
    assert docs.render_page(PAGES[name]) == PAGES[name], "run 'make docs'"


def test_the_readme_can_be_read_at_one_go() -> None:
    written = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", TEXT, flags=re.DOTALL)
    assert len(written.split()) <= 2000


def test_the_readme_shows_every_event_with_the_fields_it_needs() -> None:
    table = TEXT.partition("<!-- events -->")[2].partition("<!-- /events -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    shown = {
        (queue, kind): set(re.findall(r"(?<!\[)`(\w+)`", own))
        for queues, kinds, own, _ in rows
        for queue in queues.split(", ")
        for kind in re.findall(r"\w+", kinds)
    }
    assert set(shown) == set(KINDS)
    anna = {"userId": "u-1", "platformId": "web"}
    values = {"text": "Hej!", "queueNumber": 1, "agentId": "anan01"}
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        for (queue, kind), needed in shown.items():
            whole = {"type": kind, **anna, **{name: values[name] for name in needed}}
            assert engine.handle(Direction(queue), whole).outcome is not Outcome.INVALID
            for name in needed:
                less = {key: value for key, value in whole.items() if key != name}
                assert engine.handle(Direction(queue), less).outcome is Outcome.INVALID


def machine_rows() -> dict[str, tuple[str, list[str]]]:
    """The table in the README by trigger: the queues, and the cells. Read back by itself."""
    table = TEXT.partition("<!-- table -->")[2].partition("<!-- /table -->")[0]
    lines = re.findall(r"^\| (.+) \|$", table, re.MULTILINE)
    return {
        trigger: (queues, cells)
        for queues, triggers, *cells in (line.split(" | ") for line in lines)
        for trigger in re.findall(r"`(\w+)`", triggers)
    }


def test_the_table_in_the_readme_is_the_machine() -> None:
    found = machine_rows()
    assert set(found) == set(Trigger)
    for (state, trigger), cell in TABLE.items():
        sign, *where = found[trigger][1][LIVE.index(state)].split()
        assert sign == cell.effect
        target = [] if sign in "=×" else [cell.to]
        assert where == ([*target, "¹"] if cell.guard else target)
    assert TEXT.count("¹ → bot, if a `customer_text`") == 1


def test_the_table_in_the_readme_says_on_which_queue_a_trigger_comes() -> None:
    queues = {trigger: queues for trigger, (queues, _) in machine_rows().items()}
    assert (queues["agent_done"], queues["agent_released"]) == ("outbound", "internal")
    assert (queues["expire"], queues["close"], queues["unknown"]) == ("timer", "operator", "any")
    for event in KINDS.values():
        if event.trigger is not None:
            assert queues[event.trigger] == ", ".join(event.queues)
    for trigger in ("bot_text", "agent_text", "unattributed_text", "handover_to_bot"):
        assert queues[trigger] == "outbound, internal"


def test_pictures_are_there_for_light_pages_and_for_dark_ones_and_say_what_they_show() -> None:
    pictures = [
        (page.parent, picture)
        for page in docs.PAGES
        for picture in re.findall(r"<picture>(.*?)</picture>", PAGES[page.name], re.DOTALL)
    ]
    assert len(pictures) == 3
    for folder, picture in pictures:
        (dark,), (light,) = (re.findall(rf' {name}="(.*?)"', picture) for name in ("srcset", "src"))
        assert dark == light.replace(".svg", "-dark.svg")
        assert (folder / light).exists()
        assert (folder / dark).exists()
        assert len(*re.findall(' alt="(.*?)"', picture)) > 20


def test_contributing_knows_every_module_and_no_other() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| You want to change .*?\n\n", text, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`((?:\w+/)*(?:\w+\.py)?)`", table))
    package = CHECKOUT / "sermo_fsm"
    for path in named:
        assert (package / path).exists() or (CHECKOUT / path).exists(), path
    unnamed = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if f"{path.relative_to(package).parent}/" not in named
        and path.stem not in ("__init__", "__main__")
    }
    assert unnamed - named == set()
    for path in re.findall(r"`((?:tests|tools|migrations|examples)/[\w/.]+)`", text):
        assert (CHECKOUT / path).exists(), path


def test_what_is_out_of_step_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "expected.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(docs, "CHECKOUT", tmp_path)
    monkeypatch.setattr(docs, "PAGES", (readme,))
    stale = "# One\n<!-- table -->\n<!-- /table -->\n```console\n$ echo two\nthree\n```\n"
    readme.write_text(stale, encoding="utf-8")

    assert docs.main(["--check"]) == 1
    assert readme.read_text(encoding="utf-8") == stale
    assert "README.md: out of step" in capsys.readouterr().out

    assert docs.main([]) == 0
    written = readme.read_text(encoding="utf-8")
    assert docs.table() in written
    assert written.endswith("```console\n$ echo two\ntwo\n```\n")
    for name, draw in FILES.items():
        assert (tmp_path / "diagrams" / name).read_bytes() == draw()
    assert docs.main(["--check"]) == 0


@pytest.mark.parametrize("command", ["exit 3", "echo oh >&2"])
def test_a_command_that_fails_is_not_documented(command: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(command)):
        docs.render_page(f"```console\n$ {command}\n```")


def test_docs_says_how_it_is_called() -> None:
    with pytest.raises(SystemExit, match="usage"):
        docs.main(["--chekc"])
