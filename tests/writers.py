"""Eight processes that write: what they are given to do, and what they tell afterwards.

A process is started once for all tests of a module, and gets one job after another.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any, Final, Literal, NamedTuple, TypeVar

import sqlalchemy as sa
from attrs import frozen
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from sermo_fsm import ChatEngine, Envelope, LostRace, MessageConflict, Outcome, QueueName, Receipt
from tests.support import ANDERS, BEATA, BOT, PLATFORM, at

WRITERS: Final = 8
_PATIENCE: Final = 120  # seconds, for those who wait for each other; never reached

_T = TypeVar("_T")

Level = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
LEVELS: Final[tuple[Level, ...]] = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Line(NamedTuple):
    """One event to hand in."""

    direction: QueueName
    event: dict[str, Any] | bytes
    seconds: float
    message_id: str | None = None

    @property
    def quiet(self) -> bool:
        kinds = ("heartbeat", "typing", "messages_read", "typing_on", "typing_off")
        return isinstance(self.event, dict) and self.event["type"] in kinds

    def envelope(self) -> Envelope:
        return Envelope(
            self.direction, self.event, message_id=self.message_id, received_at=at(self.seconds)
        )


@frozen
class Job:
    """What one process does: hand in *lines*, in batches; where *size* is 0, one by one."""

    url: str
    lines: Sequence[Line]
    size: int = 0
    level: Level | None = None


class Written(NamedTuple):
    """A row of the history, as a receipt tells of it, and as it stands in the database."""

    id: int | None
    session_id: str | None
    seq: int | None
    message_id: str | None
    trigger: str | None
    outcome: str
    from_state: str | None
    to_state: str | None


class Told(NamedTuple):
    """What became of one event."""

    line: Line
    outcome: Outcome
    session_id: str | None
    opened_at: datetime | None
    rows: tuple[Written, ...]


@frozen
class Report:
    """What one process has to tell."""

    told: list[Told]
    retries: Counter[str]


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often something was tried again, by what the database said."""
    found: Counter[str] = Counter()

    def retried(details: RetryDetails) -> None:
        cause: Any = details.caused_by.__cause__
        original = getattr(cause, "orig", None)
        number = next(iter(getattr(original, "args", ())), None)
        names = (getattr(original, name, None) for name in ("sqlstate", "sqlite_errorname"))
        code = number if isinstance(number, int) else next(filter(None, names), "?")
        found[str(code)] += 1

    set_on_retry_hooks([retried])
    try:
        yield found
    finally:
        set_on_retry_hooks(None)


# --- the processes -------------------------------------------------------------------------------

_TOGETHER: list[Barrier] = []


def _enter(together: Barrier) -> None:
    _TOGETHER.append(together)


def hand_in(job: Job) -> Report:
    """Do one job, together with all others."""
    options = {} if job.level is None else {"isolation_level": job.level}
    engine = sa.create_engine(job.url, **options) if job.level else None
    with ChatEngine(job.url if engine is None else engine) as chats, counted() as retries:
        chats.status(PLATFORM, "nobody")  # the connection is there
        _TOGETHER[0].wait(_PATIENCE)
        told = list(_each(chats, job))
    if engine is not None:
        engine.dispose()
    return Report(told, retries)


def _each(chats: ChatEngine, job: Job) -> Iterator[Told]:
    if job.size == 0:
        for line in job.lines:
            yield _one(chats, line)
    else:
        for start in range(0, len(job.lines), job.size):
            batch = job.lines[start : start + job.size]
            hand_in_batch = partial(chats.handle_many, [line.envelope() for line in batch])
            yield from map(_tell, batch, _until_won(hand_in_batch))


def _until_won(call: Callable[[], _T]) -> _T:
    """What a caller does with a race that is lost ten times: nothing is written, so once more."""
    while True:
        with suppress(LostRace):
            return call()


def _one(chats: ChatEngine, line: Line) -> Told:
    hand_in_line = partial(
        chats.handle,
        line.direction,
        line.event,
        message_id=line.message_id,
        received_at=at(line.seconds),
    )
    try:
        receipt = _until_won(hand_in_line)
    except MessageConflict:
        return Told(line, Outcome.CONFLICT, None, None, ())
    return _tell(line, receipt)


def _tell(line: Line, receipt: Receipt) -> Told:
    rows = tuple(
        Written(
            row.id,
            row.session_id,
            row.seq,
            row.message_id,
            row.trigger,
            row.outcome,
            row.from_state,
            row.to_state,
        )
        for row in receipt.rows
    )
    after = receipt.after
    if after is None:
        return Told(line, receipt.outcome, None, None, rows)
    return Told(line, receipt.outcome, after.session_id, after.opened_at, rows)


class Writers:
    """The eight processes."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._together = context.Barrier(WRITERS)
        self._pool = ProcessPoolExecutor(
            WRITERS, mp_context=context, initializer=_enter, initargs=(self._together,)
        )

    def work(self, jobs: Sequence[Job]) -> list[Report]:
        """Each job in a process of its own: nobody begins before all are there."""
        assert len(jobs) == WRITERS
        return list(self._pool.map(hand_in, jobs, timeout=_PATIENCE))

    def close(self) -> None:
        self._together.abort()
        self._pool.shutdown()


# --- what they hand in ---------------------------------------------------------------------------

_INBOUND: Final[tuple[tuple[int, dict[str, Any]], ...]] = (
    (12, {"type": "heartbeat"}),
    (3, {"type": "typing", "text": "Hej, jag mitt na"}),
    (1, {"type": "messages_read"}),
    (6, {"type": "text", "text": "Hej! \N{GRINNING FACE}"}),
    (3, {"type": "client_unload"}),
    (2, {"type": "client_left"}),
    (1, {"type": "button_pressed"}),  # not in the protocol
)
_OUTBOUND: Final[tuple[tuple[int, dict[str, Any]], ...]] = (
    (3, {"type": "text", "text": "Hej!", "agent": BOT}),
    (3, {"type": "text", "text": "Anders här.", "agent": ANDERS}),
    (2, {"type": "text", "text": "Beata här.", "agent": BEATA}),
    (2, {"type": "queue_number", "queueNumber": 3}),
    (3, {"type": "agent_done"}),
    (1, {"type": "handover_to_agent"}),
    (1, {"type": "handover_to_bot"}),
    (1, {"type": "platform_closed"}),
    (2, {"type": "typing_on"}),
    (1, {"type": "system_text", "text": "Vänta."}),
)
_KINDS: Final[tuple[tuple[QueueName, tuple[tuple[int, dict[str, Any]], ...]], ...]] = (
    ("inbound", _INBOUND),
    ("outbound", _OUTBOUND),
)
_ENDS: Final = ("client_unload", "client_left", "agent_done", "button_pressed")


def traffic(seed: int, events: int, users: int) -> list[Line]:
    """All kinds of events over some hours, so that deadlines pass and chats open again."""
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    now = 0.0
    lines = []
    for number in range(events):
        now += dice.choice((0.0, 1.0, 5.0, 20.0))
        if dice.random() < 0.01:
            now += 1900  # everybody's deadline passes
        direction, kinds = dice.choice(_KINDS)
        (_, event) = dice.choices(kinds, [weight for weight, _ in kinds])[0]
        event = {**event, "platformId": PLATFORM, "userId": f"user-{dice.randrange(users)}"}
        lines.append(Line(direction, event, now, f"m-{seed}-{number}"))
        if number % 25 == 0:
            unknown = {"type": "who_is_it"}
            stray = {"type": "agent_done", "platformId": PLATFORM, "userId": "nobody"}
            lines += (
                Line("outbound", unknown, now, f"unknown-{seed}-{number}"),
                Line("outbound", stray, now, f"stray-{seed}-{number}"),
            )
        if number % 50 == 0:
            lines.append(Line("inbound", b'{"type": "text"', now))  # invalid
            # An id that two different messages have.
            lines += (
                Line("inbound", {**event, "type": "text", "text": words}, now, f"twice-{number}")
                for words in ("one", "two")
            )
    return lines


def shared(lines: Sequence[Line], seed: int) -> list[list[Line]]:
    """The same lines for eight processes: what has an id comes to two or three of them."""
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    shares: list[list[Line]] = [[] for _ in range(WRITERS)]
    for line in lines:
        copies = 1 if line.message_id is None else dice.choice((2, 3))
        for writer in dice.sample(range(WRITERS), copies):
            shares[writer].append(line)
    return shares


def conversation(seed: int, user: str) -> tuple[list[Line], list[Line]]:
    """Both queues of a chat in which nothing closes and no deadline passes, each in its order."""
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    queues = []
    # Never at the same instant: there the order of reading decides.
    for first, (direction, kinds) in enumerate(_KINDS, 1):
        seconds = sorted(dice.sample(range(first, 600, 2), 12))
        some = [(weight, event) for weight, event in kinds if event["type"] not in _ENDS]
        events = dice.choices(
            [event for _, event in some], [weight for weight, _ in some], k=len(seconds)
        )
        queues.append(
            [
                Line(
                    direction,
                    {**event, "platformId": PLATFORM, "userId": user},
                    second,
                    f"{user}-{second}",
                )
                for second, event in zip(seconds, events, strict=True)
            ]
        )
    return queues[0], queues[1]
