"""Read all that is stored about one person, to hand it over.

A stray that could not be read has no columns that say whose it is. It is the person's if its text
names the user as an event does; one that only mentions the id may be somebody else's. What names
another user, too, is there without its text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from msgspec.structs import replace

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.protocol.stored_form import readings
from sermo_fsm.storage.arguments import check_given_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.queries import with_bodies
from sermo_fsm.storage.rows import row_of, session_of
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.sealing import opened_picture
from sermo_fsm.storage.transactions import streamed
from sermo_fsm.views.person import Person, PersonChat, Picture

__all__ = ["person", "picture"]

_Found = tuple[HistoryRow, Picture | None]


def person(tables: Tables, platform_id: str, user_id: str) -> Read[Person | None]:
    """All about one user; None if nothing is stored."""
    check_given_id("platform_id", platform_id)
    check_given_id("user_id", user_id)
    return partial(_person, tables=tables, platform_id=platform_id, user_id=user_id)


def _person(
    connection: sa.Connection, tables: Tables, platform_id: str, user_id: str
) -> Person | None:
    session = tables.session
    theirs = sa.and_(session.c.platform_id == platform_id, session.c.user_id == user_id)
    query = sa.select(session).where(theirs).order_by(session.c.ordinal)
    sessions = [session_of(row)[1] for row in connection.execute(query)]
    rows = _with_pictures(tables).where(theirs).order_by(session.c.ordinal, tables.history.c.seq)
    found = [_read(row) for row in connection.execute(rows).mappings()]
    by_session = {
        ordinal: tuple(row for row, _ in some)
        for ordinal, some in groupby(found, key=lambda one: one[0].ordinal)
    }
    strays = list(_strays(connection, tables, platform_id, user_id))
    if not sessions and not strays:
        return None
    return Person(
        platform_id,
        user_id,
        tuple(PersonChat(one, by_session.get(one.ordinal, ())) for one in sessions),
        tuple(row for row, _ in strays),
        tuple(picture for _, picture in [*found, *strays] if picture is not None),
    )


def _with_pictures(tables: Tables) -> sa.Select[Any]:
    body, image = tables.body.c, tables.image.c
    media_type = sa.select(image.media_type).where(image.sha256 == body.image_sha256)
    return with_bodies(tables).add_columns(
        body.image_sha256, media_type.scalar_subquery().label("media_type")
    )


def _read(row: sa.RowMapping) -> _Found:
    found, key = row_of(row), row["image_sha256"]
    return found, None if key is None else Picture(row["id"], key, row["media_type"])


def _strays(
    connection: sa.Connection, tables: Tables, platform_id: str, user_id: str
) -> Iterator[_Found]:
    history = tables.history.c
    perhaps = (
        sa.and_(
            history.user_id == user_id,
            sa.or_(history.platform_id == platform_id, history.platform_id.is_(None)),
        ),
        history.user_id.is_(None),
    )
    query = (
        _with_pictures(tables)
        .where(history.session_key.is_(None), sa.or_(*perhaps))
        .order_by(history.id)
        .execution_options(yield_per=_AT_ONCE)
    )
    with streamed(connection, query) as rows:
        for row in rows.mappings():
            found, picture = _read(row)
            if row["user_id"] is not None:
                yield found, picture
            elif _names(found, (platform_id, user_id)):
                others = _users(found) - {user_id}
                yield (replace(found, event=None, raw=None) if others else found), picture


_AT_ONCE: Final = 100


def _names(row: HistoryRow, user: UserKey) -> bool:
    """Whether a row that no column gives to anybody is about this user."""
    return _in_value(row.raw if row.event is None else row.event, user)


def _in_value(value: object, user: UserKey) -> bool:
    """Whether an event that names this user is in what was read, or in a text in it."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return _in_value(json.loads(value), user)
        return _in_text(value, user)
    if isinstance(value, list):
        return any(_in_value(one, user) for one in value)
    if not isinstance(value, Mapping):
        return False
    platform_id, user_id = user
    if value.get("userId") == user_id and value.get("platformId") in (None, platform_id):
        return True
    # An envelope says the platform of its event, which may be a text.
    inner = value.get("event")
    return value.get("platformId") in (None, platform_id) and _in_value(inner, user)


def _in_text(text: str, user: UserKey) -> bool:
    """The same of JSON that is broken, or broken JSON in it: by the strings behind the names."""
    platform_id, user_id = user
    for reading in readings(text):
        if users := _strings(_USER, reading):
            platforms = _strings(_PLATFORM, reading)
            return user_id in users and (not platforms or platform_id in platforms)
    return False


def _users(row: HistoryRow) -> set[str]:
    """All whom the text of a row names, perhaps in several events, as an event does."""
    text = (row.raw or "") if row.event is None else json.dumps(row.event)
    return set().union(*(_strings(_USER, reading) for reading in readings(text)))


_STRING: Final = r'\s*:\s*("(?:[^"\\]|\\.)*")'
_USER: Final = re.compile('"userId"' + _STRING)
_PLATFORM: Final = re.compile('"platformId"' + _STRING)


def _strings(pattern: re.Pattern[str], text: str) -> set[str]:
    found: set[str] = set()
    for written in pattern.findall(text):
        with suppress(ValueError):
            found.add(json.loads(written))
    return found


def picture(tables: Tables, key: str) -> Read[bytes | None]:
    """The content of a picture; None if it is not there, or its key was destroyed."""
    check_given_id("key", key)
    image = tables.image.c

    def read(connection: sa.Connection) -> bytes | None:
        content = connection.execute(
            sa.select(image.content).where(image.sha256 == key)
        ).scalar_one_or_none()
        return None if content is None else opened_picture(key, bytes(content), tables.sealing)

    return read
