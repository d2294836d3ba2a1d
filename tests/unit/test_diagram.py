"""The pictures, read back from their text and held against the table."""

import html
import re
from collections.abc import Callable, Iterator, Mapping

import pytest
from attrs import evolve

from sermo_fsm.core.machine import LIVE, RULES, TABLE, Guard, State
from sermo_fsm.diagram import FILES, THEMES, render
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture import drawing
from sermo_fsm.picture.drawing import direction_of, machine_drawing
from sermo_fsm.picture.formats import palette
from sermo_fsm.protocol.events import KINDS, Direction, Trigger
from tests.support import CHECKOUT
from tools import docs


def drawn(name: str, theme: str = "light", *, loops: bool = False) -> str:
    text = render(machine_drawing(loops=loops), name, theme)
    assert isinstance(text, str)
    return text


Arrows = dict[tuple[str, str], list[str]]
"""From where to where, and the lines on the arrow."""

INBOUND, OUTBOUND, TIMER, OPERATOR = "►", "◄", "○", "■"


def read_mermaid(text: str) -> Arrows:
    found = re.findall(r"^    (\S+) --> (\S+)(?: : (.+))?$", text, re.MULTILINE)
    assert len(found) == text.count("-->")
    return as_arrows((source, to, label.split("<br/>")) for source, to, label in found)


def read_dot(text: str) -> Arrows:
    found = re.findall(r"^  (\w+) -> (\w+) \[(.*)\]$", text, re.MULTILINE)
    assert len(found) == text.count("->")
    return as_arrows((source, to, lines_of(rest)) for source, to, rest in found)


def lines_of(attributes: str) -> list[str]:
    """The lines of an HTML-like label, without what they look like."""
    _, _, label = attributes.partition("label=<")
    return [html.unescape(re.sub(r"<[^>]*>", "", line)) for line in label[:-1].split("<BR/>")]


def as_arrows(found: Iterator[tuple[str, str, list[str]]]) -> Arrows:
    arrows: Arrows = {}
    for source, to, lines in found:
        assert (source, to) not in arrows, "one arrow for each pair of states"
        arrows[source, to] = [line for line in lines if line]
    return arrows


READERS: Mapping[str, tuple[Callable[[str], Arrows], str, str]] = {
    "mermaid": (read_mermaid, "[*]", "[*]"),
    "dot": (read_dot, "start", "end"),
}
"""For each format how to read it, and how it calls the start and the end."""


OF_NO_QUEUE = {"expire": TIMER, "close": OPERATOR}


def wanted_arrows() -> dict[tuple[str, str], set[str]]:
    """From where to where, and what pulls; straight from the rules, sorted by nobody."""
    inbound = {kind.trigger for kind in KINDS.values() if Direction.INBOUND in kind.queues}
    wanted: dict[tuple[str, str], set[str]] = {}
    for trigger, *cells in RULES:
        mark = OF_NO_QUEUE.get(trigger) or (INBOUND if trigger in inbound else OUTBOUND)
        for state, cell in zip(LIVE, cells, strict=True):
            if cell in ("=", "×"):
                continue
            to, _, condition = cell.partition(" unless customer_wrote_later: ")
            unless = " [unless the customer wrote later]" if condition else ""
            wanted.setdefault((state, to), set()).add(f"{mark} {trigger}{unless}")
            if condition:
                line = f"{mark} {trigger} [if the customer wrote later]"
                wanted.setdefault((state, condition), set()).add(line)
    return wanted


def test_what_is_wanted_here_is_what_a_person_expects() -> None:
    wanted = wanted_arrows()
    assert wanted["open", "bot"] == {"► customer_text", "◄ bot_text", "◄ handover_to_bot"}
    assert wanted["with_agent", "closed"] == {
        "► client_left",
        "◄ agent_done [unless the customer wrote later]",
        "◄ end_session [unless the customer wrote later]",
        "○ expire",
        "■ close",
    }
    assert wanted["with_agent", "bot"] == {
        "◄ agent_done [if the customer wrote later]",
        "◄ agent_released",
        "◄ end_session [if the customer wrote later]",
        "◄ handover_to_bot",
    }
    assert len(wanted) == 13


@pytest.mark.parametrize("name", READERS)
def test_the_arrows_are_those_of_the_table(name: str) -> None:
    read, start, end = READERS[name]
    arrows = read(drawn(name))
    assert arrows.pop((start, "open")) == []
    assert arrows.pop(("closed", end)) == []
    assert {pair: set(lines) for pair, lines in arrows.items()} == wanted_arrows()
    assert all(len(lines) == len(set(lines)) for lines in arrows.values())


@pytest.mark.parametrize("name", READERS)
def test_the_lines_of_an_arrow_stand_in_the_order_of_the_table(name: str) -> None:
    order = [trigger for trigger, *_ in RULES]
    for lines in READERS[name][0](drawn(name)).values():
        places = [order.index(line.split()[1]) for line in lines]
        assert places == sorted(places)


@pytest.mark.parametrize("name", READERS)
def test_nothing_is_drawn_that_goes_nowhere(name: str) -> None:
    arrows = READERS[name][0](drawn(name))
    assert not [pair for pair in arrows if pair[0] == pair[1]]


@pytest.mark.parametrize("name", READERS)
def test_the_states_are_the_five(name: str) -> None:
    read, start, end = READERS[name]
    found = {state for pair in read(drawn(name)) for state in pair}
    assert found - {start, end} == set(State)


@pytest.mark.parametrize("name", READERS)
def test_a_legend_says_what_the_marks_mean(name: str) -> None:
    text = re.sub(r"<[^>]*>", "", drawn(name))
    for words in (
        f"{INBOUND} inbound: customer",
        f"{OUTBOUND} outbound, internal: bot, agents",
        f"{TIMER} timer: the clock",
        f"{OPERATOR} operator: by hand",
    ):
        assert words in text


@pytest.mark.parametrize("name", READERS)
def test_a_picture_follows_the_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(TABLE)
    table[State.OPEN, Trigger.TYPING] = TABLE[State.OPEN, Trigger.CUSTOMER_TEXT]
    for trigger in (Trigger.AGENT_TEXT, Trigger.CLAIM_SESSION):
        table[State.BOT, trigger] = TABLE[State.BOT, Trigger.BOT_TEXT]
    monkeypatch.setattr(drawing, "TABLE", table)
    arrows = READERS[name][0](drawn(name))
    assert "► typing" in arrows["open", "bot"]
    assert ("bot", "with_agent") not in arrows


@pytest.mark.parametrize("name", READERS)
def test_the_order_of_the_table_does_not_change_which_arrows_come_first(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(READERS[name][0](drawn(name)))
    monkeypatch.setattr(drawing, "TABLE", dict(reversed(list(TABLE.items()))))
    assert list(READERS[name][0](drawn(name))) == before


def test_every_guard_has_words() -> None:
    assert set(drawing._GUARDS) == set(Guard)


def test_states_and_arrows_have_ids_in_dot() -> None:
    text = drawn("dot")
    ids = re.findall(r'\bid="([^"]+)"', text)
    arrows = [f"{source}-{to}" for source, to in read_dot(text)]
    assert sorted(ids) == sorted(["start", *State, "end", *arrows])


def test_dot_names_no_font_that_not_everyone_has() -> None:
    assert set(re.findall(r'fontname="([^"]*)"', drawn("dot"))) == {"Helvetica,Arial,sans-serif"}


def test_marks_are_in_the_oldest_code_pages() -> None:
    # WGL4, which every common font covers: these four are among its geometric shapes.
    assert set(palette.DIRECTION_SYMBOLS.values()) == {"\u25ba", "\u25c4", "\u25cb", "\u25a0"}


@pytest.mark.parametrize("name", READERS)
def test_a_text_ends_with_one_line_end_and_has_no_stray_space(name: str) -> None:
    text = drawn(name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not re.search(r"[ \t\r]$", text, re.MULTILINE)


# --- what stays ---------------------------------------------------------------------------------


def wanted_loops() -> dict[str, dict[str, set[str]]]:
    """For each state what stays and what is ignored; straight from the rules."""
    return {
        state: {
            sign: {trigger for trigger, *cells in RULES if cells[place] == sign} for sign in "=×"
        }
        for place, state in enumerate(LIVE)
    }


def loops_of(lines: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"=": set(), "×": set()}
    for line in lines:
        mark, sign, names = line.split(" ", 2)
        triggers = set(names.split(", "))
        for trigger in triggers - {"unknown"}:
            assert mark == palette.DIRECTION_SYMBOLS[direction_of(Trigger(trigger))]
        assert not triggers & found[sign] or triggers & found[sign] == {"unknown"}
        found[sign] |= triggers
    return found


def test_loops_are_drawn_where_they_are_asked_for() -> None:
    arrows = [arrow for arrow in machine_drawing(loops=True).arrows if arrow.is_loop]
    assert [arrow.id for arrow in arrows] == [f"{state}-{state}" for state in LIVE]
    for arrow, wanted in zip(arrows, wanted_loops().values(), strict=True):
        lines = [f"{palette.DIRECTION_SYMBOLS[line.direction]} {line.text}" for line in arrow.lines]
        assert loops_of(lines) == wanted
        assert {trigger for line in arrow.lines for trigger in line.triggers} == set.union(
            *wanted.values()
        )


def test_an_unknown_event_stays_on_either_queue() -> None:
    (loop, *_) = (arrow for arrow in machine_drawing(loops=True).arrows if arrow.is_loop)
    queues = {line.direction for line in loop.lines if Trigger.UNKNOWN in line.triggers}
    assert queues == {Direction.INBOUND, Direction.OUTBOUND}


def test_mermaid_notes_loops_beside_their_states() -> None:
    text = drawn("mermaid", loops=True)
    note = re.compile(r"^    note right of (\w+)\n(.*?)^    end note", re.MULTILINE | re.DOTALL)
    found = {
        state: loops_of([line.strip() for line in lines.splitlines()])
        for state, lines in note.findall(text)
    }
    assert found == wanted_loops()
    assert "= stays where it is, × has no meaning there and is ignored" in text


def test_dot_writes_loops_inside_their_states() -> None:
    text = drawn("dot", loops=True)
    found = {}
    for state in LIVE:
        (label,) = re.findall(rf"^  {state} \[.*?label=<(.*)>, fillcolor", text, re.MULTILINE)
        lines = [re.sub(r"<[^>]*>", "", line) for line in re.split("<BR/>|</TR>", label)]
        found[state] = loops_of([line for line in lines if line[:1] in tuple("►◄○")])
        assert f"  {state} -> {state} [" in text
    assert found == wanted_loops()


def test_a_state_in_which_everything_moves_has_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        (state, trigger): TABLE[State.OPEN, Trigger.CLIENT_LEFT] if state is State.BOT else cell
        for (state, trigger), cell in TABLE.items()
    }
    monkeypatch.setattr(drawing, "TABLE", table)
    assert "bot-bot" not in {arrow.id for arrow in machine_drawing(loops=True).arrows}


def test_where_nothing_is_ignored_no_word_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stays = TABLE[State.BOT, Trigger.BOT_TEXT]
    ignored = (Trigger.AGENT_DONE, Trigger.AGENT_RELEASED, Trigger.END_SESSION)
    table = {**TABLE, **{(State.BOT, trigger): stays for trigger in ignored}}
    monkeypatch.setattr(drawing, "TABLE", table)
    words = machine_drawing(loops=True).description
    assert "In bot it ignores" not in words
    assert "In open it ignores agent_done, agent_released and end_session." in words


# --- words, themes, files -----------------------------------------------------------------------


def test_the_description_says_all_that_is_drawn() -> None:
    words = machine_drawing(loops=True).description
    for (source, target), lines in wanted_arrows().items():
        (sentence,) = re.findall(rf"From {source} it goes ([^.]*)\.", words)
        (part,) = (one for one in sentence.split("; ") if one.startswith(f"to {target} by "))
        for line in lines:
            assert line[2:] in part
    for state, wanted in wanted_loops().items():
        for verb, triggers in (("stays on", wanted["="]), ("ignores", wanted["×"])):
            (names,) = re.findall(rf"In {state} it {verb} ([^.]*)\.", words)
            assert set(re.split(", | and ", names)) == triggers
    assert "stays on" not in machine_drawing().description


@pytest.mark.parametrize("name", READERS)
def test_light_and_dark_say_the_same_in_other_colours(name: str) -> None:
    light, dark = drawn(name), drawn(name, "dark")
    assert light != dark
    assert READERS[name][0](light) == READERS[name][0](dark)


def test_mermaid_leaves_a_light_theme_to_the_page() -> None:
    assert '"theme"' not in drawn("mermaid")
    assert '"theme": "dark"' in drawn("mermaid", "dark")


def test_mermaid_leaves_an_arrow_alone_that_an_overlay_says_nothing_of() -> None:
    nodes = tuple(evolve(node, notes=("13 s",)) for node in machine_drawing().nodes)
    text = render(evolve(machine_drawing(), nodes=nodes), "mermaid")
    assert "flowchart" in text
    assert "linkStyle" not in text


def test_dot_colours_the_page() -> None:
    (light,), (dark,) = (re.findall('bgcolor="(.*?)"', drawn("dot", theme)) for theme in THEMES)
    assert int(light[1:], 16) > 0xE00000 > int(dark[1:], 16)


@pytest.mark.parametrize(
    ("format", "theme", "wrong"),
    [("crayon", "light", "format"), ("dot", "dusk", "theme"), ("mermaid", "", "theme")],
)
def test_another_format_or_theme_is_refused(format: str, theme: str, wrong: str) -> None:  # noqa: A002 - as render calls it
    with pytest.raises(InvalidArgument, match=" or ") as refusal:
        render(machine_drawing(), format, theme)
    assert refusal.value.argument == wrong


def test_every_kind_of_picture_of_the_machine_has_its_file() -> None:
    assert set(FILES) == {"machine.mmd", "machine.dot", "machine.svg", "machine-dark.svg"}


HERE = {**FILES, **docs.example_files(CHECKOUT / "examples")}


@pytest.mark.parametrize("name", HERE)
def test_the_files_in_the_checkout_are_in_step(name: str) -> None:
    assert (CHECKOUT / "diagrams" / name).read_bytes() == HERE[name]()


def test_nothing_else_lies_beside_them() -> None:
    names = {path.name for path in (CHECKOUT / "diagrams").iterdir()}
    assert names == set(HERE)


def test_each_example_has_a_picture_for_light_pages_and_for_dark_ones() -> None:
    for example in (CHECKOUT / "examples").glob("*.jsonl"):
        assert {f"{example.stem}.svg", f"{example.stem}-dark.svg"} <= set(HERE)
