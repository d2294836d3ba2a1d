"""One message: all that is known of an event from the moment it is accepted.

``envelope.arrive()`` makes it, and everything after that only reads it: the machine, the storage
and the receipt. What can't be accepted is a :class:`Rejected`, which the history keeps as a stray.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from sermo_fsm.errors import InvalidEvent
from sermo_fsm.protocol.events import Direction, Event, Trigger
from sermo_fsm.protocol.stored_form import Image

__all__ = ["Message", "MessageKey", "Rejected", "UserKey"]

UserKey = tuple[str, str]
"""A user: platform id and user id."""

MessageKey = tuple[Direction, str]
"""A message id on its queue."""


class Message(Struct, frozen=True, gc=False):
    """One valid event with the circumstances in which it came.

    Attributes:
        direction: The queue.
        event: The event, typed and checked.
        trigger: What it means to the machine.
        received_at: When the broker received it, in UTC.
        message_id: The broker's id of the message; None if there was none.
        body: The event as the history keeps it: without unsent text, its image described.
        image: The image, which is stored apart.
        user: The user it is about; None if it does not say so in a usable way.
        key: Its message id on its queue; None if it has no id.
    """

    direction: Direction
    event: Event
    trigger: Trigger
    received_at: datetime
    message_id: str | None = None
    body: Mapping[str, Any] = {}
    image: Image | None = None
    user: UserKey | None = None
    key: MessageKey | None = None

    def __repr__(self) -> str:
        return f"Message({self.direction}, {self.event!r}, {self.received_at}, {self.message_id!r})"


class Rejected(Struct, frozen=True):
    """What is no event of the protocol. Its message id is not remembered.

    Attributes:
        error: What is wrong with it.
        raw: At most 64 KiB of what came; None where it readably was a typing event.
        received_at: When it was received, in UTC.
        direction: The queue; None if a broken envelope did not say.
    """

    error: InvalidEvent
    raw: str | None
    received_at: datetime
    direction: Direction | None = None

    def __repr__(self) -> str:
        return f"Rejected({self.direction}, {self.error}, {self.received_at})"
