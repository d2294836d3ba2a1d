"""Texts broken into rows and measured, ready to be placed."""

import re
from collections.abc import Iterator
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.picture.drawing import TriggerLine
from sermo_fsm.picture.layout.font_metrics import text_width
from sermo_fsm.protocol.events import Direction

__all__ = [
    "LINE_HEIGHT",
    "PILL_FONT_SIZE",
    "PILL_HEIGHT",
    "PILL_LINE_HEIGHT",
    "SYMBOL_INDENT",
    "TRIGGER_FONT_SIZE",
    "Pill",
    "TextBlock",
    "TextRow",
    "filled_block",
    "make_block",
    "make_pill",
    "printable",
    "wrap_text",
]

TRIGGER_FONT_SIZE: Final = 14.0
"""The font size of triggers and their notes."""
LINE_HEIGHT: Final = 18.0
"""The distance from one row of text to the next."""
SYMBOL_INDENT: Final = 15.0
"""The width of the symbol before a trigger, with the space after it."""
PILL_FONT_SIZE: Final = 13.0
"""The font size of the badges in a pill."""
PILL_HEIGHT: Final = 21.0
"""The height of a pill with one row."""
PILL_LINE_HEIGHT: Final = 16.0
"""The distance from one row of a pill to the next."""

_MAX_WIDTH: Final = 206.0
_MAX_WIDTH_WITH_NOTE: Final = 168.0
_SHORT_NOTE: Final = 51.0
"""Up to this width, that of a count, a note stands beside its trigger anyway."""
_MAX_PILL_WIDTH: Final = 112.0
_NOTE_GAP: Final = 10.0

# A sign such as = moves to the next row together with its word.
_WORDS: Final = re.compile(r"(?:[^\w\s] )?\S+")
# XML can't hold these, and a mark that changes the direction of writing would affect what follows.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """Return *text* on one line, with characters that SVG can't hold replaced."""
    return _UNPRINTABLE.sub("\ufffd", re.sub("[\t\n\r\x85\u2028\u2029]+", " ", text))


def wrap_text(text: str, max_width: float, size: float, *, bold: bool = False) -> tuple[str, ...]:
    """Break a text at spaces into rows of at most *max_width*, and inside a word only if needed."""
    lines = [""]
    for word in _pieces(text, max_width, size, bold=bold):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(longer, size, bold=bold) <= max_width:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(lines[1:] if len(lines) > 1 and not lines[0] else lines)


def _pieces(text: str, max_width: float, size: float, *, bold: bool) -> Iterator[str]:
    for word in _WORDS.findall(text):
        piece = ""
        for char in word:
            if piece and text_width(piece + char, size, bold=bold) > max_width:
                yield piece
                piece = ""
            piece += char
        yield piece


@frozen
class TextRow:
    """A row of a label.

    Attributes:
        line: The trigger that the row belongs to.
        starts_trigger: It is the first row of the trigger, with the symbol.
        note: The note in the column on the right.
        is_note: It is a note that stands below its trigger.
    """

    line: TriggerLine
    text: str
    starts_trigger: bool = False
    note: str = ""
    is_note: bool = False


@frozen
class TextBlock:
    """The label of an arrow: its triggers in rows.

    Attributes:
        notes_right: The right end of the column of notes; 0 if there is none.
    """

    rows: tuple[TextRow, ...]
    width: float
    notes_right: float

    @property
    def height(self) -> float:
        """The height of all rows."""
        return LINE_HEIGHT * len(self.rows)


def filled_block(room: TextBlock, lines: tuple[TriggerLine, ...]) -> TextBlock:
    """Return *room* with the notes of *lines*, whose texts are the same, each where it was."""
    rows: list[TextRow] = []
    left = iter(lines)
    for row in room.rows:
        line = next(left) if row.starts_trigger else rows[-1].line
        note = printable(line.note)
        rows.append(
            evolve(row, line=line, text=note)
            if row.is_note
            else evolve(row, line=line, note=note if row.note else "")
        )
    return evolve(room, rows=tuple(rows))


def make_block(lines: tuple[TriggerLine, ...], max_width: float = _MAX_WIDTH) -> TextBlock:
    """Return the triggers in rows of at most *max_width*; long ones break before the condition."""
    beside = all(_note_fits(line, max_width) for line in lines)  # else all notes go below
    rows = tuple(row for line in lines for row in _rows(line, max_width, beside=beside))
    notes_right = 0.0
    if any(row.note for row in rows):
        words = max(_row_width(row) for row in rows if row.note)
        notes = max(text_width(row.note, TRIGGER_FONT_SIZE) for row in rows)
        notes_right = SYMBOL_INDENT + words + _NOTE_GAP + notes
    width = max(notes_right, *(SYMBOL_INDENT + _row_width(row) for row in rows))
    return TextBlock(rows, width, notes_right)


def _note_fits(line: TriggerLine, max_width: float) -> bool:
    """Whether a trigger's note fits beside it."""
    if not line.note:
        return True
    first_row = _wrapped_trigger(line, max_width)[0]
    width = text_width(first_row, TRIGGER_FONT_SIZE, bold=_bold(line))
    note_width = text_width(printable(line.note), TRIGGER_FONT_SIZE)
    return note_width <= _SHORT_NOTE or width + _NOTE_GAP + note_width <= _MAX_WIDTH_WITH_NOTE


def _wrapped_trigger(line: TriggerLine, max_width: float) -> tuple[str, ...]:
    text, bold = printable(line.text), _bold(line)
    condition = ""
    if text_width(text, TRIGGER_FONT_SIZE, bold=bold) > max_width:
        text, opening, condition = text.partition(" [")
        condition = opening.strip() + condition
    rows = wrap_text(text, max_width, TRIGGER_FONT_SIZE, bold=bold)
    if not condition:
        return rows
    return (*rows, *wrap_text(condition, max_width, TRIGGER_FONT_SIZE, bold=bold))


def _rows(line: TriggerLine, max_width: float, *, beside: bool) -> Iterator[TextRow]:
    note = printable(line.note)
    first, *others = _wrapped_trigger(line, max_width)
    yield TextRow(line, first, starts_trigger=True, note=note if beside else "")
    for row in others:
        yield TextRow(line, row)
    if note and not beside:
        for row in wrap_text(note, max_width, TRIGGER_FONT_SIZE):
            yield TextRow(line, row, is_note=True)


def _row_width(row: TextRow) -> float:
    return text_width(row.text, TRIGGER_FONT_SIZE, bold=_bold(row.line) and not row.is_note)


def _bold(line: TriggerLine) -> bool:
    return line.direction is Direction.INBOUND


@frozen
class Pill:
    """The badges of an arrow, in rows, with a round outline."""

    rows: tuple[str, ...]

    @property
    def width(self) -> float:
        """The width; at least the height of one row, which makes a circle."""
        widths = (text_width(row, PILL_FONT_SIZE, bold=True) + 13.0 for row in self.rows)
        return max(PILL_HEIGHT, *widths)

    @property
    def height(self) -> float:
        """The height of all rows."""
        return PILL_HEIGHT + (len(self.rows) - 1) * PILL_LINE_HEIGHT


def make_pill(badges: tuple[str, ...]) -> Pill:
    """Return the badges separated by commas, in as many rows as needed."""
    text = ", ".join(map(printable, badges))
    return Pill(wrap_text(text, _MAX_PILL_WIDTH, PILL_FONT_SIZE, bold=True))
