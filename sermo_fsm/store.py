"""Load, lock and write. Works on a connection that somebody else began; never commits.

The few things that databases do differently stand here, and nowhere else.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, evolve, field, fields
from sqlalchemy.dialects import sqlite

from sermo_fsm.advance import NO_VISITS, Visits
from sermo_fsm.events import Agent, Direction, Trigger, Who
from sermo_fsm.machine import State
from sermo_fsm.schema import BODY, HISTORY, IMAGE, SESSION
from sermo_fsm.session import ChatSession, CloseReason, HistoryRow, Outcome, UserKey
from sermo_fsm.wire import Image, dump

__all__ = [
    "HISTORY_COLUMNS",
    "MessageKey",
    "Pending",
    "SessionKey",
    "find_messages",
    "key_of",
    "load_overdue",
    "load_visits",
    "next_row_id",
    "row_of",
    "session_of",
    "write",
]

MessageKey = tuple[Direction, str]
SessionKey = tuple[str, str, int]
Keys = dict[SessionKey, int]
"""Which sessions have a row, and its key."""

_PARAMETERS: Final = 500  # in one statement, well below every database's bound


# --- rows ⇄ values -------------------------------------------------------------------------------

_ENUMS: Final[Mapping[str, type[Any]]] = {
    "state": State,
    "kept_state": State,
    "close_reason": CloseReason,
    "previous_close_reason": CloseReason,
    "expiry_reason": CloseReason,
    "last_reply_by": Who,
}
_RENAMED: Final = {"rows": "row_count"}
_PLAIN: Final = tuple(
    (item.name, _RENAMED.get(item.name, item.name), _ENUMS.get(item.name))
    for item in fields(ChatSession)
    if item.name != "agent"
)


def session_of(row: sa.RowMapping) -> ChatSession:
    """A row of the session table as a value."""
    values: dict[str, Any] = {}
    for name, column, enum in _PLAIN:
        value = row[column]
        values[name] = value if enum is None or value is None else enum(value)
    agent = None
    if row["agent_id"] is not None:
        agent = Agent(id=row["agent_id"], name=row["agent_name"], type=row["agent_type"])
    return ChatSession(agent=agent, **values)


def _session_values(session: ChatSession) -> dict[str, Any]:
    values = {column: getattr(session, name) for name, column, _ in _PLAIN}
    agent = session.agent
    values["agent_id"] = agent.id if agent else None
    values["agent_name"] = agent.name if agent else None
    values["agent_type"] = agent.type if agent else None
    values["live"] = 1 if session.live else None
    return values


HISTORY_COLUMNS: Final = (
    *(
        column
        for column in HISTORY.c
        if column.name not in ("session_key", "platform_id", "user_id", "fingerprint")
    ),
    sa.func.coalesce(SESSION.c.platform_id, HISTORY.c.platform_id).label("platform_id"),
    sa.func.coalesce(SESSION.c.user_id, HISTORY.c.user_id).label("user_id"),
    SESSION.c.ordinal,
)
"""What :func:`row_of` needs, from the history joined to its sessions."""


def row_of(row: sa.RowMapping) -> HistoryRow:
    """A row of the history, joined to its session and perhaps its body, as a value."""
    event = row.get("event")
    direction, trigger = row["direction"], row["trigger_name"]
    from_state, to_state = row["from_state"], row["to_state"]
    return HistoryRow(
        id=row["id"],
        direction=Direction(direction) if direction else None,
        type=row["type"],
        trigger=Trigger(trigger) if trigger else None,
        outcome=Outcome(row["outcome"]),
        received_at=row["received_at"],
        effective_at=row["effective_at"],
        at=row["sent_at"],
        message_id=row["message_id"],
        platform_id=row["platform_id"],
        user_id=row["user_id"],
        ordinal=row["ordinal"],
        seq=row["seq"],
        from_state=State(from_state) if from_state else None,
        to_state=State(to_state) if to_state else None,
        agent_id=row["agent_id"],
        reason=row["reason"],
        last_seen_at=row["last_seen_at"],
        event=json.loads(event) if event is not None else None,
        raw=row.get("raw"),
    )


# --- reading -------------------------------------------------------------------------------------


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _PARAMETERS] for start in range(0, len(items), _PARAMETERS))


def find_messages(
    connection: sa.Connection, keys: Iterable[MessageKey]
) -> dict[MessageKey, tuple[HistoryRow, bytes]]:
    """The rows that were written for these message ids, without their bodies."""
    found: dict[MessageKey, tuple[HistoryRow, bytes]] = {}
    by_direction: dict[Direction, list[str]] = {}
    for direction, message_id in keys:
        by_direction.setdefault(direction, []).append(message_id)
    for direction, ids in by_direction.items():
        for some in _chunks(ids):
            query = (
                sa.select(*HISTORY_COLUMNS, HISTORY.c.fingerprint)
                .select_from(HISTORY.outerjoin(SESSION))
                .where(HISTORY.c.direction == direction, HISTORY.c.message_id.in_(some))
            )
            for row in connection.execute(query).mappings():
                found[direction, row["message_id"]] = row_of(row), row["fingerprint"]
    return found


def key_of(session: ChatSession) -> SessionKey:
    """Which session it is."""
    return session.platform_id, session.user_id, session.ordinal


def load_visits(
    connection: sa.Connection, users: Sequence[UserKey], keys: Keys
) -> dict[UserKey, Visits]:
    """The last two sessions of each user: all that an event can still belong to.

    The keys of their rows go into *keys*.
    """
    loaded = dict.fromkeys(users, NO_VISITS)
    for row in _last_two(connection, users):
        session = session_of(row)
        keys[key_of(session)] = row["id"]
        visits = loaded[session.key]
        loaded[session.key] = (
            Visits(session, visits.closed) if session.live else Visits(visits.live, session)
        )
    return loaded


def load_overdue(
    connection: sa.Connection, up_to: datetime, limit: int, keys: Keys
) -> list[ChatSession]:
    """Live sessions whose deadline is reached at *up_to*, the most overdue first."""
    query = (
        sa.select(SESSION)
        .where(SESSION.c.live == 1, SESSION.c.expires_at <= up_to)
        .order_by(SESSION.c.expires_at)
        .limit(limit)
    )
    overdue = []
    for row in connection.execute(query).mappings():
        session = session_of(row)
        keys[key_of(session)] = row["id"]
        overdue.append(session)
    return overdue


_LAST_TWO_SQLITE: Final = sa.text("""
    SELECT s.* FROM json_each(:users) AS u JOIN sermo_session AS s
        ON s.platform_id = u.value ->> 0 AND s.user_id = u.value ->> 1
    WHERE s.ordinal > (
        SELECT max(o.ordinal) - 2 FROM sermo_session AS o
        WHERE o.platform_id = u.value ->> 0 AND o.user_id = u.value ->> 1)
    ORDER BY s.ordinal
""").columns(*SESSION.c)


def _last_two(connection: sa.Connection, users: Sequence[UserKey]) -> Iterable[sa.RowMapping]:
    # Row values in an IN would make SQLite scan the whole table.
    return connection.execute(_LAST_TWO_SQLITE, {"users": json.dumps(users)}).mappings()


# --- writing -------------------------------------------------------------------------------------


@define
class Pending:
    """What a transaction has decided and not yet written."""

    next_row_id: int
    sessions: dict[SessionKey, ChatSession] = field(factory=dict)
    rows: list[tuple[HistoryRow, Image | None, bytes | None]] = field(factory=list)

    def keep(self, session: ChatSession) -> None:
        """*session* is to be written as it is now."""
        self.sessions[key_of(session)] = session

    def add(
        self, row: HistoryRow, image: Image | None = None, fingerprint: bytes | None = None
    ) -> HistoryRow:
        """*row* is to be written; it comes back with its id."""
        row = evolve(row, id=self.next_row_id)
        self.next_row_id += 1
        self.rows.append((row, image, fingerprint))
        return row


def write(connection: sa.Connection, pending: Pending, keys: Keys) -> None:
    """Write all that is pending.

    Sessions first, what closes before what opens: a user has one live session at every moment.
    """
    known = [(keys[key], session) for key, session in pending.sessions.items() if key in keys]
    new = [session for key, session in pending.sessions.items() if key not in keys]
    _run(connection, _UPDATE_SESSION, [{**_session_values(one), "key": key} for key, one in known])
    if new:
        keys.update(zip(map(key_of, new), itertools.count(_next_id(connection, SESSION))))
        values = [{**_session_values(session), **_identity(session, keys)} for session in new]
        _run(connection, _INSERT_SESSION, values)
    images = {image.sha256: image for _, image, _ in pending.rows if image is not None}
    image_values = [_image_values(image) for image in images.values()]
    _run(connection, _INSERT_IMAGE[connection.dialect.name], image_values)
    _run(
        connection, _INSERT_HISTORY, [_row_values(row, mark, keys) for row, _, mark in pending.rows]
    )
    bodies = [
        _body_values(row, image)
        for row, image, _ in pending.rows
        if row.event is not None or row.raw is not None
    ]
    _run(connection, _INSERT_BODY, bodies)


def next_row_id(connection: sa.Connection) -> int:
    """The id of the next history row: nobody else can write before this transaction ends."""
    return _next_id(connection, HISTORY)


def _identity(session: ChatSession, keys: Keys) -> dict[str, Any]:
    return {
        "id": keys[key_of(session)],
        "session_id": session.session_id,
        "platform_id": session.platform_id,
        "user_id": session.user_id,
        "ordinal": session.ordinal,
    }


def _image_values(image: Image) -> dict[str, Any]:
    return {
        "sha256": image.sha256,
        "media_type": image.media_type,
        "bytes": len(image.content),
        "content": image.content,
    }


def _row_values(row: HistoryRow, mark: bytes | None, keys: Keys) -> dict[str, Any]:
    stray = row.ordinal is None
    return {
        "id": row.id,
        "session_key": None if stray else keys[_session_key(row)],
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
        "fingerprint": mark,
        "agent_id": row.agent_id,
        "reason": row.reason,
        "last_seen_at": row.last_seen_at,
        "platform_id": row.platform_id if stray else None,
        "user_id": row.user_id if stray else None,
    }


def _session_key(row: HistoryRow) -> SessionKey:
    assert row.platform_id is not None  # noqa: S101 - no stray: it was made from a session
    assert row.user_id is not None  # noqa: S101 - likewise
    assert row.ordinal is not None  # noqa: S101 - likewise
    return row.platform_id, row.user_id, row.ordinal


def _body_values(row: HistoryRow, image: Image | None) -> dict[str, Any]:
    return {
        "history_id": row.id,
        "event": dump(row.event) if row.event is not None else None,
        "raw": row.raw,
        "image_sha256": image.sha256 if image is not None else None,
    }


def _next_id(connection: sa.Connection, table: sa.Table) -> int:
    query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    latest: int | None = connection.execute(query, {"name": table.name}).scalar()
    return 1 + (latest or 0)


_FIXED: Final = ("id", "session_id", "platform_id", "user_id", "ordinal")
_UPDATE_SESSION: Final = (
    SESSION.update()
    .where(SESSION.c.id == sa.bindparam("key"))
    .values({col.name: sa.bindparam(col.name) for col in SESSION.c if col.name not in _FIXED})
)
_INSERT_SESSION: Final = SESSION.insert()
_INSERT_HISTORY: Final = HISTORY.insert()
_INSERT_BODY: Final = BODY.insert()
_INSERT_IMAGE: Final = {"sqlite": sqlite.insert(IMAGE).on_conflict_do_nothing()}


def _run(
    connection: sa.Connection, statement: sa.Insert | sa.Update, values: list[dict[str, Any]]
) -> None:
    """Execute for all *values* at once, as fast as the driver can.

    SQLAlchemy's own way spends more time on the parameters than the database on the rows.
    """
    if not values:
        return
    sql, columns = _compiled(statement, connection.dialect)
    connection.exec_driver_sql(
        sql,
        [
            tuple(
                [
                    process(item) if (item := value[name]) is not None and process else item
                    for name, process in columns
                ]
            )
            for value in values
        ],
    )


@lru_cache(maxsize=64)
def _compiled(
    statement: sa.Insert | sa.Update, dialect: sa.Dialect
) -> tuple[str, list[tuple[str, Any]]]:
    """The statement as the driver takes it, and how each of its parameters is made ready."""
    compiled = statement.compile(dialect=dialect)
    names = compiled.positiontup or []
    return str(compiled), [
        (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in names
    ]
