"""Labels in SVG: the triggers of an arrow with their symbols, and the pill with its badges."""

from collections.abc import Iterator, Mapping
from typing import Final

from sermo_fsm.picture.drawing import TriggerLine
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_markup import (
    AttributeValue,
    element,
    escape_text,
    path_data,
    rectangle,
    text_element,
)
from sermo_fsm.picture.layout.geometry import Box, Point
from sermo_fsm.picture.layout.text_blocks import (
    LINE_HEIGHT,
    PILL_FONT_SIZE,
    PILL_HEIGHT,
    PILL_LINE_HEIGHT,
    SYMBOL_INDENT,
    TRIGGER_FONT_SIZE,
    Pill,
    TextBlock,
    TextRow,
)
from sermo_fsm.protocol.events import Direction

__all__ = ["TYPEFACES", "block_shape", "direction_symbol", "pill_shape"]

TYPEFACES: Final[Mapping[Direction, dict[str, AttributeValue]]] = {
    Direction.INBOUND: {"font-weight": "bold"},
    Direction.OUTBOUND: {},
    Direction.TIMER: {"font-style": "italic"},
    Direction.OPERATOR: {"font-style": "italic"},
}
"""Font attributes that, with the symbols, tell the directions apart without colour."""


def direction_symbol(direction: Direction, at: Point, colour: str) -> str:
    """Return the symbol of a direction; *at* is the middle of its left side."""
    x, y = at
    if direction is Direction.TIMER:
        circle: dict[str, AttributeValue] = {"cx": x + 4.3, "cy": y, "r": 3.6}
        return element("circle", circle | {"fill": "none", "stroke": colour, "stroke-width": 1.5})
    if direction is Direction.OPERATOR:
        return rectangle(Box.centred_at((x + 4.3, y), 7.4, 7.4), 0, fill=colour)
    back, tip = (x, x + 8.4) if direction is Direction.INBOUND else (x + 8.4, x)
    shape = path_data("M", (back, y - 4.6), "L", (tip, y), "L", (back, y + 4.6), "Z")
    return element("path", {"d": shape, "fill": colour})


def block_shape(block: TextBlock, box: Box, palette: Palette, ink: str | None = None) -> str:
    """Return the triggers of an arrow, each with its symbol and its note.

    Args:
        block: The triggers.
        box: Where the block stands.
        palette: The colours.
        ink: One colour for all texts instead of those of the directions.
    """
    shapes = []
    muted = ink or palette.muted
    for start, rows in _rows_by_trigger(block.rows):
        line = rows[0].line
        colour = ink or (palette.faded_ink if line.faded else palette.triggers[line.direction])
        base = box.top + start * LINE_HEIGHT + 13.4
        shapes.append(direction_symbol(line.direction, (box.left, base - 4.8), colour))
        words = [row for row in rows if not row.is_note]
        shapes.append(_trigger_text(line, words, (box.left + SYMBOL_INDENT, base), colour))
        for index, row in enumerate(rows):
            y = base + index * LINE_HEIGHT
            if row.note:
                at, note = (box.left + block.notes_right, y), escape_text(row.note)
                shapes.append(text_element(at, TRIGGER_FONT_SIZE, muted, note, text_anchor="end"))
            elif row.is_note:
                at, note = (box.left + SYMBOL_INDENT, y), escape_text(row.text)
                shapes.append(text_element(at, TRIGGER_FONT_SIZE, muted, note))
    return "".join(shapes)


def _rows_by_trigger(rows: tuple[TextRow, ...]) -> Iterator[tuple[int, list[TextRow]]]:
    """Yield for each trigger the index of its first row, and its rows."""
    starts = [index for index, row in enumerate(rows) if row.starts_trigger]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield start, list(rows[start:end])


def _trigger_text(line: TriggerLine, rows: list[TextRow], at: Point, colour: str) -> str:
    """Return one text element even for several rows, so that a search finds the whole trigger."""
    first, *others = (escape_text(row.text) for row in rows)
    spans = "".join(" " + element("tspan", {"x": at[0], "dy": LINE_HEIGHT}, row) for row in others)
    return text_element(at, TRIGGER_FONT_SIZE, colour, first + spans, **TYPEFACES[line.direction])


def pill_shape(pill: Pill, box: Box, palette: Palette, *, counts: bool) -> str:
    """Return the badges of an arrow.

    Args:
        pill: The badges.
        box: Where the pill stands.
        palette: The colours.
        counts: The badges count traffic; otherwise they number the steps of a chat.
    """
    fill, ink = (palette.page, palette.ink) if counts else (palette.accent, palette.on_accent)
    edge, width = (palette.stroke, 1.3) if counts else (palette.page, 2.0)
    shapes = [rectangle(box, PILL_HEIGHT / 2, fill=fill, stroke=edge, stroke_width=width)]
    style: dict[str, AttributeValue] = {"font_weight": "bold", "text_anchor": "middle"}
    for index, row in enumerate(pill.rows):
        at = (box.centre[0], box.top + 15.2 + index * PILL_LINE_HEIGHT)
        shapes.append(text_element(at, PILL_FONT_SIZE, ink, escape_text(row), **style))
    return "".join(shapes)
