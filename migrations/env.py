"""Alembic's entry, for its commands; see :mod:`sermo_fsm.migrate`, which upgrades without it."""

from alembic import context
from alembic.operations import Operations

from sermo_fsm.migrate import VERSION_TABLE, is_ours, migrating
from sermo_fsm.storage.schema import tables_for_ddl


def include(name: str | None, kind: str, _: object) -> bool:
    """Whether Alembic may look at it: never at a table of the host."""
    return kind != "table" or (is_ours(name) and name != VERSION_TABLE)


connection = context.config.attributes["connection"]
schema = context.config.attributes["schema"]
# Our tables are unqualified here: while this lasts, the connection looks in the right schema.
with migrating(connection, schema):
    context.configure(
        connection=connection,
        target_metadata=tables_for_ddl().metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        include_name=include,
        compare_type=True,
    )
    # A revision is handed what it works with, and does not take Alembic's global.
    context.run_migrations(op=Operations(context.get_context()))
