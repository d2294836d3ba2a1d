"""Convert rows of our tables to sessions and history rows, and back. Runs no SQL."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import Any, Final, NoReturn

import sqlalchemy as sa

from sermo_fsm.core.history import HistoryRow, Outcome
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.errors import StoreError
from sermo_fsm.protocol.events import Agent, Direction, Trigger, Who
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.stored_form import Image
from sermo_fsm.storage.column_types import Unopened, plain
from sermo_fsm.storage.schema import Tables, tables

__all__ = [
    "CHANGING",
    "STATES",
    "TRIGGERS",
    "body_values",
    "changing_values",
    "column_of",
    "due_at",
    "history_columns",
    "history_values",
    "image_values",
    "json_of",
    "readable",
    "row_of",
    "session_of",
    "session_values",
]


class _Words(dict[str | None, Any]):
    """The members of an enum, by the word that the database stores; None stays None.

    Raises:
        StoreError: It stores a word that this release does not know.
    """

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in enum})
        self[None] = None
        self._kind = enum.__name__

    def __missing__(self, word: object) -> NoReturn:
        raise StoreError(f"the database holds an unknown {self._kind}: {str(word)[:40]!r}")


STATES: Final = _Words(State)
TRIGGERS: Final = _Words(Trigger)
_DIRECTIONS: Final = _Words(Direction)
_OUTCOMES: Final = _Words(Outcome)
_REASONS: Final = _Words(CloseReason)
_WHO: Final = _Words(Who)

_RENAMED: Final = {
    "rows": "row_count",
    "queue_place": "queue_number",
    "last_customer_text_at": "customer_text_at",
}


def column_of(name: str) -> str:
    """The column of a field of :class:`~sermo_fsm.ChatSession`."""
    return _RENAMED.get(name, name)


def session_of(row: Iterable[Any]) -> tuple[int, ChatSession]:
    """A whole row of the session table as its ``id`` and a session.

    Raises:
        StoreError: The row holds a state or a reason that this release does not know.
    """
    # Every event reads one or two of these rows: a dictionary of the columns takes twice as long.
    (
        key, session_id, platform_id, user_id, ordinal, _, previous_close_reason, resumed,
        state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type,
        queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at,
        customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at,
        expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at,
        previous_session_id, _,
    ) = row  # fmt: skip
    return key, ChatSession(
        platform_id=platform_id,
        user_id=user_id,
        ordinal=ordinal,
        session_id=session_id,
        previous_session_id=previous_session_id,
        previous_close_reason=_REASONS[previous_close_reason],
        resumed=resumed,
        state=STATES[state],
        opened_at=opened_at,
        since=since,
        closed_at=closed_at,
        close_reason=_REASONS[close_reason],
        agent=None if agent_id is None else _agent(agent_id, agent_name, agent_type),
        queued_at=queued_at,
        flow_group_id=plain(flow_group_id),
        platform_closed_at=platform_closed_at,
        last_seen_at=last_seen_at,
        last_read_at=last_read_at,
        customer_typed_at=customer_typed_at,
        last_reply_at=last_reply_at,
        last_reply_by=_WHO[last_reply_by],
        last_customer_text_at=customer_text_at,
        expires_at=expires_at,
        rows=row_count,
        expiry_set_at=expiry_set_at,
        expiry_reason=_REASONS[expiry_reason],
        effective_at=effective_at,
        kept_state=STATES[kept_state],
        queue_place=queue_number,
        typing_on_at=typing_on_at,
        typing_ended_at=typing_ended_at,
    )


def _agent(key: str, name: str | None, kind: str | None) -> Agent:
    return Agent(id=key, name=plain(name), type=plain(kind))


_FIXED_FIELDS: Final = (
    *("session_id", "platform_id", "user_id", "ordinal", "opened_at"),
    *("previous_session_id", "previous_close_reason", "resumed"),
)
_CHANGING_FIELDS: Final = tuple(
    name for name in ChatSession.__struct_fields__ if name not in (*_FIXED_FIELDS, "agent")
)
_FIXED_OF: Final = attrgetter(*_FIXED_FIELDS)
_CHANGING_OF: Final = attrgetter(*_CHANGING_FIELDS)
_NO_AGENT: Final = (None, None, None)

CHANGING: Final = (
    *map(column_of, _CHANGING_FIELDS),
    *("agent_id", "agent_name", "agent_type", "live", "due_at"),
)
"""The columns of a session that can change, in the order of :func:`changing_values`."""

_BY_COLUMN: Final = itemgetter(
    *map((*CHANGING, *_FIXED_FIELDS).index, tables().session.c.keys()[1:])
)


_CLOSED: Final = State.CLOSED  # Python 3.11 takes ten times as long to find it in its enum


def due_at(session: ChatSession, known: datetime | None) -> datetime | None:
    """When the sweeper has to look at *session*, if the database says *known*.

    Heartbeats only lengthen the deadline, so *known* mostly stays, and no index changes. When it is
    reached, the sweeper finds out the deadline, and looks again then.
    """
    deadline = session.expires_at
    if deadline is None or session.state is _CLOSED:
        return None
    return deadline if known is None or known > deadline else known


def changing_values(session: ChatSession, due_at: datetime | None) -> tuple[Any, ...]:
    """What can change in a session, and in when the sweeper looks at it."""
    agent = session.agent
    named = _NO_AGENT if agent is None else (agent.id, agent.name, agent.type)
    live = None if session.state is _CLOSED else 1
    return *_CHANGING_OF(session), *named, live, due_at


def session_values(session: ChatSession) -> tuple[Any, ...]:
    """A new session as a row of its table, without the ``id``."""
    changing = changing_values(session, due_at(session, None))
    values: tuple[Any, ...] = _BY_COLUMN((*changing, *_FIXED_OF(session)))
    return values


_UNSELECTED: Final = ("session_key", "platform_id", "user_id")


def history_columns(ours: Tables) -> list[sa.ColumnElement[Any]]:
    """What :func:`row_of` needs, selected from the history joined with its sessions."""
    session, history = ours.session.c, ours.history.c
    return [
        *(column for column in history if column.name not in _UNSELECTED),
        sa.func.coalesce(session.platform_id, history.platform_id).label("platform_id"),
        sa.func.coalesce(session.user_id, history.user_id).label("user_id"),
        session.ordinal,
        session.session_id,
    ]


def row_of(row: Mapping[Any, Any]) -> HistoryRow:
    """A row of :func:`history_columns`, perhaps with the body, as a history row.

    Raises:
        StoreError: The row holds a word that this release does not know, or a body that is no JSON.
        SealingFailed: The body could not be opened.
    """
    event = row.get("event")
    return HistoryRow(
        id=row["id"],
        direction=_DIRECTIONS[row["direction"]],
        type=row["type"],
        trigger=TRIGGERS[row["trigger_name"]],
        outcome=_OUTCOMES[row["outcome"]],
        received_at=row["received_at"],
        effective_at=row["effective_at"],
        at=row["sent_at"],
        message_id=row["message_id"],
        platform_id=row["platform_id"],
        user_id=row["user_id"],
        ordinal=row["ordinal"],
        session_id=row["session_id"],
        seq=row["seq"],
        from_state=STATES[row["from_state"]],
        to_state=STATES[row["to_state"]],
        agent_id=row["agent_id"],
        reason=plain(row["reason"]),
        last_seen_at=row["last_seen_at"],
        event=json_of(event) if event is not None else None,
        raw=plain(readable(row.get("raw"))),
    )


def readable(text: str | None) -> str | None:
    """A text of a body as it was read; whoever reads none of them with this takes it for empty.

    Raises:
        SealingFailed: It could not be opened.
    """
    if isinstance(text, Unopened):
        raise text.error
    return text


def json_of(text: str) -> Any:
    """What a stored body holds.

    Raises:
        StoreError: It is not JSON.
        SealingFailed: It could not be opened.
    """
    readable(text)
    with suppress(ValueError):
        return json.loads(text)
    # Outside of an except clause: the error in it would hold all of the text.
    raise StoreError("the database holds an event that is not JSON")


def image_values(image: Image) -> tuple[Any, ...]:
    """An image as a row of its table."""
    return image.sha256, image.media_type, len(image.content), image.content


_HISTORY_OF: Final = attrgetter(
    *("seq", "direction", "type", "trigger", "from_state", "to_state", "outcome", "received_at"),
    *("effective_at", "at", "message_id", "agent_id", "reason", "last_seen_at"),
)


def history_values(row: HistoryRow, session_key: int | None) -> tuple[Any, ...]:
    """A row of the history as one of its table, without the ``id``; a stray has no key."""
    user = (row.platform_id, row.user_id) if session_key is None else _OF_ITS_SESSION
    return session_key, *_HISTORY_OF(row), *user


_OF_ITS_SESSION: Final = (None, None)


def body_values(row: HistoryRow, image: Image | None) -> tuple[Any, ...]:
    """What people wrote as a row of its table, without the ``id`` of the row it belongs to."""
    event = None if row.event is None else dump(row.event)
    return event, row.raw, None if image is None else image.sha256
