"""CSV on standard output, which is safe to open in a spreadsheet and to show on a terminal."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sermo_fsm.cli.text import escape_controls

__all__ = ["print_csv"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a header and the rows; None is an empty cell, and an object is JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in rows)


def _cell(value: object) -> object:
    """*value* as a cell. A spreadsheet would calculate a text that begins like a formula."""
    if isinstance(value, Mapping):
        return escape_controls(json.dumps(value, ensure_ascii=False))
    if not isinstance(value, str):
        return value
    return escape_controls(f"'{value}" if value.startswith(_FORMULA) else value)
