"""Database servers of one's own, to be killed, restarted and starved.

They live in a folder of their own under the system's temporary one, on a port of their own.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tests.databases import admin, skip_without

PASSWORD: Final = "not-for-any-log"  # noqa: S105 - of servers that live as long as the tests
_PATIENCE: Final = 60.0
_IS_ROOT: Final = os.geteuid() == 0


def wait_until(what: Callable[[], Any], wanted: str) -> None:
    """Poll until it is so; the time is a safety net."""
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, f"still not: {wanted}"
        time.sleep(0.005)


def free_port() -> int:
    """One that stays free while its server is down: clients are given higher ones."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server(ABC):
    """One server, with one user ``chat`` who may do all, and who has a password."""

    kind: str
    drivername: str
    home: str
    """The database that is always there."""
    farewell = signal.SIGTERM

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.install()
        self.start()

    @abstractmethod
    def install(self) -> None:
        """Make an empty server."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def url(self, database: str) -> sa.URL:
        """Where a database is, with the password of its user."""
        return sa.URL.create(
            self.drivername, "chat", PASSWORD, "127.0.0.1", self.port, database or self.home
        )

    @contextmanager
    def admin(self) -> Iterator[sa.Connection]:
        """Somebody who may do all."""
        engine = sa.create_engine(
            self.url(self.home), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def start(self) -> None:
        """Start it; back when it answers."""

        def is_up() -> bool:
            if self.process is None or self.process.poll() is not None:
                # After a crash it may find what is left of the one before, and give up.
                self.process = self.run(self.command(), wait=False)
            with suppress(sa.exc.OperationalError), self.admin():
                return True
            return False

        wait_until(is_up, f"{self.kind} is up")

    def stop(self) -> None:
        """Stop it as one should: who is connected is sent away."""
        assert self.process is not None
        self.process.send_signal(self.farewell)
        self.process.wait(_PATIENCE)
        self.process = None

    def crash(self) -> None:
        """Kill it, with all its processes, as if the power were gone."""
        assert self.process is not None
        if self.process.poll() is not None:
            return  # it was faster
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.process.kill()
        for child in children.split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self.process.wait(_PATIENCE)
        self.process = None

    def run(self, command: list[str], *, wait: bool = True) -> "subprocess.Popen[bytes]":
        """Run one of its programs as the user that it wants."""
        options: dict[str, Any] = {}
        if _IS_ROOT:
            user = self.account()
            options = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **options
            )
        if wait:
            assert process.wait(_PATIENCE) == 0, (self.folder / "log").read_text()[-2000:]
        return process

    def account(self) -> str:
        """Whom the operating system knows it as."""
        return "root"

    def give(self, folder: Path) -> Path:
        """Make a folder the server's own."""
        folder.mkdir(exist_ok=True)
        if _IS_ROOT:
            shutil.chown(folder, self.account())
        return folder


class Postgresql(Server):
    """PostgreSQL, without fsync: only processes die here, never the system."""

    kind = "postgresql"
    drivername = "postgresql+psycopg"
    home = "postgres"
    farewell = signal.SIGINT  # SIGTERM would wait until everybody has left

    def account(self) -> str:
        return "postgres"  # it refuses to run as root

    def install(self) -> None:
        self.give(self.folder)
        data = str(self.folder / "data")
        options = ["--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C"]
        trust = ["--auth=trust", "--username=chat"]
        self.run([program("initdb"), "--pgdata", data, *options, *trust])

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 20,
            "shared_buffers": "16MB",
            "fsync": "off",
        }
        named = [f"--{name}={value}" for name, value in settings.items()]
        return [program("postgres"), "-D", str(self.folder / "data"), *named, *self.options]


class Mariadb(Server):
    """MariaDB; what is committed is with the operating system."""

    kind = "mysql"
    drivername = "mysql+pymysql"
    home = "mysql"

    def install(self) -> None:
        data = self.folder / "data"
        # In its folder for temporary files a server deletes what it takes for its own.
        temporary = f"--tmpdir={self.give(self.folder / 'tmp')}"
        options = ["--skip-test-db", "--auth-root-authentication-method=normal", temporary]
        user = [f"--user={self.account()}"] if _IS_ROOT else []
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
        self.run([*install, *options, *self.options, *user])
        (self.folder / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS chat@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON *.* TO chat@'%';\n"
        )

    def command(self) -> list[str]:
        settings = {
            "datadir": self.folder / "data",
            "init-file": self.folder / "init.sql",
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "bind-address": "127.0.0.1",
            "port": self.port,
            "max-connections": 20,
            "tmpdir": self.folder / "tmp",
            "innodb-buffer-pool-size": "16M",
            "innodb-flush-log-at-trx-commit": 2,
            **({"user": self.account()} if _IS_ROOT else {}),
        }
        named = [f"--{name}={value}" for name, value in settings.items()]
        return [program("mariadbd"), "--no-defaults", "--skip-name-resolve", *named, *self.options]


class Pgbouncer(Server):
    """PgBouncer in transaction mode before the usual PostgreSQL, with two connections to it."""

    kind = "pgbouncer"
    drivername = "postgresql+psycopg"
    home = "postgres"

    def account(self) -> str:
        return "postgres"  # it refuses to run as root

    def install(self) -> None:
        self.give(self.folder)
        behind = admin("postgresql").url
        server = {"host": behind.host, "port": behind.port, "user": behind.username}
        server["password"] = behind.password
        target = " ".join(f"{name}={value}" for name, value in server.items() if value)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": 2,
            "max_client_conn": 100,
        }
        named = "\n".join(f"{name} = {value}" for name, value in settings.items())
        (self.folder / "ini").write_text(
            f"[databases]\n* = {target}\n[pgbouncer]\n{named}\n", encoding="utf-8"
        )

    def command(self) -> list[str]:
        return [program("pgbouncer"), str(self.folder / "ini")]


_PROGRAMS: Final = (Path("/usr/sbin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin")))
SERVERS: Final[dict[str, Callable[..., Server]]] = {
    "postgresql": Postgresql,
    "mysql": Mariadb,
    "pgbouncer": Pgbouncer,
}


def program(name: str) -> str:
    """Where it is; skips where it is not."""
    found = shutil.which(name)
    if found is None:
        places = [folder / name for folder in _PROGRAMS if (folder / name).exists()]
        if not places:
            skip_without(
                f"no program {name}; apt install postgresql mariadb-server pgbouncer mount"
            )
        found = str(places[-1])
    return found


@contextmanager
def a_folder() -> Iterator[Path]:
    """A folder that servers can reach; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sermo_test_"))
    folder.chmod(0o755)  # the server is somebody else
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def a_server(kind: str, folder: Path, *options: str) -> Iterator[Server]:
    """A server for nobody else, told some more *options*; it is gone afterwards."""
    server = SERVERS[kind](folder, *options)
    try:
        yield server
    finally:
        if server.process is not None:
            server.crash()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """*folder* as a disk of its own, which is soon full; skips where one may not mount."""
    mount = [program("mount"), "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no right to mount a small disk ({done.stderr.decode().strip()}); be root")
    try:
        yield folder
    finally:
        subprocess.run([program("umount"), "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Fill the *disk* up but for so many bytes; the file that fills it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - leave))
    return filler
