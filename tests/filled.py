"""Tables full of sessions, made by SQL alone and distributed as in production.

Few chats are live, one platform has most of them, and one agent has many. Tests of plans need
enough rows for a database to think about it; how fast it is with many more is for ``benchmarks/``.
"""

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first session opened; each of the others opened a second after the one before."""

_SESSIONS_OF_EACH: Final = 5
_LONG: Final = 10_000  # more rows of the first session

# A moment, and an id that is spread over the whole index, made from the number {n}.
_MOMENT: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-01-01', ({n}) || ' seconds')",
    "postgresql": "timestamptz '2026-01-01 00:00Z' + ({n}) * interval '1 second'",
    "mysql": "timestampadd(SECOND, {n}, '2026-01-01')",
}
_HASH: Final = "(n * 2654435761) % 4294967296"
_UUID: Final = {
    "sqlite": f"printf('%08x-0000-5000-8000-%012x', {_HASH}, n)",
    "postgresql": f"(lpad(to_hex({_HASH}), 8, '0') || '-0000-5000-8000-'"
    " || lpad(to_hex(n), 12, '0'))::uuid",
    "mysql": f"concat(lpad(lower(hex({_HASH})), 8, '0'), '-0000-5000-8000-',"
    " lpad(lower(hex(n)), 12, '0'))",
}
_JOINED: Final = {"sqlite": "'user-' || {n}", "postgresql": "'user-' || {n}"}
_ANALYZE: Final = {
    "sqlite": ("ANALYZE",),
    "postgresql": (
        # Vacuum takes rows for visible to all only if their commit is on the disk, and a database
        # may commit without waiting for that. This waits, and flushes what was written before.
        "SET synchronous_commit = on",
        "SELECT pg_logical_emit_message(true, 'sermo_fsm', 'flush')",
        "VACUUM ANALYZE sermo_session",
        "VACUUM ANALYZE sermo_history",
        "RESET synchronous_commit",
    ),
    "mysql": ("ANALYZE TABLE sermo_session", "ANALYZE TABLE sermo_history"),
}
_ON: Final = """
    SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))
"""
_DIGITS: Final = " UNION ALL ".join(f"SELECT {digit}" for digit in range(1, 10))
_NUMBERS: Final = f"""
    WITH d (n) AS (SELECT 0 UNION ALL {_DIGITS}), numbers (n) AS (
        SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n + 100000 * g.n
        FROM d AS a, d AS b, d AS c, d AS e, d AS f, d AS g)
"""  # noqa: S608 - digits


def fill(engine: sa.Engine, sessions: int, *, analyzed: bool = True) -> None:
    """Fill our empty tables with sessions (a multiple of 400, at most a million), a row each.

    Every user has five sessions, one after the other; a tenth of the last ones is live. The agent
    ``a-0`` has few sessions, ``a-1`` has half of them. There are a tenth as many strays as
    sessions, and the first session has many rows.
    """
    kind = engine.dialect.name
    session_values, history = _session_values(kind, sessions), _history_values(kind, sessions)
    strays = history | {
        "id": f"n + 1 + {sessions}",
        "session_key": "NULL",
        "seq": "NULL",
        "to_state": "NULL",
        "outcome": "'stray'",
        "message_id": "NULL",
    }
    more = history | {
        "id": f"n + 1 + {sessions + sessions // 10}",
        "session_key": "1",
        "seq": "n + 2",
        "message_id": "NULL",
    }
    with engine.begin() as connection:
        for table, values, count in (
            ("sermo_session", session_values, sessions),
            ("sermo_history", history, sessions),
            ("sermo_history", strays, sessions // 10),
            ("sermo_history", more, _LONG),
        ):
            connection.exec_driver_sql(_insert(kind, table, values, count))
            if kind == "postgresql":
                connection.exec_driver_sql(_ON.format(table=table))
    if analyzed:
        analyze(engine)


def _user_id(kind: str, users: int) -> str:
    joined = _JOINED.get(kind, "concat('user-', {n})")
    return joined.format(n=f"(n % {users})")


def _session_values(kind: str, sessions: int) -> dict[str, str]:
    """The SQL of each column of the n-th session."""
    users = sessions // _SESSIONS_OF_EACH
    ten = "((n - n % 10) / 10 % 8)"  # within a platform, so that each has some of everything
    last = f"n >= {users * (_SESSIONS_OF_EACH - 1)}"
    live = f"({last} AND n % 10 = 0)"
    opened, later = (
        _MOMENT[kind].format(n=n) for n in ("n", f"n + CASE WHEN {live} THEN 1800 ELSE 60 END")
    )
    return {
        "id": "n + 1",
        "session_id": _UUID[kind],
        "platform_id": f"CASE WHEN {ten} < 5 THEN 'web' WHEN {ten} < 7 THEN 'app' ELSE 'kiosk' END",
        "user_id": _user_id(kind, users),
        "ordinal": f"1 + (n - n % {users}) / {users}",
        "live": f"CASE WHEN {live} THEN 1 END",
        "resumed": "n < 0",
        "state": f"CASE WHEN NOT {live} THEN 'closed' WHEN n % 30 = 0 THEN 'queued'"
        " WHEN n % 30 = 10 THEN 'bot' ELSE 'with_agent' END",
        "since": opened,
        "opened_at": opened,
        "closed_at": f"CASE WHEN NOT {live} THEN {later} END",
        "close_reason": f"CASE WHEN NOT {live} THEN 'idle' END",
        "agent_id": "CASE WHEN n % 1000 = 0 THEN 'a-0' WHEN n % 2 = 0 THEN 'a-1' END",
        "expires_at": later,
        "due_at": f"CASE WHEN {live} THEN {later} END",
        "row_count": "1",
        "expiry_set_at": opened,
        "expiry_reason": "'idle'",
        "effective_at": opened,
    }


def _history_values(kind: str, sessions: int) -> dict[str, str]:
    """The SQL of each column of the first row of the n-th session."""
    users = sessions // _SESSIONS_OF_EACH
    opened = _MOMENT[kind].format(n="n")
    return {
        "id": "n + 1",
        "session_key": "n + 1",
        "seq": "1",
        "direction": "'inbound'",
        "type": "'text'",
        "trigger_name": "'customer_text'",
        "to_state": "'bot'",
        "outcome": "'moved'",
        "received_at": opened,
        "effective_at": opened,
        "message_id": _user_id(kind, users).replace("user-", "m-").replace(f"% {users}", "+ 0"),
    }


def analyze(engine: sa.Engine) -> None:
    """Update the statistics of the database."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in _ANALYZE[engine.dialect.name]:
            connection.exec_driver_sql(statement)


def _insert(kind: str, table: str, values: dict[str, str], count: int) -> str:
    percent = "%" if kind == "sqlite" else "%%"  # as the driver has to see it
    rows = ", ".join(values.values()).replace("%", percent)
    select = f"{_NUMBERS} SELECT {rows} FROM numbers WHERE n < {count} ORDER BY n"  # noqa: S608 - ours
    return f"INSERT INTO {table} ({', '.join(values)}) {select}"
