"""The declared exceptions to the law of reading, all at the edges of a chat.

The law stands at the head of :mod:`sermo_fsm.core.machine`: *the order of reading does not matter,
only the order of receiving.* It covers what happens inside one chat. If a chat begins or ends
between an inbound and an outbound event, reading them in the other order may give one of them to
another chat, and nothing is ever taken back.

``DECLARED_EXCEPTIONS`` lists every case in which that leaves the user in another state. Each
exception says exactly which pairs of events end differently, and ``sermo-fsm check`` tries every
pair. :mod:`tools.explore.edges` says less precisely, of whole streams, what may lie between two
messages whose order matters.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import frozen

from sermo_fsm.proof import event_pair as pair
from sermo_fsm.proof.event_pair import (
    DONE,
    GOODBYE,
    MOVES,
    NO_RETURN,
    OPENS,
    RETURNS,
    SERVES,
    EventPair,
)
from sermo_fsm.protocol.events import Trigger

__all__ = ["DECLARED_EXCEPTIONS", "DeclaredException"]


@frozen
class DeclaredException:
    """A class of event pairs whose order of reading decides the state of the chat.

    Attributes:
        name: As ``sermo-fsm check`` prints it.
        reason: Why the order has to decide, in full sentences.
        inbound: The triggers of the inbound event.
        outbound: The triggers of the outbound event.
        covers: Whether a pair of these triggers ends differently.
    """

    name: str
    reason: str
    inbound: AbstractSet[Trigger]
    outbound: AbstractSet[Trigger]
    covers: Callable[[EventPair], bool]


DECLARED_EXCEPTIONS: Final = (
    DeclaredException(
        "the last word, at the same instant or before the opening",
        "The customer writes, and the chat is ended. If both were received at the same instant, "
        "neither was first, so the order of reading decides whether the agent had seen the last "
        "word. If both were received before the live chat opened, the text later, then a chat "
        "that was ended first was closed at its opening, and the text comes too late.",
        frozenset({Trigger.CUSTOMER_TEXT}),
        DONE,
        pair.last_word_undecided,
    ),
    DeclaredException(
        "agent_done or end_session, while the customer comes back",
        "The clock closed a chat in a state that this trigger closes, and the customer is back. "
        "Read first, it ends the old chat, and there is nothing left to resume; read after, it "
        "ends the resumed one, or means nothing to a new one.",
        RETURNS,
        DONE,
        pair.done_as_customer_returns,
    ),
    DeclaredException(
        "client_left, around the opening by the other side",
        "There is no live chat, and the bot or an agent opens one. A client_left that is read "
        "first finds no chat that it could close; one that is read after closes the new one.",
        GOODBYE,
        OPENS,
        pair.left_around_opening,
    ),
    DeclaredException(
        "client_left, after agent_done",
        "What an agent sends after agent_done is the next chat, unless the customer is known to "
        "have left. Who has not read the client_left yet can not know.",
        GOODBYE,
        SERVES,
        pair.left_after_done,
    ),
    DeclaredException(
        "client_left, and linger over",
        "The customer left, and for as long as linger nobody spoke. What then comes from the "
        "other side opens a chat; but read first, it finds the old one live and is closed with it.",
        GOODBYE,
        OPENS,
        pair.linger_over_after_goodbye,
    ),
    DeclaredException(
        "past the deadline, and linger over",
        "Only the customer's own queue can prove a deadline, for an outbound event knows nothing "
        "of what waits there. Read first, it finds the old chat live and ends with it; read after "
        "the proof, it opens a chat, or moves the one that the customer has opened.",
        RETURNS | NO_RETURN | GOODBYE,
        OPENS,
        pair.linger_over_after_deadline,
    ),
    DeclaredException(
        "past the deadline of the chat that the other side opens",
        "The same with a chat that has yet to be opened: the outbound event opens it, and the "
        "customer's event comes when it is already over. Read the other way round, the deadline "
        "is not reached, for nobody can prove it any more.",
        RETURNS | NO_RETURN,
        OPENS,
        pair.past_deadline_of_opened_chat,
    ),
    DeclaredException(
        "lingering, while the customer opens the next chat",
        "While the old chat lingers, what the other side sends is its last word. Once the "
        "customer has opened the next chat, what is received from then on is the new one's.",
        RETURNS,
        OPENS,
        pair.lingers_as_customer_opens,
    ),
    DeclaredException(
        "resumed or opened",
        "The customer comes back while the old chat can be resumed, the other side speaks when it "
        "can not. Whichever is read first decides whether the chat goes on where it was, or from "
        "the beginning.",
        RETURNS,
        OPENS,
        pair.resumed_or_opened,
    ),
    DeclaredException(
        "two chats back",
        "The outbound event is late by a whole chat: it belongs to the one before. Once the "
        "customer has resumed the chat in between, the one before is out of reach, and all "
        "that comes late is the resumed one's.",
        RETURNS,
        MOVES,
        pair.two_chats_back,
    ),
)
"""No pair is covered by two of them."""
