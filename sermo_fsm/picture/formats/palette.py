"""The colours of the two themes, and the symbols of the directions.

The contrast of every text with its background is at least 4.5 : 1 and that of every line 3 : 1, as
WCAG 2 demands; the tests measure it. Everything that a colour says, a shape, a typeface or a number
says too.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.events import Direction

__all__ = ["DIRECTION_SYMBOLS", "PALETTES", "Palette", "Theme", "palette_for", "theme_named"]

DIRECTION_SYMBOLS: Final = {
    Direction.INBOUND: "►",
    Direction.OUTBOUND: "◄",
    Direction.TIMER: "○",
    Direction.OPERATOR: "■",
}
"""The symbol before a trigger. The characters are in old character sets, so every font has them."""


class Theme(StrEnum):
    """The background that a diagram is made for."""

    LIGHT = "light"
    DARK = "dark"


@frozen(kw_only=True)
class Palette:
    """The colours of one theme, each as ``#rrggbb``.

    Attributes:
        page: The background.
        ink: Text.
        muted: Text of less importance.
        hairline: Lines that only separate.
        stroke: Arrows and the borders of states.
        state_fill: The inside of a state.
        faded: Arrows and borders that the overlay has nothing for.
        faded_ink: Text that the overlay has nothing for.
        accent: The path of a chat.
        on_accent: Text on ``accent``.
        triggers: The text of triggers, by direction.
        shades: The inside of a state from weak to strong; ``ink`` is readable on each.
    """

    page: str
    ink: str
    muted: str
    hairline: str
    stroke: str
    state_fill: str
    faded: str
    faded_ink: str
    accent: str
    on_accent: str
    triggers: Mapping[Direction, str]
    shades: tuple[str, ...]

    def shade(self, strength: float) -> str:
        """Return the shade of a *strength* from 0 to 1, mixed from the two nearest ones."""
        position = min(max(strength, 0.0), 1.0) * (len(self.shades) - 1)
        low = min(int(position), len(self.shades) - 2)
        weak, strong = _rgb(self.shades[low]), _rgb(self.shades[low + 1])
        mixed = (a + (b - a) * (position - low) for a, b in zip(weak, strong, strict=True))
        return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


PALETTES: Final[Mapping[str, Palette]] = {
    "light": Palette(
        page="#ffffff",
        ink="#1b2431",
        muted="#566173",
        hairline="#d9dfe8",
        stroke="#5a6b85",
        state_fill="#f1f5fb",
        faded="#858f9e",
        faded_ink="#667080",
        accent="#843fe0",
        on_accent="#ffffff",
        triggers={
            Direction.INBOUND: "#0a55b8",
            Direction.OUTBOUND: "#1b2431",
            Direction.TIMER: "#8f4700",
            Direction.OPERATOR: "#0b6350",
        },
        shades=("#f1f5fb", "#d2e4f7", "#a9cef0", "#7cb3e6", "#4a91d4"),
    ),
    "dark": Palette(
        page="#0d1117",
        ink="#e6edf3",
        muted="#9ba6b4",
        hairline="#2a323d",
        stroke="#8696ad",
        state_fill="#1a2230",
        faded="#667281",
        faded_ink="#87919e",
        accent="#b78cf7",
        on_accent="#0d1117",
        triggers={
            Direction.INBOUND: "#7db8ff",
            Direction.OUTBOUND: "#e6edf3",
            Direction.TIMER: "#f0b165",
            Direction.OPERATOR: "#62d2b3",
        },
        shades=("#17202b", "#1b324e", "#1f4470", "#255693", "#2d6ab8"),
    ),
}


def palette_for(theme: str) -> Palette:
    """Return the colours of a theme.

    Raises:
        InvalidArgument: There is no such theme.
    """
    return PALETTES[theme_named(theme)]


def theme_named(name: str) -> Theme:
    """Return the theme of this name.

    Raises:
        InvalidArgument: There is no such theme.
    """
    if name not in PALETTES:
        raise InvalidArgument("theme", wanted=" or ".join(PALETTES), got=name)
    return Theme(name)
