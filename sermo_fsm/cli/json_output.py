"""JSON on standard output, which is safe to show on a terminal."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["print_json", "print_json_array"]


# JSON allows these characters unescaped. A terminal may obey them, or a reader split lines at them.
_UNSAFE: Final = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def print_json(value: Mapping[str, Any] | None) -> None:
    """Print one object, or ``null``."""
    sys.stdout.write(_json(value, indent=2) + "\n")


def print_json_array(items: Iterable[Mapping[str, Any]]) -> None:
    """Print an array, with an item on each line, without holding more than one in memory."""
    before = "[\n  "
    for item in items:
        sys.stdout.write(before + _json(item))
        before = ",\n  "
    sys.stdout.write("[]\n" if before.startswith("[") else "\n]\n")


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
