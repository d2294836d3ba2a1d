"""``sermo-fsm``, the command line (docs/design.md, section 9).

A command is a module in :mod:`sermo_fsm.cli.commands` and a line in :data:`COMMANDS`.
"""

from typing import Final

import click

from sermo_fsm.cli.lazy_group import LazyGroup
from sermo_fsm.cli.options import main_database_option, sealing_option
from sermo_fsm.cli.shell import Program

__all__ = ["COMMANDS", "main"]

COMMANDS: Final = {
    "board": "Show who waits, and what becomes of chats, in a browser.",
    "check": "Prove what the machine guarantees, case by case.",
    "close": "Close a user's live chat by hand.",
    "counts": "Count the live chats by platform and state.",
    "db": "Create or upgrade the tables, or show their revision.",
    "diagram": "Draw the machine, the path of one chat, or the traffic of all.",
    "erase": "Erase one person: what was said, and who it was.",
    "export": "Write the machine or the histories for other tools.",
    "figures": "Count waits, answers, who gave up, and what the bot solved by itself.",
    "history": "Show what happened in a chat, row by row.",
    "hold": "Hold a person back: neither erase nor age out.",
    "ingest": "Read events, one per line, and store them in order.",
    "publish": "Put events on the exchanges of a broker.",
    "release": "Hold a person back no longer.",
    "retain": "Erase what is older than it is to be kept.",
    "sessions": "List chat sessions, the last opened first.",
    "status": "Show where a user's chat is now.",
    "strays": "List events that belong to no session, and why.",
    "sweep": "Close every chat that is past its deadline.",
    "timeline": "Tell a chat as a conversation: who did what to whom, and when.",
    "verify": "Replay the stored history and check that it is consistent.",
    "waiting": "List who waits in the queue now, the longest first.",
    "worker": "Read the queues of a broker, and keep the database true.",
}
"""The name of each command, and the first line of its help."""


class _Main(Program, LazyGroup):
    pass


@click.group(
    cls=_Main,
    package="sermo_fsm.cli.commands",
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    \b
    Exit status
      0    success
      1    an input line was not accepted, a check failed, or somebody can't be erased now
      2    wrong usage, or a file that can't be read or written
      3    database error; nothing of the failed transaction is stored
      4    no such user or session, no live chat, or no hold
      5    the broker can't be reached, or refused
      130  Ctrl-C

    \b
    TIME is one of
      2026-03-01, 14:30, 2026-03-01 14:30, 2026-03-01T14:30:00Z,
      now, today, yesterday, yesterday 14:30, 2 hours ago
      If it names no time zone, it is in that of --zone or of the system.

    \b
    Examples
      sermo-fsm ingest events.jsonl
      sermo-fsm sessions --state queued
      sermo-fsm COMMAND --help
    """,
)
@main_database_option
@sealing_option
@click.version_option(package_name="sermo-fsm", prog_name="sermo-fsm")
def main() -> None:
    """Show where every chat is: with the bot, in the queue, with a human, or closed.

    Events of chats are read as JSON Lines. The database keeps a finite-state machine for each chat,
    and its history. An empty SQLite file gets its tables automatically.
    """
