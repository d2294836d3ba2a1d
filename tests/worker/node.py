"""A RabbitMQ node of one's own, to be killed and started again with what it had."""

import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.databases import skip_without
from tests.servers import a_folder, free_port, wait_until

_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_ATTEMPTS: Final = 3


class Node:
    """One node, in a folder and on ports of its own."""

    def __init__(self, folder: Path) -> None:
        if not _SERVER.exists() or shutil.which("epmd") is None:
            skip_without("no RabbitMQ; apt install rabbitmq-server")
        self.folder = folder
        self.port = free_port()
        (folder / "plugins").write_text("[rabbitmq_sharding].")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        settings: dict[str, Any] = {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"sermo{self.port}@localhost",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": folder / "data",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_PID_FILE": folder / "pid",
            "RABBITMQ_LOGS": folder / "log",
            "RABBITMQ_CONFIG_FILE": folder / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
            "ERL_EPMD_PORT": free_port(),
        }
        self.environment = {**os.environ, **{name: str(one) for name, one in settings.items()}}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it; back when it listens."""
        (self.folder / "pid").unlink(missing_ok=True)
        self._run()

        def listens() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                self._run()  # it gives up if Erlang's epmd, which it starts, is not there at once
            if not (self.folder / "pid").exists():
                return False
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return True
            return False

        try:
            wait_until(listens, "the node listens")
        except AssertionError as error:
            self.leave()
            error.add_note((self.folder / "out").read_text()[-5000:])
            raise

    def stop(self) -> None:
        """Stop it as one should."""
        self._end(signal.SIGTERM)

    def crash(self) -> None:
        """Kill it, as if the power were gone."""
        self._end(signal.SIGKILL)

    def leave(self) -> None:
        """Be gone, with all that was started for it."""
        self.crash()
        subprocess.run(
            ["epmd", "-kill"],  # noqa: S607 - of Erlang, wherever that is
            env=self.environment,
            capture_output=True,
            check=False,
        )

    def control(self, *arguments: str) -> None:
        """Tell it something by ``rabbitmqctl``."""
        command = [
            str(_SERVER.with_name("rabbitmqctl")),
            "-n",
            self.environment["RABBITMQ_NODENAME"],
        ]
        subprocess.run([*command, *arguments], env=self.environment, check=True)

    def _run(self) -> None:
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [_SERVER], env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError, FileNotFoundError):
            # The server is a child of the script that was started.
            number = int((self.folder / "pid").read_text())
            os.kill(number, how)
            wait_until(lambda: not Path(f"/proc/{number}").exists(), "the node is gone")
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _started(folder: Path) -> Node:
    """A node that runs: of hundreds one has not listened within a minute, nobody knows why."""
    for attempt in range(_ATTEMPTS):
        (folder / str(attempt)).mkdir()
        node = Node(folder / str(attempt))
        try:
            node.start()
        except AssertionError as error:
            logging.getLogger(__name__).warning("%s: %s", error, error.__notes__)
        else:
            return node
    raise AssertionError("no node could be started")


@contextmanager
def a_node() -> Iterator[Node]:
    """A node that runs; it is gone afterwards."""
    with a_folder() as folder:
        node = _started(folder)
        try:
            yield node
        finally:
            node.leave()
