"""The statements that databases want written differently."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from sermo_fsm.storage.schema import Tables

__all__ = [
    "MAX_PARAMETERS",
    "Compiled",
    "Parameter",
    "Statements",
    "Values",
    "column_values",
    "null_column",
]

Values = Mapping[str, Any]
"""The values of one row, by column."""

Parameter = tuple[str, Callable[[Any], Any] | None]
"""The name of a parameter, and what converts its values for the driver."""

MAX_PARAMETERS: Final = 500
"""In one statement; well below the limit of every database."""

_T = TypeVar("_T")


@frozen
class Compiled:
    """A statement as the driver takes it, for ``Connection.exec_driver_sql``.

    SQLAlchemy's own way to execute a statement for many rows spends more time on the parameters
    than the database on the rows.
    """

    sql: str
    parameters: list[Parameter]
    named: bool
    """Whether the driver takes the parameters by name."""

    def arguments(self, rows: Sequence[Values]) -> Any:
        """The parameters for all *rows*."""
        names = [name for name, _ in self.parameters] if self.named else []
        converted: list[Any] = []
        for row in rows:
            values = []
            for name, convert in self.parameters:
                value = row[name]
                values.append(value if convert is None or value is None else convert(value))
            converted.append(dict(zip(names, values, strict=True)) if self.named else tuple(values))
        return converted


class Statements(ABC):
    """The SQL of one database, on one set of tables.

    Every method runs on a connection that is in a transaction, and never ends it.
    """

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self._cache: dict[tuple[str, Hashable], object] = {}

    # --- reading ---------------------------------------------------------------------------------

    def lock(self, connection: sa.Connection, users: Sequence[tuple[str, str]]) -> None:  # noqa: B027 - not needed if there is one writer at a time
        """Lock these users until the transaction ends, by the row of their first session.

        Afterwards no other transaction can lock or write any of them. A user without a session
        can't be locked: if two writers open the first one, the unique constraint on ``ordinal``
        rejects the second. *users* are sorted; locks are taken in one order, whatever the batch, so
        that batches do not deadlock. Needed for docs/design.md, guarantee 5.
        """

    @abstractmethod
    def last_two(
        self, connection: sa.Connection, users: Sequence[tuple[str, str]]
    ) -> Iterable[sa.Row[Any]]:
        """At least the last two sessions of each user, as whole rows, in the order of ``ordinal``.

        They are as the last holder of the users' locks has committed them; if the transaction sees
        an older state instead, it can't write. Needed for docs/design.md, guarantee 1 and
        docs/design.md, guarantee 5.
        """

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """The rows of *query*, a select from the history, that have one of these message ids.

        They include all that earlier holders of the user's lock have committed. Needed
        for docs/design.md, guarantee 4.
        """
        column = self.tables.history.c.message_id
        for start in range(0, len(ids), MAX_PARAMETERS):
            some = ids[start : start + MAX_PARAMETERS]
            yield from connection.execute(query.where(column.in_(some))).mappings()

    # --- writing ---------------------------------------------------------------------------------

    @abstractmethod
    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> Sequence[int]:
        """Insert rows without an ``id``; return the ids that they got, in the order of *rows*.

        The ids grow in that order.
        """

    def insert_history(
        self,
        connection: sa.Connection,
        rows: Sequence[Values],
        bodies: Sequence[tuple[int, Values]],
    ) -> Sequence[int]:
        """Insert rows of the history with their bodies; return the ids of the rows, in order.

        Each body comes with the index of its row in *rows*.
        """
        ids = self.insert_new(connection, self.tables.history, rows)
        if bodies:
            table = self.tables.body
            insert = self.compiled("insert", table, table.insert)
            owned = []
            for index, body in bodies:
                owned.append({**body, "history_id": ids[index]})
            connection.exec_driver_sql(insert.sql, insert.arguments(owned))
        return ids

    @abstractmethod
    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]
    ) -> None:
        """Insert the rows whose primary key is not in *table* yet; leave the others as they are.

        Every other error is raised as usual.
        """

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], rows: Sequence[Values]
    ) -> None:
        """Set *columns* of sessions; ``key`` in each of *rows* is the ``id`` of the session."""
        update = self.compiled("update", columns, lambda: self.update_one(columns))
        connection.exec_driver_sql(update.sql, update.arguments(rows))

    # --- for the backends ------------------------------------------------------------------------

    def update_one(self, columns: tuple[str, ...]) -> sa.Update:
        """An update of these columns of one session, which its ``key`` identifies."""
        session = self.tables.session
        values: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
        return session.update().where(session.c.id == sa.bindparam("key")).values(values)

    def cached(self, kind: str, of: Hashable, build: Callable[[], _T]) -> _T:
        """What *build* returns, built once: that takes longer than running the statement."""
        if (kind, of) not in self._cache:
            self._cache[kind, of] = build()
        return cast("_T", self._cache[kind, of])

    def compiled(
        self, kind: str, of: Hashable, build: Callable[[], sa.Insert | sa.Update]
    ) -> Compiled:
        """The statement that *build* returns, compiled once."""
        found = self._cache.get((kind, of))
        if found is None:
            found = self._cache[kind, of] = self._compile(build())
        return cast("Compiled", found)

    def _compile(self, statement: sa.Insert | sa.Update) -> Compiled:
        compiled = statement.compile(dialect=self.dialect)
        names = compiled.positiontup or list(compiled.binds)
        parameters = [self.parameter(name, compiled.binds[name].type) for name in names]
        return Compiled(str(compiled), parameters, named=compiled.positiontup is None)

    def parameter(self, name: str, kind: sa.types.TypeEngine[Any]) -> Parameter:
        """The parameter *name*, for values of this type."""
        return name, kind.dialect_impl(self.dialect).bind_processor(self.dialect)


def column_values(parameters: Iterable[Parameter], rows: Sequence[Values]) -> list[list[Any]]:
    """The values of each parameter in all *rows*, as the driver takes them."""
    columns = []
    for name, convert in parameters:
        values = list(map(itemgetter(name), rows))
        if convert is not None:
            for index, value in enumerate(values):
                if value is not None:
                    values[index] = convert(value)
        columns.append(values)
    return columns


class null_column(FunctionElement[Any]):  # noqa: N801 - used as a function in queries
    """A column that is NULL in every selected row, for ORDER BY.

    It leads an index. Some databases use the index only if ORDER BY names all of its columns,
    others only if ORDER BY leaves the constant one out: those compile it to ``NULL``.
    """

    inherit_cache = True


@compiles(null_column)
def _column(element: null_column, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)
