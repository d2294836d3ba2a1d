"""The command line: the outermost ring, which owns transactions, and the only one that prints."""

from sermo_fsm.cli.app import main

__all__ = ["main"]
