"""``sermo-fsm export history``: histories as an event log."""

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, cast

import click
from attrs import define

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    database_option,
    format_for,
    json_option,
    output_option,
    utc_time,
    utf8_id,
)
from sermo_fsm.cli.progress import ignore_progress, progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.export.event_log import SessionRows
from sermo_fsm.export.ocel import write_ocel
from sermo_fsm.export.xes import write_xes

__all__ = ["history"]

_FORMATS: Final = {
    ".xes": "xes",
    ".xml": "xes",
    ".json": "ocel",
    ".jsonocel": "ocel",
}
_GZIP_SUFFIX: Final = ".gz"
_GZIP_LEVEL: Final = 6
_ROWS_PER_REPORT: Final = 1000


@click.command(
    epilog="""
    A chat is a case, and a row of its history is an event at the row's effective time. Texts and
    agents' names are left out. A customer is identified by the id of the first chat; user ids are
    written only with --users. The file shows the database at one moment, even if others write
    meanwhile.

    \b
    Examples
      sermo-fsm export history -o chats.xes.gz
      sermo-fsm export history -o march.json --since 2026-03-01T00:00Z --until 2026-04-01T00:00Z
    """
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["xes", "ocel"]),
    help="By default that of FILE's suffix.",
)
@click.option("--since", metavar="TIME", type=utc_time, help="Chats opened at TIME or later.")
@click.option("--until", metavar="TIME", type=utc_time, help="Chats opened before TIME.")
@click.option("--platform", metavar="ID", type=utf8_id, help="Chats on this platform.")
@click.option("--users", is_flag=True, help="Include user ids.")
@output_option
@database_option
@json_option
@click.pass_obj
def history(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    format_: str | None,
    since: datetime | None,
    until: datetime | None,
    platform: str | None,
    users: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the histories of chats as an event log for process mining.

    XES (IEEE 1849) has one case for each chat. OCEL 2.0, as JSON, also has customers, platforms and
    agents. A FILE that ends in .gz is compressed.
    """
    path = None if path == Path("-") else path
    format_ = format_for(path, _format_of, format_, "xes")
    if as_json and path is None:
        raise click.UsageError("--json describes the file, so it needs --output FILE")
    tally = _Tally()
    with shell.engine() as engine:
        found = engine.stories(platform=platform, opened_from=since, opened_before=until)
        progress = nullcontext(ignore_progress) if path is None else progress_bar("rows")
        with closing(found), _target(path) as write, progress as report_progress:
            stories = tally.counted(found, report_progress)
            if format_ == "ocel":
                partial = since is not None or until is not None
                write_ocel(stories, write, users=users, partial=partial)
            else:
                write_xes(stories, write, users=users)
    if as_json:
        counts = {"chats": tally.chats, "rows": tally.rows}
        print_json({"format": format_, "file": str(path), **counts})
    elif path is not None:
        shell.printer.print_line(str(tally))


def _format_of(path: Path) -> str | None:
    plain = path.with_suffix("") if path.suffix.lower() == _GZIP_SUFFIX else path
    return _FORMATS.get(plain.suffix.lower())


@contextmanager
def _target(path: Path | None) -> Iterator[Callable[[str], object]]:
    """A function that writes text to standard output, or to a file that replaces *path*."""
    if path is None:
        yield sys.stdout.write
        return
    with atomic_write(path) as file, ExitStack() as stack:
        target: BinaryIO = file
        if path.suffix.lower() == _GZIP_SUFFIX:  # without a name or time, so the bytes are the same
            packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)
            target = stack.enter_context(cast("BinaryIO", packed))
        text = TextIOWrapper(target, "utf-8", newline="\n")
        yield text.write
        text.flush()
        text.detach()


@define
class _Tally:
    """How many chats and rows were written."""

    chats: int = 0
    rows: int = 0

    def counted(self, stories: SessionRows, report: Callable[[int, None], object]) -> SessionRows:
        """Pass on *stories* and count them, with a report of the rows every 1000 rows."""
        last = None
        for session, row in stories:
            if session is not last:
                last = session
                self.chats += 1
            self.rows += 1
            if self.rows % _ROWS_PER_REPORT == 0:
                report(self.rows, None)
            yield session, row
        report(self.rows, None)

    def __str__(self) -> str:
        return f"{pluralized(self.chats, 'chat')} with {pluralized(self.rows, 'row')}"
