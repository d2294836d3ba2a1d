"""Writing a file whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes *path* at the end of the block, and never where it fails.

    Who reads meanwhile sees the old file or the new one.

    Raises:
        OSError: It can't be written; named is *path*, or its folder where there is none.
    """
    try:
        with _open(path) as file:
            yield file
    except OSError as error:
        named = path if path.parent.is_dir() else path.parent
        raise OSError(error.errno, error.strerror, str(named)) from error


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if path.exists() and not path.is_file():  # a pipe, or /dev/stdout: there is nothing to replace
        with path.open("wb") as file:
            yield file
        return
    whole = path.resolve()  # what a symbolic link points to is replaced, and not the link
    beside = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name with nothing in it
        if whole.exists():
            shutil.copymode(whole, beside)
        beside.replace(whole)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
