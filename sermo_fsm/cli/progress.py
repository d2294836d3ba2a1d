"""How far a long command is, for a person who watches; and remarks, for anyone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from attrs import frozen
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from sermo_fsm.cli.terminal import clean, console_on

__all__ = ["Watch", "counting", "unheard", "watching"]


@frozen
class Watch:
    """How far it is, for a person who watches; and remarks, for anyone."""

    console: Console
    progress: Progress | None = None

    def advance(self, read: int, lines: int) -> None:
        """*read* bytes further, *lines* lines in all."""
        if self.progress is not None:
            for task in self.progress.task_ids:
                self.progress.update(task, advance=read, lines=f"{lines} lines")

    def remark(self, text: str) -> None:
        """One line on standard error, which stops nothing where nobody listens any more."""
        with suppress(OSError):
            self.console.print(Text(clean(text)), soft_wrap=True)


@contextmanager
def watching(total: int | None, *, quiet: bool) -> Iterator[Watch]:
    """A bar on standard error where that is a terminal, over *total* bytes where they are known.

    Args:
        total: How many bytes there are to read.
        quiet: No bar in any case: somebody types there.
    """
    console = console_on(sys.stderr)
    if quiet or not console.is_terminal:
        yield Watch(console)
        return
    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[lines]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task("", total=total, lines="")
        yield Watch(console, progress)


def unheard(_read: int, _total: int | None) -> None:
    """Nobody watches."""


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """The same over a number of *what*: to be called with how many were read, and of how many."""
    console = console_on(sys.stderr)
    if not console.is_terminal:
        yield unheard
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda read, total: progress.update(task, completed=read, total=total)
