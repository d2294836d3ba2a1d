"""What the values of the core share: how they show themselves, and how a time is left out."""

from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from sermo_fsm.protocol.events import Agent

__all__ = ["NOT_SAID", "concise", "visible"]

NOT_SAID: Final = datetime.min.replace(tzinfo=UTC)
"""Stands for a time that whoever makes a value leaves out."""


def visible(value: Struct, hidden: Container[str]) -> Iterator[tuple[str, object]]:
    """Yield the names and values of the fields that are not *hidden*."""
    names = (name for name in value.__struct_fields__ if name not in hidden)
    return ((name, getattr(value, name)) for name in names)


def concise(name: str, facts: Iterable[tuple[str, object]]) -> str:
    """A repr of what is set: None and False are left out."""
    shown = [
        f"{key}={_shown(value)}" for key, value in facts if value is not None and value is not False
    ]
    return f"{name}({', '.join(shown)})"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Agent):
        return repr(value.id)  # without the name of the person
    return str(value) if isinstance(value, StrEnum) else repr(value)
