"""The legend: a line of samples, and what they mean."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sermo_fsm.picture.drawing import Key, Mark
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_markup import Value, element, path, words
from sermo_fsm.picture.formats.svg_shapes import box_shape, mark, pill_shape, text
from sermo_fsm.picture.layout.font_metrics import text_width
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.text_blocks import PILL_ROW, Pill, printable
from sermo_fsm.protocol.events import Direction

__all__ = ["ROW", "legend", "legend_rows"]

ROW: Final = 24.0
"""From one line of the legend to the next."""

_SIZE: Final = 13.0
_GAP: Final = 26.0
_NEXT: Final = 8.0
_DIRECTIONS: Final = {
    Mark.INBOUND: Direction.INBOUND,
    Mark.OUTBOUND: Direction.OUTBOUND,
    Mark.TIMER: Direction.TIMER,
}
_COUNT: Final = Pill(("12",))
_WIDTHS: Final = {
    Mark.BADGE: PILL_ROW,
    Mark.COUNT: _COUNT.width,
    Mark.CURRENT: 26.0,
    Mark.WIDTH: 44.0,
    Mark.SHADE: 80.0,
    Mark.FADED: 30.0,
    Mark.EXTRA: 31.0,
}


def _before(key: Key) -> float:
    """From where a sample begins to where its text does."""
    return _WIDTHS.get(key.mark, 8.0) + _NEXT


def _width(key: Key) -> float:
    return _before(key) + text_width(printable(key.text), _SIZE, bold=key.mark is Mark.INBOUND)


def legend_rows(keys: tuple[Key, ...], widest: float) -> list[list[Key]]:
    """All in one line if they fit; else in several, the directions by themselves."""
    directions = [key for key in keys if key.mark in _DIRECTIONS]
    others = [key for key in keys if key.mark not in _DIRECTIONS]
    one = list(_filled([*directions, *others], widest))
    return one if len(one) <= 1 else [*_even(directions, widest), *_even(others, widest)]


def _even(keys: list[Key], widest: float) -> list[list[Key]]:
    """In as few lines as there have to be, about as many in each if they fit."""
    full = list(_filled(keys, widest))
    share = max(1, -(-len(keys) // max(1, len(full))))
    even = [keys[start : start + share] for start in range(0, len(keys), share)]
    return even if all(len(list(_filled(row, widest))) == 1 for row in even) else full


def _filled(keys: list[Key], widest: float) -> Iterator[list[Key]]:
    row: list[Key] = []
    used = 0.0
    for key in keys:
        if row and used + _GAP + _width(key) > widest:
            yield row
            row, used = [], 0.0
        used += (_GAP if row else 0.0) + _width(key)
        row.append(key)
    if row:
        yield row


def legend(rows: list[list[Key]], left: float, top: float, palette: Palette) -> Iterator[str]:
    """All lines, from there on downwards."""
    for place, keys in enumerate(rows):
        x, y = left, top + place * ROW + ROW / 2
        for key in keys:
            colour = palette.quiet
            face: dict[str, Value] = {}
            if key.mark in _DIRECTIONS:
                colour = palette.triggers[_DIRECTIONS[key.mark]]
                face = _FACES.get(key.mark, {})
            yield "".join(_sample(key.mark, x, y, palette))
            at = (x + _before(key), y + 4.6)
            yield text(at, _SIZE, colour, words(key.text), **face)
            x += _width(key) + _GAP


_FACES: Final[Mapping[Mark, dict[str, Value]]] = {
    Mark.INBOUND: {"font_weight": "bold"},
    Mark.TIMER: {"font_style": "italic"},
}


def _sample(shown: Mark, x: float, y: float, palette: Palette) -> Iterator[str]:
    if shown in _DIRECTIONS:
        direction = _DIRECTIONS[shown]
        yield mark(direction, (x, y), palette.triggers[direction])
    else:
        yield from _SAMPLES[shown](x, y, palette)


def _badge(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.at((x + PILL_ROW / 2, y), PILL_ROW, PILL_ROW)
    yield pill_shape(Pill(("1",)), box, palette, counts=False)


def _count(x: float, y: float, palette: Palette) -> Iterator[str]:
    box = Box.at((x + _COUNT.width / 2, y), _COUNT.width, PILL_ROW)
    yield pill_shape(_COUNT, box, palette, counts=True)


def _current(x: float, y: float, palette: Palette) -> Iterator[str]:
    outer = Box.at((x + 13, y), 25, 18)
    line: dict[str, Value] = {"stroke": palette.accent, "stroke_width": 1.6}
    yield box_shape(outer, 6, fill=palette.page, **line)
    yield box_shape(outer.grown(-3.5), 3, fill=palette.state, **line)


def _wedge(x: float, y: float, palette: Palette) -> Iterator[str]:
    end = x + 44
    shape = path("M", (x, y - 0.6), "L", (end, y - 4), "L", (end, y + 4), "L", (x, y + 0.6), "Z")
    yield element("path", {"d": shape, "fill": palette.line})


def _scale(x: float, y: float, palette: Palette) -> Iterator[str]:
    for step in range(5):
        box = Box.at((x + 8 + 16 * step, y), 16, 14)
        yield box_shape(box, 0, fill=palette.shade(step / 4))
    whole = Box.at((x + 40, y), 80, 14)
    yield box_shape(whole, 2, fill="none", stroke=palette.line, stroke_width=1.0)


def _dead(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _stroke(x, y, 30, palette.faded, 1.2)


def _dashed(x: float, y: float, palette: Palette) -> Iterator[str]:
    yield _stroke(x, y, 31, palette.line, 1.8, {"stroke-dasharray": "7 5"})


def _stroke(
    x: float,
    y: float,
    long: float,
    colour: str,
    width: float,
    more: dict[str, Value] | None = None,
) -> str:
    line: dict[str, Value] = {"d": path("M", (x, y), "L", (x + long, y)), "stroke": colour}
    return element("path", line | {"stroke-width": width, "fill": "none"} | (more or {}))


_SAMPLES: Final[Mapping[Mark, Callable[[float, float, Palette], Iterator[str]]]] = {
    Mark.BADGE: _badge,
    Mark.COUNT: _count,
    Mark.CURRENT: _current,
    Mark.WIDTH: _wedge,
    Mark.SHADE: _scale,
    Mark.FADED: _dead,
    Mark.EXTRA: _dashed,
}
