"""Many writers on one database: processes, threads, host transactions, levels of isolation.

Long, because it is one story: what is handed in by many is as if one had handed it in.
"""

import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from msgspec.structs import asdict

from sermo_fsm import (
    ChatEngine,
    ChatSession,
    HistoryRow,
    LostRace,
    Outcome,
    QueueName,
    StoreBusy,
    StoreError,
)
from sermo_fsm.storage.schema import tables
from tests.databases import a_database
from tests.support import ANDERS, PLATFORM, at, event, text
from tests.writers import (
    LEVELS,
    WRITERS,
    Job,
    Level,
    Line,
    Report,
    Told,
    Writers,
    Written,
    conversation,
    counted,
    shared,
    traffic,
)

if TYPE_CHECKING:
    from datetime import datetime

PATIENCE: Final = 60  # seconds, for those who wait for each other; never reached
SERVERS: Final = ("postgresql", "mysql")
NOT_WRITTEN: Final = (Outcome.DUPLICATE, Outcome.CONFLICT)

on_servers = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.service) for kind in SERVERS]
)
on_every_level = pytest.mark.parametrize("level", LEVELS)


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    found = Writers()
    yield found
    found.close()


@pytest.fixture
def plain(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """Somebody else's engine on the same database."""
    engine = sa.create_engine(kind_url)
    yield engine
    engine.dispose()


@pytest.fixture
def chats(kind_url: sa.URL) -> Iterator[ChatEngine]:
    with ChatEngine(kind_url) as engine:
        yield engine


@pytest.fixture
def alone() -> Iterator[ChatEngine]:
    """Where nobody else writes: what comes out here is what has to come out."""
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        yield engine


def address(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


# --- what has to be so afterwards ----------------------------------------------------------------


def in_the_history(connection: sa.Connection) -> list[Written]:
    session, history = tables().session, tables().history
    query = sa.select(
        history.c.id,
        session.c.session_id,
        history.c.seq,
        history.c.message_id,
        history.c.trigger_name,
        history.c.outcome,
        history.c.from_state,
        history.c.to_state,
    ).select_from(history.outerjoin(session))
    return [Written(*row) for row in connection.execute(query)]


def check_rows(told: Sequence[Told], stored: Sequence[Written]) -> None:
    """Every row that a receipt told of is there as it was told, and no other."""
    rows = [row for one in told for row in one.rows]
    assert Counter(rows) == Counter(stored)
    assert len({row.id for row in stored}) == len(stored)


def check_messages(told: Sequence[Told], stored: Sequence[Written]) -> None:
    """Each message that leaves a row was taken once, however many handed it in."""
    taken = Counter(
        (one.line.direction, one.line.message_id)
        for one in told
        if not one.line.quiet and one.outcome not in NOT_WRITTEN and one.line.message_id is not None
    )
    handed_in = {
        (one.line.direction, one.line.message_id)
        for one in told
        if not one.line.quiet and one.line.message_id is not None
    }
    assert taken == dict.fromkeys(handed_in, 1)
    ids = Counter(row.message_id for row in stored if row.message_id is not None)
    assert set(ids.values()) == {1}
    assert {message_id for _, message_id in handed_in} <= set(ids)
    invalid = [one for one in told if one.line.message_id is None]
    assert {one.outcome for one in invalid} <= {Outcome.INVALID}


def check_presence(told: Sequence[Told], sessions: Sequence[ChatSession]) -> None:
    """When the customer was last seen: the latest of all that was handed in for the session."""
    seen: dict[str, list[datetime]] = defaultdict(list)
    for one in told:
        moment = at(one.line.seconds)
        if one.session_id is not None and one.line.direction == "inbound":
            seen[one.session_id].append(moment)
    for session in sessions:
        latest, own = session.last_seen_at, max(seen[session.session_id], default=None)
        if latest != own:  # then it is that of the chat that was resumed
            assert session.resumed
            assert latest in seen[str(session.previous_session_id)]
            assert own is None or own < latest


def check_sessions(sessions: Sequence[ChatSession]) -> None:
    """They are numbered without a gap, and none but the last of a user's is live."""
    users: dict[str, list[ChatSession]] = defaultdict(list)
    for session in sorted(sessions, key=lambda session: session.ordinal):
        users[session.user_id].append(session)
    for theirs in users.values():
        assert [session.ordinal for session in theirs] == list(range(1, len(theirs) + 1))
        assert not any(session.live for session in theirs[:-1])


def check(chats: ChatEngine, plain: sa.Engine, reports: Sequence[Report]) -> list[ChatSession]:
    told = [one for report in reports for one in report.told]
    with plain.connect() as connection:
        stored = in_the_history(connection)
    sessions = list(chats.sessions())
    check_rows(told, stored)
    check_messages(told, stored)
    check_presence(told, sessions)
    check_sessions(sessions)
    found = chats.verify()
    assert found.problems == ()
    assert (found.sessions, found.rows) == (
        len(sessions),
        sum(row.seq is not None for row in stored),
    )
    return sessions


class TestProcesses:
    def test_eight_of_them_write_as_one_would(
        self, writers: Writers, chats: ChatEngine, plain: sa.Engine, kind_url: sa.URL
    ) -> None:
        shares = shared(traffic(seed=1, events=400, users=6), seed=2)
        sizes = (0, 0, 0, 1, 3, 10, 40, 1000)
        reports = writers.work(
            [Job(address(kind_url), *each) for each in zip(shares, sizes, strict=True)]
        )

        told = [one for report in reports for one in report.told]
        assert [one.line for one in told] == [line for share in shares for line in share]
        assert {one.outcome for one in told} == set(Outcome)
        sessions = check(chats, plain, reports)
        assert any(session.resumed for session in sessions)
        assert len(sessions) > 2 * 6

    @pytest.mark.service
    @on_every_level
    def test_they_do_at_every_level_of_isolation(
        self, writers: Writers, level: Level, tmp_path: Path
    ) -> None:
        shares = shared(traffic(seed=3, events=80, users=4), seed=4)
        with a_database("postgresql", tmp_path, migrated=True) as url:
            jobs = [
                Job(address(url), share, size, level)
                for share, size in zip(shares, (0, 0, 0, 0, 2, 5, 5, 10), strict=True)
            ]
            reports = writers.work(jobs)
            plain = sa.create_engine(url)
            with ChatEngine(url) as chats:
                check(chats, plain, reports)
            plain.dispose()

    def test_two_queues_read_by_two_processes_end_where_one_reader_ends(
        self, writers: Writers, chats: ChatEngine, alone: ChatEngine, kind_url: sa.URL
    ) -> None:
        users = [f"user-{number}" for number in range(8)]
        queues = [conversation(number, user) for number, user in enumerate(users)]
        opening = [Line("inbound", event("heartbeat", user), 0) for user in users]
        for engine in (chats, alone):
            engine.handle_many(line.envelope() for line in opening)
        halves = WRITERS // 2
        # Each process reads one queue of some users, the users in turn, each queue in its order.
        shares = [
            [line for lines in zip(*some, strict=True) for line in lines]
            for queue in zip(*queues, strict=True)
            for some in (queue[first::halves] for first in range(halves))
        ]
        writers.work([Job(address(kind_url), share) for share in shares])

        merged = sorted(
            (line for pair in queues for queue in pair for line in queue),
            key=lambda line: line.seconds,
        )
        alone.handle_many(line.envelope() for line in merged)
        for user in users:
            assert settled(chats.status(PLATFORM, user)) == settled(alone.status(PLATFORM, user))

    def test_batches_of_the_same_users_in_opposite_orders_do_not_stand_in_each_others_way(
        self, writers: Writers, chats: ChatEngine, kind: str, kind_url: sa.URL
    ) -> None:
        users = [f"user-{number}" for number in range(200)]
        random.Random(1).shuffle(users)  # noqa: S311 - reproducible on purpose
        chats.handle_many(Line("inbound", event("heartbeat", user), 0).envelope() for user in users)
        jobs = []
        for writer in range(WRITERS):
            order = users if writer % 2 else users[::-1]
            lines = [
                Line("inbound", text(user=user), 10 * turn + writer, f"{writer}-{turn}-{user}")
                for turn in range(1, 5)
                for user in order
            ]
            jobs.append(Job(address(kind_url), lines, len(users)))
        reports = writers.work(jobs)

        retries: Counter[str] = sum((report.retries for report in reports), Counter())
        if kind != "sqlite":  # there one waits for the other, and may have waited too long
            assert retries == Counter()
        assert {chats.status(PLATFORM, user).rows for user in users} == {1 + 4 * WRITERS}  # type: ignore[union-attr]  # all have one
        assert chats.verify().ok


def settled(session: ChatSession | None) -> dict[str, Any]:
    """All that does not depend on the order of reading."""
    assert session is not None
    values = asdict(session)
    del values["since"], values["effective_at"]
    return values


# --- two at the same instant ---------------------------------------------------------------------


def waiting(connection: sa.Connection) -> bool:
    """Whether somebody waits for a lock in this database."""
    with connection.begin():
        if connection.dialect.name == "postgresql":
            query = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(connection.exec_driver_sql(query).scalar())
        # Not information_schema.innodb_trx: nobody sees news there as long as anybody looks often.
        query = "SELECT id FROM information_schema.processlist WHERE db = database()"
        ours = set(connection.exec_driver_sql(query).scalars())
        status = connection.exec_driver_sql("SHOW ENGINE INNODB STATUS").one()[2]
        waits = [part for part in status.split("---TRANSACTION ") if "LOCK WAIT" in part]
        return any(int(key) in ours for key in re.findall(r"thread id (\d+)", "".join(waits)))


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@contextmanager
def in_the_background(plain: sa.Engine, work: Callable[[], object]) -> Iterator["Future[object]"]:
    """*work* has begun, and waits for a lock that we hold; or it has ended already."""
    with ThreadPoolExecutor(1) as pool, plain.connect() as connection:
        found = pool.submit(work)
        wait_until(lambda: found.done() or waiting(connection))
        yield found


class TestTheSameInstant:
    def test_two_workers_that_open_a_chat_end_in_one_session(
        self, chats: ChatEngine, kind_url: sa.URL
    ) -> None:
        rounds, together = 25, threading.Barrier(2)

        def work(engine: ChatEngine, queue: QueueName, words: dict[str, Any]) -> None:
            for number in range(rounds):
                together.wait(PATIENCE)
                message = text(user=f"user-{number}", **words)
                engine.handle(queue, message, received_at=at(number), message_id=f"m-{number}")

        with ChatEngine(kind_url) as other, ThreadPoolExecutor(2) as pool:
            both = [
                pool.submit(work, chats, "inbound", {}),
                pool.submit(work, other, "outbound", {"agent": ANDERS}),
            ]
            for one in both:
                one.result(PATIENCE)

        sessions = list(chats.sessions())
        assert sorted(session.user_id for session in sessions) == sorted(
            f"user-{number}" for number in range(rounds)
        )
        assert {(session.rows, session.state) for session in sessions} == {(2, "with_agent")}
        assert chats.verify().ok

    @on_servers
    def test_of_two_hosts_that_open_a_chat_one_waits_for_the_other(
        self, chats: ChatEngine, plain: sa.Engine, kind: str
    ) -> None:
        with plain.connect() as one, plain.connect() as other:
            second = partial(hand, chats, Line("inbound", text(), 1, "b"), other)
            hand(chats, Line("inbound", text(), 0, "a"), one)
            with in_the_background(plain, second) as found:
                one.commit()
                error = found.exception(PATIENCE)
            if kind == "postgresql":  # MySQL's locks are also on what is not committed yet
                assert isinstance(error, LostRace)
                other.rollback()
                second()
            else:
                assert error is None
            other.commit()
        (session,) = chats.sessions()
        assert session.rows == 2

    def test_of_two_hosts_on_sqlite_one_does_it_again(self, tmp_path: Path) -> None:
        with a_database("sqlite", tmp_path, migrated=True) as url:
            plain = sa.create_engine(url, connect_args={"timeout": 0})
            chats = ChatEngine(plain)
            with plain.connect() as one, plain.connect() as other:
                for connection in (one, other):
                    assert chats.status(PLATFORM, "anna", connection=connection) is None
                hand(chats, Line("inbound", text(), 0, "a"), one)
                with pytest.raises(StoreBusy):
                    hand(chats, Line("inbound", text(), 1, "b"), other)
                one.commit()
                with pytest.raises(StoreBusy):  # it still sees what was before
                    hand(chats, Line("inbound", text(), 1, "b"), other)
                other.rollback()
                hand(chats, Line("inbound", text(), 1, "b"), other)
                other.commit()
            (session,) = chats.sessions()
            assert session.rows == 2
            plain.dispose()


def hand(chats: ChatEngine, line: Line, connection: sa.Connection | None = None) -> None:
    """Hand in one event, in the host's transaction where there is one."""
    chats.handle(
        line.direction,
        line.event,
        message_id=line.message_id,
        received_at=at(line.seconds),
        connection=connection,
    )


# --- levels of isolation -------------------------------------------------------------------------

Said = tuple[str, float]
"""Which event, and when."""

EVENTS: Final[dict[str, tuple[QueueName, dict[str, Any]]]] = {
    "customer_text": ("inbound", {"type": "text", "text": "Hej!"}),
    "heartbeat": ("inbound", {"type": "heartbeat"}),
    "client_left": ("inbound", {"type": "client_left"}),
    "client_unload": ("inbound", {"type": "client_unload"}),
    "agent_text": ("outbound", {"type": "text", "text": "Hej!", "agent": ANDERS}),
    "agent_done": ("outbound", {"type": "agent_done"}),
    "system_text": ("outbound", {"type": "system_text", "text": "Hej!"}),
}

LEFT: Final[list[Said]] = [("customer_text", 0), ("client_left", 10)]
LEFT_TWICE: Final = [*LEFT, ("customer_text", 200), ("client_left", 210)]
SERVED: Final[list[Said]] = [("customer_text", 0), ("agent_text", 1)]
DONE: Final[list[Said]] = [*SERVED, ("agent_done", 10)]
DONE_LATER: Final = [*LEFT_TWICE, ("customer_text", 400), ("agent_text", 401), ("agent_done", 410)]
EXPIRED: Final[list[Said]] = [("customer_text", 0), ("client_unload", 100), ("sweep", 160)]
EXPIRED_LATER: Final = [*LEFT, ("customer_text", 50), ("client_unload", 100), ("sweep", 160)]

# What there was; what the one hands in; what the other hands in.
INTERLEAVINGS: Final[list[tuple[list[Said], Said, Said]]] = [
    # Both open the first chat; or what is a stray without it.
    ([], ("customer_text", 600), ("heartbeat", 601)),
    ([], ("heartbeat", 601), ("agent_done", 600)),
    # Two heartbeats of a live chat; an agent who is done, and a customer who is not.
    (SERVED, ("heartbeat", 600), ("heartbeat", 601)),
    (SERVED, ("customer_text", 600), ("agent_done", 601)),
    (SERVED, ("customer_text", 601), ("agent_done", 600)),
    (SERVED, ("agent_done", 600), ("client_left", 601)),
    # One opens the second, third or fourth chat; the other still speaks of the one before.
    (LEFT, ("customer_text", 600), ("system_text", 601)),
    (LEFT, ("heartbeat", 600), ("client_unload", 601)),
    (LEFT, ("customer_text", 600), ("customer_text", 601)),
    (LEFT_TWICE, ("customer_text", 600), ("system_text", 601)),
    (DONE, ("agent_text", 600), ("client_left", 601)),
    (DONE, ("agent_text", 601), ("client_left", 600)),
    (DONE_LATER, ("agent_text", 600), ("client_left", 601)),
    (DONE_LATER, ("agent_text", 601), ("client_left", 600)),
    # One resumes what the other is moving on.
    (EXPIRED, ("customer_text", 600), ("agent_text", 601)),
    (EXPIRED, ("customer_text", 600), ("client_left", 601)),
    (EXPIRED_LATER, ("customer_text", 600), ("agent_text", 601)),
    (EXPIRED_LATER, ("customer_text", 601), ("client_left", 600)),
]


def play(
    chats: ChatEngine, user: str, said: Sequence[Said], connection: sa.Connection | None = None
) -> None:
    for name, seconds in said:
        if name == "sweep":
            chats.sweep(at(seconds))
            continue
        direction, fields = EVENTS[name]
        what = {**fields, "platformId": PLATFORM, "userId": user}
        hand(chats, Line(direction, what, seconds, f"{user}-{name}-{seconds}"), connection)


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


_IDS: Final = ("session_id", "previous_session_id")


def told(chats: ChatEngine, user: str) -> list[object]:
    """Everything about a user, without what differs from database to database."""

    def row(one: HistoryRow) -> dict[str, Any]:
        return without(asdict(one), "id", "user_id", "message_id", "event", "session_id")

    sessions = list(chats.sessions(user=user))
    strays = [row(one) for one in chats.strays() if one.user_id == user]
    return [
        *strays,
        *(without(asdict(session), "user_id", *_IDS) for session in sessions),
        *(row(one) for session in sessions for one in chats.history(session.session_id)),
    ]


class Serial:
    """What comes out where one follows the other."""

    def __init__(self, chats: ChatEngine) -> None:
        self._chats = chats
        self._users = 0

    def __call__(self, *said: Said) -> list[object]:
        self._users += 1
        user = f"serial-{self._users}"
        play(self._chats, user, said)
        return told(self._chats, user)


@pytest.fixture
def levelled(kind_url: sa.URL, level: Level) -> Iterator[sa.Engine]:
    """A host's engine with this level of isolation."""
    engine = sa.create_engine(kind_url, isolation_level=level)
    yield engine
    engine.dispose()


@on_servers
@on_every_level
class TestLevels:
    def test_who_decides_on_what_was_true_before_is_told_so(
        self, chats: ChatEngine, plain: sa.Engine, alone: ChatEngine, kind: str, level: Level
    ) -> None:
        """The host's transaction has looked around before another one commits."""
        serial, errors = Serial(alone), 0
        for number, (before, one, other) in enumerate(both_ways(INTERLEAVINGS)):
            user = f"user-{number}"
            play(chats, user, before)
            with plain.connect().execution_options(isolation_level=level) as connection:
                chats.status(PLATFORM, user, connection=connection)
                # On MySQL under SERIALIZABLE looking is locking: there it has to wait.
                with in_the_background(plain, partial(play, chats, user, [one])) as found:
                    try:
                        play(chats, user, [other], connection)
                        connection.commit()
                    except (LostRace, StoreBusy):
                        connection.rollback()
                        errors += 1
                        right = [serial(*before, one)]
                    else:
                        right = [serial(*before, one, other), serial(*before, other, one)]
                    found.result(PATIENCE)
            assert told(chats, user) in right, (before, one, other)
        if kind == "postgresql":  # which shows a transaction nothing but what it began with
            assert (errors > 0) == (level != "READ COMMITTED")

    def test_who_waits_for_another_decides_on_what_that_one_has_done(
        self, levelled: sa.Engine, plain: sa.Engine, alone: ChatEngine
    ) -> None:
        """A transaction of ours waits for one of a host's, and is done again where it has to be."""
        serial, chats = Serial(alone), ChatEngine(levelled)
        for number, (before, one, other) in enumerate(INTERLEAVINGS):
            user = f"user-{number}"
            play(chats, user, before)
            with plain.connect() as connection:
                play(chats, user, [one], connection)
                with in_the_background(plain, partial(play, chats, user, [other])) as found:
                    connection.commit()
                    found.result(PATIENCE)
            right = [serial(*before, one, other)]
            if before == []:  # what is no more than a stray has not to wait
                right.append(serial(*before, other, one))
            assert told(chats, user) in right, (before, one, other)


def both_ways(
    table: Sequence[tuple[list[Said], Said, Said]],
) -> Iterator[tuple[list[Said], Said, Said]]:
    for before, one, other in table:
        yield before, one, other
        yield before, other, one


# --- trying again --------------------------------------------------------------------------------

HOST: Final = sa.Table(
    "orders",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(20)),
)


@pytest.fixture
def orders(plain: sa.Engine) -> sa.Table:
    """The host's own table, with one row."""
    HOST.metadata.create_all(plain)
    with plain.begin() as connection:
        connection.execute(HOST.insert().values(id=1, state="new"))
    return HOST


def opened(chats: ChatEngine, *users: str) -> None:
    for user in users:
        hand(chats, Line("inbound", text(user=user), 0))


def rows_of(chats: ChatEngine, *users: str) -> list[int]:
    sessions = [chats.status(PLATFORM, user) for user in users]
    return [session.rows if session else 0 for session in sessions]


@pytest.fixture
def impatient(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine of the host's that does not wait for a lock for long."""
    options: dict[str, Any] = {
        "sqlite": {"timeout": 0.01},
        "postgresql": {"options": "-c lock_timeout=10ms"},
        "mysql": {"init_command": "SET innodb_lock_wait_timeout = 1"},
    }
    engine = sa.create_engine(kind_url, connect_args=options[kind_url.get_backend_name()])
    yield engine
    engine.dispose()


class TestTryingAgain:
    @on_servers
    def test_of_two_hosts_in_a_deadlock_one_is_told_and_the_other_commits(
        self, chats: ChatEngine, plain: sa.Engine, kind: str
    ) -> None:
        opened(chats, "a", "b")

        def hand_or_roll_back(user: str, connection: sa.Connection) -> StoreError | None:
            try:
                hand(chats, Line("inbound", text(user=user), 1), connection)
            except StoreError as error:
                if kind == "mysql":
                    # All that came before is gone, by the database's own decision: what may come
                    # after it must not be committed without it.
                    with pytest.raises(sa.exc.PendingRollbackError):
                        connection.commit()
                connection.rollback()
                return error
            return None

        with plain.connect() as one, plain.connect() as other:
            assert hand_or_roll_back("a", one) is None
            assert hand_or_roll_back("b", other) is None
            with in_the_background(plain, partial(hand_or_roll_back, "b", one)) as found:
                errors = [hand_or_roll_back("a", other), found.result(PATIENCE)]
            one.commit()
            other.commit()
        assert sorted(type(error).__name__ for error in errors) == ["NoneType", "StoreBusy"]
        assert rows_of(chats, "a", "b") == [2, 2]

    @pytest.mark.parametrize("kind", [pytest.param("postgresql", marks=pytest.mark.service)])
    def test_what_loses_a_race_is_done_again_and_is_told_of_once(
        self, chats: ChatEngine, plain: sa.Engine
    ) -> None:
        within, after = [], []
        chats.within_transaction(lambda row, _: within.append(row.seq))
        chats.after_commit(lambda row: after.append(row.seq))
        with plain.connect() as connection, counted() as retries:
            with ChatEngine(plain) as host:
                hand(host, Line("inbound", text(), 0), connection)
            ours = partial(hand, chats, Line("inbound", text(), 1))
            with in_the_background(plain, ours) as found:
                connection.commit()
                found.result(PATIENCE)
        assert retries.total() == 1
        assert (within, after) == ([2], [2])
        assert rows_of(chats, "anna") == [2]

    @on_servers
    def test_hooks_are_called_again_with_what_is_done_again(
        self, impatient: sa.Engine, plain: sa.Engine, orders: sa.Table
    ) -> None:
        chats = ChatEngine(impatient)
        within, after = [], []
        holder = plain.connect()
        holder.execute(orders.update().values(state="held"))

        @chats.within_transaction
        def count(row: HistoryRow, connection: sa.Connection) -> None:
            within.append(row.id)
            if len(within) == 2:
                holder.rollback()
            connection.execute(orders.update().values(state=f"try {len(within)}"))

        chats.after_commit(lambda row: after.append(row.id))
        with counted() as retries:
            hand(chats, Line("inbound", text(), 0))
        assert retries.total() == 1
        assert len(within) == 2
        assert after == within[1:]
        assert rows_of(chats, "anna") == [1]
        with plain.connect() as connection:
            assert connection.execute(sa.select(orders.c.state)).scalar_one() == "try 2"
        holder.close()

    @pytest.mark.parametrize("attempts", [1, 2])
    def test_a_lock_that_is_held_for_too_long_is_an_error_after_so_many_attempts(
        self, impatient: sa.Engine, plain: sa.Engine, attempts: int
    ) -> None:
        chats = ChatEngine(impatient, attempts=attempts)
        opened(chats, "anna")
        with plain.connect() as connection, counted() as retries:
            with ChatEngine(plain) as host:
                hand(host, Line("inbound", text(), 1), connection)
            with pytest.raises(StoreBusy):
                hand(chats, Line("inbound", text(), 2))
            with pytest.raises(StoreBusy):
                chats.handle_many([Line("inbound", text(), 2).envelope()] * 2)
            connection.rollback()
        assert retries.total() == 2 * (attempts - 1)
        assert rows_of(chats, "anna") == [1]
        hand(chats, Line("inbound", text(), 2))

    def test_in_the_hosts_transaction_nothing_is_done_twice(
        self, impatient: sa.Engine, plain: sa.Engine
    ) -> None:
        chats = ChatEngine(impatient)
        opened(chats, "anna")
        with plain.connect() as holder, impatient.connect() as connection, counted() as retries:
            with ChatEngine(plain) as host:
                hand(host, Line("inbound", text(), 1), holder)
            with pytest.raises(StoreBusy):
                hand(chats, Line("inbound", text(), 2), connection)
            holder.rollback()
            connection.rollback()
        assert retries == Counter()
        assert rows_of(chats, "anna") == [1]
