"""The bare driver, writing exactly the rows that we write, and deciding nothing.

Before the clock starts, our engine plays the same messages into a database of the same kind. What
each of its transactions changed in our tables is found by comparing them, so that nothing here
knows a column: tables, columns and types are those that the database describes. Then the driver
alone writes these rows in the same transactions, and reads what has to be read before a decision:
the last two sessions of each user and the message ids, locked where others could write.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from benchmarks.contenders import Job
from benchmarks.contenders.floor_writers import WRITERS, Change, Unit, Writer
from benchmarks.contenders.ours import SESSION, OnOurTables, Ours, our_tables
from benchmarks.traffic import PLATFORM, Message

__all__ = ["Floor", "record"]

_Row = Mapping[str, Any]


class Floor(OnOurTables):
    """Writes what was recorded, transaction by transaction."""

    writer: Writer
    units: Sequence[Unit]
    left: Iterator[Any]

    def learn(self, url: str, job: Job) -> None:
        """Record what our engine writes."""
        self.units = list(record(url, [*job.before, *job.timed]))

    def open(self, url: str) -> None:
        """By our migrations; the statements are put together before the clock starts."""
        self.url = url
        ours = Ours()
        ours.open(url)
        tables = our_tables(ours.chats._engine)  # noqa: SLF001 - to look at the tables
        ours.close()
        self.writer = WRITERS[sa.make_url(url).get_backend_name()](url, tables)
        self.left = iter([self.writer.prepared(unit) for unit in self.units])

    def many(self, messages: Sequence[Message]) -> None:
        """Write what our engine wrote for them."""
        del messages
        self.writer.write(next(self.left))

    def close(self) -> None:
        """Disconnect."""
        self.writer.close()


def record(url: str, transactions: Sequence[Sequence[Message]]) -> Iterator[Unit]:
    """Yield what our engine reads and writes in each of *transactions*, in an empty database."""
    ours = Ours()
    ours.open(url)
    watcher = sa.create_engine(url)
    seen = [_Seen.of(table) for table in our_tables(watcher)]
    for messages in transactions:
        ours.many(messages)
        ids: dict[str, list[str]] = {}
        for message in messages:
            ids.setdefault(message.direction, []).append(message.message_id)
        with watcher.connect() as connection:
            changes = [one.changes(connection) for one in seen]
        yield Unit(
            users=sorted({(PLATFORM, message.user_id) for message in messages}),
            ids=ids,
            updated=[row for _, updated in changes for row in updated],
            inserted=[
                (one.table.name, rows) for one, (rows, _) in zip(seen, changes, strict=True) if rows
            ],
        )
    ours.close()
    watcher.dispose()


@frozen
class _Seen:
    """What was in a table when we last looked."""

    table: sa.Table
    key: str
    rows: dict[Any, _Row]
    """Of the sessions all rows; of the other tables, which only grow, the latest."""

    @classmethod
    def of(cls, table: sa.Table) -> "_Seen":
        (key,) = table.primary_key
        return cls(table, key.name, {})

    def changes(self, connection: sa.Connection) -> tuple[list[_Row], list[Change]]:
        """The rows that are new, and what has changed in others."""
        query = f"SELECT * FROM {self.table.name}"  # noqa: S608 - ours
        if self.table.name != SESSION and self.rows:
            query += f" WHERE {self.key} > {_literal(max(self.rows))}"
        result = connection.exec_driver_sql(f"{query} ORDER BY {self.key}")
        new: list[_Row] = []
        changed: list[Change] = []
        for row in result.mappings():
            values = dict(row)
            old = self.rows.get(values[self.key])
            if old is None:
                new.append(values)
            elif old != values:
                names = tuple(name for name in values if values[name] != old[name])
                changed.append(Change(names, values))
            self.rows[values[self.key]] = values
        return new, changed


def _literal(value: int | str) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"
