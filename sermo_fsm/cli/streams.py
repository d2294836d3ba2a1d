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
        elif isinstance(stream, io.TextIOWrapper) and stream is sys.__stderr__:
            stream = _BestEffortOutput(stream.fileno())
        setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            # A lone surrogate is printed as the escape that it was read from, which is valid JSON.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class _BestEffortOutput(io.TextIOWrapper):
    """Standard error, which may be full or closed: then the exit status still tells.

    What can't be written is dropped. If it stayed in the buffer, the interpreter would try again
    at exit, and change the exit status to 120.
    """

    def __init__(self, descriptor: int) -> None:
        # Not a raw stream of our own: Ctrl-C in its write() would have the text written twice.
        raw = io.FileIO(descriptor, "wb", closefd=False)
        super().__init__(io.BufferedWriter(raw))

    def write(self, text: str) -> int:
        """Write *text* at once if possible, and report it as written in any case."""
        with suppress(OSError):
            written = super().write(text)
            self.flush()
            return written
        discard_output(self)
        return len(text)


def discard_output(stream: TextIO) -> None:
    """Send the rest of *stream* nowhere: a flush that fails at exit changes the exit status."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
