"""The tables. ``migrations/`` creates them; a test compares the two.

People read these tables with any SQL tool, so states and reasons are stored as words, and times as
timestamps in UTC. Keys are integers; ``session_id`` is the identifier for the outside.
"""

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm.storage.column_types import (
    IMAGE,
    LONG_TEXT,
    BodyText,
    ForeignTime,
    PrivateText,
    UtcDateTime,
)
from sermo_fsm.storage.sealing import Sealing

__all__ = ["TABLE_PREFIX", "Tables", "tables", "tables_for_ddl"]

TABLE_PREFIX: Final = "sermo_"


@frozen
class Tables:
    """Our tables, in one schema."""

    metadata: sa.MetaData
    session: sa.Table
    history: sa.Table
    image: sa.Table
    body: sa.Table
    chain: sa.Table
    hold: sa.Table
    erasure: sa.Table
    sealing: Sealing | None = None
    """How what people wrote is sealed in ``body`` and ``image``."""

    @property
    def schema(self) -> str | None:
        """The name of the schema; None for the default schema of the connection."""
        return self.metadata.schema


_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_KEY: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ID: Final = sa.String(255)
_WORD: Final = sa.String(32)
_UUID: Final = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")


@cache
def tables(schema: str | None = None, sealing: Sealing | None = None) -> Tables:
    """Our tables in *schema*, whose bodies are opened by *sealing* where they are read."""
    metadata = sa.MetaData(schema=schema, naming_convention=_NAMES)
    session = _session(metadata)
    history = _history(metadata, session)
    image = sa.Table(
        TABLE_PREFIX + "image",
        metadata,
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("media_type", _ID),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("content", IMAGE, nullable=False),
    )
    # What people wrote is apart from the facts, so that it can be erased without breaking the chain
    # of rows.
    body = sa.Table(
        TABLE_PREFIX + "body",
        metadata,
        sa.Column(
            "history_id", _KEY, sa.ForeignKey(history.c.id), primary_key=True, autoincrement=False
        ),
        sa.Column(
            "event", BodyText(sealing), comment="JSON, without unsent text, images described"
        ),
        sa.Column("raw", BodyText(sealing), comment="of an invalid event, at most 64 KiB"),
        sa.Column("image_sha256", sa.String(64), sa.ForeignKey(image.c.sha256), index=True),
    )
    return Tables(
        metadata,
        session,
        history,
        image,
        body,
        _chain(metadata),
        _hold(metadata),
        _erasure(metadata),
        sealing,
    )


def _session(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        TABLE_PREFIX + "session",
        metadata,
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column(
            "session_id", _UUID, nullable=False, comment="UUIDv5 of user, platform and ordinal"
        ),
        sa.Column("platform_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False, comment="n-th session of this user"),
        sa.Column("live", sa.SmallInteger, comment="1, or NULL once closed: unique per user"),
        sa.Column("previous_close_reason", _WORD),
        sa.Column("resumed", sa.Boolean, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("closed_at", UtcDateTime),
        sa.Column("close_reason", _WORD),
        sa.Column("agent_id", _ID),
        sa.Column("agent_name", PrivateText),
        sa.Column("agent_type", PrivateText),
        sa.Column("queue_number", sa.BigInteger),
        sa.Column("queued_at", UtcDateTime),
        sa.Column("flow_group_id", PrivateText),
        sa.Column("platform_closed_at", UtcDateTime),
        sa.Column("last_seen_at", UtcDateTime),
        sa.Column("last_read_at", UtcDateTime),
        sa.Column("customer_typed_at", UtcDateTime),
        sa.Column("last_reply_at", UtcDateTime),
        sa.Column("last_reply_by", _WORD),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("row_count", sa.Integer, nullable=False, comment="rows of its history"),
        sa.Column("expiry_set_at", UtcDateTime, nullable=False),
        sa.Column("expiry_reason", _WORD, nullable=False),
        sa.Column("effective_at", UtcDateTime, nullable=False, comment="of its latest row"),
        sa.Column("kept_state", _WORD, comment="what the clock took it from"),
        sa.Column("customer_text_at", UtcDateTime),
        sa.Column("typing_on_at", UtcDateTime),
        sa.Column("typing_ended_at", UtcDateTime),
        sa.Column("previous_session_id", _UUID, comment="of the session before, of this user"),
        # A deadline that moves with every heartbeat costs less if no index has to follow it.
        sa.Column("due_at", UtcDateTime, comment="when the sweeper looks: never after expires_at"),
        sa.UniqueConstraint("session_id"),
        sa.UniqueConstraint("platform_id", "user_id", "ordinal"),
        # NULLs differ from each other: one live session per user, without a partial index.
        sa.UniqueConstraint("platform_id", "user_id", "live"),
        sa.CheckConstraint(
            "(live = 1 AND state <> 'closed') OR (live IS NULL AND state = 'closed')", name="live"
        ),
        # The one above passes NULL beside a live state, because what is NULL is not false. Two
        # constraints, for SQLite can't drop one.
        sa.CheckConstraint("(live IS NULL) = (state = 'closed')", name="live_unless_closed"),
    )


def _history(metadata: sa.MetaData, session: sa.Table) -> sa.Table:
    return sa.Table(
        TABLE_PREFIX + "history",
        metadata,
        sa.Column(
            "id", _KEY, primary_key=True, autoincrement=True, comment="grows with every row written"
        ),
        sa.Column("session_key", _KEY, sa.ForeignKey(session.c.id), comment="NULL for strays"),
        sa.Column("seq", sa.Integer),
        sa.Column("direction", _WORD),
        sa.Column("type", _ID),
        sa.Column("trigger_name", _WORD),
        sa.Column("from_state", _WORD),
        sa.Column("to_state", _WORD),
        sa.Column("outcome", _WORD, nullable=False),
        sa.Column("received_at", UtcDateTime),
        sa.Column("effective_at", UtcDateTime, nullable=False),
        sa.Column("sent_at", ForeignTime, comment="the sender's own clock, never trusted"),
        sa.Column("message_id", _ID),
        sa.Column("agent_id", _ID, comment="the human in charge after the row"),
        sa.Column("reason", PrivateText),
        sa.Column("last_seen_at", UtcDateTime, comment="on the row that closes"),
        sa.Column("platform_id", _ID, comment="of strays; the others have their session's"),
        sa.Column("user_id", _ID, comment="likewise"),
        # Even without the lock, two writers of one session can't both write its next row.
        sa.UniqueConstraint("session_key", "seq"),
        sa.UniqueConstraint("direction", "message_id"),
    )


def _chain(metadata: sa.MetaData) -> sa.Table:
    """Digests over the facts of the history; see :mod:`sermo_fsm.analysis.chain`."""
    return sa.Table(
        TABLE_PREFIX + "chain",
        metadata,
        sa.Column("id", _KEY, primary_key=True, autoincrement=False, comment="n-th segment"),
        sa.Column("last_id", sa.BigInteger, nullable=False, comment="its last row of the history"),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("late", LONG_TEXT, nullable=False, comment="ids of before, as JSON"),
        sa.Column("gaps", LONG_TEXT, nullable=False, comment="ids that may still come, as JSON"),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256, of all before it too"),
    )


def _hold(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        TABLE_PREFIX + "hold",
        metadata,
        sa.Column("platform_id", _ID, primary_key=True),
        sa.Column("user_id", _ID, primary_key=True),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("reason", _ID, nullable=False),
        sa.Column("held_by", _ID),
    )


def _erasure(metadata: sa.MetaData) -> sa.Table:
    """What was erased, without a word about whom."""
    return sa.Table(
        TABLE_PREFIX + "erasure",
        metadata,
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("erased_at", UtcDateTime, nullable=False),
        sa.Column("what", _WORD, nullable=False, comment="person, or what was kept too long"),
        sa.Column("platform_id", _ID, comment="of a person"),
        sa.Column("user_id", _ID, comment="of a person: the random one"),
        sa.Column("reason", _ID, comment="a code of the caller's"),
        sa.Column("erased_by", _ID, comment="a name that the caller gave"),
        sa.Column("persons", sa.BigInteger, nullable=False),
        sa.Column("sessions", sa.BigInteger, nullable=False),
        sa.Column("row_count", sa.BigInteger, nullable=False, comment="rows of their history"),
        sa.Column("bodies", sa.BigInteger, nullable=False),
        sa.Column("pictures", sa.BigInteger, nullable=False),
        sa.Column("strays", sa.BigInteger, nullable=False),
    )


def tables_for_ddl(schema: str | None = None) -> Tables:
    """Our tables in *schema*, the same objects as in :func:`tables`, with all that only DDL needs.

    It is apart because SQLAlchemy imports a dialect when an option of it is set, and that takes a
    third as long as importing SQLAlchemy.
    """
    ours = tables(schema)
    if ours.session.indexes:
        return ours
    for table in (ours.session, ours.history, ours.erasure):
        table.dialect_options["sqlite"]["autoincrement"] = True
    # Heartbeats then find room beside the old row. Measured with batches that touch 500 of 500 live
    # sessions: 45 % of the time on the server, a ninth of the log, and no larger tables.
    ours.session.dialect_options["postgresql"]["with"] = {"fillfactor": 80}
    session, history = ours.session.c, ours.history.c
    newest = session.opened_at, session.id
    # For the sweeper, which looks for deadlines, and for counts and lists of live sessions. MySQL
    # has no partial indexes, so ``live`` comes first.
    live = _only(session.live == 1)
    sa.Index(None, session.live, session.due_at, **live)
    sa.Index(None, session.live, session.state, *newest, **live)
    sa.Index(None, session.live, session.state, session.platform_id, *newest, **live)
    sa.Index(None, *newest)
    sa.Index(None, session.platform_id, *newest)
    sa.Index(None, session.user_id, *newest)
    sa.Index(None, session.agent_id, *newest)
    stray = _only(history.session_key.is_(None))
    sa.Index("ix_sermo_history_strays", history.session_key, history.id, **stray)
    return ours


def _only(rows: Any) -> dict[str, Any]:
    """The options of an index of these *rows*, on the databases that have partial indexes."""
    return {"sqlite_where": rows, "postgresql_where": rows}
