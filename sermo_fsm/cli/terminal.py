"""What commands print to a terminal: colours, relative times, and rows that fit its width."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NoReturn, TextIO

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sermo_fsm.cli import tables
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.text import Styled, count_cells, styled
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession

__all__ = ["TerminalPrinter", "console_on"]

_SECONDS: Final = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Raise: rich would end the process here, even in the middle of a batch."""
        raise BrokenPipeError


def console_on(stream: TextIO) -> Console:
    """A console that styles only on a terminal and takes no text for markup."""
    return _Console(
        file=stream, force_terminal=stream.isatty(), markup=False, highlight=False, emoji=False
    )


@frozen
class TerminalPrinter(Printer):
    """Prints for a person who reads along."""

    @property
    def console(self) -> Console:
        """The terminal, with its width as of now."""
        return console_on(self.stream)

    def print_line(self, *words: str | Styled) -> None:
        """Print one line, with a space between the words."""
        cells = [word if isinstance(word, Styled) else styled(word) for word in words]
        self.print_text(Text(" ").join(Text(*cell) for cell in cells))

    def print_text(self, text: Text) -> None:
        """Print one line that is already safe to print."""
        self.console.print(text, soft_wrap=True)

    def print_chats(self, columns: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
        """Print a row for each chat; its last cell is the id of its session."""
        widths = tables.least_widths(columns[:-1])
        chats = (tables.session_row(cells, len(widths)) for cells in rows)
        tables.print_table(self.console, widths, chats, tables.SESSION_ID)

    def print_parts(self, columns: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
        """Print rows under their first cells, each once where it is the same."""
        widths = tables.least_widths(columns[1:])
        tables.print_table(self.console, widths, map(tables.part_row, rows))

    def print_sessions(self, sessions: Iterable[ChatSession]) -> None:
        """Print a row for each session; a wide terminal also gets the last column."""
        wide = self.console.width >= tables.ALL_SESSION_COLUMNS_WIDTH
        columns = tables.SESSIONS if wide else dict([*tables.SESSIONS.items()][:-1])
        cells = map(self._session_cells, sessions)
        rows = (tables.session_row(cell, len(columns)) for cell in cells)
        tables.print_table(self.console, columns, rows, tables.SESSION_ID)

    def print_counts(self, counts: Mapping[str, Mapping[State, int]]) -> None:
        """Print a row for each platform, with a column for each live state."""
        rows = map(tables.plain_row, map(count_cells, counts.items()))
        tables.print_table(self.console, tables.COUNTS, rows)

    def print_history(self, rows: Iterable[HistoryRow], *, bodies: bool = False) -> None:
        """Print the rows of a session's history; what people wrote only with *bodies*."""
        cells = (tables.history_row(row, self.zone, bodies=bodies) for row in rows)
        tables.print_table(self.console, tables.HISTORY, cells, "text", legend=True)

    def print_strays(self, rows: Iterable[HistoryRow], *, bodies: bool = False) -> None:
        """Print the rows that belong to no session; what people wrote only with *bodies*."""
        cells = (tables.stray_row(row, self.zone, bodies=bodies) for row in rows)
        tables.print_table(self.console, tables.STRAYS, cells, "why", legend=True)

    def print_session(self, session: ChatSession) -> None:
        """Print one session in full: a line for each property that has a value."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in self._properties(session):
            grid.add_row(name, Text(*value))
        self.console.print(grid)

    def time_cell(self, moment: datetime | None) -> Styled:
        """How long ago; empty for None."""
        return Styled("" if moment is None else _elapsed(moment, self.now))

    def _dated(self, moment: datetime | None, note: str | None = None) -> Styled | None:
        if moment is None:
            return None
        at = moment.astimezone(self.zone)
        when = f"{at:%Y-%m-%d %H:%M:%S %Z} ({_elapsed(moment, self.now)})"
        return Styled(" ".join(filter(None, (when, note))))


def _elapsed(moment: datetime, now: datetime) -> str:
    """The time between *moment* and *now* in words, such as ``3 min ago`` or ``in 2 days``."""
    seconds = int(abs((now - moment) / timedelta(seconds=1)))
    for unit, name in _SECONDS:
        if seconds >= 2 * unit:
            length = f"{seconds // unit} {name}"
            return f"{length} ago" if moment <= now else f"in {length}"
    return "now"
