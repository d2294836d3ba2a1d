"""The commands that ask: where is this chat, which chats are there, what happened in one."""

import sys
from collections.abc import Sequence
from datetime import datetime

import click

from sermo_fsm.cli.options import (
    NamedChat,
    a_moment,
    a_name,
    after_option,
    chat_options,
    database_option,
    json_option,
    limit_option,
)
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.cli.tables import Sheet
from sermo_fsm.cli.terminal import LIVE_STATES
from sermo_fsm.core.machine import State
from sermo_fsm.views.json_views import row_view, session_view, stray_view

__all__ = ["counts", "history", "sessions", "status", "strays"]


@click.command(
    epilog="\b\nExample\n  sermo-fsm status comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690"
)
@click.argument("platform", type=a_name)
@click.argument("user", type=a_name)
@database_option
@json_option
@click.pass_obj
def status(shell: Shell, *, platform: str, user: str, as_json: bool) -> None:
    """Show where a user's chat is now.

    The last chat, where none is live.
    """
    with shell.engine() as engine:
        session = engine.status(platform, user)
    if session is None:
        shell.found_nobody(f"no such user: {user} on {platform}", as_json=as_json)
    elif as_json:
        print_json(session_view(session))
    else:
        shell.page.card(session)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm sessions --state queued --platform comviq-web
      sermo-fsm sessions --state bot --state open --json
      sermo-fsm sessions --agent anan01 --from 2026-03-01T00:00:00Z --before 2026-04-01T00:00:00Z
      sermo-fsm sessions --limit 100 --after 5f2c0f2e-...

    Behind the last of a list is where the next one goes on: its session is what --after takes.
    """
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="In this state; may be given again for more.",
)
@click.option("--platform", metavar="ID", type=a_name, help="Of this platform.")
@click.option("--user", metavar="ID", type=a_name, help="Of this user.")
@click.option("--agent", metavar="ID", type=a_name, help="Whose latest human agent is this one.")
@click.option(
    "--from", "opened_from", metavar="TIME", type=a_moment, help="That opened then or later."
)
@click.option(
    "--before", "opened_before", metavar="TIME", type=a_moment, help="That opened earlier."
)
@click.option(
    "--after", metavar="SESSION", type=a_name, help="Only what comes behind this session."
)
@limit_option
@database_option
@json_option
@click.pass_obj
def sessions(  # noqa: PLR0913 - one for each thing to ask by
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
    """List chat sessions, those that opened last first."""
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
        shell.list_all(found, session_view, Sheet(sys.stdout).sessions, as_json=as_json)


@click.command(epilog="\b\nExample\n  sermo-fsm counts --json")
@database_option
@json_option
@click.pass_obj
def counts(shell: Shell, *, as_json: bool) -> None:
    """Count the live chats, by platform and state."""
    with shell.engine() as engine:
        found = engine.counts()
    every = {
        platform: {state: states.get(state, 0) for state in LIVE_STATES}
        for platform, states in found.items()
    }
    if as_json:
        print_json(every)
    else:
        Sheet(sys.stdout).counts(every)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm history comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm history --session 5f2c0f2e-... --json
    """
)
@chat_options
@after_option("seq", 2**31 - 1)
@limit_option
@database_option
@json_option
@click.pass_obj
def history(
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    after: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what happened in a chat, row by row.

    The last chat of a user, or the session with this id.
    """
    which = NamedChat(platform, user, session_id)
    with shell.engine() as engine:
        session = which.find(engine)
        if session is None:
            shell.found_nobody(f"no such {which}", as_json=as_json)
            return
        rows = engine.history(session.session_id, after=after, limit=limit)
        shell.list_all(rows, row_view, Sheet(sys.stdout).history, as_json=as_json)


@click.command(epilog="\b\nExample\n  sermo-fsm strays --json")
@after_option("id")
@limit_option
@database_option
@json_option
@click.pass_obj
def strays(shell: Shell, *, after: int | None, limit: int | None, as_json: bool) -> None:
    """List what belongs to no session, and why."""
    with shell.engine() as engine:
        rows = engine.strays(after=after, limit=limit)
        shell.list_all(rows, stray_view, Sheet(sys.stdout).strays, as_json=as_json)
