"""Generate parts of the documentation: ``python tools/docs.py [--check]`` (``make docs``).

Generated are the files in ``diagrams/``; in the README and in ``docs/`` the text between markers
such as ``<!-- table -->`` and ``<!-- /table -->``, and the output of the commands in ``console``
blocks. Those of a page are run in an empty folder with a copy of ``examples/``, in UTC.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import LIVE, TABLE, Cell, Effect, Guard
from sermo_fsm.core.session import ChatSession
from sermo_fsm.diagram import FILES, render
from sermo_fsm.engine import ChatEngine
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.sequence import sequence_diagram
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.protocol.events import KINDS, Direction, Trigger
from sermo_fsm.views.chat_path import path_from_rows
from tools import event_docs, field_docs

CHECKOUT: Final = Path(__file__).resolve().parent.parent
README: Final = CHECKOUT / "README.md"
PAGES: Final = (README, *sorted((CHECKOUT / "docs").glob("*.md")))

_OF_NO_QUEUE: Final = {
    Trigger.EXPIRE: Direction.TIMER,
    Trigger.CLOSE: Direction.OPERATOR,
    Trigger.UNKNOWN: "any",
}
_SERVING: Final = "outbound, internal"
_QUEUES: Final = {kind.trigger: ", ".join(kind.queues) for kind in KINDS.values()}
_NOTES: Final = {
    Guard.CUSTOMER_WROTE_LATER: "a `customer_text` of this session, or of one that it resumed, "
    "was received later than it"
}


def diagram() -> str:
    """The HTML that shows the state diagram, for light and dark pages."""
    return _picture_html(
        "diagrams/machine", "The states of a chat, and what moves it from one to the next"
    )


def path() -> str:
    """The HTML that shows the path of one chat."""
    words = "The states of a chat, with the path of one chat on them"
    return _picture_html("../diagrams/3-still-there", words)


def traffic() -> str:
    """The HTML that shows where all chats go."""
    words = "The states of a chat, with how many chats went each way"
    return _picture_html("../diagrams/traffic", words)


def _picture_html(path: str, words: str) -> str:
    light, dark = f"{path}.svg", f"{path}-dark.svg"
    lines = (
        f'<a href="{light}">',
        "  <picture>",
        f'    <source media="(prefers-color-scheme: dark)" srcset="{dark}">',
        f'    <img src="{light}" alt="{words}">',
        "  </picture>",
        "</a>",
        "",
    )
    return "\n".join(lines)


def table() -> str:
    """The machine as a Markdown table; triggers that do the same share a row."""
    lines = [
        f"| queue | trigger | {' | '.join(LIVE)} |",
        "|---|---|" + "---|" * len(LIVE),
    ]
    for (queue, *cells), triggers in groupby(Trigger, key=_table_row):
        names = ", ".join(f"`{trigger}`" for trigger in triggers)
        lines.append(f"| {queue} | {names} | {' | '.join(cells)} |")
    guarded = [(cell.guard, cell.otherwise) for cell in TABLE.values() if cell.guard]
    notes = [f"¹ → {otherwise}, if {_NOTES[guard]}" for guard, otherwise in guarded]
    return "\n".join([*lines, "", *dict.fromkeys(notes), ""])


def _table_row(trigger: Trigger) -> tuple[str, ...]:
    # Of replies and handovers the event decides the trigger, but all of them come on both queues.
    queue = _OF_NO_QUEUE.get(trigger) or _QUEUES.get(trigger, _SERVING)
    return queue, *(_cell_text(TABLE[state, trigger]) for state in LIVE)


def _cell_text(cell: Cell) -> str:
    if cell.effect is not Effect.MOVE:
        return str(cell.effect)
    return f"{cell.effect} {cell.to}{' ¹' if cell.guard else ''}"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "diagram": diagram,
    "table": table,
    "path": path,
    "traffic": traffic,
    **event_docs.PARTS,
    **field_docs.PARTS,
}


def _generated_part(found: re.Match[str]) -> str:
    begin, name, end = found.group("begin", "name", "end")
    return f"{begin}\n{PARTS[name]()}\n{end}"


def render_parts(page: str) -> str:
    """A page with the text between its markers renewed."""
    marked = re.compile(
        r"(?P<begin><!-- (?P<name>\w+) -->)\n.*?\n?(?P<end><!-- /(?P=name) -->)", re.DOTALL
    )
    return marked.sub(_generated_part, page)


def _console_block(folder: Path, found: re.Match[str]) -> str:
    """A console block, with the current output of its commands."""
    commands = [line for line in found[1].splitlines() if line.startswith("$ ")]
    return "".join(["```console\n", *(_run(folder, line) for line in commands), "```"])


def _run(folder: Path, line: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    sermo_free = {name: value for name, value in os.environ.items() if "SERMO" not in name}
    done = subprocess.run(  # noqa: S603 - what the page says
        ["/bin/sh", "-c", line.removeprefix("$ ")],
        cwd=folder,
        env={**sermo_free, "PATH": path, "TZ": "UTC"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode or done.stderr:
        sys.exit(f"{line}\n{done.stdout}{done.stderr}exit status {done.returncode}")
    return f"{line}\n{done.stdout.expandtabs(14)}"


def render_page(page: str) -> str:
    """A page with its generated parts renewed, and what its commands print."""
    page = render_parts(page)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(CHECKOUT / "examples", Path(folder, "examples"))
        block = partial(_console_block, Path(folder))
        return re.sub(r"```console\n(.*?)```", block, page, flags=re.DOTALL)


# --- the diagrams of the examples -----------------------------------------------------------------

_ExampleChat = tuple[ChatSession, Sequence[HistoryRow]]
"""The last chat of an example, and its history."""

_Expected = Mapping[str, Mapping[str, Any]]
"""The content of ``expected.json``: what should come of each example, by file name."""


def _draw_path(chat: _ExampleChat, theme: str) -> str:
    session, rows = chat
    chat_path = path_from_rows(session, rows)
    return render(path_drawing(chat_path, session.effective_at), "svg", theme)


_PICTURES: Final[Mapping[str, Callable[[_ExampleChat], str]]] = {
    ".svg": lambda chat: _draw_path(chat, "light"),
    "-dark.svg": lambda chat: _draw_path(chat, "dark"),
    ".timeline.mmd": lambda chat: sequence_diagram(*chat),
}
"""The files of each example: the end of the file name, and a function that draws it."""

_TRAFFIC: Final = {"traffic.svg": "light", "traffic-dark.svg": "dark"}
"""The files of all examples together, each with its theme."""


def example_files(folder: Path) -> dict[str, Callable[[], bytes]]:
    """The diagrams of the examples in *folder*: file names, and functions that draw the files.

    The examples are those in its ``expected.json``.
    """
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return {**dict(_chat_files(folder, expected)), **dict(_traffic_files(folder, expected))}


def _chat_files(folder: Path, expected: _Expected) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, about in expected.items():
        play = cache(_chat_player(folder, {name: about}))
        for ending, draw in _PICTURES.items():
            yield Path(name).stem + ending, _drawn(play, draw)


def _chat_player(folder: Path, examples: _Expected) -> Callable[[], _ExampleChat]:
    def play() -> _ExampleChat:
        with _engine_with(folder, examples) as engine:
            session = next(engine.sessions())  # the one that opened last
            return session, list(engine.history(session.session_id))

    return play


def _traffic_files(folder: Path, expected: _Expected) -> Iterator[tuple[str, Callable[[], bytes]]]:
    @cache
    def drawing() -> Drawing:
        with _engine_with(folder, expected) as engine:
            return traffic_drawing(engine.traffic())

    def draw(theme: str) -> bytes:
        return render(drawing(), "svg", theme).encode()

    for name, theme in _TRAFFIC.items():
        yield name, partial(draw, theme)


@contextmanager
def _engine_with(folder: Path, examples: _Expected) -> Iterator[ChatEngine]:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        for name, about in examples.items():
            engine.handle_many((folder / name).read_bytes().splitlines())
            if (up_to := about["sweepUpTo"]) is not None:
                engine.sweep(datetime.fromisoformat(up_to))
        yield engine


def _drawn(
    play: Callable[[], _ExampleChat], draw: Callable[[_ExampleChat], str]
) -> Callable[[], bytes]:
    return lambda: draw(play()).encode()


# --- all files ------------------------------------------------------------------------------------


def generated_files() -> dict[Path, bytes]:
    """The path and the content of every file that is generated, as a whole or in part."""
    pictures = {**FILES, **example_files(CHECKOUT / "examples")}
    files = {CHECKOUT / "diagrams" / name: draw() for name, draw in pictures.items()}
    pages = {page: render_page(page.read_text(encoding="utf-8")) for page in PAGES}
    return {**files, **{page: text.encode() for page, text in pages.items()}}


def main(arguments: list[str]) -> int:
    """Write the files that are out of step; with ``--check`` only name them, and return 1."""
    only_check = arguments == ["--check"]
    if arguments and not only_check:
        sys.exit("usage: docs.py [--check]")
    stale = 0
    for file, content in generated_files().items():
        if file.exists() and file.read_bytes().replace(b"\r\n", b"\n") == content:
            continue
        stale += 1
        print(f"{file.relative_to(CHECKOUT)}: {'out of step' if only_check else 'written'}")
        if not only_check:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
    return int(only_check and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
