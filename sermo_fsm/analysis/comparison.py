"""How a stored history differs from what today's table would do: values, no I/O.

States, triggers and outcomes are plain strings here: another release may have written values that
this one does not know.
"""

from enum import StrEnum
from typing import Any

from attrs import frozen

from sermo_fsm.analysis.table_replay import TransitionResult

__all__ = [
    "CellDifference",
    "Comparison",
    "CountedDifference",
    "Divergence",
    "DivergingChat",
    "KeptStateDifference",
    "UndecidedChat",
    "UndecidedReason",
]


@frozen
class CellDifference:
    """A cell of the table whose stored result is not today's.

    Attributes:
        trigger: The row of the table.
        state: The column of the table. For an opening the state that the chat began in: ``open``,
            or the state it was resumed in.
        opens: Whether no chat was live, so that the trigger opened one or was a stray.
        stored: The stored result.
        today: Today's result; None if this release does not know the trigger or the state.
    """

    trigger: str | None
    state: str
    opens: bool
    stored: TransitionResult
    today: TransitionResult | None


@frozen
class CountedDifference:
    """A cell difference, with the numbers of rows, sessions and live sessions that show it."""

    difference: CellDifference
    rows: int
    sessions: int
    live: int

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        difference = self.difference
        return {
            "trigger": difference.trigger,
            "state": difference.state,
            "opens": difference.opens,
            "stored": _result_view(difference.stored),
            "today": None if difference.today is None else _result_view(difference.today),
            "rows": self.rows,
            "sessions": self.sessions,
            "liveSessions": self.live,
        }


def _result_view(result: TransitionResult) -> dict[str, str | None]:
    return {"to": result.to, "outcome": result.outcome}


@frozen
class KeptStateDifference:
    """A number of sessions closed by the clock whose kept state is not the one kept today."""

    stored: str | None
    today: str | None
    sessions: int

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        return {"stored": self.stored, "today": self.today, "sessions": self.sessions}


@frozen
class Divergence:
    """The first row after which a chat would be in another state today.

    Attributes:
        seq: The number of the row in its session.
        trigger: What the row records.
        source: The stored state before it; None for an opening.
        stored: The stored state after it.
        today: Today's state after it; None if the chat would not be open yet.
    """

    seq: int
    trigger: str | None
    source: str | None
    stored: str | None
    today: str | None

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        return {
            "seq": self.seq,
            "trigger": self.trigger,
            "from": self.source,
            "stored": self.stored,
            "today": self.today,
        }


@frozen
class _LiveChat:
    """A live chat, its stored state, and where the stored history and today's table diverge."""

    session_id: str
    platform_id: str
    user_id: str
    stored: str

    def _view(self, first: Divergence | None, **more: Any) -> dict[str, Any]:
        return {
            "sessionId": self.session_id,
            "platformId": self.platform_id,
            "userId": self.user_id,
            "stored": self.stored,
            **more,
            "first": None if first is None else first.view(),
        }


@frozen
class DivergingChat(_LiveChat):
    """A live chat that would be in another state today.

    Attributes:
        today: The state it would be in; None if nothing would have opened it.
        first: Where the two diverge; None if the rows do not lead to the stored state.
    """

    today: str | None
    first: Divergence | None

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        return self._view(self.first, today=self.today)


class UndecidedReason(StrEnum):
    """Why today's state of a chat cannot be determined."""

    WITHIN = "ends elsewhere"
    """It would have closed earlier or opened later: its later events may be another chat's."""
    BEFORE = "earlier events"
    """The user's earlier events may have belonged to other chats, or to this one."""


@frozen
class UndecidedChat(_LiveChat):
    """A live chat whose state today cannot be determined.

    Attributes:
        why: The reason.
        first: Where the stored history and today's table diverge; None if in an earlier chat.
    """

    why: UndecidedReason
    first: Divergence | None

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        return self._view(self.first, why=self.why)


@frozen(kw_only=True)
class Comparison:
    """The result of comparing the stored history with today's table.

    Attributes:
        sessions: The number of sessions read.
        rows: The number of their rows.
        strays: The number of events without a session read.
        live_sessions: The number of sessions that are live.
        affected: The number of sessions that any of the differences below is about.
        cells: The differences from the table, those with most rows first.
        kept: The differences of kept states, those with most sessions first.
        live: The first of the live chats that would be in another state today.
        live_affected: The number of all of these.
        unsure: The first of the live chats whose state today cannot be determined.
        live_unsure: The number of all of these.
    """

    sessions: int
    rows: int
    strays: int
    live_sessions: int
    affected: int
    cells: tuple[CountedDifference, ...]
    kept: tuple[KeptStateDifference, ...]
    live: tuple[DivergingChat, ...]
    live_affected: int
    unsure: tuple[UndecidedChat, ...]
    live_unsure: int

    @property
    def ok(self) -> bool:
        """Whether there is no difference."""
        return not (self.affected or self.cells)

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        return {
            "ok": self.ok,
            "sessions": self.sessions,
            "rows": self.rows,
            "strays": self.strays,
            "liveSessions": self.live_sessions,
            "affectedSessions": self.affected,
            "cells": [cell.view() for cell in self.cells],
            "kept": [kept.view() for kept in self.kept],
            "liveAffected": self.live_affected,
            "live": [chat.view() for chat in self.live],
            "more": self.live_affected - len(self.live),
            "liveUnsure": self.live_unsure,
            "unsure": [chat.view() for chat in self.unsure],
            "moreUnsure": self.live_unsure - len(self.unsure),
        }
