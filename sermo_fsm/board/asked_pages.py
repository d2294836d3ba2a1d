"""Pages that are made when they are asked for: search, figures, and the machine."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from sermo_fsm.board.desk import Desk
from sermo_fsm.core.machine import State
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.picture.traffic_overlay import traffic_drawing
from sermo_fsm.protocol.fields import is_id
from sermo_fsm.views.figure_facts import SHORT
from sermo_fsm.views.figure_rows import FIGURE_COLUMNS, figure_rows
from sermo_fsm.views.figures import FORMULAS, LENGTHS, Figures, Grouping
from sermo_fsm.views.traffic import Traffic

__all__ = ["figures", "machine", "machine_picture", "search"]

_FOUND: Final = 50  # chats of a user
_MOST_DAYS: Final = 31


async def search(desk: Desk, request: Request) -> Response:
    """The chats of a user."""
    user = request.query_params.get("user", "")
    platform = request.query_params.get("platform", "")
    wrong = bool(user or platform) and not all(is_id(one) for one in (user, platform or user))
    chats = []
    if user and not wrong:
        listed = desk.engine.sessions(user=user, platform=platform or None, limit=_FOUND)
        chats = [one async for one in listed]
    return desk.answer(
        request,
        "search",
        desk.display(request),
        status=400 if wrong else 200,
        user=user,
        platform=platform,
        chats=chats,
        wrong=wrong,
        most=_FOUND,
    )


async def figures(desk: Desk, request: Request) -> Response:
    """The figures of a span of days."""
    display, asked = desk.display(request), request.query_params
    today = display.day(display.now)
    first, last = asked.get("from") or today, asked.get("to") or today
    by, platform = asked.get("by", ""), asked.get("platform", "")
    span = _span(desk, first, last)
    wrong = None
    if span is None:
        wrong = _NO_DAYS
    elif by and by not in list(Grouping):
        wrong = "There is no such group."
    elif platform and not is_id(platform):
        wrong = "That can't be an id: it has 1 to 255 characters."
    context: dict[str, Any] = {"groups": {}, "counted_at": None}
    if wrong is None and span is not None:
        try:
            context = await _counted(desk, span, by or None, platform or None)
        except InvalidArgument:  # in the year 1, or in 9998
            wrong = _NO_DAYS
    return desk.answer(
        request,
        "figures",
        display,
        status=200 if wrong is None else 400,
        first=first,
        last=last,
        by=by,
        platform=platform,
        wrong=wrong,
        groupings=list(Grouping),
        columns=FIGURE_COLUMNS[1:-1],
        **context,
    )


_NO_DAYS: Final = (
    "Those are no days: wanted dates such as 2026-03-01, the first not after the second, and at "
    "most 31 days."
)


def _span(desk: Desk, first: str, last: str) -> tuple[datetime, datetime] | None:
    """When the first day begins and the last one ends; None if they are no such days."""
    try:
        since, until = desk.settings.start_of(first), desk.settings.start_of(last, later=1)
    except ValueError:
        return None
    # An hour more, where summer ends.
    fits = timedelta() < until - since <= timedelta(days=_MOST_DAYS, hours=1)
    return (since, until) if fits else None


async def _counted(
    desk: Desk, span: tuple[datetime, datetime], by: str | None, platform: str | None
) -> dict[str, Any]:
    settings = desk.settings

    async def count() -> tuple[datetime, Figures]:
        since, until = span
        found = await desk.engine.figures(
            since=since,
            until=until,
            by=by,
            platform=platform,
            zone=settings.zone,
            target=settings.target,
        )
        return datetime.now(UTC), found

    counted_at, found = await desk.answers.ask(("figures", span, by, platform), count)
    words = {"target": f"{settings.target.total_seconds():g} s"}
    words["short"] = f"{SHORT.total_seconds():g} s"
    return {
        "counted_at": counted_at,
        "zone": found.zone,
        "groups": {
            name: [row for row in figure_rows(group) if row.max is None and (not row.part or row.n)]
            for name, group in found.as_dict()["figures"].items()
        },
        "notes": {name: dict(group.notes) for name, group in found.groups.items() if group.notes},
        "formulas": {name: text.format(**words) for name, text in FORMULAS.items()},
        "lengths": LENGTHS,
    }


async def machine(desk: Desk, request: Request) -> Response:
    """The machine, with today's traffic on it."""
    counted_at, found = await _traffic(desk)
    moves = [
        (source, target, trigger, count)
        for (source, target, trigger), count in found.ways.items()
        if source is not target
    ]
    return desk.answer(
        request,
        "machine",
        desk.display(request, counted_at),
        traffic=found,
        moves=moves,
        counted_at=counted_at,
        states=list(State),
    )


async def machine_picture(desk: Desk, request: Request) -> Response:
    """The drawing of the machine, with today's traffic on it."""
    counted_at, found = await _traffic(desk)
    return await desk.picture(request, ("machine", counted_at), traffic_drawing(found))


async def _traffic(desk: Desk) -> tuple[datetime, Traffic]:
    since = desk.settings.midnight()

    async def count() -> tuple[datetime, Traffic]:
        found = await desk.engine.traffic(since=since)
        return datetime.now(UTC), found

    return await desk.answers.ask(("traffic", since), count)
