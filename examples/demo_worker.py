"""Two workers, a broker, and one of the workers killed (``make demo-worker``).

Starts a RabbitMQ of its own, publishes an hour of chats in a minute, kills a worker half-way with
``kill -9``, and shows that every message had its effect once: the database is as if all of it had
been ingested from a file.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from sermo_fsm import ChatEngine, Direction, Envelope
from sermo_fsm.worker.publisher import Target, publish
from sermo_fsm.worker.topology import Topology, apply

FOLDER: Final = Path(__file__).resolve().parent
SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CHATS: Final = 150
TOPOLOGY: Final = Topology(2, {one: one.value for one in Direction if one != "timer"})
QUIET: Final = ("--margin", str(10**9))  # no sweep: both ways are swept at the end
PATIENCE: Final = 120.0


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """A broker of our own; gives its URL, and is gone afterwards."""
    port, discovery = free_port(), free_port()
    (folder / "plugins").write_text("[rabbitmq_sharding].")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    settings = {
        "HOME": folder,
        "RABBITMQ_NODENAME": f"sermo{port}@localhost",
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_MNESIA_BASE": folder / "data",
        "RABBITMQ_LOG_BASE": folder,
        "RABBITMQ_LOGS": folder / "log",
        "RABBITMQ_CONFIG_FILE": folder / "rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
        "ERL_EPMD_PORT": discovery,
    }
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - a program that is installed here
            [SERVER], env=environment, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: b"startup complete" in (folder / "log").read_bytes(), process)
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()
        subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)  # noqa: S607 - of Erlang, wherever that is


def wait_until(what: Any, process: "subprocess.Popen[Any]") -> None:
    """Wait for it, as long as the process runs."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(FileNotFoundError):
            if what():
                return
        time.sleep(0.1)
    sys.exit(f"{process.args!r} did not do what it should")


def an_hour_of_chats() -> list[Envelope]:
    """The chats of this folder, again and again with other users, spread over the last hour."""
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    chats = [
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted(FOLDER.glob("[1-6]-*.jsonl"))
    ]
    envelopes = []
    for number in range(CHATS):
        chat = chats[number % len(chats)]
        shift = began + timedelta(seconds=20 * number) - moment(chat[0])
        for place, line in enumerate(chat):
            event = {**line["event"], "userId": f"{line['event'].get('userId', 'u')}-{number}"}
            envelope = Envelope(
                line["direction"],
                event,
                message_id=f"{number}-{place}",
                received_at=moment(line) + shift,
                platform_id=line.get("platformId"),
            )
            envelopes.append(envelope)
    return sorted(envelopes, key=lambda one: one.received_at or began)


def moment(line: dict[str, Any]) -> datetime:
    """When a line was received, to the millisecond, as a broker says it."""
    exact = datetime.fromisoformat(line["receivedAt"])
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)


def worker(broker: str, database: str, first: int, folder: Path) -> "subprocess.Popen[bytes]":
    """A worker as a process."""
    program = Path(sys.executable).with_name("sermo-fsm")
    options = ["--partitions", "2", "--first", str(first), "--db", database, *QUIET]
    with (folder / f"worker-{first}").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this project's own command
            [program, "worker", "--broker", broker, *options], stdout=log, stderr=log
        )


def stored(database: str, up_to: datetime) -> dict[str, Any]:
    """Everything in a database, once it is swept; which is true only of a sound one."""
    with ChatEngine(database) as engine:
        engine.sweep(up_to)
        if not engine.verify().ok:
            sys.exit("the history is not consistent")
        return {
            one.session_id: [
                one.as_dict(),
                *(row.as_dict() for row in engine.history(one.session_id)),
            ]
            for one in engine.sessions()
        }


def rows_in(database: str) -> int:
    """How many rows there are of chats."""
    with ChatEngine(database) as engine:
        return sum(one.rows for one in engine.sessions())


def play(console: Console, folder: Path, seconds: float) -> None:
    """Play it, and show the counts."""
    envelopes = an_hour_of_chats()
    by_file, by_worker = f"sqlite:///{folder}/file.db", f"sqlite:///{folder}/worker.db"
    for database in (by_file, by_worker):
        with ChatEngine(database) as engine:
            engine.migrate()
    with ChatEngine(by_file) as engine:
        engine.handle_many(envelopes)
    with ExitStack() as stack:
        console.print("Starting RabbitMQ …")
        broker = stack.enter_context(rabbitmq(folder))
        asyncio.run(apply(broker, TOPOLOGY))
        workers = [worker(broker, by_worker, number, folder) for number in (0, 1)]
        for one in workers:
            stack.callback(one.wait)
            stack.callback(one.terminate)
        console.print(f"Publishing {len(envelopes)} messages; two workers read two partitions …")
        target = Target(broker, TOPOLOGY.exchanges)
        steps = 60
        for step in range(steps):
            share = envelopes[step * len(envelopes) // steps : (step + 1) * len(envelopes) // steps]
            asyncio.run(publish(target, share))
            time.sleep(seconds / steps)
            if step == steps // 2:
                workers[0].send_signal(signal.SIGKILL)
                console.print("Killed the first worker; the second one reads both partitions …")
        wait_until(lambda: rows_in(by_worker) >= rows_in(by_file), workers[1])
    end = datetime.now(UTC)
    wanted, found = stored(by_file, end), stored(by_worker, end)
    table = Table("", "from a file", "by the workers", title=f"{len(envelopes)} messages")
    table.add_row("chats", str(len(wanted)), str(len(found)))
    table.add_row("rows of history", str(rows_in(by_file)), str(rows_in(by_worker)))
    table.add_row("that differ", "", str(sum(found.get(key) != wanted[key] for key in wanted)))
    console.print(table)
    if found != wanted:
        sys.exit("They differ.")


def main() -> None:
    """Play it in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to publish")
    seconds: float = parser.parse_args().seconds
    if not SERVER.exists() or shutil.which("epmd") is None:
        sys.exit("RabbitMQ is not installed: apt install rabbitmq-server")
    with tempfile.TemporaryDirectory() as folder:
        play(Console(highlight=False), Path(folder), seconds)


if __name__ == "__main__":
    main()
