"""The implementation against a naive model that was written from DESIGN.md alone.

The model keeps lists and recomputes everything; the engine runs on a real database, each of them
and through both doors. After every step the status, the history and the strays must be the same.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sermo_fsm import ChatEngine, ChatSession, HistoryRow, Policy
from tests.databases import empty
from tests.doors import fewer, open_door
from tests.naive_model import NaiveChats

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNLOAD_GRACE = timedelta(seconds=60)
LINGER = timedelta(seconds=300)
PLATFORM = "web"
USERS = ("anna", "bo")

INBOUND: tuple[dict[str, Any], ...] = (
    {"type": "text", "text": "Hej"},
    {"type": "heartbeat"},
    {"type": "typing", "text": "He"},
    {"type": "typing_on"},
    {"type": "messages_read"},
    {"type": "client_left"},
    {"type": "client_closed"},
    {"type": "client_unload"},
    {"type": "start", "params": {"page": "/faktura"}},
    {"type": "postback", "text": "Ja", "payload": "yes"},
    {"type": "weather"},
)
OUTBOUND: tuple[dict[str, Any], ...] = (
    {"type": "text", "text": "Hej", "agent": {"id": "bot"}},
    {"type": "text", "text": "Hej", "agent": {"id": "anan01", "name": "Anders", "type": "human"}},
    {"type": "text", "text": "Hej", "agent": {"id": "bebe02"}},
    {"type": "text", "text": "Hej"},
    {"type": "system_text", "text": "kö"},
    {"type": "typing_on"},
    {"type": "typing_off"},
    {"type": "queue_number", "queueNumber": 3},
    {"type": "queue_number", "queueNumber": 0},
    {"type": "agent_done"},
    {"type": "platform_closed"},
    {"type": "handover_to_bot", "flowGroupId": "end"},
    {"type": "handover_to_bot"},
    {"type": "handover_to_agent"},
    {"type": "handover_to", "agent": {"id": "bot"}},
    {"type": "handover_to"},
    {"type": "info", "text": "kö"},
    {"type": "web_url", "url": "https://example.com", "agent": {"id": "bot"}},
    {"type": "carousel", "cards": [], "agent": {"id": "cece03", "name": "Cecilia"}},
    {"type": "image", "imageUrl": "https://example.com/a.png"},
    {"type": "handover_to_queue", "queueId": "faktura"},
    {"type": "transfer_to_agent_application", "toAgentApplication": "avaya"},
    {"type": "claim_session", "agentId": "dada04"},
    {"type": "end_session", "reasonText": "klart"},
    {"type": "application_heartbeat", "available": True},
    {"type": "heartbeat"},
)
EVENTS = st.one_of(
    st.tuples(st.just("inbound"), st.sampled_from(INBOUND)),
    st.tuples(st.just("outbound"), st.sampled_from(OUTBOUND)),
    st.tuples(st.just("internal"), st.sampled_from(OUTBOUND)),
)
# Where the rules change: a step lands before, on and behind every edge.
STEPS = (0, 0, 1, 1, 5, 30, 59, 60, 61, 119, 120, 299, 300, 301, 700)


IDLE_TIMEOUTS: Final = (timedelta(seconds=120), None)


def durations(idle: timedelta | None) -> dict[str, Any]:
    return {"unload_grace": UNLOAD_GRACE, "idle_timeout": idle, "linger": LINGER}


class Chats(RuleBasedStateMachine):
    """Anything may be handed in, in any order and at any time, twice, and swept or not."""

    engines: Mapping[timedelta | None, ChatEngine]
    """One for each policy, for all examples: a database for each would take too long."""
    database: sa.Engine

    def __init__(self) -> None:
        super().__init__()
        with self.database.begin() as connection:
            empty(connection)

    @initialize(idle=st.sampled_from(IDLE_TIMEOUTS))
    def begin(self, idle: timedelta | None) -> None:
        self.engine = self.engines[idle]
        self.model = NaiveChats(**durations(idle))
        self.now = START
        self.next_id = 0
        self.sent: list[tuple[str, dict[str, Any], datetime, str | None]] = []

    def hand_in(
        self, direction: str, event: dict[str, Any], at: datetime, message_id: str | None
    ) -> None:
        expected = self.model.handle(direction, dict(event), at, message_id)
        envelope: dict[str, Any] = {
            "direction": direction,
            "event": event,
            "receivedAt": at.isoformat(),
        }
        if message_id is not None:
            envelope["messageId"] = message_id
        (receipt,) = self.engine.handle_many([envelope])
        if expected["outcome"] in ("duplicate", "conflict"):
            owner = expected["owner"]
        else:
            owner = receipt.after.ordinal if receipt.after else None
        actual = {"outcome": receipt.outcome, "owner": owner, "rows": len(receipt.rows)}
        assert expected == actual
        self.touched = event["userId"]

    @rule(
        direction_and_event=EVENTS,
        user=st.sampled_from(USERS),
        step=st.sampled_from(STEPS),
        back=st.sampled_from((0, 0, 0, 0, 1, 20, 100, 400)),
        with_id=st.booleans(),
    )
    def event(
        self,
        direction_and_event: tuple[str, dict[str, Any]],
        user: str,
        step: int,
        back: int,
        with_id: bool,  # noqa: FBT001 - hypothesis calls it by name
    ) -> None:
        direction, event = direction_and_event
        self.now += timedelta(seconds=step)
        at = self.now - timedelta(seconds=back)
        message_id = None
        if with_id:
            self.next_id += 1
            message_id = f"m-{self.next_id}"
        event = {**event, "platformId": PLATFORM, "userId": user}
        self.sent.append((direction, event, at, message_id))
        self.hand_in(direction, event, at, message_id)

    @rule(
        direction_and_event=EVENTS,
        user=st.sampled_from(USERS),
        edge=st.sampled_from(("expiresAt", "closedAt", "openedAt", "linger", "lastCustomerTextAt")),
        off=st.sampled_from((0, 0, -1, 1)),
    )
    def event_at_an_edge(
        self, direction_and_event: tuple[str, dict[str, Any]], user: str, edge: str, off: int
    ) -> None:
        status = self.model.status(PLATFORM, user)
        if status is None:
            return
        moment = status["closedAt" if edge == "linger" else edge]
        if moment is None:
            return
        at = moment + (LINGER if edge == "linger" else timedelta()) + timedelta(seconds=off)
        direction, event = direction_and_event
        event = {**event, "platformId": PLATFORM, "userId": user}
        self.now = max(self.now, at)
        self.sent.append((direction, event, at, None))
        self.hand_in(direction, event, at, None)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def once_more(self, data: st.DataObject) -> None:
        self.hand_in(*data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), event=st.sampled_from(OUTBOUND))
    def another_under_the_same_id(self, data: st.DataObject, event: dict[str, Any]) -> None:
        direction, old, at, message_id = data.draw(st.sampled_from(self.sent))
        if direction != "inbound":
            event = {**event, "platformId": PLATFORM, "userId": old["userId"]}
            self.hand_in(direction, event, at, message_id)

    @rule(ahead=st.sampled_from((0, 0, 60, 300)))
    def sweep(self, ahead: int) -> None:
        up_to = self.now + timedelta(seconds=ahead)
        assert self.model.sweep(up_to) == len(self.engine.sweep(up_to))

    @rule(user=st.sampled_from(USERS))
    def close(self, user: str) -> None:
        status = self.model.status(PLATFORM, user)
        at = self.now
        if status is not None:
            rows = self.model.history(PLATFORM, user, status["ordinal"])
            at = max(at, rows[-1]["effectiveAt"])
        expected = self.model.close(PLATFORM, user, at)
        receipt = self.engine.close_chat(PLATFORM, user, reason="stuck", at=at)
        closed = receipt and receipt.after
        assert expected == (closed and closed.ordinal)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "engine"):
            return
        for user in USERS:
            session = self.engine.status(PLATFORM, user)
            expected = self.model.status(PLATFORM, user)
            assert expected == (None if session is None else _status(session))
            for one in self.engine.sessions(user=user):
                assert self.model.session(PLATFORM, user, one.ordinal) == _status(one)
                rows = [_row(row) for row in self.engine.history(one.session_id)]
                assert self.model.history(PLATFORM, user, one.ordinal) == rows
        strays = [_row(row) for row in self.engine.strays()]
        keys = ("direction", "type", "trigger", "outcome", "receivedAt", "messageId")
        assert self.model.strays() == [{key: row[key] for key in keys} for row in strays]
        assert self.engine.verify().ok


_STATUS_TIMES = (
    *("since", "openedAt", "closedAt", "queuedAt", "platformClosedAt", "lastSeenAt", "lastReadAt"),
    *("customerTypedAt", "lastCustomerTextAt", "lastReplyAt", "agentTypingSince", "expiresAt"),
)


def _times(view: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    times = {name: view[name] and datetime.fromisoformat(view[name]) for name in names}
    return {**view, **times}


def _status(session: ChatSession) -> dict[str, Any]:
    view = _times(session.as_dict(), _STATUS_TIMES)
    del view["sessionId"], view["previousSessionId"]
    view["previousOrdinal"] = session.ordinal - 1 if session.previous_session_id else None
    return view


def _row(row: HistoryRow) -> dict[str, Any]:
    view = _times(row.as_dict(), ("receivedAt", "effectiveAt", "at", "lastSeenAt"))
    del view["event"]
    return view


def test_it_is_as_the_model_says(door: str, door_url: sa.URL, database: sa.Engine) -> None:
    with ExitStack() as open_ones:
        open_engines = {
            idle: open_ones.enter_context(
                open_door(door, door_url, policy=Policy(**durations(idle)))
            )
            for idle in IDLE_TIMEOUTS
        }

        class ChatsHere(Chats):
            engines = open_engines

        ChatsHere.database = database
        run_state_machine_as_test(
            ChatsHere, settings=settings(fewer(door, 0.4), stateful_step_count=40)
        )
