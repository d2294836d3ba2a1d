"""Every schema that was released, as it was released: it is kept, and its chats go on."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from sermo_fsm import ChatEngine, Outcome, migrate
from sermo_fsm.core.machine import LIVE
from tests.databases import KINDS
from tests.inspected import COLLATIONS, inspected
from tools.dumps import END, READ_TO, STORY, play_story, views

FOLDER = STORY.parent
DUMPS = sorted(FOLDER.glob("*.sql"))
FIRST_ON_A_SERVER = "0002"
"""Before it there was SQLite only."""


def _of(dumps: list[Path]) -> list[Any]:
    """Each with the database that it is of."""
    return [
        pytest.param(
            path, kind, id=path.stem, marks=[] if kind == "sqlite" else [pytest.mark.service]
        )
        for path in dumps
        for kind in (path.stem.rpartition(".")[2],)
    ]


@pytest.fixture
def engine(bare_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(bare_url)
    yield engine
    engine.dispose()


def load(engine: sa.Engine, path: Path) -> None:
    """Make the tables and the rows, by what the dump says."""
    said = path.read_text(encoding="utf-8")
    with engine.begin() as connection:
        if engine.dialect.name == "mysql" and not getattr(engine.dialect, "is_mariadb", False):
            said = said.replace(*COLLATIONS)  # the dump is of MariaDB
        for statement in said.split(END)[:-1]:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def expected(path: Path) -> dict[str, Any]:
    """What could be asked of it then."""
    revision = path.name.partition(".")[0]
    said = (FOLDER / f"{revision}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(said)
    return found


def as_then(now: Any, then: Any) -> Any:
    """The same, without the names that did not exist then."""
    if isinstance(then, dict) and isinstance(now, dict):
        return {name: as_then(now[name], then[name]) for name in now if name in then}
    if isinstance(then, list) and isinstance(now, list) and len(now) == len(then):
        return [as_then(*both) for both in zip(now, then, strict=True)]
    return now


def test_the_schema_of_every_release_is_kept() -> None:
    kept = {path.name for path in FOLDER.iterdir()}
    scripts = ScriptDirectory.from_config(migrate.config())
    for script in scripts.walk_revisions():
        kinds = KINDS if script.revision >= FIRST_ON_A_SERVER else KINDS[:1]
        wanted = {f"{script.revision}.{kind}.sql" for kind in kinds} | {f"{script.revision}.json"}
        assert wanted <= kept, "make what is missing by tools/dumps.py, and keep it"


def test_the_story_has_everything_in_it() -> None:
    for path in DUMPS:
        told = expected(path)
        rows = [row for of_one in told["history"].values() for row in of_one]
        assert {one["state"] for one in told["sessions"]} == {*LIVE, "closed"}
        reasons = {one["closeReason"] for one in told["sessions"]}
        assert reasons == {None, "client_left", "client_unload", "idle", "agent_done"}
        assert {row["outcome"] for row in rows} >= {"moved", "stayed", "ignored", "late", "unknown"}
        assert {row["outcome"] for row in told["strays"]} == {"stray", "unknown", "invalid"}
        assert any(one["resumed"] for one in told["sessions"])
        assert any("image" in (row["event"] or ()) for row in rows)


@pytest.mark.parametrize(("path", "kind"), _of(DUMPS), indirect=["kind"])
def test_what_was_in_it_is_in_it_after_the_upgrade(engine: sa.Engine, path: Path) -> None:
    load(engine, path)
    chats = ChatEngine(engine)

    assert chats.migrate() == migrate.head()

    assert chats.verify().ok
    then = expected(path)
    assert as_then(views(chats), then) == then


@pytest.mark.parametrize(("path", "kind"), _of(DUMPS), indirect=["kind"])
def test_the_chats_go_on_after_the_upgrade(engine: sa.Engine, path: Path) -> None:
    load(engine, path)
    chats = ChatEngine(engine)
    chats.migrate()
    live = list(chats.sessions(state=LIVE))
    rows = sum(one.rows for one in chats.sessions())

    play_story(chats)  # once more
    assert sum(one.rows for one in chats.sessions()) == rows
    for at, chat in enumerate(live):
        whose = {"userId": chat.user_id, "platformId": chat.platform_id}
        said = {"type": "text", "text": "Hallå?", **whose}
        when = READ_TO + timedelta(seconds=at)
        receipt = chats.handle("inbound", said, message_id=f"new-{at}", received_at=when)
        assert receipt.after
        assert receipt.after.session_id == chat.session_id
        assert receipt.after.rows == chat.rows + 1
    left = {"type": "client_left", "userId": "anna", "platformId": "web"}
    assert chats.handle("inbound", left, received_at=READ_TO).outcome is Outcome.MOVED
    new = {"type": "text", "text": "Hej!", "userId": "new", "platformId": "web"}
    assert chats.handle("inbound", new, received_at=READ_TO).outcome is Outcome.MOVED
    assert chats.verify().ok


@pytest.mark.parametrize(("path", "kind"), _of(DUMPS), indirect=["kind"])
def test_a_released_migration_still_makes_what_it_made(
    engine: sa.Engine, bare_url: sa.URL, path: Path
) -> None:
    load(engine, path)
    before = all_of(engine)
    with engine.begin() as connection:
        loaded = sa.MetaData()
        loaded.reflect(connection)
        loaded.drop_all(connection)

    again = sa.create_engine(bare_url)
    with again.begin() as connection:
        command.upgrade(migrate.config(connection), path.name.partition(".")[0])
    assert all_of(again) == before
    again.dispose()


def all_of(engine: sa.Engine) -> tuple[Any, ...]:
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            return (inspected(connection),)
        texts = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        return inspected(connection), list(map(tuple, connection.exec_driver_sql(texts)))
