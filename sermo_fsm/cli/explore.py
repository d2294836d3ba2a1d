"""``sermo-fsm check --explore``: every way through streams, by the real engine."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from sermo_fsm.cli.terminal import clean, console_on, counted
from sermo_fsm.proof.edges import REASONS
from sermo_fsm.proof.explore import explore
from sermo_fsm.proof.report import Check
from sermo_fsm.proof.streams import Stream, read_stream, short_streams

__all__ = ["Named", "explore_options", "explored", "streams_of"]

_CHECKOUT: Final = Path(__file__).parents[2]
_SHORT: Final = "short streams"

_Command = TypeVar("_Command", bound=Callable[..., Any])

Named = tuple[str, Sequence[Stream]]
"""Streams that are explored together, and what they are called."""


def explore_options(command: _Command) -> _Command:
    """``--explore [FILE]...``: the parameters *explores* and *files*."""
    explores = click.option(
        "--explore",
        "explores",
        is_flag=True,
        help="Also read streams in every order, by the real engine, with redeliveries, crashes and "
        "sweeps in between.",
    )
    files = click.argument(
        "files",
        metavar="[FILE]...",
        nargs=-1,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
    )
    return explores(files(command))


def streams_of(files: Sequence[Path]) -> list[Named]:
    """What is to be explored, by name."""
    named = files
    if not files and (_CHECKOUT / "pyproject.toml").is_file():  # else it is an installed package
        named = sorted((_CHECKOUT / "examples").glob("*.jsonl"))
    streams: list[Named] = [(path.name, [read_stream(path)]) for path in named]
    return streams if files else [*streams, (_SHORT, list(short_streams()))]


def explored(streams: Sequence[Named]) -> Iterator[Check]:
    """Go every way through each."""
    with _progress() as tell:
        for name, some in streams:
            wanted = REASONS if name == _SHORT else ()
            yield explore(name, some, tell=partial(tell, name), wanted=wanted)


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """A line on standard error, where that is a terminal: somebody waits."""
    console = console_on(sys.stderr)
    columns = TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("")
        yield lambda name, executions: progress.update(
            task, description=clean(f"Exploring {name}: {counted(executions, 'execution')}")
        )
