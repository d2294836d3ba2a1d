"""The command that draws."""

import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from sermo_fsm.cli.atomic_file import whole_file
from sermo_fsm.cli.diagram_files import Picture, format_of, pictures_here
from sermo_fsm.cli.options import (
    NamedChat,
    a_moment,
    a_name,
    chat_options,
    database_option,
    json_option,
    output_option,
)
from sermo_fsm.cli.progress import counting
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.diagram import FORMATS, THEMES, render
from sermo_fsm.picture.drawing import Drawing, machine_drawing
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.views.chat_path import path_from_rows

__all__ = ["diagram"]

_SCALE: Final = 2.0
_MOST: Final = 8


@frozen(kw_only=True)
class _Wanted:
    """What is to be drawn: the machine, one chat, or the traffic of all of them."""

    chat: NamedChat | None
    traffic: bool
    since: datetime | None
    until: datetime | None
    platform: str | None
    loops: bool

    def __attrs_post_init__(self) -> None:
        """Some of it contradicts the rest.

        Raises:
            click.UsageError: With words that say what.
        """
        if self.chat and self.traffic:
            raise click.UsageError(
                "--traffic is of all chats, so it goes with no USER or --session"
            )
        if self.chat and self.loops:
            raise click.UsageError("--loops does not go with a chat: its path is what moved it")
        if not self.traffic and (self.since or self.until or self.platform is not None):
            raise click.UsageError("--since, --until and --platform go with --traffic")

    @property
    def machine(self) -> bool:
        """Only that."""
        return not self.chat and not self.traffic

    def drawing(self, shell: Shell) -> Drawing | None:
        """What nobody has drawn yet; None where there is no such chat."""
        if self.machine:
            return machine_drawing(loops=self.loops)
        with shell.engine() as engine:
            if self.chat:
                session = self.chat.find(engine)
                if session is None:
                    return None
                chat_path = path_from_rows(session, engine.history(session.session_id))
                return path_drawing(chat_path, datetime.now(UTC))
            with counting("rows") as progress:
                found = engine.traffic(
                    since=self.since, until=self.until, platform=self.platform, progress=progress
                )
        return traffic_drawing(found, loops=self.loops)


@frozen(kw_only=True)
class _Paper:
    """What it is to be drawn on."""

    kind: str
    path: Path | None
    theme: str
    scale: float

    def draw(self, drawing: Drawing) -> bytes:
        """The bytes of the file."""
        try:
            drawn = render(drawing, self.kind, self.theme, scale=self.scale)
        except ImportError as error:
            raise click.UsageError(str(error)) from error
        return drawn if isinstance(drawn, bytes) else drawn.encode()

    def put(self, drawn: bytes, *, as_json: bool) -> None:
        """Write it, or print it."""
        if self.path is not None:
            with whole_file(self.path) as file:
                file.write(drawn)
        if as_json:
            text = b64encode(drawn).decode() if self.kind == "png" else drawn.decode()
            file_name = self.path and str(self.path)
            print_json({"format": self.kind, "file": file_name, "diagram": text})
        elif self.path is None:
            click.echo(drawn, nl=False)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm diagram
      sermo-fsm diagram -o machine.svg --theme dark
      sermo-fsm diagram --format dot | dot -Tpdf >machine.pdf
      sermo-fsm diagram -o chat.png comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm diagram -o march.svg --traffic --since 2026-03-01T00:00:00Z
      sermo-fsm diagram --check

    PNG needs an extra: pip install 'sermo-fsm[diagrams]'. In --json a PNG is in base64.
    """
)
@chat_options
@click.option("--traffic", is_flag=True, help="Draw where all chats go, and how often.")
@click.option("--since", metavar="TIME", type=a_moment, help="Traffic from then on.")
@click.option("--until", metavar="TIME", type=a_moment, help="Traffic before then.")
@click.option("--platform", "of_platform", metavar="ID", type=a_name, help="Traffic of this one.")
@click.option("--loops", is_flag=True, help="Draw what does not move a chat, too.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default what FILE is named.")
@output_option
@click.option("--theme", type=click.Choice(THEMES), help="Of the page; by default light.")
@click.option(
    "--scale",
    metavar="N",
    type=click.FloatRange(0, _MOST, min_open=True),
    help=f"Pixels for one of the SVG, up to {_MOST}; by default {_SCALE:g}. For png.",
)
@click.option(
    "--check",
    "checks",
    is_flag=True,
    help="Write nothing: is FILE, or each file of ./diagrams, what would be drawn?",
)
@database_option
@json_option
@click.pass_obj
def diagram(  # noqa: PLR0913 - one for each thing that can be said
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
    kind: str | None,
    path: Path | None,
    theme: str | None,
    scale: float | None,
    checks: bool,
    as_json: bool,
) -> None:
    """Draw the machine, the path of one chat, or the traffic of all.

    Without anything else it is the machine alone, and no database is asked.
    """
    named = (platform, user, session_id)
    wanted = _Wanted(
        chat=None if named == (None, None, None) else NamedChat(*named),
        traffic=traffic,
        since=since,
        until=until,
        platform=of_platform,
        loops=loops,
    )
    path = None if path == Path("-") else path
    if checks and path is None:
        if not wanted.machine or loops or theme or scale:
            raise click.UsageError("--check without -o FILE is of ./diagrams as they are made")
        _compare(shell, list(pictures_here(kind)), as_json=as_json)
        return
    kind = _kind_of(kind, path)
    if scale is not None and kind != "png":
        raise click.UsageError("--scale is of pixels, so it goes with --format png")
    if kind == "png" and path is None and not as_json and sys.stdout.isatty():
        raise click.UsageError("a PNG is nothing for a terminal; name a file with -o")
    drawing = wanted.drawing(shell)
    if drawing is None:
        shell.found_nobody(f"no such {wanted.chat}", as_json=as_json)
        return
    paper = _Paper(kind=kind, path=path, theme=theme or THEMES[0], scale=scale or _SCALE)
    drawn = paper.draw(drawing)
    if checks and path is not None:
        again = "the same without --check"
        _compare(shell, [Picture(path, kind, lambda: drawn, again)], as_json=as_json)
    else:
        paper.put(drawn, as_json=as_json)


def _kind_of(kind: str | None, path: Path | None) -> str:
    """The format that was asked for, in the one way or the other."""
    if path is None:
        return kind or FORMATS[0]
    named = format_of(path)
    if kind is None and named is None:
        raise click.UsageError(f"{path} does not say which --format it is to have")
    if kind is not None and named not in (None, kind):
        raise click.UsageError(f"{path} is named like {named}, and --format says {kind}")
    return kind or named or ""


def _compare(shell: Shell, pictures: list[Picture], *, as_json: bool) -> None:
    views = [picture.view() for picture in pictures]
    verdicts = [shell.verdict(ok=view["problem"] is None) for view in views]
    if as_json:
        print_json({"ok": not shell.status, "files": views})
        return
    for verdict, picture, view in zip(verdicts, pictures, views, strict=True):
        again = f": {view['problem']}; {picture.remedy}"
        shell.page.say(verdict, view["file"] + (again if view["problem"] else ""))
