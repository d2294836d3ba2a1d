"""A drawing in Mermaid.

The machine alone becomes a state diagram. Mermaid's state diagrams can't show widths, shades or
faded arrows, so a drawing with an overlay becomes a flowchart that looks like one.

The light theme is not named in the text: the page that shows it chooses, so all colours must be
readable on light and dark. The label of a loop is written beside or inside its state: Mermaid would
draw it over other labels.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow, Drawing, LegendSymbol, Node, TriggerLine
from sermo_fsm.picture.formats.palette import DIRECTION_SYMBOLS, Palette, Theme, palette_for

__all__ = ["mermaid"]

_BREAK: Final = "<br/>"
_UNSAFE: Final = re.compile(rf"[^\w .,:/()+=×–’…\[\]{''.join(DIRECTION_SYMBOLS.values())}-]")
_START, _STOP, _CAPTION = "start", "stop", "words"

_SHADE_STEPS: Final = 4
_MIN_WIDTH, _MAX_WIDTH = 1.5, 11.0


def _classes(palette: Palette) -> Iterator[tuple[str, str]]:
    """Yield class names and styles. Each sets the text's colour, so that no page's theme does."""
    line = f"stroke:{palette.stroke},color:{palette.ink}"
    yield "mark", f"fill:{palette.stroke},{line}"
    yield "stop", f"fill:none,{line},stroke-width:3px"
    yield "state", f"fill:{palette.state_fill},{line},stroke-width:1.5px"
    for step in range(_SHADE_STEPS + 1):
        yield f"shade{step}", f"fill:{palette.shade(step / _SHADE_STEPS)},{line},stroke-width:1.5px"
    yield "faded", f"fill:{palette.page},stroke:{palette.faded},color:{palette.faded_ink}"
    current = f"stroke:{palette.accent},stroke-width:4px,color:{palette.ink}"
    yield "current", f"fill:{palette.state_fill},{current}"
    yield "words", "fill:none,stroke:none,text-align:left"


def mermaid(drawing: Drawing, theme: Theme) -> str:
    """Return a drawing as Mermaid text; the same drawing gives the same text."""
    nodes, arrows = drawing.nodes, drawing.arrows
    overlay = any(map(_has_node_overlay, nodes)) or any(map(_has_arrow_overlay, arrows))
    lines = _flowchart(drawing, theme) if overlay else _state_diagram(drawing, theme)
    return "\n".join(lines) + "\n"


def _has_node_overlay(node: Node) -> bool:
    return bool(node.notes or node.faded or node.current) or node.shade is not None


def _has_arrow_overlay(arrow: Arrow) -> bool:
    return bool(arrow.badges or arrow.faded or arrow.extra) or arrow.weight is not None


def _escaped(text: str) -> str:
    """Escape any text, so that Mermaid shows it and does not interpret it."""
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", text)


def _init(theme: Theme, settings: str) -> str:
    theme_setting = '"theme": "dark", ' if theme is Theme.DARK else ""
    return f"%%{{init: {{{theme_setting}{settings}}}}}%%"


def _trigger_text(line: TriggerLine) -> str:
    note = f": {line.note}" if line.note else ""
    return _escaped(f"{DIRECTION_SYMBOLS[line.direction]} {line.text}{note}")


def _legend(drawing: Drawing) -> Iterator[str]:
    for entry in drawing.legend:
        direction = entry.symbol.direction
        symbol = DIRECTION_SYMBOLS[direction] if direction else _SYMBOLS[entry.symbol]
        yield _escaped(f"{symbol} {entry.text}")


_SYMBOLS: Final = {
    LegendSymbol.BADGE: "(1)",
    LegendSymbol.COUNT: "(12 · 40%)",
    LegendSymbol.CURRENT: "thick frame:",
    LegendSymbol.WIDTH: "wide:",
    LegendSymbol.SHADE: "strong colour:",
    LegendSymbol.FADED: "dotted, grey:",
    LegendSymbol.EXTRA: "dashed:",
}


def _state_diagram(drawing: Drawing, theme: Theme) -> Iterator[str]:
    yield f"%% {drawing.origin}"
    # Make room between the labels of arrows in opposite directions.
    yield _init(theme, '"state": {"nodeSpacing": 90}')
    yield "stateDiagram-v2"
    yield f"    accTitle: {drawing.title}"
    yield f"    accDescr: {drawing.description}"
    yield "    direction TB"
    for arrow in drawing.arrows:
        if not arrow.is_loop:
            label = _BREAK.join(map(_trigger_text, arrow.lines))
            ends = f"    {arrow.source or '[*]'} --> {arrow.target or '[*]'}"
            yield f"{ends} : {label}" if label else ends
    for arrow in drawing.arrows:
        if arrow.is_loop:
            yield from _note(f"right of {arrow.source}", map(_trigger_text, arrow.lines))
    caption = map(_escaped, drawing.caption)
    yield from _note(f"left of {State.OPEN}", (*_legend(drawing), *caption))


def _note(position: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"    note {position}"
    for line in lines:
        yield f"        {line}"
    yield "    end note"


def _flowchart(drawing: Drawing, theme: Theme) -> Iterator[str]:
    yield f"%% {drawing.origin}"
    # Only this curve leaves room for the labels of arrows in opposite directions.
    yield _init(
        theme, '"flowchart": {"curve": "monotoneY", "nodeSpacing": 90, "wrappingWidth": 600}'
    )
    yield "flowchart TB"
    yield f"    accTitle: {drawing.title}"
    yield f"    accDescr: {drawing.description}"
    heading = [drawing.title, "", *drawing.caption, ""]
    yield f'    {_CAPTION}["{_BREAK.join([*map(_escaped, heading), *_legend(drawing)])}"]:::words'
    yield f'    {_START}((" ")):::mark'
    for node in drawing.nodes:
        loops = [_label(a) for a in drawing.arrows if a.is_loop and a.source is node.state]
        label = _BREAK.join([*map(_escaped, (node.state, *node.notes)), *loops])
        yield f'    {node.state}("{label}"):::{_class_of(node)}'
    yield f'    {_STOP}(((" "))):::stop'
    drawn = [arrow for arrow in drawing.arrows if not arrow.is_loop]
    for arrow in drawn:
        yield f"    {_link(arrow)}"
    for index, arrow in enumerate(drawn):
        if style := _style_of(arrow, palette_for(theme)):
            yield f"    linkStyle {index} {style}"
    for name, style in _classes(palette_for(theme)):
        yield f"    classDef {name} {style}"


def _class_of(node: Node) -> str:
    if node.current:
        return "current"
    if node.faded:
        return "faded"
    return "state" if node.shade is None else f"shade{round(node.shade * _SHADE_STEPS)}"


def _link(arrow: Arrow) -> str:
    label = f'|"{_label(arrow)}"|' if arrow.badges or arrow.lines else ""
    line = "-.->" if arrow.extra else "-->"
    return f"{arrow.source or _START} {line}{label} {arrow.target or _STOP}"


def _label(arrow: Arrow) -> str:
    badges = " ".join(f"({badge})" for badge in arrow.badges)
    return _BREAK.join([*([_escaped(badges)] if badges else []), *map(_trigger_text, arrow.lines)])


def _style_of(arrow: Arrow, palette: Palette) -> str:
    if arrow.faded:  # the text keeps its colour: a fainter one might not be readable
        return f"stroke:{palette.faded},stroke-width:1px,stroke-dasharray:2 4"
    styles = ["stroke-dasharray:9 6"] if arrow.extra else []
    if arrow.weight is not None:
        styles.append(f"stroke-width:{_MIN_WIDTH + arrow.weight * (_MAX_WIDTH - _MIN_WIDTH):.1f}px")
    elif arrow.taken:
        styles.append(f"stroke:{palette.accent},stroke-width:3px")
    return ",".join(styles)
