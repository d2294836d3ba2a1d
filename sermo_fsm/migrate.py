"""Bring a database to the schema of this release; works from a checkout and from a wheel.

``ChatEngine.migrate()`` is all that most hosts need. A host with its own Alembic may want our
tables in its migrations. Its ``env.py`` leaves our tables out of what is compared::

    from sermo_fsm.migrate import is_ours


    def include_name(name, kind, parents):  # for context.configure(include_name=include_name, ...)
        return kind != "table" or not is_ours(name)

A revision of the host's upgrades our tables, one after each release of ours with a new schema::

    from alembic import op

    from sermo_fsm import migrate


    def upgrade():
        migrate.upgrade(op.get_bind())


    def downgrade():
        pass  # our tables stay, with what is in them

After it, a table of the host's can refer to ours (``ForeignKey(tables().session.c.id)``, with
:func:`tables`). The two histories do not know each other: ours is in ``sermo_alembic_version``.
With ``upgrade --sql`` such a revision is refused, because our migrations look at what exists.
:func:`upgrade` also works in ``env.py``, after ``context.run_migrations()`` and with its own
``connection.commit()``; but then it runs whatever Alembic is asked to do.

The way back is Alembic's own command. A downgrade keeps every row, and the release before can go on
with them; but to a release with 0002 or 0001, a message whose body was erased is in conflict when
it comes again. A downgrade below 0001 drops all tables::

    from alembic import command

    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), "0002")

Alembic is imported by what migrates, not by what only checks the revision: it takes longer to load
than everything else, and every command checks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from sermo_fsm.errors import InvalidArgument, LostRace, SchemaNotReady
from sermo_fsm.storage.backends import backend_named
from sermo_fsm.storage.driver_errors import translated
from sermo_fsm.storage.revisions import CREATE_TABLES, head, revisions, script_location
from sermo_fsm.storage.schema import TABLE_PREFIX, tables
from sermo_fsm.storage.store import Store
from sermo_fsm.storage.transactions import check_schema_is_kept, join

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

__all__ = [
    "NEWER",
    "VERSION_TABLE",
    "check_schema",
    "config",
    "current",
    "head",
    "is_new_file",
    "is_ours",
    "migrating",
    "script_location",
    "tables",
    "upgrade",
]

VERSION_TABLE: Final = TABLE_PREFIX + "alembic_version"
"""Our own, so that we and the Alembic of the host do not see each other's versions."""

NEWER: Final = "use a newer sermo_fsm"
"""The remedy if the tables are of a later release."""


def is_ours(name: str | None) -> bool:
    """Whether a table of this name is ours; for the filter of a host's Alembic."""
    return name is not None and name.startswith(TABLE_PREFIX)


def config(connection: sa.Connection | None = None, schema: str | None = None) -> "Config":
    """The Alembic configuration for commands that run our migrations on *connection*."""
    from alembic.config import Config

    ours = Config()
    ours.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    ours.attributes["connection"] = connection
    ours.attributes["schema"] = schema
    return ours


@cache
def _scripts(location: Path) -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(location))
    scripts.get_heads()  # reads the files now, before other threads get the object
    return scripts


def current(connection: sa.Connection, schema: str | None = None) -> str | None:
    """The revision of the database; None if our tables do not exist.

    Raises:
        InvalidArgument: The database can't have this schema, or the connection renames it.
    """
    Store.on(connection.dialect, schema)  # refuses an impossible schema
    check_schema_is_kept("connection", connection, schema)
    if not sa.inspect(connection).has_table(VERSION_TABLE, schema):
        return None
    return connection.execute(_version(schema)).scalar_one_or_none()


def _version(schema: str | None) -> sa.Select[Any]:
    version = sa.table(VERSION_TABLE, sa.column("version_num"), schema=schema)
    return sa.select(version.c.version_num)


def _check_is_latest(connection: sa.Connection, schema: str | None, read: str | None) -> None:
    """Refuse to go on from the revision that was *read* if that is only what a snapshot shows.

    On MySQL the first statement of a migration would end the snapshot, and the old revisions would
    be run on tables that have their changes already. A locking read sees what was committed.

    Raises:
        LostRace: It is.
    """
    if connection.execute(_version(schema).with_for_update()).scalar_one_or_none() != read:
        raise LostRace("another process has migrated meanwhile")


def _context(connection: sa.Connection, schema: str | None) -> "MigrationContext":
    from alembic.migration import MigrationContext

    opts: dict[str, Any] = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=opts)


def check_schema(connection: sa.Connection, schema: str | None = None) -> str:
    """The revision of the database, if this release can work with it.

    Raises:
        SchemaNotReady: The tables are missing, or of another release.
        UnusableDatabase: Its encoding, or that of the connection, can't hold every text.
    """
    _check_encoding(connection, schema)
    have, want = current(connection, schema), head()
    if have != want:
        raise SchemaNotReady(have, want, NEWER if _is_newer(have) else CREATE_TABLES)
    return want


def _check_encoding(connection: sa.Connection, schema: str | None) -> None:
    backend_named(connection.dialect.name).check_encoding(connection, tables(schema))


def _is_newer(revision: str | None) -> bool:
    return revision is not None and revision not in revisions()


def is_new_file(connection: sa.Connection) -> bool:
    """Whether the database is a file without any table, ours or anyone's.

    Such a file gets our tables without being asked; a database on a server never does.
    """
    return backend_named(connection.dialect.name).is_new_file(connection)


def upgrade(connection: sa.Connection, schema: str | None = None) -> str:
    """Bring the database to :func:`head`, within the transaction of *connection*.

    If several processes call it at the same time, one does the work; the others wait and find
    nothing to do. On MySQL and MariaDB every statement of a migration commits by itself, together
    with what the host did before it; an interrupted migration goes on when it is started again.

    Args:
        connection: The host's, or ours. Its owner ends the transaction.
        schema: The schema of our tables, on PostgreSQL; created if it is missing.

    Returns:
        The revision that the database is at now.

    Raises:
        SchemaNotReady: The tables are of a later release.
        UnusableDatabase: The encoding of the database or the connection can't hold every text.
        InvalidArgument: The connection is none, in AUTOCOMMIT, or has a ``schema_translate_map``;
            or the database can't have this schema.
        StoreBusy: Another process has been migrating for too long.
        LostRace: Another process was faster, and the isolation hides what it did.
        StoreError: The database refused for another reason.
    """
    from alembic.operations import Operations

    with migrating(connection, schema):
        have = current(connection, schema)
        if _is_newer(have):
            raise SchemaNotReady(have, head(), NEWER)
        _check_encoding(connection, schema)
        if have not in (None, head()):
            _check_is_latest(connection, schema, have)
        # Without Alembic's commands, which keep their state in globals: this call may come from a
        # migration of the host's, which uses them.
        context = _context(connection, schema)
        scripts = _scripts(script_location())
        for script in reversed(list(scripts.iterate_revisions("head", have or "base"))):
            script.module.upgrade(op=Operations(context))
            context.stamp(scripts, script.revision)
    return head()


@contextmanager
def migrating(connection: sa.Connection, schema: str | None) -> Iterator[None]:
    """Keep all others from migrating, and resolve unqualified names in *schema*.

    Raises:
        InvalidArgument: The connection is none, in AUTOCOMMIT, or has a ``schema_translate_map``;
            or the database can't have this schema.
        StoreBusy: Another process has been migrating for too long.
        LostRace: Another process was faster, and the isolation hides what it did.
    """
    _check_connection(connection)
    ours = Store.on(connection.dialect, schema).tables
    with translated(connection.dialect):
        join(connection)
        with backend_named(connection.dialect.name).migration_lock(connection, ours):
            yield


def _check_connection(connection: object) -> None:
    if not isinstance(connection, sa.Connection):  # Alembic's, with --sql, only prints
        wanted = "a SQLAlchemy Connection, to a database that answers"
        raise InvalidArgument("connection", wanted=wanted, got=type(connection).__name__)
    if names := connection.get_execution_options().get("schema_translate_map"):
        wanted = "a connection without a schema_translate_map; name our schema by schema=…"
        raise InvalidArgument("connection", wanted=wanted, got=dict(names))
