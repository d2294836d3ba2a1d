"""Sessions that a connection keeps, on SQLite, are those that it would read."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import given

from sermo_fsm import ChatEngine, Outcome, SealingFailed, State, StoreError
from sermo_fsm.storage import kept_sessions
from sermo_fsm.storage.kept_sessions import Users
from tests.databases import a_database, dump, empty
from tests.doors import open_door
from tests.storage.test_model import INBOUND, OUTBOUND
from tests.storage.test_queries import listening
from tests.support import PLATFORM, at, envelope, event, text

USERS = ("anna", "bo", "cy")


class Boom(Exception):
    pass


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


def batch(seconds: float, *users: str) -> list[dict[str, Any]]:
    return [envelope("inbound", event("heartbeat", user), seconds) for user in users]


def reads(chats: ChatEngine, work: Callable[[], object]) -> int:
    """How many users' sessions *work* has looked up in the database."""
    with listening(chats._engine) as sent:
        work()
    return sum("max(o.ordinal)" in sql or "AS session" in sql for sql, _ in sent)


# --- what is read, and what is not ----------------------------------------------------------------


def test_the_next_batch_reads_only_the_sessions_of_others(database: sa.URL) -> None:
    with ChatEngine(database) as chats:
        assert reads(chats, lambda: chats.handle_many(batch(0, "anna", "bo"))) == 1
        assert reads(chats, lambda: chats.handle_many(batch(1, "anna", "bo"))) == 0
        assert reads(chats, lambda: chats.handle_many(batch(2, "bo", "cy"))) == 1
        assert reads(chats, lambda: chats.handle_many(batch(3, "anna", "bo", "cy"))) == 0
        assert [one.last_seen_at for one in chats.sessions()] == [at(3)] * 3


@pytest.mark.parametrize(
    "somebody",
    [
        lambda _, other: other.handle_many(batch(5, "anna", "cy")),
        lambda _, other: other.handle("inbound", text(user="anna"), received_at=at(5)),
        lambda chats, _: chats.handle("inbound", text(user="anna"), received_at=at(5)),
        lambda chats, _: chats.close_chat(PLATFORM, "anna", at=at(5)),
        lambda _, other: other.sweep(up_to=at(50_000)),
        lambda chats, _: chats.erase(PLATFORM, "anna", even_live=True),
        lambda chats, _: write_by_hand(chats),
        lambda chats, _: undo(chats),
    ],
    ids=["a batch", "one", "one of ours", "close", "sweep", "erase", "SQL", "a rollback"],
)
def test_after_anybody_has_written_all_are_read(database: sa.URL, somebody: Any) -> None:
    with ChatEngine(database) as chats, ChatEngine(database) as other:
        chats.handle_many(batch(0, "anna", "bo"))
        somebody(chats, other)
        assert reads(chats, lambda: chats.handle_many(batch(6, "anna", "bo"))) == 1


def write_by_hand(chats: ChatEngine) -> None:
    with chats._engine.begin() as connection:  # on the connection that keeps them
        connection.exec_driver_sql("UPDATE sermo_session SET agent_name = 'Anders'")


def undo(chats: ChatEngine) -> None:
    """A batch that is rolled back when all of it is written."""

    def boom(_: object, __: object) -> None:
        raise Boom

    hooks = chats._hooks
    chats.within_transaction(boom)
    with suppress(Boom):
        chats.handle_many([envelope("inbound", text(user=user), 5) for user in ("anna", "bo")])
    hooks.within_transaction.remove(boom)


def test_what_was_rolled_back_is_not_kept_by_a_later_commit(database: sa.URL) -> None:
    """Of a message that comes again, which writes nothing: the version stays as it was."""
    with ChatEngine(database) as chats:
        again = partial(chats.handle, "inbound", text(), message_id="m", received_at=at(0))
        again()
        undo(chats)
        again()
        assert reads(chats, lambda: chats.handle_many(batch(6, "anna", "bo"))) == 1
        assert chats.verify().ok


def test_in_a_transaction_that_others_end_all_are_read_and_nothing_is_kept(
    database: sa.URL,
) -> None:
    with ChatEngine(database) as chats:
        for _ in range(2):
            with chats._engine.begin() as connection:
                join = partial(chats.handle_many, connection=connection)
                assert reads(chats, partial(join, batch(1, "anna", "bo"))) == 1
        assert reads(chats, lambda: chats.handle_many(batch(2, "anna", "bo"))) == 1


def test_a_connection_of_the_hosts_keeps_nothing(database: sa.URL) -> None:
    host = sa.create_engine(database)
    with ChatEngine(host) as chats:
        for _ in range(2):
            assert reads(chats, lambda: chats.handle_many(batch(1, "anna", "bo"))) == 1
    host.dispose()


def test_a_session_that_is_gone_from_under_the_connection_is_a_lost_race(
    database: sa.URL,
) -> None:
    """SQLite counts no rows where a backup is restored into the connection itself."""
    template = sqlite3.connect(str(database.database))
    with ChatEngine(database) as chats:
        chats.handle_many(batch(0, "anna", "bo"))
        empty_again = sqlite3.connect(":memory:")
        template.backup(empty_again)
        for table in ("body", "history", "session"):
            empty_again.execute(f"DELETE FROM sermo_{table}")  # noqa: S608 - ours
        empty_again.commit()
        with chats._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            empty_again.backup(driver)
        receipts = chats.handle_many(batch(1, "anna", "bo"))
        assert [receipt.outcome for receipt in receipts] == [Outcome.MOVED] * 2
        assert [one.ordinal for one in chats.sessions()] == [1, 1]
        assert chats.verify().ok
    template.close()
    empty_again.close()


def test_no_report_of_an_error_shows_who_is_kept(database: sa.URL) -> None:
    def seal(clear: bytes) -> bytes:
        if b"Hej!" in clear:
            raise Boom
        return clear

    with ChatEngine(database, seal=seal, open=bytes) as chats:
        chats.handle_many(batch(0, "anna", "bo"))
        with pytest.raises(SealingFailed) as failed:
            chats.handle_many([envelope("inbound", text(user=user), 1) for user in ("cy", "dora")])
    frames = [one.frame.f_locals for one in failed.traceback]
    kept = [value for names in frames for value in names.values() if isinstance(value, Users)]
    assert kept
    assert not any(isinstance(one, Mapping) for one in kept)
    assert {repr(one) for one in kept} == {"<2 users>"}


@pytest.mark.parametrize("others", [[], ["bo"]], ids=["one user", "a batch"])
def test_what_the_driver_can_not_read_is_not_quoted(database: sa.URL, others: list[str]) -> None:
    with ChatEngine(database) as chats:
        chats.handle_many(batch(0, "anna", *others))
        with chats._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE sermo_session SET agent_name = CAST(x'41FF' AS TEXT)"
            )
            connection.exec_driver_sql("UPDATE sermo_session SET agent_id = 'a'")
        with pytest.raises(StoreError, match="Could not decode to UTF-8") as failed:
            chats.handle_many(batch(1, "anna", *others))
    assert "anna" not in str(failed.value)
    assert "bot" not in str(failed.value)


def test_no_more_users_are_kept_than_there_is_room_for(
    database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_sessions, "_MOST", 3)
    with ChatEngine(database) as chats:
        chats.handle_many(batch(0, "anna", "bo"))
        chats.handle_many(batch(1, "cy", "dora"))
        assert reads(chats, lambda: chats.handle_many(batch(2, "bo", "dora"))) == 0
        assert reads(chats, lambda: chats.handle_many(batch(3, "anna", "bo"))) == 1


@pytest.mark.parametrize("door", ["sqlite", "sqlite-async"])
def test_what_is_kept_goes_on_as_if_it_were_read(door: str, database: sa.URL) -> None:
    with open_door(door, database) as chats:
        for number in range(6):
            chats.handle_many(
                [
                    envelope("inbound", text(user="anna"), 10 * number),
                    envelope("outbound", event("agent_done", "bo"), 10 * number + 1),
                    envelope("outbound", text(user="bo", agent={"id": "a"}), 10 * number + 2),
                ]
            )
        assert chats.verify().ok
        anna, bo = chats.status(PLATFORM, "anna"), chats.status(PLATFORM, "bo")
    assert anna is not None
    assert bo is not None
    assert (anna.state, anna.ordinal, anna.rows) == (State.BOT, 1, 6)
    assert (bo.state, bo.ordinal, bo.rows) == (State.WITH_AGENT, 6, 1)


# --- any history, beside engines that keep nothing ------------------------------------------------

sent = st.tuples(
    st.sampled_from(USERS),
    st.one_of(
        st.tuples(st.just("inbound"), st.sampled_from(INBOUND)),
        st.tuples(st.just("outbound"), st.sampled_from(OUTBOUND)),
    ),
    st.sampled_from((1, 1, 30, 61, 1801)),
)
actions = st.tuples(
    st.sampled_from(("batch", "batch", "batch", "one", "elsewhere", "undone", "nested", "swept")),
    st.lists(sent, min_size=2, max_size=5),
)


def act(
    kind: str, lines: list[dict[str, Any]], now: float, one: ChatEngine, two: ChatEngine
) -> None:
    match kind:
        case "batch":
            one.handle_many(lines)
        case "one":
            one.handle_many(lines[:1])
        case "elsewhere":
            two.handle_many(lines)
        case "undone" | "nested":
            with_hook(kind, lines, one)
        case _:
            one.sweep(up_to=at(now))


def with_hook(kind: str, lines: list[dict[str, Any]], chats: ChatEngine) -> None:
    """A batch whose hook fails at the end, or hands in more and takes that back."""
    calls: list[object] = []

    def hook(_: object, connection: sa.Connection) -> None:
        if calls:
            return
        calls.append(None)
        if kind == "undone":
            raise Boom
        savepoint = connection.begin_nested()
        more = [envelope("inbound", text(user=user), 0) for user in USERS]
        chats.handle_many(more, connection=connection)
        savepoint.rollback()

    chats.within_transaction(hook)
    with suppress(Boom):
        chats.handle_many(lines)
    chats._hooks.within_transaction.remove(hook)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """Two databases: one for engines that keep sessions, one for engines that have just begun."""
    folder = tmp_path_factory.mktemp("both")
    with (
        a_database("sqlite", folder, migrated=True) as first,
        a_database("sqlite", folder, migrated=True) as second,
    ):
        engines = sa.create_engine(first), sa.create_engine(second)
        yield engines
        for engine in engines:
            engine.dispose()


@given(steps=st.lists(actions, min_size=2, max_size=8))
def test_any_history_is_the_same_as_of_engines_that_keep_nothing(
    both: tuple[sa.Engine, sa.Engine], steps: list[Any]
) -> None:
    for database in both:
        with database.begin() as connection:
            empty(connection)
    kept, fresh = both
    now, number = 0, 0
    with ChatEngine(kept.url) as one, ChatEngine(kept.url) as two:
        for kind, items in steps:
            lines = []
            for user, (direction, wire), gap in items:
                now, number = now + gap, number + 1
                whole = {**wire, "platformId": PLATFORM, "userId": user}
                lines.append(envelope(direction, whole, now, f"m-{number}"))
            act(kind, lines, now, one, two)
            with ChatEngine(fresh.url) as third, ChatEngine(fresh.url) as fourth:
                act(kind, lines, now, third, fourth)
        assert one.verify().ok
    assert everything_but_keys(kept) == everything_but_keys(fresh)


def everything_but_keys(database: sa.Engine) -> dict[str, list[Any]]:
    """What is stored; SQLite goes on counting ids where rows were deleted."""
    found = dump(database)
    first = min((row[0] for row in found["sermo_history"]), default=0)
    return {
        "sessions": [row[1:] for row in found["sermo_session"]],
        "history": [(row[0] - first, *row[2:]) for row in found["sermo_history"]],
        "bodies": [(row[0] - first, *row[1:]) for row in found["sermo_body"]],
    }
