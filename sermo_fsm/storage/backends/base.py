"""What a database backend has to provide.

A backend is a module of this folder with one object, ``BACKEND``: an instance of a subclass of
:class:`Backend`, which knows engines, transactions and errors. Its ``statements()`` returns a
:class:`~sermo_fsm.storage.backends.statements.Statements`, which knows SQL. The methods are called
in this order:

Opening an engine
    From a URL: ``check_url``, ``engine_options``, then ``configure_engine``, and perhaps
    ``configure_read_only``. For the host's engine: ``prepare_engine`` only. Then
    ``check_schema_name`` and ``statements``. Before each use of a connection that the host's pool
    lends to several at once: ``check_unused``.

Writing
    Our transaction begins with ``begin_write``, the host's is checked by ``ensure_transaction``
    and gets a savepoint. Then, on ``Statements``: ``load`` (by ``lock`` and ``last_two``, if it can
    do no better), perhaps ``known_messages`` and ``messages``, ``update_sessions``, ``insert_new``
    (sessions), ``insert_missing`` (images) and ``insert_history``. Before and after a batch of our
    own ``version``. A failed transaction is ended by ``roll_back``.

Reading
    ``prepare_query`` before one query, ``prepare_snapshot`` before several about one moment;
    ``drop_open_cursor`` after a query whose rows were streamed. On ``Statements``: ``last``.

Erasing
    ``overwrite_deleted`` in the transaction, before anything is deleted, and ``latest`` for what
    finds it; after our own commit, on a connection without a transaction, ``give_back``.

Errors
    ``redact``, ``classify`` and ``describe`` for each error of the driver. For hooks that wait for
    the host's commit: ``has_rolled_back`` after an error, ``commit_will_fail`` before the commit.

The schema
    ``is_new_file`` before tables are created unasked, ``migration_lock`` around a migration, and
    ``check_encoding`` with each check of the schema.

The test suite ``tests/storage/test_backend_contract.py`` checks each obligation on every backend.
Methods that most databases have no need of have a default. All methods run in plain code, or in
plain code that SQLAlchemy runs for asyncio.
"""

import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import exc

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.backends.statements import Statements
from sermo_fsm.storage.schema import Tables

__all__ = ["Backend", "ErrorKind"]


class ErrorKind(Enum):
    """What an error of the driver means for the transaction."""

    UNIQUE_VIOLATION = auto()
    """Another writer was faster: a unique constraint says so."""
    SERIALIZATION_FAILURE = auto()
    """Another writer was faster: the isolation of the transaction says so."""
    BUSY = auto()
    """A lock was held for too long, a deadlock was broken, or the server is full."""
    CONNECTION_LOST = auto()
    """The server or the connection is gone."""
    MISSING_SAVEPOINT = auto()
    """The transaction has ended meanwhile, by a commit or by a rollback."""
    MISSING_TABLE = auto()
    """One of our tables does not exist."""
    MISSING_COLUMN = auto()
    """One of our tables is of another release."""
    UNUSABLE = auto()
    """The database does not exist, or refuses this user; trying again would not help."""
    OTHER = auto()
    """Anything else; trying again would not help."""


class Backend(ABC):
    """Engines, transactions and errors of one database."""

    drivers: ClassVar[Mapping[str, str]] = {}
    """What to do if the Python module of a driver is missing, by the name of the module."""

    call_driver: ClassVar[tuple[str, ...]] = ("sqlalchemy",)
    """Packages and modules that call the driver: any error that comes from there is its own."""

    quotations: ClassVar[Sequence[tuple[re.Pattern[str], str]]] = ()
    """Where errors of the database quote values, and what is said there instead."""

    # --- engines ---------------------------------------------------------------------------------

    def check_url(self, url: sa.URL) -> None:
        """Refuse a URL in which part of the password could be taken for the host.

        Raises:
            InvalidArgument: The URL has an unescaped ``@``.
        """
        if "@" in f"{url.host}{url.database}":
            wanted = "a URL in which an @ of the password is written %40"
            raise InvalidArgument("url", wanted=wanted, got="something else")

    @abstractmethod
    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """The URL and the options to create our own engine with."""

    def prepare_engine(self, engine: sa.Engine) -> None:  # noqa: B027 - most need nothing
        """Make the transactions of the host's engine begin as SQLAlchemy says.

        Afterwards a rollback undoes everything since the begin, savepoints included. A
        second call changes nothing. Needed for docs/design.md, guarantee 3 and docs/design.md,
        guarantee 7.
        """

    def configure_engine(self, engine: sa.Engine) -> None:  # noqa: B027 - most need nothing
        """Set up our own engine: above all, no wait for a lock is endless.

        Its transactions begin by ``begin_write`` and ``prepare_snapshot`` alone.
        """

    def configure_read_only(self, engine: sa.Engine) -> None:  # noqa: B027 - most need nothing
        """Make sure that reading through our own engine does not change the database."""

    def database_file(self, url: sa.URL) -> Path | None:
        """The file that holds the database; None if it is on a server or in memory."""
        del url
        return None

    def database_name(self, url: sa.URL) -> str | None:
        """What a person would call the database of *url*; None if only the server knows."""
        del url
        return None

    def check_schema_name(self, schema: str | None) -> None:
        """Refuse a *schema* that the database can't have.

        Raises:
            InvalidArgument: It has no schemas, or none of this name.
        """
        if schema is not None:
            wanted = "a name, on PostgreSQL; elsewhere None"
            raise InvalidArgument("schema", wanted=wanted, got=schema)

    def drop_open_cursor(self, connection: sa.Connection, cursor: Any) -> None:  # noqa: B027 - see above
        """Close a *cursor* whose closing failed, and drop the *connection* with it."""

    def cut_off(self, connection: sa.Connection) -> None:
        """Make sure that nothing of *connection* reaches the server, in a forked child.

        Even to be closed it would send something on the socket, which is its parent's as well.
        """
        number = self.socket_number(connection.connection.driver_connection)
        if number is not None:
            with socket.socket() as nowhere:
                os.dup2(nowhere.fileno(), number)
            connection.invalidate()

    def socket_number(self, driver: Any) -> int | None:
        """The file descriptor by which the *driver*'s connection reaches a server, if it does."""
        del driver
        return None

    def check_unused(self, pool: sa.Pool) -> None:  # noqa: B027 - see above
        """Refuse the only connection of *pool* while it is in a transaction of the host's.

        Raises:
            StoreError: It is.
        """

    @abstractmethod
    def statements(self, tables: Tables, dialect: sa.Dialect) -> Statements:
        """The SQL of this database, for these tables."""

    # --- transactions ----------------------------------------------------------------------------

    def begin_write(self, connection: sa.Connection) -> sa.Transaction:
        """Begin a transaction that is going to write, on our own connection.

        Afterwards the connection is in a transaction of the database, also if the host's engine is
        in autocommit. What the transaction reads once it has a user's lock is what the last holder
        of the lock has committed. Needed for docs/design.md, guarantee 3 and docs/design.md,
        guarantee 5.

        Raises:
            InvalidArgument: The host's engine never commits.
        """
        if self._in_autocommit(connection):
            connection.execution_options(isolation_level="READ COMMITTED")
        return connection.begin()

    def prepare_query(self, connection: sa.Connection) -> None:  # noqa: B027 - most need nothing
        """Prepare our own connection for one query."""

    def prepare_snapshot(self, connection: sa.Connection) -> None:
        """Prepare our own connection for several queries.

        Afterwards all of them see the database as it was at the first one. ``verify`` rests on it.
        On a server the transaction can't write.
        """
        connection.execution_options(isolation_level="REPEATABLE READ")

    def ensure_transaction(self, connection: sa.Connection) -> bool:
        """Whether the host's *connection* is in a transaction that can be rolled back.

        SQLAlchemy has begun one already; the driver may not have. Needed for
        docs/design.md, guarantee 7.

        Raises:
            InvalidArgument: A savepoint of the host's would survive the rollback.
        """
        return not self._in_autocommit(connection)

    def _in_autocommit(self, connection: sa.Connection) -> bool:
        """Whether the driver commits every statement of *connection* at once."""
        driver: Any = connection.connection.driver_connection
        return bool(driver.autocommit)

    def roll_back(self, connection: sa.Connection, transaction: sa.Transaction) -> None:
        """Roll back our *transaction* or savepoint.

        Afterwards nothing of it is in the database, and nothing that the host does later on this
        connection can be committed without it. Needed for docs/design.md, guarantee 3 and
        docs/design.md, guarantee 7.
        """
        if isinstance(transaction, sa.NestedTransaction):
            there = connection.get_nested_transaction() is not None
        else:
            there = connection.get_transaction() is transaction
        if not there:
            return  # a hook has ended it
        try:
            transaction.rollback()
        except exc.SQLAlchemyError:
            # After some errors the database itself has rolled back everything, and knows no
            # savepoint any more. The error that came first is the one to report.
            self.abandon(connection)

    def abandon(self, connection: sa.Connection) -> None:
        """Make *connection* unusable until its owner ends the transaction, which is lost."""
        connection.invalidate()

    def has_rolled_back(self, connection: sa.Connection, error: BaseException) -> bool:
        """Whether the driver's *error* made the database roll back the whole transaction."""
        del connection, error
        return False

    def commit_will_fail(self, connection: sa.Connection) -> bool:
        """Whether a commit of *connection* would silently roll back.

        Asked before every commit that hooks wait for, so it must not ask the server.
        """
        del connection
        return False

    # --- erasing ---------------------------------------------------------------------------------

    def overwrite_deleted(self, connection: sa.Connection) -> None:  # noqa: B027 - see above
        """Have what this *connection* deletes from now on overwritten, if the database can."""

    def latest(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """*query*, so that it sees what the last holder of the user's lock has committed.

        Whoever uses it has locked the sessions in question. It need not do anything where a
        transaction that sees an older state can't lock them.
        """
        return query

    def give_back(self, connection: sa.Connection) -> bool | None:
        """After a commit, leave no copy of what was deleted in files beside the tables.

        Returns whether there is none; None if that is the server's own business.
        """
        del connection
        return None

    # --- errors ----------------------------------------------------------------------------------

    @abstractmethod
    def classify(self, error: BaseException) -> ErrorKind:
        """What the driver's own *error* means; it decides whether the transaction is tried again.

        Needed for docs/design.md, guarantee 5.
        """

    def describe(self, error: BaseException) -> str:
        """What the driver's own *error* says: one line, without values of rows."""
        lines = self._unquoted(str(error)).splitlines()
        return lines[0] if lines else type(error).__name__

    def redact(self, error: exc.DBAPIError) -> None:
        """Remove what people wrote from *error*, which becomes the cause of ours."""
        for one in filter(None, (error, error.orig)):
            one.args = tuple(
                self._unquoted(part) if isinstance(part, str) else part for part in one.args
            )

    def _unquoted(self, text: str) -> str:
        for quotation, instead in self.quotations:
            text = quotation.sub(instead, text)
        return text

    # --- the schema ------------------------------------------------------------------------------

    def check_encoding(self, connection: sa.Connection, tables: Tables) -> None:  # noqa: B027 - most need nothing
        """Refuse a database or a connection whose encoding can't hold every text.

        Raises:
            UnusableDatabase: It can't; says what to run.
        """

    def is_new_file(self, connection: sa.Connection) -> bool:
        """Whether the database is a file without any table, ours or anyone's."""
        del connection
        return False

    @contextmanager
    def migration_lock(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """Keep all others from migrating, and resolve unqualified names in the schema of *tables*.

        The lock is held until the transaction of *connection* ends, or for as long as this context
        if statements commit by themselves. The schema is created if it is missing.

        Raises:
            StoreBusy: Another process has been migrating for too long.
            LostRace: Another process was faster, and the isolation hides what it did.
        """
        del connection, tables
        yield
