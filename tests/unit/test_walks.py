"""Many more random chats than a database has time for: ``advance`` against the naive model."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sermo_fsm import Durations
from sermo_fsm.core.advance import NO_VISITS, Visits, advance, expire
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.wire import decode
from sermo_fsm.views.json_views import row_view, session_view, time_view
from tests.naive_model import NaiveChats
from tests.storage.test_model import INBOUND, OUTBOUND

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINGER = timedelta(seconds=300)
STEPS = (0, 0, 1, 5, 30, 59, 60, 61, 119, 120, 299, 300, 301, 700)
WALKS = 300
EVENTS_IN_A_WALK = 30


def one_walk(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    durations: dict[str, Any] = {
        "unload_grace": timedelta(seconds=60),
        "idle_timeout": dice.choice((timedelta(seconds=120), timedelta(seconds=120), None)),
        "linger": LINGER,
    }
    model, policy = NaiveChats(**durations), Durations(**durations)
    visits, rows, now = NO_VISITS, 0, START
    log: list[tuple[str, dict[str, Any], datetime]] = []
    for _ in range(EVENTS_IN_A_WALK):
        now += timedelta(seconds=dice.choice(STEPS))
        if dice.random() < 0.1:
            closed = model.sweep(now)
            visits, swept = _sweep(visits, now)
            assert closed == swept, (seed, log)
            rows += swept
            continue
        at = _moment(dice, now, visits)
        direction = dice.choice((Direction.INBOUND, Direction.OUTBOUND))
        wire = dice.choice(INBOUND if direction is Direction.INBOUND else OUTBOUND)
        event = {**wire, "platformId": "web", "userId": "anna"}
        log.append((direction.value, wire, at))
        expected = model.handle(direction, event, at)
        step = advance(visits, decode(direction, event, received_at=at), policy)
        visits = step.visits
        rows += len(step.rows)
        owner = step.after.ordinal if step.after else None
        actual = {"outcome": step.outcome, "owner": owner, "rows": len(step.rows)}
        assert expected == actual, (seed, log)
        for row in step.rows:
            if row.ordinal is not None and row.seq is not None:
                theirs = model.history("web", "anna", row.ordinal)[row.seq - 1]
                assert _plain(theirs) == {**row_view(row), "event": None}, (seed, log)
        for session in (visits.live, visits.closed):
            if session is not None:
                theirs = _plain(model.session("web", "anna", session.ordinal))
                ours = session_view(session)
                assert theirs == {key: ours[key] for key in theirs}, (seed, log)


def _moment(dice: random.Random, now: datetime, visits: Visits) -> datetime:
    """Now or a little earlier; one time in three at an edge of the rules."""
    edges = []
    for session in (visits.live, visits.closed):
        if session is not None:
            edges += [session.opened_at, session.expires_at, session.customer_text_at]
            edges += [session.closed_at, session.closed_at and session.closed_at + LINGER]
    known = [edge for edge in edges if edge is not None]
    if known and dice.random() < 0.35:
        return dice.choice(known) + timedelta(seconds=dice.choice((0, 0, -1, 1)))
    return now - timedelta(seconds=dice.choice((0, 0, 0, 1, 20, 100, 400)))


def _sweep(visits: Visits, up_to: datetime) -> tuple[Visits, int]:
    live = visits.live
    if live is None or live.expires_at is None or live.expires_at > up_to:
        return visits, 0
    return Visits(None, expire(live)[0]), 1


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    view = {
        key: time_view(value) if isinstance(value, datetime) else value
        for key, value in view.items()
        if key != "previousOrdinal"
    }
    return {**view, "event": None} if "seq" in view else view


@pytest.mark.prove
@pytest.mark.parametrize("block", range(5))
def test_a_random_walk_ends_where_the_model_ends(block: int) -> None:
    for seed in range(block * WALKS, (block + 1) * WALKS):
        one_walk(seed)
