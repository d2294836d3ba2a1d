"""What is the case now: worked out by hand, and against a second computation over whole lists."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sermo_fsm import (
    ChatEngine,
    ChatSession,
    HistoryRow,
    InvalidArgument,
    Outcome,
    Overview,
    State,
)
from sermo_fsm.analysis import overview_count
from sermo_fsm.views.overview import (
    DayCounts,
    HourCounts,
    PlatformHour,
    PlatformNow,
    Quantity,
)
from tests.another_table import hand_in, random_traffic, script
from tests.doors import each_signature
from tests.support import ANDERS, BOT, PLATFORM, at, event, text

HOUR = timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    return Clock(monkeypatch)


class Clock:
    """The time by which an overview is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def set(self, now: datetime) -> None:
        self._monkeypatch.setattr(overview_count, "_now", lambda: now)


def told(chats: ChatEngine, user: str, *events: tuple[str, dict[str, Any], float]) -> None:
    hand_in(chats, script(user, *((when, which, what) for which, what, when in events)))


ASKS = ("inbound", text())
ANSWERS = ("outbound", text(agent=BOT))
QUEUES = ("outbound", event("queue_number", queueNumber=3))
TAKES = ("outbound", text(agent=ANDERS))
LEAVES = ("inbound", event("client_left"))
BEATS = ("inbound", event("heartbeat"))


class TestNow:
    def test_nothing(self, chats: ChatEngine, clock: Clock) -> None:
        clock.set(at(0))
        found = chats.overview(hour=True, day=at(-1000), waiting=5, chats=["nobody"])

        assert found == Overview(
            at=at(0),
            target=timedelta(minutes=1),
            platforms={},
            newest_at=None,
            hour=HourCounts(at(0), {}),
            day=DayCounts(at(0), (Quantity(at(-1000), 0, 0),)),
            waiting=(),
            chats={},
        )
        assert found.lag is None

    def test_who_waits_and_since_when(self, chats: ChatEngine, clock: Clock) -> None:
        told(chats, "anna", (*ASKS, 0), (*QUEUES, 10))
        told(chats, "bert", (*ASKS, 5), (*QUEUES, 40))
        told(chats, "cia", (*ASKS, 20), (*TAKES, 30))
        told(chats, "dora", (*BEATS, 50))
        clock.set(at(100))
        found = chats.overview(waiting=10)

        assert dict(found.platforms) == {
            PLATFORM: PlatformNow(
                states={State.OPEN: 1, State.QUEUED: 2, State.WITH_AGENT: 1},
                waiting_since=at(10),
                over_target=1,  # exactly the target is in time
                unanswered=0,
                unanswered_since=None,
                overdue=0,
                last_seen_at=at(50),
            )
        }
        assert found.waiting is not None
        assert [one.user_id for one in found.waiting] == ["anna", "bert"]
        assert [one.user_id for one in chats.overview(waiting=1).waiting or ()] == ["anna"]
        longer = chats.overview(target=timedelta(seconds=89.999))
        assert longer.platforms[PLATFORM].over_target == 1
        assert chats.overview(target=timedelta(seconds=90)).platforms[PLATFORM].over_target == 0
        assert (found.hour, found.day, chats.overview().waiting) == (None, None, None)

    def test_who_was_in_the_queue_before_waits_since_the_first_time(
        self, chats: ChatEngine, clock: Clock
    ) -> None:
        told(chats, "anna", (*ASKS, 0), (*QUEUES, 10), (*TAKES, 20), (*QUEUES, 30))
        clock.set(at(40))

        assert chats.overview().platforms[PLATFORM].waiting_since == at(10)

    def test_with_the_bot_the_customer_waits_until_it_answers(
        self, chats: ChatEngine, clock: Clock
    ) -> None:
        told(chats, "anna", (*ASKS, 0))
        told(chats, "bert", (*ASKS, 1), (*ANSWERS, 2))
        told(chats, "cia", (*ASKS, 3), (*ANSWERS, 4), (*ASKS, 5))
        told(chats, "dora", ("outbound", text(agent=BOT), 6))
        clock.set(at(10))
        found = chats.overview().platforms[PLATFORM]

        assert (found.states, found.unanswered) == ({State.BOT: 4}, 2)
        assert found.unanswered_since == at(0)

    def test_past_the_deadline_nobody_waits_any_more(self, chats: ChatEngine, clock: Clock) -> None:
        told(chats, "anna", (*ASKS, 0), (*QUEUES, 10))
        told(chats, "bert", (*ASKS, 0))
        clock.set(at(1800))
        found = chats.overview(waiting=5)

        assert found.platforms[PLATFORM] == PlatformNow(
            states={State.BOT: 1, State.QUEUED: 1},
            waiting_since=None,
            over_target=0,
            unanswered=0,
            unanswered_since=None,
            overdue=2,
            last_seen_at=at(0),
        )
        assert found.waiting == ()
        chats.sweep(at(1800))
        assert chats.overview().platforms == {}

    def test_the_lag_is_that_of_the_newest_sign(self, chats: ChatEngine, clock: Clock) -> None:
        told(chats, "anna", (*ASKS, 0))
        clock.set(at(10))
        assert chats.overview().lag == timedelta(seconds=10)
        told(chats, "anna", (*BEATS, 7))  # which writes no row
        assert chats.overview().lag == timedelta(seconds=3)
        told(chats, "anna", (*ANSWERS, 9))
        assert chats.overview().lag == timedelta(seconds=1)
        told(chats, "anna", (*ANSWERS, 20))
        assert chats.overview().lag == timedelta()
        told(chats, "anna", (*LEAVES, 21))
        assert chats.overview().lag is None

    def test_chats_by_their_ids(self, chats: ChatEngine) -> None:
        told(chats, "anna", (*ASKS, 0))
        anna = chats.status(PLATFORM, "anna")
        assert anna is not None
        nobody = anna.session_id.replace("5", "4")

        assert chats.overview(chats=[anna.session_id, nobody, "x"]).chats == {anna.session_id: anna}


class TestHour:
    def test_by_hand(self, chats: ChatEngine, clock: Clock) -> None:
        told(chats, "old", (*ASKS, 0), (*QUEUES, 1), (*LEAVES, 20))
        told(chats, "anna", (*ASKS, 3590), (*QUEUES, 3600), (*LEAVES, 3700))
        told(chats, "short", (*ASKS, 3590), (*QUEUES, 3600), (*LEAVES, 3609))
        told(chats, "silent", (*ASKS, 3590), (*QUEUES, 3600), (*BEATS, 3605))
        told(chats, "gone", (*ASKS, 3590), (*QUEUES, 3600), (*BEATS, 3620))
        told(chats, "served", (*ASKS, 3590), (*TAKES, 3600), (*QUEUES, 3601), (*LEAVES, 3800))
        told(chats, "late", (*ASKS, 7200), (*LEAVES, 7300))
        told(chats, "nobody", ("inbound", event("client_left"), 7250))
        chats.handle("inbound", {"type": "mystery"}, received_at=at(7251), platform_id=PLATFORM)
        chats.handle("inbound", b"nonsense", received_at=at(7252))
        chats.handle("inbound", {"type": "text", "platformId": "app"}, received_at=at(7253))
        chats.sweep(at(5500))
        clock.set(at(20 + HOUR.total_seconds() + 1))
        first = chats.overview(hour=True).hour
        clock.set(at(7300))
        second = chats.overview(hour=True).hour

        assert first is not None
        assert second is not None
        assert dict(first.platforms) == {PLATFORM: PlatformHour(opened=5, closed=1, short=1)}
        assert dict(second.platforms) == {
            PLATFORM: PlatformHour(opened=1, closed=4, abandoned=2, short=1, strays=2),
            None: PlatformHour(invalid=2),  # what breaks the protocol is stored as it came
        }
        assert list(second.platforms) == [PLATFORM, None]

    def test_what_is_imported_late_has_happened_when_it_did(
        self, chats: ChatEngine, clock: Clock
    ) -> None:
        told(chats, "anna", (*ASKS, 7000), (*LEAVES, 7100))
        for number in range(5):
            told(chats, f"old-{number}", (*ASKS, number), (*LEAVES, number + 60))
        clock.set(at(7200))
        found = chats.overview(hour=True).hour

        assert found is not None
        assert dict(found.platforms) == {PLATFORM: PlatformHour(opened=1, closed=1)}

    def test_a_day_in_steps(self, chats: ChatEngine, clock: Clock) -> None:
        for number, seconds in enumerate((0, 1799, 1800, 4000)):
            told(chats, f"u-{number}", (*ASKS, seconds))
        told(chats, "u-2", (*QUEUES, 1900))
        clock.set(at(4001))
        found = chats.overview(day=at(0)).day

        assert found is not None
        assert found.steps == (
            Quantity(at(0), 2, 0),
            Quantity(at(1800), 1, 1),
            Quantity(at(3600), 1, 0),
        )


class TestNaive:
    @pytest.mark.parametrize("seed", range(3))
    def test_as_counted_over_whole_lists(self, chats: ChatEngine, clock: Clock, seed: int) -> None:
        hand_in(chats, random_traffic(seed, 300))
        moments = sorted(row.effective_at for row in every_row(chats))
        for share in (0.3, 0.6, 0.9, 1.0):
            now = moments[int((len(moments) - 1) * share)] + timedelta(microseconds=1)
            clock.set(now)
            found = chats.overview(hour=True, waiting=1000)

            assert found.platforms == naive_platforms(chats, now)
            assert found.hour is not None
            assert found.hour.platforms == naive_hour(chats, now)
            assert [one.session_id for one in found.waiting or ()] == [
                one.session_id for one in naive_waiting(chats, now)
            ]


def every_row(chats: ChatEngine) -> list[HistoryRow]:
    return [row for one in chats.sessions() for row in chats.history(one.session_id)]


def queued_at(chat: ChatSession) -> datetime:
    return chat.queued_at or chat.since


def naive_waiting(chats: ChatEngine, now: datetime) -> list[ChatSession]:
    waiting = [one for one in chats.sessions(state="queued") if one.live_at(now)]
    return sorted(waiting, key=queued_at)


def naive_platforms(chats: ChatEngine, now: datetime) -> dict[str, PlatformNow]:
    live = [one for one in chats.sessions() if one.live]
    if not live:
        return {}
    states = Counter(one.state for one in live)
    waiting = [queued_at(one) for one in live if one.state == "queued" and one.live_at(now)]
    asked = [
        one.last_customer_text_at
        for one in live
        if one.state == "bot" and one.live_at(now) and one.last_customer_text_at is not None
        if one.last_reply_at is None or one.last_reply_at < one.last_customer_text_at
    ]
    return {
        PLATFORM: PlatformNow(
            states=states,
            waiting_since=min(waiting, default=None),
            over_target=sum(now - since > timedelta(minutes=1) for since in waiting),
            unanswered=len(asked),
            unanswered_since=min(asked, default=None),
            overdue=sum(not one.live_at(now) for one in live),
            last_seen_at=max(filter(None, (one.last_seen_at for one in live)), default=None),
        )
    }


def naive_hour(chats: ChatEngine, now: datetime) -> dict[str | None, PlatformHour]:
    counts: dict[str | None, Counter[str]] = {}

    def count(platform: str | None, what: str, when: datetime | None) -> None:
        if when is not None and now - HOUR <= when < now:
            counts.setdefault(platform, Counter())[what] += 1

    for chat in chats.sessions():
        count(chat.platform_id, "opened", chat.opened_at)
        for row in chats.history(chat.session_id):
            if row.to_state is not State.CLOSED or row.outcome is not Outcome.MOVED:
                continue
            count(chat.platform_id, "closed", row.effective_at)
            if row.from_state is State.QUEUED and chat.agent is None:
                end = row.last_seen_at if row.trigger == "expire" else row.effective_at
                waited = (end or row.effective_at) - (chat.queued_at or row.effective_at)
                what = "short" if waited < timedelta(seconds=10) else "abandoned"
                count(chat.platform_id, what, row.effective_at)
    for row in chats.strays():
        what = "invalid" if row.outcome is Outcome.INVALID else "strays"
        count(row.platform_id, what, row.effective_at)
    return {platform: PlatformHour(**found) for platform, found in counts.items()}


@each_signature
@pytest.mark.parametrize(
    ("which", "what"),
    [
        ({"hours": True}, "hours: wanted one of target, hour, day, waiting, chats"),
        ({"target": timedelta(seconds=-1)}, "target: wanted a timedelta of zero or more"),
        ({"target": 60}, "target: wanted a timedelta"),
        ({"day": datetime(2026, 1, 1, tzinfo=UTC)}, "day: wanted a time at most 25 hours ago"),
        ({"day": datetime(2026, 1, 1)}, "day: wanted"),  # noqa: DTZ001 - on purpose
        ({"waiting": -1}, "waiting: wanted"),
        ({"chats": [None]}, "session_id: wanted a string"),
    ],
)
def test_what_is_unusable_is_refused(chats: ChatEngine, which: Any, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        chats.overview(**which)
