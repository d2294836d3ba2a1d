"""A host with a table and an engine of its own, and how its transactions are watched."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Boom(Exception):
    pass


@contextmanager
def host_engine(url: sa.URL) -> Iterator[sa.Engine]:
    """The host's own engine, as a newcomer makes it: with every driver left as it is."""
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def order(number: int) -> sa.Insert:
    return sa.insert(Order).values(id=number)


def in_the_database(host: sa.Engine) -> tuple[int, int]:
    """Rows of the host's, and rows of ours."""
    with host.connect() as connection:
        return (
            connection.execute(sa.text("SELECT count(*) FROM orders")).scalar_one(),
            connection.execute(sa.text("SELECT count(*) FROM sermo_history")).scalar_one(),
        )


_EVENTS = (
    *("begin", "commit", "rollback", "savepoint", "release_savepoint", "rollback_savepoint"),
    *("begin_twophase", "prepare_twophase", "commit_twophase", "rollback_twophase"),
)
_WORDS = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA", "SET")


def watch(engine: sa.Engine) -> list[str]:
    """What SQLAlchemy is told to begin and to end from now on, and the SQL that says so."""
    seen: list[str] = []

    def note(name: str) -> None:
        def noted(*_: object) -> None:
            seen.append(name)

        sa.event.listen(engine, name, noted)

    for name in _EVENTS:
        note(name)

    @sa.event.listens_for(engine, "before_cursor_execute")
    def executing(_: object, __: object, statement: str, *___: object) -> None:
        words = statement.split()
        if words[0].upper() in _WORDS:
            seen.append(" ".join(words[:2]).upper() if words[0] == "ROLLBACK" else words[0].upper())

    return seen
