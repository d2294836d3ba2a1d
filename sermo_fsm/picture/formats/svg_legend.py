"""The legend in SVG: symbols and their explanations, in rows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sermo_fsm.picture.drawing import LegendEntry, LegendSymbol
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_labels import TYPEFACES, direction_symbol, pill_shape
from sermo_fsm.picture.formats.svg_markup import (
    AttributeValue,
    element,
    escape_text,
    path_data,
    rectangle,
    text_element,
)
from sermo_fsm.picture.layout.font_metrics import text_width
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.text_blocks import PILL_HEIGHT, Pill, printable

__all__ = ["LEGEND_ROW_HEIGHT", "legend_shapes", "wrap_legend"]

LEGEND_ROW_HEIGHT: Final = 24.0
"""The distance from one row of the legend to the next."""

_FONT_SIZE: Final = 13.0
_GAP: Final = 26.0
_SYMBOL_GAP: Final = 8.0
_COUNT_PILL: Final = Pill(("12 · 40%",))
_SYMBOL_WIDTHS: Final = {
    LegendSymbol.BADGE: PILL_HEIGHT,
    LegendSymbol.COUNT: _COUNT_PILL.width,
    LegendSymbol.CURRENT: 26.0,
    LegendSymbol.WIDTH: 44.0,
    LegendSymbol.SHADE: 80.0,
    LegendSymbol.FADED: 30.0,
    LegendSymbol.EXTRA: 31.0,
}


def _text_offset(entry: LegendEntry) -> float:
    """Return the distance from the left end of the symbol to that of the text."""
    return _SYMBOL_WIDTHS.get(entry.symbol, 8.0) + _SYMBOL_GAP


def _width(entry: LegendEntry) -> float:
    bold = entry.symbol is LegendSymbol.INBOUND
    return _text_offset(entry) + text_width(printable(entry.text), _FONT_SIZE, bold=bold)


def wrap_legend(entries: tuple[LegendEntry, ...], max_width: float) -> list[list[LegendEntry]]:
    """Return the entries in rows: one row if it is wide enough, else the directions separately."""
    directions = [entry for entry in entries if entry.symbol.direction]
    others = [entry for entry in entries if not entry.symbol.direction]
    rows = list(_filled_rows([*directions, *others], max_width))
    if len(rows) <= 1:
        return rows
    return [*_balanced_rows(directions, max_width), *_balanced_rows(others, max_width)]


def _balanced_rows(entries: list[LegendEntry], max_width: float) -> list[list[LegendEntry]]:
    """Return as few rows as needed, with about the same number of entries in each if they fit."""
    full = list(_filled_rows(entries, max_width))
    share = max(1, -(-len(entries) // max(1, len(full))))
    even = [entries[start : start + share] for start in range(0, len(entries), share)]
    return even if all(len(list(_filled_rows(row, max_width))) == 1 for row in even) else full


def _filled_rows(entries: list[LegendEntry], max_width: float) -> Iterator[list[LegendEntry]]:
    """Yield rows, each with as many entries as fit."""
    row: list[LegendEntry] = []
    used = 0.0
    for entry in entries:
        if row and used + _GAP + _width(entry) > max_width:
            yield row
            row, used = [], 0.0
        used += (_GAP if row else 0.0) + _width(entry)
        row.append(entry)
    if row:
        yield row


def legend_shapes(
    rows: list[list[LegendEntry]], left: float, top: float, palette: Palette
) -> Iterator[str]:
    """Yield the rows of the legend; *left* and *top* are the corner of the first one."""
    for index, entries in enumerate(rows):
        x, y = left, top + index * LEGEND_ROW_HEIGHT + LEGEND_ROW_HEIGHT / 2
        for entry in entries:
            if direction := entry.symbol.direction:
                colour, typeface = palette.triggers[direction], TYPEFACES[direction]
                yield direction_symbol(direction, (x, y), colour)
            else:
                colour, typeface = palette.muted, {}
                yield "".join(_SYMBOLS[entry.symbol](x, y, palette))
            at = (x + _text_offset(entry), y + 4.6)
            yield text_element(at, _FONT_SIZE, colour, escape_text(entry.text), **typeface)
            x += _width(entry) + _GAP


def _badge(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.centred_at((x + PILL_HEIGHT / 2, y), PILL_HEIGHT, PILL_HEIGHT)
    yield pill_shape(Pill(("1",)), box, palette, counts=False)


def _count(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.centred_at((x + _COUNT_PILL.width / 2, y), _COUNT_PILL.width, PILL_HEIGHT)
    yield pill_shape(_COUNT_PILL, box, palette, counts=True)


def _current(x: float, y: float, palette: Palette) -> Iterator[str]:
    outer = Box.centred_at((x + 13, y), 25, 18)
    line: dict[str, AttributeValue] = {"stroke": palette.accent, "stroke_width": 1.6}
    yield rectangle(outer, 6, fill=palette.page, **line)
    yield rectangle(outer.grown(-3.5), 3, fill=palette.state_fill, **line)


def _width_wedge(x: float, y: float, palette: Palette) -> Iterator[str]:
    end = x + 44
    shape = path_data(
        "M", (x, y - 0.6), "L", (end, y - 4), "L", (end, y + 4), "L", (x, y + 0.6), "Z"
    )
    yield element("path", {"d": shape, "fill": palette.stroke})


def _shade_scale(x: float, y: float, palette: Palette) -> Iterator[str]:
    for step in range(5):
        box = Box.centred_at((x + 8 + 16 * step, y), 16, 14)
        yield rectangle(box, 0, fill=palette.shade(step / 4))
    whole = Box.centred_at((x + 40, y), 80, 14)
    yield rectangle(whole, 2, fill="none", stroke=palette.stroke, stroke_width=1.0)


def _faded_line(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _horizontal_line(x, y, 30, palette.faded, 1.2)


def _dashed_line(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _horizontal_line(x, y, 31, palette.stroke, 1.8, {"stroke-dasharray": "7 5"})


def _horizontal_line(
    x: float,
    y: float,
    length: float,
    colour: str,
    width: float,
    more: dict[str, AttributeValue] | None = None,
) -> str:
    line: dict[str, AttributeValue] = {
        "d": path_data("M", (x, y), "L", (x + length, y)),
        "stroke": colour,
    }
    return element("path", line | {"stroke-width": width, "fill": "none"} | (more or {}))


_SYMBOLS: Final[Mapping[LegendSymbol, Callable[[float, float, Palette], Iterator[str]]]] = {
    LegendSymbol.BADGE: _badge,
    LegendSymbol.COUNT: _count,
    LegendSymbol.CURRENT: _current,
    LegendSymbol.WIDTH: _width_wedge,
    LegendSymbol.SHADE: _shade_scale,
    LegendSymbol.FADED: _faded_line,
    LegendSymbol.EXTRA: _dashed_line,
}
