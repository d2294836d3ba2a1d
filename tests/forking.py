"""Migrates one database from many processes: ``python -m tests.forking URL``.

Forking costs little where starting costs most of a second, but only a process without threads may
do it. Reads what to do from standard input and answers each line with the exit statuses:

- ``{"many": "migrate"}``: eight processes, which begin at the same instant;
- ``{"kill": "DROP …"}``: one, which is killed before this statement, or this ``COMMIT``.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable

import sqlalchemy as sa

from sermo_fsm import ChatEngine
from sermo_fsm.migrate import head

MANY = 8


def fork(work: Callable[[], None]) -> int:
    """Do it in a process of its own, which is not waited for."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it is
        traceback.print_exc()
    finally:
        os._exit(status)


def many(url: str, method: str) -> list[int]:
    """Several at once, each with an engine of its own."""
    waiting, go = os.pipe()

    def work() -> None:
        os.close(go)
        os.read(waiting, 1)  # until nobody holds the other end any more
        with ChatEngine(url) as chats:
            assert getattr(chats, method)() == head()

    children = [fork(work) for _ in range(MANY)]
    os.close(go)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    os.close(waiting)
    return [os.waitstatus_to_exitcode(status) for status in statuses]


def killed(url: str, before: str) -> int:
    """One, which is killed before it says this to the database."""

    def work() -> None:
        engine = sa.create_engine(url)

        def hear(said: str) -> None:
            if said == before:
                os.kill(os.getpid(), signal.SIGKILL)

        listen(engine, hear)
        ChatEngine(engine).migrate()
        engine.dispose()

    return os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1])


def listen(engine: sa.Engine, hear: Callable[[str], object]) -> None:
    """Hear all that is said to the database."""
    sa.event.listen(engine, "before_cursor_execute", lambda *said: hear(said[2]))
    sa.event.listen(engine, "commit", lambda _: hear("COMMIT"))


def main(url: str) -> None:
    """Answer every line."""
    for line in sys.stdin:
        order = json.loads(line)
        answer = killed(url, order["kill"]) if "kill" in order else many(url, order["many"])
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1])
