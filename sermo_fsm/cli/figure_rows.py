"""Figures as cells for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sermo_fsm.cli.text import Styled, styled
from sermo_fsm.views.figure_rows import FigureRow, loads

__all__ = ["figure_cells", "load_cells"]


def figure_cells(row: FigureRow) -> list[Styled]:
    """A row as cells, without those of a load."""
    return [*map(styled, row.words)]


def load_cells(hours: Iterable[Mapping[str, Any]]) -> Iterator[list[Styled]]:
    """The load as cells: the hour, a state or an agent, the mean, and the most."""
    for hour in hours:
        for name, load in loads(hour):
            cells = (hour["hour"], name, f"{load['mean']:.2f}", load["max"])
            yield list(map(styled, cells))
