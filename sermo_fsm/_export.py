"""The command that writes the machine for other tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from sermo_fsm._files import whole_file
from sermo_fsm._options import json_option, output_option
from sermo_fsm._shell import Shell, print_json
from sermo_fsm.exports import EXPORTS

__all__ = ["export"]

_MACHINE_NAMED: Final = {".scxml": "scxml", ".xml": "scxml", ".json": "xstate"}


@click.group()
def export() -> None:
    """Write the machine for other tools."""


@export.command(
    epilog="""
    \b
    Examples
      sermo-fsm export machine -o chat.scxml
      sermo-fsm export machine --format xstate >chat.json
    """
)
@click.option(
    "--format", "kind", type=click.Choice([*EXPORTS]), help="By default what FILE is named."
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
    kind, path = _chosen(kind, path, _MACHINE_NAMED, next(iter(EXPORTS)))
    text = EXPORTS[kind]()
    if path is not None:
        with whole_file(path) as file:
            file.write(text.encode())
    if as_json:
        print_json({"format": kind, "file": path and str(path), "machine": text})
    elif path is None:
        click.echo(text, nl=False)


def _chosen(
    kind: str | None, path: Path | None, named: Mapping[str, str], usual: str
) -> tuple[str, Path | None]:
    """The format, and the file where there is one."""
    if path is None or path == Path("-"):
        return kind or usual, None
    kind = kind or named.get(path.suffix.lower())
    if kind is None:
        raise click.UsageError(f"{path} does not say which --format it is to have")
    return kind, path
