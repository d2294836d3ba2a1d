"""Traffic as in production: many chats at once, each with a whole life, the same in every run.

Of the events 60 % are heartbeats, 15 % typing, 20 % texts and 5 % the rest. Nobody's deadline is
reached and nothing comes late, so that every contender can be expected to end in the same states.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:  # else --checkout would find the library loaded from here
    from sermo_fsm import QueueName

__all__ = [
    "CHATS",
    "PLATFORM",
    "START",
    "Message",
    "Naming",
    "batches",
    "messages",
    "traffic",
    "whole_lives",
]

CHATS: Final = 500
"""How many chats live at once."""

PLATFORM: Final = "comviq-web"
START: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
"""When the first event was received."""

_BOT: Final = {"id": "bot", "name": "Bot", "type": "bot"}
_AGENTS: Final = [
    {"id": f"agent{number:02}", "name": f"Anders Andersson {number}", "type": "human"}
    for number in range(40)
]
_CUSTOMER_WRITES: Final = (
    "Hej, jag vill ändra faktura 70557076",
    "Ja, det stämmer",
    "Nej, jag har inte fått något SMS än. Kan ni skicka ett nytt till samma nummer?",
    "Tack!",
)
_THEY_WRITE: Final = (
    "Hej! Vad kan jag hjälpa dig med?",
    "Jag skickar ett SMS till dig nu. Svara med koden som står i det, så kan vi gå vidare.",
    "Då är fakturan ändrad, och du får en ny inom två arbetsdagar. Kan jag hjälpa dig med mer?",
)

# How often, and what is said and done beside quiet events. C, B and A are texts of the customer,
# the bot and an agent; there are four of them for each event of another kind.
_LIVES: Final = (
    (5, [*"CBCB", "client_left"]),
    (3, [*"CBCB", "handover_to_agent", "queue_number", *"AC" * 4, "agent_done"]),
    (
        2,
        [
            "start",
            *"CBCB",
            "handover_to_queue",
            "queue_number",
            "claim_session",
            *"AC" * 8,
            "end_session",
        ],
    ),
)
_QUEUES: Final[dict[str, "QueueName"]] = {
    "C": "inbound",
    "start": "inbound",
    "client_left": "inbound",
}
_QUIET: Final = ("heartbeat", "typing")
_HEARTBEATS: Final = 12
_TYPING: Final = 3
"""So many to each event of another kind that is no text."""

_GAP: Final = timedelta(milliseconds=30)
"""Between two events of all chats, so that each has one every 15 seconds."""


class Message(NamedTuple):
    """A message as a consumer gets it from a queue.

    Attributes:
        line: The message with its envelope, as ``sermo-fsm ingest`` reads it.
        direction: The queue.
        body: The event alone.
        message_id: The broker's id of the message.
        received_at: When the broker received it.
        user_id: Whose chat it is about.
        quiet: Whether it leaves no row in the history.
    """

    line: bytes
    direction: "QueueName"
    body: bytes
    message_id: str
    received_at: datetime
    user_id: str
    quiet: bool


Naming = Callable[[random.Random], str]
"""Gives the id of the next customer."""


def _new_customer(dice: random.Random) -> str:
    return f"{dice.getrandbits(48):012x}-c0dd-467b-bd77-7e7685fadf6d"


def messages(
    *, chats: int = CHATS, seed: int = 1, start: datetime = START, naming: Naming = _new_customer
) -> Iterator[Message]:
    """Yield messages without end, in the order in which they were received.

    When a chat is over, another customer begins one. The first chats are half-way through.
    """
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    lives = []
    for _ in range(chats):
        first, *rest = _life(dice, under_way=True)
        lives.append((naming(dice), iter([first, *rest[dice.randrange(len(rest)) :]])))
    now = start
    while True:
        place = dice.randrange(chats)
        user, events = lives[place]
        found = next(events, None)
        if found is None:
            lives[place] = naming(dice), iter(_life(dice))
            continue
        now += _GAP
        yield _message(dice, user, now, *found)


def _life(
    dice: random.Random, *, under_way: bool = False
) -> list[tuple["QueueName", dict[str, Any]]]:
    """The queue and the event of everything that happens in one chat.

    Among chats that are *under_way* at a given moment, those that last longer are more often found.
    """
    often = [weight * (len(words) if under_way else 1) for weight, words in _LIVES]
    ((_, script),) = dice.choices(_LIVES, often)
    agent = dice.choice(_AGENTS)
    told: list[tuple[QueueName, dict[str, Any]]] = [
        (_QUEUES.get(word, "outbound"), _event(word, agent, dice)) for word in script
    ]
    others = sum(len(word) > 1 for word in script)
    quiet = others * (_HEARTBEATS + _TYPING)
    # Anywhere but before the first event and after the last one.
    places = sorted(dice.randrange(1, len(told)) for _ in range(quiet))
    typed = set(dice.sample(range(quiet), others * _TYPING))
    for number in reversed(range(quiet)):
        kind = (
            {"type": "typing", "text": "Hej, jag mitt na"}
            if number in typed
            else {"type": "heartbeat"}
        )
        told.insert(places[number], ("inbound", kind))
    return told


def _event(word: str, agent: dict[str, str], dice: random.Random) -> dict[str, Any]:
    match word:
        case "C":
            return {"type": "text", "text": dice.choice(_CUSTOMER_WRITES)}
        case "B":
            return {"type": "text", "text": dice.choice(_THEY_WRITE), "typing": 1000, "agent": _BOT}
        case "A":
            return {"type": "text", "text": dice.choice(_THEY_WRITE), "agent": agent}
        case "queue_number":
            return {"type": word, "queueNumber": dice.randrange(9)}
        case "claim_session":
            return {"type": word, "agentId": agent["id"]}
        case _:
            return {"type": word}


def _message(
    dice: random.Random, user: str, now: datetime, direction: "QueueName", event: dict[str, Any]
) -> Message:
    message_id = f"{dice.getrandbits(128):032x}"
    sent = {**event, "platformId": PLATFORM, "userId": user}
    envelope = {
        "direction": direction,
        "messageId": message_id,
        "receivedAt": now.isoformat(timespec="milliseconds"),
        "event": sent,
    }
    return Message(
        line=json.dumps(envelope, ensure_ascii=False).encode(),
        direction=direction,
        body=json.dumps(sent, ensure_ascii=False).encode(),
        message_id=message_id,
        received_at=now,
        user_id=user,
        quiet=event["type"] in _QUIET,
    )


def whole_lives(users: int, each: int, start: datetime) -> Iterator[Message]:
    """Yield the messages of *each* chats of *users*, a day apart, without the quiet ones.

    Of every tenth user the last chat is not over yet.
    """
    dice = random.Random(2)  # noqa: S311 - reproducible on purpose
    for number in range(users * each):
        nth, user = divmod(number, users)
        events = [one for one in _life(dice) if one[1]["type"] not in _QUIET]
        if nth == each - 1 and user % 10 == 0:
            events = events[: dice.randrange(1, len(events))]
        now = start + timedelta(days=nth, seconds=user)
        for direction, event in events:
            now += timedelta(seconds=15)
            yield _message(dice, f"u-{user}", now, direction, event)


@cache
def traffic(count: int, *, quiet: bool = True, chats: int = CHATS) -> Sequence[Message]:
    """The first *count* messages, without the quiet ones unless *quiet*."""
    every = messages(chats=chats)
    return tuple(islice((one for one in every if quiet or not one.quiet), count))


def batches(some: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
    """*some* in batches of *size*."""
    return (some[start : start + size] for start in range(0, len(some), size))
