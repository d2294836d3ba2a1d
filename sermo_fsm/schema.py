"""The tables. ``migrations/`` builds them; a test holds the two against each other.

People read these tables with any SQL tool, so states, reasons and times stand there as words and
timestamps. All times are UTC. Inside, keys are integers; ``session_id`` is for the outside.
"""

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sermo_fsm.errors import StoreError

__all__ = ["BODY", "HISTORY", "IMAGE", "METADATA", "SESSION", "TABLE_PREFIX", "UtcDateTime"]

TABLE_PREFIX: Final = "sermo_"


_WITHOUT_ZONE: Final = len("2020-02-18 12:14:11.386000")


def _to_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


def _from_text(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value + "+00:00")
    except ValueError:
        raise StoreError(f"a time in the database can't be read: {value[:40]!r}") from None


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A timestamp in UTC, to the microsecond, aware in Python whatever the database."""

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """SQLite's timestamps are text, and half of the time of writing would go into them."""
        return _to_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Likewise."""
        if dialect.name == "sqlite":
            return _from_text
        return super().result_processor(dialect, coltype)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Aware in, UTC to the database."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """What the database says is UTC, where it does not say so itself."""
        del dialect
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


METADATA: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_KEY: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ID: Final = sa.String(255)
_WORD: Final = sa.String(32)
_UUID: Final = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")

SESSION: Final = sa.Table(
    TABLE_PREFIX + "session",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    sa.Column("session_id", _UUID, nullable=False, comment="UUIDv5 of user, platform and ordinal"),
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
    sa.Column("agent_name", sa.Text),
    sa.Column("agent_type", sa.Text),
    sa.Column("queue_number", sa.BigInteger),
    sa.Column("queued_at", UtcDateTime),
    sa.Column("flow_group_id", sa.Text),
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
    sqlite_autoincrement=True,
)

_LIVE: Final = SESSION.c.live == 1
sa.Index(None, SESSION.c.expires_at, sqlite_where=_LIVE, postgresql_where=_LIVE)
sa.Index(None, SESSION.c.state, SESSION.c.platform_id, sqlite_where=_LIVE, postgresql_where=_LIVE)

HISTORY: Final = sa.Table(
    TABLE_PREFIX + "history",
    METADATA,
    sa.Column(
        "id", _KEY, primary_key=True, autoincrement=True, comment="grows with every row written"
    ),
    sa.Column("session_key", _KEY, sa.ForeignKey(SESSION.c.id), comment="NULL for strays"),
    sa.Column("seq", sa.Integer),
    sa.Column("direction", _WORD),
    sa.Column("type", _ID),
    sa.Column("trigger_name", _WORD),
    sa.Column("from_state", _WORD),
    sa.Column("to_state", _WORD),
    sa.Column("outcome", _WORD, nullable=False),
    sa.Column("received_at", UtcDateTime),
    sa.Column("effective_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime, comment="the sender's own clock, never trusted"),
    sa.Column("message_id", _ID),
    sa.Column("fingerprint", sa.LargeBinary(32), comment="of the event, where it has an id"),
    sa.Column("agent_id", _ID, comment="the human in charge after the row"),
    sa.Column("reason", sa.Text),
    sa.Column("last_seen_at", UtcDateTime, comment="on the row that closes"),
    sa.Column("platform_id", _ID, comment="of strays; the others have their session's"),
    sa.Column("user_id", _ID, comment="likewise"),
    # The witness of the lock: two writers of one session cannot both write its next row.
    sa.UniqueConstraint("session_key", "seq"),
    sa.UniqueConstraint("direction", "message_id"),
    sqlite_autoincrement=True,
)

_STRAY: Final = HISTORY.c.session_key.is_(None)
sa.Index("ix_sermo_history_strays", HISTORY.c.id, sqlite_where=_STRAY, postgresql_where=_STRAY)

IMAGE: Final = sa.Table(
    TABLE_PREFIX + "image",
    METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("media_type", _ID),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column(
        "content",
        sa.LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"),
        nullable=False,
    ),
)

_LONG_TEXT: Final = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")

# What people wrote lies apart from the facts: it can be erased, and the chain of rows stays whole.
BODY: Final = sa.Table(
    TABLE_PREFIX + "body",
    METADATA,
    sa.Column(
        "history_id", _KEY, sa.ForeignKey(HISTORY.c.id), primary_key=True, autoincrement=False
    ),
    sa.Column("event", _LONG_TEXT, comment="JSON, without unsent text, images described"),
    sa.Column("raw", _LONG_TEXT, comment="of an invalid event, at most 64 KiB"),
    sa.Column("image_sha256", sa.String(64), sa.ForeignKey(IMAGE.c.sha256), index=True),
)
