"""``sermo-fsm ingest``: read events and store them."""

from collections.abc import Callable
from pathlib import Path

import click

from sermo_fsm.cli.input_streams import STDIN
from sermo_fsm.cli.json_lines import Tally, ingest_files
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    database_option,
    json_option,
    platform_option,
    policy_option,
    redact_option,
)
from sermo_fsm.cli.shell import FAILED, Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.core.policy import Policy
from sermo_fsm.protocol.envelope import QueueName
from sermo_fsm.protocol.events import QUEUES

__all__ = ["ingest"]


@click.command(
    epilog="""
    Each line is an envelope {"direction": "inbound", "messageId": "...", "receivedAt": "...",
    "platformId": "...", "event": {...}}, in which the middle three are optional; or a bare event,
    whose direction is its own or that of --direction.

    \b
    Examples
      sermo-fsm ingest events.jsonl
      tail -F inbound.log | sermo-fsm ingest --direction inbound
      sermo-fsm ingest --json --db sqlite:///march.db 2026-03-*.jsonl.gz

    Input that is compressed by gzip or zstd is unpacked; zstd needs an extra before Python 3.14:
    pip install 'sermo-fsm[zstd]'. A JSON array, JSON over several lines, another archive or UTF-16
    is refused before anything is stored. In any other file a line that is no event is a stray.

    An event with a messageId counts only once, so after a failure you can ingest everything again.
    """
)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--direction",
    type=click.Choice([queue.value for queue in QUEUES]),
    help="Queue of bare events.",
)
@platform_option
@policy_option("How long a silent customer counts as present (TOML).")
@redact_option
@database_option
@json_option
@click.pass_obj
def ingest(
    shell: Shell,
    *,
    files: tuple[Path, ...],
    direction: QueueName | None,
    platform: str | None,
    policy: Policy | None,
    redact: Callable[[str], str] | None,
    as_json: bool,
) -> None:
    """Read events, one per line, and store them in order.

    The FILEs are read one after the other. Without any, or for -, standard input is read.
    """
    tally = Tally()
    with shell.engine(policy, redact=redact) as engine:
        shell.so_far = tally.so_far
        ingest_files(engine, files or (STDIN,), tally, direction=direction, platform_id=platform)
    shell.so_far = lambda: "Every line is stored"
    shell.status = FAILED if tally.rejected else 0
    if as_json:
        print_json(tally.view())
        return
    shell.printer.print_line(f"{pluralized(tally.read, 'line')} read")
    for outcome, count in tally.outcomes.items():
        if count:
            shell.printer.print_line(f"{outcome:<10}{count:>10}")
