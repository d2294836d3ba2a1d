"""The command that tells a chat as a conversation."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from sermo_fsm.cli.atomic_file import whole_file
from sermo_fsm.cli.diagram_files import format_of
from sermo_fsm.cli.options import (
    NamedChat,
    chat_options,
    database_option,
    json_option,
    limit_option,
    output_option,
)
from sermo_fsm.cli.shell import Shell, print_json_items
from sermo_fsm.cli.tables import cropped
from sermo_fsm.cli.terminal import Page, clean, console_on, outcome_word, state_word, word
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow
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
_NAMED: Final = {".txt": "text"}  # beside those of pictures, of which Mermaid is one


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm timeline comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm timeline --session 5f2c0f2e-... --bodies
      sermo-fsm timeline --session 5f2c0f2e-... -o chat.mmd

    Earlier chats of a user are listed by "sermo-fsm sessions --user ID".  A row that was read late
    stands where it was read, and says when it was received.

    What was said, and what agents are called, is left out unless it is asked for.  Heartbeats and
    the like leave no trace of their own, so they are not told.  Mermaid draws no text of more than
    50 000 characters: of a long chat a diagram has the first rows, and says how many more there
    are; as text it has all of them.
    """
)
@chat_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    help="By default what FILE is named, else text.",
)
@click.option("--bodies", is_flag=True, help="Tell also what was said, and agents' names.")
@output_option
@limit_option
@database_option
@json_option
@click.pass_obj
def timeline(  # noqa: PLR0913 - one for each thing to ask by
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    kind: str | None,
    bodies: bool,
    path: Path | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Tell a chat as a conversation: who did what to whom, and when.

    The last chat of a user, or the session with this id.
    """
    if as_json and (kind or path):
        raise click.UsageError("--json goes with neither --format nor --output")
    path = None if path == Path("-") else path
    kind = _kind_of(kind, path)
    which = NamedChat(platform, user, session_id)
    with shell.engine() as engine:
        session = which.find(engine)
        if session is None:
            shell.found_nobody(f"no such {which}", as_json=as_json)
            return
        with closing(engine.history(session.session_id, limit=limit)) as rows:
            if as_json:
                print_json_items(map(entry_view, timeline_entries(session, rows, bodies=bodies)))
            elif path is None:
                _write(shell.page, kind, session, rows, bodies=bodies)
            else:
                with whole_file(path) as file:
                    text = TextIOWrapper(file, "utf-8", "backslashreplace", newline="\n")
                    _write(Page(text), kind, session, rows, bodies=bodies)
                    text.detach()


def _kind_of(kind: str | None, path: Path | None) -> str:
    named = path and (_NAMED.get(path.suffix.lower()) or format_of(path))
    if named and named not in _FORMATS:
        raise click.UsageError(f"{path} is named like {named}; a timeline is text or mermaid")
    if named and kind not in (None, named):
        raise click.UsageError(f"{path} is named like {named}, and --format says {kind}")
    return kind or named or _FORMATS[0]


def _write(
    page: Page, kind: str, session: ChatSession, rows: Iterable[HistoryRow], *, bodies: bool
) -> None:
    if kind == "mermaid":
        page.stream.write(sequence_diagram(session, rows, bodies=bodies))
        return
    console = console_on(page.stream) if page.watched else None
    for line in _lines(session, timeline_entries(session, rows, bodies=bodies), console):
        line.rstrip()
        page.say(line)


_WIDEST_ID: Final = 12
_NARROWEST: Final = 20
_PAIR: Final = _WIDEST_ID + len(" → ") + len(Role.CUSTOMER)
_OF_ROLE: Final = {
    Role.CUSTOMER: "bold",
    Role.BOT: "blue",
    Role.AGENT: "green",
    Role.PLATFORM: "yellow",
    Role.CLOCK: "magenta",
}


def _lines(
    session: ChatSession, entries: Iterable[TimelineEntry], console: Console | None
) -> Iterator[Text]:
    """As people read it; one entry is kept, however many there are.

    What was said is folded to the width of the *console*, where somebody watches.
    """
    numbers = len(str(session.rows))
    margin = " " * (numbers + 2)
    yield from _heading(session)
    day, told = f"{session.opened_at.astimezone(UTC):%Y-%m-%d}", 0
    for entry in entries:
        today, time = f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}".split()
        if entry.pause >= NOTABLE_PAUSE:
            yield word(f"{margin}… {format_duration(entry.pause)} later", "dim")
        if today != day:
            yield word(f"{margin}{today} (UTC)", "dim")
        yield _line(entry, f"{entry.seq:>{numbers}}  {time}")
        yield from _said(entry, margin * 2, console)
        if entry.moved:
            yield Text.assemble((f"{margin}── ", "dim"), _move(entry), (" ──", "dim"))
        day, told = today, told + 1
    if (left := session.rows - told) > 0:
        yield word(f"{margin}… and {left} more {'row' if left == 1 else 'rows'}", "dim")
    elif session.live:
        yield Text(f"{margin}not closed: ").append_text(state_word(session.state))


def _said(entry: TimelineEntry, margin: str, console: Console | None) -> Iterator[Text]:
    speaker = word(f"{entry.actor.name}: " if entry.actor.name else "", "dim")
    for line in (entry.body or "").splitlines():
        said = Text.assemble(speaker, word(line))
        room = max(console.width - len(margin), _NARROWEST) if console else 0
        for part in said.wrap(console, room) if console else [said]:
            yield Text.assemble(margin, part)
        speaker = Text()  # said once


def _heading(session: ChatSession) -> Iterator[Text]:
    opened = f"{session.opened_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} (UTC)"
    yield word(f"chat {session.ordinal} on {session.platform_id}, opened {opened}", "bold")
    yield word(f"session {session.session_id}", "dim")
    if session.previous_session_id is not None:
        goes_on = "goes on from" if session.resumed else "comes after"
        closed = f"closed by {session.previous_close_reason}"
        yield word(f"{goes_on} session {session.previous_session_id}, {closed}", "dim")


def _line(entry: TimelineEntry, head: str) -> Text:
    pair = Text.assemble(_name(entry.actor), (" → ", "dim"), _name(entry.recipient))
    pair.pad_right(_PAIR - pair.cell_len)
    line = Text.assemble((f"{head}  {_since(entry):>9}  ", "dim"), pair, "  ")
    if entry.unusual_outcome is not None:
        line.append_text(outcome_word(entry.unusual_outcome)).append(": ")
    line.append_text(word(entry.summary))
    return line.append(f" ({late})" if (late := entry.received_note) else "", "dim")


def _name(participant: Participant) -> Text:
    return Text(cropped(clean(str(participant)), _WIDEST_ID), _OF_ROLE[participant.role])


def _move(entry: TimelineEntry) -> Text:
    before, _, after = describe_transition(entry).partition(" → ")
    state, colon, why = after.partition(":")
    return Text.assemble(before, " → ", state_word(State(state)), colon + why)


def _since(entry: TimelineEntry) -> str:
    seconds = int(entry.elapsed.total_seconds())
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    if days:
        return f"+{days}d {hours:02}h"
    return f"+{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"+{minutes}:{seconds % 60:02}"
