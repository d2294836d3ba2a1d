"""What goes in comes back as it went in, on every database and through both doors."""

import hashlib
import time
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, Final

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, InvalidArgument, Limits, Outcome, Policy, QueueName
from tests.databases import dump
from tests.doors import each_signature, open_door, open_hosts_door, stored
from tests.storage.test_stories import ALL, one_by_one
from tests.support import ANDERS, PLATFORM, USER, at, envelope, event, text

KOLKATA: Final = timezone(timedelta(hours=5, minutes=30))
FAR_WEST: Final = timezone(timedelta(hours=-11, minutes=-17))

ODD: Final = [
    "😀" * 255,
    "\U0010ffff",
    "a" * 255,
    "a'\"\\;--",
    '["x"]',
    "%s %(name)s :name {0}",
    "\u2028",
    " ",
    "\t\r\n",
    "\x01\x7f\x85",
    "نور",
    "NULL",
]
"""Ids that nobody expects."""

ALIKE: Final = [
    ("anna", "Anna"),
    ("anna", "ANNA"),
    ("anna", "änna"),
    ("a b", "ab"),
    ("a", "a "),
    ("a", " a"),
    ("a ", "a\t"),
    ("é", unicodedata.normalize("NFD", "é")),
    ("straße", "strasse"),
    ("æ", "ae"),
    ("ﬁ", "fi"),
    ("Å", "\u212b"),  # the letter, and the unit of length
    ("i", "ı"),  # noqa: RUF001 - the one without a dot is the point
    ("a", "ａ"),  # noqa: RUF001 - the wide one is the point
    ("a", "а"),  # noqa: RUF001 - the Cyrillic one is the point
    ("ab", "a\u200db"),
    ("ab", "a\u00adb"),
    ("1", "01"),
    ("😀", "😁"),
    ("a" * 254 + "b", "a" * 254 + "B"),
    ("😀" * 254 + "a", "😀" * 254 + "A"),
]
"""Ids that some collation takes for the same."""


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD, ids=lambda value: ascii(value)[:40])
def test_an_odd_id_comes_back_as_it_went_in(chats: ChatEngine, odd: str) -> None:
    wire = {"type": "text", "text": odd, "userId": odd, "platformId": odd}
    agent = {"id": odd, "name": odd, "type": "human"}
    sent: list[tuple[QueueName, dict[str, Any]]] = [
        ("inbound", wire),
        ("outbound", {**wire, "agent": agent}),
    ]
    for direction, line in sent:
        chats.handle(direction, line, message_id=odd, received_at=at(0))
        again = chats.handle(direction, line, message_id=odd, received_at=at(1))
        assert again.outcome is Outcome.DUPLICATE

    session = chats.status(odd, odd)
    assert session is not None
    assert (session.agent and session.agent.id, session.agent and session.agent.name) == (odd, odd)
    assert [session] == list(chats.sessions(platform=odd, user=odd, agent=odd))
    first, second = chats.history(session.session_id)
    assert (first.user_id, first.platform_id, first.message_id) == (odd, odd, odd)
    assert (first.event, second.event) == (wire, {**wire, "agent": agent})
    assert second.agent_id == odd
    assert chats.verify().ok


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_ids_that_look_alike_are_of_two(chats: ChatEngine, *, together: bool) -> None:
    users = sorted({user for pair in ALIKE for user in pair})
    lines = [(text(user=user), None) for user in users]
    for seconds in (0, 1):  # two who are new, then the same two again
        _hand_in(chats, lines, seconds, together=together)

    sessions = list(chats.sessions())
    assert sorted(session.user_id for session in sessions) == users
    assert {session.rows for session in sessions} == {2}
    for session in sessions:
        assert chats.status(PLATFORM, session.user_id) == session
        assert list(chats.sessions(user=session.user_id)) == [session]
        assert {row.user_id for row in chats.history(session.session_id)} == {session.user_id}
    assert chats.verify().ok


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_so_it_is_with_platforms_messages_and_agents(chats: ChatEngine, *, together: bool) -> None:
    ids = sorted({one for pair in ALIKE for one in pair})
    lines = [({**text(one), "platformId": one}, one) for one in ids]
    outcomes = _hand_in(chats, lines, 0, together=together)
    assert set(outcomes) == {Outcome.MOVED}
    assert set(_hand_in(chats, lines, 0, together=together)) == {Outcome.DUPLICATE}

    for one in ids:
        agent = {**ANDERS, "id": one}
        line = {**text(one, agent=agent), "platformId": one}
        chats.handle("outbound", line, received_at=at(1), message_id=one)
    for one in ids:
        (session,) = chats.sessions(platform=one)
        assert list(chats.sessions(agent=one)) == [session]
        assert [row.message_id for row in chats.history(session.session_id)] == [one, one]
    assert set(chats.counts()) == set(ids)


def _hand_in(
    chats: ChatEngine,
    lines: Sequence[tuple[dict[str, Any], str | None]],
    seconds: int,
    *,
    together: bool,
) -> list[Outcome]:
    envelopes = [envelope("inbound", wire, seconds, message_id) for wire, message_id in lines]
    batches = [envelopes] if together else [[one] for one in envelopes]
    return [receipt.outcome for batch in batches for receipt in chats.handle_many(batch)]


@each_signature
@pytest.mark.parametrize("wrong", ["", "\0", "a\0b", "\ud800", "😀\udc00", "x" * 256, "😀" * 256])
def test_what_no_database_can_keep_is_no_id(chats: ChatEngine, wrong: str) -> None:
    with pytest.raises(InvalidArgument):
        chats.status(PLATFORM, wrong)
    with pytest.raises(InvalidArgument):
        chats.handle("inbound", text(), message_id=wrong)
    receipts = chats.handle_many(
        [
            envelope("inbound", {**text(), "userId": wrong}, 0),
            envelope("inbound", {**text(), "platformId": wrong}, 0),
            envelope("inbound", text(), 0, wrong),
            envelope("outbound", text(agent={"id": wrong}), 0),
        ]
    )
    assert [receipt.outcome for receipt in receipts] == [Outcome.INVALID] * 4
    assert [row.reason for row in chats.strays()] == [str(receipt.error) for receipt in receipts]


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "a NUL: \0",
        "😀🇸🇪👩‍👩‍👧‍👦",
        "\\u0000 \\ud83d \\\\",
        "%s %(p0)s :p0 {}",
        "\x00",
        "",
        " \r\n ",
        "Hej! " * 2500,
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_any_text_comes_back_as_it_went_in(chats: ChatEngine, words: str) -> None:
    lines = [
        envelope("inbound", {**text(words), words: {words: [words]}}, 0, "m-1"),
        envelope("inbound", event("weather", text=words), 0, "m-2"),
    ]
    chats.handle_many(lines)

    session = chats.status(PLATFORM, USER)
    assert session is not None
    rows = chats.history(session.session_id)
    assert [row.event for row in rows] == [one["event"] for one in lines]
    assert {one.outcome for one in chats.handle_many(lines)} == {Outcome.DUPLICATE}


@pytest.mark.parametrize(
    "raw",
    [
        '{"type": "a\0b\ud83d😀"',
        b'{"type": "a\0b\xff\xf0\x9f\x98\x80"',
        {"type": "a\0b\ud83d😀", 5: 5},
    ],
    ids=["text", "bytes", "object"],
)
def test_what_is_kept_of_an_invalid_event_can_be_kept(chats: ChatEngine, raw: Any) -> None:
    receipt = chats.handle_many([raw, raw], direction="inbound")[0]

    (row, _) = chats.strays()
    assert row == receipt.rows[0]
    assert "😀" in (row.raw or "")


@pytest.mark.parametrize("kind", ["x" * 255, "😀" * 255, "Text", "text "])
def test_a_type_that_is_in_no_protocol_is_kept(chats: ChatEngine, kind: str) -> None:
    chats.handle("inbound", event(kind))

    (row,) = chats.strays()
    assert (row.type, row.outcome) == (kind, Outcome.UNKNOWN)


def test_long_names_are_kept_whole(door: str, door_url: sa.URL) -> None:
    name = "Nils 😀 " * 20_000  # more than 64 KiB, in characters and in bytes
    agent = {"name": name, "type": "human"}
    with open_door(door, door_url, limits=Limits(bare_bytes=2**20)) as chats:
        for number in range(3):  # by insert, by an update alone, and with others
            lines = [
                envelope("outbound", event("handover_to_bot", user, flowGroupId=name), 0)
                for user in ("a", "b")
            ] + [
                envelope("outbound", text(user=user, agent={**agent, "id": f"{number}"}), number)
                for user in ("a", "b")[: number + 1]
            ]
            chats.handle_many(lines)

        for session in chats.sessions():
            assert session.agent is not None
            assert (session.agent.id, session.agent.name) == ("2", name)
            assert session.flow_group_id == name
        assert chats.verify().ok


# --- pictures -----------------------------------------------------------------------------------


def test_large_pictures_are_kept_whole(chats: ChatEngine, database: sa.Engine) -> None:
    # Whatever a byte can be: quotes, NULs, backslashes and what is no UTF-8.
    contents = [Random(number).randbytes(5 * 2**20) for number in range(2)]  # noqa: S311 - the same every time
    urls = [f"data:image/png;base64,{b64encode(content).decode()}" for content in contents]
    lines = [envelope("inbound", text("Bild:", user, image=urls[0]), 0, user) for user in "ab"]
    chats.handle_many(lines)
    chats.handle("inbound", text("Bild:", "c", image=urls[1]), received_at=at(1))

    assert {one.outcome for one in chats.handle_many(lines)} == {Outcome.DUPLICATE}
    kept = {row[0]: row[1:] for row in dump(database)["sermo_image"]}
    assert kept == {
        hashlib.sha256(content).hexdigest(): ("image/png", len(content), content)
        for content in contents
    }


# --- times --------------------------------------------------------------------------------------

EDGES: Final = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, 999_999, tzinfo=UTC),
    datetime(2026, 3, 29, 2, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=2))),
    datetime(2026, 3, 29, 1, 30, 0, 500_000, tzinfo=UTC),  # an hour that Stockholm does not have
    datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=FAR_WEST),
    datetime(9699, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


def connecting(door: str, zone: str, offset: str) -> dict[str, Any]:
    """How somebody connects whose sessions are not in UTC."""
    return {
        "sqlite": {},
        "postgresql": {"options": f"-c TimeZone={zone}"},
        "mysql": {"init_command": f"SET time_zone = '{offset}'"},
    }[door.removesuffix("-async")]


EAST: Final = ("Asia/Kolkata", "+05:30")
WEST: Final = ("America/New_York", "-05:00")


@pytest.fixture
def far_from_greenwich(
    door: str, door_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ChatEngine]:
    """A host in India: its process, and its connections."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    never = Policy(idle_timeout=None, max_ahead=None)
    arguments = connecting(door, *EAST)
    with open_hosts_door(door, door_url, arguments, policy=never) as chats:
        yield chats
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("moment", EDGES, ids=str)
def test_a_time_comes_back_to_the_microsecond(
    door: str, door_url: sa.URL, moment: datetime
) -> None:
    with open_door(door, door_url, policy=Policy(max_ahead=None)) as chats:
        _tell_the_time(chats, moment)


@pytest.mark.parametrize("moment", EDGES, ids=str)
def test_whatever_the_zone_of_the_host(far_from_greenwich: ChatEngine, moment: datetime) -> None:
    _tell_the_time(far_from_greenwich, moment)


def _tell_the_time(chats: ChatEngine, moment: datetime) -> None:
    """In one transaction, in another, by several rows at once; asked for in any zone."""
    for users in ("a", "a", "bc", "bc"):
        lines = [
            {**envelope("inbound", text(user=user, at=moment.isoformat()), 0)} for user in users
        ]
        chats.handle_many([{**line, "receivedAt": moment.isoformat()} for line in lines])

    sessions = {session.user_id: session for session in chats.sessions()}
    assert set(sessions) == set("abc")
    for session in sessions.values():
        assert (session.opened_at, session.last_seen_at) == (moment, moment)
        assert session.opened_at.tzinfo is UTC
        for row in chats.history(session.session_id):
            assert (row.received_at, row.effective_at, row.at) == (moment, moment, moment)
    for zone in (UTC, KOLKATA, FAR_WEST):
        since = moment.astimezone(zone)
        assert len(list(chats.sessions(opened_from=since))) == 3
        assert list(chats.sessions(opened_before=since)) == []
        if moment == EDGES[-1]:
            continue  # nothing can be later
        later = (moment + timedelta(microseconds=1)).astimezone(zone)
        assert list(chats.sessions(opened_from=later)) == []
        assert len(list(chats.sessions(opened_before=later))) == 3
    assert chats.verify().ok


def test_the_clock_strikes_at_the_same_moment_everywhere(door: str, door_url: sa.URL) -> None:
    with open_hosts_door(door, door_url, connecting(door, *EAST)) as chats:
        chats.handle("inbound", text(), received_at=at(0).astimezone(FAR_WEST))
        deadline = at(1800).astimezone(KOLKATA)
        assert chats.sweep(deadline - timedelta(microseconds=1)) == []
        (row,) = chats.sweep(deadline)
    assert row.effective_at == at(1800)


def test_the_examples_are_the_same_in_india(door: str, door_url: sa.URL) -> None:
    with open_hosts_door(door, door_url, connecting(door, *EAST)) as chats:
        chats.handle_many(ALL)

        assert stored(chats) == one_by_one()


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ("0001-01-01T00:00:00Z", WEST),
        ("0999-12-31T00:00:00Z", WEST),
        ("9999-12-31T23:59:59.999999Z", EAST),
    ],
    ids=["first day", "before the Swedes", "last day"],
)
def test_a_clock_that_is_wrong_by_ages_does_no_harm(
    door: str, door_url: sa.URL, sent: str, where: tuple[str, str]
) -> None:
    line = envelope("inbound", text(at=sent), 0, "m-1")
    with open_hosts_door(door, door_url, connecting(door, *where)) as chats:
        (receipt,) = chats.handle_many([line])
        (row,) = chats.history(receipt.rows[0].session_id or "")

        assert row.at == datetime.fromisoformat(sent)
        assert chats.handle_many([line])[0].outcome is Outcome.DUPLICATE


# --- times of other classes ---------------------------------------------------------------------


class OtherTime(datetime):
    """As pandas, pendulum and those who set the clock of a test make it."""


def other(moment: datetime) -> datetime:
    return OtherTime.combine(moment.date(), moment.timetz())


def test_a_time_may_be_of_a_class_of_the_hosts(chats: ChatEngine) -> None:
    chats.handle("inbound", text(), received_at=other(at(0)), message_id="1")
    receipt = chats.close_chat(PLATFORM, USER, at=other(at(1).astimezone(KOLKATA)))
    assert receipt is not None
    assert receipt.after is not None
    assert (receipt.after.opened_at, receipt.after.closed_at) == (at(0), at(1))
    chats.handle("inbound", text(), received_at=at(2), message_id="2")
    assert [row.user_id for row in chats.sweep(other(at(10_000)))] == [USER]
    assert [one.opened_at for one in chats.sessions(opened_from=other(at(1)))] == [at(2)]


def test_the_clock_may_be_set_by_a_class_of_its_own(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(OtherTime):
        @classmethod
        def now(cls, _: Any = None) -> "Clock":
            return cls.combine(at(5).date(), at(5).timetz())

    monkeypatch.setattr("sermo_fsm.engine.batch.datetime", Clock)
    receipt = chats.handle("inbound", text())
    assert receipt.after is not None
    assert receipt.after.opened_at == at(5)
    chat = chats.status(PLATFORM, USER)
    assert chat is not None
    assert (chat.opened_at, type(chat.opened_at)) == (at(5), datetime)
