"""Prove a single step: ``advance`` follows the table and reads only the decisive fields."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import product
from typing import Any, Final

from msgspec.structs import replace

from sermo_fsm.core.advance import Visits, expire
from sermo_fsm.core.history import Outcome
from sermo_fsm.core.machine import LIVE, NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.proof.report import Check, check_from_cases
from sermo_fsm.proof.situation_classes import (
    BEGIN,
    MESSAGES,
    SECOND,
    Reading,
    Simulator,
    SituationClass,
)
from sermo_fsm.proof.situations import Situation
from sermo_fsm.protocol.events import Direction, Trigger, Who
from sermo_fsm.protocol.message import Message

__all__ = ["IRRELEVANT_FIELDS", "by_hand", "facts", "final", "step"]

_Case = tuple[Situation, Message, datetime]


def _cases(simulator: Simulator, situation: Situation) -> Iterator[_Case]:
    """Pair the situation with each message, received in each span of time."""
    for message, at in product(MESSAGES, simulator.span_starts(situation.situation_class)):
        yield situation, message, at


def step(simulator: Simulator, situations: Iterable[Situation]) -> Check:
    """Prove that ``advance`` does what the table says, for every live chat and message."""
    lives = [(one, one.live) for one in situations if one.live is not None]
    problems: list[str] = []
    for situation, live in lives:
        cases = (case for case in _cases(simulator, situation) if _finds_live(live, *case))
        problems += [_table_problem(simulator, live, *case) for case in cases]
        if live.expires_at is not None:
            problems.append(_clock_problem(situation, live))
    reached = {live.state for _, live in lives}
    problems += [f"no events lead to {state}" for state in LIVE if state not in reached]
    summary = (
        f"{len(lives)} live chats × ({len(MESSAGES)} messages in every span of time, and the "
        "clock): advance does what the table says"
    )
    return check_from_cases("step", summary, problems)


def _finds_live(live: ChatSession, situation: Situation, message: Message, at: datetime) -> bool:
    """Whether the event belongs to *live*, and no deadline closes *live* first."""
    if live.expires_at is not None and at >= live.expires_at:
        return message.direction is not Direction.INBOUND
    its_own = live.resumed and message.trigger is not Trigger.CLIENT_LEFT
    return situation.closed is None or its_own or at >= live.opened_at


def _clock_problem(situation: Situation, live: ChatSession) -> str:
    to, wanted = expire(live)[0].state, TABLE[live.state, Trigger.EXPIRE].to
    return "" if to is wanted else f"the clock in {situation.name}: {to}, not {wanted}"


# On purpose not taken from the core: a proof must not share the rule that it proves.
_OUTCOMES: Final = dict(zip(Effect, (Outcome.MOVED, Outcome.STAYED, Outcome.IGNORED), strict=True))


def _table_problem(
    simulator: Simulator, live: ChatSession, situation: Situation, message: Message, at: datetime
) -> str:
    """How ``advance`` departs from the table; empty if it does not."""
    trigger = message.trigger
    wrote_later = live.last_customer_text_at is not None and live.last_customer_text_at > at
    cell = TABLE[live.state, trigger]
    to = cell.target({Guard.CUSTOMER_WROTE_LATER} if wrote_later else NO_GUARD)
    outcome = Outcome.UNKNOWN if trigger is Trigger.UNKNOWN else _OUTCOMES[cell.effect]
    reading = simulator.read(situation.situation_class, message, at)
    if (reading.outcome, reading.owner, reading.reached.state) == (outcome, live.ordinal, to):
        return ""
    words = f"{trigger} in {situation.name}: the table says {outcome} to {to}"
    return f"{words}, advance {reading.outcome} to {reading.reached.state}"


def by_hand(simulator: Simulator, situations: Iterable[Situation]) -> Check:
    """Prove that an operator closes any live chat, whichever event is read before or after that.

    This holds as long as no deadline falls in between.
    """
    lives = [(one, one.live) for one in situations if one.live is not None]
    problems = [problem for one in lives for problem in _by_hand_problems(simulator, *one)]
    summary = (
        f"{len(lives)} live chats × {len(MESSAGES)} messages in every span of time before the "
        "deadline: read before or after an operator closes the chat, they leave it closed"
    )
    return check_from_cases("close", summary, problems)


def _proves_deadline(live: ChatSession, _: Situation, message: Message, at: datetime) -> bool:
    inbound = message.direction is Direction.INBOUND
    return inbound and live.expires_at is not None and at >= live.expires_at


def _by_hand_problems(
    simulator: Simulator, situation: Situation, live: ChatSession
) -> Iterator[str]:
    """For each message, what is wrong in either order; empty if nothing is."""
    start, where = situation.situation_class, f"a close by hand in {situation.name}"
    closed_at = simulator.span_starts(start)[-1] + SECOND  # after every message

    @cache
    def close(reached: SituationClass) -> SituationClass:
        return simulator.close(reached, closed_at)

    closed = close(start).visits.closed
    how = closed and (closed.state, closed.close_reason, closed.closed_at, closed.kept_state)
    wanted = State.CLOSED, CloseReason.OPERATOR, closed_at, None
    yield "" if how == wanted else f"{where} does not close the chat as an operator does"
    for case in _cases(simulator, situation):
        if _proves_deadline(live, *case):
            continue
        _, message, at = case
        read_first = close(simulator.read(start, message, at).reached)
        read_last = simulator.read(close(start), message, at).reached
        closes = read_first.state is State.CLOSED is read_last.state
        yield "" if closes else f"{message.trigger} beside {where}: the chat goes on"


def final(simulator: Simulator, situations: Iterable[Situation]) -> Check:
    """Prove that no message reopens a closed chat or changes how it ended."""
    ended = [(one, one.closed) for one in situations if one.closed is not None]
    problems = [
        _reopening_problem(simulator, closed, *case)
        for one, closed in ended
        for case in _cases(simulator, one)
    ]
    summary = (
        f"{len(ended)} closed chats × {len(MESSAGES)} messages in every span of time: "
        "none moves or opens one again"
    )
    return check_from_cases("final", summary, problems)


def _reopening_problem(
    simulator: Simulator, closed: ChatSession, situation: Situation, message: Message, at: datetime
) -> str:
    then = simulator.read(situation.situation_class, message, at).reached.visits
    chats = [chat for chat in (then.live, then.closed) if chat and chat.ordinal <= closed.ordinal]
    ends = [(chat.state, chat.closed_at, chat.close_reason) for chat in chats]
    # A chat that closes replaces the one before, which no event can reach any more.
    if ends in ([], [(State.CLOSED, closed.closed_at, closed.close_reason)]):
        return ""
    return f"{message.trigger}, received {at}, changes a chat: {situation.name}"


IRRELEVANT_FIELDS: Final[Mapping[str, Any]] = {
    "session_id": "another id",
    "previous_session_id": "another one",
    "previous_close_reason": None,
    "since": BEGIN,
    "agent": None,
    "queue_place": 17,
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
"""The fields of a session that the rules do not read, each with another value that it may have."""


def facts(simulator: Simulator, situations: Iterable[Situation]) -> Check:
    """Prove that the other fields change nothing, so that situations form classes."""
    chosen = list(situations)
    summary = (
        f"{len(chosen)} situations × {len(MESSAGES)} messages in every span of time: "
        f"{len(IRRELEVANT_FIELDS)} fields of a chat decide nothing"
    )
    problems = []
    for situation in chosen:
        altered = SituationClass(_altered(situation.situation_class.visits))
        cases = _cases(simulator, situation)
        problems += [_influence_problem(simulator, altered, *case) for case in cases]
    return check_from_cases("facts", summary, problems)


def _altered(visits: Visits) -> Visits:
    live, closed = (
        chat and replace(chat, **IRRELEVANT_FIELDS) for chat in (visits.live, visits.closed)
    )
    return Visits(live, closed)


def _influence_problem(
    simulator: Simulator,
    altered: SituationClass,
    situation: Situation,
    message: Message,
    at: datetime,
) -> str:
    starts = situation.situation_class, altered
    one, other = (_result(simulator.read(start, message, at)) for start in starts)
    if one == other:
        return ""
    return f"{message.trigger} in {situation.name}: something beside the rules decides"


def _result(reading: Reading) -> tuple[SituationClass, int | None, Outcome]:
    return reading.reached, reading.owner, reading.outcome
