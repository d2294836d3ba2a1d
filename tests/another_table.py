"""The machine as another release may have it, and traffic to look at with it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from sermo_fsm import ChatEngine, State, Trigger
from sermo_fsm.core.machine import RULES as TODAY
from sermo_fsm.core.machine import TABLE, compile_rules
from sermo_fsm.core.ownership import RULES, Rule
from tests.storage.test_model import INBOUND, OUTBOUND
from tests.support import PLATFORM, START, at

Change = tuple[str, str, str]
"""A trigger, a live state, and what the table says of it then."""

USERS = ("anna", "bo", "cia")
STEPS = (0, 0, 1, 5, 30, 59, 60, 61, 300, 900, 1799, 1800, 1801, 3601)
BACK = (0, 0, 0, 0, 1, 20, 100, 2000)


@contextmanager
def another_table(*changes: Change) -> Iterator[None]:
    """As long as this lasts the table says so."""
    rules = {name: dict(zip(list(State), cells, strict=False)) for name, *cells in TODAY}
    for trigger, state, words in changes:
        rules[trigger][State(state)] = words
    table = compile_rules([(name, *cells.values()) for name, cells in rules.items()])
    with pytest.MonkeyPatch.context() as patch:
        for place, cell in table.items():
            patch.setitem(cast("dict[Any, Any]", TABLE), place, cell)
        yield


@contextmanager
def another_rule(trigger: Trigger, *rules: Rule) -> Iterator[None]:
    """As long as this lasts *trigger* does so without a live chat: for each ending."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cast("dict[Any, Any]", RULES), trigger, rules)
        yield


Sent = tuple[str, dict[str, Any], datetime]


def random_traffic(seed: int, events: int) -> list[Sent]:
    """Anything, in any order and at any time."""
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    now, sent = START, []
    for _ in range(events):
        now += timedelta(seconds=dice.choice(STEPS))
        direction = dice.choice(("inbound", "outbound"))
        event = dice.choice(INBOUND if direction == "inbound" else OUTBOUND)
        received_at = now - timedelta(seconds=dice.choice(BACK))
        sent.append((direction, {**event, "userId": dice.choice(USERS)}, received_at))
    return sent


def hand_in(
    chats: ChatEngine, sent: list[Sent], *, message_ids: bool = False, platform: str = PLATFORM
) -> None:
    """All of it, in one go."""
    chats.handle_many(
        [
            {
                "direction": direction,
                "event": {**event, "platformId": platform},
                "receivedAt": received_at.isoformat(),
                **({"messageId": f"m-{number}"} if message_ids else {}),
            }
            for number, (direction, event, received_at) in enumerate(sent)
        ]
    )


def script(user: str, *steps: tuple[float, str, dict[str, Any]]) -> list[Sent]:
    """What one customer's chat was, by seconds since the start."""
    return [(direction, {**event, "userId": user}, at(when)) for when, direction, event in steps]
