"""What the database takes for a commit that changes one row: no event can be cheaper."""

from collections.abc import Sequence

from benchmarks.contenders import Contender
from benchmarks.contenders.orm import plain_engine
from benchmarks.traffic import Message

__all__ = ["Commit"]


class Commit(Contender):
    """``UPDATE`` of a number, and ``COMMIT``, by the driver."""

    def open(self, url: str) -> None:
        """A table with one row."""
        self.engine = plain_engine(url)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER)")
            connection.exec_driver_sql("INSERT INTO counter VALUES (1, 0)")
        self.lent = self.engine.raw_connection()
        self.cursor = self.lent.cursor()

    def many(self, messages: Sequence[Message]) -> None:
        """One commit, whatever the messages are."""
        del messages
        self.cursor.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        self.lent.commit()

    def ends(self) -> None:
        """Nothing that matters."""

    def close(self) -> None:
        """Disconnect."""
        self.lent.close()
        self.engine.dispose()
