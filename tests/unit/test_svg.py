"""Pictures as SVG and PNG: read back by an XML parser, and measured."""

import functools
import itertools
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sermo_fsm.core.machine import State
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.drawing import (
    Arrow,
    Drawing,
    LegendEntry,
    LegendSymbol,
    Node,
    TriggerLine,
    machine_drawing,
)
from sermo_fsm.picture.formats import png as png_module
from sermo_fsm.picture.formats.palette import PALETTES, Palette
from sermo_fsm.picture.formats.png import png
from sermo_fsm.picture.formats.svg import FONT_FAMILY, svg
from sermo_fsm.picture.formats.svg_legend import wrap_legend
from sermo_fsm.picture.formats.svg_shapes import arrow_shape
from sermo_fsm.picture.layout import arrange, label_search
from sermo_fsm.picture.layout import font_metrics as metrics
from sermo_fsm.picture.layout.arrange import Layout, arrange_drawing
from sermo_fsm.picture.layout.font_metrics import has_glyph, text_width
from sermo_fsm.picture.layout.geometry import Box
from sermo_fsm.picture.layout.routes import Route
from sermo_fsm.picture.layout.text_blocks import make_block, make_pill, printable, wrap_text
from sermo_fsm.protocol.events import Direction
from tests.support import CHECKOUT

NAMESPACE = "{http://www.w3.org/2000/svg}"
FOLDER = Path(png_module.__file__).parent.with_name("fonts")
THEMES = pytest.mark.parametrize("theme", PALETTES)

IN, OUT, CLOCK = Direction.INBOUND, Direction.OUTBOUND, Direction.TIMER
BY_HAND = Direction.OPERATOR
LINES = (
    TriggerLine(IN, "customer_text"),
    TriggerLine(OUT, "agent_done [unless the customer wrote later]", "12,345"),
    TriggerLine(CLOCK, "expire", faded=True),
    TriggerLine(OUT, "handover_to_agent", "16:05:27, 16:08:11"),
)
PAIRS = tuple(itertools.permutations(State, 2))


def drawing(*arrows: Arrow, **more: Any) -> Drawing:
    """A drawing of its own, with nothing on it but that."""
    return evolve(
        machine_drawing(),
        **{"name": "chat", "arrows": arrows, "nodes": tuple(map(Node, State)), **more},
    )


def path_of_a_chat() -> Drawing:
    """With everything that an overlay of one chat may have."""
    steps = {"start-open": ("1",), "open-bot": ("2",), "bot-queued": ("3", "5", "17")}
    arrows = (
        evolve(
            arrow,
            badges=steps.get(arrow.id, ()),
            faded=arrow.id not in steps,
            taken=arrow.id in steps,
        )
        for arrow in machine_drawing().arrows
    )
    again = Arrow(
        None, State.QUEUED, (TriggerLine(IN, "heartbeat", "16:05:27"),), ("4",), extra=True
    )
    nodes = [Node(state, ("4 min 2 s", "in 2 stays")) for state in State]
    nodes[2] = evolve(nodes[2], current=True)
    nodes[3] = Node(State.WITH_AGENT, faded=True)
    legend = (
        *machine_drawing().legend,
        LegendEntry(LegendSymbol.BADGE, "steps"),
        LegendEntry(LegendSymbol.CURRENT, "now"),
    )
    legend += (
        LegendEntry(LegendSymbol.FADED, "not on its way"),
        LegendEntry(LegendSymbol.EXTRA, "resumed"),
    )
    caption = ("user u-1 on web", "chat 2, opened 2026-03-04")
    return drawing(*arrows, again, nodes=tuple(nodes), legend=legend, caption=caption)


def traffic() -> Drawing:
    """With everything that an overlay of all chats may have."""
    arrows = [
        evolve(
            arrow,
            weight=place / 15,
            badges=(f"{place * 977:,}",) if place else (),
            lines=tuple(evolve(line, note=f"{place * 311:,}") for line in arrow.lines),
            faded=not place,
        )
        for place, arrow in enumerate(machine_drawing().arrows)
    ]
    loops = [Arrow(s, s, LINES[:2], ("77",), weight=0.3) for s in (State.BOT, State.QUEUED)]
    nodes = tuple(Node(s, ("median 4 min",), shade=i / 4) for i, s in enumerate(State))
    legend = (
        LegendEntry(LegendSymbol.COUNT, "how often"),
        LegendEntry(LegendSymbol.WIDTH, "often"),
        LegendEntry(LegendSymbol.SHADE, "long"),
    )
    return drawing(*arrows, *loops, nodes=nodes, legend=legend, name="traffic")


def everything() -> Drawing:
    """All 20 pairs and the five loops."""
    ways = [*PAIRS, *((state, state) for state in State)]
    return drawing(
        Arrow(None, State.OPEN),
        *(Arrow(source, to, LINES[:3]) for source, to in ways),
        Arrow(State.CLOSED, None),
    )


DRAWINGS: Mapping[str, Callable[[], Drawing]] = {
    "machine": machine_drawing,
    "path": path_of_a_chat,
    "traffic": traffic,
    "everything": everything,
    "nothing but states": drawing,
}
EVERY = pytest.mark.parametrize("made", DRAWINGS.values(), ids=list(DRAWINGS))


@functools.cache
def placed(drawn: Drawing) -> Layout:
    return arrange_drawing(drawn)


@functools.cache
def written(drawn: Drawing) -> str:
    return svg(drawn)


def read(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - written by ourselves a moment ago


def tag(name: str) -> str:
    return NAMESPACE + name


def words_of(element: ET.Element) -> list[str]:
    """The texts to be seen in it, one for each element of text."""
    return ["".join(text.itertext()) for text in element.iter(tag("text"))]


def named(root: ET.Element) -> dict[str, ET.Element]:
    return {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}


# --- what is in the file --------------------------------------------------------------------------


@EVERY
def test_every_state_and_every_arrow_has_its_id_and_a_title(made: Callable[[], Drawing]) -> None:
    drawn = made()
    found = named(read(written(drawn)))
    wanted = [node.state for node in drawn.nodes] + [arrow.id for arrow in drawn.arrows]
    assert {f"{drawn.name}-{name}" for name in wanted} <= set(found)
    for name in wanted:
        title = found[f"{drawn.name}-{name}"].find(tag("title"))
        assert title is not None
        assert title.text


@EVERY
def test_no_id_is_there_twice(made: Callable[[], Drawing]) -> None:
    ids = re.findall(r'\bid="([^"]*)"', written(made()))
    assert len(ids) == len(set(ids))


def test_all_that_an_arrow_says_is_in_its_group_and_in_order() -> None:
    drawn = drawing(
        Arrow(State.OPEN, State.BOT, LINES, ("1", "4", "7")),
        Arrow(State.BOT, State.BOT, LINES, ("2",)),
    )
    found = named(read(svg(drawn)))
    for name, badges in (("chat-open-bot", "1, 4, 7"), ("chat-bot-bot", "2")):
        said = words_of(found[name])
        texts = [re.sub(r"\s+", "", word) for word in said]
        wanted = [re.sub(r"\s+", "", line.text) for line in LINES]
        assert [text for text in texts if text in wanted] == wanted
        assert badges in said
        assert "12,345" in said
        assert "16:05:27, 16:08:11" in " ".join(said)


def test_what_is_known_of_a_state_stands_in_its_group() -> None:
    found = named(read(svg(path_of_a_chat())))
    assert words_of(found["chat-bot"]) == ["bot", "4 min 2 s", "in 2 stays"]


def test_title_caption_and_legend_are_to_be_seen() -> None:
    drawn = path_of_a_chat()
    said = words_of(read(svg(drawn)))
    assert said[: 1 + len(drawn.caption)] == [drawn.title, *drawn.caption]
    below = said[-len(drawn.legend) - 1 :]
    below.remove("1")  # a sample
    assert below == [key.text for key in drawn.legend]


def test_a_legend_that_explains_nothing_is_left_out() -> None:
    with_one, without = svg(drawing()), svg(drawing(legend=()))
    assert height_of(without) < height_of(with_one)


def test_a_legend_that_needs_two_lines_has_about_as_much_in_each() -> None:
    short = tuple(
        LegendEntry(LegendSymbol.FADED, f"not on its way {number}") for number in range(5)
    )
    long = (LegendEntry(LegendSymbol.FADED, "where none of those that are counted has been"),) * 2
    assert [len(row) for row in wrap_legend(short, 640)] == [3, 2]
    assert [len(row) for row in wrap_legend((*short[:3], *long), 640)] == [2, 2, 1]
    assert [len(row) for row in wrap_legend((*long, *short[:2]), 640)] == [1, 3]
    assert wrap_legend((), 640) == []


def test_who_cannot_see_it_is_told() -> None:
    drawn = drawing(
        Arrow(State.OPEN, State.BOT, (LINES[0], TriggerLine(CLOCK, "expire", "3")), ("1",)),
        description="",
        title="A & B",
    )
    root = read(svg(drawn))
    found = named(root)
    assert root.attrib["role"] == "img"
    labels = [found[name] for name in root.attrib["aria-labelledby"].split()]
    assert [label.tag for label in labels] == [tag("title"), tag("desc")]
    assert [label.text for label in labels] == [
        "A & B",
        "open to bot: steps 1; customer_text (inbound), expire (timer, 3).",
    ]
    assert root[0] is labels[0]
    said = read(svg(evolve(drawn, description="In sentences."))).find(tag("desc"))
    assert said is not None
    assert said.text == "In sentences."


def test_who_pulls_is_told_apart_without_colour() -> None:
    for theme in PALETTES:
        groups = [
            named(read(svg(drawing(Arrow(State.OPEN, State.BOT, (line,))), theme)))["chat-open-bot"]
            for line in (TriggerLine(side, "x") for side in (IN, OUT, CLOCK, BY_HAND))
        ]
        faces = [
            (text.attrib.get("font-weight"), text.attrib.get("font-style"))
            for group in groups
            for text in group.iter(tag("text"))
        ]
        assert faces == [("bold", None), (None, None), (None, "italic"), (None, "italic")]
        shapes = [[e.tag for e in group if e.tag != tag("text")] for group in groups]
        marks_of = [set(one) - {tag("title")} for one in shapes]
        assert marks_of == [
            {tag("path")},
            {tag("path")},
            {tag("path"), tag("circle")},
            {tag("path"), tag("rect")},
        ]
        marks = [group.findall(tag("path"))[-1].attrib["d"] for group in groups[:2]]
        assert marks[0] != marks[1]


def test_what_an_overlay_marks_is_told_apart_without_colour() -> None:
    def shape(drawn: Drawing, name: str) -> str:
        return re.sub(r"#[0-9a-f]{6}", "", ET.tostring(named(read(svg(drawn)))[name]).decode())

    plain = Arrow(State.OPEN, State.BOT)
    extra, faded = evolve(plain, extra=True), evolve(plain, faded=True)
    assert "stroke-dasharray" in shape(drawing(extra), f"chat-{extra.id}")
    assert shape(drawing(plain), "chat-open-bot") != shape(drawing(faded), "chat-open-bot")
    now = drawing(nodes=(Node(State.BOT, current=True),))
    assert shape(now, "chat-bot").count("<ns0:rect") == 2
    assert shape(drawing(), "chat-bot").count("<ns0:rect") == 1


def test_an_arrow_is_as_wide_as_it_is_heavy() -> None:
    arrows = [Arrow(State.OPEN, State.BOT, weight=weight) for weight in (-1.0, 0.0, 0.5, 1.0, 9.0)]
    widths = [
        float(
            named(read(svg(drawing(arrow))))["chat-open-bot"]
            .findall(tag("path"))[1]
            .attrib["stroke-width"]
        )
        for arrow in arrows
    ]
    assert widths[0] == widths[1] < widths[2] < widths[3] == widths[4]


@given(st.text(st.characters()))
@example("<b>&\"'</b> ]]> \x00\x1b[31m \u202e \ud800 \ufffe -- \n\t ")
def test_whatever_is_in_a_text_the_file_is_well_formed(odd: str) -> None:
    drawn = drawing(
        Arrow(State.OPEN, State.BOT, (TriggerLine(IN, odd, odd),), (odd,)),
        title=odd,
        description=odd,
        origin=odd,
        caption=(odd, odd * 9),
        nodes=(Node(State.OPEN, (odd,)), Node(State.BOT)),
        legend=(LegendEntry(LegendSymbol.INBOUND, odd),),
    )
    text = svg(drawn)
    text.encode()
    seen = "".join(words_of(read(text))).replace(" ", "")
    assert re.sub(r"\s+", "", printable(odd)) in re.sub(r"\s+", "", seen)


def test_what_no_picture_can_hold_is_replaced() -> None:
    assert printable("a\x00b\x1bc\u202ed\ud800e\n\tf") == "a\ufffdb\ufffdc\ufffdd\ufffde f"


@THEMES
def test_nothing_outside_is_asked_for(theme: str) -> None:
    text = svg(traffic(), theme)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(style|script|image|use|foreignObject)\b|\burl\(|\bon\w+=", text)
    assert FONT_FAMILY.endswith("Helvetica, 'Liberation Sans', sans-serif")


def test_another_theme_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="theme: wanted light or dark, got 'neon'"):
        svg(machine_drawing(), "neon")


# --- the same everywhere --------------------------------------------------------------------------

_ASKING = """
import sys
from tests.unit.test_svg import DRAWINGS
from sermo_fsm.picture.formats.svg import svg
from sermo_fsm.picture.formats.png import png
import zlib
for made in DRAWINGS.values():
    for theme in ("light", "dark"):
        print(zlib.crc32(svg(made(), theme).encode()))
print(zlib.crc32(png(DRAWINGS["path"]())))
"""


@pytest.mark.prove
def test_the_bytes_are_the_same_on_every_run() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", _ASKING],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(set(told[0].split())) == 2 * len(DRAWINGS) + 1


def test_numbers_are_no_finer_than_a_tenth() -> None:
    assert not re.search(r"\d\.\d\d", re.sub(r"<(text|title|desc)\b.*?</\1>", "", svg(traffic())))


# --- where everything stands ----------------------------------------------------------------------


def blocking(picture: Layout) -> Iterator[tuple[str, Box]]:
    """Everything that may not lie on anything else."""
    for state, spot in picture.state_boxes.items():
        yield state, spot.box
    for route in picture.routes:
        if route.marker:
            yield f"mark of {route.arrow.id}", route.marker
    for name, box in picture.labels.items():
        yield f"label of {name}", box
    for name, box in picture.pills.items():
        yield f"badges of {name}", box


def overlapping(picture: Layout) -> list[tuple[str, str]]:
    return [
        (one, other)
        for (one, here), (other, there) in itertools.combinations(blocking(picture), 2)
        if here.overlap(there)
    ]


@EVERY
def test_nothing_stands_on_anything_else(made: Callable[[], Drawing]) -> None:
    picture = placed(made())
    assert not picture.has_overlap
    assert overlapping(picture) == []


@pytest.mark.parametrize("name", ["machine", "everything"])
def test_no_line_runs_through_a_label(name: str) -> None:
    assert placed(DRAWINGS[name]()).crossings == {}


ARROWS = st.builds(
    lambda pair, lines, badges, weight, extra: Arrow(
        pair[0], pair[1], tuple(lines if pair[1] else ()), tuple(badges), weight, extra=extra
    ),  # nothing triggers the end
    st.sampled_from(
        [
            *PAIRS,
            *((state, state) for state in State),
            *((None, state) for state in State),
            (State.CLOSED, None),
        ]
    ),
    st.lists(st.sampled_from(LINES), max_size=4, unique=True),
    st.lists(st.sampled_from(["1", "22", "137", "60,131"]), max_size=6),
    st.none() | st.floats(0, 1),
    st.booleans(),
)
NODES = st.tuples(
    *(
        st.builds(
            lambda state, notes, shade, current: Node(state, tuple(notes), shade, current=current),
            st.just(state),
            st.lists(st.sampled_from(["4 min 2 s", "20,000 stays"]), max_size=4),
            st.none() | st.floats(0, 1),
            st.booleans(),
        )
        for state in State
    )
)


@settings(max_examples=8, deadline=None)
@given(NODES, st.lists(ARROWS, max_size=12, unique_by=lambda arrow: arrow.id))
def test_in_any_drawing_nothing_stands_on_anything_else(
    nodes: tuple[Node, ...], arrows: list[Arrow]
) -> None:
    picture = arrange_drawing(drawing(*arrows, nodes=nodes))
    assert overlapping(picture) == []
    assert set(picture.labels) == {
        arrow.id for arrow in arrows if arrow.lines and arrow.source is not arrow.target
    }
    assert set(picture.pills) == {
        arrow.id for arrow in arrows if arrow.badges and not arrow.is_loop
    }


@pytest.mark.parametrize("pair", [*PAIRS, (State.BOT, State.BOT), (None, State.QUEUED)])
def test_two_arrows_between_the_same_states_keep_apart(
    pair: tuple[State | None, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that the table has, and one that it has not.
    name = property(lambda arrow: f"{arrow.source}-{arrow.target}{'-extra' if arrow.extra else ''}")
    monkeypatch.setattr(Arrow, "id", name)
    arrows = Arrow(*pair, lines=LINES[:2]), Arrow(*pair, lines=LINES[2:], extra=True)
    picture = arrange_drawing(drawing(*arrows))
    assert overlapping(picture) == []
    one, other = (set(route.curve.points) for route in picture.routes)
    assert not one & other
    groups = named(read(svg(drawing(*arrows))))
    for arrow in arrows:
        texts = [text.split()[0] for text in words_of(groups[f"chat-{arrow.id}"])]
        assert [line.text.split()[0] for line in arrow.lines] == [
            text for text in texts if text in {line.text.split()[0] for line in LINES}
        ]


def test_an_arrow_to_its_own_state_may_say_nothing() -> None:
    loop = Arrow(State.BOT, State.BOT)
    assert words_of(named(read(svg(drawing(loop))))["chat-bot-bot"]) == []


def test_where_no_room_is_enough_the_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "_arranged", arrange._arranged.__wrapped__)  # remembers nothing
    monkeypatch.setattr(arrange, "_GAP_FACTORS", ((1.0, 1.1),))
    monkeypatch.setattr(label_search, "_MAX_ROUNDS", 1)
    worst = arrange_drawing(everything())
    assert worst.has_overlap or worst.crossings
    assert len(worst.labels) == len(PAIRS)
    assert arrange_drawing(traffic()).labels


def way(source: State, target: State, *, extra: bool = False) -> Arrow:
    return Arrow(source, target, LINES[:2], extra=extra)


@pytest.mark.parametrize("pair", [(State.BOT, State.QUEUED), (State.WITH_AGENT, State.QUEUED)])
def test_between_lines_side_by_side_is_room_for_what_they_say(pair: tuple[State, State]) -> None:
    there, back = pair, pair[::-1]
    arrows = way(*there), way(*there, extra=True), way(*back, extra=True), way(*back)
    picture = arrange_drawing(drawing(*arrows))
    assert picture.crossings == {}
    assert overlapping(picture) == []


def away(label: Box, route: Route) -> float:
    return min(label.distance(Box(*point, *point)) for point in route.curve.points)


@pytest.mark.parametrize("name", ["machine", "path"])
def test_a_label_is_nearest_to_its_own_arrow(name: str) -> None:
    picture = placed(DRAWINGS[name]())
    for route in picture.routes:
        if label := picture.labels.get(route.arrow.id):
            pill = picture.pills.get(route.arrow.id)
            own = min(away(label, route), label.distance(pill) if pill else 1e9)
            others = [away(label, other) for other in picture.routes if other is not route]
            assert own < min(others), route.arrow.id


def test_the_number_of_a_beginning_stands_on_its_line_and_what_it_says_beside() -> None:
    begins = Arrow(
        None, State.WITH_AGENT, (TriggerLine(IN, "heartbeat", "16:05:27"),), ("1",), extra=True
    )
    picture = arrange_drawing(drawing(begins, *machine_drawing().arrows))
    assert picture.pills[begins.id].centre[0] == pytest.approx(picture.routes[0].tip[0])


def test_a_line_stops_where_a_label_has_to_stand_on_it() -> None:
    route = arrange_drawing(drawing(way(State.OPEN, State.BOT))).routes[0]
    label, palette = Box(0, 0, 90, 36), PALETTES["light"]
    free, struck = (
        read(f"<g>{arrow_shape(route, label, None, palette, crossed=crossed)}</g>")
        for crossed in (False, True)
    )
    assert free.find("rect") is None
    behind, words = struck.find("rect"), struck.find("text")
    assert behind is not None
    assert words is not None
    assert behind.attrib["fill"] == palette.page
    assert [*struck].index(behind) < [*struck].index(words)


def test_the_badges_of_an_arrow_to_its_own_state_stand_inside_of_that() -> None:
    loops = (
        Arrow(State.BOT, State.BOT, LINES, ("312,005",), weight=1.0),
        Arrow(State.QUEUED, State.QUEUED, (), ("7",), weight=1.0),
    )
    drawn = drawing(*loops)
    groups = named(read(svg(drawn)))
    for loop in loops:
        assert loop.source
        box = placed(drawn).state_boxes[loop.source].box
        (pill,) = groups[f"chat-{loop.id}"].iter(tag("rect"))
        left, top = float(pill.attrib["x"]), float(pill.attrib["y"])
        assert box.left < left < left + float(pill.attrib["width"]) < box.right
        assert box.top < top < top + float(pill.attrib["height"]) < box.bottom
        assert loop.badges[0] in words_of(groups[f"chat-{loop.id}"])


@EVERY
def test_an_arrow_ends_at_the_edge_of_its_state(made: Callable[[], Drawing]) -> None:
    picture = placed(made())
    for route in picture.routes:
        target = route.arrow.target
        box = picture.state_boxes[target].box if target else route.marker
        assert box
        assert not box.overlap(Box.centred_at(route.tip, 1, 1))
        assert box.overlap(Box.centred_at(route.tip, 6, 6))
        for spot in picture.state_boxes.values():
            inner = spot.box.grown(-1)
            assert not any(
                inner.overlap(Box.centred_at(p, 0.1, 0.1)) for p in route.curve.points[1:]
            )


def test_the_chat_runs_downwards() -> None:
    spots = arrange_drawing(machine_drawing()).state_boxes
    tops = [spots[state].box.top for state in State]
    assert tops[0] < tops[1] == tops[2] == tops[3] < tops[4]
    assert len({spot.box.width for spot in spots.values()}) == 1


def height_of(text: str) -> float:
    return float(read(text).attrib["height"])


def right_of(text: ET.Element) -> float:
    """Where a text ends, if every line of it is as wide as its widest."""
    lines = [text.text or "", *(span.text or "" for span in text.iter(tag("tspan")))]
    bold = text.attrib.get("font-weight") == "bold"
    size = float(text.attrib["font-size"])
    share = {"middle": 0.5, "end": 0.0}.get(text.attrib.get("text-anchor", ""), 1.0)
    return float(text.attrib["x"]) + share * max(
        text_width(line.strip(), size, bold=bold) for line in lines
    )


@EVERY
def test_no_text_leaves_the_picture(made: Callable[[], Drawing]) -> None:
    long = "a-user-id-without-a-space-" * 12
    drawn = evolve(made(), caption=(long, "words " * 60), title=f"{long} {'and words ' * 20}")
    root = read(svg(drawn))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"
    shifts = [
        re.findall(r"[-\d.]+", g.attrib["transform"]) for g in root if "transform" in g.attrib
    ]
    ((right, down),) = shifts
    (machine,) = (g for g in root if "transform" in g.attrib)
    inside = set(machine.iter(tag("text")))
    for text in root.iter(tag("text")):
        x, y = (float(right), float(down)) if text in inside else (0.0, 0.0)
        assert float(text.attrib["x"]) + x > 0
        assert right_of(text) + x <= width
        assert 0 < float(text.attrib["y"]) + y < height


@pytest.mark.parametrize("name", ["machine", "path"])
def test_it_can_be_read_in_a_page_830_dots_wide(name: str) -> None:
    root = read(written(DRAWINGS[name]()))
    sizes = [float(text.attrib["font-size"]) for text in root.iter(tag("text"))]
    assert min(sizes) * min(1, 830 / float(root.attrib["width"])) >= 11


# --- colours --------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
def test_every_text_stands_out(palette: Palette) -> None:
    on_page = [palette.ink, palette.muted, palette.faded_ink, *palette.triggers.values()]
    assert min(contrast(text, palette.page) for text in on_page) >= 4.5
    in_states = on_page
    assert min(contrast(text, palette.state_fill) for text in in_states) >= 4.5
    assert contrast(palette.on_accent, palette.accent) >= 4.5
    for step in range(101):
        strength = step / 100
        assert contrast(palette.shade(strength), palette.ink) >= 4.5


@pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
def test_every_line_stands_out(palette: Palette) -> None:
    lines = palette.stroke, palette.faded, palette.accent
    assert min(contrast(line, palette.page) for line in lines) >= 3


@pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
def test_a_stronger_shade_is_further_from_the_page(palette: Palette) -> None:
    far = [contrast(palette.shade(step / 20), palette.page) for step in range(21)]
    assert far == sorted(far)
    assert far[-1] > 3 * far[0]
    assert palette.shade(-1) == palette.shade(0)
    assert palette.shade(7) == palette.shade(1)


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ("",)),
        ("one", ("one",)),
        ("one two three four", ("one two", "three four")),
        ("Donaudampfschiff", ("Donauda", "mpfschiff")),
        ("= typing, × on", ("= typing,", "× on")),
    ],
)
def test_a_text_is_broken_where_it_has_to_be(text: str, lines: tuple[str, ...]) -> None:
    assert wrap_text(text, 62, 14) == lines


def test_a_long_trigger_is_broken_before_its_condition() -> None:
    rows = make_block(LINES).rows
    assert [row.text for row in rows] == [
        "customer_text",
        "agent_done",
        "[unless the customer wrote later]",
        "12,345",
        "expire",
        "handover_to_agent",
        "16:05:27, 16:08:11",
    ]


def test_the_notes_of_an_arrow_stand_all_beside_their_triggers_or_all_below() -> None:
    short, long = LINES[:3], LINES
    assert [row.note for row in make_block(short).rows if row.starts_trigger] == ["", "12,345", ""]
    assert not any(row.is_note for row in make_block(short).rows)
    assert not any(row.note for row in make_block(long).rows)
    assert [row.text for row in make_block(long).rows if row.is_note] == ["12,345", LINES[3].note]


def test_a_note_stands_as_near_to_its_trigger_as_its_column_lets_it() -> None:
    alone = make_block((TriggerLine(OUT, "expire", "7"),))
    with_longer = make_block(
        (TriggerLine(OUT, "expire", "7"), TriggerLine(OUT, "handover_to_agent"))
    )
    assert alone.notes_right == with_longer.notes_right < with_longer.width


def test_a_single_badge_is_a_circle() -> None:
    pill = make_pill(("7",))
    assert pill.width == pill.height
    assert len(make_pill(tuple(map(str, range(30)))).rows) > 1


# --- fonts and dots -------------------------------------------------------------------------------


def tables_of(font: Path) -> dict[bytes, bytes]:
    data = font.read_bytes()
    (count,) = struct.unpack(">H", data[4:6])
    found = {}
    for place in range(count):
        name, _, start, size = struct.unpack(">4sLLL", data[12 + 16 * place : 28 + 16 * place])
        found[name] = data[start : start + size]
    return found


def advances(font: Path) -> dict[str, int]:
    """How wide each letter of a font is, from its own tables."""
    tables = tables_of(font)
    (longs,) = struct.unpack(">H", tables[b"hhea"][34:36])
    metrics = [
        struct.unpack(">H", tables[b"hmtx"][4 * place : 4 * place + 2])[0] for place in range(longs)
    ]
    return {
        chr(code): metrics[min(glyph, longs - 1)] for code, glyph in glyphs(tables[b"cmap"]).items()
    }


def glyphs(cmap: bytes) -> dict[int, int]:
    """The subtable of format 4, which covers the basic plane."""
    (count,) = struct.unpack(">H", cmap[2:4])
    starts = {struct.unpack(">L", cmap[8 + 8 * n : 12 + 8 * n])[0] for n in range(count)}
    (start,) = (at for at in starts if cmap[at : at + 2] == b"\x00\x04")
    (twice,) = struct.unpack(">H", cmap[start + 6 : start + 8])
    size = twice // 2
    words = struct.unpack(
        f">{(len(cmap) - start) // 2}H", cmap[start:][: (len(cmap) - start) // 2 * 2]
    )
    ends, begins = words[7 : 7 + size], words[8 + size : 8 + 2 * size]
    deltas, offsets = words[8 + 2 * size : 8 + 3 * size], words[8 + 3 * size : 8 + 4 * size]
    found = {}
    for n in range(size):
        for code in range(begins[n], ends[n] + 1):
            glyph = code
            if offsets[n]:
                glyph = words[8 + 3 * size + n + offsets[n] // 2 + code - begins[n]]
            if glyph and code != 0xFFFF:
                found[code] = (glyph + deltas[n]) % 65536
    return found


def test_the_widths_are_those_of_the_fonts_in_the_package() -> None:
    upright, bold, italic = (
        advances(FOLDER / f"Arimo-{face}.ttf") for face in ("Regular", "Bold", "Italic")
    )
    assert upright.keys() == bold.keys() == italic.keys()
    for char in upright:
        assert has_glyph(char)
        assert text_width(char, 2048) == max(upright[char], italic[char]), char
        assert text_width(char, 2048, bold=True) == bold[char], char
    assert len(metrics._WIDTHS) == len(upright)


def test_a_letter_that_no_font_has_counts_as_square() -> None:
    assert not has_glyph("漢")
    assert text_width("漢字", 10) == 20


def test_everything_that_a_picture_says_of_itself_is_in_the_fonts() -> None:
    said = "".join(
        itertools.chain(*(words_of(read(written(made()))) for made in DRAWINGS.values()))
    )
    assert all(map(has_glyph, said))


def test_the_licence_lies_beside_the_fonts() -> None:
    assert "SIL OPEN FONT LICENSE" in (FOLDER / "OFL.txt").read_text(encoding="utf-8")
    assert sum(font.stat().st_size for font in FOLDER.glob("*.ttf")) < 140_000


@THEMES
@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_a_png_is_as_large_as_asked_for(theme: str, scale: float) -> None:
    drawn = drawing(Arrow(State.OPEN, State.BOT, LINES))
    data = png(drawn, theme, scale)
    root = read(svg(drawn, theme))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">LL", data[16:24])
    wanted = [float(root.attrib[key]) * scale for key in ("width", "height")]
    assert [abs(a - b) < 1 for a, b in zip(size, wanted, strict=True)] == [True, True]


def test_the_texts_are_there_in_a_png() -> None:
    with_words, without = (
        png(drawing(Arrow(State.OPEN, State.BOT, LINES), title=title))
        for title in ("Title", "\u00a0")
    )
    assert dots(with_words) != dots(without)


def test_two_ids_in_letters_that_no_font_has_are_told_apart_in_a_png() -> None:
    one, other = (png(drawing(caption=(f"user {name}",))) for name in ("漢字", "かな"))
    assert dots(one) != dots(other)
    assert dots(one) == dots(png(drawing(caption=("user \\u6f22\\u5b57",))))


def dots(data: bytes) -> bytes:
    """The picture itself, unpacked but as filtered."""
    found, at = b"", 8
    while at < len(data):
        size, kind = struct.unpack(">L4s", data[at : at + 8])
        found += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    return zlib.decompress(found)


@pytest.mark.parametrize("scale", [0, -1, 8.5, float("nan")])
def test_another_scale_is_refused(scale: float) -> None:
    with pytest.raises(InvalidArgument, match="scale: wanted above 0 and at most 8"):
        png(machine_drawing(), scale=scale)


def test_without_the_extra_a_png_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ImportError, match=r"PNG needs: pip install 'sermo-fsm\[diagrams\]'"):
        png(machine_drawing())
    assert svg(machine_drawing())
