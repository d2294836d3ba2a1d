"""The command that hands events in."""

from pathlib import Path
from typing import Final

import click

from sermo_fsm.cli.json_lines import STDIN, Tally, feed
from sermo_fsm.cli.options import a_platform, a_policy, database_option, json_option
from sermo_fsm.cli.shell import FAILED, Shell, print_json
from sermo_fsm.cli.terminal import counted
from sermo_fsm.core.policy import Policy
from sermo_fsm.protocol.events import Direction

__all__ = ["ingest"]

_QUEUES: Final = [queue.value for queue in Direction if queue is not Direction.TIMER]


@click.command(
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
