"""``make explore``: take every path through streams of events, with the real engine."""

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
from sermo_fsm.cli.options import json_option, platform_option
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Program, Shell
from sermo_fsm.cli.terminal import console_on
from sermo_fsm.cli.text import escape_controls, pluralized
from sermo_fsm.proof.report import Check, Report
from sermo_fsm.proof.run import run_checks
from tools.explore.edges import REASONS
from tools.explore.run import explore, real_engine
from tools.explore.streams import Stream, read_stream, short_streams

__all__ = ["main"]

_EXAMPLES: Final = Path(__file__).parents[2] / "examples"
_SHORT: Final = "short streams"

_StreamGroup = tuple[str, Sequence[Stream]]
"""Streams that are explored together, with their name."""


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    A FILE holds the chats of one user, as "sermo-fsm ingest" reads them, with a messageId and a
    receivedAt in every line. Without any, the examples and all short streams that there are are
    explored; that takes some minutes. A stream with too many orders is explored in parts, each of
    which begins in the one before; what was received earlier is read earlier.
    """,
)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@platform_option
@json_option
@click.pass_context
def main(
    context: click.Context, files: tuple[Path, ...], *, platform: str | None, as_json: bool
) -> None:
    """Read streams in every order, by the real engine, with redeliveries, crashes and sweeps."""
    shell = context.ensure_object(Shell)
    groups = _stream_groups(files, platform)
    if as_json:
        report = Report(tuple(chain.from_iterable(_run(groups, platform))))
        shell.verdict(ok=report.ok)
        print_json(report.view())
        return
    for checks in _run(groups, platform):
        print_checks(shell, checks)


def _stream_groups(files: Sequence[Path], platform: str | None) -> list[_StreamGroup]:
    """The streams of *files*; without files those of the examples, and all short ones."""
    paths = files or sorted(_EXAMPLES.glob("*.jsonl"))
    groups: list[_StreamGroup] = [
        (path.name, read_stream(path, platform).parts()) for path in paths
    ]
    return groups if files else [*groups, (_SHORT, list(short_streams()))]


def _run(groups: Sequence[_StreamGroup], platform: str | None) -> Iterator[Sequence[Check]]:
    """Run the proofs, which take seconds, then explore each group, which can take minutes."""
    with progress_bar("situations") as progress:
        report = run_checks(progress)
    yield report.checks
    if not report.ok:  # every path through a stream would show the same again
        return
    with _show_executions() as show:
        for name, streams in groups:
            expected = REASONS if name == _SHORT else ()
            check = explore(
                name,
                streams,
                engine_factory=partial(real_engine, platform_id=platform),
                on_execution=partial(show, name),
                expected_edges=expected,
            )
            yield [check]


@contextmanager
def _show_executions() -> Iterator[Callable[[str, int], None]]:
    """Show the number of executions in a line on standard error, if that is a terminal."""
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
