"""The machine with the traffic of many chats on it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from math import log1p, sqrt

from attrs import evolve

from sermo_fsm.core.machine import State
from sermo_fsm.picture.drawing import (
    LEGEND,
    Arrow,
    Drawing,
    Key,
    Mark,
    Node,
    listed,
    machine_drawing,
)
from sermo_fsm.picture.legs import Leg, legs_of, noted, shown_id, shown_time, with_extra
from sermo_fsm.views.durations import length_view
from sermo_fsm.views.traffic import Traffic

__all__ = ["traffic_drawing"]


def traffic_drawing(traffic: Traffic, *, loops: bool = False) -> Drawing:
    """The machine with how often chats went each way, and how long they stayed in each state.

    Args:
        loops: Also how many rows moved nothing, as arrows from a state to itself.
    """
    counts = _counts(traffic, loops=loops)
    base = machine_drawing()
    ends = sum(n for leg, n in counts.items() if leg.target is State.CLOSED is not leg.source)
    sums = {
        arrow: ends
        if arrow.target is None
        else sum(count for leg, count in counts.items() if leg.lies_on(arrow))
        for arrow in with_extra(base.arrows, list(counts))
    }
    # What moved nothing is so much more that beside it every way would be a hairline.
    most = max(total for arrow, total in sums.items() if not arrow.loop)
    arrows = tuple(_counted_arrow(arrow, total, most, counts) for arrow, total in sums.items())
    nodes = tuple(_nodes_of(traffic, counts))
    return Drawing(
        name="traffic",
        title="Where chats go",
        description=" ".join(_traffic_sentences(traffic, arrows, nodes)),
        origin="Drawn by sermo-fsm diagram from the histories of chats",
        nodes=nodes,
        arrows=arrows,
        legend=(*LEGEND, *_traffic_legend(arrows, nodes)),
        caption=tuple(_traffic_caption(traffic, loops=loops)),
    )


def _counts(traffic: Traffic, *, loops: bool) -> Counter[Leg]:
    """How often each leg was gone; an opening that lands elsewhere counts on both of its two."""
    counts: Counter[Leg] = Counter()
    for (source, target, trigger), count in traffic.ways.items():
        if source is not target or loops:
            for leg in legs_of(source, target, trigger):
                opening = source is None and leg.trigger is None
                counts[evolve(leg, trigger=trigger) if opening else leg] += count
    return +counts


def _counted_arrow(arrow: Arrow, total: int, most: int, counts: Mapping[Leg, int]) -> Arrow:
    on_it = {leg: count for leg, count in counts.items() if leg.lies_on(arrow)}
    notes = {leg.trigger: _number(count) for leg, count in on_it.items() if leg.trigger}
    leg = next(iter(on_it), Leg(arrow.source, arrow.target or State.CLOSED, None))
    return evolve(
        arrow,
        lines=noted(arrow, leg, notes),
        badges=(_number(total),) if total else (),
        weight=sqrt(min(total, most) / most) if most else 0.0,  # so that a tenth can still be seen
        faded=not total,
    )


def _number(count: int) -> str:
    return f"{count:,}"


def _named(count: int, name: str) -> str:
    return f"{_number(count)} {name}{'' if count == 1 else 's'}"


def _nodes_of(traffic: Traffic, counts: Mapping[Leg, int]) -> Iterator[Node]:
    longest = max(traffic.medians.values(), default=timedelta())
    touched = {state for leg in counts for state in (leg.source, leg.target)}
    for state in State:
        median = traffic.medians.get(state)
        notes = [] if median is None else [f"median {length_view(median)}"]
        if stays := traffic.stays.get(state):
            notes.append(_named(stays, "stay"))
        shade = None if median is None else _shade(median, longest)
        yield Node(state, tuple(notes), shade, faded=state not in touched and median is None)


def _shade(median: timedelta, longest: timedelta) -> float:
    """On a scale on which seconds and hours can be told apart."""
    if longest <= timedelta():
        return 0.0
    return log1p(max(median.total_seconds(), 0.0)) / log1p(longest.total_seconds())


def _traffic_legend(arrows: Sequence[Arrow], nodes: Iterable[Node]) -> Iterator[Key]:
    if any(arrow.badges for arrow in arrows):
        yield Key(Mark.COUNT, "how often chats went this way")
        yield Key(Mark.WIDTH, "more often")
    if any(node.shade is not None for node in nodes):
        yield Key(Mark.SHADE, "longer median stay")
    if any(arrow.faded for arrow in arrows):
        yield Key(Mark.FADED, "never")
    if any(arrow.extra for arrow in arrows):
        yield Key(Mark.EXTRA, "resumed, or not in today's table")


def _traffic_caption(traffic: Traffic, *, loops: bool) -> Iterator[str]:
    bounds = [
        f"{word} {shown_time(moment)} UTC"
        for word, moment in (("from", traffic.since), ("until", traffic.until))
        if moment is not None
    ]
    named = traffic.platform
    platform = "all platforms" if named is None else f"platform {shown_id(named)}"
    yield f"{platform}, {' '.join(bounds) or 'all times'}"
    if not traffic.rows:
        yield "no rows: nothing happened there and then"
        return
    rows, chats = _named(traffic.rows, "row"), _named(traffic.sessions, "chat")
    still = sum(count for (source, to, _), count in traffic.ways.items() if source is to)
    yield f"{rows} of {chats}"
    if still and not loops:
        yield f"{_number(still)} of the rows moved nothing and are not drawn"


def _traffic_sentences(
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
                f"{arrow.badges[0]}: {listed(lines)}."
            )
    for node in nodes:
        if node.notes:
            yield f"In {node.state}: {listed(node.notes)}."
