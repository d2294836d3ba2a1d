"""Contenders in turn, each in a process of its own, on the same messages and like databases."""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from multiprocessing import get_context
from typing import Final

from attrs import frozen

from benchmarks.contenders import OURS, Contender, Ends, Job, contender
from benchmarks.options import Options
from benchmarks.traffic import Message, batches, traffic

__all__ = ["BEFORE", "Course", "Processes", "Run", "processes", "race"]

BEFORE: Final = "sermo_fsm before"
"""The name of the library as another checkout has it."""


@frozen
class Course:
    """What all contenders of a race have to do.

    Attributes:
        before: How many events have happened before the clock starts.
        events: How many events are timed.
        size: How many of them are one transaction.
        batch: How many of those before the clock starts are one.
        chats: How many chats live at once.
        quiet: Whether quiet events are among them.
    """

    before: int
    events: int
    size: int
    batch: int
    chats: int
    quiet: bool

    @property
    def messages(self) -> Sequence[Message]:
        """All of them."""
        return traffic(self.before + self.events, quiet=self.quiet, chats=self.chats)

    @property
    def job(self) -> Job:
        """All of them, as transactions."""
        before, timed = self.messages[: self.before], self.messages[self.before :]
        return Job([*batches(before, self.batch)], [*batches(timed, self.size)])


@frozen
class Run:
    """What one contender took in one round, and what it left behind.

    Attributes:
        seconds: By the clock on the wall.
        cpu: Seconds of this process's CPU; the servers' are not in it.
        ends: What was stored.
        digest: Of everything that was stored.
        every_event_is_a_row: Whether quiet events are among the rows.
    """

    seconds: float
    cpu: float
    ends: Ends | None
    digest: str | None
    every_event_is_a_row: bool


Processes = Mapping[str, ProcessPoolExecutor]
"""The process of each contender, by its name."""


@contextmanager
def processes(names: Iterable[str], options: Options) -> Iterator[Processes]:
    """A process for each of *names*."""
    context = get_context("spawn")
    with ExitStack() as stack:
        found = {}
        for name in names:
            old = name == BEFORE and options.checkout
            path = str(old.resolve()) if old else None
            pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(name, path))
            found[name] = stack.enter_context(pool)
        yield found


def race(
    contenders: Processes, kind: str, course: Course, options: Options
) -> Mapping[str, Sequence[Run]]:
    """Let each contender run in every round, after one that warms up and is not counted.

    Raises:
        AssertionError: Somebody did not end where we did.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for process in contenders.values():
        with options.database(kind) as url:
            process.submit(_learn, url, course).result()
    for number in range(options.rounds + 1):
        done = {}
        for name in _turned(list(contenders), number):
            with options.database(kind) as url:
                done[name] = contenders[name].submit(_run, url, course).result()
        _compare(done, course)
        if number:
            for name, run in done.items():
                runs[name].append(run)
    return runs


def _turned(names: list[str], number: int) -> list[str]:
    """*names*, with another one first in every round: nobody always comes after the slowest."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def _compare(runs: Mapping[str, Run], course: Course) -> None:
    ours = runs[OURS]
    assert ours.ends  # noqa: S101 - as in a test: what follows would hold for nothing
    quiet = Counter(one.user_id for one in course.messages if one.quiet)
    for name, run in runs.items():
        if run.ends is None:
            continue
        more = quiet if run.every_event_is_a_row else Counter[str]()
        expected = {user: (state, rows + more[user]) for user, (state, rows) in ours.ends.items()}
        wrong = {
            user: run.ends.get(user) for user in expected if run.ends.get(user) != expected[user]
        }
        if name == BEFORE:
            if wrong:  # its rules may be others
                print(f"{name}: {len(wrong)} of {len(expected)} users ended otherwise", flush=True)
        elif wrong or len(run.ends) != len(expected):
            user = next(iter(wrong), None)
            said = (
                f"{user}: {wrong.get(user)} instead of {expected.get(user)}"
                if user
                else "more users"
            )
            raise AssertionError(f"{name} did not end where {OURS} did: {said}")
        elif run.digest not in (None, ours.digest):
            raise AssertionError(f"{name} did not write the rows that {OURS} wrote")


# --- in the process of a contender ---------------------------------------------------------------

_RUNNING: Final[dict[str, Contender]] = {}


def _begin(name: str, checkout: str | None) -> None:
    """Load the contender; ours perhaps from another checkout."""
    if checkout is not None:
        sys.path.insert(0, checkout)
    _RUNNING["it"] = contender(OURS if name == BEFORE else name)
    loaded = sys.modules.get("sermo_fsm")
    if checkout is not None and not str(loaded and loaded.__file__).startswith(checkout):
        raise ImportError(f"{name} was to be loaded from {checkout}, not from {loaded}")


@lru_cache(1)
def _job(course: Course) -> Job:
    return course.job


def _learn(url: str, course: Course) -> None:
    _RUNNING["it"].learn(url, _job(course))


def _run(url: str, course: Course) -> Run:
    job, it = _job(course), _RUNNING["it"]
    it.open(url)
    for messages in job.before:
        it.many(messages)
    gc.collect()
    seconds, cpu = time.perf_counter(), time.process_time()
    if course.size == 1:
        for (message,) in job.timed:
            it.one(message)
    else:
        for messages in job.timed:
            it.many(messages)
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    run = Run(seconds, cpu, it.ends(), it.digest(), it.every_event_is_a_row)
    it.close()
    return run
