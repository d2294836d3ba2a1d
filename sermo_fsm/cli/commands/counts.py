"""``sermo-fsm counts``: how many chats are live."""

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import LIVE_STATES

__all__ = ["counts"]


@click.command(epilog="\b\nExample\n  sermo-fsm counts --json")
@database_option
@json_option
@click.pass_obj
def counts(shell: Shell, *, as_json: bool) -> None:
    """Count the live chats by platform and state."""
    with shell.engine() as engine:
        found = engine.counts()
    complete = {
        platform: {state: states.get(state, 0) for state in LIVE_STATES}
        for platform, states in found.items()
    }
    if as_json:
        print_json(complete)
    else:
        shell.printer.print_counts(complete)
