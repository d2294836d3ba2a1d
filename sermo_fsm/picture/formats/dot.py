"""A drawing in DOT, the language of Graphviz."""

import html
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow, Drawing, LegendEntry, LegendSymbol, Node, TriggerLine
from sermo_fsm.picture.formats.palette import DIRECTION_SYMBOLS, Palette, Theme, palette_for
from sermo_fsm.protocol.events import Direction

__all__ = ["dot"]

_FONT: Final = 'fontname="Helvetica,Arial,sans-serif"'
_SPACE: Final = "&#160;"
_STATE_ORDER: Final = {state: index for index, state in enumerate(State)}
_MIN_WIDTH, _MAX_WIDTH = 1.2, 7.0
_LABEL_SIZE: Final = 12
_TABLE: Final = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="2" CELLSPACING="1">'


_TYPEFACES: Final = {
    Direction.INBOUND: "<B>{}</B>",
    Direction.OUTBOUND: "{}",
    Direction.TIMER: "<I>{}</I>",
    Direction.OPERATOR: "<I>{}</I>",
}
_SYMBOLS: Final = {
    LegendSymbol.BADGE: "<B>1</B>",
    LegendSymbol.COUNT: "<B>12 · 40%</B>",
    LegendSymbol.CURRENT: "double frame:",
    LegendSymbol.WIDTH: "wide:",
    LegendSymbol.SHADE: "strong colour:",
    LegendSymbol.FADED: "grey:",
    LegendSymbol.EXTRA: "dashed:",
}


def dot(drawing: Drawing, theme: Theme) -> str:
    """Return a drawing as DOT text; the same drawing gives the same text."""
    return "\n".join(_DotWriter(drawing, palette_for(theme)).lines()) + "\n"


def _escaped(words: str) -> str:
    """Escape any text for an HTML-like label, on one line."""
    return html.escape(" ".join(words.split()))


def _quoted(words: str) -> str:
    escaped = " ".join(words.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _coloured(colour: str, words: str, size: int | None = None) -> str:
    size_attribute = "" if size is None else f' POINT-SIZE="{size}"'
    return f'<FONT COLOR="{colour}"{size_attribute}>{words}</FONT>'


@frozen
class _DotWriter:
    """Writes a drawing in the colours of a palette."""

    drawing: Drawing
    palette: Palette

    def lines(self) -> Iterator[str]:
        drawing, palette = self.drawing, self.palette
        yield f"// {drawing.origin}"
        yield f"digraph {_quoted(drawing.name)} {{"
        yield f"  graph [rankdir=LR, nodesep=0.3, ranksep=0.25, bgcolor={_quoted(palette.page)},"
        yield f"         tooltip={_quoted(drawing.description)},"
        yield f"         {_FONT}, fontsize=12, label=<{self.heading()}>]"
        yield f'  node [shape=box, style="rounded,filled", color="{palette.stroke}",'
        yield f'        fontcolor="{palette.ink}", penwidth=1.4, margin="0.22,0.12",'
        yield f"        {_FONT}, fontsize=16]"
        yield f'  edge [color="{palette.stroke}", arrowsize=0.8, {_FONT}, fontsize=12]'
        yield f'  start [id="start", shape=circle, width=0.2, {self.marker(start=True)}]'
        for node in drawing.nodes:
            yield f"  {node.state} [{', '.join(self.node(node))}]"
        yield f'  end [id="end", shape=doublecircle, width=0.13, {self.marker(start=False)}]'
        for arrow in sorted(drawing.arrows, key=_by_target):  # else opposite arrows overlap
            ends = f"{arrow.source or 'start'} -> {arrow.target or 'end'}"
            yield f"  {ends} [{', '.join(self.arrow(arrow))}]"
        yield "}"

    def marker(self, *, start: bool) -> str:
        arrows = self.drawing.arrows
        marked = [one for one in arrows if (one.source if start else one.target) is None]
        taken, faded = any(one.taken for one in marked), all(one.faded for one in marked)
        palette = self.palette
        colour = palette.accent if taken else palette.faded if faded else palette.stroke
        return f'group=chat, label="", style=filled, color="{colour}", fillcolor="{colour}"'

    def heading(self) -> str:
        """Return the label of the graph: title and caption, if it has any, and the legend."""
        ink = self.palette.ink
        legend = (_SPACE * 3).join(map(self.legend_entry, self.drawing.legend))
        if not self.drawing.caption:
            return legend
        title = _coloured(ink, f"<B>{_escaped(self.drawing.title)}</B>", 16)
        caption = [_coloured(ink, _escaped(line)) for line in self.drawing.caption]
        return "<BR/>".join([title, *caption, legend])

    def legend_entry(self, entry: LegendEntry) -> str:
        if direction := entry.symbol.direction:
            return self.line(TriggerLine(direction, entry.text))
        return _coloured(self.palette.ink, f"{_SYMBOLS[entry.symbol]} {_escaped(entry.text)}")

    def node(self, node: Node) -> Iterator[str]:
        palette = self.palette
        yield f'id="{node.state}"'
        yield "group=chat"  # one group is drawn in one line
        loops = [
            arrow for arrow in self.drawing.arrows if arrow.is_loop and arrow.source is node.state
        ]
        if node.notes or loops:
            ink = palette.faded_ink if node.faded else palette.ink
            notes = [_coloured(ink, _escaped(note), _LABEL_SIZE) for note in node.notes]
            name_and_notes = "<BR/>".join([node.state, *notes])
            # The label of a loop stands inside its state, where no other arrow crosses it.
            rows = [self.row(name_and_notes, "CENTER"), *map(self.rows, loops)]
            yield f"label=<{_TABLE}{''.join(rows)}</TABLE>>"
        else:  # some readers would apply the markers' empty label to every node
            yield f'label="{node.state}"'
        if node.current:
            yield f'color="{palette.accent}", penwidth=2, peripheries=2'
        if node.faded:
            yield f'color="{palette.faded}", fontcolor="{palette.faded_ink}"'
            yield f'fillcolor="{palette.page}"'
        else:
            fill = palette.state_fill if node.shade is None else palette.shade(node.shade)
            yield f'fillcolor="{fill}"'

    def arrow(self, arrow: Arrow) -> Iterator[str]:
        yield f'id="{arrow.id}"'
        if not arrow.is_loop:
            adjacent = _rank(arrow.target, len(State)) - _rank(arrow.source, -1) == 1
            yield f"weight={10 if adjacent else 1}"
        if arrow.faded:
            yield f'color="{self.palette.faded}", penwidth=0.8'
        elif arrow.weight is not None:
            yield f"penwidth={_MIN_WIDTH + arrow.weight * (_MAX_WIDTH - _MIN_WIDTH):.1f}"
        elif arrow.taken:
            yield f'color="{self.palette.accent}", penwidth=2.5'
        if arrow.extra:
            yield "style=dashed"
        if (arrow.lines or arrow.badges) and not arrow.is_loop:
            # A table aligns the lines to the left and keeps its distance from the arrow.
            yield f"label=<{_TABLE}{self.rows(arrow)}</TABLE>>"

    def rows(self, arrow: Arrow) -> str:
        rows = [self.row(self.badges(arrow))] if arrow.badges else []
        if arrow.lines:
            rows.append(self.row("<BR/>".join(self.line(line, arrow) for line in arrow.lines)))
        return "".join(rows)

    def row(self, words: str, align: str = "LEFT") -> str:
        return f'<TR><TD ALIGN="{align}" BALIGN="{align}">{words}</TD></TR>'

    def badges(self, arrow: Arrow) -> str:
        palette, counts = self.palette, arrow.weight is not None
        fill, ink = (palette.page, palette.ink) if counts else (palette.accent, palette.on_accent)
        border = f'BORDER="1" STYLE="ROUNDED" COLOR="{palette.stroke if counts else fill}"'
        cells, width = [], 2
        for badge in arrow.badges:
            words = _coloured(ink, f"<B>{_escaped(badge)}</B>", _LABEL_SIZE)
            cell_width = 8 * len(badge) + 10
            width += cell_width + 2
            size = f'FIXEDSIZE="TRUE" WIDTH="{cell_width}" HEIGHT="18"'
            cells.append(f'<TD {size} {border} BGCOLOR="{fill}">{words}</TD>')
        # A fixed size: else the table becomes as wide as the lines below it.
        size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="22" ALIGN="LEFT"'
        spacing = 'BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="2"'
        return f"<TABLE {size} {spacing}><TR>{''.join(cells)}</TR></TABLE>"

    def line(self, line: TriggerLine, arrow: Arrow | None = None) -> str:
        colour = self.palette.triggers[line.direction]
        if line.faded or (arrow is not None and arrow.faded):
            colour = self.palette.faded_ink
        elif arrow is not None and arrow.is_loop:
            colour = self.palette.ink  # the only one readable on every shade
        words = _TYPEFACES[line.direction].format(
            f"{DIRECTION_SYMBOLS[line.direction]} {_escaped(line.text)}"
        )
        note = f"{_SPACE * 2}{_escaped(line.note)}" if line.note else ""
        return _coloured(colour, words + note, _LABEL_SIZE)


def _by_target(arrow: Arrow) -> tuple[int, int, bool]:
    return _rank(arrow.target, len(State)), _rank(arrow.source, -1), arrow.extra


def _rank(state: State | None, marker: int) -> int:
    return marker if state is None else _STATE_ORDER[state]
