"""``sermo-fsm sweep``: close what is past its deadline."""

from datetime import UTC, datetime

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option, time_option, zone_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.core.json_form import time_view

__all__ = ["sweep"]


@click.command(
    epilog="""
    Run it regularly, for example by cron. The customer's next event also closes an overdue chat,
    but it may never come.

    \b
    Examples
      sermo-fsm sweep
      sermo-fsm sweep --up-to '5 min ago'
    """
)
@time_option(
    "--up-to",
    help="Time up to which the inbound queue has been read; by default now.",
)
@zone_option
@database_option
@json_option
@click.pass_obj
def sweep(shell: Shell, *, up_to: datetime | None, as_json: bool) -> None:
    """Close every chat that is past its deadline."""
    moment = up_to or datetime.now(UTC)
    with shell.engine() as engine:
        closed = len(engine.sweep(moment))
    if as_json:
        print_json({"upTo": time_view(moment), "closed": closed})
    else:
        text = f"{pluralized(closed, 'session')} closed, up to {time_view(moment, shell.zone)}"
        shell.printer.print_line(text)
