"""A drawing in the words of Mermaid, as GitHub and many others show it.

The machine alone is a state diagram. What an overlay adds (widths, shades, what is faded) no state
diagram of Mermaid's can show, so such a drawing is a flowchart that looks like one.

In the light theme no theme is named: who shows it knows whether the page is dark. So all colours
that stand here can be read on both. A loop is written beside its state, or inside: drawn, Mermaid
would lay its label over others.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import Arrow, Drawing, LegendSymbol, Node, TriggerLine
from sermo_fsm.picture.formats.palette import DIRECTION_SYMBOLS, Palette, Theme, palette_for
from sermo_fsm.protocol.events import Direction

__all__ = ["mermaid"]

_BREAK: Final = "<br/>"
_SAFE: Final = re.compile(rf"[^\w .,:/()+=×–’…\[\]{''.join(DIRECTION_SYMBOLS.values())}-]")
_START, _STOP, _WORDS = "start", "stop", "words"

_STRONGEST: Final = 4
_THIN, _WIDEST = 1.5, 11.0


def _classes(palette: Palette) -> Iterator[tuple[str, str]]:
    """Of states and marks. Each says the colour of its own text, so it is the same on any page."""
    line = f"stroke:{palette.stroke},color:{palette.ink}"
    yield "mark", f"fill:{palette.stroke},{line}"
    yield "stop", f"fill:none,{line},stroke-width:3px"
    yield "state", f"fill:{palette.state_fill},{line},stroke-width:1.5px"
    for step in range(_STRONGEST + 1):
        yield f"shade{step}", f"fill:{palette.shade(step / _STRONGEST)},{line},stroke-width:1.5px"
    yield "faded", f"fill:{palette.page},stroke:{palette.faded},color:{palette.faded_ink}"
    current = f"stroke:{palette.accent},stroke-width:4px,color:{palette.ink}"
    yield "current", f"fill:{palette.state_fill},{current}"
    yield "words", "fill:none,stroke:none,text-align:left"


def mermaid(drawing: Drawing, theme: Theme) -> str:
    """The text that Mermaid draws it from."""
    overlaid = any(map(_says_more, drawing.nodes)) or any(map(_shows_more, drawing.arrows))
    lines = _flowchart(drawing, theme) if overlaid else _state_diagram(drawing, theme)
    return "\n".join(lines) + "\n"


def _says_more(node: Node) -> bool:
    return bool(node.notes or node.faded or node.current) or node.shade is not None


def _shows_more(arrow: Arrow) -> bool:
    return bool(arrow.badges or arrow.faded or arrow.extra) or arrow.weight is not None


def _escaped(text: str) -> str:
    """*text* as Mermaid shows it, whatever it holds; in a label as in quotes."""
    return _SAFE.sub(lambda found: f"#{ord(found[0])};", text)


def _init(theme: Theme, settings: str) -> str:
    of_theme = '"theme": "dark", ' if theme is Theme.DARK else ""
    return f"%%{{init: {{{of_theme}{settings}}}}}%%"


def _line(line: TriggerLine) -> str:
    note = f": {line.note}" if line.note else ""
    return _escaped(f"{DIRECTION_SYMBOLS[line.direction]} {line.text}{note}")


def _legend(drawing: Drawing) -> Iterator[str]:
    for key in drawing.legend:
        sample = _SAMPLES[key.symbol]
        yield _escaped(f"{sample} {key.text}" if sample else key.text)


_SAMPLES: Final = {
    LegendSymbol.INBOUND: DIRECTION_SYMBOLS[Direction.INBOUND],
    LegendSymbol.OUTBOUND: DIRECTION_SYMBOLS[Direction.OUTBOUND],
    LegendSymbol.TIMER: DIRECTION_SYMBOLS[Direction.TIMER],
    LegendSymbol.BADGE: "(1)",
    LegendSymbol.COUNT: "(12)",
    LegendSymbol.CURRENT: "thick frame:",
    LegendSymbol.WIDTH: "wide:",
    LegendSymbol.SHADE: "strong colour:",
    LegendSymbol.FADED: "dotted, grey:",
    LegendSymbol.EXTRA: "dashed:",
}


def _state_diagram(drawing: Drawing, theme: Theme) -> Iterator[str]:
    yield f"%% {drawing.origin}"
    # Room between the labels of arrows that go to and fro.
    yield _init(theme, '"state": {"nodeSpacing": 90}')
    yield "stateDiagram-v2"
    yield f"    accTitle: {drawing.title}"
    yield f"    accDescr: {drawing.description}"
    yield "    direction TB"
    for arrow in drawing.arrows:
        if not arrow.is_loop:
            label = _BREAK.join(map(_line, arrow.lines))
            way = f"    {arrow.source or '[*]'} --> {arrow.target or '[*]'}"
            yield f"{way} : {label}" if label else way
    for arrow in drawing.arrows:
        if arrow.is_loop:
            yield from _note(f"right of {arrow.source}", map(_line, arrow.lines))
    caption = map(_escaped, drawing.caption)
    yield from _note(f"left of {State.OPEN}", (*_legend(drawing), *caption))


def _note(where: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"    note {where}"
    for line in lines:
        yield f"        {line}"
    yield "    end note"


def _flowchart(drawing: Drawing, theme: Theme) -> Iterator[str]:
    yield f"%% {drawing.origin}"
    # A curve through its points: only there is room for the labels of arrows that go to and fro.
    yield _init(
        theme, '"flowchart": {"curve": "monotoneY", "nodeSpacing": 90, "wrappingWidth": 600}'
    )
    yield "flowchart TB"
    yield f"    accTitle: {drawing.title}"
    yield f"    accDescr: {drawing.description}"
    words = [drawing.title, "", *drawing.caption, ""]
    yield f'    {_WORDS}["{_BREAK.join([*map(_escaped, words), *_legend(drawing)])}"]:::words'
    yield f'    {_START}((" ")):::mark'
    for node in drawing.nodes:
        loops = [_label(a) for a in drawing.arrows if a.is_loop and a.source is node.state]
        label = _BREAK.join([*map(_escaped, (node.state, *node.notes)), *loops])
        yield f'    {node.state}("{label}"):::{_class_of(node)}'
    yield f'    {_STOP}(((" "))):::stop'
    drawn = [arrow for arrow in drawing.arrows if not arrow.is_loop]
    for arrow in drawn:
        yield f"    {_edge(arrow)}"
    for place, arrow in enumerate(drawn):
        if style := _style_of(arrow, palette_for(theme)):
            yield f"    linkStyle {place} {style}"
    for name, style in _classes(palette_for(theme)):
        yield f"    classDef {name} {style}"


def _class_of(node: Node) -> str:
    if node.current:
        return "current"
    if node.faded:
        return "faded"
    return "state" if node.shade is None else f"shade{round(node.shade * _STRONGEST)}"


def _edge(arrow: Arrow) -> str:
    label = f'|"{_label(arrow)}"|' if arrow.badges or arrow.lines else ""
    line = "-.->" if arrow.extra else "-->"
    return f"{arrow.source or _START} {line}{label} {arrow.target or _STOP}"


def _label(arrow: Arrow) -> str:
    badges = " ".join(f"({badge})" for badge in arrow.badges)
    return _BREAK.join([*([_escaped(badges)] if badges else []), *map(_line, arrow.lines)])


def _style_of(arrow: Arrow, palette: Palette) -> str:
    if arrow.faded:  # what it says keeps its colour: no other reads on whatever page it will be
        return f"stroke:{palette.faded},stroke-width:1px,stroke-dasharray:2 4"
    styles = ["stroke-dasharray:9 6"] if arrow.extra else []
    if arrow.weight is not None:
        styles.append(f"stroke-width:{_THIN + arrow.weight * (_WIDEST - _THIN):.1f}px")
    elif arrow.taken:
        styles.append(f"stroke:{palette.accent},stroke-width:3px")
    return ",".join(styles)
