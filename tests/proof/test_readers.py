"""What we write in Mermaid and in DOT, read by Mermaid and by Graphviz."""

import html
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pygraphviz
import pytest
from attrs import evolve
from msgspec.structs import replace

from sermo_fsm.diagram import THEMES, render
from sermo_fsm.picture.drawing import Arrow, Drawing, machine_drawing
from sermo_fsm.picture.formats.palette import DIRECTION_SYMBOLS, palette_for
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from tests.npm import packages
from tests.pictures import NASTY, counted, example_walks, random_chats
from tests.support import CHECKOUT, also_proved


def drawings() -> Mapping[str, Drawing]:
    """One of each kind, and what is hard to write."""
    walks = {f"{name} {walk.session.ordinal}": walk for name, walk in example_walks()}
    (walk, *_) = walks.values()
    traffic = counted([chat for seed in range(20) for chat in random_chats(seed)])
    ids = {
        f"nasty {number}": path_drawing(
            evolve(walk, session=replace(walk.session, platform_id=name, user_id=name[::-1])),
            walk.session.effective_at,
        )
        for number, name in enumerate(NASTY)
    }
    return {
        "machine": machine_drawing(),
        "loops": machine_drawing(loops=True),
        **{name: path_drawing(walk, walk.session.effective_at) for name, walk in walks.items()},
        "traffic": traffic_drawing(traffic),
        "traffic with loops": traffic_drawing(traffic, loops=True),
        "of a nasty platform": traffic_drawing(evolve(traffic, platform=NASTY[5])),
        **ids,
    }


DRAWINGS = drawings()
EACH_THEME = [THEMES[0], *also_proved(*THEMES[1:])]


Arrows = list[tuple[str, str, list[str]]]
"""From where to where, and what stands there."""


def wanted_arrows(drawing: Drawing, lines_of: Callable[[Arrow], list[str]]) -> Arrows:
    return [
        (arrow.source or "start", arrow.target or "end", lines_of(arrow))
        for arrow in drawing.arrows
        if not arrow.is_loop
    ]


# --- Graphviz -----------------------------------------------------------------------------------


def graphviz_lines(arrow: Arrow) -> list[str]:
    lines = [
        f"{DIRECTION_SYMBOLS[one.direction]} {one.text} {one.note}".rstrip() for one in arrow.lines
    ]
    return [" ".join(arrow.badges), *lines] if arrow.badges else lines


def shown(label: str) -> list[str]:
    """The lines of an HTML-like label, as a person reads them."""
    lines = re.split("<BR/>|</TR>", label.replace("</TD><TD", "</TD> <TD"))
    words = [" ".join(html.unescape(re.sub(r"<[^>]*>", "", line)).split()) for line in lines]
    return [line for line in words if line]


@pytest.mark.parametrize("theme", EACH_THEME)
@pytest.mark.parametrize("name", DRAWINGS)
def test_graphviz_reads_what_is_drawn(name: str, theme: str) -> None:
    drawing = DRAWINGS[name]
    text = render(drawing, "dot", theme)
    graph = pygraphviz.AGraph(string=text)
    found = [
        (str(edge[0]), str(edge[1]), shown(edge.attr["label"] or ""))
        for edge in graph.edges()
        if edge[0] != edge[1]
    ]
    assert sorted(found) == sorted(wanted_arrows(drawing, graphviz_lines))
    assert set(graph.nodes()) == {"start", *(node.state for node in drawing.nodes), "end"}
    ids = [edge.attr["id"] for edge in graph.edges()]
    assert sorted(ids) == sorted(arrow.id for arrow in drawing.arrows)
    words = shown(graph.graph_attr["label"])
    for line in drawing.caption:
        assert " ".join(line.split()) in words
    for node in drawing.nodes:
        label = shown(graph.get_node(node.state).attr["label"])
        assert label[0] == node.state
        assert set(node.notes) <= set(label)
    assert graph.graph_attr["tooltip"] == drawing.description


@pytest.mark.parametrize(
    "name", ["machine", "loops", "traffic", "traffic with loops", "3-still-there.jsonl 1"]
)
def test_graphviz_draws_it_without_a_word_of_complaint(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = render(DRAWINGS[name], "dot")
    drawn = pygraphviz.AGraph(string=text).draw(prog="dot", format="svg").decode()
    complaints = [line for line in capfd.readouterr().err.splitlines() if "ontconfig" not in line]
    assert not complaints
    ids = re.findall('<g id="(.*?)" class="edge">', html.unescape(drawn))
    assert sorted(ids) == sorted(arrow.id for arrow in DRAWINGS[name].arrows)


# --- colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", EACH_THEME)
@pytest.mark.parametrize("format_", ["dot", "mermaid", *also_proved("svg")])
def test_all_formats_have_the_colours_of_one_palette(format_: str, theme: str) -> None:
    palette = palette_for(theme)
    words = {
        palette.page,
        palette.ink,
        palette.muted,
        palette.hairline,
        palette.stroke,
        palette.state_fill,
    }
    words |= {palette.faded, palette.faded_ink, palette.accent, palette.on_accent}
    wanted = words | set(palette.triggers.values()) | set(palette.shades)
    for drawing in DRAWINGS.values():
        shades = {palette.shade(node.shade) for node in drawing.nodes if node.shade is not None}
        text = render(drawing, format_, theme)
        assert isinstance(text, str)
        assert set(re.findall(r"#[0-9a-f]{6}(?![;\w])", text)) <= wanted | shades


# --- Mermaid ------------------------------------------------------------------------------------


def read_by_mermaid(texts: Sequence[str]) -> list[dict[str, Any]]:
    """What Mermaid's own parser, from npm, finds in each."""
    script = CHECKOUT / "tests" / "mermaid.mjs"
    done = subprocess.run(
        ["node", script, packages()],  # noqa: S607 - whichever there is
        input=json.dumps(texts).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def decoded(label: str) -> list[str]:
    """What Mermaid makes of its placeholders in the end, line by line."""
    for placeholder, sign in (("ﬂ°°", "&#"), ("ﬂ°", "&"), ("¶ß", ";")):
        label = label.replace(placeholder, sign)
    return [html.unescape(line) for line in re.split(r"<br ?/?>|\n", label)]


def mermaid_lines(arrow: Arrow) -> list[str]:
    """In Mermaid a number stands in brackets, and a note behind a colon."""
    badges = " ".join(f"({badge})" for badge in arrow.badges)
    lines = [
        f"{DIRECTION_SYMBOLS[line.direction]} {line.text}{': ' if line.note else ''}{line.note}"
        for line in arrow.lines
    ]
    return [badges, *lines] if badges else lines


@pytest.mark.prove
@pytest.mark.service
def test_mermaid_reads_what_is_drawn() -> None:
    texts = [render(drawing, "mermaid", theme) for drawing in DRAWINGS.values() for theme in THEMES]
    every = [drawing for drawing in DRAWINGS.values() for _ in THEMES]
    for drawing, found in zip(every, read_by_mermaid([*map(str, texts)]), strict=True):
        assert "error" not in found, found
        assert found["title"] == drawing.title
        assert found["description"] == drawing.description
        ends = {"root_start": "start", "root_end": "end", "stop": "end"}
        arrows = [
            (ends.get(source, source), ends.get(to, to), [line for line in decoded(label) if line])
            for source, to, label in found["arrows"]
            if "note" not in source + to
        ]
        assert arrows == wanted_arrows(drawing, mermaid_lines)
        words = [line.strip() for _, label in found["nodes"] for line in decoded(label)]
        for line in (*drawing.caption, *(note for node in drawing.nodes for note in node.notes)):
            assert line.strip() in words
        for arrow in drawing.arrows:
            assert not arrow.is_loop or set(mermaid_lines(arrow)) <= set(words)
