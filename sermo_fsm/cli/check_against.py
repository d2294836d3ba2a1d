"""``sermo-fsm check --against URL``: what of a stored history today's table would not do."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import sqlalchemy as sa

from sermo_fsm.analysis.comparison import Cell, Chat, Comparison, Doubt, Kept, Parting, Why
from sermo_fsm.analysis.table_replay import Done
from sermo_fsm.cli.options import MOST_ROWS, schema_option
from sermo_fsm.cli.progress import counting
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.cli.terminal import Page, counted
from sermo_fsm.engine import ChatEngine
from sermo_fsm.storage.backends import backend_named
from sermo_fsm.storage.transactions import open_to_read

__all__ = ["against_options", "compare"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LISTED: Final = 100


def against_options(command: _Command) -> _Command:
    """``--against URL``, with its ``--schema`` and ``--limit``."""
    against = click.option(
        "--against",
        metavar="URL",
        help="Is each row in this database possible under today's table? Changes nothing there.",
    )
    limit = click.option(
        "--limit",
        metavar="N",
        type=click.IntRange(0, MOST_ROWS),
        help=f"With --against: list at most so many live chats of each kind; by default {_LISTED}.",
    )
    return against(schema_option(limit(command)))


def compare(shell: Shell, url: str | None, limit: int | None, *, as_json: bool) -> bool:
    """Hold the database at *url* against the table; whether there is any."""
    if url is None:
        if limit is not None:
            raise click.UsageError("--limit is of what --against lists")
        return False
    _look_for(url)
    shell.database, shell.typed, shell.option = url, True, "against"
    with (
        shell.engine(prepare=ChatEngine.check_schema, connect=open_to_read) as engine,
        counting("rows") as progress,
    ):
        found = engine.compare(limit=_LISTED if limit is None else limit, progress=progress)
    verdict = shell.verdict(ok=found.ok)
    if as_json:
        print_json(found.view())
        return True
    _say(shell.page, found)
    sessions, rows = counted(found.sessions, "session"), counted(found.rows, "row")
    if found.strays:
        rows += f", and {counted(found.strays, 'stray')}"
    affected = f"{counted(found.affected, 'session')} affected"
    if found.live_affected:
        affected += f", {counted(found.live_affected, 'live chat')} would be somewhere else"
    if found.live_unsure:
        affected += f", of {counted(found.live_unsure, 'live chat')} it can't be told"
    shell.page.say(verdict, f"{sessions} with {rows}; {affected}")
    return True


def _look_for(url: str) -> None:
    """Refuse a file that does not exist: opening it would create it."""
    try:
        parsed = sa.make_url(url)
        path = backend_named(parsed.get_backend_name()).database_file(parsed)
    except (sa.exc.ArgumentError, ValueError):  # such as a port that is not a number
        return  # reported when the database is opened
    if path is not None and not path.is_file():
        raise click.BadParameter(f"there is no file {path}", param_hint="'--against'")


def _say(page: Page, found: Comparison) -> None:
    for cell in found.cells:
        page.say(_cell(cell))
    for kept in found.kept:
        page.say(_kept(kept))
    for chat in found.live:
        page.say(_chat(chat))
    _more(page, found.live_affected - len(found.live), "more live chat")
    for doubt in found.unsure:
        page.say(_doubt(doubt))
    _more(page, found.live_unsure - len(found.unsure), "more live chat", " that can't be told")


def _more(page: Page, count: int, what: str, which: str = "") -> None:
    if count:
        page.say(f"and {counted(count, what)}{which}")


def _cell(cell: Cell) -> str:
    if cell.parting.stored.to is None:
        return f"{_parting(cell.parting)}: {counted(cell.rows, 'stray')}"
    rows, sessions = counted(cell.rows, "row"), counted(cell.sessions, "session")
    return f"{_parting(cell.parting)}: {rows} of {sessions}, {cell.live} live"


def _parting(parting: Parting) -> str:
    """Where only the outcomes differ, these are told."""
    stored, today = parting.stored, parting.today
    place = f"opened by {parting.trigger} in" if parting.opens else f"{parting.trigger} in"
    if today is not None and stored.to == today.to:
        stored_way, today_way = stored.outcome, today.outcome
    else:
        stored_way, today_way = _way(stored), "not known" if today is None else _way(today)
    return f"{place} {parting.state}: stored {stored_way}, today {today_way}"


def _way(done: Done) -> str:
    return f"→ {done.to or f'nothing ({done.outcome})'}"


def _kept(kept: Kept) -> str:
    sessions = counted(kept.sessions, "session")
    return f"kept after the clock closed it: stored {kept.stored}, today {kept.today}: {sessions}"


def _chat(chat: Chat) -> str:
    where = f"{_where(chat)}, today {chat.today or 'never opened'}"
    first = chat.first
    return where if first is None else f"{where}; they part at row {first.seq}, {first.trigger}"


def _doubt(doubt: Doubt) -> str:
    why, first = "this user's earlier events may have been other chats", doubt.first
    if doubt.why is Why.WITHIN and first is not None:
        why = f"behind row {first.seq}, {first.trigger}, its events may be those of other chats"
    return f"{_where(doubt)}, today can't be told: {why}"


def _where(chat: Chat | Doubt) -> str:
    whose = f"{chat.session_id} ({chat.user_id} on {chat.platform_id})"
    return f"live chat {whose}: stored {chat.stored}"
