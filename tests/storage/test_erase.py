"""One person is erased, on every database: what goes, what stays, what comes afterwards."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import (
    ChatEngine,
    ChatStillLive,
    CloseReason,
    HistoryRow,
    InvalidArgument,
    Outcome,
    PersonHeld,
    State,
    StoreBusy,
)
from sermo_fsm.storage.backends.sqlite import SqliteBackend
from sermo_fsm.storage.column_types import PrivateText
from sermo_fsm.storage.erasing import names
from sermo_fsm.storage.schema import tables
from tests.databases import dump
from tests.doors import each_signature, host_transaction, stored
from tests.erased import FLOW, PIXEL, WORDS, erased, play, raw_text
from tests.support import ANDERS, PLATFORM, USER, at, event, text

FACTS: Final = (
    *("ordinal", "state", "since", "opened_at", "closed_at", "close_reason", "resumed"),
    *("previous_close_reason", "queued_at", "last_reply_by", "last_reply_at", "rows"),
)


ROW_FACTS: Final = (
    *("seq", "trigger", "from_state", "to_state", "outcome", "received_at", "effective_at"),
    *("message_id", "agent_id", "reason", "type", "at", "last_seen_at"),
)


def facts(chats: ChatEngine, user: str) -> list[Any]:
    """What figures are made of, session by session."""
    sessions = sorted(chats.sessions(user=user), key=lambda one: one.ordinal)
    return [
        (
            [getattr(one, name) for name in FACTS],
            one.agent and one.agent.id,
            [[getattr(row, name) for name in ROW_FACTS] for row in chats.history(one.session_id)],
        )
        for one in sessions
    ]


def test_what_was_said_goes_and_what_happened_stays(chats: ChatEngine, database: sa.Engine) -> None:
    play(chats)
    play(chats, "beata", 1000, picture=PIXEL.replace("AAAB", "AAAC"))
    before, hers = facts(chats, USER), [one for one in stored(chats) if "beata" in str(one)]
    figures, traffic = chats.figures(), chats.traffic()
    old = [one.session_id for one in chats.sessions(user=USER)]

    receipt = erased(chats.erase(PLATFORM, USER, reason="art-17", by="dpo"))

    assert (receipt.persons, receipt.sessions, receipt.rows) == (1, 2, 10)
    assert (receipt.bodies, receipt.pictures, receipt.strays) == (11, 1, 2)
    assert (receipt.platform_id, receipt.reason, receipt.by) == (PLATFORM, "art-17", "dpo")
    assert not receipt.closed
    assert receipt.overwritten is (True if database.dialect.name == "sqlite" else None)
    assert chats.status(PLATFORM, USER) is None
    assert not any(chats.session(one) for one in old)
    assert facts(chats, str(receipt.user_id)) == before
    left = raw_text(database)
    assert not [word for word in (f'"{USER}"', *old) if word in left]
    assert [one for one in stored(chats) if "beata" in str(one)] == hers
    assert chats.verify().ok
    assert chats.compare().ok
    assert (chats.figures(), chats.traffic()) == (figures, traffic)


def test_nothing_private_is_left_in_any_column(chats: ChatEngine, database: sa.Engine) -> None:
    play(chats)
    chats.erase(PLATFORM, USER)
    ours = tables()
    with database.connect() as connection:
        for table in (ours.session, ours.body, ours.image):
            for column in table.c:
                if isinstance(column.type, PrivateText) or table is not ours.session:
                    assert (
                        connection.execute(
                            sa.select(sa.func.count()).where(column.is_not(None))
                        ).scalar_one()
                        == 0
                    ), column
        reasons = connection.execute(sa.select(ours.history.c.reason).distinct()).scalars()
        assert {*reasons} == {None, *CloseReason} & {None, "client_unload", "client_left"}
    left = raw_text(database)
    for word in (WORDS, "1212-1212", FLOW, ANDERS["name"], "iVBORw0KGgo", "89504e47", '"anna"'):
        assert word not in left, word


def test_ids_are_random_and_lead_to_each_other(chats: ChatEngine) -> None:
    play(chats)
    old = {one.session_id for one in chats.sessions(user=USER)}
    receipt = erased(chats.erase(PLATFORM, USER))
    second, first = chats.sessions(user=receipt.user_id)
    assert str(receipt.user_id).startswith("erased-")
    assert second.previous_session_id == first.session_id
    assert first.previous_session_id is None
    assert not {first.session_id, second.session_id} & old
    assert {row.user_id for row in chats.strays()} == {receipt.user_id}
    assert {row.reason for row in chats.strays()} == {None}


def test_a_message_that_comes_again_brings_nothing_back(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    chats.erase(PLATFORM, USER)
    before = dump(database)
    for message, said in (
        ("m-2", text(WORDS, image=PIXEL)),
        ("m-2", text("something else")),
        ("m-9", event("client_left")),
    ):
        again = chats.handle("inbound", said, message_id=message, received_at=at(200))
        assert again.outcome is Outcome.DUPLICATE
        assert again.first is not None
        assert (again.first.event, again.first.message_id) == (None, message)
    stray = event("weather", wind=WORDS)
    again = chats.handle("outbound", stray, message_id="m-1", received_at=at(200))
    assert again.outcome is Outcome.DUPLICATE
    assert dump(database) == before


def test_who_comes_back_is_new(chats: ChatEngine) -> None:
    play(chats)
    receipt = erased(chats.erase(PLATFORM, USER))
    opened = chats.handle("inbound", text("Hej igen"), message_id="new", received_at=at(300)).after
    assert opened is not None
    assert (opened.ordinal, opened.previous_session_id, opened.resumed) == (1, None, False)
    assert chats.verify().ok
    again = erased(chats.erase(PLATFORM, USER, even_live=True))
    assert again.user_id != receipt.user_id
    assert (again.sessions, again.bodies) == (1, 1)
    assert chats.verify().ok


def test_a_second_time_there_is_nobody(chats: ChatEngine, database: sa.Engine) -> None:
    assert chats.erase(PLATFORM, USER) is None
    play(chats)
    assert chats.erase("elsewhere", USER) is None
    assert chats.erase(PLATFORM, USER)
    before = dump(database)
    assert chats.erase(PLATFORM, USER) is None
    assert dump(database) == before


def test_the_audit_says_when_how_much_why_and_by_whom(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    receipt = erased(chats.erase(PLATFORM, USER, reason="art-17", by="dpo"))
    with database.connect() as connection:
        (row,) = connection.execute(sa.select(tables().erasure)).mappings()
    assert dict(row) == {
        "id": receipt.id,
        "erased_at": receipt.erased_at,
        "what": "person",
        "platform_id": PLATFORM,
        "user_id": receipt.user_id,
        "reason": "art-17",
        "erased_by": "dpo",
        "persons": 1,
        "sessions": 2,
        "row_count": 10,
        "bodies": 11,
        "pictures": 1,
        "strays": 2,
    }
    assert receipt.as_dict()["userId"] == receipt.user_id
    assert datetime.now(UTC) - receipt.erased_at < timedelta(minutes=1)


def test_a_dry_run_counts_the_same_and_changes_nothing(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    before = dump(database)
    dry = erased(chats.erase(PLATFORM, USER, dry_run=True))
    assert dump(database) == before
    assert (dry.user_id, dry.id, dry.overwritten) == (None, None, None)
    wet = erased(chats.erase(PLATFORM, USER))
    counts = ("persons", "sessions", "rows", "bodies", "pictures", "strays")
    assert [getattr(dry, name) for name in counts] == [getattr(wet, name) for name in counts]


def test_a_picture_that_somebody_else_has_stays(chats: ChatEngine, database: sa.Engine) -> None:
    play(chats)
    play(chats, "beata", 1000)
    assert erased(chats.erase(PLATFORM, USER)).pictures == 0
    assert len(dump(database)["sermo_image"]) == 1
    assert chats.verify().ok
    assert erased(chats.erase(PLATFORM, "beata")).pictures == 1
    assert dump(database)["sermo_image"] == []


@each_signature
def test_where_the_log_can_not_be_emptied_the_receipt_says_so(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(chats)

    def refuse(*_: object) -> bool:
        raise StoreBusy("the database is busy")

    monkeypatch.setattr(SqliteBackend, "give_back", refuse)
    assert erased(chats.erase(PLATFORM, USER)).overwritten is False


# --- live chats ----------------------------------------------------------------------------------


def soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_a_live_chat_is_refused_with_the_moment_until_which_it_lives(
    chats: ChatEngine, database: sa.Engine
) -> None:
    live = chats.handle("inbound", text(WORDS), received_at=soon()).after
    assert live is not None
    before = dump(database)
    for dry_run in (False, True):
        with pytest.raises(ChatStillLive) as caught:
            chats.erase(PLATFORM, USER, dry_run=dry_run)
        assert caught.value.until == live.expires_at
        assert str(live.expires_at and live.expires_at.isoformat()) in str(caught.value)
    assert dump(database) == before
    assert "until somebody closes it" in str(ChatStillLive(None))


def test_even_a_live_chat_is_closed_first_and_says_why(chats: ChatEngine) -> None:
    told: list[HistoryRow] = []
    chats.after_commit(told.append)
    chats.handle("inbound", text(WORDS), received_at=soon())
    told.clear()
    receipt = erased(chats.erase(PLATFORM, USER, even_live=True))
    assert receipt.closed
    assert (receipt.sessions, receipt.rows, receipt.bodies) == (1, 2, 1)
    (session,) = chats.sessions(user=receipt.user_id)
    assert (session.state, session.close_reason) == (State.CLOSED, CloseReason.OPERATOR)
    *_, row = chats.history(session.session_id)
    assert row.event == {"reason": "erased"}
    (closing,) = told
    assert (closing.trigger, closing.user_id) == ("close", USER)
    assert chats.verify().ok
    assert chats.counts() == {}


def test_a_chat_past_its_deadline_is_closed_by_the_clock(chats: ChatEngine) -> None:
    opened = chats.handle("inbound", text(WORDS), received_at=at(0)).after
    assert opened is not None
    receipt = erased(chats.erase(PLATFORM, USER))
    assert receipt.closed
    (session,) = chats.sessions(user=receipt.user_id)
    assert (session.close_reason, session.closed_at) == (CloseReason.IDLE, opened.expires_at)
    assert chats.verify().ok


def test_a_hook_can_refuse_that_a_live_chat_is_closed(
    chats: ChatEngine, database: sa.Engine
) -> None:
    chats.handle("inbound", text(WORDS), received_at=soon())
    before = dump(database)

    @chats.within_transaction
    def refuse(_: HistoryRow, __: object) -> None:
        raise RuntimeError("not this one")

    with pytest.raises(RuntimeError, match="not this one"):
        chats.erase(PLATFORM, USER, even_live=True)
    assert dump(database) == before


# --- strays --------------------------------------------------------------------------------------

STRAYS: Final[dict[str, Any]] = {
    "no text": {"type": "text", "platformId": PLATFORM, "userId": USER},
    "a number for a text": {"type": "text", "platformId": PLATFORM, "userId": USER, "text": 5},
    "an object for a user": {"type": "weather", "who": {"id": USER}},
    "not JSON": '{"type": "text", "userId": "anna", "tex',
    "escaped": '{"type": "text", "userId": "\\u0061nn\\u0061", "text": [] ',
    "JSON in JSON": json.dumps({"event": json.dumps({"userId": USER})}) + "!",
    "after an escape": '{"text": ["\\nanna"], "type": "text"',
    "no platform": {"type": "weather", "userId": USER},
}
OTHERS: Final[dict[str, Any]] = {
    "of another platform": {"type": "text", "platformId": "elsewhere", "userId": USER},
    "a longer name": {"type": "text", "platformId": PLATFORM, "userId": "anna-maria"},
    "another one": {"type": "text", "platformId": PLATFORM, "userId": "b\\eata"},
    "no body": "",
}


def test_strays_that_name_the_person_in_their_text_go_too(chats: ChatEngine) -> None:
    for raw in (*STRAYS.values(), *OTHERS.values()):
        chats.handle("inbound", raw, received_at=at(0))
    assert {row.outcome for row in chats.strays()} == {Outcome.INVALID, Outcome.UNKNOWN}
    rows = [(row.reason, row.raw, row.event) for row in chats.strays()]
    receipt = erased(chats.erase(PLATFORM, USER))
    assert (receipt.sessions, receipt.strays, receipt.bodies) == (0, len(STRAYS), len(STRAYS))
    left = [(row.reason, row.raw, row.event) for row in chats.strays()]
    assert left == [(None, None, None)] * len(STRAYS) + rows[len(STRAYS) :]
    assert chats.erase(PLATFORM, USER) is None
    assert chats.verify().ok


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("anna", True),
        ("Hanna", False),
        ("anna-2", False),
        ("anna_2", False),
        ('{"userId":"anna"}', True),
        ('{"userId":"anna","platformId":"web"}', True),
        ('{"userId":"anna","platformId": "else"}', False),
        ("\\u0061nna", True),
        ("\\\\u0061nna", True),
        ("\\ud83e\\udd90anna", True),
        ("\\ud83eanna", True),
        ("\\tanna\\\\", True),
        ("\\" * 128 + "u0061nna", False),
        ("", False),
    ],
)
def test_whom_a_text_names(said: str, named: bool) -> None:  # noqa: FBT001 - a parameter
    assert names(said, (PLATFORM, USER)) is named


def test_however_its_ids_are_written(chats: ChatEngine) -> None:
    for platform, user in (
        ("kånken", "anna"),
        ("web/chat", "å\t1"),
        ('a"b\n', 'a"\\'),
        ("😀", "😀"),
    ):
        said = {"type": "text", "userId": user, "platformId": platform}
        whole = json.dumps(said)
        raws: list[Any] = [
            whole[:-1],
            whole.replace("/", "\\/") + "!",
            json.dumps(said, ensure_ascii=False) + "!",
            json.dumps({"direction": "inbound", "event": whole}),
            *([] if '"' in platform else [whole.encode("utf-16")]),
        ]
        for raw in raws:
            chats.handle("inbound", raw, received_at=at(0))
            assert chats.erase("elsewhere", user) is None, raw
            assert chats.erase(platform, "somebody") is None, raw
            assert erased(chats.erase(platform, user)).strays == 1, raw


# --- the host's transaction, arguments, holds ----------------------------------------------------


def test_in_the_hosts_transaction_it_stands_or_falls_with_it(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    before = dump(database)
    with suppress(RuntimeError), host_transaction(chats) as connection:
        assert chats.hold(PLATFORM, USER, reason="court", connection=connection)
        assert chats.release(PLATFORM, USER, connection=connection)
        assert chats.erase(PLATFORM, USER, connection=connection)
        raise RuntimeError
    assert dump(database) == before
    with host_transaction(chats) as connection:
        receipt = erased(chats.erase(PLATFORM, USER, connection=connection))
        assert chats.status(PLATFORM, USER, connection=connection) is None
        assert chats.holds(connection=connection) == []
    assert receipt.overwritten is None
    assert chats.status(PLATFORM, str(receipt.user_id))


def test_who_is_held_back_is_not_erased(chats: ChatEngine, database: sa.Engine) -> None:
    play(chats)
    hold = chats.hold(PLATFORM, USER, reason="court", by="legal")
    assert hold is not None
    assert (hold.user_id, hold.reason, hold.by) == (USER, "court", "legal")
    assert USER not in repr(hold)
    assert chats.holds() == [hold]
    assert chats.hold(PLATFORM, USER, reason="another", by="somebody") == hold
    before = dump(database)
    with pytest.raises(PersonHeld) as caught:
        chats.erase(PLATFORM, USER)
    assert (caught.value.since, caught.value.reason, caught.value.by) == (
        hold.since,
        "court",
        "legal",
    )
    assert f"since {hold.since.isoformat()} by legal (court)" in str(caught.value)
    assert "since 2026-01-01T00:00:00 (x)" in str(PersonHeld(datetime(2026, 1, 1), "x", None))  # noqa: DTZ001 - the words are looked at
    assert dump(database) == before
    assert hold.as_dict()["userId"] == USER
    assert chats.release(PLATFORM, USER) == hold
    assert (chats.release(PLATFORM, USER), chats.holds()) == (None, [])
    assert chats.erase(PLATFORM, USER)


def test_whoever_is_not_there_can_not_be_held(chats: ChatEngine) -> None:
    assert chats.hold(PLATFORM, USER, reason="court") is None
    chats.handle("outbound", event("agent_done", agent=ANDERS), received_at=at(0))
    assert chats.hold(PLATFORM, USER, reason="court")  # who has only strays


@pytest.mark.parametrize("said", STRAYS.values(), ids=STRAYS)
def test_whoever_can_be_erased_can_be_held(chats: ChatEngine, said: Any) -> None:
    chats.handle("inbound", said, received_at=at(0))
    assert chats.hold(PLATFORM, USER, reason="court")
    with pytest.raises(PersonHeld):
        chats.erase(PLATFORM, USER)


def test_what_also_names_somebody_who_is_held_back_stays(
    chats: ChatEngine, database: sa.Engine
) -> None:
    for said in (
        {"type": "text", "userId": "beata", "platformId": PLATFORM, "text": ["anna", WORDS]},
        {"type": "weather", "userId": USER, "wind": WORDS},  # of a user on any platform
    ):
        chats.handle("inbound", said, received_at=at(0))
    assert chats.hold(PLATFORM, "beata", reason="court")
    assert chats.hold("sms", USER, reason="court")
    before = dump(database)
    assert chats.erase(PLATFORM, USER) is None
    assert dump(database) == before
    assert chats.release(PLATFORM, "beata")
    assert chats.release("sms", USER)
    assert erased(chats.erase(PLATFORM, USER)).strays == 2


@each_signature
@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"user_id": ""}, "user_id"),
        ({"platform_id": None}, "platform_id"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 256}, "reason"),
        ({"by": ""}, "by"),
    ],
    ids=str,
)
def test_what_is_no_argument_is_refused(
    chats: ChatEngine, wrong: dict[str, Any], argument: str
) -> None:
    given = {"platform_id": PLATFORM, "user_id": USER, "reason": "code", **wrong}
    for call in (chats.erase, chats.hold):
        with pytest.raises(InvalidArgument) as caught:
            call(**given)
        assert caught.value.argument == argument
    if argument.endswith("_id"):
        with pytest.raises(InvalidArgument):
            chats.release(given["platform_id"], given["user_id"])
