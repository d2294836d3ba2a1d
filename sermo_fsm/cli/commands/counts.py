"""``sermo-fsm counts``: how many chats are live."""

import click

from sermo_fsm.cli.csv_output import print_csv
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import csv_option, database_option, json_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import COUNT_COLUMNS, LIVE_STATES

__all__ = ["counts"]


@click.command(epilog="\b\nExample\n  sermo-fsm counts --json")
@database_option
@csv_option
@json_option
@click.pass_obj
def counts(shell: Shell, *, as_csv: bool, as_json: bool) -> None:
    """Count the live chats by platform and state."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with shell.engine() as engine:
        found = engine.counts()
    complete = {
        platform: {state: states.get(state, 0) for state in LIVE_STATES}
        for platform, states in found.items()
    }
    if as_json:
        print_json(complete)
    elif as_csv:
        print_csv(COUNT_COLUMNS, ((name, *states.values()) for name, states in complete.items()))
    else:
        shell.printer.print_counts(complete)
