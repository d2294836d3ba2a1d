"""Words and cells for people: escaped, coloured, abbreviated.

Nothing that a customer wrote can control a terminal: every control character is printed as its
escape sequence.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sermo_fsm.core.history import HistoryRow, Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Direction

__all__ = [
    "COUNT_COLUMNS",
    "LIVE_STATES",
    "SESSION_COLUMNS",
    "Styled",
    "count_cells",
    "escape_controls",
    "excerpt",
    "outcome_cell",
    "pluralized",
    "state_cell",
    "styled",
]

# Control characters, bidirectional marks, line separators, lone surrogates.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_EXCERPT_CHARACTERS: Final = 80

SESSION_COLUMNS: Final = (
    *("platform", "user", "chat", "state", "since", "agent", "queue", "last seen", "session"),
)
LIVE_STATES: Final[tuple[State, ...]] = tuple(state for state in State if state is not State.CLOSED)
COUNT_COLUMNS: Final = ("platform", *LIVE_STATES)

_STATE_STYLES: Final[Mapping[str, str]] = {
    State.OPEN: "cyan",
    State.BOT: "blue",
    State.QUEUED: "yellow",
    State.WITH_AGENT: "green",
    State.CLOSED: "dim",
}
_OUTCOME_STYLES: Final[Mapping[str, str]] = {
    Outcome.MOVED: "bold",
    Outcome.STAYED: "dim",
    Outcome.DUPLICATE: "dim",
    Outcome.CONFLICT: "red",
    Outcome.INVALID: "red",
}


class Styled(NamedTuple):
    """Text that is safe to print, and the style that a terminal shows it in, as rich names it."""

    text: str
    style: str = ""


def escape_controls(text: str) -> str:
    """*text* with every character that could control a terminal replaced by its escape."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def styled(value: object, style: str = "") -> Styled:
    """*value* as safe text; empty for None."""
    return Styled("" if value is None else escape_controls(str(value)), style)


def pluralized(count: int, noun: str) -> str:
    """The count and its noun, in the plural where needed."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def state_cell(state: State | None) -> Styled:
    """The state in its colour; empty for None."""
    return styled(state, _STATE_STYLES.get(state or "", ""))


def outcome_cell(outcome: Outcome) -> Styled:
    """The outcome in its colour."""
    return styled(outcome, _OUTCOME_STYLES.get(outcome, "yellow"))


def count_cells(of: tuple[str, Mapping[State, int]]) -> list[Styled]:
    """A platform, and the number of its chats in each live state; zeros are dimmed."""
    platform, counts = of
    cells = [
        styled(counts[state], _STATE_STYLES[state] if counts[state] else "dim")
        for state in LIVE_STATES
    ]
    return [styled(platform), *cells]


def excerpt(row: HistoryRow, *, bodies: bool) -> str:
    """The most telling fields of the event, in at most 80 characters before escaping.

    Args:
        bodies: Include what people wrote, or the raw line of a row without an event, and call
            agents by their names instead of their ids.
    """
    event: Mapping[str, Any] = row.event or {}
    parts = []
    match event:
        case {"agent": {"name": str(name)}} if bodies:
            parts.append(f"{name}:")
        case {"agent": {"id": str(name)}}:
            parts.append(f"{name}:")
    match event:
        case {"text": str(text)} if bodies:
            parts.append(text)
        case {"queueNumber": int(number)}:
            parts.append(f"number {number}")
        case {"flowGroupId": str(flow)}:
            parts.append(f"flow {flow}")
        case {"reason": str(code)} if row.direction is Direction.OPERATOR:
            parts.append(code)
    if event.get("image") is not None:
        parts.append("[image]")
    raw = (row.raw or "") if bodies else ""
    words = " ".join(" ".join(parts).split()) or " ".join(raw.split())
    short = words if len(words) <= _EXCERPT_CHARACTERS else words[: _EXCERPT_CHARACTERS - 1] + "…"
    return escape_controls(short)
