"""The machine: which states a chat has, and what every trigger does in each of them.

The law
=======

*The order of reading does not matter, only the order of receiving.*

The two queues have no order between each other. A reader sees them interleaved in any way, while
each queue keeps its own order. So in every live state, for every pair of an inbound and an outbound
trigger, with either received first, both orders of reading must end in the same state.

The theory
==========

The table. ``RULES`` has a cell for every trigger in every live state: it stays, it is ignored, or
it moves. Inbound triggers hardly move anything, because whatever they moved, an outbound trigger
that was received earlier and is read later would have to find unmoved. A customer's first words
give the chat to the bot, which nothing outbound contradicts; the customer's leaving closes it,
which nothing outbound survives. ``closed`` is final, so it has no cells.

The guard. One kind of cell would break the law: an event by which an agent ends the chat, and the
customer's last words, which were received later and may be read earlier. Such a cell closes the
chat *unless* the customer wrote later; then the bot gets it. The guard goes by receive times alone,
so it holds or does not hold in either order of reading.

Ownership. The protocol carries no session id, so before the table decides, ``ownership`` decides
whose event it is: the live session's, the last closed one's, a new one's, or nobody's.

The kept state. The customer's side dies without a word, so the clock closes a chat by a guess. A
session that it closed keeps the state it was taken from, late events go on moving that state by the
same table, and a customer who comes back soon resumes from there.

What this does not cover. At the edges of a chat (around its opening, after a close, across a
deadline) a reader who meets the two events the other way round may give one of them to another
chat. Those pairs are declared, counted and explained in :mod:`sermo_fsm.proof.law`. Two events of
the same queue, and two queues of those who serve, have the order in which they are read. What an
event leaves behind besides the state (times, the agent, the place in the queue) is in
``session_update``.

Everything that decides a transition is in this file. ``sermo-fsm check`` proves the law on every
build. After changing a cell run ``make docs``: the README's table and the pictures follow.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

from sermo_fsm.errors import InvalidTable
from sermo_fsm.protocol.events import Trigger

if TYPE_CHECKING:
    import transitions

__all__ = [
    "LIVE",
    "NO_EFFECT",
    "NO_GUARD",
    "RULES",
    "TABLE",
    "Cell",
    "Effect",
    "Guard",
    "State",
    "StateName",
    "build_machine",
    "compile_rules",
    "shared_machine",
]


class State(StrEnum):
    """Whose turn it is in a chat (docs/design.md, section 6).

    Attributes:
        OPEN: The customer is there, and nobody serves them yet.
        BOT: The bot has the chat.
        QUEUED: The customer waits in a queue for an agent.
        WITH_AGENT: A human agent has the chat.
        CLOSED: The chat is over; nothing reopens it.
    """

    __hash__ = str.__hash__  # Enum's own is written in Python, and this is the hot path

    OPEN = "open"
    BOT = "bot"
    QUEUED = "queued"
    WITH_AGENT = "with_agent"
    CLOSED = "closed"


StateName = Literal["open", "bot", "queued", "with_agent", "closed"] | State
"""What a caller may write for a state: anything else is found by a type checker."""

LIVE: Final = (State.OPEN, State.BOT, State.QUEUED, State.WITH_AGENT)
"""The states of a live chat. ``closed`` is final: nothing reopens a session."""

# "=" stays.  "×" is ignored: it has no meaning there.  A name moves to that state.
# "name unless guard: other" moves to the other state where the guard holds.
RULES: Final[tuple[tuple[str, ...], ...]] = (
    # trigger              open          bot           queued        with_agent
    ("customer_text",      "bot",        "=",          "=",          "="),
    ("heartbeat",          "=",          "=",          "=",          "="),
    ("typing",             "=",          "=",          "=",          "="),
    ("start",              "=",          "=",          "=",          "="),
    ("messages_read",      "=",          "=",          "=",          "="),
    # Also what a reload sends: closing here would cost a waiting customer the place in the queue.
    ("client_unload",      "=",          "=",          "=",          "="),
    ("client_left",        "closed",     "closed",     "closed",     "closed"),
    ("bot_text",           "bot",        "=",          "=",          "="),
    ("agent_text",         "with_agent", "with_agent", "with_agent", "="),
    ("unattributed_text",  "=",          "=",          "=",          "="),
    ("system_text",        "=",          "=",          "=",          "="),
    # Only hints that an agent has picked the chat up; the first agent_text says so.
    ("typing_on",          "=",          "=",          "=",          "="),
    ("typing_off",         "=",          "=",          "=",          "="),
    # While with an agent it is a transfer: the customer has just been told of the line.
    ("queue_number",       "queued",     "queued",     "=",          "queued"),
    ("claim_session",      "with_agent", "with_agent", "with_agent", "="),
    # Closes only what an agent has; and who had not read the last word leaves it to the bot.
    ("agent_done",         "×",          "×",          "×",
     "closed unless customer_wrote_later: bot"),
    # Ends nothing: what the customer writes next is for the bot.
    ("agent_released",     "×",          "×",          "×",          "bot"),
    # Ends only what the agent application has, and leaves the last word to the bot likewise.
    ("end_session",        "×",          "×",
     "closed unless customer_wrote_later: bot",
     "closed unless customer_wrote_later: bot"),
    # Nobody will come from that queue, but the customer is there and only the bot can speak.
    ("platform_closed",    "=",          "=",          "bot",        "="),
    ("handover_to_bot",    "bot",        "=",          "bot",        "bot"),
    # While with an agent it is an echo: the agent took over before the handover was read.
    ("handover_to_agent",  "queued",     "queued",     "=",          "×"),
    # While with an agent it is a transfer, which the agents' programs send.
    ("handover_to_queue",  "queued",     "queued",     "=",          "queued"),
    ("expire",             "closed",     "closed",     "closed",     "closed"),
    ("close",              "closed",     "closed",     "closed",     "closed"),
    ("unknown",            "=",          "=",          "=",          "="),
)  # fmt: skip

NO_EFFECT: Final[Mapping[Trigger, str]] = {
    Trigger.HEARTBEAT: "says that the customer is there, and lengthens the deadline",
    Trigger.TYPING: "says that the customer is there, and lengthens the deadline",
    Trigger.MESSAGES_READ: "says that the customer is there, and lengthens the deadline",
    Trigger.CLIENT_UNLOAD: "may be a reload, so it only shortens the deadline",
    Trigger.START: "says that the customer is there, and what the page was opened with",
    Trigger.UNATTRIBUTED_TEXT: "proves nothing about who serves",
    Trigger.SYSTEM_TEXT: "is said by nobody who could serve",
    Trigger.TYPING_ON: "only hints that an agent is there; the first agent_text says so",
    Trigger.TYPING_OFF: "ends what only hinted that an agent is there",
    Trigger.UNKNOWN: "is for somebody else who reads the same queue",
}
"""The triggers that move a chat nowhere, and why they stand in the table all the same."""


class Guard(StrEnum):
    """A fact about the session and the event that a cell may ask for."""

    __hash__ = str.__hash__

    CUSTOMER_WROTE_LATER = "customer_wrote_later"
    """A customer_text of this chat was received later than the event at hand.

    In a resumed session those of the one before count too.
    """


class Effect(StrEnum):
    """What a trigger does in a state."""

    MOVE = "→"
    STAY = "="
    IGNORE = "×"


NO_GUARD: Final[AbstractSet[Guard]] = frozenset()


@frozen
class Cell:
    """One cell of the table. Where *guard* holds, *otherwise* is where it goes instead of *to*."""

    effect: Effect
    to: State
    guard: Guard | None = None
    otherwise: State | None = None

    def target(self, holding: AbstractSet[Guard] = NO_GUARD) -> State:
        """Where it goes while exactly the guards in *holding* hold."""
        if self.otherwise is not None and self.guard in holding:
            return self.otherwise
        return self.to


def _state(name: str, where: str) -> State:
    try:
        return State(name)
    except ValueError:
        raise InvalidTable(where, f"there is no state {name!r}") from None


def _cell(text: str, state: State, where: str) -> Cell:
    if text in (Effect.STAY, Effect.IGNORE):
        return Cell(Effect(text), state)
    target, _, condition = text.partition(" unless ")
    to = _state(target, where)
    if to is state:
        raise InvalidTable(where, "moves to where it is; write '='")
    if not condition:
        return Cell(Effect.MOVE, to)
    name, _, other = condition.partition(": ")
    try:
        guard = Guard(name)
    except ValueError:
        raise InvalidTable(where, f"there is no guard {name!r}") from None
    otherwise = _state(other, where)
    if otherwise is state:
        raise InvalidTable(where, f"moves to where it is while {guard} holds")
    return Cell(Effect.MOVE, to, guard, otherwise)


def compile_rules(rules: Iterable[tuple[str, ...]]) -> Mapping[tuple[State, Trigger], Cell]:
    """*rules* as a lookup, total over live states and triggers.

    Raises:
        InvalidTable: An unknown name, a cell left out, a cell given twice.
    """
    table: dict[tuple[State, Trigger], Cell] = {}
    for name, *cells in rules:
        try:
            trigger = Trigger(name)
        except ValueError:
            raise InvalidTable(name, "there is no such trigger") from None
        if (LIVE[0], trigger) in table:
            raise InvalidTable(name, "is given twice")
        if len(cells) != len(LIVE):
            raise InvalidTable(name, f"has {len(cells)} cells for {len(LIVE)} states")
        for state, text in zip(LIVE, cells, strict=True):
            table[state, trigger] = _cell(text, state, f"{name} in {state}")
    missing = [trigger for trigger in Trigger if (LIVE[0], trigger) not in table]
    if missing:
        raise InvalidTable(", ".join(missing), "is left out")
    return table


def build_machine(table: Mapping[tuple[State, Trigger], Cell]) -> "transitions.Machine":
    """Build a :class:`transitions.Machine` from *table*, without models.

    Drive it with ``machine.events[trigger].trigger(subject)``. The subject needs a ``state``, and
    in ``holding`` the guards that hold. The call returns true if the table says ``→`` or ``=``,
    false if it says ``×``.
    """
    import transitions

    machine = transitions.Machine(
        model=None,
        states=[state.value for state in State],
        initial=State.OPEN.value,
        auto_transitions=False,
        ignore_invalid_triggers=True,
        send_event=True,
    )
    for (state, trigger), cell in table.items():
        name, source = trigger.value, state.value
        if cell.effect is Effect.STAY:
            machine.add_transition(name, source, None)
        elif cell.effect is Effect.MOVE:
            if cell.guard is not None and cell.otherwise is not None:
                holds = partial(_holds, cell.guard)
                machine.add_transition(name, source, cell.otherwise.value, conditions=holds)
            machine.add_transition(name, source, cell.to.value)  # the first that may, does
    return machine


def _holds(guard: Guard, data: "transitions.EventData") -> bool:
    subject: Any = data.model
    return guard in subject.holding


TABLE: Final = compile_rules(RULES)
"""The hot path: (live state, trigger) → cell."""


@cache
def shared_machine() -> "transitions.Machine":
    """``TABLE`` as a ``transitions`` machine: built on the first call, and it holds no chat."""
    return build_machine(TABLE)
