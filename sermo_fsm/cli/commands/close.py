"""``sermo-fsm close``: end a live chat by hand."""

from datetime import datetime

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    database_option,
    json_option,
    time_option,
    valid_id,
    zone_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.errors import InvalidArgument

__all__ = ["close"]


@click.command(
    epilog="""
    Nothing opens a closed chat again: what the user sends next begins a new one. If no chat of this
    user is live, the exit status is 4.

    \b
    Examples
      sermo-fsm close comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690 --reason stuck
      sermo-fsm close comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690 --at '10 min ago'
    """
)
@click.argument("platform", type=valid_id)
@click.argument("user", type=valid_id)
@click.option(
    "--reason", metavar="CODE", type=valid_id, help="Why; kept in the row that closes the chat."
)
@time_option("--at", help="When it closes, not before its latest row; by default now.")
@zone_option
@database_option
@json_option
@click.pass_obj
def close(
    shell: Shell,
    *,
    platform: str,
    user: str,
    reason: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Close a user's live chat by hand.

    Prints the chat as it is then.
    """
    with shell.engine() as engine:
        try:
            receipt = engine.close_chat(platform, user, reason=reason, at=at)
        except InvalidArgument as error:
            raise click.BadParameter(f"wanted {error.wanted}", param_hint="'--at'") from None
    session = None if receipt is None else receipt.after
    if session is None:
        shell.report_not_found(f"no live chat: {user} on {platform}", as_json=as_json)
    elif as_json:
        print_json(session.as_dict())
    else:
        shell.printer.print_session(session)
