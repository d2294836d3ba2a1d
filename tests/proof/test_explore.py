"""What is explored holds; and an engine that loses, doubles or mixes up anything is found out."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, permutations
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import event as sa_event

from sermo_fsm import (
    ChatEngine,
    ChatSession,
    HistoryRow,
    InvalidArgument,
    Problem,
    Receipt,
    Verification,
)
from sermo_fsm.core import ownership
from sermo_fsm.core.advance import expire
from sermo_fsm.core.machine import LIVE, RULES, TABLE, compile_rules
from sermo_fsm.engine import batch
from sermo_fsm.proof.report import Report
from sermo_fsm.proof.situation_classes import MESSAGES
from sermo_fsm.protocol.events import QUIET, Direction
from sermo_fsm.protocol.message import Message
from sermo_fsm.storage.store import Pending, Store
from tests.support import ANDERS, BOT, EXAMPLES, at, envelope, event, text
from tools.explore import space as space_module
from tools.explore.edges import REASONS, ChatEdge
from tools.explore.graph import Graph
from tools.explore.run import (
    explore,
    format_count,
    interleavings,
    real_engine,
    schedules,
)
from tools.explore.sandbox import EngineFactory, Sandbox
from tools.explore.space import StateSpace
from tools.explore.streams import MAX_MESSAGES, Delivery, Stream, read_stream, short_streams

pytestmark = pytest.mark.prove

Lines = Sequence[dict[str, Any]]


@pytest.fixture
def stream(tmp_path: Path) -> Callable[..., Stream]:
    """A stream of such lines."""

    def write(*lines: dict[str, Any]) -> Stream:
        path = tmp_path / "stream.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return read_stream(path)

    return write


StreamOf = Callable[..., Stream]


def inbound(seconds: float, wire: dict[str, Any]) -> dict[str, Any]:
    return envelope("inbound", wire, seconds, f"in-{seconds}")


def outbound(seconds: float, wire: dict[str, Any]) -> dict[str, Any]:
    return envelope("outbound", wire, seconds, f"out-{seconds}")


HELLO = inbound(1, text())
ANSWER = outbound(2, text(agent=ANDERS))
QUEUE = outbound(3, event("queue_number", queueNumber=1))
MORE = inbound(4, text("Hallå?"))
DONE = outbound(5, event("agent_done"))


# --- it holds ------------------------------------------------------------------------------------


def test_a_live_chat_ends_in_one_state_whatever_is_read_first(stream: StreamOf) -> None:
    chat = stream(HELLO, outbound(2, text(agent=BOT)), QUEUE, MORE)
    found = explore("chat", [chat])
    assert found.ok, found.problems
    assert (found.ends, found.forks) == ({"queued": 1}, {})
    assert found.interleavings == 6
    assert "always ends in queued" in found.summary
    assert f"{found.interleavings} interleavings" in found.summary
    assert found.count > found.databases > 6
    assert found.power_cuts > 0


def test_where_a_close_decides_it_says_so(stream: StreamOf) -> None:
    found = explore("chat", [stream(ANSWER, inbound(1, event("client_left")))])
    assert found.ok
    assert found.ends == {"closed or with_agent": 1}
    assert found.forks == {"opening: client_left, agent_text": 1}
    assert "1 in several (1 at opening)" in found.summary
    assert set(found.ways) == {"with_agent", "closed by client_left"}


def test_with_three_queues_only_those_pairs_are_named_that_decide(stream: StreamOf) -> None:
    other = envelope("internal", text(agent=ANDERS), 3, "other")
    found = explore("chat", [stream(ANSWER, inbound(1, event("client_left")), other)])
    assert found.ok
    assert found.ends == {"closed or with_agent": 1}
    assert found.forks == {"opening: client_left, agent_text": 2}


def test_a_stray_that_finds_its_chat_when_it_comes_once_more_changes_only_presence(
    stream: StreamOf,
) -> None:
    late = stream(inbound(2, event("messages_read")), outbound(1, text(agent=ANDERS)))
    with closing(Sandbox(real_engine)) as sandbox:
        graph = Graph.of(late, StateSpace.of(sandbox))
        assert len({graph.state_at(position).chats for position in graph.final_positions}) == 2
        assert {graph.state_at(position).end for position in graph.final_positions} == {
            "with_agent"
        }
        assert list(graph.forks()) == []


def test_a_stream_of_strays_ends_with_nobody(stream: StreamOf) -> None:
    found = explore("strays", [stream(DONE, inbound(6, event("messages_read")))])
    assert (found.ok, found.ends, found.ways) == (True, {"nobody": 1}, {"nobody": 1})


def test_the_examples_begin_as_they_should() -> None:
    whole = read_stream(EXAMPLES / "4-one-more-question.jsonl")
    begun = Stream(whole.name, tuple(queue[:5] for queue in whole.queues))
    found = explore(whole.name, [begun])
    assert found.ok, found.problems
    assert (found.ends, found.forks) == ({"with_agent": 1}, {})
    assert found.interleavings == 252


def test_short_streams_end_in_several_states_only_at_the_edges_that_are_declared() -> None:
    some = list(islice(short_streams(), 0, None, 197))
    found = explore("some", some)
    assert found.ok, found.problems
    assert sum(found.ends.values()) == len(some) == found.streams
    edges = {ChatEdge(fork.partition(":")[0]) for fork in found.forks}
    assert edges <= set(REASONS)
    assert ChatEdge.OPENING in edges


@pytest.mark.parametrize(
    ("edge", "lines"),
    [
        (ChatEdge.OPENING, [inbound(1, event("client_left")), ANSWER]),
        (
            ChatEdge.CLOSE,
            [ANSWER, inbound(3, event("client_left")), outbound(2703, text(agent=ANDERS))],
        ),
        (
            ChatEdge.AFTER_CLOSE,
            [HELLO, inbound(2, event("client_left")), MORE, outbound(5, text(agent=ANDERS))],
        ),
        (
            ChatEdge.DEADLINE,
            [ANSWER, outbound(2703, event("agent_done")), inbound(2704, event("heartbeat"))],
        ),
        (
            ChatEdge.SAME_SIDE,
            [HELLO, ANSWER, envelope("internal", event("handover_to_bot"), 3, "internal-3")],
        ),
    ],
    ids=list(ChatEdge),
)
def test_every_edge_that_is_declared_is_one(
    stream: StreamOf, edge: ChatEdge, lines: list[dict[str, Any]]
) -> None:
    found = explore("edge", [stream(*lines)])
    assert found.ok
    assert edge in {fork.partition(":")[0] for fork in found.forks}
    assert REASONS[edge]


def test_an_edge_that_is_not_declared_is_a_problem(
    stream: StreamOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.explore.run.REASONS", {})
    (left,) = explore("left", [stream(ANSWER, inbound(1, event("client_left")))]).problems
    assert left == (
        "stream.jsonl: then inbound client_left of 12:00:01.000: ends in with_agent; "
        "but outbound agent_text of 12:00:02.000 first: ends in closed"
    )
    (late,) = explore("late", [stream(HELLO, outbound(3602, text(agent=ANDERS)))]).problems
    assert late == (
        "stream.jsonl: inbound customer_text of 12:00:01.000; "
        "then a sweep up to 13:00:02.000: ends in with_agent; "
        "but outbound agent_text of 13:00:02.000 first: ends in closed keeping with_agent"
    )


def test_an_edge_that_is_declared_and_not_met_is_a_problem(stream: StreamOf) -> None:
    left = [stream(ANSWER, inbound(1, event("client_left")))]
    assert explore("left", left, expected_edges=[ChatEdge.OPENING]).ok
    found = explore("left", left, expected_edges=[ChatEdge.OPENING, ChatEdge.CLOSE])
    assert found.problems == ("close: is declared as an edge, and nothing depends on it",)


def test_what_is_about_no_chat_is_not_missed(stream: StreamOf) -> None:
    beat = outbound(2, {"type": "application_heartbeat", "application": "avaya"})
    found = explore("beats", [stream(HELLO, beat, QUEUE)])
    assert found.ok, found.problems
    assert found.ends == {"queued": 1}


def test_an_agent_who_lets_go_on_the_internal_queue_leaves_the_chat_to_the_bot(
    stream: StreamOf,
) -> None:
    released = envelope("internal", event("agent_done"), 3, "internal-3")
    found = explore("released", [stream(ANSWER, inbound(4, text("Tack")), released)])
    assert found.ok, found.problems
    assert found.ends == {"bot or with_agent": 1}
    assert {fork.partition(":")[0] for fork in found.forks} == {"opening", "same side"}


# --- a stream with too many orders ---------------------------------------------------------------


def test_the_sixth_example_is_explored_in_parts_that_overlap() -> None:
    whole = read_stream(EXAMPLES / "6-later-events.jsonl")
    parts = whole.parts()
    received = sorted(chain(*whole.queues), key=lambda it: it.received_at)
    together = {pair for part in parts for pair in permutations(map(id, chain(*part.queues)), 2)}
    assert all(
        (id(received[index]), id(received[other])) in together
        for index in range(len(received))
        for other in range(index + 1, min(index + 10, len(received)))
    )
    for part in parts:
        assert {it.message_id for it in part.before} == {
            it.message_id
            for it in received
            if it.received_at < min(it.received_at for it in chain(*part.queues))
        }
    assert [stream.name for stream in parts[:2]] == [
        "6-later-events.jsonl from message 1",
        "6-later-events.jsonl from message 10",
    ]


def test_an_example_on_two_queues_is_explored_as_a_whole() -> None:
    whole = read_stream(EXAMPLES / "4-one-more-question.jsonl")
    assert whole.parts() == [whole]


def test_a_part_goes_on_from_what_was_received_before_it(
    stream: StreamOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.explore.streams._MAX_POSITIONS", 8)
    monkeypatch.setattr("tools.explore.streams._PART", 2)
    parts = stream(HELLO, ANSWER, QUEUE, MORE).parts()
    found = explore("chat", parts)
    assert found.ok, found.problems
    assert (found.streams, found.interleavings) == (3, 2 + 1 + 2)
    assert found.ends == {"with_agent": 1, "queued": 2}


# --- what the clock does in between ---------------------------------------------------------------

BACK_LATE = inbound(2704, text("Är någon där?"))


def test_a_sweep_leaves_no_trace_for_the_customer(stream: StreamOf) -> None:
    found = explore("chat", [stream(HELLO, QUEUE, BACK_LATE)])
    assert found.ok, found.problems
    assert (found.ends, found.forks) == ({"queued": 1}, {})
    assert found.swept == 3, "with the queue_number not read yet, read first, and read after"
    assert f"{found.databases} databases, 3 of them swept" in found.summary


def test_what_is_past_its_deadline_at_the_end_is_over(stream: StreamOf) -> None:
    """A message that had no chat finds one when it comes once more: that decides nothing."""
    late = stream(QUEUE, inbound(2704, event("messages_read")))
    found = explore("late", [late])
    assert found.ok, found.problems
    assert (found.ends, found.forks) == ({"closed keeping queued": 1}, {})


def test_a_sweep_goes_no_further_than_the_inbound_queue_is_read(stream: StreamOf) -> None:
    chat = stream(HELLO, ANSWER, BACK_LATE, outbound(2705, event("agent_done")))
    assert chat.up_to((0, 2)) == at(1)
    assert chat.up_to((1, 0)) == at(2704)
    assert chat.up_to((2, 0)) == at(2705), "when the last message was received"


def test_whether_the_other_queue_was_read_before_the_sweep_may_decide(stream: StreamOf) -> None:
    found = explore("chat", [stream(HELLO, outbound(3602, text(agent=ANDERS)))])
    assert found.ok, found.problems
    assert found.ends == {"closed keeping with_agent or with_agent": 1}
    assert found.forks == {"deadline: expire, agent_text": 1}


# --- what is told apart, and what is counted -----------------------------------------------------


def sequences(stream: Stream, back: int) -> Iterator[list[Delivery]]:
    """Every schedule, one by one: as they are counted and never gone."""

    def further(read: tuple[int, ...], twice: frozenset[Delivery]) -> Iterator[list[Delivery]]:
        done = list(zip(stream.queues, read, strict=True))
        if all(count == len(queue) for queue, count in done):
            yield []
        for number, (queue, count) in enumerate(done):
            if count < len(queue):
                onward = (*read[:number], count + 1, *read[number + 1 :])
                yield from ([queue[count], *rest] for rest in further(onward, twice))
            for delivery in set(queue[max(0, count - back) : count]) - twice:
                yield from ([delivery, *rest] for rest in further(read, twice | {delivery}))

    return further((0,) * len(stream.queues), frozenset())


def test_schedules_are_counted_as_if_each_were_gone(stream: StreamOf) -> None:
    short = stream(HELLO, ANSWER, MORE)
    for back in (1, 2):
        assert schedules([2, 1], back) == sum(1 for _ in sequences(short, back))
    assert schedules([1]) == 2
    assert schedules([2], prefetch=1) == 2 * 2
    assert schedules([2], prefetch=0) == 1
    assert interleavings([22, 15]) == 9364199760
    assert interleavings([2, 2, 2]) == 90


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((HELLO, MORE, DONE), id="live"),
        pytest.param((ANSWER, DONE, MORE), id="closes and opens"),
        pytest.param((inbound(9, event("messages_read")), QUEUE, HELLO), id="stray"),
    ],
)
def test_what_is_told_apart_once_is_what_every_schedule_ends_in(
    stream: StreamOf, lines: Lines
) -> None:
    short = stream(*lines)
    ends = set()
    with closing(Sandbox(real_engine)) as sandbox:
        empty = sandbox.snapshot()
        for schedule in sequences(short, 3):
            content = empty
            for delivery in schedule:
                content = sandbox.hand_in(content.image, [delivery]).snapshot
            ends.add(content.key)
        sandbox.restore(empty.image)
        space = StateSpace.of(sandbox)
        graph = Graph.of(short, space)
        merged = {key for key, number in space._numbers.items() if _at_end(graph, number)}
    assert merged == ends


def _at_end(graph: Graph, number: int) -> bool:
    return number in {last for _, last in graph.final_positions}


@pytest.mark.parametrize(
    ("number", "words"),
    [(252, "252"), (9364199760, "9 364 199 760"), (12 * 10**42, "1.2 × 10^43")],
)
def test_numbers_that_nobody_could_count_to_are_said_roughly(number: int, words: str) -> None:
    assert format_count(number) == words


def test_what_was_found_is_json(stream: StreamOf) -> None:
    (view,) = Report((explore("one", [stream(HELLO)]),)).view()["checks"]
    assert json.loads(json.dumps(view))["problems"] == []
    assert (view["name"], view["ok"], view["ends"]) == ("one", True, {"bot": 1})


# --- it finds what is wrong ----------------------------------------------------------------------


def message_id(line: bytes) -> str:
    return str(json.loads(line)["messageId"])


def type_of(line: bytes) -> str:
    return str(json.loads(line)["event"]["type"])


def changed(line: bytes, **values: object) -> bytes:
    """The envelope with other values in it."""
    return json.dumps({**json.loads(line), **values}).encode()


class FaultyEngine(ChatEngine):
    """The engine, tried once; those below do something else than they should."""

    def __init__(self, database: sa.Engine) -> None:
        super().__init__(database, attempts=1)
        self.database = database
        self.seen: dict[str, list[Receipt]] = {}
        self.plant()

    def plant(self) -> None:
        """Whatever has to be set up."""

    def handle_many(self, envelopes: Iterable[Any], **_: Any) -> list[Receipt]:
        lines = list(envelopes)
        receipts = self.take(lines)
        self.seen.update(dict.fromkeys(map(message_id, lines), receipts))
        return receipts

    def take(self, lines: list[bytes]) -> list[Receipt]:
        return super().handle_many(lines)


class Losing(FaultyEngine):
    """Rolls an agent_done back, and says that it is in."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        if type_of(lines[0]) != "agent_done":
            return super().take(lines)
        with self.database.begin() as connection:
            savepoint = connection.begin_nested()
            receipts = ChatEngine.handle_many(self, lines, connection=connection)
            savepoint.rollback()
        return receipts


class Remembering(FaultyEngine):
    """Looks for what it has seen in its memory, not in the database."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        if any(message_id(line) not in self.seen for line in lines):
            return super().take(lines)
        with self.database.begin():
            return [receipt for line in lines for receipt in self.seen[message_id(line)]]


class Forgetting(FaultyEngine):
    """Does not know a message id again."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        return super().take(
            [changed(it, messageId=None) if message_id(it) in self.seen else it for it in lines]
        )


class Mangling(FaultyEngine):
    """Reads something else when a message comes once more."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        return super().take(
            [
                changed(it, event={**json.loads(it)["event"], "more": 1})
                if message_id(it) in self.seen
                else it
                for it in lines
            ]
        )


class Doubling(FaultyEngine):
    """Counts on, when a message comes once more."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        with self.database.begin() as connection:
            receipts = ChatEngine.handle_many(self, lines, connection=connection)
            if all(receipt.first for receipt in receipts):
                connection.execute(sa.text("UPDATE sermo_session SET queue_number = 2"))
        return receipts


class Twice(FaultyEngine):
    """Needs two transactions."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        receipts = super().take(lines)
        with self.database.begin() as connection:
            connection.execute(sa.text("UPDATE sermo_session SET queue_number = NULL"))
        return receipts


class Halved(FaultyEngine):
    """Makes the session durable before the history, where nobody sees it."""

    halves = True

    def plant(self) -> None:
        @sa_event.listens_for(self.database, "after_cursor_execute")
        def early(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
            session = statement.startswith(("INSERT INTO sermo_session", "UPDATE sermo_session"))
            if session and self.halves:
                driver: Any = connection.connection.driver_connection
                driver.execute("COMMIT")
                driver.execute("BEGIN IMMEDIATE")


class Hooked(FaultyEngine):
    """Changes what it has written."""

    statements: ClassVar[tuple[str, ...]]

    def plant(self) -> None:
        @self.within_transaction
        def change(row: HistoryRow, connection: sa.Connection) -> None:
            for statement in self.statements:
                connection.execute(sa.text(statement), {"row": row.id})


class Rewriting(Hooked):
    statements = ("UPDATE sermo_history SET outcome = 'late' WHERE id < :row",)


class Inventing(Hooked):
    statements = (
        "INSERT INTO sermo_history (outcome, effective_at) VALUES ('stray', '2026-03-01')",
    )


class Breaking(Hooked):
    statements = ("UPDATE sermo_history SET from_state = 'closed' WHERE id = :row AND seq = 2",)


class Boasting(Hooked):
    statements = ("UPDATE sermo_session SET row_count = row_count + 1",)


class Reopening(Hooked):
    statements = (
        """UPDATE sermo_session SET state = 'bot', live = 1 WHERE id =
            (SELECT session_key FROM sermo_history WHERE id = :row AND from_state = 'closed')""",
        "UPDATE sermo_history SET to_state = 'bot' WHERE id = :row AND from_state = 'closed'",
    )


class Absent(FaultyEngine):
    """Keeps nothing of what is quiet."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        with pytest.MonkeyPatch.context() as patched:
            if all(type_of(line) == "heartbeat" for line in lines):
                patched.setattr(Pending, "keep", lambda *_, **__: None)
            return super().take(lines)


class Choking(FaultyEngine):
    """Takes one message at a time."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        if len(lines) > 1:
            raise RuntimeError("too many")
        return super().take(lines)


class Suspicious(FaultyEngine):
    """Finds fault with itself."""

    def verify(self) -> Verification:
        return Verification(1, 1, (Problem("one", None, "it is blue"),))


@pytest.mark.parametrize(
    ("engine_factory", "words"),
    [
        (Losing, ": it is lost: it is not in the history"),
        (Remembering, ": it is lost: it is not in the history"),
        (Forgetting, "it was there before, and has an effect once more"),
        (Inventing, ": a row came into the history that is of nothing that was read"),
        (Mangling, "again inbound customer_text of 12:00:01.000: it is not taken: message"),
        (Doubling, "it was there before, and has an effect once more"),
        (Twice, "1 inbound customer_text of 12:00:01.000: it commits 2 times"),
        (Halved, "1 inbound customer_text of 12:00:01.000: a power cut before its commit leaves"),
        (Rewriting, ": a row that was in the history is gone, or another one"),
        (Breaking, ": its row does not go on from the one before"),
        (Boasting, "1 inbound customer_text of 12:00:01.000: a chat is not what its rows say"),
        (Reopening, ": a closed chat is open again"),
        (Suspicious, ": verify finds: it is blue"),
        (Choking, ", in one transaction: it fails with RuntimeError: too many"),
    ],
)
def test_an_engine_with_a_fault_is_found_out(
    stream: StreamOf, engine_factory: EngineFactory, words: str
) -> None:
    found = explore("faulty", [stream(HELLO, ANSWER, DONE)], engine_factory=engine_factory)
    (problem,) = found.problems
    assert not found.ok
    assert problem.startswith("stream.jsonl: 1 ")
    assert words in problem


class Sweeper(FaultyEngine):
    """Sweeps in its own way."""

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        assert up_to is not None
        with self.database.begin() as connection:
            return self.shut(connection, up_to)

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        return list(batch.sweep(self._intake.store, up_to, connection)[1])


class Sleeping(Sweeper):
    """Closes nothing."""

    def shut(self, *_: object) -> list[HistoryRow]:
        return []


class Punctual(Sweeper):
    """Closes only what is past its deadline by more than nothing."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        return super().shut(connection, up_to - timedelta(microseconds=1))


class Hasty(Sweeper):
    """Goes by the deadline that the chat had when it was opened."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        query = sa.text("SELECT opened_at FROM sermo_session WHERE live = 1")
        idle = timedelta(minutes=30)
        opened = [
            datetime.fromisoformat(it).replace(tzinfo=UTC) for it in connection.scalars(query)
        ]
        soon = any(it + idle <= up_to for it in opened)
        return super().shut(connection, up_to + idle if soon else up_to)


class Tardy(Sweeper):
    """Closes at the time to which it sweeps, not at the deadline."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        def late(live: ChatSession) -> tuple[ChatSession, HistoryRow]:
            return expire(replace(live, expires_at=up_to))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(batch, "expire", late)
            return super().shut(connection, up_to)


class Silent(Sweeper):
    """Forgets the row."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Pending, "add", lambda _, row: row)
            return super().shut(connection, up_to)


class Final(Sweeper):
    """Closes for good, so that nobody can resume."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        rows = super().shut(connection, up_to)
        connection.execute(
            sa.text("UPDATE sermo_session SET kept_state = 'closed' WHERE live IS NULL")
        )
        return rows


class Restless(Sweeper):
    """Works on what is closed already."""

    def shut(self, connection: sa.Connection, up_to: datetime) -> list[HistoryRow]:
        more = "UPDATE sermo_session SET queue_number = coalesce(queue_number, 0) + 1"
        connection.execute(sa.text(f"{more} WHERE live IS NULL"))
        return super().shut(connection, up_to)


class Undecided(Sweeper):
    """Needs a transaction to look, and one to write."""

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        with self.database.begin() as connection:
            connection.execute(sa.text("SELECT 1"))
        return super().sweep(up_to)


class Torn(Halved):
    """Makes the session durable before the history, when it sweeps."""

    halves = False

    def sweep(self, up_to: datetime | None = None) -> list[HistoryRow]:
        self.halves = True
        rows = super().sweep(up_to)
        self.halves = False
        return rows


@pytest.mark.parametrize(
    ("engine_factory", "words"),
    [
        (Sleeping, ": at the deadline it leaves the chat live"),
        (Punctual, ": at the deadline it leaves the chat live"),
        (Hasty, ": it changes something before the deadline"),
        (Tardy, ": it closes the chat otherwise than at its deadline"),
        (Silent, ": a chat is not what its rows say"),
        (Final, "without the sweep it leads elsewhere"),
        (Restless, ": it changes what it has closed already"),
        (Undecided, ": it commits 2 times"),
        (Torn, ": a power cut before its commit leaves half of it"),
    ],
)
def test_a_sweeper_with_a_fault_is_found_out(
    stream: StreamOf, engine_factory: EngineFactory, words: str
) -> None:
    found = explore(
        "faulty",
        [stream(HELLO, inbound(60, event("heartbeat")), BACK_LATE)],
        engine_factory=engine_factory,
    )
    (problem,) = found.problems
    assert " a sweep up to 12:45:04.000" in problem
    assert words in problem


def test_a_heartbeat_that_is_lost_is_found_out(stream: StreamOf) -> None:
    chat = stream(HELLO, inbound(60, event("heartbeat")))
    (problem,) = explore("absent", [chat], engine_factory=Absent).problems
    assert problem == (
        "stream.jsonl: 1 inbound customer_text of 12:00:01.000; "
        "2 inbound heartbeat of 12:01:00.000: what is stored of the chat is not what became of it"
    )


class Mistaking(FaultyEngine):
    """Takes what is quiet for something else when it comes once more."""

    def take(self, lines: list[bytes]) -> list[Receipt]:
        other = event("unheard of")
        return super().take(
            [
                changed(it, event=other)
                if message_id(it) in self.seen and type_of(it) == "messages_read"
                else it
                for it in lines
            ]
        )


def test_a_quiet_message_must_not_be_written_down_when_it_comes_once_more(
    stream: StreamOf,
) -> None:
    chat = stream(HELLO, inbound(2, event("messages_read")))
    (problem,) = explore("mistaking", [chat], engine_factory=Mistaking).problems
    assert "3 again inbound messages_read" in problem
    assert problem.endswith("it was read before, and has its effect only now")


def test_the_way_to_a_fault_is_the_shortest(stream: StreamOf) -> None:
    chat = stream(HELLO, inbound(1.5, event("heartbeat")), ANSWER, DONE, MORE)
    (problem,) = explore("losing", [chat], engine_factory=Losing).problems
    assert problem == (
        "stream.jsonl: 1 outbound agent_text of 12:00:02.000; 2 outbound agent_done of "
        "12:00:05.000: it is lost: it is not in the history"
    )
    assert explore("losing", [chat], engine_factory=Losing).summary.endswith(
        "and then it went wrong"
    )


def test_a_message_that_breaks_the_engine_is_a_finding(
    stream: StreamOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "find_messages", lambda *_: {})  # what the database then refuses
    (problem,) = explore("unknowing", [stream(HELLO)]).problems
    assert "2 again inbound customer_text" in problem
    assert "it fails with LostRace" in problem


def test_a_table_that_breaks_the_law_is_found_out(
    stream: StreamOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [
        ("customer_text", "bot", "=", "bot", "=") if it[0] == "customer_text" else it
        for it in RULES
    ]
    monkeypatch.setattr("sermo_fsm.core.advance.TABLE", compile_rules(rules))
    found = explore("broken", [stream(HELLO, QUEUE, MORE)])
    (problem,) = found.problems
    assert problem == (
        "stream.jsonl: inbound customer_text of 12:00:01.000; then inbound customer_text of "
        "12:00:04.000: ends in queued; but outbound queue_number of 12:00:03.000 first: ends in "
        "bot"
    )
    assert found.forks == {"live: customer_text, queue_number": 1}


class Fickle(FaultyEngine):
    """Lets a heartbeat move what is kept of a closed chat, and hides it from who asks."""

    left: ChatSession | None = None

    def session(self, session_id: str, **_: Any) -> ChatSession | None:
        del session_id
        return self.left

    def verify(self, **_: Any) -> Verification:
        return Verification(1, 1, ())

    def take(self, lines: list[bytes]) -> list[Receipt]:
        moves = "UPDATE sermo_session SET kept_state = 'bot' WHERE live IS NULL"
        with self.database.begin() as connection:
            receipts = ChatEngine.handle_many(self, lines, connection=connection)
            if any(type_of(it) == "heartbeat" for it in lines):
                connection.execute(sa.text(moves))
        self.left = receipts[0].after
        return receipts


def test_a_quiet_message_that_decides_when_it_comes_once_more_is_found_out(
    stream: StreamOf,
) -> None:
    chat = stream(HELLO, QUEUE, inbound(4, event("heartbeat")), outbound(3602, event("typing_on")))
    found = explore("fickle", [chat], engine_factory=Fickle)
    assert "live: again heartbeat, nothing more" in found.forks, found.problems
    assert any(
        problem.endswith(
            "then again inbound heartbeat of 12:00:04.000: ends in closed keeping bot; "
            "but nothing more: ends in closed keeping queued"
        )
        for problem in found.problems
    )


def test_databases_that_do_not_come_together_end_the_search(
    stream: StreamOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_module, "MAX_DATABASES", 3)
    (problem,) = explore("many", [stream(HELLO, ANSWER, MORE)]).problems
    assert problem.endswith("there are more than 3 different databases")


def test_only_so_many_problems_are_kept(stream: StreamOf) -> None:
    found = explore("faulty", [stream(HELLO)] * 30, engine_factory=Twice)
    assert len(found.problems) == 10


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], ": wanted a message to a line, got 'nothing'"),
        ([{**HELLO, "messageId": None}], ":1: wanted a messageId: "),
        ([{**HELLO, "receivedAt": None}], ":1: wanted a receivedAt: "),
        ([HELLO, HELLO], ":2: wanted a messageId that no line before has"),
        ([inbound(1, {"type": "text"})], ":1: $.event.platformId: wanted this field"),
        ([HELLO, inbound(2, text(user="bo"))], ": wanted the messages of one user: "),
        (
            [inbound(n, text()) for n in range(MAX_MESSAGES + 1)],
            f":{MAX_MESSAGES + 1}: wanted at most {MAX_MESSAGES} messages, ",
        ),
    ],
)
def test_a_file_that_can_not_be_explored_says_why(
    stream: StreamOf, lines: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        stream(*lines)
    assert problem in str(raised.value)


def test_a_file_may_have_blank_lines_and_events_of_nobody(tmp_path: Path) -> None:
    nobody = envelope("internal", {"type": "new"}, 3, "x")
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(["", json.dumps(HELLO), " ", json.dumps(nobody), ""]), "utf-8")
    found = read_stream(path)
    assert [[str(it) for it in queue] for queue in found.queues] == [
        ["inbound customer_text of 12:00:01.000"],
        ["internal unknown of 12:00:03.000"],
    ]
    assert explore("three queues", [found]).ok


def test_short_streams_have_one_of_each_kind_that_the_rules_tell_apart() -> None:
    def kind(one: Delivery | Message) -> object:
        trigger = one.trigger
        cells = tuple(TABLE[state, trigger] for state in LIVE)
        inbound = one.direction is Direction.INBOUND
        return inbound, trigger in QUIET, cells, ownership.RULES[trigger]

    tried = {kind(it) for stream in short_streams() for queue in stream.queues for it in queue}
    assert tried == {kind(message) for message in MESSAGES}


def test_short_streams_are_each_another_one() -> None:
    streams = list(short_streams())
    assert len({stream.name for stream in streams}) == len(streams)
    assert {sum(map(len, stream.queues)) for stream in streams} == {3, 4}
