"""What is proved of the single step: it does what the table says, and goes by what it may go by."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Any, Final

from attrs import evolve

from sermo_fsm.core.advance import Visits, expire
from sermo_fsm.core.machine import LIVE, NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.core.session import ChatSession, Outcome
from sermo_fsm.proof.chats import Situation
from sermo_fsm.proof.report import Check, check_of
from sermo_fsm.proof.situation_classes import BEGIN, MESSAGES, Ground, Place, Reading
from sermo_fsm.protocol.events import Direction, Trigger, Who
from sermo_fsm.protocol.message import Message

__all__ = ["BESIDE", "facts", "final", "step"]

_Case = tuple[Situation, Message, datetime]


def _cases(ground: Ground, situation: Situation) -> Iterator[_Case]:
    """The situation with each message, received in each span of time."""
    for message, at in product(MESSAGES, ground.spans(situation.place)):
        yield situation, message, at


def step(ground: Ground, among: Iterable[Situation]) -> Check:
    """The real step does what the table says, with every live chat and every message."""
    lives = [(one, one.live) for one in among if one.live is not None]
    problems: list[str] = []
    for situation, live in lives:
        cases = (case for case in _cases(ground, situation) if _its_own(live, *case))
        problems += [_departure(ground, live, *case) for case in cases]
        if live.expires_at is not None:
            problems.append(_clock(situation, live))
    reached = {live.state for _, live in lives}
    problems += [f"no events lead to {state}" for state in LIVE if state not in reached]
    summary = (
        f"{len(lives)} live chats × ({len(MESSAGES)} messages in every span of time, and the "
        "clock): advance does what the table says"
    )
    return check_of("step", summary, problems)


def _its_own(live: ChatSession, situation: Situation, message: Message, at: datetime) -> bool:
    """The event is the live chat's, and finds it live."""
    if live.expires_at is not None and at >= live.expires_at:
        return message.direction is not Direction.INBOUND
    return situation.closed is None or live.resumed or at >= live.opened_at


def _clock(situation: Situation, live: ChatSession) -> str:
    to, wanted = expire(live)[0].state, TABLE[live.state, Trigger.EXPIRE].to
    return "" if to is wanted else f"the clock in {situation.name}: {to}, not {wanted}"


_OUTCOMES: Final = dict(zip(Effect, (Outcome.MOVED, Outcome.STAYED, Outcome.IGNORED), strict=True))


def _departure(
    ground: Ground, live: ChatSession, situation: Situation, message: Message, at: datetime
) -> str:
    """Where the real step leaves the table."""
    trigger = message.trigger
    wrote_later = live.customer_text_at is not None and live.customer_text_at > at
    cell = TABLE[live.state, trigger]
    to = cell.target({Guard.CUSTOMER_WROTE_LATER} if wrote_later else NO_GUARD)
    outcome = Outcome.UNKNOWN if trigger is Trigger.UNKNOWN else _OUTCOMES[cell.effect]
    reading = ground.read(situation.place, message, at)
    if (reading.outcome, reading.owner, reading.place.state) == (outcome, live.ordinal, to):
        return ""
    words = f"{trigger} in {situation.name}: the table says {outcome} to {to}"
    return f"{words}, advance {reading.outcome} to {reading.place.state}"


def final(ground: Ground, among: Iterable[Situation]) -> Check:
    """Nothing reopens a chat, or changes how it ended."""
    ended = [(one, one.closed) for one in among if one.closed is not None]
    problems = [
        _reopening(ground, closed, *case) for one, closed in ended for case in _cases(ground, one)
    ]
    summary = (
        f"{len(ended)} closed chats × {len(MESSAGES)} messages in every span of time: "
        "none moves or opens one again"
    )
    return check_of("final", summary, problems)


def _reopening(
    ground: Ground, closed: ChatSession, situation: Situation, message: Message, at: datetime
) -> str:
    then = ground.read(situation.place, message, at).place.visits
    chats = [chat for chat in (then.live, then.closed) if chat and chat.ordinal <= closed.ordinal]
    ends = [(chat.state, chat.closed_at, chat.close_reason) for chat in chats]
    # A chat that closes takes the place of the one before, which no event can reach any more.
    if ends in ([], [(State.CLOSED, closed.closed_at, closed.close_reason)]):
        return ""
    return f"{message.trigger}, received {at}, changes a chat: {situation.name}"


BESIDE: Final[Mapping[str, Any]] = {
    "previous_close_reason": None,
    "since": BEGIN,
    "agent": None,
    "queue_number": 17,
    "queued_at": BEGIN,
    "flow_group_id": "another flow",
    "platform_closed_at": BEGIN,
    "last_seen_at": None,
    "last_read_at": BEGIN,
    "customer_typed_at": None,
    "last_reply_at": BEGIN,
    "last_reply_by": Who.UNKNOWN,
    "rows": 99,
    "effective_at": BEGIN,
    "typing_on_at": BEGIN,
    "typing_ended_at": None,
}
"""All of a chat that the rules do not go by, and what else might stand there."""


def facts(ground: Ground, among: Iterable[Situation]) -> Check:
    """What the rules do not go by changes nothing: that, and no more, makes two places one."""
    chosen = list(among)
    summary = (
        f"{len(chosen)} situations × {len(MESSAGES)} messages in every span of time: "
        f"{len(BESIDE)} fields of a chat decide nothing"
    )
    problems = []
    for one in chosen:
        altered = Place(_altered(one.place.visits))
        problems += [_influence(ground, altered, *case) for case in _cases(ground, one)]
    return check_of("facts", summary, problems)


def _altered(visits: Visits) -> Visits:
    live, closed = (chat and evolve(chat, **BESIDE) for chat in (visits.live, visits.closed))
    return Visits(live, closed)


def _influence(
    ground: Ground, altered: Place, situation: Situation, message: Message, at: datetime
) -> str:
    one, other = (ground.read(place, message, at) for place in (situation.place, altered))
    if _essence(one) == _essence(other):
        return ""
    return f"{message.trigger} in {situation.name}: something beside the rules decides"


def _essence(reading: Reading) -> tuple[Place, int | None, Outcome]:
    return reading.place, reading.owner, reading.outcome
