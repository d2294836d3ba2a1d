"""The backends as far as no database is needed; and that nobody else speaks of a database."""

import ast
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest
import sqlalchemy as sa

from sermo_fsm.storage.backends import KNOWN, ErrorKind, backend_named, statements
from sermo_fsm.storage.database_url import for_asyncio
from sermo_fsm.storage.schema import tables
from tests.databases import KINDS
from tests.support import CHECKOUT

PACKAGE: Final = CHECKOUT / "sermo_fsm"

# --- statements ----------------------------------------------------------------------------------


URLS: Final = {
    "sqlite": "sqlite://",
    "postgresql": "postgresql+psycopg://",
    "mysql": "mysql+pymysql://",
}


@pytest.mark.parametrize("kind", KINDS)
def test_statements_are_built_once_and_of_too_many_the_oldest_is_forgotten(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "_MOST", 3)
    dialect = sa.make_url(URLS[kind]).get_dialect()()
    ours = backend_named(kind).statements(tables(), dialect)
    built: list[int] = []

    def build(number: int) -> int:
        built.append(number)
        return number

    for number in (1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 1, 3, 4, 1, 2):
        assert ours.cached("some", number, partial(build, number)) == number
    assert built == [1, 2, 3, 4, 1, 2]
    update = partial(ours.update_one, ("state", "since"))
    once = ours.compiled("update", ("state", "since"), update)
    assert ours.compiled("update", ("state", "since"), update) is once


# --- nobody else speaks of a database ------------------------------------------------------------

NAMES: Final = re.compile(
    r"sqlite|postgres|psycopg|asyncpg|mysql|mariadb|asyncmy|aiosqlite", re.IGNORECASE
)
VARIANTS: Final = {"storage/schema.py", "storage/column_types.py"}
"""The variants of SQLAlchemy's types and indexes are written where the columns are."""
FOR_PEOPLE: Final = ("help", "epilog", "short_help")
"""Arguments of click's that a person reads."""


def modules() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if "backends" not in path.parts and str(path.relative_to(PACKAGE)) not in VARIANTS
    ]


def words_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The names and strings in code, without docstrings, help for people, and URLs."""
    read_by_people = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg in FOR_PEOPLE)
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and (isinstance(node, ast.keyword) or part is node.value)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(text)) if id(node) not in read_by_people:
                if "://" not in text:
                    yield line, text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield line, name
            case ast.ImportFrom(module=str(name)) | ast.keyword(arg=str(name)):
                yield line, name


def test_no_code_outside_the_backends_names_a_database() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {word}"
        for path in modules()
        for line, word in words_in(ast.parse(path.read_text(encoding="utf-8")))
        if NAMES.search(word)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "if dialect.name == 'sqlite': pass",
        "def is_empty_sqlite(): pass",
        "import psycopg",
        "from sqlalchemy.dialects import mysql",
        "from sqlalchemy.dialects.mysql import insert",
        "f(mysql_engine=1)",
        "wanted = f'a name, on PostgreSQL, not {name}'",
    ],
)
def test_that_would_be_found(code: str) -> None:
    assert [word for _, word in words_in(ast.parse(code)) if NAMES.search(word)]


@pytest.mark.parametrize(
    "code",
    [
        '"""A docstring that says SQLite."""',
        "f(help='On PostgreSQL.')",
        "wanted = 'such as sqlite:///sermo.db'",
    ],
)
def test_that_would_not(code: str) -> None:
    assert not [word for _, word in words_in(ast.parse(code)) if NAMES.search(word)]


# --- a backend is loaded when it is asked for ----------------------------------------------------


def test_every_known_backend_goes_through_the_contract() -> None:
    assert {known.module for known in KNOWN.values()} == set(KINDS)


def loaded_by(code: str) -> set[str]:
    """The backends that are loaded once *code* has run."""
    show = (
        "print(*[name.rpartition('.')[2] for name in sys.modules"
        " if name.startswith('sermo_fsm.storage.backends.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{show}"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return set(done.stdout.split()) & set(KINDS)


def test_importing_loads_none() -> None:
    assert loaded_by("from sermo_fsm import ChatEngine") == set()


def test_an_engine_loads_its_own() -> None:
    code = (
        "from sermo_fsm import ChatEngine\nwith ChatEngine('sqlite://') as chats: chats.migrate()"
    )
    assert loaded_by(code) == {"sqlite"}


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "file", "name"),
    [
        ("sqlite:///chat.db", Path("chat.db"), "chat.db"),
        ("sqlite:///file:my%2520chat.db?uri=true", Path("my chat.db"), "file:my%20chat.db"),
        ("sqlite://", None, ":memory:"),
        ("sqlite:///:memory:", None, ":memory:"),
        ("postgresql+psycopg://host/chat", None, None),
        ("mysql+pymysql://host/chat", None, None),
    ],
)
def test_the_file_and_the_name_of_a_database(url: str, file: Path | None, name: str | None) -> None:
    parsed = sa.make_url(url)
    backend = backend_named(parsed.get_backend_name())
    assert (backend.database_file(parsed), backend.database_name(parsed)) == (file, name)


# --- error codes that the contract's tests do not provoke ----------------------------------------


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53300", ErrorKind.BUSY),
        ("57P03", ErrorKind.CONNECTION_LOST),
        ("08006", ErrorKind.CONNECTION_LOST),
        ("28P01", ErrorKind.UNUSABLE),
        ("53100", ErrorKind.OTHER),
    ],
)
def test_states_of_postgresql(state: str, kind: ErrorKind) -> None:
    assert backend_named("postgresql").classify(psycopg.errors.lookup(state)()) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1020, ErrorKind.SERIALIZATION_FAILURE),
        (1040, ErrorKind.BUSY),
        (1053, ErrorKind.CONNECTION_LOST),
        (2006, ErrorKind.CONNECTION_LOST),
        (1045, ErrorKind.UNUSABLE),
        (1114, ErrorKind.OTHER),
    ],
)
def test_numbers_of_mysql(number: int, kind: ErrorKind) -> None:
    assert backend_named("mysql") is backend_named("mariadb")
    assert backend_named("mysql").classify(Exception(number, "so it is")) is kind


@pytest.mark.parametrize(
    ("dialect", "error"),
    [
        ("sqlite", sqlite3.OperationalError("so it is")),
        ("postgresql", psycopg.OperationalError("so it is")),
        ("mysql", Exception()),
    ],
)
def test_an_error_without_a_code_is_any_other(dialect: str, error: Exception) -> None:
    assert backend_named(dialect).classify(error) is ErrorKind.OTHER


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("sqlite:///chat.db", "sqlite+aiosqlite:///chat.db"),
        ("sqlite+aiosqlite:///chat.db", "sqlite+aiosqlite:///chat.db"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("mariadb+pymysql://u:p%40@h/d", "mariadb+asyncmy://u:p%40@h/d"),
        ("mssql://h/d", "mssql://h/d"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_url_is_turned_to_a_driver_for_asyncio(url: str, wanted: str) -> None:
    found = for_asyncio(url)
    assert wanted == (
        found if isinstance(found, str) else found.render_as_string(hide_password=False)
    )
