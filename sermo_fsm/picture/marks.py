"""What all formats have in common: the two themes, and the marks before a trigger in text."""

from enum import StrEnum
from typing import Final

from sermo_fsm.protocol.events import Direction

__all__ = ["MARKS", "Theme"]

MARKS: Final = {Direction.INBOUND: "►", Direction.OUTBOUND: "◄", Direction.TIMER: "○"}
"""Who pulls, also where there is no colour. Every font has them: the oldest code pages had."""


class Theme(StrEnum):
    """What the page is like."""

    LIGHT = "light"
    DARK = "dark"
