"""The figures: against a second, naive computation, and against what was worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sermo_fsm import ChatEngine, InvalidArgument, StoreError
from sermo_fsm.analysis import figures_count, full_scan
from tests.another_table import hand_in, random_traffic, script
from tests.databases import look_away
from tests.doors import each_signature, fewer
from tests.naive_figures import all_visits, naive_figures
from tests.support import ANDERS, BEATA, BOT, EXAMPLES, PLATFORM, at

APP = "app"
STOCKHOLM = ZoneInfo("Europe/Stockholm")
CUSTOMER = {"type": "text", "text": "Hej!"}
HEARTBEAT = {"type": "heartbeat"}
REPLY = {"type": "text", "text": "Hej!", "agent": BOT}
AGENT = {"type": "text", "text": "Hej!", "agent": ANDERS}
ANOTHER = {"type": "text", "text": "Hej!", "agent": BEATA}
QUEUE = {"type": "queue_number", "queueNumber": 3}
LEFT = {"type": "client_left"}
UNLOAD = {"type": "client_unload"}
CLOSED = {"type": "platform_closed"}
TO_BOT = {"type": "handover_to_bot"}
DONE = {"type": "agent_done"}

Told = dict[str, Any]


def told(chats: ChatEngine, **which: Any) -> dict[str, Told]:
    groups: dict[str, Told] = chats.figures(**which).as_dict()["figures"]
    return groups


def everything(chats: ChatEngine, **which: Any) -> Told:
    (group,) = told(chats, **which).values()
    return group


def some(n: int, median: float, p90: float, mean: float) -> Told:
    return {"n": n, "median": median, "p90": p90, "mean": mean}


def one(seconds: float) -> Told:
    return some(1, seconds, seconds, seconds)


NONE = {"n": 0, "median": None, "p90": None, "mean": None}


# --- worked out by hand ---------------------------------------------------------------------------

# Of each chat in examples/, from the times in its lines; "09:" and the like are left out.
#
# 1  queued 01:08.310 (handover) to 02:21.590 (Anders' first text): 73.280.
#    Bot: 00:46.871 to 00:47.533. Human: from the text 00:46.871, and from the handover.
#    With Anders until client_left 03:47.905. His last text is late.
# 2  queued 20:24.015 to 20:50.611 (Elin): 26.596; Elin until the transfer 21:33.704: 43.093;
#    queued 21:33.704 to 22:47.802 (Johan): 74.098; Johan until agent_done 23:52.338: 64.536.
#    Bot: 20:20.306 to 20:21.121. Elin's agent_done is ignored.
# 3  queued 05:27.266 to 07:58.390 (handover_to_bot): 151.124; 08:11.948 to 09:19.781 (Maria):
#    67.833; Maria until 10:21.660: 61.879. Bot: 05:14.388 to 05:15.207.
#    Human: from the text 245.393, from the first handover 232.515.
# 4  two visits. First: queued 30:15.480 to 30:38.904; Niklas until 31:47.018: 68.114. Bot: 08.902
#    to 09.655. Second, 94 s after: never queued; Oskar from 33:36.590 to 34:20.982, when it goes to
#    the bot. Bot: 33:21.035 to 33:22.116. Human: 33:21.035 to 33:36.590, and 30:08.902 to
#    30:38.904.
# 5  one visit of two sessions: queued 18:51:30.122 to 19:00:00.214, when the queue closed, for the
#    phone only slept: 510.092. Bot: 51:18.064 to 51:18.850.
# 6  two visits. First: bot alone, left, and came back after 2 minutes. Second: queued 01:07.266 to
#    02:03.508 (claim): 56.242; Anders to 03:25.041: 81.533; queued to 03:58.365: 33.324; Maria to
#    05:10.573: 72.208, when the chat goes to the bot; queued 05:34.027 to 05:59.337: 25.310; Oskar
#    to 07:05.633: 66.296. Bot: 24.530 to 25.266, and 47.655 to 48.402. Human: 00:47.655 to
#    02:41.926, and from 01:07.266.
BY_HAND: dict[str, Told] = {
    "1-standard.jsonl": {
        "timeInQueue": one(73.28),
        "firstBotResponse": one(0.662),
        "firstHumanResponse": one(94.719),
        "firstHumanResponseFromHandover": one(73.28),
        "handleTime": one(86.315) | {"byAgent": {"anan01": one(86.315)}},
        "abandonment": (0, 1),
        "serviceLevel": (0, 1),
        "containment": (0, 1),
        "transfers": (0, 0, 0),
        "byEnd": {"client_left": 1},
        "within24Hours": (None, None),
    },
    "2-transfer.jsonl": {
        "timeInQueue": some(2, 26.596, 74.098, 50.347),
        "firstBotResponse": one(0.815),
        "firstHumanResponse": one(30.305),
        "firstHumanResponseFromHandover": one(26.596),
        "handleTime": some(2, 43.093, 64.536, 53.8145)
        | {"byAgent": {"elsj04": one(43.093), "jolu11": one(64.536)}},
        "abandonment": (0, 2),
        "serviceLevel": (1, 2),
        "containment": (0, 1),
        "transfers": (1, 0, 0),
        "byEnd": {"agent_done": 1},
        "within24Hours": (None, None),
    },
    "3-still-there.jsonl": {
        "timeInQueue": some(2, 67.833, 151.124, 109.4785),
        "firstBotResponse": one(0.819),
        "firstHumanResponse": one(245.393),
        "firstHumanResponseFromHandover": one(232.515),
        "handleTime": one(61.879) | {"byAgent": {"mabe23": one(61.879)}},
        "abandonment": (0, 2),
        "serviceLevel": (0, 1),
        "containment": (0, 1),
        "transfers": (0, 0, 0),
        "byEnd": {"agent_done": 1},
        "within24Hours": (None, None),
    },
    "4-one-more-question.jsonl": {
        "timeInQueue": one(23.424),
        "firstBotResponse": some(2, 0.753, 1.081, 0.917),
        "firstHumanResponse": some(2, 15.555, 30.002, 22.7785),
        "firstHumanResponseFromHandover": one(23.424),
        "handleTime": some(2, 44.392, 68.114, 56.253)
        | {"byAgent": {"niek09": one(68.114), "osha16": one(44.392)}},
        "abandonment": (0, 1),
        "serviceLevel": (1, 1),
        "containment": (0, 2),
        "transfers": (0, 0, 1),
        "byEnd": {"client_left": 1, "agent_done": 1},
        "within24Hours": (1, 2),
    },
    "5-queue-closes.jsonl": {
        "timeInQueue": one(510.092),
        "firstBotResponse": one(0.786),
        "firstHumanResponse": NONE,
        "firstHumanResponseFromHandover": NONE,
        "handleTime": NONE | {"byAgent": {}},
        "abandonment": (0, 0),
        "serviceLevel": (0, 0),
        "containment": (0, 1),
        "transfers": (0, 0, 0),
        "byEnd": {"client_unload": 1},
        "within24Hours": (None, None),
    },
    "6-later-events.jsonl": {
        "timeInQueue": some(3, 33.324, 56.242, 38.292),
        "firstBotResponse": some(2, 0.736, 0.747, 0.7415),
        "firstHumanResponse": one(114.271),
        "firstHumanResponseFromHandover": one(94.66),
        "handleTime": some(3, 72.208, 81.533, 73.345667)  # 220.037 / 3
        | {"byAgent": {"anan01": one(81.533), "mabe23": one(72.208), "osha16": one(66.296)}},
        "abandonment": (0, 3),
        "serviceLevel": (3, 3),
        "containment": (0, 2),
        "transfers": (1, 0, 1),
        "byEnd": {"client_left": 1, "end_session": 1},
        "within24Hours": (1, 2),
    },
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_examples_are_as_worked_out_by_hand(chats: ChatEngine, name: str) -> None:
    chats.handle_many((EXAMPLES / name).read_bytes().splitlines())
    chats.sweep(datetime(2026, 3, 20, tzinfo=UTC))
    wanted = BY_HAND[name]

    found = everything(chats)

    for figure in ("firstBotResponse", "firstHumanResponse", "firstHumanResponseFromHandover"):
        assert found[figure] == wanted[figure]
    assert found["handleTime"] == wanted["handleTime"]
    assert {key: found["timeInQueue"][key] for key in NONE} == wanted["timeInQueue"]
    for figure in ("abandonment", "serviceLevel", "containment"):
        assert (found[figure]["numerator"], found[figure]["denominator"]) == wanted[figure]
    assert tuple(found["transfers"].values()) == wanted["transfers"]
    ends = {end: count for end, count in found["visits"]["byEnd"].items() if count}
    assert ends == wanted["byEnd"]
    again = found["repeatVisits"]["within24Hours"]
    assert (again["numerator"], again["denominator"]) == wanted["within24Hours"]


def test_the_waits_of_the_examples_by_how_they_ended(chats: ChatEngine) -> None:
    for name in BY_HAND:
        chats.handle_many((EXAMPLES / name).read_bytes().splitlines())
    chats.sweep(datetime(2026, 3, 20, tzinfo=UTC))

    found = everything(chats)["timeInQueue"]

    # 1: 73.280. 2: 26.596, 74.098. 3: 67.833. 4: 23.424. 6: 56.242, 33.324, 25.310. Sum 380.107.
    assert found["byEnd"] == {
        "agent": some(8, 33.324, 74.098, 47.513375),
        "customerLeft": NONE,
        "clock": NONE,
        "bot": one(151.124),
        "queueClosed": one(510.092),
        "closed": NONE,
    }
    assert found["n"] == 10


# --- rules ----------------------------------------------------------------------------------------


def test_who_gave_up_and_who_was_answered_in_time(chats: ChatEngine) -> None:
    hand_in(chats, script("fast", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("fast", (61, "outbound", AGENT), (90, "outbound", DONE)))
    hand_in(chats, script("slow", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("slow", (62, "outbound", AGENT), (90, "outbound", DONE)))
    hand_in(chats, script("gone", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("gone", (11, "inbound", LEFT)))
    hand_in(chats, script("hasty", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("hasty", (10, "inbound", LEFT)))
    hand_in(chats, script("sent back", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("sent back", (5, "outbound", CLOSED), (6, "inbound", LEFT)))
    hand_in(chats, script("flown", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
    hand_in(chats, script("flown", (30, "outbound", TO_BOT), (31, "inbound", LEFT)))
    hand_in(chats, script("spoken to", (0, "inbound", CUSTOMER), (1, "outbound", AGENT)))
    hand_in(chats, script("spoken to", (2, "outbound", QUEUE), (99, "inbound", LEFT)))
    hand_in(chats, script("waits", (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))

    found = everything(chats)

    assert found["abandonment"] == {
        # gone; of fast, slow, gone, flown, spoken to
        "numerator": 1,
        "denominator": 5,
        "rate": 0.2,
        "short": 1,
        "queueClosed": 1,
    }
    assert found["serviceLevel"] == {
        # fast; of fast, slow, gone
        "numerator": 1,
        "denominator": 3,
        "rate": 1 / 3,
        "answered": 2,
        "abandoned": 1,
    }
    assert found["visits"]["live"] == 1
    closer = everything(chats, target=timedelta(seconds=61), short=timedelta(seconds=11))
    assert closer["serviceLevel"]["rate"] == 1
    assert closer["abandonment"]["short"] == 2


def test_a_stay_that_the_clock_ended_is_counted_to_the_last_sign_of_life(
    chats: ChatEngine,
) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    hand_in(chats, script("anna", (40, "inbound", HEARTBEAT), (50, "outbound", QUEUE)))
    hand_in(chats, script("bo", (0, "inbound", CUSTOMER), (10, "outbound", AGENT)))
    hand_in(chats, script("bo", (25, "inbound", UNLOAD), (26, "outbound", AGENT)))
    hand_in(chats, script("cia", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    hand_in(chats, script("dan", (0, "outbound", QUEUE)))  # nobody ever saw this customer
    chats.sweep(at(4000))

    found = everything(chats)

    assert found["timeInQueue"]["byEnd"]["clock"] == some(3, 0, 30, 10)
    assert found["handleTime"]["byAgent"] == {"anan01": one(15)}
    assert found["abandonment"]["short"] == 2
    assert found["visits"]["byOpener"] == {"customer": 3, "bot": 0, "agent": 0, "other": 1}


def test_who_is_taken_for_gone_and_comes_back_has_not_left_the_queue(chats: ChatEngine) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    hand_in(chats, script("anna", (20, "inbound", UNLOAD), (100, "inbound", HEARTBEAT)))
    hand_in(chats, script("anna", (110, "outbound", AGENT), (120, "outbound", DONE)))
    # Taken for gone, and an agent takes the chat before bo is back: the wait has ended by then.
    hand_in(chats, script("bo", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    hand_in(chats, script("bo", (30, "inbound", UNLOAD)))
    chats.sweep(at(90))
    hand_in(chats, script("bo", (95, "outbound", AGENT), (100, "inbound", HEARTBEAT)))
    hand_in(chats, script("bo", (130, "outbound", DONE)))

    found = everything(chats)

    assert found["visits"]["opened"] == 2
    assert found["timeInQueue"]["byEnd"]["agent"] == one(100)
    assert found["timeInQueue"]["byEnd"]["clock"] == one(20)
    assert found["handleTime"]["byAgent"] == {"anan01": some(2, 10, 30, 20)}
    (hour,) = found["load"]
    assert hour["states"]["queued"] == {"mean": pytest.approx(120 / 3600), "max": 2}
    assert {visit.session_ids for visit in chats.visits()} == {
        tuple(one.session_id for one in sorted(chats.sessions(user=user), key=lambda s: s.ordinal))
        for user in ("anna", "bo")
    }


@pytest.mark.parametrize("size", [1, 500])
def test_a_visit_belongs_to_the_span_in_which_it_opened_with_all_that_resumed_it(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(full_scan, "_SESSIONS", size)
    monkeypatch.setattr(figures_count, "_KEYS", size)
    for user in ("anna", "bo"):
        hand_in(chats, script(user, (0, "inbound", CUSTOMER), (1, "outbound", QUEUE)))
        for seconds in (100, 200, 300):
            hand_in(chats, script(user, (seconds, "inbound", UNLOAD)))
            hand_in(chats, script(user, (seconds + 70, "inbound", HEARTBEAT)))
        hand_in(chats, script(user, (401, "outbound", AGENT), (500, "outbound", DONE)))
    hand_in(chats, script("cia", (400, "inbound", CUSTOMER), (401, "inbound", LEFT)))

    before = everything(chats, until=at(150))
    assert before["visits"]["opened"] == 2
    assert before["timeInQueue"]["byEnd"]["agent"] == some(2, 400, 400, 400)
    assert before["load"][0]["states"]["queued"]["mean"] == 2 * 149 / 3600
    assert everything(chats, since=at(1))["visits"]["opened"] == 1
    assert everything(chats, since=at(150), until=at(400))["visits"]["opened"] == 0


def test_an_agent_who_takes_over_begins_a_stay(chats: ChatEngine) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", AGENT)))
    hand_in(chats, script("anna", (30, "outbound", ANOTHER), (35, "outbound", QUEUE)))
    hand_in(chats, script("anna", (50, "outbound", AGENT), (60, "outbound", TO_BOT)))
    hand_in(chats, script("anna", (70, "inbound", LEFT)))

    found = everything(chats)

    assert found["handleTime"]["byAgent"] == {"anan01": some(2, 10, 20, 15), "bebe02": one(5)}
    assert found["transfers"] == {"toQueue": 1, "toAgent": 1, "toBot": 1}
    assert list(told(chats, by="agent")) == ["anan01"]


def test_what_the_bot_contained_and_who_came_back(chats: ChatEngine) -> None:
    day = 86_400
    solved = ((0, "inbound", CUSTOMER), (1, "outbound", REPLY))
    hand_in(chats, script("left", *solved, (2, "inbound", LEFT)))
    hand_in(chats, script("unload", *solved, (2, "inbound", UNLOAD)))
    hand_in(chats, script("silent", *solved))
    hand_in(chats, script("closed", *solved))
    chats.close_chat(PLATFORM, "closed", at=at(5))
    hand_in(chats, script("unanswered", (0, "inbound", CUSTOMER), (2, "inbound", LEFT)))
    hand_in(chats, script("mute", (0, "inbound", HEARTBEAT), (2, "inbound", LEFT)))
    hand_in(chats, script("queued", *solved, (2, "outbound", QUEUE), (3, "inbound", LEFT)))
    chats.sweep(at(10_000))
    hand_in(chats, script("left", (2 + day, "inbound", CUSTOMER), (3 + day, "inbound", LEFT)))
    hand_in(chats, script("unload", (63 + day, "inbound", CUSTOMER)))
    hand_in(chats, script("silent", (2 + 7.1 * day, "inbound", CUSTOMER)))

    found = everything(chats, until=at(60))

    assert found["containment"] == {
        # unload, silent, closed; of those, left, unanswered and queued
        "numerator": 3,
        "denominator": 6,
        "rate": 0.5,
        "left": 1,
        "wentSilent": 1,
        "closed": 1,
        "cameBack": 1,
        "tooRecent": 0,
    }
    again = found["repeatVisits"]
    assert (again["within24Hours"]["numerator"], again["within24Hours"]["denominator"]) == (1, 7)
    assert again["within24Hours"]["byEnd"]["client_left"]["denominator"] == 4
    assert (again["within7Days"]["numerator"], again["within7Days"]["denominator"]) == (2, 7)
    assert found["notes"] == {
        "serviceLevel.rate": "the denominator is 0",
        "abandonment.rate": "the denominator is 0",
    }


def test_who_has_left_only_just_may_still_come_back(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86_400
    solved = ((-2, "inbound", CUSTOMER), (-1, "outbound", REPLY), (0, "inbound", LEFT))
    hand_in(chats, script("back", *solved, (1, "inbound", CUSTOMER), (2, "outbound", REPLY)))
    hand_in(chats, script("gone", *solved))
    hand_in(chats, script("served", *solved[:1], (-1, "outbound", AGENT), (0, "inbound", LEFT)))

    def parts(seconds: float) -> tuple[tuple[Any, ...], ...]:
        monkeypatch.setattr(figures_count, "_now", lambda: at(seconds))
        found = everything(chats, until=at(0))
        again = found["repeatVisits"].values()
        rates = (found["containment"], *again)
        names = ("numerator", "denominator", "tooRecent")
        places = ("containment", "repeatVisits.within24Hours", "repeatVisits.within7Days")
        notes = tuple(found["notes"].get(place, "")[:16] for place in places)
        assert all(one["byEnd"] == {} for one in again if not one["denominator"])
        return (*(tuple(one[name] for name in names) for one in rates), notes)

    three = "3 of the visits "
    assert parts(day) == ((0, 0, 3), (0, 0, 3), (0, 0, 3), (three, three, three))
    assert parts(day + 1) == ((1, 3, 0), (1, 3, 0), (0, 0, 3), ("", "", three))
    assert parts(7 * day) == ((1, 3, 0), (1, 3, 0), (0, 0, 3), ("", "", three))
    assert parts(7 * day + 1) == ((1, 3, 0), (1, 3, 0), (1, 3, 0), ("", "", ""))


def test_where_nobody_is_known_to_return_it_says_so(chats: ChatEngine) -> None:
    solved = ((0, "inbound", CUSTOMER), (1, "outbound", REPLY), (2, "inbound", LEFT))
    hand_in(chats, script("u-1", *solved), platform=APP)
    hand_in(chats, script("anna", *solved))
    hand_in(chats, script("anna", (4, "inbound", CUSTOMER)))

    groups = told(chats, by="platform")

    assert list(groups) == [APP, PLATFORM]
    assert groups[APP]["containment"]["cameBack"] is None
    assert groups[APP]["containment"]["rate"] == 1
    assert groups[APP]["repeatVisits"]["within7Days"]["rate"] is None
    assert "app" in groups[APP]["notes"]["containment.cameBack"]
    assert "app" in groups[APP]["notes"]["repeatVisits"]
    assert groups[PLATFORM]["containment"]["cameBack"] == 1
    assert "repeatVisits" not in groups[PLATFORM]["notes"]
    both = everything(chats)
    assert both["repeatVisits"]["within24Hours"]["denominator"] == 1
    assert "app" in both["notes"]["repeatVisits"]


def test_by_day_a_day_is_that_of_the_zone_also_where_it_has_23_hours(chats: ChatEngine) -> None:
    for number, opened_at in enumerate(
        (
            datetime(2026, 3, 28, 22, 59, tzinfo=UTC),  # 23:59
            datetime(2026, 3, 28, 23, 0, tzinfo=UTC),  # 00:00, the day of 23 hours
            datetime(2026, 3, 29, 0, 59, tzinfo=UTC),  # 01:59
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # 03:00
            datetime(2026, 3, 29, 21, 59, tzinfo=UTC),  # 23:59
            datetime(2026, 3, 29, 22, 0, tzinfo=UTC),  # 00:00
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # 02:30 in summer
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # 02:30 in winter
        )
    ):
        event = {**CUSTOMER, "platformId": PLATFORM, "userId": f"u-{number}"}
        chats.handle("inbound", event, received_at=opened_at)

    def opened(by: str) -> dict[str, int]:
        groups = told(chats, by=by, zone=STOCKHOLM)
        return {name: group["visits"]["opened"] for name, group in groups.items()}

    assert list(opened("hour"))[-2:] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]
    assert opened("day") == {
        "2026-03-28": 1,
        "2026-03-29": 4,
        "2026-03-30": 1,
        "2026-10-25": 2,
    }
    assert opened("week") == {"2026-W13": 5, "2026-W14": 1, "2026-W43": 2}
    assert opened("hour") == {
        "2026-03-28T23:00+01:00": 1,
        "2026-03-29T00:00+01:00": 1,
        "2026-03-29T01:00+01:00": 1,
        "2026-03-29T03:00+02:00": 1,
        "2026-03-29T23:00+02:00": 1,
        "2026-03-30T00:00+02:00": 1,
        "2026-10-25T02:00+01:00": 1,
        "2026-10-25T02:00+02:00": 1,
    }
    assert chats.figures(zone=STOCKHOLM).zone == "Europe/Stockholm"
    assert chats.figures(zone=None).zone == "UTC"  # that of the tests
    assert told(chats, by="day", zone=None)


def test_the_load_is_a_mean_over_time_and_the_most_at_once(chats: ChatEngine) -> None:
    # at(0) is 12:00. Two wait together for 600 s; the third comes as the first is answered.
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (600, "outbound", QUEUE)))
    hand_in(chats, script("bo", (0, "inbound", CUSTOMER), (1200, "outbound", QUEUE)))
    hand_in(chats, script("cia", (0, "inbound", CUSTOMER), (1800, "outbound", QUEUE)))
    hand_in(chats, script("anna", (1799, "inbound", HEARTBEAT), (1800, "outbound", AGENT)))
    hand_in(chats, script("anna", (3500, "inbound", HEARTBEAT), (4500, "outbound", DONE)))
    hand_in(chats, script("bo", (1799, "inbound", LEFT)))
    hand_in(chats, script("cia", (1799, "inbound", HEARTBEAT), (2400, "inbound", LEFT)))

    first, second = everything(chats)["load"]

    assert (first["hour"], second["hour"]) == ("2026-03-01T12:00+00:00", "2026-03-01T13:00+00:00")
    # anna 600 to 1800, bo 1200 to 1799, cia 1800 to 2400
    assert first["states"]["queued"] == {"mean": (1200 + 599 + 600) / 3600, "max": 2}
    assert first["states"]["bot"] == {"mean": 1.0, "max": 3}
    assert first["agents"] == {"anan01": {"mean": 0.5, "max": 1}}
    assert second == {**second, "states": {"with_agent": {"mean": 0.25, "max": 1}}}
    assert first["hour"][:13] == "2026-03-01T12"
    (alone,) = everything(chats, until=at(600))["load"]
    assert alone["states"] == {"bot": {"mean": 0.5, "max": 3}}


def test_of_nothing_there_are_no_figures(chats: ChatEngine) -> None:
    found = chats.figures(since=at(0), until=at(0)).as_dict()

    assert (found["since"], found["until"], found["zone"]) == (
        "2026-03-01T12:00:00.000Z",
        "2026-03-01T12:00:00.000Z",
        "UTC",
    )
    group = found["figures"]["all"]
    assert list(group) == [
        *("visits", "timeInQueue", "firstBotResponse", "firstHumanResponse"),
        *("firstHumanResponseFromHandover", "handleTime", "abandonment", "serviceLevel"),
        *("containment", "transfers", "repeatVisits", "load", "notes"),
    ]
    assert group["timeInQueue"]["n"] == group["visits"]["opened"] == 0
    assert group["abandonment"]["rate"] is None
    assert group["load"] == []
    assert told(chats, by="day") == {}
    assert list(chats.visits()) == []


@each_signature
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("since", datetime(2026, 3, 1)),  # noqa: DTZ001 - refused
        ("until", "now"),
        ("until", at(-1)),
        ("platform", ""),
        ("by", "month"),
        ("zone", "UTC"),
        ("target", 60),
        ("short", timedelta(seconds=-1)),
    ],
)
def test_what_cannot_be_asked_is_said(chats: ChatEngine, argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        chats.figures(**{"since": at(0), argument: value})
    if argument in ("since", "until", "platform"):
        with pytest.raises(InvalidArgument, match=argument):
            list(chats.visits(**{"since": at(0), argument: value}))


@pytest.mark.parametrize(
    "damage", ["sermo_history SET to_state = 'parked'", "sermo_session SET close_reason = 'magic'"]
)
def test_a_word_of_another_release_is_a_typed_error(
    chats: ChatEngine, database: sa.Engine, damage: str
) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (1, "inbound", LEFT)))
    with database.begin() as connection:
        look_away(connection)
        connection.execute(sa.text(f"UPDATE {damage}"))

    with pytest.raises(StoreError, match="unknown"):
        chats.figures()


def test_what_resumed_a_chat_that_is_no_longer_stored_begins_a_visit(
    chats: ChatEngine, database: sa.Engine
) -> None:
    hand_in(chats, script("anna", (0, "inbound", CUSTOMER), (10, "outbound", QUEUE)))
    hand_in(chats, script("anna", (20, "inbound", UNLOAD), (100, "inbound", HEARTBEAT)))
    hand_in(chats, script("anna", (110, "inbound", LEFT)))
    with database.begin() as connection:
        look_away(connection)
        of_the_first = "SELECT id FROM sermo_session WHERE ordinal = 1"
        key = connection.execute(sa.text(of_the_first)).scalar_one()
        history = f"(SELECT id FROM sermo_history WHERE session_key = {key})"  # noqa: S608 - ours
        connection.execute(sa.text(f"DELETE FROM sermo_body WHERE history_id IN {history}"))  # noqa: S608 - our own words
        connection.execute(sa.text(f"DELETE FROM sermo_history WHERE session_key = {key}"))  # noqa: S608 - our own words
        connection.execute(sa.text(f"DELETE FROM sermo_session WHERE id = {key}"))  # noqa: S608 - our own words

    assert everything(chats)["timeInQueue"]["byEnd"]["customerLeft"] == one(10)


# --- against a second computation -----------------------------------------------------------------


def normal(groups: dict[str, Told]) -> dict[str, Told]:
    return {
        name: {key: value for key, value in group.items() if key != "notes"}
        for name, group in groups.items()
    }


def test_they_are_what_a_naive_computation_finds(
    door: str, chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_scan, "_SESSIONS", 3)
    monkeypatch.setattr(figures_count, "_KEYS", 2)
    for seed in range(3):
        hand_in(chats, random_traffic(seed, 150), platform=(PLATFORM, APP, "x")[seed])
    hand_in(chats, script("u-1", (60, "inbound", CUSTOMER), (65, "inbound", LEFT)), platform="new")
    chats.sweep(at(20_000))
    visits = all_visits(chats)
    times = sorted(session.opened_at for session in chats.sessions())
    moments = st.none() | st.tuples(st.sampled_from(times), st.sampled_from([-1, 0, 1])).map(
        lambda pair: pair[0] + timedelta(milliseconds=pair[1])
    )
    seconds = st.sampled_from([0, 1, 10, 60, 300]).map(lambda length: timedelta(seconds=length))
    platforms = st.sampled_from([None, None, PLATFORM, APP, "new"])
    nows = st.sampled_from([timedelta(days=300), timedelta(days=1), timedelta(days=7)])
    after = st.sampled_from([0, 30, 60, 90, 20_000]).map(lambda minutes: timedelta(minutes=minutes))
    ways = st.sampled_from([None, "hour", "day", "week", "platform", "agent"])

    @settings(fewer(door, 1), suppress_health_check=list(HealthCheck))
    @given(
        *(moments, moments, platforms, ways, st.sampled_from([UTC, STOCKHOLM]), seconds, seconds),
        st.builds(lambda days, later: at(0) + days + later, nows, after),
    )
    def holds(  # noqa: PLR0913, PLR0917 - one for each option
        one: datetime | None,
        other: datetime | None,
        platform: str | None,
        by: str | None,
        zone: Any,
        target: timedelta,
        short: timedelta,
        now: datetime,
    ) -> None:
        monkeypatch.setattr(figures_count, "_now", lambda: now)
        since, until = (one, other) if None in (one, other) else sorted([one, other])  # type: ignore[type-var]  # no None is sorted
        which: dict[str, Any] = {"since": since, "until": until, "platform": platform, "by": by}
        which |= {"zone": zone, "target": target, "short": short}
        assert normal(told(chats, **which)) == naive_figures(visits, **which, now=now)

    holds()
    monkeypatch.setattr(figures_count, "_now", lambda: at(0) + timedelta(days=300))
    assert normal(told(chats)) == naive_figures(visits)
    in_order = sorted(
        (visit.first.opened_at, tuple(session.session_id for session in visit.sessions))
        for visit in visits
    )
    assert [(visit.opened_at, visit.session_ids) for visit in chats.visits()] == in_order


@pytest.mark.prove
@pytest.mark.parametrize("door", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(100, 140))
def test_they_are_so_of_any_traffic(chats: ChatEngine, seed: int) -> None:
    hand_in(chats, random_traffic(seed, 300))
    visits = all_visits(chats)
    assert normal(told(chats)) == naive_figures(visits)
    assert normal(told(chats, by="agent")) == naive_figures(visits, by="agent")
