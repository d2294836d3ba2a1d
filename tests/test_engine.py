"""``ChatEngine`` on a real SQLite file: receipts, message ids, batches, and what is stored."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
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
    LostRace,
    MessageConflict,
    Outcome,
    Policy,
    Reply,
    State,
    StoreError,
)
from sermo_fsm.advance import expire
from sermo_fsm.schema import BODY, HISTORY, IMAGE, SESSION
from tests.support import ANDERS, BOT, PLATFORM, START, USER, at, envelope, event, text

PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'chat.db'}"


@pytest.fixture
def chats(url: str) -> Iterator[ChatEngine]:
    with ChatEngine(url) as engine:
        engine.migrate()
        yield engine


@pytest.fixture
def database(url: str) -> Iterator[sa.Engine]:
    """The same database, as somebody else sees it."""
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def dump(database: sa.Engine) -> dict[str, list[Any]]:
    """Everything that is stored."""
    with database.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in (SESSION, HISTORY, BODY, IMAGE)
        }


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

    def test_an_event_on_the_wrong_queue_is_the_callers_mistake(self, chats: ChatEngine) -> None:
        reply = Reply(platform_id=PLATFORM, user_id=USER, text="Hej!")

        with pytest.raises(InvalidArgument, match="Reply on inbound"):
            chats.handle("inbound", reply)

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

    def test_the_policy_of_a_platform_counts_on_that_platform(self, url: str) -> None:
        policy = Policy(platforms={"messenger": Durations(idle_timeout=None)})
        with ChatEngine(url, policy=policy) as chats:
            chats.migrate()
            chats.handle("inbound", {**text(), "platformId": "messenger"}, received_at=at(0))
            chats.handle("inbound", text(), received_at=at(0))

            forever, soon = chats.status("messenger", USER), chats.status(PLATFORM, USER)
            assert forever is not None
            assert forever.expires_at is None
            assert soon is not None
            assert soon.expires_at == at(1800)

    def test_limits_are_settable(self, url: str) -> None:
        with ChatEngine(url, limits=Limits(bare_bytes=50)) as chats:
            chats.migrate()
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
            (text(n=None), text(), False),
            (text(image=PNG), text(image=PNG), True),
            (text(image=PNG), text(image=PNG + "AAAA"), False),
            (text(image=PNG), text(image=PNG.replace("image/png", "image/gif")), False),
        ],
        ids=["order", "1 and 1.0", "null", "image", "other image", "media type"],
    )
    def test_two_events_are_the_same_if_the_same_would_be_stored(
        self, chats: ChatEngine, one: dict[str, Any], other: dict[str, Any], *, same: bool
    ) -> None:
        first, second = chats.handle_many(
            [envelope("inbound", one, 0, "m-1"), envelope("inbound", other, 5, "m-1")]
        )

        assert first.outcome is Outcome.MOVED
        assert second.outcome is (Outcome.DUPLICATE if same else Outcome.CONFLICT)
        assert second.first == first.rows[0]

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


class TestStored:
    def test_unsent_text_is_stored_nowhere(self, chats: ChatEngine, tmp_path: Path) -> None:
        secret = "Hemligheten"  # noqa: S105 - what a customer typed
        for number, kind in enumerate(("typing", "typing_on", "typing_off")):
            user = f"u-{number}"
            chats.handle("inbound", event(kind, user, text=secret), received_at=at(0))
            chats.handle("outbound", event(kind, user, text=secret), received_at=at(1))
            chats.handle("inbound", event(kind, user, text=[secret]), received_at=at(2))
            chats.handle("inbound", f'{{"type":"{kind}","text":"{secret}'.encode())
            chats.handle_many(
                [f'{{"direction":"inbound","event":{{"type":"{kind}","text":"{secret}']
            )
        chats.close()

        for file in tmp_path.iterdir():
            assert secret.encode() not in file.read_bytes()

    def test_an_image_lies_apart_and_once(self, chats: ChatEngine, database: sa.Engine) -> None:
        content = b"\x89PNG\r\n\x1a\n"
        receipts = chats.handle_many(
            [envelope("inbound", text("Bild:", user, image=PNG), 0) for user in ("a", "b", "b")]
        )

        digest = hashlib.sha256(content).hexdigest()
        description = {"sha256": digest, "bytes": len(content), "mediaType": "image/png"}
        assert receipts[2].rows[0].event == text("Bild:", "b", image=description)
        assert dump(database)["sermo_image"] == [(digest, "image/png", len(content), content)]

    def test_an_unknown_event_may_call_anything_an_image(self, chats: ChatEngine) -> None:
        odd = event("weather", image={"sha256": "x"})

        assert chats.handle("inbound", odd).rows[0].event == odd

    def test_a_body_can_be_erased_and_the_facts_stay(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text("Mitt nummer är 0701234567"), received_at=at(0))
        line = envelope("outbound", text("Tack", agent=ANDERS), 1, "m-1")
        receipt = chats.handle_many([line])[0]
        with database.begin() as connection:
            connection.execute(sa.delete(BODY))

        session_id = receipt.rows[0].session_id or ""
        assert [row.event for row in chats.history(session_id)] == [None, None]
        assert chats.verify().ok
        assert chats.handle_many([line])[0].outcome is Outcome.DUPLICATE

    def test_an_invalid_event_is_kept_with_its_reason(self, chats: ChatEngine) -> None:
        chats.handle("inbound", b'{"type": "text", "text": 5}', received_at=at(0))
        chats.handle("outbound", b"\xff\x00" + b"x" * 100_000, received_at=at(1))
        chats.handle_many(["", '{"direction": 5, "event": {}}', "[1]"])

        first, second, *rest = chats.strays()
        assert (first.outcome, first.direction, first.type) == ("invalid", "inbound", None)
        assert first.reason == "$.platformId: wanted this field, got nothing"
        assert first.raw == '{"type": "text", "text": 5}'
        assert second.raw is not None
        assert len(second.raw.encode()) <= 64 * 1024
        assert second.raw.startswith("\\xff\\x00xxx")
        assert [(row.direction, row.seq) for row in rest] == [(None, None)] * 3

    def test_people_can_read_the_tables(self, chats: ChatEngine, database: sa.Engine) -> None:
        moment = datetime.fromisoformat("2026-03-01T13:00:00.123456+01:00")
        chats.handle("inbound", text(), received_at=moment)

        with database.connect() as connection:
            row = connection.execute(
                sa.text("SELECT state, opened_at, session_id FROM sermo_session")
            ).one()
        session = chats.status(PLATFORM, USER)
        assert session is not None
        assert tuple(row) == ("bot", "2026-03-01 12:00:00.123456", session.session_id)
        assert session.opened_at == moment

    def test_history_ids_grow_with_every_row(self, chats: ChatEngine) -> None:
        chats.handle("outbound", event("agent_done"))
        for user in ("u-1", "u-2", "u-1"):
            chats.handle("inbound", text(user=user))

        strays = [row.id for row in chats.strays()]
        rows = [row.id for one in chats.sessions() for row in chats.history(one.session_id)]
        assert (strays, sorted(filter(None, rows))) == ([1], [2, 3, 4])

    def test_the_same_events_give_the_same_ids_on_any_machine(self) -> None:
        ids = []
        for _ in range(2):
            with ChatEngine("sqlite://") as engine:
                engine.migrate()
                receipt = engine.handle("inbound", text(), received_at=at(0))
                ids.append(receipt.after and receipt.after.session_id)

        assert ids == ["d3640a6c-22bf-5806-aedd-873294e4b049"] * 2

    @pytest.mark.parametrize(
        ("one", "other"), [("anna", "Anna"), ("anna", "ännä"), ("a b", "ab"), ("a", "a ")]
    )
    def test_two_users_whose_ids_look_alike_are_two(
        self, chats: ChatEngine, one: str, other: str
    ) -> None:
        for user in (one, other):
            chats.handle("inbound", text(user=user))

        assert len(list(chats.sessions())) == 2

    @pytest.mark.parametrize("odd", ["😀" * 255, "a'\"\\;--", '["x"]', "\u2028"], ids=ascii)
    def test_odd_ids_come_back_as_they_went_in(self, chats: ChatEngine, odd: str) -> None:
        line = {"type": "text", "text": odd, "userId": odd, "platformId": odd}
        chats.handle("inbound", line, message_id=odd, received_at=at(0))

        session = chats.status(odd, odd)
        assert session is not None
        (row,) = chats.history(session.session_id)
        assert (row.user_id, row.platform_id, row.message_id) == (odd, odd, odd)
        assert row.event == line

    def test_what_utf8_cannot_encode_survives_inside_a_text(self, chats: ChatEngine) -> None:
        receipt = chats.handle("inbound", text("half an emoji: \ud83d, a NUL: \0"))

        (row,) = chats.history(receipt.rows[0].session_id or "")
        assert row.event == text("half an emoji: \ud83d, a NUL: \0")


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

    def test_the_clock_closes_nothing_that_has_no_deadline(self) -> None:
        with ChatEngine("sqlite://", policy=Policy(idle_timeout=None)) as chats:
            chats.migrate()
            live = chats.handle("inbound", text(), received_at=at(0)).after
        assert live is not None
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

    def test_a_batch_is_the_same_as_one_by_one(self, tmp_path: Path) -> None:
        files = sorted(Path("examples").glob("*.jsonl"))
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        dumps = []
        for name, size in (("one", 1), ("few", 7), ("all", len(lines))):
            url = f"sqlite:///{tmp_path / name}.db"
            with ChatEngine(url) as engine:
                engine.migrate()
                for start in range(0, len(lines), size):
                    engine.handle_many(lines[start : start + size])
            database = sa.create_engine(url)
            dumps.append(dump(database))
            database.dispose()

        assert dumps[0] == dumps[1]
        # Row ids of sessions differ where two open in one batch; nothing that is seen does.
        assert _seen(dumps[0]) == _seen(dumps[2])

    def test_the_examples_end_as_was_worked_out_by_hand(self, chats: ChatEngine) -> None:
        expected = json.loads(Path("examples/expected.json").read_text())
        for name, wanted in expected.items():
            lines = Path("examples", name).read_bytes().splitlines()
            receipts = chats.handle_many(lines)
            assert [receipt.outcome for receipt in receipts] == wanted["outcomes"]
            if wanted["sweepUpTo"]:
                chats.sweep(datetime.fromisoformat(wanted["sweepUpTo"]))
            for session in wanted["sessions"]:
                _check_session(chats, session)

    def test_an_empty_batch_is_nothing(self, chats: ChatEngine) -> None:
        assert chats.handle_many([]) == []


def _seen(tables: dict[str, list[Any]]) -> dict[str, Any]:
    sessions = {row[0]: row[1] for row in tables["sermo_session"]}
    return {
        "sessions": sorted((row[1:] for row in tables["sermo_session"]), key=repr),
        "history": [(sessions.get(row[1]), *row[2:]) for row in tables["sermo_history"]],
        "bodies": tables["sermo_body"],
    }


def _check_session(chats: ChatEngine, wanted: dict[str, Any]) -> None:
    (session,) = (
        one
        for one in chats.sessions(platform=wanted["platformId"], user=wanted["userId"])
        if one.ordinal == wanted["ordinal"]
    )
    path: list[str] = []
    for row in chats.history(session.session_id):
        if row.to_state is not None and path[-1:] != [row.to_state.value]:
            path.append(row.to_state.value)
    assert wanted == {
        **wanted,
        "state": session.state,
        "closeReason": session.close_reason,
        "resumed": session.resumed,
        "agentId": session.agent.id if session.agent else None,
        "rows": session.rows,
        "path": path,
    }
    assert datetime.fromisoformat(wanted["openedAt"]) == session.opened_at
    assert wanted["closedAt"] is None or (
        datetime.fromisoformat(wanted["closedAt"]) == session.closed_at
    )


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
        monkeypatch.setattr("sermo_fsm.handling._SWEPT_AT_ONCE", 2)
        for number in range(5):
            chats.handle("inbound", text(user=f"u-{number}"), received_at=at(0))

        assert len(chats.sweep(at(9999))) == 5

    def test_wants_a_zone(self, chats: ChatEngine) -> None:
        with pytest.raises(InvalidArgument, match="up_to"):
            chats.sweep(datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose


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

    def test_reading_can_be_part_of_the_hosts_transaction(self, chats: ChatEngine) -> None:
        chats.handle("outbound", event("agent_done"), received_at=at(0))
        with chats._engine.begin() as connection:
            chats.handle("inbound", text(), received_at=at(0), connection=connection)
            session = chats.status(PLATFORM, USER, connection=connection)
            assert session is not None
            assert list(chats.sessions(connection=connection)) == [session]
            assert chats.session(session.session_id, connection=connection) == session
            assert len(list(chats.history(session.session_id, connection=connection))) == 1
            assert len(list(chats.strays(connection=connection, limit=5))) == 1


class TestVerify:
    @pytest.mark.parametrize(
        ("damage", "complaint"),
        [
            ("UPDATE sermo_history SET seq = 9 WHERE seq = 2", "seq 2 should stand here"),
            ("UPDATE sermo_history SET from_state = 'bot' WHERE seq = 1", "comes from bot"),
            ("UPDATE sermo_history SET from_state = 'open' WHERE seq = 2", "row before ended in"),
            (
                "UPDATE sermo_history SET effective_at = '2020-01-01 00:00:00' WHERE seq = 2",
                "effective_at falls",
            ),
            ("UPDATE sermo_session SET state = 'bot', live = 1", "state is bot"),
            ("UPDATE sermo_session SET row_count = 7", "row_count is 7"),
            ("UPDATE sermo_session SET effective_at = '2020-01-01 00:00:00'", "effective_at is"),
            ("UPDATE sermo_session SET since = '2020-01-01 00:00:00'", "since is"),
            ("UPDATE sermo_session SET closed_at = '2020-01-01 00:00:00'", "closed_at is"),
            ("UPDATE sermo_session SET close_reason = 'idle'", "close_reason is idle"),
            ("UPDATE sermo_session SET session_id = 'zz'", "session_id is zz"),
            ("UPDATE sermo_history SET to_state = from_state", "since is"),
            ("DELETE FROM sermo_history", "has no row"),
            ("DELETE FROM sermo_session", "belongs to none"),
        ],
        ids=lambda value: value[:60],
    )
    def test_finds_what_cannot_be(
        self, chats: ChatEngine, database: sa.Engine, damage: str, complaint: str
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        chats.handle("outbound", text(agent=ANDERS), received_at=at(1))
        chats.handle("inbound", event("client_left"), received_at=at(2))
        chats.handle("inbound", text(user="by the clock"), received_at=at(3))
        chats.sweep(at(9999))
        chats.handle("inbound", text(user="live"), received_at=at(4))
        assert chats.verify().ok

        with database.begin() as connection:
            connection.execute(sa.text("DELETE FROM sermo_body"))
            one = "session_key = 1" if "sermo_history" in damage else "id = 1"
            where = f"AND {one}" if "WHERE" in damage else f"WHERE {one}"
            connection.execute(sa.text(f"{damage} {where}"))
        result = chats.verify()

        assert not result.ok
        assert any(complaint in problem.what for problem in result.problems)

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE sermo_history SET effective_at = 'yesterday'",
            "UPDATE sermo_history SET trigger_name = 'magic'",
            "UPDATE sermo_session SET close_reason = 'bored'",
        ],
    )
    def test_what_cannot_be_read_is_a_typed_error(
        self, chats: ChatEngine, database: sa.Engine, damage: str
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        session = chats.status(PLATFORM, USER)
        assert session is not None
        with database.begin() as connection:
            connection.execute(sa.text(damage))

        with pytest.raises(StoreError, match=r"can't be read|unknown"):
            list(chats.history(session.session_id)) + list(chats.sessions())

    def test_an_empty_database_is_sound(self, chats: ChatEngine) -> None:
        result = chats.verify()

        assert (result.ok, result.sessions, result.rows) == (True, 0, 0)


class TestDatabase:
    def test_a_user_has_one_live_session_whoever_writes(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        with database.begin() as connection:
            row = connection.execute(sa.select(SESSION)).mappings().one()
            values = {**row, "id": 99, "session_id": "other", "ordinal": 2}
            with pytest.raises(sa.exc.IntegrityError):
                connection.execute(sa.insert(SESSION).values(values))

    def test_a_closed_session_cannot_be_called_live(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        with database.connect() as connection, pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.update(SESSION).values(state="closed"))

    def test_a_lost_race_is_a_typed_error_and_a_fault_is_none(
        self, chats: ChatEngine, database: sa.Engine
    ) -> None:
        chats.handle("inbound", text(), received_at=at(0))
        with database.begin() as connection:
            connection.execute(sa.text("UPDATE sermo_history SET seq = 2"))
        with pytest.raises(LostRace, match="another writer was faster"):
            chats.handle("inbound", text(), received_at=at(1))

        with database.begin() as connection:
            connection.execute(sa.text("UPDATE sermo_session SET state = 'queued', live = 1"))
            connection.execute(
                sa.text(
                    "CREATE TRIGGER no BEFORE INSERT ON sermo_history "
                    "BEGIN SELECT RAISE(ABORT, 'no more room'); END"
                )
            )
        with pytest.raises(StoreError, match="refused: no more room") as caught:
            chats.handle("inbound", text(), received_at=at(1))
        assert not isinstance(caught.value, LostRace)

    def test_the_file_is_set_up_for_many_readers(self, chats: ChatEngine) -> None:
        with chats._engine.connect() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 1, 30_000]

    @pytest.mark.parametrize(
        ("url", "complaint"),
        [
            ("nonsense", "url: wanted a database URL"),
            ("nosuch://u:secret@host/db", "url: wanted a database URL"),
            ("mssql+pymssql://u:secret@host/db", "no module pymssql"),
        ],
    )
    def test_a_url_that_is_none_is_refused_without_its_password(
        self, url: str, complaint: str
    ) -> None:
        with pytest.raises(InvalidArgument, match=complaint) as caught:
            ChatEngine(url)
        assert "secret" not in str(caught.value)

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "letter.txt"
        file.write_text("Kära Anna, " * 1000)

        with (
            ChatEngine(f"sqlite:///{file}") as chats,
            pytest.raises(StoreError, match="not a data"),
        ):
            chats.migrate()

    def test_the_hosts_engine_is_left_open(self, url: str) -> None:
        host = sa.create_engine(url)
        with ChatEngine(host) as chats:
            chats.migrate()
        pooled = host.pool
        chats.close()
        assert host.pool is pooled
        host.dispose()


def test_policy_durations_reach_as_far_as_the_calendar(url: str) -> None:
    longest = timedelta(days=36500)
    policy = Policy(unload_grace=longest, idle_timeout=longest, linger=longest)
    latest = datetime.fromisoformat("9699-12-31T23:59:59+00:00")
    with ChatEngine(url, policy=policy) as chats:
        chats.migrate()
        chats.handle("inbound", text(), received_at=latest)
        chats.handle("inbound", event("client_left"), received_at=latest)
        receipt = chats.handle("outbound", text(agent=ANDERS), received_at=latest)

    assert receipt.outcome is Outcome.LATE
