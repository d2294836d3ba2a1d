"""Diagram files: their format, and whether they are up to date."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from sermo_fsm.diagram import FILES

__all__ = ["SUFFIXES", "DiagramFile", "machine_diagrams"]

_FOLDER: Final = Path("diagrams")
SUFFIXES: Final = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".png": "png",
}
"""The format that each suffix stands for."""


@frozen
class DiagramFile:
    """A file, and the diagram that it should contain.

    Attributes:
        draw: Returns the content that the file should have.
        remedy: The command that writes the file.
    """

    path: Path
    format: str
    draw: Callable[[], bytes]
    remedy: str

    @property
    def problem(self) -> str | None:
        """What is wrong with the file; None if it is up to date."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return "missing"
        if self.format != "png":
            content = content.replace(b"\r\n", b"\n")
        return None if content == self.draw() else "not what would be drawn now"

    def view(self) -> dict[str, Any]:
        """This file as ``sermo-fsm diagram --check --json`` prints it."""
        return {"file": str(self.path), "format": self.format, "problem": self.problem}


def machine_diagrams(only: str | None = None) -> Iterator[DiagramFile]:
    """The diagrams of the machine in ``./diagrams``, of all formats or only one."""
    for name, draw in FILES.items():
        path = _FOLDER / name
        kind = SUFFIXES[path.suffix]
        if only in (None, kind):
            dark = " --theme dark" if path.stem.endswith("-dark") else ""
            remedy = f"sermo-fsm diagram --format {kind}{dark} -o {path}"
            yield DiagramFile(path, kind, draw, remedy)
