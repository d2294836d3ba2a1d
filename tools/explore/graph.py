"""All the ways through one stream: every interleaving, redelivery and sweep, to every end."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from attrs import define, field

from sermo_fsm.protocol.events import Direction
from tools.explore.edges import Fork, edge_of
from tools.explore.space import Fault, Node, Space
from tools.explore.streams import Delivery, Step, Stream, Sweep

__all__ = ["BACK", "Graph", "Place"]

BACK: Final = 3
"""So many of each queue may come once more after a crash: a consumer had not acknowledged them."""

Place = tuple[tuple[int, ...], int]
"""How far each queue is read, and the number of the database that is there then."""

_Way = tuple[Step | None, Place, frozenset[str]]


@define
class Graph:
    """The places of one stream, and which step leads from which to which."""

    stream: Stream
    space: Space
    came: dict[Place, tuple[Place, Step] | None] = field(factory=dict)
    """From where each place was reached first, in as few steps as can be."""
    onward: dict[Place, list[tuple[Step, Place]]] = field(factory=dict)
    lasts: list[Place] = field(factory=list)
    """Where all queues are read out, and nothing is left to sweep."""

    @classmethod
    def of(cls, stream: Stream, space: Space) -> "Graph":
        """All of it, one message further at a time.

        Raises:
            Fault: A step must not be; says which, and the shortest way to it.
        """
        graph = cls(stream, space)
        start: Place = (0,) * len(stream.queues), 0
        graph.came[start] = None
        level = [start]
        while level:
            graph.lasts, level = level, graph._next(level)
        graph.lasts = [place for place in graph.lasts if not graph._overdue(place)]
        return graph

    def _next(self, level: list[Place]) -> list[Place]:
        """What lies one message further. *level* grows by where redeliveries and sweeps lead."""
        following: list[Place] = []
        for place in level:
            self.onward[place] = []
            for delivery, number in self._again(place):
                self._go(place, delivery, (place[0], number), level)
            swept = self._sweep(place, level)
            for further, delivery in self._reads(place[0]):
                number = self._read(place, delivery)
                self._go(place, delivery, (further, number), following)
                if delivery.direction is Direction.INBOUND and swept != place:
                    self._compare(swept, delivery, number)
        return following

    def _go(self, place: Place, step: Step, to: Place, waiting: list[Place]) -> None:
        self.onward[place].append((step, to))
        if to not in self.came:
            self.came[to] = place, step
            waiting.append(to)

    def _sweep(self, place: Place, level: list[Place]) -> Place:
        """Where a sweep leads, as far as it may go: as a rule nowhere."""
        sweep = Sweep(self.stream.up_to(place[0]))
        try:
            swept = place[0], self.space.sweep(place[1], sweep)
        except Fault as fault:
            raise Fault(f"{_numbered([*self.way_to(place), str(sweep)])}: {fault}") from fault
        if swept != place:
            self._go(place, sweep, swept, level)
        return swept

    def _overdue(self, place: Place) -> bool:
        """There is something to sweep."""
        return any(isinstance(step, Sweep) for step, _ in self.onward[place])

    def _compare(self, swept: Place, delivery: Delivery, number: int) -> None:
        """Raise where the customer's next message leads elsewhere for the sweep before it."""
        if self._read(swept, delivery) != number:
            way = _numbered([*self.way_to(swept), str(delivery)])
            raise Fault(f"{way}: without the sweep it leads elsewhere")

    def _reads(self, read: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Delivery]]:
        for number, queue in enumerate(self.stream.queues):
            if read[number] < len(queue):
                further = (*read[:number], read[number] + 1, *read[number + 1 :])
                yield further, queue[read[number]]

    def _again(self, place: Place) -> list[tuple[Delivery, int]]:
        """Where redeliveries lead, if elsewhere: of the last ones, and at the end of all."""
        done = list(zip(self.stream.queues, place[0], strict=True))
        at_end = all(count == len(queue) for queue, count in done)
        if at_end:
            self._verify(place)
        again = [
            delivery
            for queue, count in done
            for delivery in queue[0 if at_end else max(0, count - BACK) : count]
        ]
        try:
            return self.space.again(place[1], again)
        except Fault as fault:
            for delivery in again:  # which of them it is
                self._read(place, delivery, again=True)
            way = [*self.way_to(place), *(f"again {delivery}" for delivery in again)]
            raise Fault(f"{_numbered(way)}, in one transaction: {fault}") from fault

    def _verify(self, place: Place) -> None:
        try:
            self.space.verify(place[1])
        except Fault as fault:
            raise Fault(f"{_numbered(self.way_to(place))}: {fault}") from fault

    def _read(self, place: Place, delivery: Delivery, *, again: bool = False) -> int:
        try:
            return self.space.read(place[1], delivery, again=again)
        except Fault as fault:
            way = [*self.way_to(place), self._words(place, delivery)]
            raise Fault(f"{_numbered(way)}: {fault}") from fault

    def way_to(self, place: Place) -> list[str]:
        """The shortest way to a place, in words."""
        steps: list[str] = []
        came = self.came[place]
        while came is not None:
            before, delivery = came
            steps.append(self._words(before, delivery))
            came = self.came[before]
        return steps[::-1]

    def _words(self, place: Place, step: Step) -> str:
        done = zip(self.stream.queues, place[0], strict=True)
        again = any(step in queue[:count] for queue, count in done)
        return f"{'again ' if again else ''}{step}"

    # --- where it ends ---------------------------------------------------------------------------

    def node(self, place: Place) -> Node:
        """The database that is there."""
        return self.space.nodes[place[1]]

    def ends(self) -> dict[Place, frozenset[str]]:
        """In which states of the user's current chat it can end, from each place."""
        ends = {place: frozenset[str]() for place in self.onward}
        for place in self.lasts:
            ends[place] = frozenset({self.node(place).end})
        changed = True
        while changed:
            changed = False
            for place in reversed(self.onward):
                more = ends[place].union(*(ends[to] for _, to in self.onward[place]))
                changed |= more != ends[place]
                ends[place] = more
        return ends

    def forks(self) -> Iterator[tuple[Place, Fork, Sequence[str]]]:
        """Where it was decided how it ends, by which two messages, and what each leads to."""
        ends, lasts = self.ends(), set(self.lasts)
        for place, possible in ends.items():
            if len(possible) == 1:
                continue
            ways: list[_Way] = [
                (one, to, ends[to]) for one, to in self.onward[place] if len(ends[to]) == 1
            ]
            if place in lasts:
                ways.append((None, place, frozenset({self.node(place).end})))
            # What comes once more and what is swept stand before what is read: they are the one.
            for (one, there, those), (other, elsewhere, these) in combinations(ways, 2):
                if one is not None and those != these:
                    after = {there, elsewhere, self._then(there, other), self._then(elsewhere, one)}
                    again = place[0] == there[0] and isinstance(one, Delivery)
                    edge = edge_of(
                        self.node(place),
                        map(self.node, after),
                        again=again,
                        same_side=not again and _serves(one) and _serves(other),
                    )
                    yield place, Fork(edge, one, other, again=again), [*those, *these]

    def _then(self, place: Place, step: Step | None) -> Place:
        return next((to for one, to in self.onward[place] if one == step), place)


def _serves(step: Step | None) -> bool:
    return isinstance(step, Delivery) and step.direction is not Direction.INBOUND


def _numbered(steps: Sequence[str]) -> str:
    return "; ".join(f"{number} {step}" for number, step in enumerate(steps, 1))
