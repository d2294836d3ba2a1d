"""The tables of ``docs/fields.md``: every public field and member, with its docstring.

The sentences come from the section ``Attributes:`` of a class and from the docstrings of its
properties, where ``help()`` shows them, too.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import EnumMeta, StrEnum
from functools import partial
from typing import Any, Final

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason, HistoryRow, Outcome, Receipt
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.views.json_views import row_view, session_view, stray_view

__all__ = ["KINDS", "PARTS", "json_names", "sentences"]

KINDS: Final[tuple[type[Any], ...]] = (
    *(ChatSession, HistoryRow, Receipt, Agent),
    *(Outcome, CloseReason, State, Direction, Trigger, Who),
)
"""The classes with a table on the page."""

_MOMENT: Final = datetime(2026, 3, 2, tzinfo=UTC)
_CHAT: Final = ChatSession(platform_id="web", user_id="u-1", state=State.BOT, opened_at=_MOMENT)
_ROW: Final = HistoryRow(direction=None, outcome=Outcome.STRAY, received_at=_MOMENT)
_IN_JSON: Final[Mapping[type[Any], frozenset[str]]] = {
    ChatSession: frozenset(session_view(_CHAT)),
    HistoryRow: frozenset({**row_view(_ROW), **stray_view(_ROW)}),
    Agent: frozenset({"id", "name", "type"}),
}
_RENAMED: Final = {"from_state": "from", "to_state": "to"}


def sentences(kind: type[Any]) -> dict[str, str]:
    """Return the docstring of each field, member and property of *kind*."""
    described = inspect.getdoc(kind) or ""
    _, _, attributes = described.partition("\nAttributes:\n")
    listed = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)$", attributes, re.MULTILINE)
    properties = [
        (name, inspect.getdoc(value) or "")
        for name, value in vars(kind).items()
        if isinstance(value, property)
    ]
    return {name: " ".join(text.split()) for name, text in [*listed, *properties]}


def json_names(kind: type[Any]) -> dict[str, str]:
    """Return the names that the fields and properties of *kind* have in the command's JSON."""
    known = _IN_JSON.get(kind, frozenset())
    names = {name: _RENAMED.get(name, _camel_case(name)) for name in sentences(kind)}
    return {name: spelled for name, spelled in names.items() if spelled in known}


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _table(kind: type[Any]) -> str:
    rows = _members(kind) if isinstance(kind, EnumMeta) else _fields(kind)
    return "\n".join([*rows, ""])


def _members(kind: type[StrEnum]) -> list[str]:
    texts = sentences(kind)
    rows = [
        f"| `{kind.__name__}.{one.name}` | `{one}` | {_text(texts[one.name])} |" for one in kind
    ]
    return ["| member | value | meaning |", "|---|---|---|", *rows]


def _fields(kind: type[Any]) -> list[str]:
    names = json_names(kind)
    if not names:
        rows = [f"| `{name}` | {_text(text)} |" for name, text in sentences(kind).items()]
        return ["| field | meaning |", "|---|---|", *rows]
    rows = [
        f"| `{name}` | {f'`{names[name]}`' if name in names else '–'} | {_text(text)} |"
        for name, text in sentences(kind).items()
    ]
    return ["| field | in JSON | meaning |", "|---|---|---|", *rows]


def _text(text: str) -> str:
    return text.replace("``", "`").replace("|", r"\|")


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    kind.__name__: partial(_table, kind) for kind in KINDS
}
"""The function that makes the text for each marker in the page."""
