"""A process that is forked after the engine was made (docs/design.md, guarantee 9)."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, ForkedEngine
from sermo_fsm.engine import unit_of_work
from sermo_fsm.storage import transactions
from tests import preloaded
from tests.forked import DOORS
from tests.support import CHECKOUT, also_proved, envelope, text


@pytest.mark.parametrize("start", ["os", *also_proved("multiprocessing")])
@pytest.mark.parametrize("door", DOORS)
def test_nobody_is_told_of_another_users_chat(kind_url: sa.URL, door: str, start: str) -> None:
    url = kind_url.render_as_string(hide_password=False)
    done = subprocess.run(
        # aiosqlite has a thread for its connection, and Python 3.12 warns of any at a fork.
        [sys.executable, "-W", "ignore:This process", "-m", "tests.forked", url, door, start],
        cwd=CHECKOUT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def gunicorn(kind_url: sa.URL) -> Iterator[socket.socket]:
    """Where the application of ``tests.preloaded`` is served, by gunicorn as hosts start it."""
    url = kind_url.render_as_string(hide_password=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        bind = ["--bind", f"fd://{server.fileno()}", "--workers", str(preloaded.WORKERS)]
        serving = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--preload", *bind, "tests.preloaded:application()"],
            cwd=CHECKOUT,
            env={**os.environ, "SERMO_DATABASE": url},
            pass_fds=[server.fileno()],
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            yield server
        finally:
            serving.terminate()
            _, complaints = serving.communicate(timeout=60)
    assert serving.returncode == 0, complaints


@pytest.mark.service
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_nor_under_gunicorn_with_preload(gunicorn: socket.socket) -> None:
    host, port = gunicorn.getsockname()
    waiting = threading.Barrier(len(preloaded.USERS))

    def ask(user: str) -> list[tuple[str, str]]:
        """What is answered, and by which process."""
        answers = []
        waiting.wait()
        for _ in range(40):
            with urlopen(f"http://{host}:{port}/{user}", timeout=60) as answer:
                answers.append((answer.read().decode(), answer.headers["X-Process"]))
        return answers

    with ThreadPoolExecutor(len(preloaded.USERS)) as threads:
        answered = dict(zip(preloaded.USERS, threads.map(ask, preloaded.USERS), strict=True))

    assert {user: {told for told, _ in answers} for user, answers in answered.items()} == {
        user: {user} for user in preloaded.USERS
    }
    assert len({process for answers in answered.values() for _, process in answers}) > 1


def test_a_reader_in_the_child_is_cut_off_from_the_server(
    kind_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise: afterwards this process can't reach the server by that connection."""
    monkeypatch.setattr(unit_of_work, "_PORTION", 1)
    monkeypatch.setattr(transactions, "_OUR_ENGINES", set())
    with ChatEngine(kind_url) as chats:
        chats.handle_many([envelope("inbound", text(user=user), 0, user) for user in "ab"])
        rows, pool = chats.stories(), chats._engine.pool
        next(rows)
        transactions._forget_connections()
        with pytest.raises(ForkedEngine, match="connect in the new process"):
            next(rows)
        rows.close()
        pool.dispose()  # a parent keeps it
        assert len(list(chats.stories())) == 2


def test_what_happens_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a fork, where coverage sees it; what is left behind is closed here."""
    with ChatEngine("sqlite://", attempts=1) as ours:
        pool = ours._engine.pool
        monkeypatch.setattr(transactions, "_OUR_ENGINES", {ours._engine})
        transactions._forget_connections()
        assert ours._engine.pool is not pool
    pool.dispose()

    host = sa.create_engine("sqlite://", poolclass=sa.QueuePool)
    theirs, pool = ChatEngine(host), host.pool
    theirs.migrate()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(ForkedEngine, match=r"dispose\(close=False\)"):
        theirs.counts()
    host.dispose(close=False)
    theirs.migrate()
    assert theirs.counts() == {}
    for one in (pool, host.pool):
        one.dispose()
