"""The tables. ``migrations/`` creates them; a test compares the two.

People read these tables with any SQL tool, so states and reasons are stored as words, and times as
timestamps in UTC. Keys are integers; ``session_id`` is the identifier for the outside.
"""

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from attrs import frozen

from sermo_fsm.storage.column_types import IMAGE, ForeignTime, PrivateText, UtcDateTime

__all__ = ["TABLE_PREFIX", "Tables", "tables", "tables_for_ddl"]

TABLE_PREFIX: Final = "sermo_"


@frozen
class Tables:
    """Our four tables, in one schema."""

    metadata: sa.MetaData
    session: sa.Table
    history: sa.Table
    image: sa.Table
    body: sa.Table

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
_DIGEST: Final = sa.LargeBinary(32).with_variant(sa.VARBINARY(32), "mysql", "mariadb")
_UUID: Final = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")


@cache
def tables(schema: str | None = None) -> Tables:
    """Our tables in *schema*."""
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
        sa.Column("event", PrivateText, comment="JSON, without unsent text, images described"),
        sa.Column("raw", PrivateText, comment="of an invalid event, at most 64 KiB"),
        sa.Column("image_sha256", sa.String(64), sa.ForeignKey(image.c.sha256), index=True),
    )
    return Tables(metadata, session, history, image, body)


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
        sa.UniqueConstraint("session_id"),
        sa.UniqueConstraint("platform_id", "user_id", "ordinal"),
        # NULLs differ from each other: one live session per user, without a partial index.
        sa.UniqueConstraint("platform_id", "user_id", "live"),
        sa.CheckConstraint(
            "(live = 1 AND state <> 'closed') OR (live IS NULL AND state = 'closed')", name="live"
        ),
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
        sa.Column("fingerprint", _DIGEST, comment="of the event, where it has an id"),
        sa.Column("agent_id", _ID, comment="the human in charge after the row"),
        sa.Column("reason", PrivateText),
        sa.Column("last_seen_at", UtcDateTime, comment="on the row that closes"),
        sa.Column("platform_id", _ID, comment="of strays; the others have their session's"),
        sa.Column("user_id", _ID, comment="likewise"),
        # Even without the lock, two writers of one session can't both write its next row.
        sa.UniqueConstraint("session_key", "seq"),
        sa.UniqueConstraint("direction", "message_id"),
    )


def tables_for_ddl(schema: str | None = None) -> Tables:
    """Our tables in *schema*, the same objects as in :func:`tables`, with all that only DDL needs.

    It is apart because SQLAlchemy imports a dialect when an option of it is set, and that takes a
    third as long as importing SQLAlchemy.
    """
    ours = tables(schema)
    if ours.session.indexes:
        return ours
    for table in (ours.session, ours.history):
        table.dialect_options["sqlite"]["autoincrement"] = True
    session, history = ours.session.c, ours.history.c
    newest = session.opened_at, session.id
    # For the sweeper, which looks for deadlines, and for counts and lists of live sessions. MySQL
    # has no partial indexes, so ``live`` comes first.
    live = _only(session.live == 1)
    sa.Index(None, session.live, session.expires_at, **live)
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
