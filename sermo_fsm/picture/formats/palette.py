"""The two themes and their colours, and the marks that stand where there is no colour.

Every text stands out from what is behind it at least 4.5 : 1 and every line 3 : 1, as WCAG 2 wants
it; the tests measure it. No colour says anything that a shape, a typeface or a number does not.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.events import Direction

__all__ = ["DIRECTION_SYMBOLS", "PALETTES", "Palette", "Theme", "palette_for"]

DIRECTION_SYMBOLS: Final = {Direction.INBOUND: "►", Direction.OUTBOUND: "◄", Direction.TIMER: "○"}
"""Who pulls, also where there is no colour. Every font has them: the oldest code pages had."""


class Theme(StrEnum):
    """What the page is like."""

    LIGHT = "light"
    DARK = "dark"


@frozen(kw_only=True)
class Palette:
    """The colours of one theme, each as ``#rrggbb``.

    Attributes:
        page: Behind everything.
        ink: Text.
        quiet: Text of less weight.
        rule: Hairlines that mean nothing.
        line: Arrows and the edges of states.
        state: What fills a state.
        faded: Lines that the overlay has nothing for.
        faded_ink: Text likewise.
        accent: The way that a chat took.
        on_accent: Text on that.
        triggers: Text, by who pulls the trigger.
        shades: What fills a state, from the weakest to the strongest; ``ink`` reads on each.
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
        """The colour between two of the shades; *strength* from 0 to 1."""
        place = min(max(strength, 0.0), 1.0) * (len(self.shades) - 1)
        low = min(int(place), len(self.shades) - 2)
        weak, strong = _rgb(self.shades[low]), _rgb(self.shades[low + 1])
        mixed = (a + (b - a) * (place - low) for a, b in zip(weak, strong, strict=True))
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
        },
        shades=("#17202b", "#1b324e", "#1f4470", "#255693", "#2d6ab8"),
    ),
}


def palette_for(theme: str) -> Palette:
    """The colours of a theme.

    Raises:
        InvalidArgument: There is none of that name.
    """
    if theme not in PALETTES:
        raise InvalidArgument("theme", wanted=" or ".join(PALETTES), got=theme)
    return PALETTES[theme]
