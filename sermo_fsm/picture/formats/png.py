"""A drawing as PNG, with the fonts that lie in the package, so that it is the same everywhere."""

from pathlib import Path
from typing import Final

from attrs import evolve

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.formats.svg import svg
from sermo_fsm.picture.layout.font_metrics import has_glyph

__all__ = ["png"]

_FONTS: Final = Path(__file__).parent.with_name("fonts")
_FACES: Final = ("Arimo-Regular.ttf", "Arimo-Bold.ttf", "Arimo-Italic.ttf")
_LARGEST: Final = 8.0


def png(drawing: Drawing, theme: str = "light", scale: float = 1.0) -> bytes:
    """A drawing as the bytes of a PNG file; a unit of the SVG becomes *scale* dots.

    Raises:
        InvalidArgument: There is no such theme, or *scale* is not above 0 and at most 8.
        ImportError: What the extra ``diagrams`` brings is not there.
    """
    if not 0 < scale <= _LARGEST:
        raise InvalidArgument("scale", wanted=f"above 0 and at most {_LARGEST:g}", got=scale)
    try:
        import resvg_py
    except ImportError as error:
        raise ImportError(f"PNG needs: pip install 'sermo-fsm[diagrams]' ({error})") from error
    caption = tuple(map(_spelled, drawing.caption))
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg(evolve(drawing, caption=caption), theme),
            zoom=scale,
            font_files=[str(_FONTS / face) for face in _FACES],
            skip_system_fonts=True,
            sans_serif_family="Arimo",
        )
    )


def _spelled(text: str) -> str:
    """An id can be told from another also where these fonts have no letters for it."""
    return "".join(char if has_glyph(char) else f"\\u{ord(char):04x}" for char in text)
