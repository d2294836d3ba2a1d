"""``sermo-fsm retain``: keep nothing longer than is said."""

from datetime import timedelta

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    by_option,
    database_option,
    json_option,
    length,
    policy_option,
    valid_id,
)
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.core.erasure import Retained
from sermo_fsm.core.policy import Policy, Retention

__all__ = ["retain"]


@click.command(
    epilog="""
    AGE is 12h, 90d, 8w or 2y (of 365 days). It counts from the close of a chat, of strays from when
    they were received. Live chats stay, and whoever is held back. Without any AGE the policy file
    says how long what is kept, by platform.

    It works in portions that lock nobody for long. What was erased before an error, or before
    Ctrl-C, stays erased; run it again to go on, or every night by cron.

    \b
    Examples
      sermo-fsm retain --bodies 90d --pictures 30d --people 2y --strays 30d
      sermo-fsm retain --policy policy.toml --dry-run
    """
)
@click.option("--bodies", metavar="AGE", type=length, help="Erase what was said, and names.")
@click.option("--pictures", metavar="AGE", type=length, help="Erase pictures.")
@click.option("--people", metavar="AGE", type=length, help="Erase who it was, and all of that.")
@click.option("--strays", metavar="AGE", type=length, help="Erase what strays say, and of whom.")
@click.option("--platform", metavar="ID", type=valid_id, help="Only on this platform.")
@policy_option("How long what is kept (TOML).")
@by_option
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@database_option
@json_option
@click.pass_obj
def retain(
    shell: Shell,
    /,
    *,
    platform: str | None,
    policy: Policy | None,
    by: str | None,
    dry_run: bool,
    as_json: bool,
    **ages: timedelta | None,
) -> None:
    """Erase what is older than it is to be kept."""
    typed = Retention(**ages) if any(ages.values()) else None
    if typed is None and not (policy and policy.forgets):
        wanted = "by --bodies 90d and the like, or by [retain] in the file of --policy"
        raise click.UsageError(f"say how long what is kept, {wanted}")
    so_far = Retained()

    with shell.engine(policy) as engine, progress_bar("erased") as show:

        def note(done: Retained) -> None:
            nonlocal so_far
            so_far = done
            show(done.bodies + done.pictures + done.persons + done.strays, None)

        shell.so_far = lambda: f"{so_far.bodies} bodies are erased"
        so_far = engine.retain(typed, platform=platform, by=by, dry_run=dry_run, progress=note)
    if as_json:
        print_json(so_far.as_dict())
        return
    shell.printer.print_line("would be erased" if dry_run else "erased")
    shell.printer.print_amount(so_far)
    if so_far.held:
        shell.printer.print_line(f"{pluralized(so_far.held, 'person')} held back, passed over")
    shell.warn_of_copies(so_far.overwritten)
