"""The files that diagrams stand in: their format, and whether they are in step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from sermo_fsm.diagram import FILES, render

__all__ = ["Picture", "format_of", "pictures_here"]

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
