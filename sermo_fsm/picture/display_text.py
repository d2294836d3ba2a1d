"""Words, ids and times as a diagram shows them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

__all__ = ["display_id", "display_time", "join_words", "pluralized", "truncate"]

_MAX_ID_LENGTH: Final = 60
# Controls, marks that change the direction of writing, separators and lone surrogates: nothing to
# see, and no format takes all of them.
_INVISIBLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)


def display_id(text: str) -> str:
    """Return an id on one line, with invisible characters escaped, at most 60 characters long."""
    return truncate(_INVISIBLE.sub(_escape, text), _MAX_ID_LENGTH)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])  # always the number: Mermaid would take \\n for the end of the line
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - as in Python


def display_time(moment: datetime) -> str:
    """Return a time as ``2020-02-18 12:14:11``, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def truncate(text: str, length: int) -> str:
    """Return *text*, shortened to *length* characters with an ellipsis if it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def join_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Return the words as a list in a sentence: ``one, two and three``."""
    return f" {conjunction} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def pluralized(count: int, noun: str) -> str:
    """Return the count and its noun, in the plural if needed: ``1,024 chats``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
