"""A chat as a sequence diagram, in Mermaid's words.

Whatever people or programs wrote stands there as text and as nothing else: what means something to
Mermaid is written as the number of its character.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC
from textwrap import wrap
from typing import Final

from attrs import define, field

from sermo_fsm.core.session import ChatSession, HistoryRow, Outcome
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.participants import Participant, Role
from sermo_fsm.views.timeline import (
    NOTABLE_PAUSE,
    TimelineEntry,
    describe_transition,
    timeline_entries,
)

__all__ = ["MAX_CHARACTERS", "sequence_diagram"]

MAX_CHARACTERS: Final = 45_000
"""Mermaid draws no text of more than 50 000, unless its ``maxTextSize`` is raised."""

_BODY_CHARACTERS: Final = 240
_LINE_CHARACTERS: Final = 48
_NAME_CHARACTERS: Final = 40
_SUMMARY_CHARACTERS: Final = 120
_NOTE_CHARACTERS: Final = 25  # what a note is over, which is known only at the end
_PERSON_CHARACTERS: Final = 500  # a name and an id, each character by its number

_NAMES: Final = {
    Role.CUSTOMER: "Customer",
    Role.BOT: "Bot",
    Role.AGENT: "Agent",
    Role.PLATFORM: "Agents' platform",
    Role.CLOCK: "Clock",
}
_KEYS: Final = {Role.CUSTOMER: "C", Role.BOT: "B", Role.PLATFORM: "P", Role.CLOCK: "K"}
_KEYWORDS: Final = {Role.CUSTOMER: "actor"}  # under whom there is room for one line only
# From left to right; the agents stand between, in the order in which they came.
_COLUMN_ORDER: Final = (Role.CUSTOMER, Role.BOT, Role.PLATFORM, Role.AGENT, Role.CLOCK)
_ARROWS: Final = {Outcome.LATE: "-->>", Outcome.IGNORED: "-x", Outcome.UNKNOWN: "--x"}


def sequence_diagram(
    session: ChatSession,
    rows: Iterable[HistoryRow],
    *,
    bodies: bool = False,
    max_characters: int = MAX_CHARACTERS,
) -> str:
    """A session as a Mermaid sequence diagram; the same rows give the same bytes.

    Args:
        session: Whose rows they are.
        rows: From the first one on; no more of them are read than are drawn.
        bodies: Tell also what was said, and what agents are called.
        most: So long may the text become; a note says how many rows are left out.
    """
    builder, told = _SequenceBuilder(session), 0
    for entry in timeline_entries(session, rows, bodies=bodies):
        if builder.size > max_characters:
            break
        builder.add(entry)
        told += 1
    return "\n".join(builder.text(told)) + "\n"


@define
class _SequenceBuilder:
    """What is drawn so far."""

    session: ChatSession
    lines: list[str] = field(factory=list)
    size: int = 2_000
    """Of the text, with room for what stands before and behind."""
    names: dict[Participant, str | None] = field(factory=lambda: {Participant(Role.CUSTOMER): None})
    active: Participant | None = None
    day: str = ""

    def add(self, entry: TimelineEntry) -> None:
        """Draw one row."""
        for line in self._drawn(entry):
            self.lines.append(line)
            self.size += len(line) + (_NOTE_CHARACTERS if _NOTE_PLACEHOLDER in line else 1)

    def _drawn(self, entry: TimelineEntry) -> Iterator[str]:
        day, time = f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}".split()
        passed = [f"{format_duration(entry.pause)} later"] if entry.pause >= NOTABLE_PAUSE else []
        if self.day not in ("", day):
            passed.append(day)
        self.day = day
        if passed:
            yield f"    Note over {_KEYS[Role.CUSTOMER]}: {', '.join(passed)}"
        who, whom = self._key(entry.actor), self._key(entry.recipient)
        outcome = f"{entry.unusual_outcome}: " if entry.unusual_outcome else ""
        lines = wrap(_truncated(entry.summary, _SUMMARY_CHARACTERS), _LINE_CHARACTERS)
        what = outcome + "<br/>".join(map(_escaped, lines))
        times = [time, f"+{format_duration(entry.elapsed)}", entry.received_note]
        parts = [what, ", ".join(filter(None, times))]
        if entry.body is not None:
            parts.insert(1, _quoted_body(entry.body))
        yield f"    {who}{_ARROWS.get(entry.outcome, '->>')}{whom}: {'<br/>'.join(parts)}"
        if entry.serving != self.active:
            if self.active is not None:
                yield f"    deactivate {self._key(self.active)}"
            if entry.serving is not None:
                yield f"    activate {self._key(entry.serving)}"
            self.active = entry.serving
        if entry.moved:  # over all the lines, wherever they end: that is known only at the end
            yield f"    {_NOTE_PLACEHOLDER}{_escaped(describe_transition(entry))}"

    def _key(self, participant: Participant) -> str:
        """What stands for somebody in the text; an agent's is its number here."""
        if participant not in self.names:
            self.size += _PERSON_CHARACTERS
        self.names[participant] = participant.name or self.names.get(participant)
        if participant.role is not Role.AGENT:
            return _KEYS[participant.role]
        agents = [one for one in self.names if one.role is Role.AGENT]
        return f"A{agents.index(participant) + 1}"

    def text(self, told: int) -> Iterator[str]:
        """All of it, after so many rows."""
        session = self.session
        people = sorted(self.names, key=lambda one: _COLUMN_ORDER.index(one.role))
        keys = [self._key(one) for one in people]
        over = f"Note over {','.join(dict.fromkeys((keys[0], keys[-1])))}: "
        yield f"%% Told by sermo-fsm timeline; session {session.session_id}"
        yield "sequenceDiagram"
        yield "    accTitle: A chat as a sequence of messages"
        yield f"    accDescr: {told} of {max(told, session.rows)} rows of one chat, in their order"
        yield f"    title {_title(session)}"
        yield "    autonumber"
        for key, one in zip(keys, people, strict=True):
            yield f"    {_KEYWORDS.get(one.role, 'participant')} {key} as {self._name(one)}"
        if session.resumed:
            yield f"    {over}goes on from chat {session.ordinal - 1}, which only the clock closed"
        for line in self.lines:
            yield line.replace(_NOTE_PLACEHOLDER, over, 1)
        if self.active is not None:  # it is still there: the bar has to end all the same
            yield f"    deactivate {self._key(self.active)}"
        if (left := session.rows - told) > 0:
            yield f"    {over}and {left} more {'row' if left == 1 else 'rows'}"
        elif session.live:
            yield f"    {over}not closed yet"

    def _name(self, participant: Participant) -> str:
        name = self.names[participant]
        if participant.role is not Role.AGENT:
            return _NAMES[participant.role]
        parts = [_truncated(part, _NAME_CHARACTERS) for part in (name, participant.id) if part]
        return "Agent" + "".join(f"<br/>{_escaped(part)}" for part in parts)


_NOTE_PLACEHOLDER: Final = "\0"


def _title(session: ChatSession) -> str:
    opened = f"{session.opened_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    platform = _escaped(_truncated(session.platform_id, _NAME_CHARACTERS))
    return f"Chat {session.ordinal} on {platform}, opened {opened}"


def _truncated(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _quoted_body(text: str) -> str:
    words = _truncated(" ".join(text.split()), _BODY_CHARACTERS)
    lines = wrap(words, _LINE_CHARACTERS)
    return "<br/>".join(map(_escaped, [f"“{lines[0]}", *lines[1:]])) + "”" if lines else ""


# Letters, digits and what Mermaid has no use for; any other character of ASCII is written as its
# number, and so is the first letter of a word that would end a block.
_SPECIAL: Final = re.compile(r"[^\w .,()/'!?=+×→-]|_|\b[eE](?=[nN][dD]\b)", re.ASCII)


def _escaped(text: str) -> str:
    """*text* as it is to be read, whatever it says."""
    shown = "".join(char if _is_visible(char) else "�" for char in " ".join(text.split()))
    return _SPECIAL.sub(_character_code, shown)


def _character_code(found: "re.Match[str]") -> str:
    char = found[0]
    return f"#{ord(char)};" if char.isascii() else char


def _is_visible(char: str) -> bool:
    """No control, and nothing that turns the direction of writing."""
    return char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


_JOINERS: Final = "\u200c\u200d"  # what some scripts, and some emoji, can't do without
