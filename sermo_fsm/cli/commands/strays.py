"""``sermo-fsm strays``: list what belongs to no session."""

import click

from sermo_fsm.cli.options import after_option, database_option, json_option, limit_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.views.json_views import stray_view

__all__ = ["strays"]


@click.command(epilog="\b\nExample\n  sermo-fsm strays --json")
@after_option("id")
@limit_option
@database_option
@json_option
@click.pass_obj
def strays(shell: Shell, *, after: int | None, limit: int | None, as_json: bool) -> None:
    """List events that belong to no session, and why."""
    with shell.engine() as engine:
        rows = engine.strays(after=after, limit=limit)
        shell.print_list(rows, stray_view, shell.printer.print_strays, as_json=as_json)
