"""A drawing in DOT, the language of Graphviz."""

import html
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from sermo_fsm.drawing import Arrow, Drawing, Key, Line, Mark, Node
from sermo_fsm.events import Direction
from sermo_fsm.machine import State
from sermo_fsm.picture.marks import MARKS, Theme

__all__ = ["dot"]

_FONT: Final = 'fontname="Helvetica,Arial,sans-serif"'
_SPACE: Final = "&#160;"
_ORDER: Final = {state: place for place, state in enumerate(State)}
_THIN, _WIDEST = 1.2, 9.0
_SMALL: Final = 12
_TABLE: Final = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="2" CELLSPACING="1">'


@frozen(kw_only=True)
class _Colours:
    """Of one theme; each reads on the page and, what is written in a state, on its fill."""

    page: str
    ink: str
    stroke: str
    fills: tuple[str, str]
    """Of a state, from the faintest shade to the strongest."""
    current: str
    current_stroke: str
    faded: str
    badge: str
    badge_ink: str
    of: Mapping[Direction, str]


_COLOURS: Final = {
    Theme.LIGHT: _Colours(
        page="#ffffff",
        ink="#1a2233",
        stroke="#33415c",
        fills=("#eef2fb", "#7d9ae0"),
        current="#ffe08a",
        current_stroke="#b26a00",
        faded="#6f7682",
        badge="#33415c",
        badge_ink="#ffffff",
        of={
            Direction.INBOUND: "#0b5394",
            Direction.OUTBOUND: "#222222",
            Direction.TIMER: "#7a4b00",
        },
    ),
    Theme.DARK: _Colours(
        page="#0d1117",
        ink="#e6edf3",
        stroke="#9fb3d9",
        fills=("#1c2536", "#3a5fb0"),
        current="#5c4300",
        current_stroke="#f2b949",
        faded="#808a96",
        badge="#c9d6f2",
        badge_ink="#0d1117",
        of={
            Direction.INBOUND: "#79b8ff",
            Direction.OUTBOUND: "#e6edf3",
            Direction.TIMER: "#f0b866",
        },
    ),
}
_TYPEFACES: Final = {
    Direction.INBOUND: "<B>{}</B>",
    Direction.OUTBOUND: "{}",
    Direction.TIMER: "<I>{}</I>",
}
_DIRECTIONS: Final = {
    Mark.INBOUND: Direction.INBOUND,
    Mark.OUTBOUND: Direction.OUTBOUND,
    Mark.TIMER: Direction.TIMER,
}
_SAMPLES: Final = {
    Mark.CURRENT: "thick frame:",
    Mark.WIDTH: "wide:",
    Mark.SHADE: "strong colour:",
    Mark.FADED: "grey:",
    Mark.EXTRA: "dashed:",
}


def dot(drawing: Drawing, theme: Theme) -> str:
    """The text that Graphviz draws it from."""
    return "\n".join(_Writer(drawing, _COLOURS[theme]).lines()) + "\n"


def _text(words: str) -> str:
    """*words* inside of a label, whatever they hold: on one line, and no mark-up."""
    return html.escape(" ".join(words.split()))


def _quoted(words: str) -> str:
    escaped = " ".join(words.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mixed(faint: str, strong: str, share: float) -> str:
    """The colour between two others."""
    ends = zip(bytes.fromhex(faint[1:]), bytes.fromhex(strong[1:]), strict=True)
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in ends)


def _coloured(colour: str, words: str, size: int | None = None) -> str:
    of_size = "" if size is None else f' POINT-SIZE="{size}"'
    return f'<FONT COLOR="{colour}"{of_size}>{words}</FONT>'


@frozen
class _Writer:
    drawing: Drawing
    colours: _Colours

    def lines(self) -> Iterator[str]:
        drawing, colours = self.drawing, self.colours
        yield f"// {drawing.origin}"
        yield f"digraph {_quoted(drawing.name)} {{"
        yield f"  graph [rankdir=LR, nodesep=0.3, ranksep=0.25, bgcolor={_quoted(colours.page)},"
        yield f"         tooltip={_quoted(drawing.description)},"
        yield f"         {_FONT}, fontsize=12, label=<{self.words()}>]"
        yield f'  node [shape=box, style="rounded,filled", color="{colours.stroke}",'
        yield f'        fontcolor="{colours.ink}", penwidth=1.4, margin="0.22,0.12",'
        yield f"        {_FONT}, fontsize=16]"
        yield f'  edge [color="{colours.stroke}", arrowsize=0.8, {_FONT}, fontsize=12]'
        mark = f'group=chat, label="", style=filled, fillcolor="{colours.stroke}"'
        yield f'  start [id="start", shape=circle, width=0.2, {mark}]'
        for node in drawing.nodes:
            yield f"  {node.state} [{', '.join(self.node(node))}]"
        yield f'  end [id="end", shape=doublecircle, width=0.13, {mark}]'
        for arrow in sorted(drawing.arrows, key=_by_target):  # else those to and fro run together
            way = f"{arrow.source or 'start'} -> {arrow.target or 'end'}"
            yield f"  {way} [{', '.join(self.arrow(arrow))}]"
        yield "}"

    def words(self) -> str:
        """What stands under the picture."""
        ink = self.colours.ink
        lines = [self.key(key) for key in self.drawing.legend]
        legend = (_SPACE * 3).join(lines)
        if not self.drawing.caption:
            return legend
        title = _coloured(ink, f"<B>{_text(self.drawing.title)}</B>", 16)
        caption = [_coloured(ink, _text(line)) for line in self.drawing.caption]
        return "<BR/>".join([title, *caption, legend])

    def key(self, key: Key) -> str:
        if key.mark in _DIRECTIONS:
            return self.line(Line(_DIRECTIONS[key.mark], key.text))
        if key.mark is Mark.BADGE:
            return _coloured(self.colours.ink, f"<B>1</B> {_text(key.text)}")
        return _coloured(self.colours.ink, f"{_SAMPLES[key.mark]} {_text(key.text)}")

    def node(self, node: Node) -> Iterator[str]:
        colours = self.colours
        yield f'id="{node.state}"'
        yield "group=chat"  # in one group they stand in one line, as a chat runs
        loops = [
            arrow for arrow in self.drawing.arrows if arrow.loop and arrow.source is node.state
        ]
        if node.notes or loops:
            ink = self.colours.faded if node.faded else self.colours.ink
            words = [node.state, *(_coloured(ink, _text(note), _SMALL) for note in node.notes)]
            # What stands on a loop stands inside of its state: there no other arrow crosses it.
            rows = [self.row("<BR/>".join(words), "CENTER"), *map(self.rows, loops)]
            yield f"label=<{_TABLE}{''.join(rows)}</TABLE>>"
        else:  # said outright: some readers take the empty label of the marks for everybody's
            yield f'label="{node.state}"'
        if node.current:
            yield f'color="{colours.current_stroke}", fillcolor="{colours.current}", penwidth=4'
        elif node.faded:
            yield f'color="{colours.faded}", fontcolor="{colours.faded}"'
            yield f'fillcolor="{colours.page}"'
        else:
            yield f'fillcolor="{_mixed(*colours.fills, node.shade or 0.0)}"'

    def arrow(self, arrow: Arrow) -> Iterator[str]:
        yield f'id="{arrow.id}"'
        if not arrow.loop:
            nearest = _place(arrow.target, len(State)) - _place(arrow.source, -1) == 1
            yield f"weight={10 if nearest else 1}"
        if arrow.faded:
            yield f'color="{self.colours.faded}", penwidth=0.8'
        elif arrow.weight is not None:
            yield f"penwidth={_THIN + arrow.weight * (_WIDEST - _THIN):.1f}"
        elif arrow.badges:
            yield "penwidth=2.5"
        if arrow.extra:
            yield "style=dashed"
        if (arrow.lines or arrow.badges) and not arrow.loop:
            # A table of one column keeps its lines to the left, and its distance from the arrow.
            yield f"label=<{_TABLE}{self.rows(arrow)}</TABLE>>"

    def rows(self, arrow: Arrow) -> str:
        rows = [self.row(self.badges(arrow))] if arrow.badges else []
        if arrow.lines:
            rows.append(self.row("<BR/>".join(self.line(line, arrow) for line in arrow.lines)))
        return "".join(rows)

    def row(self, words: str, align: str = "LEFT") -> str:
        return f'<TR><TD ALIGN="{align}" BALIGN="{align}">{words}</TD></TR>'

    def badges(self, arrow: Arrow) -> str:
        cells, width = [], 2
        for badge in arrow.badges:
            words = _coloured(self.colours.badge_ink, f"<B>{_text(badge)}</B>", _SMALL)
            of_cell = 8 * len(badge) + 10
            width += of_cell + 2
            size = f'FIXEDSIZE="TRUE" WIDTH="{of_cell}" HEIGHT="18"'
            cells.append(f'<TD {size} BGCOLOR="{self.colours.badge}">{words}</TD>')
        # Of a fixed size: else it grows as wide as the lines below.
        size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="22" ALIGN="LEFT"'
        borders = 'BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="2"'
        return f"<TABLE {size} {borders}><TR>{''.join(cells)}</TR></TABLE>"

    def line(self, line: Line, arrow: Arrow | None = None) -> str:
        colour = self.colours.of[line.direction]
        if line.faded or (arrow is not None and arrow.faded):
            colour = self.colours.faded
        elif arrow is not None and arrow.loop:
            colour = self.colours.ink  # no other is sure to stand out from every shade
        words = _TYPEFACES[line.direction].format(f"{MARKS[line.direction]} {_text(line.text)}")
        note = f"{_SPACE * 2}{_text(line.note)}" if line.note else ""
        return _coloured(colour, words + note, _SMALL)


def _by_target(arrow: Arrow) -> tuple[int, int, bool]:
    return _place(arrow.target, len(State)), _place(arrow.source, -1), arrow.extra


def _place(state: State | None, mark: int) -> int:
    return mark if state is None else _ORDER[state]
