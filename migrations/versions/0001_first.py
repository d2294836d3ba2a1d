"""The first schema: sessions, history, bodies apart, images once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, and not taken from sermo_fsm.schema: a migration says what was, for ever.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UUID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")
TIMESTAMP = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "sermo_image",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=255)),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("content", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sermo_image")),
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
        sa.Column("agent_name", sa.Text()),
        sa.Column("agent_type", sa.Text()),
        sa.Column("queue_number", sa.BigInteger()),
        sa.Column("queued_at", TIMESTAMP),
        sa.Column("flow_group_id", sa.Text()),
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
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_sermo_session_expires_at"),
        "sermo_session",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("live = 1"),
        postgresql_where=sa.text("live = 1"),
    )
    op.create_index(
        op.f("ix_sermo_session_state_platform_id"),
        "sermo_session",
        ["state", "platform_id"],
        unique=False,
        sqlite_where=sa.text("live = 1"),
        postgresql_where=sa.text("live = 1"),
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
        sa.Column(
            "fingerprint", sa.LargeBinary(length=32), comment="of the event, where it has an id"
        ),
        sa.Column("agent_id", sa.String(length=255), comment="the human in charge after the row"),
        sa.Column("reason", sa.Text()),
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
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_sermo_history_strays",
        "sermo_history",
        ["id"],
        unique=False,
        sqlite_where=sa.text("session_key IS NULL"),
        postgresql_where=sa.text("session_key IS NULL"),
    )
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
    )
    op.create_index(
        op.f("ix_sermo_body_image_sha256"), "sermo_body", ["image_sha256"], unique=False
    )


def downgrade() -> None:
    """Drops everything: there is no older schema to keep it in."""
    op.drop_table("sermo_body")
    op.drop_table("sermo_history")
    op.drop_table("sermo_session")
    op.drop_table("sermo_image")
