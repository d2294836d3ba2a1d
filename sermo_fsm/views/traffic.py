"""What a count of traffic is: how often each way was gone, and how long each state lasts."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.protocol.events import Trigger

__all__ = ["Traffic", "Way"]

Way = tuple[State | None, State, Trigger]
"""From where to where, and by what; from None where a session opened. From a state to itself where
nothing moved."""


@frozen(kw_only=True)
class Traffic:
    """The rows of many sessions, counted.

    What happened at ``since`` is counted, what happened at ``until`` is not. A stay counts where it
    ended in between, however long before it began; one that has not ended does not count.

    Attributes:
        rows: How many were counted; ``sessions`` of how many sessions they are.
        ways: How many rows went each way.
        stays: How often a state was entered and left again.
        medians: Half of those stays were no longer; without a state that was never left. Of more
            than 10 000 stays it is right to 0.8 %.
        since: Only rows of this effective time or later were counted; None for all.
        until: Only rows of an earlier effective time.
        platform: Only sessions of this platform.
    """

    rows: int
    sessions: int
    ways: Mapping[Way, int]
    stays: Mapping[State, int]
    medians: Mapping[State, timedelta]
    since: datetime | None = None
    until: datetime | None = None
    platform: str | None = None
