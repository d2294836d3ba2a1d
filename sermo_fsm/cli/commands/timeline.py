"""``sermo-fsm timeline``: a chat as a conversation."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, tzinfo
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import click
from attrs import evolve
from rich.console import Console
from rich.text import Text

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.diagram_files import SUFFIXES
from sermo_fsm.cli.json_output import print_json_array
from sermo_fsm.cli.options import (
    ChatSelector,
    bodies_option,
    chat_options,
    database_option,
    format_for,
    json_or_bodies_option,
    limit_option,
    output_option,
    zone_option,
)
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.tables import cropped
from sermo_fsm.cli.terminal import TerminalPrinter
from sermo_fsm.cli.text import escape_controls, outcome_cell, state_cell, styled
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.picture.sequence import sequence_diagram
from sermo_fsm.views.durations import format_duration
from sermo_fsm.views.participants import Participant, Role
from sermo_fsm.views.timeline import (
    NOTABLE_PAUSE,
    TimelineEntry,
    describe_transition,
    entry_view,
    timeline_entries,
)

__all__ = ["timeline"]

_FORMATS: Final = ("text", "mermaid")
_SUFFIXES: Final = {
    ".txt": "text",
    **{suffix: kind for suffix, kind in SUFFIXES.items() if kind in _FORMATS},
}


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm timeline comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm timeline --session 5f2c0f2e-... --bodies
      sermo-fsm timeline --session 5f2c0f2e-... -o chat.mmd

    To see the earlier chats of a user, run "sermo-fsm sessions --user ID". A row that was read late
    appears where it was read, and says when it was received.

    Texts and agents' names are left out unless you ask for them. Quiet events, such as heartbeats,
    are not stored and do not appear. Mermaid draws at most 50 000 characters: the diagram of a long
    chat shows its first rows and says how many more there are; the text format has them all. The
    times in a diagram are in UTC.
    """
)
@chat_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    help="By default that of FILE's suffix, or else text.",
)
@bodies_option
@output_option
@zone_option
@limit_option
@database_option
@json_or_bodies_option
@click.pass_obj
def timeline(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    format_: str | None,
    bodies: bool,
    path: Path | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Tell a chat as a conversation: who did what to whom, and when.

    The chat is the last one of a user, or the session with this id.
    """
    if as_json and (format_ or path):
        raise click.UsageError("--json can't be combined with --format or --output")
    path = None if path == Path("-") else path
    format_ = _format(path, format_)
    chat = ChatSelector(platform, user, session_id)
    with shell.engine() as engine:
        session = chat.find(engine)
        if session is None:
            shell.report_not_found(f"no such {chat}", as_json=as_json)
            return
        with closing(engine.history(session.session_id, limit=limit)) as rows:
            if as_json:
                print_json_array(map(entry_view, timeline_entries(session, rows, bodies=bodies)))
            elif path is None:
                _write(shell.printer, format_, session, rows, bodies=bodies)
            else:
                with atomic_write(path) as file:
                    text = TextIOWrapper(file, "utf-8", "backslashreplace", newline="\n")
                    _write(Printer(text, zone=shell.zone), format_, session, rows, bodies=bodies)
                    text.detach()


def _format(path: Path | None, option: str | None) -> str:
    """The format to write; unlike other commands, text for a file without a suffix."""
    if path is None or not path.suffix:
        return option or "text"
    if path.suffix.lower() in SUFFIXES.keys() - _SUFFIXES.keys():
        raise click.UsageError(
            f"the name {path} says it is a picture; a timeline is text or mermaid"
        )
    return format_for(path, _SUFFIXES, option, "text")


def _write(
    printer: Printer,
    format_: str,
    session: ChatSession,
    rows: Iterable[HistoryRow],
    *,
    bodies: bool,
) -> None:
    if format_ == "mermaid":
        printer.stream.write(sequence_diagram(session, rows, bodies=bodies))
        return
    console = printer.console if isinstance(printer, TerminalPrinter) else None
    entries = timeline_entries(session, rows, bodies=bodies)
    for line in _lines(session, entries, printer.zone, console):
        line.rstrip()
        printer.print_text(line)


_MAX_ID_WIDTH: Final = 12
_MIN_TEXT_WIDTH: Final = 20
_PARTICIPANTS_WIDTH: Final = _MAX_ID_WIDTH + len(" → ") + len(Role.CUSTOMER)
_ROLE_STYLES: Final = {
    Role.CUSTOMER: "bold",
    Role.BOT: "blue",
    Role.AGENT: "green",
    Role.PLATFORM: "yellow",
    Role.CLOCK: "magenta",
    Role.OPERATOR: "cyan",
}


def _lines(
    session: ChatSession,
    entries: Iterable[TimelineEntry],
    zone: tzinfo | None,
    console: Console | None,
) -> Iterator[Text]:
    """The timeline as text, line by line, with one entry in memory.

    On a terminal, texts are wrapped to the width of the *console*.
    """
    digits = len(str(session.rows))
    margin = " " * (digits + 2)
    opened = session.opened_at.astimezone(zone)
    yield from _heading(session, opened)
    day, shown = f"{opened:%Y-%m-%d (%Z)}", 0
    for in_utc in entries:
        entry = evolve(in_utc, at=in_utc.at.astimezone(zone))
        today, time = f"{entry.at:%Y-%m-%d (%Z)}", f"{entry.at:%H:%M:%S}"
        if entry.pause >= NOTABLE_PAUSE:
            yield Text(f"{margin}… {format_duration(entry.pause)} later", "dim")
        if today != day:
            yield Text(f"{margin}{today}", "dim")
        yield _entry_line(entry, f"{entry.seq:>{digits}}  {time}")
        yield from _said_lines(entry, margin * 2, console)
        if entry.moved:
            yield Text.assemble((f"{margin}── ", "dim"), _transition(entry), (" ──", "dim"))
        day, shown = today, shown + 1
    if (left := session.rows - shown) > 0:
        yield Text(f"{margin}… and {left} more {'row' if left == 1 else 'rows'}", "dim")
    elif session.live:
        yield Text.assemble(f"{margin}not closed: ", state_cell(session.state))


def _said_lines(entry: TimelineEntry, margin: str, console: Console | None) -> Iterator[Text]:
    speaker = Text(*styled(f"{entry.actor.name}: " if entry.actor.name else "", "dim"))
    for line in (entry.body or "").splitlines():
        said = Text.assemble(speaker, styled(line))
        room = max(console.width - len(margin), _MIN_TEXT_WIDTH) if console else 0
        for part in said.wrap(console, room) if console else [said]:
            yield Text.assemble(margin, part)
        speaker = Text()  # only before the first line


def _heading(session: ChatSession, opened: datetime) -> Iterator[Text]:
    when = f"{opened:%Y-%m-%d %H:%M:%S (%Z)}"
    chat = f"chat {session.ordinal} on {session.platform_id}, opened {when}"
    yield Text(*styled(chat, "bold"))
    yield Text(*styled(f"session {session.session_id}", "dim"))
    if session.previous_session_id is not None:
        link = "goes on from" if session.resumed else "comes after"
        closed = f"closed by {session.previous_close_reason}"
        previous = f"{link} session {session.previous_session_id}, {closed}"
        yield Text(*styled(previous, "dim"))


def _entry_line(entry: TimelineEntry, head: str) -> Text:
    participants = Text.assemble(
        _participant(entry.actor), (" → ", "dim"), _participant(entry.recipient)
    )
    participants.pad_right(_PARTICIPANTS_WIDTH - participants.cell_len)
    line = Text.assemble((f"{head}  {_since_opening(entry):>9}  ", "dim"), participants, "  ")
    if entry.unusual_outcome is not None:
        line.append_text(Text(*outcome_cell(entry.unusual_outcome))).append(": ")
    line.append_text(Text(*styled(entry.summary)))
    return line.append(f" ({late})" if (late := entry.received_note) else "", "dim")


def _participant(participant: Participant) -> Text:
    return Text(
        cropped(escape_controls(str(participant)), _MAX_ID_WIDTH), _ROLE_STYLES[participant.role]
    )


def _transition(entry: TimelineEntry) -> Text:
    before, _, after = describe_transition(entry).partition(" → ")
    state, colon, why = after.partition(":")
    return Text.assemble(before, " → ", state_cell(State(state)), colon + why)


def _since_opening(entry: TimelineEntry) -> str:
    seconds = int(entry.elapsed.total_seconds())
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    if days:
        return f"+{days}d {hours:02}h"
    return f"+{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"+{minutes}:{seconds % 60:02}"
