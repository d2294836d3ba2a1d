"""Reading everything: in portions that nobody notices, along indexes, with word of how far it is.

The plans are those of the very statements that the engine sends, as in ``test_queries``.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from sermo_fsm.analysis import full_scan as scan
from tests.another_table import another_table, hand_in, random_traffic
from tests.databases import KINDS, a_database
from tests.filled import START as FIRST
from tests.filled import fill
from tests.storage.test_queries import FULL, SORT, plans, sent_by
from tests.support import PLATFORM, at

SESSIONS = 20_000


@pytest.mark.parametrize("size", [1, 2, 7])
def test_in_portions_it_is_the_same(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    hand_in(chats, random_traffic(1, 200))
    chats.sweep(at(3600))
    with another_table(("agent_text", "queued", "="), ("queue_number", "bot", "=")):
        whole = chats.compare(), chats.traffic(), chats.traffic(platform=PLATFORM, since=at(60))
        monkeypatch.setattr(scan, "_SESSIONS", size)
        monkeypatch.setattr(scan, "_ROWS", size)
        some = chats.compare(), chats.traffic(), chats.traffic(platform=PLATFORM, since=at(60))

    assert some == whole
    assert not whole[0].ok
    assert whole[0].sessions > 3 * size


def test_how_far_it_is_is_told(chats: ChatEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in(chats, random_traffic(2, 200))
    rows = chats.verify().rows
    monkeypatch.setattr(scan, "_SESSIONS", 3)
    monkeypatch.setattr(scan, "_ROWS", 5)
    calls: tuple[Callable[[Any], object], ...] = (
        lambda progress: chats.compare(progress=progress),
        lambda progress: chats.traffic(progress=progress),
    )
    for call in calls:
        told: list[tuple[int, int | None]] = []
        call(lambda *so_far, told=told: told.append(so_far))
        read = [so_far for so_far, _ in told]
        assert read == sorted(read)
        assert len(read) > rows / 5
        assert read[-1] == rows
        assert {total for _, total in told} == {rows + sum(1 for _ in chats.strays())}

    told = []
    chats.traffic(since=at(60), progress=lambda *so_far: told.append(so_far))
    assert {total for _, total in told} == {None}


class Stopped(BaseException):
    """Ctrl-C, which an event loop would take for its own."""


def test_stopped_midway_it_gives_the_connection_back(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(chats, random_traffic(3, 100))
    monkeypatch.setattr(scan, "_ROWS", 5)

    def stop(_read: int, _total: int | None) -> None:
        raise Stopped

    for _ in range(20):  # more than a pool has
        with pytest.raises(Stopped):
            chats.compare(progress=stop)
    assert chats.compare().ok


def test_of_nothing_there_is_nothing_to_say(chats: ChatEngine) -> None:
    found, traffic = chats.compare(), chats.traffic()
    assert (found.ok, found.sessions, found.rows, found.strays) == (True, 0, 0, 0)
    assert (traffic.rows, traffic.sessions, traffic.ways, traffic.medians) == (0, 0, {}, {})


def test_it_is_of_one_moment_whoever_writes_meanwhile(
    chats: ChatEngine, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(chats, random_traffic(4, 100))
    before = chats.compare(), chats.traffic()
    monkeypatch.setattr(scan, "_SESSIONS", 2)
    monkeypatch.setattr(scan, "_ROWS", 2)
    another = ChatEngine(database)
    later = [(way, event, at(10**6)) for way, event, _ in random_traffic(5, 100)]

    def write(read: int, _total: int | None) -> None:
        if read == 2:  # in the first portion
            hand_in(another, later)

    assert chats.compare(progress=write) == before[0]
    rows = chats.traffic().rows
    assert rows > before[1].rows
    assert chats.traffic(progress=write).rows == rows
    figures = chats.figures()
    assert chats.figures(progress=write) == figures
    assert chats.figures() != figures


# --- plans ----------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        *(
            kind if kind == "sqlite" else pytest.param(kind, marks=pytest.mark.service)
            for kind in KINDS
        ),
        "sqlite, not analyzed",
    ],
)
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatEngine]:
    """Enough sessions for a database to look for a short way."""
    kind, *unknown = request.param.split(", ")
    with (
        a_database(kind, tmp_path_factory.mktemp("many"), migrated=True) as url,
        ChatEngine(url) as chats,
    ):
        fill(chats._engine, SESSIONS, analyzed=not unknown)
        yield chats


HALF = FIRST + timedelta(seconds=SESSIONS // 2)


def stories(**which: Any) -> Callable[[ChatEngine], object]:
    return lambda chats: sum(1 for _ in chats.stories(**which))


ASKED: dict[str, tuple[Callable[[ChatEngine], object], str]] = {
    "compare": (ChatEngine.compare, ""),
    "traffic": (ChatEngine.traffic, ""),
    "traffic of a platform": (
        lambda chats: chats.traffic(platform="app"),
        "platform_id_opened_at_id",
    ),
    "traffic of a time": (
        lambda chats: chats.traffic(since=HALF, until=HALF + timedelta(hours=1)),
        "opened_at_id",
    ),
    "figures": (ChatEngine.figures, "opened_at_id"),
    "figures of a platform": (
        lambda chats: chats.figures(platform="app"),
        "platform_id_opened_at_id",
    ),
    "figures of a time": (
        lambda chats: chats.figures(since=HALF, until=HALF + timedelta(hours=1)),
        "opened_at_id",
    ),
    "stories": (stories(), ""),
    "stories of a platform": (stories(platform="app"), "platform_id_opened_at_id"),
    "stories of a time": (
        stories(opened_from=HALF, opened_before=HALF + timedelta(hours=1)),
        "opened_at_id",
    ),
    "stories of a platform and a time": (
        stories(platform="app", opened_from=FIRST, opened_before=HALF),
        "opened_at_id",
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_nothing_large_is_sorted_and_no_table_is_gone_through_twice(
    many: ChatEngine, what: str
) -> None:
    ask, index = ASKED[what]
    kind = many._engine.dialect.name
    sent = sent_by(many, ask)
    sessions = [one for one in sent if "LIMIT" in one[0]]
    every = [one for one in sent if "sermo_history.trigger_name" in one[0]]
    rows = [one for one in every if "session_key IS NULL" not in one[0]]

    for strays in (one for one in every if one not in rows):
        plan, *_ = plans(many._engine, strays)
        assert not FULL[kind].search(plan), plan
    for one in (sessions[1], sessions[-1]):
        plan, *_ = plans(many._engine, one)
        assert not FULL[kind].search(plan), plan
        assert not SORT[kind].search(plan), plan
        # PostgreSQL knows how few other platforms have: it may as well pass over these.
        assert index.removeprefix("platform_id_" * (kind == "postgresql")) in plan, plan
    plan, *_ = plans(many._engine, rows[1])
    if index and kind == "postgresql":
        return  # of so few rows it may as well look at all
    assert not FULL[kind].search(plan), plan
    assert kind == "postgresql" or not SORT[kind].search(plan), plan  # that may sort a portion
    assert "session_key_seq" in plan, plan
