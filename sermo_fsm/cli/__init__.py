"""The command line, the only part of the package that prints."""

from sermo_fsm.cli.app import main

__all__ = ["main"]
