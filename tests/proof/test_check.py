"""The proofs hold, count what they say, and fail where something is broken."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import Any

import pytest
from attrs import evolve
from msgspec.structs import replace

from sermo_fsm.core.advance import Step, Visits, advance, close
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import (
    NO_EFFECT,
    NO_GUARD,
    RULES,
    TABLE,
    Cell,
    Effect,
    Guard,
    State,
    build_machine,
    compile_rules,
    shared_machine,
)
from sermo_fsm.core.policy import Durations
from sermo_fsm.core.session import ChatSession
from sermo_fsm.proof import orders, steps, table
from sermo_fsm.proof import run as check
from sermo_fsm.proof.event_pair import EventPair, law_applies
from sermo_fsm.proof.report import Check, Finding, Report
from sermo_fsm.proof.run import run_checks
from sermo_fsm.proof.situation_classes import (
    DECISIVE_FIELDS,
    INBOUND,
    OUTBOUND,
    Simulator,
    SituationClass,
)
from sermo_fsm.proof.situations import Situation, find_situations
from sermo_fsm.protocol.events import Direction, Trigger
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.wire import decode
from tests.support import ANDERS, at, event, text

Rules = list[tuple[str, ...]]
Table = Mapping[tuple[State, Trigger], Cell]


@pytest.fixture(scope="module")
def report() -> Report:
    """What is proved of the machine as it is."""
    return run_checks()


def failing(checks: Iterable[Check]) -> dict[str, Check]:
    return {found.name: found for found in checks if not found.ok}


def words_of(found: Check) -> str:
    return "\n".join(found.problems)


def of_the_table() -> list[Check]:
    return [table.total(), *(prove() for prove in check._TABLE_PROOFS)]


def few_situations(simulator: Simulator) -> list[Situation]:
    """A user's first live chats, in which the customer has not written."""
    return [
        one
        for one in find_situations(simulator)
        if one.live is not None and one.name == f"{one.live.state}, customer never wrote"
    ]


def of_the_step() -> list[Check]:
    """The proofs that take the real step, over few situations."""
    simulator = Simulator()
    among = few_situations(simulator)
    by_step = [steps.step(simulator, among), steps.by_hand(simulator, among)]
    return [*by_step, *orders.law_and_edges(simulator, among)]


# --- it holds ------------------------------------------------------------------------------------


def test_everything_holds(report: Report) -> None:
    assert failing(report.checks) == {}
    assert report.ok


def test_the_counts_are_those_of_the_cases(report: Report) -> None:
    counts = {found.name: found.count for found in report.checks}
    simulator = Simulator()
    found = find_situations(simulator)
    spans = {one.name: len(simulator.span_starts(one.situation_class)) for one in found}
    ended = [one for one in found if one.closed is not None]
    assert counts == {
        "total": 5 * 25,
        "deterministic": 5 * 25,
        "reachable": 5 + 4,
        "closing": 4 * 3,
        "quiet": 4 * (5 + 1),
        "effective": 25,
        "transitions": 5 * 25 * 2,
        "step": counts["step"],
        "close": counts["close"],
        "final": sum(spans[one.name] for one in ended) * (8 + 16),
        "facts": sum(spans.values()) * (8 + 16),
        "law": counts["law"],
        "edges": counts["edges"],
    }
    # Every pair of triggers, in every situation, at least in three orders.
    assert counts["law"] + counts["edges"] > len(found) * 8 * 16 * 3


KINDS = [
    "open, customer never wrote",
    *(
        f"{state}, customer {wrote}"
        for state in ("bot", "queued", "with_agent")
        for wrote in ("never wrote", "wrote")
    ),
]
ENDED = [
    "soon after a chat closed by client_left, end_session or close",
    "long after a chat closed by client_left, end_session or close",
    "soon after a chat closed by agent_done",
    "long after a chat closed by agent_done",
    "long after a chat closed by the clock",  # soon after it is resumed
    "soon after a chat closed by the clock and then for good",
    "long after a chat closed by the clock and then for good",
]
WROTE_EARLIER = [
    f"{state}, customer wrote before the opening" for state in ("bot", "queued", "with_agent")
]
KEPT = [f"kept {kind}" for kind in KINDS] + [
    f"kept closed, customer {wrote}" for wrote in ("never wrote", "wrote")
]


def test_the_proofs_start_from_every_kind_of_situation() -> None:
    wanted = {
        "no chat yet",
        *KINDS,
        *WROTE_EARLIER,
        *(f"{kind}, page unloaded" for kind in KINDS + WROTE_EARLIER),
        *(f"{kind}, resumed" for kind in KINDS + WROTE_EARLIER),
        *(f"{kind}, opened {ended}" for kind in KINDS for ended in ENDED),
        "closed by client_left",
        *(
            f"closed by {why}{left}"
            for why in ("agent_done", "end_session", "operator")
            for left in ("", ", and customer left")
        ),
        *(
            f"closed by the clock ({why}), {kept}"
            for why in ("idle", "client_unload")
            for kept in KEPT
        ),
    }
    found = [one.name for one in find_situations(Simulator())]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_every_situation_was_brought_there_by_the_events_it_names() -> None:
    simulator = Simulator()
    for one in find_situations(simulator):
        visits = Visits()
        for message, moment in one.path:
            if message is None:
                assert visits.live is not None, "an operator closes what is live"
                visits = Visits(closed=close(visits.live, moment, "stuck")[0])
            else:
                received = replace(message, received_at=moment)
                visits = advance(visits, received, simulator.durations).visits
        assert simulator.class_of(visits) is one.situation_class


def test_the_view_is_json() -> None:
    two = Check("two", 2, "it does", ("not in a", "nor b"), (Finding("rare", 1, "because"),))
    report = Report((Check("one", 3, "it holds"), two))
    assert json.loads(json.dumps(report.view())) == {
        "ok": False,
        "checks": [
            {
                "name": "one",
                "ok": True,
                "count": 3,
                "summary": "it holds",
                "problems": [],
                "findings": [],
            },
            {
                "name": "two",
                "ok": False,
                "count": 2,
                "summary": "it does",
                "problems": ["not in a", "nor b"],
                "findings": [{"name": "rare", "count": 1, "reason": "because"}],
            },
        ],
    }


def test_a_message_stands_for_each_trigger_of_each_queue() -> None:
    inbound = [message.trigger for message in INBOUND]
    outbound = [message.trigger for message in OUTBOUND]
    assert set(inbound) | set(outbound) == set(Trigger) - {Trigger.EXPIRE, Trigger.CLOSE}
    assert set(inbound) & set(outbound) == {Trigger.UNKNOWN}
    assert (len(inbound), len(outbound)) == (8, 16)
    assert {message.direction for message in INBOUND} == {Direction.INBOUND}
    assert {message.trigger for message in OUTBOUND if message.direction != Direction.OUTBOUND} == {
        Trigger.AGENT_RELEASED
    }


def test_every_field_of_a_chat_is_one_that_the_rules_go_by_or_is_tried_with_another_value() -> None:
    names = ChatSession.__struct_fields__
    assert sorted([*DECISIVE_FIELDS, *steps.IRRELEVANT_FIELDS, "platform_id", "user_id"]) == sorted(
        names
    )


def test_who_watches_is_told_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    simulator = Simulator()
    among = few_situations(simulator)[:3]
    orders.law_and_edges(simulator, among, lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]


def state_after(*read: tuple[Direction, dict[str, Any], float]) -> State | None:
    """Where the user's current chat is, once these were read in this order."""
    visits = Visits()
    for direction, value, seconds in read:
        message = decode(direction, value, received_at=at(seconds))
        visits = advance(visits, message, Durations()).visits
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

    def patch(other: Table) -> None:
        for module in ("core.advance", "proof.event_pair", "proof.table", "proof.steps"):
            monkeypatch.setattr(f"sermo_fsm.{module}.TABLE", other)
        machine = build_machine(other)
        monkeypatch.setattr(table, "shared_machine", lambda: machine)

    return patch


Install = Callable[[Table], None]

QUEUED_BY = [
    (trigger, state, "=")
    for trigger in ("queue_number", "handover_to_agent", "handover_to_queue")
    for state in ("open", "bot", "with_agent")
]
LEAVES_QUEUED = [
    (trigger, "queued", "=")
    for trigger in (
        *("client_left", "agent_text", "claim_session", "platform_closed", "handover_to_bot"),
        *("end_session", "expire", "close"),
    )
]


@pytest.mark.parametrize(
    ("changes", "name", "problem"),
    [
        pytest.param(QUEUED_BY, "reachable", "no way from open to queued", id="unreachable"),
        pytest.param(QUEUED_BY, "step", "no events lead to queued", id="nothing to start from"),
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
            "the clock in queued, customer never wrote: closed, not bot",
            id="the clock",
        ),
        pytest.param(
            [("close", "queued", "bot")],
            "closing",
            "close in queued does not always close the chat",
            id="an operator may not",
        ),
        pytest.param(
            [("client_left", "bot", "closed unless customer_wrote_later: queued")],
            "closing",
            "client_left in bot does not always close the chat",
            id="a goodbye under a guard",
        ),
        pytest.param(
            [("end_session", "queued", "closed")],
            "law",
            "customer_text and end_session, end_session received first, in: queued, customer "
            "never wrote. customer_text read first ends in closed, end_session first in bot",
            id="without the guard in the queue",
        ),
        pytest.param(
            [("start", "queued", "bot")],
            "law",
            "start and handover_to_queue, start received first, in: bot",
            id="a start leaves the queue",
        ),
        pytest.param(
            [("agent_done", "with_agent", "closed")],
            "law",
            "customer_text and agent_done, agent_done received first, in: with_agent, customer "
            "never wrote. customer_text read first ends in closed, agent_done first in bot",
            id="without the guard",
        ),
        pytest.param(
            [("client_unload", "queued", "closed")],
            "law",
            "client_unload and handover_to_agent, client_unload received first, in: queued",
            id="a reload closes",
        ),
        pytest.param(
            [("customer_text", "queued", "bot")],
            "law",
            "customer_text and queue_number, customer_text received first, in: bot",
            id="a text leaves the queue",
        ),
        pytest.param(
            [("agent_done", "bot", "closed")],
            "law",
            "customer_text and agent_done, agent_done received first, in: open",
            id="an old click closes",
        ),
        pytest.param(
            [("platform_closed", "queued", "=")],
            "effective",
            "platform_closed has no effect anywhere, and is not declared",
            id="without effect",
        ),
        pytest.param(
            [("system_text", "queued", "bot")],
            "effective",
            "system_text is declared to have no effect, and moves a chat",
            id="declared to have none",
        ),
    ],
)
def test_a_broken_table_fails(
    install: Install, changes: list[tuple[str, str, str]], name: str, problem: str
) -> None:
    install(compile_rules(changed(*changes)))
    found = failing([*of_the_table(), *of_the_step()])
    assert problem in words_of(found[name])
    assert "total" not in found, "the table is total all the same"


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
    other = dict(TABLE)
    del other[AGENT_DONE]
    install(other if cell is None else {**TABLE, key: cell})
    report = run_checks()
    assert [found.name for found in report.checks] == ["total"]
    (said,) = failing(report.checks)["total"].problems
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
    other = build_machine(compile_rules(changed(*changes)))
    monkeypatch.setattr(table, "shared_machine", lambda: other)
    found = failing(of_the_table())
    assert set(found) - {"deterministic"} == {"transitions"}
    assert problem in words_of(found["transitions"])


def test_a_machine_that_reopens_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    reopening = build_machine(compile_rules(RULES))
    reopening.add_transition("agent_text", "closed", "with_agent")
    monkeypatch.setattr(table, "shared_machine", lambda: reopening)
    found = failing(of_the_table())
    assert "agent_text in closed" in words_of(found["transitions"])


def test_a_way_that_hides_behind_another_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    ambiguous = build_machine(compile_rules(RULES))
    ambiguous.add_transition("agent_text", "queued", "bot")
    monkeypatch.setattr(table, "shared_machine", lambda: ambiguous)
    found = failing(of_the_table())
    assert set(found) == {"deterministic"}
    assert found["deterministic"].problems == (
        "agent_text in queued: 2 ways in transitions, not 1",
    )


def test_what_has_no_effect_says_why() -> None:
    assert all(reason for reason in NO_EFFECT.values())
    assert {finding.name for finding in table.effective().findings} == set(NO_EFFECT)


def test_a_step_that_leaves_the_table_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    other = compile_rules(changed(("agent_text", "queued", "bot"), ("agent_done", "bot", "=")))
    monkeypatch.setattr("sermo_fsm.core.advance.TABLE", other)
    said = words_of(failing(of_the_step())["step"])
    assert "agent_text in queued, customer never wrote: " in said
    assert "the table says moved to with_agent, advance moved to bot" in said
    assert "the table says ignored to bot, advance stayed to bot" in said


def test_a_step_that_reopens_a_chat_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def reopening(visits: Visits, message: Message, durations: Durations) -> Step:
        step = advance(visits, message, durations)
        closed = step.visits.closed
        if visits.closed is None or closed is None or message.trigger is not Trigger.AGENT_TEXT:
            return step
        return replace(step, visits=Visits(None, replace(closed, state=State.WITH_AGENT)))

    simulator = Simulator()
    ended = [
        one for one in find_situations(simulator) if one.live is None and one.closed is not None
    ]
    cases = sum(len(simulator.span_starts(one.situation_class)) for one in ended)
    monkeypatch.setattr("sermo_fsm.proof.situation_classes.advance", reopening)
    simulator = Simulator()
    found = steps.final(
        simulator,
        [evolve(one, situation_class=SituationClass(one.situation_class.visits)) for one in ended],
    )
    assert len(found.problems) == cases
    assert all(problem.startswith("agent_text, received ") for problem in found.problems)
    assert any(
        problem.endswith(" changes a chat: closed by agent_done") for problem in found.problems
    )


def test_a_close_by_hand_that_only_guesses_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def guessing(live: ChatSession, *how: Any) -> tuple[ChatSession, HistoryRow]:
        closed, row = close(live, *how)
        return replace(closed, kept_state=live.state), row

    monkeypatch.setattr("sermo_fsm.proof.situation_classes.close", guessing)
    simulator = Simulator()
    among = few_situations(simulator)
    assert steps.by_hand(simulator, among).problems == tuple(
        f"a close by hand in {one.name} does not close the chat as an operator does"
        for one in among
    )


def test_a_close_by_hand_that_does_not_last_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def reopening(visits: Visits, message: Message, durations: Durations) -> Step:
        by_hand = visits.closed is not None and visits.closed.close_reason == "operator"
        if visits.closed is None or not by_hand or message.trigger is not Trigger.START:
            return advance(visits, message, durations)
        step = advance(visits, message, durations)
        return replace(step, visits=Visits(replace(visits.closed, state=State.BOT)))

    monkeypatch.setattr("sermo_fsm.proof.situation_classes.advance", reopening)
    simulator = Simulator()
    problems = steps.by_hand(simulator, few_situations(simulator)).problems
    assert set(problems) == {
        f"start beside a close by hand in {one.name}: the chat goes on"
        for one in few_situations(simulator)
    }


def test_a_step_that_breaks_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(visits: Visits, message: Message, *rest: Any) -> Step:
        if message.trigger is Trigger.SYSTEM_TEXT:
            raise LookupError("no such thing")
        return advance(visits, message, *rest)

    monkeypatch.setattr("sermo_fsm.proof.situation_classes.advance", breaking)
    (found,) = failing(run_checks().checks).values()
    assert found == Check(
        "situations",
        0,
        "every step can be taken",
        ("a step fails with LookupError: no such thing",),
    )


def test_a_proof_that_breaks_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(*_: object) -> Check:
        raise LookupError("no such thing")

    breaking.__name__ = "step"
    monkeypatch.setattr(check, "_STEP_PROOFS", (breaking,))
    monkeypatch.setattr(orders, "law_and_edges", breaking)
    *_, one, other = run_checks().checks
    assert one == other
    assert (one.name, one.count) == ("step", 0)
    assert one.problems == ("a step fails with LookupError: no such thing",)


def test_a_guard_that_never_holds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cell, "target", lambda cell, _=NO_GUARD: cell.to)
    found = failing([*of_the_table(), *of_the_step()])
    assert set(found) == {"law", "transitions", "edges"}
    for failed in (found["law"], found["transitions"]):
        assert all("agent_done" in said or "end_session" in said for said in failed.problems)


def test_a_law_that_leaves_out_what_it_speaks_of_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(pair: EventPair) -> bool:
        return law_applies(pair) and pair.inbound is not Trigger.CLIENT_LEFT

    monkeypatch.setattr(orders, "law_applies", narrow)
    problems = failing(of_the_step())["law"].problems
    assert len(problems) == 4 * 16 * 2
    assert (
        "client_left and agent_done, agent_done received first, in a chat that is with_agent: "
        "no case of it is inside of a chat"
    ) in problems


def test_a_proof_of_no_case_proves_nothing() -> None:
    assert Check("law", 1, "it holds").ok
    assert not Check("law", 0, "it holds").ok


def test_a_step_that_goes_by_something_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(visits: Visits, message: Message, durations: Durations) -> Step:
        if visits.live is not None and visits.live.queue_place is not None:
            visits = Visits(None, visits.closed)
        return advance(visits, message, durations)

    simulator = Simulator()
    among = few_situations(simulator)
    assert steps.facts(simulator, among).ok
    monkeypatch.setattr("sermo_fsm.proof.situation_classes.advance", forgetful)
    simulator = Simulator()
    found = steps.facts(simulator, few_situations(simulator))
    assert "agent_text in bot, customer never wrote: something beside the rules decides" in (
        found.problems
    )


def test_what_else_the_rules_go_by_has_to_be_the_same_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lengthening(visits: Visits, message: Message, durations: Durations) -> Step:
        step = advance(visits, message, durations)
        live = step.visits.live
        if live is None or message.trigger is not Trigger.BOT_TEXT:
            return step
        longer = replace(live, expires_at=message.received_at + durations.linger)
        return replace(step, visits=Visits(longer, step.visits.closed))

    monkeypatch.setattr("sermo_fsm.proof.situation_classes.advance", lengthening)
    law = failing(of_the_step())["law"]
    assert "heartbeat and bot_text, heartbeat received first" in words_of(law)
    assert all(problem.endswith(", but something else is not the same") for problem in law.problems)


def test_the_machine_itself_is_left_as_it_was(report: Report) -> None:
    assert report.ok
    assert shared_machine().models == []
