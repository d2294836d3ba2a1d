"""The pictures of the chats in ``examples/``, which is in a checkout and in no wheel."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.diagram import render
from sermo_fsm.engine import ChatEngine
from sermo_fsm.picture.drawing import Drawing
from sermo_fsm.picture.path_overlay import path_drawing, traffic_drawing
from sermo_fsm.picture.sequence import mermaid
from sermo_fsm.views.chat_path import walk_of

__all__ = ["example_files"]

_Told = tuple[ChatSession, Sequence[HistoryRow]]
"""The last chat of an example, and its history."""

_Expected = Mapping[str, Mapping[str, Any]]
"""What ``expected.json`` says about each example."""


def _path(told: _Told, theme: str) -> str:
    session, rows = told
    walk = walk_of(session, rows)
    return render(path_drawing(walk, session.effective_at), "svg", theme)


_PICTURES: Final[Mapping[str, Callable[[_Told], str]]] = {
    ".svg": lambda told: _path(told, "light"),
    "-dark.svg": lambda told: _path(told, "dark"),
    ".timeline.mmd": lambda told: mermaid(*told),
}
"""For each example: how a file is called behind the name of the example, and what is in it."""

_TRAFFIC: Final = {"traffic.svg": "light", "traffic-dark.svg": "dark"}
"""Of all examples together."""


def example_files(folder: Path) -> dict[str, Callable[[], bytes]]:
    """The pictures of the examples in *folder*, and what makes each; none where it is none of ours.

    Ours has an ``expected.json``, which names the examples.
    """
    try:
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {**dict(_files(folder, expected)), **dict(_traffic(folder, expected))}


def _files(folder: Path, expected: _Expected) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, about in expected.items():
        play = cache(_player(folder, {name: about}))
        for ending, draw in _PICTURES.items():
            yield Path(name).stem + ending, _drawn(play, draw)


def _player(folder: Path, examples: _Expected) -> Callable[[], _Told]:
    def play() -> _Told:
        with _played(folder, examples) as engine:
            session = next(engine.sessions())  # the one that opened last
            return session, list(engine.history(session.session_id))

    return play


def _traffic(folder: Path, expected: _Expected) -> Iterator[tuple[str, Callable[[], bytes]]]:
    @cache
    def drawing() -> Drawing:
        with _played(folder, expected) as engine:
            return traffic_drawing(engine.traffic())

    def draw(theme: str) -> bytes:
        return render(drawing(), "svg", theme).encode()

    for name, theme in _TRAFFIC.items():
        yield name, partial(draw, theme)


@contextmanager
def _played(folder: Path, examples: _Expected) -> Iterator[ChatEngine]:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        for name, about in examples.items():
            engine.handle_many((folder / name).read_bytes().splitlines())
            if (up_to := about["sweepUpTo"]) is not None:
                engine.sweep(datetime.fromisoformat(up_to))
        yield engine


def _drawn(play: Callable[[], _Told], draw: Callable[[_Told], str]) -> Callable[[], bytes]:
    return lambda: draw(play()).encode()
