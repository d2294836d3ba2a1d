"""Questions as values: what is to be read is known first, and read later on some connection.

A question that one statement answers is a :data:`Read`. A list is :class:`Pages`: each page is a
statement of its own that goes on behind the last item of the page before (keyset), so the millionth
page is as fast as the first, and no connection is held in between.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa
from attrs import evolve, frozen

__all__ = ["Pages", "Read"]

_PAGE: Final = 500
_T = TypeVar("_T")

Read = Callable[[sa.Connection], _T]
"""A question: called with a connection, it returns the answer."""


@frozen
class Pages(Generic[_T]):
    """A list that is read page by page.

    Attributes:
        query: All of it, in order, without a limit.
        read: Makes an item of a row.
        behind: The condition for what lies behind a row.
        limit: How many items are wanted; None for all.
        start: The condition to begin with, if not at the top.
    """

    query: sa.Select[Any]
    read: Callable[[sa.Row[Any]], _T]
    behind: Callable[[Any], sa.ColumnElement[bool]]
    limit: int | None = None
    start: Callable[[sa.Connection], sa.ColumnElement[bool]] | None = None

    def next(self, connection: sa.Connection) -> "tuple[list[_T], Pages[_T] | None]":
        """The next items, and the pages that follow; None if nothing does."""
        size = _PAGE if self.limit is None else min(_PAGE, self.limit)
        query = self.query if self.start is None else self.query.where(self.start(connection))
        rows = connection.execute(query.limit(size)).all()
        items = [self.read(row) for row in rows]
        left = None if self.limit is None else self.limit - len(rows)
        if len(rows) < size or left == 0:
            return items, None
        last = self.behind(rows[-1])
        return items, evolve(self, start=lambda _: last, limit=left)
