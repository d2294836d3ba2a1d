"""The pictures, read back from their text and held against the table."""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sermo_fsm import diagram
from sermo_fsm.diagram import FILES, FORMATS, render
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.events import KINDS, Trigger
from sermo_fsm.machine import LIVE, RULES, TABLE, Guard, State

CHECKOUT = Path(__file__).parent.parent

Arrows = dict[tuple[str, str], list[str]]
"""From where to where, and the lines on the arrow."""

INBOUND, OUTBOUND, TIMER = "►", "◄", "○"


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


def wanted_arrows() -> dict[tuple[str, str], set[str]]:
    """From where to where, and what pulls; straight from the rules, sorted by nobody."""
    inbound = {kind.trigger for kind in KINDS.values() if kind.inbound}
    wanted: dict[tuple[str, str], set[str]] = {}
    for trigger, *cells in RULES:
        mark = TIMER if trigger == "expire" else INBOUND if trigger in inbound else OUTBOUND
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
        "○ expire",
    }
    assert len(wanted) == 13


@pytest.mark.parametrize("name", FORMATS)
def test_the_arrows_are_those_of_the_table(name: str) -> None:
    read, start, end = READERS[name]
    arrows = read(render(name))
    assert arrows.pop((start, "open")) == []
    assert arrows.pop(("closed", end)) == []
    assert {pair: set(lines) for pair, lines in arrows.items()} == wanted_arrows()
    assert all(len(lines) == len(set(lines)) for lines in arrows.values())


@pytest.mark.parametrize("name", FORMATS)
def test_the_lines_of_an_arrow_stand_in_the_order_of_the_table(name: str) -> None:
    order = [trigger for trigger, *_ in RULES]
    for lines in READERS[name][0](render(name)).values():
        places = [order.index(line.split()[1]) for line in lines]
        assert places == sorted(places)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_drawn_that_goes_nowhere(name: str) -> None:
    arrows = READERS[name][0](render(name))
    assert not [pair for pair in arrows if pair[0] == pair[1]]


@pytest.mark.parametrize("name", FORMATS)
def test_the_states_are_the_five(name: str) -> None:
    read, start, end = READERS[name]
    drawn = {state for pair in read(render(name)) for state in pair}
    assert drawn - {start, end} == set(State)


@pytest.mark.parametrize("name", FORMATS)
def test_a_legend_says_what_the_marks_mean(name: str) -> None:
    text = re.sub(r"<[^>]*>", "", render(name))
    for mark, word in ((INBOUND, "inbound"), (OUTBOUND, "outbound"), (TIMER, "timer")):
        assert f"{mark} {word}" in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_follows_the_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(TABLE)
    table[State.OPEN, Trigger.TYPING] = TABLE[State.OPEN, Trigger.CUSTOMER_TEXT]
    table[State.BOT, Trigger.AGENT_TEXT] = TABLE[State.BOT, Trigger.BOT_TEXT]
    monkeypatch.setattr(diagram, "TABLE", table)
    arrows = READERS[name][0](render(name))
    assert "► typing" in arrows["open", "bot"]
    assert ("bot", "with_agent") not in arrows


@pytest.mark.parametrize("name", FORMATS)
def test_the_order_of_the_table_does_not_change_which_arrows_come_first(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(READERS[name][0](render(name)))
    monkeypatch.setattr(diagram, "TABLE", dict(reversed(list(TABLE.items()))))
    assert list(READERS[name][0](render(name))) == before


def test_every_guard_has_words() -> None:
    assert set(diagram._GUARDS) == set(Guard)


def test_states_and_arrows_have_ids_in_dot() -> None:
    text = render("dot")
    ids = re.findall(r'\bid="([^"]+)"', text)
    arrows = [f"{source}-{to}" for source, to in read_dot(text)]
    assert sorted(ids) == sorted(["start", *State, "end", *arrows])


def test_dot_names_no_font_that_not_everyone_has() -> None:
    assert set(re.findall(r'fontname="([^"]*)"', render("dot"))) == {"Helvetica,Arial,sans-serif"}


def test_marks_are_in_the_oldest_code_pages() -> None:
    # WGL4, which every common font covers: these three are among its geometric shapes.
    assert set(diagram._MARKS.values()) == {"\u25ba", "\u25c4", "\u25cb"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_ends_with_one_line_end_and_has_no_stray_space(name: str) -> None:
    text = render(name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not re.search(r"[ \t\r]$", text, re.MULTILINE)


def test_another_format_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="mermaid or dot") as refusal:
        render("crayon")
    assert refusal.value.argument == "format"


def test_every_format_has_its_file() -> None:
    assert sorted(FILES.values()) == sorted(FORMATS)


@pytest.mark.parametrize(("file", "name"), FILES.items())
def test_the_files_in_the_checkout_are_in_step(file: str, name: str) -> None:
    assert (CHECKOUT / "diagrams" / file).read_bytes() == render(name).encode()


def test_nothing_else_lies_beside_them() -> None:
    assert {path.name for path in (CHECKOUT / "diagrams").iterdir()} == set(FILES)
