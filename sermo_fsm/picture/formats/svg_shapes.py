"""What a state, an arrow and a label look like."""

from collections.abc import Iterator
from typing import Final

from sermo_fsm.picture.drawing import Arrow, TriggerLine
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_markup import AttributeValue, element, escape_text, path_data
from sermo_fsm.picture.layout.geometry import Box, Point
from sermo_fsm.picture.layout.routes import Route, arrow_head_size
from sermo_fsm.picture.layout.state_boxes import (
    NAME_FONT_SIZE,
    NOTE_FONT_SIZE,
    PADDING,
    RING_GAP,
    LoopLabel,
    StateBox,
)
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

__all__ = [
    "arrow_shape",
    "direction_symbol",
    "loop_label",
    "node_shape",
    "pill_shape",
    "rectangle",
    "text_element",
]

_ROUND: Final = 12.0
_EDGE: Final = 1.5
_AROUND: Final = 3.0
_FACES: Final[dict[Direction, dict[str, AttributeValue]]] = {
    Direction.INBOUND: {"font-weight": "bold"},
    Direction.TIMER: {"font-style": "italic"},
}


def text_element(at: Point, size: float, colour: str, content: str, **more: AttributeValue) -> str:
    """A text, already escaped, on its base line."""
    rest = {key.replace("_", "-"): value for key, value in more.items()}
    where: dict[str, AttributeValue] = {"x": at[0], "y": at[1], "font-size": size, "fill": colour}
    return element("text", where | rest, content)


def rectangle(box: Box, round_by: float, **more: AttributeValue) -> str:
    """A rectangle with round corners."""
    rest = {key.replace("_", "-"): value for key, value in more.items()}
    where: dict[str, AttributeValue] = {
        "x": box.left,
        "y": box.top,
        "width": box.width,
        "height": box.height,
        "rx": round_by,
    }
    return element("rect", where | rest)


def direction_symbol(direction: Direction, at: Point, colour: str) -> str:
    """The shape that says who pulls a trigger; *at* is the middle of its left side."""
    x, y = at
    if direction is Direction.TIMER:
        where: dict[str, AttributeValue] = {"cx": x + 4.3, "cy": y, "r": 3.6}
        return element("circle", where | {"fill": "none", "stroke": colour, "stroke-width": 1.5})
    back, tip = (x, x + 8.4) if direction is Direction.INBOUND else (x + 8.4, x)
    shape = path_data("M", (back, y - 4.6), "L", (tip, y), "L", (back, y + 4.6), "Z")
    return element("path", {"d": shape, "fill": colour})


def node_shape(spot: StateBox, palette: Palette) -> str:
    """A state with its name and its notes."""
    node, box = spot.node, spot.box
    fill, ink, edge = palette.state_fill, palette.ink, palette.stroke
    if node.shade is not None:
        fill = palette.shade(node.shade)
    elif node.faded:
        fill, ink, edge = palette.page, palette.faded_ink, palette.faded
    shapes = []
    if node.current:
        edge = palette.accent
        ring: dict[str, AttributeValue] = {
            "fill": palette.page,
            "stroke": edge,
            "stroke_width": 2.0,
        }
        shapes.append(rectangle(box, _ROUND + RING_GAP, **ring))
        box = box.grown(-RING_GAP)
    width = 2.0 if node.current else _EDGE
    shapes.append(rectangle(box, _ROUND, fill=fill, stroke=edge, stroke_width=width))
    middle, top = box.centre[0], _top(spot)
    shapes.append(
        text_element(
            (middle, top + 17),
            NAME_FONT_SIZE,
            ink,
            escape_text(node.state),
            font_weight="bold",
            text_anchor="middle",
        )
    )
    for place, note in enumerate(spot.notes, start=1):
        at = (middle, top + 18 + place * (LINE_HEIGHT - 1))
        shapes.append(
            text_element(at, NOTE_FONT_SIZE, ink, escape_text(note), text_anchor="middle")
        )
    return "".join(shapes)


def _top(spot: StateBox) -> float:
    """Where what is written in a state begins."""
    if spot.loop_labels:  # so that the names of those beside each other stand in one line
        return spot.box.top + PADDING + (RING_GAP if spot.node.current else 0.0)
    return spot.box.centre[1] - (22.0 + (LINE_HEIGHT - 1) * len(spot.notes)) / 2


def loop_label(spot: StateBox, name: str, palette: Palette) -> str:
    """What an arrow of a state to itself says, where it stands inside of the state."""
    ink = None if spot.node.shade is None else palette.ink
    top = _top(spot) + 22.0 + (LINE_HEIGHT - 1) * len(spot.notes)
    for other, inside in spot.loop_labels.items():
        if other == name:
            return "".join(_inside(inside, spot.box, top, palette, ink))
        top += inside.height
    return ""


def _inside(
    inside: LoopLabel, box: Box, top: float, palette: Palette, ink: str | None
) -> Iterator[str]:
    edge, seam = PADDING - 3, top + inside.divider_height / 2
    ends = (box.left + edge, seam), (box.right - edge, seam)
    line: dict[str, AttributeValue] = {"d": path_data("M", ends[0], "L", ends[1]), "fill": "none"}
    yield element("path", line | {"stroke": ink or palette.stroke, "stroke-width": 0.8})
    middle = box.centre[0]
    if inside.pill:
        where = Box.centred_at((middle, seam), inside.pill.width, inside.pill.height)
        yield pill_shape(inside.pill, where, palette, counts=True)
    if inside.block:
        # To the left, so that those beside each other begin alike.
        left, below, block = box.left + PADDING, top + inside.divider_height, inside.block
        where = Box(left, below, left + block.width, below + block.height)
        yield block_shape(block, where, palette, ink)


def block_shape(block: TextBlock, box: Box, palette: Palette, ink: str | None = None) -> str:
    """The triggers of an arrow, each with its mark, its note at the right."""
    shapes = []
    for start, rows in _by_line(block.rows):
        line = rows[0].line
        colour = ink or (palette.faded_ink if line.faded else palette.triggers[line.direction])
        base = box.top + start * LINE_HEIGHT + 13.4
        shapes.append(direction_symbol(line.direction, (box.left, base - 4.8), colour))
        said = [row for row in rows if not row.is_note]
        shapes.append(_words(line, said, (box.left + SYMBOL_INDENT, base), colour))
        quiet = ink or palette.muted
        for further, row in enumerate(rows):
            y = base + further * LINE_HEIGHT
            if row.note:
                at = (box.left + block.notes_right, y)
                shapes.append(
                    text_element(
                        at, TRIGGER_FONT_SIZE, quiet, escape_text(row.note), text_anchor="end"
                    )
                )
            elif row.is_note:
                shapes.append(
                    text_element(
                        (box.left + SYMBOL_INDENT, y),
                        TRIGGER_FONT_SIZE,
                        quiet,
                        escape_text(row.text),
                    )
                )
    return "".join(shapes)


def _by_line(rows: tuple[TextRow, ...]) -> Iterator[tuple[int, list[TextRow]]]:
    starts = [place for place, row in enumerate(rows) if row.starts_trigger]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield start, list(rows[start:end])


def _words(line: TriggerLine, rows: list[TextRow], at: Point, colour: str) -> str:
    """One text also where it is broken, so that it is read and found as one."""
    first, *others = (escape_text(row.text) for row in rows)
    further = "".join(
        " " + element("tspan", {"x": at[0], "dy": LINE_HEIGHT}, row) for row in others
    )
    face = _FACES.get(line.direction, {})
    where: dict[str, AttributeValue] = {
        "x": at[0],
        "y": at[1],
        "font-size": TRIGGER_FONT_SIZE,
        "fill": colour,
    }
    return element("text", where | face, first + further)


def pill_shape(pill: Pill, box: Box, palette: Palette, *, counts: bool) -> str:
    """The badges of an arrow: its place on a chat's way, or how often it was taken."""
    fill, ink = (palette.page, palette.ink) if counts else (palette.accent, palette.on_accent)
    edge = palette.stroke if counts else palette.page
    shapes = [
        rectangle(box, PILL_HEIGHT / 2, fill=fill, stroke=edge, stroke_width=1.3 if counts else 2.0)
    ]
    for place, row in enumerate(pill.rows):
        at = (box.centre[0], box.top + 15.2 + place * PILL_LINE_HEIGHT)
        shapes.append(
            text_element(
                at,
                PILL_FONT_SIZE,
                ink,
                escape_text(row),
                font_weight="bold",
                text_anchor="middle",
            )
        )
    return "".join(shapes)


def line_colour(arrow: Arrow, palette: Palette) -> str:
    """Of its line and its head."""
    if arrow.taken:
        return palette.accent
    return palette.faded if arrow.faded else palette.stroke


def arrow_shape(
    route: Route, label: Box | None, pill: Box | None, palette: Palette, *, crossed: bool
) -> str:
    """An arrow with all that is written on it; where *crossed*, that interrupts other lines."""
    colour = line_colour(route.arrow, palette)
    shapes = [_line(route, colour, palette), _head(route, colour)]
    if route.marker:
        shapes.append(_end(route, route.marker, palette))
    if route.block and label:
        if crossed:
            shapes.append(rectangle(label.grown(_AROUND), _AROUND, fill=palette.page))
        shapes.append(block_shape(route.block, label, palette))
    if route.pill and pill:
        shapes.append(pill_shape(route.pill, pill, palette, counts=route.arrow.weight is not None))
    return "".join(shapes)


def _line(route: Route, colour: str, palette: Palette) -> str:
    pieces = route.curve.pieces
    shape = path_data("M", pieces[0][0], *(p for piece in pieces for p in ("C", *piece[1:])))
    line: dict[str, AttributeValue] = {"d": shape, "fill": "none"}
    # Where two cross, one passes under the other.
    under = element("path", line | {"stroke": palette.page, "stroke-width": route.width + 5})
    dashes: dict[str, AttributeValue] = {"stroke-dasharray": "7 5"} if route.arrow.extra else {}
    over = element("path", line | {"stroke": colour, "stroke-width": route.width} | dashes)
    return over if route.is_loop or route.marker else under + over


def _head(route: Route, colour: str) -> str:
    (x, y), (right, down) = route.tip, route.heading
    long, half = arrow_head_size(route.width)
    back = (x - right * long, y - down * long)
    one = (back[0] - down * half, back[1] - right * half)
    two = (back[0] + down * half, back[1] + right * half)
    return element("path", {"d": path_data("M", (x, y), "L", one, "L", two, "Z"), "fill": colour})


def _end(route: Route, box: Box, palette: Palette) -> str:
    colour = line_colour(route.arrow, palette)
    (x, y), radius = box.centre, box.width / 2
    if route.arrow.source is None:
        return element("circle", {"cx": x, "cy": y, "r": radius - 1, "fill": colour})
    ring: dict[str, AttributeValue] = {"cx": x, "cy": y, "r": radius - 0.8}
    line: dict[str, AttributeValue] = {"fill": palette.page, "stroke": colour, "stroke-width": 1.6}
    dot: dict[str, AttributeValue] = {"cx": x, "cy": y, "r": radius - 4, "fill": colour}
    return element("circle", ring | line) + element("circle", dot)
