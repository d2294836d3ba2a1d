"""What is the case now, on every platform, as one value: what a board on the wall shows."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession

__all__ = ["DayCounts", "HourCounts", "Overview", "PlatformHour", "PlatformNow", "Quantity"]


@frozen(kw_only=True)
class PlatformNow:
    """The live chats of one platform.

    A chat whose deadline is past waits for nothing: it counts in its state, and as overdue.

    Attributes:
        states: How many chats are in each live state; a state without one is left out.
        waiting_since: When the one who has waited longest came into the queue; None if nobody
            waits. Who has been in the queue before waits since the first time.
        over_target: How many have waited longer than the target.
        unanswered: How many chats are with the bot and the customer has written since the last
            reply, or has had none.
        unanswered_since: When the longest unanswered of these texts was received; None if there is
            none.
        overdue: How many are past their deadline, and not swept yet.
        last_seen_at: When the latest event of a customer with a live chat was received; None if
            none was.
    """

    states: Mapping[State, int]
    waiting_since: datetime | None
    over_target: int
    unanswered: int
    unanswered_since: datetime | None
    overdue: int
    last_seen_at: datetime | None


@frozen(kw_only=True)
class PlatformHour:
    """What happened on one platform in an hour, by effective times.

    Attributes:
        opened: Sessions that opened.
        closed: Sessions that closed.
        abandoned: Those of them that closed from the queue before a human had written or claimed
            the chat, without the short ones.
        short: Those that did so within ten seconds of coming into the queue.
        strays: Rows without a session, other than invalid ones.
        invalid: Events that broke the protocol.
    """

    opened: int = 0
    closed: int = 0
    abandoned: int = 0
    short: int = 0
    strays: int = 0
    invalid: int = 0


@frozen
class HourCounts:
    """The hour before ``at``, by platform; what named none is under None."""

    at: datetime
    platforms: Mapping[str | None, PlatformHour]


@frozen
class Quantity:
    """The sessions that opened in half an hour, and how many of them have been in the queue."""

    since: datetime
    opened: int
    queued: int


@frozen
class DayCounts:
    """The time from the first of ``steps`` to ``at``, in steps of half an hour."""

    at: datetime
    steps: tuple[Quantity, ...]


@frozen(kw_only=True)
class Overview:
    """What is the case at one moment (``ChatEngine.overview``).

    Attributes:
        at: The moment, by the clock of this machine.
        target: How long a customer may wait.
        platforms: The live chats of each platform that has any.
        newest_at: When the event that was written last was received; None if there is none. The
            clock and heartbeats write nothing that counts here.
        hour: The hour before, if it was asked for.
        day: The day so far, if it was asked for.
        waiting: Who waits in the queue, the longest first, if that was asked for.
        chats: The sessions that were asked for, by their ids; those that exist.
    """

    at: datetime
    target: timedelta
    platforms: Mapping[str, PlatformNow]
    newest_at: datetime | None
    hour: HourCounts | None = None
    day: DayCounts | None = None
    waiting: tuple[ChatSession, ...] | None = None
    chats: Mapping[str, ChatSession]

    @property
    def lag(self) -> timedelta | None:
        """How old the newest is that is known of a live chat; None if none is live.

        The newest is the last event of a customer with a live chat, heartbeats too, or the event
        that was written last, whichever was received later.
        """
        if not self.platforms:
            return None
        seen = [one.last_seen_at for one in self.platforms.values()]
        known = [at for at in (self.newest_at, *seen) if at is not None]
        return max(self.at - max(known), timedelta()) if known else None
