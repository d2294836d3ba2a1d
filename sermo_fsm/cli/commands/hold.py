"""``sermo-fsm hold``: hold somebody back."""

import click

from sermo_fsm.cli.json_output import print_json, print_json_array
from sermo_fsm.cli.options import by_option, database_option, json_option, valid_id, zone_option
from sermo_fsm.cli.shell import Shell

__all__ = ["hold"]


@click.command(
    epilog="""
    Whoever is held back is neither erased nor aged out, until 'sermo-fsm release'. Without PLATFORM
    and USER it lists who is held back, the longest first.

    \b
    Examples
      sermo-fsm hold messenger 4711 --reason case-2026-12 --by legal
      sermo-fsm hold
    """
)
@click.argument("platform", type=valid_id, required=False)
@click.argument("user", type=valid_id, required=False)
@click.option("--reason", metavar="CODE", type=valid_id, help="Why; needed to hold somebody.")
@by_option
@zone_option
@database_option
@json_option
@click.pass_obj
def hold(
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Hold a person back: neither erase nor age out.

    Prints the hold that stands: of a person who was held before, that of then.
    """
    if (platform, user, reason) == (None, None, None):
        with shell.engine() as engine:
            held = engine.holds()
        if as_json:
            print_json_array(one.as_dict() for one in held)
        else:
            for one in held:
                shell.printer.print_hold(one)
        return
    if platform is None or user is None or reason is None:
        raise click.UsageError("give PLATFORM, USER and --reason, or nothing for a list")
    with shell.engine() as engine:
        stands = engine.hold(platform, user, reason=reason, by=by)
    if stands is None:
        shell.report_not_found(f"no such user: {user} on {platform}", as_json=as_json)
    elif as_json:
        print_json(stands.as_dict())
    else:
        shell.printer.print_hold(stands)
