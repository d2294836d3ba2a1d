"""What a state, an arrow and a label look like."""

from collections.abc import Iterator
from typing import Final

from sermo_fsm.picture.drawing import Arrow, Line
from sermo_fsm.picture.formats.palette import Palette
from sermo_fsm.picture.formats.svg_markup import Value, element, path, words
from sermo_fsm.picture.layout.geometry import Box, Point
from sermo_fsm.picture.layout.routes import Route, head_of
from sermo_fsm.picture.layout.spots import NAME, NOTE, PADDING, RING, Inside, Spot
from sermo_fsm.picture.layout.text_blocks import (
    INDENT,
    LEADING,
    PILL,
    PILL_LEADING,
    PILL_ROW,
    SIZE,
    Block,
    Pill,
    Row,
)
from sermo_fsm.protocol.events import Direction

__all__ = [
    "arrow_shape",
    "box_shape",
    "loop_text",
    "mark",
    "node_shape",
    "pill_shape",
    "text",
]

_ROUND: Final = 12.0
_EDGE: Final = 1.5
_AROUND: Final = 3.0
_FACES: Final[dict[Direction, dict[str, Value]]] = {
    Direction.INBOUND: {"font-weight": "bold"},
    Direction.TIMER: {"font-style": "italic"},
}


def text(at: Point, size: float, colour: str, content: str, **more: Value) -> str:
    """A text, already escaped, on its base line."""
    rest = {key.replace("_", "-"): value for key, value in more.items()}
    where: dict[str, Value] = {"x": at[0], "y": at[1], "font-size": size, "fill": colour}
    return element("text", where | rest, content)


def box_shape(box: Box, round_by: float, **more: Value) -> str:
    """A rectangle with round corners."""
    rest = {key.replace("_", "-"): value for key, value in more.items()}
    where: dict[str, Value] = {
        "x": box.left,
        "y": box.top,
        "width": box.width,
        "height": box.height,
        "rx": round_by,
    }
    return element("rect", where | rest)


def mark(direction: Direction, at: Point, colour: str) -> str:
    """The shape that says who pulls a trigger; *at* is the middle of its left side."""
    x, y = at
    if direction is Direction.TIMER:
        where: dict[str, Value] = {"cx": x + 4.3, "cy": y, "r": 3.6}
        return element("circle", where | {"fill": "none", "stroke": colour, "stroke-width": 1.5})
    back, tip = (x, x + 8.4) if direction is Direction.INBOUND else (x + 8.4, x)
    shape = path("M", (back, y - 4.6), "L", (tip, y), "L", (back, y + 4.6), "Z")
    return element("path", {"d": shape, "fill": colour})


def node_shape(spot: Spot, palette: Palette) -> str:
    """A state with its name and its notes."""
    node, box = spot.node, spot.box
    fill, ink, edge = palette.state, palette.ink, palette.line
    if node.shade is not None:
        fill = palette.shade(node.shade)
    elif node.faded:
        fill, ink, edge = palette.page, palette.faded_ink, palette.faded
    shapes = []
    if node.current:
        edge = palette.accent
        ring: dict[str, Value] = {"fill": palette.page, "stroke": edge, "stroke_width": 2.0}
        shapes.append(box_shape(box, _ROUND + RING, **ring))
        box = box.grown(-RING)
    width = 2.0 if node.current else _EDGE
    shapes.append(box_shape(box, _ROUND, fill=fill, stroke=edge, stroke_width=width))
    middle, top = box.centre[0], _top(spot)
    shapes.append(
        text(
            (middle, top + 17),
            NAME,
            ink,
            words(node.state),
            font_weight="bold",
            text_anchor="middle",
        )
    )
    for place, note in enumerate(spot.notes, start=1):
        at = (middle, top + 18 + place * (LEADING - 1))
        shapes.append(text(at, NOTE, ink, words(note), text_anchor="middle"))
    return "".join(shapes)


def _top(spot: Spot) -> float:
    """Where what is written in a state begins."""
    if spot.loops:  # so that the names of those beside each other stand in one line
        return spot.box.top + PADDING + (RING if spot.node.current else 0.0)
    return spot.box.centre[1] - (22.0 + (LEADING - 1) * len(spot.notes)) / 2


def loop_text(spot: Spot, name: str, palette: Palette) -> str:
    """What an arrow of a state to itself says, where it stands inside of the state."""
    ink = None if spot.node.shade is None else palette.ink
    top = _top(spot) + 22.0 + (LEADING - 1) * len(spot.notes)
    for other, inside in spot.loops.items():
        if other == name:
            return "".join(_inside(inside, spot.box, top, palette, ink))
        top += inside.height
    return ""


def _inside(
    inside: Inside, box: Box, top: float, palette: Palette, ink: str | None
) -> Iterator[str]:
    edge, seam = PADDING - 3, top + inside.seam / 2
    ends = (box.left + edge, seam), (box.right - edge, seam)
    line: dict[str, Value] = {"d": path("M", ends[0], "L", ends[1]), "fill": "none"}
    yield element("path", line | {"stroke": ink or palette.line, "stroke-width": 0.8})
    middle = box.centre[0]
    if inside.pill:
        where = Box.at((middle, seam), inside.pill.width, inside.pill.height)
        yield pill_shape(inside.pill, where, palette, counts=True)
    if inside.block:
        # To the left, so that those beside each other begin alike.
        left, below, block = box.left + PADDING, top + inside.seam, inside.block
        where = Box(left, below, left + block.width, below + block.height)
        yield block_shape(block, where, palette, ink)


def block_shape(block: Block, box: Box, palette: Palette, ink: str | None = None) -> str:
    """The triggers of an arrow, each with its mark, its note at the right."""
    shapes = []
    for start, rows in _by_line(block.rows):
        line = rows[0].line
        colour = ink or (palette.faded_ink if line.faded else palette.triggers[line.direction])
        base = box.top + start * LEADING + 13.4
        shapes.append(mark(line.direction, (box.left, base - 4.8), colour))
        said = [row for row in rows if not row.below]
        shapes.append(_words(line, said, (box.left + INDENT, base), colour))
        quiet = ink or palette.quiet
        for further, row in enumerate(rows):
            y = base + further * LEADING
            if row.note:
                at = (box.left + block.notes, y)
                shapes.append(text(at, SIZE, quiet, words(row.note), text_anchor="end"))
            elif row.below:
                shapes.append(text((box.left + INDENT, y), SIZE, quiet, words(row.text)))
    return "".join(shapes)


def _by_line(rows: tuple[Row, ...]) -> Iterator[tuple[int, list[Row]]]:
    starts = [place for place, row in enumerate(rows) if row.first]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield start, list(rows[start:end])


def _words(line: Line, rows: list[Row], at: Point, colour: str) -> str:
    """One text also where it is broken, so that it is read and found as one."""
    first, *others = (words(row.text) for row in rows)
    further = "".join(" " + element("tspan", {"x": at[0], "dy": LEADING}, row) for row in others)
    face = _FACES.get(line.direction, {})
    where: dict[str, Value] = {"x": at[0], "y": at[1], "font-size": SIZE, "fill": colour}
    return element("text", where | face, first + further)


def pill_shape(pill: Pill, box: Box, palette: Palette, *, counts: bool) -> str:
    """The badges of an arrow: its place on a chat's way, or how often it was taken."""
    fill, ink = (palette.page, palette.ink) if counts else (palette.accent, palette.on_accent)
    edge = palette.line if counts else palette.page
    shapes = [
        box_shape(box, PILL_ROW / 2, fill=fill, stroke=edge, stroke_width=1.3 if counts else 2.0)
    ]
    for place, row in enumerate(pill.rows):
        at = (box.centre[0], box.top + 15.2 + place * PILL_LEADING)
        shapes.append(
            text(
                at,
                PILL,
                ink,
                words(row),
                font_weight="bold",
                text_anchor="middle",
            )
        )
    return "".join(shapes)


def line_colour(arrow: Arrow, palette: Palette) -> str:
    """Of its line and its head."""
    if arrow.taken:
        return palette.accent
    return palette.faded if arrow.faded else palette.line


def arrow_shape(
    route: Route, label: Box | None, pill: Box | None, palette: Palette, *, struck: bool
) -> str:
    """An arrow with all that is written on it; where *struck*, that interrupts other lines."""
    colour = line_colour(route.arrow, palette)
    shapes = [_line(route, colour, palette), _head(route, colour)]
    if route.mark:
        shapes.append(_end(route, route.mark, palette))
    if route.block and label:
        if struck:
            shapes.append(box_shape(label.grown(_AROUND), _AROUND, fill=palette.page))
        shapes.append(block_shape(route.block, label, palette))
    if route.pill and pill:
        shapes.append(pill_shape(route.pill, pill, palette, counts=route.arrow.weight is not None))
    return "".join(shapes)


def _line(route: Route, colour: str, palette: Palette) -> str:
    pieces = route.curve.pieces
    shape = path("M", pieces[0][0], *(p for piece in pieces for p in ("C", *piece[1:])))
    line: dict[str, Value] = {"d": shape, "fill": "none"}
    # Where two cross, one passes under the other.
    under = element("path", line | {"stroke": palette.page, "stroke-width": route.width + 5})
    dashes: dict[str, Value] = {"stroke-dasharray": "7 5"} if route.arrow.extra else {}
    over = element("path", line | {"stroke": colour, "stroke-width": route.width} | dashes)
    return over if route.loops or route.mark else under + over


def _head(route: Route, colour: str) -> str:
    (x, y), (right, down) = route.tip, route.toward
    long, half = head_of(route.width)
    back = (x - right * long, y - down * long)
    one = (back[0] - down * half, back[1] - right * half)
    two = (back[0] + down * half, back[1] + right * half)
    return element("path", {"d": path("M", (x, y), "L", one, "L", two, "Z"), "fill": colour})


def _end(route: Route, box: Box, palette: Palette) -> str:
    colour = line_colour(route.arrow, palette)
    (x, y), radius = box.centre, box.width / 2
    if route.arrow.source is None:
        return element("circle", {"cx": x, "cy": y, "r": radius - 1, "fill": colour})
    ring: dict[str, Value] = {"cx": x, "cy": y, "r": radius - 0.8}
    line: dict[str, Value] = {"fill": palette.page, "stroke": colour, "stroke-width": 1.6}
    dot: dict[str, Value] = {"cx": x, "cy": y, "r": radius - 4, "fill": colour}
    return element("circle", ring | line) + element("circle", dot)
