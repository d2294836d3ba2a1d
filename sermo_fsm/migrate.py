"""Bring a database to the schema of this release; works from a checkout and from a wheel."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sermo_fsm.errors import SchemaNotReady, StoreError
from sermo_fsm.schema import TABLE_PREFIX

__all__ = ["VERSION_TABLE", "check_schema", "current", "head", "script_location", "upgrade"]

VERSION_TABLE: Final = TABLE_PREFIX + "alembic_version"
"""Our own: the host's Alembic has its own, and neither sees the other's."""

_REMEDY: Final = "run 'sermo-fsm db upgrade', or ChatEngine.migrate()"


def script_location() -> Path:
    """The folder of the migrations: inside the package where installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this release works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise StoreError(f"there are no migrations in {script_location().name}")
    return revision


def current(connection: sa.Connection) -> str | None:
    """The revision of the database; None where our tables are not there."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def check_schema(connection: sa.Connection) -> None:
    """Say so where this release can't work with the database.

    Raises:
        SchemaNotReady: The tables are missing, or of another release.
    """
    have, want = current(connection), head()
    if have == want:
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    newer = have is not None and have not in known
    raise SchemaNotReady(have, want, "use a newer sermo_fsm" if newer else _REMEDY)


def upgrade(connection: sa.Connection) -> str:
    """Bring the database to :func:`head`, within the transaction of *connection*."""
    command.upgrade(_config(connection), "head")
    return head()
