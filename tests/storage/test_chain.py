"""The chain of digests: whatever is done to a row that is in it shows, and erasing does not."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sermo_fsm import Chain, ChatEngine
from sermo_fsm.analysis import chain as module
from sermo_fsm.storage.schema import tables
from tests.doors import each_signature
from tests.support import PLATFORM, at, text

HISTORY, CHAIN, BODY = tables().history, tables().chain, tables().body
ROWS = 7  # in a segment
NOTHING = Chain(None, 0, 0)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several in a few rows, and several transactions."""
    monkeypatch.setattr(module, "_ROWS", ROWS)
    monkeypatch.setattr(module, "_SEGMENTS", 2)
    monkeypatch.setattr(module, "_KEYS", 2)


def write(chats: ChatEngine, rows: int, user: str = "anna") -> None:
    for number in range(rows):
        chats.handle("inbound", text(f"row {number}", user=user), received_at=at(number))


def ids(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return list(connection.execute(sa.select(HISTORY.c.id).order_by(HISTORY.c.id)).scalars())


def change(database: sa.Engine, *statements: Any) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def test_what_was_never_made_says_nothing(chats: ChatEngine) -> None:
    assert chats.extend_chain() == NOTHING
    write(chats, 3)
    found = chats.verify_chain()
    assert (found.ok, found.chain, found.unchained) == (True, NOTHING, 3)


def test_it_grows_with_the_history(chats: ChatEngine) -> None:
    write(chats, 3 * ROWS + 1)
    chats.handle("inbound", {"type": "text"})  # a stray
    first = chats.extend_chain()
    assert (first.segments, first.rows) == (4, 3 * ROWS + 2)
    assert chats.extend_chain() == first
    write(chats, 2, user="bo")
    assert chats.verify_chain(first.digest).unchained == 2
    second = chats.extend_chain()
    assert (second.segments, second.rows) == (5, 3 * ROWS + 4)
    found = chats.verify_chain(first.digest)
    assert (found.ok, found.chain, found.unchained) == (True, second, 0)
    assert chats.verify().ok


CHANGES: dict[str, Callable[[int], Any]] = {
    "a state": lambda key: sa.update(HISTORY).where(HISTORY.c.id == key).values(to_state="queued"),
    "a time": lambda key: sa.update(HISTORY).where(HISTORY.c.id == key).values(effective_at=at(1)),
    "its place": lambda key: sa.update(HISTORY).where(HISTORY.c.id == key).values(seq=99),
    "who": lambda key: sa.update(HISTORY).where(HISTORY.c.id == key).values(agent_id="someone"),
    "its id": lambda key: sa.update(HISTORY).where(HISTORY.c.id == key).values(message_id="m"),
    "its sender's clock": lambda key: (
        sa.update(HISTORY).where(HISTORY.c.id == key).values(sent_at=at(1))
    ),
}


@pytest.mark.parametrize("change_of", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_fact_shows(
    chats: ChatEngine, database: sa.Engine, change_of: Callable[[int], Any]
) -> None:
    write(chats, 3 * ROWS)
    chats.extend_chain()
    keys = ids(database)
    change(database, change_of(keys[ROWS + 1]))
    found = chats.verify_chain()
    where = f"rows {keys[ROWS]} to {keys[2 * ROWS - 1]} of the history"
    what = f"{where} are not what they were, or segment 2 of the chain is not"
    assert found.problems == (what,)
    assert found.chain.segments == 3


def test_a_deleted_row_shows(chats: ChatEngine, database: sa.Engine) -> None:
    write(chats, 2 * ROWS)
    chats.extend_chain()
    keys = ids(database)
    change(database, sa.delete(BODY), sa.delete(HISTORY).where(HISTORY.c.id == keys[0]))
    assert chats.verify_chain().problems == (
        f"rows 1 to {keys[ROWS - 1]} of the history were {ROWS}, and are {ROWS - 1}",
    )
    change(database, sa.delete(HISTORY))
    assert len(chats.verify_chain().problems) == 2


def without(database: sa.Engine, key: int) -> dict[str, Any]:
    """The row with this id, which is gone, as if its transaction had not committed yet."""
    with database.begin() as connection:
        query = sa.select(HISTORY).where(HISTORY.c.id == key)
        row = dict(connection.execute(query).mappings().one())
        connection.execute(sa.delete(BODY))
        connection.execute(sa.delete(HISTORY).where(HISTORY.c.id == key))
    return row


def test_a_row_that_commits_late_is_let_in(chats: ChatEngine, database: sa.Engine) -> None:
    write(chats, 2 * ROWS)
    keys = ids(database)
    late, never = without(database, keys[2]), without(database, keys[4])
    without(database, keys[3])
    first = chats.extend_chain()
    assert first.rows == 2 * ROWS - 3
    change(database, sa.insert(HISTORY).values(late))
    found = chats.verify_chain(first.digest)
    assert (found.ok, found.unchained) == (True, 1)
    second = chats.extend_chain()
    assert (second.segments, second.rows) == (first.segments + 1, first.rows + 1)
    found = chats.verify_chain(first.digest)
    assert (found.ok, found.unchained) == (True, 0)
    # One more, in a segment with others; and gone again.
    change(database, sa.insert(HISTORY).values(never))
    write(chats, 1, user="bo")
    assert chats.extend_chain().rows == first.rows + 3
    assert chats.verify_chain(first.digest).ok
    change(database, sa.delete(HISTORY).where(HISTORY.c.id == late["id"]))
    assert chats.verify_chain().problems == ("the late rows of segment 3 were 1, and are 0",)


def test_a_row_that_comes_after_an_hour_was_slipped_in(
    chats: ChatEngine, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(chats, ROWS)
    keys = ids(database)
    row = without(database, keys[2])
    chats.extend_chain()
    monkeypatch.setattr(module, "_PENDING", timedelta())
    change(database, sa.insert(HISTORY).values(row))
    problem = f"rows 1 to {keys[-1]} of the history were {ROWS - 1}, and are {ROWS}"
    assert chats.verify_chain().problems == (problem,)
    chats.extend_chain()  # does not let it in
    assert chats.verify_chain().problems == (problem,)
    change(database, sa.delete(HISTORY).where(HISTORY.c.id == keys[2]))
    assert chats.verify_chain().ok


def test_a_row_before_all_others_was_slipped_in(chats: ChatEngine, database: sa.Engine) -> None:
    write(chats, 2)
    chats.extend_chain()
    change(database, sa.update(HISTORY).where(HISTORY.c.id == ids(database)[0]).values(seq=5))
    row = {"id": -1, "outcome": "stray", "effective_at": at(0)}
    change(database, sa.insert(HISTORY).values(row))
    assert len(chats.verify_chain().problems) == 1


def test_who_changes_the_chain_is_seen(chats: ChatEngine, database: sa.Engine) -> None:
    write(chats, 3 * ROWS)
    kept = chats.extend_chain().digest

    def after(*statements: Any) -> tuple[str, ...]:
        with database.begin() as connection:
            rows = [dict(row) for row in connection.execute(sa.select(CHAIN)).mappings()]
        change(database, *statements)
        problems: tuple[str, ...] = chats.verify_chain(kept).problems
        change(database, sa.delete(CHAIN), sa.insert(CHAIN).values(rows))
        assert chats.verify_chain(kept).ok
        return problems

    cut_off = f"the digest {kept} is not in the chain: it was cut off, or made anew"
    assert after(sa.delete(CHAIN)) == (cut_off,)
    assert after(sa.delete(CHAIN).where(CHAIN.c.id == 3)) == (cut_off,)
    assert "segment 2 of the chain is missing" in after(sa.delete(CHAIN).where(CHAIN.c.id == 2))
    for values in ({"gaps": '[[1, 2, "2026-01-01T00:00:00+00:00"]]'}, {"made_at": at(0)}):
        (problem,) = after(sa.update(CHAIN).where(CHAIN.c.id == 1).values(**values))
        assert problem.endswith("or segment 1 of the chain is not")
    assert len(after(sa.update(CHAIN).where(CHAIN.c.id == 2).values(digest="0" * 64))) == 2


def test_a_person_who_is_erased_breaks_nothing(chats: ChatEngine) -> None:
    write(chats, ROWS + 2)
    write(chats, 2, user="bo")
    chats.handle("inbound", {"type": "text", "userId": "anna"})  # a stray
    kept = chats.extend_chain().digest
    assert chats.erase(PLATFORM, "anna", even_live=True)
    found = chats.verify_chain(kept)
    assert (found.problems, found.unchained) == ((), 1)  # the row that closed the chat
    chats.extend_chain()
    assert chats.verify_chain(kept).ok
    assert chats.verify().ok


@each_signature
def test_its_form_is_for_ever(chats: ChatEngine, database: sa.Engine) -> None:
    # A release that makes it another way finds every chain of before broken.
    write(chats, 2)
    chats.extend_chain()
    with database.connect() as connection:
        segment = dict(connection.execute(sa.select(CHAIN)).mappings().one())
        rows = connection.execute(module._facts(tables())).all()
    segment["made_at"] = at(0)
    digest = segment.pop("digest")
    assert json.loads(segment["gaps"]) == []
    assert module._digest("", segment, rows) != digest
    assert module._digest("", segment, rows) == FORM


FORM = "7b8d543f1d8a04ad94f589fc366fddcd622d4449ceaa214af9a6123cae08d5a4"


@given(st.sets(st.integers(1, 40)), st.integers(0, 5), st.sets(st.integers(1, 40)))
def test_gaps_are_the_ids_that_are_missing(here: set[int], before: int, late: set[int]) -> None:
    known = sorted(key for key in here if key > before)
    gaps = module._gaps(before, known, at(0))
    missing = set(range(before + 1, max(known, default=before) + 1)) - here
    assert {key for first, last, _ in gaps for key in range(first, last + 1)} == missing
    left = module._without(gaps, sorted(late))
    assert {key for first, last, _ in left for key in range(first, last + 1)} == missing - late
