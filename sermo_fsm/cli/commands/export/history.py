"""``sermo-fsm export history``: histories as an event log."""

import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from shlex import quote
from stat import S_IRWXG, S_IRWXO
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
    time_option,
    typed_zone_option,
    utf8_id,
)
from sermo_fsm.cli.progress import ignore_progress, progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.export.event_log import SessionRows
from sermo_fsm.export.ocel import write_ocel
from sermo_fsm.export.pseudonyms import KEY_BYTES, Pseudonyms
from sermo_fsm.export.xes import write_xes

__all__ = ["history"]

_SUFFIXES: Final = {
    ".xes": "xes",
    ".xml": "xes",
    ".json": "ocel",
    ".jsonocel": "ocel",
}
_GZIP_SUFFIX: Final = ".gz"
_GZIP_LEVEL: Final = 6
_ROWS_PER_REPORT: Final = 1000


_LONGEST_KEY: Final = 4096


def _pseudonyms(value: str) -> Pseudonyms:
    """Pseudonyms by the key in a file."""
    try:
        with Path(value).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(_LONGEST_KEY + 1).rstrip(b"\r\n")  # that an editor may have added
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from None
    if os.name == "posix" and mode & (S_IRWXG | S_IRWXO):
        message = f"{value}: others than its owner may use it; run: chmod 600 {quote(value)}"
        raise click.BadParameter(message)
    if not KEY_BYTES <= len(key) <= _LONGEST_KEY:
        how = "make one by: openssl rand -hex 32"
        message = f"wanted a key of {KEY_BYTES} to {_LONGEST_KEY} bytes, got {len(key)}; {how}"
        raise click.BadParameter(f"{value}: {message}")
    return Pseudonyms(key)


@click.command(
    epilog="""
    A chat is a case, and a row of its history is an event at the row's effective time. Texts and
    agents' names are left out. Users and chats stand under pseudonyms, and messages have no ids,
    unless you ask for them with --users. A customer has one pseudonym in a file, and with the same
    key in every file; without a key it is a random one that is forgotten. A key is a file that
    only you may read: openssl rand -hex 32 >FILE

    The file shows the database at one moment, even if others write meanwhile.

    \b
    Examples
      sermo-fsm export history -o chats.xes.gz
      sermo-fsm export history -o march.json --since 2026-03-01 --until 2026-04-01
    """
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["xes", "ocel"]),
    help="By default that of FILE's suffix.",
)
@time_option("--since", help="Chats opened at TIME or later.")
@time_option("--until", help="Chats opened before TIME.")
@click.option("--platform", metavar="ID", type=utf8_id, help="Chats on this platform.")
@click.option("--users", is_flag=True, help="Include the ids of users, chats and messages.")
@click.option(
    "--pseudonym-key",
    "pseudonyms",
    metavar="FILE",
    type=_pseudonyms,
    help="Make pseudonyms by the key in FILE, of 32 bytes or more.",
)
@output_option
@typed_zone_option
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
    pseudonyms: Pseudonyms | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the histories of chats as an event log for process mining.

    XES (IEEE 1849) has one case for each chat. OCEL 2.0, as JSON, also has customers, platforms and
    agents. A FILE that ends in .gz is compressed.
    """
    path = None if path == Path("-") else path
    format_ = format_for(path and _without_gzip(path), _SUFFIXES, format_, "xes")
    if as_json and path is None:
        raise click.UsageError("--json describes the file, so it needs --output FILE")
    if users and pseudonyms is not None:
        raise click.UsageError("--users and --pseudonym-key exclude each other")
    tally = _Tally()
    with shell.engine() as engine:
        found = engine.stories(platform=platform, opened_from=since, opened_before=until)
        progress = nullcontext(ignore_progress) if path is None else progress_bar("rows")
        with closing(found), _target(path) as write, progress as report_progress:
            stories = tally.counted(found, report_progress)
            if format_ == "ocel":
                partial = since is not None or until is not None
                write_ocel(stories, write, users=users, partial=partial, pseudonyms=pseudonyms)
            else:
                write_xes(stories, write, users=users, pseudonyms=pseudonyms)
    if as_json:
        counts = {"chats": tally.chats, "rows": tally.rows}
        print_json({"format": format_, "file": str(path), **counts})
    elif path is not None:
        shell.printer.print_line(str(tally))


def _without_gzip(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == _GZIP_SUFFIX else path


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
