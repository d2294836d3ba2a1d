"""What is stored of an event, and what is not: pictures apart, and no unsent text anywhere."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from sermo_fsm.protocol.fields import kind_of_value
from sermo_fsm.protocol.json_reader import Parsed, dump

__all__ = ["EXCERPT_BYTES", "Image", "excerpt", "fingerprint", "image_of", "stored_form"]

EXCERPT_BYTES: Final = 64 * 1024
"""How much of an invalid event's raw text is kept."""

_HOLDS_UNSENT_TEXT: Final = frozenset({"typing", "typing_on", "typing_off"})


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


def stored_form(value: Mapping[str, Any]) -> tuple[dict[str, Any], Image | None]:
    """An event as the history keeps it: without unsent text, its picture described and apart."""
    kept = dict(value)
    if kept.get("type") in _HOLDS_UNSENT_TEXT:
        kept.pop("text", None)
    if not isinstance(kept.get("image"), str):
        return kept, None
    image = image_of(kept["image"])
    kept["image"] = image.description
    return kept, image


def fingerprint(value: Mapping[str, Any]) -> bytes:
    """Equal for equal JSON values, whatever the order of their fields; 1 and 1.0 differ."""
    return hashlib.sha256(dump(value, sort=True).encode()).digest()


# Its own grammar, for what base64 takes for valid changes from one Python to the next. Too much
# padding does no harm, and the protocol's own example has it.
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]*+)(={0,2})", re.ASCII)
_DATA_URL: Final = re.compile(
    r"data:([\w.+-]{1,99}/[\w.+-]{1,99})(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII
)


def image_of(text: str) -> Image:
    """The picture in a base64 ``data:`` URL; any other string is its own content."""
    content, media_type = text.encode("utf-8", "surrogatepass"), None
    if (head := _DATA_URL.match(text)) and (body := _BASE64.fullmatch(text, head.end())):
        missing = -len(body[1]) % 4
        if missing <= len(body[2]):  # else damaged on the way: kept as it came
            content = base64.b64decode(body[1] + "=" * missing)
            media_type = head[1].lower()
    return Image(hashlib.sha256(content).hexdigest(), media_type, content)


_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_READABLY_TYPING: Final = re.compile(r"type\W+typing", re.IGNORECASE)


def excerpt(raw: object) -> str | None:
    """At most 64 KiB of an invalid event; None where it readably is a typing one.

    What a customer has typed and not sent is stored nowhere, not even for those who look for the
    fault in a broken event.
    """
    if isinstance(raw, Parsed):
        raw = raw.value
    if isinstance(raw, Mapping):
        try:
            text = dump(dict(raw))
        except (TypeError, ValueError, RecursionError):
            text = f"a Python {type(raw).__name__} that JSON can't express"
    elif isinstance(raw, str):
        text = raw
    elif isinstance(raw, bytes | bytearray | memoryview):
        text = bytes(raw).decode("utf-8", "backslashreplace")
    else:
        text = kind_of_value(raw)
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace("\0", ""))
    if _READABLY_TYPING.search(plain.replace("\\x00", "").replace("\\", "")):
        return None
    # NUL and lone surrogates are what not every database can store.
    head = text[:EXCERPT_BYTES].replace("\0", "\\x00")
    data = head.encode("utf-8", "backslashreplace")
    return data[:EXCERPT_BYTES].decode("utf-8", "ignore")
