"""Diagrams of the machine: a drawing as data, and its rendering as Mermaid, DOT, SVG or PNG.

The same drawing gives the same bytes. Only PNG needs the extra ``diagrams``.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, overload

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.drawing import Drawing, machine_drawing
from sermo_fsm.picture.formats.dot import dot
from sermo_fsm.picture.formats.mermaid import mermaid
from sermo_fsm.picture.formats.palette import Theme, theme_named
from sermo_fsm.picture.formats.png import png
from sermo_fsm.picture.formats.svg import svg

__all__ = ["FILES", "FORMATS", "THEMES", "machine_drawing", "render"]

FORMATS: Final = ("mermaid", "dot", "svg", "png")
"""The formats that :func:`render` writes."""

THEMES: Final = tuple(theme.value for theme in Theme)
"""The themes of :func:`render`. In Mermaid, ``light`` leaves the choice to the page."""


@overload
def render(
    drawing: Drawing,
    format: Literal["mermaid", "dot", "svg"],
    theme: str = ...,
    *,
    scale: float = ...,
) -> str: ...
@overload
def render(
    drawing: Drawing, format: Literal["png"], theme: str = ..., *, scale: float = ...
) -> bytes: ...
@overload
def render(
    drawing: Drawing, format: str, theme: str = ..., *, scale: float = ...
) -> str | bytes: ...
def render(
    drawing: Drawing,
    format: str,  # noqa: A002 - the command's option has this name too
    theme: str = Theme.LIGHT,
    *,
    scale: float = 2.0,
) -> str | bytes:
    """Return *drawing* in a format: text, or the bytes of a file for ``png``.

    Args:
        drawing: The drawing.
        format: One of :data:`FORMATS`.
        theme: One of :data:`THEMES`.
        scale: For ``png``: how many pixels a unit of the SVG becomes; above 0 and at most 8.

    Raises:
        InvalidArgument: There is no such format or theme, or the scale is out of range.
        ImportError: ``png`` needs the extra ``diagrams``, which is not installed.
    """
    page = theme_named(theme)
    match format:
        case "mermaid":
            return mermaid(drawing, page)
        case "dot":
            return dot(drawing, page)
        case "svg":
            return svg(drawing, page)
        case "png":
            return png(drawing, page, scale)
        case _:
            raise InvalidArgument("format", wanted=" or ".join(FORMATS), got=format)


def _machine_renderer(format: str, theme: str = Theme.LIGHT) -> Callable[[], bytes]:  # noqa: A002 - as above
    def draw() -> bytes:
        drawn = render(machine_drawing(), format, theme)
        return drawn if isinstance(drawn, bytes) else drawn.encode()

    return draw


FILES: Final[Mapping[str, Callable[[], bytes]]] = {
    "machine.mmd": _machine_renderer("mermaid"),
    "machine.dot": _machine_renderer("dot"),
    "machine.svg": _machine_renderer("svg"),
    "machine-dark.svg": _machine_renderer("svg", Theme.DARK),
}
"""The files in ``diagrams/``, each with the function that returns its content."""
