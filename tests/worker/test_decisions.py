"""What the worker decides, by tables and by search; nothing here does anything."""

from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from attrs import evolve
from hypothesis import given

from sermo_fsm import (
    ChatSession,
    CommitUnknown,
    InvalidArgument,
    LostRace,
    MessageConflict,
    Outcome,
    Receipt,
    RedactionFailed,
    State,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from sermo_fsm.worker.decisions import (
    Horizon,
    Routing,
    SteadyClock,
    Sweeps,
    Verdict,
    dead_letters,
    verdict,
)
from sermo_fsm.worker.source import Batch, Delivery, SourceRefused
from tests.support import at
from tests.worker.support import delivery


def caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


def of_driver(kind: type[sa.exc.DBAPIError]) -> Exception:
    return kind("INSERT …", {}, Exception("…"))


@pytest.mark.parametrize(
    ("error", "cause", "wanted"),
    [
        (StoreBusy("…"), None, Verdict.HOLD),
        (StoreUnavailable("…"), None, Verdict.HOLD),
        (CommitUnknown("…"), None, Verdict.HOLD),
        (LostRace("…"), of_driver(sa.exc.IntegrityError), Verdict.HOLD),
        (StoreError("disk full"), of_driver(sa.exc.OperationalError), Verdict.HOLD),
        (StoreError("no permission"), of_driver(sa.exc.ProgrammingError), Verdict.HOLD),
        (StoreError("no table"), None, Verdict.HOLD),
        (StoreError("a value"), of_driver(sa.exc.DataError), Verdict.APART),
        (StoreError("a constraint"), of_driver(sa.exc.IntegrityError), Verdict.APART),
        (InvalidArgument("event", "…", "…"), None, Verdict.APART),
        (RecursionError("a bug"), None, Verdict.APART),
        (RedactionFailed("raised ValueError"), None, Verdict.APART),
    ],
)
def test_only_what_is_the_fault_of_a_message_takes_a_batch_apart(
    error: Exception, cause: Exception | None, wanted: Verdict
) -> None:
    assert verdict(caused(error, cause)) is wanted


def test_conflicts_and_what_fails_by_itself_are_dead_letters_and_invalid_ones_are_not() -> None:
    conflict = Receipt(outcome=Outcome.CONFLICT, error=MessageConflict("inbound", "m-1"))
    invalid = Receipt(outcome=Outcome.INVALID, error=InvalidArgument("event", "…", "…"))
    results: list[tuple[Delivery, Receipt | Exception]] = [
        (delivery(1), Receipt(outcome=Outcome.MOVED)),
        (delivery(2), conflict),
        (delivery(3), invalid),
        (delivery(4), ValueError("what a customer wrote")),
        (delivery(5), StoreError("the database refused: a constraint")),
    ]
    letters = dead_letters(results)
    assert [(letter.delivery.received_at, letter.reason) for letter in letters] == [
        (at(2), f"conflict: {conflict.error}"),
        (at(4), "builtins.ValueError"),
        (at(5), "StoreError: the database refused: a constraint"),
    ]


# --- up to which time chats may be judged --------------------------------------------------------

NO_MARGIN = timedelta()


def test_nothing_is_judged_until_every_queue_has_told_how_far_it_is_read() -> None:
    horizon = Horizon(frozenset({"a", "b"}), NO_MARGIN)
    horizon.note(Batch(read_up_to={"a": at(5)}), at(10))
    assert horizon.up_to(at(10)) is None
    horizon.note(Batch(read_up_to={"b": at(3)}), at(10))
    assert horizon.up_to(at(10)) == at(3)


def test_without_a_queue_nothing_is_ever_judged() -> None:
    horizon = Horizon(frozenset(), NO_MARGIN)
    horizon.note(Batch([delivery(1)]), at(10))
    assert horizon.up_to(at(10)) is None
    assert horizon.is_past(at(10))


def test_a_backlog_is_judged_up_to_its_last_message_less_the_margin() -> None:
    horizon = Horizon(frozenset({"inbound"}), timedelta(seconds=5))
    horizon.note(Batch([delivery(20), delivery(30)]), at(3600))
    assert horizon.up_to(at(3600)) == at(25)
    assert not horizon.is_past(at(31))
    assert horizon.is_past(at(30))


def test_a_stamp_ahead_of_now_moves_nothing() -> None:
    # In the middle of a backlog it would close the chats of all who have written since.
    horizon = Horizon(frozenset({"inbound"}), NO_MARGIN)
    horizon.note(Batch([delivery(20), delivery(4000)]), at(3600))
    assert horizon.up_to(at(3600)) == at(20)


def test_an_empty_queue_is_judged_up_to_when_it_was_seen_to_be_empty() -> None:
    horizon = Horizon(frozenset({"inbound"}), NO_MARGIN)
    horizon.note(Batch([delivery(20)], {"inbound": at(3000)}), at(3600))
    assert horizon.up_to(at(3600)) == at(3000)


@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 100), st.booleans()), max_size=20
    ),
    now=st.integers(0, 100),
)
def test_no_queue_is_judged_beyond_what_it_told_nor_beyond_now(
    arrivals: list[tuple[str, int, bool]], now: int
) -> None:
    horizon = Horizon(frozenset("ab"), NO_MARGIN)
    told: dict[str, datetime] = {}
    for queue, seconds, empty in arrivals:
        if empty:
            batch = Batch(read_up_to={queue: at(seconds)})
        else:
            one = delivery(seconds)
            batch = Batch([type(one)(one.direction, one.body, queue, one.received_at)])
        horizon.note(batch, at(100))
        told[queue] = max(at(seconds), told.get(queue, at(seconds))) if empty else at(seconds)
    up_to = horizon.up_to(at(now))
    if len(told) < 2:
        assert up_to is None
    else:
        assert up_to == min(at(now), *told.values())


# --- whether a user is in one partition ----------------------------------------------------------


def routed(user: str, queue: str = "p.0", key: str | None = "k") -> tuple[Delivery, Receipt]:
    session = ChatSession(platform_id="web", user_id=user, state=State.BOT, opened_at=at(0))
    return evolve(delivery(1), queue=queue, key=key), Receipt(outcome=Outcome.MOVED, after=session)


@pytest.mark.parametrize("second", [routed("anna", key="l"), routed("anna", queue="p.1")])
def test_a_user_with_two_keys_or_in_two_partitions_is_refused(
    second: tuple[Delivery, Receipt],
) -> None:
    routing = Routing()
    routing.check([routed("anna"), routed("bo", key="l"), routed("anna")])
    with pytest.raises(SourceRefused, match="same key for all messages of a user"):
        routing.check([second])


def test_what_is_about_nobody_or_has_no_key_says_nothing() -> None:
    routing = Routing()
    nobody = (evolve(delivery(1), key="k"), Receipt(outcome=Outcome.INVALID))
    failed = (evolve(delivery(1), key="k"), ValueError("…"))
    routing.check([nobody, failed, routed("anna"), routed("anna", key=None)])


def test_only_the_users_of_the_last_messages_are_remembered() -> None:
    routing = Routing(limit=2)
    routing.check([routed("anna"), routed("bo"), routed("anna"), routed("eva")])
    routing.check([routed("anna"), routed("bo", key="l")])


# --- when to sweep -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "up_to", "wanted"),
    [
        (100.0, None, False),
        (100.0, at(10), False),
        (100.0, at(11), True),
        (14.9, at(11), False),
        (15.0, at(11), True),
    ],
)
def test_a_sweep_is_due_when_there_is_something_new_and_some_time_has_passed(
    clock: float, up_to: datetime | None, *, wanted: bool
) -> None:
    sweeps = Sweeps(5.0)
    assert sweeps.is_due(10.0, at(10))
    sweeps.done(10.0, at(10))
    assert sweeps.is_due(clock, up_to) is wanted


# --- a clock that jumps --------------------------------------------------------------------------


class Clocks:
    """A wall clock that can be set, beside seconds that only go on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.jump = 0.0
        self.clock = SteadyClock(lambda: at(self.seconds + self.jump), lambda: self.seconds)

    def after(self, seconds: float) -> float:
        self.seconds += seconds
        return (self.clock.now() - at(0)).total_seconds()


def test_a_clock_that_goes_right_is_believed() -> None:
    clocks = Clocks()
    assert [clocks.after(10), clocks.after(3600)] == [10, 3610]


def test_a_jump_back_is_followed_at_once() -> None:
    clocks = Clocks()
    clocks.after(10)
    clocks.jump = -3600
    assert clocks.after(10) == 20 - 3600
    assert clocks.after(10) == 30 - 3600


def test_a_jump_ahead_is_not_believed_and_is_gone_when_it_is_taken_back() -> None:
    clocks = Clocks()
    clocks.after(10)
    clocks.jump = 3600
    assert [clocks.after(10), clocks.after(800)] == [20, 820]
    clocks.jump = 0
    assert [clocks.after(10), clocks.after(900)] == [830, 1730]


def test_a_jump_ahead_that_stays_is_believed_in_the_end() -> None:
    clocks = Clocks()
    clocks.jump = 3600
    assert [clocks.after(1), clocks.after(899)] == [1, 900]
    assert clocks.after(1) == 901 + 3600
    assert clocks.after(1) == 902 + 3600
