"""What was erased is not to be found any more: not in the files, logs, errors, or by searching.

The maintenance that the files need is that of docs/privacy.md.
"""

import base64
import hashlib
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from traceback import TracebackException
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Retention, SermoError, StoreError
from sermo_fsm.core.session import session_id_of
from sermo_fsm.storage.schema import tables
from tests.command.test_cli_support import environment, sermo
from tests.databases import dump
from tests.erased import raw_text
from tests.servers import Server, a_folder, a_server
from tests.storage.test_security import listening
from tests.support import also_proved, at, event, everything

DICE: Final = random.Random(4711)  # noqa: S311 - marks, no secrets
PICTURE: Final = DICE.randbytes(20_000)
USER: Final = "marked-user-0042"
WORDS: Final = "den hemliga fakturan 19121212-1212"
AGENT: Final = {"id": "agma07", "name": "Agneta Markman", "type": "human"}
FLOW: Final = "marked-flow"
OTHERS: Final = 150


def play(chats: ChatEngine, user: str, number: int, words: str, name: str, picture: bytes) -> None:
    """A long chat, with a picture and strays."""

    def said(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "platformId": "web", "userId": user, **fields}

    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    agent = AGENT | {"name": name}
    story: list[tuple[Any, dict[str, Any] | str]] = [
        ("outbound", said("weather", wind=words)),
        ("inbound", f'{{"type": "text", "userId": "{user}", "text": "{words}'),
        ("inbound", said("text", text=words, image=url)),
        ("outbound", said("handover_to_bot", flowGroupId=f"{FLOW}-{number}")),
        ("outbound", said("text", text=words, agent=agent)),
        *(("inbound", said("text", text=f"{words} {index}")) for index in range(8)),
        ("inbound", said("client_left")),
    ]
    for index, (direction, one) in enumerate(story):
        when = at(number * 100 + index)
        chats.handle(direction, one, message_id=f"m-{number}-{index}", received_at=when)


def fill(chats: ChatEngine) -> list[bytes]:
    """The chat of the marked user among many others; returns what must not be found afterwards."""
    for number in range(OTHERS):
        if number == OTHERS // 2:
            play(chats, USER, number, WORDS, AGENT["name"], PICTURE)
            continue
        name = f"user-{DICE.randrange(10**9)}"
        play(chats, name, number, f"hej {name} " * 5, "Beata", name.encode() * 50)
    (session,) = chats.sessions(user=USER)
    key = session.session_id
    marks = [USER, WORDS, WORDS[-13:], AGENT["name"], f"{FLOW}-{OTHERS // 2}", key]
    digest = hashlib.sha256(PICTURE)
    return [
        *(mark.encode() for mark in marks),
        *(uuid.UUID(key).bytes, PICTURE[:24], PICTURE[-24:], digest.hexdigest().encode()),
    ]


def found(marks: Iterable[bytes], files: Iterable[Path]) -> set[tuple[str, bytes]]:
    """Which marks are in which files."""
    there = set()
    for file in files:
        with suppress(OSError):  # a server deletes files meanwhile
            content = file.read_bytes()
            there |= {(file.name, mark) for mark in marks if mark in content}
    return there


def everything_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


# --- SQLite --------------------------------------------------------------------------------------


def erase(chats: ChatEngine) -> None:
    receipt = chats.erase("web", USER)
    assert receipt is not None
    assert receipt.overwritten is not False


def retain(chats: ChatEngine) -> None:
    chats.handle("inbound", event("text", "eva", text="Hej", image="none"))
    age = timedelta(hours=1)
    done = chats.retain(Retention(people=age, strays=age))
    assert (done.persons, done.overwritten is not False) == (OTHERS, True)


HOWS: Final = pytest.mark.parametrize("how", [erase, pytest.param(retain, marks=pytest.mark.prove)])


@HOWS
def test_nothing_is_left_in_the_file_of_sqlite(
    tmp_path: Path, how: Callable[[ChatEngine], None]
) -> None:
    file = tmp_path / "chats.db"
    host = sa.create_engine(f"sqlite:///{file}")

    @sa.event.listens_for(host, "connect")
    def _as_some_are_built(connection: Any, _: object) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA journal_mode = WAL")

    chats = ChatEngine(host)
    chats.migrate()
    marks = fill(chats)
    ids = {marks[0], marks[5]}  # of the user and the session
    before = {mark for _, mark in found(marks, tmp_path.iterdir())}
    assert before == {*marks} - {marks[6]}  # there ids are text
    size = file.stat().st_size
    how(chats)
    assert (tmp_path / "chats.db-wal").stat().st_size == 0
    # Of an id there may be a copy in a page that SQLite has divided before; of no text.
    assert {mark for _, mark in found(marks, tmp_path.iterdir())} <= ids
    assert file.stat().st_size < size
    with host.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() == 0
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not found(marks, tmp_path.iterdir())
    assert chats.verify().ok
    host.dispose()


# --- servers -------------------------------------------------------------------------------------

NAMES: Final = [table.name for table in tables().metadata.sorted_tables]
OPTIONS: Final = {
    "postgresql": ["--autovacuum=off", "--wal_recycle=off"],
    # Else each page is in the file ibdata1 as well, until others are written.
    "mysql": ["--innodb-immediate-scrub-data-uncompressed=ON", "--innodb-doublewrite=OFF"],
}


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.service) for kind in OPTIONS])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind = request.param
    with a_folder() as folder, a_server(kind, folder, *OPTIONS[kind]) as server:
        yield server


@HOWS
def test_nothing_is_left_in_the_files_of_a_server(
    server: Server, how: Callable[[ChatEngine], None]
) -> None:
    with server.admin() as connection:
        connection.exec_driver_sql("CREATE DATABASE chats")
    url = server.url("chats")
    data = server.folder / "data"
    with ChatEngine(url) as chats:
        chats.migrate()
        marks = fill(chats)
        if server.kind == "postgresql":
            run(url, "ANALYZE", "CHECKPOINT")
        before = {mark for _, mark in found(marks, everything_below(data))}
        assert len(before) >= len(marks) - 2  # a digest and an id are one text, or bytes
        how(chats)
        assert chats.verify().ok
    if server.kind == "postgresql":
        rewritten = [f"VACUUM (FULL, ANALYZE) {name}" for name in (*NAMES, "pg_statistic")]
        run(url, *rewritten, "SELECT pg_switch_wal()", "CHECKPOINT")
    else:
        # An inner page of an index may hold a key that no row has any more.
        run(url, *(f"OPTIMIZE TABLE {name}" for name in NAMES))
        run(url, "SET GLOBAL innodb_fast_shutdown = 0")
        server.stop()
        server.options = (*server.options, "--innodb-log-file-size=8M")  # a new one
        server.start()
    assert not found(marks, everything_below(data))


def run(url: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


# --- logs, errors, exports -----------------------------------------------------------------------


def test_neither_logs_nor_errors_nor_exports_say_it(
    chats: ChatEngine, database: sa.Engine, tmp_path: Path
) -> None:
    play(chats, USER, 1, WORDS, AGENT["name"], PICTURE)
    (session,) = chats.sessions(user=USER)
    marks = [USER, WORDS, AGENT["name"], FLOW, session.session_id, "iVBOR", repr(PICTURE[:9])[2:-1]]
    told: list[str] = []

    def fails(call: Callable[[], object]) -> None:
        with pytest.raises(SermoError) as caught:
            call()
        told.append(everything(caught.value))

    with listening() as heard:
        assert chats.hold("web", USER, reason="court")
        fails(lambda: chats.erase("web", USER))
        assert len(chats.holds()) == 1
        assert chats.retain(Retention(people=timedelta(hours=1))).held == 1
        assert chats.release("web", USER)
        refuse_erasures(database)
        fails(lambda: chats.erase("web", USER))
        allow_erasures(database)
        assert chats.erase("web", USER)
        assert chats.retain(Retention(people=timedelta(hours=1), strays=timedelta(hours=1)))
        receipt = chats.handle("inbound", event("text", "x", text="y"), message_id="m-1-2")
        told += [repr(receipt), repr(chats.verify()), str(chats.figures().as_dict())]
        told += [repr(one.as_dict()) for one in chats.sessions()]
        told += [
            repr(row.as_dict(bodies=True))
            for one in chats.sessions()
            for row in chats.history(one.session_id)
        ]
        told += [repr(row.as_dict(bodies=True)) for row in chats.strays()]
    url = database.url.render_as_string(hide_password=False)
    for form in ("xes", "ocel"):
        file = tmp_path / f"log.{form}"
        arguments = ["--format", form, "--users", "-o", file, "--db", url]
        assert sermo("export", "history", *arguments).exit_code == 0
        told.append(file.read_text(encoding="utf-8"))
    said = "\n".join([heard.text, *told])
    assert [mark for mark in marks if mark in said] == []


def test_an_error_in_the_middle_holds_nothing_in_its_locals(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats, USER, 1, WORDS, AGENT["name"], PICTURE)
    refuse_erasures(database)
    with pytest.raises(StoreError) as caught:
        chats.erase("web", USER)
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert not [mark for mark in (WORDS, AGENT["name"], "iVBOR") if mark in shown]


def refuse_erasures(database: sa.Engine) -> None:
    """Have the database refuse the last statement of erasing."""
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sermo_erasure RENAME TO sermo_erasures")


def allow_erasures(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sermo_erasures RENAME TO sermo_erasure")


# --- searching -----------------------------------------------------------------------------------


def test_no_search_over_all_numbers_of_a_year_finds_a_short_text(
    chats: ChatEngine, database: sa.Engine
) -> None:
    """A text of ten digits has few values: from a digest of it, it would be found in a second."""
    number = "191212121212"
    picture = "data:text/plain;base64," + base64.b64encode(number.encode()).decode()
    said = event("text", number, text=number, image=picture)
    chats.handle("inbound", said, message_id="m", received_at=at(0))
    chats.handle("inbound", event("weather", image=number), received_at=at(0))
    chats.sweep(at(10_000))

    def digests() -> set[str]:
        """Whatever in the database is as long as a digest, in hexadecimal digits."""
        return {
            one.lower()
            for one in re.findall(r"[0-9a-fA-F]{32,}", raw_text(database).replace("-", ""))
        }

    first = date(1912, 1, 1)
    days = [first + timedelta(days=number) for number in range(366)]
    numbers = [f"{day:%Y%m%d}{last:04}" for day in days for last in range(1212, 1213)]
    assert number in numbers

    def hits(left: set[str]) -> set[str]:
        """The numbers of which a digest, or an id that is made of them, is left."""
        return {
            one
            for one in numbers
            if left
            & {
                *(hashlib.new(name, one.encode()).hexdigest() for name in DIGESTS),
                uuid.UUID(session_id_of("web", one, 1)).hex,
            }
        }

    assert hits(digests()) == {number}  # so it would be found
    assert chats.retain(Retention(pictures=timedelta(hours=1))).pictures == 1
    assert hits(digests()) == {number}  # by the id of the session
    chats.erase("web", number)
    chats.retain(Retention(strays=timedelta(hours=1)))
    assert hits(digests()) == set()
    assert number not in raw_text(database)


DIGESTS: Final = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")


# --- kill -9 -------------------------------------------------------------------------------------

PROGRAM: Final = """
import os, signal, sys
import sqlalchemy as sa
from sermo_fsm import ChatEngine

url, moment = sys.argv[1], int(sys.argv[2])
passed = 0

def execute(*_):
    global passed
    passed += 1
    if passed == moment:
        os.kill(os.getpid(), signal.SIGKILL)

with ChatEngine(url) as chats:
    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", execute)
    chats.erase("web", "marked-user-0042")
"""


@pytest.mark.parametrize("step", [4, *also_proved(1)])
def test_killed_in_the_middle_it_has_erased_all_or_nothing(kind_url: sa.URL, step: int) -> None:
    where = kind_url.render_as_string(hide_password=False)
    database = sa.create_engine(kind_url)
    with ChatEngine(kind_url) as chats:
        play(chats, USER, 1, WORDS, AGENT["name"], PICTURE)
        before = dump(database)
        moment, killed = 2, 0
        while True:
            command = [sys.executable, "-c", PROGRAM, where, str(moment)]
            status = subprocess.run(command, env=environment(), check=False).returncode
            if status == 0 or dump(database) != before:
                break
            assert status == -9
            killed += 1
            moment += step
        assert killed >= 3
        assert chats.status("web", USER) is None
        assert chats.verify().ok
        assert not [one for one in (USER, WORDS, FLOW) if one in raw_text(database)]
    database.dispose()
