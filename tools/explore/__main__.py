"""``make explore``: every way through streams of events, by the real engine."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from sermo_fsm.cli.commands.check import print_checks
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import json_option
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Program, Shell
from sermo_fsm.cli.terminal import console_on
from sermo_fsm.cli.text import escape_controls, pluralized
from sermo_fsm.proof.report import Check, Report
from sermo_fsm.proof.run import run_checks
from tools.explore.edges import REASONS
from tools.explore.run import explore
from tools.explore.streams import Stream, read_stream, short_streams

__all__ = ["main"]

_EXAMPLES: Final = Path(__file__).parents[2] / "examples"
_SHORT: Final = "short streams"

_Named = tuple[str, Sequence[Stream]]
"""Streams that are explored together, and what they are called."""


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    A FILE holds the chats of one user, as "sermo-fsm ingest" reads them, with a messageId and a
    receivedAt in every line. Without any, the examples and all short streams that there are are
    explored; that takes some minutes.
    """,
)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@json_option
@click.pass_context
def main(context: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Read streams in every order, by the real engine, with redeliveries, crashes and sweeps."""
    shell = context.ensure_object(Shell)
    streams = _streams_of(files)
    if as_json:
        report = Report(tuple(chain.from_iterable(_proved(streams))))
        shell.verdict(ok=report.ok)
        print_json(report.view())
        return
    for checks in _proved(streams):
        print_checks(shell, checks)


def _streams_of(files: Sequence[Path]) -> list[_Named]:
    """What is to be explored, by name."""
    named = files or sorted(_EXAMPLES.glob("*.jsonl"))
    streams: list[_Named] = [(path.name, [read_stream(path)]) for path in named]
    return streams if files else [*streams, (_SHORT, list(short_streams()))]


def _proved(streams: Sequence[_Named]) -> Iterator[Sequence[Check]]:
    """What takes seconds, and then what takes minutes."""
    with progress_bar("situations") as tell:
        report = run_checks(tell)
    yield report.checks
    if not report.ok:  # every way through a stream would say it again
        return
    with _progress() as tell_of:
        for name, some in streams:
            wanted = REASONS if name == _SHORT else ()
            yield [explore(name, some, tell=partial(tell_of, name), wanted=wanted)]


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
            task,
            description=escape_controls(f"Exploring {name}: {pluralized(executions, 'execution')}"),
        )


if __name__ == "__main__":
    main()
