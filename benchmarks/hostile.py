"""How much memory and time hostile input takes, as ratios to its size and to reading good JSON.

Every shape below is an event of 16 MB, or what claims to be one. Each is handed in to an engine in
a process of its own. The first number is the most memory that was in use beyond what is in use for
a small event, over the size of the input. The second is the time, over that which ``json.loads``
takes for a text of the same size. Usage: ``python benchmarks/hostile.py [SHAPE…]``.
"""

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from sermo_fsm import ChatEngine

MIB: Final = 1024 * 1024
SIZE: Final = 16 * MIB

_HEAD: Final = '{"type":"text","platformId":"web","userId":"u-1","text":"Hej!"'


def _filled(before: str | bytes, unit: str | bytes, after: str | bytes, size: int) -> bytes:
    """*unit* as often as it fits between the two."""
    head, middle, tail = (
        part.encode() if isinstance(part, str) else part for part in (before, unit, after)
    )
    return head + middle * ((size - len(head) - len(tail)) // len(middle)) + tail


def _image(unit: str | bytes, start: str = "") -> Callable[[int], bytes]:
    return lambda size: _filled(f'{_HEAD},"image":"{start}', unit, '"}', size)


def _beside(before: str, unit: str | bytes, after: str) -> Callable[[int], bytes]:
    return lambda size: _filled(f"{_HEAD},{before}", unit, f"{after}}}", size)


def _many_keys(size: int) -> bytes:
    return b"%s%s}" % (_HEAD.encode(), b"".join(b',"%08d":1' % i for i in range((size - 99) // 13)))


SHAPES: Final[dict[str, Callable[[int], bytes]]] = {
    # Events that are taken.
    "a picture": _image("AAAA", "data:image/jpeg;base64,"),
    "a picture with parameters": _image(";a=b", "data:image/jpeg"),
    "a damaged picture": _image("AAA!", "data:image/jpeg;base64,"),
    "an image of plain text": _image("a"),
    "an image of umlauts": _image("å"),
    "an image of emoji": _image("🦐"),
    "an image with one emoji": _image("a", "🦐"),
    "an image with one emoji and one escape": _image("a", "🦐\\n"),
    "an image of escapes": _image("\\n"),
    "an image of escaped letters": _image("\\u0041"),
    "an image of surrogate pairs": _image("\\ud83e\\udd90"),
    "an image of lone surrogates": _image("\\ud83e"),
    "an image of quotation marks": _image('\\"'),
    "an image of backslashes": _image("\\\\"),
    # What is not.
    "empty arrays": _beside('"a":[', "[],", "[]]"),
    "empty objects": _beside('"a":[', "{},", "{}]"),
    "arrays in arrays": _beside('"a":', "[", ""),
    "objects in objects": _beside('"a":', '{"a":', ""),
    "short texts": _beside('"a":[', '"",', '""]'),
    "long texts": lambda size: _filled(
        f'{_HEAD},"a":[', b'"' + b"a" * (size // 16) + b'",', '""]}', size
    ),
    "numbers": _beside('"a":[', "1,", "1]"),
    "floats": _beside('"a":[', "1e9,", "1]"),
    "one long number": _beside('"a":', "9", ""),
    "the same key": _beside("", '"a":1,', '"b":1'),
    "many keys": _many_keys,
    "a long text": _beside('"a":"', "a", '"'),
    "a long text with one emoji": _beside('"a":"🦐', "a", '"'),
    "a long key": _beside('"', "a", '":1'),
    "spaces": _beside("", " ", '"a":1'),
    "no end": _beside('"image":"', "a", ""),
    "quotation marks": lambda size: b'"' * size,
    "backslashes": lambda size: b"\\" * size,
    "a text of backslashes without an end": lambda size: b'"' + b"\\" * (size - 1),
    "no UTF-8": lambda size: b"\xff" * size,
    "an image that is no UTF-8": _image(b"\xff"),
    "an image with a line feed": _image("a\n"),
    "NULs": lambda size: b"\0" * size,
    "emoji alone": lambda size: _filled("", "🦐", "", size),
    "one emoji and letters": lambda size: _filled("🦐", "a", "", size),
    "escapes alone": lambda size: _filled("", "\\u0041", "", size),
    "broken escapes": lambda size: _filled("", "\\u00g1", "", size),
    "types": lambda size: _filled("", "type ", "", size),
    "typing at the end": _beside('"a":[', "[],", '[]],"type":"typing"'),
}
"""Makes an event of about so many bytes, by the name of its shape."""


def measure(raw: bytes, *, memory: bool) -> tuple[str, float]:
    """Hand *raw* in; returns its outcome, and the most bytes in use or the seconds it took."""
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        small = SHAPES["a picture"](1000)
        chats.handle("inbound", small, platform_id="web")
        if memory:
            tracemalloc.start()
        start = time.process_time()
        receipt = chats.handle("inbound", raw)
        spent = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    return receipt.outcome, peak if memory else spent


def main(names: list[str]) -> None:
    """Measure each shape in a process of its own, and print."""
    if names[:1] == ["--one"]:
        raw = SHAPES[names[1]](SIZE)
        outcome, peak = measure(raw, memory=True)
        _, seconds = measure(raw, memory=False)
        good = json.dumps({"a": "a" * SIZE})
        start = time.process_time()
        json.loads(good)
        base = time.process_time() - start
        print(f"{names[1]:<40}{outcome:<9}{peak / len(raw):6.2f}{seconds / base:8.1f}")
        return
    print(f"{'':<40}{'':<9}{'memory':>6}{'time':>8}")
    for name in names or SHAPES:
        command = [sys.executable, __file__, "--one", name]
        subprocess.run(command, check=True)  # noqa: S603 - this file


if __name__ == "__main__":
    main(sys.argv[1:])
