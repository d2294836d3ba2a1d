"""``sermo-fsm status``: where a user's chat is."""

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option, utf8_id, zone_option
from sermo_fsm.cli.shell import Shell

__all__ = ["status"]


@click.command(
    epilog="\b\nExample\n  sermo-fsm status comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690"
)
@click.argument("platform", type=utf8_id)
@click.argument("user", type=utf8_id)
@zone_option
@database_option
@json_option
@click.pass_obj
def status(shell: Shell, *, platform: str, user: str, as_json: bool) -> None:
    """Show where a user's chat is now.

    If no chat of the user is live, show the last one.
    """
    with shell.engine() as engine:
        session = engine.status(platform, user)
    if session is None:
        shell.report_not_found(f"no such user: {user} on {platform}", as_json=as_json)
    elif as_json:
        print_json(session.as_dict())
    else:
        shell.printer.print_session(session)
