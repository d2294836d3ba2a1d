"""eventsourcing: an aggregate for each chat, whose events are its history.

https://eventsourcing.readthedocs.io: an ``Application`` on its module for the database, ``save``
with all aggregates of a batch, and the cache of aggregates as for a single writer, neither copied
nor brought up to date. Its state is its events, so that quiet ones are stored as well. It does not
ask whether a message id was there before.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event

from benchmarks.contenders import Contender, Ends
from benchmarks.contenders.meaning import CELLS, trigger_of, wrote_later
from benchmarks.traffic import Message

__all__ = ["Eventsourcing"]

_TABLE = {(source, trigger): cell for source, trigger, cell in CELLS}


class _Chat(Aggregate):
    @event("Opened")
    def __init__(self, platform_id: str, user_id: str) -> None:
        self.platform_id = platform_id
        self.user_id = user_id
        self.state = "open"
        self.happenings = 0
        self.last_seen_at: datetime | None = None
        self.customer_text_at: datetime | None = None

    @staticmethod
    def create_id(platform_id: str, user_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"{platform_id}/{user_id}")

    @event("Happened")
    def happened(
        self, direction: str, trigger: str, received_at: datetime, message_id: str, body: str
    ) -> None:
        del message_id, body  # they are in the event
        self.happenings += 1
        cell = _TABLE.get((self.state, trigger))
        if cell is not None:
            later = cell.guard is not None and wrote_later(self.customer_text_at, received_at)
            self.state = cell.target({cell.guard} if cell.guard and later else set()).value
        if direction == "inbound":
            self.last_seen_at = received_at
        if trigger == "customer_text":
            self.customer_text_at = received_at


class _Chats(Application[UUID]):
    name = "chats"


class Eventsourcing(Contender):
    """``repository.get``, the aggregate's own method, ``save``."""

    every_event_is_a_row: ClassVar[bool] = True

    def open(self, url: str) -> None:
        """By its factory for the database."""
        where = sa.make_url(url)
        if where.get_backend_name() == "sqlite":
            settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite"}
            settings["SQLITE_DBNAME"] = str(where.database)
        else:
            settings = {
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": str(where.database),
                "POSTGRES_HOST": str(where.host),
                "POSTGRES_PORT": str(where.port or 5432),
                "POSTGRES_USER": str(where.username),
                "POSTGRES_PASSWORD": str(where.password or ""),
            }
        self.chats = _Chats(
            env={
                **settings,
                "AGGREGATE_CACHE_FASTFORWARD": "n",
                "AGGREGATE_CACHE_MAXSIZE": "2000",
                "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
            }
        )
        self.users: set[str] = set()

    def many(self, messages: Sequence[Message]) -> None:
        """Load each aggregate once, and save them all."""
        loaded: dict[UUID, _Chat] = {}
        for message in messages:
            envelope = json.loads(message.line)
            self._apply(loaded, envelope)
        self.chats.save(*loaded.values())

    def _apply(self, loaded: dict[UUID, _Chat], envelope: Any) -> None:
        about = envelope["event"]
        user = about["platformId"], about["userId"]
        key = _Chat.create_id(*user)
        chat = loaded.get(key)
        if chat is None:
            try:
                chat = self.chats.repository.get(key)
            except AggregateNotFoundError:
                chat = _Chat(*user)
            loaded[key] = chat
        chat.happened(
            envelope["direction"],
            trigger_of(envelope["direction"], about),
            datetime.fromisoformat(envelope["receivedAt"]),
            envelope["messageId"],
            json.dumps(about, ensure_ascii=False),
        )
        self.users.add(about["userId"])

    def ends(self) -> Ends:
        """By loading every aggregate from the database."""
        self.chats.repository.cache = None
        found = {}
        for user in self.users:
            chat: _Chat = self.chats.repository.get(_Chat.create_id("comviq-web", user))
            found[user] = chat.state, chat.happenings
        return found

    def close(self) -> None:
        """Close the connections."""
        self.chats.close()
