"""``sermo-fsm release``: hold somebody back no longer."""

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option, valid_id, zone_option
from sermo_fsm.cli.shell import Shell

__all__ = ["release"]


@click.command(
    epilog="""
    What was too old meanwhile goes with the next 'sermo-fsm retain'. The exit status is 4 if this
    user is not held back.

    \b
    Examples
      sermo-fsm release messenger 4711
    """
)
@click.argument("platform", type=valid_id)
@click.argument("user", type=valid_id)
@zone_option
@database_option
@json_option
@click.pass_obj
def release(shell: Shell, *, platform: str, user: str, as_json: bool) -> None:
    """Hold a person back no longer.

    Prints the hold that stood.
    """
    with shell.engine() as engine:
        stood = engine.release(platform, user)
    if stood is None:
        shell.report_not_found(f"not held back: {user} on {platform}", as_json=as_json)
    elif as_json:
        print_json(stood.as_dict())
    else:
        shell.printer.print_line("released:")
        shell.printer.print_hold(stood)
