"""``sermo-fsm check --against URL``: what today's table would do differently with stored chats."""

from typing import Final

import click
import sqlalchemy as sa

from sermo_fsm.analysis.comparison import (
    CellDifference,
    Comparison,
    CountedDifference,
    DivergingChat,
    KeptStateDifference,
    UndecidedChat,
    UndecidedReason,
)
from sermo_fsm.analysis.table_replay import TransitionResult
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.engine import ChatEngine
from sermo_fsm.storage.backends import backend_named
from sermo_fsm.storage.transactions import open_to_read

__all__ = ["DEFAULT_LIMIT", "check_against"]

DEFAULT_LIMIT: Final = 100
"""How many live chats of each kind are listed."""


def check_against(shell: Shell, url: str, limit: int | None, *, as_json: bool) -> None:
    """Compare the history in the database at *url* with today's table, and print the differences.

    Args:
        limit: How many live chats of each kind to list; None for :data:`DEFAULT_LIMIT`.
    """
    _require_file(url)
    shell.database, shell.url_typed, shell.url_option = url, True, "against"
    with (
        shell.engine(prepare=ChatEngine.check_schema, connect=open_to_read) as engine,
        progress_bar("rows") as progress,
    ):
        found = engine.compare(limit=DEFAULT_LIMIT if limit is None else limit, progress=progress)
    verdict = shell.verdict(ok=found.ok)
    if as_json:
        print_json(found.view())
        return
    _print_differences(shell.printer, found)
    shell.printer.print_line(verdict, _summary(found))


def _summary(found: Comparison) -> str:
    rows = pluralized(found.rows, "row")
    if found.strays:
        rows += f", and {pluralized(found.strays, 'stray')}"
    affected = f"{pluralized(found.affected, 'session')} affected"
    if found.live_affected:
        affected += f", {pluralized(found.live_affected, 'live chat')} would be somewhere else"
    if found.live_unsure:
        affected += f", of {pluralized(found.live_unsure, 'live chat')} it can't be told"
    return f"{pluralized(found.sessions, 'session')} with {rows}; {affected}"


def _require_file(url: str) -> None:
    """Refuse a file that does not exist: connecting would create it."""
    try:
        parsed = sa.make_url(url)
        path = backend_named(parsed.get_backend_name()).database_file(parsed)
    except (sa.exc.ArgumentError, ValueError):  # such as a port that is not a number
        return  # reported when the database is opened
    if path is not None and not path.is_file():
        raise click.BadParameter(f"there is no file {path}", param_hint="'--against'")


def _print_differences(printer: Printer, found: Comparison) -> None:
    for cell in found.cells:
        printer.print_line(_cell_line(cell))
    for kept in found.kept:
        printer.print_line(_kept_line(kept))
    for chat in found.live:
        printer.print_line(_chat_line(chat))
    _print_rest(printer, found.live_affected - len(found.live), "")
    for doubt in found.unsure:
        printer.print_line(_doubt_line(doubt))
    _print_rest(printer, found.live_unsure - len(found.unsure), " that can't be told")


def _print_rest(printer: Printer, count: int, which: str) -> None:
    if count:
        printer.print_line(f"and {pluralized(count, 'more live chat')}{which}")


def _cell_line(cell: CountedDifference) -> str:
    if cell.difference.stored.to is None:
        return f"{_difference(cell.difference)}: {pluralized(cell.rows, 'stray')}"
    rows, sessions = pluralized(cell.rows, "row"), pluralized(cell.sessions, "session")
    return f"{_difference(cell.difference)}: {rows} of {sessions}, {cell.live} live"


def _difference(difference: CellDifference) -> str:
    """What the table did and would do: the target states, or the outcomes if only they differ."""
    stored, today = difference.stored, difference.today
    cell = f"opened by {difference.trigger} in" if difference.opens else f"{difference.trigger} in"
    if today is not None and stored.to == today.to:
        before, after = stored.outcome, today.outcome
    else:
        before, after = _effect(stored), "not known" if today is None else _effect(today)
    return f"{cell} {difference.state}: stored {before}, today {after}"


def _effect(result: TransitionResult) -> str:
    return f"→ {result.to or f'nothing ({result.outcome})'}"


def _kept_line(kept: KeptStateDifference) -> str:
    sessions = pluralized(kept.sessions, "session")
    return f"kept after the clock closed it: stored {kept.stored}, today {kept.today}: {sessions}"


def _chat_line(chat: DivergingChat) -> str:
    where = f"{_named(chat)}, today {chat.today or 'never opened'}"
    first = chat.first
    return where if first is None else f"{where}; they part at row {first.seq}, {first.trigger}"


def _doubt_line(doubt: UndecidedChat) -> str:
    why, first = "this user's earlier events may have been other chats", doubt.first
    if doubt.why is UndecidedReason.WITHIN and first is not None:
        why = f"behind row {first.seq}, {first.trigger}, its events may be those of other chats"
    return f"{_named(doubt)}, today can't be told: {why}"


def _named(chat: DivergingChat | UndecidedChat) -> str:
    whose = f"{chat.session_id} ({chat.user_id} on {chat.platform_id})"
    return f"live chat {whose}: stored {chat.stored}"
