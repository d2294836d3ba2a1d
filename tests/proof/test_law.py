"""The law at the edges of a chat: the declared exceptions are right, and there are no others."""

import copy
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import hypothesis.strategies as st
import pytest
from attrs import evolve
from hypothesis import given

from sermo_fsm.core.machine import State
from sermo_fsm.core.ownership import RULES, Rule
from sermo_fsm.core.policy import Durations
from sermo_fsm.proof import orders, steps
from sermo_fsm.proof.chats import Situation, situations
from sermo_fsm.proof.event_pair import OPENS, RETURNS, Pair, inside
from sermo_fsm.proof.law import EDGES, Edge
from sermo_fsm.proof.orders import law_and_edges
from sermo_fsm.proof.pairs import Trial, trials
from sermo_fsm.proof.report import Check
from sermo_fsm.proof.situation_classes import INBOUND, OUTBOUND, Ground, Place
from sermo_fsm.protocol.events import Trigger
from tests.naive_model import NaiveChats
from tools.explore.edges import Edge as Kind
from tools.explore.edges import edge_of
from tools.explore.sandbox import Chat
from tools.explore.space import Node


def named(ground: Ground, *names: str) -> list[Situation]:
    found = {one.name: one for one in situations(ground)}
    return [found[name] for name in names]


def covering(pair: Pair) -> list[str]:
    """The exceptions that say of this pair that it ends differently."""
    return [
        edge.name
        for edge in EDGES
        if pair.inbound in edge.inbound and pair.outbound in edge.outbound and edge.covers(pair)
    ]


def edges_of(*names: str) -> Check:
    """The proof at the edges, in a few situations."""
    ground = Ground()
    return law_and_edges(ground, named(ground, *names))[1]


def words_of(found: Check) -> str:
    return "\n".join(found.problems)


def counts_of(found: Check) -> dict[str, int]:
    return {finding.name: finding.count for finding in found.findings if finding.count}


# --- what is declared ----------------------------------------------------------------------------


def test_every_exception_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({edge.name for edge in EDGES}) == len(EDGES)
    for edge in EDGES:
        assert edge.reason.endswith(".")
        assert edge.inbound <= {message.trigger for message in INBOUND}
        assert edge.outbound <= {message.trigger for message in OUTBOUND}


def test_what_opens_in_the_exceptions_is_what_opens_by_the_rules_of_ownership() -> None:
    opens = {trigger for trigger, rules in RULES.items() if rules[0] is Rule.OPENS}
    assert opens == RETURNS | OPENS


def node_at(place: Place) -> Node:
    """These chats as those who explore streams see them."""
    visits = place.visits
    chats = [
        Chat(
            user=("web", "u-1"),
            ordinal=chat.ordinal,
            state=chat.state,
            close_reason=chat.close_reason,
            kept_state=chat.kept_state,
            expires_at=chat.expires_at,
            row_count=chat.rows,
            effective_at="",
            values=(),
        )
        for chat in (visits.closed, visits.live)
        if chat is not None
    ]
    return Node(0, tuple(chats), frozenset(), (), b"")


def test_every_exception_lies_at_an_edge_that_exploring_knows(
    few: Sequence[tuple[Trial, Pair]],
) -> None:
    lie: dict[str, set[Kind | None]] = {edge.name: set() for edge in EDGES}
    for trial, pair in few:
        for name in covering(pair):
            after = (*trial.inbound_first, *trial.outbound_first)
            nodes = [node_at(reading.place) for reading in after]
            lie[name].add(edge_of(node_at(trial.situation.place), nodes))
    assert lie == {
        "the last word, at the same instant": {Kind.CLOSE},
        "agent_done, while the customer comes back": {Kind.DEADLINE, Kind.AFTER_CLOSE},
        "client_left, around the opening by the other side": {Kind.OPENING, Kind.AFTER_CLOSE},
        # Both are from before the live chat: no queue has them, if it keeps the order of receiving.
        "client_left, after agent_done": {Kind.AFTER_CLOSE, None},
        "client_left, and linger over": {Kind.CLOSE},
        "past the deadline, and linger over": {Kind.DEADLINE},
        "past the deadline of the chat that the other side opens": {
            Kind.OPENING,
            Kind.AFTER_CLOSE,
        },
        "lingering, while the customer opens the next chat": {Kind.AFTER_CLOSE},
        "resumed or opened": {Kind.AFTER_CLOSE},
        "two chats back": {Kind.DEADLINE},
    }


# --- counted by hand -----------------------------------------------------------------------------


def test_with_no_chat_yet_all_can_be_counted_by_hand() -> None:
    # Five outbound triggers open a chat. Either event is received first, or both at once: 3 cases.
    # client_left goes with them also at every other distance that could matter: linger before;
    # idle, and idle + linger after, each with the outbound event where it is linger later, and the
    # last with one idle before it: 7 cases. Whenever that is, only what is read last closes.
    around = 5 * (3 + 7)
    # messages_read, client_unload and unknown open nothing. They end the chat when they come idle
    # or idle + linger after its opening, or idle after one that was received linger later.
    no_return = 3 * 5 * 3
    # heartbeat and typing open the next chat where that one can not be resumed any more, and each
    # of the five moves it; from the bot, to which a customer's text leads, only three of them do.
    returns = 2 * 5 + 1 * 3
    assert counts_of(edges_of("no chat yet")) == {
        "client_left, around the opening by the other side": around,
        "past the deadline of the chat that the other side opens": no_return + returns,
    }


# --- the same from another model -----------------------------------------------------------------


def replayed(ground: Ground, situation: Situation) -> NaiveChats:
    """The naive model, brought to this situation by the same events."""
    durations = ground.durations
    chats = NaiveChats(
        unload_grace=durations.unload_grace,
        idle_timeout=durations.idle_timeout,
        linger=durations.linger,
    )
    for message, at in situation.path:
        chats.handle(message.direction, dict(message.body), at)
    return chats


def state_in(chats: NaiveChats) -> str | None:
    of_the_user = chats._chats.get(("web", "u-1"))
    return chats._state(of_the_user[-1]) if of_the_user else None


def ends_in(chats: NaiveChats, trial: Trial) -> tuple[str | None, str | None]:
    """Where both orders of reading end in the naive model."""
    inbound, outbound = zip((trial.inbound, trial.outbound), trial.moments, strict=True)
    ends = []
    for order in ((inbound, outbound), (outbound, inbound)):
        copied = copy.deepcopy(chats)
        for message, at in order:
            copied.handle(message.direction, dict(message.body), at)
        ends.append(state_in(copied))
    return ends[0], ends[1]


@pytest.mark.parametrize(
    "name",
    [
        "no chat yet",
        "closed by agent_done",
        "with_agent, customer wrote",
        "queued, customer never wrote, resumed",
    ],
)
def test_the_naive_model_ends_every_pair_the_same_way(name: str) -> None:
    ground = Ground()
    (situation,) = named(ground, name)
    chats = replayed(ground, situation)
    assert state_in(chats) == situation.place.state
    differ = 0
    for trial in trials(ground, situation):
        ends = ends_in(chats, trial)
        assert ends == trial.ends, trial.words()
        differ += ends[0] != ends[1]
    assert differ == sum(counts_of(edges_of(name)).values())


# --- any moments, any policy ---------------------------------------------------------------------

POLICIES: Final = tuple(
    Durations(
        unload_grace=timedelta(seconds=grace),
        idle_timeout=None if idle is None else timedelta(seconds=idle),
        linger=timedelta(seconds=linger),
    )
    for grace, idle, linger in (
        (60, 1800, 1800),
        (60, 600, 3600),
        (60, 1800, 30),
        (600, 60, 100),
        (1000, 50, 5000),
        (60, None, 1800),
    )
)


@cache
def settled(durations: Durations) -> tuple[Ground, Sequence[Situation]]:
    ground = Ground(durations)
    return ground, situations(ground)


def tried(
    ground: Ground, situation: Situation, pair: tuple[int, int], moments: tuple[datetime, datetime]
) -> Trial:
    """One pair at any two moments, in both orders."""
    inbound, outbound = INBOUND[pair[0]], OUTBOUND[pair[1]]
    first = ground.read(situation.place, inbound, moments[0])
    other = ground.read(situation.place, outbound, moments[1])
    return Trial(
        situation,
        inbound,
        outbound,
        moments,
        (first, ground.read(first.place, outbound, moments[1])),
        (other, ground.read(other.place, inbound, moments[0])),
    )


MOMENTS = st.tuples(
    st.integers(0, 6),
    st.one_of(st.sampled_from((-1, 0, 1)), st.integers(-10_000_000, 10_000_000)),
)
"""Which border, and how many milliseconds from it."""


@given(
    st.sampled_from(POLICIES),
    st.integers(0, 91),
    st.tuples(st.integers(0, 6), st.integers(0, 11)),
    MOMENTS,
    st.one_of(MOMENTS, st.sampled_from((-1, 0, 1))),
)
def test_at_any_moments_and_under_any_policy_a_pair_ends_differently_only_where_declared(
    durations: Durations,
    number: int,
    pair: tuple[int, int],
    moment: tuple[int, int],
    other: tuple[int, int] | int,
) -> None:
    ground, found = settled(durations)
    situation = found[number % len(found)]
    spans = ground.spans(situation.place)

    def at(border: int, distance: int) -> datetime:
        return spans[border % len(spans)] + timedelta(milliseconds=distance)

    inbound_at = at(*moment)
    near = timedelta(milliseconds=other) if isinstance(other, int) else timedelta()
    outbound_at = inbound_at + near if isinstance(other, int) else at(*other)
    trial = tried(ground, situation, pair, (inbound_at, outbound_at))
    the_pair = trial.pair(ground)
    if inside(the_pair):
        assert trial.same_state, trial.words()
        assert trial.closes or trial.same_chats, trial.words()
    assert len(covering(the_pair)) == (not trial.same_state), trial.words()


@pytest.mark.parametrize("durations", POLICIES[1:3], ids=["long linger", "short linger"])
def test_under_another_policy_the_law_and_its_exceptions_are_the_same(
    durations: Durations,
) -> None:
    ground, found = settled(durations)
    chosen = [one for one in found if one.live is None or one.closed is None]
    the_law, edges = law_and_edges(ground, chosen)
    assert the_law.ok
    gone = "no pair is of the declared exception 'two chats back': it no longer exists"
    assert edges.problems == (gone,), "which needs a chat before the live one"


def test_where_no_deadline_is_there_is_nothing_past_it() -> None:
    ground, found = settled(POLICIES[-1])
    assert all(proof(ground, found).ok for proof in (steps.step, steps.final, steps.facts))
    chosen = [one for one in found if one.name in ("no chat yet", "bot, customer wrote")]
    _, edges = law_and_edges(ground, chosen)
    assert set(counts_of(edges)) == {
        "client_left, around the opening by the other side",
        "client_left, and linger over",
    }


# --- it fails where it should --------------------------------------------------------------------

FEW = (
    "no chat yet",
    "with_agent, customer wrote",
    "closed by the customer",
    "closed by agent_done",
    "closed by the clock (idle), kept with_agent, customer wrote",
    "bot, customer wrote, opened soon after a chat closed by agent_done",
)


@pytest.fixture(scope="module")
def few() -> Sequence[tuple[Trial, Pair]]:
    """All pairs in a few situations; every exception occurs among them."""
    ground = Ground()
    return [
        (trial, trial.pair(ground)) for one in named(ground, *FEW) for trial in trials(ground, one)
    ]


def taken(few: Sequence[tuple[Trial, Pair]]) -> Check:
    """The proof at the edges, of these."""
    tally = orders._Tally()
    for trial, pair in few:
        tally.take(trial, pair)
    return tally.edges([])


def test_every_exception_occurs_in_these(few: Sequence[tuple[Trial, Pair]]) -> None:
    found = taken(few)
    assert found.ok
    assert found.count == len(few) - sum(inside(pair) for _, pair in few)
    assert set(counts_of(found)) == {edge.name for edge in EDGES}


@pytest.mark.parametrize("edge", EDGES, ids=[edge.name.replace(",", "") for edge in EDGES])
def test_an_exception_that_is_not_declared_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, Pair]], edge: Edge
) -> None:
    count = counts_of(taken(few))[edge.name]
    monkeypatch.setattr(orders, "EDGES", [one for one in EDGES if one is not edge])
    problems = taken(few).problems
    assert len(problems) == count
    assert all(problem.endswith(": no exception is declared for that") for problem in problems)
    differing = Counter(problem.split(" and ")[0] for problem in problems)
    assert set(differing) <= edge.inbound


def test_an_exception_that_no_longer_exists_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, Pair]]
) -> None:
    typing = frozenset({Trigger.TYPING})
    gone = Edge("a ghost", "There was one.", typing, typing, lambda _: True)
    never = evolve(gone, name="never", outbound=EDGES[0].outbound, covers=lambda _: False)
    monkeypatch.setattr(orders, "EDGES", (*EDGES, gone, never))
    assert taken(few).problems == (
        "no pair is of the declared exception 'a ghost': it no longer exists",
        "no pair is of the declared exception 'never': it no longer exists",
    )


def test_an_exception_that_says_too_much_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, Pair]]
) -> None:
    first, *others = EDGES
    wide = evolve(first, covers=lambda pair: pair.same_instant)
    monkeypatch.setattr(orders, "EDGES", (wide, *others))
    problems = taken(few).problems
    assert (
        "customer_text and agent_done, received at the same instant, in: no chat yet. "
        "customer_text read first ends in bot, agent_done first in bot: "
        "the exception 'the last word, at the same instant' says that they differ"
    ) in problems


def test_two_exceptions_for_one_pair_fail(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, Pair]]
) -> None:
    again = evolve(EDGES[0], name="once more")
    monkeypatch.setattr(orders, "EDGES", (*EDGES, again))
    problems = taken(few).problems
    assert len(problems) == counts_of(taken(few))[again.name]
    words = ": of two exceptions, 'the last word, at the same instant' and 'once more'"
    assert all(problem.endswith(words) for problem in problems)


@pytest.mark.parametrize(
    ("trigger", "rules", "problem"),
    [
        pytest.param(
            Trigger.BOT_TEXT,
            (Rule.OPENS, Rule.LINGERS, Rule.OPENS, Rule.LINGERS),
            "heartbeat and bot_text, received at the same instant, in: closed by agent_done. "
            "heartbeat read first ends in bot, bot_text first in bot: the exception "
            "'lingering, while the customer opens the next chat' says that they differ",
            id="a goodbye opens",
        ),
        pytest.param(
            Trigger.UNATTRIBUTED_TEXT,
            (Rule.OPENS, Rule.LATE, Rule.LATE, Rule.LATE),
            "client_left and unattributed_text, received at the same instant, in: no chat yet. "
            "client_left read first ends in open, unattributed_text first in closed: "
            "no exception is declared for that",
            id="nobody in particular opens",
        ),
    ],
)
def test_another_rule_of_ownership_fails(
    monkeypatch: pytest.MonkeyPatch,
    trigger: Trigger,
    rules: tuple[Rule, Rule, Rule, Rule],
    problem: str,
) -> None:
    monkeypatch.setattr("sermo_fsm.core.ownership.RULES", {**RULES, trigger: rules})
    found = edges_of("no chat yet", "closed by agent_done")
    assert problem in words_of(found)


def test_a_deadline_that_comes_too_late_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sermo_fsm.core.advance.overdue",
        lambda live, direction, at: direction == "inbound" and at > live.expires_at,
    )
    found = edges_of("with_agent, customer wrote")
    assert (
        "messages_read and bot_text, messages_read received first, in: with_agent, customer wrote. "
        "messages_read read first ends in with_agent, bot_text first in with_agent: the exception "
        "'past the deadline, and linger over' says that they differ"
    ) in found.problems


def test_an_outbound_event_that_applies_a_deadline_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sermo_fsm.core.advance.overdue", lambda live, _direction, at: at >= live.expires_at
    )
    ground = Ground()
    among = named(ground, "bot, customer wrote")
    found = orders.law_and_edges(ground, among)
    assert "no exception is declared" in words_of(found[1]) + words_of(found[0])
    assert among[0].place.state is State.BOT
