"""Explore streams: take every path through each of them, with the real engine.

Everything that a reader of the queues may meet is tried: every interleaving, redelivered messages,
a crash between any two commits, a sweep wherever it has something to close. There are far too many
paths to take one by one, but they lead to few databases. From databases that the engine cannot tell
apart, exploring continues once.

A sweep goes no further than the inbound queue is read, for that is its contract. So it leaves no
trace for the customer: their next message leads to the same database as without it. For a message
on another queue it may matter whether the chat is closed by then, as it does if the customer's next
message is read first. That is an edge like any other. At the end of a stream everything is swept,
up to the receive time of the last message: a chat past its deadline is over, noticed or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import product
from math import comb
from typing import ClassVar, Final

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.engine import ChatEngine
from sermo_fsm.proof.report import Check, Finding
from tools.explore.edges import REASONS, ChatEdge
from tools.explore.graph import PREFETCH, Graph
from tools.explore.sandbox import EngineFactory, Sandbox
from tools.explore.space import DatabaseState, StateSpace, Violation
from tools.explore.streams import Stream

__all__ = ["Exploration", "explore", "format_count", "interleavings", "real_engine", "schedules"]

_MAX_PROBLEMS: Final = 10
_NOT_MET: Final = "is declared as an edge, and nothing depends on it"
_EXACT_DIGITS: Final = 12


@frozen(kw_only=True)
class Exploration(Check):
    """The result of exploring; ``count`` is the number of times the engine was run.

    Attributes:
        streams: The number of streams explored.
        databases: The number of databases that the engine can tell apart.
        interleavings: The number of orders in which the queues can be read.
        schedules: The same, with each message delivered once or twice.
        power_cuts: The number of crashes tried on a file, around a commit.
        swept: The number of databases in which a sweep found a chat to close.
        ends: The number of streams by the states in which the user's current chat can end.
        ways: The number of databases at the end of a stream by how their chats were closed.
        forks: The number of times the order of reading mattered, by edge and two triggers.
    """

    unit: ClassVar[str] = "execution"

    streams: int
    databases: int
    interleavings: int
    schedules: int
    power_cuts: int
    swept: int
    ends: Mapping[str, int]
    ways: Mapping[str, int]
    forks: Mapping[str, int]


def real_engine(database: sa.Engine, platform_id: str | None = None) -> ChatEngine:
    """The engine as hosts use it, without retries: there is no other writer."""
    return ChatEngine(database, attempts=1, platform_id=platform_id)


def interleavings(lengths: Sequence[int]) -> int:
    """The number of orders in which queues of these lengths can be read."""
    return _shuffles([Counter({length: 1}) for length in lengths])


def schedules(lengths: Sequence[int], prefetch: int = PREFETCH) -> int:
    """The same, with each message delivered once or twice.

    The second delivery comes while the message is among the last *prefetch* of its queue. Schedules
    are counted, not tried one by one: most redeliveries change nothing, wherever they come.
    """
    return _shuffles([_sequences(length, prefetch) for length in lengths])


def _shuffles(queues: Iterable[Counter[int]]) -> int:
    """The number of ways to shuffle one sequence of each queue, given their number by length."""
    whole = Counter({0: 1})
    for queue in queues:
        longer = Counter[int]()
        for (size, ways), (length, sequences) in product(whole.items(), queue.items()):
            longer[size + length] += ways * sequences * comb(size + length, length)
        whole = longer
    return whole.total()


def _sequences(length: int, prefetch: int) -> Counter[int]:
    """The number of sequences in which one queue can deliver its messages, by their length."""
    found = Counter[int]()
    # How many were read, and which of the last were redelivered; the lowest bit is the latest.
    now = Counter({(0, 0): 1})
    size = 0
    while now:
        following = Counter[tuple[int, int]]()
        for (read, redelivered), ways in now.items():
            if read == length:
                found[size] += ways
            else:
                following[read + 1, redelivered << 1 & (1 << prefetch) - 1] += ways
            for bit in range(min(read, prefetch)):
                if not redelivered >> bit & 1:
                    following[read, redelivered | 1 << bit] += ways
        now = following
        size += 1
    return found


def explore(
    name: str,
    streams: Iterable[Stream],
    *,
    engine_factory: EngineFactory = real_engine,
    on_execution: Callable[[int], object] = lambda _: None,
    expected_edges: Iterable[ChatEdge] = (),
) -> Exploration:
    """Take every path through these streams.

    A stream may end in several states only if the order was decisive at an edge that is declared in
    :mod:`tools.explore.edges`.

    Args:
        name: The name of the check.
        streams: The streams to explore.
        engine_factory: Makes the engine to explore.
        on_execution: Called with the number of times the engine has been run.
        expected_edges: Edges at which the order has to be decisive at least once.
    """
    with closing(Sandbox(engine_factory)) as sandbox:
        tally = _ExplorationTally(StateSpace.of(sandbox, on_execution))
        for stream in streams:
            tally.add(stream)
        edges = tally.edges()
        tally.problems += [f"{edge}: {_NOT_MET}" for edge in expected_edges if edge not in edges]
        return tally.check(name)


@define
class _ExplorationTally:
    """The counts and problems so far."""

    space: StateSpace
    streams: int = 0
    interleavings: int = 0
    schedules: int = 0
    ends: Counter[str] = field(factory=Counter)
    ways: Counter[str] = field(factory=Counter)
    forks: Counter[str] = field(factory=Counter)
    problems: list[str] = field(factory=list)

    def add(self, stream: Stream) -> None:
        """Explore one stream."""
        self.streams += 1
        lengths = [len(queue) for queue in stream.queues]
        self.interleavings += interleavings(lengths)
        self.schedules += schedules(lengths)
        try:
            graph = Graph.of(stream, self.space)
        except Violation as violation:
            self._add_problem(stream, str(violation))
            return
        finals = [graph.state_at(position) for position in graph.final_positions]
        self.ends[" or ".join(sorted({state.end for state in finals}))] += 1
        self.ways.update(map(_describe_chats, finals))
        for position, fork, ends in graph.forks():
            self.forks[str(fork)] += 1
            if fork.edge not in REASONS:
                one = f"then {fork.describe_one()}"
                other = f"but {fork.other} first" if fork.other else "but nothing more"
                path = [*graph.path_to(position), f"{one}: ends in {ends[0]}"]
                self._add_problem(stream, "; ".join([*path, f"{other}: ends in {ends[1]}"]))

    def _add_problem(self, stream: Stream, problem: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"{stream.name}: {problem}")

    def edges(self) -> Counter[str]:
        """The number of times the order was decisive, by edge."""
        edges = Counter[str]()
        for fork, times in self.forks.items():
            edges[fork.partition(":")[0]] += times
        return edges

    def check(self, name: str) -> Exploration:
        """The result."""
        return Exploration(
            name=name,
            count=self.space.executions,
            summary=self._summary(),
            problems=tuple(self.problems),
            findings=tuple(
                Finding(edge, times, REASONS[ChatEdge(edge)])
                for edge, times in self.edges().most_common()
                if edge in REASONS
            ),
            streams=self.streams,
            databases=len(self.space.states),
            interleavings=self.interleavings,
            schedules=self.schedules,
            power_cuts=self.space.power_cuts,
            swept=self.space.swept,
            ends=dict(self.ends.most_common()),
            ways=dict(self.ways.most_common()),
            forks=dict(self.forks.most_common()),
        )

    def _summary(self) -> str:
        many = f"{self.streams} streams, " if self.streams > 1 else ""
        if not self.ends:
            return f"{many}{len(self.space.states)} databases, and then it went wrong"
        return (
            f"{many}{format_count(self.interleavings)} interleavings, "
            f"{format_count(self.schedules)} with each message once or twice, a crash between any "
            f"two commits, a sweep past any deadline; {len(self.space.states)} databases, "
            f"{self.space.swept} of them swept; {self._end()}; nothing lost, nothing done twice"
        )

    def _end(self) -> str:
        """Where the streams end, and at which edges the order of reading decides that."""
        if len(self.ends) == 1 and not self.forks:
            return f"always ends in {next(iter(self.ends))}"
        single = sum(streams for end, streams in self.ends.items() if " or " not in end)
        edges = ", ".join(f"{times} at {edge}" for edge, times in self.edges().most_common())
        return f"{single} always end in one state, {self.streams - single} in several ({edges})"


def _describe_chats(state: DatabaseState) -> str:
    """How the chats of the user were closed, one after the other."""
    if not state.chats:
        return "nobody"
    return ", ".join(
        f"{chat.state} by {chat.close_reason}" if chat.close_reason else chat.state
        for chat in state.chats
    )


def format_count(number: int) -> str:
    """A number for people: exact up to twelve digits, otherwise rounded down to two digits."""
    digits = f"{number}"
    if len(digits) <= _EXACT_DIGITS:
        return f"{number:,}".replace(",", " ")
    return f"{digits[0]}.{digits[1]} × 10^{len(digits) - 1}"
