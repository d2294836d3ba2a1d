"""How much is measured, and where."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from attrs import field, frozen

__all__ = ["KINDS", "SMALL", "TITLES", "Options"]

TITLES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
KINDS: Final = tuple(TITLES)


@frozen
class Options:
    """How much is measured, and where.

    Attributes:
        folder: Where SQLite files lie while they are measured.
        databases: The kinds of databases.
        rounds: How often everything is done in turn.
        before: How many events have happened before the clock starts.
        events: How many events are handed in in batches.
        peer_events: Likewise, where slow ones take part; as many have happened before.
        single: How many are handed in one by one.
        batch: How many events are one batch.
        chats: How many chats live at once.
        sessions: How many sessions the databases hold that show growth.
        checkout: Another checkout of the library, measured beside this one.
        load: How busy the machine was before.
        filled: The URLs of databases that are filled, by kind and number of sessions.
        kept: What lives as long as the run.
    """

    folder: Path
    databases: tuple[str, ...] = KINDS
    rounds: int = 5
    before: int = 2_500
    events: int = 6_000
    peer_events: int = 1_000
    single: int = 300
    batch: int = 500
    chats: int = 500
    sessions: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    checkout: Path | None = None
    load: float = field(factory=lambda: os.getloadavg()[0])
    filled: dict[tuple[str, int], str] = field(init=False, factory=dict)
    kept: ExitStack = field(init=False, factory=ExitStack)

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """The URL of an empty database, which is gone afterwards."""
        from tests.databases import a_database  # loads the library, maybe from the wrong checkout

        with a_database(kind, self.folder) as url:
            yield url.render_as_string(hide_password=False)

    def clean(self) -> None:
        """Drop what was kept here, and by the tests' helpers."""
        from tests.databases import drop_all

        self.kept.close()
        drop_all()


SMALL: Final = {
    "rounds": 1,
    "before": 100,
    "events": 100,
    "peer_events": 60,
    "single": 5,
    "batch": 50,
    "chats": 20,
    "sessions": (40, 80),
}
"""As small as can be: whether everything still runs."""
