"""Sessions that need not be read again, because nobody has written since our last commit.

On a database that can tell (:meth:`~sermo_fsm.storage.backends.Statements.version`), a connection
keeps the sessions of the latest users as a batch has left them, and the next batch on it reads only
those of other users. The version tells of every row that anyone has written, but not whether our
own transaction was committed: what a batch has learned is kept when its commit has returned.
"""

from collections.abc import Hashable
from datetime import datetime
from itertools import islice
from typing import Final

import sqlalchemy as sa

from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.message import UserKey

__all__ = ["Entry", "Users", "keep", "learn", "recall"]

Entry = tuple[int, ChatSession, datetime | None]
"""A stored session: the ``id`` of its row, itself, and when the sweeper looks at it."""


class Users(dict[UserKey, tuple[Entry, ...]]):
    """The last two sessions of each user, in the order of ``ordinal``; the latest users last."""

    def __repr__(self) -> str:  # no error shows whose chats went before
        return f"<{len(self)} users>"


_MOST: Final = 5000
"""So many users are kept, at about a kilobyte each."""

_KEPT: Final = "sermo_kept"
"""Key in ``Connection.info``, which belongs to the driver's connection: what is kept."""

_LEARNED: Final = "sermo_learned"
"""Beside it: what will be kept, with the transaction whose commit that waits for."""


def recall(connection: sa.Connection, version: Hashable) -> Users:
    """What *connection* keeps, if the database still has this version: it keeps it no more."""
    kept_version, users = connection.info.pop(_KEPT, (None, None))
    return users if kept_version == version else Users()


def learn(connection: sa.Connection, version: Hashable, recalled: Users, users: Users) -> None:
    """Let *connection* keep *users* beside the recalled ones, once its transaction is committed.

    *version* is that of the database after all that the transaction has written.
    """
    for user in users:
        recalled.pop(user, None)
    recalled.update(users)
    for user in list(islice(recalled, max(len(recalled) - _MOST, 0))):
        del recalled[user]
    connection.info[_LEARNED] = connection.get_transaction(), version, recalled


def keep(connection: sa.Connection, transaction: sa.Transaction) -> None:
    """Keep what *transaction*, which was just committed, has learned."""
    learned_in, *learned = connection.info.pop(_LEARNED, (None,))
    if learned_in is transaction:
        connection.info[_KEPT] = learned
