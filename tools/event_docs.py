"""The tables of the README that the classes of the protocol are shown in."""

import inspect
from collections.abc import Callable, Mapping
from typing import Final, get_args

from msgspec.structs import fields

from sermo_fsm.core.history import Outcome
from sermo_fsm.protocol.events import KINDS, Event, KnownEvent
from tools.field_docs import in_markdown, sentences

__all__ = ["PARTS", "own_fields"]

_IN_EVERY_EVENT: Final = {*Event.__struct_fields__, "agent"}


def own_fields(kind: type[KnownEvent]) -> dict[str, bool]:
    """The wire names of the fields that this event alone has, and whether each is required."""
    return {
        field.encode_name: field.required
        for field in fields(kind)
        if field.name not in _IN_EVERY_EVENT
    }


def events() -> str:
    """The events of the protocol as a table: what is optional is in brackets."""
    lines = ["| queue | `type` | fields of its own | what happened |", "|---|---|---|---|"]
    for kind in dict.fromkeys(KINDS.values()):
        names = ", ".join(f"`{name}`" for name in get_args(kind.__annotations__["type"]))
        own = [
            f"`{name}`" if required else f"[`{name}`]"
            for name, required in own_fields(kind).items()
        ]
        happened = in_markdown((inspect.getdoc(kind) or "").partition("\n")[0])
        lines.append(f"| {', '.join(kind.queues)} | {names} | {', '.join(own)} | {happened} |")
    return "\n".join([*lines, ""])


def outcomes() -> str:
    """What can become of an event, in a sentence each."""
    texts = sentences(Outcome)
    rows = [f"| `{outcome}` | {in_markdown(texts[outcome.name])} |" for outcome in Outcome]
    return "\n".join(["| outcome | what became of the event |", "|---|---|", *rows, ""])


PARTS: Final[Mapping[str, Callable[[], str]]] = {"events": events, "outcomes": outcomes}
"""The function that makes the text for each marker in the README."""
