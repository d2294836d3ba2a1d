"""Rows as lines that fit the terminal of a person.

Every row is one line: ids are cropped in the middle, and what was said to the room that is left.
Where it is too narrow for that, a row goes on in the next line; nothing is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from itertools import islice
from typing import Final

from attrs import field, frozen
from rich.cells import cell_len
from rich.text import Text

from sermo_fsm.cli.terminal import (
    COUNT_COLUMNS,
    SESSION_COLUMNS,
    Page,
    console_on,
    count_cells,
    excerpt,
    outcome_word,
    state_word,
    word,
)
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.protocol.events import Direction

__all__ = ["Sheet", "cropped"]

_ROWS_AT_ONCE: Final = 200  # lines are aligned with each other: this many rows are kept for it
# The columns on a terminal, and what each may be cropped to. What was said is cropped before that.
_WHOLE: Final = 10**6
_OF_HISTORY: Final = {"time": _WHOLE, "type": 19, "state": _WHOLE, "outcome": _WHOLE}
_OF_STRAYS: Final = {"time": _WHOLE, "type": 19, "platform": 10, "user": 12, "outcome": _WHOLE}
_OF_SESSIONS: Final = {
    name: {"platform": 10, "user": 12, "agent": 8}.get(name, _WHOLE) for name in SESSION_COLUMNS
}
_OF_COUNTS: Final = {name: 10 if name == "platform" else _WHOLE for name in COUNT_COLUMNS}
_WIDE: Final = 150  # columns that a terminal needs to show all that is known of a session
_TEXT_LEAST: Final = 14

_MARKS: Final[Mapping[Direction | None, str]] = {
    Direction.INBOUND: "►",
    Direction.OUTBOUND: "◄",
    Direction.TIMER: "○",
    Direction.INTERNAL: "◇",
}


@frozen
class _Row:
    """One row for a person."""

    cells: Sequence[Text]
    text: Text = field(factory=Text)
    """Cropped to the room that is left."""
    kept: int = 0
    """So much of the text is never cropped."""
    day: str = ""

    def lines(self, widths: Sequence[int], room: int) -> Iterator[Text]:
        """One line; more of them only where *room* is too little for all that is to be seen."""
        line, gap = Text(), ""
        for cell, width in zip(self.cells, widths, strict=True):
            shown = Text(cropped(cell.plain, width), cell.style, spans=cell.spans)
            if line and line.cell_len + len(gap) + shown.cell_len > room:
                yield line
                line, gap = Text(), "  "
            line.append(gap).append_text(shown).pad_right(width - shown.cell_len)
            gap = "  "
        if self.text:
            left = room - line.cell_len - len(gap)
            if left < min(self.text.cell_len, max(self.kept, _TEXT_LEAST)):
                yield line
                line, left = Text(), room - len(gap)
            text = self.text.copy()
            text.truncate(max(left, self.kept), overflow="ellipsis")
            line.append(gap).append_text(text)
        yield line


def cropped(text: str, most: int) -> str:
    """*text* without its middle, so that it is at most so wide."""
    short, kept = text, most
    while cell_len(short) > most:
        kept -= 1
        short = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return short


def _widths(columns: Mapping[str, int], rows: Sequence[_Row], room: int) -> list[int]:
    """How wide the columns have to be, and may be."""
    widths = [
        max(cells) for cells in zip(*([c.cell_len for c in row.cells] for row in rows), strict=True)
    ]
    texts = min(_TEXT_LEAST, max(row.text.cell_len for row in rows))
    spare = room - sum(widths) - 2 * (len(widths) if texts else len(widths) - 1) - texts
    least = dict(enumerate(columns.values()))
    while spare < 0 and (wide := [at for at, width in enumerate(widths) if width > least[at]]):
        widths[max(wide, key=widths.__getitem__)] -= 1
        spare += 1
    return widths


def _kind(row: HistoryRow) -> Text:
    return word(f"{_MARKS.get(row.direction, '?')} {row.type or row.trigger or ''}")


def _move(row: HistoryRow) -> Text:
    if row.from_state is row.to_state:
        return state_word(row.to_state)
    states = (state_word(row.from_state), Text("→"), state_word(row.to_state))
    return Text(" ").join(state for state in states if state)


def _day(row: HistoryRow) -> tuple[str, Text]:
    at = row.effective_at.astimezone(UTC)
    return f"{at:%Y-%m-%d} (UTC)", Text(f"{at:%H:%M:%S}")


def _history_row(row: HistoryRow) -> _Row:
    day, time = _day(row)
    reason, said = word(row.reason, "bold"), Text(excerpt(row))
    return _Row(
        [time, _kind(row), _move(row), outcome_word(row.outcome)],
        Text(" ").join(part for part in (reason, said) if part),
        reason.cell_len + (len(" …") if reason and said else 0),
        day,
    )


def _stray_row(row: HistoryRow) -> _Row:
    day, time = _day(row)
    whose = [word(row.platform_id), word(row.user_id)]
    why = (word(row.reason), Text(excerpt(row), "dim"))
    cells = [time, _kind(row), *whose, outcome_word(row.outcome)]
    return _Row(cells, Text(" ").join(part for part in why if part), day=day)


@frozen
class Sheet(Page):
    """A page whose rows are lines that fit, where a person watches."""

    def sessions(self, sessions: Iterable[ChatSession]) -> None:
        """A row for each session."""
        if not self.watched:
            super().sessions(sessions)
            return
        wide = console_on(self.stream).width >= _WIDE
        columns = dict(islice(_OF_SESSIONS.items(), None if wide else len(_OF_SESSIONS) - 2))
        rows = (_Row(self._session_cells(one)[: len(columns)]) for one in sessions)
        self._lines(columns, rows)

    def counts(self, counts: Mapping[str, Mapping[State, int]]) -> None:
        """A row for each platform, a column for each state."""
        if self.watched:
            self._lines(_OF_COUNTS, (_Row(count_cells(one)) for one in counts.items()))
        else:
            super().counts(counts)

    def history(self, rows: Iterable[HistoryRow]) -> None:
        """A row for each row of a session's history."""
        if self.watched:
            self._lines(_OF_HISTORY, map(_history_row, rows), "text")
        else:
            super().history(rows)

    def strays(self, rows: Iterable[HistoryRow]) -> None:
        """A row for each row without a session."""
        if self.watched:
            self._lines(_OF_STRAYS, map(_stray_row, rows), "why")
        else:
            super().strays(rows)

    def _lines(self, columns: Mapping[str, int], rows: Iterator[_Row], text: str = "") -> None:
        console, day, first = console_on(self.stream), "", True
        header = _Row([Text(name, "bold") for name in columns], Text(text, "bold"))
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            page: list[Text] = []
            if first and text:  # of rows with a queue
                legend = [word(f"{mark} {name}", "dim") for name, mark in _MARKS.items()]
                page += _Row(legend).lines([cell.cell_len for cell in legend], console.width)
            first = False
            widths = _widths(columns, [header, *some], console.width)
            page += header.lines(widths, console.width)
            for row in some:
                if row.day != day:
                    day = row.day
                    page.append(Text(day, "dim"))
                page += row.lines(widths, console.width)
            for line in page:
                line.rstrip()
            console.print(Text("\n").join(page), soft_wrap=True)
        if first:
            self.say(Text("none", "dim"))
