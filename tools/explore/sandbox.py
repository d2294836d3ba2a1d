"""A database to try things in: it can be put back to any content that it once had.

The real engine works on it, and it is a real one: SQLite. Whatever the engine did before is gone
when a content is put back, as it is after a crash; so what it kept to itself would show.
"""

import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from sermo_fsm.core.session import Receipt
from sermo_fsm.engine import ChatEngine
from sermo_fsm.storage.transactions import open_engine
from tools.explore.streams import Delivery, Step, Sweep

__all__ = ["Chat", "Content", "Door", "Key", "Row", "Scratch", "Taken"]

Door = Callable[[sa.Engine], ChatEngine]
"""Makes the engine that is tried, on a database."""

Key = tuple[object, object]
"""What the engine can see of a database, as far as it matters to what comes next."""


@frozen
class Chat:
    """A row of the session table."""

    user: tuple[str, str] = field(eq=False)
    ordinal: int = field(eq=False)
    state: str = field(eq=False)
    close_reason: str | None = field(eq=False)
    kept_state: str | None = field(eq=False)
    expires_at: datetime | None = field(eq=False)
    row_count: int = field(eq=False)
    effective_at: str = field(eq=False)
    values: tuple[object, ...] = field(repr=False)
    """All of it, but for the key of the row."""


@frozen
class Row:
    """A row of the history, with its body."""

    direction: str = field(eq=False)
    message_id: str | None = field(eq=False)
    trigger: str | None = field(eq=False)
    chat: tuple[str, str, int] | None = field(eq=False)
    """Whose it is; None for a stray."""
    seq: int | None = field(eq=False)
    from_state: str | None = field(eq=False)
    to_state: str | None = field(eq=False)
    effective_at: str = field(eq=False)
    fingerprint: bytes | None = field(eq=False, repr=False)
    values: tuple[object, ...] = field(repr=False)


@frozen
class Content:
    """What a database holds."""

    chats: tuple[Chat, ...]
    rows: tuple[Row, ...]
    image: bytes = field(eq=False, repr=False)

    @property
    def key(self) -> Key:
        """The sessions as they stand; which messages are in the history, as what, and of which.

        The engine looks at nothing else when an event comes: what the rows did at their time, and
        in which order they came, decides nothing any more. Row numbers are left out, too.
        """
        placed = [
            (row.direction, row.message_id, row.fingerprint, row.trigger, row.chat)
            for row in self.rows
        ]
        return self.chats, frozenset(placed)


@frozen
class Taken:
    """What became of messages that were handed in, or of a sweep."""

    content: Content
    commits: int
    receipts: tuple[Receipt, ...] = ()


_CHATS: Final = "SELECT * FROM sermo_session ORDER BY platform_id, user_id, ordinal"
_ROWS: Final = """
    SELECT h.*, b.event, b.raw, b.image_sha256,
        s.platform_id AS their_platform, s.user_id AS their_user, s.ordinal AS their_ordinal
    FROM sermo_history AS h LEFT JOIN sermo_body AS b ON b.history_id = h.id
        LEFT JOIN sermo_session AS s ON s.id = h.session_key
    ORDER BY h.id
"""


class Scratch:
    """One database in memory, and the engine that is tried on it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        # The smallest pages: an image is taken after every step.
        self._driver = sqlite3.connect(":memory:", check_same_thread=False)
        self._driver.executescript("PRAGMA page_size = 512; VACUUM; PRAGMA foreign_keys = ON")
        self._engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, creator=lambda: self._driver
        )
        self.chats = door(self._engine)
        self.chats.migrate()
        self._commits = 0
        event.listen(self._engine, "commit", self._count)

    def close(self) -> None:
        """Give it back."""
        self._engine.dispose()

    def _count(self, _: sa.Connection) -> None:
        self._commits += 1

    def look(self) -> Content:
        """What it holds now."""
        return _content(self._driver, zlib.compress(self._driver.serialize(), 1))

    def put(self, image: bytes) -> None:
        """Let it hold again what it held when this *image* was taken."""
        self._driver.deserialize(zlib.decompress(image))

    def hand_in(self, image: bytes, deliveries: Sequence[Delivery]) -> Taken:
        """Hand in what the queues deliver, in one transaction, to the database of this *image*."""
        self.put(image)
        self._commits = 0
        receipts = self.chats.handle_many([delivery.envelope for delivery in deliveries])
        return Taken(self.look(), self._commits, tuple(receipts))

    def sweep(self, image: bytes, up_to: datetime) -> Taken:
        """Sweep the database of this *image*."""
        self.put(image)
        self._commits = 0
        self.chats.sweep(up_to)
        return Taken(self.look(), self._commits)

    def power_cuts(self, image: bytes, step: Step) -> list[Content]:
        """What would be there after a power cut: before each commit, and when all is done.

        For that the database is a file, and copied as it lies there at that moment.
        """
        with tempfile.TemporaryDirectory() as name:
            folder, copies = Path(name), count()
            file = folder / "chat.db"
            file.write_bytes(zlib.decompress(image))

            def cut(*_: object) -> None:
                copy = folder / str(next(copies))
                copy.mkdir()
                for part in folder.glob("chat.db*"):
                    shutil.copy(part, copy)

            engine = open_engine(f"sqlite:///{file}")
            event.listen(engine, "commit", cut)
            try:
                chats = self._door(engine)
                if isinstance(step, Sweep):
                    chats.sweep(step.up_to)
                else:
                    chats.handle_many([step.envelope])
                cut()
            finally:
                engine.dispose()
            return [_found_in(folder / str(copy) / "chat.db") for copy in range(next(copies))]


def _found_in(file: Path) -> Content:
    with closing(sqlite3.connect(file)) as driver:
        return _content(driver, b"")


def _content(driver: sqlite3.Connection, image: bytes) -> Content:
    chats = tuple([_chat(values) for values in _named(driver.execute(_CHATS))])
    rows = tuple([_row(values) for values in _named(driver.execute(_ROWS))])
    return Content(chats, rows, image)


def _named(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


def _chat(values: dict[str, Any]) -> Chat:
    del values["id"]
    expires_at = values["expires_at"]
    return Chat(
        user=(values["platform_id"], values["user_id"]),
        ordinal=values["ordinal"],
        state=values["state"],
        close_reason=values["close_reason"],
        kept_state=values["kept_state"],
        expires_at=expires_at and datetime.fromisoformat(expires_at).replace(tzinfo=UTC),
        row_count=values["row_count"],
        effective_at=values["effective_at"],
        values=tuple(values.values()),
    )


def _row(values: dict[str, Any]) -> Row:
    ordinal = values["their_ordinal"]
    return Row(
        direction=values["direction"],
        message_id=values["message_id"],
        trigger=values["trigger_name"],
        chat=None if ordinal is None else (values["their_platform"], values["their_user"], ordinal),
        seq=values["seq"],
        from_state=values["from_state"],
        to_state=values["to_state"],
        effective_at=values["effective_at"],
        fingerprint=values["fingerprint"],
        values=tuple(values.values()),
    )
