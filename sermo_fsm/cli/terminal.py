"""What people see: words in colour where they watch, plain text where a program reads.

In a pipe every row is one line and its columns stand between tabs, whole, so that ``grep``,
``cut`` and ``sort`` can go on from there. What customers wrote can do nothing to a terminal:
whatever could is shown as the escape that would make it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TextIO

from attrs import field, frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow, Outcome
from sermo_fsm.protocol.events import Agent
from sermo_fsm.views.json_views import time_view

__all__ = [
    "COUNT_COLUMNS",
    "LIVE_STATES",
    "SESSION_COLUMNS",
    "Page",
    "clean",
    "console_on",
    "count_cells",
    "counted",
    "excerpt",
    "outcome_word",
    "state_word",
    "word",
]

# Controls, marks that turn the direction of writing, line separators, halves of characters.
_DANGEROUS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_EXCERPT_CHARACTERS: Final = 80


SESSION_COLUMNS: Final = (
    *("platform", "user", "chat", "state", "since", "agent", "queue", "last seen", "session"),
)
_OF_STATE: Final[Mapping[str, str]] = {
    State.OPEN: "cyan",
    State.BOT: "blue",
    State.QUEUED: "yellow",
    State.WITH_AGENT: "green",
    State.CLOSED: "dim",
}
LIVE_STATES: Final[tuple[State, ...]] = tuple(state for state in State if state is not State.CLOSED)
COUNT_COLUMNS: Final = ("platform", *LIVE_STATES)
_OF_OUTCOME: Final[Mapping[str, str]] = {
    Outcome.MOVED: "bold",
    Outcome.STAYED: "dim",
    Outcome.DUPLICATE: "dim",
    Outcome.CONFLICT: "red",
    Outcome.INVALID: "red",
}


def clean(text: str) -> str:
    """*text* without anything that a terminal would obey."""
    return _DANGEROUS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Say so: rich would end the whole process here, also in the middle of a batch."""
        raise BrokenPipeError


def counted(count: int, noun: str) -> str:
    """So many of them."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def console_on(stream: TextIO) -> Console:
    """A console that styles only for a person, and takes no text for markup."""
    return _Console(
        file=stream, force_terminal=stream.isatty(), markup=False, highlight=False, emoji=False
    )


def word(value: object, style: str = "") -> Text:
    """*value* as it may be printed; nothing for None."""
    return Text("" if value is None else clean(str(value)), style)


def state_word(state: State | None) -> Text:
    """A state in its colour."""
    return word(state, _OF_STATE.get(state or "", ""))


def count_cells(of: tuple[str, Mapping[State, int]]) -> list[Text]:
    """A platform, and how many of its chats are in each state."""
    platform, states = of
    counts = [
        word(states[state], _OF_STATE[state] if states[state] else "dim") for state in LIVE_STATES
    ]
    return [word(platform), *counts]


def outcome_word(outcome: Outcome) -> Text:
    """An outcome in its colour."""
    return word(outcome, _OF_OUTCOME.get(outcome, "yellow"))


def excerpt(row: HistoryRow) -> str:
    """What was said, or what else there is to know, in a few words."""
    event: Mapping[str, Any] = row.event or {}
    parts = []
    match event:
        case {"agent": {"name": str(name)}} | {"agent": {"id": str(name)}}:
            parts.append(f"{name}:")
    match event:
        case {"text": str(text)}:
            parts.append(text)
        case {"queueNumber": int(number)}:
            parts.append(f"number {number}")
        case {"flowGroupId": str(flow)}:
            parts.append(f"flow {flow}")
    if event.get("image") is not None:
        parts.append("[image]")
    words = " ".join(" ".join(parts).split()) or " ".join((row.raw or "").split())
    short = words if len(words) <= _EXCERPT_CHARACTERS else words[: _EXCERPT_CHARACTERS - 1] + "…"
    return clean(short)


def _distance(at: datetime, now: datetime) -> str:
    """How long ago it was, or in how long it will be."""
    seconds = int(abs((now - at) / timedelta(seconds=1)))
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * unit:
            length = f"{seconds // unit} {name}"
            return f"{length} ago" if at <= now else f"in {length}"
    return "now"


@frozen
class Page:
    """Where a command prints for people: a terminal, or a pipe."""

    stream: TextIO
    now: datetime = field(factory=lambda: datetime.now(UTC))
    """What a person is told the distance of times from."""

    @property
    def watched(self) -> bool:
        """Whether a person sees it at once."""
        return self.stream.isatty()

    def say(self, *words: str | Text) -> None:
        """One line."""
        line = Text(" ").join(one if isinstance(one, Text) else word(one) for one in words)
        if self.watched:
            console_on(self.stream).print(line, soft_wrap=True)
        else:
            self.stream.write(line.plain + "\n")

    def sessions(self, sessions: Iterable[ChatSession]) -> None:
        """A row for each session."""
        self._tabs(SESSION_COLUMNS, map(self._session_cells, sessions))

    def _session_cells(self, session: ChatSession) -> list[Text]:
        return [
            word(session.platform_id),
            word(session.user_id),
            word(session.ordinal),
            state_word(session.state),
            self._ago(session.since),
            word(session.agent.id if session.agent else None),
            word(session.queue_number),
            self._ago(session.last_seen_at),
            word(session.session_id, "dim"),
        ]

    def counts(self, counts: Mapping[str, Mapping[State, int]]) -> None:
        """A row for each platform, a column for each state; all have the same."""
        self._tabs(COUNT_COLUMNS, map(count_cells, counts.items()))

    def history(self, rows: Iterable[HistoryRow]) -> None:
        """A row for each row of a session's history."""
        columns = ["seq", "time", "direction", "type", "from", "to", "outcome", "text", "reason"]
        self._tabs(
            columns,
            (
                [
                    word(row.seq),
                    self._time(row.effective_at),
                    word(row.direction),
                    word(row.type or row.trigger),
                    state_word(row.from_state),
                    state_word(row.to_state),
                    outcome_word(row.outcome),
                    Text(excerpt(row)),
                    word(row.reason),
                ]
                for row in rows
            ),
        )

    def strays(self, rows: Iterable[HistoryRow]) -> None:
        """A row for each row without a session."""
        columns = ["id", "time", "direction", "type", "platform", "user", "outcome"]
        self._tabs(
            [*columns, "reason", "text"],
            (
                [
                    word(row.id),
                    self._time(row.effective_at),
                    word(row.direction),
                    word(row.type),
                    word(row.platform_id),
                    word(row.user_id),
                    outcome_word(row.outcome),
                    word(row.reason),
                    Text(excerpt(row)),
                ]
                for row in rows
            ),
        )

    def card(self, session: ChatSession) -> None:
        """All that is known of one session."""
        lines = [(name, value) for name, value in self._card(session) if value is not None]
        if not self.watched:
            self.stream.writelines(f"{name}\t{value.plain}\n" for name, value in lines)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in lines:
            table.add_row(name, value)
        console_on(self.stream).print(table)

    def _card(self, session: ChatSession) -> Iterator[tuple[str, Text | None]]:
        def at(moment: datetime | None, *words: str | None) -> Text | None:
            if moment is None:
                return None
            distance = f"({_distance(moment, self.now)})" if self.watched else None
            said = " ".join(word for word in (distance, *words) if word)
            return self._time(moment, " UTC") + Text(f" {said}" if said else "")

        replied_by = f"by {session.last_reply_by}" if session.last_reply_by else None
        before = session.previous_close_reason
        yield "platform", word(session.platform_id)
        yield "user", word(session.user_id)
        yield "chat", word(f"{session.ordinal}{', resumed' if session.resumed else ''}")
        yield "state", state_word(session.state)
        yield "since", at(session.since)
        yield "agent", None if session.agent is None else word(_name_of(session.agent))
        yield "queue number", None if session.queue_number is None else word(session.queue_number)
        yield "queued", at(session.queued_at)
        yield "flow", None if session.flow_group_id is None else word(session.flow_group_id)
        yield "platform closed", at(session.platform_closed_at)
        yield "opened", at(session.opened_at)
        yield "closed", at(session.closed_at, session.close_reason)
        yield "last seen", at(session.last_seen_at)
        yield "last read", at(session.last_read_at)
        yield "customer typed", at(session.customer_typed_at)
        yield "customer wrote", at(session.last_customer_text_at)
        yield "last reply", at(session.last_reply_at, replied_by)
        yield "agent is typing", at(session.agent_typing_since)
        yield "expires", at(session.expires_at)
        yield "chat before", None if before is None else word(f"closed by {before}")
        yield "rows", word(session.rows)
        yield "session", word(session.session_id)

    def _ago(self, moment: datetime | None) -> Text:
        if moment is None or not self.watched:
            return self._time(moment)
        return Text(_distance(moment, self.now))

    def _time(self, moment: datetime | None, zone: str = "") -> Text:
        if moment is None or not self.watched:
            return word(time_view(moment))
        return Text(moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") + zone)

    def _tabs(self, columns: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
        self.stream.write("\t".join(columns) + "\n")
        for row in rows:
            self.stream.write("\t".join(cell.plain for cell in row) + "\n")


def _name_of(agent: Agent) -> str:
    kind = f", {agent.type}" if agent.type else ""
    return f"{agent.name} ({agent.id}{kind})" if agent.name else f"{agent.id}{kind}"
