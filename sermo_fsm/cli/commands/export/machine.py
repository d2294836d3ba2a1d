"""``sermo-fsm export machine``: the machine as a statechart."""

from pathlib import Path
from typing import Final

import click

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import format_for, json_option, output_option
from sermo_fsm.export.statechart import STATECHARTS

__all__ = ["machine"]

_SUFFIXES: Final = {".scxml": "scxml", ".xml": "scxml", ".json": "xstate"}


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm export machine -o chat.scxml
      sermo-fsm export machine --format xstate >chat.json
    """
)
@click.option(
    "--format",
    "format_",
    type=click.Choice([*STATECHARTS]),
    help="By default that of FILE's suffix.",
)
@output_option
@json_option
def machine(*, format_: str | None, path: Path | None, as_json: bool) -> None:
    """Write the machine as a statechart.

    The formats are SCXML by the W3C, and xstate, the configuration of XState 5 as JSON. An event
    that keeps the state is a transition without a target; an ignored event has no transition.
    """
    path = None if path == Path("-") else path
    format_ = format_for(path, _SUFFIXES, format_, next(iter(STATECHARTS)))
    text = STATECHARTS[format_]()
    if path is not None:
        with atomic_write(path) as file:
            file.write(text.encode())
    if as_json:
        print_json({"format": format_, "file": path and str(path), "machine": text})
    elif path is None:
        click.echo(text, nl=False)
