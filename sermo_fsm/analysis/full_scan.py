"""Everything that is stored, session by session with its rows, for questions about all of it.

Sessions are read in portions, each from where the last one ended (keyset), and the rows of a
portion by the index of their sessions. So no database has to sort what is large, and no more than a
portion is kept, however much there is.
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

__all__ = ["Progress", "Scan", "by_key", "by_opening"]

Progress = Callable[[int, int | None], object]
"""Told now and then how many rows were read, and of about how many; None where nobody knows.

It begins anew where a connection was lost and all is read again.
"""

Portions = Generator[tuple[sa.Row[Any], Iterable[sa.Row[Any]]], None, None]

_SESSIONS: Final = 500  # in a portion
_ROWS: Final = 2000  # from the database at once

_KEY: Final = itemgetter(0)


@frozen
class Scan:
    """What is to be read.

    Attributes:
        tables: From where.
        sessions: Of the sessions, in the order of ``behind``; their key is selected as ``id``.
        behind: What of them lies behind one of them.
        columns: Of the rows of their history.
        whole: They are all there are, by their keys.
    """

    tables: Tables
    sessions: sa.Select[Any]
    behind: Callable[[Any], sa.ColumnElement[bool]]
    columns: Sequence[sa.Column[Any]]
    whole: bool

    def read(
        self, connection: sa.Connection, progress: Progress | None = None
    ) -> closing[Portions]:
        """Each session and its rows, in order: their first column is the key of the session.

        The rows have to be read before the next session is asked for, or not at all. To be closed
        where the connection is: later there would be nobody to wait for it.
        """
        return closing(self._read(connection, progress))

    def _read(self, connection: sa.Connection, progress: Progress | None) -> Portions:
        total = _about(connection, self.tables) if self.whole and progress is not None else None
        gauge = _Gauge(progress or _nobody, total)
        portion, query = _SESSIONS, self.sessions
        while portion == _SESSIONS:
            sessions = connection.execute(query.limit(_SESSIONS)).all()
            portion = len(sessions)
            if sessions:
                query = self.sessions.where(self.behind(sessions[-1]))
                yield from self._with_rows(connection, sessions, gauge)

    def _with_rows(
        self, connection: sa.Connection, sessions: Sequence[sa.Row[Any]], gauge: "_Gauge"
    ) -> Portions:
        history = self.tables.history.c
        if self.whole:  # PostgreSQL would take many keys one by one for too much
            these = history.session_key.between(sessions[0].id, sessions[-1].id)
        else:
            these = history.session_key.in_([session.id for session in sessions])
        query = (
            sa.select(history.session_key, *self.columns)
            .where(these)
            .order_by(history.session_key, history.seq)
            .execution_options(yield_per=_ROWS)
        )
        with connection.execute(query) as found:
            groups = groupby(gauge.passing(found), _KEY)
            key, rows = next(groups, _NO_MORE)
            for session in sorted(sessions, key=attrgetter("id")):
                if session.id != key:
                    yield session, ()  # it has none
                    continue
                yield session, rows
                key, rows = next(groups, _NO_MORE)


def by_key(tables: Tables, sessions: sa.Select[Any], columns: Sequence[sa.Column[Any]]) -> Scan:
    """All sessions there are, in the order in which they were written."""
    key = tables.session.c.id
    return Scan(tables, sessions.order_by(key), lambda last: key > last.id, columns, whole=True)


def by_opening(
    tables: Tables, sessions: sa.Select[Any], columns: Sequence[sa.Column[Any]], index: str
) -> Scan:
    """Some of them, by an *index* in the order in which they opened: that is selected, too."""
    session = tables.session.c
    return Scan(
        tables,
        by_index(sessions, tables.session, index).order_by(session.opened_at, session.id),
        # Not (a, b) > (x, y): for that MySQL would not use its index.
        lambda last: sa.and_(
            session.opened_at >= last.opened_at,
            sa.or_(session.opened_at > last.opened_at, session.id > last.id),
        ),
        columns,
        whole=False,
    )


_NO_MORE: Final[tuple[None, Iterator[Any]]] = (None, iter(()))


@define
class _Gauge:
    """How much was read."""

    progress: Progress
    total: int | None
    rows: int = 0

    def passing(self, found: sa.CursorResult[Any]) -> Iterator[sa.Row[Any]]:
        """The rows; whoever watches is told."""
        for some in found.partitions():
            yield from some
            self.rows += len(some)
            self.progress(self.rows, self.total)


def _nobody(_read: int, _total: int | None) -> None:
    """Watches."""


def _about(connection: sa.Connection, tables: Tables) -> int:
    """How many rows there are, by their numbers: to count them would take long."""
    number = tables.history.c.id
    ends = (sa.select(find(number)).scalar_subquery() for find in (sa.func.min, sa.func.max))
    first, last = connection.execute(sa.select(*ends)).one()
    return 0 if last is None else int(last - first + 1)
