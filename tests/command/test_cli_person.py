"""``sermo-fsm export person``: a file, written completely or not at all."""

import io
import json
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sermo_fsm import ChatEngine
from tests.command.test_cli_support import sermo, url_of
from tests.storage.test_person import fill


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as chats:
        chats.migrate()
        fill(chats)
    return url


def test_it_is_written_for_its_owner_alone(db: str, tmp_path: Path) -> None:
    path = tmp_path / "anna.zip"
    asked = ("export", "person", "web", "anna", "-o", path, "--db", db)
    done = sermo(*asked)
    assert (done.exit_code, done.output) == (0, "2 chats, 7 rows, 7 strays, 3 pictures\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        assert "Anders Andersson" not in archive.read("person.json").decode()
    first = path.read_bytes()
    done = sermo(*asked, "--json")
    counts = {"chats": 2, "rows": 7, "strays": 7, "pictures": 3}
    assert json.loads(done.stdout) == {"file": str(path), **counts}
    assert path.read_bytes() == first
    assert sermo(*asked, "--agents").exit_code == 0
    with zipfile.ZipFile(path) as archive:
        assert "Anders Andersson" in archive.read("person.json").decode()


def test_of_nobody_there_is_no_file(db: str, tmp_path: Path) -> None:
    path = tmp_path / "nobody.zip"
    done = sermo("export", "person", "web", "cia", "-o", path, "--db", db)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "nothing of user: cia on web" in done.stderr
    done = sermo("export", "person", "web", "cia", "-o", path, "--json", "--db", db)
    assert (done.exit_code, done.stdout) == (4, "null\n")
    assert not path.exists()


def test_a_failure_leaves_the_file_as_it_was(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "anna.zip"
    path.write_text("before", encoding="utf-8")

    def broken(*_: object) -> bytes:
        raise OSError(5, "broken")

    monkeypatch.setattr(ChatEngine, "picture", broken)
    done = sermo("export", "person", "web", "anna", "-o", path, "--db", db)
    assert done.exit_code == 2
    assert path.read_text(encoding="utf-8") == "before"
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".tmp")] == []


def test_a_name_that_promises_another_format_is_refused(db: str, tmp_path: Path) -> None:
    done = sermo("export", "person", "web", "anna", "-o", tmp_path / "anna.tar", "--db", db)
    assert done.exit_code == 2
    assert "'--output': wanted a name that ends in .zip" in done.stderr
    assert list(tmp_path.glob("anna.*")) == []


def test_it_can_be_written_to_a_pipe(db: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o640)
    with ThreadPoolExecutor() as threads:
        read = threads.submit(path.read_bytes)
        done = sermo("export", "person", "web", "anna", "-o", path, "--db", db)
        content = read.result()
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
