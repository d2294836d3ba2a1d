"""``sermo-fsm export``: files for other tools."""

from typing import Final

import click

from sermo_fsm.cli.lazy_group import LazyGroup

__all__ = ["COMMANDS", "export"]

COMMANDS: Final = {
    "history": "Write the histories of chats as an event log for process mining.",
    "machine": "Write the machine as a statechart.",
    "person": "Write all that is stored about one person, to hand it over.",
}
"""The name of each command, and the first line of its help."""


@click.group(cls=LazyGroup, package=__name__, summaries=COMMANDS)
def export() -> None:
    """Write the machine or the histories for other tools."""
