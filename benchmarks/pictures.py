"""Results as pictures: how near to the floor, and what growth costs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import Result

__all__ = ["draw"]

_OURS: Final = {"light": "#1f6feb", "dark": "#58a6ff"}
_OTHERS: Final = {"light": "#8c959f", "dark": "#6e7681"}
_INK: Final = {"light": "#1f2328", "dark": "#e6edf3"}
_PAPER: Final = {"light": "#ffffff", "dark": "#0d1117"}
_DASHES: Final = ("-", "--", ":")


def draw(folder: Path, name: str, result: Result) -> bool:
    """Draw the pictures of a result, for light and dark pages; False if it has none."""
    drawing = _DRAWINGS.get(name)
    if drawing is None or not result.data:
        return False
    for theme, suffix in (("light", ""), ("dark", "-dark")):
        ink = _INK[theme]
        style: Any = {
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": name,  # the same bytes from the same figures
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": _OTHERS[theme],
            "axes.facecolor": _PAPER[theme],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": ink,
            "ytick.color": ink,
            "figure.facecolor": _PAPER[theme],
            "legend.frameon": False,
        }
        with mpl.rc_context(style):
            figure = drawing(result.data, theme)
            figure.savefig(folder / f"{name}{suffix}.svg", metadata={"Date": None})
    return True


def _shares(data: Mapping[str, Mapping[str, float]], theme: str) -> Figure:
    """Bars: the rate of each contender as a share of the floor's."""
    bars = sum(len(shares) for shares in data.values())
    figure = Figure(figsize=(7.5, 0.9 + 0.2 * bars + 0.5 * len(data)), layout="constrained")
    heights = [len(shares) + 1 for shares in data.values()]
    plots = figure.subplots(len(data), 1, sharex=True, squeeze=False, height_ratios=heights)
    figure.suptitle("Events a second, as a share of what the driver alone does", fontsize=10)
    widest = max(share for shares in data.values() for share in shares.values())
    for plot, (title, shares) in zip(plots[:, 0], data.items(), strict=True):
        names = list(shares)
        colours = [(_OURS if name == "sermo_fsm" else _OTHERS)[theme] for name in names]
        drawn = plot.barh(names, list(shares.values()), color=colours, height=0.7)
        plot.bar_label(drawn, labels=[f"{share:.0%}" for share in shares.values()], padding=3)
        plot.set_title(title, loc="left", fontsize=9, fontweight="bold")
        plot.invert_yaxis()
        plot.set_xlim(0, widest * 1.12)
        plot.xaxis.set_visible(False)
        plot.spines["bottom"].set_visible(False)
        plot.tick_params(length=0)
    return figure


def _growth(data: Mapping[str, Mapping[str, Mapping[str, float]]], theme: str) -> Figure:
    """Lines: what an event or a query costs by the number of sessions, as a multiple."""
    figure = Figure(figsize=(7.5, 1 + 2.6 * len(data)), layout="constrained")
    plots = figure.subplots(len(data), 1, squeeze=False)
    for plot, (title, lines) in zip(plots[:, 0], data.items(), strict=True):
        sizes = [int(size) for size in next(iter(lines.values()))]
        for number, (name, costs) in enumerate(lines.items()):
            first = next(iter(costs.values()))
            colour = (_OURS if name.startswith("an event") else _OTHERS)[theme]
            plot.plot(
                sizes,
                [cost / first for cost in costs.values()],
                color=colour,
                linestyle=_DASHES[number % len(_DASHES)],
                marker="osv^D"[number % 5],
                label=name.replace("`", ""),
            )
        plot.set_xscale("log")
        plot.set_xticks(sizes, [f"{size:,}".replace(",", " ") for size in sizes])
        plot.minorticks_off()
        plot.set_ylim(bottom=0)
        plot.set_title(f"{title}: cost, as a multiple of the smallest", loc="left", fontsize=9)
        plot.set_xlabel("sessions")
        plot.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


_DRAWINGS: Final[Mapping[str, Callable[[Any, str], Figure]]] = {
    "throughput": _shares,
    "peers": _shares,
    "growth": _growth,
}
