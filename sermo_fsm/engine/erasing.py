"""Erasing one person, and holding somebody back, inside somebody's transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import sqlalchemy as sa
from attrs import asdict, evolve, field, frozen

from sermo_fsm.core.advance import close, expire
from sermo_fsm.core.erasure import Amount, Erasure, Hold
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine.batch import numbered
from sermo_fsm.engine.operations import Write
from sermo_fsm.errors import ChatStillLive, PersonHeld
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.storage import erasing, holding
from sermo_fsm.storage.arguments import check_given_id, check_id
from sermo_fsm.storage.pages import Read
from sermo_fsm.storage.schema import Tables
from sermo_fsm.storage.store import Pending, Store

__all__ = ["erase", "hold", "holds", "release"]

_CLOSED_FOR: Final = "erased"
"""The reason code of a live chat that is closed because its customer is erased."""


@frozen(kw_only=True)
class _Order:
    """What is to be done to whom, and what was said about it."""

    user: UserKey = field(repr=False)
    reason: str | None
    by: str | None
    even_live: bool
    dry_run: bool


def erase(
    store: Store,
    user: UserKey,
    *,
    reason: str | None,
    by: str | None,
    even_live: bool,
    dry_run: bool,
) -> Write[Erasure | None]:
    """Erase one person; None if there is nobody.

    Raises:
        InvalidArgument: An argument is unusable.
    """
    _check_user(user)
    check_id("reason", reason)
    check_id("by", by)
    order = _Order(user=user, reason=reason, by=by, even_live=even_live, dry_run=dry_run)
    return partial(_erase, store, order)


def _erase(
    store: Store, order: _Order, connection: sa.Connection
) -> tuple[Erasure | None, Sequence[HistoryRow]]:
    tables, user, now = store.tables, order.user, datetime.now(UTC)
    erasing.overwriting(connection)
    store.sql.lock(connection, [user])
    held = holding.hold_of(connection, tables, user)
    if held is not None:
        raise PersonHeld(held.since, held.reason, held.by)
    sessions = erasing.sessions_of(connection, tables, [user])
    live = next((one for one in sessions if one[1].live), None)
    if live is not None and not order.even_live and live[1].live_at(now):
        raise ChatStillLive(live[1].expires_at)
    holds = holding.holds(connection, tables)
    strays = [
        stray
        for stray in erasing.strays_of(connection, tables, user)
        if not holding.held_in(stray, erasing.said(stray), holds)
    ]
    if not sessions and not strays:
        return None, ()
    bodies = erasing.body_keys(connection, tables, [key for key, _ in sessions])
    # Those of the strays go with the strays.
    pictures = [picture for _, picture in bodies] + [stray.image_sha256 for stray in strays]
    amount = Amount(
        persons=1,
        sessions=len(sessions),
        rows=sum(one.rows for _, one in sessions) + (live is not None),
        bodies=len(bodies) + sum(stray.history_id is not None for stray in strays),
        pictures=erasing.pictures_of(connection, tables, pictures),
        strays=len(strays),
    )
    closed = live is not None
    if order.dry_run:
        return _receipt(order, amount, now, closed=closed), ()
    erasing.erase_bodies(connection, tables, [key for key, _ in bodies])
    rows = () if live is None else _close(store, *live, now, connection)
    anonymous = erasing.new_user_id()
    erasing.erase_sessions(connection, tables, sessions, {user: anonymous})
    erasing.erase_strays(connection, tables, strays, anonymous)
    amount = evolve(amount, pictures=erasing.erase_pictures(connection, tables, pictures))
    key = erasing.note_erasure(
        connection,
        tables,
        amount,
        erased_at=now,
        what="person",
        platform_id=user[0],
        user_id=anonymous,
        reason=order.reason,
        erased_by=order.by,
    )
    receipt = _receipt(order, amount, now, closed=closed, user_id=anonymous, key=key)
    return receipt, rows


def _receipt(
    order: _Order,
    amount: Amount,
    now: datetime,
    *,
    closed: bool,
    user_id: str | None = None,
    key: int | None = None,
) -> Erasure:
    return Erasure(
        id=key,
        erased_at=now,
        platform_id=order.user[0],
        user_id=user_id,
        reason=order.reason,
        by=order.by,
        closed=closed,
        **asdict(amount),
    )


def _close(
    store: Store, key: int, live: ChatSession, now: datetime, connection: sa.Connection
) -> Sequence[HistoryRow]:
    """Close *live*: by the clock if its deadline is past, else by hand."""
    if live.live_at(now):
        closed, row = close(live, max(now, live.effective_at), _CLOSED_FOR)
    else:
        closed, row = expire(live)
    pending = Pending()
    pending.keep(closed)
    pending.add(row)
    stored = {live.session_id: (key, live, live.expires_at)}
    return numbered(pending, store.write(connection, pending, stored))


# --- holding back --------------------------------------------------------------------------------


def hold(store: Store, user: UserKey, *, reason: str, by: str | None) -> Write[Hold | None]:
    """Hold somebody back; None if there is nobody.

    Raises:
        InvalidArgument: An argument is unusable.
    """
    _check_user(user)
    check_given_id("reason", reason)
    check_id("by", by)
    platform_id, user_id = user
    wanted = Hold(
        platform_id=platform_id, user_id=user_id, since=datetime.now(UTC), reason=reason, by=by
    )
    return partial(_hold, store, wanted)


def _hold(
    store: Store, wanted: Hold, connection: sa.Connection
) -> tuple[Hold | None, Sequence[HistoryRow]]:
    tables, user = store.tables, (wanted.platform_id, wanted.user_id)
    store.sql.lock(connection, [user])
    there = holding.hold_of(connection, tables, user)
    if there is not None:
        return there, ()
    if not erasing.is_known(connection, tables, user):
        return None, ()
    holding.add_hold(connection, tables, wanted)
    return wanted, ()


def release(store: Store, user: UserKey) -> Write[Hold | None]:
    """Hold somebody back no longer; None if nobody was held.

    Raises:
        InvalidArgument: An id is unusable.
    """
    _check_user(user)
    return partial(_release, store, user)


def _release(
    store: Store, user: UserKey, connection: sa.Connection
) -> tuple[Hold | None, Sequence[HistoryRow]]:
    erasing.overwriting(connection)
    store.sql.lock(connection, [user])
    there = holding.hold_of(connection, store.tables, user)
    if there is not None:
        holding.end_hold(connection, store.tables, user)
    return there, ()


def holds(tables: Tables) -> Read[list[Hold]]:
    """Everybody who is held back."""
    return partial(holding.holds, tables=tables)


def _check_user(user: UserKey) -> None:
    check_given_id("platform_id", user[0])
    check_given_id("user_id", user[1])
