"""Replay one chat twice: as its rows say, and by today's table.

The two replays can go *out of step*: one of them has closed, or has not opened yet, while the
other is live. Which chat the later events belong to would then be a question of times, which a
replay cannot answer. From the next event on, of this chat or of the user's next one, today's state
is undecided.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.analysis.comparison import CellDifference, Divergence, UndecidedReason
from sermo_fsm.analysis.table_replay import (
    TableReplay,
    TransitionResult,
    guess_start,
    replay_late_opening,
    replay_opening,
    replay_transition,
)
from sermo_fsm.core.machine import LIVE, NO_GUARD, Guard, State
from sermo_fsm.core.ownership import Ending, ending
from sermo_fsm.core.session import CloseReason
from sermo_fsm.protocol.events import Trigger

__all__ = ["SESSION_COLUMNS", "Carryover", "ChatReplay", "DifferenceCache"]

SESSION_COLUMNS: Final = (
    *("id", "session_id", "platform_id", "user_id", "ordinal", "state", "kept_state", "resumed"),
    *("opened_at", "last_seen_at", "customer_text_at", "closed_at"),
    *("close_reason", "previous_close_reason"),
)
"""The columns of a session that its replay needs.

It also needs ``key_before``, ``kept_before`` and ``wrote_before`` of the user's previous session,
and in ``superseded_by`` the id of the row that opened the next one.
"""

_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})
_EXPIRE: Final = Trigger.EXPIRE
_BY_THE_CLOCK: Final = (CloseReason.IDLE, CloseReason.CLIENT_UNLOAD)


@frozen
class Carryover:
    """What the replay of the user's next chat needs and no row holds.

    Attributes:
        kept: The state that today's table would have kept.
        left: Whether the customer had left when the next chat opened.
        out_of_step: Whether the replays were out of step by then.
    """

    kept: str | None
    left: bool = False
    out_of_step: bool = False


class DifferenceCache(dict[tuple[str, str, str, str, bool], CellDifference | None]):
    """The differences found so far, by the few kinds of rows there are.

    The key is a row's trigger, ``from``, ``to`` and outcome, and whether the customer wrote later.
    The value is None if the row is possible today.
    """

    def __missing__(self, key: tuple[str, str, str, str, bool]) -> CellDifference | None:
        trigger, source, to, outcome, later = key
        stored = TransitionResult(to, outcome)
        today = replay_transition(trigger, source, _WROTE_LATER if later else NO_GUARD)
        difference = CellDifference(trigger, source, opens=False, stored=stored, today=today)
        self[key] = None if today == stored else difference
        return self[key]


@define
class ChatReplay:
    """The two replays of one session, and how they differ.

    Attributes:
        stored: The replay of the rows. Each row sets its state anew, so that one row that differs
            counts once.
        today: The replay by today's table.
        undecided: Why today's state cannot be determined any more; None while it can.
        rows: The number of rows replayed.
        left: Whether the customer has left.
        out_of_step: Whether one replay is live while the other is closed or was never opened.
        next_undecided: Whether the user's next chat cannot be replayed: a late event would have
            opened it, or this chat would have opened later and so have other deadlines.
        wrote_at: The latest receive time of a text of the customer, in this chat or in the one that
            it resumed.
        divergence: The first row after which the states differ.
        differences: The differences from the table, with their numbers of rows.
    """

    session: sa.Row[Any]
    cache: DifferenceCache
    stored: TableReplay
    today: TableReplay
    undecided: UndecidedReason | None
    rows: int = 0
    left: bool = False
    out_of_step: bool = False
    next_undecided: bool = False
    wrote_at: datetime | None = None
    divergence: Divergence | None = None
    differences: Counter[CellDifference] = field(factory=Counter)

    @classmethod
    def of(
        cls, session: sa.Row[Any], cache: DifferenceCache, carried: Carryover | None
    ) -> "ChatReplay":
        """The replay of *session*, before its first row."""
        kept = session.kept_before
        before = Carryover(kept) if carried is None else carried
        ended = _ending_before(session, left=before.left)
        # It was not resumed only for that: whether it came back in time is not known.
        could_resume = kept == State.CLOSED != before.kept
        return cls(
            session,
            cache,
            TableReplay(ended, _start(session, kept)),
            TableReplay(ended, _start(session, before.kept)),
            UndecidedReason.BEFORE if before.out_of_step or could_resume else None,
            wrote_at=_wrote_before(session),
        )

    def add_row(self, row: Any) -> None:
        """Replay the next row."""
        _, number, seq, trigger, source, to, outcome, received_at = row
        self.rows += 1
        wrote_at = self.wrote_at
        later = wrote_at is not None and received_at is not None and wrote_at > received_at
        if source == State.CLOSED:
            difference = self._late_difference(trigger, to, outcome, received_at, later=later)
        else:
            difference = self._difference(trigger, source, to, outcome, later=later)
        fast = difference is None and source in LIVE and source == self.today.state
        if fast and trigger != _EXPIRE:
            self.today.state = to  # nearly every row ends here
        else:
            if difference is not None:
                self.differences[difference] += 1
            self._apply(trigger, source, later=later, superseded=self._superseded(number))
            self._compare_states(seq, trigger, source, to)
        if trigger == Trigger.CUSTOMER_TEXT and received_at is not None:
            self.wrote_at = received_at if wrote_at is None else max(wrote_at, received_at)
        elif trigger == Trigger.CLIENT_LEFT and not self._superseded(number):
            self.left = True

    def _superseded(self, number: int) -> bool:
        """Whether the next session had opened when this row was written."""
        by = self.session.superseded_by
        return by is not None and number > by

    def _apply(self, trigger: str, source: str | None, *, later: bool, superseded: bool) -> None:
        if self.out_of_step:
            # If the user has had no chat yet, the next event may open the first one at any time.
            first = self.today.state is None and self.today.ending is Ending.NONE
            self.next_undecided = True
            self.undecided = self.undecided or (None if first else UndecidedReason.WITHIN)
        holding = _WROTE_LATER if later else NO_GUARD
        self.stored.state = source
        for replay in (self.stored, self.today):
            replay.apply(trigger, holding, superseded=superseded)

    def _compare_states(self, seq: int, trigger: str, source: str | None, to: str) -> None:
        today = self.today.state
        self.out_of_step = (to == State.CLOSED) is not (today in _NOT_LIVE)
        if self.divergence is None and self.undecided is None and today != to:
            self.divergence = Divergence(seq, trigger, source, to, today)

    def _difference(
        self, trigger: str, source: str | None, to: str, outcome: str, *, later: bool
    ) -> CellDifference | None:
        if source is not None:
            return self.cache[trigger, source, to, outcome, later]
        if self.session.resumed and self.session.key_before is None:
            self.stored.start = self.today.start = guess_start(trigger, to)
        stored = TransitionResult(to, outcome)
        today = replay_opening(trigger, self.stored.ending, self.stored.start)
        if today == stored:
            return None
        return CellDifference(trigger, self.stored.start, opens=True, stored=stored, today=today)

    def _late_difference(
        self, trigger: str, to: str, outcome: str, received_at: datetime | None, *, later: bool
    ) -> CellDifference | None:
        closed_at = self.session.closed_at
        if received_at is not None and closed_at is not None and received_at >= closed_at:
            today = replay_late_opening(trigger, self._ending, self.stored.kept or State.OPEN)
            if today is not None:
                self.next_undecided = True
                stored = TransitionResult(to, outcome)
                return CellDifference(
                    trigger, State.CLOSED, opens=False, stored=stored, today=today
                )
        return self.cache[trigger, State.CLOSED, to, outcome, later]

    @property
    def _ending(self) -> Ending:
        """How this session has ended, as far as its rows have been read."""
        return ending(
            self.session.close_reason,
            expired=self.session.kept_state is not None,
            left=self.left or self.session.close_reason == CloseReason.CLIENT_LEFT,
        )

    def finish(self) -> None:
        """Take note that there are no more rows.

        A quiet event, which leaves no row, may have opened a chat that no row opened.
        """
        seen_at = self.session.last_seen_at
        unopened = self.rows and self.today.state is None
        if unopened and seen_at is not None and seen_at > self.session.opened_at:
            self.undecided = self.undecided or UndecidedReason.WITHIN

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """The session's id, platform, user and stored state."""
        session = self.session
        return session.session_id, session.platform_id, session.user_id, session.state

    @property
    def diverges(self) -> bool:
        """Whether the session is live and would be in another state today."""
        return self.undecided is None and self.today.state != self.session.state != State.CLOSED

    @property
    def kept(self) -> tuple[str | None, str | None]:
        """The kept state: the stored one, and the one that today's table leads to."""
        return self.session.kept_state, self.stored.kept

    @property
    def carryover(self) -> Carryover | None:
        """What the user's next session has to know of this one; None if it is all stored."""
        left = self.left and self.session.close_reason != CloseReason.CLIENT_LEFT
        out_of_step = self.undecided is not None or self.out_of_step or self.next_undecided
        carried = Carryover(self.today.kept, left, out_of_step)
        if self.session.superseded_by is None or carried == Carryover(self.session.kept_state):
            return None
        return carried


_NOT_LIVE: Final = (None, State.CLOSED)


def _start(session: sa.Row[Any], kept: str | None) -> str:
    if not session.resumed or kept is None or kept == State.CLOSED:
        return State.OPEN
    return kept


def _wrote_before(session: sa.Row[Any]) -> datetime | None:
    """When the customer last wrote in the chat that this one resumed, as far as that is stored."""
    if not session.resumed:
        return None
    if session.key_before is not None:
        before: datetime | None = session.wrote_before
        return before
    # The chat before was deleted, but what it knew lives on in this one until the next text.
    wrote_at: datetime | None = session.customer_text_at
    return wrote_at if wrote_at is not None and wrote_at < session.opened_at else None


def _ending_before(session: sa.Row[Any], *, left: bool) -> Ending:
    """How the user's previous session had ended when this one opened."""
    if session.ordinal == 1:
        return Ending.NONE
    reason = session.previous_close_reason
    return ending(
        reason,
        expired=session.kept_before is not None or reason in _BY_THE_CLOCK,
        left=left or reason == CloseReason.CLIENT_LEFT,
    )
