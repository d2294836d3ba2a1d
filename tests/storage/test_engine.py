"""``ChatEngine`` on every database, through both doors: receipts, message ids, batches, sweeping.

Long, because the topics belong together: what becomes of an event that is handed in.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import (
    ChatEngine,
    CustomerText,
    Durations,
    Envelope,
    InvalidArgument,
    InvalidEvent,
    Limits,
    MessageConflict,
    Outcome,
    Policy,
    Reply,
    State,
)
from sermo_fsm.core.advance import expire
from tests.databases import dump
from tests.doors import each_signature, host_transaction, open_door
from tests.support import ANDERS, BOT, PLATFORM, START, USER, at, envelope, event, text

PNG = "data:image/png;base64,iVBORw0KGgo="


class TestHandle:
    def test_a_receipt_tells_what_happened(self, chats: ChatEngine) -> None:
        receipt = chats.handle("inbound", text(), received_at=at(0), message_id="m-1")

        assert receipt.outcome is Outcome.MOVED
        assert receipt.before is None
        assert receipt.after == chats.status(PLATFORM, USER)
        assert receipt.changed
        (row,) = receipt.rows
        assert (row.seq, row.from_state, row.to_state) == (1, None, State.BOT)
        assert list(chats.history(row.session_id or "")) == [row]

    def test_a_deadline_that_came_first_is_a_row_of_its_own(self, chats: ChatEngine) -> None:
        first = chats.handle("inbound", text(), received_at=at(0)).after
        receipt = chats.handle("inbound", text(), received_at=at(1800), message_id="late")

        expired, opened = receipt.rows
        assert (expired.seq, expired.reason, expired.received_at) == (2, "idle", None)
        assert expired.effective_at == at(1800)
        assert (opened.ordinal, opened.seq) == (2, 1)
        assert receipt.before is None
        assert receipt.after is not None
        assert receipt.after.resumed
        assert receipt.after.previous_session_id == first.session_id  # type: ignore[union-attr]  # it opened

    @pytest.mark.parametrize(
        "raw",
        [
            json.dumps(text()).encode(),
            json.dumps(text()),
            bytearray(json.dumps(text()).encode()),
            memoryview(json.dumps(text()).encode()),
            text(),
            CustomerText(platform_id=PLATFORM, user_id=USER, text="Hej!"),
        ],
        ids=lambda raw: type(raw).__name__,
    )
    def test_takes_an_event_in_every_form(self, chats: ChatEngine, raw: Any) -> None:
        receipt = chats.handle("inbound", raw, received_at=at(0))

        assert receipt.rows[0].event == text()

    @each_signature
    def test_an_event_on_the_wrong_queue_is_the_callers_mistake(self, chats: ChatEngine) -> None:
        reply = Reply(platform_id=PLATFORM, user_id=USER, text="Hej!")

        with pytest.raises(InvalidArgument, match="Reply on inbound"):
            chats.handle("inbound", reply)

    @each_signature
    @pytest.mark.parametrize(
        ("wrong", "argument"),
        [
            ({"direction": "sideways"}, "direction"),
            ({"direction": "timer"}, "direction"),
            ({"message_id": ""}, "message_id"),
            ({"message_id": "x" * 256}, "message_id"),
            ({"message_id": 5}, "message_id"),
            ({"received_at": datetime(2026, 1, 1)}, "received_at"),  # noqa: DTZ001 - naive
            ({"received_at": "2026-01-01T00:00:00Z"}, "received_at"),
            ({"platform_id": ""}, "platform_id"),
        ],
        ids=str,
    )
    def test_an_unusable_argument_is_refused_and_nothing_is_written(
        self, chats: ChatEngine, database: sa.Engine, wrong: dict[str, Any], argument: str
    ) -> None:
        arguments = {"direction": "inbound", "event": text(), **wrong}

        with pytest.raises(InvalidArgument) as caught:
            chats.handle(**arguments)

        assert caught.value.argument == argument
        assert not dump(database)["sermo_history"]

    def test_without_a_receive_time_it_is_received_now(self, chats: ChatEngine) -> None:
        before = datetime.now(START.tzinfo)
        receipt = chats.handle("inbound", text())

        assert before <= receipt.rows[0].effective_at <= datetime.now(START.tzinfo)

    def test_the_default_platform_stands_in(self, chats: ChatEngine) -> None:
        bare = {"type": "text", "userId": USER, "text": "Hej!"}
        receipt = chats.handle("inbound", bare, platform_id="messenger", received_at=at(0))

        assert chats.status("messenger", USER) == receipt.after
        assert receipt.rows[0].event == {**bare, "platformId": "messenger"}

    def test_internal_rows_say_so_and_have_ids_of_their_own(self, chats: ChatEngine) -> None:
        chats.handle("outbound", text(agent=BOT), received_at=at(0), message_id="m-1")
        receipt = chats.handle(
            "internal", event("handover_to_agent"), received_at=at(1), message_id="m-1"
        )

        assert receipt.outcome is Outcome.MOVED
        assert receipt.rows[0].direction == "internal"

    def test_an_outbound_event_never_applies_a_deadline(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        receipt = chats.handle("outbound", text(agent=ANDERS), received_at=at(9999))

        assert (receipt.outcome, receipt.after and receipt.after.state) == ("moved", "with_agent")

    def test_a_moment_that_was_reached_stays_reached(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("outbound", text(agent=ANDERS), received_at=at(1))
        chats.handle("outbound", event("agent_done"), received_at=at(2))
        chats.handle("inbound", event("messages_read"), received_at=at(1900))
        chats.handle("inbound", event("heartbeat"), received_at=at(1790))

        echo = chats.status(PLATFORM, USER)
        assert echo is not None
        assert (echo.state, echo.expires_at, echo.last_seen_at) == ("closed", at(1800), at(1900))
        opened = chats.handle("inbound", event("heartbeat"), received_at=at(1850)).after
        assert opened is not None
        assert (opened.ordinal, opened.state) == (2, "open")

    def test_the_policy_of_a_platform_counts_on_that_platform(
        self, door: str, door_url: sa.URL
    ) -> None:
        policy = Policy(platforms={"messenger": Durations(idle_timeout=None)})
        with open_door(door, door_url, policy=policy) as chats:
            chats.handle("inbound", {**text(), "platformId": "messenger"}, received_at=at(0))
            chats.handle("inbound", text(), received_at=at(0))

            forever, soon = chats.status("messenger", USER), chats.status(PLATFORM, USER)
            assert forever is not None
            assert forever.expires_at is None
            assert soon is not None
            assert soon.expires_at == at(1800)

    def test_limits_are_settable(self, door: str, door_url: sa.URL) -> None:
        with open_door(door, door_url, limits=Limits(bare_bytes=50)) as chats:
            assert chats.handle("inbound", text("x" * 50)).outcome is Outcome.INVALID


class TestMessageIds:
    def test_handing_in_twice_has_the_effect_of_once(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0), message_id="m-1")
        chats.handle("outbound", text(agent=ANDERS), received_at=at(1), message_id="m-1")
        once = dump(database)

        # Long after the deadline: a duplicate does not apply it.
        again = chats.handle("inbound", text(), received_at=at(99999), message_id="m-1")

        assert again.outcome is Outcome.DUPLICATE
        assert again.rows == ()
        assert again.first is not None
        assert (again.first.outcome, again.first.to_state) == ("moved", "bot")
        assert again.first.received_at == at(0)
        assert dump(database) == once

    def test_another_event_under_the_same_id_raises_and_writes_nothing(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text("ett"), received_at=at(0), message_id="m-1")
        once = dump(database)

        with pytest.raises(MessageConflict) as caught:
            chats.handle("inbound", text("två"), received_at=at(1), message_id="m-1")

        assert (caught.value.direction, caught.value.message_id) == ("inbound", "m-1")
        assert "två" not in str(caught.value)
        assert dump(database) == once

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (text(a=1, b=2), {"b": 2, "a": 1, **text()}, True),
            (text(n=1), text(n=1.0), False),
            (text(n=1), text(n=True), False),
            (text(n=None), text(), False),
            (text(image=PNG), text(image=PNG), True),
            (text(image=PNG), text(image=PNG + "AAAA"), False),
            (text(image=PNG), text(image=PNG.replace("image/png", "image/gif")), False),
        ],
        ids=["order", "1 and 1.0", "1 and true", "null", "image", "other image", "media type"],
    )
    def test_two_events_are_the_same_if_the_same_would_be_stored(
        self, chats: ChatEngine, one: dict[str, Any], other: dict[str, Any], *, same: bool
    ) -> None:
        first, second = chats.handle_many(
            [envelope("inbound", one, 0, "m-1"), envelope("inbound", other, 5, "m-1")]
        )

        assert first.outcome is Outcome.MOVED
        (later,) = chats.handle_many([envelope("inbound", other, 5, "m-1")])
        for again in (second, later):
            assert again.outcome is (Outcome.DUPLICATE if same else Outcome.CONFLICT)
            assert again.first == first.rows[0]

    def test_a_conflict_in_a_batch_spoils_no_other(self, chats: ChatEngine) -> None:
        receipts = chats.handle_many(
            [
                envelope("inbound", text("ett"), 0, "m-1"),
                envelope("inbound", text("två"), 1, "m-1"),
                envelope("inbound", text("tre"), 2, "m-2"),
            ]
        )

        assert [receipt.outcome for receipt in receipts] == ["moved", "conflict", "stayed"]
        assert isinstance(receipts[1].error, MessageConflict)

    def test_unsent_text_does_not_count(self, chats: ChatEngine) -> None:
        receipts = chats.handle_many(
            [
                envelope("inbound", event("typing", text="Hej, jag"), 0, "m-1"),
                envelope("inbound", event("typing", text="Hej, jag mitt na"), 0, "m-1"),
            ]
        )

        assert [receipt.outcome for receipt in receipts] == ["moved", "duplicate"]

    def test_a_quiet_event_that_wrote_nothing_is_forgotten(self, chats: ChatEngine) -> None:
        receipts = chats.handle_many(
            [
                envelope("inbound", text(), 0),
                envelope("inbound", event("heartbeat"), 1, "m-1"),
                envelope("inbound", event("heartbeat"), 1, "m-1"),
                envelope("inbound", text(), 2, "m-1"),
            ]
        )

        assert [receipt.outcome for receipt in receipts] == ["moved", *["stayed"] * 3]

    def test_the_id_of_an_invalid_event_is_not_remembered(self, chats: ChatEngine) -> None:
        broken = chats.handle("inbound", {"type": "text"}, message_id="m-1")
        mended = chats.handle("inbound", text(), message_id="m-1")

        assert (broken.outcome, mended.outcome) == ("invalid", "moved")

    def test_strays_and_unknown_events_are_remembered(self, chats: ChatEngine) -> None:
        lines = [
            envelope("outbound", event("agent_done"), 0, "m-1"),
            envelope("outbound", event("weather"), 0, "m-2"),
        ]

        first = [receipt.outcome for receipt in chats.handle_many(lines)]
        second = [receipt.outcome for receipt in chats.handle_many(lines)]

        assert (first, second) == (["stray", "unknown"], ["duplicate", "duplicate"])


class TestNobody:
    def test_an_unknown_event_needs_no_user(self, chats: ChatEngine) -> None:
        receipt = chats.handle("inbound", {"type": "weather", "userId": 5}, message_id="m-1")

        assert (receipt.outcome, receipt.after) == ("unknown", None)
        (row,) = chats.strays()
        assert (row.user_id, row.session_id, row.event) == (
            None,
            None,
            {"type": "weather", "userId": 5},
        )
        assert row.reason == "type not in the protocol on inbound, and no usable user"
        again = chats.handle("inbound", {"type": "weather", "userId": 5}, message_id="m-1")
        assert again.outcome is Outcome.DUPLICATE

    def test_a_quiet_event_of_nobody_leaves_nothing(self, chats: ChatEngine) -> None:
        receipt = chats.handle("outbound", event("typing_on"))

        assert (receipt.outcome, receipt.rows) == ("stray", ())
        assert list(chats.strays()) == []

    def test_the_clock_closes_nothing_that_has_no_deadline(
        self, door: str, door_url: sa.URL
    ) -> None:
        with open_door(door, door_url, policy=Policy(idle_timeout=None, max_ahead=None)) as chats:
            live = chats.handle("inbound", text(), received_at=at(0)).after
            assert live is not None
            assert chats.sweep(at(10**9)) == []
        with pytest.raises(ValueError, match="no deadline"):
            expire(live)


class TestBatches:
    def test_typed_events_and_their_queue(self, chats: ChatEngine) -> None:
        hello = CustomerText(platform_id=PLATFORM, user_id=USER, text="Hej!")

        assert [one.outcome for one in chats.handle_many([hello], direction="inbound")] == ["moved"]
        with pytest.raises(InvalidArgument, match="direction"):
            chats.handle_many([hello])

    def test_a_bad_event_spoils_no_other(self, chats: ChatEngine) -> None:
        receipts = chats.handle_many(
            [
                envelope("inbound", text(), 0),
                b"\xff",
                Envelope("outbound", event("queue_number", queueNumber="5"), received_at=at(1)),
                Envelope("outbound", text(agent=ANDERS), received_at=at(2)),
            ]
        )

        assert [one.outcome for one in receipts] == ["moved", "invalid", "invalid", "moved"]
        assert isinstance(receipts[2].error, InvalidEvent)
        assert receipts[2].error.path == "$.queueNumber"

    def test_bare_events_need_a_direction(self, chats: ChatEngine) -> None:
        named, own, none = chats.handle_many([text()], direction="inbound") + chats.handle_many(
            [{**text(), "direction": "inbound"}, text()]
        )

        assert (named.outcome, own.outcome, none.outcome) == ("moved", "stayed", "invalid")
        assert isinstance(none.error, InvalidEvent)
        assert none.error.path == "$.direction"

    def test_an_empty_batch_is_nothing(self, chats: ChatEngine) -> None:
        assert chats.handle_many([]) == []


class TestSweep:
    def test_closes_what_is_past_its_deadline_at_the_deadline(self, chats: ChatEngine) -> None:
        for number in range(3):
            chats.handle("inbound", text(user=f"u-{number}"), received_at=at(number))
        chats.handle("inbound", event("client_unload", "u-2"), received_at=at(10))

        assert chats.sweep(at(69)) == []
        assert [(row.user_id, row.reason) for row in chats.sweep(at(70))] == [
            ("u-2", "client_unload")
        ]
        assert [(row.user_id, row.reason) for row in chats.sweep(at(9999))] == [
            ("u-0", "idle"),
            ("u-1", "idle"),
        ]
        closed = chats.status(PLATFORM, "u-0")
        assert closed is not None
        assert (closed.closed_at, closed.state) == (at(1800), "closed")
        assert chats.sweep(at(9999)) == []

    def test_judges_nothing_after_the_time_it_is_given(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))

        assert chats.sweep(at(1799)) == []

    def test_takes_now_where_no_time_is_given(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=datetime.now(START.tzinfo))
        chats.handle("inbound", text(user="long ago"), received_at=at(-999999))

        assert [row.user_id for row in chats.sweep()] == ["long ago"]

    def test_more_than_one_transaction_holds(
        self, chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sermo_fsm.engine.batch._SWEPT_AT_ONCE", 2)
        for number in range(5):
            chats.handle("inbound", text(user=f"u-{number}"), received_at=at(0))

        assert len(chats.sweep(at(9999))) == 5

    def test_wants_a_zone(self, chats: ChatEngine) -> None:
        with pytest.raises(InvalidArgument, match="up_to"):
            chats.sweep(datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose

    def test_judges_by_no_time_that_nobody_can_have_read_to(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text())
        with pytest.raises(InvalidArgument, match="up_to: wanted a time at most max_ahead later"):
            chats.sweep(datetime.now(UTC) + timedelta(hours=2))
        session = chats.status(PLATFORM, USER)
        assert session is not None
        assert session.live


class TestQuestions:
    def test_nobody_has_no_status(self, chats: ChatEngine) -> None:
        assert chats.status(PLATFORM, "nobody") is None
        assert chats.session("no-such-id") is None
        assert list(chats.history("no-such-id")) == []

    def test_status_is_the_live_session_else_the_last(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("inbound", event("client_left"), received_at=at(1))
        last = chats.status(PLATFORM, USER)
        chats.handle("inbound", text(), received_at=at(2))
        live = chats.status(PLATFORM, USER)

        assert last is not None
        assert live is not None
        assert (last.ordinal, last.state, live.ordinal, live.state) == (1, "closed", 2, "bot")
        assert chats.session(last.session_id) == last

    def test_sessions_by_state_platform_and_user(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(user="a"), received_at=at(0))
        chats.handle("outbound", event("queue_number", "b", queueNumber=1), received_at=at(1))
        chats.handle("inbound", {**text(user="a"), "platformId": "app"}, received_at=at(2))
        chats.handle("inbound", event("client_left", "a"), received_at=at(3))

        def found(**filters: Any) -> list[tuple[str, str]]:
            return [(one.platform_id, one.user_id) for one in chats.sessions(**filters)]

        assert found() == [("app", "a"), ("web", "b"), ("web", "a")]
        assert found(state="queued") == [("web", "b")]
        assert found(state=["queued", "bot"]) == [("app", "a"), ("web", "b")]
        assert found(state=State.CLOSED) == [("web", "a")]
        assert found(platform="web") == [("web", "b"), ("web", "a")]
        assert found(user="a", limit=1) == [("app", "a")]
        assert found(limit=0) == []

    @each_signature
    @pytest.mark.parametrize(
        "wrong",
        [{"state": "asleep"}, {"limit": -1}, {"limit": 2**63}, {"user": ""}, {"platform": "\0"}],
        ids=ascii,
    )
    def test_a_question_that_makes_no_sense_is_refused(
        self, chats: ChatEngine, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgument):
            list(chats.sessions(**wrong))

    def test_an_id_that_nobody_can_have_is_nobodys(self, chats: ChatEngine) -> None:
        with pytest.raises(InvalidArgument, match="user_id"):
            chats.status(PLATFORM, "\ud800")
        for odd in ("", "\ud800", "x" * 256):
            assert chats.session(odd) is None
            assert list(chats.history(odd)) == []

    def test_a_bot_can_tell_whether_to_speak(self, chats: ChatEngine) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("outbound", text(agent=BOT), received_at=at(1))
        chats.handle("inbound", text(), received_at=at(5))
        chats.handle("inbound", event("typing", text="och"), received_at=at(6))

        chat = chats.status(PLATFORM, USER)
        assert chat is not None
        assert (chat.state, chat.last_reply_at, chat.last_reply_by) == ("bot", at(1), "bot")
        assert (chat.last_customer_text_at, chat.customer_typed_at) == (at(5), at(6))

    def test_asking_can_be_part_of_the_hosts_transaction(self, chats: ChatEngine) -> None:
        chats.handle("outbound", event("agent_done"), received_at=at(0))
        with host_transaction(chats) as connection:
            chats.handle("inbound", text(), received_at=at(0), connection=connection)
            session = chats.status(PLATFORM, USER, connection=connection)
            assert session is not None
            assert list(chats.sessions(connection=connection)) == [session]
            assert chats.session(session.session_id, connection=connection) == session
            assert len(list(chats.history(session.session_id, connection=connection))) == 1
            assert len(list(chats.strays(connection=connection, limit=5))) == 1
            assert chats.counts(connection=connection) == {PLATFORM: {State.BOT: 1}}


def test_policy_durations_reach_as_far_as_the_calendar(door: str, door_url: sa.URL) -> None:
    longest = timedelta(days=36500)
    policy = Policy(unload_grace=longest, idle_timeout=longest, linger=longest, max_ahead=None)
    latest = datetime.fromisoformat("9699-12-31T23:59:59+00:00")
    with open_door(door, door_url, policy=policy) as chats:
        chats.handle("inbound", text(), received_at=latest)
        chats.handle("inbound", event("client_left"), received_at=latest)
        receipt = chats.handle("outbound", text(agent=ANDERS), received_at=latest)

    assert receipt.outcome is Outcome.LATE
