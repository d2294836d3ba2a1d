"""``sermo-fsm sessions``: list chat sessions by filters."""

from collections.abc import Sequence
from datetime import datetime

import click

from sermo_fsm.cli.options import database_option, json_option, limit_option, utc_time, utf8_id
from sermo_fsm.cli.shell import Shell
from sermo_fsm.core.machine import State
from sermo_fsm.views.json_views import session_view

__all__ = ["sessions"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm sessions --state queued --platform comviq-web
      sermo-fsm sessions --state bot --state open --json
      sermo-fsm sessions --agent anan01 --from 2026-03-01T00:00:00Z --before 2026-04-01T00:00:00Z
      sermo-fsm sessions --limit 100 --after 5f2c0f2e-...

    To continue a list, pass its last session to --after.
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
@click.option(
    "--from", "opened_from", metavar="TIME", type=utc_time, help="Opened at TIME or later."
)
@click.option(
    "--before", "opened_before", metavar="TIME", type=utc_time, help="Opened before TIME."
)
@click.option("--after", metavar="SESSION", type=utf8_id, help="Continue after this session.")
@limit_option
@database_option
@json_option
@click.pass_obj
def sessions(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    states: Sequence[str],
    platform: str | None,
    user: str | None,
    agent: str | None,
    opened_from: datetime | None,
    opened_before: datetime | None,
    after: str | None,
    limit: int | None,
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
        shell.print_list(found, session_view, shell.printer.print_sessions, as_json=as_json)
