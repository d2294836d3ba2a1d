"""Tables on a terminal, a line for each row.

Ids are cropped in the middle, and texts at the end, to fit the width; the id of a session never is.
If the terminal is too narrow even for that, a row goes on in the next line.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import islice
from typing import Final

from attrs import field, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from sermo_fsm.cli.text import (
    COUNT_COLUMNS,
    SESSION_COLUMNS,
    Styled,
    excerpt,
    outcome_cell,
    state_cell,
    styled,
)
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.protocol.events import Direction

__all__ = [
    "ALL_SESSION_COLUMNS_WIDTH",
    "COUNTS",
    "HISTORY",
    "SESSIONS",
    "SESSION_ID",
    "STRAYS",
    "TableRow",
    "cropped",
    "history_row",
    "least_widths",
    "part_row",
    "plain_row",
    "print_table",
    "session_row",
    "stray_row",
]

_ROWS_PER_PART: Final = 200  # held in memory, to align them with each other
_UNCROPPED: Final = 10**6
_IDS: Final = {"platform": 10, "user": 12, "agent": 8, "part": 25}  # a part may be an agent's id


def least_widths(columns: Sequence[str]) -> dict[str, int]:
    """The width that each of *columns* may be cropped to: nothing is cropped but ids."""
    return {name: _IDS.get(name, _UNCROPPED) for name in columns}


# The columns of each table, and the width that each may be cropped to.
HISTORY: Final = {"time": _UNCROPPED, "type": 19, "state": _UNCROPPED, "outcome": _UNCROPPED}
STRAYS: Final = {
    "time": _UNCROPPED,
    "type": 19,
    "platform": 10,
    "user": 12,
    "outcome": _UNCROPPED,
}
SESSIONS: Final = least_widths(SESSION_COLUMNS[:-1])
SESSION_ID: Final = f"{SESSION_COLUMNS[-1]:<36}"  # as wide as an id
COUNTS: Final = least_widths(COUNT_COLUMNS)

ALL_SESSION_COLUMNS_WIDTH: Final = 150
"""The terminal width, in characters, from which sessions have all columns."""
_MIN_TEXT_WIDTH: Final = 14

_DIRECTION_MARKS: Final[Mapping[Direction | None, str]] = {
    Direction.INBOUND: "►",
    Direction.OUTBOUND: "◄",
    Direction.TIMER: "○",
    Direction.INTERNAL: "◇",
    Direction.OPERATOR: "■",
}


@frozen
class TableRow:
    """The cells of one row, and the text behind them.

    Attributes:
        text: Cropped to the width that the cells leave.
        uncropped: The width at the beginning of the text that is never cropped.
        heading: The heading above the row, if the row before it has another one.
    """

    cells: Sequence[Text]
    text: Text = field(factory=Text)
    uncropped: int = 0
    heading: str = ""

    def lines(self, widths: Sequence[int], room: int) -> Iterator[Text]:
        """The row in one line, or in several if it does not fit into *room* characters."""
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
            if left < min(self.text.cell_len, max(self.uncropped, _MIN_TEXT_WIDTH)):
                yield line
                line, left = Text(), room - len(gap)
            text = self.text.copy()
            text.truncate(max(left, self.uncropped), overflow="ellipsis")
            line.append(gap).append_text(text)
        yield line


def cropped(text: str, width: int) -> str:
    """*text* with an ellipsis in its middle if it is wider than *width* terminal cells."""
    short, kept = text, width
    while cell_len(short) > width:
        kept -= 1
        short = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return short


def plain_row(cells: Sequence[Styled]) -> TableRow:
    """A row of nothing but cells."""
    return TableRow([Text(*cell) for cell in cells])


def part_row(cells: Sequence[Styled]) -> TableRow:
    """A row under its first cell, of the part in its second one or of all."""
    heading, part, *others = cells
    texts = [Text(*cell) for cell in others]
    return TableRow([Text(part.text or "all", part.style), *texts], heading=heading.text)


def session_row(cells: Sequence[Styled], columns: int) -> TableRow:
    """The first *columns* cells of a session, and its id, which is the last."""
    session_id = Text(*cells[-1])
    return TableRow([Text(*cell) for cell in cells[:columns]], session_id, session_id.cell_len)


def history_row(row: HistoryRow, zone: tzinfo | None, *, bodies: bool) -> TableRow:
    """A row of a session's history; the reason of a close is never cropped."""
    day, time = _day_and_time(row, zone)
    reason, said = Text(*styled(row.reason, "bold")), Text(excerpt(row, bodies=bodies))
    return TableRow(
        [time, _type_cell(row), _state_change(row), Text(*outcome_cell(row.outcome))],
        Text(" ").join(part for part in (reason, said) if part),
        reason.cell_len + (len(" …") if reason and said else 0),
        day,
    )


def stray_row(row: HistoryRow, zone: tzinfo | None, *, bodies: bool) -> TableRow:
    """A row that belongs to no session."""
    day, time = _day_and_time(row, zone)
    user = [styled(row.platform_id), styled(row.user_id), outcome_cell(row.outcome)]
    why = (Text(*styled(row.reason)), Text(excerpt(row, bodies=bodies), "dim"))
    cells = [time, _type_cell(row), *(Text(*cell) for cell in user)]
    return TableRow(cells, Text(" ").join(part for part in why if part), heading=day)


def print_table(
    console: Console,
    columns: Mapping[str, int],
    rows: Iterator[TableRow],
    text: str = "",
    *,
    legend: bool = False,
) -> None:
    """Print *rows* under a header, in parts whose columns are aligned; ``none`` without rows.

    Args:
        columns: The name of each column, and the width that it may be cropped to.
        text: The heading of the rows' texts.
        legend: Explain the marks of directions.
    """
    heading, first = "", True
    names = [Text(name, "bold") for name in columns]
    header = TableRow(names, Text(text, "bold"), 0 if legend else len(text))
    while part := list(islice(rows, _ROWS_PER_PART)):
        lines: list[Text] = []
        if first and legend:
            marks = [Text(f"{mark} {name}", "dim") for name, mark in _DIRECTION_MARKS.items()]
            lines += TableRow(marks).lines([cell.cell_len for cell in marks], console.width)
        first = False
        widths = _column_widths(columns, [header, *part], console.width)
        lines += header.lines(widths, console.width)
        for row in part:
            if row.heading != heading:
                heading = row.heading
                lines.append(Text(heading, "dim"))
            lines += row.lines(widths, console.width)
        for line in lines:
            line.rstrip()
        console.print(Text("\n").join(lines), soft_wrap=True)
    if first:
        console.print(Text("none", "dim"), soft_wrap=True)


def _column_widths(columns: Mapping[str, int], rows: Sequence[TableRow], room: int) -> list[int]:
    """The width of each column: that of its widest cell, less what *room* requires."""
    widths = [
        max(cells) for cells in zip(*([c.cell_len for c in row.cells] for row in rows), strict=True)
    ]
    texts = 0  # what is never cropped gets a line of its own instead
    if any(row.text.cell_len > row.uncropped for row in rows):
        texts = min(_MIN_TEXT_WIDTH, max(row.text.cell_len for row in rows))
    spare = room - sum(widths) - 2 * (len(widths) if texts else len(widths) - 1) - texts
    least = dict(enumerate(columns.values()))
    while spare < 0 and (wide := [at for at, width in enumerate(widths) if width > least[at]]):
        widths[max(wide, key=widths.__getitem__)] -= 1
        spare += 1
    return widths


def _type_cell(row: HistoryRow) -> Text:
    mark = _DIRECTION_MARKS.get(row.direction, "?")
    return Text(*styled(f"{mark} {row.type or row.trigger or ''}"))


def _state_change(row: HistoryRow) -> Text:
    after = Text(*state_cell(row.to_state))
    if row.from_state is row.to_state:
        return after
    states = (Text(*state_cell(row.from_state)), Text("→"), after)
    return Text(" ").join(state for state in states if state)


def _day_and_time(row: HistoryRow, zone: tzinfo | None) -> tuple[str, Text]:
    at = row.effective_at.astimezone(zone)
    return f"{at:%Y-%m-%d (%Z)}", Text(f"{at:%H:%M:%S}")
