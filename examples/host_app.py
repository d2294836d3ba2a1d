"""A small bot backend: its own tables and the events of the chats in one transaction.

    python examples/host_app.py                           SQLite, in a temporary folder
    python examples/host_app.py postgresql+psycopg://…    an empty database of yours

What the customer wrote, the bot's answer and the ticket are there together, or none of them is. The
answer is sent once it is durable.
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
    """What the bot says. What is not marked as sent, after a crash, is to be sent again."""

    __tablename__ = "answer"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.Text)
    sent: Mapped[bool] = mapped_column(default=False)


class Ticket(Base):
    """An errand; its number is given once."""

    __tablename__ = "ticket"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    session_id: Mapped[str] = mapped_column(sa.String(36))


class Backend:
    """The bot, with one engine for its own tables and for the chats."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, hide_parameters=True)
        Base.metadata.create_all(self.engine)
        self.transaction = sessionmaker(self.engine)
        self.chats = ChatEngine(self.engine)
        self.chats.migrate()
        self.chats.after_commit(self.send)

    def in_one_transaction(self, work: Callable[[Session], None]) -> None:
        """Do *work*; where another writer was in the way, roll back and do all of it again."""
        for attempt in stamina.retry_context((LostRace, StoreBusy), wait_initial=0.01, attempts=20):
            with attempt, self.transaction.begin() as session:
                work(session)

    def customer_wrote(
        self, user: str, words: str, message: str, ticket: int | None = None
    ) -> None:
        """Take one message from the queue; *message* is its id, so twice does no harm."""

        def work(session: Session) -> None:
            event = {"type": "text", "platformId": "web", "userId": user, "text": words}
            chat = self.chats.handle("inbound", event, message_id=message, connection=session).after
            if chat is None or chat.state != State.BOT:
                return  # handed in before, or not the bot's turn
            if ticket is not None:
                session.add(Ticket(number=ticket, session_id=chat.session_id))
            answer = Answer(text=f"Hej {user}, du skrev: {words}")
            session.add(answer)
            session.flush()  # now it has its id
            reply = {**event, "text": answer.text, "agent": BOT}
            self.chats.handle("outbound", reply, message_id=str(answer.id), connection=session)

        self.in_one_transaction(work)

    def send(self, row: HistoryRow) -> None:
        """Send the bot's text of this row of the history: it is durable now."""
        if row.trigger != Trigger.BOT_TEXT or row.message_id is None:
            return
        this = Answer.id == int(row.message_id)
        with self.transaction.begin() as session:
            session.execute(sa.update(Answer).where(this).values(sent=True))
            words = session.scalars(sa.select(Answer.text).where(this)).one()
            print(f"sent to {row.user_id}: {words}")

    def sums(self) -> str:
        """What is in the database."""
        with self.transaction() as session:
            answers = session.scalars(sa.select(Answer)).all()
            tickets = session.scalars(sa.select(Ticket)).all()
            chats = list(self.chats.sessions(connection=session))
        rows = sum(chat.rows for chat in chats)
        return f"{len(chats)} chats, {rows} rows, {len(answers)} answers, {len(tickets)} tickets"


def main(url: str) -> None:
    """Play a few messages."""
    backend = Backend(url)
    backend.customer_wrote("anna", "Min faktura är fel", "m-1", ticket=1)
    backend.customer_wrote("anna", "Min faktura är fel", "m-1", ticket=1)  # the broker's repeat
    print(f"one message, handed over twice: {backend.sums()}")
    try:
        backend.customer_wrote("bo", "Min också", "m-2", ticket=1)
    except sa.exc.IntegrityError:
        print(f"ticket 1 is taken, so nothing of it: {backend.sums()}")
    with ThreadPoolExecutor(4) as workers:  # at the same instant, a customer that nobody knows yet
        list(workers.map(lambda n: backend.customer_wrote("cia", f"{n}", f"c-{n}"), range(4)))
    print(f"four workers, one new customer: {backend.sums()}")
    backend.engine.dispose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if sys.argv[1:] else f"sqlite:///{folder}/host.db")
