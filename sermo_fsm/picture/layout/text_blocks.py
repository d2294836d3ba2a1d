"""Texts made ready to be placed: broken into lines and measured."""

import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen

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
    "make_block",
    "make_pill",
    "printable",
    "wrap_text",
]

TRIGGER_FONT_SIZE: Final = 14.0
"""Of the triggers."""
LINE_HEIGHT: Final = 18.0
"""From one line of a text to the next."""
SYMBOL_INDENT: Final = 15.0
"""The mark before a trigger, and the space after it."""
PILL_FONT_SIZE: Final = 13.0
"""Of the numbers in a pill."""
PILL_HEIGHT: Final = 21.0
"""How high a pill of one row is."""
PILL_LINE_HEIGHT: Final = 16.0
"""From one row of a pill to the next."""

_WIDEST: Final = 206.0
_WIDEST_WITH_NOTE: Final = 168.0
_WIDEST_PILL: Final = 96.0
_NOTE_GAP: Final = 10.0

# A sign such as = does not stay behind when its word goes to the next line.
_WORDS: Final = re.compile(r"(?:[^\w\s] )?\S+")
# XML can't hold these at all, and a mark that turns the direction would turn what follows, too.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The same in one line, and with nothing in it that a picture can't hold."""
    return _UNPRINTABLE.sub("\ufffd", re.sub("[\t\n\r\x85\u2028\u2029]+", " ", text))


def wrap_text(text: str, widest: float, size: float, *, bold: bool = False) -> tuple[str, ...]:
    """A text in lines no wider than that, broken at spaces; inside a word only where it must be."""
    lines = [""]
    for word in _pieces(text, widest, size, bold=bold):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(longer, size, bold=bold) <= widest:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(lines[1:] if len(lines) > 1 and not lines[0] else lines)


def _pieces(text: str, widest: float, size: float, *, bold: bool) -> Iterator[str]:
    for word in _WORDS.findall(text):
        piece = ""
        for char in word:
            if piece and text_width(piece + char, size, bold=bold) > widest:
                yield piece
                piece = ""
            piece += char
        yield piece


@frozen
class TextRow:
    """A line as it stands in the picture.

    Attributes:
        line: The trigger it belongs to.
        first: It begins that one: the mark stands here.
        note: What stands in the column to the right.
        below: It is a note that found no room beside its trigger.
    """

    line: TriggerLine
    text: str
    starts_trigger: bool = False
    note: str = ""
    is_note: bool = False


@frozen
class TextBlock:
    """The triggers of an arrow.

    Attributes:
        notes: Where the column of the notes ends, from the left.
    """

    rows: tuple[TextRow, ...]
    width: float
    notes_right: float

    @property
    def height(self) -> float:
        """Of all rows."""
        return LINE_HEIGHT * len(self.rows)


def make_block(lines: tuple[TriggerLine, ...], widest: float = _WIDEST) -> TextBlock:
    """The triggers, in rows no wider than that; long ones are broken before their condition."""
    beside = all(_fits(line, widest) for line in lines)  # or all below: a column has no holes
    rows = tuple(row for line in lines for row in _rows(line, widest, beside=beside))
    notes = 0.0
    if any(row.note for row in rows):
        words = max(_wide(row) for row in rows if row.note)
        notes = (
            SYMBOL_INDENT
            + words
            + _NOTE_GAP
            + max(text_width(row.note, TRIGGER_FONT_SIZE) for row in rows)
        )
    return TextBlock(rows, max(notes, *(SYMBOL_INDENT + _wide(row) for row in rows)), notes)


def _fits(line: TriggerLine, widest: float) -> bool:
    """Whether its note has room beside it."""
    wide = text_width(_broken(line, widest)[0], TRIGGER_FONT_SIZE, bold=_bold(line))
    note = printable(line.note)
    return not note or wide + _NOTE_GAP + text_width(note, TRIGGER_FONT_SIZE) <= _WIDEST_WITH_NOTE


def _broken(line: TriggerLine, widest: float) -> tuple[str, ...]:
    text, bold = printable(line.text), _bold(line)
    condition = ""
    if text_width(text, TRIGGER_FONT_SIZE, bold=bold) > widest:
        text, opening, condition = text.partition(" [")
        condition = opening.strip() + condition
    words = wrap_text(text, widest, TRIGGER_FONT_SIZE, bold=bold)
    return (
        (*words, *wrap_text(condition, widest, TRIGGER_FONT_SIZE, bold=bold))
        if condition
        else words
    )


def _rows(line: TriggerLine, widest: float, *, beside: bool) -> Iterator[TextRow]:
    note = printable(line.note)
    first, *others = _broken(line, widest)
    yield TextRow(line, first, starts_trigger=True, note=note if beside else "")
    for row in others:
        yield TextRow(line, row)
    if note and not beside:
        for row in wrap_text(note, widest, TRIGGER_FONT_SIZE):
            yield TextRow(line, row, is_note=True)


def _wide(row: TextRow) -> float:
    return text_width(row.text, TRIGGER_FONT_SIZE, bold=_bold(row.line) and not row.is_note)


def _bold(line: TriggerLine) -> bool:
    return line.direction is Direction.INBOUND


@frozen
class Pill:
    """The badges of an arrow, in rows."""

    rows: tuple[str, ...]

    @property
    def width(self) -> float:
        """At least that of a circle."""
        return max(
            PILL_HEIGHT, *(text_width(row, PILL_FONT_SIZE, bold=True) + 13.0 for row in self.rows)
        )

    @property
    def height(self) -> float:
        """Of all rows."""
        return PILL_HEIGHT + (len(self.rows) - 1) * PILL_LINE_HEIGHT


def make_pill(badges: tuple[str, ...]) -> Pill:
    """The badges one after the other, with commas."""
    return Pill(
        wrap_text(", ".join(map(printable, badges)), _WIDEST_PILL, PILL_FONT_SIZE, bold=True)
    )
