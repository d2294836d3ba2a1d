"""One chat, as its rows say and as it would be today.

Which chat an event belongs to is told only as far as no time decides it. A chat that today would
end, or not end, or not open, at one of its rows has them apart; from the next event on, of this
chat or of the next one of this user, where today's table would lead can't be told.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field, frozen

from sermo_fsm.analysis.comparison import Departure, Parting, Why
from sermo_fsm.analysis.table_replay import Course, Done, judged, opened, opened_late, start_of
from sermo_fsm.core.machine import LIVE, NO_GUARD, Guard, State
from sermo_fsm.core.ownership import Ending
from sermo_fsm.core.session import CloseReason
from sermo_fsm.protocol.events import Trigger

__all__ = ["SAID", "Carried", "Known", "Retrace"]

SAID: Final = (
    *("id", "session_id", "platform_id", "user_id", "ordinal", "state", "kept_state", "resumed"),
    *("opened_at", "last_seen_at", "closed_at", "close_reason", "previous_close_reason"),
)
"""What has to be known of a session, beside the one before it and the one behind it."""

_WROTE_LATER: Final = frozenset({Guard.CUSTOMER_WROTE_LATER})
_EXPIRE: Final = Trigger.EXPIRE
_BY_THE_CLOCK: Final = (CloseReason.IDLE, CloseReason.CLIENT_UNLOAD)


@frozen
class Carried:
    """What is not stored of a chat, for the next one of this user.

    Attributes:
        kept: The state that today's table would have kept.
        left: The customer had left when the next one opened.
        apart: The two were apart by then.
    """

    kept: str | None
    left: bool = False
    apart: bool = False


class Known(dict[tuple[str, str, str, str, bool], Parting | None]):
    """What was judged before: there are few kinds of rows, however many rows."""

    def __missing__(self, key: tuple[str, str, str, str, bool]) -> Parting | None:
        trigger, source, to, outcome, later = key
        stored = Done(to, outcome)
        today = judged(trigger, source, _WROTE_LATER if later else NO_GUARD)
        parting = Parting(trigger, source, opens=False, stored=stored, today=today)
        self[key] = None if today == stored else parting
        return self[key]


@define
class Retrace:
    """One session, as its rows say and as it would be today.

    Attributes:
        stored: Set to what each row says, so that one row counts once.
        unsure: Why it can't be told any more where it would be today.
        apart: One of the two is closed, or was never opened, and the other is live.
        astray: The next chat of this user can't be told: what was late would have opened one, or
            this one would have opened later, and so its deadlines would be others.
    """

    session: sa.Row[Any]
    known: Known
    stored: Course
    today: Course
    unsure: Why | None
    rows: int = 0
    left: bool = False
    apart: bool = False
    astray: bool = False
    wrote_at: datetime | None = None
    departure: Departure | None = None
    partings: Counter[Parting] = field(factory=Counter)

    @classmethod
    def of(cls, session: sa.Row[Any], known: Known, carried: Carried | None) -> "Retrace":
        """Before the first row."""
        kept = session.kept_before
        before = Carried(kept) if carried is None else carried
        ending = _ending_before(session, left=before.left)
        # It was not resumed because of that: whether it came back in time nobody knows.
        could_resume = kept == State.CLOSED != before.kept
        return cls(
            session,
            known,
            Course(ending, _start(session, kept)),
            Course(ending, _start(session, before.kept)),
            Why.BEFORE if before.apart or could_resume else None,
        )

    def take(self, row: Any) -> None:
        """The next row."""
        _, number, seq, trigger, source, to, outcome, received_at = row
        self.rows += 1
        wrote_at = self.wrote_at
        later = wrote_at is not None and received_at is not None and wrote_at > received_at
        if source == State.CLOSED:
            parting = self._parting_of_late(trigger, to, outcome, received_at, later=later)
        else:
            parting = self._parting(trigger, source, to, outcome, later=later)
        if parting is None and source in LIVE and source == self.today.state and trigger != _EXPIRE:
            self.today.state = to  # of nearly all rows there is no more to say
        else:
            if parting is not None:
                self.partings[parting] += 1
            self._go_on(trigger, source, later=later, superseded=self._superseded(number))
            self._part(seq, trigger, source, to)
        if trigger == Trigger.CUSTOMER_TEXT and received_at is not None:
            self.wrote_at = received_at if wrote_at is None else max(wrote_at, received_at)
        elif trigger == Trigger.CLIENT_LEFT and not self._superseded(number):
            self.left = True

    def _superseded(self, number: int) -> bool:
        """Whether the next session had opened when this row was written."""
        by = self.session.superseded_by
        return by is not None and number > by

    def _go_on(self, trigger: str, source: str | None, *, later: bool, superseded: bool) -> None:
        if self.apart:
            # Of a user who had no chat, the next event may open the first one, whenever it comes.
            first = self.today.state is None and self.today.ending is Ending.NONE
            self.astray = True
            self.unsure = self.unsure or (None if first else Why.WITHIN)
        holding = _WROTE_LATER if later else NO_GUARD
        self.stored.state = source
        for course in (self.stored, self.today):
            course.take(trigger, holding, superseded=superseded)

    def _part(self, seq: int, trigger: str, source: str | None, to: str) -> None:
        today = self.today.state
        self.apart = (to == State.CLOSED) is not (today in _NOT_LIVE)
        if self.departure is None and self.unsure is None and today != to:
            self.departure = Departure(seq, trigger, source, to, today)

    def _parting(
        self, trigger: str, source: str | None, to: str, outcome: str, *, later: bool
    ) -> Parting | None:
        if source is not None:
            return self.known[trigger, source, to, outcome, later]
        if self.session.resumed and self.session.key_before is None:
            self.stored.start = self.today.start = start_of(trigger, to)
        stored, today = Done(to, outcome), opened(trigger, self.stored.ending, self.stored.start)
        if today == stored:
            return None
        return Parting(trigger, self.stored.start, opens=True, stored=stored, today=today)

    def _parting_of_late(
        self, trigger: str, to: str, outcome: str, received_at: datetime | None, *, later: bool
    ) -> Parting | None:
        closed_at = self.session.closed_at
        if received_at is not None and closed_at is not None and received_at >= closed_at:
            today = opened_late(trigger, self._ending, self.stored.kept or State.OPEN)
            if today is not None:
                self.astray = True
                stored = Done(to, outcome)
                return Parting(trigger, State.CLOSED, opens=False, stored=stored, today=today)
        return self.known[trigger, State.CLOSED, to, outcome, later]

    @property
    def _ending(self) -> Ending:
        """How this session has ended, so far as its rows were read."""
        if self.session.kept_state is not None:
            return Ending.EXPIRED
        left = self.left or self.session.close_reason == CloseReason.CLIENT_LEFT
        return Ending.LEFT if left else Ending.DONE

    def end(self) -> None:
        """Behind the last row: what had not opened, a quiet event may have."""
        seen_at = self.session.last_seen_at
        unopened = self.rows and self.today.state is None
        if unopened and seen_at is not None and seen_at > self.session.opened_at:
            self.unsure = self.unsure or Why.WITHIN

    @property
    def whose(self) -> tuple[str, str, str, str]:
        """Its id, its platform, its user, and where it is."""
        said = self.session
        return said.session_id, said.platform_id, said.user_id, said.state

    @property
    def departs(self) -> bool:
        """Whether it is live, and would be somewhere else today."""
        return self.unsure is None and self.today.state != self.session.state != State.CLOSED

    @property
    def kept(self) -> tuple[str | None, str | None]:
        """What the clock took it from: as it is stored, and as today's table has it."""
        return self.session.kept_state, self.stored.kept

    @property
    def carried(self) -> Carried | None:
        """What the next session has to know of this one; None for what is stored."""
        left = self.left and self.session.close_reason != CloseReason.CLIENT_LEFT
        carried = Carried(
            self.today.kept, left, self.unsure is not None or self.apart or self.astray
        )
        if self.session.superseded_by is None or carried == Carried(self.session.kept_state):
            return None
        return carried


_NOT_LIVE: Final = (None, State.CLOSED)


def _start(session: sa.Row[Any], kept: str | None) -> str:
    if not session.resumed or kept is None or kept == State.CLOSED:
        return State.OPEN
    return kept


def _ending_before(session: sa.Row[Any], *, left: bool) -> Ending:
    """How the session before had ended when this one opened."""
    reason = session.previous_close_reason
    if session.ordinal == 1:
        return Ending.NONE
    if session.kept_before is not None or reason in _BY_THE_CLOCK:
        return Ending.EXPIRED
    return Ending.LEFT if left or reason == CloseReason.CLIENT_LEFT else Ending.DONE
