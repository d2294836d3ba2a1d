"""The day's curve: bars for half hours, as what a template needs to draw them."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from sermo_fsm.views.overview import DayCounts, Quantity

__all__ = ["Bar", "Curve", "curve"]

WIDTH: Final = 960.0
HEIGHT: Final = 200.0
_DAY: Final = timedelta(days=1)
_GAP: Final = 3.0


@frozen
class Bar:
    """One half hour: where its two parts stand, from the top."""

    step: Quantity
    x: float
    width: float
    queued_y: float
    queued_height: float
    other_y: float
    other_height: float


@frozen(kw_only=True)
class Curve:
    """A day's bars.

    Attributes:
        bars: One for each half hour so far.
        most: What the highest line stands for.
        hours: The four quarters of the day begin then.
        opened: All that have opened.
        queued: Those of them who have been in the queue.
        peak: The busiest half hour; None if none has opened.
    """

    bars: tuple[Bar, ...]
    most: int
    hours: tuple[datetime, ...]
    opened: int
    queued: int
    peak: datetime | None
    width: float = WIDTH
    height: float = HEIGHT


def curve(day: DayCounts) -> Curve:
    """Lay out the bars of a day."""
    begun = day.steps[0].since if day.steps else day.at
    counts = [step.opened for step in day.steps]
    most = _round_up(max(counts, default=0))
    every = WIDTH / 48

    def place(moment: datetime) -> float:
        return (moment - begun) / _DAY * WIDTH

    def bar(step: Quantity) -> Bar:
        queued = step.queued / most * HEIGHT
        other = (step.opened - step.queued) / most * HEIGHT
        top = HEIGHT - queued - other
        x = place(step.since) + _GAP / 2
        return Bar(step, x, every - _GAP, HEIGHT - queued, queued, top, other)

    peak = max(day.steps, key=lambda step: step.opened, default=None)
    return Curve(
        bars=tuple(map(bar, day.steps)),
        most=most,
        hours=tuple(begun + timedelta(hours=hours) for hours in range(0, 24, 6)),
        opened=sum(counts),
        queued=sum(step.queued for step in day.steps),
        peak=peak.since if peak is not None and peak.opened else None,
    )


def _round_up(count: int) -> int:
    """The next round number, for the top of the scale: 1, 2, 5, 10, 20, 50 and so on."""
    power = 1
    while True:
        for first in (1, 2, 5):
            if count <= first * power:
                return first * power
        power *= 10
