"""The path of one chat through the machine: its transitions, and how long each state lasted."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import frozen

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.machine import State
from sermo_fsm.core.session import ChatSession
from sermo_fsm.protocol.events import Direction, Trigger

__all__ = ["ChatPath", "PathStep", "path_from_rows"]


@frozen
class PathStep:
    """A history row that changed the state.

    Attributes:
        seq: The number of the row in the session's history.
        at: Its effective time; never earlier than that of the step before.
        direction: Which side caused the trigger.
        source: The state before; None for the row that opened the chat.
        target: The state after.
    """

    seq: int
    at: datetime
    direction: Direction
    trigger: Trigger
    source: State | None
    target: State


@frozen
class ChatPath:
    """A session and its steps, in order."""

    session: ChatSession
    steps: tuple[PathStep, ...]

    def stays(self, now: datetime) -> tuple[tuple[State, timedelta], ...]:
        """Return the states that the chat entered, in order, each with the time it stayed there.

        The stay in ``closed`` counts as no time. A live chat stays in its last state until *now*.
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
    """Return the path of *session*; *rows* is its history, in order."""
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
