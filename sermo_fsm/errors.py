"""The errors that this library raises on purpose.

::

    SermoError
    ├── InvalidEvent       an event breaks the protocol; says where, and what was wanted
    ├── InvalidArgument    the calling code passed something unusable (also a ValueError)
    ├── InvalidTable       the rules of the machine contradict themselves
    ├── MessageConflict    a message id was used for two different events
    └── StoreError         the database refused; nothing was written, except after CommitUnknown
        ├── SchemaNotReady    the tables are missing, older or newer than this release
        ├── StoreBusy         another connection held a lock for too long; try again
        ├── LostRace          another writer was faster; try again
        ├── StoreUnavailable  the database can't be reached; try again
        ├── ForkedEngine      the host's engine came along from the parent process
        └── CommitUnknown     the connection was lost during the commit; try again with
                              the same message ids

Errors carry fields, not only words. They never hold what was in an event. An ``InvalidArgument``
holds what the calling code passed.
"""

from typing import Any

__all__ = [
    "CommitUnknown",
    "ForkedEngine",
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
    """The base class of every error that this library raises on purpose."""


class InvalidEvent(SermoError):
    """An event, or the envelope around it, breaks the protocol.

    Making an event such as ``CustomerText`` from unusable values raises it. ``ChatEngine.handle``
    does not: the outcome is ``invalid``, and the receipt has this error as ``error``.

    Attributes:
        path: The place of the fault, as a JSONPath such as ``$.agent.id``; ``$`` is the whole.
        wanted: What the protocol wants there, in words.
        got: What was there, in words: a kind or a size, never what people wrote.
    """

    def __init__(self, path: str, wanted: str, got: str) -> None:
        super().__init__(path, wanted, got)
        self.path = path
        self.wanted = wanted
        self.got = got

    def __str__(self) -> str:
        return f"{self.path}: wanted {self.wanted}, got {self.got}"

    def under(self, parent: str) -> "InvalidEvent":
        """Return this error as seen from the object that holds the event at the path *parent*."""
        return InvalidEvent(parent + self.path[1:], wanted=self.wanted, got=self.got)


class InvalidArgument(SermoError, ValueError):
    """The calling code passed an argument that can't be used; nothing was done.

    It is also a ``ValueError``.

    Attributes:
        argument: The name of the argument.
        wanted: What it has to be, in words.
        got: The value that was passed.
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

    Only a changed table raises it, when it is compiled.

    Attributes:
        cell: The row or cell at fault, such as ``agent_done in bot``.
        problem: What is wrong with it, in words.
    """

    def __init__(self, cell: str, problem: str) -> None:
        super().__init__(cell, problem)
        self.cell = cell
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.cell}: {self.problem}"


class MessageConflict(SermoError):
    """A message id was handed in before on the same queue, with another event.

    Nothing was written. ``ChatEngine.handle`` raises it; ``handle_many`` puts it into the receipt
    as ``error``, where the outcome is ``conflict``. Message ids have to be unique on their queue.

    Attributes:
        direction: The name of the queue: ``inbound``, ``outbound`` or ``internal``.
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
    """The database refused.

    Nothing of what was asked for was written, unless it is a :class:`CommitUnknown`.

    Attributes:
        reason: What the database said, without the statement and its values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class SchemaNotReady(StoreError):
    """The tables of sermo_fsm are missing, or belong to another release.

    Attributes:
        current: The revision of the tables; None if there are none.
        wanted: The revision that this release works with.
        remedy: What to do about it, in words.
    """

    def __init__(self, current: str | None, wanted: str, remedy: str) -> None:
        state = "has no sermo_fsm tables" if current is None else f"is at revision {current}"
        super().__init__(f"the database {state}, this release needs revision {wanted}: {remedy}")
        self.args = (current, wanted, remedy)  # what pickle makes it from again
        self.current = current
        self.wanted = wanted
        self.remedy = remedy


class StoreBusy(StoreError):
    """Another connection held a lock for too long, or the database ended a deadlock.

    Nothing was written. Try again later. In your own transaction, roll back and repeat all of it.
    """


class LostRace(StoreError):
    """Another writer was faster, as a unique constraint or the isolation of transactions shows.

    Nothing was written. Try again later. In your own transaction, roll back and repeat all of it.
    """


class StoreUnavailable(StoreError):
    """The database can't be reached, or the connection was lost before the commit.

    Nothing was written. Try again later.
    """


class ForkedEngine(StoreError):
    """The host's SQLAlchemy engine was made in the parent of this process, before a fork.

    Its connections belong to the parent: answers would go to the wrong process. Nothing was sent.
    Call ``engine.dispose(close=False)`` in the child, or make the engine there. An engine that a
    ``ChatEngine`` made from a URL needs nothing: it forgets its connections by itself.
    """


class CommitUnknown(StoreError):
    """The connection was lost during the commit: either everything was written, or nothing.

    Hand in the same events again with the same message ids. Those that were written come back as
    ``duplicate``. An event without a message id may then be recorded twice.
    """
