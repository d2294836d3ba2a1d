import importlib.metadata
import inspect
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import sermo_fsm
from tests.support import CHECKOUT


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a wheel made from this checkout holds."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def published() -> str:
    """The README as a package index shows it."""
    metadata = ProjectMetadata(str(CHECKOUT), PluginManager())
    return metadata.core.readme


def test_a_package_index_shows_the_readme_without_links_that_break(published: str) -> None:
    assert published.startswith("# sermo_fsm\n")
    for heading in ("## Embed it", "## The events", "## More"):
        assert f"\n{heading}\n" in published
    prose = re.sub(r"^```.*?^```$", "", published, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)]*)\)|(?:href|src|srcset)=\"(.*?)\"", prose)
    assert not [link for link in chain(*links) if link and not link.startswith("https://")]
    assert "The design gives the reason for each doubtful cell." in published


def test_a_source_archive_holds_what_is_listed_and_no_file_that_lies_around(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy"
    # Other tests write some of these meanwhile, and measurements of coverage come and go.
    passing = (".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".coverage*")
    ignored = shutil.ignore_patterns(*passing)
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    (copy / ".env").write_text("PASSWORD=secret", encoding="utf-8")
    (copy / "node_modules").mkdir()
    (copy / "node_modules" / "left.py").write_text("", encoding="utf-8")
    (copy / "notes.txt").write_text("mine", encoding="utf-8")
    (archive,) = SdistBuilder(str(copy)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(archive) as opened:
        inside = {name.split("/")[1] for name in opened.getnames()}
    files = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"}
    built = {"pyproject.toml", "constraints.txt", "Makefile", "PKG-INFO", ".gitignore"}
    folders = {"benchmarks", "diagrams", "docs", "examples", "migrations", "tests", "tools"}
    assert inside == files | built | folders | {"sermo_fsm", ".ci", ".editorconfig"}


def test_the_type_marker_ships(shipped: set[str]) -> None:
    assert "sermo_fsm/py.typed" in shipped


def test_every_module_ships(shipped: set[str]) -> None:
    modules = {str(p.relative_to(CHECKOUT)) for p in (CHECKOUT / "sermo_fsm").rglob("*.py")}
    assert modules
    assert modules <= shipped


def test_the_migrations_ship_inside_the_package(shipped: set[str]) -> None:
    migrations = CHECKOUT / "migrations"
    sources = [p for p in migrations.rglob("*") if p.suffix in {".py", ".mako", ".ini"}]
    assert sources
    assert {f"sermo_fsm/migrations/{p.relative_to(migrations)}" for p in sources} <= shipped


def test_the_pages_of_the_board_ship(shipped: set[str]) -> None:
    board = CHECKOUT / "sermo_fsm" / "board"
    files = [path for name in ("templates", "static") for path in (board / name).rglob("*.*")]
    assert len(files) > 10
    assert {str(path.relative_to(CHECKOUT)) for path in files} <= shipped


def test_the_fonts_of_the_pictures_ship_with_their_licence(shipped: set[str]) -> None:
    fonts = CHECKOUT / "sermo_fsm" / "picture" / "fonts"
    names = {path.name for path in fonts.iterdir()}
    assert names == {"Arimo-Regular.ttf", "Arimo-Bold.ttf", "Arimo-Italic.ttf", "OFL.txt"}
    assert {f"sermo_fsm/picture/fonts/{name}" for name in names} <= shipped
    licences = f"sermo_fsm-{sermo_fsm.__version__}.dist-info/licenses"
    assert {f"{licences}/LICENSE", f"{licences}/sermo_fsm/picture/fonts/OFL.txt"} <= shipped


def test_nothing_else_ships(shipped: set[str]) -> None:
    assert {name.split("/")[0] for name in shipped} == {
        "sermo_fsm",
        f"sermo_fsm-{sermo_fsm.__version__}.dist-info",
    }
    assert not [name for name in shipped if "__pycache__" in name]


def test_the_public_names_are_exactly_those_that_can_be_imported() -> None:
    # Asked for by name: one of them is loaded only then.
    found = {name: getattr(sermo_fsm, name, None) for name in {*dir(sermo_fsm), *sermo_fsm.__all__}}
    public = {
        name
        for name, what in found.items()
        if not name.startswith("_") and what is not None and not inspect.ismodule(what)
    }
    public.remove("TYPE_CHECKING")  # of typing's, and not to be had under another name
    assert sorted(public) == sorted(sermo_fsm.__all__)


def test_a_name_that_is_none_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'sermo_fsm' has no attribute 'ChatMachine'"):
        sermo_fsm.ChatMachine  # noqa: B018 - asking is the point


def test_without_the_extra_asyncio_is_refused_with_what_to_install() -> None:
    asking = (
        "import sys; sys.modules['greenlet'] = None; import sermo_fsm;"
        "assert sermo_fsm.ChatEngine; sermo_fsm.AsyncChatEngine"
    )
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"AsyncChatEngine needs: pip install 'sermo-fsm[async]'" in done.stderr


def test_the_version_is_the_one_of_the_metadata() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sermo_fsm.__version__ == importlib.metadata.version("sermo-fsm") == project["version"]


def test_the_layers_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
