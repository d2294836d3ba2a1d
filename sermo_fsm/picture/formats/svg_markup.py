"""Just enough of XML to write a picture: elements, attributes in order, rounded numbers."""

import html

from sermo_fsm.picture.layout.text_blocks import printable

__all__ = ["AttributeValue", "element", "escape_text", "path_data"]

AttributeValue = str | float


def element(name: str, attributes: dict[str, AttributeValue], *children: str) -> str:
    """An element; children are elements already, or come from :func:`words`."""
    written = "".join(f' {key}="{_value(value)}"' for key, value in attributes.items())
    inside = "".join(children)
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def escape_text(text: str) -> str:
    """A text between elements, whatever is in it."""
    return html.escape(printable(text), quote=False)


def path_data(*parts: str | tuple[float, float]) -> str:
    """The data of a path: letters and points."""
    return "".join(
        part if isinstance(part, str) else f"{_number(part[0])},{_number(part[1])} "
        for part in parts
    ).strip()


def _value(value: AttributeValue) -> str:
    return html.escape(printable(value)) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """To a tenth: finer than anybody sees, and coarser than where two machines may differ."""
    rounded = round(value, 1)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)
