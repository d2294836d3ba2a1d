"""The chats of ``examples/``: the same on every database, by every door, in batches of any size."""

import json
from datetime import datetime
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.databases import empty
from tests.doors import stored
from tests.support import EXAMPLES

EXPECTED: dict[str, Any] = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))


def lines_of(name: str) -> list[bytes]:
    return (EXAMPLES / name).read_bytes().splitlines()


ALL = [line for name in EXPECTED for line in lines_of(name)]


@cache
def one_by_one() -> list[Any]:
    """What is to be found after all of them, where they went into SQLite one by one."""
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        for line in ALL:
            chats.handle_many([line])
        return stored(chats)


def test_every_example_has_its_expectation() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in EXAMPLES.glob("*.jsonl"))


def test_a_batch_is_the_same_as_one_by_one_on_every_database(
    chats: ChatEngine, database: sa.Engine
) -> None:
    for size in (1, 7, len(ALL)):
        with database.begin() as connection:
            empty(connection)
        for start in range(0, len(ALL), size):
            chats.handle_many(ALL[start : start + size])

        assert stored(chats) == one_by_one()
        assert chats.verify().ok


@pytest.mark.parametrize("name", EXPECTED)
def test_the_examples_end_as_was_worked_out_by_hand(chats: ChatEngine, name: str) -> None:
    wanted = EXPECTED[name]
    receipts = chats.handle_many(lines_of(name))
    assert [receipt.outcome for receipt in receipts] == wanted["outcomes"]
    if wanted["sweepUpTo"]:
        chats.sweep(datetime.fromisoformat(wanted["sweepUpTo"]))
    for session in wanted["sessions"]:
        _check_session(chats, session)


def _check_session(chats: ChatEngine, wanted: dict[str, Any]) -> None:
    (session,) = (
        one
        for one in chats.sessions(platform=wanted["platformId"], user=wanted["userId"])
        if one.ordinal == wanted["ordinal"]
    )
    path: list[str] = []
    for row in chats.history(session.session_id):
        if row.to_state is not None and path[-1:] != [row.to_state.value]:
            path.append(row.to_state.value)
    assert wanted == {
        **wanted,
        "state": session.state,
        "closeReason": session.close_reason,
        "resumed": session.resumed,
        "agentId": session.agent.id if session.agent else None,
        "rows": session.rows,
        "path": path,
    }
    assert datetime.fromisoformat(wanted["openedAt"]) == session.opened_at
    assert wanted["closedAt"] is None or (
        datetime.fromisoformat(wanted["closedAt"]) == session.closed_at
    )
