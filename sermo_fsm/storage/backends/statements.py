"""The statements that databases want written differently."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress
from operator import ne
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from sermo_fsm.protocol.message import MessageKey
from sermo_fsm.storage.schema import Tables

__all__ = [
    "MAX_PARAMETERS",
    "Change",
    "Compiled",
    "Converters",
    "Row",
    "Statements",
    "by_changed_columns",
    "converted",
    "null_column",
    "quiet_and_others",
]

Row = tuple[Any, ...]
"""The values of one row, in an order of columns that whoever takes it names."""

Change = tuple[int, Row, Row]
"""The ``id`` of a session, its values as they were read, and as they are to be."""

Converters = Sequence[tuple[int, Callable[[Any], Any]]]
"""What converts values for the driver, with the place of the value in its row."""

MAX_PARAMETERS: Final = 500
"""In one statement; well below the limit of every database."""

_MOST: Final = 2000
"""So many statements are kept; each takes one to four kilobytes."""

_NAMED: Final = re.compile(r"(?<!%)%\((\w+)\)s")  # not in a name, where the % is doubled
"""A parameter by its name. Drivers that take these take ``%s``, too."""

_T = TypeVar("_T")


@frozen
class Compiled:
    """A statement as the driver takes it, its parameters by their places.

    SQLAlchemy's own way to execute a statement for many rows spends more time on the parameters
    than the database on the rows.
    """

    sql: str
    converters: Converters


class Statements(ABC):
    """The SQL of one database, on one set of tables.

    Every method but ``last`` runs on a connection that is in a transaction, and none ends it.
    """

    def __init__(self, tables: Tables, dialect: sa.Dialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self._cache: dict[tuple[str, Hashable], object] = {}

    # --- reading ---------------------------------------------------------------------------------

    def version(self, connection: sa.Connection) -> Hashable | None:
        """What is another one as soon as anybody has written a row; None if that is not told.

        Asked in a transaction that only one writer can be in.
        """
        del connection
        return None

    def load(
        self,
        connection: sa.Connection,
        users: Sequence[tuple[str, str]],
        messages: Collection[MessageKey],
    ) -> tuple[Iterable[Sequence[Any]], Collection[MessageKey]]:
        """Lock these users as :meth:`lock` does, and load what :meth:`last_two` returns.

        Returned with it are those of *messages*, each a queue and an id, that may have been written
        before: all of them, unless it costs little to know better.
        """
        if not users:
            return (), messages
        self.lock(connection, users)
        # A statement of its own, so that it sees what the last holder of the lock has committed.
        return self.last_two(connection, users), messages

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
    ) -> Iterable[Sequence[Any]]:
        """At least the last two sessions of each user, as whole rows, in the order of ``ordinal``.

        They are as the last holder of the users' locks has committed them; if the transaction sees
        an older state instead, it can't write. Needed for docs/design.md, guarantee 1 and
        docs/design.md, guarantee 5.
        """

    @abstractmethod
    def last(self, connection: sa.Connection, platform: str, user: str) -> Sequence[Any] | None:
        """The session of this user that opened last, as a whole row; None if there is none.

        Asked without a lock, perhaps without a transaction.
        """

    def known_messages(
        self, connection: sa.Connection, direction: str, ids: Sequence[str]
    ) -> Sequence[str]:
        """Those of these message ids that have a row on this queue.

        All that earlier holders of the user's lock have committed are known. Needed for
        docs/design.md, guarantee 4.
        """
        query = self.cached("known", direction, partial(self._ids_on_queue, direction))
        return [row["message_id"] for row in self.messages(connection, query, ids)]

    def messages(
        self, connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]
    ) -> Iterator[sa.RowMapping]:
        """The rows of *query*, a select from the history, that have one of these message ids."""
        column = self.tables.history.c.message_id
        for start in range(0, len(ids), MAX_PARAMETERS):
            some = ids[start : start + MAX_PARAMETERS]
            yield from connection.execute(query.where(column.in_(some))).mappings()

    # --- writing ---------------------------------------------------------------------------------

    @abstractmethod
    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> Sequence[int]:
        """Insert rows, all columns of *table* in its order but ``id``, the first one.

        Returns the ids that they got, which grow in the order of *rows*.
        """

    def insert_history(
        self,
        connection: sa.Connection,
        rows: Sequence[Row],
        bodies: Sequence[tuple[int, Row]],
    ) -> Sequence[int]:
        """Insert rows of the history with their bodies; return the ids of the rows, in order.

        Each body comes with the index of its row in *rows*, and without its first column, the
        ``id`` of that row.
        """
        ids = self.insert_new(connection, self.tables.history, rows)
        if bodies:
            table = self.tables.body
            insert = self.compiled("insert", table, table.insert)
            self.run(connection, insert, [(ids[index], *body) for index, body in bodies])
        return ids

    @abstractmethod
    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
    ) -> None:
        """Insert the rows whose primary key is not in *table* yet; leave the others as they are.

        Each has all columns of *table* in its order, the key first. Every other error is raised as
        usual.
        """

    def update_sessions(
        self, connection: sa.Connection, columns: tuple[str, ...], changes: Sequence[Change]
    ) -> None:
        """Write what is different in sessions, of which these *columns* can change.

        A session in which nothing is different is written, too, so that a transaction which sees
        an older state of the database can't write it any more.
        """
        for differs, rows in by_changed_columns(changes).items():
            names = tuple(compress(columns, differs))
            update = self.compiled("update", names, partial(self.update_one, names))
            self.run(connection, update, rows)

    def _ids_on_queue(self, direction: str) -> sa.Select[Any]:
        history = self.tables.history.c
        return sa.select(history.message_id).where(history.direction == direction)

    # --- for the backends ------------------------------------------------------------------------

    def run(self, connection: sa.Connection, statement: Compiled, rows: Iterable[Row]) -> None:
        """Run *statement* for each of *rows*, which have its parameters in their order."""
        self.execute(connection, statement.sql, converted(statement.converters, rows))

    @staticmethod
    def execute(connection: sa.Connection, sql: str, values: Any) -> Any:
        """Run *sql*, for each of *values* if they are a list."""
        return connection.exec_driver_sql(sql, values)

    def update_one(self, columns: tuple[str, ...]) -> sa.Update:
        """An update of these columns of one session, whose ``id`` is the last parameter."""
        session = self.tables.session
        unchanged = {"row_count": session.c.row_count}
        values: dict[str, Any] = {name: sa.bindparam(name) for name in columns} or unchanged
        update = session.update().ordered_values(*values.items())
        return update.where(session.c.id == sa.bindparam("key"))

    def cached(self, kind: str, of: Hashable, build: Callable[[], _T]) -> _T:
        """What *build* returns, built once: that takes longer than running the statement."""
        found = self._cache.get((kind, of))
        if found is None:
            found = self._kept((kind, of), build())
        return cast("_T", found)

    def compiled(
        self, kind: str, of: Hashable, build: Callable[[], sa.Insert | sa.Update]
    ) -> Compiled:
        """The statement that *build* returns, compiled once."""
        found = self._cache.get((kind, of))
        if found is None:
            found = self._kept((kind, of), self._compile(build()))
        return cast("Compiled", found)

    def _kept(self, key: tuple[str, Hashable], made: object) -> object:
        """Keep what was built; of too many forget the oldest.

        There are as many updates as sets of columns that can change together.
        """
        if len(self._cache) >= _MOST:
            self._cache.pop(next(iter(list(self._cache))), None)
        self._cache[key] = made
        return made

    def _compile(self, statement: sa.Insert | sa.Update) -> Compiled:
        compiled = statement.compile(dialect=self.dialect)
        sql = str(compiled)
        names = compiled.positiontup or _NAMED.findall(sql)
        converters = self.converters(compiled.binds[name].type for name in names)
        return Compiled(_NAMED.sub("%s", sql), converters)

    def converters(self, kinds: Iterable[sa.types.TypeEngine[Any]]) -> Converters:
        """What converts the values of rows whose columns are of these types."""
        found = ((at, self._converter(kind)) for at, kind in enumerate(kinds))
        return [(at, convert) for at, convert in found if convert is not None]

    def _converter(self, kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
        there = kind.dialect_impl(self.dialect)
        convert = there.bind_processor(self.dialect)
        # Drivers look for an adapter of each word that is an enum, which takes longer.
        return str if convert is None and isinstance(there, sa.String) else convert


def converted(converters: Converters, rows: Iterable[Row]) -> list[Row]:
    """*rows* as the driver takes them."""
    found: list[Row] = []
    for row in rows:
        values = [*row]
        for at, convert in converters:
            value = values[at]
            if value is not None:
                values[at] = convert(value)
        found.append(tuple(values))
    return found


def by_changed_columns(changes: Iterable[Change]) -> dict[tuple[bool, ...], list[Row]]:
    """The new values of what changed, with the ``id`` last, by which of the columns changed."""
    groups: dict[tuple[bool, ...], list[Row]] = {}
    for key, old, new in changes:
        differs = tuple(map(ne, old, new))
        groups.setdefault(differs, []).append((*compress(new, differs), key))
    return groups


def quiet_and_others(
    columns: Sequence[str], changes: Sequence[Change]
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """The same in at most two sets: sessions whose history did not grow, and all others.

    Each with the names of its columns. For databases where another statement costs more than
    another column.
    """
    counted = columns.index("row_count")
    for grown in (False, True):
        some = [change for change in changes if (change[1][counted] != change[2][counted]) is grown]
        if some:
            differs = [*map(any, zip(*(map(ne, old, new) for _, old, new in some), strict=True))]
            rows = [(*compress(new, differs), key) for key, _, new in some]
            yield tuple(compress(columns, differs)), rows


class null_column(FunctionElement[Any]):  # noqa: N801 - used as a function in queries
    """A column that is NULL in every selected row, for ORDER BY.

    It leads an index. Some databases use the index only if ORDER BY names all of its columns,
    others only if ORDER BY leaves the constant one out: those compile it to ``NULL``.
    """

    inherit_cache = True


@compiles(null_column)
def _column(element: null_column, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)
