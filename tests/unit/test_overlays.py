"""The path of one chat and the traffic of many, on the picture of the machine."""

from datetime import datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sermo_fsm.core.machine import TABLE, State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.diagram import render
from sermo_fsm.picture.drawing import LEGEND, Drawing, LegendSymbol, Node, machine_drawing
from sermo_fsm.picture.layout.arrange import arrange_drawing
from sermo_fsm.picture.path_overlay import path_drawing
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.protocol.events import Direction, Trigger
from sermo_fsm.views.chat_path import ChatPath, PathStep, path_from_rows
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.traffic import Traffic, Way
from tests.pictures import EXPECTED, START, counted, example_walks, random_chats, the_arrow

WALKS = {(name, walk.session.ordinal): walk for name, walk in example_walks()}
FEWER = max(1, settings().max_examples * 2 // 5)  # of examples that are several chats each
OPEN, BOT, QUEUED, WITH_AGENT, CLOSED = State
A_CHAT = ChatSession(
    platform_id="web",
    user_id="anna",
    ordinal=2,
    state=BOT,
    since=START,
    opened_at=START,
    expiry_set_at=START,
    effective_at=START,
)


def walked(
    *moves: tuple[State | None, State, Trigger], session: ChatSession = A_CHAT, seconds: int = 10
) -> ChatPath:
    """A chat that moved so, a move every *seconds*."""
    steps = [
        PathStep(seq, at(seq * seconds), Direction.OUTBOUND, trigger, source, target)
        for seq, (source, target, trigger) in enumerate(moves)
    ]
    return ChatPath(replace(session, state=moves[-1][1]), tuple(steps))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def numbered(drawing: Drawing) -> list[str]:
    """The ids of the arrows in the order of their numbers."""
    found = [(int(badge), arrow.id) for arrow in drawing.arrows for badge in arrow.badges]
    assert sorted(number for number, _ in found) == list(range(1, len(found) + 1))
    return [name for _, name in sorted(found)]


def the_node(drawing: Drawing, state: State) -> Node:
    (found,) = (node for node in drawing.nodes if node.state is state)
    return found


# --- one chat -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ordinal"), WALKS)
def test_the_states_on_the_way_of_an_example_are_those_that_were_expected(
    name: str, ordinal: int
) -> None:
    walk = WALKS[name, ordinal]
    drawing = path_drawing(walk, walk.session.effective_at)
    (expected,) = (one for one in EXPECTED[name]["sessions"] if one["ordinal"] == ordinal)
    on_the_way = [arrow.split("-")[1] for arrow in numbered(drawing)]
    if on_the_way[0] == OPEN and expected["path"][0] != OPEN:
        del on_the_way[0]  # passed through
    assert on_the_way == expected["path"]
    touched = {node.state for node in drawing.nodes if not node.faded}
    assert touched == {*expected["path"], *([] if expected["resumed"] else [OPEN])}
    assert [node.state for node in drawing.nodes if node.current] == [expected["state"]]


def test_the_third_example_goes_back_and_forth() -> None:
    drawing = path_drawing(WALKS["3-still-there.jsonl", 1], START)
    assert numbered(drawing) == [
        *("start-open", "open-bot", "bot-queued", "queued-bot", "bot-queued"),
        *("queued-with_agent", "with_agent-closed"),
    ]
    assert the_arrow(drawing, "bot-queued").badges == ("3", "5")
    lines = {line.text: line for line in the_arrow(drawing, "bot-queued").lines}
    assert lines["handover_to_agent"].note == "16:05:27, 16:08:11"
    assert lines["queue_number"].faded
    assert the_node(drawing, BOT).notes == ("26 s", "in 2 stays")
    assert the_node(drawing, CLOSED).notes == ("by agent_done",)
    assert the_arrow(drawing, "open-closed").faded
    taken = [arrow.id for arrow in drawing.arrows if arrow.taken]
    assert sorted(taken) == sorted({*numbered(drawing), "closed-end"})
    assert not the_arrow(drawing, "closed-end").faded
    assert drawing.caption == (
        "user e52a80f6-97b3-4c1d-b04e-6f8d13a9c275 on comviq-web",
        "chat 1, opened 2026-03-04 16:05:00 UTC, closed 2026-03-04 16:10:21 UTC",
    )
    assert "4: 2026-03-04 16:07:58 UTC from queued to bot by handover_to_bot." in (
        drawing.description
    )


def test_a_resumed_chat_begins_where_it_went_on() -> None:
    walk = WALKS["5-queue-closes.jsonl", 2]
    drawing = path_drawing(walk, walk.session.effective_at)
    assert numbered(drawing) == ["start-queued-extra", "queued-bot", "bot-closed"]
    beginning = the_arrow(drawing, "start-queued-extra")
    assert beginning.extra
    assert [(line.text, line.note) for line in beginning.lines] == [("heartbeat", "18:58:47")]
    assert the_arrow(drawing, "start-open").faded
    assert the_node(drawing, OPEN).faded
    assert drawing.caption[2] == "resumed chat 1: the clock had closed it, the customer came back"
    assert (LegendSymbol.EXTRA, "went on from the chat before") in marks(drawing)
    assert "from nothing to queued by heartbeat, resumed from the chat before." in (
        drawing.description
    )


def marks(drawing: Drawing) -> list[tuple[LegendSymbol, str]]:
    return [(key.symbol, key.text) for key in drawing.legend]


def test_an_opening_that_lands_elsewhere_passes_through_open() -> None:
    walk = WALKS["4-one-more-question.jsonl", 2]
    drawing = path_drawing(walk, walk.session.effective_at)
    assert numbered(drawing)[:3] == ["start-open", "open-bot", "bot-with_agent"]
    assert the_node(drawing, OPEN).notes == ("passed through",)
    assert the_arrow(drawing, "start-open").lines == ()
    (line,) = (line for line in the_arrow(drawing, "open-bot").lines if not line.faded)
    assert (line.text, line.note) == ("customer_text", "08:33:21")


def test_the_two_ways_of_a_guard_are_two_arrows() -> None:
    drawing = path_drawing(WALKS["4-one-more-question.jsonl", 2], START)
    (line,) = (one for one in the_arrow(drawing, "with_agent-bot").lines if not one.faded)
    assert line.text == "agent_done [if the customer wrote later]"
    assert the_arrow(drawing, "with_agent-closed").faded


def test_an_opening_by_a_sign_of_life_names_it_at_the_start() -> None:
    drawing = path_drawing(walked((None, OPEN, Trigger.HEARTBEAT)), at(5))
    (line,) = the_arrow(drawing, "start-open").lines
    assert (line.text, line.direction, line.note) == ("heartbeat", Direction.INBOUND, "12:00:00")


def test_a_live_chat_is_where_it_is_until_now() -> None:
    walk = walked((None, BOT, Trigger.CUSTOMER_TEXT), (BOT, QUEUED, Trigger.QUEUE_NUMBER))
    drawing = path_drawing(walk, at(10 + 3600))
    assert the_node(drawing, BOT).notes == ("10 s",)
    assert the_node(drawing, QUEUED) == Node(QUEUED, ("1 h so far",), current=True)
    end = the_arrow(drawing, "closed-end")
    assert end.faded
    assert not end.taken
    assert "in queued since 2026-03-01 12:00:00 UTC" in drawing.caption[1]
    assert (LegendSymbol.CURRENT, "where it is now") in marks(drawing)
    assert drawing.description.endswith("It is now in queued.")


@pytest.mark.parametrize(
    ("move", "name"),
    [
        ((BOT, WITH_AGENT, Trigger.TYPING_ON), "bot-with_agent-extra"),
        ((CLOSED, BOT, Trigger.CUSTOMER_TEXT), "closed-bot-extra"),
        ((WITH_AGENT, BOT, Trigger.QUEUE_NUMBER), "with_agent-bot-extra"),
    ],
)
def test_a_move_that_the_table_does_not_know_is_an_arrow_of_its_own(
    move: tuple[State, State, Trigger], name: str
) -> None:
    drawing = path_drawing(walked((None, OPEN, Trigger.TYPING), move), at(60))
    arrow = the_arrow(drawing, name)
    assert arrow.extra
    assert arrow.badges == ("2",)
    assert [line.text for line in arrow.lines] == [move[2]]
    assert (LegendSymbol.EXTRA, "not in today's table") in marks(drawing)


def test_an_opening_that_the_table_does_not_know_goes_straight() -> None:
    drawing = path_drawing(walked((None, QUEUED, Trigger.HEARTBEAT)), at(1))
    assert numbered(drawing) == ["start-queued-extra"]
    assert (LegendSymbol.EXTRA, "not in today's table") in marks(drawing)


def test_a_chat_that_goes_in_circles_stays_readable() -> None:
    there, back = (BOT, QUEUED, Trigger.QUEUE_NUMBER), (QUEUED, BOT, Trigger.PLATFORM_CLOSED)
    drawing = path_drawing(walked((None, OPEN, Trigger.TYPING), *[there, back] * 40), at(9999))
    arrow = the_arrow(drawing, "bot-queued")
    assert arrow.badges == ("2", "4", "6", "8", "10", "12", "…", "80")
    (line,) = (line for line in arrow.lines if not line.faded)
    assert line.note == "40 times, last 12:13:10"
    assert len(drawing.arrows) == len(machine_drawing().arrows)


def test_a_chat_that_closed_without_a_known_reason_is_closed() -> None:
    drawing = path_drawing(walked((None, CLOSED, Trigger.CLIENT_LEFT)), at(0))
    assert the_node(drawing, CLOSED) == Node(CLOSED, current=True)


def test_the_ids_of_two_chats_do_not_meet_on_one_page() -> None:
    names = {path_drawing(walk, START).name for walk in WALKS.values()}
    assert len(names) == len(WALKS)


@settings(max_examples=FEWER)
@given(seed=st.integers(0, 2**32))
def test_every_step_is_on_exactly_one_arrow(seed: int) -> None:
    for session, rows in random_chats(seed):
        walk = path_from_rows(session, rows)
        drawing = path_drawing(walk, session.effective_at)
        way = numbered(drawing) if len(walk.steps) < 8 else []
        for step in walk.steps if way else ():
            extra = "-extra" if session.resumed and step.source is None else ""
            if step.source is None and not extra and step.target is not OPEN:
                assert way[:2] == ["start-open", f"open-{step.target}"]
                del way[0]
            else:
                assert way[0] == f"{step.source or 'start'}-{step.target}{extra}"
            del way[0]
        assert not way
        for arrow in drawing.arrows[:-1]:
            assert arrow.faded is not bool(arrow.badges)
            assert all(bool(line.note) is not line.faded for line in arrow.lines)
        for name in ("mermaid", "dot"):
            assert render(drawing, name)


# --- lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.3, "under 1 s"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (3660, "1 h 1 min"),
        (86_400 * 3 + 7_200 + 61, "3 d 2 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_a_length_is_said_in_its_two_greatest_units(seconds: float, words: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == words


# --- all chats ----------------------------------------------------------------------------------


def traffic(ways: dict[Way, int], **more: object) -> Traffic:
    base = Traffic(
        rows=sum(ways.values()),
        sessions=2,
        ways=ways,
        stays={},
        medians={},
        p90s={},
        still_there={},
        first_at=START,
        last_at=at(3600),
    )
    return evolve(base, **more)  # type: ignore[arg-type]  # whatever a Traffic has


SOME: dict[Way, int] = {
    (None, OPEN, Trigger.HEARTBEAT): 1000,
    (None, BOT, Trigger.CUSTOMER_TEXT): 200,
    (OPEN, BOT, Trigger.CUSTOMER_TEXT): 700,
    (OPEN, BOT, Trigger.BOT_TEXT): 300,
    (BOT, BOT, Trigger.CUSTOMER_TEXT): 5000,
    (BOT, CLOSED, Trigger.EXPIRE): 1,
    (CLOSED, CLOSED, Trigger.BOT_TEXT): 2,
    (None, QUEUED, Trigger.HEARTBEAT): 3,
    (QUEUED, OPEN, Trigger.TYPING): 4,
}


def test_openings_go_through_open_and_add_up() -> None:
    drawing = traffic_drawing(traffic(SOME))
    start = the_arrow(drawing, "start-open")
    assert start.badges == ("1,200",)
    assert [(line.text, line.note) for line in start.lines] == [
        ("customer_text", "200"),
        ("heartbeat", "1,000"),
        ("typing", ""),
        ("start", ""),
        ("bot, agents", ""),
    ]
    to_bot = the_arrow(drawing, "open-bot")
    assert to_bot.badges == ("1,200 · 100%",)
    assert {line.text: line.note for line in to_bot.lines} == {
        "customer_text": "900",
        "bot_text": "300",
        "handover_to_bot": "",
    }
    assert [line.faded for line in to_bot.lines] == [False, False, True]


def test_what_is_wider_is_more_often_and_what_never_was_is_grey() -> None:
    drawing = traffic_drawing(traffic(SOME))
    weights = {arrow.id: arrow.weight for arrow in drawing.arrows}
    assert weights["start-open"] == weights["open-bot"] == 1
    assert 0 < (weights["bot-closed"] or 0) < (weights["start-queued-extra"] or 0) < 0.1
    assert weights["bot-queued"] == 0
    assert the_arrow(drawing, "bot-queued").faded
    assert the_arrow(drawing, "closed-end").badges == ("1",)


def test_ways_that_the_table_does_not_know_are_extra() -> None:
    drawing = traffic_drawing(traffic(SOME))
    extra = {arrow.id for arrow in drawing.arrows if arrow.extra}
    assert extra == {"start-queued-extra", "queued-open-extra"}
    assert (LegendSymbol.EXTRA, "resumed, or not in today's table") in marks(drawing)


def test_what_moved_nothing_is_drawn_where_it_is_asked_for() -> None:
    some = {**SOME, (WITH_AGENT, WITH_AGENT, Trigger.HANDOVER_TO_AGENT): 6}
    without, with_loops = (traffic_drawing(traffic(some), loops=loops) for loops in (False, True))
    assert not [arrow for arrow in without.arrows if arrow.is_loop]
    assert without.caption[1].endswith("; 5,008 of them moved nothing and are not drawn")
    loops = {arrow.id: arrow for arrow in with_loops.arrows if arrow.is_loop}
    assert {name: arrow.badges for name, arrow in loops.items()} == {
        "open-open": (),
        "bot-bot": ("5,000",),
        "queued-queued": (),
        "with_agent-with_agent": ("6",),
        "closed-closed": ("2",),
    }
    assert [
        (line.text, line.note) for arrow in loops.values() for line in arrow.lines if line.note
    ] == [
        ("= customer_text", "5,000"),
        ("× handover_to_agent", "6"),
        ("= bot_text", "2"),
    ]
    assert not any(arrow.extra for arrow in loops.values())
    assert not any("not drawn" in line for line in with_loops.caption)
    widths = {arrow.id: arrow.weight for arrow in with_loops.arrows if not arrow.is_loop}
    assert widths == {arrow.id: arrow.weight for arrow in without.arrows}
    assert loops["bot-bot"].weight == 1


def test_where_chats_went_every_way_nothing_is_grey() -> None:
    ways: dict[Way, int] = {(None, OPEN, Trigger.HEARTBEAT): 1}
    for (state, trigger), cell in TABLE.items():
        ways |= {(state, to, trigger): 1 for to in (cell.to, cell.otherwise) if to is not None}
    drawing = traffic_drawing(traffic(ways))
    assert not any(arrow.faded for arrow in drawing.arrows)
    assert LegendSymbol.FADED not in {symbol for symbol, _ in marks(drawing)}


def test_a_stay_where_the_table_moves_is_extra() -> None:
    ways: dict[Way, int] = {(QUEUED, QUEUED, Trigger.AGENT_TEXT): 1}
    drawing = traffic_drawing(traffic(ways), loops=True)
    assert the_arrow(drawing, "queued-queued-extra").badges == ("1",)


def test_states_say_how_long_and_how_often() -> None:
    drawing = traffic_drawing(
        traffic(
            SOME,
            stays={OPEN: 1000, BOT: 1, QUEUED: 7},
            medians={OPEN: timedelta(), BOT: timedelta(seconds=5), QUEUED: timedelta(minutes=30)},
            p90s={OPEN: at(9) - at(0), BOT: at(5) - at(0), QUEUED: at(7200) - at(0)},
            still_there={BOT: 1_234_567, WITH_AGENT: 2},
        )
    )
    assert the_node(drawing, OPEN).notes == ("median 0 s", "p90 9 s", "1,000 stays")
    assert the_node(drawing, BOT).notes == (
        *("median 5 s", "p90 5 s", "1 stay", "1.23M still there"),
    )
    shades = [the_node(drawing, state).shade for state in (OPEN, BOT, QUEUED)]
    assert shades[0] == 0
    assert 0.1 < (shades[1] or 0) < 0.5
    assert shades[2] == 1
    assert the_node(drawing, WITH_AGENT) == Node(WITH_AGENT, ("2 still there",))
    assert the_node(traffic_drawing(traffic(SOME)), WITH_AGENT) == Node(WITH_AGENT, faded=True)
    assert the_node(drawing, CLOSED) == Node(CLOSED)


def test_stays_of_no_time_at_all_have_the_faintest_shade() -> None:
    drawing = traffic_drawing(traffic(SOME, medians={OPEN: timedelta()}, p90s={OPEN: timedelta()}))
    assert the_node(drawing, OPEN).shade == 0


@pytest.mark.parametrize("loops", [False, True])
def test_no_traffic_is_said_in_words(*, loops: bool) -> None:
    nothing = traffic({}, sessions=0, first_at=None, last_at=None)
    drawing = traffic_drawing(nothing, loops=loops)
    assert drawing.caption == (
        "all platforms, all times",
        "no rows: nothing happened there and then",
        "0 chats: 0 closed, 0 still there at the end",
    )
    assert all(node.faded for node in drawing.nodes)
    assert all(arrow.faded for arrow in drawing.arrows)
    assert "no rows" in drawing.description
    assert [key.symbol for key in drawing.legend[len(LEGEND) :]] == [LegendSymbol.FADED]
    for name in ("mermaid", "dot"):
        text = render(drawing, name)
        assert isinstance(text, str)
        assert "no rows: nothing happened there and then" in text


@pytest.mark.parametrize(
    ("since", "until", "platform", "words"),
    [
        (None, None, None, "all platforms, all times"),
        (START, None, "web", "platform web, from 2026-03-01 12:00:00 UTC"),
        (None, at(61), None, "all platforms, until 2026-03-01 12:01:01 UTC"),
        (
            START,
            at(61),
            'a\x1b"',
            'platform a\\x1b", from 2026-03-01 12:00:00 UTC until 2026-03-01 12:01:01 UTC',
        ),
    ],
)
def test_the_caption_says_what_was_counted(
    since: datetime | None, until: datetime | None, platform: str | None, words: str
) -> None:
    some = traffic(SOME, since=since, until=until, platform=platform)
    some = evolve(some, still_there={BOT: 1, QUEUED: 2})
    span = "from 2026-03-01 12:00:00 to 2026-03-01 13:00:00 UTC"
    assert traffic_drawing(some).caption == (
        words,
        f"7,210 rows, {span}; 5,002 of them moved nothing and are not drawn",
        "2 chats: 1 closed, 3 still there at the end",
    )
    some = evolve(some, rows=1, sessions=1)
    assert traffic_drawing(some, loops=True).caption[1:] == (
        f"1 row, {span}",
        "1 chat: 1 closed, 3 still there at the end",
    )


@settings(max_examples=FEWER)
@given(seed=st.integers(0, 2**32), loops=st.booleans())
def test_nothing_is_lost_in_the_picture_of_the_traffic(seed: int, *, loops: bool) -> None:
    found = counted(random_chats(seed, 60))
    drawing = traffic_drawing(found, loops=loops)
    sums = {arrow.id: number(arrow.badges[0]) if arrow.badges else 0 for arrow in drawing.arrows}
    for arrow in drawing.arrows:
        if arrow.target is not None and arrow.lines:
            assert sums[arrow.id] == sum(number(line.note) for line in arrow.lines if line.note)
        assert arrow.faded is not bool(arrow.badges)
        assert arrow.weight is not None
        assert 0 <= arrow.weight <= 1
    opened = sum(count for (source, _, _), count in found.ways.items() if source is None)
    closed = sum(count for (one, to, _), count in found.ways.items() if one is not to is CLOSED)
    still = sum(count for (one, to, _), count in found.ways.items() if one is to)
    through_open = sum(
        count
        for (source, to, trigger), count in found.ways.items()
        if source is None and to is not OPEN
        if to in (TABLE[OPEN, trigger].to, TABLE[OPEN, trigger].otherwise)
    )
    assert sum(sums[arrow.id] for arrow in drawing.arrows if arrow.source is None) == opened
    assert sums["closed-end"] == closed
    inside = sum(n for name, n in sums.items() if name != "closed-end")
    assert inside == found.rows + through_open - (0 if loops else still)


def number(text: str) -> int:
    return int(text.split(" ", maxsplit=1)[0].replace(",", ""))


@pytest.mark.parametrize(
    ("count", "share", "words"),
    [
        (1, 1000, "1 · <1%"),
        (5, 1000, "5 · <1%"),
        (6, 1000, "6 · 1%"),
        (994, 1000, "994 · 99%"),
        (999_999, 1_000_000, "999,999 · >99%"),
        (1_000_000, 1_000_000, "1.00M · 100%"),
        (12_345_678, 20_000_000, "12.3M · 62%"),
        (123_456_789, 200_000_000, "123M · 62%"),
    ],
)
def test_a_share_is_of_all_that_left_the_state(count: int, share: int, words: str) -> None:
    ways: dict[Way, int] = {(BOT, CLOSED, Trigger.EXPIRE): count}
    if share > count:
        ways[BOT, QUEUED, Trigger.QUEUE_NUMBER] = share - count
    drawing = traffic_drawing(traffic(ways))
    assert the_arrow(drawing, "bot-closed").badges == (words,)


def places(drawing: Drawing) -> dict[str, object]:
    """Where everything stands that is in each such picture."""
    layout = arrange_drawing(drawing)
    return {
        "picture": layout.bounds,
        **{state: box.box for state, box in layout.state_boxes.items()},
        **{route.arrow.id: route.tip for route in layout.routes if not route.arrow.extra},
        **{f"label of {name}": box for name, box in layout.labels.items()},
    }


@settings(max_examples=FEWER // 2, deadline=None)
@given(seed=st.integers(0, 2**32), factor=st.integers(1, 10**6), loops=st.booleans())
def test_pictures_of_two_months_can_be_laid_side_by_side(
    seed: int, factor: int, *, loops: bool
) -> None:
    # Late rows may be anything; what a closed chat stays on has no place of its own.
    found = counted(random_chats(seed, 40))
    many = {way: count * factor for way, count in found.ways.items() if way[0] is not CLOSED}
    few: dict[Way, int] = {
        (None, QUEUED, Trigger.HEARTBEAT): 7,
        (OPEN, BOT, Trigger.CUSTOMER_TEXT): 1,
    }
    one = traffic_drawing(evolve(found, ways=many), loops=loops)
    other = traffic_drawing(traffic(few), loops=loops)
    assert places(one) == places(other)
    here, there = (arrange_drawing(drawing).pills for drawing in (one, other))
    assert {name: here[name].centre for name in here.keys() & there.keys()} == {
        name: there[name].centre for name in here.keys() & there.keys()
    }
