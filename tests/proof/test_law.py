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
from sermo_fsm.proof import orders
from sermo_fsm.proof import run as check
from sermo_fsm.proof.event_pair import OPENS, RETURNS, EventPair, law_applies
from sermo_fsm.proof.law import DECLARED_EXCEPTIONS, DeclaredException
from sermo_fsm.proof.orders import law_and_edges
from sermo_fsm.proof.report import Check
from sermo_fsm.proof.situation_classes import INBOUND, OUTBOUND, Simulator, SituationClass
from sermo_fsm.proof.situations import Situation, find_situations
from sermo_fsm.proof.trials import Trial, trials
from sermo_fsm.protocol.events import Trigger
from tests.naive_model import NaiveChats
from tools.explore.edges import ChatEdge, edge_between
from tools.explore.sandbox import SessionRecord
from tools.explore.space import DatabaseState


def named(simulator: Simulator, *names: str) -> list[Situation]:
    found = {one.name: one for one in find_situations(simulator)}
    return [found[name] for name in names]


def covering(pair: EventPair) -> list[str]:
    """The exceptions that say of this pair that it ends differently."""
    return [
        edge.name
        for edge in DECLARED_EXCEPTIONS
        if pair.inbound in edge.inbound and pair.outbound in edge.outbound and edge.covers(pair)
    ]


def edges_of(*names: str) -> Check:
    """The proof at the edges, in a few situations."""
    simulator = Simulator()
    return law_and_edges(simulator, named(simulator, *names))[1]


def words_of(found: Check) -> str:
    return "\n".join(found.problems)


def counts_of(found: Check) -> dict[str, int]:
    return {finding.name: finding.count for finding in found.findings if finding.count}


# --- what is declared ----------------------------------------------------------------------------


def test_every_exception_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({edge.name for edge in DECLARED_EXCEPTIONS}) == len(DECLARED_EXCEPTIONS)
    for edge in DECLARED_EXCEPTIONS:
        assert edge.reason.endswith(".")
        assert edge.inbound <= {message.trigger for message in INBOUND}
        assert edge.outbound <= {message.trigger for message in OUTBOUND}


def test_what_opens_in_the_exceptions_is_what_opens_by_the_rules_of_ownership() -> None:
    opens = {trigger for trigger, rules in RULES.items() if rules[0] is Rule.OPENS}
    assert opens == RETURNS | OPENS


def node_at(situation_class: SituationClass) -> DatabaseState:
    """These chats as those who explore streams see them."""
    visits = situation_class.visits
    chats = [
        SessionRecord(
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
    return DatabaseState(0, tuple(chats), frozenset(), (), b"")


def test_every_exception_lies_at_an_edge_that_exploring_knows(
    few: Sequence[tuple[Trial, EventPair]],
) -> None:
    lie: dict[str, set[ChatEdge | None]] = {edge.name: set() for edge in DECLARED_EXCEPTIONS}
    for trial, pair in few:
        for name in covering(pair):
            after = (*trial.inbound_first, *trial.outbound_first)
            nodes = [node_at(reading.reached) for reading in after]
            lie[name].add(edge_between(node_at(trial.situation.situation_class), nodes))
    assert lie == {
        "the last word, at the same instant or before the opening": {ChatEdge.CLOSE},
        "agent_done or end_session, while the customer comes back": {
            ChatEdge.DEADLINE,
            ChatEdge.AFTER_CLOSE,
        },
        "client_left, around the opening by the other side": {
            ChatEdge.OPENING,
            ChatEdge.AFTER_CLOSE,
        },
        # Both are from before the live chat: no queue has them, if it keeps the order of receiving.
        "client_left, after agent_done": {ChatEdge.AFTER_CLOSE, None},
        "client_left, and linger over": {ChatEdge.CLOSE},
        "past the deadline, and linger over": {ChatEdge.DEADLINE},
        "past the deadline of the chat that the other side opens": {
            ChatEdge.OPENING,
            ChatEdge.AFTER_CLOSE,
        },
        "lingering, while the customer opens the next chat": {ChatEdge.AFTER_CLOSE},
        "resumed or opened": {ChatEdge.AFTER_CLOSE},
        "two chats back": {ChatEdge.DEADLINE},
    }


# --- counted by hand -----------------------------------------------------------------------------


def test_with_no_chat_yet_all_can_be_counted_by_hand() -> None:
    # Seven outbound triggers open a chat. Either event is received first, or both at once: 3 cases.
    # client_left goes with them also at every other distance that could matter: linger before;
    # idle, and idle + linger after, each with the outbound event where it is linger later, and the
    # last with one idle before it: 7 cases. Whenever that is, only what is read last closes.
    around = 7 * (3 + 7)
    # messages_read, client_unload and unknown open nothing. They end the chat when they come idle
    # or idle + linger after its opening, or idle after one that was received linger later.
    no_return = 3 * 7 * 3
    # heartbeat, typing and start open the next chat where that one can not be resumed any more, and
    # each of the seven moves it; from the bot, to which a customer's text leads, only five of them.
    returns = 3 * 7 + 1 * 5
    assert counts_of(edges_of("no chat yet")) == {
        "client_left, around the opening by the other side": around,
        "past the deadline of the chat that the other side opens": no_return + returns,
    }


# --- the same from another model -----------------------------------------------------------------


def replayed(simulator: Simulator, situation: Situation) -> NaiveChats:
    """The naive model, brought to this situation by the same events."""
    durations = simulator.durations
    chats = NaiveChats(
        unload_grace=durations.unload_grace,
        idle_timeout=durations.idle_timeout,
        linger=durations.linger,
    )
    for message, at in situation.path:
        if message is None:
            chats.close("web", "u-1", at)
        else:
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


@pytest.mark.prove
@pytest.mark.parametrize(
    "name",
    [
        "no chat yet",
        "closed by agent_done",
        "with_agent, customer wrote",
        "queued, customer never wrote, resumed",
        "with_agent, customer wrote before the opening",
        "with_agent, customer wrote before the opening, resumed",
        "closed by end_session",
        "closed by operator, and customer left",
    ],
)
def test_the_naive_model_ends_every_pair_the_same_way(name: str) -> None:
    simulator = Simulator()
    (situation,) = named(simulator, name)
    chats = replayed(simulator, situation)
    assert state_in(chats) == situation.situation_class.state
    differ = 0
    for trial in trials(simulator, situation):
        ends = ends_in(chats, trial)
        assert ends == trial.ends, trial.describe()
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
def settled(durations: Durations) -> tuple[Simulator, Sequence[Situation]]:
    simulator = Simulator(durations)
    return simulator, find_situations(simulator)


def tried(
    simulator: Simulator,
    situation: Situation,
    pair: tuple[int, int],
    moments: tuple[datetime, datetime],
) -> Trial:
    """One pair at any two moments, in both orders."""
    inbound, outbound = INBOUND[pair[0]], OUTBOUND[pair[1]]
    first = simulator.read(situation.situation_class, inbound, moments[0])
    other = simulator.read(situation.situation_class, outbound, moments[1])
    return Trial(
        situation,
        inbound,
        outbound,
        moments,
        (first, simulator.read(first.reached, outbound, moments[1])),
        (other, simulator.read(other.reached, inbound, moments[0])),
    )


MOMENTS = st.tuples(
    st.integers(0, 8),
    st.one_of(st.sampled_from((-1, 0, 1)), st.integers(-10_000_000, 10_000_000)),
)
"""Which border, and how many milliseconds from it."""


@given(
    st.sampled_from(POLICIES),
    st.integers(0, 104),
    st.tuples(st.integers(0, 7), st.integers(0, 15)),
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
    simulator, found = settled(durations)
    situation = found[number % len(found)]
    spans = simulator.span_starts(situation.situation_class)

    def at(border: int, distance: int) -> datetime:
        return spans[border % len(spans)] + timedelta(milliseconds=distance)

    inbound_at = at(*moment)
    near = timedelta(milliseconds=other) if isinstance(other, int) else timedelta()
    outbound_at = inbound_at + near if isinstance(other, int) else at(*other)
    trial = tried(simulator, situation, pair, (inbound_at, outbound_at))
    the_pair = trial.pair(simulator)
    if law_applies(the_pair):
        assert trial.same_state, trial.describe()
        assert trial.closes or trial.same_chats, trial.describe()
    assert len(covering(the_pair)) == (not trial.same_state), trial.describe()


@pytest.mark.prove
@pytest.mark.parametrize("durations", POLICIES[1:3], ids=["long linger", "short linger"])
def test_under_another_policy_the_law_and_its_exceptions_are_the_same(
    durations: Durations,
) -> None:
    simulator, found = settled(durations)
    chosen = [one for one in found if one.live is None or one.closed is None]
    the_law, edges = law_and_edges(simulator, chosen)
    assert the_law.ok
    gone = "no pair is of the declared exception 'two chats back': it no longer exists"
    assert edges.problems == (gone,), "which needs a chat before the live one"


def test_where_no_deadline_is_there_is_nothing_past_it() -> None:
    simulator, found = settled(POLICIES[-1])
    assert all(proof(simulator, found).ok for proof in check._STEP_PROOFS)
    chosen = [one for one in found if one.name in ("no chat yet", "bot, customer wrote")]
    _, edges = law_and_edges(simulator, chosen)
    assert set(counts_of(edges)) == {
        "client_left, around the opening by the other side",
        "client_left, and linger over",
    }


# --- it fails where it should --------------------------------------------------------------------

FEW = (
    "no chat yet",
    "with_agent, customer never wrote",
    "closed by end_session",
    "closed by agent_done",
    "closed by the clock (idle), kept with_agent, customer wrote",
    "bot, customer wrote, opened soon after a chat closed by agent_done",
)


@pytest.fixture(scope="module")
def few() -> Sequence[tuple[Trial, EventPair]]:
    """All pairs in a few situations; every exception occurs among them."""
    simulator = Simulator()
    return [
        (trial, trial.pair(simulator))
        for one in named(simulator, *FEW)
        for trial in trials(simulator, one)
    ]


def taken(few: Sequence[tuple[Trial, EventPair]]) -> Check:
    """The proof at the edges, of these."""
    tally = orders._LawTally()
    for trial, pair in few:
        tally.add(trial, pair)
    return tally.edges([])


def test_every_exception_occurs_in_these(few: Sequence[tuple[Trial, EventPair]]) -> None:
    found = taken(few)
    assert found.ok
    assert found.count == len(few) - sum(law_applies(pair) for _, pair in few)
    assert set(counts_of(found)) == {edge.name for edge in DECLARED_EXCEPTIONS}


@pytest.mark.parametrize(
    "edge", DECLARED_EXCEPTIONS, ids=[edge.name.replace(",", "") for edge in DECLARED_EXCEPTIONS]
)
def test_an_exception_that_is_not_declared_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, EventPair]], edge: DeclaredException
) -> None:
    count = counts_of(taken(few))[edge.name]
    monkeypatch.setattr(
        orders, "DECLARED_EXCEPTIONS", [one for one in DECLARED_EXCEPTIONS if one is not edge]
    )
    problems = taken(few).problems
    assert len(problems) == count
    assert all(problem.endswith(": no exception is declared for that") for problem in problems)
    differing = Counter(problem.split(" and ")[0] for problem in problems)
    assert set(differing) <= edge.inbound


def test_an_exception_that_no_longer_exists_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, EventPair]]
) -> None:
    typing = frozenset({Trigger.TYPING})
    gone = DeclaredException("a ghost", "There was one.", typing, typing, lambda _: True)
    never = evolve(
        gone, name="never", outbound=DECLARED_EXCEPTIONS[0].outbound, covers=lambda _: False
    )
    monkeypatch.setattr(orders, "DECLARED_EXCEPTIONS", (*DECLARED_EXCEPTIONS, gone, never))
    assert taken(few).problems == (
        "no pair is of the declared exception 'a ghost': it no longer exists",
        "no pair is of the declared exception 'never': it no longer exists",
    )


def test_an_exception_that_says_too_much_fails(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, EventPair]]
) -> None:
    first, *others = DECLARED_EXCEPTIONS
    wide = evolve(first, covers=lambda pair: pair.same_instant)
    monkeypatch.setattr(orders, "DECLARED_EXCEPTIONS", (wide, *others))
    problems = taken(few).problems
    assert (
        "customer_text and agent_done, received at the same instant, in: no chat yet. "
        "customer_text read first ends in bot, agent_done first in bot: "
        "the exception 'the last word, at the same instant or before the opening' says that they "
        "differ"
    ) in problems


def test_two_exceptions_for_one_pair_fail(
    monkeypatch: pytest.MonkeyPatch, few: Sequence[tuple[Trial, EventPair]]
) -> None:
    again = evolve(DECLARED_EXCEPTIONS[0], name="once more")
    monkeypatch.setattr(orders, "DECLARED_EXCEPTIONS", (*DECLARED_EXCEPTIONS, again))
    problems = taken(few).problems
    assert len(problems) == counts_of(taken(few))[again.name]
    both = "'the last word, at the same instant or before the opening' and 'once more'"
    words = f": of two exceptions, {both}"
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
    simulator = Simulator()
    among = named(simulator, "bot, customer wrote")
    found = orders.law_and_edges(simulator, among)
    assert "no exception is declared" in words_of(found[1]) + words_of(found[0])
    assert among[0].situation_class.state is State.BOT
