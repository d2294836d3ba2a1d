"""A drawing as SVG, laid out here so that the file is the same on every machine.

The file has no style sheet and no script. All style stands in attributes: every SVG reader
understands them, and they don't affect a page that the SVG is embedded in.
"""

from collections.abc import Iterator
from typing import Final

from sermo_fsm.picture.drawing import Arrow, Drawing
from sermo_fsm.picture.formats.palette import Palette, palette_for
from sermo_fsm.picture.formats.svg_legend import LEGEND_ROW_HEIGHT, legend_shapes, wrap_legend
from sermo_fsm.picture.formats.svg_markup import (
    AttributeValue,
    element,
    escape_text,
    path_data,
    text_element,
)
from sermo_fsm.picture.formats.svg_shapes import arrow_shape, loop_label_shape, node_shape
from sermo_fsm.picture.layout.arrange import Layout, arrange_drawing
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.text_blocks import printable, wrap_text

__all__ = ["FONT_FAMILY", "svg"]

FONT_FAMILY: Final = "Arimo, Arial, Helvetica, 'Liberation Sans', sans-serif"
"""Fonts with the same letter widths; every machine has one of them or a plain sans-serif."""

_MARGIN: Final = 24.0
_MIN_WIDTH: Final = 640.0
_TITLE_SIZE: Final = 20.0
_TITLE_LEADING: Final = 26.0
_CAPTION_SIZE: Final = 14.0
_CAPTION_LEADING: Final = 20.0


def svg(drawing: Drawing, theme: str = "light") -> str:
    """Return a drawing as the text of an SVG file; the same drawing gives the same text.

    Raises:
        InvalidArgument: There is no such theme.
    """
    return _SvgDocument(drawing, arrange_drawing(drawing), palette_for(theme)).render()


class _SvgDocument:
    """Lays out the page: title and caption, the machine below, then the legend."""

    def __init__(self, drawing: Drawing, layout: Layout, palette: Palette) -> None:
        self._drawing = drawing
        self._layout = layout
        self._palette = palette
        self._bounds = layout.bounds
        inner = max(_MIN_WIDTH, self._bounds.width)
        self._width = round(inner + 2 * _MARGIN)
        self._title = wrap_text(printable(drawing.title), inner, _TITLE_SIZE, bold=True)
        self._caption = [
            row
            for line in drawing.caption
            for row in wrap_text(printable(line), inner, _CAPTION_SIZE)
        ]
        self._legend = wrap_legend(drawing.legend, inner)
        self._top = _MARGIN + _TITLE_LEADING * len(self._title)
        self._machine_top = self._top + _CAPTION_LEADING * len(self._caption) + 22.0
        self._legend_top = self._machine_top + self._bounds.height + 26.0
        below = LEGEND_ROW_HEIGHT * len(self._legend) + 14.0 if self._legend else 0.0
        self._height = round(self._legend_top + below + _MARGIN - 10.0)

    def render(self) -> str:
        """Return the text of the file."""
        name = self._drawing.name
        attributes: dict[str, AttributeValue] = {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": float(self._width),
            "height": float(self._height),
            "viewBox": f"0 0 {self._width} {self._height}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "font-family": FONT_FAMILY,
        }
        children = [
            element("title", {"id": f"{name}-title"}, escape_text(self._drawing.title)),
            element("desc", {"id": f"{name}-desc"}, escape_text(self._description())),
            element("metadata", {}, escape_text(self._drawing.origin)),
            element("rect", {"width": "100%", "height": "100%", "fill": self._palette.page}),
            *self._heading(),
            *self._machine(),
            *self._legend_shapes(),
        ]
        return element("svg", attributes, "\n", *(f"{child}\n" for child in children)) + "\n"

    def _description(self) -> str:
        if self._drawing.description:
            return self._drawing.description
        return " ".join(f"{_describe_arrow(arrow)}." for arrow in self._drawing.arrows)

    def _heading(self) -> Iterator[str]:
        y = _MARGIN - 10.0
        for row in self._title:
            y += _TITLE_LEADING
            yield text_element(
                (_MARGIN, y), _TITLE_SIZE, self._palette.ink, escape_text(row), font_weight="bold"
            )
        for row in self._caption:
            y += _CAPTION_LEADING
            yield text_element(
                (_MARGIN, y + 1), _CAPTION_SIZE, self._palette.muted, escape_text(row)
            )

    def _machine(self) -> Iterator[str]:
        right = (self._width - self._bounds.width) / 2 - self._bounds.left
        down = self._machine_top - self._bounds.top
        name = self._drawing.name
        yield f'<g id="{escape_text(name)}" transform="translate({right:.1f} {down:.1f})">'
        # Arrows whose label is crossed by a line are drawn last, so that the label covers the line.
        routes = sorted(
            self._layout.routes, key=lambda route: route.arrow.id in self._layout.crossings
        )
        yield from (self._arrow(route) for route in routes if not route.is_loop)
        for state, state_box in self._layout.state_boxes.items():
            shape = node_shape(state_box, self._palette)
            notes = tuple(filter(None, state_box.notes))
            name_and_notes = f"{state}: {', '.join(notes)}" if notes else str(state)
            title = element("title", {}, escape_text(name_and_notes))
            yield element("g", {"id": f"{name}-{state}"}, title, shape)
        yield from (self._arrow(route) for route in routes if route.is_loop)
        yield "</g>"

    def _arrow(self, route: Route) -> str:
        arrow = route.arrow
        label, pill = self._layout.labels.get(arrow.id), self._layout.pills.get(arrow.id)
        crossed = arrow.id in self._layout.crossings
        shape = arrow_shape(route, label, pill, self._palette, crossed=crossed)
        if route.is_loop and arrow.source:
            state_box = self._layout.state_boxes[arrow.source]
            shape += loop_label_shape(state_box, arrow.id, self._palette)
        title = element("title", {}, escape_text(_describe_arrow(arrow)))
        return element("g", {"id": f"{self._drawing.name}-{arrow.id}"}, title, shape)

    def _legend_shapes(self) -> Iterator[str]:
        if not self._legend:
            return
        ends = (_MARGIN, self._legend_top), (self._width - _MARGIN, self._legend_top)
        shape = path_data("M", ends[0], "L", ends[1])
        yield element("path", {"d": shape, "stroke": self._palette.hairline, "stroke-width": 1.0})
        yield from legend_shapes(self._legend, _MARGIN, self._legend_top + 14.0, self._palette)


def _describe_arrow(arrow: Arrow) -> str:
    """Return an arrow in words: its ends, its badges and its triggers."""
    ends = f"{arrow.source or 'start'} to {arrow.target or 'end'}"
    lines = [
        f"{line.text} ({line.direction}{', ' if line.note else ''}{line.note})"
        for line in arrow.lines
    ]
    steps = f"steps {', '.join(arrow.badges)}" if arrow.badges else ""
    rest = "; ".join(filter(None, [steps, ", ".join(lines)]))
    return f"{ends}: {rest}" if rest else ends
