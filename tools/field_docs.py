"""The tables of ``docs/fields.md``: every public field and member with its docstring, and figures.

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

from sermo_fsm.analysis.figure_tally import FigureTally, Question
from sermo_fsm.core.erasure import Erasure, Hold, Retained
from sermo_fsm.core.history import HistoryRow, Outcome, Receipt
from sermo_fsm.core.json_form import json_name
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.figure_facts import SHORT, TARGET
from sermo_fsm.views.figures import FORMULAS
from sermo_fsm.views.json_views import stray_view

__all__ = ["KINDS", "PARTS", "in_markdown", "json_names", "sentences"]

KINDS: Final[tuple[type[Any], ...]] = (
    *(ChatSession, HistoryRow, Receipt, Agent),
    *(Erasure, Retained, Hold),
    *(Outcome, CloseReason, State, Direction, Trigger, Who),
)
"""The classes with a table on the page."""

_MOMENT: Final = datetime(2026, 3, 2, tzinfo=UTC)
_CHAT: Final = ChatSession(platform_id="web", user_id="u-1", state=State.BOT, opened_at=_MOMENT)
_ROW: Final = HistoryRow(direction=None, outcome=Outcome.STRAY, received_at=_MOMENT)
_IN_JSON: Final[Mapping[type[Any], frozenset[str]]] = {
    ChatSession: frozenset(_CHAT.as_dict()),
    HistoryRow: frozenset(stray_view(_ROW)),
    Agent: frozenset({"id", "name", "type"}),
    Erasure: frozenset(Erasure(erased_at=_MOMENT, platform_id="web").as_dict()),
    Retained: frozenset(Retained().as_dict()),
    Hold: frozenset(Hold(platform_id="web", user_id="u-1", since=_MOMENT, reason="x").as_dict()),
}


def sentences(kind: type[Any]) -> dict[str, str]:
    """Return the docstring of each field, member and property of *kind*."""
    listed: list[tuple[str, str]] = []
    for base in reversed(kind.__mro__):
        described = inspect.cleandoc(vars(base).get("__doc__") or "")
        _, _, attributes = described.partition("\nAttributes:\n")
        listed += re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)$", attributes, re.MULTILINE)
    properties = [
        (name, inspect.getdoc(value) or "")
        for name, value in vars(kind).items()
        if isinstance(value, property)
    ]
    return {name: " ".join(text.split()) for name, text in [*listed, *properties]}


def json_names(kind: type[Any]) -> dict[str, str]:
    """Return the names that the fields and properties of *kind* have in the command's JSON."""
    known = _IN_JSON.get(kind, frozenset())
    names = {name: json_name(name) for name in sentences(kind)}
    return {name: spelled for name, spelled in names.items() if spelled in known}


def _table(kind: type[Any]) -> str:
    rows = _members(kind) if isinstance(kind, EnumMeta) else _fields(kind)
    return "\n".join([*rows, ""])


def _members(kind: type[StrEnum]) -> list[str]:
    texts = sentences(kind)
    rows = [
        f"| `{kind.__name__}.{one.name}` | `{one}` | {in_markdown(texts[one.name])} |"
        for one in kind
    ]
    return ["| member | value | meaning |", "|---|---|---|", *rows]


def _fields(kind: type[Any]) -> list[str]:
    names = json_names(kind)
    if not names:
        rows = [f"| `{name}` | {in_markdown(text)} |" for name, text in sentences(kind).items()]
        return ["| field | meaning |", "|---|---|", *rows]
    rows = [
        f"| `{name}` | {f'`{names[name]}`' if name in names else '–'} | {in_markdown(text)} |"
        for name, text in sentences(kind).items()
    ]
    return ["| field | in JSON | meaning |", "|---|---|---|", *rows]


def in_markdown(text: str) -> str:
    """A sentence of a docstring for a cell of a table."""
    return text.replace("``", "`").replace("|", r"\|")


def _figure_keys() -> str:
    (nothing,) = FigureTally(Question(now=_MOMENT)).result().as_dict()["figures"].values()
    target, short = (format_duration(one) for one in (TARGET, SHORT))
    lines = ["| key | its keys | meaning |", "|---|---|---|"]
    for name, formula in FORMULAS.items():
        keys = ", ".join(f"`{key}`" for key in nothing[name]) or "–"
        meaning = in_markdown(formula.format(target=target, short=short))
        lines.append(f"| `{name}` | {keys} | {meaning} |")
    return "\n".join([*lines, ""])


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    **{kind.__name__: partial(_table, kind) for kind in KINDS},
    "figure_keys": _figure_keys,
}
"""The function that makes the text for each marker in the page."""
