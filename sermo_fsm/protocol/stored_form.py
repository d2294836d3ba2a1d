"""What is stored of an event, and what is not: pictures apart, and no unsent text anywhere."""

import base64
import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from sermo_fsm.protocol.fields import kind_of_value
from sermo_fsm.protocol.long_text import utf8

__all__ = [
    "EXCERPT_BYTES",
    "Image",
    "excerpt",
    "image_of",
    "is_typing",
    "readings",
    "same_json",
    "stored_form",
    "unescaped",
]

EXCERPT_BYTES: Final = 64 * 1024
"""How much of an invalid event's raw text is kept."""


@frozen
class Image:
    """A picture, once per content. Its description stands in the history in its place."""

    sha256: str
    media_type: str | None
    content: bytes = field(repr=False)

    @property
    def description(self) -> dict[str, Any]:
        """What the history says in place of the picture."""
        return {"sha256": self.sha256, "bytes": len(self.content), "mediaType": self.media_type}


# In any letters, the two i's of Turkish too, and after signs that nobody sees.
is_typing: Final = re.compile(r"\W*typing", re.IGNORECASE).match
"""Whether a ``text`` beside a type of this name is one that its customer has not sent."""


def stored_form(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], Image | None]:
    """An event as the history keeps it: without unsent text, its picture described and apart."""
    if "text" in value and is_typing(str(value.get("type"))):
        value = {name: item for name, item in value.items() if name != "text"}
    if not isinstance(value.get("image"), str):
        return value, None
    image = image_of(value["image"])
    return {**value, "image": image.description}, image


def same_json(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two events are the same JSON value.

    The order of fields does not matter; 1, 1.0 and true are three values.
    """
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# Its own grammar, for what base64 takes for valid changes from one Python to the next. Too much
# padding does no harm, and the protocol's own example has it. Possessive (`++`, `*+`): what was
# read once is not tried in another way, which would take the memory of every place to go back to.
_BASE64: Final = re.compile(rb"([A-Za-z0-9+/]*+)(={0,2})")
_DATA_URL: Final = re.compile(
    rb"data:([\w.+-]{1,99}/[\w.+-]{1,99})(?:;[\w.+-]++=[\w.+-]++)*+;base64,"
)


def image_of(text: str) -> Image:
    """The picture in a base64 ``data:`` URL; any other string is its own content."""
    content, media_type = utf8(text), None
    if (head := _DATA_URL.match(content)) and (body := _BASE64.fullmatch(content, head.end())):
        missing = (body.start(1) - body.end(1)) % 4
        if missing <= body.end(2) - body.start(2):  # else damaged on the way: kept as it came
            padded = memoryview(content)[body.start(1) : body.end(1) + missing]
            content = base64.b64decode(padded)
            media_type = head[1].decode().lower()
    return Image(hashlib.sha256(content).hexdigest(), media_type, content)


_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_LONGEST_ESCAPE: Final = len(r"\u0000")
_GAP: Final = re.compile(r"\W+")
_READABLY_TYPING: Final = re.compile("type typing", re.IGNORECASE)


_MARGIN: Final = 512
"""Longer than anything that is redacted in a text; see :func:`excerpt`."""


def excerpt(raw: object, redact: Callable[[str], str] | None = None) -> str | None:
    """At most 64 KiB of an invalid event; None where it readably is a typing one.

    What a customer has typed and not sent is stored nowhere, not even for those who look for the
    fault in a broken event. What *redact* leaves is cut behind what it has seen whole: half of a
    card's number would be kept.
    """
    text = _as_text(raw)
    if _is_readably_typing(_pieces(text)):
        return None
    head = text[: 4 * EXCERPT_BYTES]  # a character has at most four bytes
    if isinstance(head, bytes):
        head = head.decode("utf-8", "backslashreplace")
    most = EXCERPT_BYTES if redact is None else EXCERPT_BYTES + _MARGIN
    # NUL and lone surrogates are what not every database can store.
    data = head[:most].replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    if redact is not None:
        kept = _redacted(data.decode(), redact)
        data = (kept if len(head) <= most else kept[:-_MARGIN]).encode()
    # Nothing in clear begins as a sealed text does (storage/sealing.py).
    data = b" " + data if data.startswith(b"sealed:") else data
    return data[:EXCERPT_BYTES].decode("utf-8", "ignore")


def _redacted(text: str, redact: Callable[[str], str]) -> str:
    """What *redact* leaves of JSON that may be broken; its escapes are read if they hide a hit."""
    kept = redact(text)
    plain = unescaped(kept)
    left = plain if plain == kept else redact(plain)
    return kept if left == plain else left


# `\x00` is not JSON: an excerpt has it for a NUL and for bytes that are no UTF-8, such as UTF-16.
_LETTER: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-f]{2})|(.))", re.DOTALL)


def unescaped(text: str) -> str:
    """The text of JSON that may be broken, with the characters that its escapes stand for."""
    if "\\" not in text:
        return text
    plain = _LETTER.sub(_letter, text.replace("\\x00", ""))  # between any letters of UTF-16
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


_NESTED: Final = 4


def readings(text: str) -> Iterator[str]:
    """*text* as it is, and as it reads where it is JSON inside of JSON, at most so often."""
    for _ in range(_NESTED):
        yield text
        if "\\" not in text:
            return
        text = unescaped(text)


def _letter(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16))
    return " " if found[3] in "bfnrt" else found[3]


def _as_text(raw: object) -> str | bytes:
    """What was handed in, as text or as the bytes of one."""
    if isinstance(raw, Mapping):
        try:
            return json.dumps(dict(raw), ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError):
            return f"a Python {type(raw).__name__} that JSON can't express"
    if isinstance(raw, bytes | bytearray | memoryview):
        return bytes(raw)
    return raw if isinstance(raw, str) else kind_of_value(raw)


def _pieces(text: str | bytes) -> Iterator[str]:
    """The text, a part at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(text), EXCERPT_BYTES):
        part = text[start : start + EXCERPT_BYTES]
        yield part if isinstance(part, str) else decoder.decode(part)
    yield ""


def _is_readably_typing(pieces: Iterator[str]) -> bool:
    """Whether the type of an event is a typing one, to whoever reads over escapes and signs."""
    unread, before = "", ""
    for piece in pieces:
        text = unread + piece.replace("\0", "")
        # An escape that may go on in the next piece waits for it; after the last there is nothing.
        end = text.rfind("\\", max(0, len(text) - _LONGEST_ESCAPE + 1)) if piece else len(text)
        unread = "" if end < 0 else text[end:]
        plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text[: len(text) - len(unread)])
        plain = _GAP.sub(" ", before + plain.replace("\\x00", "").replace("\\", ""))
        if _READABLY_TYPING.search(plain):
            return True
        before = plain[-len("type typing") :]
    return False
