"""What a wheel holds is enough to migrate by, on every database."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hatchling.builders.wheel import WheelBuilder

from sermo_fsm import ChatEngine
from tests.support import CHECKOUT

AWAY = """
import sys
from pathlib import Path

away, url = sys.argv[1:]
sys.path.insert(0, away)  # as if it were installed there, before the checkout

from sermo_fsm import ChatEngine, migrate

assert Path(migrate.__file__).is_relative_to(away), migrate.__file__
assert migrate.script_location() == Path(away, "sermo_fsm", "migrations")
with ChatEngine(url) as chats:
    assert chats.migrate() == migrate.head()
    chats.handle("inbound", {"type": "text", "text": "Hej!", "userId": "a", "platformId": "web"})
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from this checkout, as an installation has it."""
    folder = tmp_path_factory.mktemp("wheel").resolve()
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "away")
    return folder / "away"


def test_migrates_every_database(unpacked: Path, bare_url: sa.URL) -> None:
    url = bare_url.render_as_string(hide_password=False)
    # What is measured is the checkout, and not its copy.
    unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AWAY, unpacked, url],
        cwd=unpacked.parent,
        env=unmeasured,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with ChatEngine(bare_url) as chats:
        chats.check_schema()
        assert chats.status("web", "a")
