"""A chat as a Mermaid sequence diagram: read by Mermaid's own parser, whatever is in it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from sermo_fsm import ChatSession, HistoryRow
from sermo_fsm.picture.sequence import MAX_CHARACTERS, sequence_diagram
from sermo_fsm.views.timeline import timeline_entries
from tests.command.test_cli_terminal import EVIL
from tests.npm import run_node
from tests.support import ANDERS, BOT, event, text
from tests.unit.test_timeline import WHOLE, chat, inbound, outbound

NASTY = (
    EVIL,
    "end",
    "END; end",
    "; participant X",
    "# a comment",
    "#35; #amp; &amp; &#35;",
    "<script>alert(1)</script><br/>",
    "$$x^2$$",
    "%% comment",
    "%%{init: {'theme': 'dark'}}%%",
    "wrap: x",
    "a\nNote over C: x",
    "a\\nb",
    "style x: #f00;",
    "classDef a: b#1;",
    "-->>",
    "C->>B: x",
    ": : ::",
    '"quoted" `code` **bold** _em_ ~x~',
    "@{ 'type': 'queue' }",
    "{a: [1]} | (x) + -",
    "title x",
    "autonumber off",
    "\u2028\u2029\ufeff\x00\ud800",
    "👩‍👧 åäö 中文",
    "x" * 300,
    " ",
    "...",
)


@cache
def plain_chat() -> tuple[ChatSession, list[HistoryRow]]:
    return chat(
        inbound(0, text("Hej")),
        outbound(1, event("queue_number", queueNumber=1)),
        outbound(2, text("Hej", agent=ANDERS)),
        outbound(3, event("weather")),
        inbound(4, event("client_left")),
    )


def nasty_chat(words: str) -> tuple[ChatSession, list[HistoryRow]]:
    """A chat in which everything that can hold text holds *words*."""
    name = words.strip("\x00\ud800").replace("\x00", "").replace("\ud800", "") or "x"
    agent = {"id": name[:255].strip() or "x", "name": words.replace("\0", ""), "type": "human"}
    session, rows = plain_chat()
    changed = [replace(row, event={**(row.event or {}), "text": words}) for row in rows]
    changed[2] = replace(changed[2], agent_id=agent["id"], event={"text": words, "agent": agent})
    changed[3] = replace(changed[3], agent_id=agent["id"], type=words)
    return replace(session, platform_id=words), changed


# --- Mermaid's own parser -------------------------------------------------------------------------

PARSE = """
import { JSDOM } from "jsdom";
import { readFileSync } from "node:fs";
const dom = new JSDOM("<!doctype html><body></body>");
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false });
// What it holds for "#35;" until it draws.
const plain = (text) => text.replace(/ﬂ°°(\\d+)¶ß/g, (_, code) => String.fromCodePoint(+code));
const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    const kinds = db.LINETYPE;
    const all = db.getMessages();
    const notes = all.filter((m) => m.type === kinds.NOTE).map((m) => plain(m.message));
    const arrows = [kinds.SOLID, kinds.DOTTED, kinds.SOLID_CROSS, kinds.DOTTED_CROSS];
    const said = all.filter((m) => arrows.includes(m.type));
    const bars = all.filter((m) => m.type === kinds.ACTIVE_START).length;
    const ends = all.filter((m) => m.type === kinds.ACTIVE_END).length;
    const others = all.length - notes.length - said.length - bars - ends;
    const messages = said.map((m) => [m.from, m.to, m.type, plain(m.message)]);
    const actors = [...db.getActors().values()].map((a) => plain(a.description));
    const title = plain(db.getDiagramTitle());
    const wraps = said.some((m) => m.wrap);
    answers.push({ notes, messages, actors, title, bars, ends, others, wraps });
  } catch (error) {
    answers.push({ error: String(error.message) });
  }
}
console.log(JSON.stringify(answers));
"""


def parsed(folder: Path, *diagrams: str) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads(run_node(PARSE, json.dumps(diagrams), folder))
    return answers


@pytest.mark.service
def test_mermaid_reads_what_happened(tmp_path: Path) -> None:
    session, rows = chat(*WHOLE)
    entries = list(timeline_entries(session, rows))
    shy, whole = parsed(
        tmp_path, sequence_diagram(session, rows), sequence_diagram(session, rows, bodies=True)
    )
    assert [message[3].split("<br/>")[0] for message in shy["messages"]] == [
        f"{entry.unusual_outcome}: {entry.summary}" if entry.unusual_outcome else entry.summary
        for entry in entries
    ]
    assert shy["notes"].count("12 min 58 s later") == 1
    assert "with_agent → closed: the agent was done" in shy["notes"]
    assert shy["title"] == "Chat 1 on web, opened 2026-03-01 12:00:00 UTC"
    agents = ["Agent<br/>anan01", "Agent<br/>bebe02"]
    assert shy["actors"] == ["Customer", "Bot", "Agents' platform", *agents]
    assert whole["actors"][3] == "Agent<br/>Anders Andersson<br/>anan01"
    assert whole["messages"][1][3].split("<br/>")[1] == "“Hej, hemligt!”"
    assert shy["bars"] == shy["ends"] == 8


@pytest.mark.prove
@pytest.mark.service
def test_whatever_is_said_mermaid_reads_as_text_and_as_nothing_else(tmp_path: Path) -> None:
    usual = sequence_diagram(*nasty_chat("harmless"), bodies=True)
    nasty = [sequence_diagram(*nasty_chat(words), bodies=True) for words in NASTY]
    first, *others = parsed(tmp_path, usual, *nasty)

    def shape(answer: dict[str, Any]) -> list[object]:
        steps = [message[:3] for message in answer["messages"]]
        counts = [answer[name] for name in ("bars", "ends", "others", "wraps")]
        return [steps, counts, answer["notes"], len(answer["actors"])]

    for words, answer in zip(NASTY, others, strict=True):
        assert "error" not in answer, (words, answer)
        assert shape(answer) == shape(first), words
    said = {words: answer["messages"][0][3] for words, answer in zip(NASTY, others, strict=True)}
    assert "“#35; #amp; &amp; &#35;”" in said["#35; #amp; &amp; &#35;"]
    assert "“<script>alert(1)</script><br/>”" in said["<script>alert(1)</script><br/>"]
    assert "“END; end”" in said["END; end"]
    assert "👩‍👧 åäö 中文" in said["👩‍👧 åäö 中文"]


# --- without it -----------------------------------------------------------------------------------

SAFE = re.compile(r"(?:[^\x00-\x1f#;<>&\"`$%{}\[\]|\\_*~@^:]|#\d+;)*")


@given(st.text(max_size=80))
@example("end")
@example("friend ends; END")
@example("END_ _end")
def test_what_means_something_to_mermaid_is_written_as_a_number(words: str) -> None:
    drawn = sequence_diagram(*nasty_chat(words), bodies=True)
    for said in re.findall(
        r"^    \w+(?:-?->>|-?-x)\w+: (?:unknown: )?(.*)<br/>", drawn, re.MULTILINE
    ):
        for part in said.split("<br/>"):
            assert SAFE.fullmatch(part)
            assert not re.search(r"\bend\b", part, re.IGNORECASE | re.ASCII)


def test_a_long_line_is_broken() -> None:
    picture = "data:image/jpeg;base64,AAAA"
    session, rows = chat(inbound(0, text()), outbound(1, text("Hej", image=picture)))
    broken = ": writes, nobody knows who #91;picture, image/jpeg, 3<br/>bytes#93;<br/>12:00:01"
    assert broken in sequence_diagram(session, rows)


def test_the_same_rows_give_the_same_text() -> None:
    session, rows = chat(*WHOLE)
    assert sequence_diagram(session, rows) == sequence_diagram(session, iter(rows))


def test_names_and_what_was_said_are_told_only_where_asked_for() -> None:
    session, rows = chat(*WHOLE)
    for secret in ("hemligt", "Anders", "Beata", "Du är"):
        assert secret not in sequence_diagram(session, rows)
        assert secret in sequence_diagram(session, rows, bodies=True)
    assert session.user_id not in sequence_diagram(session, rows, bodies=True)


def test_a_long_chat_is_cut_before_mermaid_refuses_it_and_says_so() -> None:
    session, (row, *_) = chat(inbound(0, text("<" * 500)))
    session = replace(session, rows=5000)
    read: list[int] = []

    def rows() -> Any:
        for seq in range(1, 5001):
            read.append(seq)
            yield replace(row, seq=seq)

    for bodies in (False, True):
        read.clear()
        drawn = sequence_diagram(session, rows(), bodies=bodies)
        assert len(drawn) > MAX_CHARACTERS - 9000
        assert len(drawn) < 50_000
        shown = drawn.count("->>")
        assert len(read) <= shown + 1
        assert drawn.rstrip().endswith(f"and {5000 - shown} more rows")
        assert f"{shown} of 5000 rows" in drawn


def test_one_row_that_is_left_out_is_one_row() -> None:
    session, rows = chat(*WHOLE)
    assert sequence_diagram(session, rows[:-1]).endswith(": and 1 more row\n")


def test_a_chat_without_rows_is_a_diagram_still() -> None:
    session, _ = chat(inbound(0, text()))
    assert sequence_diagram(session, []).endswith(
        "actor C as Customer\n    Note over C: and 1 more row\n"
    )


def test_a_live_chat_says_that_it_is_not_over() -> None:
    session, rows = chat(inbound(0, text()))
    assert sequence_diagram(session, rows).endswith(
        "deactivate B\n    Note over C,B: not closed yet\n"
    )


def test_a_new_day_is_named() -> None:
    session, rows = chat(
        outbound(0, text(agent=BOT)), outbound(86_400, text(agent=BOT)), outbound(86_401, text())
    )
    drawn = sequence_diagram(session, rows)
    assert drawn.count("Note over C: 1 d later, 2026-03-02") == 1


def test_midnight_is_named_without_a_pause() -> None:
    night = 11 * 3600 + 3599
    session, rows = chat(outbound(night, text(agent=BOT)), outbound(night + 2, text(agent=BOT)))
    assert "    Note over C: 2026-03-02\n" in sequence_diagram(session, rows)


def test_what_was_read_late_says_when_it_was_received() -> None:
    session, rows = chat(inbound(0, text()), inbound(60, text()), outbound(5, text(agent=BOT)))
    assert "    B->>C: writes<br/>12:01:00, +1 min, received 12:00:05\n" in sequence_diagram(
        session, rows
    )


def test_a_chat_that_goes_on_from_another_says_so() -> None:
    session, rows = chat(inbound(0, text()), inbound(1801, text()))
    assert session.resumed
    assert "Note over C,B: goes on from chat 1, which only the clock closed" in sequence_diagram(
        session, rows
    )


def test_many_agents_with_long_names_do_not_make_it_too_long() -> None:
    session, (row, *_) = chat(outbound(0, text("Hej", agent=ANDERS)))
    agents = ({"id": f"{n}{'<' * 200}", "name": ">" * 200, "type": "human"} for n in range(500))
    rows = [replace(row, event={"text": ";" * 900, "agent": agent}) for agent in agents]
    assert len(sequence_diagram(session, rows, bodies=True)) < 50_000
