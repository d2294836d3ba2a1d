"""Every row of many sessions, as of one moment: what is in it, in which order, how much is kept."""

from itertools import groupby, islice
from typing import Any

import pytest
from msgspec.structs import replace

from sermo_fsm import ChatEngine, InvalidArgument
from sermo_fsm.analysis import full_scan as scan
from sermo_fsm.analysis.histories import SessionRow
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine import unit_of_work
from tests.support import ANDERS, at, envelope, event, text


def play(chats: ChatEngine, users: int = 7) -> None:
    """Chats of many lengths, some of them of the same user, and a stray."""
    lines = []
    for number in range(users):
        user, begun = f"u-{number % 5}", number * 10_000
        lines += [envelope("inbound", text("Hej", user), begun + n) for n in range(number + 1)]
        lines.append(envelope("outbound", text("Hej!", user, agent=ANDERS), begun + 50))
        lines.append(envelope("inbound", event("client_left", user), begun + 60))
    lines.append(envelope("outbound", event("agent_done", "nobody"), 1))
    other = {**event("heartbeat", "elsewhere"), "platformId": "app"}
    lines.append(envelope("inbound", other, 35_000))
    assert not [one for one in chats.handle_many(lines) if one.error]


def bare(row: HistoryRow) -> HistoryRow:
    return replace(row, event=None, raw=None)


def told(chats: ChatEngine, sessions: list[ChatSession]) -> list[SessionRow]:
    return [(one, bare(row)) for one in sessions for row in chats.history(one.session_id)]


@pytest.fixture(params=[(500, 2000), (2, 3), (1, 1), (3, 100)], ids=str)
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of the usual size, and so small that every chat goes over several."""
    sessions, rows = request.param
    monkeypatch.setattr(scan, "_SESSIONS", sessions)
    monkeypatch.setattr(scan, "_ROWS", rows)
    monkeypatch.setattr(unit_of_work, "_PORTION", rows)


@pytest.mark.usefixtures("pages")
def test_every_row_of_every_session_is_told_once_without_what_was_said(chats: ChatEngine) -> None:
    play(chats)
    sessions = sorted(chats.sessions(), key=lambda one: one.opened_at)
    assert sorted(chats.stories(), key=lambda one: one[0].opened_at) == told(chats, sessions)


@pytest.mark.usefixtures("pages")
def test_the_rows_of_a_session_come_together_and_earlier_chats_of_a_user_earlier(
    chats: ChatEngine,
) -> None:
    play(chats)
    found = [session for session, _ in groupby(chats.stories(), key=lambda one: one[0])]
    assert len(found) == len({one.session_id for one in found}) == 8
    of_user = [one.ordinal for one in found if one.user_id == "u-1"]
    assert of_user == [1, 2]


@pytest.mark.usefixtures("pages")
def test_only_what_is_asked_for_is_told(chats: ChatEngine) -> None:
    play(chats)

    def users(**which: Any) -> list[str]:
        return sorted({one.user_id for one, _ in chats.stories(**which)})

    assert users(platform="app") == ["elsewhere"]
    assert users(platform="nowhere") == []
    assert users(opened_from=at(40_000), opened_before=at(60_000)) == ["u-0", "u-4"]
    assert users(opened_from=at(40_000), platform="app") == []


def test_nobody_has_no_story(chats: ChatEngine) -> None:
    assert list(chats.stories()) == []


def test_it_is_of_one_moment_whoever_writes_meanwhile(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_SESSIONS", 1)
    monkeypatch.setattr(unit_of_work, "_PORTION", 1)
    play(chats)
    before = list(chats.stories())
    found = chats.stories()
    first = list(islice(found, 1))
    chats.handle("inbound", text("late", "u-4"), received_at=at(40_055))
    chats.handle("inbound", text("new", "somebody"), received_at=at(90_000))
    assert first + list(found) == before
    assert len(list(chats.stories())) > len(before)


def test_who_has_seen_enough_gives_the_connection_back(chats: ChatEngine) -> None:
    play(chats)
    for _ in range(30):  # more than a pool has
        found = chats.stories()
        next(found)
        found.close()
    assert chats.counts()


@pytest.mark.parametrize(
    "which", [{"platform": ""}, {"opened_from": at(0).replace(tzinfo=None)}, {"opened_before": 1}]
)
def test_what_can_not_be_asked_is_refused_at_once(which: dict[str, Any]) -> None:
    with ChatEngine("sqlite://") as engine, pytest.raises(InvalidArgument):
        engine.stories(**which)
