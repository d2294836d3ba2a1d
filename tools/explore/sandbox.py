"""A SQLite database that the real engine runs on, and that any earlier snapshot can be restored to.

Restoring a snapshot undoes what the engine did since, as a crash would. So an engine that keeps
something to itself is found out.
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

from sermo_fsm.core.history import Receipt
from sermo_fsm.engine import ChatEngine
from sermo_fsm.storage.transactions import open_engine
from tools.explore.streams import Action, Delivery, Sweep

__all__ = [
    "EngineFactory",
    "Execution",
    "HistoryRecord",
    "Sandbox",
    "SessionRecord",
    "Snapshot",
    "SnapshotKey",
]

EngineFactory = Callable[[sa.Engine], ChatEngine]
"""Makes the engine that is explored, on a database."""

SnapshotKey = tuple[object, object]
"""What the engine can see of a database, and what matters to what comes next."""


@frozen
class SessionRecord:
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
    """Its columns, but for the primary key, and for when the sweeper looks.

    The latter differs by what happened in between, and decides nothing.
    """


@frozen
class HistoryRecord:
    """A row of the history, with its body."""

    direction: str = field(eq=False)
    message_id: str | None = field(eq=False)
    trigger: str | None = field(eq=False)
    chat: tuple[str, str, int] | None = field(eq=False)
    """Platform, user and ordinal of its session; None for a stray."""
    seq: int | None = field(eq=False)
    from_state: str | None = field(eq=False)
    to_state: str | None = field(eq=False)
    effective_at: str = field(eq=False)
    event: str | None = field(eq=False, repr=False)
    values: tuple[object, ...] = field(repr=False)


@frozen
class Snapshot:
    """What a database holds: its sessions, its history, and the whole file, compressed."""

    chats: tuple[SessionRecord, ...]
    rows: tuple[HistoryRecord, ...]
    image: bytes = field(eq=False, repr=False)

    @property
    def key(self) -> SnapshotKey:
        """The sessions, and which messages the history has, with body, trigger and session.

        The engine looks at nothing else when an event comes. What the rows did and their order
        decide nothing any more, and their ids are left out, too.
        """
        recorded = [
            (row.direction, row.message_id, row.event, row.trigger, row.chat) for row in self.rows
        ]
        return self.chats, frozenset(recorded)


@frozen
class Execution:
    """The result of one transaction: messages that were handed in, or a sweep."""

    snapshot: Snapshot
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


class Sandbox:
    """One database in memory, and the engine that is explored on it."""

    def __init__(self, engine_factory: EngineFactory) -> None:
        self._engine_factory = engine_factory
        # The smallest pages: the database is copied after every action.
        self._driver = sqlite3.connect(":memory:", check_same_thread=False)
        self._driver.executescript("PRAGMA page_size = 512; VACUUM; PRAGMA foreign_keys = ON")
        self._engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, creator=lambda: self._driver
        )
        self.chats = engine_factory(self._engine)
        self.chats.migrate()
        self._commits = 0
        event.listen(self._engine, "commit", self._count)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def _count(self, _: sa.Connection) -> None:
        self._commits += 1

    def snapshot(self) -> Snapshot:
        """Take a snapshot of the database."""
        return _snapshot(self._driver, zlib.compress(self._driver.serialize(), 1))

    def restore(self, image: bytes) -> None:
        """Restore the database from the *image* of a snapshot.

        Not by deserializing into our own connection: SQLite 3.40 may then crash at a statement that
        it has to prepare again, seen where that one joins json_each.
        """
        with closing(sqlite3.connect(":memory:")) as snapshot:
            snapshot.deserialize(zlib.decompress(image))
            snapshot.backup(self._driver)

    def hand_in(self, image: bytes, deliveries: Sequence[Delivery]) -> Execution:
        """Restore *image*, and hand in the *deliveries* in one transaction."""
        self.restore(image)
        self._commits = 0
        receipts = self.chats.handle_many([delivery.envelope for delivery in deliveries])
        return Execution(self.snapshot(), self._commits, tuple(receipts))

    def sweep(self, image: bytes, up_to: datetime) -> Execution:
        """Restore *image*, and sweep it."""
        self.restore(image)
        self._commits = 0
        self.chats.sweep(up_to)
        return Execution(self.snapshot(), self._commits)

    def power_cuts(self, image: bytes, action: Action) -> list[Snapshot]:
        """The contents after a power cut before each commit of *action*, and after all of it.

        Here the database is a file, which is copied as it is at each of these moments.
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
                chats = self._engine_factory(engine)
                if isinstance(action, Sweep):
                    chats.sweep(action.up_to)
                else:
                    chats.handle_many([action.envelope])
                cut()
            finally:
                engine.dispose()
            return [
                _snapshot_of_file(folder / str(copy) / "chat.db") for copy in range(next(copies))
            ]


def _snapshot_of_file(file: Path) -> Snapshot:
    with closing(sqlite3.connect(file)) as driver:
        return _snapshot(driver, b"")


def _snapshot(driver: sqlite3.Connection, image: bytes) -> Snapshot:
    chats = tuple([_session_record(values) for values in _dicts(driver.execute(_CHATS))])
    rows = tuple([_history_record(values) for values in _dicts(driver.execute(_ROWS))])
    return Snapshot(chats, rows, image)


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


def _session_record(values: dict[str, Any]) -> SessionRecord:
    del values["id"], values["due_at"]
    expires_at = values["expires_at"]
    return SessionRecord(
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


def _history_record(values: dict[str, Any]) -> HistoryRecord:
    ordinal = values["their_ordinal"]
    return HistoryRecord(
        direction=values["direction"],
        message_id=values["message_id"],
        trigger=values["trigger_name"],
        chat=None if ordinal is None else (values["their_platform"], values["their_user"], ordinal),
        seq=values["seq"],
        from_state=values["from_state"],
        to_state=values["to_state"],
        effective_at=values["effective_at"],
        event=values["event"],
        values=tuple(values.values()),
    )
