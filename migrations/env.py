"""Alembic's entry: runs the migrations on the connection that :mod:`sermo_fsm.migrate` hands in."""

from alembic import context

from sermo_fsm.migrate import VERSION_TABLE
from sermo_fsm.schema import METADATA, TABLE_PREFIX


def ours(name: str | None, kind: str, _: object) -> bool:
    """Whether Alembic may look at it: never at a table of the host."""
    return kind != "table" or (name or "").startswith(TABLE_PREFIX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    include_name=ours,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
