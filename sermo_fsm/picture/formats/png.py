"""A drawing as PNG, with the fonts of this package, so that it is the same on every machine."""

from pathlib import Path
from typing import Final

from attrs import evolve

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.formats.svg import svg
from sermo_fsm.picture.layout.font_metrics import has_glyph

__all__ = ["png"]

_FONT_FOLDER: Final = Path(__file__).parent.with_name("fonts")
_FONT_FILES: Final = ("Arimo-Regular.ttf", "Arimo-Bold.ttf", "Arimo-Italic.ttf")
_MAX_SCALE: Final = 8.0


def png(drawing: Drawing, theme: str = "light", scale: float = 1.0) -> bytes:
    """Return a drawing as the bytes of a PNG file.

    Args:
        drawing: The drawing.
        theme: The name of a theme.
        scale: How many pixels a unit of the SVG becomes; above 0 and at most 8.

    Raises:
        InvalidArgument: There is no such theme, or *scale* is out of range.
        ImportError: The extra ``diagrams`` is not installed.
    """
    if not 0 < scale <= _MAX_SCALE:
        raise InvalidArgument("scale", wanted=f"above 0 and at most {_MAX_SCALE:g}", got=scale)
    try:
        import resvg_py
    except ImportError as error:
        raise ImportError(f"PNG needs: pip install 'sermo-fsm[diagrams]' ({error})") from error
    caption = tuple(map(_escape_unknown, drawing.caption))
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg(evolve(drawing, caption=caption), theme),
            zoom=scale,
            font_files=[str(_FONT_FOLDER / name) for name in _FONT_FILES],
            skip_system_fonts=True,
            sans_serif_family="Arimo",
        )
    )


def _escape_unknown(text: str) -> str:
    """Escape characters that the fonts don't have, so that two ids never look the same."""
    return "".join(char if has_glyph(char) else f"\\u{ord(char):04x}" for char in text)
