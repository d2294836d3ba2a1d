"""Bring a database to the schema of this release; works from a checkout and from a wheel."""

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sermo_fsm.errors import SchemaNotReady, StoreError
from sermo_fsm.schema import TABLE_PREFIX

__all__ = [
    "NEWER",
    "VERSION_TABLE",
    "check_schema",
    "config",
    "current",
    "head",
    "is_empty_sqlite",
    "script_location",
    "upgrade",
]

VERSION_TABLE: Final = TABLE_PREFIX + "alembic_version"
"""Our own: the host's Alembic has its own, and neither sees the other's."""

NEWER: Final = "use a newer sermo_fsm"
"""The remedy where the tables are of a later release."""

# Alembic keeps the migration that runs in a global of its own, whichever database it is for.
_ONE_AT_A_TIME: Final = threading.Lock()

_REMEDY: Final = "run 'sermo-fsm db upgrade', or ChatEngine.migrate()"


def script_location() -> Path:
    """The folder of the migrations: inside the package where installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration of our migrations, to run on *connection*."""
    ours = Config()
    ours.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    ours.attributes["connection"] = connection
    return ours


def head() -> str:
    """The revision that this release works with."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    if revision is None:
        raise StoreError(f"there are no migrations in {script_location().name}")
    return revision


def current(connection: sa.Connection) -> str | None:
    """The revision of the database; None where our tables are not there."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def check_schema(connection: sa.Connection) -> str:
    """The revision of the database, where this release can work with it.

    Raises:
        SchemaNotReady: The tables are missing, or of another release.
    """
    have, want = current(connection), head()
    if have != want:
        raise SchemaNotReady(have, want, NEWER if _is_newer(have) else _REMEDY)
    return want


def _is_newer(revision: str | None) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    return revision is not None and revision not in known


def is_empty_sqlite(connection: sa.Connection) -> bool:
    """Whether this is a SQLite database without any table, ours or anyone's."""
    return connection.dialect.name == "sqlite" and not sa.inspect(connection).get_table_names()


def upgrade(connection: sa.Connection) -> str:
    """Bring the database to :func:`head`, within the transaction of *connection*.

    Raises:
        SchemaNotReady: The tables are of a later release.
    """
    have = current(connection)
    if _is_newer(have):
        raise SchemaNotReady(have, head(), NEWER)
    with _ONE_AT_A_TIME:
        command.upgrade(config(connection), "head")
    return head()
