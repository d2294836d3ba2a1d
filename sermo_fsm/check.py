"""What is proved about the machine, by trying every case: from the table, and with the real step.

Nothing is sampled. The chats that the proofs start from were brought there by real events, so each
of them can happen. What fails says so in words, case by case.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any, Final

from attrs import asdict, frozen

from sermo_fsm.advance import NO_VISITS, Visits, advance, expire
from sermo_fsm.events import KINDS, QUIET, Direction, Trigger
from sermo_fsm.machine import LIVE, MACHINE, NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.policy import Durations
from sermo_fsm.session import ChatSession, Outcome
from sermo_fsm.wire import Message, decode

__all__ = ["Check", "Report", "run_checks"]


@frozen
class Check:
    """How many cases were tried, what should hold in all of them, and where it does not."""

    name: str
    count: int
    summary: str
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """It holds in every case."""
        return not self.problems


@frozen
class Report:
    """All that was to be proved. Where the table is not total, nothing else can be tried."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Everything holds."""
        return all(check.ok for check in self.checks)

    def view(self) -> dict[str, Any]:
        """As ``sermo-fsm check --json`` prints it."""
        checks = [{"name": check.name, "ok": check.ok, **asdict(check)} for check in self.checks]
        return {"ok": self.ok, "checks": checks}


def run_checks() -> Report:
    """Prove everything; takes well under a second."""
    total = _total()
    if not total.ok:
        return Report((total,))
    proofs = (_reachable, _quiet, _transitions, _step, _final, _law)
    return Report((total, *map(_try, proofs)))


def _try(prove: Callable[[], Check]) -> Check:
    try:
        return prove()
    except Exception as error:  # noqa: BLE001 - a table that breaks the step is a finding, too
        problem = f"a step fails with {type(error).__name__}: {error}"
        return Check(prove.__name__.strip("_"), 0, "every step can be taken", (problem,))


def _check(name: str, summary: str, cases: Iterable[str]) -> Check:
    """Each case is what is wrong with it; empty where it holds."""
    tried = tuple(cases)
    return Check(name, len(tried), summary, tuple(problem for problem in tried if problem))


def _total() -> Check:
    summary = f"{len(State)} states × {len(Trigger)} triggers: one cell if live, none if closed"
    return _check("total", summary, (_fault(*place) for place in product(State, Trigger)))


def _fault(state: State, trigger: Trigger) -> str:
    cell, where = TABLE.get((state, trigger)), f"{trigger} in {state}"
    if cell is None:
        return f"{where}: the cell is left out" if state in LIVE else ""
    if state not in LIVE:
        return f"{where}: no cell may stand there"
    moves = cell.effect is Effect.MOVE
    decides = (cell.guard is None) is (cell.otherwise is None) and (moves or cell.guard is None)
    return "" if decides and moves is not (cell.to is state) else f"{where}: contradicts itself"


def _reached_from(start: State) -> set[State]:
    """Where the table leads to from *start*, itself included."""
    reached, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for (at, _), cell in TABLE.items():
            ways = {cell.target(holding) for holding in _HOLDINGS} if at is state else set()
            waiting += ways - reached
            reached |= ways
    return reached


def _reachable() -> Check:
    ways = [(State.OPEN, state) for state in State] + [(state, State.CLOSED) for state in LIVE]
    cases = ("" if to in _reached_from(at) else f"no way from {at} to {to}" for at, to in ways)
    summary = f"{len(State)} states can be reached from open, and closed from {len(LIVE)} live ones"
    return _check("reachable", summary, cases)


def _quiet() -> Check:
    still = [trigger for trigger in Trigger if trigger in QUIET or trigger is Trigger.UNKNOWN]
    summary = f"{len(LIVE)} live states × {len(still)} quiet or unknown triggers: none moves a chat"
    cases = (
        "" if TABLE[state, trigger].effect is Effect.STAY else f"{trigger} in {state} does not stay"
        for state, trigger in product(LIVE, still)
    )
    return _check("quiet", summary, cases)


_HOLDINGS: Final = (NO_GUARD, *(frozenset({guard}) for guard in Guard))


def _transitions() -> Check:
    places = product(State, Trigger, _HOLDINGS)
    summary = (
        f"{len(State)} states × {len(Trigger)} triggers × {len(_HOLDINGS)} values of the guard: "
        "transitions.Machine goes where the lookup says"
    )
    return _check("transitions", summary, (_disagreement(*place) for place in places))


def _disagreement(state: State, trigger: Trigger, holding: AbstractSet[Guard]) -> str:
    cell, subject = TABLE.get((state, trigger)), SimpleNamespace(state=state.value, holding=holding)
    wanted = (False, state)  # of a closed chat, which has no cells
    if cell is not None:
        wanted = (cell.effect is not Effect.IGNORE, cell.target(holding))
    event = MACHINE.events.get(trigger.value)
    if (event is not None and event.trigger(subject), subject.state) == wanted:
        return ""
    where = f"{trigger} in {state}, {' and '.join(holding) or 'no guard'} holding"
    return f"{where}: the lookup says {wanted[1]}, transitions {subject.state}"


_BEGIN: Final = datetime(2020, 2, 18, 12, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_DURATIONS: Final = Durations()

# Enough for an event of any type; what a type does not name is extra.
_FIELDS: Final = {"platformId": "web", "userId": "u-1", "text": "Hej!", "queueNumber": 1}


def _messages(direction: Direction) -> tuple[Message, ...]:
    """One message for every trigger that can come on this queue."""
    types = [name for inbound, name in KINDS if inbound is (direction is Direction.INBOUND)]
    found: dict[Trigger, Message] = {}
    for name, agent in product([*types, "unheard of"], ({"id": "bot"}, {"id": "anan01"}, None)):
        message = decode(direction, {"type": name, "agent": agent, **_FIELDS})
        found.setdefault(message.trigger, message)
    return tuple(found.values())


_INBOUND: Final = _messages(Direction.INBOUND)
_OUTBOUND: Final = _messages(Direction.OUTBOUND)
_MESSAGES: Final = _INBOUND + _OUTBOUND


def _read(visits: Visits, *received: tuple[Message, datetime]) -> Visits:
    for message, at in received:
        visits = advance(visits, message, at, _DURATIONS).visits
    return visits


def _words(live: ChatSession) -> str:
    """What the customer has said in a chat."""
    if live.customer_text_at is None:
        return "customer never wrote"
    last = live.customer_text_at == live.effective_at
    return "customer wrote last" if last else "customer wrote before"


def _starts() -> list[ChatSession]:
    """A live chat of each kind that events lead to: its state, and what the customer has said."""
    found: dict[tuple[State, str], ChatSession] = {}
    waiting = [NO_VISITS]
    while waiting:
        visits = waiting.pop(0)
        at = visits.live.effective_at + _SECOND if visits.live else _BEGIN
        for message in _MESSAGES:
            live = _read(visits, (message, at)).live
            if live is not None and (live.state, _words(live)) not in found:
                found[live.state, _words(live)] = live
                waiting.append(Visits(live))
    return list(found.values())


def _step() -> Check:
    starts, around = _starts(), (-_SECOND / 2, _SECOND)
    summary = (
        f"{len(starts)} live chats × ({len(_MESSAGES)} messages before and after the last event, "
        "and the clock): advance does what the table says"
    )
    cases = [_departure(*place) for place in product(starts, _MESSAGES, around)]
    for live in starts:
        to, wanted = expire(live)[0].state, TABLE[live.state, Trigger.EXPIRE].to
        cases.append("" if to is wanted else f"the clock in {live.state}: {to}, not {wanted}")
    return _check("step", summary, cases)


_OUTCOMES: Final = dict(zip(Effect, (Outcome.MOVED, Outcome.STAYED, Outcome.IGNORED), strict=True))


def _departure(live: ChatSession, message: Message, moment: timedelta) -> str:
    """Where the real step leaves the table."""
    trigger, at = message.trigger, live.effective_at + moment
    wrote_later = live.customer_text_at is not None and live.customer_text_at > at
    cell = TABLE[live.state, trigger]
    to = cell.target({Guard.CUSTOMER_WROTE_LATER} if wrote_later else NO_GUARD)
    outcome = Outcome.UNKNOWN if trigger is Trigger.UNKNOWN else _OUTCOMES[cell.effect]
    step = advance(Visits(live), message, at, _DURATIONS)
    if step.outcome is outcome and step.after is not None and step.after.state is to:
        return ""
    words = f"{trigger} in {live.state} ({_words(live)}): the table says {outcome} to {to}"
    return f"{words}, advance {step.outcome} to {step.after and step.after.state}"


def _closed() -> Iterator[tuple[str, ChatSession]]:
    """Closed chats, and how they came to be: by the clock, and by whatever message closes them."""
    for live in _starts():
        yield f"{live.state}, closed by the clock", expire(live)[0]
        for message in _MESSAGES:
            closed = _read(Visits(live), (message, live.effective_at + _SECOND)).closed
            if closed is not None:
                yield f"{live.state}, closed by {message.trigger}", closed


def _final() -> Check:
    chats = list(_closed())
    moments = (-_SECOND, timedelta(), _DURATIONS.linger - _SECOND, timedelta(days=1))
    summary = (
        f"{len(chats)} closed chats × {len(_MESSAGES)} messages × {len(moments)} moments "
        "around the close: none moves or opens one again"
    )
    return _check("final", summary, (_reopening(*it) for it in product(chats, _MESSAGES, moments)))


def _reopening(chat: tuple[str, ChatSession], message: Message, moment: timedelta) -> str:
    how, closed = chat
    visits = _read(Visits(None, closed), (message, (closed.closed_at or _BEGIN) + moment))
    same = [it for it in (visits.live, visits.closed) if it and it.ordinal == closed.ordinal]
    ends = [(it.state, it.closed_at, it.close_reason) for it in same]
    if ends == [(State.CLOSED, closed.closed_at, closed.close_reason)]:
        return ""
    return f"{message.trigger}, {moment} from the close, changes a chat that was {how}"


_Situation = tuple[ChatSession, str, datetime, datetime]


def _situations() -> Iterator[_Situation]:
    """Live chats, and when an inbound and an outbound message are received on each."""
    for live in _starts():
        now = live.effective_at
        soon, later = now + _SECOND, now + 2 * _SECOND
        yield live, "inbound received first", soon, later
        yield live, "outbound received first", later, soon
        if live.customer_text_at == now:
            yield live, "outbound received before that", soon, now - _SECOND / 2


def _law() -> Check:
    situations = list(_situations())
    states = {live.state for live, *_ in situations}
    summary = (
        f"{len(states)} live states in {len(situations)} situations (who wrote, which was received "
        f"first) × {len(_INBOUND)} inbound × {len(_OUTBOUND)} outbound triggers: "
        "both orders of reading end in the same state"
    )
    unreached = [f"no events lead to {state}" for state in LIVE if state not in states]
    breaches = [_breach(*place) for place in product(situations, _INBOUND, _OUTBOUND)]
    return _check("law", summary, breaches + unreached)


def _breach(situation: _Situation, inbound: Message, outbound: Message) -> str:
    live, order, inbound_at, outbound_at = situation
    received = ((inbound, inbound_at), (outbound, outbound_at))
    one = _read(Visits(live), *received).current
    other = _read(Visits(live), *reversed(received)).current
    ends = [chat and chat.state for chat in (one, other)]
    if ends[0] is ends[1]:
        return ""
    return (
        f"{inbound.trigger} and {outbound.trigger} in {live.state} ({_words(live)}, {order}): "
        f"{inbound.trigger} read first ends in {ends[0]}, {outbound.trigger} first in {ends[1]}"
    )
