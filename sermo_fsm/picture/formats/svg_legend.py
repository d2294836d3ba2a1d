"""The legend: a line of samples, and what they mean."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sermo_fsm.picture.drawing import LegendEntry, LegendSymbol
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_markup import AttributeValue, element, escape_text, path_data
from sermo_fsm.picture.formats.svg_shapes import (
    direction_symbol,
    pill_shape,
    rectangle,
    text_element,
)
from sermo_fsm.picture.layout.font_metrics import text_width
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.text_blocks import PILL_HEIGHT, Pill, printable
from sermo_fsm.protocol.events import Direction

__all__ = ["LEGEND_ROW_HEIGHT", "legend_shapes", "wrap_legend"]

LEGEND_ROW_HEIGHT: Final = 24.0
"""From one line of the legend to the next."""

_SIZE: Final = 13.0
_GAP: Final = 26.0
_NEXT: Final = 8.0
_DIRECTIONS: Final = {
    LegendSymbol.INBOUND: Direction.INBOUND,
    LegendSymbol.OUTBOUND: Direction.OUTBOUND,
    LegendSymbol.TIMER: Direction.TIMER,
}
_COUNT: Final = Pill(("12",))
_WIDTHS: Final = {
    LegendSymbol.BADGE: PILL_HEIGHT,
    LegendSymbol.COUNT: _COUNT.width,
    LegendSymbol.CURRENT: 26.0,
    LegendSymbol.WIDTH: 44.0,
    LegendSymbol.SHADE: 80.0,
    LegendSymbol.FADED: 30.0,
    LegendSymbol.EXTRA: 31.0,
}


def _before(key: LegendEntry) -> float:
    """From where a sample begins to where its text does."""
    return _WIDTHS.get(key.symbol, 8.0) + _NEXT


def _width(key: LegendEntry) -> float:
    return _before(key) + text_width(
        printable(key.text), _SIZE, bold=key.symbol is LegendSymbol.INBOUND
    )


def wrap_legend(keys: tuple[LegendEntry, ...], widest: float) -> list[list[LegendEntry]]:
    """All in one line if they fit; else in several, the directions by themselves."""
    directions = [key for key in keys if key.symbol in _DIRECTIONS]
    others = [key for key in keys if key.symbol not in _DIRECTIONS]
    one = list(_filled([*directions, *others], widest))
    return one if len(one) <= 1 else [*_even(directions, widest), *_even(others, widest)]


def _even(keys: list[LegendEntry], widest: float) -> list[list[LegendEntry]]:
    """In as few lines as there have to be, about as many in each if they fit."""
    full = list(_filled(keys, widest))
    share = max(1, -(-len(keys) // max(1, len(full))))
    even = [keys[start : start + share] for start in range(0, len(keys), share)]
    return even if all(len(list(_filled(row, widest))) == 1 for row in even) else full


def _filled(keys: list[LegendEntry], widest: float) -> Iterator[list[LegendEntry]]:
    row: list[LegendEntry] = []
    used = 0.0
    for key in keys:
        if row and used + _GAP + _width(key) > widest:
            yield row
            row, used = [], 0.0
        used += (_GAP if row else 0.0) + _width(key)
        row.append(key)
    if row:
        yield row


def legend_shapes(
    rows: list[list[LegendEntry]], left: float, top: float, palette: Palette
) -> Iterator[str]:
    """All lines, from there on downwards."""
    for place, keys in enumerate(rows):
        x, y = left, top + place * LEGEND_ROW_HEIGHT + LEGEND_ROW_HEIGHT / 2
        for key in keys:
            colour = palette.muted
            face: dict[str, AttributeValue] = {}
            if key.symbol in _DIRECTIONS:
                colour = palette.triggers[_DIRECTIONS[key.symbol]]
                face = _FACES.get(key.symbol, {})
            yield "".join(_sample(key.symbol, x, y, palette))
            at = (x + _before(key), y + 4.6)
            yield text_element(at, _SIZE, colour, escape_text(key.text), **face)
            x += _width(key) + _GAP


_FACES: Final[Mapping[LegendSymbol, dict[str, AttributeValue]]] = {
    LegendSymbol.INBOUND: {"font_weight": "bold"},
    LegendSymbol.TIMER: {"font_style": "italic"},
}


def _sample(shown: LegendSymbol, x: float, y: float, palette: Palette) -> Iterator[str]:
    if shown in _DIRECTIONS:
        direction = _DIRECTIONS[shown]
        yield direction_symbol(direction, (x, y), palette.triggers[direction])
    else:
        yield from _SAMPLES[shown](x, y, palette)


def _badge(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.centred_at((x + PILL_HEIGHT / 2, y), PILL_HEIGHT, PILL_HEIGHT)
    yield pill_shape(Pill(("1",)), box, palette, counts=False)


def _count(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.centred_at((x + _COUNT.width / 2, y), _COUNT.width, PILL_HEIGHT)
    yield pill_shape(_COUNT, box, palette, counts=True)


def _current(x: float, y: float, palette: Palette) -> Iterator[str]:
    outer = Box.centred_at((x + 13, y), 25, 18)
    line: dict[str, AttributeValue] = {"stroke": palette.accent, "stroke_width": 1.6}
    yield rectangle(outer, 6, fill=palette.page, **line)
    yield rectangle(outer.grown(-3.5), 3, fill=palette.state_fill, **line)


def _wedge(x: float, y: float, palette: Palette) -> Iterator[str]:
    end = x + 44
    shape = path_data(
        "M", (x, y - 0.6), "L", (end, y - 4), "L", (end, y + 4), "L", (x, y + 0.6), "Z"
    )
    yield element("path", {"d": shape, "fill": palette.stroke})


def _scale(x: float, y: float, palette: Palette) -> Iterator[str]:
    for step in range(5):
        box = Box.centred_at((x + 8 + 16 * step, y), 16, 14)
        yield rectangle(box, 0, fill=palette.shade(step / 4))
    whole = Box.centred_at((x + 40, y), 80, 14)
    yield rectangle(whole, 2, fill="none", stroke=palette.stroke, stroke_width=1.0)


def _dead(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _stroke(x, y, 30, palette.faded, 1.2)


def _dashed(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _stroke(x, y, 31, palette.stroke, 1.8, {"stroke-dasharray": "7 5"})


def _stroke(
    x: float,
    y: float,
    long: float,
    colour: str,
    width: float,
    more: dict[str, AttributeValue] | None = None,
) -> str:
    line: dict[str, AttributeValue] = {
        "d": path_data("M", (x, y), "L", (x + long, y)),
        "stroke": colour,
    }
    return element("path", line | {"stroke-width": width, "fill": "none"} | (more or {}))


_SAMPLES: Final[Mapping[LegendSymbol, Callable[[float, float, Palette], Iterator[str]]]] = {
    LegendSymbol.BADGE: _badge,
    LegendSymbol.COUNT: _count,
    LegendSymbol.CURRENT: _current,
    LegendSymbol.WIDTH: _wedge,
    LegendSymbol.SHADE: _scale,
    LegendSymbol.FADED: _dead,
    LegendSymbol.EXTRA: _dashed,
}
