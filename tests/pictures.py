"""What the tests of pictures share: chats of the examples, chats made by dice, traffic by hand."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sermo_fsm import ChatEngine, ChatSession, Durations, HistoryRow
from sermo_fsm.core.advance import NO_VISITS, Visits, advance, expire
from sermo_fsm.picture.drawing import Arrow, Drawing
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.wire import decode
from sermo_fsm.views.chat_path import ChatPath, path_from_rows
from sermo_fsm.views.traffic import Traffic, Way
from tests.storage.test_model import INBOUND, OUTBOUND
from tests.support import EXAMPLES

EXPECTED: dict[str, dict[str, Any]] = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY = (
    'a"b',
    "a#35;b#quot;",
    "a;b",
    "a\nb\r\nc",
    "<b>x</b><br/>",
    "</TD></TABLE>>]; x -> y",
    "&lt;&amp;&#10;",
    "%%{init: {}}%%",
    "`tick` $math$ **bold** \\N\\l\\",
    "end",
    "|pipe| [box] {brace} (round)",
    '"]:::x\nclick open "javascript:alert(1)"',
    "\x00\x1b[31m\x7f\x9b\ufffe",
    "\u202eltr\u2066\u200b\ufeff",
    "\ud800",
    "漢字 åäö 🙂",
    "x" * 255,
    " ",
    "graph TB; A-->B",
    "_slanted_ __bold__ 1. one",
    "style.fill:red,color:red",
    "---\ntitle: x\n---",
)
"""Ids that want to be more than words."""


def example_walks() -> Iterator[tuple[str, ChatPath]]:
    """Every chat of the examples."""
    for name, about in EXPECTED.items():
        with ChatEngine("sqlite://") as engine:
            engine.migrate()
            engine.handle_many((EXAMPLES / name).read_bytes().splitlines())
            if about["sweepUpTo"]:
                engine.sweep(datetime.fromisoformat(about["sweepUpTo"]))
            for session in list(engine.sessions()):
                yield name, path_from_rows(session, engine.history(session.session_id))


def random_chats(seed: int, events: int = 30) -> list[tuple[ChatSession, list[HistoryRow]]]:
    """All chats of a user who is thrown about by dice."""
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    durations = Durations(
        unload_grace=timedelta(seconds=60),
        idle_timeout=timedelta(seconds=300),
        linger=timedelta(seconds=300),
    )
    visits, now = NO_VISITS, START
    sessions: dict[int, ChatSession] = {}
    rows: dict[int, list[HistoryRow]] = {}
    for _ in range(events):
        now += timedelta(seconds=dice.choice((0, 1, 5, 20, 61, 299, 400)))
        if dice.random() < 0.1 and visits.live and (visits.live.expires_at or now) < now:
            closed, row = expire(visits.live)
            visits, new = Visits(None, closed), [row]
        else:
            queue = dice.choice((Direction.INBOUND, Direction.OUTBOUND))
            wire = dice.choice(INBOUND if queue is Direction.INBOUND else OUTBOUND)
            event = {**wire, "platformId": "web", "userId": "anna"}
            step = advance(visits, decode(queue, event, received_at=now), durations)
            visits, new = step.visits, [*step.rows]
        for session in (visits.closed, visits.live):
            if session is not None:
                sessions[session.ordinal] = session
        for row in new:
            if row.ordinal is not None:
                rows.setdefault(row.ordinal, []).append(row)
    return [(session, rows[ordinal]) for ordinal, session in sorted(sessions.items())]


def counted(chats: Sequence[tuple[ChatSession, Sequence[HistoryRow]]]) -> Traffic:
    """The traffic of these chats, counted as anybody would."""
    ways: Counter[Way] = Counter()
    lengths = defaultdict(list)
    for session, rows in chats:
        for row in rows:
            assert row.to_state is not None
            assert row.trigger is not None
            way = (row.from_state, row.to_state, row.trigger)
            ways[way] += 1
        stays = path_from_rows(session, rows).stays(session.effective_at)
        for state, length in stays[:-1]:
            lengths[state].append(length)
    return Traffic(
        rows=sum(ways.values()),
        sessions=len(chats),
        ways=ways,
        stays={state: len(found) for state, found in lengths.items()},
        medians={state: sorted(found)[(len(found) - 1) // 2] for state, found in lengths.items()},
        p90s={state: sorted(found)[-(len(found) // 10) - 1] for state, found in lengths.items()},
        still_there=Counter(session.state for session, _ in chats if session.live),
        first_at=min((rows[0].effective_at for _, rows in chats), default=None),
        last_at=max((rows[-1].effective_at for _, rows in chats), default=None),
    )


def the_arrow(drawing: Drawing, name: str) -> Arrow:
    """The one with this id."""
    (found,) = (arrow for arrow in drawing.arrows if arrow.id == name)
    return found
