"""What the tests of faults share: a chat, ways to kill connections, and what is found after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from sermo_fsm import ChatEngine, HistoryRow
from tests.databases import DOORS, admin
from tests.servers import wait_until
from tests.support import ANDERS, BOT, envelope, event, text

SERVED: Final = [
    pytest.param(door, marks=pytest.mark.service) for door in DOORS if not door.startswith("sqlite")
]
"""The doors with a server behind them."""

_PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA"
    "DUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def kill_all(url: sa.URL) -> None:
    """Let the server end every connection to this database; back when it has."""
    name = {"name": url.database}
    with admin(url.get_backend_name()).connect() as connection:
        if url.get_backend_name() == "postgresql":
            ask = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            assert all(connection.execute(sa.text(f"{ask} WHERE datname = :name"), name).scalars())
            return
        mine = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
        for number in connection.execute(mine, name).scalars().all():
            connection.exec_driver_sql(f"KILL CONNECTION {number}")
        wait_until(lambda: not connection.execute(mine, name).all(), "all connections are gone")


def plain_engine(chats: Any) -> sa.Engine:
    """The engine inside of either door."""
    inner: Any = getattr(chats, "engine", chats)
    found: sa.Engine = getattr(inner._engine, "sync_engine", inner._engine)
    return found


def story(user: str) -> list[dict[str, Any]]:
    """A chat with all that takes a statement of its own: five rows in two sessions."""
    return [
        envelope("inbound", text(user=user), 0, f"{user}-1"),
        envelope("outbound", text(user=user, agent=BOT, image=_PIXEL), 1, f"{user}-2"),
        envelope("inbound", event("heartbeat", user), 2, f"{user}-3"),
        envelope("outbound", text(user=user, agent=ANDERS), 3, f"{user}-4"),
        envelope("outbound", event("agent_done", user), 4, f"{user}-5"),
        envelope("inbound", text(user=user), 5, f"{user}-6"),
    ]


def hand_in(chats: ChatEngine, call: str, events: list[dict[str, Any]]) -> list[str]:
    """All of them, at once or one by one; what became of them."""
    if call == "handle_many":
        return [receipt.outcome for receipt in chats.handle_many(events)]
    return [chats.handle_many([one])[0].outcome for one in events]


WRITTEN = ["moved", "stayed", "stayed", "moved", "moved", "moved"]
"""What becomes of a story; the heartbeat leaves no row."""
AGAIN = ["duplicate", "duplicate", "late", "duplicate", "duplicate", "duplicate"]
"""What becomes of it once it is there."""


class Heard:
    """What the hooks were told is durable."""

    def __init__(self, chats: ChatEngine) -> None:
        self.rows: list[HistoryRow] = []
        chats.after_commit(self.rows.append)

    def of(self, user: str) -> int:
        """How many rows of this user's; that none came twice."""
        ids = [row.message_id for row in self.rows if row.user_id == user]
        assert len(ids) == len(set(ids))
        return len(ids)


def in_order(chats: ChatEngine, user: str) -> list[str | None]:
    """The message ids of all that was written about this user."""
    return [
        row.message_id
        for session in sorted(chats.sessions(user=user), key=lambda session: session.ordinal)
        for row in chats.history(session.session_id)
    ]


def check(chats: ChatEngine, user: str) -> None:
    """The story of this user is there once, and all is well."""
    assert in_order(chats, user) == [f"{user}-{number}" for number in (1, 2, 4, 5, 6)]


@contextmanager
def at_statement(chats: ChatEngine, number: int, do: Callable[[], object]) -> Iterator[list[str]]:
    """Do it before the n-th statement; gives what came before. Our commit counts too."""
    engine = plain_engine(chats)
    seen: list[str] = []

    def count(statement: str) -> None:
        seen.append(statement)
        if len(seen) == number:
            do()

    def execute(*arguments: Any) -> None:
        count(arguments[2])

    def commit(_: sa.Connection) -> None:
        count("COMMIT")

    sa_event.listen(engine, "before_cursor_execute", execute)
    sa_event.listen(engine, "commit", commit)
    try:
        yield seen
    finally:
        sa_event.remove(engine, "before_cursor_execute", execute)
        sa_event.remove(engine, "commit", commit)
