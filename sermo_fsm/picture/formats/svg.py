"""A drawing as SVG: laid out by us, so that it comes out the same on every machine.

There is no style sheet and no script in it: everything stands in attributes, which every reader of
SVG understands and which do not touch the page that the picture is put into.
"""

from collections.abc import Iterator
from typing import Final

from sermo_fsm.picture.drawing import Arrow, Drawing
from sermo_fsm.picture.formats.palette import Palette, palette_of
from sermo_fsm.picture.formats.svg_legend import ROW, legend, legend_rows
from sermo_fsm.picture.formats.svg_markup import Value, element, path, words
from sermo_fsm.picture.formats.svg_shapes import arrow_shape, loop_text, node_shape, text
from sermo_fsm.picture.layout.arrange import Picture, arranged
from sermo_fsm.picture.layout.geometry import Box, around
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.text_blocks import fitting, printable

__all__ = ["FONTS", "svg"]

FONTS: Final = "Arimo, Arial, Helvetica, 'Liberation Sans', sans-serif"
"""As wide as each other, and one of them is on every machine."""

_MARGIN: Final = 24.0
_NARROWEST: Final = 640.0
_TITLE: Final = 20.0
_TITLE_LEADING: Final = 26.0
_CAPTION: Final = 14.0
_CAPTION_LEADING: Final = 20.0


def svg(drawing: Drawing, theme: str = "light") -> str:
    """A drawing as the text of an SVG file, the same on every run.

    Raises:
        InvalidArgument: There is no such theme.
    """
    return _Page(drawing, arranged(drawing), palette_of(theme)).text()


class _Page:
    """The title above, the machine, the legend below."""

    def __init__(self, drawing: Drawing, picture: Picture, palette: Palette) -> None:
        self._drawing = drawing
        self._picture = picture
        self._palette = palette
        self._bounds = _bounds(picture)
        inner = max(_NARROWEST, self._bounds.width)
        self._width = round(inner + 2 * _MARGIN)
        self._title = fitting(printable(drawing.title), inner, _TITLE, bold=True)
        self._caption = [
            row for line in drawing.caption for row in fitting(printable(line), inner, _CAPTION)
        ]
        self._legend = legend_rows(drawing.legend, inner)
        self._top = _MARGIN + _TITLE_LEADING * len(self._title)
        self._middle = self._top + _CAPTION_LEADING * len(self._caption) + 22.0
        self._rule = self._middle + self._bounds.height + 26.0
        below = ROW * len(self._legend) + 14.0 if self._legend else 0.0
        self._height = round(self._rule + below + _MARGIN - 10.0)

    def text(self) -> str:
        """The whole file."""
        name = self._drawing.name
        attributes: dict[str, Value] = {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": float(self._width),
            "height": float(self._height),
            "viewBox": f"0 0 {self._width} {self._height}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "font-family": FONTS,
        }
        children = [
            element("title", {"id": f"{name}-title"}, words(self._drawing.title)),
            element("desc", {"id": f"{name}-desc"}, words(self._description())),
            element("metadata", {}, words(self._drawing.origin)),
            element("rect", {"width": "100%", "height": "100%", "fill": self._palette.page}),
            *self._heading(),
            *self._machine(),
            *self._below(),
        ]
        return "\n".join(_lines(element("svg", attributes, "\n", *_each(children)))) + "\n"

    def _description(self) -> str:
        if self._drawing.description:
            return self._drawing.description
        return " ".join(f"{_told(arrow)}." for arrow in self._drawing.arrows)

    def _heading(self) -> Iterator[str]:
        y = _MARGIN - 10.0
        for row in self._title:
            y += _TITLE_LEADING
            yield text((_MARGIN, y), _TITLE, self._palette.ink, words(row), font_weight="bold")
        for row in self._caption:
            y += _CAPTION_LEADING
            yield text((_MARGIN, y + 1), _CAPTION, self._palette.quiet, words(row))

    def _machine(self) -> Iterator[str]:
        right = (self._width - self._bounds.width) / 2 - self._bounds.left
        down = self._middle - self._bounds.top
        name = self._drawing.name
        yield f'<g id="{words(name)}" transform="translate({right:.1f} {down:.1f})">'
        # A label that a line has to run through is drawn after that line.
        routes = sorted(
            self._picture.routes, key=lambda route: route.arrow.id in self._picture.struck
        )
        yield from (self._arrow(route) for route in routes if not route.loops)
        for state, spot in self._picture.spots.items():
            shape = node_shape(spot, self._palette)
            told = f"{state}: {', '.join(spot.notes)}" if spot.notes else str(state)
            title = element("title", {}, words(told))
            yield element("g", {"id": f"{name}-{state}"}, title, shape)
        yield from (self._arrow(route) for route in routes if route.loops)
        yield "</g>"

    def _arrow(self, route: Route) -> str:
        arrow = route.arrow
        label, pill = self._picture.labels.get(arrow.id), self._picture.pills.get(arrow.id)
        struck = arrow.id in self._picture.struck
        shape = arrow_shape(route, label, pill, self._palette, struck=struck)
        if route.loops and arrow.source:
            shape += loop_text(self._picture.spots[arrow.source], arrow.id, self._palette)
        title = element("title", {}, words(_told(arrow)))
        return element("g", {"id": f"{self._drawing.name}-{arrow.id}"}, title, shape)

    def _below(self) -> Iterator[str]:
        if not self._legend:
            return
        ends = (_MARGIN, self._rule), (self._width - _MARGIN, self._rule)
        shape = path("M", ends[0], "L", ends[1])
        yield element("path", {"d": shape, "stroke": self._palette.rule, "stroke-width": 1.0})
        yield from legend(self._legend, _MARGIN, self._rule + 14.0, self._palette)


def _told(arrow: Arrow) -> str:
    """An arrow in words."""
    way = f"{arrow.source or 'start'} to {arrow.target or 'end'}"
    lines = [
        f"{line.text} ({line.direction}{', ' if line.note else ''}{line.note})"
        for line in arrow.lines
    ]
    steps = f"steps {', '.join(arrow.badges)}" if arrow.badges else ""
    rest = "; ".join(filter(None, [steps, ", ".join(lines)]))
    return f"{way}: {rest}" if rest else way


def _bounds(picture: Picture) -> Box:
    boxes = [spot.box for spot in picture.spots.values()]
    boxes += [route.curve.bounds.grown(route.width / 2 + 1) for route in picture.routes]
    boxes += [route.mark for route in picture.routes if route.mark]
    return around(*boxes, *picture.labels.values(), *picture.pills.values())


def _each(children: list[str]) -> Iterator[str]:
    for child in children:
        yield child
        yield "\n"


def _lines(whole: str) -> list[str]:
    return whole.splitlines()
