"""``sermo-fsm strays``: list what belongs to no session."""

from functools import partial

import click

from sermo_fsm.cli.options import (
    after_option,
    bodies_option,
    csv_option,
    database_option,
    json_or_bodies_option,
    limit_option,
    zone_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.views.json_views import STRAY_KEYS, stray_view

__all__ = ["strays"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm strays
      sermo-fsm strays --bodies --json

    What people wrote is left out unless you ask for it: without --bodies, "event" and "raw" are
    null in JSON.
    """
)
@bodies_option
@after_option("id")
@limit_option
@zone_option
@database_option
@csv_option
@json_or_bodies_option
@click.pass_obj
def strays(
    shell: Shell, *, bodies: bool, after: int | None, limit: int | None, as_csv: bool, as_json: bool
) -> None:
    """List events that belong to no session, and why."""
    with shell.engine() as engine:
        rows = engine.strays(after=after, limit=limit)
        shell.print_list(
            rows,
            STRAY_KEYS,
            partial(stray_view, bodies=bodies),
            partial(shell.printer.print_strays, bodies=bodies),
            as_json=as_json,
            as_csv=as_csv,
        )
