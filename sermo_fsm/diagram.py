"""The machine as a picture, in the words of the tools that draw: Mermaid and DOT.

Everything comes from the table, so a picture can't say what the machine does not do. The same
table gives the same bytes. What stays is not drawn: one arrow for each pair of states, with its
triggers as lines; a mark before each line says who pulls it, also where there is no colour.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.events import KINDS, Direction, Trigger
from sermo_fsm.machine import TABLE, Cell, Guard, State

__all__ = ["FILES", "FORMATS", "render"]

FORMATS: Final = ("mermaid", "dot")
"""What :func:`render` can write."""

FILES: Final[Mapping[str, str]] = {"machine.mmd": "mermaid", "machine.dot": "dot"}
"""The files that stand in ``diagrams/``, and the format of each."""

_ORIGIN: Final = "Drawn by sermo-fsm diagram from the table in sermo_fsm/machine.py"
_TITLE: Final = "The states of a chat, and what moves it from one to the next"

# Marks that every font has, because the oldest code pages had them.
_MARKS: Final = {Direction.INBOUND: "►", Direction.OUTBOUND: "◄", Direction.TIMER: "○"}
_LEGEND: Final = {
    Direction.INBOUND: "inbound: customer",
    Direction.OUTBOUND: "outbound: bot, agents",
    Direction.TIMER: "timer: the clock",
}
_GUARDS: Final = {Guard.CUSTOMER_WROTE_LATER: "the customer wrote later"}

_INBOUND: Final = frozenset(kind.trigger for kind in KINDS.values() if kind.inbound)
_ORDER: Final = {state: place for place, state in enumerate(State)}


@frozen
class _Line:
    """One trigger on an arrow."""

    direction: Direction
    words: str

    def __str__(self) -> str:
        return f"{_MARKS[self.direction]} {self.words}"


_Arrows = dict[tuple[State, State], list[_Line]]


def render(format: str) -> str:  # noqa: A002 - the option of the command is called so, too
    """The machine in one of :data:`FORMATS`.

    Raises:
        InvalidArgument: There is no such format.
    """
    if format not in FORMATS:
        raise InvalidArgument("format", wanted=" or ".join(FORMATS), got=format)
    arrows = _arrows()
    lines = _mermaid(arrows) if format == "mermaid" else _dot(arrows)
    return "\n".join(lines) + "\n"


def _arrows() -> _Arrows:
    arrows: _Arrows = {}
    for (state, trigger), cell in TABLE.items():
        for to, condition in _ways(cell):
            if to is not state:
                line = _Line(_direction_of(trigger), trigger + condition)
                arrows.setdefault((state, to), []).append(line)
    return arrows


def _nearest_first(arrow: tuple[State, State]) -> tuple[int, int, int]:
    state, to = arrow
    return _ORDER[state], abs(_ORDER[to] - _ORDER[state]), -_ORDER[to]


def _by_target(arrow: tuple[State, State]) -> tuple[int, int]:
    state, to = arrow
    return _ORDER[to], _ORDER[state]


def _ways(cell: Cell) -> Iterator[tuple[State, str]]:
    """Where a cell goes, and under which condition."""
    if cell.guard is None or cell.otherwise is None:
        yield cell.to, ""
        return
    yield cell.to, f" [unless {_GUARDS[cell.guard]}]"
    yield cell.otherwise, f" [if {_GUARDS[cell.guard]}]"


def _direction_of(trigger: Trigger) -> Direction:
    if trigger is Trigger.EXPIRE:
        return Direction.TIMER
    return Direction.INBOUND if trigger in _INBOUND else Direction.OUTBOUND


def _mermaid(arrows: _Arrows) -> Iterator[str]:
    yield f"%% {_ORIGIN}"
    # Room between the labels of arrows that go to and fro.
    yield '%%{init: {"state": {"nodeSpacing": 90}}}%%'
    yield "stateDiagram-v2"
    yield f"    accTitle: {_TITLE}"
    yield "    direction TB"
    yield f"    [*] --> {State.OPEN}"
    for state, to in sorted(arrows, key=_nearest_first):  # else labels lose their arrows
        yield f"    {state} --> {to} : {'<br/>'.join(map(str, arrows[state, to]))}"
    yield f"    {State.CLOSED} --> [*]"
    yield f"    note left of {State.OPEN}"
    for direction, words in _LEGEND.items():
        yield f"        {_MARKS[direction]} {words}"
    yield "    end note"


_FONT: Final = 'fontname="Helvetica,Arial,sans-serif"'
_DARK: Final = "#33415c"
_COLOURS: Final = {
    Direction.INBOUND: "#0b5394",
    Direction.OUTBOUND: "#222222",
    Direction.TIMER: "#7a4b00",
}
_TYPEFACES: Final = {
    Direction.INBOUND: "<B>{}</B>",
    Direction.OUTBOUND: "{}",
    Direction.TIMER: "<I>{}</I>",
}


def _dot(arrows: _Arrows) -> Iterator[str]:
    legend = "&#160;&#160;&#160;".join(_dot_line(_Line(*line)) for line in _LEGEND.items())
    yield f"// {_ORIGIN}"
    yield "digraph machine {"
    yield f'  graph [rankdir=LR, nodesep=0.3, ranksep=0.25, tooltip="{_TITLE}",'
    yield f"         {_FONT}, fontsize=12, label=<{legend}>]"
    yield f'  node [shape=box, style="rounded,filled", fillcolor="#eef2fb", color="{_DARK}",'
    yield f'        penwidth=1.4, margin="0.22,0.12", {_FONT}, fontsize=16]'
    yield f'  edge [color="{_DARK}", arrowsize=0.8, {_FONT}, fontsize=12]'
    mark = f'label="", style=filled, fillcolor="{_DARK}"'
    yield f'  start [id="start", shape=circle, width=0.2, {mark}]'
    for state in State:
        # In one group they stand in one line, as a chat runs.
        yield f'  {state} [id="{state}", group=chat]'
    yield f'  end [id="end", shape=doublecircle, width=0.13, {mark}]'
    yield f'  start -> {State.OPEN} [id="start-{State.OPEN}"]'
    for state, to in sorted(arrows, key=_by_target):  # else arrows to and fro run together
        weight = 10 if _ORDER[to] - _ORDER[state] == 1 else 1
        label = _dot_label(arrows[state, to])
        yield f'  {state} -> {to} [id="{state}-{to}", weight={weight}, label={label}]'
    yield f'  {State.CLOSED} -> end [id="{State.CLOSED}-end"]'
    yield "}"


def _dot_label(lines: list[_Line]) -> str:
    words = "<BR/>".join(_dot_line(line) for line in lines)
    # A table of one cell keeps its lines to the left, and its distance from the arrow.
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="3">'
    return f'<{table}<TR><TD BALIGN="LEFT">{words}</TD></TR></TABLE>>'


def _dot_line(line: _Line) -> str:
    words = _TYPEFACES[line.direction].format(line)
    return f'<FONT COLOR="{_COLOURS[line.direction]}">{words}</FONT>'
