"""Ctrl-C while ``sermo-fsm`` is still loading ends it without a traceback, and with status 130.

The package imports this before anything else. In the process of a host it does nothing.
"""

import os
import signal
import sys
from typing import Final, NoReturn

__all__ = ["INTERRUPTED", "end_startup"]

INTERRUPTED: Final = 130
"""The exit status after Ctrl-C."""


def end_startup() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again: from now on somebody handles it."""
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit(*_: object) -> NoReturn:
    sys.exit(INTERRUPTED)


def _is_command() -> bool:
    """Whether this process was started as ``sermo-fsm`` or ``python -m sermo_fsm``."""
    name = os.path.basename("".join(sys.argv[:1]))  # noqa: PTH119 - pathlib takes time to load
    # Python calls itself "-m" until it has found the module, and imports the package before that.
    return name == "sermo-fsm" or (name == "-m" and "sermo_fsm" in sys.orig_argv)


# A process that ignores Ctrl-C, as one in the background, goes on ignoring it.
if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)
