"""Load, lock and write. Works on a connection that somebody else began; never commits.

The few things that databases do differently stand here, and nowhere else.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy.dialects import sqlite

from sermo_fsm.advance import NO_VISITS, Visits
from sermo_fsm.content import Image
from sermo_fsm.events import Direction
from sermo_fsm.rows import (
    HISTORY_COLUMNS,
    PRESENCE,
    SessionKey,
    body_values,
    history_values,
    identity_values,
    image_values,
    key_of,
    presence_values,
    row_of,
    session_key_of,
    session_of,
    session_values,
)
from sermo_fsm.schema import BODY, HISTORY, IMAGE, SESSION
from sermo_fsm.session import ChatSession, HistoryRow, UserKey

__all__ = [
    "Keys",
    "MessageKey",
    "Pending",
    "find_messages",
    "load_overdue",
    "load_visits",
    "new_row_ids",
    "write",
]

MessageKey = tuple[Direction, str]
"""A message id on its queue."""

Keys = dict[SessionKey, int]
"""Which sessions have a row in the database, and its key."""

_PARAMETERS: Final = 500  # in one statement, well below every database's bound


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
            parameters = {"queue": direction, "ids": some}
            for row in connection.execute(_MESSAGES, parameters).mappings():
                found[direction, row["message_id"]] = row_of(row), row["fingerprint"]
    return found


_MESSAGES: Final = (
    sa.select(*HISTORY_COLUMNS, HISTORY.c.fingerprint)
    .select_from(HISTORY.outerjoin(SESSION))
    .where(
        HISTORY.c.direction == sa.bindparam("queue"),
        HISTORY.c.message_id.in_(sa.bindparam("ids", expanding=True)),
    )
)  # made once: building a query takes longer than running it


def load_visits(
    connection: sa.Connection, users: Sequence[UserKey], keys: Keys
) -> dict[UserKey, Visits]:
    """The last two sessions of each user: all that an event can still belong to.

    The keys of their rows go into *keys*.
    """
    loaded = dict.fromkeys(users, NO_VISITS)
    for row in _last_two(connection, users):
        key, session = session_of(row)
        keys[key_of(session)] = key
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
    for row in connection.execute(query):
        key, session = session_of(row)
        keys[key_of(session)] = key
        overdue.append(session)
    return overdue


_LAST_TWO_SQLITE: Final = sa.text("""
    WITH u (platform_id, user_id) AS (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:users))
    SELECT s.* FROM u JOIN sermo_session AS s
        ON s.platform_id = u.platform_id AND s.user_id = u.user_id
    WHERE s.ordinal > (
        SELECT max(o.ordinal) - 2 FROM sermo_session AS o
        WHERE o.platform_id = u.platform_id AND o.user_id = u.user_id)
    ORDER BY s.ordinal
""").columns(*SESSION.c)


def _last_two(connection: sa.Connection, users: Sequence[UserKey]) -> Iterable[sa.Row[Any]]:
    # Row values in an IN would make SQLite scan the whole table.
    return connection.execute(_LAST_TWO_SQLITE, {"users": json.dumps(users)})


# --- writing -------------------------------------------------------------------------------------


@define
class Pending:
    """What a transaction has decided and not yet written."""

    row_ids: Iterator[int]
    sessions: dict[SessionKey, ChatSession] = field(factory=dict)
    seen: dict[SessionKey, ChatSession] = field(factory=dict)
    """Those of which only the presence changed: most of the traffic, and a quarter of a row."""
    rows: list[tuple[HistoryRow, Image | None, bytes | None]] = field(factory=list)

    def keep(self, session: ChatSession, *, only_seen: bool = False) -> None:
        """*session* is to be written as it is now; *only_seen* after a quiet event."""
        key = key_of(session)
        if only_seen and key not in self.sessions:
            self.seen[key] = session
        else:
            self.sessions[key] = session
            self.seen.pop(key, None)

    def add(
        self, row: HistoryRow, image: Image | None = None, fingerprint: bytes | None = None
    ) -> HistoryRow:
        """*row* is to be written; it comes back with its id."""
        object.__setattr__(row, "id", next(self.row_ids))  # just made, nobody else holds it yet
        self.rows.append((row, image, fingerprint))
        return row


def write(connection: sa.Connection, pending: Pending, keys: Keys) -> None:
    """Write all that is pending.

    Sessions first, what closes before what opens: a user has one live session at every moment.
    """
    known = [(keys[key], session) for key, session in pending.sessions.items() if key in keys]
    new = [session for key, session in pending.sessions.items() if key not in keys]
    _run(connection, _UPDATE_SESSION, [{**session_values(one), "key": key} for key, one in known])
    seen = [{**presence_values(one), "key": keys[key]} for key, one in pending.seen.items()]
    _run(connection, _UPDATE_PRESENCE, seen)
    if new:
        keys.update(zip(map(key_of, new), itertools.count(_next_id(connection, SESSION))))
        values = [
            {**session_values(session), **identity_values(session, keys[key_of(session)])}
            for session in new
        ]
        _run(connection, _INSERT_SESSION, values)
    images = {image.sha256: image for _, image, _ in pending.rows if image is not None}
    _run(
        connection,
        _INSERT_IMAGE,
        [image_values(image) for image in images.values()],
    )
    history = [
        history_values(row, fingerprint, None if key is None else keys[key])
        for row, _, fingerprint in pending.rows
        for key in (session_key_of(row),)
    ]
    _run(connection, _INSERT_HISTORY, history)
    bodies = [
        body_values(row, image)
        for row, image, _ in pending.rows
        if row.event is not None or row.raw is not None
    ]
    _run(connection, _INSERT_BODY, bodies)


def new_row_ids(connection: sa.Connection) -> Iterator[int]:
    """The ids of the next history rows; the database is asked where one is needed, not before.

    Nobody else can write before this transaction ends.
    """
    yield from itertools.count(_next_id(connection, HISTORY))


def _next_id(connection: sa.Connection, table: sa.Table) -> int:
    latest: int | None = connection.execute(_LATEST_ID, {"name": table.name}).scalar()
    return 1 + (latest or 0)


_LATEST_ID: Final = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")


def _update_session(columns: Iterable[str]) -> sa.Update:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
    return SESSION.update().where(SESSION.c.id == sa.bindparam("key")).values(values)


_FIXED: Final = {"id", "session_id", "platform_id", "user_id", "ordinal"}
_UPDATE_SESSION: Final = _update_session(
    column.name for column in SESSION.c if column.name not in _FIXED
)
_UPDATE_PRESENCE: Final = _update_session(PRESENCE)
_INSERT_SESSION: Final = SESSION.insert()
_INSERT_HISTORY: Final = HISTORY.insert()
_INSERT_BODY: Final = BODY.insert()
_INSERT_IMAGE: Final = sqlite.insert(IMAGE).on_conflict_do_nothing()


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


_Compiled = tuple[str, list[tuple[str, Any]]]
_COMPILED: Final[dict[tuple[sa.Insert | sa.Update, type[sa.Dialect]], _Compiled]] = {}


def _compiled(statement: sa.Insert | sa.Update, dialect: sa.Dialect) -> _Compiled:
    """The statement as the driver takes it, and how each of its parameters is made ready."""
    key = statement, type(dialect)
    if key not in _COMPILED:
        compiled = statement.compile(dialect=dialect)
        _COMPILED[key] = (
            str(compiled),
            [
                (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in compiled.positiontup or ()
            ],
        )
    return _COMPILED[key]
