"""Lines in, batch by batch, in constant memory: what ``sermo-fsm ingest`` does.

A line is kept whole up to a bound and cut there; the engine then says that it is too large. A
batch never waits for lines that may never come: it is what one read brought, in portions.
"""

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, Self

from attrs import define, field, frozen

from sermo_fsm.cli.progress import Watch, watching
from sermo_fsm.cli.shell import USAGE, Failure
from sermo_fsm.core.session import Outcome, Receipt
from sermo_fsm.engine import ChatEngine
from sermo_fsm.protocol.json_reader import Limits

__all__ = ["STDIN", "Tally", "feed"]

STDIN: Final = Path("-")

# More than the engine takes: what is cut here, it calls too large.
_LINE_BYTES: Final = Limits().event_bytes + 64 * 1024
_READ_BYTES: Final = 256 * 1024
# A batch is also bounded in bytes: by one read, and the line that it ends.
_BATCH_LINES: Final = 500
_COMPLAINTS: Final = 10
_BOM: Final = b"\xef\xbb\xbf"


@frozen
class Line:
    """One line, and where it stood."""

    source: str
    number: int
    content: bytes = field(repr=False)


@define
class Tally:
    """What has become of the lines so far."""

    outcomes: dict[Outcome, int] = field(factory=lambda: dict.fromkeys(Outcome, 0))
    last: tuple[str, int] | None = None
    """The file and the line of the last one that is in."""
    complaints: int = 0
    """How many were ``invalid``: those are named only up to a number."""

    @property
    def read(self) -> int:
        """How many lines are in."""
        return sum(self.outcomes.values())

    @property
    def spoiled(self) -> int:
        """How many of them were ``invalid`` or in ``conflict``."""
        return self.outcomes[Outcome.INVALID] + self.outcomes[Outcome.CONFLICT]

    def view(self) -> dict[str, Any]:
        """The object that ``ingest --json`` prints."""
        return {"read": self.read, **{str(name): count for name, count in self.outcomes.items()}}

    def add(self, lines: Sequence[Line], receipts: Iterable[Receipt]) -> None:
        """These lines are in, and durable."""
        for receipt in receipts:
            self.outcomes[receipt.outcome] += 1
        self.last = lines[-1].source, lines[-1].number

    def so_far(self) -> str:
        """A sentence for the case that it goes no further."""
        if self.last is None:
            return "Nothing is in"
        source, number = self.last
        lines = "1 line is" if self.read == 1 else f"{self.read} lines are"
        return (
            f"{lines} in, up to {source}:{number}, and nothing of what follows. "
            "Run it again from the top: lines with a messageId count once"
        )


def feed(
    engine: ChatEngine,
    files: Sequence[Path],
    tally: Tally,
    *,
    direction: str | None,
    platform_id: str | None,
) -> None:
    """Hand in every line of *files*, in order, and keep count in *tally*."""
    hand_in = partial(engine.handle_many, direction=direction, platform_id=platform_id)
    typed = STDIN in files and sys.stdin is not None and sys.stdin.isatty()
    with watching(_total(files), quiet=typed) as watch, _Patience() as patience:
        if typed:
            watch.remark("Reading events from the terminal, one a line; Ctrl-D ends.")
        feeder = _Feeder(hand_in, tally, watch, patience)
        for path in files:
            feeder.read(path)


@frozen
class _Feeder:
    hand_in: Callable[[list[bytes]], list[Receipt]]
    tally: Tally
    watch: Watch
    patience: "_Patience"

    def read(self, path: Path) -> None:
        """All of one file. What a read has brought is in before the next one may wait."""
        splitter = _Splitter("<stdin>" if path == STDIN else str(path))
        with _opened(path) as stream:
            for chunk in _chunks(stream):
                self._take(splitter.feed(chunk), len(chunk))
        self._take(splitter.end(), 0)

    def _take(self, lines: Iterator[Line], size: int) -> None:
        while batch := list(islice(lines, _BATCH_LINES)):
            with self.patience.held():
                receipts = self.hand_in([line.content for line in batch])
                self.tally.add(batch, receipts)
            for line, receipt in zip(batch, receipts, strict=True):
                if receipt.error is not None:
                    self._complain(line, receipt)
        self.watch.advance(size, self.tally.read)

    def _complain(self, line: Line, receipt: Receipt) -> None:
        if receipt.outcome is Outcome.INVALID:  # these are also kept; a conflict is nowhere else
            self.tally.complaints += 1
            if self.tally.complaints > _COMPLAINTS:
                if self.tally.complaints == _COMPLAINTS + 1:
                    self.watch.remark(
                        "Further invalid lines are only counted; see sermo-fsm strays."
                    )
                return
        self.watch.remark(f"{line.source}:{line.number}: {receipt.outcome}: {receipt.error}")


@define
class _Splitter:
    """Cuts what is read into lines; never holds more than one, and of that one only so much."""

    source: str
    number: int = 0
    rest: bytearray = field(factory=bytearray, repr=False)

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that *chunk* ends, without blank ones."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._grow(end)
            yield from self._line()
        self._grow(rest)

    def end(self) -> Iterator[Line]:
        """The last line, where nothing ended it."""
        yield from self._line()

    def _grow(self, piece: bytes) -> None:
        self.rest += piece[: _LINE_BYTES - len(self.rest)]

    def _line(self) -> Iterator[Line]:
        self.number += 1
        content, cut = bytes(self.rest), len(self.rest) == _LINE_BYTES
        self.rest.clear()
        if self.number == 1:
            content = content.removeprefix(_BOM)
        if cut or content.strip():  # of what was cut nobody knows whether all of it is blank
            yield Line(self.source, self.number, content)


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


@contextmanager
def _opened(path: Path) -> Iterator[_Reader]:
    """*path* without a buffer: a read gives what is there, and waits only where nothing is."""
    if path != STDIN:
        with path.open("rb", buffering=0) as file:
            yield file
        return
    if sys.stdin is None:
        raise Failure("there is no standard input; name a file", USAGE)
    buffered = sys.stdin.buffer
    yield getattr(buffered, "raw", buffered)


def _chunks(stream: _Reader) -> Iterator[bytes]:
    while chunk := stream.read(_READ_BYTES):
        yield chunk
    if chunk is None:  # not the end: somebody set it so that a read does not wait
        raise BlockingIOError(errno.EAGAIN, "standard input is set not to wait: put 'cat |' before")


def _total(files: Iterable[Path]) -> int | None:
    """How many bytes there are; None where that can't be known."""
    total = 0
    for path in files:
        if path == STDIN or not path.is_file():
            return None
        total += path.stat().st_size
    return total


@define
class _Patience:
    """Lets Ctrl-C wait until the batch at hand is in: then it is known exactly what is."""

    busy: bool = False
    came: bool = False
    ours: bool = False

    def __enter__(self) -> Self:
        # In a thread there are no signals; and who ignores Ctrl-C (nohup) goes on to.
        self.ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self.ours:
            signal.signal(signal.SIGINT, self._come)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _come(self, *_: object) -> None:
        if not self.busy:
            raise KeyboardInterrupt
        self.came = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done here is done to its end."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        if self.came:
            raise KeyboardInterrupt
