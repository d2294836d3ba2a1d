"""The picture of the machine with more on it: the path of one chat, the traffic of many.

Both are functions of values: no clock, no database.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.picture.drawing import LEGEND, Arrow, Drawing, Key, Mark, Node, machine_drawing
from sermo_fsm.picture.legs import Leg, legs_of, noted, shown_id, shown_time, with_extra
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.views.chat_path import Walk
from sermo_fsm.views.durations import length_view

__all__ = ["path_drawing", "traffic_drawing"]

_MOST_BADGES: Final = 8
_MOST_TIMES: Final = 2


@frozen
class _Stage:
    """A leg of a chat's path, with its number and its time."""

    number: int
    leg: Leg
    at: datetime


def path_drawing(walk: Walk, now: datetime) -> Drawing:
    """The machine with the path of one chat on it.

    The numbers count the arrows on its way. In the state where a live chat is it has been until
    *now*.
    """
    session, stages = walk.session, tuple(_stages(walk))
    nodes = tuple(_nodes_on(walk, stages, now))
    base = machine_drawing()
    arrows = tuple(
        _arrow_on(arrow, [stage for stage in stages if stage.leg.lies_on(arrow)])
        for arrow in with_extra(base.arrows, [stage.leg for stage in stages])
    )
    arrows = _ending(arrows, ended=not session.live)
    return Drawing(
        name=f"chat-{session.session_id}",
        title="The path of one chat",
        description=" ".join(_path_sentences(session, stages, nodes)),
        origin="Drawn by sermo-fsm diagram from the history of a chat",
        nodes=nodes,
        arrows=arrows,
        legend=(*LEGEND, *_path_legend(session, arrows)),
        caption=tuple(_path_caption(session)),
    )


def _stages(walk: Walk) -> Iterator[_Stage]:
    number = 0
    for step in walk.steps:
        resumed = walk.session.resumed and step.source is None
        for leg in legs_of(step.source, step.target, step.trigger, resumed=resumed):
            number += 1
            yield _Stage(number, leg, step.at)


def _arrow_on(arrow: Arrow, stages: Sequence[_Stage]) -> Arrow:
    if not stages:
        lines = tuple(evolve(line, faded=True) for line in arrow.lines)
        return evolve(arrow, lines=lines, faded=True)
    notes = {
        trigger: _times([stage.at for stage in stages if stage.leg.trigger is trigger])
        for trigger in {stage.leg.trigger for stage in stages}
        if trigger is not None
    }
    badges = tuple(str(stage.number) for stage in stages)
    if len(badges) > _MOST_BADGES:
        badges = (*badges[: _MOST_BADGES - 2], "…", badges[-1])
    return evolve(arrow, badges=badges, lines=noted(arrow, stages[0].leg, notes), taken=True)


def _times(moments: Sequence[datetime]) -> str:
    times = [shown_time(moment).split()[1] for moment in moments]
    if len(times) > _MOST_TIMES:
        return f"{len(times)} times, last {times[-1]}"
    return ", ".join(times)


def _ending(arrows: Sequence[Arrow], *, ended: bool) -> tuple[Arrow, ...]:
    *others, end = arrows
    return (*others, evolve(end, faded=not ended, taken=ended))


def _nodes_on(walk: Walk, stages: Sequence[_Stage], now: datetime) -> Iterator[Node]:
    stays: dict[State, list[timedelta]] = {}
    for state, length in walk.stays(now):
        stays.setdefault(state, []).append(length)
    touched = {stage.leg.target for stage in stages}
    for state in State:
        current = state is walk.session.state
        notes = tuple(_stay_notes(walk.session, state, stays.get(state, [])))
        if not notes and state in touched and not current:
            notes = ("passed through",)
        yield Node(state, notes, faded=not current and state not in touched, current=current)


def _stay_notes(session: ChatSession, state: State, stays: Sequence[timedelta]) -> Iterator[str]:
    if state is State.CLOSED:
        if session.close_reason:
            yield f"by {session.close_reason}"
    elif stays:
        so_far = " so far" if state is session.state else ""
        yield length_view(sum(stays, timedelta())) + so_far
        if len(stays) > 1:
            yield f"in {len(stays)} stays"


def _path_legend(session: ChatSession, arrows: Iterable[Arrow]) -> Iterator[Key]:
    yield Key(Mark.BADGE, "the order of its steps")
    yield Key(Mark.CURRENT, "where it is now" if session.live else "where it ended")
    yield Key(Mark.FADED, "not on its way")
    reasons = {
        "went on from the chat before"
        if session.resumed and arrow.source is None
        else "not in today's table"
        for arrow in arrows
        if arrow.extra
    }
    if reasons:
        yield Key(Mark.EXTRA, ", or ".join(sorted(reasons, reverse=True)))


def _path_caption(session: ChatSession) -> Iterator[str]:
    yield f"user {shown_id(session.user_id)} on {shown_id(session.platform_id)}"
    opened = f"chat {session.ordinal}, opened {shown_time(session.opened_at)} UTC"
    if session.closed_at is None:
        yield f"{opened}, in {session.state} since {shown_time(session.since)} UTC"
    else:
        yield f"{opened}, closed {shown_time(session.closed_at)} UTC"
    if session.resumed:
        yield f"resumed chat {session.ordinal - 1}: the clock had closed it, the customer came back"


def _path_sentences(
    session: ChatSession, stages: Sequence[_Stage], nodes: Iterable[Node]
) -> Iterator[str]:
    yield "The states of a chat, with the path of one chat on them."
    for stage in stages:
        leg = stage.leg
        by = f" by {leg.trigger}" if leg.trigger else ""
        resumed = ", resumed from the chat before" if leg.extra and session.resumed else ""
        yield (
            f"{stage.number}: {shown_time(stage.at)} UTC from {leg.source or 'nothing'} "
            f"to {leg.target}{by}{resumed if leg.source is None else ''}."
        )
    for node in nodes:
        if node.notes:
            yield f"{node.state}: {' '.join(node.notes)}."
    yield f"It {'is now' if session.live else 'ended'} in {session.state}."
