"""A chat as a sequence diagram in Mermaid.

Text from people and programs can't change the diagram: a character that means something to Mermaid
is written as its character code.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final

from attrs import define, field

from sermo_fsm.core.history import HistoryRow, Outcome
from sermo_fsm.core.session import ChatSession
from sermo_fsm.picture.display_text import display_time, truncate
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
"""Mermaid refuses a text of more than 50 000 characters unless ``maxTextSize`` is raised."""

_BODY_CHARACTERS: Final = 240
_LINE_CHARACTERS: Final = 48
_NAME_CHARACTERS: Final = 40
_SUMMARY_CHARACTERS: Final = 120
_NOTE_CHARACTERS: Final = 25  # of "Note over X,Y: ", which replaces the placeholder
_PARTICIPANT_CHARACTERS: Final = 500  # a name and an id if every character is escaped

_NAMES: Final = {
    Role.CUSTOMER: "Customer",
    Role.BOT: "Bot",
    Role.AGENT: "Agent",
    Role.PLATFORM: "Agents' platform",
    Role.CLOCK: "Clock",
    Role.OPERATOR: "Operator",
}
_ALIASES: Final = {
    Role.CUSTOMER: "C",
    Role.BOT: "B",
    Role.PLATFORM: "P",
    Role.CLOCK: "K",
    Role.OPERATOR: "O",
}
_KEYWORDS: Final = {Role.CUSTOMER: "actor"}  # the others may need a second line below the name
# From left to right; several agents stand in the order in which they appeared.
_COLUMN_ORDER: Final = (
    *(Role.CUSTOMER, Role.BOT, Role.PLATFORM, Role.AGENT),
    *(Role.CLOCK, Role.OPERATOR),
)
_ARROWS: Final = {Outcome.LATE: "-->>", Outcome.IGNORED: "-x", Outcome.UNKNOWN: "--x"}


def sequence_diagram(
    session: ChatSession,
    rows: Iterable[HistoryRow],
    *,
    bodies: bool = False,
    max_characters: int = MAX_CHARACTERS,
) -> str:
    """Return a session as a Mermaid sequence diagram; the same rows give the same text.

    Args:
        session: The session.
        rows: Its history, in order, from the first row on. Reading stops when the diagram is full.
        bodies: Include what people wrote and the names of agents.
        max_characters: The length at which to stop; a note says how many rows are left out.
    """
    builder, drawn = _SequenceBuilder(session), 0
    for entry in timeline_entries(session, rows, bodies=bodies):
        if builder.size > max_characters:
            break
        builder.add(entry)
        drawn += 1
    return "\n".join(builder.diagram(drawn)) + "\n"


@define
class _SequenceBuilder:
    """Collects the lines of a diagram, entry by entry.

    Attributes:
        lines: The lines of the entries, with a placeholder for the columns that a note spans.
        size: The length of the diagram so far, with an allowance for its head and its end.
        names: The participants met so far, in order, each with its name if it is known.
        active: Whose activation bar is open.
        day: The date of the last entry, in UTC.
    """

    session: ChatSession
    lines: list[str] = field(factory=list)
    size: int = 2_000
    names: dict[Participant, str | None] = field(factory=lambda: {Participant(Role.CUSTOMER): None})
    active: Participant | None = None
    day: str = ""

    def add(self, entry: TimelineEntry) -> None:
        """Add the lines of one entry."""
        for line in self._entry_lines(entry):
            self.lines.append(line)
            self.size += len(line) + (_NOTE_CHARACTERS if _NOTE_PLACEHOLDER in line else 1)

    def _entry_lines(self, entry: TimelineEntry) -> Iterator[str]:
        day, time = display_time(entry.at).split()
        passed = [f"{format_duration(entry.pause)} later"] if entry.pause >= NOTABLE_PAUSE else []
        if self.day not in ("", day):
            passed.append(day)
        self.day = day
        if passed:
            yield f"    Note over {_ALIASES[Role.CUSTOMER]}: {', '.join(passed)}"
        actor, recipient = self._alias(entry.actor), self._alias(entry.recipient)
        outcome = f"{entry.unusual_outcome}: " if entry.unusual_outcome else ""
        lines = wrap(truncate(entry.summary, _SUMMARY_CHARACTERS), _LINE_CHARACTERS)
        summary = outcome + "<br/>".join(map(_escaped, lines))
        times = [time, f"+{format_duration(entry.elapsed)}", entry.received_note]
        parts = [summary, ", ".join(filter(None, times))]
        if entry.body is not None:
            parts.insert(1, _quoted_body(entry.body))
        yield f"    {actor}{_ARROWS.get(entry.outcome, '->>')}{recipient}: {'<br/>'.join(parts)}"
        yield from self._activation_lines(entry)
        if entry.moved:
            yield f"    {_NOTE_PLACEHOLDER}{_escaped(describe_transition(entry))}"

    def _activation_lines(self, entry: TimelineEntry) -> Iterator[str]:
        if entry.serving != self.active:
            if self.active is not None:
                yield f"    deactivate {self._alias(self.active)}"
            if entry.serving is not None:
                yield f"    activate {self._alias(entry.serving)}"
            self.active = entry.serving

    def _alias(self, participant: Participant) -> str:
        """Return the short name of a participant in the text; agents are numbered."""
        if participant not in self.names:
            self.size += _PARTICIPANT_CHARACTERS
        self.names[participant] = participant.name or self.names.get(participant)
        if participant.role is not Role.AGENT:
            return _ALIASES[participant.role]
        agents = [one for one in self.names if one.role is Role.AGENT]
        return f"A{agents.index(participant) + 1}"

    def diagram(self, drawn: int) -> Iterator[str]:
        """Yield the lines of the whole diagram; *drawn* is the number of entries added."""
        session, rows = self.session, max(drawn, self.session.rows)
        columns = sorted(self.names, key=lambda one: _COLUMN_ORDER.index(one.role))
        aliases = [self._alias(one) for one in columns]
        over = f"Note over {','.join(dict.fromkeys((aliases[0], aliases[-1])))}: "
        yield f"%% Told by sermo-fsm timeline; session {session.session_id}"
        yield "sequenceDiagram"
        yield "    accTitle: A chat as a sequence of messages"
        yield f"    accDescr: {drawn} of {rows} rows of one chat, in their order"
        yield f"    title {_title(session)}"
        yield "    autonumber"
        for alias, one in zip(aliases, columns, strict=True):
            yield f"    {_KEYWORDS.get(one.role, 'participant')} {alias} as {self._name(one)}"
        if session.resumed:
            yield f"    {over}goes on from chat {session.ordinal - 1}, which only the clock closed"
        for line in self.lines:
            yield line.replace(_NOTE_PLACEHOLDER, over, 1)
        if self.active is not None:  # Mermaid wants every activation bar closed
            yield f"    deactivate {self._alias(self.active)}"
        if (left := session.rows - drawn) > 0:
            yield f"    {over}and {left} more {'row' if left == 1 else 'rows'}"
        elif session.live:
            yield f"    {over}not closed yet"

    def _name(self, participant: Participant) -> str:
        name = self.names[participant]
        if participant.role is not Role.AGENT:
            return _NAMES[participant.role]
        parts = [truncate(part, _NAME_CHARACTERS) for part in (name, participant.id) if part]
        return "Agent" + "".join(f"<br/>{_escaped(part)}" for part in parts)


_NOTE_PLACEHOLDER: Final = "\0"
"""Stands for "Note over" all columns; which these are is known only at the end."""


def _title(session: ChatSession) -> str:
    platform = _escaped(truncate(session.platform_id, _NAME_CHARACTERS))
    return f"Chat {session.ordinal} on {platform}, opened {display_time(session.opened_at)} UTC"


def _quoted_body(text: str) -> str:
    words = truncate(" ".join(text.split()), _BODY_CHARACTERS)
    lines = wrap(words, _LINE_CHARACTERS)
    return "<br/>".join(map(_escaped, [f"“{lines[0]}", *lines[1:]])) + "”" if lines else ""


# Every ASCII character that may mean something to Mermaid, and the first letter of "end", also
# where an underscore is beside it: that will be a number between other signs.
_SPECIAL: Final = re.compile(
    r"[^\w .,()/'!?=+×→-]|_|(?<![^\W_])[eE](?=[nN][dD](?![^\W_]))", re.ASCII
)


def _escaped(text: str) -> str:
    """Return *text* so that Mermaid shows it and does not interpret it."""
    shown = "".join(char if _is_visible(char) else "�" for char in " ".join(text.split()))
    return _SPECIAL.sub(_character_code, shown)


def _character_code(found: "re.Match[str]") -> str:
    char = found[0]
    return f"#{ord(char)};" if char.isascii() else char


def _is_visible(char: str) -> bool:
    """Whether *char* is neither a control nor a mark that changes the direction of writing."""
    return char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


_JOINERS: Final = "\u200c\u200d"  # needed by some scripts and some emoji
