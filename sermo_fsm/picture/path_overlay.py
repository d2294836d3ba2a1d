"""The drawing of the machine with the path of one chat on it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.picture.display_text import display_id, display_time
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
from sermo_fsm.views.chat_path import ChatPath
from sermo_fsm.views.durations import format_duration

__all__ = ["path_drawing"]

_MAX_BADGES: Final = 8
_MAX_TIMES: Final = 2


@frozen
class _NumberedTraversal:
    """An arrow that a chat followed, with its number on the path and its time."""

    number: int
    traversal: Traversal
    at: datetime


def path_drawing(path: ChatPath, now: datetime) -> Drawing:
    """Return the drawing of the machine with the path of one chat on it.

    The badges number the arrows in the order in which the chat followed them. A live chat stays in
    its last state until *now*.
    """
    session, numbered = path.session, tuple(_number_traversals(path))
    nodes = tuple(_overlay_nodes(path, numbered, now))
    base = machine_drawing()
    arrows = tuple(
        _overlay_arrow(arrow, [step for step in numbered if step.traversal.follows(arrow)])
        for arrow in add_missing_arrows(base.arrows, [step.traversal for step in numbered])
    )
    arrows = _overlay_end(arrows, ended=not session.live)
    return Drawing(
        name=f"chat-{session.session_id}",
        title="The path of one chat",
        description=" ".join(_describe_path(session, numbered, nodes)),
        origin="Drawn by sermo-fsm diagram from the history of a chat",
        nodes=nodes,
        arrows=arrows,
        legend=(*LEGEND, *_path_legend(session, arrows)),
        caption=tuple(_path_caption(session)),
    )


def _number_traversals(path: ChatPath) -> Iterator[_NumberedTraversal]:
    number = 0
    for step in path.steps:
        resumed = path.session.resumed and step.source is None
        for traversal in traversals(step.source, step.target, step.trigger, resumed=resumed):
            number += 1
            yield _NumberedTraversal(number, traversal, step.at)


def _overlay_arrow(arrow: Arrow, numbered: Sequence[_NumberedTraversal]) -> Arrow:
    if not numbered:
        lines = tuple(evolve(line, faded=True) for line in arrow.lines)
        return evolve(arrow, lines=lines, faded=True)
    notes = {
        trigger: _format_times([step.at for step in numbered if step.traversal.trigger is trigger])
        for trigger in {step.traversal.trigger for step in numbered}
        if trigger is not None
    }
    badges = tuple(str(step.number) for step in numbered)
    if len(badges) > _MAX_BADGES:
        badges = (*badges[: _MAX_BADGES - 2], "…", badges[-1])
    return evolve(
        arrow, badges=badges, lines=annotate_lines(arrow, numbered[0].traversal, notes), taken=True
    )


def _format_times(moments: Sequence[datetime]) -> str:
    times = [display_time(moment).split()[1] for moment in moments]
    if len(times) > _MAX_TIMES:
        return f"{len(times)} times, last {times[-1]}"
    return ", ".join(times)


def _overlay_end(arrows: Sequence[Arrow], *, ended: bool) -> tuple[Arrow, ...]:
    *others, end = arrows
    return (*others, evolve(end, faded=not ended, taken=ended))


def _overlay_nodes(
    path: ChatPath, numbered: Sequence[_NumberedTraversal], now: datetime
) -> Iterator[Node]:
    stays: dict[State, list[timedelta]] = {}
    for state, length in path.stays(now):
        stays.setdefault(state, []).append(length)
    touched = {step.traversal.target for step in numbered}
    for state in State:
        current = state is path.session.state
        notes = tuple(_stay_notes(path.session, state, stays.get(state, [])))
        if not notes and state in touched and not current:
            notes = ("passed through",)
        yield Node(state, notes, faded=not current and state not in touched, current=current)


def _stay_notes(session: ChatSession, state: State, stays: Sequence[timedelta]) -> Iterator[str]:
    if state is State.CLOSED:
        if session.close_reason:
            yield f"by {session.close_reason}"
    elif stays:
        so_far = " so far" if state is session.state else ""
        yield format_duration(sum(stays, timedelta())) + so_far
        if len(stays) > 1:
            yield f"in {len(stays)} stays"


def _path_legend(session: ChatSession, arrows: Iterable[Arrow]) -> Iterator[LegendEntry]:
    yield LegendEntry(LegendSymbol.BADGE, "the order of its steps")
    yield LegendEntry(LegendSymbol.CURRENT, "where it is now" if session.live else "where it ended")
    yield LegendEntry(LegendSymbol.FADED, "not on its way")
    reasons = {
        "went on from the chat before"
        if session.resumed and arrow.source is None
        else "not in today's table"
        for arrow in arrows
        if arrow.extra
    }
    if reasons:
        yield LegendEntry(LegendSymbol.EXTRA, ", or ".join(sorted(reasons, reverse=True)))


def _path_caption(session: ChatSession) -> Iterator[str]:
    yield f"user {display_id(session.user_id)} on {display_id(session.platform_id)}"
    opened = f"chat {session.ordinal}, opened {display_time(session.opened_at)} UTC"
    if session.closed_at is None:
        yield f"{opened}, in {session.state} since {display_time(session.since)} UTC"
    else:
        yield f"{opened}, closed {display_time(session.closed_at)} UTC"
    if session.resumed:
        yield f"resumed chat {session.ordinal - 1}: the clock had closed it, the customer came back"


def _describe_path(
    session: ChatSession, numbered: Sequence[_NumberedTraversal], nodes: Iterable[Node]
) -> Iterator[str]:
    yield "The states of a chat, with the path of one chat on them."
    for step in numbered:
        traversal = step.traversal
        by = f" by {traversal.trigger}" if traversal.trigger else ""
        resumed = ", resumed from the chat before" if traversal.extra and session.resumed else ""
        yield (
            f"{step.number}: {display_time(step.at)} UTC from {traversal.source or 'nothing'} "
            f"to {traversal.target}{by}{resumed if traversal.source is None else ''}."
        )
    for node in nodes:
        if node.notes:
            yield f"{node.state}: {' '.join(node.notes)}."
    yield f"It {'is now' if session.live else 'ended'} in {session.state}."
