"""What is larger than a packet, or than one value, spoils nothing: it is written in several."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Limits, UnusableDatabase
from sermo_fsm.storage.backends import postgresql
from tests.databases import a_database
from tests.doors import open_door
from tests.support import PLATFORM, also_proved, event, text

MEBIBYTE: Final = 1024 * 1024
SERVED: Final = [pytest.param(door, marks=pytest.mark.service) for door in ("mysql", "mysql-async")]


@pytest.fixture(params=SERVED)
def door(request: pytest.FixtureRequest) -> str:
    """Those whose server has a limit."""
    name: str = request.param
    return name


@pytest.fixture
def door_url(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("mysql", tmp_path, migrated=True) as url:
        yield url


def largest(letter: str) -> dict[str, Any]:
    """A text whose image, which is no base64, makes it as large as an event may be."""
    whole = text("Se bilden", image="")
    room = Limits().event_bytes - len(json.dumps(whole, separators=(",", ":")))
    return {**whole, "image": letter * (room // len(json.dumps(letter)[1:-1]))}


@pytest.mark.parametrize("letter", ["a", *also_proved("'", "\\")])
def test_the_largest_image_spoils_no_other_event(
    chats: ChatEngine, database: sa.Engine, letter: str
) -> None:
    large = largest(letter)
    batch = [text("Hej!"), text("Så här", image="x"), large, large, text("Ser du?")]

    receipts = chats.handle_many(batch, direction="inbound")

    assert [one.outcome for one in receipts] == ["moved", "stayed", "stayed", "stayed", "stayed"]
    # Once more, with the image there already.
    assert chats.handle("inbound", large).outcome == "stayed"
    with database.connect() as connection:
        stored = connection.exec_driver_sql(
            "SELECT bytes, OCTET_LENGTH(content), SHA2(content, 256) = sha256 FROM sermo_image"
        )
        found = {tuple(row) for row in stored}
    size = len(large["image"])
    assert found == {(1, 1, 1), (size, size, 1)}


def test_one_that_was_written_meanwhile_is_left_as_it_is(
    chats: ChatEngine, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = largest("a")
    chats.handle("inbound", large)
    # As if another writer had committed it just after this one has looked.
    found = "sermo_fsm.storage.backends.mysql.MysqlStatements.existing"
    monkeypatch.setattr(found, lambda *_: set())

    chats.handle("inbound", large)

    with database.connect() as connection:
        size = connection.exec_driver_sql("SELECT OCTET_LENGTH(content) FROM sermo_image")
        assert size.scalar_one() == len(large["image"])


def test_what_the_server_can_not_hold_at_all_says_what_to_change(
    door: str, door_url: sa.URL
) -> None:
    limits = Limits(event_bytes=20 * MEBIBYTE)
    with open_door(door, door_url, limits=limits) as chats:
        with pytest.raises(UnusableDatabase, match=r"SET GLOBAL max_allowed_packet = 17825792$"):
            chats.handle("inbound", text(image="a" * (17 * MEBIBYTE)))
        assert chats.status(PLATFORM, "anna") is None


@pytest.mark.parametrize("letter", ["å", *also_proved('"', "\x01")])
def test_the_longest_names_of_many_agents_fit(chats: ChatEngine, letter: str) -> None:
    name = letter * (60_000 // len(json.dumps(letter, ensure_ascii=False).encode()[1:-1]))
    agent = {"id": "anan01", "type": "human", "name": name}
    users = [f"u-{number:03}" for number in range(150)]
    for kind, fields in (
        ("text", {"text": "Hej!", "agent": agent}),
        ("handover_to_bot", {"flowGroupId": name}),
        ("text", {"text": "Hej!", "agent": agent}),
    ):
        batch = [event(kind, user, **fields) for user in users]
        receipts = chats.handle_many(batch, direction="outbound")
        assert {one.outcome for one in receipts} == {"moved"}
    for user in users:
        found = chats.status(PLATFORM, user)
        assert found is not None
        assert found.agent is not None
        assert (found.agent.name, found.flow_group_id) == (name, name)


@pytest.mark.service
def test_what_is_too_large_for_one_json_of_postgresql_is_written_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_LARGEST", 2000)
    users = [f"u-{number}" for number in range(9)]
    batch = [text(f"Hej {number} {user}", user) for number in range(3) for user in users]
    with (
        a_database("postgresql", tmp_path, migrated=True) as url,
        open_door("postgresql", url) as chats,
    ):
        for times in (1, 2):  # sessions are inserted, and then updated
            receipts = chats.handle_many(batch, direction="inbound")
            ids = [row.id or 0 for receipt in receipts for row in receipt.rows]
            assert ids == sorted(ids)
            for user in users:
                found = chats.status(PLATFORM, user)
                assert found is not None
                texts = [row.event and row.event["text"] for row in chats.history(found.session_id)]
                assert texts == [f"Hej {number} {user}" for number in range(3)] * times
        assert chats.verify().ok
