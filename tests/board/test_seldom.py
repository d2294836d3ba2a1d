"""What takes long is asked one at a time, and kept for as long as it is worth."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sermo_fsm.board import seldom as module
from sermo_fsm.board.seldom import Seldom


class Questions:
    """Answers are numbers; each takes its time by our clock."""

    def __init__(self, takes: float = 0.0) -> None:
        self.now = 0.0
        self.takes = takes
        self.asked = 0
        self.busy = 0
        self.kept = Seldom(60.0, lambda: self.now)

    async def answer(self) -> int:
        self.busy += 1
        assert self.busy == 1, "two at a time"
        await asyncio.sleep(0)
        self.busy -= 1
        self.asked += 1
        self.now += self.takes
        return self.asked

    async def ask(self, question: str) -> int:
        return await self.kept.ask(question, self.answer)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@pytest.mark.parametrize(("takes", "kept"), [(0.0, 60.0), (1.0, 60.0), (10.0, 190.0)])
def test_an_answer_is_kept_for_twenty_times_what_it_took(takes: float, kept: float) -> None:
    questions = Questions(takes)

    async def work() -> None:
        assert await questions.ask("a") == 1
        questions.now += kept - 0.001
        assert await questions.ask("a") == 1
        questions.now += 0.002
        assert await questions.ask("a") == 2

    run(work)


def test_who_asks_the_same_waits_for_the_same_answer() -> None:
    questions = Questions()

    async def work() -> None:
        asking = [questions.ask(name) for name in ("a", "b") * 20]
        assert set(await asyncio.gather(*asking)) == {1, 2}

    run(work)


def test_a_failure_is_not_kept() -> None:
    questions = Questions()

    async def fail() -> int:
        raise ZeroDivisionError

    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await questions.kept.ask("a", fail)
        assert await questions.ask("a") == 1

    run(work)


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    questions = Questions()

    async def work() -> None:
        for name in ("a", "b", "c", "c", "b"):
            await questions.ask(name)
        assert questions.asked == 3
        await questions.ask("a")  # was pushed out by c
        assert questions.asked == 4

    run(work)
