import os
import signal
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import settings

from sermo_fsm import ChatEngine
from tests.databases import DOORS, KINDS, a_database, drop_all
from tests.doors import open_door

# A shell that runs this in the background lets it ignore Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The command prints times in the zone of the system, which is everywhere the same to the tests.
os.environ["TZ"] = "UTC"
time.tzset()

# `--hypothesis-profile` (make test HYPOTHESIS_PROFILE=…) overrides what is loaded here.
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("prove", deadline=None)
# The same examples on every build: a red build is red for its change.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.getenv("CI") else "default"))

# PyMySQL reads the certificates of all authorities for each connection, which takes ten times as
# long as to connect, and then verifies none unless it is told to.
_make_tls_context = pymysql.Connection._create_ssl_ctx
_usual_tls_context = cache(lambda: _make_tls_context(None, {}))


def _tls_context(connection: object, options: dict[str, Any]) -> object:
    return _make_tls_context(connection, options) if options else _usual_tls_context()


pymysql.Connection._create_ssl_ctx = _tls_context


def pytest_xdist_auto_num_workers() -> int:
    """How many workers ``-n auto`` starts: one more than cores, as tests wait for servers."""
    return (os.cpu_count() or 1) + 1


def _marked(names: tuple[str, ...]) -> list[object]:
    return [
        name if name.startswith("sqlite") else pytest.param(name, marks=pytest.mark.service)
        for name in names
    ]


@pytest.fixture(params=_marked(DOORS))
def door(request: pytest.FixtureRequest) -> str:
    """Every database, plain and for asyncio: one suite for all of them."""
    name: str = request.param
    return name


@pytest.fixture(params=_marked(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Every database."""
    name: str = request.param
    return name


@pytest.fixture
def bare_url(kind: str, tmp_path: Path) -> Iterator[sa.URL]:
    """An empty database of this kind."""
    with a_database(kind, tmp_path) as url:
        yield url


@pytest.fixture
def kind_url(kind: str, tmp_path: Path) -> Iterator[sa.URL]:
    """A database of this kind with our tables."""
    with a_database(kind, tmp_path, migrated=True) as url:
        yield url


@pytest.fixture
def door_url(door: str, tmp_path: Path) -> Iterator[sa.URL]:
    """A database with our tables, for the engine of this door."""
    with a_database(door.removesuffix("-async"), tmp_path, migrated=True) as url:
        yield url


@pytest.fixture
def chats(door: str, door_url: sa.URL) -> Iterator[ChatEngine]:
    """An engine on a database of its own."""
    with open_door(door, door_url) as engine:
        yield engine


@pytest.fixture
def database(door_url: sa.URL) -> Iterator[sa.Engine]:
    """The same database, as somebody else sees it."""
    engine = sa.create_engine(door_url)
    yield engine
    engine.dispose()


def pytest_sessionfinish() -> None:
    drop_all()
