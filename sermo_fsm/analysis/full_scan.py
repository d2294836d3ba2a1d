"""Read everything that is stored: session by session, each with its rows.

Sessions are read in pages, each from where the last one ended (keyset pagination), and the rows of
a page by the index on their session. So no database has to sort a large result, and only one page
is in memory, however much is stored.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, frozen

from sermo_fsm.storage.backends import by_index
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.transactions import streamed

__all__ = ["Scan", "ScanProgress", "scan_all", "scan_by_opening", "with_neighbours"]

ScanProgress = Callable[[int, int | None], object]
"""Called from time to time with the number of rows read, and about how many there are.

The latter is None if it is not known. The count starts again from the beginning if the connection
is lost and everything is read once more.
"""

SessionsWithRows = Generator[tuple[sa.Row[Any], Iterable[sa.Row[Any]]], None, None]

_SESSIONS: Final = 500  # in a page
_ROWS: Final = 2000  # fetched from the database at once

_KEY: Final = itemgetter(0)


@frozen
class Scan:
    """A query for sessions and their rows.

    Attributes:
        tables: The tables to read.
        sessions: Selects the sessions in order, with their key as ``id``.
        after: The condition for the sessions that come after the given one in that order.
        columns: The columns of the history to read.
        whole: Whether this reads all sessions, in the order of their keys.
    """

    tables: Tables
    sessions: sa.Select[Any]
    after: Callable[[Any], sa.ColumnElement[bool]]
    columns: Sequence[sa.ColumnElement[Any]]
    whole: bool

    def read(
        self,
        connection: sa.Connection,
        progress: ScanProgress | None = None,
        passed: Callable[[Any], object] | None = None,
    ) -> closing[SessionsWithRows]:
        """Read each session and its rows, in order.

        The first column of a row is the key of its session, then come ``columns``. Read the rows of
        a session before you ask for the next one, or not at all. Close the result before you give
        the connection back.

        Within a page, sessions come in the order of their keys. *passed* is called at the end of
        each page with its last session: all that follow come after that one in the order.
        """
        return closing(self._read(connection, progress, passed))

    def _read(
        self,
        connection: sa.Connection,
        progress: ScanProgress | None,
        passed: Callable[[Any], object] | None,
    ) -> SessionsWithRows:
        total = (
            _estimate_rows(connection, self.tables) if self.whole and progress is not None else None
        )
        counter = _RowCounter(progress or _ignore_progress, total)
        size, query = _SESSIONS, self.sessions
        while size == _SESSIONS:
            sessions = connection.execute(query.limit(_SESSIONS)).all()
            size = len(sessions)
            if sessions:
                query = self.sessions.where(self.after(sessions[-1]))
                yield from self._with_rows(connection, sessions, counter)
                if passed is not None:
                    passed(sessions[-1])

    def _with_rows(
        self, connection: sa.Connection, sessions: Sequence[sa.Row[Any]], counter: "_RowCounter"
    ) -> SessionsWithRows:
        history = self.tables.history.c
        if self.whole:  # PostgreSQL avoids the index for a long list of keys
            these = history.session_key.between(sessions[0].id, sessions[-1].id)
        else:
            these = history.session_key.in_([session.id for session in sessions])
        query = (
            sa.select(history.session_key, *self.columns)
            .where(these)
            .order_by(history.session_key, history.seq)
            .execution_options(yield_per=_ROWS)
        )
        with streamed(connection, query) as found:
            groups = groupby(counter.counted(found), _KEY)
            key, rows = next(groups, _NO_MORE)
            for session in sorted(sessions, key=attrgetter("id")):
                if session.id != key:
                    yield session, ()  # it has no rows
                    continue
                yield session, rows
                key, rows = next(groups, _NO_MORE)


def scan_all(
    tables: Tables, sessions: sa.Select[Any], columns: Sequence[sa.ColumnElement[Any]]
) -> Scan:
    """Scan all sessions, in the order in which they were written."""
    key = tables.session.c.id
    return Scan(tables, sessions.order_by(key), lambda last: key > last.id, columns, whole=True)


def with_neighbours(tables: Tables) -> tuple[sa.FromClause, sa.FromClause, sa.FromClause]:
    """Join each session with the one before it of its user, and with the row that opened the next.

    Returns:
        What to select from, the session before, and the row of the history.
    """
    session = tables.session
    before, following = session.alias("before_it"), session.alias("following")
    opening = tables.history.alias("opening")

    def of_the_same_user(other: sa.FromClause, ordinal: Any) -> sa.ColumnElement[bool]:
        return sa.and_(
            other.c.platform_id == session.c.platform_id,
            other.c.user_id == session.c.user_id,
            other.c.ordinal == ordinal,
        )

    joined = (
        session.outerjoin(before, of_the_same_user(before, session.c.ordinal - 1))
        .outerjoin(following, of_the_same_user(following, session.c.ordinal + 1))
        .outerjoin(opening, sa.and_(opening.c.session_key == following.c.id, opening.c.seq == 1))
    )
    return joined, before, opening


def scan_by_opening(
    tables: Tables, sessions: sa.Select[Any], columns: Sequence[sa.Column[Any]], index: str
) -> Scan:
    """Scan some sessions by an *index*, in the order in which they opened.

    *sessions* has to select ``opened_at``, too.
    """
    session = tables.session.c
    return Scan(
        tables,
        by_index(sessions, tables.session, index).order_by(session.opened_at, session.id),
        # Not (a, b) > (x, y): MySQL would not use its index for that.
        lambda last: sa.and_(
            session.opened_at >= last.opened_at,
            sa.or_(session.opened_at > last.opened_at, session.id > last.id),
        ),
        columns,
        whole=False,
    )


_NO_MORE: Final[tuple[None, Iterator[Any]]] = (None, iter(()))


@define
class _RowCounter:
    """Counts the rows read so far and reports them."""

    progress: ScanProgress
    total: int | None
    rows: int = 0

    def counted(self, found: sa.CursorResult[Any]) -> Iterator[sa.Row[Any]]:
        """The rows of *found*; progress is reported after each fetch."""
        for partition in found.partitions():
            yield from partition
            self.rows += len(partition)
            self.progress(self.rows, self.total)


def _ignore_progress(_read: int, _total: int | None) -> None:
    """Discard progress reports."""


def _estimate_rows(connection: sa.Connection, tables: Tables) -> int:
    """About how many rows there are, by the lowest and highest id: counting would take long."""
    number = tables.history.c.id
    ends = (sa.select(find(number)).scalar_subquery() for find in (sa.func.min, sa.func.max))
    first, last = connection.execute(sa.select(*ends)).one()
    return 0 if last is None else int(last - first + 1)
