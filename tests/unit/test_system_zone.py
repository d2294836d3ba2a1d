"""The system's time zone is called by its name, however it is set."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sermo_fsm.analysis import system_zone
from sermo_fsm.analysis.system_zone import system_zone_name


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("Europe/Stockholm", "Europe/Stockholm"),
        (":Asia/Kolkata", "Asia/Kolkata"),
        ("/usr/share/zoneinfo/America/Sao_Paulo", "America/Sao_Paulo"),
        ("UTC", "UTC"),
        ("", "+00:00"),
        ("<+0530>-5:30", "+05:30"),
        ("IST-5:30", "+05:30"),
        ("Mars/Olympus", "+00:00"),  # as C takes it
        ("/etc/localtime-of-nobody", "+00:00"),
        ("Europe", "+00:00"),  # a folder
    ],
)
def test_by_the_variable(patch: pytest.MonkeyPatch, variable: str, name: str) -> None:
    patch.setenv("TZ", variable)
    time.tzset()
    assert system_zone_name() == name


@pytest.mark.parametrize("link", ["/usr/share/zoneinfo/", "../var/db/timezone/zoneinfo/"])
def test_by_the_link(patch: pytest.MonkeyPatch, tmp_path: Path, link: str) -> None:
    patch.delenv("TZ")
    path = tmp_path / "localtime"
    patch.setattr(system_zone, "_LOCALTIME", path)
    path.symlink_to(f"{link}Asia/Kolkata")
    assert system_zone_name() == "Asia/Kolkata"


def test_where_nothing_says_it(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(system_zone, "_LOCALTIME", tmp_path / "none")
    patch.delenv("TZ")
    assert re.fullmatch(r"[+-]\d\d:\d\d", system_zone_name())
