"""Questions: right through every door, in pages, and by the indexes that were made for them.

The plans are those of the very statements that the engine sends, with their parameters, on enough
rows for a database to think about it. Long, because lists and their plans are one subject.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sermo_fsm import ChatEngine, ChatSession, InvalidArgument, State
from sermo_fsm.storage import pages
from tests.databases import KINDS, a_database, empty
from tests.doors import Blocking, each_signature
from tests.filled import START as FIRST
from tests.filled import fill
from tests.support import ANDERS, BEATA, at, envelope, event, text

SESSIONS = 20_000
NAIVE = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - it is to be refused


def plain_engine(chats: ChatEngine) -> sa.Engine:
    """The engine that a door's connections come from."""
    if isinstance(chats, Blocking):
        engine: sa.Engine = chats.engine._engine.sync_engine
        return engine
    return chats._engine


Sent = tuple[str, Any]


@contextmanager
def listening(engine: sa.Engine) -> Iterator[list[Sent]]:
    """The statements that were sent, with their parameters, as the driver got them."""
    sent: list[Sent] = []

    def executed(*arguments: Any) -> None:
        sent.append((arguments[2], arguments[3]))

    sa.event.listen(engine, "before_cursor_execute", executed)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", executed)


# --- lists, through every door --------------------------------------------------------------------


VISITS = st.lists(
    st.tuples(
        st.sampled_from(["web", "app"]),
        st.sampled_from(["anna", "bo", "cilla"]),
        st.integers(0, 2),  # seconds: many open at the same time
        st.sampled_from(["stays", "leaves", "anan01", "bebe02", "queues"]),
    ),
    max_size=8,
)
AGENTS = {agent["id"]: agent for agent in (ANDERS, BEATA)}


def play(chats: ChatEngine, visits: Sequence[tuple[str, str, int, str]]) -> None:
    """Let customers come, and some of them go, be answered, or wait."""
    lines = []
    for number, (platform, user, second, what) in enumerate(visits):
        of: Any = {"platformId": platform}
        seconds = 10_000 * number + second if what == "stays" else second
        lines.append(envelope("inbound", text(user=user, **of), seconds))
        if what in AGENTS:
            lines.append(envelope("outbound", text(user=user, agent=AGENTS[what], **of), seconds))
        elif what == "leaves":
            lines.append(envelope("inbound", event("client_left", user, **of), seconds))
        elif what == "queues":
            lines.append(
                envelope("outbound", event("queue_number", user, queueNumber=1, **of), seconds)
            )
    chats.handle_many([*lines, *(b"{" for _ in visits)])


def by_hand(page: Callable[..., Iterator[Any]], key: Callable[[Any], Any], size: int) -> list[Any]:
    """A list as a program reads it that shows page after page."""
    found = [*page(limit=size)]
    while some := [*page(limit=size, after=key(found[-1]))] if found else []:
        assert len(some) <= size
        found += some
    return found


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(VISITS, st.integers(1, 4))
def test_pages_joined_are_the_whole_list_in_order_and_nothing_comes_twice(
    chats: ChatEngine,
    database: sa.Engine,
    visits: list[tuple[str, str, int, str]],
    size: int,
) -> None:
    with database.begin() as connection:
        empty(connection)
    play(chats, visits)
    whole = [*chats.sessions()]
    strays = [*chats.strays()]

    assert len({session.session_id for session in whole}) == len(whole)
    assert {(one.platform_id, one.user_id) for one in whole} == {visit[:2] for visit in visits}
    opened = [session.opened_at for session in whole]
    assert opened == sorted(opened, reverse=True)
    assert [row.id for row in strays] == sorted(row.id or 0 for row in strays)
    assert len(strays) == len(visits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_PAGE", size)
        assert [*chats.sessions()] == whole
        assert [*chats.sessions(limit=size + 1)] == whole[: size + 1]
        assert [*chats.strays()] == strays
        for session in whole:
            rows = [*chats.history(session.session_id)]
            assert [row.seq for row in rows] == [*range(1, session.rows + 1)]
    assert by_hand(chats.sessions, lambda session: session.session_id, size) == whole
    assert by_hand(chats.strays, lambda row: row.id, size) == strays
    for session in whole:
        page = _history_of(chats, session)
        assert by_hand(page, lambda row: row.seq, size) == [*page()]


def _history_of(chats: ChatEngine, session: ChatSession) -> Callable[..., Iterator[Any]]:
    return lambda **page: chats.history(session.session_id, **page)


TWELVE = [
    (platform, user, number, what)
    for number, (user, what) in enumerate(
        [("anna", "leaves"), ("anna", "anan01"), ("bo", "bebe02"), ("cilla", "queues")] * 2
    )
    for platform in ("web", "app")
]


@pytest.mark.parametrize(
    ("which", "holds"),
    [
        ({"state": "queued"}, lambda one: one.state is State.QUEUED),
        ({"state": ["queued", "closed"]}, lambda one: one.state in ("queued", "closed")),
        ({"state": State.WITH_AGENT, "platform": "app"}, lambda one: one.state == "with_agent"),
        ({"state": "open"}, lambda _: False),
        ({"state": []}, lambda _: True),
        ({"platform": "app"}, lambda one: one.platform_id == "app"),
        ({"user": "anna"}, lambda one: one.user_id == "anna"),
        ({"agent": "anan01"}, lambda one: one.agent is not None and one.agent.id == "anan01"),
        ({"agent": "ANAN01"}, lambda _: False),
        ({"agent": "bebe02", "platform": "web"}, lambda one: one.user_id == "bo"),
        ({"opened_from": at(4)}, lambda one: one.opened_at >= at(4)),
        ({"opened_before": at(4)}, lambda one: one.opened_at < at(4)),
        (
            {"opened_from": at(1), "opened_before": at(2), "user": "anna"},
            lambda one: at(1) <= one.opened_at < at(2),
        ),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_a_filter_leaves_out_what_does_not_fit_and_nothing_else(
    chats: ChatEngine, which: dict[str, Any], holds: Callable[[ChatSession], bool]
) -> None:
    play(chats, TWELVE)
    wanted = [
        session
        for session in chats.sessions()
        if holds(session)
        and session.platform_id == which.get("platform", session.platform_id)
        and session.user_id == which.get("user", session.user_id)
    ]
    assert [*chats.sessions(**which)] == wanted
    assert by_hand(
        lambda **page: chats.sessions(**which, **page), lambda one: one.session_id, 1
    ) == (wanted)


def test_a_zone_is_reckoned_with(chats: ChatEngine) -> None:
    chats.handle_many([envelope("inbound", text(), 0)])
    stockholm = at(0).astimezone(datetime.fromisoformat("2026-01-01T00:00+01:00").tzinfo)
    assert [*chats.sessions(opened_from=stockholm)]
    assert not [*chats.sessions(opened_before=stockholm)]


def test_who_is_asked_for_behind_a_session_that_fits_no_filter_gets_what_fits(
    chats: ChatEngine,
) -> None:
    play(chats, TWELVE)
    middle = [*chats.sessions()][4]
    behind = [*chats.sessions(after=middle.session_id)]
    found = [*chats.sessions(platform="app", after=middle.session_id)]
    assert found == [one for one in behind if one.platform_id == "app"]


@each_signature
@pytest.mark.parametrize(
    "which",
    [
        {"after": "00000000-0000-0000-0000-000000000000"},
        {"after": "'; DROP TABLE sermo_session; --"},
        {"after": ""},
        {"after": 7},
        {"opened_from": NAIVE},
        {"opened_before": NAIVE},
        {"opened_from": "2026-03-01T12:00:00Z"},
        {"opened_from": ""},
        {"opened_before": 0},
        {"state": "lost"},
        {"state": 7},
        {"state": [["bot"]]},
        {"state": b"bot"},
        {"platform": ""},
        {"platform": 7},
        {"user": "a\0b"},
        {"agent": "x" * 256},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": "5"},
        {"limit": True},
        {"states": "closed"},
        {"user_id": "nobody"},
    ],
    ids=ascii,
)
def test_what_can_not_be_asked_is_refused_in_words(
    chats: ChatEngine, which: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        [*chats.sessions(**which)]
    assert refused.value.argument == next(iter(which))
    assert refused.value.wanted


@each_signature
@pytest.mark.parametrize("page", [{"after": -1}, {"after": 1.5}, {"after": "1"}, {"limit": 2.5}])
def test_numbers_of_rows_are_refused_where_they_are_none(
    chats: ChatEngine, page: dict[str, Any]
) -> None:
    for ask in (chats.strays, lambda **page: chats.history("nobody", **page)):
        with pytest.raises(InvalidArgument):
            [*cast("Callable[..., Iterator[Any]]", ask)(**page)]


def test_a_page_may_be_empty_or_larger_than_all_there_is(chats: ChatEngine) -> None:
    play(chats, TWELVE)
    assert not [*chats.sessions(limit=0)]
    assert len([*chats.sessions(limit=2**63 - 1)]) == len([*chats.sessions()])
    session = next(chats.sessions())
    for behind in (session.rows, 2**31, 2**63 - 1):
        assert not [*chats.history(session.session_id, after=behind)]
    assert not [*chats.strays(after=2**63 - 1)]
    assert not [*chats.history("no session at all")]


# --- while somebody reads a list ------------------------------------------------------------------


def test_no_connection_is_held_while_a_list_is_read(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(chats, TWELVE)
    monkeypatch.setattr(pages, "_PAGE", 2)
    pool = cast("sa.QueuePool", plain_engine(chats).pool)
    for found in (chats.sessions(), chats.strays()):
        for _ in found:
            assert pool.checkedout() == 0


def test_events_can_be_handed_in_while_a_list_is_read(
    chats: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(chats, TWELVE)
    monkeypatch.setattr(pages, "_PAGE", 2)
    before = [session.session_id for session in chats.sessions()]
    read = []
    for number, session in enumerate(chats.sessions()):
        chats.handle("inbound", text(user=f"new-{number}"), received_at=at(5000 + number))
        read.append(session.session_id)
    assert read == before


def test_events_can_be_handed_in_while_a_list_in_memory_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "_PAGE", 2)
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        play(chats, TWELVE)
        before = len([*chats.sessions()])
        for number, _ in enumerate(chats.sessions()):
            chats.handle("inbound", text(user=f"new-{number}"), received_at=at(5000 + number))
        assert len([*chats.sessions()]) == 2 * before


# --- counts ---------------------------------------------------------------------------------------


def test_counts_are_of_the_live_sessions_by_platform_and_state(chats: ChatEngine) -> None:
    assert chats.counts() == {}
    play(chats, [*TWELVE, ("Äpp", "dora", 0, "queues"), ("zoo", "eva", 0, "leaves")])
    counts = chats.counts()
    live = [session for session in chats.sessions() if session.live]
    assert counts == {
        platform: {
            state: number
            for state in State
            if (number := sum((one.platform_id, one.state) == (platform, state) for one in live))
        }
        for platform in {session.platform_id for session in live}
    }
    assert [*counts] == sorted(counts) == ["app", "web", "Äpp"]
    assert all(
        [*states] == [state for state in State if state in states] for states in counts.values()
    )


# --- plans ----------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        kind if kind == "sqlite" else pytest.param(kind, marks=pytest.mark.service)
        for kind in KINDS
    ],
)
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatEngine]:
    """Enough sessions for a database to look for a short way, and what it knows about them."""
    with (
        a_database(request.param, tmp_path_factory.mktemp("many"), migrated=True) as url,
        ChatEngine(url) as chats,
    ):
        fill(chats._engine, SESSIONS)
        chats.session("00000000-0000-0000-0000-000000000000")  # whatever a first connection does
        yield chats


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatEngine]:
    """Likewise, on a SQLite that was never told to ANALYZE: hardly any ever is."""
    with (
        a_database("sqlite", tmp_path_factory.mktemp("unknown"), migrated=True) as url,
        ChatEngine(url) as chats,
    ):
        fill(chats._engine, SESSIONS, analyzed=False)
        yield chats


USERS = "platform_id_user_id_ordinal"
NEWEST = "session_opened_at_id"
LIVE = "live_state_platform_id_opened_at_id"
OF_STATE = "live_state_opened_at_id"
OF_PLATFORM = "platform_id_opened_at_id"
OF_USER = "user_id_opened_at_id"
OF_AGENT = "agent_id_opened_at_id"
GUESSED = {OF_PLATFORM: NEWEST, OF_AGENT: NEWEST, LIVE: OF_STATE, OF_STATE: LIVE}
"""Where they have enough, PostgreSQL may as well pick them out of a longer list in order."""
SORTS_FEW = (OF_USER, OF_STATE, LIVE)
"""Where there are but a few left, it may as well put these in order itself."""
HALF = FIRST + timedelta(seconds=SESSIONS // 2)
LATE = FIRST + timedelta(seconds=SESSIONS * 9 // 10)


def middle(chats: ChatEngine, key: int = SESSIONS // 2) -> str:
    """The session id that stands in this row; those of the filler are not the library's own."""
    with chats._engine.connect() as connection:
        found = sa.text("SELECT session_id FROM sermo_session WHERE id = :id")
        return str(connection.execute(found, {"id": key}).scalar_one())


def page(**which: Any) -> Callable[[ChatEngine], object]:
    return lambda chats: [*chats.sessions(limit=50, **which)]


def page_behind(key: int = SESSIONS // 2, **which: Any) -> Callable[[ChatEngine], object]:
    return lambda chats: [*chats.sessions(limit=50, after=middle(chats, key), **which)]


IN_ORDER: dict[str, tuple[Callable[[ChatEngine], object], str]] = {
    "status": (lambda chats: chats.status("web", "user-7"), USERS),
    "status of nobody": (lambda chats: chats.status("web", "nobody"), USERS),
    "session": (lambda chats: chats.session(middle(chats)), "session_id"),
    "counts": (ChatEngine.counts, LIVE),
    "sessions": (page(), NEWEST),
    "sessions, behind one": (page_behind(), NEWEST),
    "time": (page(opened_from=HALF, opened_before=LATE), NEWEST),
    "time, behind one": (page_behind(SESSIONS * 3 // 4, opened_from=HALF), NEWEST),
    "closed": (page(state="closed"), NEWEST),
    "platform": (page(platform="app"), OF_PLATFORM),
    "platform, behind one": (page_behind(platform="app"), OF_PLATFORM),
    "platform and time": (page(platform="app", opened_before=HALF), OF_PLATFORM),
    "platform, closed": (page(platform="app", state="closed"), OF_PLATFORM),
    "user": (page(user="user-7"), OF_USER),
    "user, behind one": (page_behind(user="user-7"), OF_USER),
    "agent with few": (page(agent="a-0"), OF_AGENT),
    "agent with many": (page(agent="a-1"), OF_AGENT),
    "agent, behind one": (page_behind(agent="a-1"), OF_AGENT),
    "state": (page(state="queued"), OF_STATE),
    "state, behind one": (page_behind(SESSIONS * 9 // 10, state="queued"), OF_STATE),
    "state and time": (page(state="queued", opened_from=HALF), OF_STATE),
    "state and platform": (page(state="queued", platform="app"), LIVE),
    "state and platform, behind one": (
        page_behind(SESSIONS * 9 // 10, state="queued", platform="app"),
        LIVE,
    ),
    "history": (lambda chats: [*chats.history(middle(chats, 1), limit=50)], "session_key_seq"),
    "history, behind one": (
        lambda chats: [*chats.history(middle(chats, 1), after=5000, limit=50)],
        "session_key_seq",
    ),
    "strays": (lambda chats: [*chats.strays(limit=50)], "strays"),
    "strays, behind one": (
        lambda chats: [*chats.strays(after=SESSIONS + 1000, limit=50)],
        "strays",
    ),
    "overdue, none": (lambda chats: chats.sweep(FIRST), "live_due_at"),
}
"""What is read along an index: as fast with a million sessions as with a hundred."""

SORTED: dict[str, tuple[Callable[[ChatEngine], object], str]] = {
    "every live state": (page(state=["open", "bot", "queued", "with_agent"]), "live_"),
}
"""What is in several live states is found by an index, and then brought into order."""


def sent_by(chats: ChatEngine, ask: Callable[[ChatEngine], object]) -> list[Sent]:
    """What was sent for it, without what the test itself wanted to know."""
    with listening(chats._engine) as sent:
        ask(chats)
    return [one for one in sent if not one[0].startswith(("SELECT session_id FROM", "BEGIN"))]


def plans(engine: sa.Engine, sent: Sent) -> list[str]:
    """How it is done, in words of this database; on PostgreSQL also whatever the values are."""
    statement, values = sent
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            names = {
                name: "_".join(_columns_of(connection, name))
                for row in rows
                for name in re.findall(r"sqlite_autoindex_\w+", row[3])
            }
            return [
                "\n".join(
                    re.sub(r"sqlite_autoindex_\w+", lambda at: names[at[0]], r[3]) for r in rows
                )
            ]
        if engine.dialect.name == "postgresql":
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", values).all()
            driver: Any = connection.connection.driver_connection
            return ["\n".join(row[0] for row in rows), _generic_plan(driver, statement, values)]
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", values).all()
        return ["\n".join(" ".join(map(str, row)) for row in rows)]


def _columns_of(connection: sa.Connection, index: str) -> list[str]:
    return [row[2] for row in connection.exec_driver_sql(f"PRAGMA index_info({index})")]


def _generic_plan(driver: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> str:
    """What PostgreSQL goes over to when it has seen a statement a few times."""
    names = [*dict.fromkeys(re.findall(r"%\((\w+)\)s", statement))]
    numbered = re.sub(r"%\((\w+)\)s", lambda at: f"${1 + names.index(at[1])}", statement)
    with psycopg.ClientCursor(driver) as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE asked AS {numbered}".encode())
        marks = ", ".join(["%s"] * len(names))
        try:
            cursor.execute(
                f"EXPLAIN EXECUTE asked{f' ({marks})' if names else ''}".encode(),
                [values[name] for name in names],
            )
            return "\n".join(row[0] for row in cursor)
        finally:
            cursor.execute("DEALLOCATE asked")


# A whole table, from end to end. What MySQL derives, or reads from JSON, is part of the question.
FULL = {
    "sqlite": re.compile(r"SCAN (?:sermo_\w+|[so])\b(?! USING)"),
    "postgresql": re.compile(r"Seq Scan on sermo_"),
    "mysql": re.compile(r"^\d+ \S+ (?!<|v )\S+ ALL ", re.MULTILINE),
}
SORT = {
    "sqlite": re.compile(r"TEMP B-TREE"),
    "postgresql": re.compile(r"\bSort\b"),
    "mysql": re.compile(r"Using (?:filesort|temporary)"),
}


BEGINS = {
    "sqlite": re.compile(r"\b(?:opened_at|seq|id)[<>]\?"),
    "postgresql": re.compile(r"Index Cond: .*\b(?:opened_at <=|seq >|id >)"),
    "mysql": re.compile(r" range "),
}


def check_plan(chats: ChatEngine, sent: Sent, index: str, *, in_order: bool) -> None:
    kind = chats._engine.dialect.name
    plan, *generic = plans(chats._engine, sent)
    guessed = kind == "postgresql" and GUESSED.get(index, index) in plan
    assert index in plan or guessed, plan
    few = kind == "postgresql" and index in SORTS_FEW
    assert not in_order or few or not SORT[kind].search(plan), plan
    for one in (plan, *generic):
        assert not FULL[kind].search(one), one


@pytest.mark.parametrize("what", IN_ORDER)
def test_the_plan_is_one_look_along_an_index(many: ChatEngine, what: str) -> None:
    ask, index = IN_ORDER[what]
    *before, last = sent_by(many, ask)
    check_plan(many, last, index, in_order=True)
    if what.endswith("behind one"):  # not read from the top to there
        plan, *_ = plans(many._engine, last)
        assert BEGINS[many._engine.dialect.name].search(plan), plan
    for sent in before:  # a session to go on behind
        check_plan(many, sent, "session_id", in_order=True)


@pytest.mark.parametrize("what", SORTED)
def test_what_is_live_is_sorted_but_nothing_else_is_read(many: ChatEngine, what: str) -> None:
    ask, index = SORTED[what]
    check_plan(many, sent_by(many, ask)[-1], index, in_order=False)


@pytest.mark.parametrize("what", IN_ORDER | SORTED)
def test_sqlite_takes_the_same_way_where_it_knows_nothing(unknown: ChatEngine, what: str) -> None:
    ask, index = {**IN_ORDER, **SORTED}[what]
    check_plan(unknown, sent_by(unknown, ask)[-1], index, in_order=what in IN_ORDER)


def test_the_way_of_an_event_scans_no_table(many: ChatEngine) -> None:
    lines = [
        envelope("inbound", text(user=f"user-{user}", platformId="web"), 0, f"new-{user}")
        for user in (0, 3, 4000, 4001)
    ]
    lines += [
        envelope("inbound", event("heartbeat", f"user-{user}", platformId="web"), 0)
        for user in (1, 2, 5)
    ]
    moved = [{**line, "receivedAt": (LATE + timedelta(days=1)).isoformat()} for line in lines]
    kind = many._engine.dialect.name
    sent = sent_by(many, lambda chats: chats.handle_many(moved))
    seen = []
    for one in sent:
        words = " ".join(one[0].split())
        if words.startswith(("INSERT", "BEGIN")) or "sermo_" not in words or "nextval" in words:
            continue
        of_many = isinstance(one[1], list)  # executemany: the plan of one is the plan of all
        for plan in plans(many._engine, (one[0], one[1][0] if of_many else one[1])):
            assert not FULL[kind].search(plan), f"{words}\n{plan}"
        seen.append(words)
    parts = {"sqlite": 3, "postgresql": 4, "mysql": 4}  # SQLite needs no lock of ours
    assert len(seen) >= parts[kind]
    assert any("message_id" in words for words in seen)
    assert any(words.startswith("UPDATE") for words in seen)


def test_the_sweepers_way_scans_no_table(many: ChatEngine) -> None:
    kind = many._engine.dialect.name
    overdue = HALF + timedelta(seconds=SESSIONS // 2 + 1000)
    (asked, *_) = sent_by(many, lambda chats: chats.sweep(overdue))
    for plan in plans(many._engine, asked):
        assert not FULL[kind].search(plan), plan
        assert "live_" in plan, plan


# --- how much is sent -----------------------------------------------------------------------------


def test_status_is_one_statement(chats: ChatEngine) -> None:
    play(chats, TWELVE)
    for user in ("anna", "nobody"):
        with listening(plain_engine(chats)) as sent:
            chats.status("web", user)
        assert len(sent) == 1


@pytest.mark.service
def test_status_is_one_round_trip_on_postgresql(tmp_path: Any) -> None:
    log = tmp_path / "protocol"
    with (
        a_database("postgresql", tmp_path, migrated=True) as url,
        ChatEngine(url) as chats,
        log.open("w") as file,
    ):
        chats.status("web", "anna")
        with chats._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
        driver.pgconn.trace(file.fileno())
        chats.status("web", "anna")
        driver.pgconn.untrace()
    said = log.read_text()
    assert "sermo_session" in said
    assert [line.split("\t")[3] for line in said.splitlines() if "ReadyForQuery" in line] == [
        "ReadyForQuery"
    ]
    assert "BEGIN" not in said
    assert "ROLLBACK" not in said


def test_who_takes_three_of_many_loads_one_page(many: ChatEngine) -> None:
    first = middle(many, 1)
    for found in (
        many.sessions(),
        many.history(first),
        many.strays(),
        many.sessions(platform="web"),
    ):
        with listening(many._engine) as sent:
            assert len([*islice(found, 3)]) == 3
            found.close()
        ((_, values),) = sent
        assert pages._PAGE in (values.values() if isinstance(values, dict) else values)


def test_a_page_that_is_asked_for_is_all_that_is_loaded(many: ChatEngine) -> None:
    with listening(many._engine) as sent:
        assert len([*many.sessions(limit=7)]) == 7
    ((_, values),) = sent
    assert 7 in (values.values() if isinstance(values, dict) else values)


def test_the_whole_list_of_many_is_read_in_pages_without_doubles(many: ChatEngine) -> None:
    with many._engine.connect() as connection:
        live = connection.exec_driver_sql("SELECT count(*) FROM sermo_session").scalar_one()
        rows = connection.exec_driver_sql("SELECT max(seq) FROM sermo_history").scalar_one()
    with listening(many._engine) as sent:
        found = [*many.sessions()]
    assert len(found) == live
    assert len({(one.platform_id, one.user_id, one.ordinal) for one in found}) == live
    assert len(sent) == live // pages._PAGE + 1
    history = [row.seq for row in many.history(middle(many, 1))]
    assert history == [*range(1, rows + 1)]
