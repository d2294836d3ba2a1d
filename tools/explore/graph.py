"""Every path through one stream: all interleavings, redeliveries and sweeps, to every end."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from attrs import define, field

from sermo_fsm.protocol.events import Direction
from tools.explore.edges import Fork, edge_between
from tools.explore.space import DatabaseState, StateSpace, Violation
from tools.explore.streams import Action, Delivery, Stream, Sweep

__all__ = ["PREFETCH", "Graph", "Position"]

PREFETCH: Final = 3
"""How many messages of each queue a consumer reads ahead, so that a crash can redeliver them."""

Position = tuple[tuple[int, ...], int]
"""How many messages of each queue have been read, and the number of the database then."""

_Decided = tuple[Action | None, Position, frozenset[str]]
"""An action (None to end here), the position it leads to, and the one end possible from there."""


@define
class Graph:
    """The positions in one stream, and the actions between them.

    Attributes:
        stream: The stream.
        space: The databases, and what each action does to them.
        predecessors: From where each position was reached first, by as few actions as possible.
        successors: The actions from each position, and where they lead.
        final_positions: The positions with all queues read and nothing left to sweep.
    """

    stream: Stream
    space: StateSpace
    predecessors: dict[Position, tuple[Position, Action] | None] = field(factory=dict)
    successors: dict[Position, list[tuple[Action, Position]]] = field(factory=dict)
    final_positions: list[Position] = field(factory=list)

    @classmethod
    def of(cls, stream: Stream, space: StateSpace) -> "Graph":
        """Build the whole graph, one message further at a time.

        Raises:
            Violation: An action broke a rule. The message has the shortest path to it.
        """
        graph = cls(stream, space)
        number = 0
        for delivery in stream.before:
            number = space.read(number, delivery)
        start: Position = (0,) * len(stream.queues), number
        graph.predecessors[start] = None
        level, last = [start], [start]
        while level:
            last, level = level, graph._next_level(level)
        graph.final_positions = [position for position in last if not graph._overdue(position)]
        return graph

    def _next_level(self, level: list[Position]) -> list[Position]:
        """The positions one message further. Redeliveries and sweeps add positions to *level*."""
        following: list[Position] = []
        for position in level:
            self.successors[position] = []
            for delivery, number in self._redeliver(position):
                self._connect(position, delivery, (position[0], number), level)
            swept = self._sweep(position, level)
            for further, delivery in self._next_messages(position[0]):
                number = self._read(position, delivery)
                self._connect(position, delivery, (further, number), following)
                if delivery.direction is Direction.INBOUND and swept != position:
                    self._check_sweep_left_no_trace(swept, delivery, number)
        return following

    def _connect(
        self, position: Position, action: Action, to: Position, waiting: list[Position]
    ) -> None:
        self.successors[position].append((action, to))
        if to not in self.predecessors:
            self.predecessors[to] = position, action
            waiting.append(to)

    def _sweep(self, position: Position, level: list[Position]) -> Position:
        """Sweep as far as allowed; the position that this leads to, mostly the same one."""
        sweep = Sweep(self.stream.up_to(position[0]))
        try:
            swept = position[0], self.space.sweep(position[1], sweep)
        except Violation as violation:
            path = _numbered([*self.path_to(position), str(sweep)])
            raise Violation(f"{path}: {violation}") from violation
        if swept != position:
            self._connect(position, sweep, swept, level)
        return swept

    def _overdue(self, position: Position) -> bool:
        """Whether there is something to sweep."""
        return any(isinstance(action, Sweep) for action, _ in self.successors[position])

    def _check_sweep_left_no_trace(self, swept: Position, delivery: Delivery, number: int) -> None:
        """Raise if the customer's next message leads elsewhere after a sweep than without it."""
        if self._read(swept, delivery) != number:
            path = _numbered([*self.path_to(swept), str(delivery)])
            raise Violation(f"{path}: without the sweep it leads elsewhere")

    def _next_messages(self, read: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Delivery]]:
        for number, queue in enumerate(self.stream.queues):
            if read[number] < len(queue):
                further = (*read[:number], read[number] + 1, *read[number + 1 :])
                yield further, queue[read[number]]

    def _redeliver(self, position: Position) -> list[tuple[Delivery, int]]:
        """Redeliver the last messages of each queue, and all of them at the end of the stream.

        Those that lead to another database, and its number.
        """
        done = list(zip(self.stream.queues, position[0], strict=True))
        at_end = all(count == len(queue) for queue, count in done)
        if at_end:
            self._verify(position)
        deliveries = [
            delivery
            for queue, count in done
            for delivery in queue[0 if at_end else max(0, count - PREFETCH) : count]
        ]
        try:
            return self.space.redeliver(position[1], deliveries)
        except Violation as violation:
            for delivery in deliveries:  # raises at the one to blame
                self._read(position, delivery, redelivered=True)
            path = [*self.path_to(position), *(f"again {delivery}" for delivery in deliveries)]
            message = f"{_numbered(path)}, in one transaction: {violation}"
            raise Violation(message) from violation

    def _verify(self, position: Position) -> None:
        try:
            self.space.verify(position[1])
        except Violation as violation:
            path = _numbered(self.path_to(position))
            raise Violation(f"{path}: {violation}") from violation

    def _read(self, position: Position, delivery: Delivery, *, redelivered: bool = False) -> int:
        try:
            return self.space.read(position[1], delivery, redelivered=redelivered)
        except Violation as violation:
            path = _numbered([*self.path_to(position), self._describe(position, delivery)])
            raise Violation(f"{path}: {violation}") from violation

    def path_to(self, position: Position) -> list[str]:
        """The shortest path to a position, each action in words."""
        actions: list[str] = []
        reached_by = self.predecessors[position]
        while reached_by is not None:
            before, action = reached_by
            actions.append(self._describe(before, action))
            reached_by = self.predecessors[before]
        return actions[::-1]

    def _describe(self, position: Position, action: Action) -> str:
        done = zip(self.stream.queues, position[0], strict=True)
        redelivered = any(action in queue[:count] for queue, count in done)
        return f"{'again ' if redelivered else ''}{action}"

    # --- where it ends ---------------------------------------------------------------------------

    def state_at(self, position: Position) -> DatabaseState:
        """The database at this position."""
        return self.space.states[position[1]]

    def ends(self) -> dict[Position, frozenset[str]]:
        """The states in which the user's current chat can end, from each position."""
        ends = {position: frozenset[str]() for position in self.successors}
        for position in self.final_positions:
            ends[position] = frozenset({self.state_at(position).end})
        changed = True
        while changed:
            changed = False
            for position in reversed(self.successors):
                more = ends[position].union(*(ends[to] for _, to in self.successors[position]))
                changed |= more != ends[position]
                ends[position] = more
        return ends

    def forks(self) -> Iterator[tuple[Position, Fork, Sequence[str]]]:
        """Each position at which two actions decide the end, and the end that each leads to."""
        ends, final = self.ends(), set(self.final_positions)
        for position, possible in ends.items():
            if len(possible) == 1:
                continue
            decided: list[_Decided] = [
                (action, to, ends[to])
                for action, to in self.successors[position]
                if len(ends[to]) == 1
            ]
            if position in final:
                decided.append((None, position, frozenset({self.state_at(position).end})))
            # Redeliveries and sweeps come before reads, so they are always the first of a pair.
            for first, second in combinations(decided, 2):
                if first[0] is not None and first[2] != second[2]:
                    fork = self._fork(position, first[0], first[1], second)
                    yield position, fork, [*first[2], *second[2]]

    def _fork(self, position: Position, one: Action, to: Position, second: _Decided) -> Fork:
        other, elsewhere, _ = second
        after = {to, elsewhere, self._after(to, other), self._after(elsewhere, one)}
        redelivered = position[0] == to[0] and isinstance(one, Delivery)
        edge = edge_between(
            self.state_at(position),
            map(self.state_at, after),
            redelivered=redelivered,
            same_side=not redelivered and _serves(one) and _serves(other),
        )
        return Fork(edge, one, other, redelivered=redelivered)

    def _after(self, position: Position, action: Action | None) -> Position:
        return next((to for one, to in self.successors[position] if one == action), position)


def _serves(action: Action | None) -> bool:
    return isinstance(action, Delivery) and action.direction is not Direction.INBOUND


def _numbered(actions: Sequence[str]) -> str:
    return "; ".join(f"{number} {action}" for number, action in enumerate(actions, 1))
