"""The way one chat took through the machine: where it was, for how long, and what moved it on."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import frozen

from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["ChatPath", "PathStep", "path_from_rows"]


@frozen
class PathStep:
    """A row of the history that moved the chat.

    Attributes:
        seq: Its number in the history.
        at: Its effective time: it never falls from one step to the next.
        source: None for the opening.
    """

    seq: int
    at: datetime
    direction: Direction
    trigger: Trigger
    source: State | None
    target: State


@frozen
class ChatPath:
    """A chat and its steps, in order."""

    session: ChatSession
    steps: tuple[PathStep, ...]

    def stays(self, now: datetime) -> tuple[tuple[State, timedelta], ...]:
        """Where the chat was, in order, and for how long; in ``closed`` for no time at all.

        In the state where a live chat is it has been until *now*.
        """
        ends = [step.at for step in self.steps[1:]] + [now] * bool(self.steps)
        return tuple(
            (
                step.target,
                timedelta() if step.target is State.CLOSED else max(end, step.at) - step.at,
            )
            for step, end in zip(self.steps, ends, strict=True)
        )


def path_from_rows(session: ChatSession, rows: Iterable[HistoryRow]) -> ChatPath:
    """The steps among the *rows* of a session's history."""
    return ChatPath(
        session,
        tuple(
            PathStep(
                row.seq, row.effective_at, row.direction, row.trigger, row.from_state, row.to_state
            )
            for row in rows
            if row.seq and row.direction and row.trigger and row.to_state
            if row.from_state is not row.to_state
        ),
    )
