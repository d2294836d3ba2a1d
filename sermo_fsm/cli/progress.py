"""Progress bars on standard error, if that is a terminal; and remarks.

rich is imported only for a terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from attrs import frozen

from sermo_fsm.cli.streams import discard_output
from sermo_fsm.cli.text import escape_controls

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["IngestProgress", "ignore_progress", "ingest_progress", "progress_bar"]


@frozen
class IngestProgress:
    """Reports how far ``ingest`` is, and prints its remarks above the bar.

    Attributes:
        stream: Where remarks go if there is no bar.
        bar: None if standard error is not a terminal.
    """

    stream: TextIO
    bar: "Progress | None" = None

    def advance(self, size: int, lines: int) -> None:
        """Move the bar.

        Args:
            size: How many bytes were read since the last call.
            lines: How many lines are stored in all.
        """
        if self.bar is not None:
            for task in self.bar.task_ids:
                self.bar.update(task, advance=size, lines=f"{lines} lines")

    def remark(self, text: str) -> None:
        """Print one line on standard error; if that can't be written, go on without."""
        safe = escape_controls(text)
        try:
            if self.bar is None:
                self.stream.write(f"{safe}\n")
                self.stream.flush()
            else:
                self.bar.console.print(safe, soft_wrap=True)
        except OSError:
            discard_output(self.stream)


@contextmanager
def ingest_progress(total: int | None, *, quiet: bool) -> Iterator[IngestProgress]:
    """A progress bar over the input of ``ingest``.

    Args:
        total: The number of bytes to read, if known.
        quiet: Show no bar, because the input is typed on the same terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield IngestProgress(sys.stderr)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from sermo_fsm.cli.terminal import console_on

    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[lines]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console_on(sys.stderr), transient=True) as bar:
        bar.add_task("", total=total, lines="")
        yield IngestProgress(sys.stderr, bar)


def ignore_progress(_done: int, _total: int | None) -> None:
    """Discard progress reports."""


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that counts in *unit*, a plural.

    Yields:
        To be called with the number that is done, and the total if known.
    """
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from sermo_fsm.cli.terminal import console_on

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    with Progress(*columns, console=console_on(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
