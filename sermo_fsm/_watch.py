"""What a person watches: rows as lines that fit the terminal, and how far a long command is.

On a terminal every row is one line: ids are cropped in the middle, and what was said to the room
that is left. Where it is too narrow for that, a row goes on in the next line; nothing is left out.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from itertools import islice
from typing import Final

from attrs import field, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sermo_fsm._terminal import (
    SESSION_COLUMNS,
    Page,
    clean,
    console_on,
    excerpt,
    outcome_word,
    state_word,
    word,
)
from sermo_fsm.events import Direction
from sermo_fsm.session import ChatSession, HistoryRow

__all__ = ["Sheet", "Watch", "watching"]

_ROWS_AT_ONCE: Final = 200  # lines are aligned with each other: this many rows are kept for it
# The columns on a terminal, and what each may be cropped to. What was said is cropped before that.
_WHOLE: Final = 10**6
_OF_HISTORY: Final = {"time": _WHOLE, "type": 19, "state": _WHOLE, "outcome": _WHOLE}
_OF_STRAYS: Final = {"time": _WHOLE, "type": 19, "platform": 10, "user": 12, "outcome": _WHOLE}
_OF_SESSIONS: Final = {
    name: {"platform": 10, "user": 12, "agent": 8}.get(name, _WHOLE) for name in SESSION_COLUMNS
}
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
            shown = Text(_cropped(cell.plain, width), cell.style, spans=cell.spans)
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


def _cropped(text: str, most: int) -> str:
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


@frozen
class Watch:
    """How far it is, for a person who watches; and remarks, for anyone."""

    console: Console
    progress: Progress | None = None

    def advance(self, read: int, lines: int) -> None:
        """*read* bytes further, *lines* lines in all."""
        if self.progress is not None:
            for task in self.progress.task_ids:
                self.progress.update(task, advance=read, lines=f"{lines} lines")

    def remark(self, text: str) -> None:
        """One line on standard error, which stops nothing where nobody listens any more."""
        with suppress(OSError):
            self.console.print(Text(clean(text)), soft_wrap=True)


@contextmanager
def watching(total: int | None, *, quiet: bool) -> Iterator[Watch]:
    """A bar on standard error where that is a terminal, over *total* bytes where they are known.

    Args:
        total: How many bytes there are to read.
        quiet: No bar in any case: somebody types there.
    """
    console = console_on(sys.stderr)
    if quiet or not console.is_terminal:
        yield Watch(console)
        return
    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[lines]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task("", total=total, lines="")
        yield Watch(console, progress)
