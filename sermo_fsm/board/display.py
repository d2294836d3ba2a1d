"""Times, lengths and states as a page shows them."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Final

from attrs import frozen
from markupsafe import Markup, escape

from sermo_fsm.board.words import Words
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.machine import State
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.figure_rows import FigureRow
from sermo_fsm.views.timeline import CLOSE_REASONS

__all__ = ["Display"]

_HUMP: Final = re.compile("(?<=[a-z0-9])[A-Z]|(?<=[a-z])[0-9]+")
_SHAPES: Final = {
    State.OPEN: "○",
    State.BOT: "◆",
    State.QUEUED: "▲",
    State.WITH_AGENT: "●",
    State.CLOSED: "✕",
}
"""By which a state is known without its colour."""


@frozen
class Display:
    """How things are shown to one viewer.

    Attributes:
        words: The language.
        zone: The time zone; None for the system's.
        user: Shows a user's id.
        now: The time that others are shown relative to.
    """

    words: Words
    zone: tzinfo | None
    user: Callable[[str], str]
    now: datetime

    def time(self, moment: datetime | None) -> Markup:
        """A time of day with seconds, and the date where it is not today's."""
        if moment is None:
            return Markup("–")
        local, today = moment.astimezone(self.zone), self.now.astimezone(self.zone).date()
        day = "" if local.date() == today else f"{local:%Y-%m-%d} "
        return Markup('<time datetime="{}">{}</time>').format(
            time_view(moment), f"{day}{local:%H:%M:%S}"
        )

    def clock(self, moment: datetime) -> str:
        """A time of day without seconds."""
        return f"{moment.astimezone(self.zone):%H:%M}"

    def hour(self, moment: datetime) -> Markup:
        """The same as markup."""
        return Markup('<time datetime="{}">{}</time>').format(time_view(moment), self.clock(moment))

    def exact(self, length: timedelta) -> str:
        """A length of time as the figures show it."""
        return format_duration(length)

    def part(self, row: FigureRow) -> str:
        """The part of a figure: words out of names in JSON, but an agent's id as it is."""
        if row.figure == "handleTime":
            return row.part
        return ", ".join(map(self._part_name, row.part.split()))

    def _part_name(self, name: str) -> str:
        plain = _HUMP.sub(lambda found: f" {found[0].lower()}", name)
        return self.words(CLOSE_REASONS.get(name, plain))

    def day(self, moment: datetime) -> str:
        """A date."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d}"

    def since(self, moment: datetime) -> str:
        """How long ago that was."""
        return self.length(self.now - moment)

    def length(self, length: timedelta) -> str:
        """A length of time in whole minutes, and so seldom another one."""
        minutes = max(0, int(length.total_seconds())) // 60
        hours, days = minutes // 60, minutes // 1440
        if days:
            return self.words("{days} d {hours} h", days=days, hours=hours % 24)
        if hours:
            return self.words("{hours} h {minutes} min", hours=hours, minutes=minutes % 60)
        if minutes:
            return self.words("{minutes} min", minutes=minutes)
        return self.words("under 1 min")

    def target(self, length: timedelta) -> str:
        """A target: in seconds, if it is no whole number of minutes."""
        seconds = length.total_seconds()
        if seconds and seconds % 60 == 0:
            return self.length(length)
        return self.words("{seconds} s", seconds=f"{seconds:g}")

    def say(self, text: str, **values: object) -> Markup:
        """A sentence of ours, with what stands in it: all but markup is escaped."""
        return Markup(escape(self.words(text))).format(**values)  # noqa: S704 - escaped

    def state(self, state: State) -> Markup:
        """A state by shape and word."""
        return Markup(
            '<span class="state {}"><span aria-hidden="true">{}</span>&nbsp;{}</span>'
        ).format(state.value, _SHAPES[state], self.words(state.value))
