"""Convert rows of our tables to sessions and history rows, and back. Runs no SQL."""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from attrs import fields

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason, HistoryRow, Outcome
from sermo_fsm.errors import StoreError
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.stored_form import Image
from sermo_fsm.storage.column_types import PrivateText, plain
from sermo_fsm.storage.schema import Tables, tables

__all__ = [
    "PRESENCE",
    "SessionKey",
    "body_values",
    "history_columns",
    "history_values",
    "identity_values",
    "image_values",
    "presence_values",
    "row_of",
    "session_key_of",
    "session_of",
    "session_values",
    "word_of",
]

SessionKey = tuple[str, str, int]
"""Platform id, user id and ordinal of a session."""

_Word = TypeVar("_Word", bound=StrEnum)

_ENUMS: Final[Mapping[str, type[Any]]] = {
    "state": State,
    "kept_state": State,
    "close_reason": CloseReason,
    "previous_close_reason": CloseReason,
    "expiry_reason": CloseReason,
    "last_reply_by": Who,
}
_MEMBERS: Final = {name: {member.value: member for member in enum} for name, enum in _ENUMS.items()}
_RENAMED: Final = {"rows": "row_count"}
_FIELDS: Final = tuple(item.name for item in fields(ChatSession) if item.name != "agent")
_COLUMNS: Final = tuple(_RENAMED.get(name, name) for name in _FIELDS)
_VALUES_OF: Final = attrgetter(*_FIELDS)
_FIELD_OF: Final = dict(zip(_COLUMNS, _FIELDS, strict=True))
_SELECTED: Final = tuple(_FIELD_OF.get(column.name, column.name) for column in tables().session.c)
_PRIVATE: Final = tuple(
    _FIELD_OF.get(column.name, column.name)
    for column in tables().session.c
    if isinstance(column.type, PrivateText)
)


def word_of(enum: type[_Word], value: str) -> _Word:
    """The member of *enum* that the database stores as *value*.

    Raises:
        StoreError: *enum* has no such member.
    """
    try:
        return enum(value)
    except ValueError:
        raise StoreError(f"the database holds an unknown {enum.__name__}: {value[:40]!r}") from None


def _read(enum: type[_Word], value: str | None) -> _Word | None:
    return None if value is None else word_of(enum, value)


def session_of(row: Iterable[Any]) -> tuple[int, ChatSession]:
    """A whole row of the session table as its ``id`` and a session.

    Raises:
        StoreError: The row holds a state or a reason that this release does not know.
    """
    # Every event reads one or two of these rows, so it makes no calls per column.
    values = dict(zip(_SELECTED, row, strict=True))
    for name, members in _MEMBERS.items():
        word = values[name]
        if word is not None:
            values[name] = members.get(word) or word_of(_ENUMS[name], word)
    for name in _PRIVATE:
        if values[name] is not None:
            values[name] = str(values[name])  # without the wrapper that hides it
    key = values.pop("id")
    del values["session_id"], values["live"]
    agent_id, name, kind = (
        values.pop("agent_id"),
        values.pop("agent_name"),
        values.pop("agent_type"),
    )
    agent = None if agent_id is None else Agent(id=agent_id, name=name, type=kind)
    return key, ChatSession(agent=agent, **values)


def session_values(session: ChatSession) -> dict[str, Any]:
    """The columns of a session that change."""
    values = dict(zip(_COLUMNS, _VALUES_OF(session), strict=True))
    agent = session.agent
    values["agent_id"] = agent.id if agent else None
    values["agent_name"] = agent.name if agent else None
    values["agent_type"] = agent.type if agent else None
    values["live"] = None if session.state is State.CLOSED else 1
    return values


PRESENCE: Final = (
    *("last_seen_at", "last_read_at", "customer_typed_at", "typing_on_at", "typing_ended_at"),
    *("expires_at", "expiry_set_at", "expiry_reason"),
)
"""The columns that a quiet event can change."""


_PRESENCE_OF: Final = attrgetter(*PRESENCE)


def presence_values(session: ChatSession) -> dict[str, Any]:
    """The columns of a session that quiet events change."""
    return dict(zip(PRESENCE, _PRESENCE_OF(session), strict=True))


_UNSELECTED: Final = ("session_key", "platform_id", "user_id", "fingerprint")


def history_columns(ours: Tables) -> list[sa.ColumnElement[Any]]:
    """What :func:`row_of` needs, selected from the history joined with its sessions."""
    session, history = ours.session.c, ours.history.c
    return [
        *(column for column in history if column.name not in _UNSELECTED),
        sa.func.coalesce(session.platform_id, history.platform_id).label("platform_id"),
        sa.func.coalesce(session.user_id, history.user_id).label("user_id"),
        session.ordinal,
    ]


def row_of(row: Mapping[Any, Any]) -> HistoryRow:
    """A row of :func:`history_columns`, perhaps with the body, as a history row.

    Raises:
        StoreError: The row holds a word that this release does not know.
    """
    event = row.get("event")
    return HistoryRow(
        id=row["id"],
        direction=_read(Direction, row["direction"]),
        type=row["type"],
        trigger=_read(Trigger, row["trigger_name"]),
        outcome=word_of(Outcome, row["outcome"]),
        received_at=row["received_at"],
        effective_at=row["effective_at"],
        at=row["sent_at"],
        message_id=row["message_id"],
        platform_id=row["platform_id"],
        user_id=row["user_id"],
        ordinal=row["ordinal"],
        seq=row["seq"],
        from_state=_read(State, row["from_state"]),
        to_state=_read(State, row["to_state"]),
        agent_id=row["agent_id"],
        reason=plain(row["reason"]),
        last_seen_at=row["last_seen_at"],
        event=json.loads(event) if event is not None else None,
        raw=plain(row.get("raw")),
    )


def identity_values(session: ChatSession) -> dict[str, Any]:
    """The columns of a session that never change."""
    return {
        "session_id": session.session_id,
        "platform_id": session.platform_id,
        "user_id": session.user_id,
        "ordinal": session.ordinal,
    }


def image_values(image: Image) -> dict[str, Any]:
    """The columns of an image."""
    return {
        "sha256": image.sha256,
        "media_type": image.media_type,
        "bytes": len(image.content),
        "content": image.content,
    }


def session_key_of(row: HistoryRow) -> SessionKey | None:
    """The key of the session that a row belongs to; None for a stray."""
    if row.platform_id is None or row.user_id is None or row.ordinal is None:
        return None
    return row.platform_id, row.user_id, row.ordinal


def history_values(
    row: HistoryRow, fingerprint: bytes | None, session_key: int | None
) -> dict[str, Any]:
    """The columns of a history row."""
    stray = session_key is None
    return {
        "session_key": session_key,
        "seq": row.seq,
        "direction": row.direction,
        "type": row.type,
        "trigger_name": row.trigger,
        "from_state": row.from_state,
        "to_state": row.to_state,
        "outcome": row.outcome,
        "received_at": row.received_at,
        "effective_at": row.effective_at,
        "sent_at": row.at,
        "message_id": row.message_id,
        "fingerprint": fingerprint,
        "agent_id": row.agent_id,
        "reason": row.reason,
        "last_seen_at": row.last_seen_at,
        "platform_id": row.platform_id if stray else None,
        "user_id": row.user_id if stray else None,
    }


def body_values(row: HistoryRow, image: Image | None) -> dict[str, Any]:
    """The columns of what people wrote, without the ``id`` of the row it belongs to."""
    return {
        "event": dump(row.event) if row.event is not None else None,
        "raw": row.raw,
        "image_sha256": image.sha256 if image is not None else None,
    }
