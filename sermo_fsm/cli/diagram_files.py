"""The files that diagrams stand in: their format, and whether they are in step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from sermo_fsm.diagram import FILES

__all__ = ["Picture", "format_of", "pictures_here"]

_FOLDER: Final = Path("diagrams")
_FORMATS: Final = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".png": "png",
}


def format_of(path: Path) -> str | None:
    """The format that the name of a file says; None where it says none that can be drawn."""
    return _FORMATS.get(path.suffix.lower())


@frozen
class Picture:
    """A file, and what it is to be.

    Attributes:
        remedy: What to run where it is not.
    """

    path: Path
    format: str
    draw: Callable[[], bytes]
    remedy: str

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None where it is what would be drawn now."""
        try:
            there = self.path.read_bytes()
        except FileNotFoundError:
            return "missing"
        if self.format != "png":
            there = there.replace(b"\r\n", b"\n")
        return None if there == self.draw() else "not what would be drawn now"

    def view(self) -> dict[str, Any]:
        """As ``diagram --check --json`` prints it."""
        return {"file": str(self.path), "format": self.format, "problem": self.problem}


def pictures_here(only: str | None = None) -> Iterator[Picture]:
    """The pictures of the machine in ``./diagrams``; perhaps of one format only."""
    for name, draw in FILES.items():
        path = _FOLDER / name
        kind = format_of(path) or ""
        if only in (None, kind):
            dark = " --theme dark" if path.stem.endswith("-dark") else ""
            remedy = f"sermo-fsm diagram --format {kind}{dark} -o {path}"
            yield Picture(path, kind, draw, remedy)
