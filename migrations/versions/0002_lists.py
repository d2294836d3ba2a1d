"""Lists in pages: indexes in the order in which sessions are listed, and for what is live."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SESSION = "sermo_session"
HISTORY = "sermo_history"
LIVE = "live = 1"
STRAY = "session_key IS NULL"

OLD: list[tuple[str, str, list[str], str | None]] = [
    ("ix_sermo_session_expires_at", SESSION, ["expires_at"], LIVE),
    ("ix_sermo_session_state_platform_id", SESSION, ["state", "platform_id"], LIVE),
    ("ix_sermo_history_strays", HISTORY, ["id"], STRAY),
]
# On MySQL, which has no partial indexes, the first column does what the condition does elsewhere.
NEW: list[tuple[str, str, list[str], str | None]] = [
    ("ix_sermo_session_live_expires_at", SESSION, ["live", "expires_at"], LIVE),
    (
        "ix_sermo_session_live_state_platform_id_opened_at_id",
        SESSION,
        ["live", "state", "platform_id", "opened_at", "id"],
        LIVE,
    ),
    ("ix_sermo_session_opened_at_id", SESSION, ["opened_at", "id"], None),
    (
        "ix_sermo_session_platform_id_opened_at_id",
        SESSION,
        ["platform_id", "opened_at", "id"],
        None,
    ),
    ("ix_sermo_session_user_id_opened_at_id", SESSION, ["user_id", "opened_at", "id"], None),
    ("ix_sermo_session_agent_id_opened_at_id", SESSION, ["agent_id", "opened_at", "id"], None),
    ("ix_sermo_history_strays", HISTORY, ["session_key", "id"], STRAY),
]


def columns(op: Operations, table: str) -> dict[str | None, list[str | None]]:
    """The indexes that are there, and what they are of."""
    found = sa.inspect(op.get_bind()).get_indexes(table)
    return {index["name"]: index["column_names"] for index in found}


def exchange(
    op: Operations,
    old: list[tuple[str, str, list[str], str | None]],
    new: list[tuple[str, str, list[str], str | None]],
) -> None:
    """Drop and create, but for what a migration that was interrupted has done already."""
    for name, table, of, _ in old:
        if columns(op, table).get(name) == of:
            op.drop_index(name, table_name=table)
    for name, table, of, where in new:
        if name not in columns(op, table):
            condition = sa.text(where) if where else None
            op.create_index(name, table, of, sqlite_where=condition, postgresql_where=condition)


def upgrade(op: Operations) -> None:
    exchange(op, OLD, NEW)


def downgrade(op: Operations) -> None:
    """Loses nothing but speed."""
    exchange(op, NEW, OLD)
