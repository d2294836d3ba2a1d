"""Questions that take long: asked one at a time, and their answers kept for a while.

What took a second is kept for twenty at least: they never take more than a twentieth of the time,
however often a page is loaded.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from attrs import define, field

__all__ = ["Seldom"]

_KEPT: Final = 32
_REST: Final = 19.0

_T = TypeVar("_T")


@define(eq=False)
class Seldom:
    """Answers by their questions.

    Attributes:
        least: Seconds for which an answer is kept at least.
        clock: Seconds that never jump.
    """

    least: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _answers: OrderedDict[Hashable, tuple[float, Any]] = field(factory=OrderedDict, init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def ask(self, question: Hashable, answer: Callable[[], Awaitable[_T]]) -> _T:
        """The answer that is kept, or a new one once it is our turn."""
        kept = self._kept(question)
        if kept is None:
            async with self._turn:
                # Whoever was here before may have asked the same.
                kept = self._kept(question) or await self._new(question, answer)
        result: _T = kept[1]
        return result

    def _kept(self, question: Hashable) -> tuple[float, Any] | None:
        kept = self._answers.get(question)
        return kept if kept is not None and self.clock() < kept[0] else None

    async def _new(
        self, question: Hashable, answer: Callable[[], Awaitable[Any]]
    ) -> tuple[float, Any]:
        began = self.clock()
        found = await answer()
        ended = self.clock()
        new = ended + max(self.least, _REST * (ended - began)), found
        self._answers[question] = new
        self._answers.move_to_end(question)
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        return new
