"""The command that draws."""

from pathlib import Path

import click

from sermo_fsm._files import whole_file
from sermo_fsm._options import json_option, output_option
from sermo_fsm._pictures import Picture, format_of, pictures_here
from sermo_fsm._shell import Shell, print_json
from sermo_fsm.diagram import FORMATS, render

__all__ = ["diagram"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm diagram
      sermo-fsm diagram --format dot | dot -Tsvg >machine.svg
      sermo-fsm diagram -o machine.mmd
      sermo-fsm diagram --check
    """
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default what FILE is named.")
@output_option
@click.option(
    "--check",
    "checks",
    is_flag=True,
    help="Write nothing: is FILE, or each file of ./diagrams, what would be drawn?",
)
@json_option
@click.pass_obj
def diagram(
    shell: Shell, *, kind: str | None, path: Path | None, checks: bool, as_json: bool
) -> None:
    """Draw the machine, as text for drawing tools."""
    path = None if path == Path("-") else path
    if path is not None:
        kind = kind or format_of(path)
        if kind is None:
            raise click.UsageError(f"{path} does not say which --format it is to have")
    if checks:
        pictures = [Picture(path, kind)] if path and kind else list(pictures_here(kind))
        _compare(shell, pictures, as_json=as_json)
        return
    kind = kind or FORMATS[0]
    text = render(kind)
    if path is not None:
        with whole_file(path) as file:
            file.write(text.encode())
    if as_json:
        print_json({"format": kind, "file": path and str(path), "diagram": text})
    elif path is None:
        click.echo(text, nl=False)


def _compare(shell: Shell, pictures: list[Picture], *, as_json: bool) -> None:
    views = [picture.view() for picture in pictures]
    verdicts = [shell.verdict(ok=view["problem"] is None) for view in views]
    if as_json:
        print_json({"ok": not shell.status, "files": views})
        return
    for verdict, view in zip(verdicts, views, strict=True):
        again = (
            f": {view['problem']}; sermo-fsm diagram --format {view['format']} -o {view['file']}"
        )
        shell.page.say(verdict, view["file"] + (again if view["problem"] else ""))
