"""``sermo-fsm waiting``: who waits in the queue now."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import click

from sermo_fsm.cli.options import (
    csv_option,
    database_option,
    json_option,
    utf8_id,
    zone_option,
)
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import Styled, styled
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.views.figure_rows import length_in_words

__all__ = ["waiting"]

_COLUMNS: Final = (
    *("sessionId", "platformId", "userId", "queueNumber", "queuedAt", "waitedSeconds"),
    "lastSeenAt",
)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm waiting
      sermo-fsm waiting --platform comviq-web --csv

    A chat whose deadline is past is not listed, though nobody has swept it yet. Who has been in the
    queue before waits since the first time.
    """
)
@click.option("--platform", metavar="ID", type=utf8_id, help="On this platform.")
@zone_option
@database_option
@csv_option
@json_option
@click.pass_obj
def waiting(shell: Shell, *, platform: str | None, as_csv: bool, as_json: bool) -> None:
    """List who waits in the queue now, the longest first."""
    printer = shell.printer
    with shell.engine() as engine:
        queued = [
            chat
            for chat in engine.sessions(state=State.QUEUED, platform=platform)
            if chat.live_at(printer.now)
        ]
    queued.sort(key=_queued_at)
    shell.print_list(
        (_view(chat, printer.now) for chat in queued),
        _COLUMNS,
        lambda one: one,
        lambda rows: _print_waiting(printer, rows),
        as_json=as_json,
        as_csv=as_csv,
    )


def _queued_at(chat: ChatSession) -> datetime:
    return chat.queued_at or chat.since


def _view(chat: ChatSession, now: datetime) -> dict[str, Any]:
    queued_at = _queued_at(chat)
    cells = (
        *(chat.session_id, chat.platform_id, chat.user_id, chat.queue_number),
        *(time_view(queued_at), max(0.0, (now - queued_at).total_seconds())),
        time_view(chat.last_seen_at),
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _print_waiting(printer: Printer, rows: Iterator[dict[str, Any]]) -> None:
    def time(value: str | None) -> Styled:
        return printer.time_cell(None if value is None else datetime.fromisoformat(value))

    printer.print_chats(
        ("platform", "user", "place", "queued", "waited", "last seen", "session"),
        (
            [
                styled(row["platformId"]),
                styled(row["userId"]),
                styled(row["queueNumber"]),
                time(row["queuedAt"]),
                styled(length_in_words(row["waitedSeconds"])),
                time(row["lastSeenAt"]),
                styled(row["sessionId"], "dim"),
            ]
            for row in rows
        ),
    )
