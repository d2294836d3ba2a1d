"""Pages as server-sent events: rendered once for all who watch the same one.

A viewer gets the page when it has changed, and at each turn of the poller a word on how old it is.
Nothing waits for a viewer who is slow: who comes back late gets what is known then.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Any, Final

from attrs import define, field, frozen

from sermo_fsm.board.poller import Interest, Poller, Sight
from sermo_fsm.errors import StoreError
from sermo_fsm.views.overview import Overview

__all__ = ["Streams", "Subject"]

_LINE_END: Final = re.compile("\r\n|\r|\n")
_RETRY: Final = b"retry: 2000\n\n"  # milliseconds after which a browser connects again


@frozen(kw_only=True)
class Subject:
    """What somebody watches.

    Attributes:
        key: What makes it the same for several.
        interest: What the poller has to read for it.
        basis: What it is made from: as long as that is the same, so is what is shown.
        render: Makes the part of the page that changes.
        status: What to say of how old it is.
        over: Whether it will never change again.
    """

    key: Hashable
    interest: Interest
    basis: Callable[[Sight], object]
    render: Callable[[Overview], Awaitable[str]]
    status: Callable[[Sight], dict[str, Any]]
    over: Callable[[Sight], bool]


@define
class _Rendered:
    """The last rendering of a subject, for all who watch it.

    Attributes:
        viewers: How many do.
        sight: What it is about.
        basis: What the page is made from.
        page: The event with the page; empty as long as there is none.
        version: Grows with every change of the page.
        status: The event with its age.
    """

    viewers: int = 0
    sight: Sight | None = None
    basis: object = None
    page: bytes = b""
    version: int = 0
    status: bytes = b""
    turn: asyncio.Lock = field(factory=asyncio.Lock)

    def is_about(self, sight: Sight) -> bool:
        """Whether nothing has changed since."""
        known = self.sight
        return known is not None and known.overview is sight.overview and known.stale is sight.stale


@define(eq=False)
class Streams:
    """The streams of one board."""

    poller: Poller
    _rendered: dict[Hashable, _Rendered] = field(factory=dict, init=False)

    async def events(self, subject: Subject) -> AsyncGenerator[bytes, None]:
        """The events of *subject*, for one viewer."""
        shared = self._rendered.setdefault(subject.key, _Rendered())
        shared.viewers += 1
        sights = self.poller.follow(subject.interest)
        shown = 0
        try:
            yield _RETRY
            async for sight in sights:
                if not shared.is_about(sight):
                    await _render(shared, subject, sight)
                # In one piece: to send is what costs, where many watch.
                yield (shared.page if shown != shared.version else b"") + shared.status
                shown = shared.version
                if subject.over(sight):
                    yield _event("end", "")
                    return
        finally:
            await sights.aclose()
            shared.viewers -= 1
            self._rendered = {key: one for key, one in self._rendered.items() if one.viewers}


async def _render(shared: _Rendered, subject: Subject, sight: Sight) -> None:
    async with shared.turn:
        if shared.is_about(sight):
            return  # somebody else was faster
        basis = subject.basis(sight)
        if sight.overview is not None and basis != shared.basis:
            try:
                page = _event("page", await subject.render(sight.overview))
            except StoreError:  # what is shown stays, and is going to be called old
                pass
            else:
                shared.basis = basis
                if page != shared.page:
                    shared.page = page
                    shared.version += 1
        shared.status = _event("status", json.dumps(subject.status(sight)))
        shared.sight = sight


def _event(name: str, data: str) -> bytes:
    # A browser takes each of the three for the end of a line, and an id may hold any of them.
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return f"event: {name}\n{lines}\n".encode()
