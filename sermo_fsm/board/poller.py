"""Looks at the database for all who watch: as often as it is worth, and only while somebody does.

However many watch, there is one poller for each board, and one transaction for each look. A poll
takes no more than a twentieth of the time: where it takes longer, so does the pause after it, up to
a quarter of a minute. What costs more than live chats, the last hour and the day so far, has a pace
of its own.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from attrs import define, evolve, field, frozen

from sermo_fsm.board.settings import Settings
from sermo_fsm.engine.aio import AsyncChatEngine
from sermo_fsm.errors import StoreError
from sermo_fsm.views.overview import Overview

__all__ = ["LISTED", "Interest", "Poller", "Sight"]

LISTED: Final = 200
"""So many of those who wait are listed."""

_LOG: Final = logging.getLogger("sermo_fsm.board")
_PARTS: Final = {"hour": 10.0, "day": 60.0}
_REST: Final = 19.0  # times as long as a poll took
_LONGEST_PAUSE: Final = 15.0
_BEAT: Final = 5.0  # seconds after which viewers hear that nothing is new
_PATIENCE: Final = 2.0  # seconds that a page waits for a poll
_LONGEST: Final = 60.0  # seconds after which a poll is given up


@frozen
class Interest:
    """What one viewer looks at.

    Attributes:
        wall: The figures of all platforms.
        waiting: The list of those who wait.
        chat: The id of a session.
    """

    wall: bool = False
    waiting: bool = False
    chat: str | None = None


@frozen
class Sight:
    """What is known at a moment.

    Attributes:
        overview: The last that was read; None if nothing has been read yet.
        stale: Whether that is too old to be taken for the present.
    """

    overview: Overview | None
    stale: bool


@define(eq=False)
class Poller:
    """Reads overviews of one database for all viewers.

    Attributes:
        engine: Where it reads.
        settings: How often, and by which target.
        clock: Seconds that never jump.
        polls: How often it has read.
        failures: How often that failed.
        seconds: How long all of it took.
    """

    engine: AsyncChatEngine
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    polls: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    _interests: Counter[Interest] = field(factory=Counter, init=False)
    _looked_for: Counter[Interest] = field(factory=Counter, init=False)
    _overview: Overview | None = field(default=None, init=False)
    _asked: frozenset[str] = field(default=frozenset(), init=False)
    _lists_waiting: bool = field(default=False, init=False)
    _read_at: float = field(default=float("-inf"), init=False)
    _tried_at: float = field(default=float("-inf"), init=False)
    _failing: bool = field(default=False, init=False)
    _due: dict[str, float] = field(factory=dict, init=False)
    _usual: float = field(default=0.0, init=False)
    _pause: float = field(default=0.0, init=False)
    _poll: "asyncio.Task[None] | None" = field(default=None, init=False)
    _following: "asyncio.Task[None] | None" = field(default=None, init=False)
    _turn: asyncio.Event = field(factory=asyncio.Event, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return self._interests.total()

    @property
    def sight(self) -> Sight:
        """What is known now."""
        age = self.clock() - self._read_at
        return Sight(self._overview, stale=age > self._stale_after)

    @property
    def _stale_after(self) -> float:
        return 2.0 + 2.0 * max(self.settings.every, self._pause)

    async def look(self, interest: Interest) -> Sight:
        """What is known, once it is as new as it has to be; what is old if the database is slow."""
        self._looked_for[interest] += 1
        try:
            for _ in range(2):  # a poll that is under way may be about something else
                if self._knows(interest):
                    break
                await asyncio.wait([self._polling()], timeout=_PATIENCE)
        finally:
            self._looked_for = _one_less(self._looked_for, interest)
        return self.sight

    async def follow(self, interest: Interest) -> AsyncGenerator[Sight, None]:
        """What is known, again and again, as often as something may have changed."""
        await self.look(interest)
        self._interests[interest] += 1
        try:
            while not self._closed:
                if self._following is None:
                    self._following = asyncio.create_task(self._follow())
                turn = self._turn
                yield self.sight
                await turn.wait()
        finally:
            self._interests = _one_less(self._interests, interest)
            if not self._interests and self._following is not None:
                self._following.cancel()
                self._following = None

    def close(self) -> None:
        """Send all viewers away."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    def _knows(self, interest: Interest) -> bool:
        """Whether what was read last is new, and what was looked for."""
        if self._tried_at <= self.clock() - self.settings.every:
            return False
        return self._failing or (
            not (interest.wall and self._parts_due())
            and (not interest.waiting or self._lists_waiting)
            and (interest.chat is None or interest.chat in self._asked)
        )

    def _parts_due(self) -> list[str]:
        now = self.clock()
        return [part for part in _PARTS if now >= self._due.get(part, now)]

    async def _follow(self) -> None:
        """Poll, and wake those who watch, for as long as somebody does."""
        while True:
            done, _ = await asyncio.wait([self._polling()], timeout=_PATIENCE)
            self._wake()
            end = self.clock() + self._pause if done else 0.0
            while (left := end - self.clock()) > 0:
                await asyncio.sleep(min(left, _BEAT))
                if left > _BEAT:
                    self._wake()

    def _polling(self) -> "asyncio.Task[None]":
        """The poll that is under way, or a new one."""
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._read({*self._interests, *self._looked_for}))
        return self._poll

    async def _read(self, interests: set[Interest]) -> None:
        started = self.clock()
        extra = self._parts_due() if any(one.wall for one in interests) else []
        chats = frozenset(one.chat for one in interests if one.chat is not None)
        which: dict[str, Any] = {
            "target": self.settings.target,
            "hour": "hour" in extra,
            "day": self.settings.midnight() if "day" in extra else None,
            "waiting": LISTED if any(one.waiting for one in interests) else None,
            "chats": chats,
        }
        try:
            async with asyncio.timeout(_LONGEST):
                found = await self.engine.overview(**which)
        except (StoreError, TimeoutError) as error:
            self._note_failure(error)
        except Exception as error:  # noqa: BLE001 - a board must not stop in silence
            _LOG.exception("the board can't read")
            self._note_failure(error)
        else:
            self._note(found, chats)
        took = self.clock() - started
        self.polls += 1
        self.seconds += took
        self._set_pace(extra, took)
        self._tried_at = self.clock()

    def _note(self, found: Overview, chats: frozenset[str]) -> None:
        before = self._overview
        if before is not None:
            found = evolve(found, hour=found.hour or before.hour, day=found.day or before.day)
        self._overview, self._asked, self._read_at = found, chats, self.clock()
        self._lists_waiting = found.waiting is not None
        if self._failing:
            _LOG.warning("the database answers again")
        self._failing = False

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        if not self._failing:
            _LOG.warning("the database does not answer: %s", error)
        self._failing = True

    def _set_pace(self, extra: list[str], took: float) -> None:
        every = self.settings.every
        if self._failing:  # when it answers again is to be noticed soon
            self._pause = every
            return
        if not extra:
            self._usual = took
        for part in extra:
            beyond = took - min(took, self._usual)
            self._due[part] = self.clock() + max(_PARTS[part], _REST * beyond)
        self._pause = max(every - took, min(_REST * self._usual, _LONGEST_PAUSE))


def _one_less(counts: Counter[Interest], one: Interest) -> Counter[Interest]:
    return counts - Counter([one])
