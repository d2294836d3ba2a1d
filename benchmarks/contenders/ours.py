"""The library, as a consumer would call it."""

import hashlib
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from benchmarks.contenders import Contender, Ends
from benchmarks.traffic import Message
from sermo_fsm import ChatEngine
from sermo_fsm.storage.schema import TABLE_PREFIX

__all__ = ["SESSION", "OnOurTables", "Ours", "handle", "our_tables"]

SESSION = TABLE_PREFIX + "session"
_OF_EVENTS: Final = ("session", "history", "image", "body")


def our_tables(engine: sa.Engine) -> list[sa.Table]:
    """Those that events are written to, as the database describes them, referred ones first."""
    metadata = sa.MetaData()
    metadata.reflect(engine, only=[f"{TABLE_PREFIX}{name}" for name in _OF_EVENTS])
    return list(metadata.sorted_tables)


class OnOurTables(Contender):
    """Whoever writes into our tables."""

    url: str

    def ends(self) -> Ends:
        """From the table of sessions."""
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT user_id, state, row_count FROM {SESSION}")  # noqa: S608 - ours
            found = {user: (state, count) for user, state, count in rows}
        engine.dispose()
        return found

    def digest(self) -> str:
        """Of every row of every table of ours."""
        engine = sa.create_engine(self.url)
        digest = hashlib.sha256()
        with engine.connect() as connection:
            for table in our_tables(engine):
                (key,) = table.primary_key
                query = f"SELECT * FROM {table.name} ORDER BY {key.name}"  # noqa: S608 - ours
                for row in connection.exec_driver_sql(query):
                    digest.update(repr(tuple(row)).encode())
        engine.dispose()
        return digest.hexdigest()


def handle(chats: ChatEngine, message: Message) -> object:
    """Hand in one message as a consumer does: the body, and what the broker says about it."""
    return chats.handle(
        message.direction,
        message.body,
        message_id=message.message_id,
        received_at=message.received_at,
    )


class Ours(OnOurTables):
    """``ChatEngine``: ``handle_many`` for batches, ``handle`` for one."""

    chats: ChatEngine

    def open(self, url: str) -> None:
        """By the migrations."""
        self.url = url
        self.chats = ChatEngine(url)
        self.chats.migrate()

    def many(self, messages: Sequence[Message]) -> None:
        """The lines as they are."""
        self.chats.handle_many([message.line for message in messages])

    def one(self, message: Message) -> None:
        """The body, with what the broker says about it."""
        handle(self.chats, message)

    def close(self) -> None:
        """Close the connections."""
        self.chats.close()
