"""A command loads what it uses, and ``--help`` loads no command."""

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

import sermo_fsm
from sermo_fsm import StoreError
from sermo_fsm.cli import commands, shell
from sermo_fsm.cli.app import COMMANDS, main
from sermo_fsm.cli.commands import export
from sermo_fsm.cli.lazy_group import LazyGroup
from tests.command.test_cli_support import environment, event, line, sermo, url_of

LOADED = """
import json, sys
import sermo_fsm

library = set(sys.modules)
try:
    from sermo_fsm.cli import main
    main(sys.argv[1:])
finally:
    json.dump([sorted(library), sorted(sys.modules)], sys.stderr)
"""
WINGS = ("sermo_fsm.picture", "sermo_fsm.export", "sermo_fsm.proof", "sermo_fsm.diagram", "rich")
DRIVERS = ("psycopg", "pymysql", "aiosqlite", "asyncmy", "resvg_py")
# What the library itself may load at import is the library's to decide.
LIBRARY = ("sermo_fsm.analysis", "alembic", "stamina", "transitions", "asyncio")


def loaded_by(*arguments: str) -> tuple[set[str], set[str]]:
    """The modules that ``import sermo_fsm`` loads, and all that this command has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    library, loaded = json.loads(done.stderr)
    return set(library), set(loaded)


def within(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {name for name in modules if any(f"{name}.".startswith(f"{one}.") for one in packages)}


def commands_in(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("sermo_fsm.cli.commands.")}


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    assert sermo("ingest", "--db", url, stdin=line("inbound", event("heartbeat"))).exit_code == 0
    return url


def test_who_looks_through_the_modules_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    names = [found.name for found in pkgutil.walk_packages(sermo_fsm.__path__, "sermo_fsm.")]
    assert "sermo_fsm.__main__" in names
    for name in names:
        import_module(name)
    assert capsys.readouterr() == ("", "")


def test_help_loads_no_command() -> None:
    library, loaded = loaded_by("--help")
    assert commands_in(loaded) == set()
    assert within(loaded, (*WINGS, *DRIVERS)) == set()
    assert within(loaded - library, LIBRARY) == set()


def test_status_loads_what_it_uses(db: str) -> None:
    library, loaded = loaded_by("status", "web", "anna", "--db", db)
    assert commands_in(loaded) == {"sermo_fsm.cli.commands.status"}
    assert within(loaded, (*WINGS, *DRIVERS)) == set()
    assert within(loaded - library, LIBRARY) == set()


@pytest.mark.parametrize(
    ("group", "summaries"), [(main, COMMANDS), (export.export, export.COMMANDS)]
)
def test_a_group_lists_each_command_with_the_first_line_of_its_help(
    group: click.Command, summaries: dict[str, str]
) -> None:
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    assert group.list_commands(context) == sorted(summaries)
    for name, summary in summaries.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(1000) == summary
    assert group.get_command(context, "nonsense") is None


@pytest.mark.parametrize(
    ("file", "summaries"), [(commands.__file__, COMMANDS), (export.__file__, export.COMMANDS)]
)
def test_every_module_is_in_the_table(file: str, summaries: dict[str, str]) -> None:
    modules = {path.stem for path in Path(file).parent.iterdir()}
    assert {name for name in modules if not name.startswith("__")} == summaries.keys()


@pytest.mark.parametrize("installed", [True, False])
def test_retries_are_not_logged_through_structlog(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    def refuse(_: object) -> None:
        assert (get_on_retry_hooks() == ()) is installed
        raise StoreError("refused")

    def hook(details: RetryDetails) -> None:
        raise AssertionError(details)

    monkeypatch.setattr(shell, "find_spec", lambda _: object() if installed else None)
    monkeypatch.setattr("sermo_fsm.cli.commands.check.run_checks", refuse)
    hooks = get_on_retry_hooks()
    set_on_retry_hooks((hook,))
    try:
        assert sermo("check").exit_code == 3
        assert get_on_retry_hooks() == (hook,)
    finally:
        set_on_retry_hooks(hooks)
