"""Drawings in the formats that people can look at, or hand to a tool that draws.

The same drawing gives the same bytes. Only PNG needs the extra ``diagrams``.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, overload

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.drawing import Drawing, machine_drawing
from sermo_fsm.picture.formats.dot import dot
from sermo_fsm.picture.formats.mermaid import mermaid
from sermo_fsm.picture.formats.palette import Theme
from sermo_fsm.picture.formats.png import png
from sermo_fsm.picture.formats.svg import svg

__all__ = ["FILES", "FORMATS", "THEMES", "machine_drawing", "render"]

FORMATS: Final = ("mermaid", "dot", "svg", "png")
"""What :func:`render` can write."""

THEMES: Final = tuple(theme.value for theme in Theme)
"""What the page may be like; in Mermaid ``light`` leaves it to the page."""


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
    format: str,  # noqa: A002 - the option of the command is called so, too
    theme: str = Theme.LIGHT,
    *,
    scale: float = 2.0,
) -> str | bytes:
    """*drawing* in one of :data:`FORMATS`, for a page that is like one of :data:`THEMES`.

    Args:
        scale: How many pixels of a PNG stand for one of the SVG.

    Raises:
        InvalidArgument: There is no such format, no such theme, or no such size.
        ImportError: For a PNG something has to be installed.
    """
    if theme not in THEMES:
        raise InvalidArgument("theme", wanted=" or ".join(THEMES), got=theme)
    page = Theme(theme)
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


def _machine(format: str, theme: str = Theme.LIGHT) -> Callable[[], bytes]:  # noqa: A002 - as above
    def make() -> bytes:
        drawn = render(machine_drawing(), format, theme)
        return drawn if isinstance(drawn, bytes) else drawn.encode()

    return make


FILES: Final[Mapping[str, Callable[[], bytes]]] = {
    "machine.mmd": _machine("mermaid"),
    "machine.dot": _machine("dot"),
    "machine.svg": _machine("svg"),
    "machine-dark.svg": _machine("svg", Theme.DARK),
}
"""The pictures of the machine that stand in ``diagrams/``, and what makes each of them."""
