"""``sermo-fsm diagram``: draw the machine, one chat, or the traffic."""

import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.diagram_files import SUFFIXES, DiagramFile, machine_diagrams
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    ChatSelector,
    chat_options,
    database_option,
    format_for,
    json_option,
    output_option,
    time_option,
    typed_zone_option,
    utf8_id,
)
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.diagram import FORMATS, THEMES, render
from sermo_fsm.picture.drawing import Drawing, machine_drawing
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.views.chat_path import path_from_rows

__all__ = ["diagram"]

_DEFAULT_SCALE: Final = 2.0
_MAX_SCALE: Final = 8


@frozen(kw_only=True)
class _Subject:
    """What to draw: the machine, one chat, or the traffic of all chats.

    Raises:
        click.UsageError: The options contradict each other.
    """

    chat: ChatSelector | None
    traffic: bool
    since: datetime | None
    until: datetime | None
    platform: str | None
    loops: bool

    def __attrs_post_init__(self) -> None:
        if self.chat and self.traffic:
            raise click.UsageError("--traffic draws all chats, so it takes no USER or --session")
        if self.chat and self.loops:
            raise click.UsageError("--loops can't be combined with a chat")
        if not self.traffic and (self.since or self.until or self.platform is not None):
            raise click.UsageError("--since, --until and --platform need --traffic")

    @property
    def is_machine(self) -> bool:
        """Whether to draw the machine alone."""
        return not self.chat and not self.traffic

    def drawing(self, shell: Shell) -> Drawing | None:
        """The diagram before layout and rendering; None if there is no such chat."""
        if self.is_machine:
            return machine_drawing(loops=self.loops)
        with shell.engine() as engine:
            if self.chat:
                session = self.chat.find(engine)
                if session is None:
                    return None
                chat_path = path_from_rows(session, engine.history(session.session_id))
                return path_drawing(chat_path, datetime.now(UTC))
            with progress_bar("rows") as progress:
                found = engine.traffic(
                    since=self.since, until=self.until, platform=self.platform, progress=progress
                )
        return traffic_drawing(found, loops=self.loops)


@frozen(kw_only=True)
class _Output:
    """The format of a diagram, and the file that it goes to."""

    format: str
    path: Path | None
    theme: str
    scale: float

    def render(self, drawing: Drawing) -> bytes:
        """The content of the file."""
        try:
            content = render(drawing, self.format, self.theme, scale=self.scale)
        except ImportError as error:
            raise click.UsageError(str(error)) from error
        return content if isinstance(content, bytes) else content.encode()

    def write(self, content: bytes, *, as_json: bool) -> None:
        """Write the content to the file, or print it."""
        if self.path is not None:
            with atomic_write(self.path) as file:
                file.write(content)
        if as_json:
            text = b64encode(content).decode() if self.format == "png" else content.decode()
            file_name = self.path and str(self.path)
            print_json({"format": self.format, "file": file_name, "diagram": text})
        elif self.path is None:
            click.echo(content, nl=False)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm diagram
      sermo-fsm diagram -o machine.svg --theme dark
      sermo-fsm diagram --format dot | dot -Tpdf >machine.pdf
      sermo-fsm diagram -o chat.png comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm diagram -o march.svg --traffic --since 2026-03-01
      sermo-fsm diagram --check

    The times in a picture are in UTC. PNG needs an extra: pip install 'sermo-fsm[diagrams]'. --json
    prints a PNG in base64.
    """
)
@chat_options
@click.option("--traffic", is_flag=True, help="Draw where all chats go, and how often.")
@time_option("--since", help="Traffic from TIME on.")
@time_option("--until", help="Traffic before TIME.")
@click.option(
    "--platform", "of_platform", metavar="ID", type=utf8_id, help="Traffic of this platform."
)
@click.option("--loops", is_flag=True, help="Also draw the events that keep the state.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="By default that of FILE's suffix."
)
@output_option
@click.option("--theme", type=click.Choice(THEMES), help="By default light.")
@click.option(
    "--scale",
    metavar="N",
    type=click.FloatRange(0, _MAX_SCALE, min_open=True),
    help=f"PNG pixels per unit of the SVG, up to {_MAX_SCALE}; by default {_DEFAULT_SCALE:g}.",
)
@click.option(
    "--check",
    "checks",
    is_flag=True,
    help="Write nothing; check that FILE, or each file in ./diagrams, is up to date.",
)
@typed_zone_option
@database_option
@json_option
@click.pass_obj
def diagram(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    traffic: bool,
    since: datetime | None,
    until: datetime | None,
    of_platform: str | None,
    loops: bool,
    format_: str | None,
    path: Path | None,
    theme: str | None,
    scale: float | None,
    checks: bool,
    as_json: bool,
) -> None:
    """Draw the machine, the path of one chat, or the traffic of all.

    Without arguments, draw the machine; that needs no database.
    """
    named = (platform, user, session_id)
    subject = _Subject(
        chat=None if named == (None, None, None) else ChatSelector(*named),
        traffic=traffic,
        since=since,
        until=until,
        platform=of_platform,
        loops=loops,
    )
    path = None if path == Path("-") else path
    if checks and path is None:
        if not subject.is_machine or loops or theme or scale:
            raise click.UsageError("--check without -o FILE takes only --format")
        _check_files(shell, list(machine_diagrams(format_)), as_json=as_json)
        return
    format_ = format_for(path, SUFFIXES, format_, FORMATS[0])
    if scale is not None and format_ != "png":
        raise click.UsageError("--scale needs --format png")
    if format_ == "png" and path is None and not as_json and sys.stdout.isatty():
        raise click.UsageError("a PNG can't be shown on a terminal; name a file with -o")
    drawing = subject.drawing(shell)
    if drawing is None:
        shell.report_not_found(f"no such {subject.chat}", as_json=as_json)
        return
    output = _Output(
        format=format_, path=path, theme=theme or THEMES[0], scale=scale or _DEFAULT_SCALE
    )
    content = output.render(drawing)
    if checks and path is not None:
        remedy = "run the same command without --check"
        file = DiagramFile(path, format_, lambda: content, remedy)
        _check_files(shell, [file], as_json=as_json)
    else:
        output.write(content, as_json=as_json)


def _check_files(shell: Shell, files: list[DiagramFile], *, as_json: bool) -> None:
    views = [file.view() for file in files]
    verdicts = [shell.verdict(ok=view["problem"] is None) for view in views]
    if as_json:
        print_json({"ok": not shell.status, "files": views})
        return
    for verdict, file, view in zip(verdicts, files, views, strict=True):
        problem = f": {view['problem']}; {file.remedy}" if view["problem"] else ""
        shell.printer.print_line(verdict, view["file"] + problem)
