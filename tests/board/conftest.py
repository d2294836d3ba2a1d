from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.board.support import Site, a_file, a_site


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[sa.URL, ChatEngine]]:
    with a_file(tmp_path) as found:
        yield found


@pytest.fixture
def writer(file: tuple[sa.URL, ChatEngine]) -> ChatEngine:
    """Somebody who writes to the database of the board."""
    return file[1]


@pytest.fixture
def site(file: tuple[sa.URL, ChatEngine]) -> Iterator[Site]:
    with a_site(file[0], every=0.001) as found:
        yield found
