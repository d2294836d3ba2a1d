"""A small bot backend that writes its own tables and the chats' events in one transaction.

    python examples/host_app.py                           SQLite, in a temporary folder
    python examples/host_app.py postgresql+psycopg://…    an empty database

The customer's message, the bot's answer and the ticket are committed together or not at all. The
answer is sent after the commit.
"""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
import stamina
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from sermo_fsm import ChatEngine, HistoryRow, LostRace, State, StoreBusy, Trigger

BOT = {"id": "bot", "name": "Botten Anna"}


class Base(DeclarativeBase):
    """The tables of the backend."""


class Answer(Base):
    """An answer of the bot. After a crash, send those again that are not marked as sent."""

    __tablename__ = "answer"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.Text)
    sent: Mapped[bool] = mapped_column(default=False)


class Ticket(Base):
    """A ticket; every number is used once."""

    __tablename__ = "ticket"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    session_id: Mapped[str] = mapped_column(sa.String(36))


class BotBackend:
    """The bot backend, with one database engine for its own tables and for the chats."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, hide_parameters=True)
        Base.metadata.create_all(self.engine)
        self.transaction = sessionmaker(self.engine)
        self.chats = ChatEngine(self.engine)
        self.chats.migrate()
        self.chats.after_commit(self.send)

    def in_one_transaction(self, work: Callable[[Session], None]) -> None:
        """Do *work* in a transaction; if another writer was in the way, do all of it again."""
        for attempt in stamina.retry_context((LostRace, StoreBusy), wait_initial=0.01, attempts=20):
            with attempt, self.transaction.begin() as session:
                work(session)

    def customer_wrote(
        self, user: str, words: str, message: str, ticket: int | None = None
    ) -> None:
        """Handle one message from the queue. *message* is its id: a redelivery has no effect."""

        def work(session: Session) -> None:
            event = {"type": "text", "platformId": "web", "userId": user, "text": words}
            chat = self.chats.handle("inbound", event, message_id=message, connection=session).after
            if chat is None or chat.state != State.BOT:
                return  # a redelivery, or not the bot's turn
            if ticket is not None:
                session.add(Ticket(number=ticket, session_id=chat.session_id))
            answer = Answer(text=f"Hej {user}, du skrev: {words}")
            session.add(answer)
            session.flush()  # gives it its id
            reply = {**event, "text": answer.text, "agent": BOT}
            self.chats.handle("outbound", reply, message_id=str(answer.id), connection=session)

        self.in_one_transaction(work)

    def send(self, row: HistoryRow) -> None:
        """Send the bot's text that this row of the history records; it has been committed."""
        if row.trigger != Trigger.BOT_TEXT or row.message_id is None:
            return
        this = Answer.id == int(row.message_id)
        with self.transaction.begin() as session:
            session.execute(sa.update(Answer).where(this).values(sent=True))
            words = session.scalars(sa.select(Answer.text).where(this)).one()
            print(f"sent to {row.user_id}: {words}")

    def counts(self) -> str:
        """The numbers of everything in the database."""
        with self.transaction() as session:
            answers = session.scalars(sa.select(Answer)).all()
            tickets = session.scalars(sa.select(Ticket)).all()
            chats = list(self.chats.sessions(connection=session))
        rows = sum(chat.rows for chat in chats)
        return f"{len(chats)} chats, {rows} rows, {len(answers)} answers, {len(tickets)} tickets"


def main(url: str) -> None:
    """Play a few messages."""
    backend = BotBackend(url)
    backend.customer_wrote("anna", "Min faktura är fel", "m-1", ticket=1)
    backend.customer_wrote("anna", "Min faktura är fel", "m-1", ticket=1)  # redelivered
    print(f"one message, handed over twice: {backend.counts()}")
    try:
        backend.customer_wrote("bo", "Min också", "m-2", ticket=1)
    except sa.exc.IntegrityError:
        print(f"ticket 1 is taken, so nothing of it: {backend.counts()}")
    with ThreadPoolExecutor(4) as workers:  # at once, about a new customer
        list(workers.map(lambda n: backend.customer_wrote("cia", f"{n}", f"c-{n}"), range(4)))
    print(f"four workers, one new customer: {backend.counts()}")
    backend.engine.dispose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if sys.argv[1:] else f"sqlite:///{folder}/host.db")
