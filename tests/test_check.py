"""The proofs hold, count what they say, and fail where something is broken."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from attrs import evolve

from sermo_fsm import check
from sermo_fsm.advance import Step, Visits, advance
from sermo_fsm.check import Check, Report, run_checks
from sermo_fsm.events import Direction, Trigger
from sermo_fsm.machine import (
    MACHINE,
    NO_GUARD,
    RULES,
    TABLE,
    Cell,
    Effect,
    Guard,
    State,
    build_machine,
    compile_rules,
)
from sermo_fsm.policy import Durations
from sermo_fsm.wire import Message, decode
from tests.support import ANDERS, at, event, text

Rules = list[tuple[str, ...]]
Table = Mapping[tuple[State, Trigger], Cell]


def failing(report: Report) -> dict[str, Check]:
    return {found.name: found for found in report.checks if not found.ok}


def words_of(found: Check) -> str:
    return "\n".join(found.problems)


# --- it holds ------------------------------------------------------------------------------------


def test_everything_holds() -> None:
    report = run_checks()
    assert failing(report) == {}
    assert report.ok


def test_the_counts_are_those_of_the_cases() -> None:
    # Live chats: open without a word of the customer; the three other states without, after and
    # right after one. An outbound event comes before or after an inbound one; right after the
    # customer's words it may also have been received before them.
    live_chats = 1 + 3 * 3
    situations = live_chats * 2 + 3
    # Each of them closes by the clock and by client_left, the three with an agent by agent_done.
    closed_chats = live_chats * 2 + 3
    assert {found.name: found.count for found in run_checks().checks} == {
        "total": 5 * 19,
        "reachable": 5 + 4,
        "quiet": 4 * (5 + 1),
        "transitions": 5 * 19 * 2,
        "step": live_chats * ((7 + 12) * 2 + 1),
        "final": closed_chats * (7 + 12) * 4,
        "law": situations * 7 * 12,
    }


def test_the_law_says_what_was_counted() -> None:
    (law,) = (found for found in run_checks().checks if found.name == "law")
    for number in ("4 live states", "23 situations", "7 inbound", "12 outbound"):
        assert number in law.summary


def test_the_view_is_json() -> None:
    report = Report(
        (Check("one", 3, "it holds"), Check("two", 2, "it does", ("not in a", "nor b")))
    )
    assert json.loads(json.dumps(report.view())) == {
        "ok": False,
        "checks": [
            {"name": "one", "ok": True, "count": 3, "summary": "it holds", "problems": []},
            {
                "name": "two",
                "ok": False,
                "count": 2,
                "summary": "it does",
                "problems": ["not in a", "nor b"],
            },
        ],
    }


def test_a_message_stands_for_each_trigger_of_each_queue() -> None:
    inbound = [message.trigger for message in check._INBOUND]
    outbound = [message.trigger for message in check._OUTBOUND]
    assert set(inbound) | set(outbound) == set(Trigger) - {Trigger.EXPIRE}
    assert set(inbound) & set(outbound) == {Trigger.UNKNOWN}
    assert (len(inbound), len(outbound)) == (7, 12)
    assert {message.direction for message in check._INBOUND} == {Direction.INBOUND}
    assert {message.direction for message in check._OUTBOUND} == {Direction.OUTBOUND}


def test_the_proofs_start_from_every_kind_of_live_chat() -> None:
    never, before, last = (
        f"customer {when}" for when in ("never wrote", "wrote before", "wrote last")
    )
    found = {(chat.state.value, check._words(chat)) for chat in check._starts()}
    assert found == {("open", never)} | {
        (state, words)
        for state in ("bot", "queued", "with_agent")
        for words in (never, before, last)
    }


def state_after(*read: tuple[Direction, dict[str, Any], float]) -> State | None:
    """Where the user's current chat is, once these were read in this order."""
    visits = Visits()
    for direction, value, seconds in read:
        visits = advance(visits, decode(direction, value), at(seconds), Durations()).visits
    return None if visits.current is None else visits.current.state


@pytest.mark.parametrize(
    ("asked_at", "done_at", "ends"),
    [(10, 11, "closed"), (11, 10, "bot")],
    ids=["asked before the click", "asked after the click"],
)
def test_the_pair_that_the_guard_is_for(asked_at: int, done_at: int, ends: str) -> None:
    taken = (Direction.OUTBOUND, text(agent=ANDERS), 0)
    asked = (Direction.INBOUND, text("Och en sak till?"), asked_at)
    done = (Direction.OUTBOUND, event("agent_done"), done_at)
    for pair in permutations((asked, done)):
        assert state_after(taken, *pair) == ends


# --- it fails where it should --------------------------------------------------------------------


def changed(*changes: tuple[str, str, str]) -> Rules:
    """The rules with other words in some cells: trigger, state, words."""
    states = ["open", "bot", "queued", "with_agent"]
    rows = {name: list(cells) for name, *cells in RULES}
    for trigger, state, words in changes:
        rows[trigger][states.index(state)] = words
    return [(name, *cells) for name, cells in rows.items()]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], None]:
    """Let everything work by another table."""

    def patch(table: Table) -> None:
        monkeypatch.setattr("sermo_fsm.advance.TABLE", table)
        monkeypatch.setattr(check, "TABLE", table)
        monkeypatch.setattr(check, "MACHINE", build_machine(table))

    return patch


Install = Callable[[Table], None]

QUEUED_BY = [
    (trigger, state, "=")
    for trigger in ("queue_number", "handover_to_agent")
    for state in ("open", "bot", "with_agent")
]
LEAVES_QUEUED = [
    (trigger, "queued", "=")
    for trigger in ("client_left", "agent_text", "platform_closed", "handover_to_bot", "expire")
]


@pytest.mark.parametrize(
    ("changes", "name", "problem"),
    [
        pytest.param(QUEUED_BY, "reachable", "no way from open to queued", id="unreachable"),
        pytest.param(QUEUED_BY, "law", "no events lead to queued", id="nothing to start from"),
        pytest.param(LEAVES_QUEUED, "reachable", "no way from queued to closed", id="no way out"),
        pytest.param(
            [("typing", "bot", "queued")], "quiet", "typing in bot does not stay", id="quiet moves"
        ),
        pytest.param(
            [("heartbeat", "bot", "×")], "quiet", "heartbeat in bot does not stay", id="no meaning"
        ),
        pytest.param(
            [("unknown", "open", "bot")], "quiet", "unknown in open does not stay", id="unknown"
        ),
        pytest.param(
            [("expire", "queued", "bot")],
            "step",
            "the clock in queued: closed, not bot",
            id="the clock",
        ),
        pytest.param(
            [("agent_done", "with_agent", "closed")],
            "law",
            "customer_text and agent_done in with_agent (customer never wrote, outbound received "
            "first): customer_text read first ends in closed, agent_done first in bot",
            id="without the guard",
        ),
        pytest.param(
            [("client_unload", "queued", "closed")],
            "law",
            "client_unload and agent_text in queued",
            id="a reload closes",
        ),
        pytest.param(
            [("customer_text", "queued", "bot")],
            "law",
            "customer_text and queue_number in bot",
            id="a text leaves the queue",
        ),
        pytest.param(
            [("agent_done", "bot", "closed")],
            "law",
            "customer_text and agent_done in open",
            id="an old click closes",
        ),
    ],
)
def test_a_broken_table_fails(
    install: Install, changes: list[tuple[str, str, str]], name: str, problem: str
) -> None:
    install(compile_rules(changed(*changes)))
    report = run_checks()
    assert not report.ok
    assert problem in words_of(failing(report)[name])
    assert failing(Report(report.checks[:1])) == {}, "the table is total all the same"


AGENT_DONE = (State.WITH_AGENT, Trigger.AGENT_DONE)
LATER = Guard.CUSTOMER_WROTE_LATER


@pytest.mark.parametrize(
    ("key", "cell", "problem"),
    [
        pytest.param(AGENT_DONE, None, "left out", id="left out"),
        pytest.param(
            (State.CLOSED, Trigger.TYPING),
            Cell(Effect.STAY, State.CLOSED),
            "no cell may stand there",
            id="a cell of closed",
        ),
        pytest.param(
            AGENT_DONE,
            Cell(Effect.MOVE, State.WITH_AGENT),
            "contradicts itself",
            id="moves nowhere",
        ),
        pytest.param(
            AGENT_DONE, Cell(Effect.STAY, State.CLOSED), "contradicts itself", id="stays elsewhere"
        ),
        pytest.param(
            AGENT_DONE,
            Cell(Effect.MOVE, State.CLOSED, LATER),
            "contradicts itself",
            id="guard without another state",
        ),
        pytest.param(
            AGENT_DONE,
            Cell(Effect.MOVE, State.CLOSED, None, State.BOT),
            "contradicts itself",
            id="another state without a guard",
        ),
        pytest.param(
            AGENT_DONE,
            Cell(Effect.STAY, State.WITH_AGENT, LATER, State.BOT),
            "contradicts itself",
            id="stays under a guard",
        ),
    ],
)
def test_without_exactly_one_cell_for_each_nothing_else_is_tried(
    install: Install, key: tuple[State, Trigger], cell: Cell | None, problem: str
) -> None:
    table = (
        {**TABLE, key: cell} if cell else {place: it for place, it in TABLE.items() if place != key}
    )
    install({place: it for place, it in table.items() if it})
    report = run_checks()
    assert [found.name for found in report.checks] == ["total"]
    (said,) = failing(report)["total"].problems
    state, trigger = key
    assert said.startswith(f"{trigger} in {state}: ")
    assert problem in said


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            [("bot_text", "queued", "bot")],
            "bot_text in queued, no guard holding: the lookup says queued, transitions bot",
            id="another target",
        ),
        pytest.param(
            [("handover_to_agent", "with_agent", "=")], "handover_to_agent in with_agent", id="no ×"
        ),
        pytest.param(
            [("agent_done", "with_agent", "closed")],
            "agent_done in with_agent, customer_wrote_later holding: "
            "the lookup says bot, transitions closed",
            id="no guard",
        ),
        pytest.param(
            [("typing", state, "×") for state in ("open", "bot", "queued", "with_agent")],
            "typing in open",
            id="no such event",
        ),
    ],
)
def test_a_machine_of_its_own_mind_fails(
    monkeypatch: pytest.MonkeyPatch, changes: list[tuple[str, str, str]], problem: str
) -> None:
    monkeypatch.setattr(check, "MACHINE", build_machine(compile_rules(changed(*changes))))
    found = failing(run_checks())
    assert set(found) == {"transitions"}
    assert problem in words_of(found["transitions"])


def test_a_machine_that_reopens_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    reopening = build_machine(compile_rules(RULES))
    reopening.add_transition("agent_text", "closed", "with_agent")
    monkeypatch.setattr(check, "MACHINE", reopening)
    found = failing(run_checks())
    assert "agent_text in closed" in words_of(found["transitions"])


def test_a_step_that_leaves_the_table_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    other = compile_rules(changed(("agent_text", "queued", "bot"), ("agent_done", "bot", "=")))
    monkeypatch.setattr("sermo_fsm.advance.TABLE", other)
    found = failing(run_checks())
    said = words_of(found["step"])
    assert "agent_text in queued (customer never wrote): " in said
    assert "the table says moved to with_agent, advance moved to bot" in said
    assert "the table says ignored to bot, advance stayed to bot" in said
    assert "transitions" not in found


def test_a_step_that_reopens_a_chat_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def reopening(
        visits: Visits, message: Message, received_at: datetime, durations: Durations
    ) -> Step:
        step = advance(visits, message, received_at, durations)
        closed = step.visits.closed
        if visits.closed is None or closed is None or message.trigger is not Trigger.AGENT_TEXT:
            return step
        return evolve(step, visits=Visits(None, evolve(closed, state=State.WITH_AGENT)))

    monkeypatch.setattr(check, "advance", reopening)
    final = failing(run_checks())["final"]
    assert len(final.problems) == 23 * 4
    assert "agent_text, 0:00:00 from the close, changes a chat that was queued, closed by " in (
        words_of(final)
    )


def test_a_step_that_breaks_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(visits: Visits, message: Message, *rest: Any) -> Step:
        if message.trigger is Trigger.SYSTEM_TEXT:
            raise LookupError("no such thing")
        return advance(visits, message, *rest)

    monkeypatch.setattr(check, "advance", breaking)
    found = failing(run_checks())
    assert set(found) == {"step", "final", "law"}
    for failed in found.values():
        assert failed.problems == ("a step fails with LookupError: no such thing",)


def test_a_guard_that_never_holds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cell, "target", lambda cell, _=NO_GUARD: cell.to)
    found = failing(run_checks())
    assert set(found) == {"law", "transitions"}
    for failed in found.values():
        assert all("agent_done" in problem for problem in failed.problems)


def test_the_machine_itself_is_left_as_it_was() -> None:
    run_checks()
    assert MACHINE.models == []
