"""A chain of digests over the facts of the history: who changes one afterwards breaks the chain.

It is made after the fact, in segments of rows by their ids, so events pass none of it. What erasing
replaces is not in it: bodies, user ids, reasons, and the ids of sessions.

Transactions that write at the same time draw ids and may commit in another order, so an id that is
missing when a segment is made may still come. For an hour it is let into the next segment, as late;
afterwards a row with that id is one that somebody has inserted.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from attrs import frozen

from sermo_fsm.core.json_form import time_view
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.transactions import streamed

__all__ = ["Chain", "ChainVerification", "Extension", "extend_chain", "verify_chain"]

_ROWS: Final = 1000  # in a segment
_SEGMENTS: Final = 10  # in a transaction, for on SQLite nobody else writes meanwhile
_KEYS: Final = 500  # asked for at once
_PENDING: Final = timedelta(hours=1)
"""How long a transaction that draws ids may take to commit; ours give up after half a minute."""

_FACTS: Final = (
    *("id", "session_key", "seq", "direction", "type", "trigger_name", "from_state", "to_state"),
    *("outcome", "received_at", "effective_at", "sent_at", "message_id", "agent_id"),
    "last_seen_at",
)
"""The columns of the history that are in the chain, in this order for ever."""

_encode: Final = msgspec.json.Encoder().encode

Gaps = list[tuple[int, int, str]]
"""Ids without a row: the first, the last, and when they were first missed."""


@frozen
class Chain:
    """The chain as it is.

    Attributes:
        digest: Of everything in it, 64 hexadecimal digits: keep it where nobody can change it. None
            if there is nothing in it.
        segments: How many segments it has.
        rows: How many rows of the history are in it.
    """

    digest: str | None
    segments: int
    rows: int


Extension = tuple[tuple[Chain, bool], tuple[()]]
"""The chain, whether there may be more rows for it, and that no row of the history was written."""


@frozen
class ChainVerification:
    """What the chain says of the history.

    Attributes:
        chain: The chain.
        unchained: How many rows of the history are not in it yet.
        problems: What is not as it was, in words.
    """

    chain: Chain
    unchained: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


# --- making it -----------------------------------------------------------------------------------


def extend_chain(tables: Tables, connection: sa.Connection) -> Extension:
    """Put rows into the chain that are not in it yet. Never commits."""
    now = datetime.now(UTC)
    chain = tables.chain
    last = connection.execute(sa.select(chain).order_by(chain.c.id.desc()).limit(1)).first()
    number, last_id, digest = (last.id, last.last_id, last.digest) if last else (0, 0, "")
    missing = _still_pending(last.gaps, now) if last else []
    late = list(_late(connection, tables, missing))
    query = _facts(tables).where(tables.history.c.id > last_id).limit(_ROWS * _SEGMENTS)
    found = connection.execute(query).all()
    if not found and not late:
        return (_chain_of(connection, tables), False), ()
    missing = _without(missing, [row.id for row in late])
    for start in range(0, max(len(found), 1), _ROWS):
        rows = found[start : start + _ROWS]
        missing += _gaps(last_id, [row.id for row in rows], now)
        last_id = rows[-1].id if rows else last_id
        number += 1
        segment = {
            "id": number,
            "last_id": last_id,
            "row_count": len(late) + len(rows),
            "late": json.dumps([row.id for row in late]),
            "gaps": json.dumps(missing),
            "made_at": now,
        }
        digest = _digest(digest, segment, [*late, *rows])
        connection.execute(sa.insert(chain).values(**segment, digest=digest))
        late = []
    return (_chain_of(connection, tables), len(found) == _ROWS * _SEGMENTS), ()


def _facts(tables: Tables) -> sa.Select[Any]:
    history = tables.history.c
    return sa.select(*(history[name] for name in _FACTS)).order_by(history.id)


def _chain_of(connection: sa.Connection, tables: Tables) -> Chain:
    chain = tables.chain.c
    count = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(chain.row_count), 0))
    segments, rows = connection.execute(count.select_from(tables.chain)).one()
    digest = sa.select(chain.digest).order_by(chain.id.desc()).limit(1)
    return Chain(connection.execute(digest).scalar_one_or_none(), segments, int(rows))


def _digest(before: str, segment: dict[str, Any], rows: Iterable[sa.Row[Any]]) -> str:
    """The digest of a segment, of its rows, and of all before it."""
    head = {**segment, "made_at": time_view(segment["made_at"]), "before": before}
    found = hashlib.sha256(_encode(head))
    for row in rows:
        found.update(b"\n" + _encode(tuple(row)))
    return found.hexdigest()


def _still_pending(gaps: str, now: datetime) -> Gaps:
    """The gaps whose rows may still come."""
    return [
        (first, last, since)
        for first, last, since in json.loads(gaps)
        if now - datetime.fromisoformat(since) < _PENDING
    ]


def _gaps(last_id: int, ids: Sequence[int], now: datetime) -> Gaps:
    """The ids after *last_id* that are not among *ids*, which rise."""
    since = now.isoformat()
    return [
        (before + 1, key - 1, since)
        for before, key in zip([last_id, *ids], ids, strict=False)
        if key > before + 1
    ]


def _without(gaps: Gaps, ids: Iterable[int]) -> Gaps:
    """*gaps* where these *ids* are none."""
    for key in ids:
        gaps = [
            part
            for first, last, since in gaps
            for part in (
                [(first, key - 1, since), (key + 1, last, since)]
                if first <= key <= last
                else [(first, last, since)]
            )
            if part[0] <= part[1]
        ]
    return gaps


def _late(connection: sa.Connection, tables: Tables, gaps: Gaps) -> Iterator[sa.Row[Any]]:
    """The rows that have come into *gaps*."""
    key = tables.history.c.id
    for first, last, _ in gaps:
        yield from connection.execute(_facts(tables).where(key.between(first, last)))


# --- checking it ---------------------------------------------------------------------------------


def verify_chain(tables: Tables, head: str | None) -> Read[ChainVerification]:
    """Hold the chain against the history; *head* is a digest that has to be in it."""
    return partial(_verify, tables=tables, head=head)


def _verify(connection: sa.Connection, tables: Tables, head: str | None) -> ChainVerification:
    chain, history = tables.chain, tables.history.c
    segments = connection.execute(sa.select(chain).order_by(chain.c.id)).mappings().all()
    pending = _still_pending(segments[-1]["gaps"], datetime.now(UTC)) if segments else []
    # Read before the rows: MySQL has one result at a time.
    late = _rows_of(
        connection, tables, [key for one in segments for key in json.loads(one["late"])]
    )
    last_id = segments[-1]["last_id"] if segments else 0
    after = sa.select(sa.func.count()).where(history.id > last_id)
    count = connection.execute(after).scalar_one()
    problems = []
    query = _facts(tables).where(history.id <= last_id).execution_options(yield_per=2000)
    with streamed(connection, query) as found:
        rows = iter(found)
        row = next(rows, None)
        before, number, first = "", 0, 1
        for segment in segments:
            its_own = [late[key] for key in json.loads(segment["late"]) if key in late]
            while row is not None and row.id <= segment["last_id"]:
                if any(start <= row.id <= end for start, end, _ in pending):
                    count += 1  # the next segment takes it
                elif row.id not in late:
                    its_own.append(row)
                row = next(rows, None)
            if segment["id"] != number + 1:
                problems.append(f"segment {number + 1} of the chain is missing")
            problems += _problems(before, segment, its_own, first)
            before, number, first = segment["digest"], segment["id"], segment["last_id"] + 1
    if head is not None and head not in {segment["digest"] for segment in segments}:
        problems.append(f"the digest {head} is not in the chain: it was cut off, or made anew")
    return ChainVerification(_chain_of(connection, tables), count, tuple(problems))


def _rows_of(
    connection: sa.Connection, tables: Tables, ids: Sequence[int]
) -> dict[int, sa.Row[Any]]:
    """The rows with these ids, as far as they are there."""
    found: dict[int, sa.Row[Any]] = {}
    for start in range(0, len(ids), _KEYS):
        some = _facts(tables).where(tables.history.c.id.in_(ids[start : start + _KEYS]))
        found |= {row.id: row for row in connection.execute(some)}
    return found


def _problems(before: str, segment: Any, rows: Sequence[sa.Row[Any]], first: int) -> Iterator[str]:
    """What is not as it was in the rows of a segment."""
    values = {name: value for name, value in segment.items() if name != "digest"}
    last = segment["last_id"]
    where = f"rows {first} to {last} of the history"
    if last < first:
        where = f"the late rows of segment {segment['id']}"
    if len(rows) != segment["row_count"]:
        yield f"{where} were {segment['row_count']}, and are {len(rows)}"
    elif _digest(before, values, rows) != segment["digest"]:
        yield f"{where} are not what they were, or segment {segment['id']} of the chain is not"
