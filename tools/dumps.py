"""Dump the schema of a release: ``python tools/dumps.py FOLDER URL...``, each database empty.

Hands ``tests/schemas/story.jsonl`` in to each database. Writes the SQL statements that created the
tables, and the rows as SQL, to files such as ``0001.sqlite.sql`` in FOLDER. ``0001.json`` has the
answers to all queries, which are the same on every database. Run it once for the last revision of
every release, on all databases; a test fails until the dumps of the latest one are there::

    python tools/dumps.py tests/schemas sqlite:///new.db postgresql+psycopg://… mysql+pymysql://…
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from sermo_fsm import ChatEngine, Envelope
from sermo_fsm.migrate import VERSION_TABLE, head
from sermo_fsm.views.json_views import stray_view

CHECKOUT: Final = Path(__file__).resolve().parent.parent
STORY: Final = CHECKOUT / "tests" / "schemas" / "story.jsonl"
READ_TO: Final = datetime(2026, 1, 15, 9, 50, tzinfo=UTC)
"""The time up to which the story is swept."""

END: Final = ";\n"
"""Ends every statement, and occurs inside none."""

_SERIAL: Final = ("sermo_session", "sermo_history")
_TABLES: Final = ("sermo_image", *_SERIAL, "sermo_body", VERSION_TABLE)
_DDL: Final = ("CREATE", "ALTER", "DROP", "COMMENT")


def play_story(chats: ChatEngine) -> None:
    """Hand in the story, and sweep."""
    envelopes = []
    for line in STORY.read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        event = message["event"]
        raw = event if isinstance(event, str) else json.dumps(event)
        envelopes.append(
            Envelope(
                message["direction"],
                raw,
                message_id=message.get("messageId"),
                received_at=datetime.fromisoformat(message["receivedAt"]),
            )
        )
    chats.handle_many(envelopes)
    chats.sweep(READ_TO)


def views(chats: ChatEngine) -> dict[str, Any]:
    """The answers to all queries, as JSON values."""
    sessions = sorted(
        (one.as_dict() for one in chats.sessions()),
        key=lambda one: (one["userId"], one["ordinal"]),
    )
    return {
        "sessions": sessions,
        "history": {
            one["sessionId"]: [row.as_dict(bodies=True) for row in chats.history(one["sessionId"])]
            for one in sessions
        },
        "strays": [stray_view(row, bodies=True) for row in chats.strays()],
    }


def dump(url: str | sa.URL) -> tuple[str, dict[str, Any]]:
    """Fill the empty database at *url*; return its SQL, and its :func:`views`."""
    engine = sa.create_engine(url)
    ddl: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _record(*arguments: Any) -> None:
        if arguments[2].lstrip().startswith(_DDL):
            ddl.append(arguments[2].strip().replace("%%", "%"))

    chats = ChatEngine(engine)
    chats.migrate()
    play_story(chats)
    with engine.connect() as connection:
        rows = [line for name in _TABLES for line in _rows(connection, name)]
    shown = views(chats)
    engine.dispose()
    return "".join(statement + END for statement in ddl + rows), shown


def _rows(connection: sa.Connection, table: str) -> Iterator[str]:
    found = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - ours
    names = ", ".join(found.keys())
    kind = connection.dialect.name
    for row in found:
        values = ", ".join(_literal(value, kind) for value in row)
        yield f"INSERT INTO {table} ({names}) VALUES ({values})"  # noqa: S608 - text for a file
    if kind == "postgresql" and table in _SERIAL:
        latest = f"(SELECT max(id) FROM {table})"  # noqa: S608 - ours
        yield f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {latest})"


def _literal(value: object, kind: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):  # a bool is an int, and TRUE or FALSE everywhere
        return str(value).upper()
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'" if kind == "postgresql" else f"X'{value.hex()}'"
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    text = str(value).replace("'", "''")
    if kind in ("mysql", "mariadb"):
        text = text.replace("\\", "\\\\")
    return f"'{text}'"


def main(arguments: list[str]) -> int:
    """Write the dumps, and print their paths."""
    if len(arguments) < 2:  # noqa: PLR2004 - the folder and a URL
        sys.exit("usage: dumps.py FOLDER URL...")
    folder = Path(arguments[0])
    for url in map(sa.make_url, arguments[1:]):
        path = folder / f"{head()}.{url.get_backend_name()}.sql"
        sql, shown = dump(url)
        path.write_text(sql, encoding="utf-8", newline="\n")
        words = json.dumps(shown, ensure_ascii=False, indent=1)
        view_path = folder / f"{head()}.json"
        view_path.write_text(words + "\n", encoding="utf-8", newline="\n")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
