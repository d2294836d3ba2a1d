"""The drawing of the machine with the traffic of many chats on it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from math import log1p, sqrt

from attrs import evolve

from sermo_fsm.core.machine import State
from sermo_fsm.picture.display_text import display_id, display_time, join_words, pluralized
from sermo_fsm.picture.drawing import (
    LEGEND,
    Arrow,
    Drawing,
    LegendEntry,
    LegendSymbol,
    Node,
    machine_drawing,
)
from sermo_fsm.picture.traversal import (
    Traversal,
    add_missing_arrows,
    annotate_lines,
    traversals,
)
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.traffic import Traffic

__all__ = ["traffic_drawing"]


def traffic_drawing(traffic: Traffic, *, loops: bool = False) -> Drawing:
    """Return the drawing of the machine with counts on its arrows and median stays in its states.

    Args:
        traffic: The counts.
        loops: Include the rows that didn't change the state, as arrows from a state to itself.
    """
    counts = _count_traversals(traffic, loops=loops)
    base = machine_drawing()
    closings = sum(
        count
        for traversal, count in counts.items()
        if traversal.target is State.CLOSED is not traversal.source
    )
    sums = {
        arrow: closings
        if arrow.target is None
        else sum(count for traversal, count in counts.items() if traversal.follows(arrow))
        for arrow in add_missing_arrows(base.arrows, list(counts))
    }
    # Loops don't count: they have so many rows that every other arrow would be a hairline.
    most = max(total for arrow, total in sums.items() if not arrow.is_loop)
    arrows = tuple(_overlay_arrow(arrow, total, most, counts) for arrow, total in sums.items())
    nodes = tuple(_overlay_nodes(traffic, counts))
    return Drawing(
        name="traffic",
        title="Where chats go",
        description=" ".join(_describe_traffic(traffic, arrows, nodes)),
        origin="Drawn by sermo-fsm diagram from the histories of chats",
        nodes=nodes,
        arrows=arrows,
        legend=(*LEGEND, *_traffic_legend(arrows, nodes)),
        caption=tuple(_traffic_caption(traffic, loops=loops)),
    )


def _count_traversals(traffic: Traffic, *, loops: bool) -> Counter[Traversal]:
    """Count the rows on each arrow; a row that follows two arrows counts on both."""
    counts: Counter[Traversal] = Counter()
    for (source, target, trigger), count in traffic.ways.items():
        if source is not target or loops:
            for traversal in traversals(source, target, trigger):
                opening = source is None and traversal.trigger is None
                counts[evolve(traversal, trigger=trigger) if opening else traversal] += count
    return +counts


def _overlay_arrow(arrow: Arrow, total: int, most: int, counts: Mapping[Traversal, int]) -> Arrow:
    matching = {traversal: count for traversal, count in counts.items() if traversal.follows(arrow)}
    notes = {
        traversal.trigger: _format_count(count)
        for traversal, count in matching.items()
        if traversal.trigger
    }
    traversal = next(iter(matching), Traversal(arrow.source, arrow.target or State.CLOSED, None))
    return evolve(
        arrow,
        lines=annotate_lines(arrow, traversal, notes),
        badges=(_format_count(total),) if total else (),
        # The square root keeps small shares visible.
        weight=sqrt(min(total, most) / most) if most else 0.0,
        faded=not total,
    )


def _format_count(count: int) -> str:
    return f"{count:,}"


def _overlay_nodes(traffic: Traffic, counts: Mapping[Traversal, int]) -> Iterator[Node]:
    longest = max(traffic.medians.values(), default=timedelta())
    touched = {state for traversal in counts for state in (traversal.source, traversal.target)}
    for state in State:
        median = traffic.medians.get(state)
        notes = [] if median is None else [f"median {format_duration(median)}"]
        if stays := traffic.stays.get(state):
            notes.append(pluralized(stays, "stay"))
        shade = None if median is None else _shade(median, longest)
        yield Node(state, tuple(notes), shade, faded=state not in touched and median is None)


def _shade(median: timedelta, longest: timedelta) -> float:
    """Return the strength of the colour, 0 to 1, on a logarithmic scale."""
    if longest <= timedelta():
        return 0.0
    return log1p(max(median.total_seconds(), 0.0)) / log1p(longest.total_seconds())


def _traffic_legend(arrows: Sequence[Arrow], nodes: Iterable[Node]) -> Iterator[LegendEntry]:
    if any(arrow.badges for arrow in arrows):
        yield LegendEntry(LegendSymbol.COUNT, "how often chats went this way")
        yield LegendEntry(LegendSymbol.WIDTH, "more often")
    if any(node.shade is not None for node in nodes):
        yield LegendEntry(LegendSymbol.SHADE, "longer median stay")
    if any(arrow.faded for arrow in arrows):
        yield LegendEntry(LegendSymbol.FADED, "never")
    if any(arrow.extra for arrow in arrows):
        yield LegendEntry(LegendSymbol.EXTRA, "resumed, or not in today's table")


def _traffic_caption(traffic: Traffic, *, loops: bool) -> Iterator[str]:
    bounds = [
        f"{word} {display_time(moment)} UTC"
        for word, moment in (("from", traffic.since), ("until", traffic.until))
        if moment is not None
    ]
    named = traffic.platform
    platform = "all platforms" if named is None else f"platform {display_id(named)}"
    yield f"{platform}, {' '.join(bounds) or 'all times'}"
    if not traffic.rows:
        yield "no rows: nothing happened there and then"
        return
    rows, chats = pluralized(traffic.rows, "row"), pluralized(traffic.sessions, "chat")
    unmoved = sum(count for (source, to, _), count in traffic.ways.items() if source is to)
    yield f"{rows} of {chats}"
    if unmoved and not loops:
        yield f"{_format_count(unmoved)} of the rows moved nothing and are not drawn"


def _describe_traffic(
    traffic: Traffic, arrows: Iterable[Arrow], nodes: Iterable[Node]
) -> Iterator[str]:
    yield "The states of a chat, with how often chats went each way."
    if not traffic.rows:
        yield "There are no rows: nothing happened there and then."
    for arrow in arrows:
        if not arrow.faded and arrow.target is not None:
            lines = [f"{line.text} {line.note}" for line in arrow.lines if line.note]
            yield (
                f"From {arrow.source or 'nothing'} to {arrow.target} "
                f"{arrow.badges[0]}: {join_words(lines)}."
            )
    for node in nodes:
        if node.notes:
            yield f"In {node.state}: {join_words(node.notes)}."
