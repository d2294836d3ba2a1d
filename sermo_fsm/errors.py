"""Everything this library raises on purpose.

::

    SermoError
    ├── InvalidEvent       what came in breaks the protocol; says where and what was wanted
    ├── InvalidArgument    the calling code passed something unusable (also a ValueError)
    ├── InvalidTable       the rules of the machine contradict themselves; raised at import
    ├── MessageConflict    a message id was used twice for two different events
    └── StoreError         the database refused; nothing was written, but for CommitUnknown
        ├── SchemaNotReady    the tables are missing, older or newer than this release
        ├── StoreBusy         somebody else held a lock for too long; try again
        ├── LostRace          another writer was faster; try again
        ├── StoreUnavailable  it can't be reached, or went away before the commit; try again
        └── CommitUnknown     it went away during the commit; ask again with the same message ids

Errors carry fields, not only words, and never what was in an event; an ``InvalidArgument`` carries
what the calling code passed.
"""

from typing import Any

__all__ = [
    "CommitUnknown",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidTable",
    "LostRace",
    "MessageConflict",
    "SchemaNotReady",
    "SermoError",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
]


class SermoError(Exception):
    """The root of every error of this library."""


class InvalidEvent(SermoError):
    """What came in is not an event of the protocol.

    Attributes:
        path: Where, as a JSONPath such as ``$.agent.id``; ``$`` is the event itself.
        wanted: What the protocol wants there.
        got: What was there: a kind or a size, never the value.
    """

    def __init__(self, path: str, wanted: str, got: str) -> None:
        super().__init__(path, wanted, got)
        self.path = path
        self.wanted = wanted
        self.got = got

    def __str__(self) -> str:
        return f"{self.path}: wanted {self.wanted}, got {self.got}"

    def under(self, parent: str) -> "InvalidEvent":
        """The same error, seen from the object that holds this one at *parent*."""
        return InvalidEvent(parent + self.path[1:], wanted=self.wanted, got=self.got)


class InvalidArgument(SermoError, ValueError):
    """The calling code passed something unusable.

    Attributes:
        argument: The name of the argument.
        wanted: What it has to be.
    """

    def __init__(self, argument: str, wanted: str, got: Any) -> None:
        super().__init__(argument, wanted, got)
        self.argument = argument
        self.wanted = wanted
        self.got = got

    def __str__(self) -> str:
        return f"{self.argument}: wanted {self.wanted}, got {self.got!r}"


class InvalidTable(SermoError):
    """The rules of the machine are incomplete or contradict themselves.

    Attributes:
        cell: Which row or cell, as text.
    """

    def __init__(self, cell: str, problem: str) -> None:
        super().__init__(cell, problem)
        self.cell = cell
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.cell}: {self.problem}"


class MessageConflict(SermoError):
    """A message id was written before on this direction, with another event.

    Attributes:
        direction: The queue.
        message_id: The id that was used twice.
    """

    def __init__(self, direction: str, message_id: str) -> None:
        super().__init__(direction, message_id)
        self.direction = direction
        self.message_id = message_id

    def __str__(self) -> str:
        return (
            f"message {self.message_id!r} on {self.direction} was handed in before with another "
            "event; nothing was written. Message ids must be unique on their queue"
        )


class StoreError(SermoError):
    """The database refused. Nothing of what was asked for was written, but for CommitUnknown.

    Attributes:
        reason: What the database said, without statement and values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class SchemaNotReady(StoreError):
    """The tables are missing, or of another release.

    Attributes:
        current: The revision of the database; None where there is none.
        wanted: The revision that this release works with.
    """

    def __init__(self, current: str | None, wanted: str, remedy: str) -> None:
        state = "has no sermo_fsm tables" if current is None else f"is at revision {current}"
        super().__init__(f"the database {state}, this release needs revision {wanted}: {remedy}")
        self.args = (current, wanted, remedy)  # what pickle makes it from again
        self.current = current
        self.wanted = wanted
        self.remedy = remedy


class StoreBusy(StoreError):
    """Another connection held a lock for too long, or a deadlock was ended at our cost.

    Try again. In a transaction of yours: roll it back and do all of it again.
    """


class LostRace(StoreError):
    """Another writer was faster, and a unique constraint or the isolation of transactions said so.

    Try again. In a transaction of yours: roll it back and do all of it again.
    """


class StoreUnavailable(StoreError):
    """The database can't be reached, or the connection was lost before the commit. Try again."""


class CommitUnknown(StoreError):
    """The connection was lost during the commit: all of it is written, or nothing.

    Hand in the same events again, with the same message ids: what is written comes back as a
    ``duplicate``. Whatever has no message id may then be there twice.
    """
