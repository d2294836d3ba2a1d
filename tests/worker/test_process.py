"""``sermo-fsm worker`` and ``publish`` as processes: signals, kill -9, options, exit statuses."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Policy
from sermo_fsm.cli.commands.worker import effective_policy
from sermo_fsm.migrate import VERSION_TABLE
from tests.command.test_cli_support import environment, everything_in, line, sermo, traffic
from tests.servers import free_port, wait_until
from tests.support import also_proved, text
from tests.worker import broker as brokers
from tests.worker.broker import Broker, a_broker

pytestmark = pytest.mark.service

NO_SWEEP = ("--margin", str(10**9))  # in the years before all that is in the tests


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/chats.db"
    with ChatEngine(url) as chats:
        chats.migrate()
    return url


class Names:
    """Names of our own on the broker."""

    def __init__(self) -> None:
        self.prefix = f"sermo_test_{uuid.uuid4().hex[:12]}"
        kinds = ("inbound", "outbound", "internal")
        self.exchanges = ",".join(f"{kind}={self.prefix}.{kind}" for kind in kinds)
        self.queues = ",".join(f"{kind}={self.prefix}.q.{kind}" for kind in kinds)
        self.dead = f"{self.prefix}.dead"

    def all(self, list_of: str) -> list[str]:
        return [part.partition("=")[2] for part in list_of.split(",")]

    @property
    def partitioned(self) -> tuple[str, ...]:
        options = ("--partitions", "1", "--name", self.prefix, "--exchanges", self.exchanges)
        return (*options, "--partition-header", "user")


def on_broker(work: Any) -> Any:
    async def run() -> Any:
        async with a_broker() as broker:
            return await work(broker)

    return asyncio.run(run())


@pytest.fixture
def names() -> Iterator[Names]:
    """What is made under these names is gone afterwards."""
    names = Names()

    async def make(broker: Broker) -> None:
        for queue in names.all(names.queues):
            await broker.channel.declare_queue(queue, durable=True)

    async def clean(broker: Broker) -> None:
        broker.queues |= {*names.all(names.queues), names.dead, f"{names.prefix}.0"}
        broker.exchanges |= {*names.all(names.exchanges), f"{names.prefix}.users"}
        broker.exchanges.add(f"{names.prefix}.positions")

    on_broker(make)
    yield names
    on_broker(clean)


def command(database: str, *arguments: str) -> list[str]:
    program = [sys.executable, "-m", "sermo_fsm", "worker", "--broker", brokers.url()]
    return [*program, "--db", database, *arguments]


@contextmanager
def started(database: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker as a process, which is gone afterwards."""
    with subprocess.Popen(
        command(database, *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_said(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    said = []
    for one in process.stderr:
        said.append(one)
        if words in one:
            return
    raise AssertionError(said)


def published(path: Path, *arguments: str) -> int:
    done = sermo("publish", path, "--broker", brokers.url(), "--json", *arguments)
    assert done.exit_code == 0, done.output
    count: int = json.loads(done.output)["published"]
    return count


def to_the_millisecond(line: str) -> str:
    """The same line, with a receive time as brokers say it."""
    envelope = json.loads(line)
    moment = datetime.fromisoformat(envelope["receivedAt"])
    envelope["receivedAt"] = moment.isoformat(timespec="milliseconds")
    return json.dumps(envelope) + "\n"


@pytest.mark.parametrize("kills", [6, *also_proved(50)])
def test_killed_at_random_moments_all_is_there_once_as_if_it_had_been_ingested(
    database: str, names: Names, tmp_path: Path, kills: int
) -> None:
    lines = [to_the_millisecond(one) for one in traffic(100 * kills)]
    path = tmp_path / "events.jsonl"
    chance = random.Random(kills)  # noqa: S311 - moments, no secret
    made = sermo("worker", "--broker", brokers.url(), "topology", "--apply", *names.partitioned)
    assert made.exit_code == 0, made.output
    options = (*names.partitioned, *NO_SWEEP, "--batch", "10", "--linger", "0")
    for number in range(kills):
        path.write_text("".join(lines[100 * number : 100 * (number + 1)]), "utf-8")
        published(path, "--exchanges", names.exchanges, "--partition-header", "user")
        with started(database, *options) as process:
            until_said(process, "reading")
            time.sleep(chance.random() * 0.1)  # wherever it happens to be: any moment is right
            process.kill()
    done = subprocess.run(
        command(database, *options, "--drain"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path.write_text("".join(lines), "utf-8")
    wanted = f"sqlite:///{tmp_path}/wanted.db"
    assert sermo("ingest", path, "--db", wanted).exit_code == 0
    assert everything_in(database) == everything_in(wanted)
    with ChatEngine(database) as chats:
        assert chats.verify().ok


def test_sigterm_lets_it_finish_and_a_second_worker_goes_on(
    database: str, names: Names, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line("inbound", text(), message="m-1"), "utf-8")
    with started(database, "--queues", names.queues, "--dead-letters", names.dead) as process:
        until_said(process, "reading")
        assert published(path, "--queues", names.queues) == 1
        with ChatEngine(database) as chats:
            wait_until(lambda: list(chats.sessions()), "it is written")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
        assert (process.returncode, out) == (0, "1 message written\n")


def test_it_says_over_http_how_it_is(database: str, names: Names) -> None:
    port = free_port()
    arguments = ("--queues", names.queues, "--dead-letters", names.dead, "--http", str(port))
    with started(database, *arguments, "--log", "json") as process:
        until_said(process, '"reading"')

        def read(path: str) -> str:
            with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                return str(answer.read().decode())

        assert read("/readyz") == "200 OK\n"
        assert "sermo_worker_ready 1.0" in read("/metrics")


def test_drained_it_sweeps_and_ends_by_itself(database: str, names: Names, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line("inbound", text(), message="m-1"), "utf-8")
    published(path, "--queues", names.queues)
    arguments = ("--queues", names.queues, "--dead-letters", names.dead, "--drain")
    done = subprocess.run(
        command(database, *arguments, "--margin", "0"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 message written\n"), done.stderr
    with ChatEngine(database) as chats:
        (chat,) = chats.sessions()
    assert (str(chat.state), str(chat.close_reason)) == ("closed", "idle")


def test_an_old_schema_is_refused_with_the_line_to_run(tmp_path: Path, names: Names) -> None:
    database = f"sqlite:///{tmp_path}/old.db"
    assert sermo("db", "upgrade", "--db", database).exit_code == 0
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        table = sa.table(VERSION_TABLE, sa.column("version_num"))
        connection.execute(table.update().values(version_num="0001"))
    engine.dispose()
    done = sermo("worker", "--broker", brokers.url(), "--db", database, "--queues", names.queues)
    assert done.exit_code == 3
    assert "run: sermo-fsm db upgrade" in done.output


@pytest.mark.parametrize(
    ("in_file", "option", "wanted"),
    [(None, None, 60), (None, 5.0, 5), (7, None, 7), (7, 5.0, 5), (False, None, None)],
)
def test_whose_receive_times_are_believed_says_the_option_before_the_policy(
    in_file: int | Literal[False] | None, option: float | None, wanted: int | None
) -> None:
    given = None if in_file is None else Policy.from_toml(f"max_ahead = {str(in_file).lower()}")
    believed = effective_policy(given, option).max_ahead
    assert believed == (None if wanted is None else timedelta(seconds=wanted))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["worker"], 2, "give either --queues or --partitions"),
        (["worker", "--queues", "inbound=a", "--partitions", "1"], 2, "give either"),
        (["worker", "--queues", "inbound"], 2, "wanted inbound=NAME"),
        (["worker", "--queues", "inbound=a,outbound=a"], 2, "another name for each direction"),
        (["worker", "--partitions", "2", "--first", "2"], 2, "only the partitions 0 to 1"),
        (["worker", "--queues", "inbound=sermo_test_none"], 2, "there is no queue"),
        (["publish"], 2, "give either a FILE or --dead-letters"),
        (["publish", "--dead-letters", "sermo_test_none"], 5, "is it the right broker"),
        (["publish", "-", "--broker", "amqp://127.0.0.1:1/"], 5, "not everything was published"),
    ],
)
def test_what_is_wrong_is_said_with_a_status(
    database: str, arguments: list[str], status: int, words: str
) -> None:
    where = [] if "--broker" in arguments else ["--broker", brokers.url()]
    done = sermo(*arguments, *where, *(["--db", database] if arguments[0] == "worker" else []))
    assert done.exit_code == status, done.output
    assert words in done.output
    on_broker(lambda broker: broker.channel.queue_delete("sermo.dead"))


def test_a_bad_line_is_named_and_nothing_is_published(tmp_path: Path, names: Names) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line("inbound", text()) + "\n{\n", "utf-8")
    done = sermo("publish", path, "--broker", brokers.url(), "--queues", names.queues)
    assert done.exit_code == 2
    assert "line 3: $: wanted JSON" in done.output
    assert "nothing is published" in done.output


def test_dead_letters_are_driven_again(names: Names) -> None:
    queue = names.all(names.queues)[0]

    async def bury(broker: Broker) -> None:
        await broker.channel.declare_queue(names.dead, durable=True)
        origin: Any = {"x-sermo-queue": queue}
        await broker.put(names.dead, b"{}", "m", **origin)

    on_broker(bury)
    done = sermo("publish", "--broker", brokers.url(), "--dead-letters", names.dead)
    assert (done.exit_code, done.stdout) == (0, "1 message published\n")

    async def counts(broker: Broker) -> tuple[int, int]:
        return await broker.count(names.dead), await broker.count(queue)

    assert on_broker(counts) == (0, 1)


def test_what_stands_around_an_event_goes_into_properties_and_headers(
    tmp_path: Path, names: Names
) -> None:
    path = tmp_path / "events.jsonl"
    bare = json.dumps({"type": "heartbeat", "userId": "anna"})
    around = {"direction": "inbound", "messageId": "m", "platformId": "web"}
    path.write_text(f"{bare}\n{json.dumps({**around, 'event': json.loads(bare)})}\n", "utf-8")
    arguments = ["--queues", names.queues, "--direction", "inbound"]
    assert published(path, *arguments, "--partition-header", "user") == 2

    async def get(broker: Broker) -> list[Any]:
        return [await broker.get(names.all(names.queues)[0]) for _ in range(2)]

    first, second = on_broker(get)
    assert first.message_id
    assert (first.headers, second.headers) == (
        {"user": "anna"},
        {"user": "anna", "platformId": "web"},
    )
    assert (second.message_id, json.loads(second.body)) == ("m", json.loads(bare))


def test_the_topology_is_printed_for_whoever_imports_it() -> None:
    done = sermo("worker", "topology", "--partitions", "3", "--rabbitmq", "3", "--vhost", "chat")
    shown = json.loads(done.output)
    assert [one["name"] for one in shown["queues"]] == ["sermo.0", "sermo.1", "sermo.2"]
    assert {one["vhost"] for kind in shown.values() for one in kind} == {"chat"}


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    monkeypatch.delitem(sys.modules, "sermo_fsm.worker.rabbitmq", raising=False)
    done = sermo("worker", "--queues", "inbound=a")
    assert done.exit_code == 2
    assert "pip install 'sermo-fsm[worker]'" in done.output
