"""The drawing of the machine with the traffic of many chats on it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from math import log1p, sqrt
from typing import Final

from attrs import evolve

from sermo_fsm.core.machine import LIVE, State
from sermo_fsm.core.ownership import RULES, Rule
from sermo_fsm.picture.display_text import display_id, display_time, join_words, pluralized
from sermo_fsm.picture.drawing import (
    LEGEND,
    Arrow,
    Drawing,
    LegendEntry,
    LegendSymbol,
    Node,
    TriggerLine,
    direction_of,
    machine_drawing,
)
from sermo_fsm.picture.traversal import (
    Traversal,
    add_missing_arrows,
    annotate_lines,
    traversals,
)
from sermo_fsm.protocol.events import Direction
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.traffic import Traffic

__all__ = ["traffic_drawing"]

_OPENERS: Final = tuple(
    trigger
    for trigger, (rule, *_) in RULES.items()
    if rule is Rule.OPENS and direction_of(trigger) is Direction.INBOUND
)
_SERVING: Final = "bot, agents"
_MILLION: Final = 1_000_000

# What the room of the drawing has: nothing longer is ever shown.
_LONGEST_COUNT: Final = "999,999"
_LONGEST_SHARE: Final = ">99%"
_LONGEST_NOTES: Final = (
    "median 59 min 59 s",
    "p90 59 min 59 s",
    "999,999 stays",
    "999,999 still there",
)
_RESUMED: Final = tuple(
    Traversal(None, state, None, extra=True) for state in LIVE if state is not State.OPEN
)


def traffic_drawing(traffic: Traffic, *, loops: bool = False) -> Drawing:
    """Return the drawing of the machine with counts on its arrows and stays in its states.

    Everything stands in the same place whatever was counted, unless rows moved as no table of today
    lets them.

    Args:
        traffic: The counts.
        loops: Include the rows that didn't change the state, as arrows from a state to itself.
    """
    counts = _count_traversals(traffic, loops=loops)
    sums = {
        arrow: traffic.closings
        if arrow.target is None
        else sum(count for traversal, count in counts.items() if traversal.follows(arrow))
        for arrow in add_missing_arrows(_base_arrows(loops=loops), list(counts))
    }
    arrows = tuple(_overlay_arrows(sums, counts))
    nodes = tuple(_overlay_nodes(traffic, counts))
    drawing = Drawing(
        name="traffic",
        title="Where chats go",
        description=" ".join(_describe_traffic(traffic, arrows, nodes)),
        origin="Drawn by sermo-fsm diagram from the histories of chats",
        nodes=nodes,
        arrows=arrows,
        legend=(*LEGEND, *_traffic_legend(arrows, nodes)),
        caption=tuple(_traffic_caption(traffic, loops=loops)),
    )
    return evolve(drawing, room=_room(drawing))


def _room(drawing: Drawing) -> Drawing:
    """Return the drawing with everything as wide as it may be, and with all chats that resumed."""
    return evolve(
        drawing,
        description="",
        caption=(),
        nodes=tuple(
            Node(state, _LONGEST_NOTES if state in LIVE else (), shade=0.0) for state in State
        ),
        arrows=tuple(
            evolve(
                arrow,
                lines=tuple(evolve(line, note=_LONGEST_COUNT) for line in arrow.lines),
                badges=(_badge(_LONGEST_COUNT, _LONGEST_SHARE if _has_share(arrow) else ""),),
                weight=1.0,
            )
            for arrow in add_missing_arrows(drawing.arrows, _RESUMED)
        ),
    )


def _base_arrows(*, loops: bool) -> Iterator[Arrow]:
    """Yield the arrows of the machine; a trigger that either side may cause has one line."""
    for arrow in machine_drawing(loops=loops).arrows:
        lines = (line for line in arrow.lines if line.direction is direction_of(line.triggers[0]))
        yield evolve(arrow, lines=tuple(lines))


def _count_traversals(traffic: Traffic, *, loops: bool) -> Counter[Traversal]:
    """Count the rows on each arrow; a row that follows two arrows counts on both."""
    counts: Counter[Traversal] = Counter()
    for (source, target, trigger), count in traffic.ways.items():
        if source is not target or loops:
            for traversal in traversals(source, target, trigger):
                opening = source is None and traversal.trigger is None
                counts[evolve(traversal, trigger=trigger) if opening else traversal] += count
    return +counts


def _overlay_arrows(sums: Mapping[Arrow, int], counts: Mapping[Traversal, int]) -> Iterator[Arrow]:
    # Loops don't count: they have so many rows that every other arrow would be a hairline.
    most = max(total for arrow, total in sums.items() if not arrow.is_loop)
    leaving: Counter[State | None] = Counter()
    for arrow, total in sums.items():
        if _has_share(arrow):
            leaving[arrow.source] += total
    for arrow, total in sums.items():
        share = _share(total, leaving[arrow.source]) if _has_share(arrow) else ""
        yield evolve(
            arrow,
            lines=tuple(_overlay_lines(arrow, counts)),
            badges=(_badge(_format_count(total), share),) if total else (),
            # The square root keeps small shares visible.
            weight=sqrt(min(total, most) / most) if most else 0.0,
            faded=not total,
        )


def _has_share(arrow: Arrow) -> bool:
    """Whether an arrow leads from one state to another."""
    return arrow.source is not None and arrow.target is not None and not arrow.is_loop


def _badge(count: str, share: str) -> str:
    return f"{count} · {share}" if share else count


def _share(count: int, of: int) -> str:
    """Return a share in percent, which is 0 and 100 only if it is none and all."""
    percent = round(100 * count / of) if of else 0
    if percent == 0 and count:
        return "<1%"
    return ">99%" if percent == 100 and count < of else f"{percent}%"  # noqa: PLR2004 - as above


def _format_count(count: int) -> str:
    """Return a count in at most seven characters, beyond a million with three digits."""
    if count < _MILLION:
        return f"{count:,}"
    millions = count / _MILLION
    return f"{millions:.{max(0, 3 - len(str(int(millions))))}f}M"


def _overlay_lines(arrow: Arrow, counts: Mapping[Traversal, int]) -> Iterator[TriggerLine]:
    matching = {traversal: count for traversal, count in counts.items() if traversal.follows(arrow)}
    by_trigger = {
        traversal.trigger: count for traversal, count in matching.items() if traversal.trigger
    }
    if arrow.source is not None:
        notes = {trigger: _format_count(count) for trigger, count in by_trigger.items()}
        traversal = next(
            iter(matching), Traversal(arrow.source, arrow.target or arrow.source, None)
        )
        yield from annotate_lines(arrow, traversal, notes)
    elif not arrow.extra:  # what the bot and agents open with stands on the next arrow, too
        for trigger in _OPENERS:
            yield _opening_line(Direction.INBOUND, trigger, by_trigger.pop(trigger, 0))
        yield _opening_line(Direction.OUTBOUND, _SERVING, sum(by_trigger.values()))


def _opening_line(direction: Direction, text: str, count: int) -> TriggerLine:
    return TriggerLine(direction, text, _format_count(count) if count else "", faded=not count)


def _overlay_nodes(traffic: Traffic, counts: Mapping[Traversal, int]) -> Iterator[Node]:
    longest = max(traffic.medians.values(), default=timedelta())
    touched = {state for traversal in counts for state in (traversal.source, traversal.target)}
    for state in State:
        median, p90 = traffic.medians.get(state), traffic.p90s.get(state)
        notes = []
        if median is not None and p90 is not None:
            notes += [f"median {format_duration(median)}", f"p90 {format_duration(p90)}"]
        if stays := traffic.stays.get(state):
            notes.append(pluralized(stays, "stay"))
        if still_there := traffic.still_there.get(state):
            notes.append(f"{_format_count(still_there)} still there")
        shade = None if median is None else _shade(median, longest)
        yield Node(state, tuple(notes), shade, faded=state not in touched and not notes)


def _shade(median: timedelta, longest: timedelta) -> float:
    """Return the strength of the colour, 0 to 1, on a logarithmic scale."""
    if longest <= timedelta():
        return 0.0
    return log1p(max(median.total_seconds(), 0.0)) / log1p(longest.total_seconds())


def _traffic_legend(arrows: Sequence[Arrow], nodes: Iterable[Node]) -> Iterator[LegendEntry]:
    if any(arrow.badges for arrow in arrows):
        yield LegendEntry(LegendSymbol.COUNT, "how often, and the share of all that left the state")
        yield LegendEntry(LegendSymbol.WIDTH, "more often")
    if any(node.shade is not None for node in nodes):
        yield LegendEntry(LegendSymbol.SHADE, "longer median stay; 9 of 10 are no longer than p90")
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
    if traffic.first_at is None or traffic.last_at is None:
        yield "no rows: nothing happened there and then"
    else:
        span = f"from {display_time(traffic.first_at)} to {display_time(traffic.last_at)} UTC"
        unmoved = sum(count for (source, to, _), count in traffic.ways.items() if source is to)
        drawn = "" if loops else f"; {unmoved:,} of them moved nothing and are not drawn"
        yield f"{pluralized(traffic.rows, 'row')}, {span}{drawn}"
    chats, still_there = pluralized(traffic.sessions, "chat"), sum(traffic.still_there.values())
    yield f"{chats}: {traffic.closings:,} closed, {still_there:,} still there at the end"


def _describe_traffic(
    traffic: Traffic, arrows: Iterable[Arrow], nodes: Iterable[Node]
) -> Iterator[str]:
    yield "The states of a chat, with how often chats went each way."
    if not traffic.rows:
        yield "There are no rows: nothing happened there and then."
    for arrow in arrows:
        if not arrow.faded and arrow.target is not None:
            lines = join_words([f"{line.text} {line.note}" for line in arrow.lines if line.note])
            ends = f"From {arrow.source or 'nothing'} to {arrow.target}"
            yield f"{ends} {arrow.badges[0]}{': ' if lines else ''}{lines}."
    for node in nodes:
        if node.notes:
            yield f"In {node.state}: {join_words(node.notes)}."
