"""A process that is forked after the engine was made (docs/design.md, guarantee 9)."""

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, ForkedEngine
from sermo_fsm.storage import transactions
from tests.support import CHECKOUT


@pytest.mark.parametrize("door", ["plain", "async", "host"])
def test_nobody_is_told_of_another_users_chat(kind_url: sa.URL, door: str) -> None:
    url = kind_url.render_as_string(hide_password=False)
    done = subprocess.run(
        # aiosqlite has a thread for its connection, and Python 3.12 warns of any at a fork.
        [sys.executable, "-W", "ignore:This process", "-m", "tests.forked", url, door],
        cwd=CHECKOUT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
