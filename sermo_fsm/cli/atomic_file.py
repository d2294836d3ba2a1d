"""Writing a file completely or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which replaces *path* at the end of the block, unless that raises.

    Readers see either the old file or the new one. A pipe or device is written to directly.

    Raises:
        OSError: The file can't be written; it names *path*, or its folder if that is missing.
    """
    try:
        with _open(path) as file:
            yield file
    except OSError as error:
        named = path if path.parent.is_dir() else path.parent
        raise OSError(error.errno, error.strerror, str(named)) from error


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if path.exists() and not path.is_file():  # a pipe, or /dev/stdout
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()  # replaces what a symbolic link points to, not the link
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power failure may leave an empty file under the name
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
