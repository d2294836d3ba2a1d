"""The commands that write for other tools: statecharts, and logs for process mining."""

import gzip
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, cast

import click
from attrs import define

from sermo_fsm.cli.atomic_file import whole_file
from sermo_fsm.cli.options import a_moment, a_name, database_option, json_option, output_option
from sermo_fsm.cli.progress import counting, unheard
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.cli.terminal import counted
from sermo_fsm.export.event_log import SessionRows
from sermo_fsm.export.ocel import write_ocel
from sermo_fsm.export.statechart import STATECHARTS
from sermo_fsm.export.xes import write_xes

__all__ = ["export"]

_MACHINE_NAMED: Final = {".scxml": "scxml", ".xml": "scxml", ".json": "xstate"}
_HISTORY_NAMED: Final = {
    ".xes": "xes",
    ".xml": "xes",
    ".json": "ocel",
    ".jsonocel": "ocel",
}


@click.group()
def export() -> None:
    """Write the machine, or what happened, for other tools."""


@export.command(
    epilog="""
    \b
    Examples
      sermo-fsm export machine -o chat.scxml
      sermo-fsm export machine --format xstate >chat.json
    """
)
@click.option(
    "--format", "kind", type=click.Choice([*STATECHARTS]), help="By default what FILE is named."
)
@output_option
@json_option
@click.pass_obj
def machine(shell: Shell, *, kind: str | None, path: Path | None, as_json: bool) -> None:
    """Write the machine as a statechart.

    SCXML is the W3C's; xstate is the configuration of XState 5, in JSON.  What stays is a
    transition without a target, what is ignored is none.
    """
    del shell
    kind, path = _chosen(kind, path, _MACHINE_NAMED, next(iter(STATECHARTS)))
    text = STATECHARTS[kind]()
    if path is not None:
        with whole_file(path) as file:
            file.write(text.encode())
    if as_json:
        print_json({"format": kind, "file": path and str(path), "machine": text})
    elif path is None:
        click.echo(text, nl=False)


@export.command(
    epilog="""
    A case is a chat, and an event a row of its history, by its effective time.  What people wrote
    is not in it, nor what agents are called.  A customer is known by the id of the first chat;
    user ids are written only with --users.  The file is of one moment, whoever writes meanwhile.

    \b
    Examples
      sermo-fsm export history -o chats.xes.gz
      sermo-fsm export history -o march.json --since 2026-03-01T00:00Z --until 2026-04-01T00:00Z
    """
)
@click.option(
    "--format", "kind", type=click.Choice(["xes", "ocel"]), help="By default what FILE is named."
)
@click.option("--since", metavar="TIME", type=a_moment, help="Chats that opened then or later.")
@click.option("--until", metavar="TIME", type=a_moment, help="Chats that opened earlier.")
@click.option("--platform", metavar="ID", type=a_name, help="Chats of this platform.")
@click.option("--users", is_flag=True, help="With the ids of users, as they are.")
@output_option
@database_option
@json_option
@click.pass_obj
def history(  # noqa: PLR0913 - one for each thing to ask by
    shell: Shell,
    *,
    kind: str | None,
    since: datetime | None,
    until: datetime | None,
    platform: str | None,
    users: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the histories of chats as an event log, for process mining.

    XES is IEEE 1849, one case to a chat; OCEL 2.0 also has customers, platforms and agents, as
    JSON.  A FILE that ends in .gz is compressed.
    """
    kind, path = _chosen(kind, path, _HISTORY_NAMED, "xes")
    if as_json and path is None:
        raise click.UsageError("--json says what was written, so the log itself needs an --output")
    tally = _Tally()
    with shell.engine() as engine:
        found = engine.stories(platform=platform, opened_from=since, opened_before=until)
        watch = nullcontext(unheard) if path is None else counting("rows")
        with closing(found), _target(path) as write, watch as tell:
            stories = tally.counting(found, tell)
            if kind == "ocel":
                partial = since is not None or until is not None
                write_ocel(stories, write, users=users, partial=partial)
            else:
                write_xes(stories, write, users=users)
    if as_json:
        told = {"chats": tally.chats, "rows": tally.rows}
        print_json({"format": kind, "file": str(path), **told})
    elif path is not None:
        shell.page.say(str(tally))


def _chosen(
    kind: str | None, path: Path | None, named: Mapping[str, str], usual: str
) -> tuple[str, Path | None]:
    """The format, and the file where there is one."""
    if path is None or path == Path("-"):
        return kind or usual, None
    plain = path.with_suffix("") if path.suffix.lower() == _GZ else path
    says = named.get(plain.suffix.lower())
    if kind is None and says is None:
        raise click.UsageError(f"{path} does not say which --format it is to have")
    if kind is not None and says not in (None, kind):
        raise click.UsageError(f"{path} is named like {says}, and --format says {kind}")
    return kind or says or usual, path


_GZ: Final = ".gz"


@contextmanager
def _target(path: Path | None) -> Iterator[Callable[[str], object]]:
    """What takes the text: a file that is whole or not there, or standard output."""
    if path is None:
        yield sys.stdout.write
        return
    with whole_file(path) as file, ExitStack() as stack:
        target: BinaryIO = file
        if path.suffix.lower() == _GZ:  # without a name and a time: the same bytes every time
            packed = gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
            target = stack.enter_context(cast("BinaryIO", packed))
        text = TextIOWrapper(target, "utf-8", newline="\n")
        yield text.write
        text.flush()
        text.detach()


_LEVEL: Final = 6
_NOW_AND_THEN: Final = 1000  # rows


@define
class _Tally:
    """What has been written so far."""

    chats: int = 0
    rows: int = 0

    def counting(self, stories: SessionRows, tell: Callable[[int, None], object]) -> SessionRows:
        """The same, counted as they pass; now and then whoever watches is told."""
        last = None
        for session, row in stories:
            if session is not last:
                last = session
                self.chats += 1
            self.rows += 1
            if self.rows % _NOW_AND_THEN == 0:
                tell(self.rows, None)
            yield session, row
        tell(self.rows, None)

    def __str__(self) -> str:
        return f"{counted(self.chats, 'chat')} with {counted(self.rows, 'row')}"
