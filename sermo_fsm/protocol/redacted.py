"""What people wrote as the host's ``redact=`` leaves it, before it is stored or compared.

Text is every string in an event, wherever it stands, and every whole number, by its digits; but
not the ids and words by which programs know each other, nor a picture.
"""

from collections.abc import Callable, Mapping
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, Final

from sermo_fsm.errors import RedactionFailed
from sermo_fsm.protocol.fields import kind_of_value
from sermo_fsm.protocol.long_text import LongText
from sermo_fsm.protocol.stored_form import is_typing

__all__ = ["Redact", "redacted", "redacted_text"]

Redact = Callable[[str], str]
"""Takes a text that somebody wrote, and returns what may be kept of it."""

_NO_TEXT: Final = frozenset(
    {
        *("type", "direction", "platformId", "userId", "at", "queueNumber", "typing"),
        *("agentId", "queueId", "flowGroupId", "toAgentApplication"),
    }
)
_NO_TEXT_OF_AGENTS: Final = frozenset({"id", "type"})
_NOTHING: Final[frozenset[str]] = frozenset()
_NESTED: Final = (dict, list)


def redacted(value: Mapping[str, Any], redact: Redact) -> Mapping[str, Any]:
    """An event with its texts as *redact* leaves them; *value* itself where it has none.

    Raises:
        RedactionFailed: *redact* raised, or returned what is no text.
    """
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in _NO_TEXT and type(item) not in _NESTED:
            continue
        if name == "agent" and isinstance(item, dict):
            kept[name] = _fields(item, redact, _NO_TEXT_OF_AGENTS)
        elif name == "text" and is_typing(str(value.get("type"))):  # never stored anyway
            continue
        elif name != "image" or not _is_picture(item):
            kept[name] = _redacted(item, redact)
    return {**value, **kept} if kept else value


def _is_picture(image: object) -> bool:
    """Whether this stands for what can't be read: a ``data:`` URL, or too long for anything else.

    Any other string, such as an address, is text.
    """
    return isinstance(image, str) and (isinstance(image, LongText) or image.startswith("data:"))


def _fields(
    value: Mapping[str, Any], redact: Redact, spared: frozenset[str] = _NOTHING
) -> dict[str, Any]:
    return {
        name: item if name in spared and type(item) not in _NESTED else _redacted(item, redact)
        for name, item in value.items()
    }


def _redacted(item: Any, redact: Redact) -> Any:
    if isinstance(item, str):
        return redacted_text(item, redact)
    if isinstance(item, dict):
        return _fields(item, redact)
    if isinstance(item, list):
        return [_redacted(one, redact) for one in item]
    if type(item) is int or (type(item) is float and item.is_integer()):
        digits = str(int(item))
        kept = redacted_text(digits, redact)
        return item if kept == digits else kept
    return item


def redacted_text(text: str, redact: Redact) -> str:
    """What *redact* leaves of one text.

    Raises:
        RedactionFailed: It raised, or returned what is no text.
    """
    failure: Exception | None = None
    kept: object = None
    try:
        kept = redact(text)
    except Exception as error:  # noqa: BLE001 - whatever the host's function may raise
        failure = error
    if kept is text:  # as mostly
        return text
    if failure is None and isinstance(kept, str) and _can_be_stored(kept, text):
        return str(kept)
    # Outside of the except clause: the error in it may quote the text, and knows it.
    raise RedactionFailed(_returned(kept) if failure is None else _raised(failure))


def _can_be_stored(kept: str, text: str) -> bool:
    if kept.isascii() and "\0" not in kept:
        return True
    lone = any("\ud800" <= char <= "\udfff" for char in kept)
    return not lone and ("\0" not in kept or "\0" in text)


def _returned(kept: object) -> str:
    if isinstance(kept, str):
        return "returned a text with NUL or lone surrogates, which can't be stored"
    return f"returned {kind_of_value(kept)}, not a str"


def _raised(failure: Exception) -> str:
    place = extract_tb(failure.__traceback__)[-1]
    return f"raised {type(failure).__name__} at {PurePath(place.filename).name}:{place.lineno}"
