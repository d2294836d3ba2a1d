"""How each database runs every hot statement, with many sessions: docs/plans.md.

The statements are those that the engine sends, caught on their way to the driver, with their own
parameters.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from inspect import cleandoc
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.contenders.ours import handle, our_tables
from benchmarks.filled import filled, id_in_the_middle, returning
from benchmarks.options import TITLES, Options
from benchmarks.results import Result, Table, conditions
from benchmarks.traffic import PLATFORM, START, messages
from sermo_fsm import ChatEngine

__all__ = ["plans"]

_PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "plans.md"
_HEAD: Final = """\
# How each database runs the hot statements

Made by `python -m benchmarks plans`; do not edit. The statements are those of the engine, with the
parameters that it sent, on {sessions} sessions. Statements that only begin, commit or set
something are left out, and a statement is shown for the first call that sends it.
"""
_EXPLAIN: Final = {
    "sqlite": "EXPLAIN QUERY PLAN {}",
    "postgresql": "EXPLAIN (COSTS OFF) {}",
    "mysql": "EXPLAIN FORMAT=JSON {}",
}
_VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_WHOLE_TABLE: Final = r"SCAN sermo_\w+$|Seq Scan on sermo_|^sermo_\w+: access_type = ALL"
_LONGEST: Final = 1_500
"""Characters of a statement that are shown."""

_PARAMETER: Final = r"(?:\?|%s|%\(\w+\)s)"
_VALUE: Final = rf"(?:{_PARAMETER}|\({_PARAMETER}(?:, {_PARAMETER})*\))"
_MANY_ALIKE: Final = re.compile(rf"({_VALUE}, )(?:{_VALUE}, ){{3,}}")

_Sent = tuple[str, Any]


def plans(options: Options) -> Result:
    """On the largest of the sizes, on every database; written to docs/plans.md as well."""
    sessions = options.sessions[-1]
    page = [_HEAD.format(sessions=f"{sessions:,}".replace(",", " "))]
    tables = []
    for kind in options.databases:
        with ChatEngine(filled(options, kind, sessions)) as chats:
            found = [*_explained(chats, sessions, options)]
            indexes = _indexes(chats)
        page += [f"## {TITLES[kind]}", ""]
        for call, statement, plan in found:
            page += [f"### {call}", "", "```sql", statement, "```", "", "```text", plan, "```", ""]
        scans = [[call, _first_line(statement)] for call, statement, plan in found if _scans(plan)]
        rows = scans or [["none of them", f"{len(found)} statements"]]
        tables.append(Table(f"{TITLES[kind]}: reads a whole table", ["call", "statement"], rows))
        rows = [[f"`{name}`", _users(name, found)] for name in indexes]
        tables.append(Table(f"{TITLES[kind]}: what each index serves", ["index", "calls"], rows))
    about = f"`EXPLAIN` of every hot statement on {sessions:,} sessions; all are in docs/plans.md."
    if options.sessions == Options(options.folder).sessions:
        _PAGE.write_text("\n".join(page), encoding="utf-8")
    return Result("Plans", about, tables, conditions=conditions(options))


def _explained(
    chats: ChatEngine, sessions: int, options: Options
) -> Iterator[tuple[str, str, str]]:
    engine = chats._engine  # noqa: SLF001 - to listen, and to explain on its connections
    kind = {"mariadb": "mysql"}.get(engine.dialect.name, engine.dialect.name)
    seen: set[str] = set()
    for call, run in _calls(chats, sessions, options):
        with _listening(engine) as sent:
            run()
        for statement, parameters in sent:
            if statement in seen or not statement.lstrip().upper().startswith(_VERBS):
                continue
            seen.add(statement)
            with engine.connect() as connection:
                explain = _EXPLAIN[kind].format(statement.strip())
                rows = connection.exec_driver_sql(explain, parameters).all()
                connection.rollback()
            yield call, _shortened(statement), _plan(kind, rows)


@contextmanager
def _listening(engine: sa.Engine) -> Iterator[list[_Sent]]:
    """The statements that are sent; of one that is sent for many rows the first."""
    sent: list[_Sent] = []

    def add(*arguments: Any) -> None:
        _, _, statement, parameters, _, many = arguments
        sent.append((statement, parameters[0] if many else parameters))

    sa.event.listen(engine, "before_cursor_execute", add)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", add)


def _calls(
    chats: ChatEngine, sessions: int, options: Options
) -> Iterator[tuple[str, Callable[[], object]]]:
    stream = messages(chats=options.chats, naming=returning(sessions))
    chats.handle_many([one.line for one in islice(stream, options.batch)])  # not all are new
    batch = [one.line for one in islice(stream, options.batch)]
    one = next(stream)
    some = id_in_the_middle(chats)
    yield "`handle_many`, a batch", lambda: chats.handle_many(batch)
    yield "`handle`, one event", lambda: handle(chats, one)
    yield "`status`", lambda: chats.status(PLATFORM, one.user_id)
    yield "`session`", lambda: chats.session(some)
    yield "`counts`", chats.counts
    yield "`sweep`", lambda: chats.sweep(START - timedelta(days=31))
    yield "`history`", lambda: [*chats.history(some, limit=50)]
    yield "`strays`", lambda: [*chats.strays(limit=50)]
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "of a state": {"state": "queued"},
        "of a state and a platform": {"state": "queued", "platform": PLATFORM},
        "of a platform": {"platform": PLATFORM},
        "of a user": {"user": one.user_id},
        "of an agent": {"agent": "agent07"},
        "from the middle": {"after": some},
    }
    for words, which in filters.items():
        yield f"`sessions`, {words}", partial(_page, chats, which)


def _page(chats: ChatEngine, which: dict[str, Any]) -> object:
    return [*chats.sessions(limit=50, **which)]


def _plan(kind: str, rows: Any) -> str:
    match kind:
        case "sqlite":
            depth = {0: -1}
            lines = []
            for key, parent, _, words in rows:
                depth[key] = depth.get(parent, -1) + 1
                lines.append("  " * depth[key] + words)
            return "\n".join(lines) or "no table is read"
        case "postgresql":
            return "\n".join(row[0] for row in rows)
        case _:
            return "\n".join(_mysql_tables(json.loads(rows[0][0]))) or "no table is read"


def _mysql_tables(plan: Any) -> Iterator[str]:
    """The accesses in a plan of MariaDB or MySQL, one a line."""
    if isinstance(plan, dict):
        if "table_name" in plan:
            said = {name: plan[name] for name in ("access_type", "key", "rows") if name in plan}
            yield f"{plan['table_name']}: {', '.join(f'{k} = {v}' for k, v in said.items())}"
        for value in plan.values():
            yield from _mysql_tables(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from _mysql_tables(value)


def _scans(plan: str) -> bool:
    """Whether one of our tables is read from end to end, and not by an index."""
    return re.search(_WHOLE_TABLE, plan, re.MULTILINE) is not None


def _indexes(chats: ChatEngine) -> list[str]:
    """The indexes that are there for a query alone, not for a constraint."""
    engine = chats._engine  # noqa: SLF001 - to use its connections
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        return [
            str(index["name"])
            for table in our_tables(engine)
            for index in inspector.get_indexes(table.name)
            if str(index["name"]).startswith("ix_")
        ]


def _users(index: str, found: list[tuple[str, str, str]]) -> str:
    pattern = re.compile(rf"\b{index}\b")
    calls = dict.fromkeys(call for call, _, plan in found if pattern.search(plan))
    return "; ".join(calls) or "none of them"


def _shortened(statement: str) -> str:
    lines = map(str.rstrip, cleandoc(statement).splitlines())
    text = _MANY_ALIKE.sub(r"\1…, ", "\n".join(lines))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _first_line(statement: str) -> str:
    return f"`{' '.join(statement.split())[:100]}`"
