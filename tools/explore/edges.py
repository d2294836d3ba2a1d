"""The edges of a chat, where the order of reading may decide how a whole stream ends.

In a live chat the order between the customer's queue and another one never matters. But where a
chat begins and ends is decided by what has been read so far.

The exceptions in :mod:`sermo_fsm.proof.law` are about two events alone, and exact. A stream goes on
after the two, and what they left behind may show later or never. So an edge only says what lies
between the two messages that decided the end. Each of those exceptions lies at one of these edges,
as long as the queues keep the order of receiving; a test compares both lists.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from tools.explore.space import DatabaseState
from tools.explore.streams import Action

__all__ = ["REASONS", "ChatEdge", "Fork", "edge_between"]


class ChatEdge(StrEnum):
    """What lies between two messages whose order mattered."""

    OPENING = "opening"
    CLOSE = "close"
    AFTER_CLOSE = "after the close"
    DEADLINE = "deadline"
    SAME_SIDE = "same side"


REASONS: Final[Mapping[ChatEdge, str]] = {
    ChatEdge.OPENING: (
        "what is read first says from when the chat is; or it opens none, and is a stray"
    ),
    ChatEdge.CLOSE: "closed is final: what is read after the close can move the chat no more",
    ChatEdge.AFTER_CLOSE: "what is read first decides where and with whom the next chat begins",
    ChatEdge.DEADLINE: (
        "what is not the customer's proves nothing of a deadline, and may go before it"
    ),
    ChatEdge.SAME_SIDE: (
        "both serve, on two queues: the law is about the customer's and one of theirs"
    ),
}
"""Why the end may depend on the order of reading at each edge. There are no other edges."""


@frozen
class Fork:
    """Two actions of which the first decides: before them either end was possible.

    Attributes:
        edge: What lies between them; None if the chat was live before and after, so that the law
            is broken.
        one: The one action.
        other: The other action; None if the stream can end here instead.
        redelivered: Whether ``one`` is a message that had been read before.
    """

    edge: ChatEdge | None
    one: Action
    other: Action | None
    redelivered: bool

    def describe_one(self) -> str:
        """The one action, in words."""
        return f"again {self.one}" if self.redelivered else str(self.one)

    def __str__(self) -> str:
        again = "again " if self.redelivered else ""
        other = self.other.trigger if self.other else "nothing more"
        return f"{self.edge or 'live'}: {again}{self.one.trigger}, {other}"


def edge_between(
    before: DatabaseState,
    after: Iterable[DatabaseState],
    *,
    redelivered: bool = False,
    same_side: bool = False,
) -> ChatEdge | None:
    """The edge between the database *before* two actions and those *after* one or both of them.

    Args:
        before: The database before the two actions.
        after: The databases after one or both of them.
        redelivered: One of them is a redelivery, which may be decided by a deadline only.
        same_side: Both are of those who serve the customer, so no edge is needed.

    Returns:
        None if there is no edge, so that the law is broken.
    """
    if not before.chats:
        return None if redelivered else ChatEdge.OPENING
    live = before.chats[-1]
    if live.state == State.CLOSED:
        return None if redelivered else ChatEdge.AFTER_CLOSE
    closed = [
        chat
        for node in after
        for chat in node.chats
        if chat.ordinal == live.ordinal and chat.state == State.CLOSED
    ]
    if not closed:
        return ChatEdge.SAME_SIDE if same_side else None
    if any(chat.kept_state for chat in closed):
        return ChatEdge.DEADLINE
    return None if redelivered else ChatEdge.CLOSE
