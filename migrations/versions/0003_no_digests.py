"""No digest of bodies; the id of the session before; no live state without ``live``.

And an index for lists by state over all platforms, deadlines that heartbeats do not move in an
index, who is not to be erased, and what was.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SESSION = "sermo_session"
HISTORY = "sermo_history"
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
UUID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite", "mysql", "mariadb")
TIMESTAMP = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
DIGEST = sa.LargeBinary(32).with_variant(mysql.VARBINARY(32), "mysql", "mariadb")

# The check of 0001 passes NULL beside a live state: what is NULL is not false. This one stands
# beside it, because SQLite could drop that one only with the table, and what refers to the table.
CHECK = "ck_sermo_session_live_unless_closed"
CONDITION = "(live IS NULL) = (state = 'closed')"

BY_STATE = "ix_sermo_session_live_state_opened_at_id", ["live", "state", "opened_at", "id"]
BY_EXPIRY = "ix_sermo_session_live_expires_at", ["live", "expires_at"]
BY_DUE = "ix_sermo_session_live_due_at", ["live", "due_at"]
LIVE = "live = 1"
# PostgreSQL then finds room for a new version of a row beside the old one, and writes no index.
FILL = f"ALTER TABLE {SESSION} SET (fillfactor = 80)"
FILL_AS_USUAL = f"ALTER TABLE {SESSION} RESET (fillfactor)"
DUE = f"UPDATE {SESSION} SET due_at = expires_at WHERE {LIVE}"  # noqa: S608 - our own names

BEFORE = f"""
    p.platform_id = {SESSION}.platform_id AND p.user_id = {SESSION}.user_id
    AND p.ordinal = {SESSION}.ordinal - 1
"""
LINK = f"""
    UPDATE {SESSION} SET previous_session_id =
        (SELECT p.session_id FROM {SESSION} AS p WHERE {BEFORE}) WHERE ordinal > 1
"""  # noqa: S608 - our own names
# MySQL reads no table in an UPDATE of the same table, but by a join.
LINK_BY_JOIN = f"""
    UPDATE {SESSION} JOIN {SESSION} AS p ON {BEFORE}
    SET {SESSION}.previous_session_id = p.session_id
"""  # noqa: S608 - likewise
BODIES = sa.text(
    "SELECT h.id, b.event FROM sermo_history AS h JOIN sermo_body AS b ON b.history_id = h.id"
    " WHERE h.id > :after AND h.message_id IS NOT NULL ORDER BY h.id LIMIT 1000"
)
MARK = sa.text(f"UPDATE {HISTORY} SET fingerprint = :mark WHERE id = :id")  # noqa: S608 - ours


def has(op: Operations, table: str, column: str) -> bool:
    """Whether the column is there; on MySQL an interrupted migration may have got so far."""
    return column in {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}


def is_indexed(op: Operations, name: str) -> bool:
    return name in {one["name"] for one in sa.inspect(op.get_bind()).get_indexes(SESSION)}


def create_index(op: Operations, name: str, columns: list[str]) -> None:
    if not is_indexed(op, name):
        where = sa.text(LIVE)
        op.create_index(name, SESSION, columns, sqlite_where=where, postgresql_where=where)


def drop_index(op: Operations, name: str) -> None:
    if is_indexed(op, name):
        op.drop_index(name, table_name=SESSION)


def is_checked(op: Operations) -> bool:
    checks = sa.inspect(op.get_bind()).get_check_constraints(SESSION)
    return CHECK in {one["name"] for one in checks}


def options(op: Operations) -> dict[str, Any]:
    """How each database is to make a table; see 0001."""
    dialect = op.get_bind().dialect
    if dialect.name not in ("mysql", "mariadb"):
        return {}
    mariadb = getattr(dialect, "is_mariadb", False)
    return {
        f"{dialect.name}_engine": "InnoDB",
        f"{dialect.name}_charset": "utf8mb4",
        f"{dialect.name}_collate": "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin",
        "if_not_exists": True,
    }


def create_chain(op: Operations) -> None:
    op.create_table(
        "sermo_chain",
        sa.Column("id", KEY, autoincrement=False, nullable=False, comment="n-th segment"),
        sa.Column(
            "last_id", sa.BigInteger(), nullable=False, comment="its last row of the history"
        ),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("late", LONG_TEXT, nullable=False, comment="ids of before, as JSON"),
        sa.Column("gaps", LONG_TEXT, nullable=False, comment="ids that may still come, as JSON"),
        sa.Column("made_at", TIMESTAMP, nullable=False),
        sa.Column(
            "digest",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256, of all before it too",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sermo_chain")),
        **options(op),
    )


def create_tables_of_erasing(op: Operations) -> None:
    op.create_table(
        "sermo_hold",
        sa.Column("platform_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("since", TIMESTAMP, nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("held_by", sa.String(length=255)),
        sa.PrimaryKeyConstraint("platform_id", "user_id", name=op.f("pk_sermo_hold")),
        **options(op),
    )
    sqlite = {"sqlite_autoincrement": True} if op.get_bind().dialect.name == "sqlite" else {}
    op.create_table(
        "sermo_erasure",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("erased_at", TIMESTAMP, nullable=False),
        sa.Column(
            "what",
            sa.String(length=32),
            nullable=False,
            comment="person, or what was kept too long",
        ),
        sa.Column("platform_id", sa.String(length=255), comment="of a person"),
        sa.Column("user_id", sa.String(length=255), comment="of a person: the random one"),
        sa.Column("reason", sa.String(length=255), comment="a code of the caller's"),
        sa.Column("erased_by", sa.String(length=255), comment="a name that the caller gave"),
        sa.Column("persons", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False, comment="rows of their history"),
        sa.Column("bodies", sa.BigInteger(), nullable=False),
        sa.Column("pictures", sa.BigInteger(), nullable=False),
        sa.Column("strays", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sermo_erasure")),
        **options(op),
        **sqlite,
    )


def upgrade(op: Operations) -> None:
    create_chain(op)
    create_tables_of_erasing(op)
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    if not has(op, SESSION, "previous_session_id"):
        # SQLite adds a constraint to a table that is there only together with a column.
        check = [sa.CheckConstraint(CONDITION, name=op.f(CHECK))] if sqlite else []
        comment = "of the session before, of this user"
        op.add_column(SESSION, sa.Column("previous_session_id", UUID, *check, comment=comment))
    if not sqlite and not is_checked(op):
        op.create_check_constraint(op.f(CHECK), SESSION, CONDITION)
    if connection.dialect.name == "postgresql":
        op.execute(FILL)
    create_index(op, *BY_STATE)
    if not has(op, SESSION, "due_at"):
        comment = "when the sweeper looks: never after expires_at"
        op.add_column(SESSION, sa.Column("due_at", TIMESTAMP, comment=comment))
    connection.execute(sa.text(DUE))
    create_index(op, *BY_DUE)
    drop_index(op, BY_EXPIRY[0])
    mysql_or_mariadb = connection.dialect.name in ("mysql", "mariadb")
    connection.execute(sa.text(LINK_BY_JOIN if mysql_or_mariadb else LINK))
    if has(op, HISTORY, "fingerprint"):
        op.drop_column(HISTORY, "fingerprint")


def downgrade(op: Operations) -> None:
    """Make the digests again, which the release before asks for; erased bodies have none.

    Who is not to be erased, what was, and the chain of digests are lost.
    """
    connection = op.get_bind()
    for name in ("sermo_chain", "sermo_erasure", "sermo_hold"):
        op.drop_table(name, if_exists=True)
    if not has(op, HISTORY, "fingerprint"):
        comment = "of the event, where it has an id"
        op.add_column(HISTORY, sa.Column("fingerprint", DIGEST, comment=comment))
    for marks in digests(connection):
        connection.execute(MARK, marks)
    if connection.dialect.name == "postgresql":
        op.execute(FILL_AS_USUAL)
    create_index(op, *BY_EXPIRY)
    drop_index(op, BY_DUE[0])
    drop_index(op, BY_STATE[0])
    if connection.dialect.name != "sqlite" and is_checked(op):
        op.drop_constraint(op.f(CHECK), SESSION, type_="check")
    if has(op, SESSION, "due_at"):
        op.drop_column(SESSION, "due_at")
    if has(op, SESSION, "previous_session_id"):
        op.drop_column(SESSION, "previous_session_id")  # on SQLite with its constraint


def digests(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    """The digests of the events that have a message id, some at a time."""
    after = 0
    while rows := connection.execute(BODIES, {"after": after}).all():
        after = rows[-1].id
        yield [{"id": row.id, "mark": digest(row.event)} for row in rows]


def digest(event: str) -> bytes:
    """As the release before made it."""
    text = json.dumps(
        json.loads(event),
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        sort_keys=True,
    )
    text = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    return hashlib.sha256(text.encode()).digest()
