"""The errors that this library raises on purpose.

::

    SermoError
    ├── InvalidEvent       an event breaks the protocol; says where, and what was wanted
    ├── InvalidArgument    the calling code passed something unusable (also a ValueError)
    ├── InvalidTable       the rules of the machine contradict themselves
    ├── MessageConflict    a message id was used for two different events
    ├── ChatStillLive      a person is not erased in the middle of a chat
    ├── PersonHeld         a person is held back, and not erased
    ├── RedactionFailed    the host's redact= raised, or returned no text
    └── StoreError         the database refused; nothing was written, except after CommitUnknown
        ├── SchemaNotReady    the tables are missing, older or newer than this release
        ├── UnusableDatabase  it does not exist, lets nobody in, or can't hold every text
        ├── StoreBusy         another connection held a lock for too long; try again
        ├── LostRace          another writer was faster; try again
        ├── StoreUnavailable  the database can't be reached; try again
        ├── SealingFailed     the host's seal= or open= raised, or returned no bytes
        ├── ForkedEngine      the host's engine came along from the parent process
        ├── WrongEventLoop    the connections of the engine belong to another event loop
        └── CommitUnknown     the connection was lost during the commit; try again with
                              the same message ids

Errors carry fields, not only words. They never hold what was in an event. An ``InvalidArgument``
holds what the calling code passed.
"""

from datetime import datetime
from typing import Any, ClassVar

__all__ = [
    "ChatStillLive",
    "CommitUnknown",
    "ForkedEngine",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidTable",
    "LostRace",
    "MessageConflict",
    "PersonHeld",
    "RedactionFailed",
    "SchemaNotReady",
    "SealingFailed",
    "SermoError",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
    "UnusableDatabase",
    "WrongEventLoop",
]


class SermoError(Exception):
    """The base class of every error that this library raises on purpose."""


class InvalidEvent(SermoError):
    """An event, or the envelope around it, breaks the protocol.

    ``ChatEngine.handle`` does not raise it: the outcome is ``invalid``, and the receipt has this
    error as ``error``. An unusable event that was made in Python is an ``InvalidArgument``.

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
        got = self.got.isoformat() if isinstance(self.got, datetime) else repr(self.got)
        return f"{self.argument}: wanted {self.wanted}, got {got}"


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


class RedactionFailed(SermoError):
    """The host's ``redact=`` raised, or returned what is no text. Nothing was written.

    The text that it was given is quoted nowhere, and so is what it raised, which may quote it.

    Attributes:
        what: What it did: ``raised ValueError at names.py:12``, or ``returned null, not a str``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"redact= {self.what}; nothing was written. It has to return a str for every text"


class ChatStillLive(SermoError):
    """The person who was to be erased has a live chat; nothing was written.

    Erase later, or with ``even_live=True``, which closes the chat first.

    Attributes:
        until: The moment at which the chat closes by itself if the customer is silent (aware); None
            if it never does.
    """

    def __init__(self, until: datetime | None) -> None:
        super().__init__(until)
        self.until = until

    def __str__(self) -> str:
        until = (
            "until somebody closes it" if self.until is None else f"until {self.until.isoformat()}"
        )
        return f"the chat of this person lives, as far as is known {until}; nothing was erased"


class PersonHeld(SermoError):
    """The person who was to be erased is held back; nothing was written.

    ``ChatEngine.release`` ends that.

    Attributes:
        since: Since when (aware).
        reason: Why, as the code that was given.
        by: Who said so, by the name that was given; None if none was.
    """

    def __init__(self, since: datetime, reason: str, by: str | None) -> None:
        super().__init__(since, reason, by)
        self.since = since
        self.reason = reason
        self.by = by

    def __str__(self) -> str:
        by = "" if self.by is None else f" by {self.by}"
        return (
            f"this person has been held back since {self.since.isoformat()}{by} ({self.reason}); "
            "nothing was erased"
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
        current: The revision of the tables; None if there are none. If a column is missing, the
            words ``of another release``: nobody has asked which.
        wanted: The revision that this release works with.
        remedy: What to do about it, in words.
    """

    UNASKED: ClassVar = "of another release"

    def __init__(self, current: str | None, wanted: str, remedy: str) -> None:
        known = {None: "has no sermo_fsm tables", self.UNASKED: f"has tables {self.UNASKED}"}
        state = known.get(current, f"is at revision {current}")
        super().__init__(f"the database {state}, this release needs revision {wanted}: {remedy}")
        self.args = (current, wanted, remedy)  # what pickle makes it from again
        self.current = current
        self.wanted = wanted
        self.remedy = remedy


class UnusableDatabase(StoreError):
    """The database does not exist, refuses this user, or can't hold every text.

    Nothing was written. Trying again is no use: the message says what to change.
    """


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


class SealingFailed(StoreError):
    """The host's ``seal=`` or ``open=`` raised, or returned what is no bytes.

    Nothing was written. A key service that can't be reached is one reason: then try again. What was
    to be sealed is quoted nowhere, and so is what the function raised, which may quote it.

    Attributes:
        hook: ``seal`` or ``open``.
        what: What it did, such as ``raised TimeoutError``.
    """

    def __init__(self, hook: str, what: str) -> None:
        super().__init__(
            f"{hook}= {what}; nothing was written. Is it the right key, and is its service up?"
        )
        self.args = (hook, what)  # what pickle makes it from again
        self.hook = hook
        self.what = what


class ForkedEngine(StoreError):
    """The host's SQLAlchemy engine was made in the parent of this process, before a fork.

    Its connections belong to the parent: answers would go to the wrong process. Nothing was sent.
    Call ``engine.dispose(close=False)`` in the child, or make the engine there. An engine that a
    ``ChatEngine`` made from a URL needs nothing: it forgets its connections by itself. Likewise for
    a connection that is handed in by ``connection=``, and for rows of ``stories()`` that the parent
    has begun to read: connect in the child, and read them anew.
    """


class WrongEventLoop(StoreError):
    """An ``AsyncChatEngine`` was called in another event loop than before.

    The connections in its pool belong to the first one; nothing was sent. Make an engine in each
    loop, or close the engine at the end of each (of the host's engine ``await engine.dispose()``).
    The host's engine with ``poolclass=NullPool`` keeps no connections, and works in any number of
    loops once its first call has ended.
    """


class CommitUnknown(StoreError):
    """The connection was lost during the commit: either everything was written, or nothing.

    Likewise where a ``within_transaction`` hook has ended the transaction, by a commit, a rollback
    or a statement that MySQL and MariaDB commit at once (``CREATE TABLE``).
    Hand in the same events again with the same message ids. Those that were written come back as
    ``duplicate``. An event without a message id may then be recorded twice.
    """
