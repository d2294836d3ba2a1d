"""The one long text that an event may have, its image, kept as the bytes that it came as.

A Python text of 16 MB with one emoji in it takes 64 MB, so what is large is unescaped in pieces and
stays in UTF-8.
"""

import re
from collections.abc import Iterator
from typing import Final, Self

import msgspec

__all__ = ["LongText", "read_text", "utf8"]

# Pieces of a text that divide no escape, no pair of surrogates and no character.
_PIECE: Final = re.compile(
    rb"(?:[^\\]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u.{4}|\\.){1,65536}+[\x80-\xbf]*+", re.DOTALL
)


class LongText(str):
    """A text that shows its size, and holds its content as UTF-8.

    Attributes:
        content: The text.
    """

    __slots__ = ("content",)

    content: bytes

    def __new__(cls, content: bytes) -> Self:
        """A text of these bytes."""
        made = super().__new__(cls, f"({len(content)} bytes)")
        made.content = content
        return made


def read_text(written: memoryview) -> LongText:
    """The text that stands in JSON as *written*, with its quotation marks.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
        msgspec.DecodeError: It is no text of JSON.
    """
    content = bytearray()
    for piece in _pieces(written[1:-1]):
        text: str = msgspec.json.decode(b'"%s"' % piece, type=str)
        content += text.encode()
    return LongText(bytes(content))


def _pieces(text: memoryview) -> Iterator[bytes]:
    at = 0
    while found := _PIECE.match(text, at):
        yield found[0]
        at = found.end()


def utf8(text: str) -> bytes:
    """*text* in UTF-8, a lone surrogate as the three bytes it would have."""
    return text.content if isinstance(text, LongText) else text.encode("utf-8", "surrogatepass")
