"""How long a caller waits for ``handle`` and ``status``, alone and beside a busy writer."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, cycle, islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from statistics import quantiles
from typing import Final

import sqlalchemy as sa

from benchmarks.contenders.ours import SESSION, handle
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import PLATFORM, Message, batches, messages, traffic
from sermo_fsm import ChatEngine

__all__ = ["bare_status", "latency", "percentiles", "timed"]

_ABOUT: Final = """
The writer is another process that hands in batches of {batch} without a pause, about other chats.
The driver's own `SELECT` of the same row stands beside `status`, in turn with it. The medians of
{rounds} rounds, with the lowest and the highest; p99 is over all of them.
"""
_PATIENCE: Final = 60  # seconds until a writer has started


def latency(options: Options) -> Result:
    """On every database."""
    tables = []
    for kind in options.databases:
        with options.database(kind) as url:
            tables.append(Table(TITLES[kind], _COLUMNS, [*_rows(url, options)]))
    about = _ABOUT.strip().format(batch=options.batch, rounds=options.rounds)
    return Result("Latency", about, tables, conditions=conditions(options))


_COLUMNS: Final = ("", "p50", "p99", "p99 beside the driver's")


def _rows(url: str, options: Options) -> Iterator[list[str]]:
    known = traffic(options.before, chats=options.chats)
    with ChatEngine(url) as chats:
        chats.migrate()
        for batch in batches(known, options.batch):
            chats.handle_many([message.line for message in batch])
        fresh = islice(messages(seed=3), options.before, None)
        for words, beside in (("alone", _nobody), ("beside a writer", _writer)):
            with beside(url, options), bare_status(url) as bare:
                took = _measured(chats, bare, known, fresh, options)
            p99 = {name: percentiles([*chain(*rounds)])[1] for name, rounds in took.items()}
            for name, rounds in took.items():
                p50 = Spread.of(percentiles(times)[0] for times in rounds)
                share = p99[name] / p99[_BARE] if name != _HANDLE else None
                yield [
                    f"{name}, {words}",
                    p50.shown(1e3, 2, " ms"),
                    f"{p99[name] * 1e3:.2f} ms",
                    "" if share is None else f"{share:.1f}",
                ]


_HANDLE: Final = "`handle`"
_STATUS: Final = "`status`"
_BARE: Final = "the driver's `SELECT`"


def _measured(
    chats: ChatEngine,
    bare: Callable[[str], object],
    known: Sequence[Message],
    fresh: Iterator[Message],
    options: Options,
) -> Mapping[str, list[list[float]]]:
    """The seconds of each call, by round."""
    took: dict[str, list[list[float]]] = {_HANDLE: [], _STATUS: [], _BARE: []}
    users = cycle([message.user_id for message in known])
    for _ in range(options.rounds):
        some = islice(fresh, max(options.single // 5, 2))
        handled = [timed(partial(handle, chats, message)) for message in some]
        asked, selected = [], []
        for user in islice(users, max(options.single, 2)):
            asked.append(timed(partial(chats.status, PLATFORM, user)))
            selected.append(timed(partial(bare, user)))
        for name, times in ((_HANDLE, handled), (_STATUS, asked), (_BARE, selected)):
            took[name].append(times)
    return took


def timed(call: Callable[[], object]) -> float:
    """The seconds that *call* takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def percentiles(times: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


@contextmanager
def bare_status(url: str) -> Iterator[Callable[[str], object]]:
    """A function that reads the last session of a user by the driver alone."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    mark = {"qmark": "?"}.get(engine.dialect.paramstyle, "%s")
    # MariaDB would take another index, and sort.
    index = f"FORCE INDEX (uq_{SESSION}_platform_id_user_id_ordinal)"
    hint = index if engine.dialect.name in ("mysql", "mariadb") else ""
    query = (
        f"SELECT * FROM {SESSION} {hint} WHERE platform_id = {mark} AND user_id = {mark}"  # noqa: S608 - ours
        " ORDER BY ordinal DESC LIMIT 1"
    )
    with closing(engine.raw_connection()) as lent:
        cursor = lent.cursor()

        def ask(user: str) -> object:
            cursor.execute(query, (PLATFORM, user))
            return cursor.fetchone()

        yield ask
    engine.dispose()


@contextmanager
def _nobody(url: str, options: Options) -> Iterator[None]:
    del url, options
    yield


@contextmanager
def _writer(url: str, options: Options) -> Iterator[None]:
    context = get_context("spawn")
    started, stop = context.Event(), context.Event()
    process = context.Process(target=_write, args=(url, options.batch, started, stop))
    process.start()
    try:
        if not started.wait(_PATIENCE):
            raise TimeoutError("the writer has not started")
        yield
    finally:
        stop.set()
        process.join()


def _write(url: str, size: int, started: Event, stop: Event) -> None:
    endless = messages(seed=2)
    with ChatEngine(url) as chats:
        while not stop.is_set():
            chats.handle_many([message.line for message in islice(endless, size)])
            started.set()
