"""Events per second: beside the driver alone, beside a bare commit, and beside our peers."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from attrs import evolve

from benchmarks.contenders import COMMIT, FLOOR, OURS, PEERS
from benchmarks.options import TITLES, Options
from benchmarks.race import BEFORE, Course, Run, processes, race
from benchmarks.results import Result, Spread, Table, conditions

__all__ = ["against_peers", "throughput"]

_ABOUT: Final = f"""
`{FLOOR}` writes exactly our rows in the same transactions and reads what has to be read, but parses
and decides nothing: nobody can be faster with this schema. Events per second are medians, with the
lowest and the highest of the rounds; ratios are taken in each round. CPU is that of the client.
All contenders ended in the same states with the same number of rows, in every round.
"""

_PEERS_ABOUT: Final = """
The same messages and the same table of transitions for all. Each is used as its documentation says,
by its own storage or, where it has none, by SQLAlchemy's ORM with the chats of a batch loaded at
once. Not all of them know MariaDB. `eventsourcing` stores quiet events as well, for its state is
its events; neither it nor `django-fsm-2` keeps message ids. All ended in the same states with the
same number of rows, in every round.
"""


def throughput(options: Options) -> Result:
    """Beside the floor, on every database: batches of the real mix, batches of rows, one by one."""
    names = [FLOOR, OURS, *([BEFORE] if options.checkout else [])]
    return _measured("Throughput", _ABOUT, names, options.databases, options)


def against_peers(options: Options) -> Result:
    """Beside what one could take instead."""
    kinds = [kind for kind in options.databases if kind != "mysql"]
    fewer = evolve(
        options,
        before=options.peer_events,
        events=options.peer_events,
        single=max(options.single // 3, 1),
    )
    return _measured("Peers", _PEERS_ABOUT, [FLOOR, OURS, *PEERS], kinds, fewer)


def _measured(
    title: str,
    about: str,
    names: Sequence[str],
    kinds: Sequence[str],
    options: Options,
) -> Result:
    tables, data = [], {}
    packages = [*PEERS, "Django", "django-fsm-log"] if PEERS[0] in names else []
    found = conditions(options, packages)
    with processes([*names, COMMIT], options) as every:
        for kind, (words, course) in product(kinds, _courses(options)):
            running = [*names, COMMIT] if course.size == 1 else names
            runs = race({name: every[name] for name in running}, kind, course, options)
            headline = f"{TITLES[kind]}, {words}"
            tables.append(_table(headline, runs, course))
            data[headline] = {
                name: Spread.of(_ratios(runs[FLOOR], some)).median for name, some in runs.items()
            }
    about = f"{about.strip()}\n{options.rounds} rounds, {options.chats} chats at once."
    return Result(title, about, tables, data, found)


def _courses(options: Options) -> Iterator[tuple[str, Course]]:
    def course(count: int, size: int, *, quiet: bool) -> Course:
        return Course(options.before, count, size, options.batch, options.chats, quiet)

    yield f"batches of {options.batch}, real mix", course(options.events, options.batch, quiet=True)
    yield (
        f"batches of {options.batch}, every event writes history",
        course(options.events, options.batch, quiet=False),
    )
    yield "one event per transaction, real mix", course(options.single, 1, quiet=True)


def _ratios(floor: Sequence[Run], runs: Sequence[Run]) -> list[float]:
    return [base.seconds / run.seconds for base, run in zip(floor, runs, strict=True)]


def _table(title: str, runs: Mapping[str, Sequence[Run]], course: Course) -> Table:
    rows: list[list[str]] = []
    for name, some in runs.items():
        cells: list[Any] = [name, Spread.of(course.events / run.seconds for run in some).shown()]
        cells.append(Spread.of(_ratios(runs[FLOOR], some)).shown(100, 0, " %"))
        if BEFORE in runs:
            cells.append(Spread.of(_ratios(runs[BEFORE], some)).shown(1, 2))
        if COMMIT in runs:
            cells.append(Spread.of(1 / one for one in _ratios(runs[COMMIT], some)).shown(1, 2))
        for seconds in ("seconds", "cpu"):
            each = Spread.of(getattr(run, seconds) / course.events for run in some)
            cells.append(f"{each.median * 1e6:,.0f} µs".replace(",", " "))
        rows.append(cells)
    columns = ["", "events/s", "of the floor"]
    columns += ["times the rate before"] if BEFORE in runs else []
    columns += ["in bare commits"] if COMMIT in runs else []
    return Table(title, [*columns, "an event", "of it CPU"], rows)
