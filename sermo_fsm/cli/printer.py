"""What commands print for people, as it goes into a pipe or a file.

Every row is one line with tabs between its columns. Nothing is cropped or coloured, so that
``grep``, ``cut`` and ``sort`` work on it. :mod:`sermo_fsm.cli.terminal` prints to a terminal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, TextIO

from attrs import field, fields, frozen

from sermo_fsm.cli.text import (
    COUNT_COLUMNS,
    SESSION_COLUMNS,
    Styled,
    count_cells,
    excerpt,
    outcome_cell,
    state_cell,
    styled,
)
from sermo_fsm.core.erasure import Amount, Hold
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.events import Agent

if TYPE_CHECKING:  # rich is imported only for a terminal
    from rich.text import Text

__all__ = ["Printer"]

_HISTORY_COLUMNS = ("seq", "time", "direction", "type", "from", "to", "outcome", "text", "reason")
_STRAY_COLUMNS = ("id", "time", "direction", "type", "platform", "user", "outcome")


@frozen
class Printer:
    """Prints for people to a stream that is not a terminal.

    Attributes:
        stream: What is printed to.
        now: The time that a terminal shows other times relative to.
        zone: The time zone that times are shown in; None for the system's.
    """

    stream: TextIO
    now: datetime = field(factory=lambda: datetime.now(UTC))
    zone: tzinfo | None = None

    def print_line(self, *words: str | Styled) -> None:
        """Print one line, with a space between the words."""
        texts = [word.text if isinstance(word, Styled) else styled(word).text for word in words]
        self.stream.write(" ".join(texts) + "\n")

    def print_amount(self, amount: Amount) -> None:
        """Print how much was erased: a line for each thing of which there was some."""
        for one in fields(Amount):
            if count := getattr(amount, one.name):
                self.print_line(f"{one.name:<10}{count:>10}")

    def print_hold(self, hold: Hold) -> None:
        """Print one line: who is held back, since when, by whom and why."""
        by = () if hold.by is None else ("by", hold.by)
        since = time_view(hold.since, self.zone) or ""
        whom = hold.platform_id, hold.user_id
        self.print_line(*whom, "held back since", since, *by, f"({hold.reason})")

    def print_text(self, text: "Text") -> None:
        """Print one line that is already safe to print."""
        self.stream.write(text.plain + "\n")

    def print_sessions(self, sessions: Iterable[ChatSession]) -> None:
        """Print a row for each session."""
        self._print_rows(SESSION_COLUMNS, map(self._session_cells, sessions))

    def print_counts(self, counts: Mapping[str, Mapping[State, int]]) -> None:
        """Print a row for each platform, with a column for each live state."""
        self._print_rows(COUNT_COLUMNS, map(count_cells, counts.items()))

    def print_history(self, rows: Iterable[HistoryRow], *, bodies: bool = False) -> None:
        """Print the rows of a session's history; what people wrote only with *bodies*."""
        self._print_rows(
            _HISTORY_COLUMNS,
            (
                [
                    styled(row.seq),
                    self.time_cell(row.effective_at),
                    styled(row.direction),
                    styled(row.type or row.trigger),
                    state_cell(row.from_state),
                    state_cell(row.to_state),
                    outcome_cell(row.outcome),
                    Styled(excerpt(row, bodies=bodies)),
                    styled(row.reason),
                ]
                for row in rows
            ),
        )

    def print_strays(self, rows: Iterable[HistoryRow], *, bodies: bool = False) -> None:
        """Print the rows that belong to no session; what people wrote only with *bodies*."""
        self._print_rows(
            (*_STRAY_COLUMNS, "reason", "text"),
            (
                [
                    styled(row.id),
                    self.time_cell(row.effective_at),
                    styled(row.direction),
                    styled(row.type),
                    styled(row.platform_id),
                    styled(row.user_id),
                    outcome_cell(row.outcome),
                    styled(row.reason),
                    Styled(excerpt(row, bodies=bodies)),
                ]
                for row in rows
            ),
        )

    def print_session(self, session: ChatSession) -> None:
        """Print one session in full: a line for each property that has a value."""
        for name, value in self._properties(session):
            self.stream.write(f"{name}\t{value.text}\n")

    def print_chats(self, columns: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
        """Print a row for each chat; its last cell is the id of its session."""
        self._print_rows(columns, rows)

    def print_parts(self, columns: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
        """Print rows that belong together where their first cells are the same."""
        self._print_rows(columns, rows)

    def _print_rows(self, columns: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
        self.stream.write("\t".join(columns) + "\n")
        for row in rows:
            self.stream.write("\t".join(cell.text for cell in row) + "\n")

    def _session_cells(self, session: ChatSession) -> list[Styled]:
        return [
            styled(session.platform_id),
            styled(session.user_id),
            styled(session.ordinal),
            state_cell(session.state),
            self.time_cell(session.since),
            styled(session.agent.id if session.agent else None),
            styled(session.queue_number),
            self.time_cell(session.last_seen_at),
            styled(session.session_id, "dim"),
        ]

    def _properties(self, session: ChatSession) -> Iterator[tuple[str, Styled]]:
        agent, before = session.agent, session.previous_close_reason
        replied_by = f"by {session.last_reply_by}" if session.last_reply_by else None
        properties = {
            "platform": styled(session.platform_id),
            "user": styled(session.user_id),
            "chat": styled(f"{session.ordinal}{', resumed' if session.resumed else ''}"),
            "state": state_cell(session.state),
            "since": self._dated(session.since),
            "agent": None if agent is None else styled(_described(agent)),
            "queue number": _optional(session.queue_number),
            "queued": self._dated(session.queued_at),
            "flow": _optional(session.flow_group_id),
            "platform closed": self._dated(session.platform_closed_at),
            "opened": self._dated(session.opened_at),
            "closed": self._dated(session.closed_at, session.close_reason),
            "last seen": self._dated(session.last_seen_at),
            "last read": self._dated(session.last_read_at),
            "customer typed": self._dated(session.customer_typed_at),
            "customer wrote": self._dated(session.last_customer_text_at),
            "last reply": self._dated(session.last_reply_at, replied_by),
            "agent is typing": self._dated(session.agent_typing_since),
            "expires": self._dated(session.expires_at),
            "chat before": None if before is None else styled(f"closed by {before}"),
            "rows": styled(session.rows),
            "session": styled(session.session_id),
        }
        return ((name, value) for name, value in properties.items() if value is not None)

    def time_cell(self, moment: datetime | None) -> Styled:
        """A time in a column; empty for None."""
        return styled(time_view(moment, self.zone))

    def _dated(self, moment: datetime | None, note: str | None = None) -> Styled | None:
        """A time in the full view of a session, with a note."""
        if moment is None:
            return None
        return Styled(" ".join(filter(None, (self.time_cell(moment).text, note))))


def _optional(value: object) -> Styled | None:
    return None if value is None else styled(value)


def _described(agent: Agent) -> str:
    kind = f", {agent.type}" if agent.type else ""
    return f"{agent.name} ({agent.id}{kind})" if agent.name else f"{agent.id}{kind}"
