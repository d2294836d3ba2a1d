"""Waiting times and numbers of visits over time, as SVG or PNG.

By matplotlib (the extra ``charts``), which is imported when a picture is drawn.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sermo_fsm.picture.display_text import display_id, pluralized
from sermo_fsm.picture.formats.palette import Palette, palette_for
from sermo_fsm.views.figures import FigureGroup, Figures, Grouping

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CHART_FORMATS", "SPANS", "waits_chart"]

CHART_FORMATS: Final = ("svg", "png")
"""The formats of :func:`waits_chart`."""

SPANS: Final[Mapping[Grouping, timedelta]] = {
    Grouping.HOUR: timedelta(hours=1),
    Grouping.DAY: timedelta(days=1),
    Grouping.WEEK: timedelta(weeks=1),
}
"""The groupings that can be drawn, and how long each of their groups is."""

_UNITS: Final = ((2 * 3600, 3600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))
_SHARE: Final = 0.86
"""How much of its span a bar takes."""


def waits_chart(
    found: Figures,
    by: Grouping,
    zone: tzinfo,
    platform: str | None = None,
    *,
    format: str = "svg",  # noqa: A002 - as matplotlib calls it
    theme: str = "light",
) -> bytes:
    """Return a picture: median and 90th percentile of the waits, and below them the visits.

    Args:
        found: Figures by hour, day or week.
        by: Which of these.
        zone: The zone that they are those of.
        platform: The platform whose figures they are, for the title.
        format: One of :data:`CHART_FORMATS`.
        theme: ``light`` or ``dark``.

    Raises:
        ImportError: The extra ``charts`` is not installed.
        InvalidArgument: There is no such theme.
    """
    palette = palette_for(theme)
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ImportError(f"charts need: pip install 'sermo-fsm[charts]' ({error})") from error
    with mpl.rc_context(_style(palette)):
        figure = _Chart(found, by, zone, palette).draw(platform)
        file = BytesIO()
        figure.savefig(file, format=format, dpi=150, metadata=_NO_DATE.get(format))
    return file.getvalue()


_NO_DATE: Final[Mapping[str, Any]] = {"svg": {"Date": None}}
"""The same figures give the same bytes."""


def _style(palette: Palette) -> Any:
    return {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "sermo-fsm",
        "text.parse_math": False,  # a $ in the name of a platform is a $
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": palette.ink,
        "axes.labelcolor": palette.ink,
        "axes.edgecolor": palette.stroke,
        "axes.facecolor": palette.page,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": palette.hairline,
        "xtick.color": palette.ink,
        "ytick.color": palette.ink,
        "figure.facecolor": palette.page,
        "savefig.facecolor": palette.page,
        "legend.frameon": False,
    }


@frozen
class _Chart:
    """The two parts of the picture, above each other."""

    found: Figures
    by: Grouping
    zone: tzinfo
    palette: Palette

    def draw(self, platform: str | None) -> "Figure":
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.6, 5.6), layout="constrained")
        waits, visits = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        named = "" if platform is None else f" on {display_id(platform)}"
        figure.suptitle(
            f"Time in the queue and visits{named}, by {self.by}",
            x=0.01,
            ha="left",
            fontweight="bold",
        )
        groups = {self._start(name): group for name, group in self.found.groups.items()}
        self._waits(waits, groups)
        self._visits(visits, groups)
        self._axis(visits, groups)
        return figure

    def _start(self, name: str) -> datetime:
        """When the group of this name begins, as it is shown."""
        match self.by:
            case Grouping.HOUR:
                return datetime.fromisoformat(name)
            case Grouping.WEEK:
                return datetime.fromisoformat(f"{name}-1").replace(tzinfo=UTC)
            case _:
                return datetime.fromisoformat(name).replace(tzinfo=UTC)

    def _waits(self, plot: "Axes", groups: Mapping[datetime, FigureGroup]) -> None:
        waits = {start: group.time_in_queue for start, group in groups.items()}
        longest = max((one.p90 for one in waits.values() if one.p90), default=timedelta())
        unit, name = next(
            (unit, name) for least, unit, name in _UNITS if longest.total_seconds() >= least
        )
        self._bars(
            plot,
            {start: one.p90.total_seconds() / unit for start, one in waits.items() if one.p90},
            self.palette.shades[2],
            "p90: nine of ten were no longer",
        )
        self._bars(
            plot,
            {
                start: one.median.total_seconds() / unit
                for start, one in waits.items()
                if one.median
            },
            self.palette.shades[-1],
            "median",
        )
        plot.set_ylabel(f"time in the queue, {name}")
        stays = pluralized(sum(one.n for one in waits.values()), "stay")
        plot.set_title(f"{self._span()}\n{stays} in the queue", loc="left", fontsize=10)
        plot.grid(axis="y")
        if longest:
            plot.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, fontsize=9)

    def _visits(self, plot: "Axes", groups: Mapping[datetime, FigureGroup]) -> None:
        from matplotlib.ticker import MaxNLocator

        opened = {start: group.visits.opened for start, group in groups.items()}
        self._bars(plot, opened, self.palette.stroke, "visits")
        plot.set_ylabel("visits")
        plot.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        plot.set_title(pluralized(sum(opened.values()), "visit"), loc="left", fontsize=10)
        plot.grid(axis="y")

    # Any: matplotlib takes times, but its types do not know that.
    def _bars(self, plot: Any, heights: Mapping[datetime, float], colour: str, label: str) -> None:
        span = SPANS[self.by]
        plot.bar(
            [start + self._middle for start in heights],
            list(heights.values()),
            width=span * _SHARE,
            color=colour,
            edgecolor=self.palette.stroke,
            linewidth=0.5,
            label=label,
        )
        plot.set_ylim(bottom=0)

    @property
    def _middle(self) -> timedelta:
        """An hour stands behind the time at which it begins, a day above its date."""
        return SPANS[self.by] / 2 if self.by is Grouping.HOUR else timedelta()

    def _axis(self, plot: Any, groups: Mapping[datetime, FigureGroup]) -> None:
        from matplotlib import dates

        axis: Any = dates
        zone, span = self.zone if self.by is Grouping.HOUR else UTC, SPANS[self.by]
        if not groups:
            plot.set_xticks([])
            return
        plot.set_xlim(min(groups) - span, max(groups) + span + 2 * self._middle)
        locator = axis.AutoDateLocator(tz=zone, minticks=1)
        plot.xaxis.set_major_locator(locator)
        plot.xaxis.set_major_formatter(axis.ConciseDateFormatter(locator, tz=zone))

    def _span(self) -> str:
        bounds = [
            f"{word} {moment.astimezone(self.zone):%Y-%m-%d %H:%M}"
            for word, moment in (("from", self.found.since), ("before", self.found.until))
            if moment is not None
        ]
        when = " ".join(bounds) or "at any time"
        return f"visits opened {when}; times in {self.found.zone}"
