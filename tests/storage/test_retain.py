"""Nothing is kept longer than is said, on every database: what is too old goes, by portions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, InvalidArgument, Outcome, Policy, Retained, Retention
from sermo_fsm.engine import retaining
from sermo_fsm.storage import ageing
from sermo_fsm.storage.schema import tables
from tests.databases import dump
from tests.doors import each_signature, open_door
from tests.erased import PIXEL, WORDS, play, raw_text
from tests.support import ANDERS, BEATA, PLATFORM, USER, at, event, text

LATER = 10_000
"""When others chat, in seconds after the start."""


def ago(seconds: float) -> timedelta:
    """The age of what ended so many seconds after the start, and a little less."""
    return datetime.now(UTC) - at(seconds + 200)


@pytest.fixture(params=["usual", "small"])
def portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Portions as they are, and of one thing each."""
    size: str = request.param
    if size == "small":
        for name in ("_SPAN", "_SESSIONS", "_PICTURES"):
            monkeypatch.setattr(retaining, name, 1)
        for name in ("_PEOPLE", "_STRAYS"):
            monkeypatch.setattr(ageing, name, 1)
    return size


def two_of_them(chats: ChatEngine) -> None:
    """The chats of Anna, which are too old in what follows, and those of Beata."""
    play(chats)
    play(chats, "beata", LATER)


def what(database: sa.Engine) -> set[str]:
    """What was written down of portions."""
    with database.connect() as connection:
        return {*connection.execute(sa.select(tables().erasure.c.what)).scalars()}


def count(done: Retained) -> tuple[int, ...]:
    return (done.persons, done.sessions, done.bodies, done.pictures, done.strays, done.held)


@pytest.mark.usefixtures("portions")
def test_bodies_and_names_go_and_the_person_stays(chats: ChatEngine, database: sa.Engine) -> None:
    two_of_them(chats)
    hers = [
        row.event for one in chats.sessions(user="beata") for row in chats.history(one.session_id)
    ]
    figures = chats.figures()
    done = chats.retain(Retention(bodies=ago(0)), by="cron")
    assert count(done) == (0, 2, 9, 0, 0, 0)
    assert done.overwritten is (True if database.dialect.name == "sqlite" else None)
    for one in chats.sessions(user=USER):
        assert {row.event for row in chats.history(one.session_id)} == {None}
        assert one.agent is None or (one.agent.id, one.agent.name) == (ANDERS["id"], None)
        assert one.flow_group_id is None
    assert hers == [
        row.event for one in chats.sessions(user="beata") for row in chats.history(one.session_id)
    ]
    assert chats.figures() == figures
    assert chats.verify().ok
    assert what(database) == {"bodies"}
    before = dump(database)
    assert count(chats.retain(Retention(bodies=ago(0)))) == (0,) * 6
    assert dump(database) == before


def test_a_chat_may_have_gone_on_from_one_whose_bodies_are_gone(chats: ChatEngine) -> None:
    play(chats)
    second, first = chats.sessions(user=USER)
    assert (second.resumed, second.previous_session_id) == (True, first.session_id)
    assert first.closed_at is not None
    age = datetime.now(UTC) - first.closed_at - timedelta(seconds=15)
    assert count(chats.retain(Retention(bodies=age)))[:3] == (0, 1, 5)
    verification = chats.verify()
    assert verification.ok, verification.problems
    assert count(chats.retain(Retention(bodies=ago(0))))[:3] == (0, 1, 4)
    assert chats.verify().ok


def test_what_comes_late_to_a_chat_without_bodies_is_no_trouble(chats: ChatEngine) -> None:
    for direction, said, seconds in (
        ("inbound", text(WORDS), 0),
        ("outbound", text(WORDS, agent=ANDERS), 1),
        ("outbound", event("agent_done"), 10),
    ):
        chats.handle(direction, said, received_at=at(seconds))  # type: ignore[arg-type]
    assert chats.retain(Retention(bodies=ago(0))).bodies == 3
    late = chats.handle("outbound", text("Hej då", agent=BEATA), received_at=at(9))
    assert late.outcome is Outcome.LATE
    assert chats.verify().ok
    assert chats.retain(Retention(bodies=ago(0))).bodies == 1
    assert chats.verify().ok


@pytest.mark.parametrize(
    "ends", [("outbound", event("end_session")), ("inbound", text("Hej igen"))], ids=("end", "next")
)
def test_what_comes_late_and_changes_nothing_tells_nothing_of_before(
    chats: ChatEngine, ends: tuple[Any, dict[str, Any]]
) -> None:
    chats.handle("inbound", text(WORDS), received_at=at(0))
    chats.sweep(at(50_000))
    chats.handle("outbound", text(WORDS, agent=ANDERS), received_at=at(1))
    chats.handle(*ends, received_at=at(50_001))
    chats.retain(Retention(bodies=ago(3600)))
    late = chats.handle("outbound", text("Hej då", agent=BEATA), received_at=at(2))
    if ends[0] == "outbound":
        assert late.outcome is Outcome.LATE
    verification = chats.verify()
    assert verification.ok, verification.problems


@pytest.mark.usefixtures("portions")
def test_pictures_go_before_bodies(chats: ChatEngine, database: sa.Engine) -> None:
    two_of_them(chats)  # who have sent the same picture
    stray = event("weather", "nobody", image=PIXEL + "AAAA")
    chats.handle("outbound", stray, message_id="stray", received_at=at(0))
    assert count(chats.retain(Retention(pictures=ago(0)))) == (0, 0, 0, 1, 0, 0)
    assert what(database) == {"pictures"}
    assert chats.verify().ok
    for message, said, outcome in (
        ("m-2", text(WORDS, image=PIXEL), Outcome.DUPLICATE),
        ("m-2", text(WORDS, image=PIXEL + "AAAA"), Outcome.DUPLICATE),  # who could tell?
        ("m-10002", text(WORDS, "beata", image=PIXEL), Outcome.DUPLICATE),
    ):
        assert chats.handle("inbound", said, message_id=message).outcome is outcome
    (other,) = chats.handle_many(
        [{"direction": "inbound", "messageId": "m-2", "event": text("other", image=PIXEL)}]
    )
    assert other.outcome is Outcome.CONFLICT
    first = chats.handle("outbound", stray, message_id="stray").first
    assert first is not None
    assert first.event is not None
    assert (first.event["image"]["sha256"], first.event["image"]["mediaType"]) == (
        None,
        "image/png",
    )
    assert count(chats.retain(Retention(pictures=ago(LATER)))) == (0, 0, 0, 1, 0, 0)
    assert dump(database)["sermo_image"] == []


def test_an_event_that_can_not_be_read_loses_its_picture_all_the_same(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    with database.begin() as connection:
        connection.execute(sa.update(tables().body).values(event="no JSON"))
    assert chats.retain(Retention(pictures=ago(0))).pictures == 1
    assert {row[3] for row in dump(database)["sermo_body"]} == {None}


def test_a_picture_that_somebody_else_has_just_erased_is_no_trouble(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(chats)
    monkeypatch.setattr(ageing, "old_pictures", lambda *_, **__: [(999, None)])
    assert chats.retain(Retention(pictures=ago(0))).pictures == 0


@pytest.mark.usefixtures("portions")
def test_people_become_anonymous(chats: ChatEngine, database: sa.Engine) -> None:
    two_of_them(chats)
    play(chats, "cilla", 100)
    chats.handle("inbound", text("Hej igen", "cilla"), received_at=at(LATER + 200))
    chats.sweep(at(2 * LATER))
    figures = chats.figures()
    done = chats.retain(Retention(people=ago(0)))
    assert count(done) == (1, 2, 9 + 4, 0, 4, 0)  # with Cilla's old strays
    assert done.rows == 10
    assert {one.user_id[:7] for one in chats.sessions()} == {"erased-", "beata", "cilla"}
    assert not list(chats.sessions(user=USER))
    assert chats.verify().ok
    assert chats.figures() == figures
    assert what(database) == {"people", "strays"}
    assert f'"{USER}"' not in raw_text(database)
    assert count(chats.retain(Retention(people=ago(0)))) == (0,) * 6
    assert count(chats.retain(Retention(people=ago(2 * LATER))))[0] == 2


@pytest.mark.usefixtures("portions")
def test_strays_lose_what_they_say(chats: ChatEngine, database: sa.Engine) -> None:
    two_of_them(chats)
    chats.handle("inbound", '{"type": "text", "userId": "anna"', received_at=at(5))
    done = chats.retain(Retention(strays=ago(0)))
    assert count(done) == (0, 0, 3, 0, 3, 0)
    rows = [(row.user_id, row.reason, row.event, row.raw) for row in chats.strays()]
    assert rows.count((None, None, None, None)) == 3
    assert len(rows) == 5
    assert what(database) == {"strays"}
    assert count(chats.retain(Retention(strays=ago(0)))) == (0,) * 6
    again = event("weather", wind=WORDS)
    assert chats.handle("outbound", again, message_id="m-1").outcome is Outcome.DUPLICATE


def test_live_chats_are_never_too_old(chats: ChatEngine, database: sa.Engine) -> None:
    chats.handle("inbound", text(WORDS, image=PIXEL), received_at=at(0))
    before = dump(database)
    every = Retention(**dict.fromkeys(("bodies", "pictures", "people", "strays"), ago(0)))
    assert count(chats.retain(every)) == (0,) * 6
    assert dump(database) == before


@pytest.mark.usefixtures("portions")
def test_who_is_held_back_is_passed_over_and_counted(chats: ChatEngine) -> None:
    play(chats)
    for raw in ('{"userId": "anna", "type"', '{"userId": "nobody", "type"'):
        chats.handle("inbound", raw, received_at=at(0))
    chats.handle("inbound", {"type": "weather", "userId": USER}, received_at=at(0))
    chats.handle("inbound", {"type": "weather", "userId": "n"}, received_at=at(0))
    assert chats.hold(PLATFORM, USER, reason="court")
    held = [
        row.reason for row in chats.strays() if row.user_id == USER or "anna" in (row.raw or "")
    ]
    for kind in ("bodies", "pictures", "people"):
        done = chats.retain(Retention(**{kind: ago(0)}), dry_run=True)
        assert count(done)[:4] == (0, 0, 2 if kind == "people" else 0, 0)
        assert done.held == 1
    done = chats.retain(Retention(strays=ago(0)))
    assert (done.strays, done.held) == (2, 1)
    assert [row.reason for row in chats.strays() if row.reason] == held
    assert chats.release(PLATFORM, USER)
    assert chats.retain(Retention(strays=ago(0))).strays == len(held)
    assert chats.retain(Retention(people=ago(0))).persons == 1


def test_each_platform_may_have_its_own_ages(door: str, door_url: sa.URL) -> None:
    policy = Policy(
        retention=Retention(bodies=ago(0)),
        retention_on={"messenger": Retention(), "sms": Retention(bodies=ago(LATER))},
    )
    with open_door(door, door_url, policy=policy) as chats:
        for platform in ("web", "messenger", "sms"):
            for start in (0, LATER):
                for name in ("inbound", "outbound"):
                    said = {"type": "text", "text": WORDS, "userId": f"u-{start}"}
                    said["platformId"] = platform
                    chats.handle(name, said, received_at=at(start))
        chats.sweep(at(2 * LATER))

        def bodies(**which: Any) -> int:
            return chats.retain(dry_run=True, **which).bodies

        later = timedelta(minutes=30)
        policy_says = [bodies(platform=one) for one in ("web", "messenger", "sms", "elsewhere")]
        assert policy_says == [0, 0, 2, 0]
        short = Retention(bodies=ago(0) - later)
        assert [bodies(platform=one, retention=short) for one in ("web", "messenger")] == [2, 2]
        assert bodies(retention=short) == 6
        assert bodies() == 2
        assert chats.retain().bodies == 2


def test_a_text_that_may_name_somebody_is_kept_no_longer_than_anybody(
    door: str, door_url: sa.URL
) -> None:
    policy = Policy(retention_on={"messenger": Retention(people=ago(0))})
    with open_door(door, door_url, policy=policy) as chats:
        for platform in ("messenger", "web"):
            said = {"type": "weather", "userId": USER, "platformId": platform}
            chats.handle("inbound", said, received_at=at(-1))
        raw = '{"type": "text", "platformId": "messenger", "userId": "anna'
        chats.handle("inbound", raw, received_at=at(-1))
        assert chats.retain(platform="web").strays == 0
        assert chats.retain(platform="messenger", dry_run=True).strays == 1
        assert chats.retain().strays == 2
        assert [row.platform_id for row in chats.strays() if row.reason] == ["web"]


@pytest.mark.usefixtures("portions")
def test_a_dry_run_counts_the_same_and_changes_nothing(
    chats: ChatEngine, database: sa.Engine
) -> None:
    play(chats)
    chats.handle("outbound", event("weather", "n", image=PIXEL + "BBBB"), received_at=at(1))
    for number, kind in enumerate(("bodies", "pictures", "people", "strays")):
        before = dump(database)
        retention = Retention(**{kind: ago(1000 * number)})
        dry = chats.retain(retention, dry_run=True)
        assert dump(database) == before
        assert dry.overwritten is None
        wet = chats.retain(retention)
        assert count(dry) == count(wet) != (0,) * 6, kind
        assert (wet.as_dict()["strays"], wet.as_dict()["persons"]) == (wet.strays, wet.persons)
        play(chats, f"after {kind}", 1000 * number + 500)


def test_what_was_erased_before_an_error_stays_so_and_the_next_call_goes_on(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "_SESSIONS", 1)
    two_of_them(chats)
    told: list[Retained] = []

    def interrupt(done: Retained) -> None:
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chats.retain(Retention(bodies=ago(0)), progress=interrupt)
    (first,) = told
    assert first.sessions == 1
    assert chats.verify().ok
    rest = chats.retain(Retention(bodies=ago(0)))
    assert (rest.sessions, first.bodies + rest.bodies) == (1, 9)


def test_who_comes_back_meanwhile_stays(
    chats: ChatEngine, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(chats)
    find: Any = ageing.old_people

    def too_late(*given: Any, **more: Any) -> Any:
        found = find(*given, **more)
        with database.begin() as connection:  # as it looks once somebody has written
            young = sa.update(tables().session).values(closed_at=datetime.now(UTC))
            connection.execute(young.where(tables().session.c.ordinal == 2))
        return found

    monkeypatch.setattr(ageing, "old_people", too_late)
    assert chats.retain(Retention(people=ago(0))).persons == 0
    assert chats.status(PLATFORM, USER)


@each_signature
@pytest.mark.parametrize(
    ("wrong", "argument"),
    [({"retention": 5}, "retention"), ({"platform": ""}, "platform"), ({"by": ""}, "by")],
    ids=str,
)
def test_what_is_no_argument_is_refused(
    chats: ChatEngine, wrong: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        chats.retain(**wrong)
    assert caught.value.argument == argument
