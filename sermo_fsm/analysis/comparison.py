"""What of the stored history today's table would not have done: values, no IO.

States, triggers and outcomes are words here: another release may have written others.
"""

from enum import StrEnum
from typing import Any

from attrs import frozen

from sermo_fsm.analysis.table_replay import Done

__all__ = ["Cell", "Chat", "Comparison", "Departure", "Doubt", "Kept", "Parting", "Why"]


@frozen
class Parting:
    """A cell of the table, what is stored of it, and what it says today.

    Attributes:
        trigger: What came.
        state: Where; of an opening where the chat began: ``open``, or the state it was resumed in.
        opens: No chat was there: it opened one, or it is a stray and did not.
        stored: What it did.
        today: What it would do; None where this release does not know the trigger or the state.
    """

    trigger: str | None
    state: str
    opens: bool
    stored: Done
    today: Done | None


@frozen
class Cell:
    """A parting, and how many rows of how many sessions it is about, how many of them live."""

    parting: Parting
    rows: int
    sessions: int
    live: int

    def view(self) -> dict[str, Any]:
        """As ``sermo-fsm check --json`` prints it."""
        parting = self.parting
        return {
            "trigger": parting.trigger,
            "state": parting.state,
            "opens": parting.opens,
            "stored": _done(parting.stored),
            "today": None if parting.today is None else _done(parting.today),
            "rows": self.rows,
            "sessions": self.sessions,
            "liveSessions": self.live,
        }


def _done(done: Done) -> dict[str, str | None]:
    return {"to": done.to, "outcome": done.outcome}


@frozen
class Kept:
    """Sessions that the clock closed, whose kept state is not what today's table would keep."""

    stored: str | None
    today: str | None
    sessions: int

    def view(self) -> dict[str, Any]:
        """Likewise."""
        return {"stored": self.stored, "today": self.today, "sessions": self.sessions}


@frozen
class Departure:
    """The first row after which a chat would be somewhere else today; None for not open."""

    seq: int
    trigger: str | None
    source: str | None
    stored: str | None
    today: str | None

    def view(self) -> dict[str, Any]:
        """Likewise."""
        return {
            "seq": self.seq,
            "trigger": self.trigger,
            "from": self.source,
            "stored": self.stored,
            "today": self.today,
        }


@frozen
class _Live:
    """A live chat, and where it is."""

    session_id: str
    platform_id: str
    user_id: str
    stored: str

    def view(self) -> dict[str, Any]:
        """Likewise."""
        return {
            "sessionId": self.session_id,
            "platformId": self.platform_id,
            "userId": self.user_id,
            "stored": self.stored,
        }


@frozen
class Chat(_Live):
    """A live chat that would be somewhere else today.

    Attributes:
        today: Where it would be; None where nothing would have opened it.
        first: Where the two part; None where its rows do not say where it is.
    """

    today: str | None
    first: Departure | None

    def view(self) -> dict[str, Any]:
        """Likewise."""
        first = None if self.first is None else self.first.view()
        return {**super().view(), "today": self.today, "first": first}


class Why(StrEnum):
    """Why it can't be told where a chat would be today."""

    WITHIN = "ends elsewhere"
    """It would have closed before it did, or opened later: what came then may be another chat's."""
    BEFORE = "earlier events"
    """What came of this user before may have been other chats, or have been this one's."""


@frozen
class Doubt(_Live):
    """A live chat of which it can't be told where it would be today, and why.

    Attributes:
        first: Where what is stored and today's table part; None where that was before it.
    """

    why: Why
    first: Departure | None

    def view(self) -> dict[str, Any]:
        """Likewise."""
        first = None if self.first is None else self.first.view()
        return {**super().view(), "why": self.why, "first": first}


@frozen(kw_only=True)
class Comparison:
    """What was read, and what of it today's table would not have done.

    Attributes:
        sessions: How many were read, of which so many are live.
        rows: How many they have.
        strays: How many events without a session were read.
        affected: Sessions that any of what follows is about.
        cells: The rows that are not possible today, by cell, the most frequent first.
        kept: The kept states that are not, likewise.
        live: The first of the live chats that would be somewhere else today.
        live_affected: How many there are.
        unsure: The first of the live chats of which it can't be told where they would be today.
        live_unsure: How many there are.
    """

    sessions: int
    rows: int
    strays: int
    live_sessions: int
    affected: int
    cells: tuple[Cell, ...]
    kept: tuple[Kept, ...]
    live: tuple[Chat, ...]
    live_affected: int
    unsure: tuple[Doubt, ...]
    live_unsure: int

    @property
    def ok(self) -> bool:
        """Nothing is affected."""
        return not (self.affected or self.cells)

    def view(self) -> dict[str, Any]:
        """Likewise."""
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
            "unsure": [doubt.view() for doubt in self.unsure],
            "moreUnsure": self.live_unsure - len(self.unsure),
        }
