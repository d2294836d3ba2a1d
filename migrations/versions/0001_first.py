"""The first schema: sessions, history, bodies apart, images once."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, and not taken from sermo_fsm.storage.schema: a migration says what was, for ever.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UUID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")
TIMESTAMP = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
# 64 KiB, which is what it is on MySQL, are too few for what an event may hold.
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
DIGEST = sa.LargeBinary(32).with_variant(mysql.VARBINARY(32), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def options(op: Operations) -> dict[str, Any]:
    """How each database is to make the tables.

    On MySQL and MariaDB ids that differ in case, in an accent or in a space at the end are
    different ids; of the collations for which that is so each has one of its own. Every statement
    is committed by itself there: what was interrupted has to be able to go on. Elsewhere a table
    that is there already is somebody else's.
    """
    dialect = op.get_bind().dialect
    if dialect.name not in ("mysql", "mariadb"):
        return {"sqlite_autoincrement": True}
    return {
        f"{dialect.name}_engine": "InnoDB",
        f"{dialect.name}_charset": "utf8mb4",
        f"{dialect.name}_collate": (
            "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        ),
        "if_not_exists": True,
    }


def create_index(
    op: Operations, name: str, table: str, columns: list[str], where: str | None = None
) -> None:
    """Make an index, unless a migration that was interrupted has made it."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        condition = sa.text(where) if where else None
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def upgrade(op: Operations) -> None:
    ours = options(op)
    op.create_table(
        "sermo_image",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=255)),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("content", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sermo_image")),
        **ours,
    )
    op.create_table(
        "sermo_session",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column(
            "session_id", UUID, nullable=False, comment="UUIDv5 of user, platform and ordinal"
        ),
        sa.Column("platform_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="n-th session of this user"),
        sa.Column("live", sa.SmallInteger(), comment="1, or NULL once closed: unique per user"),
        sa.Column("previous_close_reason", sa.String(length=32)),
        sa.Column("resumed", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("since", TIMESTAMP, nullable=False),
        sa.Column("opened_at", TIMESTAMP, nullable=False),
        sa.Column("closed_at", TIMESTAMP),
        sa.Column("close_reason", sa.String(length=32)),
        sa.Column("agent_id", sa.String(length=255)),
        sa.Column("agent_name", LONG_TEXT),
        sa.Column("agent_type", LONG_TEXT),
        sa.Column("queue_number", sa.BigInteger()),
        sa.Column("queued_at", TIMESTAMP),
        sa.Column("flow_group_id", LONG_TEXT),
        sa.Column("platform_closed_at", TIMESTAMP),
        sa.Column("last_seen_at", TIMESTAMP),
        sa.Column("last_read_at", TIMESTAMP),
        sa.Column("customer_typed_at", TIMESTAMP),
        sa.Column("last_reply_at", TIMESTAMP),
        sa.Column("last_reply_by", sa.String(length=32)),
        sa.Column("expires_at", TIMESTAMP),
        sa.Column("row_count", sa.Integer(), nullable=False, comment="rows of its history"),
        sa.Column("expiry_set_at", TIMESTAMP, nullable=False),
        sa.Column("expiry_reason", sa.String(length=32), nullable=False),
        sa.Column("effective_at", TIMESTAMP, nullable=False, comment="of its latest row"),
        sa.Column("kept_state", sa.String(length=32), comment="what the clock took it from"),
        sa.Column("customer_text_at", TIMESTAMP),
        sa.Column("typing_on_at", TIMESTAMP),
        sa.Column("typing_ended_at", TIMESTAMP),
        sa.CheckConstraint(
            "(live = 1 AND state <> 'closed') OR (live IS NULL AND state = 'closed')",
            name=op.f("ck_sermo_session_live"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sermo_session")),
        sa.UniqueConstraint(
            "platform_id", "user_id", "live", name=op.f("uq_sermo_session_platform_id_user_id_live")
        ),
        sa.UniqueConstraint(
            "platform_id",
            "user_id",
            "ordinal",
            name=op.f("uq_sermo_session_platform_id_user_id_ordinal"),
        ),
        sa.UniqueConstraint("session_id", name=op.f("uq_sermo_session_session_id")),
        **ours,
    )
    create_index(op, "ix_sermo_session_expires_at", "sermo_session", ["expires_at"], "live = 1")
    create_index(
        op,
        "ix_sermo_session_state_platform_id",
        "sermo_session",
        ["state", "platform_id"],
        "live = 1",
    )
    op.create_table(
        "sermo_history",
        sa.Column(
            "id", KEY, autoincrement=True, nullable=False, comment="grows with every row written"
        ),
        sa.Column("session_key", KEY, comment="NULL for strays"),
        sa.Column("seq", sa.Integer()),
        sa.Column("direction", sa.String(length=32)),
        sa.Column("type", sa.String(length=255)),
        sa.Column("trigger_name", sa.String(length=32)),
        sa.Column("from_state", sa.String(length=32)),
        sa.Column("to_state", sa.String(length=32)),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("received_at", TIMESTAMP),
        sa.Column("effective_at", TIMESTAMP, nullable=False),
        sa.Column("sent_at", TIMESTAMP, comment="the sender's own clock, never trusted"),
        sa.Column("message_id", sa.String(length=255)),
        sa.Column("fingerprint", DIGEST, comment="of the event, where it has an id"),
        sa.Column("agent_id", sa.String(length=255), comment="the human in charge after the row"),
        sa.Column("reason", LONG_TEXT),
        sa.Column("last_seen_at", TIMESTAMP, comment="on the row that closes"),
        sa.Column(
            "platform_id",
            sa.String(length=255),
            comment="of strays; the others have their session's",
        ),
        sa.Column("user_id", sa.String(length=255), comment="likewise"),
        sa.ForeignKeyConstraint(
            ["session_key"], ["sermo_session.id"], name=op.f("fk_sermo_history_session_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sermo_history")),
        sa.UniqueConstraint(
            "direction", "message_id", name=op.f("uq_sermo_history_direction_message_id")
        ),
        sa.UniqueConstraint("session_key", "seq", name=op.f("uq_sermo_history_session_key_seq")),
        **ours,
    )
    create_index(op, "ix_sermo_history_strays", "sermo_history", ["id"], "session_key IS NULL")
    op.create_table(
        "sermo_body",
        sa.Column("history_id", KEY, autoincrement=False, nullable=False),
        sa.Column("event", LONG_TEXT, comment="JSON, without unsent text, images described"),
        sa.Column("raw", LONG_TEXT, comment="of an invalid event, at most 64 KiB"),
        sa.Column("image_sha256", sa.String(length=64)),
        sa.ForeignKeyConstraint(
            ["history_id"], ["sermo_history.id"], name=op.f("fk_sermo_body_history_id")
        ),
        sa.ForeignKeyConstraint(
            ["image_sha256"], ["sermo_image.sha256"], name=op.f("fk_sermo_body_image_sha256")
        ),
        sa.PrimaryKeyConstraint("history_id", name=op.f("pk_sermo_body")),
        **ours,
    )
    create_index(op, "ix_sermo_body_image_sha256", "sermo_body", ["image_sha256"])


def downgrade(op: Operations) -> None:
    """Drops everything, rows too: there is no older schema to keep them in."""
    for name in ("body", "history", "session", "image"):
        # Where a downgrade was interrupted on MySQL, some are gone already.
        op.drop_table(f"sermo_{name}", if_exists=True)
