"""Chats and their history by SQLAlchemy's ORM, as one would write it around a state machine.

A batch is one transaction of one session: the chats and the message ids that it needs are loaded at
once, everything else is left to the unit of work.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from benchmarks.contenders import Contender, Ends
from benchmarks.contenders.meaning import closes, trigger_of, wrote_later
from benchmarks.traffic import Message

__all__ = ["Chat", "OrmContender", "plain_engine"]

_QUIET = ("heartbeat", "typing")


def plain_engine(url: str) -> sa.Engine:
    """An engine as durable as ours: SQLite in WAL mode, flushed at each commit."""
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


_TIME = sa.DateTime()  # in UTC


class _Base(orm.DeclarativeBase):
    pass


class Chat(_Base):
    """A chat, with what an application wants to know of it."""

    __tablename__ = "chat"
    __allow_unmapped__ = True

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    platform_id: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    user_id: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(32), index=True)
    opened_at: orm.Mapped[datetime] = orm.mapped_column(_TIME)
    closed_at: orm.Mapped[datetime | None] = orm.mapped_column(_TIME)
    last_seen_at: orm.Mapped[datetime | None] = orm.mapped_column(_TIME)
    customer_text_at: orm.Mapped[datetime | None] = orm.mapped_column(_TIME)
    customer_typed_at: orm.Mapped[datetime | None] = orm.mapped_column(_TIME)
    last_reply_at: orm.Mapped[datetime | None] = orm.mapped_column(_TIME)
    agent_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    agent_name: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    queue_number: orm.Mapped[int | None]
    row_count: orm.Mapped[int]

    __table_args__ = (sa.Index("chat_user", "platform_id", "user_id"),)

    now: datetime
    """When the event at hand was received."""
    machine: Any = None
    """The machine around it, where there is one for each chat."""

    @property
    def holding(self) -> Sequence[str]:
        """The guards of the table that hold, for ``transitions``."""
        return ["customer_wrote_later"] if self.customer_wrote_later() else []

    def customer_wrote_later(self) -> bool:
        """The guard of the table, for ``python-statemachine``."""
        return wrote_later(self.customer_text_at, self.now)


class _Row(_Base):
    __tablename__ = "chat_history"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    chat_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("chat.id"))
    seq: orm.Mapped[int]
    direction: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    type: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    trigger: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    from_state: orm.Mapped[str | None] = orm.mapped_column(sa.String(32))
    to_state: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    received_at: orm.Mapped[datetime] = orm.mapped_column(_TIME)
    message_id: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    event: orm.Mapped[str] = orm.mapped_column(sa.Text)
    chat: orm.Mapped[Chat] = orm.relationship()

    __table_args__ = (
        sa.UniqueConstraint("direction", "message_id"),
        sa.UniqueConstraint("chat_id", "seq"),
    )


class OrmContender(Contender):
    """Everything but the machine."""

    engine: sa.Engine

    @abstractmethod
    def fire(self, chat: Chat, trigger: str) -> None:
        """Let the machine move ``chat.state``."""

    def open(self, url: str) -> None:
        """By ``create_all``."""
        self.engine = plain_engine(url)
        _Base.metadata.create_all(self.engine)

    def many(self, messages: Sequence[Message]) -> None:
        """Load what is known, apply each event, and let the session write."""
        events = [json.loads(message.line) for message in messages]
        users = {event["event"]["userId"] for event in events}
        with orm.Session(self.engine, autoflush=False) as session, session.begin():
            found = session.scalars(
                sa.select(Chat).where(Chat.user_id.in_(users)).order_by(Chat.id).with_for_update()
            )
            chats = {(chat.platform_id, chat.user_id): chat for chat in found}
            known = self._known(session, events)
            for event in events:
                if (event["direction"], event["messageId"]) not in known:
                    self._apply(session, chats, event)

    def _known(self, session: orm.Session, events: Sequence[Any]) -> set[tuple[str, str]]:
        ids = [event["messageId"] for event in events]
        query = sa.select(_Row.direction, _Row.message_id).where(_Row.message_id.in_(ids))
        query = query.where(_Row.direction.in_(("inbound", "outbound", "internal")))
        return {(direction, one) for direction, one in session.execute(query)}

    def _apply(
        self, session: orm.Session, chats: dict[tuple[str, str], Chat], envelope: Any
    ) -> None:
        event, direction = envelope["event"], envelope["direction"]
        user = event["platformId"], event["userId"]
        now = datetime.fromisoformat(envelope["receivedAt"]).replace(tzinfo=None)
        chat, before = chats.get(user), None
        if chat is None or closes(chat.state):
            chat = Chat(platform_id=user[0], user_id=user[1], state="open", opened_at=now)
            chat.row_count = 0
            session.add(chat)
            chats[user] = chat
        else:
            before = chat.state
        trigger = trigger_of(direction, event)
        chat.now = now
        self.fire(chat, trigger)
        self._remember(chat, direction, event, now)
        if trigger not in _QUIET:
            chat.row_count += 1
            session.add(
                _Row(
                    chat=chat,
                    seq=chat.row_count,
                    direction=direction,
                    type=event["type"],
                    trigger=trigger,
                    from_state=before,
                    to_state=chat.state,
                    received_at=now,
                    message_id=envelope["messageId"],
                    event=json.dumps(event, ensure_ascii=False),
                )
            )

    def _remember(self, chat: Chat, direction: str, event: Any, now: datetime) -> None:
        if direction == "inbound":
            chat.last_seen_at = now
            if event["type"] == "typing":
                chat.customer_typed_at = now
            elif event["type"] == "text":
                chat.customer_text_at = now
        elif event["type"] == "text":
            chat.last_reply_at = now
            if event["agent"]["type"] == "human":
                chat.agent_id, chat.agent_name = event["agent"]["id"], event["agent"]["name"]
        if "queueNumber" in event:
            chat.queue_number = event["queueNumber"]
        if closes(chat.state):
            chat.closed_at = now

    def ends(self) -> Ends:
        """From the table of chats; a chat of an event that opened none would show."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(Chat.user_id, Chat.state, sa.func.count(_Row.id))
                .outerjoin(_Row)
                .group_by(Chat.id, Chat.user_id, Chat.state)
            )
            return {user: (state, count) for user, state, count in rows}

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()
