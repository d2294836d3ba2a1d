"""The SQL of erasing: what goes, what stays as a fact, and in which order.

What stays of a session is what figures need: states, times, triggers, outcomes, ``seq``. What goes
is all that says who it was and what was said: bodies, pictures, names, reasons of strays; user id
and session ids, which can be computed from it, become random ones. Statements take the ids that an
earlier one has found, in chunks, because databases differ in what they make of a subquery.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from msgspec.structs import replace

from sermo_fsm.core.erasure import Amount
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import StoreError
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.protocol.stored_form import readings, unescaped
from sermo_fsm.storage.backends import backend_named
from sermo_fsm.storage.column_types import PrivateText, plain
from sermo_fsm.storage.rows import json_of, readable, session_of
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.sealing import MARK, Sealing

__all__ = [
    "ANONYMOUS",
    "body_keys",
    "erase_bodies",
    "erase_names",
    "erase_pictures",
    "erase_sessions",
    "erase_strays",
    "give_back",
    "hidden",
    "is_known",
    "names",
    "new_user_id",
    "note_erasure",
    "overwriting",
    "pictures_in",
    "pictures_of",
    "said",
    "sessions_of",
    "strays_of",
    "take_pictures",
    "unseen",
]

_CHUNK: Final = 500
_USERS: Final = 50  # in one statement, each with a condition of its own
_T = TypeVar("_T")

ANONYMOUS: Final = "erased-________-____-4___-____-____________"
"""The random ids, as a pattern for LIKE."""


def _chunks(items: Sequence[_T], size: int = _CHUNK) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def overwriting(connection: sa.Connection) -> None:
    """Have the database overwrite what is deleted from now on, where it knows how to."""
    backend_named(connection.dialect.name).overwrite_deleted(connection)


def _latest(connection: sa.Connection, query: sa.Select[Any]) -> sa.Select[Any]:
    return backend_named(connection.dialect.name).latest(query)


def give_back(connection: sa.Connection) -> bool | None:
    """After a commit, leave no copy of what was deleted in files beside the tables, if it may be.

    Returns whether that is so; None where nothing of the kind is ours to do.
    """
    return backend_named(connection.dialect.name).give_back(connection)


# --- what there is of people ---------------------------------------------------------------------


def sessions_of(
    connection: sa.Connection, tables: Tables, users: Sequence[UserKey]
) -> list[tuple[int, ChatSession]]:
    """All sessions of these users, locked, each with its key, in the order of ``ordinal``."""
    session = tables.session.c
    found: list[tuple[int, ChatSession]] = []
    for some in _chunks(users, _USERS):
        theirs = (
            sa.and_(session.platform_id == platform, session.user_id == unseen(user))
            for platform, user in some
        )
        query = (
            # A log that shows rows must not show these: they are just being erased.
            sa.select(*(hidden(column) if column.name in _IDS else column for column in session))
            .where(sa.or_(*theirs))
            .order_by(session.platform_id, session.user_id, session.ordinal)
            .with_for_update()  # in a host's transaction that sees an older state, too
        )
        found += map(_unhidden, connection.execute(query))
    return found


_IDS: Final = ("user_id", "session_id", "previous_session_id")


def unseen(user_id: str) -> sa.ColumnElement[str]:
    """A user id as a parameter that no log shows."""
    return sa.literal(user_id, PrivateText)


def hidden(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """*column* so that no log shows what is read from it."""
    return sa.type_coerce(column, PrivateText).label(column.key)


def _unhidden(row: sa.Row[Any]) -> tuple[int, ChatSession]:
    key, session = session_of(row)
    return key, replace(session, **{name: plain(getattr(session, name)) for name in _IDS})


def body_keys(
    connection: sa.Connection, tables: Tables, sessions: Iterable[int]
) -> list[tuple[int, str | None]]:
    """The bodies of these sessions, each with the key of its picture."""
    history, body = tables.history.c, tables.body.c
    found: list[tuple[int, str | None]] = []
    for some in _chunks(list(sessions)):
        query = (
            sa.select(body.history_id, body.image_sha256)
            .select_from(tables.history.join(tables.body))
            .where(history.session_key.in_(some))
        )
        rows = connection.execute(_latest(connection, query))
        found += ((key, picture) for key, picture in rows)
    return found


def strays_of(connection: sa.Connection, tables: Tables, user: UserKey) -> list[sa.Row[Any]]:
    """The strays about this user: by their columns, or because their text names the user.

    What is sealed and has no key any more is nobody's.

    Each row has ``id``, ``platform``, ``user``, ``history_id`` if there is a body, and
    ``image_sha256``.
    """
    history, body = tables.history.c, tables.body.c
    platform_id, user_id = user
    by_columns = sa.and_(
        history.user_id == unseen(user_id),
        sa.or_(history.platform_id == platform_id, history.platform_id.is_(None)),
    )
    # A superset: JSON may write any letter in another way, behind a backslash, and what is sealed
    # tells nothing before it is opened.
    texts = [sa.cast(text, sa.Text) for text in (body.event, body.raw)]
    perhaps = sa.and_(
        history.user_id.is_(None),
        sa.or_(
            *(
                text.like(unseen(f"%{_escaped(part)}%"), escape="!")
                for text in texts
                for part in (user_id, "\\")
            ),
            *(text.startswith(MARK) for text in texts),
        ),
    )
    query = (
        sa.select(history.id, body.history_id, body.image_sha256, body.event, body.raw)
        .add_columns(history.platform_id.label("platform"))
        .add_columns(sa.type_coerce(history.user_id, PrivateText).label("user"))
        .select_from(tables.history.outerjoin(tables.body))
        .where(history.session_key.is_(None), sa.or_(by_columns, perhaps))
        .order_by(history.id)
    )
    return [
        row for row in connection.execute(query) if row.user is not None or names(said(row), user)
    ]


def said(row: Any) -> str:
    """What the body of a row says; empty if there is none."""
    return readable(row.event) or readable(row.raw) or ""


def _escaped(text: str) -> str:
    """*text* as it is, in a pattern for LIKE."""
    return re.sub(r"([!%_])", r"!\1", text)


_PLATFORM: Final = re.compile(r'"platformId"\s*:\s*"((?:[^"\\]|\\.)*)"')
_BLANK: Final = str.maketrans("\b\f\n\r\t", "     ")  # as unescaped() writes their escapes


def names(text: str, user: UserKey) -> bool:
    """Whether the text of an event names this user, if it names no other platform.

    It may be no JSON, or cut off: so it is not parsed, but looked at with its escapes resolved.
    """
    platform_id, user_id = (one.translate(_BLANK) for one in user)
    whole = re.compile(rf"(?<![\w-]){re.escape(user_id)}(?![\w-])")
    named, platforms = False, set[str]()
    for reading in readings(text):
        plain = reading.translate(_BLANK)
        named = named or whole.search(plain) is not None
        platforms |= {unescaped(one) for one in _PLATFORM.findall(plain)}
    return named and (not platforms or platform_id in platforms)


def is_known(connection: sa.Connection, tables: Tables, user: UserKey) -> bool:
    """Whether there is a session of this user, or a stray."""
    session = tables.session.c
    theirs = sa.and_(session.platform_id == user[0], session.user_id == unseen(user[1]))
    found = connection.execute(sa.select(session.id).where(theirs).limit(1)).first()
    return found is not None or bool(strays_of(connection, tables, user))


# --- erasing -------------------------------------------------------------------------------------


def erase_bodies(connection: sa.Connection, tables: Tables, keys: Sequence[int]) -> None:
    """Delete these bodies, and leave their pictures to :func:`erase_pictures`."""
    body = tables.body
    for some in _chunks(keys):
        connection.execute(sa.delete(body).where(body.c.history_id.in_(some)))


def pictures_of(connection: sa.Connection, tables: Tables, pictures: Iterable[str | None]) -> int:
    """How many pictures nobody refers to, but those who refer to them here, once each time."""
    body = tables.body.c
    ours = Counter(filter(None, pictures))
    alone = 0
    for some in _chunks(sorted(ours)):
        query = (
            sa.select(body.image_sha256, sa.func.count())
            .where(body.image_sha256.in_(some))
            .group_by(body.image_sha256)
        )
        alone += sum(ours[sha256] == count for sha256, count in connection.execute(query))
    return alone


def erase_pictures(
    connection: sa.Connection, tables: Tables, pictures: Iterable[str | None]
) -> int:
    """Delete those of these pictures that nobody refers to any more; return how many."""
    image, body = tables.image, tables.body.c
    erased = 0
    for some in _chunks(sorted({sha256 for sha256 in pictures if sha256 is not None})):
        # A lock first: whoever is writing the same picture is waited for, and seen afterwards.
        these = image.c.sha256.in_(some)
        locked = sa.select(image.c.sha256).where(these).order_by(image.c.sha256)
        connection.execute(locked.with_for_update()).all()
        referred = sa.exists().where(body.image_sha256 == image.c.sha256)
        erased += connection.execute(sa.delete(image).where(these, ~referred)).rowcount
    return erased


def pictures_in(connection: sa.Connection, tables: Tables, keys: Sequence[int]) -> list[str | None]:
    """The keys of the pictures of these bodies."""
    body = tables.body.c
    found: list[str | None] = []
    for some in _chunks(keys):
        query = sa.select(body.image_sha256).where(body.history_id.in_(some))
        found += connection.execute(_latest(connection, query)).scalars()
    return found


def take_pictures(
    connection: sa.Connection, tables: Tables, keys: Sequence[int]
) -> list[str | None]:
    """Take the pictures from these bodies, and their digests; return the keys of the pictures.

    The bodies stay. The event then describes a picture without saying which.
    """
    body = tables.body
    found = pictures_in(connection, tables, keys)
    for some in _chunks(keys):
        stored = sa.type_coerce(body.c.event, PrivateText).label("stored")
        events = sa.select(body.c.history_id, body.c.event, stored)
        rows = connection.execute(events.where(body.c.history_id.in_(some))).all()
        update = (
            sa.update(body)
            .where(body.c.history_id == sa.bindparam("key"))
            .values(event=sa.bindparam("without"), image_sha256=None)
        )
        values = [
            {
                "key": key,
                # What has no key any more stays as it is: nobody reads a digest in it.
                "without": stored if event is None else _without_picture(event, tables.sealing),
            }
            for key, event, stored in rows
        ]
        if values:
            connection.execute(update, values)
    return found


def _without_picture(text: str, sealing: Sealing | None) -> str | None:
    readable(text)
    with suppress(StoreError):  # what is no JSON describes nothing
        event = json_of(text)
        text = dump({**event, "image": {**event["image"], "sha256": None}})
    return text if sealing is None else sealing.text(text)


def erase_sessions(
    connection: sa.Connection,
    tables: Tables,
    sessions: Iterable[tuple[int, ChatSession]],
    users: Mapping[UserKey, str],
) -> None:
    """Give these sessions random ids, and take the names from them.

    *sessions* are all of *users*, as :func:`sessions_of` has found them; *users* has the new ids.
    """
    session = tables.session
    rows = list(sessions)
    anew = {one.session_id: str(uuid.uuid4()) for _, one in rows}
    new = {"user_id": "new_user", "session_id": "new_id", "previous_session_id": "new_previous"}
    update = (
        sa.update(session)
        .where(session.c.id == sa.bindparam("key"))
        .values({name: sa.bindparam(bound) for name, bound in new.items()} | _nameless(tables))
    )
    values = [
        {
            "key": key,
            "new_user": users[one.key],
            "new_id": anew[one.session_id],
            "new_previous": anew.get(one.previous_session_id or ""),
        }
        for key, one in rows
    ]
    if values:
        connection.execute(update, values)


def new_user_id() -> str:
    """A random id, by which nobody can be found again."""
    return f"erased-{uuid.uuid4()}"


def _nameless(tables: Tables) -> dict[str, Any]:
    columns = tables.session.c
    return {one.name: None for one in columns if isinstance(one.type, PrivateText)}


def erase_names(connection: sa.Connection, tables: Tables, sessions: Sequence[int]) -> None:
    """Take the names of agents and flows from these sessions."""
    session = tables.session
    for some in _chunks(sessions):
        update = sa.update(session).where(session.c.id.in_(some))
        connection.execute(update.values(_nameless(tables)))


def erase_strays(
    connection: sa.Connection, tables: Tables, strays: Sequence[Any], user_id: str | None
) -> None:
    """Take reason and user from these strays, and their bodies; *user_id* is the new one."""
    history = tables.history
    for some in _chunks([row.id for row in strays]):
        connection.execute(sa.update(history).where(history.c.id.in_(some)).values(reason=None))
        connection.execute(
            sa.update(history)
            .where(history.c.id.in_(some), history.c.user_id.is_not(None))
            .values(user_id=user_id)
        )
    erase_bodies(connection, tables, [row.history_id for row in strays if row.history_id])


def note_erasure(connection: sa.Connection, tables: Tables, amount: Amount, **facts: Any) -> int:
    """Write what was erased into the table of erasures; return the key of the row."""
    counted = {
        "persons": amount.persons,
        "sessions": amount.sessions,
        "row_count": amount.rows,
        "bodies": amount.bodies,
        "pictures": amount.pictures,
        "strays": amount.strays,
    }
    insert = sa.insert(tables.erasure).values(**facts, **counted)
    (key,) = connection.execute(insert).inserted_primary_key or (0,)
    return int(key)
