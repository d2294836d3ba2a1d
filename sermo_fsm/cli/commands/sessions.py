"""``sermo-fsm sessions``: list chat sessions by filters."""

from collections.abc import Sequence
from datetime import datetime

import click

from sermo_fsm.cli.options import (
    csv_option,
    database_option,
    json_option,
    limit_option,
    time_option,
    utf8_id,
    zone_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.core.machine import State, StateName
from sermo_fsm.core.session import SESSION_KEYS, ChatSession

__all__ = ["sessions"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm sessions --state queued --platform comviq-web
      sermo-fsm sessions --state bot --state open --json
      sermo-fsm sessions --from '2 hours ago' --zone Europe/Stockholm
      sermo-fsm sessions --agent anan01 --from 2026-03-01 --before 2026-04-01
      sermo-fsm sessions --limit 100 --after 5f2c0f2e-...

    To continue a list, pass the id of its last session to --after.
    """
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="In this state; repeat it for several states.",
)
@click.option("--platform", metavar="ID", type=utf8_id, help="On this platform.")
@click.option("--user", metavar="ID", type=utf8_id, help="Of this user.")
@click.option("--agent", metavar="ID", type=utf8_id, help="Whose latest human agent is this one.")
@time_option("--from", "opened_from", help="Opened at TIME or later.")
@time_option("--before", "opened_before", help="Opened before TIME.")
@click.option("--after", metavar="SESSION", type=utf8_id, help="Continue after this session.")
@limit_option
@zone_option
@database_option
@csv_option
@json_option
@click.pass_obj
def sessions(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    states: Sequence[StateName],
    platform: str | None,
    user: str | None,
    agent: str | None,
    opened_from: datetime | None,
    opened_before: datetime | None,
    after: str | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List chat sessions, the last opened first."""
    with shell.engine() as engine:
        found = engine.sessions(
            state=states,
            platform=platform,
            user=user,
            agent=agent,
            opened_from=opened_from,
            opened_before=opened_before,
            after=after,
            limit=limit,
        )
        shell.print_list(
            found,
            SESSION_KEYS,
            ChatSession.as_dict,
            shell.printer.print_sessions,
            as_json=as_json,
            as_csv=as_csv,
        )
