"""States and arrows in SVG."""

from collections.abc import Iterator
from typing import Final

from sermo_fsm.picture.drawing import Arrow
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_labels import block_shape, pill_shape
from sermo_fsm.picture.formats.svg_markup import (
    AttributeValue,
    element,
    escape_text,
    path_data,
    rectangle,
    text_element,
)
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.routes import Route, arrow_head_size
from sermo_fsm.picture.layout.state_boxes import (
    NAME_FONT_SIZE,
    NAME_HEIGHT,
    NOTE_FONT_SIZE,
    NOTE_LINE_HEIGHT,
    PADDING,
    RING_GAP,
    LoopLabel,
    StateBox,
)

__all__ = ["arrow_shape", "loop_label_shape", "node_shape"]

_CORNER_RADIUS: Final = 12.0
_BORDER_WIDTH: Final = 1.5
_CURRENT_BORDER_WIDTH: Final = 2.0
_LABEL_PADDING: Final = 3.0


def node_shape(state_box: StateBox, palette: Palette) -> str:
    """Return a state with its name and its notes."""
    node, box = state_box.node, state_box.box
    fill, ink, border = palette.state_fill, palette.ink, palette.stroke
    if node.shade is not None:
        fill = palette.shade(node.shade)
    elif node.faded:
        fill, ink, border = palette.page, palette.faded_ink, palette.faded
    shapes = []
    width = _BORDER_WIDTH
    if node.current:
        border, width = palette.accent, _CURRENT_BORDER_WIDTH
        ring: dict[str, AttributeValue] = {"stroke": border, "stroke_width": width}
        shapes.append(rectangle(box, _CORNER_RADIUS + RING_GAP, fill=palette.page, **ring))
        box = box.grown(-RING_GAP)
    shapes.append(rectangle(box, _CORNER_RADIUS, fill=fill, stroke=border, stroke_width=width))
    middle, top = box.centre[0], _text_top(state_box)
    style: dict[str, AttributeValue] = {"font_weight": "bold", "text_anchor": "middle"}
    name = escape_text(node.state)
    shapes.append(text_element((middle, top + 17), NAME_FONT_SIZE, ink, name, **style))
    for number, note in enumerate(map(escape_text, filter(None, state_box.notes)), start=1):
        at = (middle, top + 18 + number * NOTE_LINE_HEIGHT)
        shapes.append(text_element(at, NOTE_FONT_SIZE, ink, note, text_anchor="middle"))
    return "".join(shapes)


def _text_top(state_box: StateBox) -> float:
    """Return the top of the name."""
    if state_box.loop_labels:  # aligned at the top, so that the names in a row of states line up
        return state_box.box.top + PADDING + (RING_GAP if state_box.node.current else 0.0)
    return state_box.box.centre[1] - _text_height(state_box) / 2


def _text_height(state_box: StateBox) -> float:
    return NAME_HEIGHT + NOTE_LINE_HEIGHT * len(state_box.notes)


def loop_label_shape(state_box: StateBox, arrow_id: str, palette: Palette) -> str:
    """Return the label of an arrow from a state to itself, which stands inside the state."""
    ink = None if state_box.node.shade is None else palette.ink
    top = _text_top(state_box) + _text_height(state_box)
    for other, label in state_box.loop_labels.items():
        if other == arrow_id:
            return "".join(_loop_label_parts(label, state_box.box, top, palette, ink))
        top += label.height
    return ""


def _loop_label_parts(
    label: LoopLabel, box: Box, top: float, palette: Palette, ink: str | None
) -> Iterator[str]:
    inset, divider = PADDING - 3, top + label.divider_height / 2
    line = path_data("M", (box.left + inset, divider), "L", (box.right - inset, divider))
    stroke = ink or palette.stroke
    yield element("path", {"d": line, "fill": "none", "stroke": stroke, "stroke-width": 0.8})
    if label.pill:
        at = (box.centre[0], divider)
        where = Box.centred_at(at, label.pill.width, label.pill.height)
        yield pill_shape(label.pill, where, palette, counts=True)
    if label.block:
        # Left-aligned, so that the labels in a row of states line up.
        left, below, block = box.left + PADDING, top + label.divider_height, label.block
        where = Box(left, below, left + block.width, below + block.height)
        yield block_shape(block, where, palette, ink)


def arrow_shape(
    route: Route, label: Box | None, pill: Box | None, palette: Palette, *, crossed: bool
) -> str:
    """Return an arrow with its label and its pill.

    Args:
        route: The way of the arrow, with its texts.
        label: Where the triggers stand, if there are any outside a state.
        pill: Where the badges stand, if there are any outside a state.
        palette: The colours.
        crossed: Another line runs through the label, so it gets a background.
    """
    colour = _stroke_colour(route.arrow, palette)
    shapes = [_line(route, colour, palette), _head(route, colour)]
    if route.marker:
        shapes.append(_marker(route, route.marker, palette))
    if route.block and label:
        if crossed:
            shapes.append(rectangle(label.grown(_LABEL_PADDING), _LABEL_PADDING, fill=palette.page))
        shapes.append(block_shape(route.block, label, palette))
    if route.pill and pill:
        shapes.append(pill_shape(route.pill, pill, palette, counts=route.arrow.weight is not None))
    return "".join(shapes)


def _stroke_colour(arrow: Arrow, palette: Palette) -> str:
    if arrow.taken:
        return palette.accent
    return palette.faded if arrow.faded else palette.stroke


def _line(route: Route, colour: str, palette: Palette) -> str:
    pieces = route.curve.pieces
    shape = path_data("M", pieces[0][0], *(p for piece in pieces for p in ("C", *piece[1:])))
    line: dict[str, AttributeValue] = {"d": shape, "fill": "none"}
    # A wider line in the colour of the page makes a gap in the lines that this one crosses.
    gap = element("path", line | {"stroke": palette.page, "stroke-width": route.width + 5})
    dashes: dict[str, AttributeValue] = {"stroke-dasharray": "7 5"} if route.arrow.extra else {}
    stroke = element("path", line | {"stroke": colour, "stroke-width": route.width} | dashes)
    return stroke if route.is_loop or route.marker else gap + stroke


def _head(route: Route, colour: str) -> str:
    (x, y), (right, down) = route.tip, route.heading
    length, half_width = arrow_head_size(route.width)
    back = (x - right * length, y - down * length)
    left_corner = (back[0] - down * half_width, back[1] - right * half_width)
    right_corner = (back[0] + down * half_width, back[1] + right * half_width)
    shape = path_data("M", (x, y), "L", left_corner, "L", right_corner, "Z")
    return element("path", {"d": shape, "fill": colour})


def _marker(route: Route, box: Box, palette: Palette) -> str:
    """Return the start marker, a disc, or the end marker, a disc in a ring."""
    colour = _stroke_colour(route.arrow, palette)
    (x, y), radius = box.centre, box.width / 2
    if route.arrow.source is None:
        return element("circle", {"cx": x, "cy": y, "r": radius - 1, "fill": colour})
    ring: dict[str, AttributeValue] = {"cx": x, "cy": y, "r": radius - 0.8}
    line: dict[str, AttributeValue] = {"fill": palette.page, "stroke": colour, "stroke-width": 1.6}
    disc: dict[str, AttributeValue] = {"cx": x, "cy": y, "r": radius - 4, "fill": colour}
    return element("circle", ring | line) + element("circle", disc)
