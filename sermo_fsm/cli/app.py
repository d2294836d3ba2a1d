"""``sermo-fsm``: the engine from the shell (docs/design.md, section 9).

Exit statuses: 0; 1 where a line was not taken or a check fails; 2 for wrong usage; 3 where the
database refused; 4 where there is no such user; 130 after Ctrl-C.
"""

import click

from sermo_fsm.cli.check import check
from sermo_fsm.cli.diagram import diagram
from sermo_fsm.cli.export import export
from sermo_fsm.cli.ingest import ingest
from sermo_fsm.cli.maintenance import db, sweep, verify
from sermo_fsm.cli.options import main_database_option
from sermo_fsm.cli.queries import counts, history, sessions, status, strays
from sermo_fsm.cli.shell import Commands
from sermo_fsm.cli.timeline import timeline

__all__ = ["main"]


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


for command in (
    *(ingest, status, sessions, counts, history, timeline, strays, sweep, verify),
    *(check, diagram, export, db),
):
    main.add_command(command)
