"""What an event and a query cost when there are many sessions, and how much room they take."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import Any, Final

import sqlalchemy as sa
from attrs import define

from benchmarks.contenders.ours import SESSION, handle, our_tables
from benchmarks.filled import filled, id_in_the_middle, returning
from benchmarks.latency import bare_status, percentiles, timed
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import PLATFORM, START, Message, messages
from sermo_fsm import ChatEngine

__all__ = ["growth"]

_ABOUT: Final = """
Databases with so many sessions, of which a fiftieth is live, with twelve rows of history each. Half
of those who write are customers of the database, spread over all of it. Every round does everything
on every size in turn: milliseconds are medians of {rounds} rounds with the lowest and the highest.
"""
_EVENT: Final = "an event, in batches"
_ONE: Final = "an event, one by one"
_STATUS: Final = "`status`"
_BARE: Final = "the driver's `SELECT` of it"
_DRAWN: Final = (_EVENT, _ONE, _STATUS, "`counts`", "50 `sessions` of an agent")
_AT_ONCE: Final = 100
"""How often a fast query is asked in a round."""


@define
class _Database:
    """A database of one size, and what has been measured on it."""

    chats: ChatEngine
    sessions: int
    bare: Callable[[str], object]
    stream: Iterator[Message]
    took: dict[str, list[list[float]]]

    def measure(self, options: Options) -> None:
        """One round."""
        self._time(_EVENT, [self._batch(options) for _ in range(4)], options.batch)
        self._time(
            _ONE, [self._one(message) for message in islice(self.stream, options.single // 10 + 2)]
        )
        dice = random.Random(len(self.took[_EVENT]))  # noqa: S311 - reproducible on purpose
        name = returning(self.sessions)
        users = [name(dice) for _ in range(_AT_ONCE)]
        statuses: list[float] = []
        bare: list[float] = []
        status: Callable[[str], object] = partial(self.chats.status, PLATFORM)
        for number, user in enumerate(users):
            both = (statuses, status), (bare, self.bare)
            # Whoever asks second finds the pages in the cache.
            for times, look in both[:: -1 if number % 2 else 1]:
                times.append(timed(partial(look, user)))
        self.took[_STATUS].append(statuses)
        self.took[_BARE].append(bare)
        for query, ask in self._queries():
            self.took.setdefault(query, []).append([timed(ask) for _ in range(5)])

    def _time(self, name: str, calls: list[Callable[[], object]], events: int = 1) -> None:
        self.took[name].append([timed(call) / events for call in calls])

    def _batch(self, options: Options) -> Callable[[], object]:
        lines = [message.line for message in islice(self.stream, options.batch)]
        return lambda: self.chats.handle_many(lines)

    def _one(self, message: Message) -> Callable[[], object]:
        return partial(handle, self.chats, message)

    def _queries(self) -> Iterator[tuple[str, Callable[[], object]]]:
        chats = self.chats
        some = id_in_the_middle(chats)

        def page(**which: Any) -> Callable[[], object]:
            return lambda: [*chats.sessions(limit=50, **which)]

        yield "`counts`", chats.counts
        yield "`session` by id", lambda: chats.session(some)
        yield "`history` of a session", lambda: [*chats.history(some)]
        yield "50 `sessions`", page()
        yield "50 `sessions` that are queued", page(state="queued")
        yield "50 `sessions` of an agent", page(agent="agent07")
        yield "50 `sessions` of a platform", page(platform=PLATFORM)
        yield "50 `sessions` from the middle", page(after=some)
        yield "`sweep`, nothing to close", lambda: chats.sweep(START - timedelta(days=365))


def growth(options: Options) -> Result:
    """On SQLite and PostgreSQL, for each number of sessions."""
    tables, data = [], {}
    for kind in options.databases:
        if kind == "mysql":
            continue
        with ExitStack() as stack:
            every = [_opened(stack, kind, sessions, options) for sessions in options.sessions]
            room = [_room(one.chats) for one in every]
            for _ in range(options.rounds):
                for one in every:
                    one.measure(options)
        title = TITLES[kind]
        tables.append(_costs(title, every))
        tables.append(_rooms(f"{title}, room on disk", options, room))
        data[title] = {
            name: {str(one.sessions): _spread(one.took[name]).median for one in every}
            for name in _DRAWN
        }
    about = _ABOUT.strip().format(rounds=options.rounds)
    return Result("Growth", about, tables, data, conditions(options))


def _opened(stack: ExitStack, kind: str, sessions: int, options: Options) -> _Database:
    url = filled(options, kind, sessions)
    chats = stack.enter_context(ChatEngine(url))
    stream = messages(chats=options.chats, naming=returning(sessions))
    took: dict[str, list[list[float]]] = {name: [] for name in (_EVENT, _ONE, _STATUS, _BARE)}
    return _Database(chats, sessions, stack.enter_context(bare_status(url)), stream, took)


def _spread(rounds: list[list[float]]) -> Spread:
    return Spread.of(percentiles(times)[0] for times in rounds)


def _costs(title: str, every: list[_Database]) -> Table:
    columns = ["", *(f"{one.sessions:,}".replace(",", " ") for one in every), "largest / smallest"]
    rows = []
    for name in every[0].took:
        spreads = [_spread(one.took[name]) for one in every]
        ratio = f"{spreads[-1].median / spreads[0].median:.2f}"
        rows.append([name, *(spread.shown(1e3, 3, " ms") for spread in spreads), ratio])
    slow = {
        name: [percentiles([*chain(*one.took[name])])[1] for one in every]
        for name in (_STATUS, _BARE)
    }
    for name, seconds in slow.items():
        shown = [f"{one * 1e3:.3f} ms" for one in seconds]
        rows.append([f"{name}, p99", *shown, f"{seconds[-1] / seconds[0]:.2f}"])
    beside = [f"{ours / bare:.2f}" for ours, bare in zip(slow[_STATUS], slow[_BARE], strict=True)]
    rows.append([f"{_STATUS}, p99, times the driver's", *beside, ""])
    return Table(title, columns, rows)


def _room(chats: ChatEngine) -> Mapping[str, float]:
    """Rows, bytes in all, and bytes a row of each table, with its indexes."""
    engine = chats._engine  # noqa: SLF001 - to use its connections
    rows, sizes = {}, {}
    with engine.connect() as connection:
        for table in our_tables(engine):
            name, size = table.name, _SIZES[engine.dialect.name].format(table=table.name)
            count = sa.select(sa.func.count()).select_from(table)
            rows[name] = connection.execute(count).scalar_one()
            sizes[name] = float(connection.exec_driver_sql(size).scalar_one())
    total = sum(sizes.values())
    return {
        "rows of history": rows["sermo_history"],
        "MB in all": total / 1e6,
        "bytes a session, with its rows": total / rows[SESSION],
        **{f"bytes a row of {name}": sizes[name] / rows[name] for name in rows if rows[name]},
    }


_SIZES: Final = {
    "sqlite": "SELECT sum(pgsize) FROM dbstat WHERE name IN"
    " (SELECT name FROM sqlite_master WHERE tbl_name = '{table}')",
    "postgresql": "SELECT pg_total_relation_size('{table}')",
}


def _rooms(title: str, options: Options, room: list[Mapping[str, float]]) -> Table:
    columns = ["", *(f"{sessions:,}".replace(",", " ") for sessions in options.sessions)]
    rows = [
        [name, *(f"{one.get(name, 0):,.0f}".replace(",", " ") for one in room)] for name in room[0]
    ]
    return Table(title, columns, rows)
