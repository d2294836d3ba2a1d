"""The files that diagrams stand in: their format, writing them whole, whether they are in step."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from sermo_fsm.diagram import FILES, render

__all__ = ["Picture", "format_of", "pictures_here", "write_picture"]

_FOLDER: Final = Path("diagrams")
_FORMATS: Final = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}


def format_of(path: Path) -> str | None:
    """The format that the name of a file says; None where it says none that can be drawn."""
    return _FORMATS.get(path.suffix.lower())


@frozen
class Picture:
    """A file, and what it is to be."""

    path: Path
    format: str

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None where it is what would be drawn now."""
        try:
            there = self.path.read_bytes()
        except FileNotFoundError:
            return "missing"
        same = there.replace(b"\r\n", b"\n") == render(self.format).encode()
        return None if same else "not what would be drawn now"

    def view(self) -> dict[str, Any]:
        """As ``diagram --check --json`` prints it."""
        return {"file": str(self.path), "format": self.format, "problem": self.problem}


def pictures_here(only: str | None = None) -> Iterator[Picture]:
    """The files of ``diagrams/`` in the current directory; perhaps of one format only."""
    for name, kind in FILES.items():
        if only in (None, kind):
            yield Picture(_FOLDER / name, kind)


def write_picture(path: Path, text: str) -> None:
    """Write all of it or nothing: who reads meanwhile sees the old file or the new one.

    Raises:
        OSError: It can't be written; named is *path*, or its folder where there is none.
    """
    try:
        _write(path, text)
    except OSError as error:
        named = path if path.parent.is_dir() else path.parent
        raise OSError(error.errno, error.strerror, str(named)) from error


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a pipe, or /dev/stdout: there is nothing to replace
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    whole = path.resolve()  # what a symbolic link points to is replaced, and not the link
    beside = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        if whole.exists():
            shutil.copymode(whole, beside)
        beside.replace(whole)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
