"""The input of ``ingest``: opened, unpacked, and refused if it is anything but JSON Lines.

The first bytes decide, before a line is handed in. gzip and zstd are read as what they contain.
"""

import errno
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

from attrs import define, field, frozen

__all__ = ["BOM", "STDIN", "Input", "open_input", "source_name"]

STDIN: Final = Path("-")
BOM: Final = b"\xef\xbb\xbf"

# A batch holds at most the bytes of one read, and of the line that the read completes.
_READ_BYTES: Final = 256 * 1024
_MAX_HEAD_BYTES: Final = 64 * 1024

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED_SUFFIXES: Final = {".gz": _GZIP, ".zst": _ZSTD}
_PACKED_NAMES: Final = {_GZIP: "gzip", _ZSTD: "zstd"}

# What is not read: the first bytes, what it looks like, and what would make JSON Lines of it.
_FOREIGN: Final = {
    b"\xff\xfe\x00\x00": ("UTF-32", "iconv -f UTF-32 -t UTF-8"),
    b"\x00\x00\xfe\xff": ("UTF-32", "iconv -f UTF-32 -t UTF-8"),
    b"\xff\xfe": ("UTF-16", "iconv -f UTF-16 -t UTF-8"),
    b"\xfe\xff": ("UTF-16", "iconv -f UTF-16 -t UTF-8"),
    b"{\x00": ("UTF-16", "iconv -f UTF-16LE -t UTF-8"),
    b"[\x00": ("UTF-16", "iconv -f UTF-16LE -t UTF-8"),
    b"\x00{": ("UTF-16", "iconv -f UTF-16BE -t UTF-8"),
    b"\x00[": ("UTF-16", "iconv -f UTF-16BE -t UTF-8"),
    b"BZh": ("bzip2", "bzip2 -dc"),
    b"\xfd7zXZ\x00": ("xz", "xz -dc"),
    b"PK\x03\x04": ("a ZIP archive", "unzip -p"),
    _GZIP: ("compressed twice", "gzip -dc"),
    _ZSTD: ("compressed twice", "zstd -dc"),
}
_BLANK: Final = rb"(?:\xef\xbb\xbf|\s)*"
_BROKEN_OBJECT: Final = rb"\{(?:[^\n]*[^}\s])?[ \t\r]*\n\s*"  # its first line has no end
_ARRAY: Final = re.compile(_BLANK + rb"\[\s*\{")
_PRETTY: Final = re.compile(_BLANK + _BROKEN_OBJECT + rb'[",]')
_UNDECIDED: Final = re.compile(
    _BLANK + rb"(?:\xef\xbb?|\[\s*|\{[^\n]*|" + _BROKEN_OBJECT + rb")?\Z"
)


def source_name(path: Path) -> str:
    """What messages call the input at *path*."""
    return "<stdin>" if path == STDIN else str(path)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


@define
class _Peekable:
    """A stream whose beginning can be looked at before it is read.

    Attributes:
        read_some: Returns what there is, and waits only for the first byte; empty at the end.
        head: What was looked at and not read yet.
        taken: The number of bytes that were read.
    """

    read_some: Callable[[int], bytes]
    head: bytes = field(default=b"", repr=False)
    taken: int = 0

    def peek(self, undecided: Callable[[bytes], object]) -> bytes:
        """Look at the beginning for as long as it is *undecided*, up to a limit."""
        while len(self.head) < _MAX_HEAD_BYTES and undecided(self.head):
            more = self.read_some(_READ_BYTES)
            if not more:
                break
            self.head += more
        return self.head

    def read(self, size: int, /) -> bytes:
        """What there is, at most *size* bytes; empty at the end."""
        if self.head:
            part, self.head = self.head[:size], self.head[size:]
        else:
            part = self.read_some(size)
        self.taken += len(part)
        return part


@frozen
class Input:
    """An input whose beginning looks like JSON Lines.

    Attributes:
        packed: The bytes as they are in the file.
        text: The bytes of the lines; the same stream if the file is not compressed.
    """

    packed: _Peekable
    text: _Peekable

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """Each part of the text, and the number of bytes of the file that were read for it.

        Raises:
            OSError: The file can't be read, or its compressed data is damaged.
        """
        before = 0
        while chunk := self.text.read(_READ_BYTES):
            yield chunk, self.packed.taken - before
            before = self.packed.taken


@contextmanager
def open_input(path: Path) -> Iterator[Input]:
    """Open *path*, or standard input, and look at its beginning.

    Raises:
        OSError: It can't be read, or is nothing that ``ingest`` reads; says what it looks like.
    """
    with _opened(path) as stream:
        packed = _Peekable(partial(_read, stream))
        text = _unpacked(packed, path)
        _refuse_foreign(text, path)
        yield Input(packed, text)


@contextmanager
def _opened(path: Path) -> Iterator[_Readable]:
    """Open *path* without a buffer: a read returns what there is, and waits only for the first."""
    if path != STDIN:
        with path.open("rb", buffering=0) as file:
            yield file
        return
    if sys.stdin is None:
        raise OSError(errno.EBADF, "there is no standard input; name a file")
    buffered = sys.stdin.buffer
    yield getattr(buffered, "raw", buffered)


def _read(stream: _Readable, size: int) -> bytes:
    part = stream.read(size)
    if part is None:  # not the end, but a non-blocking stream without data
        raise BlockingIOError(
            errno.EAGAIN, "standard input is non-blocking; pipe it through 'cat |'"
        )
    return part


def _unpacked(packed: _Peekable, path: Path) -> _Peekable:
    """The stream itself, or what is compressed in it."""
    head = packed.peek(lambda head: _may_become(head, _PACKED_NAMES))
    named = _PACKED_SUFFIXES.get(path.suffix.lower())
    if head.startswith(_GZIP):
        file = gzip.GzipFile(fileobj=cast("Any", packed), mode="rb")
        errors: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error)
    elif head.startswith(_ZSTD):
        zstd = _zstd(path)
        file, errors = zstd.ZstdFile(packed), (zstd.ZstdError,)
    elif head and named:
        raise _unusable(path, f"its name says {_PACKED_NAMES[named]}, but it is not compressed so")
    else:
        return packed

    def read_some(size: int) -> bytes:
        try:
            return file.read1(size)
        except EOFError:
            raise _unusable(path, "it is cut off: its compressed data has no end") from None
        except errors:
            raise _unusable(path, "its compressed data is damaged") from None

    return _Peekable(read_some)


def _zstd(path: Path) -> Any:
    """The module for zstd: part of Python from 3.14 on, an extra before."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(name)
    remedy = "zstd needs an extra: pip install 'sermo-fsm[zstd]'"
    raise _unusable(path, f"it is compressed by zstd; {remedy}")


def _refuse_foreign(text: _Peekable, path: Path) -> None:
    head = text.peek(lambda head: _may_become(head, _FOREIGN) or _UNDECIDED.match(head))
    found = next((kind for start, kind in _FOREIGN.items() if head.startswith(start)), None)
    if _ARRAY.match(head):
        found = ("a JSON array", "jq -c '.[]'")
    elif _PRETTY.match(head):
        found = ("JSON over several lines", "jq -c '.'")
    if found:
        what, filter_ = found
        wanted = "ingest reads JSON Lines in UTF-8, one event per line"
        raise _unusable(path, f"it looks like {what}, but {wanted}; pipe it through: {filter_}")


def _may_become(head: bytes, starts: dict[bytes, Any]) -> bool:
    return any(start != head and start.startswith(head) for start in starts)


def _unusable(path: Path, what: str) -> OSError:
    return OSError(errno.EINVAL, what, source_name(path))
