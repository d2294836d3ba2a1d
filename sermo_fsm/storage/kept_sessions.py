"""Sessions that need not be read again, because nobody has written since our last commit.

On a database that can tell (:meth:`~sermo_fsm.storage.backends.Statements.version`), a connection
keeps the sessions of the latest users as a batch has left them, and the next batch on it reads only
those of other users. The version tells of every row that anyone has written, but not whether our
own transaction was committed: what a batch has learned is kept when its commit has returned.

Only a connection of our own engine keeps them. With a host's the host does what the version does
not tell: restores a backup into it, or lends it to two who roll each other back.
"""

import weakref
from collections.abc import Hashable, Iterable
from datetime import datetime
from itertools import islice
from typing import Final

import sqlalchemy as sa

from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.message import UserKey

__all__ = ["Entry", "Users", "keep", "learn", "recall"]

Entry = tuple[int, ChatSession, datetime | None]
"""A stored session: the ``id`` of its row, itself, and when the sweeper looks at it."""


class Users:
    """The last two sessions of each user, in the order of ``ordinal``.

    No dictionary, for reports of errors show what is in one: these users are not in the batch.
    """

    def __init__(self) -> None:
        self._entries: dict[UserKey, tuple[Entry, ...]] = {}

    def __repr__(self) -> str:
        return f"<{len(self._entries)} users>"

    def __contains__(self, user: object) -> bool:
        return user in self._entries

    def of(self, user: UserKey) -> tuple[Entry, ...]:
        """The sessions of *user*; none if it is not known."""
        return self._entries.get(user, ())

    def update(self, stored: Iterable[Entry]) -> None:
        """Take the sessions of these users from *stored*, and forget those that came first."""
        latest: dict[UserKey, tuple[Entry, ...]] = {}
        for entry in stored:
            user = entry[1].key
            latest[user] = (*latest.get(user, ())[-1:], entry)
        entries = self._entries
        for user in latest:
            entries.pop(user, None)
        entries.update(latest)
        for user in list(islice(entries, max(len(entries) - _MOST, 0))):
            del entries[user]


_MOST: Final = 5000
"""So many users are kept, mostly at less than a kilobyte each."""

_KEPT: Final = "sermo_kept"
"""Key in ``Connection.info``, which belongs to the driver's connection: what is kept."""

_LEARNED: Final = "sermo_learned"
"""Beside it: what will be kept, with the transaction whose commit that waits for."""


def recall(connection: sa.Connection, version: Hashable) -> Users:
    """What *connection* keeps, if the database still has this version: it keeps it no more."""
    kept_version, users = connection.info.pop(_KEPT, (None, None))
    return users if kept_version == version else Users()


def learn(connection: sa.Connection, version: Hashable, users: Users) -> None:
    """Let *connection* keep *users*, once its transaction is committed.

    *version* is that of the database after all that the transaction has written.
    """
    transaction = connection.get_transaction()
    assert transaction is not None  # noqa: S101 - it has just written
    connection.info[_LEARNED] = weakref.ref(transaction), version, users


def keep(connection: sa.Connection, transaction: sa.Transaction) -> None:
    """Keep what *transaction*, which was just committed, has learned; or nothing any more."""
    learned_in, *learned = connection.info.pop(_LEARNED, (None,))
    if learned_in is not None and learned_in() is transaction:
        connection.info[_KEPT] = learned
    else:
        connection.info.pop(_KEPT, None)
