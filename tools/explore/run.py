"""Explored rather than argued: every stream, every way through it, by the real engine.

What a reader of the two queues may meet is tried, all of it: every interleaving, messages that
come once more, a crash between any two commits, a sweep wherever one has something to close. The
ways are more than anybody could go, but the databases that they lead to are few: what the engine
can't tell apart is gone on from once.

A sweep goes no further than the inbound queue is read, for that is its contract. So it leaves no
trace for the customer: their next message leads to the same database as without it. To a message
on the other queue it may matter whether the chat is closed by then, as it does when the customer's
next message is read first; that is an edge like any other. At the end all is swept, up to the
moment when the last message was received: what is past its deadline is over, noticed or not.
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
from tools.explore.edges import REASONS, Edge
from tools.explore.graph import BACK, Graph
from tools.explore.sandbox import Door, Scratch
from tools.explore.space import Fault, Node, Space
from tools.explore.streams import Stream

__all__ = ["Explored", "explore", "in_words", "interleavings", "real_engine", "schedules"]

_MOST_PROBLEMS: Final = 10
_NOT_MET: Final = "is declared as an edge, and nothing depends on it"
_READABLE: Final = 12


@frozen(kw_only=True)
class Explored(Check):
    """What was found; ``count`` is how often the engine was run.

    Attributes:
        streams: How many streams were explored.
        databases: How many databases there were that the engine can tell apart.
        interleavings: In how many orders the queues can be read.
        schedules: The same, with each message delivered once or twice.
        power_cuts: How many of the crashes were tried on a file, around a commit.
        swept: In how many of the databases a sweep found a chat to close.
        ends: How many streams end in which states of the user's current chat.
        ways: How the chats were closed, and in how many databases at the end of a stream.
        forks: At which edge of a chat the order of reading mattered, between which, how often.
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


def real_engine(database: sa.Engine) -> ChatEngine:
    """The engine as hosts have it; but nothing is tried twice, for nobody else is there."""
    return ChatEngine(database, attempts=1)


def interleavings(lengths: Sequence[int]) -> int:
    """In how many orders queues of these lengths can be read."""
    return _shuffles([Counter({length: 1}) for length in lengths])


def schedules(lengths: Sequence[int], back: int = BACK) -> int:
    """In how many, where each message comes once, or once more while it is among the last *back*.

    They are counted, not gone one by one: a redelivery that changes nothing can stand anywhere.
    """
    return _shuffles([_sequences(length, back) for length in lengths])


def _shuffles(queues: Iterable[Counter[int]]) -> int:
    """In how many orders one sequence of each can be read; they are counted by their length."""
    whole = Counter({0: 1})
    for queue in queues:
        longer = Counter[int]()
        for (size, ways), (length, sequences) in product(whole.items(), queue.items()):
            longer[size + length] += ways * sequences * comb(size + length, length)
        whole = longer
    return whole.total()


def _sequences(length: int, back: int) -> Counter[int]:
    """How many deliveries of one queue there are, by their number."""
    found = Counter[int]()
    # How many were read, and which of the last ones came once more; the youngest is the lowest bit.
    now = Counter({(0, 0): 1})
    size = 0
    while now:
        following = Counter[tuple[int, int]]()
        for (read, again), ways in now.items():
            if read == length:
                found[size] += ways
            else:
                following[read + 1, again << 1 & (1 << back) - 1] += ways
            for bit in range(min(read, back)):
                if not again >> bit & 1:
                    following[read, again | 1 << bit] += ways
        now = following
        size += 1
    return found


def explore(
    name: str,
    streams: Iterable[Stream],
    *,
    door: Door = real_engine,
    tell: Callable[[int], object] = lambda _: None,
    wanted: Iterable[Edge] = (),
) -> Explored:
    """Go every way through these streams; *tell* hears how often the engine has run by now.

    A stream may end in more states than one only where the order was decisive at an edge that is
    declared in :mod:`tools.explore.edges`. Those edges that are *wanted* have to be met.
    """
    with closing(Scratch(door)) as scratch:
        found = _Found(Space.of(scratch, tell))
        for stream in streams:
            found.add(stream)
        edges = found.edges()
        found.problems += [f"{edge}: {_NOT_MET}" for edge in wanted if edge not in edges]
        return found.check(name)


@define
class _Found:
    space: Space
    streams: int = 0
    interleavings: int = 0
    schedules: int = 0
    ends: Counter[str] = field(factory=Counter)
    ways: Counter[str] = field(factory=Counter)
    forks: Counter[str] = field(factory=Counter)
    problems: list[str] = field(factory=list)

    def add(self, stream: Stream) -> None:
        self.streams += 1
        lengths = [len(queue) for queue in stream.queues]
        self.interleavings += interleavings(lengths)
        self.schedules += schedules(lengths)
        try:
            graph = Graph.of(stream, self.space)
        except Fault as fault:
            self._complain(stream, str(fault))
            return
        lasts = [graph.node(place) for place in graph.lasts]
        self.ends[" or ".join(sorted({node.end for node in lasts}))] += 1
        self.ways.update(map(_way, lasts))
        for place, fork, ends in graph.forks():
            self.forks[str(fork)] += 1
            if fork.edge not in REASONS:
                one = f"then {fork.words}"
                other = f"but {fork.other} first" if fork.other else "but nothing more"
                steps = [*graph.way_to(place), f"{one}: ends in {ends[0]}"]
                self._complain(stream, "; ".join([*steps, f"{other}: ends in {ends[1]}"]))

    def _complain(self, stream: Stream, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{stream.name}: {problem}")

    def edges(self) -> Counter[str]:
        """At which edges the order was decisive, and how often."""
        edges = Counter[str]()
        for fork, times in self.forks.items():
            edges[fork.partition(":")[0]] += times
        return edges

    def check(self, name: str) -> Explored:
        return Explored(
            name=name,
            count=self.space.executions,
            summary=self._summary(),
            problems=tuple(self.problems),
            findings=tuple(
                Finding(edge, times, REASONS[Edge(edge)])
                for edge, times in self.edges().most_common()
                if edge in REASONS
            ),
            streams=self.streams,
            databases=len(self.space.nodes),
            interleavings=self.interleavings,
            schedules=self.schedules,
            power_cuts=self.space.cuts,
            swept=self.space.swept,
            ends=dict(self.ends.most_common()),
            ways=dict(self.ways.most_common()),
            forks=dict(self.forks.most_common()),
        )

    def _summary(self) -> str:
        many = f"{self.streams} streams, " if self.streams > 1 else ""
        if not self.ends:
            return f"{many}{len(self.space.nodes)} databases, and then it went wrong"
        return (
            f"{many}{in_words(self.interleavings)} interleavings, {in_words(self.schedules)} with "
            f"each message once or twice, a crash between any two commits, a sweep past any "
            f"deadline; {len(self.space.nodes)} databases, {self.space.swept} of them swept; "
            f"{self._end()}; nothing lost, nothing done twice"
        )

    def _end(self) -> str:
        """Where it ends, and where the order of reading decides that."""
        if len(self.ends) == 1 and not self.forks:
            return f"always ends in {next(iter(self.ends))}"
        single = sum(streams for end, streams in self.ends.items() if " or " not in end)
        where = ", ".join(f"{times} at {edge}" for edge, times in self.edges().most_common())
        return f"{single} always end in one state, {self.streams - single} in several ({where})"


def _way(node: Node) -> str:
    """How the chats of a user were closed, one after the other."""
    if not node.chats:
        return "nobody"
    return ", ".join(
        f"{chat.state} by {chat.close_reason}" if chat.close_reason else chat.state
        for chat in node.chats
    )


def in_words(number: int) -> str:
    """A number that people can read: those with many digits only roughly."""
    digits = f"{number}"
    if len(digits) <= _READABLE:
        return f"{number:,}".replace(",", " ")
    return f"{digits[0]}.{digits[1]} × 10^{len(digits) - 1}"
