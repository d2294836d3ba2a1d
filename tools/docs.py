"""Write what is generated in the documentation: ``python tools/docs.py [--check]`` (make docs).

Generated are the files in ``diagrams/`` and, in the README, what stands between markers such as
``<!-- table -->`` and ``<!-- /table -->``, and what the commands in ``console`` blocks print. Those
run for real, in an empty folder beside a copy of ``examples/``.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from sermo_fsm.cli.pictures import files_beside
from sermo_fsm.core.machine import LIVE, TABLE, Cell, Effect, Guard
from sermo_fsm.protocol.events import KINDS, Trigger

CHECKOUT: Final = Path(__file__).resolve().parent.parent
README: Final = CHECKOUT / "README.md"

_INBOUND: Final = frozenset(kind.trigger for kind in KINDS.values() if kind.inbound)
_QUEUES: Final = {Trigger.EXPIRE: "timer", Trigger.UNKNOWN: "any"}
_NOTES: Final = {
    Guard.CUSTOMER_WROTE_LATER: "a `customer_text` of this session was received later than it"
}


def diagram() -> str:
    """The state diagram, for light pages and dark ones."""
    return _picture("machine", "The states of a chat, and what moves it from one to the next")


def path() -> str:
    """The path of one chat, likewise."""
    return _picture("3-still-there", "The states of a chat, with the path of one chat on them")


def traffic() -> str:
    """Where all chats go, likewise."""
    return _picture("traffic", "The states of a chat, with how many chats went each way")


def _picture(name: str, words: str) -> str:
    light, dark = f"diagrams/{name}.svg", f"diagrams/{name}-dark.svg"
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
    """The machine as a table; triggers that do the same stand in one row."""
    lines = [
        f"| queue | trigger | {' | '.join(LIVE)} |",
        "|---|---|" + "---|" * len(LIVE),
    ]
    for (queue, *cells), triggers in groupby(Trigger, key=_row):
        names = ", ".join(f"`{trigger}`" for trigger in triggers)
        lines.append(f"| {queue} | {names} | {' | '.join(cells)} |")
    guarded = [(cell.guard, cell.otherwise) for cell in TABLE.values() if cell.guard]
    notes = [f"¹ → {otherwise}, if {_NOTES[guard]}" for guard, otherwise in guarded]
    return "\n".join([*lines, "", *notes, ""])


def _row(trigger: Trigger) -> tuple[str, ...]:
    queue = _QUEUES.get(trigger, "inbound" if trigger in _INBOUND else "outbound")
    return queue, *(_words(TABLE[state, trigger]) for state in LIVE)


def _words(cell: Cell) -> str:
    if cell.effect is not Effect.MOVE:
        return str(cell.effect)
    return f"{cell.effect} {cell.to}{' ¹' if cell.guard else ''}"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "diagram": diagram,
    "table": table,
    "path": path,
    "traffic": traffic,
}


def _part(found: re.Match[str]) -> str:
    begin, name, end = found.group("begin", "name", "end")
    return f"{begin}\n{PARTS[name]()}\n{end}"


def _session(folder: Path, found: re.Match[str]) -> str:
    """A console block, with what its commands print now."""
    commands = [line for line in found[1].splitlines() if line.startswith("$ ")]
    return "".join(["```console\n", *(_run(folder, line) for line in commands), "```"])


def _run(folder: Path, line: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    sermo_free = {name: value for name, value in os.environ.items() if "SERMO" not in name}
    done = subprocess.run(  # noqa: S603 - what the README says
        ["/bin/sh", "-c", line.removeprefix("$ ")],
        cwd=folder,
        env={**sermo_free, "PATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode or done.stderr:
        sys.exit(f"README: {line}\n{done.stdout}{done.stderr}exit status {done.returncode}")
    return f"{line}\n{done.stdout.expandtabs(14)}"


def written(readme: str) -> str:
    """The README as it should be."""
    marked = re.compile(
        r"(?P<begin><!-- (?P<name>\w+) -->)\n.*?\n?(?P<end><!-- /(?P=name) -->)", re.DOTALL
    )
    readme = marked.sub(_part, readme)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(CHECKOUT / "examples", Path(folder, "examples"))
        session = partial(_session, Path(folder))
        return re.sub(r"```console\n(.*?)```", session, readme, flags=re.DOTALL)


def wanted() -> dict[Path, bytes]:
    """Every file that is generated, or a part of it, as it should be."""
    pictures = files_beside(CHECKOUT / "examples").items()
    files = {CHECKOUT / "diagrams" / name: draw() for name, draw in pictures}
    return {**files, README: written(README.read_text(encoding="utf-8")).encode()}


def main(arguments: list[str]) -> int:
    """Write what is out of step, or only say so."""
    only_check = arguments == ["--check"]
    if arguments and not only_check:
        sys.exit("usage: docs.py [--check]")
    stale = 0
    for file, content in wanted().items():
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
