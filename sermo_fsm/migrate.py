"""Bring a database to the schema of this release; works from a checkout and from a wheel.

``ChatEngine.migrate()`` is all that most hosts need. A host that has an Alembic of its own may want
our tables in its migrations. In its ``env.py`` it leaves them out of what is compared::

    from sermo_fsm.migrate import is_ours


    def include_name(name, kind, parents):  # for context.configure(include_name=include_name, ...)
        return kind != "table" or not is_ours(name)

and the revision that wants them, one after each of our releases that has another schema, says::

    from alembic import op

    from sermo_fsm import migrate


    def upgrade():
        migrate.upgrade(op.get_bind())


    def downgrade():
        pass  # our tables stay, with what is in them

From then on a table of the host's may point to them (``ForeignKey(tables().session.c.id)``, with
:func:`tables`). The two histories know nothing of each other: ours stands
in ``sermo_alembic_version``. With ``upgrade --sql`` such a revision is refused, because ours look
at what is there. :func:`upgrade` works in ``env.py`` as well, behind ``context.run_migrations()``
and with a ``connection.commit()`` of its own; but that runs whatever Alembic is asked to do.

There is a way back, by Alembic's own command. Behind 0002 every row is kept, and the release before
can go on with them; behind 0001 is nothing, and all is dropped::

    from alembic import command

    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), "0001")
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sermo_fsm.errors import InvalidArgument, LostRace, SchemaNotReady, StoreError
from sermo_fsm.storage.backends import driver_of
from sermo_fsm.storage.schema import TABLE_PREFIX, tables
from sermo_fsm.storage.store import Store
from sermo_fsm.storage.transactions import join, translated

__all__ = [
    "NEWER",
    "VERSION_TABLE",
    "check_schema",
    "config",
    "current",
    "head",
    "is_empty_sqlite",
    "is_ours",
    "migrating",
    "script_location",
    "tables",
    "upgrade",
]

VERSION_TABLE: Final = TABLE_PREFIX + "alembic_version"
"""Our own: the host's Alembic has its own, and neither sees the other's."""

NEWER: Final = "use a newer sermo_fsm"
"""The remedy where the tables are of a later release."""

_REMEDY: Final = "run 'sermo-fsm db upgrade', or ChatEngine.migrate()"


def is_ours(name: str | None) -> bool:
    """Whether a table of this name is ours: for the filter of a host's Alembic."""
    return name is not None and name.startswith(TABLE_PREFIX)


def script_location() -> Path:
    """The folder of the migrations: inside the package where installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


def config(connection: sa.Connection | None = None, schema: str | None = None) -> Config:
    """Alembic's configuration of our migrations, for its commands to run on *connection*."""
    ours = Config()
    ours.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    ours.attributes["connection"] = connection
    ours.attributes["schema"] = schema
    return ours


@cache
def _scripts(location: Path) -> ScriptDirectory:
    scripts = ScriptDirectory(str(location))
    scripts.get_heads()  # reads the files now: what several threads get is complete
    return scripts


def head() -> str:
    """The revision that this release works with."""
    revision = _scripts(script_location()).get_current_head()
    if revision is None:
        raise StoreError(f"there are no migrations in {script_location().name}")
    return revision


def current(connection: sa.Connection, schema: str | None = None) -> str | None:
    """The revision of the database; None where our tables are not there.

    Raises:
        InvalidArgument: The database has no schemas.
    """
    return _context(connection, schema).get_current_revision()


def _context(connection: sa.Connection, schema: str | None) -> MigrationContext:
    Store.on(connection.dialect, schema)  # refuses a schema where there are none
    opts: dict[str, Any] = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=opts)


def check_schema(connection: sa.Connection, schema: str | None = None) -> str:
    """The revision of the database, where this release can work with it.

    Raises:
        SchemaNotReady: The tables are missing, or of another release.
    """
    have, want = current(connection, schema), head()
    if have != want:
        raise SchemaNotReady(have, want, NEWER if _is_newer(have) else _REMEDY)
    return want


def _is_newer(revision: str | None) -> bool:
    known = {script.revision for script in _scripts(script_location()).walk_revisions()}
    return revision is not None and revision not in known


def is_empty_sqlite(connection: sa.Connection) -> bool:
    """Whether this is a SQLite database without any table, ours or anyone's."""
    return connection.dialect.name == "sqlite" and not sa.inspect(connection).get_table_names()


def upgrade(connection: sa.Connection, schema: str | None = None) -> str:
    """Bring the database to :func:`head`, within the transaction of *connection*.

    Several may do it at the same time: one does, the others wait and find nothing to do. On MySQL
    and MariaDB every statement of a migration is committed by itself, and so is what the host did
    before it; a migration that was interrupted goes on when it is started again.

    Args:
        connection: The host's, or ours. The end of its transaction is left to its owner.
        schema: Where our tables are to be, on PostgreSQL; made where it is missing.

    Returns:
        The revision that the database is at now.

    Raises:
        SchemaNotReady: The tables are of a later release.
        InvalidArgument: The connection is none, or in AUTOCOMMIT; the database has no schemas.
        StoreBusy: Another process has been at it for long.
        LostRace: Another one was faster, and the isolation of the transaction hides what it did.
        StoreError: The database refused for another reason.
    """
    with migrating(connection, schema):
        have = current(connection, schema)
        if _is_newer(have):
            raise SchemaNotReady(have, head(), NEWER)
        # Alembic's own commands keep what runs in globals, and there the host's may be running,
        # for this may well be called by it.
        context = _context(connection, schema)
        scripts = _scripts(script_location())
        for script in reversed(list(scripts.iterate_revisions("head", have or "base"))):
            script.module.upgrade(op=Operations(context))
            try:
                context.stamp(scripts, script.revision)
            except CommandError as error:  # the note that it was about to change is another now
                raise LostRace("another process has migrated meanwhile") from error
    return head()


@contextmanager
def migrating(connection: sa.Connection, schema: str | None) -> Iterator[None]:
    """Around a migration: nobody else is at it, and names without a schema are in *schema*.

    Raises:
        InvalidArgument: Not a connection to migrate by.
        StoreBusy: Somebody else has been at it for long.
    """
    _check(connection)
    ours = Store.on(connection.dialect, schema).tables
    with translated(connection.dialect):
        join(connection)
        with driver_of(connection.dialect).migrating(connection, ours):
            yield


def _check(connection: object) -> None:
    if not isinstance(connection, sa.Connection):  # with --sql Alembic has one that only prints
        wanted = "a SQLAlchemy Connection, to a database that answers"
        raise InvalidArgument("connection", wanted=wanted, got=type(connection).__name__)
