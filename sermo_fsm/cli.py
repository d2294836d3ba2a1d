"""``sermo-fsm``: the engine from the shell (DESIGN, section 9).

Exit statuses: 0; 1 where a line was not taken or a check fails; 2 for wrong usage; 3 where the
database refused; 4 where there is no such user; 130 after Ctrl-C.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from sermo_fsm import _draw, _export, _prove, _tell, _upkeep
from sermo_fsm._ingest import STDIN, Tally, feed
from sermo_fsm._named import NamedChat, chat_options
from sermo_fsm._options import (
    a_moment,
    a_name,
    a_platform,
    a_policy,
    after_option,
    database_option,
    json_option,
    limit_option,
    main_database_option,
)
from sermo_fsm._sheet import Sheet
from sermo_fsm._shell import FAILED, Commands, Shell, print_json
from sermo_fsm._terminal import LIVE_STATES, counted
from sermo_fsm.events import Direction
from sermo_fsm.machine import State
from sermo_fsm.policy import Policy
from sermo_fsm.views import row_view, session_view, stray_view

__all__ = ["main"]

_QUEUES: Final = [queue.value for queue in Direction if queue is not Direction.TIMER]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    \b
    Exit status
      0    fine
      1    a line was not taken, or what was checked does not hold
      2    wrong usage, or a file that can't be read or written
      3    the database refused; nothing of what was asked for is in
      4    no such user or session
      130  Ctrl-C

    \b
    Examples
      sermo-fsm ingest events.jsonl
      sermo-fsm sessions --state queued
      sermo-fsm COMMAND --help
    """,
)
@main_database_option
@click.version_option(package_name="sermo-fsm", prog_name="sermo-fsm")
def main() -> None:
    """Say where every chat is: with the bot, in the queue, with a human, over.

    Events of chats go in as JSON Lines. A database keeps a finite-state machine for each chat, and
    its history; an empty SQLite file gets its tables by itself.
    """


@main.command(
    epilog="""
    A line is an envelope {"direction": "inbound", "messageId": "...", "receivedAt": "...",
    "platformId": "...", "event": {...}}, of which the middle three may be left out; or a bare
    event, whose direction then comes from --direction or stands in the event itself.

    \b
    Examples
      sermo-fsm ingest events.jsonl
      tail -F inbound.log | sermo-fsm ingest --direction inbound
      zcat 2026-03-*.gz | sermo-fsm ingest --json --db sqlite:///march.db

    What has a messageId counts once, so after a failure it can all be handed in again.
    """
)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--direction", type=click.Choice(_QUEUES), help="Queue of bare events.")
@click.option("--platform", metavar="ID", type=a_platform, help="For events without platformId.")
@click.option(
    "--policy",
    metavar="FILE",
    type=a_policy,
    envvar="SERMO_POLICY",
    show_envvar=True,
    help="How long a silent customer is believed to be there (TOML).",
)
@database_option
@json_option
@click.pass_obj
def ingest(
    shell: Shell,
    *,
    files: tuple[Path, ...],
    direction: str | None,
    platform: str | None,
    policy: Policy | None,
    as_json: bool,
) -> None:
    """Hand in events, one to a line, in order.

    Reads the FILEs one after the other; standard input for - or nothing.
    """
    tally = Tally()
    with shell.engine(policy) as engine:
        shell.so_far = tally.so_far
        feed(engine, files or (STDIN,), tally, direction=direction, platform_id=platform)
    shell.so_far = lambda: "Every line is in"
    shell.status = FAILED if tally.spoiled else 0
    if as_json:
        print_json(tally.view())
        return
    shell.page.say(f"{counted(tally.read, 'line')} read")
    for outcome, count in tally.outcomes.items():
        if count:
            shell.page.say(f"{outcome:<10}{count:>10}")


@main.command(
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


@main.command(
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


@main.command(epilog="\b\nExample\n  sermo-fsm counts --json")
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


@main.command(
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


@main.command(epilog="\b\nExample\n  sermo-fsm strays --json")
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


for command in (
    *(_tell.timeline, _upkeep.sweep, _upkeep.verify, _prove.check, _draw.diagram, _export.export),
    _upkeep.db,
):
    main.add_command(command)
