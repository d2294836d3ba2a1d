"""The XML that an SVG file is made of: elements, escaped text, rounded numbers."""

import html

from sermo_fsm.picture.layout.geometry import Box, Point
from sermo_fsm.picture.layout.text_blocks import printable

__all__ = ["AttributeValue", "element", "escape_text", "path_data", "rectangle", "text_element"]

AttributeValue = str | float


def element(name: str, attributes: dict[str, AttributeValue], *children: str) -> str:
    """Return an element; *children* are elements or come from :func:`escape_text`."""
    written = "".join(f' {key}="{_value(value)}"' for key, value in attributes.items())
    inside = "".join(children)
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def text_element(at: Point, size: float, colour: str, content: str, **more: AttributeValue) -> str:
    """Return a text.

    Args:
        at: The point on the base line that the text is anchored to.
        size: The font size.
        colour: The fill.
        content: Escaped text or elements.
        more: Further attributes, with underscores for hyphens.
    """
    attributes: dict[str, AttributeValue] = {"x": at[0], "y": at[1]}
    style: dict[str, AttributeValue] = {"font-size": size, "fill": colour}
    return element("text", attributes | style | _hyphenated(more), content)


def rectangle(box: Box, radius: float, **more: AttributeValue) -> str:
    """Return a rectangle with round corners.

    Args:
        box: Its position and size.
        radius: The radius of the corners.
        more: Further attributes, with underscores for hyphens.
    """
    attributes: dict[str, AttributeValue] = {
        "x": box.left,
        "y": box.top,
        "width": box.width,
        "height": box.height,
        "rx": radius,
    }
    return element("rect", attributes | _hyphenated(more))


def _hyphenated(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {key.replace("_", "-"): value for key, value in attributes.items()}


def escape_text(text: str) -> str:
    """Escape any text for use between elements."""
    return html.escape(printable(text), quote=False)


def path_data(*parts: str | Point) -> str:
    """Return the ``d`` attribute of a path made of command letters and points."""
    return "".join(
        part if isinstance(part, str) else f"{_number(part[0])},{_number(part[1])} "
        for part in parts
    ).strip()


def _value(value: AttributeValue) -> str:
    return html.escape(printable(value)) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """Round to a tenth: finer than the eye sees, coarser than two machines may differ."""
    rounded = round(value, 1)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)
