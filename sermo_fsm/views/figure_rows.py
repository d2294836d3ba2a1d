"""Figures as rows of a table: one for each number, or for each distribution or rate."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import astuple, frozen

from sermo_fsm.views.durations import format_duration

__all__ = ["FIGURE_COLUMNS", "FigureRow", "figure_rows", "length_in_words", "loads"]

FIGURE_COLUMNS: Final = ("figure", "part", "n", "of", "rate", "median", "p90", "mean", "max")

_OWN: Final = frozenset({"n", "median", "p90", "mean", "numerator", "denominator", "rate", "max"})
_PARTS_BY_NAME: Final = ("byEnd", "byAgent", "byOpener")


@frozen
class FigureRow:
    """One row, with times in seconds; a cell that does not apply is None.

    Attributes:
        of: Of how many, if ``n`` is the numerator of a rate.
        mean: A mean length, or a mean number of chats if there is a maximum.
    """

    figure: str
    part: str
    n: int | None = None
    of: int | None = None
    rate: float | None = None
    median: float | None = None
    p90: float | None = None
    mean: float | None = None
    max: int | None = None

    @property
    def values(self) -> tuple[Any, ...]:
        """The cells as they are."""
        return astuple(self)

    @property
    def words(self) -> tuple[object, ...]:
        """The cells for people, without those of a load."""
        return (
            *(self.figure, self.part, self.n, self.of),
            None if self.rate is None else f"{self.rate:.1%}",
            *map(length_in_words, (self.median, self.p90, self.mean)),
        )


def length_in_words(seconds: float | None) -> str | None:
    """A length of time for people."""
    return None if seconds is None else format_duration(timedelta(seconds=seconds))


def loads(hour: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The load of each state and each agent in an hour, from its JSON."""
    yield from hour["states"].items()
    yield from hour["agents"].items()


def figure_rows(group: Mapping[str, Any]) -> Iterator[FigureRow]:
    """The rows of one group of figures, from their JSON."""
    for figure, value in group.items():
        if figure == "load":
            for hour in value:
                for name, load in loads(hour):
                    yield FigureRow(figure, f"{hour['hour']} {name}", **load)
        elif figure != "notes":
            yield from _rows(figure, "", value)


def _rows(figure: str, part: str, value: Any) -> Iterator[FigureRow]:
    if not isinstance(value, Mapping):
        yield FigureRow(figure, part, n=value)
        return
    own = {name: value[name] for name in _OWN & value.keys()}
    if "rate" in own:
        of = own.pop("denominator")
        yield FigureRow(figure, part, n=own.pop("numerator"), of=of, **own)
    elif own:
        yield FigureRow(figure, part, **own)
    for name, one in value.items():
        if name in _PARTS_BY_NAME:
            for key, its in one.items():
                yield from _rows(figure, f"{part} {key}".strip(), its)
        elif name not in _OWN:
            yield from _rows(figure, f"{part} {name}".strip(), one)
