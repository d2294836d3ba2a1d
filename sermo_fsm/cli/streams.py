"""The standard streams of the process."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["discard_output", "use_utf8"]


def use_utf8() -> None:
    """Write UTF-8 whatever the locale, and ignore what goes to a stream that is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            # A lone surrogate is printed as the escape that it was read from, which is valid JSON.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard_output(stream: TextIO) -> None:
    """Send the rest of *stream* nowhere: a flush that fails at exit changes the exit status."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
