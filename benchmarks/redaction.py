"""What redaction costs an event, and how many numbers it takes for what they are not."""

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Final

from benchmarks.options import Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import START, traffic
from sermo_fsm import ChatEngine
from sermo_fsm.protocol.envelope import arrive_line
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.redaction import redactor

__all__ = ["redaction"]

_ABOUT: Final = """
Random numbers without gaps, as invoices and orders have them: how many of them the built-in
redaction takes for a card or a person. Then the same traffic with and without it, in turn: read in
memory, and written to SQLite in batches.
"""
_DIGITS: Final = (8, 10, 12, 16)
_MARK: Final = re.compile(r"\[\w+\]")


def redaction(options: Options) -> Result:
    """False hits, then the cost."""
    tables = [_false_hits(100 * options.events), _cost(options)]
    return Result(
        "Redaction",
        _ABOUT.strip(),
        tables,
        conditions=conditions(options, ["python-stdnum"]),
    )


def _false_hits(numbers: int) -> Table:
    redact, dice = redactor(), random.Random(14)  # noqa: S311 - the same numbers in every run
    rows = []
    for digits in _DIGITS:
        found = Counter(
            redact(str(dice.randrange(10 ** (digits - 1), 10**digits))) for _ in range(numbers)
        )
        hits = {mark: found[mark] for mark in found if _MARK.fullmatch(mark)}
        shown = ", ".join(f"`{mark}` {hits[mark] / numbers:.2%}" for mark in sorted(hits))
        rows.append([str(digits), shown or "none", f"{numbers:,}".replace(",", " ")])
    return Table("False hits", ["digits", "taken for", "random numbers"], rows)


def _cost(options: Options) -> Table:
    lines = [message.line for message in traffic(options.events, chats=options.chats)]
    ratios: dict[str, list[float]] = {"read in memory": [], "written to SQLite": []}
    for number in range(options.rounds + 1):
        for (name, seconds), measure in zip(ratios.items(), (_read, _write), strict=True):
            place = options.folder / f"{name}{number}"
            plain = measure(lines, None, place.with_suffix(".plain"), options.batch)
            redacting = measure(lines, redactor(), place.with_suffix(".redacting"), options.batch)
            if number:  # the first warms up
                seconds.append(redacting / plain)
    rows = [[name, Spread.of(found).shown(1, 2)] for name, found in ratios.items()]
    return Table("CPU with redaction, times that without", ["", "ratio"], rows)


def _read(
    lines: list[bytes], redact: Callable[[str], str] | None, _place: Path, _batch: int
) -> float:
    limits, began = Limits(), process_time()
    for line in lines:
        arrive_line(line, limits, START, redact=redact)
    return process_time() - began


def _write(
    lines: list[bytes], redact: Callable[[str], str] | None, place: Path, batch: int
) -> float:
    with ChatEngine(f"sqlite:///{place}", redact=redact) as chats:
        chats.migrate()
        began = process_time()
        for start in range(0, len(lines), batch):
            chats.handle_many(lines[start : start + batch])
        return process_time() - began
