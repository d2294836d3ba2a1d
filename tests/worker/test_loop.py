"""The loop on queues in this process: written before acknowledged, held, taken apart, swept."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from sermo_fsm import (
    AsyncChatEngine,
    ChatEngine,
    CommitUnknown,
    Policy,
    Retention,
    SchemaNotReady,
    StoreUnavailable,
)
from sermo_fsm.migrate import VERSION_TABLE
from sermo_fsm.worker.inbox import Mark
from sermo_fsm.worker.loop import Settings, Worker
from sermo_fsm.worker.memory import MemorySource
from sermo_fsm.worker.source import Clock, SourceLost, SourceRefused
from tests.databases import a_database, async_url
from tests.support import EXAMPLES, at, event, text
from tests.worker.support import QUICK, Failing, delivery, until, working

ALL_READ = at(10**6)
DRAIN = evolve(QUICK, drain=True)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[sa.URL]:
    with a_database("sqlite", tmp_path, migrated=True) as url:
        yield url


def run(url: sa.URL, source: MemorySource, settings: Settings = QUICK) -> Worker:
    """A worker that reads all that is there, and stops."""

    async def work() -> Worker:
        async with working(url, source, settings) as (worker, task):
            await until(lambda: not source.waiting, task)
        return worker

    return asyncio.run(work())


def states(url: sa.URL) -> list[tuple[str, str, int]]:
    with ChatEngine(url) as chats:
        assert chats.verify().ok
        return sorted((one.user_id, str(one.state), one.rows) for one in chats.sessions())


@contextmanager
def heard() -> Iterator[list[logging.LogRecord]]:
    """What the worker says."""
    handler = _Keeping()
    logger = logging.getLogger("sermo_fsm.worker")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_what_is_read_is_written_and_then_acknowledged(url: sa.URL) -> None:
    source = MemorySource([delivery(1), delivery(2), delivery(3, text(user="bo"))])
    worker = run(url, source)
    assert states(url) == [("anna", "bot", 2), ("bo", "bot", 1)]
    assert worker.tally.outcomes == {"moved": 2, "stayed": 1}
    assert worker.tally.written == 3
    assert worker.tally.batches == 1
    assert worker.tally.read_up_to == {"inbound": at(3)}


def test_a_batch_holds_at_most_so_many(url: sa.URL) -> None:
    source = MemorySource([delivery(number) for number in range(10)])
    settings = evolve(QUICK, batch=4)
    assert run(url, source, settings).tally.batches == 3


def test_more_messages_are_waited_for_but_not_for_ever(url: sa.URL) -> None:
    async def work() -> int:
        source = MemorySource([delivery(1)])
        settings = evolve(QUICK, batch=2, linger=60.0)
        async with working(url, source, settings) as (worker, task):
            await until(lambda: worker.tally.reading, task)
            source.put(delivery(2))
            await until(lambda: not source.waiting, task)
            return worker.tally.batches

    assert asyncio.run(work()) == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_what_was_not_settled_comes_again_and_counts_once(url: sa.URL, lost: int) -> None:
    class Lost(MemorySource):
        times = lost

        async def settle(self, *arguments: Any) -> None:
            if self.times:
                self.times -= 1
                raise SourceLost("just now")
            await super().settle(*arguments)

    worker = run(url, Lost([delivery(1), delivery(2)]))
    assert states(url) == [("anna", "bot", 2)]
    assert worker.tally.outcomes == {"moved": 1, "stayed": 1, "duplicate": 2 * lost}
    assert worker.tally.reconnects == lost


def test_a_lost_source_is_opened_again_and_said_once(url: sa.URL) -> None:
    class Away(MemorySource):
        tries = 0

        async def open(self) -> None:
            self.tries += 1
            if self.tries in (1, 2, 4):
                raise SourceLost("nobody answers")
            await super().open()

    async def work() -> Worker:
        source = Away([delivery(1)])
        async with working(url, source) as (worker, task):
            await until(lambda: not source.waiting, task)
            source.lose()
            source.put(delivery(2))
            await until(lambda: not source.waiting, task)
        return worker

    with heard() as records:
        worker = asyncio.run(work())
    assert [record.getMessage() for record in records] == [
        "the broker is lost",
        "reading",
        "the broker is lost",
        "reading",
    ]
    assert worker.tally.reconnects == 4
    assert states(url) == [("anna", "bot", 2)]


def test_a_standby_says_that_it_is_one(url: sa.URL) -> None:
    class Taken(MemorySource):
        tries = 0

        async def open(self) -> None:
            self.tries += 1
            if self.tries < 3:
                raise SourceLost("in exclusive use", standby=True)
            await super().open()

    with heard() as records:
        worker = run(url, Taken([delivery(1)]))
    assert records[0].getMessage() == "another worker reads these queues; standing by"
    assert worker.tally.reconnects == 0
    assert len(records) == 2


def test_told_to_stop_while_the_broker_is_away_it_stops(url: sa.URL) -> None:
    class Away(MemorySource):
        async def open(self) -> None:
            raise SourceLost("nobody answers")

    async def work() -> None:
        async with working(url, Away()) as (worker, task):
            await until(lambda: worker.tally.reconnects, task)

    asyncio.run(work())


def test_what_the_broker_refuses_ends_the_worker(url: sa.URL) -> None:
    class Refused(MemorySource):
        async def open(self) -> None:
            raise SourceRefused("there is no queue of this name")

    async def work() -> None:
        async with AsyncChatEngine(async_url(url)) as engine:
            await Worker(engine, Refused(), QUICK).run()

    with pytest.raises(SourceRefused):
        asyncio.run(work())


# --- the database --------------------------------------------------------------------------------


def test_an_old_schema_is_refused_before_anything_is_read(url: sa.URL) -> None:
    async def work(source: MemorySource) -> None:
        database = sa.create_engine(url)
        with database.begin() as connection:
            table = sa.table(VERSION_TABLE, sa.column("version_num"))
            connection.execute(table.update().values(version_num="0001"))
        database.dispose()
        async with AsyncChatEngine(async_url(url)) as engine:
            await Worker(engine, source, QUICK).run()

    source = MemorySource([delivery(1)])
    with pytest.raises(SchemaNotReady):
        asyncio.run(work(source))
    assert len(source.waiting) == 1


@pytest.mark.parametrize("name", ["prepare", "handle_many", "sweep"])
def test_a_database_that_is_away_is_waited_for_and_said_once(url: sa.URL, name: str) -> None:
    async def work() -> tuple[Worker, int]:
        source = MemorySource([delivery(1), Mark("inbound", at(5))], ["inbound"])
        async with AsyncChatEngine(async_url(url)) as engine:
            failing = Failing(engine, name, *(StoreUnavailable("away") for _ in range(3)))
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: failing.calls, task)
            while failing.reasons:
                source.put(Mark("inbound", at(10 + failing.calls)))
                await asyncio.sleep(0.005)
            source.put(Mark("inbound", at(99)))
            await until(lambda: worker.tally.sweeps and not source.waiting, task)
            worker.stop()
            await task
            return worker, failing.calls

    with heard() as records:
        worker, calls = asyncio.run(work())
    assert calls >= 4
    said = [record.getMessage() for record in records]
    assert said.count("the database takes nothing; what was read is held") == 1
    assert worker.tally.retries == (3 if name == "handle_many" else 0)
    assert states(url) == [("anna", "bot", 1)]


def test_while_the_database_is_away_nothing_more_is_taken_and_nothing_acknowledged(
    url: sa.URL,
) -> None:
    async def work() -> None:
        source = MemorySource([delivery(1)])
        async with AsyncChatEngine(async_url(url)) as engine:
            failing = Failing(engine, "handle_many", *[StoreUnavailable("away")] * 10_000)
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: failing.calls >= 2, task)
            source.put(delivery(2))
            seen = failing.calls
            await until(lambda: failing.calls >= seen + 6, task)
            assert len(source.waiting) == 2
            before = worker.tally.storing
            failing.reasons.clear()
            await until(lambda: not source.waiting, task)
            assert (before, worker.tally.storing) == (False, True)
            worker.stop()
            await task
            assert worker.tally.batches == 2

    asyncio.run(work())


def test_told_to_stop_while_the_database_is_away_it_leaves_the_batch_to_the_next_one(
    url: sa.URL,
) -> None:
    async def work(source: MemorySource) -> None:
        async with AsyncChatEngine(async_url(url)) as engine:
            Failing(engine, "handle_many", *(StoreUnavailable("away") for _ in range(10**4)))
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: worker.tally.retries, task)
            worker.stop()
            await task

    source = MemorySource([delivery(1)])
    asyncio.run(work(source))
    assert len(source.waiting) == 1
    run(url, source)
    assert states(url) == [("anna", "bot", 1)]


@pytest.mark.parametrize("what", ["prepare", "handle_many", "open"])
def test_who_waits_is_alive(url: sa.URL, what: str) -> None:
    async def work() -> None:
        source: Any = MemorySource([delivery(1)])
        async with AsyncChatEngine(async_url(url)) as engine:
            away = SourceLost("away") if what == "open" else StoreUnavailable("away")
            failing = Failing(source if what == "open" else engine, what, *[away] * 10**4)
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: failing.calls, task)
            worker.tally.alive_at = 0.0
            await until(lambda: worker.tally.alive_at, task)
            assert failing.reasons
            worker.stop()
            await task

    asyncio.run(work())


def test_told_to_stop_before_the_database_was_there_it_has_read_nothing(url: sa.URL) -> None:
    async def work() -> Worker:
        async with AsyncChatEngine(async_url(url)) as engine:
            failing = Failing(engine, "prepare", *(StoreUnavailable("away") for _ in range(10**4)))
            worker = Worker(engine, MemorySource([delivery(1)]), QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: failing.calls, task)
            worker.stop()
            await task
            return worker

    assert asyncio.run(work()).tally.read == 0


def test_what_is_lost_while_the_database_is_away_is_not_written_before_it_comes_again(
    url: sa.URL,
) -> None:
    # A message without an id would be there twice.
    async def work() -> Worker:
        source = MemorySource([delivery(1, message_id=None)])
        async with AsyncChatEngine(async_url(url)) as engine:
            Failing(engine, "handle_many", *(StoreUnavailable("away") for _ in range(4)))
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: worker.tally.retries, task)
            source.lose()
            await until(lambda: not source.waiting, task)
            worker.stop()
            await task
            return worker

    worker = asyncio.run(work())
    assert worker.tally.reconnects == 1
    assert states(url) == [("anna", "bot", 1)]


def test_after_an_unknown_commit_the_same_ids_are_handed_in_again(url: sa.URL) -> None:
    async def work() -> Worker:
        source = MemorySource([delivery(1), delivery(2)])
        async with AsyncChatEngine(async_url(url)) as engine:
            Failing(engine, "handle_many", CommitUnknown("lost during the commit"), done=True)
            worker = Worker(engine, source, QUICK)
            task = asyncio.create_task(worker.run())
            await until(lambda: not source.waiting, task)
            worker.stop()
            await task
            return worker

    worker = asyncio.run(work())
    assert worker.tally.outcomes == {"duplicate": 2}
    assert states(url) == [("anna", "bot", 2)]


# --- bad messages --------------------------------------------------------------------------------

REFUSE_ONE = """
    CREATE TRIGGER refusal BEFORE INSERT ON sermo_history WHEN NEW.message_id = 'inbound-5'
    BEGIN SELECT RAISE(ABORT, 'no'); END
"""


def test_what_the_database_refuses_by_itself_is_a_dead_letter_and_spoils_no_other(
    url: sa.URL,
) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSE_ONE)
    engine.dispose()
    source = MemorySource([delivery(number) for number in range(9)])
    with heard() as records:
        worker = run(url, source)
    assert [letter.delivery.message_id for letter in source.dead] == ["inbound-5"]
    assert source.dead[0].reason.startswith("StoreError: the database refused")
    assert worker.tally.dead_letters == 1
    assert states(url) == [("anna", "bot", 8)]
    said = [record for record in records if record.getMessage().endswith("dead letters")]
    assert [vars(record)["queue"] for record in said] == ["inbound"]


def test_a_message_id_in_conflict_is_a_dead_letter(url: sa.URL) -> None:
    twice = [delivery(1, text("Hej!"), message_id="m"), delivery(2, text("Hå!"), message_id="m")]
    source = MemorySource(twice)
    run(url, source)
    assert [letter.delivery.received_at for letter in source.dead] == [at(2)]
    assert source.dead[0].reason.startswith("conflict: message 'm' on inbound")
    assert "H" not in source.dead[0].reason.replace("Hand", "")


def test_what_is_invalid_is_a_stray_and_acknowledged(url: sa.URL) -> None:
    source = MemorySource([delivery(1, b"{"), delivery(2)])
    worker = run(url, source)
    assert source.dead == []
    assert worker.tally.outcomes == {"invalid": 1, "moved": 1}


def test_what_messages_lack_is_counted_and_said_once(url: sa.URL) -> None:
    lacking = [delivery(n, message_id=None, clock=Clock.WORKER) for n in range(3)]
    with heard() as records:
        worker = run(url, MemorySource(lacking))
    assert worker.tally.without_id == 3
    assert worker.tally.clocks == {Clock.WORKER: 3}
    assert [record.levelname for record in records] == ["INFO", "WARNING", "WARNING"]


# --- time ----------------------------------------------------------------------------------------


def test_in_a_backlog_no_chat_is_judged_by_the_hour_that_it_is_read(url: sa.URL) -> None:
    # All of it is months ago. Anna goes on talking for an hour; Bo wrote once.
    lines = [delivery(60 * number) for number in range(60)]
    bo = delivery(30, text(user="bo"))
    source = MemorySource([lines[0], bo, *lines[1:]], ["inbound"])
    settings = evolve(QUICK, batch=1)
    worker = run(url, source, settings)
    assert worker.tally.swept == 1
    assert states(url) == [("anna", "bot", 60), ("bo", "closed", 2)]


def test_an_idle_night_closes_what_is_dead(url: sa.URL) -> None:
    source = MemorySource([delivery(0), Mark("inbound", at(86400))], ["inbound"])
    worker = run(url, source)
    assert worker.tally.swept == 1
    assert worker.tally.unread == {}
    assert states(url) == [("anna", "closed", 2)]


def test_what_waits_is_counted_by_queue() -> None:
    source = MemorySource([delivery(0), Mark("inbound", at(1)), delivery(2)])
    assert asyncio.run(source.unread()) == {"inbound": 2}


def test_a_queue_that_has_told_nothing_holds_the_sweeper(url: sa.URL) -> None:
    source = MemorySource([delivery(0), Mark("inbound", at(86400))], ["inbound", "inbound.2"])
    worker = run(url, source)
    assert worker.tally.sweeps == 0
    assert states(url) == [("anna", "bot", 1)]


def test_drained_it_stops_when_all_is_read_and_swept(url: sa.URL) -> None:
    async def work() -> Worker:
        source = MemorySource([delivery(0)], ["inbound"])
        async with AsyncChatEngine(async_url(url)) as engine:
            worker = Worker(engine, source, DRAIN)
            source.put(Mark("inbound", worker.clock.now().replace(year=2100)))
            await worker.run()
            return worker

    worker = asyncio.run(work())
    assert worker.tally.sweeps == 1
    assert states(url) == [("anna", "closed", 2)]


def test_what_is_too_old_is_erased_beside_everything_else(url: sa.URL) -> None:
    over = [delivery(0), delivery(1, event("client_left")), delivery(2, text(user="bo"))]
    run(url, MemorySource(over, ["inbound"]))
    policy = Policy(retention=Retention(bodies=timedelta(hours=1)))

    async def work(said: list[logging.LogRecord]) -> None:
        async with AsyncChatEngine(async_url(url), policy=policy) as engine:
            Failing(engine, "retain", StoreUnavailable("away"))
            worker = Worker(engine, MemorySource([]), evolve(QUICK, retain_every=0.01))
            task = asyncio.create_task(worker.run())
            await until(lambda: "erased what was too old" in map(str, messages(said)), task)
            worker.stop()
            await task

    def messages(said: list[logging.LogRecord]) -> list[str]:
        return [one.getMessage() for one in said]

    with heard() as said:
        asyncio.run(work(said))
    assert "what is too old is still there" in messages(said)
    done = next(one for one in said if one.getMessage() == "erased what was too old")
    assert vars(done)["bodies"] == 2
    with ChatEngine(url) as chats:
        (live,) = (one for one in chats.sessions() if one.live)
        assert [row.event is not None for row in chats.history(live.session_id)] == [True]


# --- the examples --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_examples_come_to_what_they_come_to_by_hand(url: sa.URL, path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    deliveries = []
    for number, line in enumerate(lines):
        one = delivery(0, line["event"], direction=line["direction"])
        deliveries.append(
            type(one)(
                one.direction,
                one.body,
                one.queue,
                at(0).fromisoformat(line["receivedAt"]),
                message_id=line.get("messageId", f"m-{number}"),
                platform_id=line.get("platformId"),
            )
        )
    worker = run(url, MemorySource(deliveries))
    expected = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))[path.name]
    counts = {name: count for name, count in expected["counts"].items() if name != "read"}
    assert dict(worker.tally.outcomes) == {name: count for name, count in counts.items() if count}


def test_an_event_that_is_about_no_chat_moves_nothing(url: sa.URL) -> None:
    source = MemorySource([delivery(1, event("application_heartbeat"), direction="outbound")])
    assert run(url, source).tally.outcomes == {"unknown": 1}
