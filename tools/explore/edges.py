"""Where the order of reading may matter to a whole stream, and why: the edges of a chat.

In a live chat it never does, between the customer and the others. But where a chat begins and ends
is decided by what was read so far.

The exceptions in :mod:`sermo_fsm.proof.law` are about two events alone, and exact: these pairs and
no others. A stream goes on after the two, and what they left behind may show later or never. So
here it is only said what lies between the two where the end was decided. Each of those exceptions
lies at one of these edges, as long as the queues keep the order of receiving; a test holds both
lists together.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from sermo_fsm.core.machine import State
from tools.explore.space import Node
from tools.explore.streams import Step

__all__ = ["REASONS", "Edge", "Fork", "edge_of"]


class Edge(StrEnum):
    """What lies between two messages whose order mattered."""

    OPENING = "opening"
    CLOSE = "close"
    AFTER_CLOSE = "after the close"
    DEADLINE = "deadline"
    SAME_SIDE = "same side"


REASONS: Final[Mapping[Edge, str]] = {
    Edge.OPENING: "what is read first says from when the chat is; or it opens none, and is a stray",
    Edge.CLOSE: "closed is final: what is read after the close can move the chat no more",
    Edge.AFTER_CLOSE: "what is read first decides where and with whom the next chat begins",
    Edge.DEADLINE: "what is not the customer's proves nothing of a deadline, and may go before it",
    Edge.SAME_SIDE: "both serve, on two queues: the law is about the customer's and one of theirs",
}
"""Every edge at which the end may depend on the order of reading. There is no other."""


@frozen
class Fork:
    """Where it was decided: up to here either end was possible, after one of the two only one."""

    edge: Edge | None
    """None where the chat was live before and after: then the law is broken."""
    one: Step
    other: Step | None
    """None for nothing more, at the end of a stream."""
    again: bool
    """The one had been read before."""

    @property
    def words(self) -> str:
        """The one, in words."""
        return f"again {self.one}" if self.again else str(self.one)

    def __str__(self) -> str:
        again = "again " if self.again else ""
        other = self.other.trigger if self.other else "nothing more"
        return f"{self.edge or 'live'}: {again}{self.one.trigger}, {other}"


def edge_of(
    before: Node, after: Iterable[Node], *, again: bool = False, same_side: bool = False
) -> Edge | None:
    """What lies between the database *before* two steps, and those *after* one or both.

    Where one of them comes *again*, only a deadline may. Where both serve, on the *same side*,
    nothing has to.
    """
    if not before.chats:
        return None if again else Edge.OPENING
    live = before.chats[-1]
    if live.state == State.CLOSED:
        return None if again else Edge.AFTER_CLOSE
    closed = [
        chat
        for node in after
        for chat in node.chats
        if chat.ordinal == live.ordinal and chat.state == State.CLOSED
    ]
    if not closed:
        return Edge.SAME_SIDE if same_side else None
    if any(chat.kept_state for chat in closed):
        return Edge.DEADLINE
    return None if again else Edge.CLOSE
