"""``sermo-fsm ingest``: read events and store them."""

from pathlib import Path
from typing import Final

import click

from sermo_fsm.cli.json_lines import STDIN, Tally, ingest_files
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option, platform_id, policy_file
from sermo_fsm.cli.shell import FAILED, Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.core.policy import Policy
from sermo_fsm.protocol.events import Direction

__all__ = ["ingest"]

_QUEUES: Final = [queue.value for queue in Direction if queue is not Direction.TIMER]


@click.command(
    epilog="""
    Each line is an envelope {"direction": "inbound", "messageId": "...", "receivedAt": "...",
    "platformId": "...", "event": {...}}, in which the middle three are optional; or a bare event,
    whose direction is its own or that of --direction.

    \b
    Examples
      sermo-fsm ingest events.jsonl
      tail -F inbound.log | sermo-fsm ingest --direction inbound
      zcat 2026-03-*.gz | sermo-fsm ingest --json --db sqlite:///march.db

    An event with a messageId counts only once, so after a failure you can ingest everything again.
    """
)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--direction", type=click.Choice(_QUEUES), help="Queue of bare events.")
@click.option(
    "--platform", metavar="ID", type=platform_id, help="Platform of events without a platformId."
)
@click.option(
    "--policy",
    metavar="FILE",
    type=policy_file,
    envvar="SERMO_POLICY",
    show_envvar=True,
    help="How long a silent customer counts as present (TOML).",
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
    """Read events, one per line, and store them in order.

    The FILEs are read one after the other. Without any, or for -, standard input is read.
    """
    tally = Tally()
    with shell.engine(policy) as engine:
        shell.so_far = tally.so_far
        ingest_files(engine, files or (STDIN,), tally, direction=direction, platform_id=platform)
    shell.so_far = lambda: "Every line is in"
    shell.status = FAILED if tally.rejected else 0
    if as_json:
        print_json(tally.view())
        return
    shell.printer.print_line(f"{pluralized(tally.read, 'line')} read")
    for outcome, count in tally.outcomes.items():
        if count:
            shell.printer.print_line(f"{outcome:<10}{count:>10}")
