"""What every database is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, ClassVar, Final, TypeVar, cast

import sqlalchemy as sa

from sermo_fsm.storage.schema import Tables

__all__ = ["PARAMETERS", "Driver", "Parameter", "Row", "Sql", "Verdict", "bound"]

Row = Mapping[str, Any]
"""The values of one row, by column."""

Statement = sa.Insert | sa.Update

Parameter = tuple[str, Callable[[Any], Any] | None]
"""Its name, and what makes its values ready for the driver."""


class Verdict(Enum):
    """What a driver's error means to us."""

    LOST = auto()
    """A unique constraint says that another writer was faster."""
    STALE = auto()
    """The isolation of transactions says so."""
    BUSY = auto()
    """A lock was held too long, or a deadlock was ended at our cost."""
    GONE = auto()
    """The server or the connection is not there any more."""
    NO_TABLES = auto()
    """A table of ours is missing."""
    REFUSED = auto()
    """Anything else."""


class Driver(ABC):
    """What the driver of a database has to be told, and what its errors mean.

    What a database has no need of does nothing.
    """

    writing: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a connection of ours that is going to write."""

    reading: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a connection of ours that asks one question."""

    snapshot: ClassVar[Mapping[str, Any]] = {"isolation_level": "REPEATABLE READ"}
    """Likewise of one that asks several about the same moment."""

    def engine_options(self, url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
        """The URL and the options of an engine of ours."""
        return url, {}

    def prepare(self, engine: sa.Engine) -> None:  # noqa: B027 - see above
        """Set up an engine of ours."""

    def only_read(self, engine: sa.Engine) -> None:  # noqa: B027 - see above
        """Let an engine of ours change nothing, where asking alone would."""

    def adopt(self, engine: sa.Engine) -> None:  # noqa: B027 - see above
        """Set up an engine, ours or the host's, so that its transactions are what we need."""

    def take_snapshot(self, connection: sa.Connection) -> None:
        """Make all that a connection of ours reads from here on be of one moment."""
        connection.execution_options(**self.snapshot)

    def begin_to_write(self, connection: sa.Connection) -> None:  # noqa: B027 - see above
        """What has to come first in a transaction of ours that is going to write."""

    def join(self, connection: sa.Connection) -> bool:
        """Whether the host's *connection* is in a transaction that can be rolled back.

        It has begun, as far as SQLAlchemy knows.
        """
        driver: Any = connection.connection.driver_connection
        return not self.in_autocommit(driver)

    def in_autocommit(self, driver: Any) -> bool:
        """Whether this connection of the driver's commits every statement by itself."""
        return bool(driver.autocommit)

    def give_up(self, connection: sa.Connection) -> None:
        """Let the host's *connection* do nothing more but end: its transaction is gone."""
        connection.invalidate()

    @abstractmethod
    def verdict(self, error: BaseException) -> Verdict:
        """What the driver's own *error* means."""

    def wording(self, error: BaseException) -> str:
        """What the driver said: its first line, without values."""
        lines = str(error).splitlines()
        return lines[0] if lines else type(error).__name__

    def hush(self, error: sa.exc.DBAPIError) -> None:  # noqa: B027 - see above
        """Take out of the driver's *error*, which comes along, what people wrote."""

    @contextmanager
    def migrating(self, connection: sa.Connection, tables: Tables) -> Iterator[None]:
        """Around a migration: one at a time, in the schema of *tables*."""
        del connection, tables
        yield


PARAMETERS: Final = 500  # in one statement, well below every database's bound

_T = TypeVar("_T")


class Sql(ABC):
    """The statements that databases want said differently, on one set of tables."""

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self._made: dict[tuple[str, Hashable], object] = {}

    # --- reading ---------------------------------------------------------------------------------

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:  # noqa: B027 - not where a writer is alone
        """Wait until nobody else writes about these users, and keep all others waiting.

        The row of a user's first session is the lock: it never changes its identity. Who has none
        yet is not locked; there the unique constraint on the ordinal says who was faster. Locks are
        taken in one order, so that batches do not wait for each other in a circle.
        """

    @abstractmethod
    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """Whole rows of the session table, by ordinal: at least the last two of each user."""

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """The rows of *query*, a select from the history, with these message ids."""
        column = self.tables.history.c.message_id
        for start in range(0, len(ids), PARAMETERS):
            some = ids[start : start + PARAMETERS]
            yield from connection.execute(query.where(column.in_(some))).mappings()

    # --- writing ---------------------------------------------------------------------------------

    @abstractmethod
    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """Insert rows that have no ``id`` yet; the ids that they were given, in order."""

    def insert_history(
        self, connection: sa.Connection, rows: Sequence[Row], bodies: Sequence[tuple[int, Row]]
    ) -> Sequence[int]:
        """Insert rows of the history; each body comes with the place of its row among them."""
        keys = self.insert_new(connection, self.tables.history, rows)
        if bodies:
            placed = [{**body, "history_id": keys[place]} for place, body in bodies]
            self.insert(connection, self.tables.body, placed)
        return keys

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Insert rows."""
        self.run(connection, self.made("insert", table, table.insert), rows)

    @abstractmethod
    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """Insert the rows whose primary key is not there yet."""

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Row]
    ) -> None:
        """Set *columns* of the sessions whose ``id`` stands in *rows* as ``key``."""
        self.run(connection, self.made("update", columns, lambda: self.update(columns)), rows)

    # --- for the databases -----------------------------------------------------------------------

    def update(self, columns: tuple[str, ...]) -> sa.Update:
        """One session, by its ``key``."""
        session = self.tables.session
        values: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
        return session.update().where(session.c.id == sa.bindparam("key")).values(values)

    def made(self, kind: str, of: Hashable, make: Callable[[], _T]) -> _T:
        """What *make* makes, made once: building a statement takes longer than running it."""
        if (kind, of) not in self._made:
            self._made[kind, of] = make()
        return cast("_T", self._made[kind, of])

    def run(self, connection: sa.Connection, statement: Statement, rows: Sequence[Row]) -> None:
        """Execute for all *rows* at once, as fast as the driver can.

        SQLAlchemy's own way spends more time on the parameters than the database on the rows.
        """
        if rows:
            sql, parameters, named = self.made(
                "compiled", statement, lambda: self._compile(statement)
            )
            values: Any = list(zip(*bound(parameters, rows), strict=True))
            if named:
                names = [name for name, _ in parameters]
                values = [dict(zip(names, row, strict=True)) for row in values]
            connection.exec_driver_sql(sql, values)

    def _compile(self, statement: Statement) -> tuple[str, list[Parameter], bool]:
        """The statement as the driver takes it, its parameters, whether it wants their names."""
        compiled = statement.compile(dialect=self.dialect)
        names = compiled.positiontup or list(compiled.binds)
        parameters = [self.parameter(name, compiled.binds[name].type) for name in names]
        return str(compiled), parameters, compiled.positiontup is None

    def parameter(self, name: str, kind: sa.types.TypeEngine[Any]) -> Parameter:
        """A parameter, and what makes its values ready for the driver."""
        return name, kind.dialect_impl(self.dialect).bind_processor(self.dialect)


def bound(parameters: Iterable[Parameter], rows: Sequence[Row]) -> list[list[Any]]:
    """The values of each parameter in all *rows*, as the driver takes them."""
    return [
        [row[name] for row in rows]
        if process is None
        else [None if (item := row[name]) is None else process(item) for row in rows]
        for name, process in parameters
    ]
