"""What a board costs its process with one viewer and with many, and how soon a change is seen."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from attrs import define, field

from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Spread, Table, conditions
from benchmarks.traffic import batches, traffic
from sermo_fsm import ChatEngine

__all__ = ["board"]

_ABOUT: Final = """
A board looks at the database every second, while chats go on: twice a second a customer comes into
the queue, so each look finds something new. Everybody watches the wall. CPU is that of the board's
process, for each look; it holds rendering, and sending to all. A change is seen when the page with
it is in the hands of one viewer.
"""
_VIEWERS: Final = (1, 200)
_SECONDS_OF_A_ROUND: Final = 2.0
_PAUSE: Final = 0.5
_PATIENCE: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@define
class _Watched:
    """What the first viewer has seen, and when."""

    committed_at: float | None = None
    delays: list[float] = field(factory=list)
    ready: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(0))

    def see(self, data: bytes) -> None:
        if b"event: page" in data and self.committed_at is not None:
            self.delays.append(time.monotonic() - self.committed_at)
            self.committed_at = None


def board(options: Options) -> Result:
    """On every database: with one viewer, and with two hundred."""
    tables = []
    for kind in options.databases:
        rows = []
        first = 0.0
        for viewers in _VIEWERS:
            with options.database(kind) as url:
                cost, delays = _measure(url, viewers, options)
            first = first or cost
            rows.append(
                [
                    str(viewers),
                    f"{cost * 1000:.1f} ms",
                    f"{cost / first:.2f}",
                    Spread.of(delays).shown(1, 2, " s"),
                ]
            )
        columns = ["viewers", "CPU of a look", "times one", "until a change is seen"]
        tables.append(Table(TITLES[kind], columns, rows))
    return Result("Board", _ABOUT.strip(), tables, conditions=conditions(options, ["starlette"]))


def _measure(url: str, viewers: int, options: Options) -> tuple[float, list[float]]:
    """CPU seconds of a look, and seconds from commits to what a viewer sees."""
    with ChatEngine(url) as chats:
        chats.migrate()
        for batch in batches(traffic(options.before, chats=options.chats), options.batch):
            chats.handle_many([message.line for message in batch])
        with _running(url) as (process, port):
            seconds = _SECONDS_OF_A_ROUND * options.rounds
            return asyncio.run(_watch(chats, process, port, viewers, seconds))


@contextmanager
def _running(url: str) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "sermo_fsm", "board", "--db", url, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        try:
            assert process.stdout is not None  # noqa: S101 - asked for
            found = re.search(r":(\d+)/$", process.stdout.readline().strip())
            if found is None:
                raise SystemExit("the board does not start")
            yield process.pid, int(found[1])
        finally:
            process.terminate()


async def _watch(
    chats: ChatEngine, process: int, port: int, viewers: int, seconds: float
) -> tuple[float, list[float]]:
    watched = _Watched()
    watching = [
        asyncio.create_task(_view(port, watched, is_first=number == 0)) for number in range(viewers)
    ]
    for _ in range(viewers):
        await watched.ready.acquire()
    before, polls = _cpu(process), await asyncio.to_thread(_polls, port)
    end, number = time.monotonic() + seconds, 0
    async with asyncio.timeout(seconds + _PATIENCE):
        # On a busy machine the first look may take longer than all of it should.
        while time.monotonic() < end or not watched.delays:
            number += 1
            await asyncio.to_thread(_come, chats, f"viewed-{viewers}-{number}")
            watched.committed_at = watched.committed_at or time.monotonic()
            await asyncio.sleep(_PAUSE)
    looks = await asyncio.to_thread(_polls, port) - polls
    cost = (_cpu(process) - before) / looks
    for one in watching:
        one.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return cost, watched.delays


async def _view(port: int, watched: _Watched, *, is_first: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events/wall HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        await reader.readuntil(b"event: page")
        watched.ready.release()
        while data := await reader.read(1 << 16):
            if is_first:
                watched.see(data)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _come(chats: ChatEngine, user: str) -> None:
    event = {"platformId": "web", "userId": user}
    chats.handle("inbound", {**event, "type": "text", "text": "Hej!"})
    chats.handle("outbound", {**event, "type": "queue_number", "queueNumber": 1})


def _polls(port: int) -> float:
    with urlopen(f"http://localhost:{port}/metrics") as answer:
        found = re.search(rb"^sermo_board_polls_total (\S+)$", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _cpu(process: int) -> float:
    """Seconds of CPU that a process has used."""
    parts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / _TICKS
