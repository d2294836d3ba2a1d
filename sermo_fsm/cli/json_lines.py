"""``sermo-fsm ingest``: read lines in batches and store them, in constant memory.

A line that is longer than the engine accepts is truncated; the engine then rejects it as too large.
A batch holds the lines that one read brought, or a part of them, and never waits for more input.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from attrs import define, field, frozen

from sermo_fsm.cli.input_streams import BOM, STDIN, open_input, source_name
from sermo_fsm.cli.progress import IngestProgress, ingest_progress
from sermo_fsm.core.history import Outcome, Receipt
from sermo_fsm.engine import ChatEngine
from sermo_fsm.protocol.envelope import QueueName
from sermo_fsm.protocol.json_reader import Limits

__all__ = ["Tally", "ingest_files"]

# More than the engine accepts, so that it rejects every line that is truncated here.
_MAX_LINE_BYTES: Final = Limits().event_bytes + 64 * 1024
_BATCH_LINES: Final = 500
_MAX_COMPLAINTS: Final = 10


@frozen
class SourceLine:
    """One line of input, and where it stands."""

    source: str
    number: int
    content: bytes = field(repr=False)


@define
class Tally:
    """The outcomes of the lines so far.

    Attributes:
        outcomes: The number of lines with each outcome.
        last: The file and the number of the last line that is stored.
        complaints: The number of invalid lines; only the first ones are reported.
    """

    outcomes: dict[Outcome, int] = field(factory=lambda: dict.fromkeys(Outcome, 0))
    last: tuple[str, int] | None = None
    complaints: int = 0

    @property
    def read(self) -> int:
        """The number of lines that are stored."""
        return sum(self.outcomes.values())

    @property
    def rejected(self) -> int:
        """The number of lines that are ``invalid`` or in ``conflict``."""
        return self.outcomes[Outcome.INVALID] + self.outcomes[Outcome.CONFLICT]

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm ingest --json`` prints it."""
        return {"read": self.read, **{str(name): count for name, count in self.outcomes.items()}}

    def add(self, lines: Sequence[SourceLine], receipts: Iterable[Receipt]) -> None:
        """Count *lines*, which are committed."""
        for receipt in receipts:
            self.outcomes[receipt.outcome] += 1
        self.last = lines[-1].source, lines[-1].number

    def so_far(self) -> str:
        """A sentence that says what is stored, for an error message."""
        if self.last is None:
            return "Nothing is stored"
        source, number = self.last
        lines = "1 line is" if self.read == 1 else f"{self.read} lines are"
        return (
            f"{lines} stored, up to {source}:{number}, and nothing of what follows. "
            "Run it again from the top: lines with a messageId count once"
        )


def ingest_files(
    engine: ChatEngine,
    files: Sequence[Path],
    tally: Tally,
    *,
    direction: QueueName | None,
    platform_id: str | None,
) -> None:
    """Hand every line of *files* to the engine, in order, and count the outcomes in *tally*.

    Raises:
        OSError: An input can't be read, or is not JSON Lines; if it is a file, nothing is stored.
    """
    for path in files:
        if path != STDIN and path.is_file():  # a pipe can be opened only once
            with open_input(path):
                pass
    handle = partial(engine.handle_many, direction=direction, platform_id=platform_id)
    typed = STDIN in files and sys.stdin is not None and sys.stdin.isatty()
    with ingest_progress(_total(files), quiet=typed) as progress, _DeferredInterrupt() as interrupt:
        if typed:
            progress.remark("Reading events from the terminal, one per line; end with Ctrl-D.")
        ingester = _Ingester(handle, tally, progress, interrupt)
        for path in files:
            ingester.ingest(path)


@frozen
class _Ingester:
    handle: Callable[[list[bytes]], list[Receipt]]
    tally: Tally
    progress: IngestProgress
    interrupt: "_DeferredInterrupt"

    def ingest(self, path: Path) -> None:
        """Ingest one file. What one read brought is stored before the next read may wait."""
        splitter = _LineSplitter(source_name(path))
        with open_input(path) as stream:
            for chunk, size in stream.chunks():
                self._store(splitter.feed(chunk), size)
        self._store(splitter.end(), 0)

    def _store(self, lines: Iterator[SourceLine], size: int) -> None:
        while batch := list(islice(lines, _BATCH_LINES)):
            with self.interrupt.deferred():
                receipts = self.handle([line.content for line in batch])
                self.tally.add(batch, receipts)
            for line, receipt in zip(batch, receipts, strict=True):
                if receipt.error is not None:
                    self._complain(line, receipt)
        self.progress.advance(size, self.tally.read)

    def _complain(self, line: SourceLine, receipt: Receipt) -> None:
        # Invalid lines are also stored as strays. A conflict is stored nowhere: report them all.
        if receipt.outcome is Outcome.INVALID:
            self.tally.complaints += 1
            if self.tally.complaints > _MAX_COMPLAINTS:
                if self.tally.complaints == _MAX_COMPLAINTS + 1:
                    self.progress.remark(
                        "Further invalid lines are only counted; see sermo-fsm strays."
                    )
                return
        self.progress.remark(f"{line.source}:{line.number}: {receipt.outcome}: {receipt.error}")


@define
class _LineSplitter:
    """Splits chunks of a file into lines; holds one line at most, truncated if it is too long."""

    source: str
    number: int = 0
    rest: bytearray = field(factory=bytearray, repr=False)

    def feed(self, chunk: bytes) -> Iterator[SourceLine]:
        """The lines that *chunk* completes, except blank ones."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._grow(end)
            yield from self._line()
        self._grow(rest)

    def end(self) -> Iterator[SourceLine]:
        """The last line, if no newline ended it."""
        yield from self._line()

    def _grow(self, piece: bytes) -> None:
        self.rest += piece[: _MAX_LINE_BYTES - len(self.rest)]

    def _line(self) -> Iterator[SourceLine]:
        self.number += 1
        content, truncated = bytes(self.rest), len(self.rest) == _MAX_LINE_BYTES
        self.rest.clear()
        while content.startswith(BOM):  # of each file, where several were put together
            content = content.removeprefix(BOM)
        if truncated or content.strip():  # the rest of a truncated line may not be blank
            yield SourceLine(self.source, self.number, content)


def _total(files: Iterable[Path]) -> int | None:
    """The size of *files* in bytes; None if one of them is no regular file."""
    total = 0
    for path in files:
        if path == STDIN or not path.is_file():
            return None
        total += path.stat().st_size
    return total


@define
class _DeferredInterrupt:
    """Defers Ctrl-C to the end of the current batch, so that the message can say what is stored.

    Attributes:
        busy: Whether a batch is being stored.
        pending: Whether Ctrl-C came during a batch.
        installed: Whether SIGINT is handled here.
    """

    busy: bool = False
    pending: bool = False
    installed: bool = False

    def __enter__(self) -> Self:
        # Only the main thread can handle signals. A process that ignores Ctrl-C keeps ignoring it.
        self.installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self.installed:
            signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_interrupt(self, *_: object) -> None:
        if not self.busy:
            raise KeyboardInterrupt
        self.pending = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Run the block to its end before Ctrl-C takes effect."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        if self.pending:
            raise KeyboardInterrupt
