"""``sermo-fsm erase``: erase one person."""

from typing import Any

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    by_option,
    database_option,
    json_option,
    valid_id,
    zone_option,
)
from sermo_fsm.cli.shell import FAILED, Failure, Shell
from sermo_fsm.core.json_form import time_view
from sermo_fsm.errors import ChatStillLive, PersonHeld

__all__ = ["erase"]


@click.command(
    epilog="""
    What was said goes, with names, pictures and the texts of strays; ids become random ones. What
    happened when stays, so figures and 'verify' say the same as before. Message ids stay: what is
    delivered again brings nothing back. docs/privacy.md says what may be left in backups and logs.

    The exit status is 1 if the person has a live chat or is held back, and 4 if there is nobody.

    \b
    Examples
      sermo-fsm erase comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690 --dry-run
      sermo-fsm erase messenger 4711 --reason art-17 --by dpo
    """
)
@click.argument("platform", type=valid_id)
@click.argument("user", type=valid_id)
@click.option("--reason", metavar="CODE", type=valid_id, help="Why; kept, without the user.")
@by_option
@click.option("--even-live", is_flag=True, help="Close a live chat first, instead of refusing.")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@zone_option
@database_option
@json_option
@click.pass_obj
def erase(
    shell: Shell, /, *, platform: str, user: str, dry_run: bool, as_json: bool, **how: Any
) -> None:
    """Erase one person: what was said, and who it was.

    Prints how much, and the random id that stands in place of the user's.
    """
    with shell.engine() as engine:
        try:
            receipt = engine.erase(platform, user, dry_run=dry_run, **how)
        except ChatStillLive as error:
            raise Failure(f"{error}; try again later, or with --even-live", FAILED) from None
        except PersonHeld as error:
            raise Failure(f"{error}; 'sermo-fsm release' ends that", FAILED) from None
    if receipt is None:
        shell.report_not_found(f"no such user: {user} on {platform}", as_json=as_json)
        return
    if as_json:
        print_json(receipt.as_dict())
        return
    said = "would be erased" if dry_run else f"erased at {time_view(receipt.erased_at, shell.zone)}"
    shell.printer.print_line(f"1 person {said}{', a live chat closed first' * receipt.closed}")
    shell.printer.print_amount(receipt)
    if receipt.user_id is not None:
        shell.printer.print_line(f"now {receipt.user_id}")
    shell.warn_of_copies(receipt.overwritten)
